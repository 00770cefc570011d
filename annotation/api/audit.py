"""/api/v1/: what happened in a project, for its admins."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from annotation import access, audit
from annotation.api.pagination import NewestFirst
from annotation.api.projects import signed_in
from annotation.forms.audit import AuditFilterForm
from annotation.models import AuditAction, AuditEvent, Role, Scope


class AuditEventSerializer(serializers.ModelSerializer[AuditEvent]):
    actor_id = serializers.IntegerField(allow_null=True, help_text="Who acted; null: not signed in.")
    subject_id = serializers.IntegerField(allow_null=True, help_text="On whom.")

    class Meta:
        model = AuditEvent
        fields = ["id", "at", "action", "actor_id", "subject_id", "what", "detail", "address", "via"]


class AuditViewSet(mixins.ListModelMixin, GenericViewSet[AuditEvent]):
    scopes = {"list": Scope.MANAGE}
    serializer_class = AuditEventSerializer
    pagination_class = NewestFirst
    queryset = AuditEvent.objects.none()

    @extend_schema(
        parameters=[
            OpenApiParameter("action", enum=list(AuditAction.values)),
            OpenApiParameter("person", description="User name of who acted, or on whom."),
            OpenApiParameter("since", OpenApiTypes.DATE),
            OpenApiParameter("until", OpenApiTypes.DATE),
        ]
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002
        project = access.get_project(signed_in(request), self.kwargs["slug"], role=Role.ADMIN)
        form = AuditFilterForm(request.query_params)
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        page = self.paginate_queryset(audit.find(project=project, **form.cleaned_data))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)
