from django.db import migrations

# The methods that took judgments until now; what a round had was theirs.
TRAINED_ON_JUDGMENTS = ["reward"]


def to_runs(apps, schema_editor):
    rounds = apps.get_model('training', 'TrainingRound').objects.exclude(snapshot=None)
    for round in rounds.iterator():
        round.runs.filter(method__in=TRAINED_ON_JUDGMENTS).update(snapshot=round.snapshot_id)


def to_rounds(apps, schema_editor):
    runs = apps.get_model('training', 'TrainingRun').objects.exclude(snapshot=None)
    for run in runs.order_by('-position').iterator():
        apps.get_model('training', 'TrainingRound').objects.filter(pk=run.round_id).update(snapshot=run.snapshot_id)


class Migration(migrations.Migration):

    dependencies = [
        ('training', '0002_run_snapshot'),
    ]

    operations = [
        migrations.RunPython(to_runs, to_rounds),
    ]
