"""/api/v1/: rounds and their metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from annotation import access as annotation_access
from annotation.api.pagination import NUMBER, NewestFirst
from annotation.api.projects import signed_in
from annotation.models import Role, Scope
from training import access
from training.actions import rounds
from training.methods import METHODS
from training.methods.described import described_methods
from training.methods.plans import FULL_ROUND
from training.models import TrainingRound, TrainingRun
from training.reports import curves
from training.reports.forecasts import forecast


class RunSerializer(serializers.ModelSerializer[TrainingRun]):
    policy = serializers.IntegerField(
        source="policy.number", default=None, allow_null=True, help_text="The version that the run made."
    )
    snapshot = serializers.IntegerField(
        source="snapshot.number", default=None, allow_null=True, help_text="What the run trains on."
    )

    let_through_by = serializers.CharField(
        source="gate_overridden_by.username",
        default=None,
        allow_null=True,
        help_text="Who overrode the failed quality gate.",
    )

    let_through_at = serializers.DateTimeField(source="gate_overridden_at", read_only=True, allow_null=True)

    class Meta:
        model = TrainingRun
        fields = [
            "id",
            "method",
            "config",
            "status",
            "attempt",
            "executor",
            "resources",
            "progress_done",
            "progress_total",
            "progress_unit",
            "phase",
            "result",
            "error",
            "policy",
            "snapshot",
            "let_through_by",
            "let_through_at",
            "started_at",
            "finished_at",
        ]


class RoundSerializer(serializers.ModelSerializer[TrainingRound]):
    runs = RunSerializer(many=True)

    class Meta:
        model = TrainingRound
        fields = ["number", "status", "reason", "runs", "created_at", "finished_at"]


class MethodField(serializers.ChoiceField):
    """The name of a training method, of those that are installed."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=list(METHODS), **kwargs)


@extend_schema_field(described_methods())
class SettingsField(serializers.DictField):
    """Settings by method; the description of the API has each with its range and default."""


class PlanSerializer(serializers.Serializer[Any]):
    methods = serializers.ListField(
        child=MethodField(),
        default=list(FULL_ROUND),
        help_text="In the order in which they run.",
    )
    settings = SettingsField(
        child=serializers.DictField(),
        default=dict,
        help_text='{"ppo": {"episodes": 640}}: what differs from defaults.',
    )


class StartRoundSerializer(PlanSerializer):
    compute = serializers.DictField(
        child=serializers.DictField(),
        default=dict,
        help_text='{"ppo": {"executor": "slurm", "gpus": 1}}: what differs from the project; "" stands for all stages.',
    )


class ChangeSerializer(serializers.Serializer[Any]):
    setting = serializers.CharField()
    before = serializers.JSONField()
    now = serializers.JSONField()


class StageSerializer(serializers.Serializer[Any]):
    method = serializers.CharField()
    rows = serializers.IntegerField()
    unit = serializers.CharField()
    counts = serializers.DictField(child=serializers.IntegerField())
    problem = serializers.CharField(allow_blank=True, help_text="Why there is nothing to train on.")
    seconds = serializers.FloatField(allow_null=True, help_text="Null without an earlier run.")
    memory_mb = serializers.FloatField(allow_null=True)
    most_memory_mb = serializers.FloatField(
        allow_null=True, help_text="By the shape of the base model, with the longest texts that the settings allow."
    )
    does_not_fit = serializers.CharField(
        allow_blank=True, help_text="Why it would not fit on a machine like this one, and what would."
    )
    compared = serializers.IntegerField(help_text="Earlier runs that time and memory come from.")
    from_defaults = ChangeSerializer(many=True)
    from_round = serializers.IntegerField(allow_null=True, help_text="The last round that ran this method.")
    since = ChangeSerializer(many=True)


class ForecastSerializer(serializers.Serializer[Any]):
    refusal = serializers.CharField(allow_blank=True, help_text="Why the round cannot start.")
    warning = serializers.CharField(allow_blank=True, help_text="Why its quality gate would fail.")
    seconds = serializers.FloatField(allow_null=True)
    memory_mb = serializers.FloatField(allow_null=True)
    stages = StageSerializer(many=True)


class RoundViewSet(mixins.ListModelMixin, GenericViewSet[TrainingRound]):
    scopes = dict.fromkeys(["list", "retrieve", "metrics"], Scope.READ) | dict.fromkeys(
        ["create", "dry_run", "cancel", "go_on", "pause", "resume", "retry"], Scope.TRAIN
    )
    serializer_class = RoundSerializer
    pagination_class = NewestFirst
    queryset = TrainingRound.objects.none()
    lookup_field = "number"
    lookup_value_regex = NUMBER

    def get_queryset(self) -> Any:
        project = annotation_access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.REVIEWER)
        return project.rounds.prefetch_related("runs__policy", "runs__snapshot", "runs__gate_overridden_by")

    @extend_schema(request=StartRoundSerializer, responses={201: RoundSerializer})
    def create(self, request: Request, slug: str) -> Response:
        project = annotation_access.get_project(signed_in(request), slug, role=Role.ADMIN)
        wanted = StartRoundSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        started = rounds.start_round(project=project, by=signed_in(request), **wanted.validated_data)
        return Response(RoundSerializer(started).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=PlanSerializer, responses=ForecastSerializer)
    @action(detail=False, methods=["post"], url_path="dry-run", pagination_class=None)
    def dry_run(self, request: Request, slug: str) -> Response:
        """Return what a round would train on, its changes to the last one, its time and memory; nothing starts."""
        project = annotation_access.get_project(signed_in(request), slug, role=Role.ADMIN)
        wanted = PlanSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        return Response(ForecastSerializer(forecast(project=project, **wanted.validated_data)).data)

    def retrieve(self, request: Request, slug: str, number: str) -> Response:
        return Response(RoundSerializer(access.get_round(signed_in(request), slug, int(number))).data)

    def _moved(self, request: Request, slug: str, number: str, move: Callable[[TrainingRound], None]) -> Response:
        """Move a round as an admin of its project, and return it as it is then."""
        round = access.get_round(signed_in(request), slug, int(number), role=Role.ADMIN)
        move(round)
        round.refresh_from_db()
        return Response(RoundSerializer(round).data)

    @extend_schema(request=None, responses=RoundSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, slug: str, number: str) -> Response:
        return self._moved(request, slug, number, lambda round: rounds.cancel_round(round=round, by=signed_in(request)))

    @extend_schema(request=None, responses=RoundSerializer)
    @action(detail=True, methods=["post"], url_path="go-on")
    def go_on(self, request: Request, slug: str, number: str) -> Response:
        """Let a round that stopped at a gate run the rest."""
        return self._moved(request, slug, number, lambda round: rounds.go_on(round=round, by=signed_in(request)))

    @extend_schema(request=None, responses=RoundSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, slug: str, number: str) -> Response:
        """Stop the running stage within seconds, keeping its last state."""
        return self._moved(request, slug, number, lambda round: rounds.pause_round(round=round, by=signed_in(request)))

    @extend_schema(request=None, responses=RoundSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, slug: str, number: str) -> Response:
        """Continue a paused round."""
        return self._moved(request, slug, number, lambda round: rounds.resume_round(round=round))

    @extend_schema(request=None, responses=RoundSerializer)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, slug: str, number: str) -> Response:
        """Try a failed round again from the stage that failed."""
        return self._moved(request, slug, number, lambda round: rounds.retry_round(round=round))

    @extend_schema(responses={200: {"type": "object"}})
    @action(detail=True)
    def metrics(self, request: Request, slug: str, number: str) -> Response:
        return Response({"runs": curves.of_round(access.get_round(signed_in(request), slug, int(number)))})
