"""How much one round may ask of the workers, which all projects share: responses and tokens, as the operator sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.utils.translation import gettext

from annotation.models import Assignment, ImportedJudgment, Project, Split
from annotation.models.task import JUDGED
from training.methods import METHODS
from training.methods.load import Available


def over_bounds(project: Project, methods: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> str:
    """Return why a round of these methods and settings would draw more than one may; empty where it would not."""
    at_hand = _available(project)
    responses = tokens = 0
    for method, config in zip(methods, configs, strict=True):
        drawn = METHODS[method].answers(config, at_hand)
        responses += drawn
        tokens += drawn * int(config.get("max_new_tokens", 0))
    if responses > settings.ROUND_MOST_RESPONSES:
        return gettext(
            "This round would generate about %(count)s responses; the server allows %(most)s in one round. "
            "Choose fewer prompts, fewer responses per prompt, fewer episodes or rarer evaluations."
        ) % {"count": f"{responses:,}", "most": f"{settings.ROUND_MOST_RESPONSES:,}"}
    if tokens > settings.ROUND_MOST_TOKENS:
        return gettext(
            "This round would generate up to %(count)s tokens; the server allows %(most)s in one round. "
            "Choose fewer or shorter responses."
        ) % {"count": f"{tokens:,}", "most": f"{settings.ROUND_MOST_TOKENS:,}"}
    return ""


def _available(project: Project) -> Available:
    prompts = project.prompts.in_force()
    judged = Assignment.objects.filter(project=project, status__in=JUDGED).count()
    imported = ImportedJudgment.objects.filter(prompt__project=project).count()
    return Available(prompts.count(), prompts.filter(split=Split.EVAL).count(), judged + imported)
