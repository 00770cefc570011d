"""Proposals: tasks that a model or a file proposes, and reviews of those that are worth one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db import transaction

from annotation import audit
from annotation.actions import proposals as reviews
from annotation.characters import cleaned
from annotation.exports.pool import pool as accepted
from annotation.models import AuditAction, PolicyVersion, Project, Proposal, ProposalBatch, ProposalReview
from training.instructions.form import Written
from training.instructions.heuristics import Proposed, refused_by
from training.instructions.seeds import seed_tasks
from training.instructions.similarity import NEAR_DUPLICATE, Pool
from training.models import TrainingRun
from training.products.base import Overtaken, Product
from training.products.promotions import current_policy
from training.rundir import Row

TRIES = 3  # at a batch while others are stored


class Compared(NamedTuple):
    """Proposals that are not saved yet, how many were there already, and the state of the project they hold for."""

    state: tuple[int, int]
    judged: list[Proposal]
    duplicates: int


class Proposals(Product):
    name = "proposals"
    order = 60

    def before_settling(self, run: TrainingRun, beat: Callable[[], None]) -> Compared:
        """Hold each task against all others, which takes minutes for some thousand."""
        tasks = [_as_written(row) for row in run.directory.samples() if not row["unparsed"]]
        return look(run.round.project, tasks, run.config["similarity"], beat)

    def settle(self, run: TrainingRun) -> None:
        """Store the tasks that the model wrote, and open reviews of those that are worth one."""
        rows = list(run.directory.samples())
        config = run.config
        store(
            project=run.round.project,
            origin=f"run-{run.pk}",
            # As it was when the run began: no run of its round has made another one since.
            policy=None if config["server"] else current_policy(run.round.project),
            model=run.result.get("model") or config["server_model"],
            sampling={name: config[name] for name in ("temperature", "max_new_tokens", "seed", "server")},
            proposed=len(rows),
            unparsed=Counter(row["unparsed"] for row in rows if row["unparsed"]),
            tasks=[_as_written(row) for row in rows if not row["unparsed"]],
            threshold=config["similarity"],
            review_near_duplicates=config["near_duplicates"] == "review",
            looked=run.computed,
        )


PRODUCT = Proposals()


def _as_written(row: Row) -> Written:
    return Written(
        instruction=row["instruction"],
        input=row["input"],
        output=row["output"],
        prompt=row["prompt"],
        examples=row["examples"],
        finished=row["finished"],
    )


def store(
    *,
    project: Project,
    origin: str,
    proposed: int,
    unparsed: Counter[str],
    tasks: Iterable[Written],
    policy: PolicyVersion | None = None,
    model: str = "",
    sampling: dict[str, Any] | None = None,
    by: User | None = None,
    threshold: float = NEAR_DUPLICATE,
    review_near_duplicates: bool = False,
    looked: Compared | None = None,
) -> ProposalBatch:
    """Return the stored batch of proposals with what the rules say to each; a repeated call stores nothing twice.

    Each task is held against all others, which takes minutes for some thousand: nothing is locked meanwhile. Where
    another batch was stored in that time, all is looked at again, the last time with the project locked. With `looked`
    that is the caller's: Overtaken is raised.
    """
    tasks = list(tasks)
    about = {
        "policy": policy,
        "model": model,
        "sampling": sampling or {},
        "proposed": proposed,
        "unparsed": dict(unparsed),
        "created_by_id": by.pk if by else None,
    }
    for _ in range(TRIES):
        if batch := project.proposal_batches.filter(origin=origin).first():
            return batch
        current = looked or look(project, tasks, threshold)
        with transaction.atomic():
            Project.objects.select_for_update().get(pk=project.pk)  # two batches would not see each other's tasks
            if _state(project) == current.state:
                return _store(project, origin, about, current, review_near_duplicates)
            if looked is not None:
                raise Overtaken
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        return _store(project, origin, about, look(project, tasks, threshold), review_near_duplicates)


def look(
    project: Project, tasks: Iterable[Written], threshold: float, beat: Callable[[], None] = lambda: None
) -> Compared:
    """Return what the rules say to each task now; `beat` is called before each."""
    state = _state(project)
    return Compared(state, *_judge(project, tasks, threshold, beat))


def _state(project: Project) -> tuple[int, int]:
    """Return what changes when a proposal is added or reviewed."""
    newest = project.proposals.order_by("-pk").values_list("pk", flat=True).first()
    return newest or 0, ProposalReview.objects.filter(assignment__project=project).count()


def _store(
    project: Project,
    origin: str,
    about: dict[str, Any],
    looked: Compared,
    review_near_duplicates: bool,
) -> ProposalBatch:
    batch, is_new = ProposalBatch.objects.get_or_create(
        project=project, origin=origin, defaults={**about, "duplicates": looked.duplicates}
    )
    if not is_new:
        return batch
    for proposal in looked.judged:
        proposal.batch = batch
    stored = Proposal.objects.bulk_create(looked.judged, batch_size=500)
    _refer_to_saved(stored)
    worth_a_look = [
        proposal
        for proposal in stored
        if not proposal.refused_by and (review_near_duplicates or not proposal.near_duplicate)
    ]
    reviews.open_reviews(project=project, proposals=worth_a_look)
    if about["created_by_id"]:
        by, rows = about["created_by_id"], about["proposed"]
        audit.record(AuditAction.IMPORTED, by=by, project=project, what="file of proposed tasks", rows=rows)
    return batch


def _judge(
    project: Project, tasks: Iterable[Written], threshold: float, beat: Callable[[], None]
) -> tuple[list[Proposal], int]:
    """Return the proposals, not saved yet and of no batch, and how many were there already, word for word."""
    known = set(project.proposals.values_list("digest", flat=True))
    texts = {f"seed:{task.id}": (task.instruction, task.input) for task in seed_tasks()}
    pool = Pool((id, instruction) for id, (instruction, _) in texts.items())
    kept = project.proposals.filter(refused_by="", near_duplicate=False).order_by("pk")
    for pk, instruction, given in kept.values_list("pk", "instruction", "input").iterator(2000):
        pool.add(f"proposal:{pk}", instruction)
        texts[f"proposal:{pk}"] = (instruction, given)
    for item in accepted(project):
        if item.edited:
            pool.add(f"proposal:{item.proposal.pk}", item.instruction)
            texts[f"proposal:{item.proposal.pk}"] = (item.instruction, item.input)
    judged: list[Proposal] = []
    duplicates = 0
    for number, written in enumerate(tasks):
        beat()
        task = {name: cleaned(getattr(written, name)).strip() for name in ("instruction", "input", "output")}
        digest = Proposal.digest_of(**task)
        if digest in known:
            duplicates += 1
            continue
        known.add(digest)
        shown = frozenset(texts[id] for id in written.examples if id in texts)
        refused = refused_by(Proposed(**task, finished=written.finished, examples=shown))
        similar = pool.most_similar(task["instruction"])
        nearest = similar[0].score if similar else 0.0
        is_near = not refused and nearest >= threshold
        if not refused and not is_near:
            pool.add(f"batch:{number}", task["instruction"])
        judged.append(
            Proposal(
                project=project,
                index=number,
                digest=digest,
                prompt=written.prompt,
                examples=written.examples,
                refused_by=refused,
                similarity=nearest,
                near_duplicate=is_near,
                similar=[item._asdict() for item in similar],
                **task,
            )
        )
    return judged, duplicates


def _refer_to_saved(stored: list[Proposal]) -> None:
    """Put ids in place of numbers: similar tasks may be of the same batch, whose tasks had no id until now."""
    ids = {f"batch:{proposal.index}": f"proposal:{proposal.pk}" for proposal in stored}
    for proposal in stored:
        proposal.similar = [{**item, "id": ids.get(item["id"], item["id"])} for item in proposal.similar]
    Proposal.objects.bulk_update(stored, ["similar"], batch_size=500)
