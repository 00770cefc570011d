"""/api/v1/: what rounds cost."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from annotation import access
from annotation.api.projects import signed_in
from annotation.models import Role, Scope
from training.reports.costs import RoundCost, per_point, round_costs


class RoundCostSerializer(serializers.Serializer[RoundCost]):
    round = serializers.IntegerField(source="round.number")
    methods = serializers.CharField()
    judgments = serializers.IntegerField(help_text="New since the previous training round.")
    annotator_minutes = serializers.FloatField()
    machine_seconds = serializers.FloatField(help_text="Wall-clock time of its runs.")
    processor_seconds = serializers.FloatField(help_text="Of the attempts that finished, as far as runs say.")
    gpu_seconds = serializers.FloatField(help_text="The same, of all GPUs together.")
    tokens = serializers.IntegerField(help_text="Tokens of generated responses that were stored.")
    disk_bytes = serializers.IntegerField()
    policy = serializers.CharField(allow_blank=True)
    win_rate = serializers.SerializerMethodField(help_text="Of its new version, against an older one.")
    annotator_minutes_per_point = serializers.SerializerMethodField()

    def get_win_rate(self, cost: RoundCost) -> float | None:
        return cost.win_rate.value if cost.win_rate else None

    def get_annotator_minutes_per_point(self, cost: RoundCost) -> float | None:
        return per_point(cost.annotator_minutes, cost.points)


@extend_schema_serializer(many=False)
class CostsSerializer(serializers.Serializer[Any]):
    rounds = RoundCostSerializer(many=True)


class CostViewSet(ViewSet):
    scopes = {"list": Scope.READ}
    serializer_class = CostsSerializer

    @extend_schema(operation_id="projects_costs_retrieve", responses=CostsSerializer)
    def list(self, request: Request, slug: str) -> Response:
        """Return what each round cost, newest first."""
        project = access.get_project(signed_in(request), slug, role=Role.REVIEWER)
        rounds = round_costs(project, to=access.blind_reader(signed_in(request), project))
        return Response(CostsSerializer({"rounds": rounds}).data)
