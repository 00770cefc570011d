from pathlib import Path

from django.conf import settings
from django.db import migrations

import annotation.models.home_path


def make_relative(apps, schema_editor):
    """Store checkpoints by their place in PREFLOOP_HOME; one that was moved with it is found by the end of its path."""
    versions = apps.get_model("annotation", "PolicyVersion").objects.using(schema_editor.connection.alias)
    for version in versions.all():
        path = Path(version.checkpoint)
        if not path.exists():
            ends = (Path(settings.HOME).joinpath(*path.parts[-length:]) for length in range(len(path.parts) - 1, 1, -1))
            path = next((found for found in ends if found.exists()), path)
        versions.filter(pk=version.pk).update(checkpoint=str(path))


class Migration(migrations.Migration):
    dependencies = [
        ("annotation", "0024_import_jobs"),
    ]

    operations = [
        migrations.AlterField(
            model_name="policyversion",
            name="checkpoint",
            field=annotation.models.home_path.HomePathField(
                help_text="Folder of the model, or of its adapter.", max_length=1000
            ),
        ),
        migrations.RunPython(make_relative, migrations.RunPython.noop),
    ]
