"""What waits first for each webhook is found by an index, however much waits behind it."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('annotation', '0051_ai_judges'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['webhook', 'status', 'id'], name='first_pending_of_webhook'),
        ),
    ]
