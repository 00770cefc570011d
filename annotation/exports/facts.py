"""What a project knows, as sets that can be compared: what a format loses is what does not come back from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from itertools import combinations
from typing import Any

from django.utils.translation import gettext_noop

from annotation.exports.pool import pool
from annotation.imports.items import texts_below
from annotation.judged.counted import CountedJudgment, Filter, JudgedTask
from annotation.judged.decisions import Decisions
from annotation.judged.imported_labels import labelled_texts
from annotation.judged.preferences import merge
from annotation.judged.rows import judged_tasks
from annotation.models import Completion, Project, SnapshotType, Source

# What a file can lose, in the words of the export page.
KINDS = {
    "prompts": gettext_noop("prompts that stand in no row of it"),
    "systems": gettext_noop("which text is a system message"),
    "categories": gettext_noop("categories"),
    "answers": gettext_noop("answers that stand in no row of it"),
    "pairs": gettext_noop("preferences"),
    "votes": gettext_noop("what each person said"),
    "ties": gettext_noop("ties"),
    "margins": gettext_noop("margins"),
    "lines": gettext_noop("which answers are unacceptable"),
    "ratings": gettext_noop("ratings"),
    "people": gettext_noop("who said it"),
    "reasons": gettext_noop("reasons"),
    "dates": gettext_noop("dates"),
    "references": gettext_noop("reference responses"),
    "labels": gettext_noop("labelled texts"),
    "label_votes": gettext_noop("what each person labelled"),
    "instructions": gettext_noop("accepted tasks"),
}
SAID = ("answers", "pairs", "votes", "ties", "margins", "lines", "ratings", "people", "reasons", "dates", "systems")
# What a snapshot of each type contains; the rest of the project is in other types.
ABOUT: dict[str, tuple[str, ...]] = {
    SnapshotType.PREFERENCE: SAID,
    SnapshotType.RANKING: SAID,
    SnapshotType.UNPAIRED: SAID,
    SnapshotType.JUDGMENTS: SAID,
    SnapshotType.PROMPT_COMPLETION: ("references",),
    SnapshotType.PROMPTS: ("prompts", "categories", "systems"),
    SnapshotType.CLASSIFICATION: ("labels", "label_votes"),
    SnapshotType.INSTRUCTION: ("instructions",),
}
# Of these nothing may come back that is not in the project.
STATED = ("prompts", "preferred", "tied", "below", "labels")
ProjectFacts = dict[str, Counter[Any]]


def facts_of(project: Project, cutoff: datetime, *, folded: bool = False) -> ProjectFacts:
    """Return everything that a project knows by kind. Numbers of rows play no part, texts stand for themselves.

    `folded` takes a system message for the beginning of the first question, as formats without one write it.
    """
    found: ProjectFacts = {kind: Counter() for kind in (*KINDS, *STATED)}
    for prompt in project.prompts.all():
        asked = _asked(prompt.messages, folded=folded)
        found["prompts"][asked, prompt.split if not folded else ""] += 1
        if prompt.messages[0]["role"] == "system":
            found["systems"][_asked(prompt.messages, folded=True)] = 1
        if prompt.category:
            found["categories"][asked, prompt.category] += 1
    for completion in Completion.objects.filter(prompt__project=project).select_related("prompt"):
        reference = completion.source != Source.POLICY and not completion.origin
        asked = _asked(completion.prompt.messages, folded=folded)
        found["references" if reference else "answers"][asked, completion.text] += 1
        if reference and len(asked) == 1 and not project.proposals.exists():
            found["instructions"][asked[0][1], completion.text] += 1
    for item in pool(project, cutoff):
        found["instructions"][texts_below(item.instruction, item.input), item.output] += 1
    for labelled in labelled_texts(project, cutoff):
        if labelled.label is not None:
            found["labels"][labelled.text, labelled.label, labelled.split] += 1
        found["label_votes"] += Counter((labelled.text, vote.label, vote.annotator) for vote in labelled.votes)
    for task in judged_tasks(project, cutoff, Filter(), Counter(), Decisions(project, cutoff), as_made=True):
        _add_task(found, task, folded=folded)
    return found


def _asked(messages: list[dict[str, str]], *, folded: bool) -> tuple[tuple[str, str], ...]:
    turns = tuple((message["role"], message["content"]) for message in messages)
    return _folded(turns) if folded else turns


def _folded(turns: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    if turns[0][0] != "system" or len(turns) < 2:
        return turns
    return ((turns[1][0], f"{turns[0][1]}\n\n{turns[1][1]}"), *turns[2:])


def _add_task(found: ProjectFacts, task: JudgedTask, *, folded: bool) -> None:
    asked = _asked(task.messages, folded=folded)
    text = {pk: answer.text for pk, answer in task.answers.items()}
    for pair in merge([judgment.vote for judgment in task.judgments])[0]:
        found["pairs"][asked, text[pair.chosen], text[pair.rejected]] = 1
    for judgment in task.judgments:
        _add_judgment(found, judgment, (asked, text))


def _add_judgment(found: ProjectFacts, judgment: CountedJudgment, about: tuple[Any, dict[int, str]]) -> None:
    asked, text = about
    tiers = tuple(tuple(sorted(text[pk] for pk in tier)) for tier in judgment.tiers)
    places = [(pk, level) for level, tier in enumerate(judgment.tiers) for pk in tier]
    for (first, level), (second, lower) in combinations(places, 2):
        if not judgment.vote.says_nothing_of(first, second):
            two = (text[first], text[second]) if level < lower else tuple(sorted((text[first], text[second])))
            found["preferred" if level < lower else "tied"][asked, two] = 1
    for pk in judgment.unacceptable:
        found["below"][asked, text[pk]] = 1
    who = judgment.name or ("" if judgment.annotator is None else judgment.who)
    vote = (asked, tiers)
    if any(len(tier) > 1 and not set(tier) <= set(judgment.unranked) for tier in judgment.tiers):
        found["ties"][vote] += 1
    if sum(map(len, tiers)) > 1:
        found["votes"][(*vote, tuple(sorted(text[pk] for pk in judgment.unranked)), round(judgment.weight, 6))] += 1
    if judgment.margin is not None or judgment.strength is not None:
        found["margins"][(*vote, judgment.margin, judgment.strength)] += 1
    for pk in judgment.unacceptable:
        found["lines"][(*vote, text[pk])] += 1
    for key, rated in judgment.ratings.items():
        for name, value in rated.items():
            found["ratings"][asked, text[int(key)], name, float(value)] += 1
    if who:
        found["people"][(*vote, who)] += 1
    if judgment.rationale:
        found["reasons"][(*vote, judgment.rationale)] += 1
    found["dates"][(*vote, judgment.at.isoformat())] += 1


def lost(before: ProjectFacts, after: ProjectFacts, kinds: Iterable[str]) -> set[str]:
    """Return the kinds of which something is missing afterwards."""
    missing = {kind: before[kind] - after[kind] for kind in kinds}
    if "systems" in missing:  # prompts that are missing altogether are counted elsewhere
        there = {_folded(asked) for asked, _ in after["prompts"]}
        missing["systems"] = Counter(asked for asked in missing["systems"] if asked in there)
    return {kind for kind, facts in missing.items() if facts}


def invented(before: ProjectFacts, after: ProjectFacts) -> set[str]:
    """Return the kinds of which something came back that was not in the source."""
    return {kind for kind in STATED if after[kind] - before[kind]}
