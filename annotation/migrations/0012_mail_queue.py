"""Mail and webhook deliveries move by one rule: a mail knows how many attempts it is allowed, too."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
from django.db.models import F


def allow_what_was_made(apps, schema_editor):
    """A mail whose last attempt was lost could be attempted once more than the six that are allowed."""
    apps.get_model("annotation", "MailMessage").objects.filter(attempts__gt=6).update(attempts_allowed=F("attempts"))


class Migration(migrations.Migration):
    dependencies = [
        ("annotation", "0011_letters"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="letter", name="letter_final_means_finished_at"),
        migrations.RemoveIndex(model_name="letter", name="letter_pending"),
        migrations.RenameModel(old_name="Letter", new_name="MailMessage"),
        migrations.AddField(
            model_name="mailmessage",
            name="attempts_allowed",
            field=models.PositiveIntegerField(default=6, help_text="After so many it has failed."),
            preserve_default=False,
        ),
        migrations.RunPython(allow_what_was_made, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="mailmessage",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="mail", to="annotation.project"
            ),
        ),
        migrations.AlterField(
            model_name="mailmessage",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="mail", to=settings.AUTH_USER_MODEL
            ),
        ),
        *(
            migrations.AlterField(
                model_name=name,
                name="last_answer",
                field=models.TextField(blank=True, help_text="How the last answer began, or why there was none."),
            )
            for name in ("delivery", "mailmessage")
        ),
        *(
            migrations.AlterField(
                model_name=name,
                name="next_attempt_at",
                field=models.DateTimeField(
                    default=django.utils.timezone.now, help_text="During an attempt: when it counts as lost."
                ),
            )
            for name in ("delivery", "mailmessage")
        ),
        migrations.AddIndex(
            model_name="mailmessage",
            index=models.Index(
                condition=models.Q(("status", "pending")), fields=["next_attempt_at"], name="mailmessage_pending"
            ),
        ),
        migrations.AddConstraint(
            model_name="mailmessage",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("finished_at", None), ("status", "pending")),
                    models.Q(("finished_at__isnull", False), ("status__in", ["delivered", "failed"])),
                    _connector="OR",
                ),
                name="mailmessage_final_means_finished_at",
            ),
        ),
        migrations.AddConstraint(
            model_name="mailmessage",
            constraint=models.CheckConstraint(
                condition=models.Q(("attempts__lte", F("attempts_allowed"))),
                name="mailmessage_attempts_within_allowed",
            ),
        ),
    ]
