"""/api/v1/: evaluations by people, and the ladder over all versions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from annotation import access as annotation_access
from annotation.actions.evaluations import close_evaluation
from annotation.api.pagination import MAX_NUMBER, NUMBER, NewestFirst
from annotation.api.projects import fields_of, signed_in
from annotation.models import Evaluation, Role, Scope
from annotation.quality.comparisons import evaluated_pairs, evaluation_report, ladder
from annotation.quality.figures import Figure
from annotation.quality.report import plain
from training import access
from training.actions import evaluations
from training.api.rounds import RoundSerializer
from training.forms.evaluations import EvaluationForm
from training.methods import EvaluateConfig
from training.methods.described import described


class EvaluationSerializer(serializers.ModelSerializer[Evaluation]):
    version = serializers.IntegerField(source="version.number")
    opponent = serializers.IntegerField(
        source="opponent.number", allow_null=True, default=None, help_text="A version; null: reference responses."
    )

    class Meta:
        model = Evaluation
        fields = ["number", "version", "opponent", "seats", "sampling", "left_out", "created_at"]


class ComparisonSerializer(serializers.Serializer[Any]):
    prompt = serializers.CharField()
    category = serializers.CharField()
    answer = serializers.CharField()
    other = serializers.CharField()
    identical = serializers.BooleanField()
    outcomes = serializers.ListField(child=serializers.FloatField(), help_text="Of the version: 1, 0.5 or 0.")


class EvaluationDetailSerializer(EvaluationSerializer):
    open_seats = serializers.IntegerField()
    report = serializers.SerializerMethodField()
    comparisons = serializers.SerializerMethodField()

    class Meta(EvaluationSerializer.Meta):
        fields = [*EvaluationSerializer.Meta.fields, "open_seats", "report", "comparisons"]

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get_report(self, evaluation: Evaluation) -> dict[str, Any]:  # noqa: ARG002 - as below
        return _plain(evaluation_report(self.context["compared"]))

    def get_comparisons(self, evaluation: Evaluation) -> list[dict[str, Any]]:  # noqa: ARG002 - a serializer's method
        """Return the submitted comparisons; while some are open only an admin sees which version wrote which answer."""
        judged = [each for each in self.context["compared"] if each.score is not None]
        return list(ComparisonSerializer(judged if self.context["may_see"] else [], many=True).data)


def _number(name: str) -> serializers.Field[Any, Any, Any, Any]:
    """Return the field of a setting of the run that draws the responses, with the setting's range."""
    about = described(EvaluateConfig)[name]
    field = serializers.IntegerField if about["type"] == "integer" else serializers.FloatField
    return field(required=False, min_value=about["minimum"], max_value=about["maximum"], help_text=about["description"])


class StartEvaluationSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=0, max_value=MAX_NUMBER, help_text="Number of the policy version.")
    opponent = serializers.CharField(help_text="Number of another version, or people for reference responses.")
    prompts = _number("prompts")
    seats = _number("seats")
    max_new_tokens = _number("max_new_tokens")
    temperature = _number("temperature")
    batch_size = _number("batch_size")
    max_prompt_tokens = _number("max_prompt_tokens")
    seed = _number("seed")


class RungSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="v0, v1, …, or people for reference responses.")
    elo = serializers.FloatField(help_text="0 is the average of all.")
    low = serializers.FloatField()
    high = serializers.FloatField()
    comparisons = serializers.IntegerField()


@extend_schema_serializer(many=False)
class LadderSerializer(serializers.Serializer[Any]):
    rungs = RungSerializer(many=True)


class ClosedSerializer(serializers.Serializer[Any]):
    closed = serializers.IntegerField(help_text="Annotations that are no longer collected.")


class EvaluationViewSet(mixins.ListModelMixin, GenericViewSet[Evaluation]):
    scopes = {
        "list": Scope.READ,
        "retrieve": Scope.READ,
        "ladder": Scope.READ,
        "create": Scope.TRAIN,
        "close": Scope.TRAIN,
    }
    serializer_class = EvaluationSerializer
    pagination_class = NewestFirst
    queryset = Evaluation.objects.none()
    lookup_field = "number"
    lookup_value_regex = NUMBER

    def get_queryset(self) -> Any:
        project = annotation_access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.REVIEWER)
        return project.evaluations.select_related("version", "opponent")

    @extend_schema(responses=EvaluationDetailSerializer)
    def retrieve(self, request: Request, slug: str, number: str) -> Response:
        """Return the win rate with its interval, by length and category, and every judged comparison."""
        found, membership = access.get_evaluation(signed_in(request), slug, int(number))
        may_see = membership.may_act_as(Role.ADMIN) or not found.open_seats()
        reader = annotation_access.blind_reader(signed_in(request), found.project)
        context = {"compared": evaluated_pairs(found.project, found, to=reader), "may_see": may_see}
        return Response(EvaluationDetailSerializer(found, context=context).data)

    @extend_schema(request=StartEvaluationSerializer, responses={201: RoundSerializer})
    def create(self, request: Request, slug: str) -> Response:
        """Start a round that draws the answers; its comparisons join the queue once it has succeeded."""
        project = annotation_access.get_project(signed_in(request), slug, role=Role.ADMIN)
        form = EvaluationForm(project, fields_of(request))
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        version, opponent = form.sides()
        round = evaluations.start_evaluation(
            project=project, by=signed_in(request), version=version, opponent=opponent, settings=form.settings()
        )
        return Response(RoundSerializer(round).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=ClosedSerializer)
    @action(detail=True, methods=["post"])
    def close(self, request: Request, slug: str, number: str) -> Response:
        """Delete the unclaimed seats. Judgments count, and tasks that are held may be finished."""
        found, _ = access.get_evaluation(signed_in(request), slug, int(number), role=Role.ADMIN)
        return Response({"closed": close_evaluation(evaluation=found)})

    @extend_schema(operation_id="projects_evaluations_ladder_retrieve", responses=LadderSerializer)
    @action(detail=False, pagination_class=None, filter_backends=[])
    def ladder(self, request: Request, slug: str) -> Response:
        """Return the Elo points of all versions and of people, from all comparisons of the project."""
        project = annotation_access.get_project(signed_in(request), slug, role=Role.REVIEWER)
        compared = evaluated_pairs(project, to=annotation_access.blind_reader(signed_in(request), project))
        return Response({"rungs": [asdict(rung) for rung in ladder(compared)]})


def _plain(report: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in report.items():
        if isinstance(value, Figure):
            found[name] = plain(value)
        elif isinstance(value, dict):
            found[name] = _plain(value)
        else:
            found[name] = value
    return found
