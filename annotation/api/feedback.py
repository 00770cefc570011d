"""/api/v1/: feedback of end users, as a product sends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from annotation import access
from annotation.actions import feedback, feedback_erasure, feedback_tasks
from annotation.actions.feedback import MOST_AT_ONCE, FeedbackOutcome
from annotation.actions.feedback_tasks import FeedbackTask
from annotation.api.pagination import NewestFirst
from annotation.api.projects import fields_of, signed_in
from annotation.forms.feedback import MAX_PRIORITY, MOST_IDS, SIGNALS, EndUserForm, FeedbackFilterForm
from annotation.imports.feedback import (
    MAX_COMMENT_LENGTH,
    MAX_ID,
    MAX_KEY_LENGTH,
    MAX_SCORE,
    MAX_USER_LENGTH,
    MAX_VERSION_LENGTH,
    SERVED_ID,
    FeedbackRow,
    InvalidFeedback,
    feedback_row,
)
from annotation.masking import KINDS
from annotation.models import Feedback, FeedbackChange, Preferred, Project, Role, Scope, Thumb

MESSAGE = {
    "type": "object",
    "properties": {"role": {"type": "string", "enum": ["system", "user", "assistant"]}, "content": {"type": "string"}},
    "required": ["role", "content"],
}


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "array", "items": MESSAGE}], "nullable": True})
class PromptField(serializers.JSONField):
    pass


@extend_schema_field(
    {
        "oneOf": [
            {"type": "integer", "minimum": 1, "maximum": MAX_ID - 1},
            {"type": "string", "pattern": f"^{SERVED_ID.pattern}$"},
        ],
        "nullable": True,
    }
)
class ResponseIdField(serializers.JSONField):
    pass


class SentFeedbackSerializer(serializers.Serializer[Any]):
    """A response with what an end user said of it: at least one of thumb, score, chosen, edit and comment.

    Feedback with a key that is stored updates it: fields that are left out stay, null clears one.
    """

    key = serializers.CharField(
        max_length=MAX_KEY_LENGTH,
        help_text="Your name for this feedback, such as a UUID. Sent again it changes nothing.",
    )
    prompt = PromptField(required=False, help_text="A text, or the messages of the conversation, a user message last.")
    response = serializers.CharField(required=False, allow_null=True, help_text="The text that the end user saw.")
    response_id = ResponseIdField(
        required=False,
        allow_null=True,
        help_text="In place of prompt and response: the ID of a response of the project, or the id that a served "
        "policy gave with it.",
    )
    thumb = serializers.ChoiceField(choices=Thumb.choices, required=False, allow_null=True)
    score = serializers.FloatField(required=False, allow_null=True, min_value=-MAX_SCORE, max_value=MAX_SCORE)
    score_range = serializers.ListField(
        child=serializers.FloatField(min_value=-MAX_SCORE, max_value=MAX_SCORE),
        min_length=2,
        max_length=2,
        required=False,
        allow_null=True,
        help_text="The lowest and the highest score there is: a score outside is refused.",
    )
    alternative = serializers.CharField(required=False, help_text="The other response of two.")
    chosen = serializers.ChoiceField(
        choices=Preferred.choices, required=False, help_text="Which of the two the end user chose."
    )
    edit = serializers.CharField(required=False, allow_null=True, help_text="The response as the end user changed it.")
    comment = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=MAX_COMMENT_LENGTH)
    user = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=MAX_USER_LENGTH,
        help_text="A hash that stands for the end user; never their name or address.",
    )
    version = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=MAX_VERSION_LENGTH,
        help_text="Of the model; that of the response where it is given by its ID.",
    )
    metadata = serializers.DictField(
        required=False, allow_null=True, help_text="What else your product knows: up to 4,000 characters of JSON."
    )


class OutcomeSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    status = serializers.ChoiceField(choices=[feedback.CREATED, feedback.UPDATED, feedback.UNCHANGED])
    id = serializers.IntegerField()
    masked = serializers.DictField(
        child=serializers.IntegerField(), help_text=f"How often each was masked in its texts: {', '.join(KINDS)}."
    )


class SentBatchSerializer(serializers.Serializer[Any]):
    feedback = serializers.ListField(child=SentFeedbackSerializer(), min_length=1, max_length=MOST_AT_ONCE)


class BatchOutcomeSerializer(serializers.Serializer[Any]):
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    masked = serializers.DictField(child=serializers.IntegerField(), help_text="What was masked in all of them.")


class FeedbackChangeSerializer(serializers.ModelSerializer[FeedbackChange]):
    class Meta:
        model = FeedbackChange
        fields = ["number", "before", "created_at"]


class FeedbackSerializer(serializers.ModelSerializer[Feedback]):
    response_id = serializers.IntegerField(source="completion_id")
    response = serializers.CharField(source="completion.text")
    alternative = serializers.CharField(source="alternative.text", allow_null=True, default=None)
    edit = serializers.CharField(source="edit.text", allow_null=True, default=None)
    messages = serializers.JSONField(source="prompt.messages")
    changes = FeedbackChangeSerializer(many=True, help_text="What it said before each update.")

    class Meta:
        model = Feedback
        fields = [
            *("id", "key", "prompt_id", "messages", "response_id", "response", "thumb", "score", "score_min"),
            *("score_max", "alternative", "chosen", "edit", "comment", "user", "version", "metadata", "updates"),
            *("changes", "created_at", "updated_at"),
        ]


class EndUserSerializer(serializers.Serializer[Any]):
    user = serializers.CharField(max_length=MAX_USER_LENGTH, help_text="The hash of the end user.")


class ErasedSerializer(serializers.Serializer[Any]):
    feedback = serializers.IntegerField(help_text="Rows that were deleted.")
    deleted = serializers.IntegerField(help_text="Prompts and responses that were deleted.")
    emptied = serializers.IntegerField(help_text="Prompts and responses in tasks, whose text was removed.")
    snapshots = serializers.ListField(
        child=serializers.IntegerField(), help_text="Numbers of snapshots that may hold the texts."
    )


class FeedbackFilterSerializer(serializers.Serializer[Any]):
    """Which feedback: whatever is left out leaves nothing out."""

    signal = serializers.ChoiceField(choices=[value for value, _ in SIGNALS if value], required=False)
    version = serializers.CharField(max_length=MAX_VERSION_LENGTH, required=False)
    user = serializers.CharField(max_length=MAX_USER_LENGTH, required=False)
    since = serializers.DateField(required=False)
    until = serializers.DateField(required=False)


class OpenTasksSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=FeedbackTask.choices, help_text="What annotators are asked.")
    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=MAX_ID - 1), max_length=MOST_IDS, required=False
    )
    filter = FeedbackFilterSerializer(required=False)
    priority = serializers.IntegerField(
        min_value=-MAX_PRIORITY, max_value=MAX_PRIORITY, default=0, help_text="Higher comes first."
    )


class OpenedTasksSerializer(serializers.Serializer[Any]):
    opened = serializers.IntegerField()
    left = serializers.DictField(
        child=serializers.IntegerField(), help_text="For how much feedback there is no new task, by reason."
    )
    more = serializers.BooleanField()


class FeedbackViewSet(mixins.ListModelMixin, GenericViewSet[Feedback]):
    scopes = {
        "list": Scope.READ,
        "create": Scope.FEEDBACK,
        "batch": Scope.FEEDBACK,
        "erase": Scope.MANAGE,
        "queue": Scope.MANAGE,
    }
    serializer_class = FeedbackSerializer
    pagination_class = NewestFirst
    queryset = Feedback.objects.none()

    @extend_schema(
        parameters=[
            OpenApiParameter("signal", enum=[value for value, _ in SIGNALS if value]),
            OpenApiParameter("version", description="Of the model."),
            OpenApiParameter("user", description="The hash of an end user."),
            OpenApiParameter("since", OpenApiTypes.DATE),
            OpenApiParameter("until", OpenApiTypes.DATE),
        ]
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002
        """List feedback, the newest first, for admins."""
        project = access.get_project(signed_in(request), self.kwargs["slug"], role=Role.ADMIN)
        form = FeedbackFilterForm(request.query_params)
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        found = feedback.find(project=project, **form.cleaned_data)
        with_texts = found.select_related("prompt", "completion", "alternative", "edit").prefetch_related("changes")
        page = self.paginate_queryset(with_texts)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(request=SentFeedbackSerializer, responses={200: OutcomeSerializer, 201: OutcomeSerializer})
    def create(self, request: Request, slug: str) -> Response:
        """Store what an end user said of a response, or update it by its key."""
        project = self._project(request, slug)
        try:
            row = feedback_row(fields_of(request), mask=project.mask_feedback)
        except InvalidFeedback as problem:
            return Response({"errors": problem.errors}, status=status.HTTP_400_BAD_REQUEST)
        (outcome,) = feedback.take(project=project, rows=[row])
        if outcome.errors:
            return Response({"errors": outcome.errors}, status=status.HTTP_400_BAD_REQUEST)
        code = status.HTTP_201_CREATED if outcome.status == feedback.CREATED else status.HTTP_200_OK
        return Response(
            {"key": outcome.key, "status": outcome.status, "id": outcome.id, "masked": outcome.masked}, status=code
        )

    @extend_schema(request=SentBatchSerializer, responses={200: BatchOutcomeSerializer})
    @action(detail=False, methods=["post"])
    def batch(self, request: Request, slug: str) -> Response:
        """Store several feedbacks in one request.

        Where some of them cannot be stored the answer is 400: it names each by its place from 0 and its key, and the
        others are stored. To send the same again changes nothing.
        """
        project = self._project(request, slug)
        given = fields_of(request)
        sent = given.get("feedback")
        if set(given) != {"feedback"} or not isinstance(sent, list) or not 1 <= len(sent) <= MOST_AT_ONCE:
            problem = f"The body should be an object whose feedback is a list of 1 to {MOST_AT_ONCE} objects."
            return Response({"errors": {"feedback": problem}}, status=status.HTTP_400_BAD_REQUEST)
        outcomes = _take_all(project, sent)
        refused = [
            {"place": place, "key": each.key, "errors": each.errors}
            for place, each in enumerate(outcomes)
            if each.status == feedback.REFUSED
        ]
        counts = {
            name: sum(each.status == name for each in outcomes)
            for name in (feedback.CREATED, feedback.UPDATED, feedback.UNCHANGED)
        }
        if refused:
            return Response({"errors": {"feedback": refused}, **counts}, status=status.HTTP_400_BAD_REQUEST)
        masked = sum((Counter(each.masked) for each in outcomes), Counter())
        return Response({**counts, "masked": masked})

    @extend_schema(request=EndUserSerializer, responses={200: ErasedSerializer})
    @action(detail=False, methods=["post"])
    def erase(self, request: Request, slug: str) -> Response:
        """Erase all feedback of an end user with its texts. This cannot be undone.

        Texts that tasks or rounds still need are emptied instead of deleted; those of other feedback stay. Snapshots
        are files that never change: those that may hold the texts are named.
        """
        project = self._project(request, slug)
        form = EndUserForm(fields_of(request))
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        erased = feedback_erasure.erase_user(project=project, user=form.cleaned_data["user"], by=signed_in(request))
        return Response(asdict(erased))

    @extend_schema(request=OpenTasksSerializer, responses={200: OpenedTasksSerializer})
    @action(detail=False, methods=["post"])
    def queue(self, request: Request, slug: str) -> Response:
        """Open tasks over the feedback with these IDs, or else over all that the filter finds.

        Each set of texts becomes one task, however many end users spoke of it and however often this is asked for. At
        most 1,000 are opened at a time; `more` says that others are left.
        """
        project = self._project(request, slug)
        wanted = OpenTasksSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        given = wanted.validated_data
        found = feedback.find(project=project, **given.get("filter", {}))
        if "ids" in given:
            found = found.filter(pk__in=given["ids"])
        opened = feedback_tasks.open_tasks(
            project=project,
            found=found,
            kind=FeedbackTask(given["kind"]),
            by=signed_in(request),
            priority=given["priority"],
        )
        return Response({"opened": opened.opened, "left": opened.left, "more": opened.more})

    def _project(self, request: Request, slug: str) -> Project:
        return access.get_project(signed_in(request), slug, role=Role.ADMIN)


def _take_all(project: Project, sent: Sequence[Any]) -> list[FeedbackOutcome]:
    """Store what can be stored; return what became of each in the order given."""
    outcomes: dict[int, FeedbackOutcome] = {}
    rows: dict[int, FeedbackRow] = {}
    for place, each in enumerate(sent):
        try:
            rows[place] = feedback_row(each, mask=project.mask_feedback)
        except InvalidFeedback as problem:
            key = str(each.get("key", ""))[:MAX_KEY_LENGTH] if isinstance(each, dict) else ""
            outcomes[place] = FeedbackOutcome(key, feedback.REFUSED, errors=problem.errors)
    outcomes |= zip(rows, feedback.take(project=project, rows=list(rows.values())), strict=True) if rows else {}
    return [outcomes[place] for place in range(len(sent))]
