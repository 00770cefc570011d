"""Reasons of AI judges are kept no more: nothing showed them, and they may quote a text that is erased later."""

import importlib

from django.db import migrations, models

_first = importlib.import_module("annotation.migrations.0051_ai_judges")


def trigger_again(apps, schema_editor):
    """Create the trigger of judgments anew where SQLite has made their table anew."""
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TRIGGER IF EXISTS ai_judgment_no_update")
        schema_editor.execute(_first.SQLITE[1], params=None)


class Migration(migrations.Migration):

    dependencies = [
        ('annotation', '0055_feedback_history_and_masking'),
    ]

    operations = [
        migrations.AddField(
            model_name='aijudgerun',
            name='resumed_at',
            field=models.DateTimeField(blank=True, help_text='When an admin last resumed it.', null=True),
        ),
        migrations.RunPython(migrations.RunPython.noop, trigger_again, elidable=False),
        migrations.RemoveField(
            model_name='aijudgment',
            name='reasons',
        ),
        migrations.RunPython(trigger_again, migrations.RunPython.noop, elidable=False),
    ]
