"""Judgments becoming policies.

TrainingRound  one turn of the circle: an ordered list of runs
TrainingRun    one step of it: a method, its settings, the snapshot it trains on, a run directory, a status
Metric         one number of one run at one step
Autopilot      when rounds of a project start by themselves
TemplateVersion, VerbalizerVersion  what prompt tuning asks a model, and the words that stand for labels
"""

from training.models.autopilot import Autopilot
from training.models.cloze import TemplateVersion, VerbalizerVersion
from training.models.rounds import (
    ACTIVE,
    FINAL,
    MOVES,
    WAITING,
    Metric,
    RunStatus,
    TrainingRound,
    TrainingRun,
    before,
)

__all__ = [
    "ACTIVE",
    "FINAL",
    "MOVES",
    "WAITING",
    "Autopilot",
    "Metric",
    "RunStatus",
    "TemplateVersion",
    "TrainingRound",
    "TrainingRun",
    "VerbalizerVersion",
    "before",
]
