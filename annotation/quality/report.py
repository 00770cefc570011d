"""Everything that the quality page and the API show of a project, as plain JSON, kept for a while where it is large."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import combinations
from statistics import fmean
from typing import Any

from django.contrib.auth.models import User
from django.core.cache import cache
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
from annotation.quality.records import Record, Records, read_records
from annotation.quality.unary import unary_report

Report = dict[str, Any]
KEEP_SECONDS = 600
MANY_RANKINGS = 2000  # below it the figures take less than half a second, so they are made anew each time
MOST_CONTESTED = 500
MOST_TWOS = 20
COMMON_ITEMS = 10
SKIP_REASONS = 10
NO_REASON = gettext_noop("no reason given")


def quality_report(project: Project, *, to: User | None = None, anew: bool = False) -> Report:
    """Return the figures now, or for a large project those of up to ten minutes ago (`computed_at`).

    Weights and exclusions are those of now in any case: people decide on them, and another process may have kept the
    figures. `to`: a person who may still judge; judgments of tasks that are blind to them are left out.
    """
    key = f"quality-report:{project.pk}" + (f":{to.pk}" if to else "")
    if not anew and (kept := cache.get(key)):
        return _with_decisions(project, dict(kept))
    report = build_report(project, to)
    if report["rankings"] + (report["unary"] or {}).get("judgments", 0) > MANY_RANKINGS:
        cache.set(key, report, KEEP_SECONDS)
    else:
        cache.delete(key)
    return _with_decisions(project, report)


def _with_decisions(project: Project, report: Report) -> Report:
    """Return a report with the weight and the exclusion in force of each annotator."""
    used = dict(Membership.objects.filter(project=project).values_list("user_id", "weight"))
    excluded = {
        row.annotator_id: {"reason": row.reason, "by": row.excluded_by.get_username(), "at": row.created_at}
        for row in Exclusion.objects.in_force().filter(project=project).select_related("excluded_by")
    }
    people = [
        {**person, "weight": used.get(person["id"], 1.0), "excluded": excluded.get(person["id"])}
        for person in report["annotators"]
    ]
    return {**report, "annotators": people}


def build_report(project: Project, to: User | None = None) -> Report:
    """Return all figures of a project, without what was decided on its annotators."""
    blind = set(Task.objects.filter(project=project).blind_to(to).values_list("pk", flat=True)) if to else set()
    records = read_records(project).without(blind)
    names = _names(project, records)
    lengths = bias.length_bias(records.work, records.texts)
    return {
        "computed_at": timezone.now(),
        "rankings": len(records.work),
        "checks": len(records.checks),
        "tasks": len(records.by_task),
        "overlapping_tasks": len(records.overlapping),
        "agreement": _agreement(records),
        "calibration": _calibration(records),
        "by_policy": _by_policy(records),
        "by_two": _by_two(records, names),
        "annotators": _annotators(records, names, lengths),
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


def _names(project: Project, records: Records) -> dict[int, str]:
    people = {record.annotator for record in [*records.work_of_both, *records.checks]}
    rows = Assignment.objects.filter(project=project, annotator_id__in=people).order_by()
    named = rows.values_list("annotator_id", "annotator__username").distinct()
    return {pk: name_of(project.pk, pk, username) for pk, username in named}


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


def _by_two(records: Records, names: dict[int, str]) -> list[dict[str, Any]]:
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
    return [
        {"people": [names[person] for person in two], **plain(agreement.cohen_kappa(*chosen))}
        for two, chosen in enough[:MOST_TWOS]
    ]


def _annotators(records: Records, names: dict[int, str], lengths: bias.LengthBias) -> list[dict[str, Any]]:
    own: dict[int, list[Record]] = defaultdict(list)
    for record in records.work_of_both:
        own[record.annotator].append(record)
    others = reliability.with_others(records.overlapping_of_both)
    known = reliability.with_known(records.checks, records.gold)
    themselves = reliability.with_themselves(records)
    now = reliability.weighed(names, others, known)
    return [
        {
            "id": person,
            "username": names[person],
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
        for person in sorted(names, key=lambda person: names[person].lower())
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
