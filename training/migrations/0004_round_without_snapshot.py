from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('training', '0003_snapshots_to_runs'),
    ]

    operations = [
        migrations.RemoveField(
            model_name='traininground',
            name='snapshot',
        ),
    ]
