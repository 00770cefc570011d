"""How many preference pairs of held-out prompts a project has, counted no further than anybody asks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from django.utils import timezone

from annotation.judged.decisions import Decisions
from annotation.judged.preferences import Vote, merge
from annotation.judged.rows import rankings_that_count
from annotation.models import ImportedJudgment, Project, Split

MOST_COUNTED = 300  # rankings that are read: several times as many as any gate asks for


@dataclass(frozen=True)
class HeldOut:
    """Pairs with a majority on held-out prompts, the prompts that have one, and the rankings that were read."""

    pairs: int
    prompts: int
    rankings: int

    @property
    def pairs_of_a_ranking(self) -> float | None:
        """Return the mean number of pairs that one ranking brought; None before the first one."""
        return self.pairs / self.rankings if self.rankings else None


def held_out(project: Project) -> HeldOut:
    """Return the held-out pairs of the first MOST_COUNTED rankings and imported ones, as a snapshot would have them."""
    votes, prompt_of = _votes(project)
    pairs = {task: len(merge(said)[0]) for task, said in votes.items()}
    prompts = {prompt_of[task] for task, found in pairs.items() if found}
    return HeldOut(sum(pairs.values()), len(prompts), sum(map(len, votes.values())))


def _votes(project: Project) -> tuple[dict[object, list[Vote]], dict[object, int]]:
    """Return the rankings of each task or imported set, and its prompt."""
    decisions = Decisions(project, timezone.now())
    votes: dict[object, list[Vote]] = defaultdict(list)
    prompt_of: dict[object, int] = {}
    read = rankings_that_count(project).filter(assignment__task__prompt__split=Split.EVAL)
    columns = ("tiers", "unacceptable", "unranked", "strength", "assignment__annotator_id")
    place = ("assignment__task_id", "assignment__task__prompt_id")
    for *said, person, task, prompt in read.order_by("pk").values_list(*columns, *place)[:MOST_COUNTED]:
        if person in decisions.excluded and task not in decisions.decided:
            continue
        tiers, unacceptable, unranked, strength = said
        prompt_of[task] = prompt
        if order := decisions.decided.get(task):  # a reviewer's order takes the place of all of them
            votes[task] = [Vote(order.tiers, order.unacceptable)]
        else:
            votes[task].append(Vote(tiers, unacceptable, decisions.weight(person), unranked, strength))
    imported = ImportedJudgment.objects.filter(prompt__project=project, prompt__split=Split.EVAL)
    for each in imported.order_by("pk")[:MOST_COUNTED]:
        prompt_of[each.prompt_id, each.group] = each.prompt_id
        votes[each.prompt_id, each.group].append(
            Vote(each.tiers, each.unacceptable, each.weight, each.unranked, each.strength)
        )
    return votes, prompt_of
