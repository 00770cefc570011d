"""Task kinds: what is asked, what an answer looks like, how it is stored.

To add one: a module here with a subclass of TaskKind, a row in KINDS, `templates/annotation/kinds/<kind>.html`,
and a test file.
"""

from __future__ import annotations

from annotation.kinds.base import TaskKind
from annotation.kinds.label import LabelKind
from annotation.kinds.proposal import ProposalKind
from annotation.kinds.ranking import RankingKind
from annotation.kinds.reference import ReferenceKind
from annotation.kinds.unary import UnaryKind

__all__ = ["KINDS", "TaskKind"]

KINDS: dict[str, TaskKind] = {
    "ranking": RankingKind(),
    "unary": UnaryKind(),
    "reference": ReferenceKind(),
    "label": LabelKind(),
    "proposal": ProposalKind(),
}
