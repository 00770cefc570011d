"""Ziegler's experiment (1909.08593) without people: does the loop raise what a hidden judge thinks of the answers?

    python benchmarks/loop.py --model PATH [--labels 200] [--episodes 640] [--seeds 3] [--methods sft,dpo,ppo,…]
                              [--label best|ranking] [--noise 0.3] [--out DIR]

The gold judge (VADER's sentiment, from −1 to 1) picks the best of four answers of the base model, with normal noise on
its scores; a reward model learns from N such labels, and every method from the same labels or from that model alone.
Nobody but the last table sees the gold score: of answers to held-out prompts, by method, beside the KL to the base.

  base           the model as it is            best_of_n      of n of its answers the one with the highest score
  sft            learns the picked answers     dpo            learns picked against not picked
  ppo            fixed KL coefficient          ppo_adaptive   KL held at that of best-of-4, ln 4 − ¾ = 0.64 nats
  distil         best against worst of its own answers, by the reward model's score, through DPO
  rloo, grpo     by TRL's trainers with the same reward model

`per_sqrt_kl` is the rise of gold over √KL; best-of-n is nearly the most that can be had for its KL.

Every recipe runs on a run directory under --out; what is finished is not done again, so the script can be stopped and
started at will. Intervals (95 %) resample seeds and prompts. Prints one JSON line, and a table on stderr.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import subprocess
import sys
from math import comb, log, sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from annotation.stats.bootstrap import crossed_interval
from training.rundir import Row, RunDir

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_PROMPTS = ROOT / "annotation" / "sample_prompts.jsonl"
CANDIDATES = 4
HELD_OUT = 4  # one prompt in so many
BEST_OF = (2, 4, 8, 16)
METHODS = ("sft", "dpo", "ppo", "ppo_adaptive", "distil", "rloo", "grpo")
DEFAULT_METHODS = METHODS[:4]

Golds = dict[int, float]  # mean gold score of the answers to each held-out prompt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a prepared checkpoint")
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument(
        "--label", choices=["best", "ranking"], default="best", help="of four: the best, or their order"
    )
    parser.add_argument("--noise", type=float, default=0.3, help="standard deviation of the labeller's error")
    parser.add_argument("--episodes", type=int, default=640, help="of PPO, RLOO and GRPO")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", default=",".join(DEFAULT_METHODS), help=f"of {', '.join(METHODS)}")
    parser.add_argument("--prompts", type=int, default=0, help="of the sample prompts, held-out ones included; 0: all")
    parser.add_argument("--tokens", type=int, default=24, help="length at which answers are cut")
    parser.add_argument("--answers", type=int, default=8, help="per held-out prompt and method; of the base always 16")
    parser.add_argument("--settings", type=json.loads, default={}, help='more of them: {"ppo": {"kl_coef": 0.05}}')
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "loop")
    parser.add_argument("--evaluate", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.evaluate:
        run_evaluation(options.evaluate)
        return
    if not options.model:
        parser.error("the following arguments are required: --model")
    unknown = set(options.methods.split(",")) - set(METHODS)
    if unknown:
        parser.error(f"unknown methods: {', '.join(sorted(unknown))}")
    keep_plan(options)
    seeds = [Experiment(options, seed).run() for seed in range(options.seeds)]
    line = report(options, seeds)
    print_table(line)
    print(json.dumps(line))


def keep_plan(options: argparse.Namespace) -> None:
    """A folder holds one experiment: pieces of another one would be taken for finished ones of this."""
    plan = {name: str(value) for name, value in vars(options).items() if name not in ("out", "seeds", "methods")}
    path = options.out / "plan.json"
    options.out.mkdir(parents=True, exist_ok=True)
    if path.exists() and (found := json.loads(path.read_text("utf-8"))) != plan:
        differing = ", ".join(name for name in plan if plan[name] != found.get(name))
        raise SystemExit(f"{options.out} holds an experiment with another {differing}: choose another --out")
    path.write_text(json.dumps(plan), "utf-8")


class Judge:
    def __init__(self) -> None:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self.analyzer = SentimentIntensityAnalyzer()

    def __call__(self, text: str) -> float:
        return float(self.analyzer.polarity_scores(text)["compound"])


# --- one seed --------------------------------------------------------------------------------------------------


class Experiment:
    """From sampling to the evaluated policies; pieces that are finished already are only read."""

    def __init__(self, options: argparse.Namespace, seed: int) -> None:
        self.options, self.seed, self.judge = options, seed, Judge()
        self.folder = options.out / f"seed-{seed}"
        rows = [json.loads(line) for line in SAMPLE_PROMPTS.read_text("utf-8").splitlines()][: options.prompts or None]
        # At random, but the same for all seeds: the file goes round its categories.
        held_out = set(random.Random("held out").sample(range(len(rows)), len(rows) // HELD_OUT))
        self.prompts = [
            {
                "prompt_id": number,
                "messages": row.get("messages") or [{"role": "user", "content": row["text"]}],
                "split": "eval" if number in held_out else "train",
            }
            for number, row in enumerate(rows)
        ]

    def run(self) -> Row:
        options = self.options
        train = sum(prompt["split"] == "train" for prompt in self.prompts)
        drawn = CANDIDATES * -(-options.labels // train)
        self._recipe("sample", {"completions_per_prompt": drawn}, {"policy": options.model}, self.prompts)
        labels = self._labels()
        inputs = {"base_model": options.model, "policy": options.model}
        reward = self._recipe("reward", {"gate": "report"}, inputs, map(self._as_ranking, labels))
        trained = {"base": self._evaluate("base", None, max(BEST_OF))}
        for method in options.methods.split(","):
            checkpoint = self._train(method, labels)
            if checkpoint is not None:
                trained[method] = self._evaluate(method, checkpoint, options.answers)
        return {"seed": self.seed, "reward": reward, "answers": trained, "prompts": self.prompts}

    def _train(self, method: str, labels: list[Row]) -> Path | None:
        recipe = method.removesuffix("_adaptive")
        if importlib.util.find_spec(f"training.recipes.{recipe}") is None:
            say(f"{method}: skipped, there is no recipe for it")
            return None
        inputs = {"policy": self.options.model, "reward_model": str(self._run_dir("reward").checkpoint_path)}
        if recipe == "sft":
            self._recipe(method, {}, inputs, map(self._as_completion, labels))
        elif recipe == "dpo":
            self._recipe(method, {}, inputs, (pair for label in labels for pair in self._as_pairs(label)))
        elif recipe == "distil":
            self._recipe(method, {}, inputs, self.prompts)
        else:
            settings = {"episodes": self.options.episodes}
            if method == "ppo_adaptive":
                settings["kl_target"] = round(kl_of_best(4), 4)
            self._recipe(method, settings, inputs, self.prompts)
        return self._run_dir(method).checkpoint_path

    def _run_dir(self, name: str) -> RunDir:
        return RunDir(self.folder / name)

    def _recipe(self, name: str, settings: Row, inputs: Row, rows: Any) -> Row:
        """Run a recipe, or go on with it, or take what it came to earlier."""
        run, recipe = self._run_dir(name), name.removesuffix("_adaptive")
        if (result := run.result()) is None:
            say(f"seed {self.seed}: {name} …")
            given = {"max_new_tokens": self.options.tokens, "seed": self.seed, **settings}
            given |= self.options.settings.get(name, self.options.settings.get(recipe, {}))
            run.prepare(config={"method": recipe, "settings": given, "inputs": inputs}, rows=rows)
            with run.log_path.open("ab") as log:
                command = [sys.executable, "-m", f"training.recipes.{recipe}", str(run.path.resolve())]
                ended = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False)
            if (result := run.result()) is None:
                raise SystemExit(f"{name} ended with {ended.returncode}; see {run.log_path}\n{run.log_tail(1500)}")
        return result

    def _evaluate(self, name: str, checkpoint: Path | None, answers: int) -> list[Row]:
        """Scored answers to the held-out prompts, each with its gold score."""
        path = self.folder / f"answers-{name}.json"
        if not path.exists():
            say(f"seed {self.seed}: answers of {name} …")
            job = {
                "model": self.options.model,
                "checkpoint": None if checkpoint is None else str(checkpoint),
                "reward_model": str(self._run_dir("reward").checkpoint_path),
                "prompts": [prompt for prompt in self.prompts if prompt["split"] == "eval"],
                "answers": answers,
                "tokens": self.options.tokens,
                "seed": self.seed,
                "path": str(path.resolve()),
            }
            job_path = path.with_suffix(".job")
            job_path.write_text(json.dumps(job), "utf-8")
            command = [sys.executable, str(Path(__file__).resolve()), "--evaluate", str(job_path.resolve())]
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            job_path.unlink()
        rows: list[Row] = json.loads(path.read_text("utf-8"))
        return [row | {"gold": self.judge(row["text"])} for row in rows]

    # --- labels ------------------------------------------------------------------------------------------------

    def _labels(self) -> list[Row]:
        """Sets of four answers with the labeller's noisy scores; those of held-out prompts are the gold ones."""
        by_prompt: dict[int, list[str]] = {}
        for row in self._run_dir("sample").samples():
            by_prompt.setdefault(row["prompt_id"], []).append(row["text"])
        sets = [
            {"prompt": prompt, "texts": texts[at : at + CANDIDATES]}
            for prompt in self.prompts
            if (texts := by_prompt.get(prompt["prompt_id"], []))
            for at in range(0, len(texts) if prompt["split"] == "train" else CANDIDATES, CANDIDATES)
        ]
        dice = random.Random(f"labels {self.seed}")
        dice.shuffle(sets)
        train = [made for made in sets if made["prompt"]["split"] == "train"][: self.options.labels]
        labels = train + [made for made in sets if made["prompt"]["split"] == "eval"]
        for number, label in enumerate(labels):
            noise = self.options.noise if label["prompt"]["split"] == "train" else 0.0
            label["scores"] = [self.judge(text) + dice.gauss(0, noise) for text in label["texts"]]
            label["group_id"] = number
        return labels

    def _as_ranking(self, label: Row) -> Row:
        """Of a best-of-four label nothing is known about the other three: three comparisons, and no order of them."""
        scores = label["scores"]
        best = max(range(CANDIDATES), key=lambda index: scores[index])
        levels = sorted(set(scores), reverse=True)
        orders = [[[index for index in range(CANDIDATES) if scores[index] == level] for level in levels]]
        if self.options.label == "best" and label["prompt"]["split"] == "train":
            orders = [[[best], [other]] for other in range(CANDIDATES) if other != best]
        return {
            "prompt": label["prompt"]["messages"],
            "candidates": [{"text": text, "finished": None} for text in label["texts"]],
            "rankings": [
                {"tiers": tiers, "unacceptable": [], "weight": 1.0, "annotator": "labeller"} for tiers in orders
            ],
            "prompt_id": label["prompt"]["prompt_id"],
            "group_id": label["group_id"],
            "split": label["prompt"]["split"],
            "policy": 0,
        }

    def _as_pairs(self, label: Row) -> list[Row]:
        order = sorted(range(CANDIDATES), key=lambda index: -label["scores"][index])
        betters = order[:1] if self.options.label == "best" else order[:-1]
        return [
            {
                "prompt": label["prompt"]["messages"],
                "chosen": [{"role": "assistant", "content": label["texts"][better]}],
                "rejected": [{"role": "assistant", "content": label["texts"][worse]}],
                "prompt_id": label["prompt"]["prompt_id"],
                "group_id": label["group_id"],
                "split": label["prompt"]["split"],
                "margin": 1.0,
                "votes_for": 1,
                "votes_against": 0,
            }
            for place, better in enumerate(betters)
            for worse in order[place + 1 :]
            if label["texts"][better] != label["texts"][worse]
        ]

    def _as_completion(self, label: Row) -> Row:
        best = max(range(CANDIDATES), key=lambda index: label["scores"][index])
        return {
            "prompt": label["prompt"]["messages"],
            "completion": [{"role": "assistant", "content": label["texts"][best]}],
            "prompt_id": label["prompt"]["prompt_id"],
            "split": label["prompt"]["split"],
            "source": "best_ranked",
        }


def run_evaluation(path: Path) -> None:
    """In a process of its own, so that this one stays small."""
    from training.recipes.evaluation import Evaluator
    from training.recipes.models.generation import Drawing
    from training.recipes.models.reward_model import RewardModel
    from training.recipes.models.shared_model import SharedModel
    from training.recipes.process import checkpoints
    from training.recipes.process.log import log_to_stdout
    from training.recipes.process.resources import pick_device, use_all_cores
    from training.recipes.text.prompts import read_prompts

    job = json.loads(path.read_text("utf-8"))
    log_to_stdout()
    use_all_cores()
    shared, role = SharedModel(job["model"], pick_device()), None
    if job["checkpoint"] is not None:
        role, adapter = "policy", checkpoints.resolve(job["checkpoint"]).adapter
        if adapter is None:
            raise SystemExit(f"{job['checkpoint']} is not an adapter")
        shared.adapters.load(role, adapter)
    reward_model = RewardModel.load(shared, Path(job["reward_model"]))
    prompts, _ = read_prompts(shared.chat, job["prompts"], shared.longest - job["tokens"] - 1)
    drawing = Drawing(job["answers"], job["tokens"], 0.9)
    evaluator = Evaluator(prompts, reward_model, shared, drawing, seed=job["seed"] + 1_000_003, batch_size=64)
    rows = evaluator.rows(shared, role)
    written = Path(job["path"]).with_suffix(".tmp")
    written.write_text(json.dumps(rows), "utf-8")
    written.replace(job["path"])


# --- figures ---------------------------------------------------------------------------------------------------


def report(options: argparse.Namespace, seeds: list[Row]) -> Row:
    golds: dict[str, list[Golds]] = {}
    kls: dict[str, list[float]] = {}
    for seed in seeds:
        answers = seed["answers"]
        for method, rows in answers.items():
            golds.setdefault(method, []).append(mean_by_prompt(rows))
            kls.setdefault(method, []).append(fmean(row["kl"] for row in rows))
        for n in BEST_OF:
            golds.setdefault(f"best_of_{n}", []).append(best_by_prompt(answers["base"], n))
            kls.setdefault(f"best_of_{n}", []).append(kl_of_best(n))
    rows = [row_of(method, golds, kls) for method in sorted(golds, key=lambda method: fmean(kls[method]))]
    duel = against_best_of_4(golds, kls)
    ppo = [row for row in rows if row["method"].startswith("ppo")]
    return {
        "benchmark": "loop",
        "rows": rows,
        "ppo_rises": any(row["rise_ci95"][0] > 0 for row in ppo) if ppo else None,
        "ppo_beats_best_of_4_at_equal_kl": None if duel is None else duel["difference"] > 0,
        "ppo_minus_best_of_4_at_equal_kl": duel,
        "reward_accuracy": [seed["reward"]["accuracy"] for seed in seeds],
        "reward_ci95": [seed["reward"]["ci95"] for seed in seeds],
        "length_baseline": [seed["reward"]["baselines"]["length"]["accuracy"] for seed in seeds],
        "labels": options.labels,
        "label": options.label,
        "noise": options.noise,
        "episodes": options.episodes,
        "seeds": options.seeds,
        "held_out_prompts": len(golds["base"][0]),
    }


def row_of(method: str, golds: dict[str, list[Golds]], kls: dict[str, list[float]]) -> Row:
    kl = fmean(kls[method])
    rises = [minus(own, base) for own, base in zip(golds[method], golds["base"], strict=True)]
    return {
        "method": method,
        "gold": round(mean_of(golds[method]), 4),
        "ci95": interval(golds[method]),
        "rise": round(mean_of(rises), 4),
        "rise_ci95": interval(rises),
        "per_sqrt_kl": round(mean_of(rises) / sqrt(kl), 4) if kl > 0.005 else None,
        "kl": round(kl, 4),
        "sqrt_kl": round(sqrt(max(kl, 0.0)), 4),
        "by_seed": [
            {"gold": round(mean_of([own]), 4), "kl": round(distance, 4)}
            for own, distance in zip(golds[method], kls[method], strict=True)
        ],
    }


def against_best_of_4(golds: dict[str, list[Golds]], kls: dict[str, list[float]]) -> Row | None:
    """PPO's gold where its KL is that of best-of-4, minus best-of-4's; None if PPO does not go that far.

    Straight lines in √KL between the base and PPO's policies. Gold bends downwards over √KL (Gao et al. 2210.10760),
    so that a line is rather unfair to PPO.
    """
    target, differences = sqrt(kl_of_best(4)), []
    for seed in range(len(golds["base"])):
        names = [name for name in ("base", "ppo", "ppo_adaptive") if name in golds]
        points = sorted((sqrt(max(kls[name][seed], 0.0)), name) for name in names)
        below = [point for point in points if point[0] <= target]
        above = [point for point in points if point[0] > target]
        if not below or not above:
            # Close by is near enough: an adaptive coefficient does not hit its target to the last digit.
            if len(points) == 1 or points[-1][0] < 0.9 * target:
                return None
            below, above = points[-1:], points[-1:]
        (low, one), (high, two) = below[-1], above[0]
        share = 0.0 if high == low else (target - low) / (high - low)
        between = mix(golds[one][seed], golds[two][seed], share)
        differences.append(minus(between, golds["best_of_4"][seed]))
    return {"difference": round(mean_of(differences), 4), "ci95": interval(differences)}


def kl_of_best(n: int) -> float:
    """Nats between best-of-n and what it chooses from (Stiennon et al. 2009.01325, appendix G.3)."""
    return log(n) - (n - 1) / n


def mean_by_prompt(rows: list[Row]) -> Golds:
    by_prompt: dict[int, list[float]] = {}
    for row in rows:
        by_prompt.setdefault(row["prompt_id"], []).append(row["gold"])
    return {prompt: fmean(values) for prompt, values in by_prompt.items()}


def best_by_prompt(rows: list[Row], n: int) -> Golds:
    """Expected gold of the one among n answers that the reward model likes best, over all choices of n."""
    by_prompt: dict[int, list[tuple[float, float]]] = {}
    for row in rows:
        by_prompt.setdefault(row["prompt_id"], []).append((row["score"], row["gold"]))
    return {
        prompt: sum(gold * comb(place, n - 1) for place, (_, gold) in enumerate(sorted(pairs))) / comb(len(pairs), n)
        for prompt, pairs in by_prompt.items()
    }


def minus(one: Golds, other: Golds) -> Golds:
    return {prompt: value - other[prompt] for prompt, value in one.items()}


def mix(one: Golds, other: Golds, share: float) -> Golds:
    return {prompt: (1 - share) * value + share * other[prompt] for prompt, value in one.items()}


def mean_of(seeds: list[Golds]) -> float:
    return fmean(fmean(golds.values()) for golds in seeds)


def interval(seeds: list[Golds]) -> list[float]:
    """Return the 95 % interval of the mean; seeds are resampled, and prompts, which are the same for all seeds."""
    prompts = sorted(seeds[0])
    low, high = crossed_interval([[golds[prompt] for prompt in prompts] for golds in seeds])
    return [round(low, 4), round(high, 4)]


# --- words -----------------------------------------------------------------------------------------------------


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def print_table(line: Row) -> None:
    say(f"\nreward model: accuracy {line['reward_accuracy']}, by length {line['length_baseline']}\n")
    say(f"{'method':14} {'√KL':>6} {'KL':>6} {'gold':>7}  {'95 %':18} {'rise':>7} {'/√KL':>6}  95 %")
    for row in line["rows"]:
        low, high = row["ci95"]
        rise = "" if row["method"] == "base" else "  [{:+.3f}, {:+.3f}]".format(*row["rise_ci95"])
        say(
            f"{row['method']:14} {row['sqrt_kl']:6.2f} {row['kl']:6.2f} {row['gold']:7.3f}  [{low:+.3f}, {high:+.3f}]"
            f"   {row['rise']:7.3f} {row['per_sqrt_kl'] or 0:6.2f}{rise}"
        )
    if duel := line["ppo_minus_best_of_4_at_equal_kl"]:
        say("\nPPO minus best-of-4 at equal KL: {:+.3f} [{:+.3f}, {:+.3f}]".format(duel["difference"], *duel["ci95"]))


if __name__ == "__main__":
    main()
