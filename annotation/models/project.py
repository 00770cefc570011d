from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from annotation.characters import is_storable


def _may_be_read(model: str) -> bool:
    """Return whether people may name this model: all but folders outside those that the operator lists.

    A name such as var/runs is a folder, too, where there is one: it would be read instead of the model on the hub.
    """
    path = Path(model).expanduser()
    if not model.startswith(("/", ".", "~")) and not path.is_dir():
        return True
    return any(path.resolve().is_relative_to(folder.resolve()) for folder in settings.MODEL_FOLDERS)


class Role(models.TextChoices):
    ANNOTATOR = "annotator", gettext_lazy("Annotator")
    REVIEWER = "reviewer", gettext_lazy("Reviewer")
    ADMIN = "admin", gettext_lazy("Admin")

    def includes(self, other: Role) -> bool:
        """Return whether the role may act as another: an admin as a reviewer, a reviewer as an annotator."""
        order = [Role.ANNOTATOR, Role.REVIEWER, Role.ADMIN]
        return order.index(self) >= order.index(other)


class RankingMode(models.TextChoices):
    """How much of an order is asked for."""

    FULL = "full", gettext_lazy("Full ranking: every response gets a rank")
    TOP_K = "top_k", gettext_lazy("Top k: only the best responses get a rank")
    BEST = "best", gettext_lazy("Best response only")
    GRADED = "graded", gettext_lazy("Graded comparison: two responses, and by how much one is better")


class RationaleRule(models.TextChoices):
    HIDDEN = "hidden", gettext_lazy("Not asked")
    OPTIONAL = "optional", gettext_lazy("Optional")
    REQUIRED = "required", gettext_lazy("Required")


MAX_CRITERIA = 6
MAX_CRITERION_CHARACTERS = 30


def check_criteria(names: Any) -> None:
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValidationError(gettext("Criteria should be a list of names."))
    if len(names) > MAX_CRITERIA:
        raise ValidationError(
            gettext("At most %(MAX_CRITERIA)s criteria; these are %(count)s.")
            % {"MAX_CRITERIA": MAX_CRITERIA, "count": len(names)}
        )
    if len({name.casefold() for name in names}) < len(names):
        raise ValidationError(gettext("Each criterion can be listed once."))
    if long := [name for name in names if len(name) > MAX_CRITERION_CHARACTERS]:
        raise ValidationError(
            gettext("A criterion has at most %(MAX_CRITERION_CHARACTERS)s characters: %(long)s")
            % {"MAX_CRITERION_CHARACTERS": MAX_CRITERION_CHARACTERS, "long": long[0]}
        )


FEWEST_LABELS, MOST_LABELS = 2, 9  # a key of the keyboard for each
MAX_LABEL_CHARACTERS = 100
MOST_NAMES = 200
SHORTEST_NAME, LONGEST_NAME = 2, 100


def check_names(value: Any) -> None:
    """Raise ValidationError unless a value is a list of names that can be looked for in answers."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValidationError(gettext("Write a list of names."))
    if len(value) > MOST_NAMES:
        raise ValidationError(
            gettext("At most %(MOST_NAMES)s names; there are %(count)s.")
            % {"MOST_NAMES": MOST_NAMES, "count": len(value)}
        )
    for name in value:
        if not SHORTEST_NAME <= len(name.strip()) <= LONGEST_NAME:
            raise ValidationError(
                gettext("A name has %(SHORTEST_NAME)s to %(LONGEST_NAME)s characters; %(name)s has %(count)s.")
                % {
                    "SHORTEST_NAME": SHORTEST_NAME,
                    "LONGEST_NAME": LONGEST_NAME,
                    "name": f"{name[:LONGEST_NAME]!r}",
                    "count": len(name.strip()),
                }
            )


def check_labels(names: Any) -> None:
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValidationError(gettext("Labels should be a list of names."))
    if names and not FEWEST_LABELS <= len(names) <= MOST_LABELS:
        raise ValidationError(
            gettext("From %(FEWEST_LABELS)s to %(MOST_LABELS)s labels, a key for each; these are %(count)s.")
            % {"FEWEST_LABELS": FEWEST_LABELS, "MOST_LABELS": MOST_LABELS, "count": len(names)}
        )
    if len(set(names)) < len(names):
        raise ValidationError(gettext("Each label can be listed once."))
    if long := [name for name in names if len(name) > MAX_LABEL_CHARACTERS]:
        raise ValidationError(
            gettext("A label has at most %(MAX_LABEL_CHARACTERS)s characters: %(long)s…")
            % {"MAX_LABEL_CHARACTERS": MAX_LABEL_CHARACTERS, "long": long[0][:40]}
        )


MODEL_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)  # of the Hugging Face hub


class Thoughts(models.TextChoices):
    """What becomes of a model's thoughts; the recipes read the same words (training/tokenizers/settings.py)."""

    OFF = "off", gettext_lazy("Off: the model responds directly")
    HIDDEN = "hidden", gettext_lazy("Hidden: annotators see the response alone")
    SHOWN = "shown", gettext_lazy("Shown as part of the response")


class LongPrompts(models.TextChoices):
    REFUSE = "refuse", gettext_lazy("Leave them out, and count them")
    DROP_OLDEST = "drop_oldest", gettext_lazy("Drop their oldest turns, and mark the responses")


# What the recipes say to a chat template themselves.
TAKEN_TEMPLATE_NAMES = ("messages", "documents", "add_generation_prompt", "continue_final_message")


def check_template_kwargs(value: Any) -> None:
    if not isinstance(value, dict) or not is_storable(value):
        raise ValidationError(gettext('Give a JSON object, such as {"enable_thinking": false}.'))
    for name in value:
        if not name.isidentifier() or name in TAKEN_TEMPLATE_NAMES or name.endswith("_token"):
            raise ValidationError(
                gettext("%(name)s cannot be set: the name is taken, or is no name of a template's variable.")
                % {"name": f"{name!r}"}
            )
    tools = value.get("tools", [])
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise ValidationError(gettext('Give "tools" as a list of JSON objects, one for each tool that may be called.'))


class Project(models.Model):
    """One campaign: what is judged, by how many people, under which guidelines."""

    slug = models.SlugField(unique=True)
    # What an admin sets: the form of the page and the API take this list.
    SETTINGS: ClassVar = [
        "name",
        "guidelines",
        "candidates_per_task",
        "seats_per_task",
        "unary_share",
        "reference_share",
        "lease_minutes",
        "calibration_share",
        "early_stop",
        "conflict_seat",
        "base_model",
        "chat_template_kwargs",
        "thoughts",
        "long_prompts",
        "answer_tokens",
        "temperature",
        "licence",
        "ranking_form",
        "top_k",
        "criteria",
        "criteria_required",
        "rationale",
        "write_first",
        "gold_share",
        "repeat_share",
        "use_weights",
        "practice_first",
        "practice_pass",
        "labels",
        "uncertain_first",
        "maker_names",
        "mask_feedback",
        "feedback_days",
    ]

    name = models.CharField(max_length=100)
    guidelines = models.TextField(
        blank=True,
        max_length=20_000,
        help_text="What makes a response good. Markdown; shown to annotators while they work.",
    )
    guidelines_number = models.PositiveIntegerField(
        default=0, editable=False, help_text="Of their newest version; 0 where they were never versioned."
    )
    candidates_per_task = models.PositiveSmallIntegerField(
        default=4,
        validators=[MinValueValidator(2), MaxValueValidator(9)],
        help_text="Responses per ranking task, from 2 to 9.",
    )
    seats_per_task = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(20)],
        help_text="Annotators per new task.",
    )
    unary_share = models.FloatField(
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="Share of prompts, from 0 to 1, whose responses are judged good or bad one at a time instead of "
        "being ranked.",
    )
    reference_share = models.FloatField(
        default=0.1,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="Share of prompts, from 0 to 1, for which an annotator also writes a reference response.",
    )
    lease_minutes = models.PositiveSmallIntegerField(
        default=20,
        validators=[MinValueValidator(1), MaxValueValidator(240)],
        help_text="Minutes of inactivity after which a task reservation expires.",
    )
    calibration_share = models.FloatField(
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="Share of prompts, from 0 to 1, whose tasks every annotator ranks.",
    )
    early_stop = models.BooleanField(
        default=False,
        help_text="Of more than two annotators: no further ones once two agree on the best response.",
    )
    conflict_seat = models.BooleanField(
        default=False, help_text="Add an annotator, at most two, where a ranking contradicts an earlier one."
    )
    closed_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="No new tasks are assigned; tasks in progress can be submitted.",
    )
    gold_share = models.FloatField(
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(0.5)],
        help_text="Share of an annotator's tasks, from 0 to 0.5, that are gold tasks.",
    )
    repeat_share = models.FloatField(
        default=0,
        validators=[MinValueValidator(0), MaxValueValidator(0.5)],
        help_text="Share of an annotator's tasks, from 0 to 0.5, that they have ranked before, in another shown order.",
    )
    use_weights = models.BooleanField(
        default=False, help_text="Snapshots give each ranking the weight of its annotator (see Quality)."
    )
    practice_first = models.BooleanField(
        default=False, help_text="New annotators rank qualification tasks first, with feedback after each."
    )
    practice_pass = models.FloatField(
        default=0.7,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="Share of pairs, from 0 to 1, on which an annotator has to match the gold rankings.",
    )
    ranking_form = models.CharField(
        max_length=6,
        choices=RankingMode,
        default=RankingMode.FULL,
        help_text="What a ranking task asks for; also applies to open tasks.",
    )
    top_k = models.PositiveSmallIntegerField(
        "ranks for top k",
        default=2,
        validators=[MinValueValidator(1), MaxValueValidator(8)],
        help_text="How many responses get a rank; the order of the others is not recorded.",
    )
    criteria = models.JSONField(
        default=list,
        blank=True,
        validators=[check_criteria],
        help_text="Names, one per line, at most 6: each response is also rated on them from 1 to 5.",
    )
    criteria_required = models.BooleanField("every rating is required", default=False)
    rationale = models.CharField("rationale", max_length=8, choices=RationaleRule, default=RationaleRule.OPTIONAL)
    labels = models.JSONField(
        default=list,
        blank=True,
        validators=[check_labels],
        help_text="Names, one per line, 2 to 9: annotators give one of them to the text of each prompt.",
    )
    maker_names = models.JSONField(
        "further names of models and makers",
        default=list,
        blank=True,
        validators=[check_names],
        help_text="One per line. A response with one of them is kept out of blind tasks, beside those with "
        "well-known names.",
    )
    uncertain_first = models.BooleanField(
        "uncertainty sampling",
        default=False,
        help_text="Once a classifier exists, texts of which it is least sure come first; a fifth stays random.",
    )
    write_first = models.BooleanField(
        "hide model responses until the first draft",
        default=False,
        help_text="For reference responses: the model's responses are shown after the annotator's first draft.",
    )
    base_model = models.CharField(
        max_length=500,
        default="smollm2-135m-instruct",
        help_text="Hugging Face id or local path of the model that version 0 of the policy is.",
    )
    chat_template_kwargs = models.JSONField(
        "chat template settings",
        default=dict,
        blank=True,
        validators=[check_template_kwargs],
        help_text='A JSON object that the chat template gets as well, such as {"enable_thinking": false}.',
    )
    thoughts = models.CharField(
        max_length=8,
        choices=Thoughts,
        default=Thoughts.OFF,
        help_text="Of models whose chat template has a thinking block.",
    )
    long_prompts = models.CharField(
        "prompts that are too long",
        max_length=12,
        choices=LongPrompts,
        default=LongPrompts.REFUSE,
        help_text="Longer than a stage's max_prompt_tokens or than the model reads.",
    )
    answer_tokens = models.PositiveIntegerField(
        "longest response, in tokens",
        default=256,
        validators=[MinValueValidator(1), MaxValueValidator(4096)],
        help_text="Where every stage of a round cuts responses, unless its own settings differ.",
    )
    temperature = models.FloatField(
        default=0.9,
        validators=[MinValueValidator(0.01), MaxValueValidator(5)],
        help_text="At which every stage of a round draws responses, unless its own settings differ.",
    )
    licence = models.CharField(
        max_length=200,
        blank=True,
        help_text="Under which the data may be used, such as CC BY 4.0; shown on every data card.",
    )
    mask_feedback = models.BooleanField(
        "mask personal data in feedback",
        default=True,
        help_text="Email addresses, IBANs, card numbers, IP addresses and phone numbers in feedback of end users.",
    )
    feedback_days = models.PositiveIntegerField(
        "days that feedback is kept",
        default=0,
        validators=[MaxValueValidator(36_500)],
        help_text="Feedback that was not updated for so many days is deleted with its texts; 0: it is kept.",
    )
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership", related_name="projects")
    archived_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Since then out of the lists.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(candidates_per_task__gte=2, candidates_per_task__lte=9),
                name="candidates_from_2_to_9",
            ),
            models.CheckConstraint(condition=models.Q(seats_per_task__gte=1), name="at_least_one_seat"),
            models.CheckConstraint(
                condition=models.Q(reference_share__gte=0, reference_share__lte=1), name="share_from_0_to_1"
            ),
            models.CheckConstraint(
                condition=models.Q(unary_share__gte=0, unary_share__lte=1), name="unary_share_from_0_to_1"
            ),
            models.CheckConstraint(
                condition=models.Q(calibration_share__gte=0, calibration_share__lte=1),
                name="calibration_from_0_to_1",
            ),
            models.CheckConstraint(
                condition=models.Q(gold_share__gte=0, gold_share__lte=0.5, repeat_share__gte=0, repeat_share__lte=0.5),
                name="checks_take_at_most_all",
            ),
            models.CheckConstraint(
                condition=models.Q(practice_pass__gte=0, practice_pass__lte=1), name="pass_mark_from_0_to_1"
            ),
            models.CheckConstraint(condition=models.Q(top_k__gte=1, top_k__lte=8), name="top_k_from_1_to_8"),
            models.CheckConstraint(
                condition=~models.Q(ranking_form=RankingMode.GRADED) | models.Q(candidates_per_task=2),
                name="graded_comparisons_have_two",
                violation_error_message="A graded comparison has two responses per task: set that number to 2.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("project", args=[self.slug])

    def clean(self) -> None:
        """Raise ValidationError for settings that do not go together."""
        shown = self.candidates_per_task
        refused = {}
        if self.ranking_form == RankingMode.GRADED and shown != 2:
            refused["candidates_per_task"] = "A graded comparison has two responses per task."
        if self.ranking_form == RankingMode.TOP_K and shown and self.top_k and self.top_k >= shown:
            refused["top_k"] = f"Of {shown} responses at most {shown - 1} can be ranked as the top ones."
        if problem := self._problem_of_base_model():
            refused["base_model"] = problem
        if self.criteria_required and not self.criteria:
            refused["criteria_required"] = "Name the criteria first."
        if self.pk and (lost := sorted(self._labels_in_use() - set(self.labels or []))):
            refused["labels"] = f"Annotators have already used the label {lost[0]!r}, so it has to stay."
        if refused:
            raise ValidationError(refused)

    def _problem_of_base_model(self) -> str:
        """Return what is wrong with the name of the base model; whether it exists is found out where it is prepared."""
        if not self.base_model.startswith(("/", "./", "../", "~")) and not MODEL_ID.fullmatch(self.base_model):
            return (
                "Give a Hugging Face id, such as HuggingFaceTB/SmolLM2-135M-Instruct, or the path of a folder on the "
                "machine that trains, such as /models/mine."
            )
        stored = Project.objects.filter(pk=self.pk).values_list("base_model", flat=True).first() if self.pk else None
        if stored != self.base_model and not _may_be_read(self.base_model):
            return gettext(
                "Folders of the machine that trains are used only where its operator lists them in "
                "PREFLOOP_MODEL_FOLDERS. Give a Hugging Face id, or ask the operator."
            )
        if stored not in (None, self.base_model) and self.policies.exists():
            return f"Version 0 of the policy is {stored}. Another base model needs a project of its own."
        return ""

    def _labels_in_use(self) -> set[str]:
        given = self.assignments.filter(label__isnull=False)
        return set(given.values_list("label__label", flat=True).distinct())


class Membership(models.Model):
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.ANNOTATOR)
    at_work_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Last activity on an open work page."
    )
    passed_over = models.JSONField(
        default=dict, blank=True, editable=False, help_text="Where `annotation.actions.queue` need not look again."
    )
    guidelines_read = models.PositiveIntegerField(
        default=0, editable=False, help_text="The newest version of the guidelines that they have acknowledged."
    )
    guidelines_read_at = models.DateTimeField(null=True, blank=True, editable=False)
    weight = models.FloatField(default=1.0, help_text="Reliability of their annotations, from 0 to 1.")
    practice_passed_at = models.DateTimeField(null=True, blank=True)
    mail_about_rounds = models.BooleanField(default=False, help_text="Admins only: a mail when a round ends.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="one_role_per_member"),
            models.CheckConstraint(condition=models.Q(weight__gte=0, weight__lte=1), name="weight_from_0_to_1"),
            models.CheckConstraint(
                condition=models.Q(guidelines_read=0, guidelines_read_at=None)
                | models.Q(guidelines_read__gte=1, guidelines_read_at__isnull=False),
                name="guidelines_are_read_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.role} of {self.project}"

    def may_act_as(self, role: Role) -> bool:
        return Role(self.role).includes(role)
