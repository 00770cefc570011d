"""Runs have a key, in the names of their folders, and the name of the claim that is in force.

Folders of earlier runs keep their names: their key stays empty.
"""

from __future__ import annotations

from django.db import migrations, models

import training.models.rounds


class Migration(migrations.Migration):
    dependencies = [("training", "0017_field_words")]

    operations = [
        migrations.AddField(
            "trainingrun",
            "key",
            models.CharField(
                db_default="",
                default="",
                editable=False,
                help_text="In the name of its folder; empty in old rows.",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            "trainingrun",
            "key",
            models.CharField(
                db_default="",
                default=training.models.rounds.new_key,
                editable=False,
                help_text="In the name of its folder; empty in old rows.",
                max_length=10,
            ),
        ),
        migrations.AddField(
            "trainingrun",
            "submission",
            models.CharField(
                blank=True,
                db_default="",
                editable=False,
                help_text="Which claim of it is in force: no other one may write.",
                max_length=40,
            ),
        ),
    ]
