"""Names that say what the columns hold."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("training", "0011_worker_signs")]

    operations = [
        migrations.RenameField("traininground", "by_itself", "autopilot_reason"),
        migrations.RenameField("trainingrun", "forgiven", "attempts_before_retry"),
        migrations.RenameField("trainingrun", "let_through_by", "gate_overridden_by"),
        migrations.RenameField("trainingrun", "let_through_at", "gate_overridden_at"),
        migrations.AlterField(
            model_name='trainingrun',
            name='attempts_before_retry',
            field=models.PositiveSmallIntegerField(default=0, help_text='Attempts made before an admin had the round tried again: they do not count.'),
        ),
        migrations.AlterField(
            model_name='trainingrun',
            name='gate_overridden_by',
            field=models.ForeignKey(blank=True, help_text='Who had the round go on although this run did not pass its gate.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
    ]
