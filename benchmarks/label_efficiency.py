"""How much a reward model learns from each ranking: learning curves under judges that no model saw.

    python benchmarks/label_efficiency.py --model PATH --encoder PATH [--prompts 200] [--seeds 5]
                                          [--sizes 50,100,200,400,1000] [--variant-sizes 100,400] [--out DIR] [--docs]

The base model answers prompts once, eight times each; all that heads could read of the responses is computed once and
kept under --out. Simulated annotators rank four responses at a time, with noise, by one of four judges: sentiment,
being on topic (a sentence encoder, --encoder), an instruction that can be checked, and a mixture of the first two with
each annotator's own liking for style. Accuracy is that on pairs of held-out prompts, by the judge without noise.

`curve` has the accuracy by number of rankings of the heads as they were, of the product's and of other things to read
or to fit; `choice` that of rules for what to ask next (label_choice.py), and `labels_saved` how many rankings fewer
each needs to get where random choice gets. Intervals (95 %) resample seeds and prompts. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import label_choice
import label_table
import torch
from label_answers import RESPONSES, ROOT, AnswerSet, load_answers
from label_judges import HeldOut, Judge, encode, judges, random_sets, ranked
from torch import Tensor, nn

from annotation.stats.bootstrap import crossed_interval, rounded
from training.methods import RewardConfig
from training.recipes.models.rankings import JudgedSet
from training.recipes.reward_learners import bootstrap_weights, choose_ridge, fit, folds_of
from training.recipes.reward_losses import Terms

Row = dict[str, Any]
SCORED = (1, 3, 5, 7)  # of the ten depths, those that the product's heads read: 1/5, 2/5, 3/5 and 4/5 of the blocks
BEFORE, NOW = "before", "now"


@dataclass(frozen=True)
class Heads:
    """What heads read, as names of blocks of features, and how they are fitted. A ridge of 0 is cross-validated."""

    reads: tuple[str, ...] = ("four depths",)
    ridge: float = 0.0
    loss: str = "bradley_terry"
    line: bool = False
    bags: int = 1


VARIANTS: dict[str, Heads] = {
    BEFORE: Heads(ridge=0.2),
    NOW: Heads(ridge=0.2, line=True),
    "ridge by cross-validation": Heads(),
    "Plackett-Luce": Heads(loss="plackett_luce"),
    "the line and Plackett-Luce": Heads(line=True, loss="plackett_luce"),
    "mean of four bootstrap heads": Heads(bags=4),
    "one depth (2/5)": Heads(("depth 4",)),
    "one depth (4/5)": Heads(("depth 8",)),
    "ten depths": Heads(("ten depths",)),
    "whitened four depths": Heads(("whitened",)),
    "half whitened four depths": Heads(("half whitened",)),
    "last token instead of the mean": Heads(("last",)),
    "mean and last token": Heads(("four depths", "last")),
    "log-probability and length beside": Heads(("four depths", "prior")),
    "nearness to the prompt beside": Heads(("four depths", "nearness")),
    "log-probability and length alone": Heads(("prior",)),
    "sentence encoder alone": Heads(("encoder",)),
    "sentence encoder beside": Heads(("four depths", "encoder")),
}
OWN_ENCODER = ("topic", "mixture")  # judges that read the very encoder: not a measurement


class Features:
    """Blocks of features by name, each standardised over the training responses and of length about 1."""

    def __init__(self, answers: AnswerSet, encoded: Tensor) -> None:
        self.answers, self.encoded = answers, encoded
        self.train = (~answers.is_held_out()).nonzero()[:, 0]
        self.rows = (self.train[:, None] * RESPONSES + torch.arange(RESPONSES)).flatten()
        self.kept: dict[str, Tensor] = {}

    def of(self, names: tuple[str, ...]) -> Tensor:
        return torch.cat([self.block(name) for name in names], 1)

    def block(self, name: str) -> Tensor:
        if name not in self.kept:
            self.kept[name] = self._whitened(name) if "whitened" in name else self._standard(self._raw(name))
        return self.kept[name]

    def _raw(self, name: str) -> Tensor:
        mean = self.answers.mean
        if name.startswith("depth "):
            return mean[:, int(name.split()[1]) - 1]
        if name == "nearness":
            asked = self.answers.asked.float().repeat_interleave(RESPONSES, 0)
            asked, said = asked - asked.mean(0), mean.float() - mean.float().mean(0)
            return torch.cosine_similarity(asked, said, -1)
        if name == "prior":
            return torch.cat([self.answers.logprob, self.answers.tokens[:, None].float()], 1)
        if name == "encoder":
            return self.encoded
        states = {"four depths": mean[:, SCORED], "ten depths": mean, "last": self.answers.last[:, SCORED]}[name]
        return states.flatten(1)

    def _standard(self, raw: Tensor) -> Tensor:
        raw = raw.float()
        mine = raw[self.rows]
        return (raw - mine.mean(0)) / (mine.std(0, unbiased=False) + 1e-6) / raw.shape[1] ** 0.5

    def _whitened(self, name: str) -> Tensor:
        """Return the four depths in the directions in which responses to one prompt differ, made alike (or half so).

        The directions are those of all training responses, ranked or not.
        """
        features = self.block("four depths")
        apart = features[self.rows].view(-1, RESPONSES, features.shape[1])
        apart = (apart - apart.mean(1, keepdim=True)).flatten(0, 1)
        _, spread, directions = torch.linalg.svd(apart, full_matrices=False)
        share = spread.square() / spread.square().mean()
        turned = (features @ directions.T) * (share + 0.1) ** (-0.25 if name == "half whitened" else -0.5)
        mine = turned[self.rows].view(-1, RESPONSES, turned.shape[1])
        size = (mine - mine.mean(1, keepdim=True)).square().sum(-1).mean().sqrt()
        return turned / size * apart.square().sum(-1).mean().sqrt()


def fitted(features: Tensor, rankings: list[JudgedSet], heads: Heads, seed: int) -> tuple[Tensor, float]:
    """Return what heads that learned from the rankings give every response, (n, heads), and their ridge."""
    config = RewardConfig(loss=heads.loss, line=heads.line)
    places = torch.tensor([place for ranking in rankings for (place,) in ranking.candidates])
    shown, terms = features[places], Terms(rankings, config, features.device)
    ridge = heads.ridge or choose_ridge(shown, terms, folds_of(rankings, seed))
    weights = torch.ones(len(rankings), heads.bags)
    if heads.bags > 1:
        weights = bootstrap_weights(len(rankings), heads.bags, torch.Generator().manual_seed(seed))
    linear = nn.Linear(features.shape[1], heads.bags)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    fit(linear, shown, terms, weights, ridge)
    with torch.no_grad():
        return linear(features), ridge


# --- measuring -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """What all measurements share."""

    features: Features
    judges: list[Judge]
    held_out: dict[str, HeldOut]
    seeds: int


def measured(setting: Setting, heads: Heads, size: int) -> dict[str, list[list[float]]]:
    """Return by judge the accuracy on each held-out prompt (seeds, prompts), after `size` random rankings."""
    found: dict[str, list[list[float]]] = {}
    features = setting.features.of(heads.reads)
    for judge in setting.judges:
        if "encoder" in heads.reads and judge.name in OWN_ENCODER:
            continue
        for seed in range(setting.seeds):
            rankings = ranked(judge, random_sets(setting.features.train, size, seed), seed)
            scores = fitted(features, rankings, heads, seed)[0].mean(-1)
            found.setdefault(judge.name, []).append(setting.held_out[judge.name].accuracy(scores).tolist())
    return found


def summary(found: dict[str, list[list[float]]], base: dict[str, list[list[float]]] | None = None) -> Row:
    """Return accuracy with its interval, by judge and over those measured, and the lead over `base` on equal terms."""
    line: Row = {"judges": {name: _figure(table) for name, table in found.items()}}
    line |= {"accuracy": round(fmean(figure["accuracy"] for figure in line["judges"].values()), 4)}
    line["interval"] = _interval_over(list(found.values()))
    if base is not None:
        apart = [(torch.tensor(table) - torch.tensor(base[name])).tolist() for name, table in found.items()]
        line |= {
            "lead": round(fmean(fmean(map(fmean, table)) for table in apart), 4),
            "lead_interval": _interval_over(apart),
        }
    return line


def _figure(table: list[list[float]]) -> Row:
    return {"accuracy": round(fmean(map(fmean, table)), 4), "interval": rounded(crossed_interval(table))}


def _interval_over(tables: list[list[list[float]]]) -> list[float]:
    """Return the interval of the mean over judges; their prompts are resampled apart, seeds too."""
    draws = torch.stack([_draws(table, number) for number, table in enumerate(tables)]).mean(0)
    low, high = draws.quantile(torch.tensor([0.025, 0.975], dtype=torch.double)).tolist()
    return [round(low, 4), round(high, 4)]


def _draws(table: list[list[float]], number: int, count: int = 1000) -> Tensor:
    values, random = torch.tensor(table, dtype=torch.double), torch.Generator().manual_seed(number)
    rows, columns = values.shape
    return torch.stack(
        [
            values[torch.randint(rows, (rows,), generator=random)][
                :, torch.randint(columns, (columns,), generator=random)
            ].mean()
            for _ in range(count)
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a prepared checkpoint")
    parser.add_argument("--encoder", type=Path, required=True, help="folder of a sentence encoder")
    parser.add_argument("--prompts", type=int, default=200, help="a fifth of them is held out")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sizes", default="50,100,200,400,1000", help="of the learning curves, in rankings")
    parser.add_argument("--variant-sizes", default="100,400", help="at which all variants are measured")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="comma-separated")
    parser.add_argument("--rules", default=",".join(label_choice.RULES), help="for what is asked next; none: none")
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "label_efficiency")
    parser.add_argument("--docs", action="store_true", help="write docs/measured/label-efficiency.md")
    options = parser.parse_args()
    began = time.perf_counter()
    setting = prepared(options)
    line: Row = {"benchmark": "label_efficiency", "curve": curves(setting, options, began)}
    if options.rules != "none":
        line |= choices(setting, options.rules.split(","), began)
    line |= {
        "ceiling": ceilings(setting),
        "seeds": options.seeds,
        "prompts": len(setting.features.answers.prompts),
        "held_out": int(setting.features.answers.is_held_out().sum()),
        "model": Path(options.model).name,
        "torch": torch.__version__,
        "seconds": round(time.perf_counter() - began),
    }
    if options.docs:
        label_table.write(line)
    print(json.dumps(line))


def curves(setting: Setting, options: argparse.Namespace, began: float) -> Row:
    """Return the accuracy of each variant by number of rankings, with its lead over the heads as they were."""
    all_sizes, few = ([int(size) for size in given.split(",")] for given in (options.sizes, options.variant_sizes))
    names = options.variants.split(",")
    base = {size: measured(setting, VARIANTS[BEFORE], size) for size in sorted({*all_sizes, *few})}
    found = {BEFORE: {size: summary(table) for size, table in base.items()}}
    say(BEFORE, found[BEFORE], began)
    for name in names:
        if name != BEFORE:
            sizes = sorted({*all_sizes, *few}) if name == NOW else few
            found[name] = {size: summary(measured(setting, VARIANTS[name], size), base[size]) for size in sizes}
            say(name, found[name], began)
    return found


def choices(setting: Setting, rules: list[str], began: float) -> Row:
    """Return the accuracy by number of rankings under each rule of choice, and the rankings that it saves."""
    names = ["random", *(rule for rule in rules if rule != "random")]
    features = setting.features.of(VARIANTS[NOW].reads)
    reduced = label_choice.principal(features, setting.features.train)
    heads = replace(VARIANTS[NOW], bags=3)

    def learned(rankings: list[JudgedSet], seed: int) -> tuple[Tensor, float]:
        return fitted(features, rankings, heads, seed)

    tables: dict[str, dict[int, dict[str, list[list[float]]]]] = {}
    for rule in names:
        for judge in setting.judges:
            for seed in range(setting.seeds):
                scores = label_choice.curve(rule, judge, reduced, setting.features.train, seed, learned)
                for size, own in scores.items():
                    accuracy = setting.held_out[judge.name].accuracy(own).tolist()
                    tables.setdefault(rule, {}).setdefault(size, {}).setdefault(judge.name, []).append(accuracy)
        found = {size: summary(table, tables["random"][size]) for size, table in tables[rule].items()}
        say(rule, found, began)
    choice = {
        rule: {size: summary(table, tables["random"][size]) for size, table in by_size.items()}
        for rule, by_size in tables.items()
    }
    return {"choice": choice, "labels_saved": {rule: saved(own, choice["random"]) for rule, own in choice.items()}}


def saved(own: dict[int, Row], random: dict[int, Row]) -> float | None:
    """Return how many rankings fewer a rule needs to be where random choice is at its end, on straight lines.

    None where it does not get there: it saves nothing.
    """
    sizes, wanted = sorted(own), random[max(random)]["accuracy"]
    for low, high in pairwise(sizes):
        if own[low]["accuracy"] < wanted <= own[high]["accuracy"]:
            share = (wanted - own[low]["accuracy"]) / (own[high]["accuracy"] - own[low]["accuracy"])
            return round(sizes[-1] - (low + share * (high - low)), 1)
    return None


def prepared(options: argparse.Namespace) -> Setting:
    answers = load_answers(options.model, options.out, options.prompts)
    path = options.out / f"encoded-{options.prompts}.pt"
    if not path.exists():
        torch.save(encode(options.encoder, answers.texts), path)
    features = Features(answers, torch.load(path, weights_only=True))
    found = judges(answers, options.encoder)
    held_out = answers.is_held_out().nonzero()[:, 0]
    return Setting(features, found, {judge.name: HeldOut.of(judge, held_out) for judge in found}, options.seeds)


def ceilings(setting: Setting) -> Row:
    """Return how often annotators agree with the judge on the pairs on which accuracy is measured."""
    return {
        judge.name: round(setting.held_out[judge.name].ceiling(judge, setting.seeds), 4) for judge in setting.judges
    }


def say(name: str, line: Row, began: float) -> None:
    figures = "  ".join(
        f"{size}: {row['accuracy']:.3f} ({row.get('lead', 0):+.3f}) "
        + " ".join(f"{judge[:4]} {figure['accuracy']:.3f}" for judge, figure in row["judges"].items())
        for size, row in line.items()
    )
    print(f"{name:38} {figures}  {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
