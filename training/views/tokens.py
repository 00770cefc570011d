"""The page of exact tokens: what a run reads, and of that what it learns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET

from annotation import access as annotation_access
from annotation import stored
from annotation.http import UserRequest
from annotation.models import Project, Role
from training import access
from training.instructions import data as instructions
from training.instructions.recast import TRAIN, prompt_text
from training.methods import METHODS, InstructionTuningConfig
from training.models import TrainingRound
from training.products.chat import chat_settings
from training.products.promotions import current_policy
from training.rundir import Row
from training.tokenizers.chat import ChatToken, NoTokens, PolicyTokenizer

SHOWN = 5
MOST_READ = 5000  # rows; a page need not go through a million of them


@dataclass(frozen=True)
class Shown:
    """A row of the data as its run reads it."""

    number: int
    origin: str
    tokens: list[ChatToken]
    too_long: bool

    @property
    def learned(self) -> int:
        return sum(token.learned for token in self.tokens)


@login_required
@require_GET
def instruction_tokens(request: UserRequest, slug: str) -> HttpResponse:
    """Show the tokens of an instruction tuning run that could start now with the default settings."""
    project = annotation_access.get_project(request.user, slug, role=Role.REVIEWER)
    config = InstructionTuningConfig()
    checkpoint = current_policy(project).checkpoint if project.policies.exists() else None
    rows = instructions.rows_for(project, config)
    return _page(request, project, None, checkpoint, rows, config.max_length)


@login_required
@require_GET
def round_tokens(request: UserRequest, slug: str, number: int) -> HttpResponse:
    """Show the tokens of a round's last run that learns from texts, read from its own input files."""
    round = access.get_round(request.user, slug, number)
    run = (
        round.runs.filter(method__in=[name for name, method in METHODS.items() if method.shows_tokens])
        .order_by("-position")
        .first()
    )
    if run is None or not run.directory.is_prepared():
        return _page(request, round.project, round, None, [], 0)
    inputs = run.directory.config()["inputs"]
    return _page(request, round.project, round, inputs["policy"], run.directory.rows(), run.config["max_length"])


def _page(
    request: UserRequest,
    project: Project,
    round: TrainingRound | None,
    checkpoint: str | None,
    rows: Iterable[Row],
    max_length: int,
) -> HttpResponse:
    at = request.GET.get("at", "")
    first = int(at) if at.isascii() and at.isdigit() and len(at) < 9 else 0
    context: dict[str, Any] = {"project": project, "round": round, "first": first}
    if checkpoint is None:
        context["problem"] = gettext(
            "There is nothing to show yet: no policy, or no run that learns from texts and has begun."
        )
        return render(request, "training/tokens.html", context)
    try:
        tokenizer = PolicyTokenizer(checkpoint, chat_settings(project))
        taught = list(islice((row for row in rows if row["split"] == TRAIN), MOST_READ))
        apart = max(1, -(-len(taught) // SHOWN))  # neighbours in the data are alike
        context["rows"] = [
            _shown(tokenizer, place + 1, row, max_length)
            for place, row in list(enumerate(taught))[first::apart]
            if first < apart
        ]
        context["next"] = first + 1 if first + 1 < apart else None
    except NoTokens as why:
        context["problem"] = stored.translated(str(why))
    return render(request, "training/tokens.html", context)


def _shown(tokenizer: PolicyTokenizer, number: int, row: Row, max_length: int) -> Shown:
    if "instruction" in row:
        messages, answer = [{"role": "user", "content": prompt_text(row)}], row["output"]
        origin = f"{row['task']}, {row['wording']}, from {row['source']}"
    else:
        messages, answer, origin = row["prompt"], row["completion"][0]["content"], row["source"].replace("_", " ")
    tokens = tokenizer.example(messages, answer)
    return Shown(number, origin, tokens, len(tokens) > max_length)
