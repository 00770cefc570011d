"""Who is compared with whom on what in an evaluation by people, and what becomes of the answers that its run drew."""

from __future__ import annotations

import random
from collections import Counter

from django.db.models import QuerySet

from annotation.actions import evaluations
from annotation.errors import NotPossible
from annotation.models import Completion, Evaluation, PolicyVersion, Project, Prompt, Source, Split
from training.models import TrainingRun

NO_PROMPTS = "No prompt is kept for evaluation: about one in five of those imported is. Import more prompts first."


def refusal(project: Project, *, makes_policy: bool, with_inputs: bool) -> str:
    """Why nothing could be compared; empty where something can be."""
    if not with_inputs and not makes_policy:
        return (
            "An evaluation compares a new version with the one before it: put a method that makes a policy before it, "
            "or start it on the page Evaluation."
        )
    return "" if prompts(project).exists() else NO_PROMPTS


def prompts(project: Project) -> QuerySet[Prompt]:
    """Those kept for evaluation: nothing was ever trained on them."""
    return project.prompts.filter(split=Split.EVAL, withdrawn_at=None)


def with_references(found: QuerySet[Prompt]) -> QuerySet[Prompt]:
    return found.filter(completions__in=_references()).distinct()


def _references() -> QuerySet[Completion]:
    # Answers that were imported to be ranked, or in a pair, have an origin; a reference answer has none.
    return Completion.objects.exclude(source=Source.POLICY).filter(origin="", withdrawn_at=None).exclude(text="")


def prompts_for(run: TrainingRun) -> list[Prompt]:
    """What both sides are asked, drawn by the run's seed."""
    found = prompts(run.round.project)
    if sides(run)[1] is None:
        found = with_references(found)
    every = list(found.order_by("id"))
    wanted = run.config["prompts"]
    if 0 < wanted < len(every):
        every = random.Random(f"evaluation {run.config['seed']}").sample(every, wanted)
    return sorted(every, key=lambda prompt: prompt.pk)


def sides(run: TrainingRun) -> tuple[PolicyVersion, PolicyVersion | None]:
    """The version and its opponent, None for reference answers. Raises NotPossible where there is no opponent."""
    policies = run.round.project.policies
    if "version" in run.inputs:
        number = run.inputs["opponent"]
        return policies.get(number=run.inputs["version"]), None if number is None else policies.get(number=number)
    made = TrainingRun.objects.filter(round=run.round, position__lt=run.position, policy__isnull=False)
    version = policies.filter(made_by__in=made).order_by("-number").first()
    if version is None:
        raise NotPossible("No run before this one made a policy, so there is nothing new to compare.")
    match run.config["against"]:
        case "references":
            return version, None
        case "base":
            return version, policies.get(number=0)
    first = policies.filter(made_by__in=made).order_by("number")[:1].get()
    return version, first.parent


def take_run(run: TrainingRun) -> Evaluation:
    """A run's answers become completions, and those an evaluation. Called inside the transaction of its success."""
    version, opponent = sides(run)
    origin = f"run-{run.pk}"
    asked = {prompt.pk: prompt for prompt in Prompt.objects.filter(project=run.round.project_id, withdrawn_at=None)}
    sampling = {name: value for name, value in run.config.items() if name not in ("prompts", "seats", "against")}
    authors = {0: version, 1: opponent}
    rows = [row for row in run.directory.samples() if row["prompt_id"] in asked]
    Completion.objects.bulk_create(
        [
            Completion(
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
            for row in rows
        ],
        batch_size=500,
        ignore_conflicts=True,
    )
    found: dict[int, dict[int, Completion]] = {}
    for completion in Completion.objects.filter(origin=origin, prompt__in=asked).order_by("prompt_id"):
        completion.prompt = asked[completion.prompt_id]
        found.setdefault(completion.prompt_id, {})[completion.index] = completion
    if opponent is None:
        for reference in _references().filter(prompt__in=found).order_by("id"):
            found[reference.prompt_id][1] = reference  # of several the newest
    pairs = [(both[0], both[1]) for both in found.values() if len(both) == len(authors)]
    left_out = Counter(row["reason"] for row in run.result.get("refused", []))
    return evaluations.open_evaluation(
        version=version,
        opponent=opponent,
        pairs=pairs,
        seats=run.config["seats"],
        seed=run.config["seed"],
        origin=origin,
        sampling=sampling,
        left_out=left_out,
        by=run.round.started_by,
    )
