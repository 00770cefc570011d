"""/api/v1/: the autopilot of a project."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from annotation import access
from annotation.api.pagination import MAX_NUMBER
from annotation.api.projects import fields_of, signed_in
from annotation.models import Role, Scope
from training.actions import autopilot as actions
from training.forms.autopilot import AutopilotForm
from training.models import Autopilot

FIELDS = ["enabled", "every_judgments", "every_days", "plan", "preset", "like", "max_queue_hours"]


@extend_schema_serializer(many=False)
class AutopilotSerializer(serializers.ModelSerializer[Autopilot]):
    like = serializers.IntegerField(
        source="like.number",
        allow_null=True,
        required=False,
        min_value=1,
        max_value=MAX_NUMBER,
        help_text="Number of the round whose settings are used; null: none, those of the preset.",
    )
    new_judgments = serializers.IntegerField(read_only=True, help_text="Since the last training round.")
    queue_hours = serializers.FloatField(read_only=True, help_text="Annotator hours that the open tasks need.")

    class Meta:
        model = Autopilot
        fields = [*FIELDS, "said", "new_judgments", "queue_hours"]
        read_only_fields = ["said"]


class AutopilotViewSet(ViewSet):
    scopes = {"list": Scope.READ, "create": Scope.MANAGE}
    serializer_class = AutopilotSerializer

    @extend_schema(operation_id="projects_autopilot_retrieve", responses=AutopilotSerializer)
    def list(self, request: Request, slug: str) -> Response:
        """Return the autopilot's settings, its last decision and the facts that it decides by."""
        project = access.get_project(signed_in(request), slug, role=Role.ADMIN)
        pilot = Autopilot.objects.filter(project=project).first() or Autopilot(project=project)
        return Response(_shown(pilot))

    @extend_schema(request=AutopilotSerializer, responses={200: AutopilotSerializer})
    def create(self, request: Request, slug: str) -> Response:
        """Set it; what is left out stays as it is."""
        project = access.get_project(signed_in(request), slug, role=Role.ADMIN)
        pilot = Autopilot.objects.filter(project=project).first() or Autopilot(project=project)
        as_it_is = {**{name: getattr(pilot, name) for name in FIELDS}, "like": pilot.like and pilot.like.number}
        form = AutopilotForm({**as_it_is, **fields_of(request)}, instance=pilot)
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        actions.save(pilot=form.save(commit=False), by=signed_in(request))
        return Response(_shown(pilot))


def _shown(pilot: Autopilot) -> dict[str, Any]:
    facts = actions.facts_of(pilot, timezone.now())
    shown = AutopilotSerializer(pilot).data
    return {**shown, "new_judgments": facts.new_judgments, "queue_hours": round(facts.queue_hours, 3)}
