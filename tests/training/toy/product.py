"""A product as an installed package would bring it: counts of words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from annotation.models import Project
from training.models import TrainingRun
from training.products.base import Planned, Product, ProductTable, Section

TOO_MANY = "No prompt of this project has that many words."


class WordCounts(Product):
    name = "word_counts"

    def refusal(self, planned: Planned) -> str:
        texts = [prompt.messages[-1]["content"] for prompt in planned.project.prompts.all()]
        longest = max(len(text.split()) for text in texts)
        return TOO_MANY if planned.config.get("least", 0) > longest else ""

    def inputs_for(self, run: TrainingRun) -> dict[str, Any]:
        return {"separator": " "}

    def settle(self, run: TrainingRun) -> None:
        words = sum(row["words"] for row in run.directory.samples())
        run.result["words"] = words
        TrainingRun.objects.filter(pk=run.pk).update(result=run.result)

    def sections(self, project: Project, runs: Sequence[TrainingRun]) -> Iterator[Section]:
        rows = [(run.label, run.result["words"]) for run in runs if "words" in run.result]
        if rows:
            yield Section("training/products/table.html", ProductTable("Words by run", ("Run", "Words"), rows))


PRODUCT = WordCounts()
