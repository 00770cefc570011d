"""Completions: answers of one or more versions, and tasks to rank them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from django.utils.translation import gettext

from annotation import live
from annotation.actions import tasks
from annotation.blinding import BlindCheck
from annotation.models import Completion, PolicyVersion, Prompt, Source
from training.methods import SampleConfig
from training.models import TrainingRun
from training.products.base import Planned, Product
from training.products.data import prompt_rows
from training.products.policy import no_heads, no_reward_model
from training.products.promotions import current_policy
from training.products.reward_model import newest_for
from training.rundir import Row

ABOUT_THE_CHOICE = ("prompts", "pool", "choose_by", "control_share", "people_share", "base_share", "older_share")


class Completions(Product):
    name = "completions"
    order = 40
    shown_to_people = True
    fills_queue = True

    def refusal(self, planned: Planned) -> str:
        if planned.config.get("choose_by") == "disagreement":
            return no_reward_model(planned) or no_heads(planned) or no_others(planned)
        return no_others(planned)

    def inputs_for(self, run: TrainingRun) -> dict[str, Any]:
        inputs = _versions(run)
        if run.config.get("choose_by") == "disagreement" and (judge := newest_for(run)):
            inputs["reward_model"] = judge
        return inputs

    def rows_for(self, run: TrainingRun) -> Iterator[Row]:
        """Yield the prompts to answer: as many as the settings ask for, sampled at random, in their order."""
        prompts = list(Prompt.objects.filter(project=run.round.project_id, withdrawn_at=None).order_by("id"))
        wanted = SampleConfig(**run.config).asked
        if 0 < wanted < len(prompts):
            chosen = random.Random(f"run {run.pk}").sample(prompts, wanted)
            prompts = sorted(chosen, key=lambda prompt: prompt.pk)
        return prompt_rows(prompts)

    def before_settling(self, run: TrainingRun, beat: Callable[[], None]) -> BlindCheck:
        """Read which answers say who made them, those of people that may stand beside them included."""
        project, chosen = run.round.project, {row["prompt_id"] for row in run.result.get("chosen", [])}
        rows = [row for row in run.directory.samples() if not chosen or row["prompt_id"] in chosen]
        texts = [row["text"].strip() for row in rows]
        return BlindCheck(project, [*texts, *_of_people(project.pk, {row["prompt_id"] for row in rows})], beat=beat)

    def settle(self, run: TrainingRun) -> None:
        """Store the answers as completions of their authors, and open tasks to rank them."""
        project, origin = run.round.project, f"run-{run.pk}"
        authors = _authors(run)
        sampling = {name: value for name, value in run.config.items() if name not in ABOUT_THE_CHOICE}
        # A prompt may have been deleted meanwhile; and of a pool only the chosen ones are shown to people.
        prompts = set(Prompt.objects.filter(project=project).values_list("pk", flat=True))
        chosen = {row["prompt_id"]: row for row in run.result.get("chosen", [])}
        if chosen:
            prompts &= set(chosen)
        Completion.objects.bulk_create(
            [
                _completion(
                    project.pk, row, authors, origin, sampling | _why(chosen.get(row["prompt_id"])) | _about_prompt(row)
                )
                for row in run.directory.samples()
                if row["prompt_id"] in prompts
            ],
            batch_size=500,
            ignore_conflicts=True,
        )
        policy = authors["policy"] or current_policy(project)
        people_share = run.config.get("people_share", 1.0)
        tasks.open_tasks_for(policy=policy, origin=origin, people_share=people_share, check=run.computed)
        live.announce(project.pk, "queue")


PRODUCT = Completions()


def no_others(planned: Planned) -> str:
    """Return why there is no other version to draw a share of the answers from; empty where there is, or none asked."""
    if "policy" in planned.made_before or not planned.project.policies.exists():
        return ""
    current = current_policy(planned.project).number
    older = planned.project.policies.filter(number__gt=0, number__lt=current)
    if planned.config.get("base_share") and current == 0:
        return gettext("sample.base_share: version 0 is active, so all responses are its own. Leave it out.")
    if planned.config.get("older_share") and not older.exists():
        return gettext(
            "sample.older_share: there is no version between version 0 and the active one, v%(current)s. Leave it out."
        ) % {"current": current}
    return ""


def _versions(run: TrainingRun) -> dict[str, Any]:
    """Return the folders and the numbers of the versions that answer. Another may be in use when the run ends."""
    current = current_policy(run.round.project_id)
    versions = {"policy": current}
    others = run.round.project.policies.exclude(pk=current.pk)
    if run.config.get("base_share") and (base := others.filter(number=0).first()):
        versions["base"] = base
    if run.config.get("older_share") and (older := list(others.filter(number__gt=0, number__lt=current.number))):
        versions["older"] = random.Random(f"older {run.pk}").choice(older)
    paths = {author: version.checkpoint for author, version in versions.items()}
    return {**paths, "versions": {author: version.number for author, version in versions.items()}}


def _authors(run: TrainingRun) -> dict[str, PolicyVersion | None]:
    """Return the versions by the names that the rows of the run use."""
    if run.config.get("server"):
        # Answers of another server belong to no policy version: what it has loaded is not known.
        return {"policy": None}
    project = run.round.project
    numbers = run.directory.config()["inputs"].get("versions", {})
    found: dict[str, PolicyVersion | None] = {"policy": current_policy(project)}
    return found | {author: project.policies.get(number=number) for author, number in numbers.items()}


def _about_prompt(row: Row) -> dict[str, Any]:
    """Return how many of the oldest messages the model did not read, since the prompt was too long."""
    return {"dropped_messages": row["dropped_messages"]} if row.get("dropped_messages") else {}


def _of_people(project: int, prompts: set[int]) -> Iterator[str]:
    """Yield the reference answers to these prompts."""
    written = Completion.objects.filter(project_id=project, origin="").exclude(source=Source.POLICY)
    for prompt, text in written.values_list("prompt_id", "text").iterator():
        if prompt in prompts:
            yield text.strip()


def _why(chosen: Row | None) -> dict[str, Any]:
    """Return why a prompt was chosen, kept with each answer. Estimates for all prompts may only use the control."""
    return {"chosen_by": chosen["by"], "disagreement": chosen["disagreement"]} if chosen else {}


def _completion(
    project: int, row: Row, authors: dict[str, PolicyVersion | None], origin: str, sampling: dict[str, Any]
) -> Completion:
    policy = authors[row.get("author", "policy")]
    return Completion(
        project_id=project,
        prompt_id=row["prompt_id"],
        source=Source.POLICY if policy else Source.IMPORTED,
        policy=policy,
        text=row["text"],
        sampling=sampling,
        logprob=row["logprob"],
        tokens=row["tokens"],
        finished=row["finished"],
        origin=origin,
        index=row["index"],
    )
