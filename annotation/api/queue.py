"""/api/v1/: the caller's assignments: claim, draft, submit, skip, undo, flag."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet, ViewSet

from annotation import access
from annotation.actions import assignments, flags, judgments, queue, reopening
from annotation.api.pagination import NUMBER
from annotation.api.projects import fields_of, signed_in
from annotation.forms.work import DraftForm, FlagForm, SubmitForm
from annotation.kinds import KINDS
from annotation.kinds.base import MOST_RESPONSES
from annotation.kinds.ranking import RankingKind
from annotation.models import (
    Assignment,
    BadReason,
    FlagReason,
    Proposal,
    RankingMode,
    RationaleRule,
    RejectReason,
    Role,
    Scope,
    Task,
    Verdict,
)


class TaskSerializer(serializers.ModelSerializer[Task]):
    seats = serializers.SerializerMethodField(
        help_text="Annotations wanted; as planned where the caller may still annotate the task."
    )
    prompt_id = serializers.IntegerField(allow_null=True)
    proposal_id = serializers.IntegerField(allow_null=True)

    class Meta:
        model = Task
        fields = ["id", "kind", "prompt_id", "proposal_id", "seats", "priority", "created_at"]

    def get_seats(self, task: Task) -> int:
        """Return the number of seats; one more or fewer than planned tells whether others agreed."""
        return task.planned_seats if getattr(task, "is_blind", False) else task.seats


class CandidateSerializer(serializers.Serializer[Any]):
    """Blind: nothing here tells who wrote the text."""

    id = serializers.IntegerField(help_text="Its position among the responses as shown, from 1.")
    text = serializers.CharField()


class TextsSerializer(serializers.ModelSerializer[Proposal]):
    class Meta:
        model = Proposal
        fields = ["instruction", "input", "output", "similar", "near_duplicate"]


class AskedSerializer(serializers.Serializer[Any]):
    """How a ranking is asked for: the project's way, or the graded comparison of an evaluation."""

    form = serializers.ChoiceField(choices=RankingMode.choices)
    places = serializers.IntegerField(help_text="How many responses to rank.")
    criteria = serializers.ListField(child=serializers.CharField(), help_text="Each response can be rated on these.")
    rationale = serializers.ChoiceField(
        choices=RationaleRule.choices, help_text="Whether a rationale is possible or required."
    )


class AssignmentSerializer(serializers.ModelSerializer[Assignment]):
    id = serializers.IntegerField(source="key", help_text="Identifies the assignment in URLs.")
    kind = serializers.CharField(source="task.kind")
    messages = serializers.JSONField(source="task.messages")
    proposal = TextsSerializer(
        source="task.proposal", allow_null=True, help_text="Of the kind proposal: what to review."
    )
    candidates = serializers.SerializerMethodField()
    asked = serializers.SerializerMethodField(help_text="Of the kind ranking: how.")

    class Meta:
        model = Assignment
        fields = [
            "id",
            "kind",
            "status",
            "messages",
            "candidates",
            "asked",
            "proposal",
            "draft",
            "expires_at",
        ]

    @extend_schema(responses=AskedSerializer(allow_null=True))
    def get_asked(self, assignment: Assignment) -> dict[str, Any] | None:
        if assignment.task.kind != "ranking":
            return None
        asked = RankingKind().page(assignment)
        return {
            "form": asked["mode"],
            "places": asked["places"],
            "criteria": asked["criteria"],
            "rationale": assignment.project.rationale,
        }

    @extend_schema(responses=CandidateSerializer(many=True))
    def get_candidates(self, assignment: Assignment) -> list[dict[str, Any]]:
        if not KINDS[assignment.task.kind].shows_candidates(assignment):
            return []  # first a version of their own
        texts = dict(assignment.task.candidates.values_list("pk", "text"))
        return [{"id": number, "text": texts[pk]} for number, pk in enumerate(assignment.shown_order, start=1)]


class ResponseNumber(serializers.IntegerField):
    """The ID of a response of a task: its position as shown, from 1."""

    def __init__(self, **values: Any) -> None:
        super().__init__(min_value=1, max_value=MOST_RESPONSES, **values)


class SubmitSerializer(serializers.Serializer[Any]):
    """The client's UUID with the fields of the task's kind: tiers and what goes with them; good with a reason and a
    comment; text and derived_from; label and comment; or a verdict with a reason or with changed texts."""

    client_uuid = serializers.UUIDField()
    active_ms = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1)
    tiers = serializers.ListField(child=serializers.ListField(child=ResponseNumber()), required=False)
    unacceptable = serializers.ListField(child=ResponseNumber(), required=False)
    strength = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=2)
    ratings = serializers.DictField(required=False, help_text="Completion id to criterion to 1 … 5.")
    rationale = serializers.CharField(required=False, allow_blank=True)
    good = serializers.BooleanField(
        required=False, allow_null=True, help_text="Of a unary task: whether its response is good."
    )
    text = serializers.CharField(required=False)
    label = serializers.CharField(  # type: ignore[assignment]
        required=False, help_text="One of the project's labels."
    )
    comment = serializers.CharField(required=False, allow_blank=True)
    derived_from = ResponseNumber(required=False, allow_null=True)
    verdict = serializers.ChoiceField(choices=Verdict.choices, required=False)
    reason = serializers.ChoiceField(
        choices=list({**dict(RejectReason.choices), **dict(BadReason.choices)}.items()),
        required=False,
        allow_blank=True,
        help_text=f"Of a rejected proposal: {', '.join(RejectReason.values)}. "
        f"Of a bad response: {', '.join(BadReason.values)}.",
    )
    instruction = serializers.CharField(required=False, allow_blank=True)
    input = serializers.CharField(required=False, allow_blank=True)
    output = serializers.CharField(required=False, allow_blank=True)


class FlagSerializer(serializers.Serializer[Any]):
    answer = ResponseNumber(required=False, help_text="ID of the response; the prompt if omitted.")
    reason = serializers.ChoiceField(choices=FlagReason.choices)
    note = serializers.CharField(required=False, allow_blank=True, max_length=500)


class StoredSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class DraftSerializer(serializers.Serializer[Any]):
    draft = serializers.DictField(help_text="Data that the client gets back when work resumes.")
    active_ms = serializers.IntegerField(min_value=0, max_value=2**31 - 1)


class SkipSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(required=False, allow_blank=True)


class TaskViewSet(mixins.ListModelMixin, GenericViewSet[Task]):
    scopes = {"list": Scope.READ, "claim": Scope.ANNOTATE, "undo": Scope.ANNOTATE}
    serializer_class = TaskSerializer
    queryset = Task.objects.none()

    def get_queryset(self) -> Any:
        project = access.get_project(signed_in(self.request), self.kwargs["slug"], role=Role.REVIEWER)
        if (reader := access.blind_reader(signed_in(self.request), project)) is None:
            return project.tasks.all()
        blind = Task.objects.filter(pk=OuterRef("pk")).blind_to(reader)
        return project.tasks.annotate(is_blind=Exists(blind))

    @extend_schema(request=None, responses={200: AssignmentSerializer, 204: OpenApiResponse(description="No task")})
    @action(detail=False, methods=["post"])
    def claim(self, request: Request, slug: str) -> Response:
        """Claim the caller's next assignment; 204 where there is nothing to do."""
        project = access.get_project(signed_in(request), slug)
        assignment = queue.claim_next(project=project, by=signed_in(request))
        if assignment is None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        return Response(AssignmentSerializer(assignment).data)

    @extend_schema(request=None, responses={200: AssignmentSerializer})
    @action(detail=False, methods=["post"])
    def undo(self, request: Request, slug: str) -> Response:
        """Take back the caller's last judgment, for some minutes: it becomes the draft of the assignment again."""
        project = access.get_project(signed_in(request), slug)
        return Response(AssignmentSerializer(reopening.undo(project=project, by=signed_in(request))).data)


class AssignmentViewSet(ViewSet):
    """Seats of the caller. A submit is idempotent by its client_uuid."""

    scopes = dict.fromkeys(["retrieve", "draft", "first_version", "submit", "skip", "flag", "redo"], Scope.ANNOTATE)
    serializer_class = AssignmentSerializer
    queryset = Assignment.objects.none()
    lookup_value_regex = NUMBER

    def _assignment(self, request: Request, slug: str, pk: str) -> Assignment:
        return access.get_assignment(signed_in(request), slug, int(pk))

    def retrieve(self, request: Request, slug: str, pk: str) -> Response:
        return Response(AssignmentSerializer(self._assignment(request, slug, pk)).data)

    @extend_schema(request=SubmitSerializer, responses=StoredSerializer)
    @action(detail=True, methods=["post"])
    def submit(self, request: Request, slug: str, pk: str) -> Response:
        assignment = self._assignment(request, slug, pk)
        fields = fields_of(request)
        envelope, form = SubmitForm(fields), KINDS[assignment.task.kind].form(assignment, fields)
        if not (envelope.is_valid() & form.is_valid()):
            return Response({"errors": {**envelope.errors, **form.errors}}, status=status.HTTP_400_BAD_REQUEST)
        judgment = judgments.submit(assignment=assignment, answer=form.cleaned_data, **envelope.cleaned_data)
        return Response({"id": judgment.pk, "created_at": judgment.created_at})

    @extend_schema(request=DraftSerializer, responses=AssignmentSerializer)
    @action(detail=True, methods=["post"])
    def draft(self, request: Request, slug: str, pk: str) -> Response:
        assignment = self._assignment(request, slug, pk)
        form = DraftForm(fields_of(request))
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        return Response(AssignmentSerializer(assignments.save_draft(assignment=assignment, **form.cleaned_data)).data)

    @extend_schema(request=DraftSerializer, responses=AssignmentSerializer)
    @action(detail=True, methods=["post"], url_path="first-version")
    def first_version(self, request: Request, slug: str, pk: str) -> Response:
        """Store the draft's text as the first version and show the candidates, where a project asks to write first."""
        assignment = self._assignment(request, slug, pk)
        form = DraftForm(fields_of(request))
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        judgments.keep_first_version(assignment=assignment, **form.cleaned_data)
        return Response(AssignmentSerializer(self._assignment(request, slug, pk)).data)

    @extend_schema(request=SkipSerializer, responses={204: None})
    @action(detail=True, methods=["post"])
    def skip(self, request: Request, slug: str, pk: str) -> Response:
        assignments.skip(
            assignment=self._assignment(request, slug, pk), reason=str(fields_of(request).get("reason", ""))
        )
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=StoredSerializer)
    @action(detail=True, methods=["post"])
    def redo(self, request: Request, slug: str, pk: str) -> Response:
        """Submit again, unchanged, what the caller has undone."""
        judgment = reopening.redo(assignment=self._assignment(request, slug, pk))
        return Response({"id": judgment.pk, "created_at": judgment.created_at})

    @extend_schema(request=FlagSerializer, responses={204: None})
    @action(detail=True, methods=["post"])
    def flag(self, request: Request, slug: str, pk: str) -> Response:
        """Tell the reviewers that something is wrong with an answer of the task, or with its prompt."""
        assignment = self._assignment(request, slug, pk)
        form = FlagForm(assignment, fields_of(request))
        if not form.is_valid():
            return Response({"errors": form.errors}, status=status.HTTP_400_BAD_REQUEST)
        answer, reason, note = (form.cleaned_data[name] for name in ("answer", "reason", "note"))
        flags.flag(assignment=assignment, completion=answer, reason=reason, note=note, by=signed_in(request))
        return Response(status=status.HTTP_204_NO_CONTENT)
