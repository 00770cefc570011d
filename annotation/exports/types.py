"""The types of a snapshot: one function each, from a project's judgments to rows of JSON.

A function counts what it takes and what it leaves out, by reason, and raises NotPossible where nothing is left.
Rows come in the order of the tasks, so the same judgments give the same file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.db.models import QuerySet
from django.utils.translation import gettext_noop

from annotation.exports.classification import classification_rows
from annotation.exports.context import MISSING, ReasonCounts, SnapshotContext, SnapshotRow, date_text
from annotation.exports.pool import pool
from annotation.judged.counted import IMPORTED, JUDGE, CountedJudgment, JudgedCandidate, JudgedTask
from annotation.judged.preferences import Pair
from annotation.judged.rows import references_that_count
from annotation.models import Completion, ReferenceAnswer, SnapshotType, Source, Split
from annotation.stats.unpaired import END_USERS, source_of, unpaired_labels, votes_of

NOTHING_PREFERRED = gettext_noop(
    "No ranking prefers one response to another yet, so there is nothing to train on. Raw annotations include ties."
)
NOTHING_GOOD_OR_BAD = gettext_noop("No response is judged good or bad yet.")
NO_GOOD_ANSWER = gettext_noop(
    "No reference response and no best-ranked response exists yet, so there is nothing to imitate."
)
NO_PROMPTS = gettext_noop("The project has no prompts yet. Import some first.")
NO_JUDGMENTS = gettext_noop("There are no annotations yet.")
NOTHING_ACCEPTED = gettext_noop("No proposed task is accepted yet, so there are no instructions.")


def ranking_rows(context: SnapshotContext) -> Iterator[SnapshotRow]:
    """Yield one row per judged task: its candidates and all rankings of it, ties and contradictions included.

    `tiers` and `unacceptable` are places in `candidates`. `policy` is the newest version among their authors.
    """
    annotators, counts = set(), context.counts
    for task, pairs, evens in context.tasks():
        kept = context.agreed(task, pairs, evens)
        if context.wanted.min_agreement and not kept and not context.agreed_alone(task):
            counts["tasks without enough agreement"] += 1
            continue
        counts[f"{task.split} tasks"] += 1
        counts["tasks with ratings alone"] += not pairs and not evens
        annotators |= {judgment.who for judgment in task.judgments}
        place = {pk: number for number, pk in enumerate(task.answers)}
        yield {
            "prompt": task.messages,
            "candidates": [{"text": answer.text, "finished": answer.finished} for answer in task.answers.values()],
            "rankings": [_ranking(judgment, place) for judgment in task.judgments],
            "prompt_id": task.prompt_id,
            "group_id": task.pk,
            "split": task.split,
            "policy": MISSING if task.policy is None else task.policy,
        }
    counts["annotators"] = sum(not who.startswith((IMPORTED, f"{JUDGE}:", END_USERS)) for who in annotators)
    found = counts["train pairs"] + counts["eval pairs"] + counts["tasks with ratings alone"]
    context.require_some(found, NOTHING_PREFERRED)


def _ranking(judgment: CountedJudgment, place: dict[int, int]) -> SnapshotRow:
    """Return a judgment with every key, whatever was asked: readers infer the columns of a file from its first rows.

    What was not stated is MISSING in `strength` and `margin`, and an empty list elsewhere.
    """
    return {
        "tiers": [sorted(place[pk] for pk in tier) for tier in judgment.tiers],
        "unacceptable": sorted(place[pk] for pk in judgment.unacceptable),
        "unranked": sorted(place[pk] for pk in judgment.unranked),
        "strength": MISSING if judgment.strength is None else judgment.strength,
        "margin": float(MISSING if judgment.margin is None else judgment.margin),
        "ratings": [
            {"place": place[int(pk)], "criterion": criterion, "rating": float(rating)}
            for pk, rated in judgment.ratings.items()
            for criterion, rating in rated.items()
        ],
        "weight": float(judgment.weight),
        "annotator": judgment.who,
        "at": date_text(judgment.at),
    }


def unpaired_rows(context: SnapshotContext) -> Iterator[SnapshotRow]:
    """Yield one row per response that is good or bad by itself (`unpaired_labels`), in TRL's words: label true is good.

    Unary judgments and thumbs from files say so themselves. A ranking says it by its line of acceptance, or calls its
    best good and its worst bad. `votes_good` and `votes_bad` count people; the label goes by their weight. `source` is
    unary, ranking, imported or end_users.
    """
    for row in ranking_rows(context):
        for candidate, label, votes in zip(row["candidates"], unpaired_labels(row), votes_of(row), strict=True):
            if label is None:
                context.counts["responses as often good as bad"] += votes.good > 0 and votes.bad > 0
                context.counts["responses without good or bad"] += not votes.good and not votes.bad
                continue
            context.counts["good responses" if label else "bad responses"] += 1
            yield {
                "prompt": row["prompt"],
                "completion": [{"role": "assistant", "content": candidate["text"]}],
                "label": label,
                "votes_good": votes.good,
                "votes_bad": votes.bad,
                "source": source_of(row),
                "finished": candidate["finished"],
                **{name: row[name] for name in ("prompt_id", "group_id", "split")},
            }
    context.require_some(context.counts["good responses"] + context.counts["bad responses"], NOTHING_GOOD_OR_BAD)


def preference_rows(context: SnapshotContext) -> Iterator[SnapshotRow]:
    """Yield one row per pair, in TRL's words. `group_id` is the task: pairs of one ranking stay together.

    A reference answer that was edited from a candidate is a pair too: the edited text is the chosen one. Imported pairs
    come last, those with a stated margin first, so that the column never begins with null; where no pair of a file has
    one, the column is left out.
    """
    margins = False
    for row in _pairs(context):
        margins |= row["margin"] is not None
        yield row if margins else {name: value for name, value in row.items() if name != "margin"}
    context.require_some(context.counts["train pairs"] + context.counts["eval pairs"], NOTHING_PREFERRED)


def _pairs(context: SnapshotContext) -> Iterator[SnapshotRow]:
    edited = False
    for task, pairs, evens in context.tasks():
        if task.source == IMPORTED and not edited:
            edited = True
            yield from _edited_pairs(context)
        for pair in context.agreed(task, pairs, evens):
            yield _pair_row(task, pair)
    if not edited:
        yield from _edited_pairs(context)


def _edited_pairs(context: SnapshotContext) -> Iterator[SnapshotRow]:
    if context.wanted.wants("reference"):
        for reference in _references(context, references_that_count(context.project).exclude(derived_from=None)):
            context.counts["edited answers"] += 1
            context.counts[f"{reference.completion.prompt.split} pairs"] += 1
            yield _edited_row(reference)


def completion_rows(context: SnapshotContext) -> Iterator[SnapshotRow]:
    """Yield answers to imitate: reference answers, the answers that all rankings of a task put first, chosen ones of
    imported pairs.
    """
    taken: set[int] = set()
    if context.wanted.wants("reference"):
        for reference in _references(context, references_that_count(context.project)):
            completion, prompt = reference.completion, reference.completion.prompt
            taken.add(completion.pk)
            context.counts["reference responses"] += 1
            answer = JudgedCandidate(completion.pk, completion.text, completion.finished, None)
            yield _completion_row(answer, prompt.messages, prompt.pk, prompt.split, "reference")
    for completion in _imported_references(context):
        taken.add(completion.pk)
        prompt = completion.prompt
        answer = JudgedCandidate(completion.pk, completion.text, completion.finished, None)
        yield _completion_row(answer, prompt.messages, prompt.pk, prompt.split, IMPORTED)
    for task, *_ in context.tasks():
        if best := _best_answer(task, taken, context.counts):
            taken.add(best.pk)
            imported = task.source == IMPORTED
            context.counts["better answers of imported pairs" if imported else "best-ranked answers"] += 1
            source = IMPORTED if imported else "best_ranked"
            yield _completion_row(best, task.messages, task.prompt_id, task.split, source)
    context.require_some(taken, NO_GOOD_ANSWER)


def _imported_references(context: SnapshotContext) -> Iterator[Completion]:
    """Yield the reference answers of files, which have no origin: those with one are candidates."""
    wanted = context.wanted
    if not wanted.wants(IMPORTED) or wanted.annotators or wanted.policies:
        return
    found = Completion.objects.filter(prompt__project=context.project, source=Source.IMPORTED, origin="")
    found = found.filter(created_at__lte=context.cutoff, withdrawn_at=None).select_related("prompt").order_by("pk")
    for completion in found.iterator(500):
        if reason := wanted.refusal(None, completion.created_at):
            context.counts[f"imported reference responses {reason}"] += 1
        else:
            context.counts["imported reference responses"] += 1
            yield completion


def prompt_rows(context: SnapshotContext) -> Iterator[SnapshotRow]:
    """Yield every prompt, without answers or judgments."""
    prompts = context.project.prompts.filter(created_at__lte=context.cutoff).order_by("pk")
    for pk, messages, split, category in prompts.values_list("pk", "messages", "split", "category").iterator(2000):
        context.counts[f"{split} prompts"] += 1
        yield {"prompt": messages, "prompt_id": pk, "category": category, "split": split}
    context.require_some(context.counts.total(), NO_PROMPTS)


def judgment_rows(context: SnapshotContext) -> Iterator[SnapshotRow]:
    """Yield every ranking as it was made: by which annotator, when, for how long, and the order of answers shown."""
    for task, *_ in context.tasks(as_made=True):
        texts = {str(pk): answer.text for pk, answer in task.answers.items()}
        for judgment in task.judgments:
            yield {
                "task_id": task.pk,
                "prompt_id": task.prompt_id,
                "annotator": judgment.who,
                "source": task.source,
                "prompt": task.messages,
                "candidates": [{"id": int(pk), "text": text} for pk, text in texts.items()],
                "tiers": judgment.tiers,
                "unacceptable": judgment.unacceptable,
                "unranked": judgment.unranked,
                "strength": MISSING if judgment.strength is None else judgment.strength,
                "margin": float(MISSING if judgment.margin is None else judgment.margin),
                "ratings": [
                    {"id": int(pk), "criterion": criterion, "rating": float(rating)}
                    for pk, rated in judgment.ratings.items()
                    for criterion, rating in rated.items()
                ],
                "shown_order": judgment.shown_order,
                "rationale": judgment.rationale,
                "active_ms": judgment.active_ms,
                "claimed_at": date_text(judgment.claimed_at),
                "submitted_at": date_text(judgment.at),
                "weight": float(judgment.weight),
                "split": task.split,
            }
    counted = ("rankings", "unary annotations", "imported votes", "AI judgments", "thumbs of end users")
    found = sum(context.counts[name] for name in counted)
    context.require_some(found, NO_JUDGMENTS)


def instruction_rows(context: SnapshotContext) -> Iterator[SnapshotRow]:
    """Yield accepted task proposals with the reviewers' changes, by Alpaca's keys; the digest decides the split."""
    for item in pool(context.project, context.cutoff):
        author = item.review.assignment.annotator_id
        if reason := context.wanted.refusal(author, item.review.created_at):
            context.counts[f"reviews {reason}"] += 1
            continue
        if author is not None and context.tally:
            context.tally.see_writer(author)
        split = Split.of(item.proposal.digest)
        context.counts["accepted with changes" if item.edited else "accepted as proposed"] += 1
        context.counts[f"{split} tasks"] += 1
        yield {
            "instruction": item.instruction,
            "input": item.input,
            "output": item.output,
            "author": item.proposal.batch.author,
            "edited": item.edited,
            "proposal_id": item.proposal.pk,
            "split": split,
        }
    context.require_some(context.counts["train tasks"] + context.counts["eval tasks"], NOTHING_ACCEPTED)


EXPORTS: dict[str, Callable[[SnapshotContext], Iterator[SnapshotRow]]] = {
    SnapshotType.PREFERENCE: preference_rows,
    SnapshotType.RANKING: ranking_rows,
    SnapshotType.UNPAIRED: unpaired_rows,
    SnapshotType.PROMPT_COMPLETION: completion_rows,
    SnapshotType.PROMPTS: prompt_rows,
    SnapshotType.CLASSIFICATION: classification_rows,
    SnapshotType.JUDGMENTS: judgment_rows,
    SnapshotType.INSTRUCTION: instruction_rows,
}


def _references(context: SnapshotContext, counting: QuerySet[ReferenceAnswer]) -> Iterator[ReferenceAnswer]:
    references = counting.filter(created_at__lte=context.cutoff).order_by("id")
    references = references.exclude(assignment__annotator__in=context.decisions.excluded)
    with_texts = references.select_related("completion__prompt", "derived_from", "assignment")
    for reference in with_texts.iterator(500):
        author = reference.assignment.annotator_id
        if reason := context.wanted.refusal(author, reference.created_at):
            context.counts[f"reference responses {reason}"] += 1
            continue
        if author is not None and context.tally:
            context.tally.see_writer(author)
        yield reference


def _best_answer(task: JudgedTask, taken: set[int], counts: ReasonCounts) -> JudgedCandidate | None:
    """Return the answer that every ranking puts first and none marks unacceptable; None where there is no such one."""
    if len(task.answers) < 2:
        counts["answers that nobody compared"] += 1
        return None
    firsts = {tuple(sorted(judgment.tiers[0])) for judgment in task.judgments}
    first = firsts.pop()
    if firsts or len(first) > 1:
        counts["tasks without one best answer"] += 1
    elif any(first[0] in judgment.unacceptable for judgment in task.judgments):
        counts["best answers that are unacceptable"] += 1
    elif first[0] in taken:
        counts["best answers that are in it already"] += 1
    else:
        return task.answers[first[0]]
    return None


def _pair_row(task: JudgedTask, pair: Pair) -> SnapshotRow:
    chosen, rejected = task.answers[pair.chosen], task.answers[pair.rejected]
    return {
        "prompt": task.messages,
        "chosen": _message(chosen),
        "rejected": _message(rejected),
        "margin": _margin(task, pair),
        "votes_for": pair.votes_for,
        "votes_against": pair.votes_against,
        "ties": pair.ties,
        "share": pair.share,
        "weight": pair.weight,
        "in_cycle": pair.in_cycle,
        "chosen_unacceptable": pair.chosen_unacceptable,
        "rejected_unacceptable": pair.rejected_unacceptable,
        "prompt_id": task.prompt_id,
        "group_id": task.pk,
        "split": task.split,
        "source": task.source,
        "chosen_finished": chosen.finished,
        "rejected_finished": rejected.finished,
    }


def _margin(task: JudgedTask, pair: Pair) -> float | None:
    """Return how far apart two answers are; of an imported pair the margin that the file states, or None."""
    if task.source != IMPORTED or len(task.answers) > 2:
        return pair.margin
    stated = [judgment for judgment in task.judgments if judgment.margin is not None]
    if not stated:
        return None
    total = sum(judgment.weight for judgment in stated)
    towards = sum(
        judgment.weight * (judgment.margin or 0.0) * _direction(judgment, pair.chosen, pair.rejected)
        for judgment in stated
    )
    return round(max(towards / total, 0.0), 6)


def _direction(judgment: CountedJudgment, better: int, worse: int) -> int:
    """Return 1 where a judgment puts the one above the other, -1 for the reverse, 0 for a tie."""
    places = {pk: level for level, tier in enumerate(judgment.tiers) for pk in tier}
    distance = places[worse] - places[better]
    return (distance > 0) - (distance < 0)


def _edited_row(reference: ReferenceAnswer) -> SnapshotRow:
    after, before = reference.completion, reference.derived_from
    assert before is not None
    answers = {each.pk: JudgedCandidate(each.pk, each.text, each.finished, None) for each in (after, before)}
    seat, prompt = reference.assignment, after.prompt
    task = JudgedTask(seat.task_id, prompt.pk, prompt.messages, prompt.split, answers, [], source="edit")
    return _pair_row(task, Pair(after.pk, before.pk, votes_for=1, votes_against=0, ties=0, margin=1.0, share=1.0))


def _completion_row(
    answer: JudgedCandidate, messages: list[dict[str, str]], prompt_id: int, split: str, source: str
) -> SnapshotRow:
    return {
        "prompt": messages,
        "completion": _message(answer),
        "prompt_id": prompt_id,
        "split": split,
        "source": source,
        "finished": answer.finished,
    }


def _message(answer: JudgedCandidate) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": answer.text}]
