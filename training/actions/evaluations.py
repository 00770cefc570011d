"""Starting an evaluation by people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.utils.translation import gettext, gettext_noop

from annotation.errors import NotPossible
from annotation.models import PolicyVersion, Project
from training.actions import rounds
from training.methods.inherited import with_inherited
from training.methods.plans import configs_of
from training.models import TrainingRound
from training.products import comparisons
from training.products.chat import inherited_settings

METHOD = "evaluate"
NO_REFERENCES = gettext_noop("No held-out prompt has a reference response yet, so there is nothing to compare with.")


def start_evaluation(
    *,
    project: Project,
    by: User | None,
    version: PolicyVersion,
    opponent: PolicyVersion | None,
    settings: Mapping[str, Any] | None = None,
) -> TrainingRound:
    """Queue and return a round of one run that draws both sides' answers; their comparisons join the queue afterwards.

    Without an opponent it is people's reference answers. Raises NotPossible, InvalidConfig.
    """
    if version == opponent:
        raise NotPossible(
            gettext("%(version)s cannot be compared with itself. Choose another version, or reference responses.")
            % {"version": version}
        )
    given = with_inherited([METHOD], {METHOD: settings or {}}, inherited_settings(project))
    (config,) = configs_of([METHOD], given)
    if why_not := rounds.refusal(project, [METHOD], [config], with_inputs=True):
        raise NotPossible(why_not)
    if opponent is None and not comparisons.with_references(comparisons.prompts(project)).exists():
        raise NotPossible(gettext(NO_REFERENCES))
    sides = {"version": version.number, "opponent": opponent.number if opponent else None}
    return rounds.queue_round(project=project, by=by, planned=[(METHOD, config, None, sides)])
