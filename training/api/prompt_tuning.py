"""/api/v1/: templates, verbalizers, rounds of prompt tuning, and the table of methods."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import mixins, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet, ViewSet

from annotation import access
from annotation.api.pagination import MAX_NUMBER, NewestFirst
from annotation.api.projects import fields_of, signed_in
from annotation.models import Role, Scope
from training.actions import prompt_tuning
from training.api.rounds import RoundSerializer
from training.forms.prompt_tuning import StartForm, TemplateForm, VerbalizerForm
from training.models import TemplateVersion, VerbalizerVersion
from training.prompt_tuning.approach_rows import recommendation
from training.prompt_tuning.approaches import APPROACHES
from training.reports.methods import COLUMNS, tables


class TemplateSerializer(serializers.ModelSerializer[TemplateVersion]):
    class Meta:
        model = TemplateVersion
        fields = ["id", "name", "version", "body", "language", "notes", "created_at"]
        read_only_fields = ["version"]


class TemplateViewSet(mixins.ListModelMixin, GenericViewSet[TemplateVersion]):
    scopes = {"list": Scope.READ, "create": Scope.MANAGE}
    serializer_class = TemplateSerializer
    pagination_class = NewestFirst
    queryset = TemplateVersion.objects.none()

    def get_queryset(self) -> Any:
        return access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.REVIEWER).templates.all()

    @extend_schema(responses={201: TemplateSerializer})
    def create(self, request: Request, slug: str) -> Response:
        """Store a template, or the next version of the one with this name."""
        project = access.get_project(signed_in(request), slug, role=Role.ADMIN)
        form = TemplateForm(project, fields_of(request))
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        saved = prompt_tuning.save_template(project=project, by=signed_in(request), **form.cleaned_data)
        return Response(TemplateSerializer(saved).data, status=status.HTTP_201_CREATED)


class FindingSerializer(serializers.Serializer[Any]):
    severity = serializers.ChoiceField(choices=["error", "warning"])
    label = serializers.CharField()  # type: ignore[assignment]
    word = serializers.CharField()
    message = serializers.CharField()


class VerbalizerSerializer(serializers.ModelSerializer[VerbalizerVersion]):
    words = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField(), min_length=1), help_text="Label to its label words."
    )

    class Meta:
        model = VerbalizerVersion
        fields = ["id", "name", "version", "words", "created_at"]
        read_only_fields = ["version"]


class SavedVerbalizerSerializer(VerbalizerSerializer):
    findings = FindingSerializer(many=True, help_text="Tokenizer check of the words.")

    class Meta(VerbalizerSerializer.Meta):
        fields = [*VerbalizerSerializer.Meta.fields, "findings"]


class VerbalizerViewSet(mixins.ListModelMixin, GenericViewSet[VerbalizerVersion]):
    scopes = {"list": Scope.READ, "create": Scope.MANAGE}
    serializer_class = VerbalizerSerializer
    pagination_class = NewestFirst
    queryset = VerbalizerVersion.objects.none()

    def get_queryset(self) -> Any:
        return access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.REVIEWER).verbalizers.all()

    @extend_schema(request=VerbalizerSerializer, responses={201: SavedVerbalizerSerializer})
    def create(self, request: Request, slug: str) -> Response:
        """Store a verbalizer, or the next version of the one with this name; warnings do not prevent it."""
        project = access.get_project(signed_in(request), slug, role=Role.ADMIN)
        form = VerbalizerForm(project, fields_of(request))
        if not form.is_valid():
            errors = {**form.errors, "findings": [finding.message for finding in form.findings]}
            return Response({"errors": errors}, status=status.HTTP_400_BAD_REQUEST)
        name, words = form.cleaned_data["name"], form.cleaned_data["words"]
        saved = prompt_tuning.save_verbalizer(project=project, name=name, words=words, by=signed_in(request))
        found = [{**vars(finding)} for finding in form.findings]
        return Response({**VerbalizerSerializer(saved).data, "findings": found}, status=status.HTTP_201_CREATED)


class StartSerializer(serializers.Serializer[Any]):
    approaches = serializers.ListField(child=serializers.ChoiceField(choices=list(APPROACHES)), min_length=1)
    templates = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=MAX_NUMBER), required=False, help_text="Ids."
    )
    verbalizer = serializers.IntegerField(min_value=1, max_value=MAX_NUMBER, help_text="Its id.")
    shots = serializers.IntegerField(min_value=1, max_value=100_000)
    seeds = serializers.IntegerField(min_value=1, max_value=20)
    epochs = serializers.IntegerField(min_value=1, max_value=1000)


class MethodTableSerializer(serializers.Serializer[Any]):
    snapshot = serializers.IntegerField()
    verbalizer = serializers.CharField()
    shots = serializers.IntegerField()
    majority = serializers.FloatField()
    recommendation = serializers.ListField(child=serializers.CharField())
    rows = serializers.ListField(child=serializers.DictField())


@extend_schema_serializer(many=False)
class MethodTablesSerializer(serializers.Serializer[Any]):
    tables = MethodTableSerializer(many=True)


class ApproachesViewSet(ViewSet):
    """Tables of approaches: cost and accuracy of each."""

    scopes = {"list": Scope.READ, "create": Scope.TRAIN}
    serializer_class = MethodTablesSerializer

    @extend_schema(operation_id="projects_methods_retrieve", responses=MethodTablesSerializer)
    def list(self, request: Request, slug: str) -> Response:
        """Return the tables that have been measured, newest first."""
        project = access.get_project(signed_in(request), slug, role=Role.REVIEWER)
        found = [
            {
                "snapshot": table.snapshot.number,
                "verbalizer": table.verbalizer,
                "shots": table.shots,
                "majority": table.majority,
                "recommendation": recommendation(table.rows),
                "rows": [{name: getattr(row, name) for name in COLUMNS} for row in table.rows],
            }
            for table in tables(project)
        ]
        return Response({"tables": found})

    @extend_schema(request=StartSerializer, responses={201: RoundSerializer})
    def create(self, request: Request, slug: str) -> Response:
        """Measure: a round with one run for each approach and seed."""
        project = access.get_project(signed_in(request), slug, role=Role.ADMIN)
        form = StartForm(project, fields_of(request))
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        data = form.cleaned_data
        round = prompt_tuning.start_prompt_tuning(
            project=project,
            by=signed_in(request),
            verbalizer=data["verbalizer"],
            templates=data["templates"],
            settings=form.settings(),
        )
        return Response(RoundSerializer(round).data, status=status.HTTP_201_CREATED)
