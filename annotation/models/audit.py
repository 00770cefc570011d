"""The audit log: who did what to whom, when and from where."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from annotation.models.project import Project


class AuditAction(models.TextChoices):
    FIRST_ADMIN = "first-admin", "First admin created"
    SIGNED_IN = "signed-in", "Signed in"
    SIGN_IN_FAILED = "sign-in-failed", "Sign-in failed"
    SIGN_IN_LOCKED = "sign-in-locked", "Sign-in locked"
    SIGNED_OUT = "signed-out", "Signed out"
    SIGN_IN_LINKED = "sign-in-linked", "Sign-in linked"
    ACCOUNT_CREATED = "account-created", "Account created"
    PASSWORD_SET = "password-set", "Password set"
    TOKEN_MADE = "token-made", "API token created"
    TOKEN_REVOKED = "token-revoked", "API token revoked"
    TOKENS_REFUSED = "tokens-refused", "Unknown API tokens limited"
    ADMIN_ADDED = "admin-added", "Added in the administration"
    ADMIN_CHANGED = "admin-changed", "Changed in the administration"
    ADMIN_DELETED = "admin-deleted", "Deleted in the administration"
    AUDIT_TRIMMED = "audit-trimmed", "Old audit entries deleted"
    PROJECT_CREATED = "project-created", "Project created"
    PROJECT_DELETED = "project-deleted", "Project deleted"
    SETTINGS = "settings", "Settings changed"
    CLOSED = "closed", "Project closed"
    ARCHIVED = "archived", "Project archived"
    REOPENED = "reopened", "Project reopened"
    ROLE = "role", "Role changed"
    REMOVED = "removed", "Member removed"
    INVITED = "invited", "Invitation created"
    INVITATION_REVOKED = "invitation-revoked", "Invitation revoked"
    JOINED = "joined", "Joined by invitation"
    DOWNLOADED = "downloaded", "File downloaded"
    EXPORTED = "exported", "Data exported"
    IMPORTED = "imported", "Data imported"
    IMPORT_PAUSED = "import-paused", "Import paused"
    IMPORT_RESUMED = "import-resumed", "Import resumed"
    IMPORT_UNDONE = "import-undone", "Import undone"
    MAPPING_SAVED = "mapping-saved", "Import mapping saved"
    SNAPSHOT = "snapshot", "Snapshot created"
    WITHDRAWN = "withdrawn", "Annotator data excluded"
    EXCLUDED = "excluded", "Annotator excluded"
    EXCLUSION_LIFTED = "exclusion-lifted", "Exclusion lifted"
    WEIGHTS = "weights", "Annotator weights updated"
    GOLD_MARKED = "gold-marked", "Gold task marked"
    GOLD_UNMARKED = "gold-unmarked", "Gold task unmarked"
    GOLD_PRACTICE = "gold-practice", "Gold task used for practice"
    ADJUDICATED = "adjudicated", "Task adjudicated"
    ADJUDICATION_WITHDRAWN = "adjudication-withdrawn", "Adjudication discarded"
    PROMPT_ADDED = "prompt-added", "Prompt added"
    PROMPT_EDITED = "prompt-edited", "Prompt edited"
    RECORDS_CHANGED = "records-changed", "Records changed"
    SENT_BACK = "sent-back", "Annotation sent back"
    FLAG_DISMISSED = "flag-dismissed", "Report dismissed"
    TEXT_WITHDRAWN = "text-withdrawn", "Reported text withdrawn"
    WEBHOOK_ADDED = "webhook-added", "Webhook added"
    WEBHOOK_REMOVED = "webhook-removed", "Webhook removed"
    WEBHOOK_SENT = "webhook-sent", "Webhook delivery requested"
    ALARM = "alarm", "Model problem reported"
    ALARM_SETTLED = "alarm-settled", "Model problem resolved"
    ROUND_STARTED = "round-started", "Round started"
    ROUND_PAUSED = "round-paused", "Round paused"
    ROUND_RESUMED = "round-resumed", "Round resumed"
    ROUND_RETRIED = "round-retried", "Round retried"
    ROUND_CANCELLED = "round-cancelled", "Round cancelled"
    GATE_PASSED = "gate-passed", "Quality gate overridden"
    PROMOTED = "promoted", "Policy activated"
    MODEL_ASKED = "model-asked", "Model preparation requested"
    PACKAGE = "package", "Merged model requested"
    SPACE_FREED = "space-freed", "Files of old runs deleted"
    EVALUATION_CLOSED = "evaluation-closed", "Evaluation closed"
    TEMPLATE = "template", "Template saved"
    VERBALIZER = "verbalizer", "Verbalizer saved"
    AUTOPILOT = "autopilot", "Autopilot changed"
    PERSON_EXPORTED = "person-exported", "Person's data exported"
    PERSON_ERASED = "person-erased", "Person erased"


class AuditEvent(models.Model):
    """One row, which the database lets nobody change or delete (triggers of migrations 0018 and 0029).

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
