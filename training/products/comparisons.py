"""Comparisons: the answers of two versions, or of a version and of people, which others compare blind."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext, gettext_noop

from annotation.actions import evaluations
from annotation.blinding import BlindCheck
from annotation.errors import NotPossible
from annotation.models import Completion, PolicyVersion, Project, Prompt, Source, Split
from training.models import RunStatus, TrainingRun
from training.products.base import Planned, Product, Section
from training.products.data import prompt_rows
from training.products.policy import PRODUCT as POLICY
from training.rundir import Row

NO_PROMPTS = gettext_noop("No prompt is held out: about 20% of the imported ones are. Import more prompts first.")
NO_NEW_VERSION = gettext_noop(
    "An evaluation compares a new version with the one before it: put a method that makes a policy before it, or start "
    "it on the page Evaluation."
)


class Comparisons(Product):
    name = "comparisons"
    order = 50
    shown_to_people = True

    def refusal(self, planned: Planned) -> str:
        if not planned.with_inputs and POLICY.name not in planned.made_before:
            return gettext(NO_NEW_VERSION)
        return "" if prompts(planned.project).exists() else gettext(NO_PROMPTS)

    def inputs_for(self, run: TrainingRun) -> dict[str, Any]:
        version, opponent = sides(run)
        return {"version": version.checkpoint, "opponent": opponent and opponent.checkpoint}

    def rows_for(self, run: TrainingRun) -> Iterator[Row]:
        return prompt_rows(prompts_for(run))

    def before_settling(self, run: TrainingRun, beat: Callable[[], None]) -> BlindCheck:
        """Read which answers say who made them; those of people too where they are what is compared."""
        rows = list(run.directory.samples())
        texts = [row["text"] for row in rows]
        if sides(run)[1] is None:
            asked = {row["prompt_id"] for row in rows}
            written = _references().filter(project_id=run.round.project_id).values_list("prompt_id", "text")
            texts += [text for prompt, text in written if prompt in asked]
        return BlindCheck(run.round.project, texts, beat=beat)

    def settle(self, run: TrainingRun) -> None:
        """Store the answers as completions, and open an evaluation with them."""
        version, opponent = sides(run)
        origin = f"run-{run.pk}"
        asked = {prompt.pk: prompt for prompt in Prompt.objects.filter(project=run.round.project_id, withdrawn_at=None)}
        sampling = {name: value for name, value in run.config.items() if name not in ("prompts", "seats", "against")}
        _store_answers(run, origin, asked, [version, opponent], sampling)
        evaluations.open_evaluation(
            version=version,
            opponent=opponent,
            pairs=_pairs(origin, asked, against_references=opponent is None),
            seats=run.config["seats"],
            seed=run.config["seed"],
            origin=origin,
            sampling=sampling,
            left_out=Counter(row["reason"] for row in run.result.get("refused", [])),
            by=run.round.started_by,
            check=run.computed,
        )

    def sections(self, project: Project, runs: Sequence[TrainingRun]) -> Iterator[Section]:
        """Yield links to the evaluations that the runs opened, with how many comparisons are done."""
        origins = [f"run-{run.pk}" for run in runs if run.status == RunStatus.SUCCEEDED]
        opened = project.evaluations.filter(origin__in=origins).select_related("version", "opponent")
        if found := [{"evaluation": each, "pending": each.open_seats} for each in opened]:
            yield Section("training/products/evaluations.html", {"project": project, "found": found})


PRODUCT = Comparisons()


def prompts(project: Project) -> QuerySet[Prompt]:
    """Return the prompts kept for evaluation: nothing was ever trained on them."""
    return project.prompts.filter(split=Split.EVAL, withdrawn_at=None)


def with_references(found: QuerySet[Prompt]) -> QuerySet[Prompt]:
    return found.filter(completions__in=_references()).distinct()


def _references() -> QuerySet[Completion]:
    # Answers that were imported to be ranked, or in a pair, have an origin; a reference answer has none.
    return Completion.objects.exclude(source=Source.POLICY).filter(origin="", withdrawn_at=None).exclude(text="")


def prompts_for(run: TrainingRun) -> list[Prompt]:
    """Return what both sides are asked, drawn by the run's seed."""
    found = prompts(run.round.project)
    if sides(run)[1] is None:
        found = with_references(found)
    every = list(found.order_by("id"))
    wanted = run.config["prompts"]
    if 0 < wanted < len(every):
        every = random.Random(f"evaluation {run.config['seed']}").sample(every, wanted)
    return sorted(every, key=lambda prompt: prompt.pk)


def sides(run: TrainingRun) -> tuple[PolicyVersion, PolicyVersion | None]:
    """Return the version and its opponent, None for reference answers. Raises NotPossible if none was made."""
    policies = run.round.project.policies
    if "version" in run.inputs:
        number = run.inputs["opponent"]
        return policies.get(number=run.inputs["version"]), None if number is None else policies.get(number=number)
    made = TrainingRun.objects.filter(round=run.round, position__lt=run.position, policy__isnull=False)
    version = policies.filter(made_by__in=made).newest()
    if version is None:
        raise NotPossible(gettext("No run before this one made a policy, so there is nothing new to compare."))
    match run.config["against"]:
        case "references":
            return version, None
        case "base":
            return version, policies.get(number=0)
    first = policies.filter(made_by__in=made).order_by("number")[:1].get()
    return version, first.parent


def _store_answers(
    run: TrainingRun,
    origin: str,
    asked: dict[int, Prompt],
    authors: Sequence[PolicyVersion | None],
    sampling: dict[str, Any],
) -> None:
    Completion.objects.bulk_create(
        [
            Completion(
                project_id=run.round.project_id,
                prompt_id=row["prompt_id"],
                source=Source.POLICY,
                policy=authors[row["index"]],
                text=row["text"],
                sampling=sampling,
                logprob=row["logprob"],
                tokens=row["tokens"],
                finished=row["finished"],
                origin=origin,
                index=row["index"],
            )
            for row in run.directory.samples()
            if row["prompt_id"] in asked
        ],
        batch_size=500,
        ignore_conflicts=True,
    )


def _pairs(origin: str, asked: dict[int, Prompt], *, against_references: bool) -> list[tuple[Completion, Completion]]:
    """Return the two answers to each prompt that has both."""
    found: dict[int, dict[int, Completion]] = {}
    for completion in Completion.objects.filter(origin=origin, prompt__in=asked).order_by("prompt_id"):
        completion.prompt = asked[completion.prompt_id]
        found.setdefault(completion.prompt_id, {})[completion.index] = completion
    if against_references:
        for reference in _references().filter(prompt__in=found).order_by("id"):
            found[reference.prompt_id][1] = reference  # of several the newest
    return [(both[0], both[1]) for both in found.values() if len(both) == 2]
