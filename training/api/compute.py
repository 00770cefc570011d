"""/api/v1/: where the stages of a project run."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from annotation import access
from annotation.api.projects import fields_of, signed_in
from annotation.models import Role, Scope
from training.actions.compute import ASKED, save_compute
from training.forms.compute import form_of_stage
from training.methods import METHODS
from training.models import StageCompute


class StageComputeSerializer(serializers.ModelSerializer[StageCompute]):
    method = serializers.CharField(
        required=False, allow_blank=True, help_text="A training method; empty or left out: all stages."
    )

    class Meta:
        model = StageCompute
        fields = ["method", *ASKED]


class ComputeViewSet(ViewSet):
    scopes = {"list": Scope.READ, "create": Scope.MANAGE}
    serializer_class = StageComputeSerializer

    # One object for the project: there are no pages of it.
    @extend_schema(operation_id="projects_compute_retrieve", responses=StageComputeSerializer(many=True))
    def list(self, request: Request, slug: str) -> Response:
        """Return what is set: executor and resources of all stages, and of single methods."""
        project = access.get_project(signed_in(request), slug, role=Role.ADMIN)
        return Response(StageComputeSerializer(project.compute.order_by("method"), many=True).data)

    @extend_schema(request=StageComputeSerializer, responses={200: StageComputeSerializer})
    def create(self, request: Request, slug: str) -> Response:
        """Set those of one method, or of all stages; what is left out stays as it is, null or "" unsets it."""
        project = access.get_project(signed_in(request), slug, role=Role.ADMIN)
        given: dict[str, Any] = dict(fields_of(request))
        method = "" if (asked := given.pop("method", None)) is None else asked
        if not isinstance(method, str) or (method and method not in METHODS):
            problem = {"method": [f"There is no method {method!r}; there are {', '.join(METHODS)}."]}
            return Response({"errors": problem}, status=status.HTTP_400_BAD_REQUEST)
        form = form_of_stage(project, method, given)
        if form.is_valid() and method and not form.cleaned_data.get("executor"):
            of_all = StageCompute.objects.filter(project=project, method="").first()
            form.refuse_what_is_not_taken(of_all.executor if of_all else "")
        if form.errors:
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        row = form.save(commit=False)
        save_compute(rows=[row], project=project, by=signed_in(request))
        return Response(StageComputeSerializer(row).data)
