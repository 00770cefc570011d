"""Judges that no model saw, and rankings by them, for benchmarks/label_efficiency.py.

Each judge gives every response a number. A ranking is what an annotator makes of a few responses to one prompt: the
judge's numbers with noise, and a line below which the annotator finds responses unacceptable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from label_answers import RESPONSES, AnswerSet
from torch import Tensor
from torch.nn import functional

from training.recipes.models.rankings import IndexVote, JudgedSet
from training.recipes.process.seeds import generator

SHOWN = 4  # responses in a ranking
NOISE = 0.5  # of an annotator, in standard deviations of the judge among responses to one prompt
STYLE = 0.5  # of an annotator's own liking for long or loud responses, in the mixture, in the same unit
BELOW_LINE = 0.3  # share of all responses that are below an annotator's line
MOST_WORDS = 14


@dataclass(frozen=True)
class Judge:
    """`gold` (n,) is what it thinks of each response; `style` (n, …) is what annotators like or dislike besides."""

    name: str
    gold: Tensor
    style: Tensor | None = None

    @property
    def line(self) -> float:
        return float(self.gold.quantile(BELOW_LINE))

    def seen(self, places: Tensor, random: torch.Generator) -> Tensor:
        """Return what annotators think of the responses at these places, (rankings, shown), one annotator each."""
        shown, spread = places.shape[1], within(self.gold)
        liked = 0 if self.style is None else self.style.shape[1]
        drawn = spread * torch.randn(len(places), shown + liked, generator=random)  # a row each: more may follow
        said = self.gold[places] + NOISE * drawn[:, :shown]
        if self.style is not None:
            said = said + STYLE * (drawn[:, None, shown:] * self.style[places]).sum(-1)
        return said


def within(values: Tensor) -> float:
    """Return the standard deviation among responses to the same prompt."""
    groups = values.view(-1, RESPONSES)
    return float((groups - groups.mean(1, keepdim=True)).square().mean().sqrt())


def scaled(values: Tensor) -> Tensor:
    return (values - values.mean()) / within(values)


def judges(answers: AnswerSet, encoder: Path) -> list[Judge]:
    """Return the four judges: sentiment, topic, an instruction that can be checked, and a mixture with style noise."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    sentiment = torch.tensor([analyzer.polarity_scores(text)["compound"] for text in answers.texts])
    asked, said = encode(encoder, answers.prompts), encode(encoder, answers.texts)
    topic = (said * asked.repeat_interleave(RESPONSES, 0)).sum(-1)
    style = torch.stack(
        [scaled(answers.tokens.float()), scaled(torch.tensor([_loud(text) for text in answers.texts]))], 1
    )
    return [
        Judge("sentiment", sentiment),
        Judge("topic", topic),
        Judge("instruction", torch.tensor([followed(text) for text in answers.texts])),
        Judge("mixture", scaled(sentiment) + scaled(topic), style),
    ]


def followed(text: str) -> float:
    """Return how much of this was followed, 0 to 4: few words, a full stop at the end, not about oneself, no ? or !"""
    return float(
        (len(text.split()) <= MOST_WORDS)
        + text.rstrip().endswith(".")
        + (re.search(r"\b(I|me|my|mine)\b", text) is None)
        + (re.search(r"[!?]", text) is None)
    )


def _loud(text: str) -> float:
    return float(
        sum(text.count(mark) for mark in "!?") + sum(word.isupper() and len(word) > 1 for word in text.split())
    )


@torch.no_grad()
def encode(folder: Path, texts: list[str]) -> Tensor:
    """Return a sentence encoder's mean states, of length 1. Shapes: (texts, d)."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, encoder = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    found = []
    for at in range(0, len(texts), 64):
        part = [text or "." for text in texts[at : at + 64]]
        batch: Any = tokenizer(part, padding=True, truncation=True, max_length=128, return_tensors="pt")
        states, mask = encoder(**batch).last_hidden_state, batch["attention_mask"][..., None]
        found.append(functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1))
    return torch.cat(found)


# --- rankings --------------------------------------------------------------------------------------------------


def random_sets(prompts: Tensor, count: int, seed: int) -> Tensor:
    """Return places of responses, (count, shown): each prompt's in halves, prompts in random order, then anew."""
    random, found = generator(seed, "sets"), []
    while len(found) * SHOWN < count * SHOWN:
        order = prompts[torch.randperm(len(prompts), generator=random)]
        shuffled = torch.stack([torch.randperm(RESPONSES, generator=random) for _ in order])
        for half in range(0, RESPONSES - SHOWN + 1, SHOWN):
            found += list(order[:, None] * RESPONSES + shuffled[:, half : half + SHOWN])
    return torch.stack(found[:count])


def ranked(judge: Judge, places: Tensor, seed: int) -> list[JudgedSet]:
    """Return rankings of these responses, one annotator each; a response is a candidate by its place alone."""
    seen = judge.seen(places, generator(seed, judge.name))
    found = []
    for own, values in zip(places.tolist(), seen.tolist(), strict=True):
        order = sorted(range(len(own)), key=lambda index: -values[index])
        below = tuple(index for index in order if values[index] < judge.line)
        vote = IndexVote([[index] for index in order], unacceptable=below)
        found.append(JudgedSet(own[0] // RESPONSES, "train", [own[0] // RESPONSES], [[place] for place in own], [vote]))
    return found


@dataclass(frozen=True)
class HeldOut:
    """The pairs of held-out prompts that a judge tells apart, and accuracy by prompt on them."""

    first: Tensor
    second: Tensor
    order: Tensor  # 1 where the first is better, −1 otherwise
    prompt: Tensor

    @classmethod
    def of(cls, judge: Judge, prompts: Tensor) -> HeldOut:
        one, other = torch.triu_indices(RESPONSES, RESPONSES, 1)
        first, second = ((prompts[:, None] * RESPONSES + each).flatten() for each in (one, other))
        difference = judge.gold[first] - judge.gold[second]
        kept = difference.abs() > 1e-6
        number = torch.arange(len(prompts)).repeat_interleave(len(one))
        return cls(first[kept], second[kept], difference[kept].sign(), number[kept])

    def accuracy(self, scores: Tensor) -> Tensor:
        """Return the share of pairs in the right order of each prompt that has any; equal scores count half."""
        apart = (scores[self.first] - scores[self.second]) * self.order
        right = (apart > 0).double() + (apart == 0).double() / 2
        count = int(self.prompt.max()) + 1
        pairs = torch.zeros(count, dtype=torch.double).index_add(0, self.prompt, torch.ones_like(right))
        total = torch.zeros(count, dtype=torch.double).index_add(0, self.prompt, right)
        return (total / pairs)[pairs > 0]

    def ceiling(self, judge: Judge, seeds: int) -> float:
        """Return how often annotators order these pairs as the judge does."""
        places = torch.stack([self.first, self.second], 1)
        said = [judge.seen(places, generator(seed, "ceiling")) for seed in range(seeds)]
        return float(
            torch.stack([((each[:, 0] - each[:, 1]) * self.order > 0).double().mean() for each in said]).mean()
        )
