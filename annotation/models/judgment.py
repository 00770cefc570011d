"""What people said. Rows here are written once and never edited."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext, gettext_lazy

from annotation.models.task import Assignment
from annotation.models.text import Completion


class Judgment(models.Model):
    assignment = models.OneToOneField(Assignment, on_delete=models.PROTECT, related_name="%(class)s")
    client_uuid = models.UUIDField(
        help_text="Of one submission of this assignment: a repeat with the same content is the same annotation."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True
        ordering = ["id"]


class Ranking(Judgment):
    """`tiers` are lists of completion ids, best first; `unacceptable` are the ids below the line."""

    tiers = models.JSONField()
    unacceptable = models.JSONField(default=list, blank=True)
    unranked = models.JSONField(
        default=list,
        blank=True,
        help_text="IDs that were not ranked: the last tier, whose order is unknown.",
    )
    strength = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Of a graded comparison: 0 equally good, 1 better, 2 much better."
    )
    ratings = models.JSONField(default=dict, blank=True, help_text="Completion id to criterion to 1 … 5.")
    rationale = models.TextField(blank=True)

    class Meta(Judgment.Meta):
        constraints = [
            models.CheckConstraint(
                condition=models.Q(strength=None) | models.Q(strength__lte=2), name="strength_from_0_to_2"
            )
        ]

    def __str__(self) -> str:
        return " > ".join(" = ".join(str(pk) for pk in tier) for tier in self.tiers)


class FirstVersion(models.Model):
    """What a person wrote before they saw the candidates; storing it shows them."""

    assignment = models.OneToOneField(Assignment, on_delete=models.CASCADE, related_name="first_version")
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.text if len(self.text) <= 80 else f"{self.text[:79]}…"


class Label(Judgment):
    """One of the project's labels, for the text of a prompt."""

    label = models.CharField(max_length=100)
    comment = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.label


class ReferenceAnswer(Judgment):
    """The text is a Completion, so that it can be a blind candidate in other people's tasks."""

    completion = models.OneToOneField(Completion, on_delete=models.PROTECT, related_name="reference_answer")
    derived_from = models.ForeignKey(
        Completion, on_delete=models.PROTECT, null=True, blank=True, related_name="edited_into"
    )

    class Meta(Judgment.Meta):
        verbose_name = "reference response"

    def __str__(self) -> str:
        return str(self.completion)


class BadReason(models.TextChoices):
    """Why a response is bad."""

    WRONG = "wrong", gettext_lazy("Incorrect")
    INCOMPLETE = "incomplete", gettext_lazy("Incomplete")
    INSTRUCTION = "instruction", gettext_lazy("Does not do what was asked")
    HARMFUL = "harmful", gettext_lazy("Harmful or private")
    STYLE = "style", gettext_lazy("Badly written")
    OTHER = "other", gettext_lazy("Something else")


class UnaryJudgment(Judgment):
    """Whether the task's only response is good or bad by itself, with an optional reason where it is bad."""

    good = models.BooleanField()
    reason = models.CharField(max_length=11, choices=BadReason, blank=True)
    comment = models.TextField(blank=True)

    class Meta(Judgment.Meta):
        verbose_name = "unary annotation"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(reason="") | models.Q(good=False, reason__in=BadReason.values),
                name="only_a_bad_response_has_a_reason",
            )
        ]

    def __str__(self) -> str:
        return self.verdict_text(self.good, self.reason)

    @staticmethod
    def verdict_text(good: bool, reason: str) -> str:
        """Return what was said, in the language of the page: "Good", "Bad" or "Bad: Incorrect"."""
        if good or not reason:
            return gettext("Good") if good else gettext("Bad")
        return gettext("Bad: %(reason)s") % {"reason": BadReason(reason).label}

    @property
    def rationale(self) -> str:
        """Return the reason and the comment in one line, as files have them: "wrong: Paris is in France."."""
        return rationale_of(self.reason, self.comment)


def rationale_of(reason: str, comment: str) -> str:
    """Return a reason by its name and a comment as one text."""
    return ": ".join(filter(None, [reason, comment]))


class Verdict(models.TextChoices):
    ACCEPT = "accept", gettext_lazy("Accepted")
    EDIT = "edit", gettext_lazy("Accepted with edits")
    REJECT = "reject", gettext_lazy("Rejected")


class RejectReason(models.TextChoices):
    WRONG = "wrong", gettext_lazy("The output is wrong")
    UNCLEAR = "unclear", gettext_lazy("Unclear what to do")
    HARMFUL = "harmful", gettext_lazy("Harmful or private")
    TRIVIAL = "trivial", gettext_lazy("Too trivial")
    DUPLICATE = "duplicate", gettext_lazy("Same as another")
    OTHER = "other", gettext_lazy("Something else")


class ProposalReview(Judgment):
    """A verdict on a proposal. The three texts are set only where the reviewer changed it."""

    verdict = models.CharField(max_length=6, choices=Verdict)
    reason = models.CharField(max_length=9, choices=RejectReason, blank=True)
    instruction = models.TextField(blank=True)
    input = models.TextField(blank=True)
    output = models.TextField(blank=True)

    class Meta(Judgment.Meta):
        constraints = [
            models.CheckConstraint(
                condition=(models.Q(verdict=Verdict.REJECT) & ~models.Q(reason=""))
                | (~models.Q(verdict=Verdict.REJECT) & models.Q(reason="")),
                name="only_a_rejection_has_a_reason",
            ),
            models.CheckConstraint(
                condition=(models.Q(verdict=Verdict.EDIT) & ~models.Q(instruction="") & ~models.Q(output=""))
                | (~models.Q(verdict=Verdict.EDIT) & models.Q(instruction="", input="", output="")),
                name="only_an_edit_has_texts",
            ),
        ]

    def __str__(self) -> str:
        return self.get_reason_display() if self.reason else self.get_verdict_display()
