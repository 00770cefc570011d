"""What becomes of the answers that a sampling run drew: completions of their authors, and tasks to rank them."""

from __future__ import annotations

from typing import Any

from annotation import live
from annotation.actions import tasks
from annotation.models import Completion, PolicyVersion, Prompt, Source
from training.actions import policies
from training.models import TrainingRun
from training.rundir import Row

ABOUT_THE_CHOICE = ("prompts", "pool", "choose_by", "control_share", "people_share", "base_share", "older_share")


def take_run(run: TrainingRun) -> None:
    """Called inside the transaction of the run's success."""
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
            _completion(row, authors, origin, sampling | _why(chosen.get(row["prompt_id"])))
            for row in run.directory.samples()
            if row["prompt_id"] in prompts
        ],
        batch_size=500,
        ignore_conflicts=True,
    )
    policy = authors["policy"] or policies.current_policy(project)
    tasks.open_tasks_for(policy=policy, origin=origin, people_share=run.config.get("people_share", 1.0))
    live.announce(project.pk, "queue")


def _authors(run: TrainingRun) -> dict[str, PolicyVersion | None]:
    """By the names that the rows of the run use. Another version may have been promoted since it began."""
    if run.config.get("server"):
        # What another server answered with is nobody's policy here, whatever it may have been told to load.
        return {"policy": None}
    project = run.round.project
    numbers = run.directory.config()["inputs"].get("versions", {})
    found: dict[str, PolicyVersion | None] = {"policy": policies.current_policy(project)}
    return found | {author: project.policies.get(number=number) for author, number in numbers.items()}


def _why(chosen: Row | None) -> dict[str, Any]:
    """Kept with each answer: estimates for all prompts may only use what the control brought."""
    return {"chosen_by": chosen["by"], "disagreement": chosen["disagreement"]} if chosen else {}


def _completion(
    row: Row, authors: dict[str, PolicyVersion | None], origin: str, sampling: dict[str, Any]
) -> Completion:
    policy = authors[row.get("author", "policy")]
    return Completion(
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
