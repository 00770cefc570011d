"""Every export format out of a project and into an empty one: what comes back, and whether every loss is named.

    python benchmarks/round_trip.py [--prompts 60] [--seed 1]

Prints one JSON line. `whole` counts formats from which everything that their kind of snapshot holds comes back,
`named_loss` those that lose only what the export page says, `silent_loss` those that lose or invent anything else.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WORDS = [
    "Yes.",
    "No -",
    "=SUM(A1)",
    '"quoted"',
    "two\nlines",
    "Ünïcode 👩‍🚀",
    "مرحبا",
    "你好",
    "tab\tbed",
    "<b>&amp;</b>",
    "a, b; c",
]
PEOPLE = ["ann", "ben", "cem", ""]


def made_up(seed: int, count: int) -> list[dict[str, Any]]:
    """Return rows with system messages, several turns, ties, lines, ratings, margins, reference answers and labels."""
    draw = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        turns = [{"role": "system", "content": f"Be brief {number}."}] if draw.random() < 0.4 else []
        for turn in range(draw.randrange(3)):
            turns += [{"role": "user", "content": f"Turn {turn}, {draw.choice(WORDS)}"}]
            turns += [{"role": "assistant", "content": draw.choice(WORDS)}]
        turns.append({"role": "user", "content": f"Question {number}: {draw.choice(WORDS)}?"})
        texts = [f"{word} ({number})" for word in draw.sample(WORDS, draw.randrange(2, 5))]
        rows.append(
            {
                "prompt": turns,
                "candidates": [{"text": text, "finished": draw.random() < 0.9} for text in texts],
                "rankings": [_vote(draw, len(texts), person) for person in draw.sample(PEOPLE, draw.randrange(1, 4))],
            }
        )
        if draw.random() < 0.5:
            rows.append({"prompt": turns, "completion": [{"role": "assistant", "content": f"Reference {number}"}]})
    rows += [{"text": f"Lovely {number}", "label": draw.choice(["good", "bad"])} for number in range(count // 4)]
    rows += [{"prompt": turns, "category": "chat"} for turns in ([{"role": "user", "content": "Nobody judged."}],)]
    return rows


def _vote(draw: random.Random, count: int, person: str) -> dict[str, Any]:
    places = draw.sample(range(count), count)
    tiers: list[list[int]] = []
    for place in places:
        if tiers and draw.random() < 0.25:
            tiers[-1].append(place)
        else:
            tiers.append([place])
    last = places[-1] if len(tiers) > 1 else None
    return {
        "tiers": tiers,
        "unacceptable": [last] if last is not None and draw.random() < 0.3 else [],
        "unranked": [],
        "strength": -1,
        "margin": draw.choice([-1.0, 0.25, 0.5]) if count == 2 and len(tiers) == 2 else -1.0,
        "ratings": [{"place": places[0], "criterion": "clear", "rating": 4.0}] if draw.random() < 0.3 else [],
        "weight": draw.choice([1.0, 0.5]),
        "annotator": f"imported:{person}" if person else "imported",
    }


def accept_tasks(project: Any, user: Any) -> None:
    """Make proposed tasks that somebody accepted, for the formats of instructions."""
    import uuid

    from django.utils import timezone

    from annotation.actions import judgments, proposals
    from annotation.models import Proposal, ProposalBatch, SeatStatus

    batch = ProposalBatch.objects.create(project=project, origin="bench", model="small")
    for number, word in enumerate(WORDS):
        texts = {"instruction": f"Say {word}", "input": word if number % 2 else "", "output": f"{word} said"}
        digest = Proposal.digest_of(**texts)
        proposal = Proposal.objects.create(project=project, batch=batch, index=number, digest=digest, **texts)
        (task,) = proposals.open_reviews(project=project, proposals=[proposal])
        task.assignments.update(status=SeatStatus.HELD, annotator=user, expires_at=timezone.now())
        answer = {"verdict": "accept", "reason": "", "instruction": "", "input": "", "output": ""}
        judgments.submit(assignment=task.assignments.get(), client_uuid=uuid.uuid4(), answer=answer, active_ms=900)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="say what each format loses, on standard error")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(PREFLOOP_HOME=home, DJANGO_SETTINGS_MODULE="frontend.settings")
        sys.path.insert(0, str(ROOT))
        print(json.dumps(measure(options.seed, options.prompts, options.verbose)))


def measure(seed: int, prompts: int, verbose: bool) -> dict[str, int]:
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from annotation.actions import projects
    from annotation.actions.prompts import import_prompts
    from annotation.actions.round_trip import trip
    from annotation.exports.formats import FORMATS
    from annotation.imports import parse_prompts
    from annotation.models import Project

    call_command("migrate", verbosity=0)
    user = User.objects.create_user("bench")
    source = projects.create_project(project=Project(name="Source"), by=user)
    lines = "".join(json.dumps(row) + "\n" for row in made_up(seed, prompts))
    report = import_prompts(project=source, parsed=parse_prompts(lines.encode(), "rows.jsonl"), by=user)
    assert not report.refused, report.refused
    accept_tasks(source, user)
    counts = dict.fromkeys(("formats", "whole", "named_loss", "silent_loss"), 0)
    for name in FORMATS:
        for file in ("jsonl", "parquet", *(["csv"] if FORMATS[name].flat else [])):
            target = projects.create_project(project=Project(name=f"{name} {file}"), by=user)
            outcome = trip(source, target, name, file)
            counts["formats"] += 1
            counts[outcome.kind] += 1
            if verbose:
                print(name, file, outcome, file=sys.stderr)
    return counts


if __name__ == "__main__":
    main()
