"""/api/v1/: invitations by link."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from annotation import access
from annotation.actions import invitations
from annotation.api.pagination import NUMBER
from annotation.api.projects import signed_in
from annotation.http import public_address
from annotation.models import Invitation, Role, Scope


class InvitationSerializer(serializers.ModelSerializer[Invitation]):
    class Meta:
        model = Invitation
        fields = ["id", "role", "note", "uses", "used", "expires_at", "created_at"]


class MadeInvitationSerializer(InvitationSerializer):
    link = serializers.CharField(help_text="Shown in this response only.")

    class Meta(InvitationSerializer.Meta):
        fields = [*InvitationSerializer.Meta.fields, "link"]


class MadeInvitationsSerializer(serializers.Serializer[Any]):
    invitations = MadeInvitationSerializer(many=True)


class InviteSerializer(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=Role.choices, default=Role.ANNOTATOR)
    days = serializers.IntegerField(min_value=1, max_value=365, default=14, help_text="Until it expires.")
    uses = serializers.IntegerField(min_value=1, max_value=1000, default=1, help_text="People who can join by one.")
    notes = serializers.ListField(
        child=serializers.CharField(max_length=200, allow_blank=True),
        default=[""],
        min_length=1,
        max_length=invitations.MOST_AT_ONCE,
        help_text="One link is created for each.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["role"] == Role.ADMIN and attrs["uses"] != 1:
            raise serializers.ValidationError({"uses": "An admin is invited by a link for one person."})
        return attrs


class InvitationViewSet(mixins.ListModelMixin, GenericViewSet[Invitation]):
    scopes = dict.fromkeys(["list", "create", "destroy"], Scope.MANAGE)
    serializer_class = InvitationSerializer
    queryset = Invitation.objects.none()
    lookup_value_regex = NUMBER

    def get_queryset(self) -> Any:
        project = access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.ADMIN)
        return project.invitations.open(timezone.now())

    @extend_schema(request=InviteSerializer, responses={201: MadeInvitationsSerializer})
    def create(self, request: Request, slug: str) -> Response:
        """Make one link for each note. The links stand in this answer only."""
        project = access.get_project(signed_in(request), slug, role=Role.ADMIN)
        asked = InviteSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted = asked.validated_data | {"role": Role(asked.validated_data["role"])}
        made = invitations.invite(project=project, by=signed_in(request), **wanted)
        links = [public_address(request, reverse("invitation", args=[key])) for _, key in made]
        rows = [InvitationSerializer(each).data | {"link": link} for (each, _), link in zip(made, links, strict=True)]
        return Response({"invitations": rows}, status=status.HTTP_201_CREATED)

    def destroy(self, request: Request, slug: str, pk: str) -> Response:
        found = access.get_invitation(signed_in(request), slug, int(pk))
        invitations.revoke(invitation=found, by=signed_in(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
