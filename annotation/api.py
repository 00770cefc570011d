"""/api/v1/: projects, prompts, tasks, judgments. By the same actions as the pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet, ViewSet

from annotation import access
from annotation.actions import judgments, projects, prompts, seats
from annotation.forms import DraftForm, SubmitForm
from annotation.imports import MAX_FILE_BYTES, ParsedPrompts, parse_prompts
from annotation.kinds import KINDS
from annotation.models import (
    Assignment,
    PolicyVersion,
    Project,
    Prompt,
    Ranking,
    ReferenceAnswer,
    Role,
    Scope,
    Task,
)


def fields_of(request: Request) -> Mapping[str, Any]:
    """The body as fields; a JSON list or number is refused in words."""
    if not isinstance(request.data, Mapping):
        raise serializers.ValidationError({"detail": "The body should be a JSON object."})
    return request.data


def signed_in(request: Request) -> User:
    """Permissions have let the request in, so somebody is signed in."""
    user = request.user
    if isinstance(user, AnonymousUser):
        raise NotAuthenticated
    return user


class ProjectSerializer(serializers.ModelSerializer[Project]):
    class Meta:
        model = Project
        fields = [
            "slug", "name", "guidelines", "candidates_per_task", "seats_per_task", "reference_share",
            "lease_minutes", "base_model", "licence", "created_at",
        ]  # fmt: skip
        read_only_fields = ["slug", "created_at"]


class ProgressSerializer(serializers.Serializer[Any]):
    """Seats by where they stand."""

    done = serializers.IntegerField()
    held = serializers.IntegerField()
    empty = serializers.IntegerField()
    own_done = serializers.IntegerField(help_text="Judged by the caller.")


class PolicySerializer(serializers.ModelSerializer[PolicyVersion]):
    made_from = serializers.IntegerField(
        source="parent.number", default=None, allow_null=True, help_text="The version it was trained from."
    )

    class Meta:
        model = PolicyVersion
        fields = ["number", "made_from", "created_at"]


class PromptSerializer(serializers.ModelSerializer[Prompt]):
    class Meta:
        model = Prompt
        fields = ["id", "messages", "external_id", "category", "split", "created_at"]


@extend_schema_field(OpenApiTypes.BINARY)
class UploadedFileField(serializers.FileField):
    """Described as what is sent; by itself it is described as the address that an answer would have."""


class PromptFileSerializer(serializers.Serializer[Any]):
    file = UploadedFileField(help_text="JSONL, JSON, CSV, Parquet or plain text, as on the import page.")
    labels = serializers.BooleanField(default=False, help_text="The rows are texts with labels, no prompts.")
    mapping = serializers.DictField(
        child=serializers.CharField(),
        required=False,
        help_text="Columns by field: mapping.text=question.",
    )
    dry_run = serializers.BooleanField(default=False, help_text="Only the report; nothing is taken.")

    def validate_file(self, file: Any) -> Any:
        if file.size > MAX_FILE_BYTES:
            raise serializers.ValidationError(f"The file is larger than {MAX_FILE_BYTES // 2**20} MB. Split it.")
        return file


class RefusedRowSerializer(serializers.Serializer[Any]):
    line = serializers.IntegerField()
    reason = serializers.CharField()


class ImportReportSerializer(serializers.Serializer[Any]):
    taken = serializers.IntegerField()
    answers = serializers.IntegerField()
    pairs = serializers.IntegerField()
    tasks = serializers.IntegerField()
    duplicates = RefusedRowSerializer(many=True)
    refused = RefusedRowSerializer(many=True)


class TaskSerializer(serializers.ModelSerializer[Task]):
    class Meta:
        model = Task
        fields = ["id", "kind", "prompt_id", "seats", "priority", "created_at"]


class CandidateSerializer(serializers.Serializer[Any]):
    """Blind: nothing here tells who wrote the text."""

    id = serializers.IntegerField()
    text = serializers.CharField()


class AssignmentSerializer(serializers.ModelSerializer[Assignment]):
    kind = serializers.CharField(source="task.kind")
    messages = serializers.JSONField(source="task.prompt.messages")
    candidates = serializers.SerializerMethodField()

    class Meta:
        model = Assignment
        fields = ["id", "task_id", "kind", "status", "messages", "candidates", "draft", "expires_at"]

    @extend_schema(responses=CandidateSerializer(many=True))
    def get_candidates(self, assignment: Assignment) -> list[dict[str, Any]]:
        texts = dict(assignment.task.candidates.values_list("pk", "text"))
        return [{"id": pk, "text": texts[pk]} for pk in assignment.shown_order]


class SubmitSerializer(serializers.Serializer[Any]):
    """The client's UUID with the fields of the task's kind: tiers, unacceptable, rationale; or text, derived_from."""

    client_uuid = serializers.UUIDField()
    active_ms = serializers.IntegerField(required=False)
    tiers = serializers.ListField(child=serializers.ListField(child=serializers.IntegerField()), required=False)
    unacceptable = serializers.ListField(child=serializers.IntegerField(), required=False)
    rationale = serializers.CharField(required=False, allow_blank=True)
    text = serializers.CharField(required=False)
    derived_from = serializers.IntegerField(required=False, allow_null=True)


class StoredSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class DraftSerializer(serializers.Serializer[Any]):
    draft = serializers.DictField(help_text="Whatever the client wants back when the work goes on.")
    active_ms = serializers.IntegerField(min_value=0, max_value=2**31 - 1)


class SkipSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(required=False, allow_blank=True)


class RankingSerializer(serializers.ModelSerializer[Ranking]):
    task_id = serializers.IntegerField(source="assignment.task_id")
    prompt_id = serializers.IntegerField(source="assignment.task.prompt_id")
    annotator_id = serializers.IntegerField(source="assignment.annotator_id")
    shown_order = serializers.ListField(source="assignment.shown_order", child=serializers.IntegerField())
    active_ms = serializers.IntegerField(source="assignment.active_ms")

    class Meta:
        model = Ranking
        fields = [
            "id", "task_id", "prompt_id", "annotator_id", "tiers", "unacceptable", "rationale", "shown_order",
            "active_ms", "created_at",
        ]  # fmt: skip


class ReferenceSerializer(serializers.ModelSerializer[ReferenceAnswer]):
    task_id = serializers.IntegerField(source="assignment.task_id")
    prompt_id = serializers.IntegerField(source="assignment.task.prompt_id")
    annotator_id = serializers.IntegerField(source="assignment.annotator_id")
    text = serializers.CharField(source="completion.text")
    derived_from = serializers.IntegerField(source="derived_from_id", allow_null=True)

    class Meta:
        model = ReferenceAnswer
        fields = ["id", "task_id", "prompt_id", "annotator_id", "completion_id", "text", "derived_from", "created_at"]


class ProjectViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.CreateModelMixin, GenericViewSet[Project]
):
    scopes = {
        **dict.fromkeys(["list", "retrieve", "progress"], Scope.READ),
        **dict.fromkeys(["create", "partial_update"], Scope.MANAGE),
    }
    serializer_class = ProjectSerializer
    queryset = Project.objects.none()
    lookup_field = "slug"

    def get_queryset(self) -> Any:
        return access.projects_of(signed_in(self.request))

    def perform_create(self, serializer: Any) -> None:
        project = Project(**serializer.validated_data)
        serializer.instance = projects.create_project(project=project, by=signed_in(self.request))

    def partial_update(self, request: Request, slug: str) -> Response:
        """Settings: new tasks follow them, open ones keep what they have."""
        project = access.get_project(signed_in(request), slug, role=Role.ADMIN)
        wanted = ProjectSerializer(project, data=request.data, partial=True)
        wanted.is_valid(raise_exception=True)
        wanted.save()
        return Response(wanted.data)

    @extend_schema(responses=ProgressSerializer)
    @action(detail=True)
    def progress(self, request: Request, slug: str) -> Response:
        project = access.get_project(signed_in(request), slug)
        own = seats.own_progress(project, signed_in(request))
        return Response({**seats.progress(project), "own_done": own["done"]})


class PolicyViewSet(mixins.ListModelMixin, GenericViewSet[PolicyVersion]):
    """The models so far; only their numbers, as where they lie is the server's business."""

    scopes = {"list": Scope.READ}
    serializer_class = PolicySerializer
    queryset = PolicyVersion.objects.none()

    def get_queryset(self) -> Any:
        return access.get_project(signed_in(self.request), self.kwargs["slug"]).policies.select_related("parent")


class PromptViewSet(mixins.ListModelMixin, GenericViewSet[Prompt]):
    scopes = {"list": Scope.READ, "create": Scope.DATA}
    serializer_class = PromptSerializer
    queryset = Prompt.objects.none()

    def get_queryset(self) -> Any:
        project = access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.REVIEWER)
        return project.prompts.all()

    @extend_schema(
        request={"multipart/form-data": PromptFileSerializer},
        responses={200: ImportReportSerializer, 201: ImportReportSerializer},
    )
    def create(self, request: Request, slug: str) -> Response:
        """Import a file of prompts: new ones are taken, the report names every other row and why."""
        project = access.get_project(signed_in(request), slug, role=Role.ADMIN)
        upload = PromptFileSerializer(data=request.data)
        upload.is_valid(raise_exception=True)
        wanted = upload.validated_data
        parsed: ParsedPrompts = parse_prompts(
            wanted["file"].read(), wanted["file"].name, wanted.get("mapping"), labels=wanted["labels"]
        )
        if wanted["dry_run"]:
            return Response(ImportReportSerializer(prompts.dry_run(project, parsed)).data)
        report = prompts.import_prompts(project=project, parsed=parsed, by=signed_in(request))
        return Response(ImportReportSerializer(report).data, status=status.HTTP_201_CREATED)


class TaskViewSet(mixins.ListModelMixin, GenericViewSet[Task]):
    scopes = {"list": Scope.READ, "claim": Scope.ANNOTATE}
    serializer_class = TaskSerializer
    queryset = Task.objects.none()

    def get_queryset(self) -> Any:
        project = access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.REVIEWER)
        return project.tasks.all()

    @extend_schema(request=None, responses={200: AssignmentSerializer, 204: OpenApiResponse(description="No task")})
    @action(detail=False, methods=["post"])
    def claim(self, request: Request, slug: str) -> Response:
        """The next seat for the caller, or 204 where there is nothing to do."""
        project = access.get_project(signed_in(request), slug)
        seat = seats.claim_next(project=project, by=signed_in(request))
        if seat is None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        return Response(AssignmentSerializer(seat).data)


class AssignmentViewSet(ViewSet):
    """Seats of the caller. A submit is idempotent by its client_uuid."""

    scopes = dict.fromkeys(["retrieve", "draft", "submit", "skip"], Scope.ANNOTATE)
    serializer_class = AssignmentSerializer
    queryset = Assignment.objects.none()
    lookup_value_regex = r"\d+"

    def _seat(self, request: Request, slug: str, pk: str) -> Assignment:
        return access.get_assignment(signed_in(request), slug, int(pk))

    def retrieve(self, request: Request, slug: str, pk: str) -> Response:
        return Response(AssignmentSerializer(self._seat(request, slug, pk)).data)

    @extend_schema(request=SubmitSerializer, responses=StoredSerializer)
    @action(detail=True, methods=["post"])
    def submit(self, request: Request, slug: str, pk: str) -> Response:
        seat = self._seat(request, slug, pk)
        envelope, form = SubmitForm(fields_of(request)), KINDS[seat.task.kind].form(seat, fields_of(request))
        if not (envelope.is_valid() & form.is_valid()):
            return Response({"errors": {**envelope.errors, **form.errors}}, status=status.HTTP_400_BAD_REQUEST)
        judgment = judgments.submit(assignment=seat, answer=form.cleaned_data, **envelope.cleaned_data)
        return Response({"id": judgment.pk, "created_at": judgment.created_at})

    @extend_schema(request=DraftSerializer, responses=AssignmentSerializer)
    @action(detail=True, methods=["post"])
    def draft(self, request: Request, slug: str, pk: str) -> Response:
        seat = self._seat(request, slug, pk)
        form = DraftForm(fields_of(request))
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        return Response(AssignmentSerializer(seats.save_draft(assignment=seat, **form.cleaned_data)).data)

    @extend_schema(request=SkipSerializer, responses={204: None})
    @action(detail=True, methods=["post"])
    def skip(self, request: Request, slug: str, pk: str) -> Response:
        seats.skip(assignment=self._seat(request, slug, pk), reason=str(fields_of(request).get("reason", "")))
        return Response(status=status.HTTP_204_NO_CONTENT)


class RankingViewSet(mixins.ListModelMixin, GenericViewSet[Ranking]):
    scopes = {"list": Scope.READ}
    serializer_class = RankingSerializer
    queryset = Ranking.objects.none()

    def get_queryset(self) -> Any:
        project = access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.REVIEWER)
        return Ranking.objects.filter(assignment__project=project).select_related("assignment__task")


class ReferenceViewSet(mixins.ListModelMixin, GenericViewSet[ReferenceAnswer]):
    scopes = {"list": Scope.READ}
    serializer_class = ReferenceSerializer
    queryset = ReferenceAnswer.objects.none()

    def get_queryset(self) -> Any:
        project = access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.REVIEWER)
        answers = ReferenceAnswer.objects.filter(assignment__project=project)
        return answers.select_related("assignment__task", "completion")
