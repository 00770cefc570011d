"""Judgments becoming policies.

TrainingRound  one turn of the circle: an ordered list of runs
TrainingRun    one step of it: a method, its settings, the snapshot it trains on, a run directory, a status
Metric         one number of one run at one step
Promotion      which version of the policy is in use, and from when on; Package  a merged copy of one
Preparation    the check, download and conversion of a project's base model
Exchange, Reply  a question in the playground, and what one or two versions answer
WorkerSign     when a worker was last seen alive
StageCompute   where stages run, and what they ask for there
Autopilot      when rounds of a project start by themselves
TemplateVersion, VerbalizerVersion  what prompt tuning asks a model, and the words that stand for labels
"""

from training.models.autopilot import Autopilot
from training.models.cloze import TemplateVersion, VerbalizerVersion
from training.models.compute import StageCompute
from training.models.playground import WRITING, Exchange, Outcome, Reply, ReplyStatus, Side
from training.models.policies import Package, PackageStatus, Promotion
from training.models.preparation import Preparation, PreparationStatus
from training.models.rounds import (
    ACTIVE,
    FINAL,
    ROUND_MOVES,
    RUN_MOVES,
    WAITING,
    Metric,
    RoundStatus,
    RunStatus,
    TrainingRound,
    TrainingRun,
    rounds_may_be,
    runs_may_be,
)
from training.models.worker import WorkerSign

__all__ = [
    "ACTIVE",
    "FINAL",
    "ROUND_MOVES",
    "RUN_MOVES",
    "WAITING",
    "WRITING",
    "Autopilot",
    "Exchange",
    "Metric",
    "Outcome",
    "Package",
    "PackageStatus",
    "Preparation",
    "PreparationStatus",
    "Promotion",
    "Reply",
    "ReplyStatus",
    "RoundStatus",
    "RunStatus",
    "Side",
    "StageCompute",
    "TemplateVersion",
    "TrainingRound",
    "TrainingRun",
    "VerbalizerVersion",
    "WorkerSign",
    "rounds_may_be",
    "runs_may_be",
]
