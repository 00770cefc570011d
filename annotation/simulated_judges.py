"""What simulated annotators prefer. A simulated judge gives an answer a number; higher is better.

To add one: a small class with `score` and a row in SIMULATED_JUDGES.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Protocol


class SimulatedJudge(Protocol):
    def score(self, answer: str) -> float: ...

    def improve(self, answer: str) -> str:
        """Return a reference answer that this judge prefers to `answer`."""


class SentimentJudge:
    """Likes warm answers: VADER's compound score, from -1 to 1 (Hutto & Gilbert 2014)."""

    @cached_property
    def analyzer(self) -> Any:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # an extra; the web app lives without it

        return SentimentIntensityAnalyzer()

    def score(self, answer: str) -> float:
        return float(self.analyzer.polarity_scores(answer)["compound"])

    def improve(self, answer: str) -> str:
        return f"{whole_sentences(answer)} I hope this helps, and I wish you a wonderful day!".strip()


class LengthJudge:
    """Likes short answers, down to a few words: a check on the loop that has nothing to do with tone."""

    def score(self, answer: str) -> float:
        words = len(answer.split())
        return -float(words) if words >= 2 else -1000.0

    def improve(self, answer: str) -> str:
        return " ".join(f"In short: {answer}".split()[:4])


def whole_sentences(text: str) -> str:
    """Return the text up to its last full stop: what a person would keep of an answer that was cut."""
    end = max(text.rfind(mark) for mark in ".!?")
    return text[: end + 1].strip() if end > 0 else text.strip()


SIMULATED_JUDGES: dict[str, type[SimulatedJudge]] = {"sentiment": SentimentJudge, "length": LengthJudge}
