"""Metrics of earlier runs get the names of lm-human-preferences, as those of new runs have."""

from django.db import migrations

RENAMED = {
    "objective/reward_total": "objective/score_total",
    "ppo/policy_loss": "ppo/loss/policy",
    "ppo/value_loss": "ppo/loss/value",
    "ppo/clipfrac": "ppo/policy/clipfrac",
    "ppo/approxkl": "ppo/policy/approxkl",
    "ppo/explained_variance": "ppo/val/var_explained",
    "rloo/clipfrac": "rloo/policy/clipfrac",
}
ENTROPY = "objective/entropy"
METHODS = ("ppo", "rloo")


def rename(apps, schema_editor):
    metrics = apps.get_model("training", "Metric").objects
    for old, new in RENAMED.items():
        metrics.filter(name=old).update(name=new)
    for method in METHODS:
        metrics.filter(name=ENTROPY, run__method=method).update(name=f"{method}/policy/entropy")


def rename_back(apps, schema_editor):
    metrics = apps.get_model("training", "Metric").objects
    for old, new in RENAMED.items():
        metrics.filter(name=new).update(name=old)
    for method in METHODS:
        metrics.filter(name=f"{method}/policy/entropy").update(name=ENTROPY)


class Migration(migrations.Migration):
    dependencies = [("training", "0009_autopilot_like")]
    operations = [migrations.RunPython(rename, rename_back)]
