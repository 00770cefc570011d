"""/api/v1/: proposed tasks with where they came from, and the pool of those that people accepted."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from annotation import access
from annotation.api.pagination import NUMBER
from annotation.api.projects import signed_in
from annotation.exports.pool import items, pooled, reviewed
from annotation.models import Proposal, RejectReason, Role, Scope, Verdict
from annotation.uploads import takes_uploads

UNREVIEWED = "none"


class ProposalSerializer(serializers.ModelSerializer[Proposal]):
    origin = serializers.CharField(source="batch.origin", help_text="The run or the file that it came from.")
    author = serializers.CharField(source="batch.author")
    sampling = serializers.JSONField(source="batch.sampling")
    verdict = serializers.ChoiceField(choices=Verdict.choices, allow_null=True, read_only=True)
    reason = serializers.ChoiceField(choices=RejectReason.choices, allow_null=True, allow_blank=True, read_only=True)

    class Meta:
        model = Proposal
        fields = [
            "id",
            "instruction",
            "input",
            "output",
            "origin",
            "author",
            "sampling",
            "prompt",
            "examples",
            "refused_by",
            "similar",
            "similarity",
            "near_duplicate",
            "verdict",
            "reason",
            "created_at",
        ]


class PoolSerializer(serializers.Serializer[Any]):
    """The task as people left it."""

    proposal_id = serializers.IntegerField(source="proposal.pk")
    instruction = serializers.CharField()
    input = serializers.CharField(allow_blank=True)
    output = serializers.CharField()
    edited = serializers.BooleanField()
    author = serializers.CharField(source="proposal.batch.author")
    annotator_id = serializers.IntegerField(source="review.assignment.annotator_id")
    reviewed_at = serializers.DateTimeField(source="review.created_at")


@takes_uploads
class ProposalViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[Proposal]):
    scopes = {"list": Scope.READ, "retrieve": Scope.READ}
    serializer_class = ProposalSerializer
    queryset = Proposal.objects.none()
    lookup_value_regex = NUMBER

    def get_queryset(self) -> Any:
        project = access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.REVIEWER)
        return reviewed(project).select_related("batch__policy")

    def filter_queryset(self, queryset: Any) -> Any:
        wanted = self.request.query_params.get("verdict", "")
        if wanted and wanted not in (*Verdict.values, UNREVIEWED):
            known = ", ".join([*Verdict.values, UNREVIEWED])
            raise ValidationError({"verdict": f"Should be one of {known}."})
        if wanted:
            queryset = queryset.filter(verdict=None if wanted == UNREVIEWED else wanted)
        return super().filter_queryset(queryset)

    @extend_schema(parameters=[OpenApiParameter("verdict", OpenApiTypes.STR, enum=[*Verdict.values, UNREVIEWED])])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return all proposals, including those that a check refused; `verdict` filters by the reviewers' verdict."""
        return super().list(request, *args, **kwargs)


class PoolViewSet(mixins.ListModelMixin, GenericViewSet[Proposal]):
    """The accepted tasks, with people's changes. A snapshot of the type instruction freezes them."""

    scopes = {"list": Scope.DATA}
    serializer_class = PoolSerializer
    queryset = Proposal.objects.none()

    def get_queryset(self) -> Any:
        return pooled(access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.REVIEWER))

    def paginate_queryset(self, queryset: Any) -> Any:
        return list(items(super().paginate_queryset(queryset) or []))
