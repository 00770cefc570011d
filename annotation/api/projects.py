"""/api/v1/: projects, prompts, tasks, judgments. By the same actions as the pages."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied, ValidationError
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet, ViewSet

from annotation import access
from annotation.actions import projects, quality_figures, queue
from annotation.characters import cleaned
from annotation.models import (
    PolicyVersion,
    Project,
    Ranking,
    ReferenceAnswer,
    Role,
    Scope,
    UnaryJudgment,
)


def fields_of(request: Request) -> Mapping[str, Any]:
    """Return the body as fields; refuse a JSON list or number."""
    if not isinstance(request.data, Mapping):
        raise serializers.ValidationError({"detail": "The body should be a JSON object."})
    fields: Mapping[str, Any] = cleaned(request.data)  # JSON is clean already, a form is not
    return fields


def signed_in(request: Request) -> User:
    """Return the user of a request that permissions have let in."""
    user = request.user
    if isinstance(user, AnonymousUser):
        raise NotAuthenticated
    return user


class ProjectSerializer(serializers.ModelSerializer[Project]):
    class Meta:
        model = Project
        fields = ["slug", *Project.SETTINGS, "closed_at", "created_at"]
        read_only_fields = ["slug", "closed_at", "created_at"]
        # Null towards those who are checked.
        extra_kwargs = {name: {"allow_null": True} for name in ("gold_share", "repeat_share")}

    def to_representation(self, instance: Project) -> dict[str, Any]:
        """Return the project; for annotators without the shares of checks."""
        shown: dict[str, Any] = super().to_representation(instance)
        role = getattr(instance, "own_role", None)  # known in a list
        if role is None and "request" in self.context:
            own = instance.memberships.filter(user_id=self.context["request"].user.pk or 0)
            role = next(iter(own.values_list("role", flat=True)), None)
        if role != Role.ADMIN:
            shown |= dict.fromkeys(("gold_share", "repeat_share"))
        return shown

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return the settings. Raises ValidationError where they contradict each other, as on the page."""
        if nothing := [name for name in ("gold_share", "repeat_share") if attrs.get(name, 0) is None]:
            raise serializers.ValidationError(dict.fromkeys(nothing, "A share is a number from 0 to 1."))
        project = copy(self.instance) if self.instance else Project()
        for name, value in attrs.items():
            setattr(project, name, value)
        try:
            project.clean()
            project.validate_constraints()
        except ValidationError as refusal:
            raise serializers.ValidationError(serializers.as_serializer_error(refusal)) from None
        return attrs


class ProgressSerializer(serializers.Serializer[Any]):
    """Seats by where they stand."""

    done = serializers.IntegerField()
    held = serializers.IntegerField()
    empty = serializers.IntegerField()
    more_done = serializers.BooleanField(help_text="There are more than were counted.")
    more_empty = serializers.BooleanField(
        help_text="There may be more. Callers without the admin role get a lower bound: 1, 10, 50, 100, 500, …"
    )
    own_done = serializers.IntegerField(help_text="Annotated by the caller.")


class PolicySerializer(serializers.ModelSerializer[PolicyVersion]):
    made_from = serializers.IntegerField(
        source="parent.number", default=None, allow_null=True, help_text="The version it was trained from."
    )

    class Meta:
        model = PolicyVersion
        fields = ["number", "made_from", "created_at"]


class RankingSerializer(serializers.ModelSerializer[Ranking]):
    task_id = serializers.IntegerField(source="assignment.task_id")
    prompt_id = serializers.IntegerField(source="assignment.task.prompt_id")
    annotator_id = serializers.IntegerField(source="assignment.annotator_id")
    shown_order = serializers.ListField(source="assignment.shown_order", child=serializers.IntegerField())
    active_ms = serializers.IntegerField(source="assignment.active_ms")
    purpose = serializers.CharField(source="assignment.task.purpose", help_text="Only rankings of work are votes.")
    guidelines_version = serializers.IntegerField(
        source="assignment.guidelines_number", allow_null=True, help_text="That its annotator had acknowledged."
    )

    class Meta:
        model = Ranking
        fields = [
            "id",
            "task_id",
            "prompt_id",
            "annotator_id",
            "tiers",
            "unacceptable",
            "unranked",
            "strength",
            "ratings",
            "rationale",
            "shown_order",
            "active_ms",
            "purpose",
            "guidelines_version",
            "created_at",
        ]


class UnarySerializer(serializers.ModelSerializer[UnaryJudgment]):
    task_id = serializers.IntegerField(source="assignment.task_id")
    prompt_id = serializers.IntegerField(source="assignment.task.prompt_id")
    completion_id = serializers.SerializerMethodField(help_text="The response that was judged.")
    annotator_id = serializers.IntegerField(source="assignment.annotator_id")
    active_ms = serializers.IntegerField(source="assignment.active_ms")
    purpose = serializers.CharField(source="assignment.task.purpose", help_text="Only annotations of work are votes.")
    guidelines_version = serializers.IntegerField(
        source="assignment.guidelines_number", allow_null=True, help_text="That its annotator had acknowledged."
    )

    class Meta:
        model = UnaryJudgment
        fields = [
            "id",
            "task_id",
            "prompt_id",
            "completion_id",
            "annotator_id",
            "good",
            "reason",
            "comment",
            "active_ms",
            "purpose",
            "guidelines_version",
            "created_at",
        ]

    def get_completion_id(self, said: UnaryJudgment) -> int:
        return int(said.assignment.shown_order[0])


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

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Make a project, where the account may."""
        if not access.may_create_projects(signed_in(request)):
            raise PermissionDenied("This account cannot create projects.")
        return super().create(request, *args, **kwargs)

    def perform_create(self, serializer: Any) -> None:
        project = Project(**serializer.validated_data)
        serializer.instance = projects.create_project(project=project, by=signed_in(self.request))

    def partial_update(self, request: Request, slug: str) -> Response:
        """Change settings: new tasks follow them, open ones keep theirs."""
        project = access.get_project(signed_in(request), slug, role=Role.ADMIN)
        wanted = ProjectSerializer(project, data=request.data, partial=True)
        wanted.is_valid(raise_exception=True)
        for name, value in wanted.validated_data.items():
            setattr(project, name, value)
        projects.save_settings(project=project, by=signed_in(request))
        return Response(self.get_serializer(project).data)

    @extend_schema(responses=ProgressSerializer)
    @action(detail=True)
    def progress(self, request: Request, slug: str) -> Response:
        membership = access.get_membership(signed_in(request), slug)
        project, counted = membership.project, queue.progress(membership.project)
        own = queue.own_progress(project, signed_in(request))
        shown = counted if membership.may_act_as(Role.ADMIN) else queue.roughly(counted)
        return Response({**shown, "own_done": own["done"]})


class PolicyNumbersViewSet(mixins.ListModelMixin, GenericViewSet[PolicyVersion]):
    """The models so far; only their numbers, as where they lie is the server's business."""

    scopes = {"list": Scope.READ}
    serializer_class = PolicySerializer
    queryset = PolicyVersion.objects.none()

    def get_queryset(self) -> Any:
        return access.get_project(signed_in(self.request), self.kwargs["slug"]).policies.select_related("parent")


class RankingViewSet(mixins.ListModelMixin, GenericViewSet[Ranking]):
    """Rankings of the project. A reviewer does not get those of tasks that they may yet judge; an admin gets all."""

    scopes = {"list": Scope.READ}
    serializer_class = RankingSerializer
    queryset = Ranking.objects.none()

    def get_queryset(self) -> Any:
        project = access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.REVIEWER)
        found = Ranking.objects.filter(assignment__project=project).select_related("assignment__task")
        return access.seen_by(signed_in(self.request), project, found)


class UnaryViewSet(mixins.ListModelMixin, GenericViewSet[UnaryJudgment]):
    """Whether responses are good or bad. A reviewer gets none of tasks that they may yet judge; an admin gets all."""

    scopes = {"list": Scope.READ}
    serializer_class = UnarySerializer
    queryset = UnaryJudgment.objects.none()

    def get_queryset(self) -> Any:
        project = access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.REVIEWER)
        found = UnaryJudgment.objects.filter(assignment__project=project).select_related("assignment__task")
        return access.seen_by(signed_in(self.request), project, found)


class ReferenceViewSet(mixins.ListModelMixin, GenericViewSet[ReferenceAnswer]):
    """Written responses. A reviewer gets none of or in tasks that they may yet judge; an admin gets all."""

    scopes = {"list": Scope.READ}
    serializer_class = ReferenceSerializer
    queryset = ReferenceAnswer.objects.none()

    def get_queryset(self) -> Any:
        project = access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.REVIEWER)
        answers = ReferenceAnswer.objects.filter(assignment__project=project)
        answers = access.references_seen_by(signed_in(self.request), project, answers)
        return answers.select_related("assignment__task", "completion")


class QualityViewSet(ViewSet):
    """Agreement, bias and reliability of a project's rankings, as on the quality page."""

    scopes = {"list": Scope.READ}

    @extend_schema(
        responses={
            200: OpenApiTypes.OBJECT,
            202: OpenApiResponse(OpenApiTypes.OBJECT, "A worker computes them: ask again after `Retry-After` seconds."),
        }
    )
    def list(self, request: Request, slug: str) -> Response:
        project = access.get_project(signed_in(request), slug, role=Role.REVIEWER)
        figures = quality_figures.figures_of(project, to=access.blind_reader(signed_in(request), project))
        if figures is None:
            return Response({"computed_at": None}, status=202, headers={"Retry-After": "10"})
        return Response(figures)
