import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('annotation', '0002_snapshot_types'),
        ('training', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='trainingrun',
            name='snapshot',
            field=models.ForeignKey(blank=True, help_text='The judgments it trains on, where its method takes any.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='annotation.datasetsnapshot'),
        ),
    ]
