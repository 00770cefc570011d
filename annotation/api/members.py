"""/api/v1/: who is in a project, and as what."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from annotation import access
from annotation.actions import projects
from annotation.api.projects import fields_of, signed_in
from annotation.forms.projects import MemberForm
from annotation.models import Membership, Role, Scope


class MemberSerializer(serializers.ModelSerializer[Membership]):
    username = serializers.CharField(source="user.username")
    annotator_id = serializers.IntegerField(source="user_id", read_only=True, help_text="As in annotations.")

    role = serializers.ChoiceField(choices=Role.choices)

    class Meta:
        model = Membership
        fields = ["username", "annotator_id", "role"]


class MemberViewSet(mixins.ListModelMixin, GenericViewSet[Membership]):
    scopes = {"list": Scope.READ, "create": Scope.MANAGE}
    serializer_class = MemberSerializer
    queryset = Membership.objects.none()

    def get_queryset(self) -> Any:
        project = access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.ADMIN)
        return project.memberships.select_related("user")

    @extend_schema(responses={200: MemberSerializer})
    def create(self, request: Request, slug: str) -> Response:
        """Add a user who has an account, or change a member's role."""
        project = access.get_project(signed_in(request), slug, role=Role.ADMIN)
        form = MemberForm(fields_of(request))
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        user, role = form.cleaned_data["username"], Role(form.cleaned_data["role"])
        member = projects.set_member(project=project, user=user, role=role, by=signed_in(request))
        return Response(MemberSerializer(member).data)
