"""Mail and deliveries are due by the database's clock."""

from __future__ import annotations

from django.db import migrations, models

import annotation.clock

DUE = models.DateTimeField(default=annotation.clock.now, help_text="During an attempt: when it counts as lost.")


class Migration(migrations.Migration):
    dependencies = [("annotation", "0043_response_length")]

    operations = [
        migrations.AlterField("delivery", "next_attempt_at", DUE),
        migrations.AlterField("mailmessage", "next_attempt_at", DUE),
    ]
