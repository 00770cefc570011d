"""/api/v1/: the playground. Ask, then read the exchange again until its replies are written."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from annotation import access as annotation_access
from annotation.api.pagination import NUMBER, NewestFirst
from annotation.api.projects import fields_of, signed_in
from annotation.models import Role, Scope
from training import access
from training.actions import playground
from training.forms.playground import MOST_CHARACTERS, AskForm
from training.models import Exchange, Outcome, Reply


class ReplySerializer(serializers.ModelSerializer[Reply]):
    version = serializers.SerializerMethodField(help_text="Null while two are compared blind.")

    class Meta:
        model = Reply
        fields = ["side", "version", "status", "text", "tokens", "seconds", "finished", "error"]

    def to_representation(self, instance: Reply) -> dict[str, Any]:
        """Return a reply; while two are compared blind, without length, time and stop, which tell versions apart."""
        shown: dict[str, Any] = super().to_representation(instance)
        return shown | dict.fromkeys(("tokens", "seconds", "finished")) if instance.exchange.is_blind else shown

    def get_version(self, reply: Reply) -> int | None:
        return None if reply.exchange.is_blind else reply.policy.number


class ExchangeSerializer(serializers.ModelSerializer[Exchange]):
    replies = ReplySerializer(many=True)

    class Meta:
        model = Exchange
        fields = ["id", "messages", "max_new_tokens", "temperature", "replies", "outcome", "created_at"]


class AskSerializer(serializers.Serializer[Any]):
    question = serializers.CharField(max_length=MOST_CHARACTERS)
    version = serializers.CharField(help_text="Number of a version.")
    against = serializers.CharField(required=False, help_text="Another version for a blind comparison.")
    max_new_tokens = serializers.IntegerField(default=96, min_value=1, max_value=4096)
    temperature = serializers.FloatField(default=0.9, min_value=0.01, max_value=5)


class JudgeSerializer(serializers.Serializer[Any]):
    outcome = serializers.ChoiceField(choices=Outcome.choices)


class ExchangeViewSet(mixins.ListModelMixin, GenericViewSet[Exchange]):
    """The user's own exchanges; those of others are not visible."""

    scopes = {"list": Scope.READ, "retrieve": Scope.READ, "create": Scope.ANNOTATE, "judge": Scope.ANNOTATE}
    serializer_class = ExchangeSerializer
    pagination_class = NewestFirst
    queryset = Exchange.objects.none()
    lookup_value_regex = NUMBER

    def get_queryset(self) -> Any:
        user = signed_in(self.request)
        project = annotation_access.get_project(user, self.kwargs["slug"], role=Role.REVIEWER)
        own = project.exchanges.filter(asked_by_id=user.pk).select_related("left", "right")
        return own.prefetch_related("replies__exchange__left", "replies__exchange__right")

    def retrieve(self, request: Request, slug: str, pk: str) -> Response:
        return Response(ExchangeSerializer(access.get_exchange(signed_in(request), slug, int(pk))).data)

    @extend_schema(request=AskSerializer, responses={201: ExchangeSerializer})
    def create(self, request: Request, slug: str) -> Response:
        """Ask one version, or two blind; the replies are written meanwhile."""
        project = annotation_access.get_project(signed_in(request), slug, role=Role.REVIEWER)
        form = AskForm(project, {"max_new_tokens": 96, "temperature": 0.9, **fields_of(request)})
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        exchange = playground.ask(project=project, by=signed_in(request), **form.asked())
        return Response(ExchangeSerializer(exchange).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=JudgeSerializer, responses=ExchangeSerializer)
    @action(detail=True, methods=["post"])
    def judge(self, request: Request, slug: str, pk: str) -> Response:
        """Store which of two replies is better as a judgment; the versions are shown afterwards."""
        exchange = access.get_exchange(signed_in(request), slug, int(pk))
        given = JudgeSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        playground.judge(exchange=exchange, outcome=Outcome(given.validated_data["outcome"]), by=signed_in(request))
        return Response(ExchangeSerializer(access.get_exchange(signed_in(request), slug, int(pk))).data)
