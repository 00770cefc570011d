"""/api/v1/: webhooks of a project and their deliveries."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from annotation import access
from annotation.api.pagination import NUMBER, NewestFirst
from annotation.api.projects import fields_of, signed_in
from annotation.delivery import webhooks
from annotation.forms.access import WebhookForm
from annotation.models import Delivery, DeliveryStatus, Event, Role, Scope, Webhook

EVENTS = [event.value for event in Event if event != Event.TEST]


class WebhookSerializer(serializers.ModelSerializer[Webhook]):
    """Without its secret, which only the answer to its making and its page show."""

    events = serializers.SerializerMethodField()

    class Meta:
        model = Webhook
        fields = ["id", "url", "events", "created_at"]

    @extend_schema(responses=serializers.ListField(child=serializers.ChoiceField(choices=EVENTS)))
    def get_events(self, webhook: Webhook) -> list[str]:
        return webhook.event_names


class NewWebhookSerializer(WebhookSerializer):
    class Meta(WebhookSerializer.Meta):
        fields = [*WebhookSerializer.Meta.fields, "secret"]


class AddWebhookSerializer(serializers.Serializer[Any]):
    url = serializers.URLField(max_length=500)
    events = serializers.ListField(child=serializers.ChoiceField(choices=EVENTS), min_length=1)
    secret = serializers.CharField(required=False, allow_blank=True, help_text="Left out: one is made.")


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    message_id = serializers.CharField(read_only=True, help_text="Its header webhook-id.")
    status = serializers.ChoiceField(choices=DeliveryStatus.choices)

    class Meta:
        model = Delivery
        fields = [
            "id",
            "message_id",
            "event",
            "body",
            "status",
            "attempts",
            "next_attempt_at",
            "last_status",
            "last_answer",
            "finished_at",
            "created_at",
        ]


class WebhookViewSet(mixins.ListModelMixin, GenericViewSet[Webhook]):
    scopes = {"list": Scope.READ} | dict.fromkeys(["create", "destroy", "test"], Scope.MANAGE)
    serializer_class = WebhookSerializer
    queryset = Webhook.objects.none()
    lookup_value_regex = NUMBER

    def get_queryset(self) -> Any:
        return access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.ADMIN).webhooks.all()

    @extend_schema(request=AddWebhookSerializer, responses={201: NewWebhookSerializer})
    def create(self, request: Request, slug: str) -> Response:
        """Add an address. The answer has the secret that signs what it is sent."""
        project = access.get_project(signed_in(request), slug, role=Role.ADMIN)
        form = WebhookForm(fields_of(request))
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        added = webhooks.add_webhook(project=project, by=signed_in(request), **form.cleaned_data)
        return Response(NewWebhookSerializer(added).data, status=status.HTTP_201_CREATED)

    def destroy(self, request: Request, slug: str, pk: str) -> Response:
        webhook = access.get_webhook(signed_in(request), slug, int(pk))
        webhooks.remove_webhook(webhook=webhook, by=signed_in(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses={202: DeliverySerializer})
    @action(detail=True, methods=["post"])
    def test(self, request: Request, slug: str, pk: str) -> Response:
        webhook = access.get_webhook(signed_in(request), slug, int(pk))
        delivery = webhooks.send_test(webhook=webhook, by=signed_in(request))
        return Response(DeliverySerializer(delivery).data, status=status.HTTP_202_ACCEPTED)


class DeliveryViewSet(mixins.ListModelMixin, GenericViewSet[Delivery]):
    scopes = {"list": Scope.READ, "again": Scope.MANAGE}
    serializer_class = DeliverySerializer
    pagination_class = NewestFirst
    queryset = Delivery.objects.none()
    lookup_value_regex = NUMBER

    def get_queryset(self) -> Any:
        webhook = int(self.kwargs["webhook"])
        return access.get_webhook(signed_in(self.request), self.kwargs["slug"], webhook).deliveries.all()

    @extend_schema(request=None, responses={202: DeliverySerializer})
    @action(detail=True, methods=["post"])
    def again(self, request: Request, slug: str, webhook: str, pk: str) -> Response:
        """Send it once more, now."""
        delivery = access.get_delivery(signed_in(request), slug, int(webhook), int(pk))
        webhooks.send_again(delivery=delivery)
        delivery.refresh_from_db()
        return Response(DeliverySerializer(delivery).data, status=status.HTTP_202_ACCEPTED)
