"""/api/v1/: the policy's versions, and which of them is in use."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.pagination import NUMBER
from annotation.api.projects import PolicyNumbersViewSet, PolicySerializer, signed_in
from annotation.models import PolicyVersion, Role, Scope
from training import access
from training.actions import policies
from training.products.promotions import current_policy
from training.reports.lineage import made_by, snapshots_behind


class PolicyDetailSerializer(PolicySerializer):
    in_use = serializers.SerializerMethodField(help_text="Rounds start from it.")
    method = serializers.SerializerMethodField(help_text="Metrics of the run that made it; null for the base model.")
    round = serializers.SerializerMethodField()
    snapshots = serializers.SerializerMethodField(help_text="Numbers of those that it was trained on.")

    class Meta(PolicySerializer.Meta):
        fields = [*PolicySerializer.Meta.fields, "in_use", "method", "round", "snapshots"]

    def get_in_use(self, policy: PolicyVersion) -> bool:
        return current_policy(policy.project_id) == policy

    def get_method(self, policy: PolicyVersion) -> str | None:
        run = made_by(policy)
        return run.method if run else None

    def get_round(self, policy: PolicyVersion) -> int | None:
        run = made_by(policy)
        return run.round.number if run else None

    def get_snapshots(self, policy: PolicyVersion) -> list[int]:
        return [snapshot.number for snapshot in snapshots_behind(policy)]


class PromoteSerializer(serializers.Serializer[Any]):
    why = serializers.CharField(required=False, allow_blank=True, max_length=500)


class PolicyViewSet(PolicyNumbersViewSet):
    """The models so far; only their numbers, as where they lie is the server's business."""

    scopes = {"list": Scope.READ, "retrieve": Scope.READ, "promote": Scope.MANAGE}
    lookup_field = "number"
    lookup_value_regex = NUMBER

    @extend_schema(responses=PolicyDetailSerializer)
    def retrieve(self, request: Request, slug: str, number: str) -> Response:
        """Return a version with its lineage."""
        found, _ = access.get_policy(signed_in(request), slug, int(number))
        return Response(PolicyDetailSerializer(found).data)

    @extend_schema(request=PromoteSerializer, responses=PolicyDetailSerializer)
    @action(detail=True, methods=["post"])
    def promote(self, request: Request, slug: str, number: str) -> Response:
        """Put it into use: the next round starts from it. An older version rolls back."""
        found, _ = access.get_policy(signed_in(request), slug, int(number), role=Role.ADMIN)
        given = PromoteSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        policies.promote(policy=found, by=signed_in(request), why=given.validated_data.get("why", ""))
        return Response(PolicyDetailSerializer(found).data)
