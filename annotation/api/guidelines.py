"""/api/v1/projects/<slug>/guidelines/: the newest version of the guidelines, and its acknowledgement."""

from __future__ import annotations

from typing import Any

from drf_spectacular.helpers import forced_singular_serializer
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from annotation import access
from annotation.actions import guidelines
from annotation.api.pagination import MAX_NUMBER
from annotation.api.projects import signed_in
from annotation.models import Membership, Scope


class GuidelinesSerializer(serializers.Serializer[Membership]):
    version = serializers.IntegerField(
        source="project.guidelines_number", help_text="0 while the project has had no guidelines."
    )
    text = serializers.CharField(source="project.guidelines", help_text="Markdown.")
    acknowledged = serializers.IntegerField(
        source="guidelines_read", help_text="The newest version that the caller has acknowledged; 0 for none."
    )


class AcknowledgedSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(
        min_value=1, max_value=MAX_NUMBER, help_text="The newest version, which the caller has read."
    )


class GuidelinesViewSet(ViewSet):
    """What annotators follow. A task is claimed only after its newest version is acknowledged."""

    scopes = {"list": Scope.READ, "acknowledge": Scope.ANNOTATE}

    @extend_schema(
        operation_id="projects_guidelines_retrieve",  # one object, no list
        responses=forced_singular_serializer(GuidelinesSerializer),  # type: ignore[no-untyped-call]
    )
    def list(self, request: Request, slug: str) -> Response:
        """Return the newest version of the guidelines."""
        return Response(GuidelinesSerializer(access.get_membership(signed_in(request), slug)).data)

    @extend_schema(
        request=AcknowledgedSerializer,
        responses={204: OpenApiResponse(description="Stored."), 409: OpenApiResponse(description="Not the newest.")},
    )
    @action(detail=False, methods=["post"])
    def acknowledge(self, request: Request, slug: str) -> Response:
        """Store that the caller has read the newest version."""
        membership = access.get_membership(signed_in(request), slug)
        sent = AcknowledgedSerializer(data=request.data)
        sent.is_valid(raise_exception=True)
        guidelines.acknowledge(membership=membership, number=sent.validated_data["version"])
        return Response(status=status.HTTP_204_NO_CONTENT)
