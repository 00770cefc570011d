"""The data card: who judged, how much they agree, and what the choice may have been swayed by."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

from annotation.judged.counted import CountedJudgment, JudgedCandidate, JudgedTask
from annotation.judged.preferences import Even, Pair, merge
from annotation.judged.rows import guideline_version
from annotation.judged.strengths import WinRecords, jackknifed
from annotation.judged.strengths import count as count_comparisons
from annotation.models import Project

GROUPS = 20  # tasks are dealt to as many groups, which are left out in turn for the intervals of the strengths


@dataclass
class CardTally:
    """Sums over a stream of tasks, so a card costs no second reading and no memory."""

    people: Counter[str] = field(default_factory=Counter)
    alike: int = 0
    unlike: int = 0
    pairs: int = 0
    longer: int = 0
    characters: Counter[str] = field(default_factory=Counter)
    best_at: Counter[int] = field(default_factory=Counter)
    expected_at: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    milliseconds: int = 0
    timed: int = 0
    machine: Counter[str] = field(default_factory=Counter)  # judgments of AI judges, which are in no other figure
    machine_weight: float = 0.0
    thumbs: Counter[str] = field(default_factory=Counter)  # of end users, which are in no other figure either
    thumb_weight: float = 0.0
    comparisons: list[WinRecords] = field(default_factory=lambda: [{} for _ in range(GROUPS)])

    def see(self, task: JudgedTask, pairs: list[Pair], evens: list[Even]) -> None:
        """Add a task and its merged pairs. Its figures are those of annotators: AI judges and thumbs stand apart."""
        people = [judgment for judgment in task.judgments if judgment.by_annotators]
        own_pairs, own_evens = pairs, evens
        if len(people) < len(task.judgments):
            self._see_others([judgment for judgment in task.judgments if not judgment.by_annotators])
            own_pairs, own_evens = merge([judgment.vote for judgment in people])
        for judgment in people:
            self._see_person(task, judgment)
        for votes_for, votes_against in [
            *((pair.votes_for, pair.votes_against) for pair in own_pairs),
            *(even.votes_each_way for even in own_evens),
        ]:
            self._see_votes(votes_for, votes_against)
        if len(task.answers) == 1:  # judged by itself: two people agree that it is good, or that it is bad
            (pk,) = task.answers
            said = [judgment.finds_good(pk) for judgment in people]
            self._see_votes(said.count(True), said.count(False))
        for pair in own_pairs:
            self._see_lengths(task.answers[pair.chosen], task.answers[pair.rejected])

    def _see_votes(self, one_way: int, the_other: int) -> None:
        """Count the pairs of people who said the same, and of those who did not."""
        self.alike += one_way * (one_way - 1) // 2 + the_other * (the_other - 1) // 2
        self.unlike += one_way * the_other

    def _see_others(self, judgments: list[CountedJudgment]) -> None:
        for judgment in judgments:
            if judgment.end_user:
                self.thumbs["down" if judgment.unacceptable else "up"] += 1
                self.thumb_weight = judgment.weight
                continue
            self.machine[judgment.judge] += 1
            self.machine_weight = judgment.weight

    def _see_person(self, task: JudgedTask, judgment: CountedJudgment) -> None:
        self.people[judgment.who] += 1
        authors = {pk: answer.author for pk, answer in task.answers.items()}
        if len(set(authors.values())) > 1:
            count_comparisons(self.comparisons[task.pk % GROUPS], judgment.vote, authors)
        if judgment.active_ms:
            self.milliseconds += judgment.active_ms
            self.timed += 1
        shown, first = judgment.shown_order, judgment.tiers[0]
        if len(shown) > 1 and len(first) == 1 and first[0] in shown:
            self.best_at[shown.index(first[0])] += 1
            for place in range(len(shown)):
                self.expected_at[place] += 1 / len(shown)

    def _see_lengths(self, chosen: JudgedCandidate, rejected: JudgedCandidate) -> None:
        self.pairs += 1
        self.characters["chosen"] += len(chosen.text)
        self.characters["rejected"] += len(rejected.text)
        if len(chosen.text) != len(rejected.text):
            self.characters["unequal"] += 1
            self.longer += len(chosen.text) > len(rejected.text)

    def see_writer(self, annotator: int) -> None:
        self.people[f"annotator-{annotator}"] += 1

    def as_json(self, project: Project) -> dict[str, Any]:
        """Return figures by name; None where there was nothing to measure."""
        judged = self.alike + self.unlike
        beside = self._machine_made() | self._of_end_users()
        return beside | {
            "licence": project.licence,
            "guideline_version": guideline_version(project),
            "people": dict(sorted(self.people.items())),
            "agreement": {"share": _share(self.alike, judged), "compared": judged},
            "length": {
                "chosen_longer": _share(self.longer, self.characters["unequal"]),
                "compared": self.characters["unequal"],
                "mean_chosen": _share(self.characters["chosen"], self.pairs, 1),
                "mean_rejected": _share(self.characters["rejected"], self.pairs, 1),
            },
            "position": [
                {"place": place + 1, "best": self.best_at[place], "expected": round(expected, 2)}
                for place, expected in sorted(self.expected_at.items())
            ],
            "mean_seconds": _share(self.milliseconds / 1000, self.timed, 1),
            "strengths": {name: asdict(strength) for name, strength in jackknifed(self.comparisons).items()},
        }

    def _machine_made(self) -> dict[str, Any]:
        """Return how much AI judges said; nothing where they were not asked for.

        `share` is that of their judgments, each of one pair, among all judgments.
        """
        if not self.machine:
            return {}
        said = self.machine.total()
        share = _share(said, self._judgments())
        return {"machine": {"judges": dict(self.machine), "weight": self.machine_weight, "share": share}}

    def _of_end_users(self) -> dict[str, Any]:
        """Return how many thumbs of end users there are; nothing where they were not asked for."""
        if not self.thumbs:
            return {}
        share = _share(self.thumbs.total(), self._judgments())
        counts = {name: self.thumbs[name] for name in ("up", "down")}
        return {"end_users": counts | {"weight": self.thumb_weight, "share": share}}

    def _judgments(self) -> int:
        return self.machine.total() + self.thumbs.total() + self.people.total()


def _share(part: float, whole: float, digits: int = 4) -> float | None:
    return round(part / whole, digits) if whole else None
