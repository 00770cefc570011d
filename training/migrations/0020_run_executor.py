"""Runs name the executor that they run by, what they ask it for, and the job that they have there."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("training", "0019_autopilot_has_ranges")]

    operations = [
        migrations.AddField(
            "trainingrun",
            "executor",
            models.CharField(
                blank=True, db_default="", help_text="Where it runs; empty: as the worker's settings say.", max_length=30
            ),
        ),
        migrations.AddField(
            "trainingrun",
            "job",
            models.CharField(
                blank=True,
                db_default="",
                editable=False,
                help_text="executor:submission of its job on another machine, until that one is over.",
                max_length=80,
            ),
        ),
        migrations.AddField(
            "trainingrun",
            "resources",
            models.JSONField(
                blank=True,
                default=dict,
                help_text="CPUs, GPUs, memory and time that its executor is asked for.",
                null=True,
            ),
        ),
    ]
