"""All tables of a new database at once; a database that has taken steps 1 to 18 has them already."""

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import training.models.rounds
from django.conf import settings
from django.db import migrations, models

from annotation.migrations._create import CreateModels


class Migration(migrations.Migration):

    replaces = [
        ('training', '0001_initial'),
        ('training', '0002_run_snapshot'),
        ('training', '0003_snapshots_to_runs'),
        ('training', '0004_round_without_snapshot'),
        ('training', '0005_gate'),
        ('training', '0006_pause_and_retry'),
        ('training', '0007_prompt_tuning'),
        ('training', '0008_autopilot_policies_and_playground'),
        ('training', '0009_autopilot_like'),
        ('training', '0010_metric_names'),
        ('training', '0011_worker_signs'),
        ('training', '0012_plain_names'),
        ('training', '0013_round_and_run_status'),
        ('training', '0014_preparations'),
        ('training', '0015_words'),
        ('training', '0016_stages_and_notes'),
        ('training', '0017_field_words'),
        ('training', '0018_run_key_and_submission'),
    ]

    initial = True

    dependencies = [
        ('annotation', '0040_preferences'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        # All of it first: a step of that app would build all our models again.
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        CreateModels([
            migrations.CreateModel(
                name='WorkerSign',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('name', models.CharField(help_text='host:process', max_length=255, unique=True)),
                    ('seen_at', models.DateTimeField()),
                ],
            ),
            migrations.CreateModel(
                name='Exchange',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('messages', models.JSONField(help_text='The whole conversation so far, the question last.')),
                    ('max_new_tokens', models.PositiveIntegerField()),
                    ('temperature', models.FloatField()),
                    ('outcome', models.CharField(blank=True, choices=[('left', 'A is better'), ('tie', 'As good'), ('right', 'B is better')], max_length=5)),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('asked_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='exchanges', to=settings.AUTH_USER_MODEL)),
                    ('follows', models.ForeignKey(blank=True, help_text='The exchange that this one continues.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='followed_by', to='training.exchange')),
                    ('left', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='annotation.policyversion')),
                    ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='exchanges', to='annotation.project')),
                    ('right', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='annotation.policyversion')),
                    ('task', models.OneToOneField(blank=True, help_text='Where the verdict is stored as an annotation.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='exchange', to='annotation.task')),
                ],
                options={
                    'ordering': ['-id'],
                    'constraints': [models.CheckConstraint(condition=models.Q(('right', None), models.Q(('right', models.F('left')), _negated=True), _connector='OR'), name='no_version_is_compared_with_itself'), models.CheckConstraint(condition=models.Q(('outcome', ''), ('right__isnull', False), _connector='OR'), name='only_two_versions_have_an_outcome')],
                },
            ),
            migrations.CreateModel(
                name='Package',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('status', models.CharField(choices=[('queued', 'Queued'), ('running', 'Being merged'), ('ready', 'Ready'), ('failed', 'Failed')], default='queued', max_length=7)),
                    ('attempt', models.PositiveSmallIntegerField(default=0)),
                    ('heartbeat_at', models.DateTimeField(blank=True, null=True)),
                    ('error', models.TextField(blank=True)),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('policy', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='package', to='annotation.policyversion')),
                ],
                options={
                    'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('status', 'running'), _negated=True), ('heartbeat_at__isnull', False), _connector='OR'), name='running_package_has_a_heartbeat')],
                },
            ),
            migrations.CreateModel(
                name='Preparation',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('model', models.CharField(help_text='Hugging Face id or local path, as the project named it.', max_length=500)),
                    ('status', models.CharField(choices=[('queued', 'Queued'), ('running', 'Being prepared'), ('ready', 'Ready'), ('failed', 'Failed')], default='queued', max_length=7)),
                    ('attempt', models.PositiveSmallIntegerField(default=0)),
                    ('heartbeat_at', models.DateTimeField(blank=True, null=True)),
                    ('phase', models.CharField(blank=True, help_text='What the worker does now, in words.', max_length=300)),
                    ('percent', models.PositiveSmallIntegerField(blank=True, help_text='Of this phase, where it is known.', null=True)),
                    ('error', models.TextField(blank=True)),
                    ('asked_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('project', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='preparation', to='annotation.project')),
                ],
                options={
                    'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('status', 'running'), _negated=True), ('heartbeat_at__isnull', False), _connector='OR'), name='running_preparation_has_a_heartbeat'), models.CheckConstraint(condition=models.Q(('percent__isnull', True), ('percent__lte', 100), _connector='OR'), name='preparation_percent_at_most_100')],
                },
            ),
            migrations.CreateModel(
                name='Promotion',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('number', models.PositiveIntegerField()),
                    ('why', models.CharField(max_length=500)),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('by', models.ForeignKey(blank=True, help_text='Empty where a round activated its result.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='promotions', to=settings.AUTH_USER_MODEL)),
                    ('policy', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='promotions', to='annotation.policyversion')),
                    ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='promotions', to='annotation.project')),
                ],
                options={
                    'ordering': ['project', '-number'],
                    'constraints': [models.UniqueConstraint(fields=('project', 'number'), name='promotion_number_once_per_project')],
                },
            ),
            migrations.CreateModel(
                name='Reply',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('side', models.CharField(choices=[('left', 'A'), ('right', 'B')], max_length=5)),
                    ('status', models.CharField(choices=[('queued', 'Waiting'), ('running', 'Writing'), ('done', 'Done'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='queued', max_length=9)),
                    ('text', models.TextField(blank=True)),
                    ('tokens', models.PositiveIntegerField(default=0)),
                    ('seconds', models.FloatField(default=0.0)),
                    ('finished', models.BooleanField(default=False, help_text='Finished (EOS); otherwise truncated at the length limit.')),
                    ('error', models.TextField(blank=True)),
                    ('attempt', models.PositiveSmallIntegerField(default=0)),
                    ('heartbeat_at', models.DateTimeField(blank=True, null=True)),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('exchange', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='replies', to='training.exchange')),
                ],
                options={
                    'ordering': ['id'],
                    'indexes': [models.Index(condition=models.Q(('status__in', ['queued', 'running'])), fields=['status', 'id'], name='reply_to_write_next')],
                    'constraints': [models.UniqueConstraint(fields=('exchange', 'side'), name='one_reply_per_side'), models.CheckConstraint(condition=models.Q(models.Q(('status', 'running'), _negated=True), ('heartbeat_at__isnull', False), _connector='OR'), name='running_reply_has_a_heartbeat')],
                },
            ),
            migrations.CreateModel(
                name='TemplateVersion',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('name', models.CharField(max_length=60)),
                    ('version', models.PositiveIntegerField(default=1)),
                    ('body', models.TextField(max_length=2000)),
                    ('language', models.CharField(blank=True, help_text='Language code, such as en, de or zh.', max_length=20)),
                    ('notes', models.CharField(blank=True, max_length=500)),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('created_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='templates', to='annotation.project')),
                ],
                options={
                    'ordering': ['name', '-version'],
                    'constraints': [models.UniqueConstraint(fields=('project', 'name', 'version'), name='template_version_once_per_name')],
                },
            ),
            migrations.CreateModel(
                name='TrainingRound',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('number', models.PositiveIntegerField()),
                    ('status', models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('cancelled', 'Cancelled'), ('stopped', 'Stopped at a gate'), ('paused', 'Paused')], default='queued', max_length=9)),
                    ('reason', models.CharField(blank=True, help_text='Why it stopped, where it did not succeed.', max_length=500)),
                    ('autopilot_reason', models.CharField(blank=True, help_text='Why the autopilot started it; empty where a person did.', max_length=500)),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('finished_at', models.DateTimeField(blank=True, null=True)),
                    ('notes', models.TextField(blank=True, max_length=4000)),
                    ('tags', models.JSONField(blank=True, default=list, help_text='Short words to find it by.')),
                    ('is_baseline', models.BooleanField(default=False, help_text='The round that others are compared with.')),
                    ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='rounds', to='annotation.project')),
                    ('started_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL)),
                ],
                options={
                    'ordering': ['project', '-number'],
                    'constraints': [models.UniqueConstraint(fields=('project', 'number'), name='round_number_once_per_project'), models.UniqueConstraint(condition=models.Q(('status__in', ['queued', 'running'])), fields=('project',), name='one_active_round_per_project'), models.UniqueConstraint(condition=models.Q(('is_baseline', True)), fields=('project',), name='one_baseline_round_per_project'), models.CheckConstraint(condition=models.Q(models.Q(('finished_at', None), ('status__in', ['queued', 'running', 'stopped', 'paused'])), models.Q(('finished_at__isnull', False), ('status__in', ['succeeded', 'failed', 'cancelled'])), _connector='OR'), name='round_final_means_finished_at')],
                },
            ),
            migrations.CreateModel(
                name='Autopilot',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('enabled', models.BooleanField(default=False, verbose_name='On')),
                    ('every_judgments', models.PositiveIntegerField(default=100, help_text='A round starts after this many; 0 = off.', verbose_name='New annotations')),
                    ('every_days', models.PositiveIntegerField(default=0, help_text='A round starts this long after the last one, if there are new annotations; 0 = off.', verbose_name='Days')),
                    ('plan', models.CharField(default='reward,ppo,sample', max_length=100, verbose_name='Plan')),
                    ('preset', models.CharField(default='standard', max_length=20, verbose_name='Effort')),
                    ('max_queue_hours', models.FloatField(default=8.0, help_text='While the queue holds more work than this, a round trains without sampling.', validators=[django.core.validators.MinValueValidator(0.0), django.core.validators.MaxValueValidator(100000.0)], verbose_name='Queue limit, hours')),
                    ('owes_sampling', models.BooleanField(default=False, editable=False, help_text='Its last round left sampling out because the queue was full.')),
                    ('said', models.CharField(blank=True, editable=False, help_text='Its last decision, with the reason.', max_length=500)),
                    ('looked_at', models.DateTimeField(blank=True, editable=False, null=True)),
                    ('project', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='autopilot', to='annotation.project')),
                    ('set_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL)),
                    ('like', models.ForeignKey(blank=True, help_text="All settings of that round's methods; they take precedence over the effort.", null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='training.traininground', verbose_name='Copy settings from')),
                ],
                options={
                    'constraints': [models.CheckConstraint(condition=models.Q(('enabled', False), ('every_judgments__gt', 0), ('every_days__gt', 0), _connector='OR'), name='autopilot_has_a_cause')],
                },
            ),
            migrations.CreateModel(
                name='TrainingRun',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('position', models.PositiveSmallIntegerField(help_text='Order of the runs of a round.')),
                    ('method', models.CharField(max_length=30)),
                    ('config', models.JSONField(default=dict)),
                    ('inputs', models.JSONField(blank=True, default=dict, help_text='Inputs beside models and data.')),
                    ('status', models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='queued', max_length=9)),
                    ('key', models.CharField(db_default='', default=training.models.rounds.new_key, editable=False, help_text='In the name of its folder; empty in old rows.', max_length=10)),
                    ('attempt', models.PositiveSmallIntegerField(default=0)),
                    ('submission', models.CharField(blank=True, db_default='', editable=False, help_text='Which claim of it is in force: no other one may write.', max_length=40)),
                    ('attempts_before_retry', models.PositiveSmallIntegerField(default=0, help_text='Attempts before an admin retried the round: they do not count.')),
                    ('heartbeat_at', models.DateTimeField(blank=True, null=True)),
                    ('progress_done', models.PositiveIntegerField(default=0)),
                    ('progress_total', models.PositiveIntegerField(default=0)),
                    ('progress_unit', models.CharField(blank=True, max_length=30)),
                    ('progressed_at', models.DateTimeField(blank=True, help_text='When progress_done last grew.', null=True)),
                    ('seconds_each', models.FloatField(blank=True, help_text='Measured seconds of a unit of progress, smoothed; null until it is known.', null=True)),
                    ('phase', models.CharField(blank=True, help_text='What its recipe says that it does now.', max_length=60)),
                    ('result', models.JSONField(blank=True, default=dict)),
                    ('error', models.TextField(blank=True)),
                    ('gate_overridden_at', models.DateTimeField(blank=True, null=True)),
                    ('started_at', models.DateTimeField(blank=True, null=True)),
                    ('finished_at', models.DateTimeField(blank=True, null=True)),
                    ('gate_overridden_by', models.ForeignKey(blank=True, help_text='Who overrode the failed quality gate of this run.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('policy', models.OneToOneField(blank=True, help_text='The version this run made.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='made_by', to='annotation.policyversion')),
                    ('round', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='runs', to='training.traininground')),
                    ('snapshot', models.ForeignKey(blank=True, help_text='The annotations it trains on, where its method uses any.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='annotation.datasetsnapshot')),
                ],
                options={
                    'ordering': ['round', 'position'],
                    'indexes': [models.Index(fields=['status', 'heartbeat_at'], name='training_tr_status_70fae7_idx')],
                    'constraints': [models.UniqueConstraint(fields=('round', 'position'), name='one_run_per_position'), models.CheckConstraint(condition=models.Q(models.Q(('finished_at', None), ('status__in', ['queued', 'running'])), models.Q(('finished_at__isnull', False), ('status__in', ['succeeded', 'failed', 'cancelled'])), _connector='OR'), name='run_final_means_finished_at')],
                },
            ),
            migrations.CreateModel(
                name='Metric',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('step', models.PositiveIntegerField()),
                    ('name', models.CharField(max_length=60)),
                    ('value', models.FloatField()),
                    ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='metrics', to='training.trainingrun')),
                ],
                options={
                    'constraints': [models.UniqueConstraint(fields=('run', 'name', 'step'), name='metric_once_per_step')],
                },
            ),
            migrations.CreateModel(
                name='VerbalizerVersion',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('name', models.CharField(max_length=60)),
                    ('version', models.PositiveIntegerField(default=1)),
                    ('words', models.JSONField(help_text='Label to its label words.')),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('created_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='verbalizers', to='annotation.project')),
                ],
                options={
                    'ordering': ['name', '-version'],
                    'constraints': [models.UniqueConstraint(fields=('project', 'name', 'version'), name='verbalizer_version_once_per_name')],
                },
            ),
        ]),
    ]
