"""Whether an AI judge is still as good on a slice that it took over: by the audit share, which people go on judging."""

from __future__ import annotations

import hashlib
from itertools import combinations

import numpy as np
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Length

from annotation.models import AIJudgeRun, Assignment, Candidate, Purpose, Task
from annotation.quality.calibration import JUDGE, NO_PAIRS, ONE_PERSON, PEOPLE, ComparedPair, compared_pairs, slices_of
from annotation.quality.figures import Figure, unknown
from annotation.quality.final import final_choices, pairs_of
from annotation.quality.judge_trust import MARGIN
from annotation.stats.tables import Floats, agreement, interval, resampled

FEWEST_AUDITED = 20  # prompts of the audit share that the judge was asked about
AUDIT = 21  # told apart from the other draws by this number
PairIds = tuple[int, int, int]  # task, first and second response


def drawn(*numbers: int) -> str:
    """Return a hash by which things are put in an order that is chance, and the same each time."""
    return hashlib.sha256(" ".join(map(str, numbers)).encode()).hexdigest()


def is_audited(takeover: AIJudgeRun, task: int) -> bool:
    """Return whether a task is of the audit share; it is the same share in every run of a version."""
    return int(drawn(takeover.version_id, task, AUDIT)[:8], 16) < takeover.audit_share * 2**32


def is_worse(found: Figure, margin: float = MARGIN) -> bool:
    """Return whether the judge has lost its trust: the whole interval of the difference is below -margin."""
    return found.high is not None and found.high < -margin


def audit_pairs(takeover: AIJudgeRun) -> list[PairIds]:
    """Return the pairs of the audit share that people have judged since, as far as they are of the takeover's slice."""
    found = final_choices(takeover.version.judge.project, _judged_since(takeover))
    audited = {pk: pairs_of(task) for pk, task in found.items() if is_audited(takeover, pk)}
    rows = Candidate.objects.filter(task__in=audited, completion__withdrawn_at=None)
    columns = ("task_id", "completion_id", "length", "task__prompt__category", "task__prompt__messages")
    texts: dict[int, list[tuple[int, int]]] = {}
    about: dict[int, tuple[str, str]] = {}
    for task, pk, length, category, messages in rows.annotate(length=Length("completion__text")).values_list(*columns):
        texts.setdefault(task, []).append((pk, length))
        about[task] = category, str(messages[-1]["content"])
    pairs: list[PairIds] = []
    for task, candidates in sorted(texts.items()):
        for one, two in combinations(sorted(candidates), 2):
            slices = slices_of(*about[task], max(one[1], two[1]))
            if (one[0], two[0]) in audited[task] and _is_of(takeover, slices):
                pairs.append((task, one[0], two[0]))
    return pairs


def audit_figure(takeover: AIJudgeRun) -> Figure:
    """Return the judge's agreement with people in the audit share, less people's with each other in the slice.

    People's is that of all pairs of the slice that the version and two people judged: in the audit share one person a
    task is enough. `n` counts prompts of the audit share. The interval resamples prompts, as that of a calibration; it
    is missing on fewer than FEWEST_AUDITED.
    """
    pairs, _ = compared_pairs(takeover.version)
    since = set(_judged_since(takeover).values_list("pk", flat=True))
    audited = {pk for pk in since if is_audited(takeover, pk)}
    tables = _tables([pair for pair in pairs if _is_of(takeover, pair.slices)], audited)
    prompts = int((tables[:, 0].sum(axis=(-2, -1)) > 0).sum())
    if not prompts:
        return unknown(NO_PAIRS)
    value = float(_difference(tables.sum(axis=0)))
    if not np.isfinite(value):
        return unknown(ONE_PERSON, n=prompts)
    enough = prompts >= FEWEST_AUDITED
    low, high = (interval(_difference(resampled(tables))) if enough else None) or (None, None)
    return Figure(value, n=prompts, low=low, high=high)


def _judged_since(takeover: AIJudgeRun) -> QuerySet[Task]:
    """Return the tasks that people judged after the takeover began, and not before."""
    judged = Assignment.objects.judged().filter(task=OuterRef("pk"))
    tasks = Task.objects.filter(project=takeover.version.judge.project, kind="ranking", calibration=False)
    return tasks.filter(
        Exists(judged.filter(finished_at__gt=takeover.created_at)),
        ~Exists(judged.filter(finished_at__lte=takeover.created_at)),
        purpose=Purpose.WORK,
    ).order_by()


def _is_of(takeover: AIJudgeRun, slices: tuple[tuple[str, str], ...]) -> bool:
    return not takeover.dimension or (takeover.dimension, takeover.value) in slices


def _tables(pairs: list[ComparedPair], audited: set[int]) -> Floats:
    """Return two tables of each prompt: the judge with people in the audit share, and people with each other."""
    number: dict[int, int] = {}
    for pair in pairs:
        number.setdefault(pair.prompt, len(number))
    tables = np.zeros((len(number), 2, 3, 3))
    for pair in pairs:
        for which, row, column, weight in pair.entries():
            if which == PEOPLE or (which == JUDGE and pair.task in audited):
                tables[number[pair.prompt], int(which == PEOPLE), row, column] += weight
    return tables


def _difference(tables: Floats) -> Floats:
    return agreement(tables[..., 0, :, :]) - agreement(tables[..., 1, :, :])
