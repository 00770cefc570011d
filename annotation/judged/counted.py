"""What a judgment that counts, its task and its candidates are, as plain values, and which are asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, Self

from annotation.judged.preferences import Vote
from annotation.stats.unpaired import ACCEPTABLE, END_USERS

PEOPLE, IMPORTED, JUDGE = "people", "imported", "judge"


@dataclass(frozen=True)
class Filter:
    """Which judgments are asked for. Empty lists and None ask for all."""

    kinds: list[str] = field(default_factory=list)  # ranking, unary, reference, label, imported
    policies: list[int] = field(default_factory=list)  # number of the newest version among a task's authors
    annotators: list[int] = field(default_factory=list)
    min_agreement: float = 0.0  # least share of the votes on a pair that must be for it
    since: datetime | None = None
    until: datetime | None = None
    judge: int | None = None  # id of an AI judge's version whose judgments are asked for, too
    judge_weight: float = 0.0  # of each of its judgments
    end_users: bool = False  # whether thumbs of end users are asked for, too
    end_user_weight: float = 0.0  # of each of their thumbs

    def as_json(self) -> dict[str, Any]:
        """Return what differs from asking for everything, as a snapshot stores it."""
        given = {name: value for name, value in asdict(self).items() if value}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in given.items()}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Self:
        known = {name: given[name] for name in (each.name for each in fields(cls)) if name in given}
        for name in ("since", "until"):
            if isinstance(known.get(name), str):
                known[name] = datetime.fromisoformat(known[name])
        return cls(**known)

    def wants(self, kind: str) -> bool:
        return not self.kinds or kind in self.kinds

    def refusal(self, annotator: int | None, at: datetime) -> str:
        """Return why a judgment is left out; an empty text where it counts."""
        if self.annotators and annotator not in self.annotators:
            return "by other annotators"
        return "" if self.is_in_time(at) else "outside the dates"

    def is_in_time(self, at: datetime) -> bool:
        """Return whether a judgment of this time is asked for."""
        return not ((self.since and at < self.since) or (self.until and at > self.until))


@dataclass(frozen=True)
class JudgedCandidate:
    """A candidate as files need it."""

    pk: int
    text: str
    finished: bool
    policy: int | None
    source: str = "policy"

    @property
    def author(self) -> str:
        """Return the name under which authors are compared: a policy version, people, or an imported source."""
        return f"v{self.policy}" if self.policy is not None else self.source


@dataclass(frozen=True)
class CountedJudgment:
    """A person's ranking of a task, a reviewer's decision in the place of all of them, or a pair that was imported.

    A unary judgment is a ranking of one response that says whether it is acceptable.
    """

    tiers: list[list[int]]
    unacceptable: list[int]
    annotator: int | None  # None: imported
    at: datetime
    unranked: list[int] = field(default_factory=list)
    strength: int | None = None
    ratings: dict[str, dict[str, float]] = field(default_factory=dict)
    shown_order: list[int] = field(default_factory=list)
    active_ms: int = 0
    rationale: str = ""
    claimed_at: datetime | None = None
    margin: float | None = None  # of an imported judgment, where its file states one
    weight: float = 1.0
    adjudicated: bool = False
    name: str = ""  # that a file gives the person
    judge: str = ""  # the AI judge that said it, with its version
    end_user: bool = False  # an end user of a product said it, by a thumb

    @property
    def by_annotators(self) -> bool:
        """Return whether people judged it as annotators, here or where a file comes from."""
        return not self.judge and not self.end_user

    @property
    def vote(self) -> Vote:
        return Vote(self.tiers, self.unacceptable, self.weight, self.unranked, self.strength)

    def finds_good(self, pk: int) -> bool | None:
        """Return whether the judgment says that a response is good by itself; None where it only rates or orders it."""
        rating = self.ratings.get(str(pk), {}).get(ACCEPTABLE)
        if rating is not None:
            return rating > 0
        return pk not in self.unacceptable if self.unacceptable else None

    @property
    def who(self) -> str:
        if self.judge:
            return f"{JUDGE}:{self.judge}"
        if self.end_user:
            return END_USERS
        if self.annotator is None:
            return f"{IMPORTED}:{self.name}" if self.name else IMPORTED
        return f"{'reviewer' if self.adjudicated else 'annotator'}-{self.annotator}"


@dataclass(frozen=True)
class JudgedTask:
    """A prompt with its candidates and every judgment of them that counts. Imported pairs have negative ids."""

    pk: int
    prompt_id: int
    messages: list[dict[str, str]]
    split: str
    answers: dict[int, JudgedCandidate]
    judgments: list[CountedJudgment]
    source: str = PEOPLE

    @property
    def policy(self) -> int | None:
        """Return the newest version among the authors of the candidates."""
        return max((answer.policy for answer in self.answers.values() if answer.policy is not None), default=None)
