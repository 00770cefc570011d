"""The audit log: who did what to whom, when and from where."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy

from annotation.models.project import Project


class AuditAction(models.TextChoices):
    FIRST_ADMIN = "first-admin", gettext_lazy("First admin created")
    SIGNED_IN = "signed-in", gettext_lazy("Signed in")
    SIGN_IN_FAILED = "sign-in-failed", gettext_lazy("Sign-in failed")
    SIGN_IN_LOCKED = "sign-in-locked", gettext_lazy("Sign-in locked")
    SIGNED_OUT = "signed-out", gettext_lazy("Signed out")
    SIGN_IN_LINKED = "sign-in-linked", gettext_lazy("Sign-in linked")
    ACCOUNT_CREATED = "account-created", gettext_lazy("Account created")
    PASSWORD_SET = "password-set", gettext_lazy("Password set")
    TOKEN_MADE = "token-made", gettext_lazy("API token created")
    TOKEN_REVOKED = "token-revoked", gettext_lazy("API token revoked")
    TOKENS_REFUSED = "tokens-refused", gettext_lazy("Unknown API tokens limited")
    ADMIN_ADDED = "admin-added", gettext_lazy("Added in the administration")
    ADMIN_CHANGED = "admin-changed", gettext_lazy("Changed in the administration")
    ADMIN_DELETED = "admin-deleted", gettext_lazy("Deleted in the administration")
    AUDIT_TRIMMED = "audit-trimmed", gettext_lazy("Old audit entries deleted")
    PROJECT_CREATED = "project-created", gettext_lazy("Project created")
    PROJECT_DELETED = "project-deleted", gettext_lazy("Project deleted")
    SETTINGS = "settings", gettext_lazy("Settings changed")
    CLOSED = "closed", gettext_lazy("Project closed")
    ARCHIVED = "archived", gettext_lazy("Project archived")
    REOPENED = "reopened", gettext_lazy("Project reopened")
    ROLE = "role", gettext_lazy("Role changed")
    REMOVED = "removed", gettext_lazy("Member removed")
    INVITED = "invited", gettext_lazy("Invitation created")
    INVITATION_REVOKED = "invitation-revoked", gettext_lazy("Invitation revoked")
    JOINED = "joined", gettext_lazy("Joined by invitation")
    DOWNLOADED = "downloaded", gettext_lazy("File downloaded")
    EXPORTED = "exported", gettext_lazy("Data exported")
    IMPORTED = "imported", gettext_lazy("Data imported")
    IMPORT_PAUSED = "import-paused", gettext_lazy("Import paused")
    IMPORT_RESUMED = "import-resumed", gettext_lazy("Import resumed")
    IMPORT_UNDONE = "import-undone", gettext_lazy("Import undone")
    MAPPING_SAVED = "mapping-saved", gettext_lazy("Import mapping saved")
    SNAPSHOT = "snapshot", gettext_lazy("Snapshot created")
    WITHDRAWN = "withdrawn", gettext_lazy("Annotator data excluded")
    EXCLUDED = "excluded", gettext_lazy("Annotator excluded")
    EXCLUSION_LIFTED = "exclusion-lifted", gettext_lazy("Exclusion lifted")
    WEIGHTS = "weights", gettext_lazy("Annotator weights updated")
    GOLD_MARKED = "gold-marked", gettext_lazy("Gold task marked")
    GOLD_UNMARKED = "gold-unmarked", gettext_lazy("Gold task unmarked")
    GOLD_PRACTICE = "gold-practice", gettext_lazy("Gold task used for practice")
    ADJUDICATED = "adjudicated", gettext_lazy("Task adjudicated")
    ADJUDICATION_WITHDRAWN = "adjudication-withdrawn", gettext_lazy("Adjudication discarded")
    PROMPT_ADDED = "prompt-added", gettext_lazy("Prompt added")
    PROMPT_EDITED = "prompt-edited", gettext_lazy("Prompt edited")
    RECORDS_CHANGED = "records-changed", gettext_lazy("Records changed")
    SENT_BACK = "sent-back", gettext_lazy("Annotation sent back")
    FLAG_DISMISSED = "flag-dismissed", gettext_lazy("Report dismissed")
    TEXT_WITHDRAWN = "text-withdrawn", gettext_lazy("Reported text withdrawn")
    WEBHOOK_ADDED = "webhook-added", gettext_lazy("Webhook added")
    WEBHOOK_REMOVED = "webhook-removed", gettext_lazy("Webhook removed")
    WEBHOOK_SENT = "webhook-sent", gettext_lazy("Webhook delivery requested")
    ALARM = "alarm", gettext_lazy("Model problem reported")
    ALARM_SETTLED = "alarm-settled", gettext_lazy("Model problem resolved")
    ROUND_STARTED = "round-started", gettext_lazy("Round started")
    ROUND_DESCRIBED = "round-described", gettext_lazy("Round notes changed")
    ROUND_PAUSED = "round-paused", gettext_lazy("Round paused")
    ROUND_RESUMED = "round-resumed", gettext_lazy("Round resumed")
    ROUND_RETRIED = "round-retried", gettext_lazy("Round retried")
    ROUND_CANCELLED = "round-cancelled", gettext_lazy("Round cancelled")
    GATE_PASSED = "gate-passed", gettext_lazy("Quality gate overridden")
    PROMOTED = "promoted", gettext_lazy("Policy activated")
    MODEL_ASKED = "model-asked", gettext_lazy("Model preparation requested")
    PACKAGE = "package", gettext_lazy("Merged model requested")
    SPACE_FREED = "space-freed", gettext_lazy("Files of old runs deleted")
    EVALUATION_CLOSED = "evaluation-closed", gettext_lazy("Evaluation closed")
    TEMPLATE = "template", gettext_lazy("Template saved")
    VERBALIZER = "verbalizer", gettext_lazy("Verbalizer saved")
    AI_JUDGE = "ai-judge", gettext_lazy("AI judge saved")
    AI_JUDGE_RUN = "ai-judge-run", gettext_lazy("AI judge started")
    AI_JUDGE_CANCELLED = "ai-judge-cancelled", gettext_lazy("AI judge stopped")
    FEEDBACK_ERASED = "feedback-erased", gettext_lazy("Feedback erased")
    FEEDBACK_QUEUED = "feedback-queued", gettext_lazy("Tasks created from feedback")
    AI_JUDGE_TAKEN_BACK = "ai-judge-taken-back", gettext_lazy("Takeover of an AI judge ended")
    AUTOPILOT = "autopilot", gettext_lazy("Autopilot changed")
    COMPUTE = "compute", gettext_lazy("Compute changed")
    PERSON_EXPORTED = "person-exported", gettext_lazy("Person's data exported")
    PERSON_ERASED = "person-erased", gettext_lazy("Person erased")


# What these were done to is called by a name or address that people gave, or that stands in a file's name.
OF_A_NAME = {
    AuditAction.TOKEN_MADE,
    AuditAction.TOKEN_REVOKED,
    AuditAction.PROJECT_CREATED,
    AuditAction.PROJECT_DELETED,
    AuditAction.MAPPING_SAVED,
    AuditAction.DOWNLOADED,
    AuditAction.EXPORTED,
    AuditAction.WEBHOOK_ADDED,
    AuditAction.WEBHOOK_REMOVED,
    AuditAction.WEBHOOK_SENT,
    AuditAction.MODEL_ASKED,
    AuditAction.TEMPLATE,
    AuditAction.VERBALIZER,
    AuditAction.AI_JUDGE,
    AuditAction.AI_JUDGE_RUN,
    AuditAction.AI_JUDGE_CANCELLED,
    AuditAction.AI_JUDGE_TAKEN_BACK,
}


class AuditEvent(models.Model):
    """One row, which the database lets nobody change or delete (triggers of the migration of all tables).

    People and projects are named by their ids only: a row outlives both, and holds no name of a person who is erased.
    """

    at = models.DateTimeField(auto_now_add=True)
    action = models.CharField(max_length=30, choices=AuditAction)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, null=True, db_constraint=False, related_name="+"
    )
    subject = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, null=True, db_constraint=False, related_name="+"
    )
    project = models.ForeignKey(
        Project, on_delete=models.DO_NOTHING, null=True, db_constraint=False, related_name="audit_events"
    )
    what = models.CharField(max_length=200, blank=True, help_text="The thing, such as snapshot 3.")
    detail = models.JSONField(default=dict, blank=True)
    address = models.GenericIPAddressField(null=True)
    via = models.CharField(max_length=40, help_text="A page, an API token by its first characters, or the server.")

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["project", "-id"], name="audit_of_a_project")]

    def __str__(self) -> str:
        return f"{self.get_action_display()}: {self.what}" if self.what else self.get_action_display()

    @property
    def what_is_a_name(self) -> bool:
        """Return whether `what` is a name, which no language translates."""
        return self.action in OF_A_NAME
