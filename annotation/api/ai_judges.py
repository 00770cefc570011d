"""/api/v1/: AI judges, their versions and runs, and how far a version agrees with people."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from annotation import access
from annotation.actions import ai_judges
from annotation.api.pagination import NUMBER
from annotation.api.projects import fields_of, signed_in
from annotation.forms.ai_judges import AIJudgeForm, AIJudgeVersionForm, StartRunForm, TakeOverForm
from annotation.models import AIJudge, AIJudgeRun, AIJudgeVersion, Role, Scope
from annotation.models.ai_judge import MOST_PAIRS, VERSION_FIELDS
from annotation.quality.calibration import Calibration, calibration
from annotation.quality.figures import Figure
from annotation.quality.judge_trust import MARGIN, TrustedRow, rows_of
from annotation.quality.report import plain

OF_A_VERSION = f"versions/(?P<number>{NUMBER})"
OF_A_RUN = f"runs/(?P<run>{NUMBER})"


class AIJudgeVersionSerializer(serializers.ModelSerializer[AIJudgeVersion]):
    class Meta:
        model = AIJudgeVersion
        fields = ["id", "number", *VERSION_FIELDS, "created_at"]
        read_only_fields = ["number", "created_at"]
        extra_kwargs = {"server": {"help_text": "One that the operator lists in PREFLOOP_SERVERS."}}


class AIJudgeSerializer(serializers.ModelSerializer[AIJudge]):
    versions = AIJudgeVersionSerializer(many=True, read_only=True)

    class Meta:
        model = AIJudge
        fields = ["id", "name", "input_price", "output_price", "versions", "created_at"]


class NewAIJudgeSerializer(AIJudgeVersionSerializer):
    name = serializers.CharField(max_length=100)

    class Meta(AIJudgeVersionSerializer.Meta):
        fields = ["name", *VERSION_FIELDS]


class AIJudgeRunSerializer(serializers.ModelSerializer[AIJudgeRun]):
    version = serializers.IntegerField(source="version.number", read_only=True)
    pairs = serializers.IntegerField(source="judgments.count", read_only=True, help_text="Once they are chosen.")
    done = serializers.SerializerMethodField()

    class Meta:
        model = AIJudgeRun
        fields = ["id", "version", "status", "most_pairs", "planned", "pairs", "done", "error"]
        fields += ["takeover", "dimension", "value", "audit_share", "created_at", "finished_at"]
        fields += ["audit_of", "audit", "audited_at", "taken_back_at"]

    def get_done(self, run: AIJudgeRun) -> int:
        return run.judgments.exclude(settled_at=None).count()


class NewRunSerializer(serializers.Serializer[Any]):
    pairs = serializers.IntegerField(min_value=1, max_value=MOST_PAIRS)


class TakeOverSerializer(NewRunSerializer):
    audit_share = serializers.FloatField(
        min_value=0.01, max_value=1, help_text="Share of the tasks, drawn at random, that is left to people."
    )
    dimension = serializers.CharField(required=False, help_text="Of a slice of the calibration; left out: all pairs.")
    value = serializers.CharField(required=False)


class JudgeFigureSerializer(serializers.Serializer[Any]):
    value = serializers.FloatField(allow_null=True)
    ci95 = serializers.ListField(child=serializers.FloatField(), allow_null=True)
    n = serializers.IntegerField()
    reason = serializers.CharField(help_text="Why there is no value.")


class AgreementsSerializer(serializers.Serializer[Any]):
    pairs = serializers.IntegerField()
    prompts = serializers.IntegerField()
    people_prompts = serializers.IntegerField(help_text="Prompts of the pairs that two people judged.")
    agreement = JudgeFigureSerializer()
    kappa = JudgeFigureSerializer()
    tau = JudgeFigureSerializer()
    people_agreement = JudgeFigureSerializer()
    people_kappa = JudgeFigureSerializer()
    people_tau = JudgeFigureSerializer()
    difference = JudgeFigureSerializer(help_text="The judge's agreement less people's, where two people judged.")
    reliable = serializers.BooleanField(help_text="Whether it is not worse than people by more than the margin.")
    reason = serializers.CharField(help_text="Why it is reliable, or not.")


class SliceAgreementsSerializer(AgreementsSerializer):
    dimension = serializers.CharField()
    value = serializers.CharField()


class CalibrationSerializer(serializers.Serializer[Any]):
    overall = AgreementsSerializer()
    slices = SliceAgreementsSerializer(many=True)
    margin = serializers.FloatField(help_text="Of agreement that a reliable judge may lack.")
    position_excess = JudgeFigureSerializer()
    position_verdict = serializers.CharField()
    order_disagreement = JudgeFigureSerializer()
    longer_wins = JudgeFigureSerializer()
    people_longer_wins = JudgeFigureSerializer()
    ties = JudgeFigureSerializer()
    people_ties = JudgeFigureSerializer()
    self_consistency = JudgeFigureSerializer()
    settled = serializers.IntegerField()
    unusable = serializers.DictField(child=serializers.IntegerField(), help_text="Pairs by why they have no verdict.")
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cost = serializers.FloatField(allow_null=True)
    cost_per_thousand = serializers.FloatField(allow_null=True)


class AIJudgeViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[AIJudge]):
    """For admins. What a judge says is never among people's annotations."""

    scopes = dict.fromkeys(["list", "retrieve", "calibration", "run"], Scope.READ) | dict.fromkeys(
        ["create", "versions", "runs", "take_over", "cancel", "resume"], Scope.MANAGE
    )
    serializer_class = AIJudgeSerializer
    queryset = AIJudge.objects.none()
    lookup_value_regex = NUMBER

    def get_queryset(self) -> Any:
        project = access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.ADMIN)
        return project.ai_judges.prefetch_related("versions")

    @extend_schema(request=NewAIJudgeSerializer, responses={201: AIJudgeSerializer})
    def create(self, request: Request, slug: str) -> Response:
        """Make a judge with its first version."""
        project = access.get_project(signed_in(request), slug, role=Role.ADMIN)
        form = AIJudgeForm(_with_defaults(request))
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        made = ai_judges.make_judge(project=project, by=signed_in(request), **form.cleaned_data)
        return Response(AIJudgeSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=AIJudgeVersionSerializer, responses={201: AIJudgeVersionSerializer})
    @action(detail=True, methods=["post"])
    def versions(self, request: Request, slug: str, pk: str) -> Response:
        """Save a version. The same as the newest makes no new one."""
        judge = access.get_judge(signed_in(request), slug, int(pk))
        form = AIJudgeVersionForm(_with_defaults(request))
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        saved = ai_judges.save_version(judge=judge, by=signed_in(request), **form.cleaned_data)
        return Response(AIJudgeVersionSerializer(saved).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses=CalibrationSerializer)
    @action(detail=True, url_path=f"{OF_A_VERSION}/calibration")
    def calibration(self, request: Request, slug: str, pk: str, number: str) -> Response:
        """Return how far a version agrees with people, by slice, with its biases and costs."""
        version = access.get_judge_version(signed_in(request), slug, int(pk), int(number))
        return Response(as_json(calibration(version)))

    @extend_schema(request=NewRunSerializer, responses={202: AIJudgeRunSerializer})
    @action(detail=True, methods=["post"], url_path=f"{OF_A_VERSION}/runs")
    def runs(self, request: Request, slug: str, pk: str, number: str) -> Response:
        """Have a worker let a version judge pairs that people judged."""
        version = access.get_judge_version(signed_in(request), slug, int(pk), int(number))
        form = StartRunForm(fields_of(request))
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        run = ai_judges.start_run(version=version, by=signed_in(request), **form.cleaned_data)
        return Response(AIJudgeRunSerializer(run).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=TakeOverSerializer, responses={202: AIJudgeRunSerializer})
    @action(detail=True, methods=["post"], url_path=f"{OF_A_VERSION}/take-over")
    def take_over(self, request: Request, slug: str, pk: str, number: str) -> Response:
        """Have a worker let a version judge pairs that nobody has judged, of a slice on which it is reliable."""
        version = access.get_judge_version(signed_in(request), slug, int(pk), int(number))
        form = TakeOverForm(fields_of(request))
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        run = ai_judges.take_over(version=version, by=signed_in(request), **form.cleaned_data)
        return Response(AIJudgeRunSerializer(run).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(responses=AIJudgeRunSerializer)
    @action(detail=True, url_path=OF_A_RUN)
    def run(self, request: Request, slug: str, pk: str, run: str) -> Response:
        """Return how far a run is."""
        return Response(AIJudgeRunSerializer(access.get_judge_run(signed_in(request), slug, int(pk), int(run))).data)

    @extend_schema(request=None, responses=AIJudgeRunSerializer)
    @action(detail=True, methods=["post"], url_path=f"{OF_A_RUN}/cancel")
    def cancel(self, request: Request, slug: str, pk: str, run: str) -> Response:
        """Stop a run; what it has judged stays."""
        found = access.get_judge_run(signed_in(request), slug, int(pk), int(run))
        ai_judges.cancel(run=found, by=signed_in(request))
        found.refresh_from_db()
        return Response(AIJudgeRunSerializer(found).data)

    @extend_schema(request=None, responses=AIJudgeRunSerializer)
    @action(detail=True, methods=["post"], url_path=f"{OF_A_RUN}/resume")
    def resume(self, request: Request, slug: str, pk: str, run: str) -> Response:
        """Let a run that failed or was stopped go on."""
        found = access.get_judge_run(signed_in(request), slug, int(pk), int(run))
        ai_judges.resume(run=found, by=signed_in(request))
        found.refresh_from_db()
        return Response(AIJudgeRunSerializer(found).data)


def _with_defaults(request: Request) -> dict[str, Any]:
    return {"temperature": 0, "max_tokens": 1024, **fields_of(request)}


def as_json(found: Calibration) -> dict[str, Any]:
    """Return the figures of a version as the API gives them."""
    given = {each.name: getattr(found, each.name) for each in fields(found) if each.name != "taken_back"}
    given = {name: plain(value) if isinstance(value, Figure) else value for name, value in given.items()}
    overall, *slices = rows_of(found)
    return given | {
        "overall": _agreements(overall),
        "slices": [{"dimension": row.dimension, "value": row.value, **_agreements(row)} for row in slices],
        "margin": MARGIN,
        "unusable": dict(found.unusable),
    }


def _agreements(row: TrustedRow) -> dict[str, Any]:
    given = {each.name: getattr(row.figures, each.name) for each in fields(row.figures)}
    shown = {name: plain(value) if isinstance(value, Figure) else value for name, value in given.items()}
    return {**shown, "reliable": row.trust.may, "reason": row.trust.why}
