"""Everything that the quality page and the API show of a project, as plain JSON.

A worker makes it where a project is large: annotation/actions/quality_figures.py.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import combinations
from statistics import fmean
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.translation import gettext_noop

from annotation.models import (
    Assignment,
    Exclusion,
    Membership,
    Project,
    Purpose,
    Ranking,
    SeatStatus,
    Task,
    UnaryJudgment,
)
from annotation.models.task import UNDO_WITHIN
from annotation.pseudonyms import name_of
from annotation.quality import agreement, bias, reliability
from annotation.quality.figures import Figure, unknown
from annotation.quality.labels import label_report
from annotation.quality.records import MOST_READ, Record, Records, read_records
from annotation.quality.unary import unary_report

Report = dict[str, Any]
MOST_CONTESTED = 500
MOST_TWOS = 20
COMMON_ITEMS = 10
SKIP_REASONS = 10
NO_REASON = gettext_noop("no reason given")


def quality_report(project: Project, *, to: User | None = None) -> Report:
    """Return the figures of now. `to`: a person who may still judge; tasks that are blind to them are left out."""
    return with_people(project, build_report(project, to))


def with_people(project: Project, report: Report) -> Report:
    """Return a report with the name, the weight and the exclusion in force of each annotator, whenever it was made."""
    people = [person["id"] for person in report["annotators"]]
    named = User.objects.filter(pk__in=people).values_list("pk", "username")
    names = {pk: name_of(project.pk, pk, username) for pk, username in named}
    used = dict(Membership.objects.filter(project=project).values_list("user_id", "weight"))
    excluded = {
        row.annotator_id: {"reason": row.reason, "by": row.excluded_by.get_username(), "at": row.created_at}
        for row in Exclusion.objects.in_force().filter(project=project).select_related("excluded_by")
    }
    rows = [
        {**person, "username": names[pk], "weight": used.get(pk, 1.0), "excluded": excluded.get(pk)}
        for person in report["annotators"]
        if (pk := person["id"]) in names
    ]
    twos = [
        {**{name: value for name, value in row.items() if name != "ids"}, "people": [names[pk] for pk in row["ids"]]}
        for row in report["by_two"]
        if all(pk in names for pk in row["ids"])
    ]
    return {**report, "annotators": sorted(rows, key=lambda row: row["username"].lower()), "by_two": twos}


def build_report(project: Project, to: User | None = None) -> Report:
    """Return all figures of a project, with its annotators by the number of their account."""
    blind = set(Task.objects.filter(project=project).blind_to(to).values_list("pk", flat=True)) if to else set()
    records = read_records(project).without(blind)
    is_sample = records.judged > MOST_READ
    lengths = bias.length_bias(records.work, records.texts)
    return {
        "computed_at": timezone.now(),
        "sample": {"read": len(records.work_of_both), "of": records.judged} if is_sample else None,
        "rankings": len(records.work),
        "checks": len(records.checks),
        "tasks": len(records.by_task),
        "overlapping_tasks": len(records.overlapping),
        "agreement": _agreement(records),
        "calibration": _calibration(records),
        "by_policy": _by_policy(records),
        "by_two": _by_two(records),
        "annotators": _annotators(records, lengths),
        "longer_wins": plain(lengths.overall),
        "gold_by_week": [
            {"week": week, **plain(figure)}
            for week, figure in reliability.known_by_week(records.checks, records.gold).items()
        ],
        "contested": _contested(records),
        "labels": _plain(label_report(project, without=blind)),
        "unary": _plain(unary_report(project, records, without=blind)),
        **_habits(project, records),
    }


def own_agreement(project: Project, person: int) -> dict[str, Any]:
    """Return how often one person agrees with the others on the tasks they have in common.

    Only judgments that can no longer be undone count: a person could otherwise learn the others' choices and copy them.
    """
    judged = Assignment.objects.judged().filter(
        project=project, annotator_id=person, finished_at__lt=timezone.now() - UNDO_WITHIN
    )
    own = judged.filter(task__kind__in=["ranking", "unary"], task__purpose=Purpose.WORK).values("task")
    rows = Ranking.objects.filter(assignment__task__in=own).order_by("id")
    columns = ("assignment__annotator_id", "assignment__task_id")
    work = [
        Record(annotator, task, tiers, unranked=unranked)
        for annotator, task, tiers, unranked in rows.values_list(*columns, "tiers", "unranked")
    ]
    said = UnaryJudgment.objects.filter(assignment__task__in=own).order_by("id").values_list(*columns, "good")
    unary = [Record(annotator, task, (), good=good) for annotator, task, good in said]
    overlapping = Records(work=work, unary=unary).overlapping_of_both
    return plain(reliability.tallied(reliability.with_others(overlapping).get(person, [])))


def plain(figure: Figure) -> dict[str, Any]:
    return {"value": figure.value, "ci95": figure.ci95, "n": figure.n, "reason": figure.reason}


def _plain(found: dict[str, Any] | None) -> dict[str, Any] | None:
    return found and {name: plain(value) if isinstance(value, Figure) else value for name, value in found.items()}


def _agreement(records: Records) -> dict[str, Any]:
    tasks = records.overlapping
    taus: list[float] = []
    for found in tasks:
        for first, second in combinations(found, 2):
            tau = agreement.kendall_tau_b(first.choices, second.choices).value
            if tau is not None:
                taus.append(tau)
    concordances = [agreement.kendall_w([record.tiers for record in found]).value for found in tasks]
    return {
        "pairwise": plain(agreement.pairwise_agreement([record.choices for record in found] for found in tasks)),
        "tau_b": plain(_mean(taus)),
        "w": plain(_mean(value for value in concordances if value is not None)),
        "alpha": plain(agreement.krippendorff_alpha([record.tiers for record in found] for found in tasks)),
        "fleiss": plain(agreement.fleiss_kappa(_items(tasks))),
    }


def _calibration(records: Records) -> dict[str, Any]:
    """Return agreement on tasks that everybody judges: differences there are between people, not their tasks."""
    tasks = [found for found in records.overlapping if found[0].task in records.calibration]
    return {
        "tasks": len(tasks),
        "pairwise": plain(agreement.pairwise_agreement([record.choices for record in found] for found in tasks)),
    }


def _mean(values: Iterable[float]) -> Figure:
    known = list(values)
    return Figure(fmean(known), n=len(known)) if known else unknown(agreement.NO_OVERLAP)


def _items(tasks: Iterable[list[Record]]) -> list[list[int]]:
    """Return each pair of candidates with everybody's choices on it."""
    items: list[list[int]] = []
    for found in tasks:
        chosen: dict[tuple[int, int], list[int]] = defaultdict(list)
        for record in found:
            for pair, choice in record.choices.items():
                chosen[pair].append(choice)
        items += chosen.values()
    return items


def _by_policy(records: Records) -> list[dict[str, Any]]:
    groups: dict[int | None, list[list[Record]]] = defaultdict(list)
    for found in records.overlapping:
        groups[records.policies.get(found[0].task)].append(found)
    return [
        {
            "policy": policy,
            "tasks": len(groups[policy]),
            "pairwise": plain(
                agreement.pairwise_agreement([record.choices for record in found] for found in groups[policy])
            ),
        }
        for policy in sorted(groups, key=lambda number: -1 if number is None else number)
    ]


def _by_two(records: Records) -> list[dict[str, Any]]:
    """Return Cohen's κ of the pairs of people with the most tasks in common."""
    common: dict[tuple[int, int], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for found in records.overlapping:
        for first, second in combinations(sorted(found, key=lambda record: record.annotator), 2):
            mine, theirs = common[first.annotator, second.annotator]
            for pair in first.choices.keys() & second.choices.keys():
                mine.append(first.choices[pair])
                theirs.append(second.choices[pair])
    enough = [(two, chosen) for two, chosen in common.items() if len(chosen[0]) >= COMMON_ITEMS]
    enough.sort(key=lambda row: (-len(row[1][0]), row[0]))
    return [{"ids": list(two), **plain(agreement.cohen_kappa(*chosen))} for two, chosen in enough[:MOST_TWOS]]


def _annotators(records: Records, lengths: bias.LengthBias) -> list[dict[str, Any]]:
    people = sorted({record.annotator for record in [*records.work_of_both, *records.checks]})
    own: dict[int, list[Record]] = defaultdict(list)
    for record in records.work_of_both:
        own[record.annotator].append(record)
    others = reliability.with_others(records.overlapping_of_both)
    known = reliability.with_known(records.checks, records.gold)
    themselves = reliability.with_themselves(records)
    now = reliability.weighed(people, others, known)
    return [
        {
            "id": person,
            "judgments": len(own[person]),
            "agreement": plain(reliability.tallied(others.get(person, []))),
            "self_consistency": plain(reliability.tallied(themselves.get(person, []))),
            "gold": plain(reliability.tallied(known.get(person, []))),
            "seconds": (timed := bias.pace(own[person], records.texts)).median,
            "hasty": timed.hasty,
            "ties": plain(bias.tie_share([record for record in own[person] if record.good is None])),
            "longer": plain(lengths.by_annotator.get(person, unknown(gettext_noop("no annotations")))),
            "weight_now": now[person],
        }
        for person in people
    ]


def _contested(records: Records) -> list[dict[str, Any]]:
    """Return judged tasks, ranked and unary, least agreement first; tasks with one judgment last."""
    rows = []
    for task, found in (records.by_task | records.unary_by_task).items():
        tallies = [agreement.agreed(first.choices, second.choices) for first, second in combinations(found, 2)]
        both = sum(count for _, count in tallies)
        share = sum(count for count, _ in tallies) / both if both else None
        rows.append((2.0 if share is None else share, -len(found), task, share))
    return [
        {"task": task, "judgments": -count, "agreement": share}
        for _, count, task, share in sorted(rows, key=lambda row: row[:3])[:MOST_CONTESTED]
    ]


def _habits(project: Project, records: Records) -> dict[str, Any]:
    positions = bias.position_bias(records.work)
    pace = bias.pace(records.work, records.texts)
    skipped = Assignment.objects.filter(project=project, status=SeatStatus.SKIPPED)
    reasons = Counter(reason.strip() or NO_REASON for reason in skipped.values_list("skip_reason", flat=True))
    return {
        "position": {
            "verdict": positions.verdict,
            "excess": plain(positions.excess),
            "clustered_by": positions.clustered_by,
            "positions": [
                {"place": row.place, "chance": row.chance, **plain(row.share)} for row in positions.positions
            ],
        },
        "seconds": {"median": pace.median, "lower": pace.lower, "upper": pace.upper, "timed": pace.timed},
        "hasty": pace.hasty,
        "ties": plain(bias.tie_share(records.work)),
        "unacceptable": plain(bias.unacceptable_share(records.work)),
        "skips": [{"reason": reason, "count": count} for reason, count in reasons.most_common(SKIP_REASONS)],
    }
