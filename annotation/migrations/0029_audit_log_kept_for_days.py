from django.db import migrations, models

# PostgreSQL: TRUNCATE is refused as well, and older rows can be deleted by a transaction that says until when
# (annotation.audit.trim). SQLite has no TRUNCATE; there the trigger is lifted for that transaction.
ONLY_GROWS = "The audit log only grows: its rows are neither changed nor deleted."
FUNCTION = """
CREATE OR REPLACE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF OLD.at < NULLIF(current_setting('prefloop.audit_deletable_before', true), '')::timestamptz THEN
      RETURN OLD;
    END IF;
  END IF;
  RAISE EXCEPTION '{0}' USING ERRCODE = 'integrity_constraint_violation';
END $$
""".format(ONLY_GROWS)
OLD_FUNCTION = (
    "CREATE OR REPLACE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{ONLY_GROWS}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
)
TRUNCATE = (
    "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON annotation_auditevent "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows()"
)


def add(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(FUNCTION)
        schema_editor.execute(TRUNCATE)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TRIGGER IF EXISTS audit_no_truncate ON annotation_auditevent")
        schema_editor.execute(OLD_FUNCTION)


class Migration(migrations.Migration):

    dependencies = [
        ('annotation', '0028_upload_by_status'),
    ]

    operations = [
        migrations.RunPython(add, drop, elidable=False),
        migrations.AlterField(
            model_name='auditevent',
            name='action',
            field=models.CharField(choices=[('first-admin', 'First admin made'), ('signed-in', 'Signed in'), ('sign-in-failed', 'Sign-in failed'), ('sign-in-locked', 'Sign-in locked'), ('signed-out', 'Signed out'), ('sign-in-linked', 'Sign-in linked'), ('account-created', 'Account created'), ('password-set', 'Password set'), ('token-made', 'API token made'), ('token-revoked', 'API token revoked'), ('tokens-refused', 'Unknown API tokens limited'), ('admin-added', 'Added in the administration'), ('admin-changed', 'Changed in the administration'), ('admin-deleted', 'Deleted in the administration'), ('audit-trimmed', 'Old audit entries deleted'), ('project-created', 'Project created'), ('project-deleted', 'Project deleted'), ('settings', 'Settings changed'), ('closed', 'Project closed'), ('archived', 'Project archived'), ('reopened', 'Project reopened'), ('role', 'Role given'), ('removed', 'Member removed'), ('invited', 'Invitation made'), ('invitation-revoked', 'Invitation revoked'), ('joined', 'Joined by invitation'), ('downloaded', 'File downloaded'), ('exported', 'Data exported'), ('imported', 'Data imported'), ('import-paused', 'Import paused'), ('import-resumed', 'Import resumed'), ('import-undone', 'Import undone'), ('mapping-saved', 'Import mapping saved'), ('snapshot', 'Snapshot taken'), ('withdrawn', 'Judgments withdrawn'), ('excluded', 'Annotator excluded'), ('exclusion-lifted', 'Exclusion lifted'), ('weights', 'Weights of annotators computed'), ('gold-marked', 'Known answer marked'), ('gold-unmarked', 'Known answer unmarked'), ('gold-practice', 'Known answer for practice'), ('adjudicated', 'Task decided by a reviewer'), ('adjudication-withdrawn', "Reviewer's decision withdrawn"), ('sent-back', 'Annotation sent back'), ('flag-dismissed', 'Flag dismissed'), ('text-withdrawn', 'Flagged text withdrawn'), ('webhook-added', 'Webhook added'), ('webhook-removed', 'Webhook removed'), ('webhook-sent', 'Webhook delivery asked for'), ('alarm', 'Alarm raised'), ('alarm-settled', 'Alarm settled'), ('round-started', 'Round started'), ('round-paused', 'Round paused'), ('round-resumed', 'Round resumed'), ('round-retried', 'Round retried'), ('round-cancelled', 'Round cancelled'), ('gate-passed', 'Gate passed by hand'), ('promoted', 'Policy promoted'), ('model-asked', 'Preparation of a model asked for'), ('package', 'Merged model asked for'), ('space-freed', 'Files of old runs deleted'), ('evaluation-closed', 'Evaluation closed'), ('template', 'Template saved'), ('verbalizer', 'Verbalizer saved'), ('autopilot', 'Autopilot set'), ('person-exported', "Person's data exported"), ('person-erased', 'Person erased')], max_length=30),
        ),
    ]
