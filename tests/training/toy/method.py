"""A method as an installed package would bring it: how many words prompts have."""

from __future__ import annotations

from dataclasses import dataclass

from training.methods.base import Method, Plan
from training.methods.settings import MethodConfig, setting


@dataclass(frozen=True)
class CountWordsConfig(MethodConfig):
    least: int = setting(1, "Prompts with fewer words are left out", least=0, most=100)


METHOD = Method(
    "count_words",
    "Word counts",
    CountWordsConfig,
    recipe="prefloop_toy.recipe",
    data="prompt-only",
    makes="word_counts",
    presets={"thorough": {"least": 2}},
    plans=(Plan("count_words", "Count the words of the prompts", order=200),),
)
