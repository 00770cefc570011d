"""A task says whether its judgment can be taken back; what the playground opened had that in its origin."""

from django.db import migrations, models


def playground_is_final(apps, schema_editor):
    tasks = apps.get_model("annotation", "Task").objects
    tasks.filter(origin__startswith="playground-").update(can_be_undone=False)


class Migration(migrations.Migration):
    dependencies = [("annotation", "0015_chat_settings")]

    operations = [
        migrations.AddField(
            model_name="task",
            name="can_be_undone",
            field=models.BooleanField(
                default=True, help_text="Whether a judgment of it can be taken back; not where it showed who wrote what."
            ),
        ),
        migrations.RunPython(playground_is_final, migrations.RunPython.noop),
    ]
