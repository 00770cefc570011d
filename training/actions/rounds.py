"""Starting a round, pausing and resuming it, letting it go on past a gate, trying it again, cancelling it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop

from annotation import audit, live, pseudonyms
from annotation.actions import alarms, snapshots
from annotation.errors import NotPossible
from annotation.judged.rows import rankings_that_count, unary_that_count
from annotation.models import (
    Alarm,
    AuditAction,
    DatasetSnapshot,
    Project,
    SnapshotType,
)
from training.actions import runs
from training.actions.bounds import over_bounds
from training.actions.compute import checked, placement
from training.methods import METHODS
from training.methods.inherited import with_inherited
from training.methods.plans import FIRST_ROUND, FULL_ROUND, UNARY_ROUND, configs_of
from training.models import ACTIVE, RoundStatus, RunStatus, TrainingRound, TrainingRun, rounds_may_be, runs_may_be
from training.products import methods_where, product_of
from training.products.base import Planned, Product
from training.products.chat import inherited_settings

OTHER_IS_ACTIVE = gettext_noop(
    "Another round is active in this project. Wait for it to finish, or cancel it; this one can go on then."
)
ALARMED = gettext_noop("A model problem is reported. Resolve it on the project’s page first.")
MOST_STAGES = 12  # of a round that a person or the autopilot plans
MOST_RUNS = 250  # of any round: all approaches of prompt tuning with 20 seeds each
ALREADY_ACTIVE = gettext_noop("A round is active in this project. Wait for it to finish, or cancel it first.")


def start_round(
    *,
    project: Project,
    methods: Sequence[str],
    by: User | None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    autopilot_reason: str = "",
    compute: Mapping[str, Mapping[str, Any]] | None = None,
) -> TrainingRound:
    """Queue the runs of a new round; a worker takes them from there.

    `settings` maps a method to the fields that differ from its defaults; length and temperature of answers are
    otherwise the project's. `autopilot_reason` is why the autopilot starts
    it, empty where a person does. `compute` maps a method, or "" for all, to executor and resources that differ from
    the project's. Judgments are frozen here, so what people submit while the round runs belongs to the
    next one.
    """
    check_stages(methods)
    configs = configs_of(methods, with_inherited(methods, settings or {}, inherited_settings(project)))
    why_not = refusal(project, methods, configs)
    if why_not:
        raise NotPossible(why_not)
    types = [product_of(METHODS[method]).data(METHODS[method]).snapshot_type for method in methods]
    taken: dict[SnapshotType | None, DatasetSnapshot | None] = {None: None}
    for type in types:
        if type is not None and type not in taken:
            taken[type] = snapshots.take_snapshot(project=project, by=by, type=type)
    return queue_round(
        project=project,
        by=by,
        autopilot_reason=autopilot_reason,
        compute=compute,
        planned=[
            (method, config, taken[type], {}) for method, type, config in zip(methods, types, configs, strict=True)
        ],
    )


def check_stages(methods: Sequence[str]) -> None:
    """Raise NotPossible where a round would have more stages than one may."""
    if len(methods) > MOST_STAGES:
        raise NotPossible(
            gettext("A round has at most %(MOST_STAGES)s stages; these are %(count)s. Start several rounds.")
            % {"MOST_STAGES": MOST_STAGES, "count": len(methods)}
        )


def queue_round(
    *,
    project: Project,
    by: User | None,
    planned: Sequence[tuple[str, Mapping[str, Any], DatasetSnapshot | None, Mapping[str, Any]]],
    autopilot_reason: str = "",
    compute: Mapping[str, Mapping[str, Any]] | None = None,
) -> TrainingRound:
    """Store and return a round of these runs, each with method, settings, snapshot and further inputs.

    Callers check whether it may start; here a second active round is refused, and one of more runs than MOST_RUNS.
    """
    if len(planned) > MOST_RUNS:
        raise NotPossible(
            gettext("A round has at most %(most)s runs; these are %(count)s. Choose fewer methods or seeds.")
            % {"most": MOST_RUNS, "count": len(planned)}
        )
    asked = checked(compute or {})
    places = [placement(project, method, config, asked) for method, config, *_ in planned]
    try:
        with transaction.atomic():
            round = TrainingRound.objects.create(
                project=project,
                number=project.rounds.next_number(),
                started_by_id=by.pk if by else None,
                autopilot_reason=autopilot_reason[:500],
            )
            TrainingRun.objects.bulk_create(
                [
                    TrainingRun(
                        round=round,
                        position=position,
                        method=method,
                        config=config,
                        snapshot=snapshot,
                        inputs=inputs,
                        executor=places[position][0],
                        resources=places[position][1],
                    )
                    for position, (method, config, snapshot, inputs) in enumerate(planned)
                ]
            )
            stages = [method for method, *_ in planned]
            audit.record(AuditAction.ROUND_STARTED, by=by, project=project, what=str(round), stages=stages)
    except IntegrityError as clash:
        raise NotPossible(gettext(ALREADY_ACTIVE)) from clash
    live.announce(project.pk, "round")
    return round


def refusal(
    project: Project,
    methods: Sequence[str],
    configs: Sequence[Mapping[str, Any]] = (),
    *,
    with_inputs: bool = False,
) -> str:
    """Return why a round of these methods cannot start now; empty if it can. Without `configs` the defaults are meant.

    `with_inputs`: what else they need is at hand.
    """
    plan = [
        Planned(
            project,
            METHODS[method],
            configs[position] if configs else {},
            made_before=[METHODS[earlier].makes for earlier in methods[:position]],
            with_inputs=with_inputs,
        )
        for position, method in enumerate(methods)
    ]
    products = [product_of(planned.method) for planned in plan]
    needing_inputs = [product.needs_inputs for product in products if product.needs_inputs and not with_inputs]
    if needing_inputs:
        return gettext(needing_inputs[0])
    return (
        _refused_now(project, products, plan)
        or _refused_stage(products, plan)
        or (over_bounds(project, methods, configs) if configs else "")
    )


def _refused_now(project: Project, products: Sequence[Product], plan: Sequence[Planned]) -> str:
    """Return what about the project keeps the round from starting."""
    if not plan:
        return gettext("Choose at least one method.")
    if project.rounds.active().exists():
        return gettext(ALREADY_ACTIVE)
    if any(product.shown_to_people for product in products) and alarms.open_alarm(project):
        return gettext(ALARMED)
    if not project.policies.exists():
        return gettext("The project has no policy yet. Prepare its base model first, which becomes version 0.")
    needs_prompts = any(
        product.data(planned.method).needs_prompts for product, planned in zip(products, plan, strict=True)
    )
    if needs_prompts and not project.prompts.exists():
        return gettext("The project has no prompts yet. Import some first.")
    return ""


def _refused_stage(products: Sequence[Product], plan: Sequence[Planned]) -> str:
    """Return what one of the stages lacks."""
    for product, planned in zip(products, plan, strict=True):
        if why_not := product.data(planned.method).refusal(planned.project, planned.method):
            return why_not
        if why_not := product.refusal(planned):
            return why_not
    return ""


def next_methods(project: Project) -> tuple[str, ...]:
    """Return the methods of the next usual round: sampling first, and a whole round once people have ranked.

    Where they only judge single responses it is a round of KTO.
    """
    if rankings_that_count(project).exists():
        return FULL_ROUND
    return UNARY_ROUND if unary_that_count(project).exists() else FIRST_ROUND


def describe_round(
    *, round: TrainingRound, notes: str, tags: Sequence[str], is_baseline: bool, by: User | None
) -> None:
    """Store notes and tags of a round, and whether the project's other rounds are compared with it."""
    with transaction.atomic():
        if is_baseline:
            round.project.rounds.exclude(pk=round.pk).filter(is_baseline=True).update(is_baseline=False)
        TrainingRound.objects.filter(pk=round.pk).update(notes=notes, tags=list(tags), is_baseline=is_baseline)
        audit.record(
            AuditAction.ROUND_DESCRIBED,
            by=by,
            project=round.project,
            what=str(round),
            tags=list(tags),
            is_baseline=is_baseline,
        )


def _by(text: str, by: User) -> str:
    return text % {"by": by}


def cancel_round(*, round: TrainingRound, by: User | None) -> None:
    """Stop a round. The worker notices within seconds and ends the process."""
    now = timezone.now()
    with transaction.atomic():
        cancelled = TrainingRound.objects.filter(pk=round.pk, status__in=rounds_may_be(RoundStatus.CANCELLED)).update(
            status=RoundStatus.CANCELLED,
            finished_at=now,
            reason=_by(gettext_noop("Cancelled by %(by)s."), by) if by else gettext_noop("Cancelled."),
        )
        if not cancelled:
            raise NotPossible(gettext("The round is already over."))
        unfinished = round.runs.filter(status__in=runs_may_be(RunStatus.CANCELLED))
        unfinished.update(status=RunStatus.CANCELLED, finished_at=now)
        runs.tell_finished(round)
        audit.record(AuditAction.ROUND_CANCELLED, by=by, project=round.project, what=str(round))
    live.announce(round.project_id, "round")


def pause_round(*, round: TrainingRound, by: User) -> None:
    """Pause a round. The worker notices within seconds; once resumed, its run goes on from the last state."""
    with transaction.atomic():
        if not TrainingRound.objects.filter(pk=round.pk, status__in=ACTIVE).update(
            status=RoundStatus.PAUSED, reason=_by(gettext_noop("Paused by %(by)s."), by)
        ):
            raise NotPossible(gettext("The round is not running, so it cannot be paused."))
        audit.record(AuditAction.ROUND_PAUSED, by=by, project=round.project, what=str(round))
    live.announce(round.project_id, "round")


def pause_alarmed() -> None:
    """Pause the rounds that would still ask people, in projects with an open alarm. The worker calls this."""
    shown_to_people = methods_where(lambda product: product.shown_to_people)
    to_sample = TrainingRun.objects.filter(round=OuterRef("pk"), method__in=shown_to_people, status__in=ACTIVE)
    alarms_open = Alarm.objects.filter(settled_at=None)
    found = TrainingRound.objects.filter(Exists(to_sample), status__in=ACTIVE, project__alarms__in=alarms_open)
    for round in found.select_related("project"):
        alarm = alarms.open_alarm(round.project)
        if alarm is None:
            continue
        # Reviewers read the reason, too, and it is stored once for all readers.
        by = pseudonyms.pseudonym(round.project_id, alarm.raised_by_id)
        reason = gettext_noop("%(by)s reported a model problem: %(note)s") % {"by": by, "note": alarm.note}
        with transaction.atomic():
            paused = TrainingRound.objects.filter(pk=round.pk, status__in=ACTIVE)
            if paused.update(status=RoundStatus.PAUSED, reason=reason[:500]):
                audit.record(AuditAction.ROUND_PAUSED, project=round.project, what=str(round), alarm=alarm.pk)
                live.announce(round.project_id, "round")


def resume_round(*, round: TrainingRound) -> None:
    if alarms.open_alarm(round.project):
        raise NotPossible(gettext(ALARMED))
    try:
        with transaction.atomic():
            if not TrainingRound.objects.filter(pk=round.pk, status=RoundStatus.PAUSED).update(
                status=RoundStatus.RUNNING, reason=""
            ):
                raise NotPossible(gettext("The round is not paused."))
            last = round.runs.succeeded().order_by("-position").first()
            if last is not None:  # it may have ended between the pause and its process
                runs.settle_round(round=round, last=last)
            audit.record(AuditAction.ROUND_RESUMED, project=round.project, what=str(round))
    except IntegrityError as clash:
        raise NotPossible(gettext(OTHER_IS_ACTIVE)) from clash
    live.announce(round.project_id, "round")


def retry_round(*, round: TrainingRound) -> None:
    """Queue a failed round again from the stage that failed, which resumes from its last saved state."""
    try:
        with transaction.atomic():
            if not TrainingRound.objects.filter(pk=round.pk, status=RoundStatus.FAILED).update(
                status=RoundStatus.RUNNING, reason="", finished_at=None
            ):
                raise NotPossible(gettext("Only a failed round can be retried. Duplicate it instead."))
            round.runs.filter(status__in=[RunStatus.FAILED, RunStatus.CANCELLED]).update(
                status=RunStatus.QUEUED, error="", phase="", finished_at=None, attempts_before_retry=F("attempt")
            )
            audit.record(AuditAction.ROUND_RETRIED, project=round.project, what=str(round))
    except IntegrityError as clash:
        raise NotPossible(gettext(OTHER_IS_ACTIVE)) from clash
    live.announce(round.project_id, "round")


def go_on(*, round: TrainingRound, by: User) -> None:
    """Let a round that stopped at a gate run its remaining stages, and store who decided it."""
    try:
        with transaction.atomic():
            if not TrainingRound.objects.filter(pk=round.pk, status=RoundStatus.STOPPED).update(
                status=RoundStatus.RUNNING, reason=""
            ):
                raise NotPossible(gettext("The round does not wait at a quality gate."))
            gate = round.runs.succeeded().select_related("round__project", "policy").order_by("-position")[:1].get()
            product_of(gate.spec).override_gate(gate, by)
            TrainingRun.objects.filter(pk=gate.pk).update(gate_overridden_by=by, gate_overridden_at=timezone.now())
            audit.record(AuditAction.GATE_PASSED, by=by, project=round.project, what=str(round), method=gate.method)
    except IntegrityError as clash:
        raise NotPossible(gettext(OTHER_IS_ACTIVE)) from clash
    live.announce(round.project_id, "round")
