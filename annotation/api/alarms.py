"""/api/v1/: alarms of a project."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from annotation import access, pseudonyms
from annotation.actions import alarms
from annotation.api.pagination import NUMBER, NewestFirst
from annotation.api.projects import fields_of, signed_in
from annotation.forms.projects import AlarmForm
from annotation.models import Alarm, Role, Scope


class AlarmSerializer(serializers.ModelSerializer[Alarm]):
    raised_by = serializers.SerializerMethodField(help_text="The user name for admins, a pseudonym for others.")
    settled_by = serializers.CharField(source="settled_by.username", read_only=True, allow_null=True, default=None)

    class Meta:
        model = Alarm
        fields = ["id", "note", "raised_by", "created_at", "settled_by", "settled_at"]
        read_only_fields = ["settled_at"]

    def get_raised_by(self, alarm: Alarm) -> str:
        return pseudonyms.known_as(alarm.project_id, alarm.raised_by)


class AlarmViewSet(mixins.ListModelMixin, GenericViewSet[Alarm]):
    scopes = {"list": Scope.READ, "create": Scope.ANNOTATE, "settle": Scope.MANAGE}
    serializer_class = AlarmSerializer
    pagination_class = NewestFirst
    queryset = Alarm.objects.none()
    lookup_value_regex = NUMBER

    def get_queryset(self) -> Any:
        project = access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.REVIEWER)
        return project.alarms.select_related("raised_by", "settled_by")

    @extend_schema(responses={201: AlarmSerializer})
    def create(self, request: Request, slug: str) -> Response:
        """Raise an alarm: nothing is sampled until an admin has settled it."""
        project = access.get_project(signed_in(request), slug)
        form = AlarmForm(fields_of(request))
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        raised = alarms.raise_alarm(project=project, note=form.cleaned_data["note"], by=signed_in(request))
        return Response(AlarmSerializer(raised).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def settle(self, request: Request, slug: str, pk: str) -> Response:
        """Settle an alarm: rounds may sample again."""
        alarms.settle(alarm=access.get_alarm(signed_in(request), slug, int(pk)), by=signed_in(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
