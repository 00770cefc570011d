"""Whether calibrations of AI judges can be relied on, in simulated ones whose truth is known.

    python benchmarks/judge_calibration.py [--calibrations 200] [--prompts 600] [--seed 0]

Each calibration has prompts with two pairs and two people a pair. Prompts differ in how clear they are: people choose
the better response with a probability of .6, .8 or .95, alike on both pairs of a prompt. Printed as one JSON line:

- `coverage`: in what share of the calibrations the 95 % interval held the truth, which follows from the probabilities;
- `trusted`: how often a planted judge was trusted with a slice, one where it is like people and one where it is not;
- `position_bias`: how often a judge that prefers what is shown first in a fifth of its verdicts was caught, and how
  often one without a bias was.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "frontend.settings")

import django  # noqa: E402 -- from a checkout that need not be installed

django.setup()

from annotation.quality.bias import FIRST_AVOIDED, FIRST_FAVOURED  # noqa: E402
from annotation.quality.calibration import ComparedPair, agreements, by_slice, position_bias  # noqa: E402
from annotation.quality.judge_trust import MARGIN, decided  # noqa: E402
from annotation.stats.tables import agreement, kappa, tau_b  # noqa: E402

CLEAR = np.array([0.6, 0.8, 0.95])  # probability of the better response, by kind of prompt
LIKE_PEOPLE, WORSE = CLEAR, np.array([0.5, 0.6, 0.75])
PAIRS_A_PROMPT, BIASED_SHARE = 2, 0.2
Floats = np.ndarray


def truth(judge: Floats) -> dict[str, float]:
    """Return the figures of a judge in the limit of many prompts."""
    with_people, people = (_table(first, CLEAR) for first in (judge, CLEAR))
    found = {"agreement": agreement(with_people), "kappa": kappa(with_people), "tau": tau_b(with_people)}
    found |= {"people_agreement": agreement(people), "people_kappa": kappa(people), "people_tau": tau_b(people)}
    return {
        **{name: float(value) for name, value in found.items()},
        "difference": float(agreement(with_people) - agreement(people)),
    }


def _table(first: Floats, second: Floats) -> Floats:
    """Return how often two raters choose what, where the first of a pair is the better one in half of the pairs."""
    same, other = (first * second).mean(), ((1 - first) * (1 - second)).mean()
    unlike = [(first * (1 - second)).mean(), ((1 - first) * second).mean()]
    table = np.zeros((3, 3))
    table[2, 2] = table[0, 0] = (same + other) / 2
    table[2, 0] = table[0, 2] = sum(unlike) / 2
    return table


def simulated(
    random: np.random.Generator, prompts: int, judge: Floats, name: str = "", bias: float = 0.0
) -> list[ComparedPair]:
    """Return the pairs of one calibration."""
    found = []
    for prompt in prompts:
        kind = random.integers(len(CLEAR))
        for _ in range(PAIRS_A_PROMPT):
            better = 1 if random.random() < 0.5 else -1
            one, two, choice = (
                better if random.random() < probability else -better
                for probability in (CLEAR[kind], CLEAR[kind], judge[kind])
            )
            forward, backward = (1, -1) if random.random() < bias else (choice, choice)
            found.append(
                ComparedPair(
                    prompt,
                    choice if forward == backward else 0,
                    forward,
                    backward,
                    (one, two),
                    slices=(("category", name),),
                )
            )
    return found


def measure(calibrations: int, prompts: int, seed: int) -> dict[str, object]:
    random = np.random.default_rng(seed)
    exact = truth(LIKE_PEOPLE - 0.05)
    held = dict.fromkeys(exact, 0)
    trusted = {"like people": 0, "worse": 0}
    caught = {"biased": 0, "unbiased": 0}
    for _ in range(calibrations):
        row = agreements(simulated(random, range(prompts), LIKE_PEOPLE - 0.05))
        for name, value in exact.items():
            figure = getattr(row, name)
            held[name] += figure.low <= value <= figure.high
        both = simulated(random, range(prompts), LIKE_PEOPLE, "like people")
        both += simulated(random, range(prompts, 2 * prompts), WORSE, "worse")
        _, verdict = position_bias(both)
        caught["unbiased"] += verdict in (FIRST_FAVOURED, FIRST_AVOIDED)
        for _, name, own in by_slice(both):
            trusted[name] += decided(own, verdict).may
        _, verdict = position_bias(simulated(random, range(prompts), LIKE_PEOPLE, bias=BIASED_SHARE))
        caught["biased"] += verdict == FIRST_FAVOURED
    return {
        "calibrations": calibrations,
        "prompts": prompts,
        "pairs": prompts * PAIRS_A_PROMPT,
        "margin": MARGIN,
        "truth": {name: round(value, 4) for name, value in exact.items()},
        "coverage": {name: round(count / calibrations, 3) for name, count in held.items()},
        "trusted": {name: round(count / calibrations, 3) for name, count in trusted.items()},
        "difference_where_worse": round(truth(WORSE)["difference"], 4),
        "position_bias": {name: round(count / calibrations, 3) for name, count in caught.items()},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibrations", type=int, default=200)
    parser.add_argument("--prompts", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.monotonic()
    found = measure(given.calibrations, given.prompts, given.seed)
    print(json.dumps({**found, "seconds": round(time.monotonic() - began, 1)}))
