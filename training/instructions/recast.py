"""Labelled examples as instructions in natural language, and what of them is kept unseen (FLAN, 2109.01652).

A row is {instruction, input, output, options, task, cluster, template, wording, split, source}. Splits: `train`;
`unseen_templates`, other examples of the trained tasks in a wording that no row of training has; `unseen_tasks`, tasks
of clusters that are kept out of training as a whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from random import Random

from training.instructions.rule_task import Example, RuleTask, Wording, draw
from training.instructions.seeds import SeedTask
from training.instructions.tasks import INVERTED, OPTIONS, ORDER, QUESTION, TASKS
from training.rundir import Row

TRAIN, UNSEEN_TEMPLATES, UNSEEN_TASKS = "train", "unseen_templates", "unseen_tasks"
RULE, SEED, LABELLED, POOL = "rule", "seed", "labelled", "pool"  # sources
CLUSTERS = tuple(dict.fromkeys(task.cluster for task in TASKS))
LABELS = (
    Wording("question-1", QUESTION, "Which label fits this text: {names}?"),
    Wording("question-2", QUESTION, "Is this text {names}?"),
    Wording("order-1", ORDER, "Label the text as {names}."),
    Wording("order-2", ORDER, "Choose the label of the text among {names}."),
    Wording("options-1", OPTIONS, "Which label does the text have?\n{options}"),
    Wording("inverted-1", INVERTED, "Write a text with the label {answer}.", "", "{text}"),
)


def prompt_text(row: Row) -> str:
    """Return what the model is asked: the instruction, followed by the input where there is one."""
    return f"{row['instruction']}\n\n{row['input']}" if row["input"] else str(row["instruction"])


def recast(
    tasks: Iterable[RuleTask], *, held_out: Collection[str], per_task: int, test_per_task: int, seed: int
) -> Iterator[Row]:
    """Yield rows of every task; the last `test_per_task` examples of each are for testing, none is in two splits.

    Where a task has too few different examples, a third at the most is for testing.
    """
    for task in tasks:
        examples = draw(task, per_task + test_per_task, seed)
        kept = min(test_per_task, len(examples) // 3) if len(examples) < per_task + test_per_task else test_per_task
        unseen = unseen_wording(task.wordings, f"{task.name} {seed}")
        taught, tested = examples[: len(examples) - kept], examples[len(examples) - kept :]
        if task.cluster in held_out:
            yield from _worded(task, tested, _answerable(task.wordings), UNSEEN_TASKS)
            continue
        seen = [wording for wording in task.wordings if wording is not unseen]
        yield from _worded(task, taught, seen, TRAIN)
        yield from _worded(task, tested, [unseen], UNSEEN_TEMPLATES)


def unseen_wording(wordings: Sequence[Wording], seed: str) -> Wording:
    """Return the wording kept out of training; never an inverted one, which has many right answers."""
    return Random(f"unseen {seed}").choice(_answerable(wordings))


def recast_labelled(rows: Iterable[Row], labels: Sequence[str], *, seed: int, task: str = "labels") -> Iterator[Row]:
    """Yield labelled texts, {"text", "label", "split"}, as tasks with options; eval rows have the unseen wording."""
    unseen = unseen_wording(LABELS, f"{task} {seed}")
    seen = [wording for wording in LABELS if wording is not unseen]
    about: Row = {"task": task, "cluster": task, "options": labels, "source": LABELLED}
    names = f"{', '.join(labels[:-1])} or {labels[-1]}"
    taught = 0
    for row in rows:
        example = Example({"text": row["text"], "names": names}, row["label"])
        if row["split"] == "eval":
            yield instruction_row(example, unseen, **about, split=UNSEEN_TEMPLATES)
        else:
            yield instruction_row(example, seen[taught % len(seen)], **about, split=TRAIN)
            taught += 1


def seed_rows(seeds: Iterable[SeedTask], held_out: Collection[str]) -> Iterator[Row]:
    """Yield the seed tasks as training rows, except those of held-out clusters."""
    for seed in seeds:
        if seed.cluster not in held_out:
            yield {
                "instruction": seed.instruction,
                "input": seed.input,
                "output": seed.output,
                "options": [],
                "task": seed.id,
                "cluster": seed.cluster,
                "template": seed.id,
                "wording": "as written",
                "split": TRAIN,
                "source": SEED,
            }


def instruction_row(
    example: Example, wording: Wording, *, task: str, cluster: str, options: Sequence[str], split: str, source: str
) -> Row:
    block = "\n".join(["Options:", *(f"- {option}" for option in options)])
    slots = {**example.slots, "answer": example.answer, "options": block}
    instruction = wording.instruction.format_map(slots)
    return {
        "instruction": instruction[0].upper() + instruction[1:],
        "input": wording.input.format_map(slots),
        "output": wording.output.format_map(slots),
        "options": [] if wording.kind == INVERTED else list(options),
        "task": task,
        "cluster": cluster,
        "template": f"{task}/{wording.name}",
        "wording": wording.kind,
        "split": split,
        "source": source,
    }


def _worded(task: RuleTask, examples: Sequence[Example], wordings: Sequence[Wording], split: str) -> Iterator[Row]:
    """Yield each example once, with the wordings in turn."""
    about: Row = {"task": task.name, "cluster": task.cluster, "options": task.options}
    for place, example in enumerate(examples):
        yield instruction_row(example, wordings[place % len(wordings)], **about, split=split, source=RULE)


def _answerable(wordings: Sequence[Wording]) -> list[Wording]:
    return [wording for wording in wordings if wording.kind != INVERTED]
