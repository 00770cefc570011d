"""The texts: prompts, those who answer them, and the answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from annotation.models.claim import ClaimQuerySet
from annotation.models.home_path import HomePathField
from annotation.models.project import Project
from annotation.models.querysets import NumberedQuerySet, RevocableQuerySet

EVAL_PERCENT = 20


class Split(models.TextChoices):
    TRAIN = "train", gettext_lazy("Train")
    EVAL = "eval", gettext_lazy("Eval")

    @classmethod
    def of(cls, digest: str) -> Split:
        """Return the split of a prompt by its hash: the same one on every machine and in every project."""
        return cls.EVAL if int(digest[:8], 16) % 100 < EVAL_PERCENT else cls.TRAIN


class Prompt(models.Model):
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="prompts")
    messages = models.JSONField(help_text='Chat messages: [{"role": "user", "content": "…"}], a user message last.')
    digest = models.CharField(max_length=64, editable=False)
    external_id = models.CharField(max_length=200, blank=True)
    category = models.CharField(max_length=100, blank=True)
    split = models.CharField(max_length=5, choices=Split, editable=False)
    withdrawn_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Since then not in new tasks.")
    upload = models.ForeignKey(
        "PromptUpload", on_delete=models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )  # the file that brought it
    of_feedback = models.BooleanField(
        default=False, editable=False, help_text="Feedback of an end user brought it, and it goes with that."
    )
    replaces = models.OneToOneField(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="replaced_by",
        help_text="The version before it was edited, which is archived.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RevocableQuerySet["Prompt"].as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "digest"], name="prompt_once_per_project"),
            models.UniqueConstraint(
                fields=["project", "external_id"],
                condition=~Q(external_id=""),
                name="external_id_once_per_project",
            ),
        ]
        indexes = [
            models.Index(fields=["project", "split"]),
            models.Index(fields=["project", "category"], name="prompts_by_category"),
        ]

    def __str__(self) -> str:
        text = self.last_message
        return text if len(text) <= 80 else f"{text[:79]}…"

    @staticmethod
    def digest_of(messages: list[dict[str, str]]) -> str:
        canonical = json.dumps(
            [[message["role"], message["content"]] for message in messages],
            ensure_ascii=False,
            separators=(",", ":"),
        )
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def last_message(self) -> str:
        return str(self.messages[-1]["content"])


class ImportStatus(models.TextChoices):
    """Where the import of a file is: PREVIEW → QUEUED ⇄ RUNNING → TAKEN → UNDOING → UNDONE, with PAUSED and FAILED."""

    PREVIEW = "preview", gettext_lazy("Preview")
    QUEUED = "queued", gettext_lazy("Waiting")
    RUNNING = "running", gettext_lazy("Running")
    PAUSED = "paused", gettext_lazy("Paused")
    TAKEN = "taken", gettext_lazy("Imported")
    FAILED = "failed", gettext_lazy("Failed")
    UNDOING = "undoing", gettext_lazy("Being undone")
    UNDONE = "undone", gettext_lazy("Undone")


class UploadQuerySet(ClaimQuerySet["PromptUpload"]):
    """Files whose import several workers take on."""


class PromptUpload(models.Model):
    """A file from its preview on; once it has been taken the content goes and the report stays.

    `done` is how many of its rows are stored; `attempt` is the fencing token of the worker that imports it.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, help_text="Empty: the command."
    )
    filename = models.CharField(max_length=255)
    content = models.BinaryField(help_text="The file as it was sent; empty where it is in chunks.")
    labels = models.BooleanField(default=False, help_text="The file holds texts with a label and no prompts.")
    mapping = models.JSONField(default=dict, blank=True, help_text="Which column each field comes from.")
    shape = models.CharField(max_length=40, blank=True, help_text="Format chosen at import; empty: as detected.")
    ignore = models.JSONField(default=list, blank=True, help_text="Fields that are left out.")
    parsed = models.BinaryField(
        null=True,
        help_text="Its rows, of a large file the first, as they were read: gzipped JSON, until it is cut into parts.",
    )
    report = models.JSONField(null=True, blank=True, help_text="Report on its rows, once imported.")
    status = models.CharField(max_length=8, choices=ImportStatus, default=ImportStatus.PREVIEW)
    so_far = models.JSONField(null=True, blank=True, help_text="What became of the rows that are done.")
    rows = models.PositiveIntegerField(default=0, help_text="Rows to import.")
    done = models.PositiveIntegerField(default=0, help_text="Rows that are imported.")
    attempt = models.PositiveIntegerField(default=0)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = UploadQuerySet.as_manager()

    class Meta:
        # Workers look each second; reading a row's status would lead SQLite through the file before it.
        indexes = [models.Index(fields=["status", "created_at"], name="upload_by_status")]

    def __str__(self) -> str:
        return self.filename

    @property
    def is_moving(self) -> bool:
        """Return whether a worker has something to do with it."""
        return self.status in (ImportStatus.QUEUED, ImportStatus.RUNNING, ImportStatus.UNDOING)

    @property
    def has_rows_left(self) -> bool:
        """Return whether rows of it are kept that a worker can go on with."""
        return self.parsed is not None or self.parts.exists() or self.chunks.exists()

    @property
    def percent(self) -> int:
        """Return how much of it is imported."""
        return 100 * self.done // self.rows if self.rows else 0


class UploadPart(models.Model):
    """Some rows of a file, so that the worker that imports them never holds the whole file; deleted once imported."""

    upload = models.ForeignKey(PromptUpload, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    rows = models.PositiveIntegerField(help_text="Rows that it holds.")
    parsed = models.BinaryField(help_text="The rows as they were read, gzipped JSON.")

    class Meta:
        ordering = ["upload", "number"]
        constraints = [models.UniqueConstraint(fields=["upload", "number"], name="upload_part_once")]

    def __str__(self) -> str:
        return f"part {self.number} of {self.upload_id}"


class UploadChunk(models.Model):
    """A piece of a large file as it was sent, so that no process ever holds the whole file; deleted once it is cut."""

    upload = models.ForeignKey(PromptUpload, on_delete=models.CASCADE, related_name="chunks")
    number = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        ordering = ["upload", "number"]
        constraints = [models.UniqueConstraint(fields=["upload", "number"], name="upload_chunk_once")]

    def __str__(self) -> str:
        return f"chunk {self.number} of {self.upload_id}"


class PolicyVersion(models.Model):
    """An author of completions. v0 is the base model as prepared; later versions are adapters made by a round."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="policies")
    number = models.PositiveIntegerField()
    checkpoint = HomePathField(max_length=1000, help_text="Folder of the model, or of its adapter.")
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="children")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = NumberedQuerySet["PolicyVersion"].as_manager()

    class Meta:
        ordering = ["project", "number"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="policy_number_once_per_project"),
            models.CheckConstraint(
                condition=Q(number=0, parent=None) | Q(number__gt=0, parent__isnull=False),
                name="only_v0_has_no_parent",
            ),
        ]

    def __str__(self) -> str:
        return f"v{self.number}"


class Source(models.TextChoices):
    POLICY = "policy", gettext_lazy("Policy")
    PERSON = "person", gettext_lazy("Person")
    IMPORTED = "imported", gettext_lazy("Imported")


class CompletionQuerySet(RevocableQuerySet["Completion"]):
    def bulk_create(self, objs: Iterable[Completion], *args: Any, **kwargs: Any) -> list[Completion]:
        """Create completions, each in the project of its prompt."""
        made = list(objs)
        for each in made:
            each.follow_prompt()
        return super().bulk_create(made, *args, **kwargs)


class Completion(models.Model):
    """One answer. `sampling` holds the settings that drew it; `logprob` is the sum over its tokens, in nats.

    `project` is that of the prompt: lists of a project's completions need no look at their prompts.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="completions", editable=False)
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="completions")
    source = models.CharField(max_length=8, choices=Source)
    policy = models.ForeignKey(
        PolicyVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="completions"
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="reference_texts",
    )
    text = models.TextField()
    sampling = models.JSONField(default=dict, blank=True)
    logprob = models.FloatField(null=True, blank=True)
    tokens = models.PositiveIntegerField(null=True, blank=True)
    finished = models.BooleanField(default=True, help_text="Finished (EOS); otherwise truncated at the length limit.")
    origin = models.CharField(
        max_length=50, blank=True, help_text="The run that generated it; makes storing results repeatable."
    )
    index = models.PositiveIntegerField(default=0, help_text="Number among the run's responses to this prompt.")
    withdrawn_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Since then not in new tasks.")
    upload = models.ForeignKey(
        PromptUpload, on_delete=models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )  # the file that brought it
    created_at = models.DateTimeField(auto_now_add=True)

    objects = CompletionQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=(
                    Q(source=Source.POLICY, policy__isnull=False, author=None)
                    | Q(source=Source.PERSON, policy=None, author__isnull=False)
                    | Q(source=Source.IMPORTED, policy=None, author=None)
                ),
                name="completion_has_its_author",
            ),
            models.UniqueConstraint(
                fields=["origin", "prompt", "index"], condition=~Q(origin=""), name="completion_settled_once"
            ),
        ]
        indexes = [models.Index(fields=["project", "source"], name="responses_by_source")]

    def __str__(self) -> str:
        return self.text if len(self.text) <= 80 else f"{self.text[:79]}…"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.follow_prompt()
        super().save(*args, **kwargs)

    def follow_prompt(self) -> None:
        """Set the project of a completion that names none yet."""
        if self.project_id is None:
            self.project_id = self.prompt.project_id
