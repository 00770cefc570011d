"""What people said about sets of candidates, as the reward model reads it.

Two kinds of rows come in: whole rankings (type "ranking": candidates, and the tiers of every annotator), among them
single responses that people called good or bad, and TRL's preference pairs, which are put together again by `group_id`.
Nothing is made of them that nobody said: ties and
contradictions stay what they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor

from annotation.stats.unpaired import RANKING, calls_good, source_of
from annotation.stats.votes import tally_of
from training.recipes.models.answers import Answers
from training.recipes.models.shared_model import SharedModel
from training.recipes.text.prompts import Refused, pad_left, pad_right, prompt_tokens, response_tokens
from training.rundir import Row

TRUNK_MEMORY = 2 * 1024**3  # bytes of trunk states kept for all epochs; larger data computes them anew each time
READ_AT_ONCE = 8  # rankings per forward pass where nothing is learned


class IndexVote(NamedTuple):
    """A person's order over candidates, by index; equal tier, equal rank. Candidates may be missing.

    `unranked` are candidates without a place: the last tier, whose members are not known to be equal. `unacceptable`
    are those below the line that the person drew; without any no line was drawn, unless the vote itself says which
    candidates are good or bad (`calls_good`).
    """

    tiers: list[list[int]]
    weight: float = 1.0
    annotator: str = ""
    margin: float | None = None  # of a pair, where its source or the strength of the comparison gives one
    unranked: tuple[int, ...] = ()
    unacceptable: tuple[int, ...] = ()
    calls_good: bool = False

    @property
    def has_line(self) -> bool:
        return self.calls_good or bool(self.unacceptable)

    def is_acceptable(self, index: int) -> bool | None:
        """Return on which side of the line a candidate is; None without a line, or where it got no place."""
        if not self.has_line or not any(index in tier for tier in self.tiers):
            return None
        if index in self.unacceptable:
            return False
        return None if index in self.unranked else True

    def line_place(self) -> int | None:
        """Return before which tier the line is; None without one, or where it does not part whole tiers."""
        if self.calls_good and not self.unacceptable:
            return len(self.tiers)
        below = set(self.unacceptable)
        sides = [below.issuperset(tier) for tier in self.tiers]
        mixed = any(below & {*tier} for tier, is_below in zip(self.tiers, sides, strict=True) if not is_below)
        return None if mixed or not any(sides) or sides != sorted(sides) else sides.index(True)

    def distance(self, first: int, second: int) -> float | None:
        """Return how far the first is above the second, from -1 to 1; None where the vote does not compare them."""
        places = {index: level for level, tier in enumerate(self.tiers) for index in tier}
        if first not in places or second not in places or {first, second} <= set(self.unranked):
            return None
        tiers = places[second] - places[first]
        if self.margin is None:
            return tiers / max(len(places) - 1, 1)
        return self.margin * ((tiers > 0) - (tiers < 0))


class MergedPair(NamedTuple):
    """Two candidates: `share` of the votes (a tie counts half) put the first above the second.

    `margin` is the mean distance in tiers in units of the longest possible one, from 0 to 1, towards the majority.
    """

    first: int
    second: int
    share: float
    margin: float


class LineShare(NamedTuple):
    """A candidate, and the share of the votes on acceptability that found it acceptable."""

    candidate: int
    share: float


@dataclass
class JudgedSet:
    """The candidates of one judged set with all votes on them."""

    prompt_id: int | str
    split: str
    prompt: list[int]
    candidates: list[list[int]] = field(default_factory=list)
    votes: list[IndexVote] = field(default_factory=list)
    policy: int | None = None  # number of the newest policy version among the candidates' authors
    source: str = RANKING  # of its votes, as `source_of` names it
    trunk: tuple[Tensor, Tensor] | None = None  # prompt (p, d), candidates (k, r, d)
    depths: Tensor | None = None  # (k, depths, d)

    @cached_property
    def pairs(self) -> list[MergedPair]:
        found = (self._pair(first, second) for first, second in combinations(range(len(self.candidates)), 2))
        return [pair for pair in found if pair is not None]

    @cached_property
    def lines(self) -> list[LineShare]:
        """Return for each candidate that was put on a side of a line the share of votes that found it acceptable."""
        found = []
        for index in range(len(self.candidates)):
            sides = [
                (float(side), vote.weight)
                for vote in self.votes
                if vote.weight > 0 and (side := vote.is_acceptable(index)) is not None
            ]
            if total := sum(weight for _, weight in sides):
                found.append(LineShare(index, sum(side * weight for side, weight in sides) / total))
        return found

    @property
    def terms(self) -> int:
        """Return by what its terms are averaged: its pairs, or the one term of a response that is judged by itself."""
        return max(len(self.pairs), 1)

    @property
    def weight(self) -> float:
        """Return the mean weight of its votes."""
        return sum(vote.weight for vote in self.votes) / len(self.votes)

    def _pair(self, first: int, second: int) -> MergedPair | None:
        """Return the merged votes on two candidates; None where no vote compares them."""
        compared = [
            (distance, vote.weight)
            for vote in self.votes
            if vote.weight > 0 and (distance := vote.distance(first, second)) is not None
        ]
        if not compared:
            return None
        tally = tally_of(compared)
        return MergedPair(first, second, tally.share, tally.margin)


def read_rankings(
    rows: Iterator[Row], shared: SharedModel, max_length: int, *, with_single: bool = False
) -> tuple[list[JudgedSet], Row]:
    """Return rankings, and how many rows came in, were used, and were refused by reason.

    `with_single`: also single responses that people called good or bad, which have no pairs but a side of the line.
    """
    rankings: dict[object, JudgedSet] = {}
    pairs = _PairReader(shared, max_length)
    refused: Counter[str] = Counter()
    total = 0
    for total, row in enumerate(rows, start=1):
        try:
            if "candidates" in row:
                rankings[f"row {total}"] = _ranking(row, shared, max_length, with_single=with_single)
            else:
                group, ranking = pairs.read(row, total)
                rankings[group] = ranking
        except Refused as problem:
            refused[str(problem)] += 1
    used = total - refused.total()
    return list(rankings.values()), {"in": total, "used": used, "refused": dict(refused)}


def _ranking(row: Row, shared: SharedModel, max_length: int, *, with_single: bool) -> JudgedSet:
    """Return a row of type "ranking", without empty and too long candidates, in votes too."""
    prompt = prompt_tokens(shared.chat, row["prompt"], max_length)
    candidates: list[list[int]] = []
    index_of: dict[int, int] = {}
    too_few = Refused("fewer than two candidates")
    for position, candidate in enumerate(row["candidates"]):
        try:
            tokens = response_tokens(shared.chat, candidate["text"], max_length - len(prompt))
        except Refused as problem:
            too_few = Refused(f"fewer than two usable candidates ({problem})")
            continue
        index_of[position] = len(candidates)
        candidates.append(tokens)
    if len(candidates) < 2 and not (with_single and len(candidates) == len(row["candidates"]) == 1):
        raise too_few
    votes = [_vote(ranking, index_of) for ranking in row["rankings"]]
    prompt_id: Any = row.get("prompt_id", row.get("group_id", ""))
    policy = _stated(row.get("policy"))
    ranking = JudgedSet(prompt_id, row.get("split", "train"), prompt, candidates, votes, policy, source_of(row))
    if len(candidates) > 1 and not ranking.pairs:
        raise Refused("nobody compared two of its candidates")
    if len(candidates) == 1 and not ranking.lines:
        raise Refused("nobody called its only response good or bad")
    return ranking


def _vote(ranking: Row, index_of: dict[int, int]) -> IndexVote:
    """Return a vote on the candidates that are left, by their indices."""

    def left(places: Iterable[int]) -> list[int]:
        return [index_of[place] for place in places if place in index_of]

    return IndexVote(
        [kept for tier in ranking["tiers"] if (kept := left(tier))],
        float(ranking.get("weight", 1.0)),
        str(ranking.get("annotator", "")),
        _stated_margin(ranking),
        tuple(left(ranking.get("unranked", ()))),
        tuple(left(ranking.get("unacceptable", ()))),
        calls_good(ranking),
    )


def _stated_margin(ranking: Row) -> float | None:
    """Return the margin of a vote out of the strength of a comparison, or as a file stated it; None without either."""
    strength = _stated(ranking.get("strength"))
    return _stated(ranking.get("margin")) if strength is None else strength / 2


def _stated(number: Any) -> Any:
    """Return a number, or None for -1, which marks a missing value in a column of numbers."""
    return None if number is None or number < 0 else number


class _PairReader:
    """Preference rows of one group become votes on one set of candidates, known by their text."""

    def __init__(self, shared: SharedModel, max_length: int) -> None:
        self.shared, self.max_length = shared, max_length
        self.known: dict[object, tuple[JudgedSet, dict[str, int]]] = {}

    def read(self, row: Row, number: int) -> tuple[object, JudgedSet]:
        chosen, rejected = row["chosen"][-1]["content"], row["rejected"][-1]["content"]
        if chosen == rejected:
            raise Refused("both answers are the same text")
        prompt = prompt_tokens(self.shared.chat, row["prompt"], self.max_length)
        tokens = {
            text: response_tokens(self.shared.chat, text, self.max_length - len(prompt)) for text in (chosen, rejected)
        }
        group = row.get("group_id", f"row {number}")
        if group not in self.known:
            prompt_id: Any = row.get("prompt_id", group)
            self.known[group] = JudgedSet(prompt_id, row.get("split", "train"), prompt), {}
        ranking, indices = self.known[group]
        for text, ids in tokens.items():
            if text not in indices:
                indices[text] = len(ranking.candidates)
                ranking.candidates.append(ids)
        above, below = indices[chosen], indices[rejected]
        weight, margin = float(row.get("weight", 1.0)), row.get("margin")
        for tiers, votes in (
            ([[above], [below]], row.get("votes_for", 1)),
            ([[below], [above]], row.get("votes_against", 0)),
        ):
            if votes:
                ranking.votes.append(IndexVote(tiers, weight * votes, str(row.get("annotator", "")), margin))
        return group, ranking


# --- tensors ---------------------------------------------------------------------------------------------------


def collate(rankings: list[JudgedSet], shared: SharedModel) -> Answers:
    """Return rankings of different size as one batch; missing candidates are masked."""
    count = max(len(ranking.candidates) for ranking in rankings)
    ids, mask = pad_left([ranking.prompt for ranking in rankings], shared.pad)
    response, response_mask = pad_right([ranking.candidates for ranking in rankings], shared.pad)
    answers = Answers(*(tensor.to(shared.device) for tensor in (ids, mask, response, response_mask)))
    if all(ranking.depths is not None for ranking in rankings):
        depths = torch.zeros(len(rankings), count, len(shared.depths), shared.depth_size, device=shared.device)
        for row, ranking in enumerate(rankings):
            depths[row, : len(ranking.candidates)] = ranking.depths
        answers = replace(answers, depths=depths)
    if any(ranking.trunk is None for ranking in rankings):
        return answers
    like: Any = {"device": shared.device, "dtype": shared.dtype}
    prompt_trunk = torch.zeros(*ids.shape, shared.hidden_size, **like)
    response_trunk = torch.zeros(*response.shape, shared.hidden_size, **like)
    for row, ranking in enumerate(rankings):
        assert ranking.trunk is not None
        prompt, candidates = ranking.trunk
        prompt_trunk[row, -prompt.shape[0] :] = prompt
        response_trunk[row, : candidates.shape[0], : candidates.shape[1]] = candidates
    return replace(answers, prompt_trunk=prompt_trunk, response_trunk=response_trunk)


def keep_trunks(shared: SharedModel, rankings: list[JudgedSet]) -> None:
    """Compute the trunk states of all rankings, if the model allows it and they fit into memory."""
    tokens = sum(
        len(ranking.prompt) + len(ranking.candidates) * max(map(len, ranking.candidates)) for ranking in rankings
    )
    if not shared.shares_trunk or tokens * shared.hidden_size * 4 > TRUNK_MEMORY:
        return
    for batch in portions(by_length(rankings)):
        answers = shared.with_trunk(collate(batch, shared))
        for row, ranking in enumerate(batch):
            assert answers.prompt_trunk is not None
            assert answers.response_trunk is not None
            width, longest = len(ranking.prompt), max(map(len, ranking.candidates))
            ranking.trunk = (
                answers.prompt_trunk[row, -width:].clone(),
                answers.response_trunk[row, : len(ranking.candidates), :longest].clone(),
            )


def keep_depths(shared: SharedModel, rankings: list[JudgedSet]) -> None:
    """Compute what a model reads that learns nothing but its head: a few vectors per candidate."""
    for batch in portions(by_length(rankings)):
        depths = shared.depth_states(collate(batch, shared))
        for row, ranking in enumerate(batch):
            ranking.depths = depths[row, : len(ranking.candidates)].clone()


def by_length(rankings: list[JudgedSet]) -> list[JudgedSet]:
    """Return the rankings sorted by length, so that a batch has little padding."""
    return sorted(rankings, key=lambda ranking: (len(ranking.prompt), max(map(len, ranking.candidates))))


def portions(rankings: list[JudgedSet]) -> Iterator[list[JudgedSet]]:
    for at in range(0, len(rankings), READ_AT_ONCE):
        yield rankings[at : at + READ_AT_ONCE]


def some_of(rankings: list[JudgedSet], most: int, random: torch.Generator) -> list[JudgedSet]:
    chosen = torch.randperm(len(rankings), generator=random)[:most].sort().values
    return [rankings[index] for index in chosen.tolist()]
