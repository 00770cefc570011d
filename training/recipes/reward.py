"""A reward model from people's preferences: `python -m training.recipes.reward RUN_DIR`.

Pairs come in, rankings are trained on: all pairs of one ranking stand in one optimiser step, each candidate is read
once, and the ranking's loss is the mean over its pairs. (Pairs shuffled apart make the model see a candidate K−1 times
an epoch, and it memorises.) Accuracy is always measured on prompts that were never trained on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from training.methods import RewardConfig
from training.recipes import checkpoints
from training.recipes.common import (
    RecipeError,
    Stopwatch,
    generator,
    logger,
    peak_rss_mb,
    pick_device,
    replace_folder,
    required_path,
    run_recipe,
)
from training.recipes.generation import sample
from training.recipes.prompts import Refused, pad_left, prompt_tokens, response_tokens
from training.recipes.reward_model import ROLE, RewardModel
from training.recipes.rl_math import bradley_terry
from training.recipes.roles import Answers, SharedModel
from training.rundir import Row, RunDir

TRUNK_MEMORY = 2 * 1024**3  # bytes of trunk states kept for all epochs; larger data computes them anew each time
SECONDS_BETWEEN_STATES = 60
READ_AT_ONCE = 8  # rankings per forward pass where nothing is learned
RELOAD_TOLERANCE = 1e-5
RELOADED_RANKINGS = 3
BOOTSTRAP_SAMPLES = 2000


@dataclass
class Ranking:
    """The candidates of one judged set, and the pairs (chosen, rejected, weight) over their indices."""

    prompt_id: int | str
    split: str
    prompt: list[int]
    candidates: list[list[int]] = field(default_factory=list)
    pairs: list[tuple[int, int, float]] = field(default_factory=list)
    trunk: tuple[Tensor, Tensor] | None = None  # prompt (p, d), candidates (k, r, d)


def train_reward_model(run: RunDir, config: RewardConfig, inputs: Row) -> Row:
    watch = Stopwatch()
    # 1. The base model, and the rankings that fit it.
    base = checkpoints.resolve(required_path(inputs, "base_model"))
    shared = SharedModel(base.base, pick_device())
    rankings, counts = read_rankings(run.rows(), shared, min(config.max_length, shared.longest))
    train = [ranking for ranking in rankings if ranking.split == "train"]
    held_out = [ranking for ranking in rankings if ranking.split == "eval"]
    if not train:
        raise RecipeError(f"No ranking can be trained on: {counts}")
    logger.info("%d rankings to train on, %d to test on; rows: %s", len(train), len(held_out), counts)

    # 2. Adapter and head; all below the adapter is the same in every epoch and computed once.
    reward_model = RewardModel.fresh(
        shared, rank=config.lora_rank, top_blocks=config.top_blocks, generator=generator(config.seed, "head")
    )
    parameters = shared.learn(ROLE)
    with watch.measure("trunk"):
        keep_trunks(shared, rankings)
    optimiser = torch.optim.AdamW(
        [
            {"params": parameters, "peak": config.learning_rate},
            {
                "params": list(reward_model.head.parameters()),
                "peak": config.learning_rate * config.head_learning_rate_factor,
            },
        ],
        lr=config.learning_rate,
        eps=1e-5,
        weight_decay=0.0,
    )

    # Of the rankings trained on, as many are measured as are held out: it only shows how far apart the two are.
    probe = some_of(train, max(len(held_out), READ_AT_ONCE), generator(config.seed, "probe"))
    measured: tuple[Accuracy, Accuracy] | None = None  # on the probe and on held-out rankings, as of the last step

    # 3. Training, from where an earlier attempt stopped.
    steps_per_epoch = -(-len(train) // config.rankings_per_step)
    steps = steps_per_epoch * config.epochs
    done = load_state(run, reward_model, optimiser)
    run.rewind(done)
    saved_at = time.monotonic()
    for step in range(done + 1, steps + 1):
        epoch, place = divmod(step - 1, steps_per_epoch)
        order = torch.randperm(len(train), generator=generator(config.seed, "order", epoch)).tolist()
        chosen = order[place * config.rankings_per_step :][: config.rankings_per_step]
        with watch.measure("train"):
            rate = set_learning_rate(optimiser, 1 - (step - 1) / steps)
            loss, norm = training_step(reward_model, optimiser, [train[index] for index in chosen])
        metrics = {"reward/loss": loss, "reward/lr": rate, "reward/grad_norm": norm}
        end_of_epoch = place == steps_per_epoch - 1
        if end_of_epoch:
            with watch.measure("evaluate"):
                measured = accuracy(reward_model, probe), accuracy(reward_model, held_out)
            metrics["reward/accuracy_train"] = measured[0].value
            if held_out:
                metrics["reward/accuracy_eval"] = measured[1].value
            logger.info("epoch %d of %d: %s", epoch + 1, config.epochs, metrics)
        run.log_metrics(step, **metrics)
        run.report_progress(step, steps, "steps")
        if end_of_epoch or time.monotonic() - saved_at > SECONDS_BETWEEN_STATES:
            save_state(run, reward_model, optimiser, step)
            saved_at = time.monotonic()

    # 4. Scores on one scale, whatever the head came to: answers of the reference have mean 0 and variance 1.
    with watch.measure("normalise"):
        reward_model.normalise_on(reference_scores(reward_model, rankings, config))

    # 5. How good is it, on prompts it has not seen?
    with watch.measure("evaluate"):
        on_train, unseen = measured or (accuracy(reward_model, probe), accuracy(reward_model, held_out))
        baseline = compare(held_out, lengths)
    result: Row = {
        "accuracy": unseen.rounded(),
        "ci95": bootstrap_interval(unseen, generator(config.seed, "bootstrap")),
        "n": unseen.pairs,
        "length_baseline": baseline.rounded(),
        "train_accuracy": on_train.rounded(),
        "rankings": len(train),
        "pairs": sum(len(ranking.pairs) for ranking in train),
        "rows": counts,
        "gain": reward_model.gain,
        "bias": reward_model.bias,
    }

    # 6. Save, and prove that what was saved is what was trained.
    replace_folder(run.checkpoint_path, lambda folder: reward_model.save(folder, {"accuracy": result["accuracy"]}))
    with watch.measure("reload"):
        check_reload(reward_model, run.checkpoint_path, (held_out or train)[:RELOADED_RANKINGS])
    return {
        **result,
        "seconds": watch.total(),
        "seconds_by_stage": watch.rounded(),
        "peak_rss_mb": peak_rss_mb(),
    }


# --- data ------------------------------------------------------------------------------------------------------


def read_rankings(rows: Iterator[Row], shared: SharedModel, max_length: int) -> tuple[list[Ranking], Row]:
    """Pairs regrouped into rankings, and how many rows came in, were used, and were refused for which reason."""
    rankings: dict[object, Ranking] = {}
    indices: dict[object, dict[str, int]] = {}
    refused: Counter[str] = Counter()
    total = 0
    for total, row in enumerate(rows, start=1):
        group = row.get("group_id", f"row {total}")
        try:
            chosen, rejected = row["chosen"][-1]["content"], row["rejected"][-1]["content"]
            if chosen == rejected:
                raise Refused("both answers are the same text")
            prompt = prompt_tokens(shared.tokenizer, row["prompt"], max_length)
            answers = {
                text: response_tokens(shared.tokenizer, text, max_length - len(prompt)) for text in (chosen, rejected)
            }
        except Refused as problem:
            refused[str(problem)] += 1
            continue
        ranking = rankings.setdefault(group, Ranking(row.get("prompt_id", group), row.get("split", "train"), prompt))
        known = indices.setdefault(group, {})
        for text, tokens in answers.items():
            if text not in known:
                known[text] = len(ranking.candidates)
                ranking.candidates.append(tokens)
        ranking.pairs.append((known[chosen], known[rejected], float(row.get("weight", 1.0))))
    used = total - refused.total()
    return list(rankings.values()), {"in": total, "used": used, "refused": dict(refused)}


def collate(rankings: list[Ranking], shared: SharedModel) -> Answers:
    """Rankings of different size side by side; the missing candidates are masked out altogether."""
    count = max(len(ranking.candidates) for ranking in rankings)
    length = max(len(tokens) for ranking in rankings for tokens in ranking.candidates)
    ids, mask = pad_left([ranking.prompt for ranking in rankings], shared.pad)
    response = torch.full((len(rankings), count, length), shared.pad)
    response_mask = torch.zeros_like(response, dtype=torch.bool)
    for row, ranking in enumerate(rankings):
        for column, tokens in enumerate(ranking.candidates):
            response[row, column, : len(tokens)] = torch.tensor(tokens)
            response_mask[row, column, : len(tokens)] = True
    answers = Answers(*(tensor.to(shared.device) for tensor in (ids, mask, response, response_mask)))
    if any(ranking.trunk is None for ranking in rankings):
        return answers
    prompt_trunk = torch.zeros(*ids.shape, shared.hidden_size, device=shared.device)
    response_trunk = torch.zeros(*response.shape, shared.hidden_size, device=shared.device)
    for row, ranking in enumerate(rankings):
        assert ranking.trunk is not None
        prompt, candidates = ranking.trunk
        prompt_trunk[row, -prompt.shape[0] :] = prompt
        response_trunk[row, : candidates.shape[0], : candidates.shape[1]] = candidates
    return replace(answers, prompt_trunk=prompt_trunk, response_trunk=response_trunk)


def keep_trunks(shared: SharedModel, rankings: list[Ranking]) -> None:
    """Compute the trunk states of all rankings, if the model allows it and they fit into memory."""
    tokens = sum(
        len(ranking.prompt) + len(ranking.candidates) * max(map(len, ranking.candidates)) for ranking in rankings
    )
    if not shared.layered or tokens * shared.hidden_size * 4 > TRUNK_MEMORY:
        return
    for batch in portions(rankings):
        answers = shared.with_trunk(collate(batch, shared))
        for row, ranking in enumerate(batch):
            assert answers.prompt_trunk is not None
            assert answers.response_trunk is not None
            width, longest = len(ranking.prompt), max(map(len, ranking.candidates))
            ranking.trunk = (
                answers.prompt_trunk[row, -width:].clone(),
                answers.response_trunk[row, : len(ranking.candidates), :longest].clone(),
            )


def portions(rankings: list[Ranking]) -> Iterator[list[Ranking]]:
    for at in range(0, len(rankings), READ_AT_ONCE):
        yield rankings[at : at + READ_AT_ONCE]


def some_of(rankings: list[Ranking], most: int, random: torch.Generator) -> list[Ranking]:
    chosen = torch.randperm(len(rankings), generator=random)[:most].sort().values
    return [rankings[index] for index in chosen.tolist()]


# --- learning --------------------------------------------------------------------------------------------------


def training_step(
    reward_model: RewardModel, optimiser: torch.optim.Optimizer, rankings: list[Ranking]
) -> tuple[float, float]:
    """Loss (mean over rankings) and gradient norm before clipping."""
    loss = rankings_loss(reward_model.raw_score(collate(rankings, reward_model.shared)), rankings)
    optimiser.zero_grad()
    loss.backward()
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, 1.0)
    optimiser.step()
    return float(loss.detach()), float(norm)


def rankings_loss(scores: Tensor, rankings: list[Ranking]) -> Tensor:
    """Mean over rankings of the mean over their pairs. Shapes: scores (rankings, candidates) → ()."""
    losses = []
    for row, ranking in zip(scores, rankings, strict=True):
        chosen, rejected, weights = zip(*ranking.pairs, strict=True)
        pair_losses = bradley_terry(row[list(chosen)], row[list(rejected)])
        losses.append((pair_losses * pair_losses.new_tensor(weights)).mean())
    return torch.stack(losses).mean()


def set_learning_rate(optimiser: torch.optim.Optimizer, share: float) -> float:
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * share
    return float(optimiser.param_groups[0]["lr"])


def save_state(run: RunDir, reward_model: RewardModel, optimiser: torch.optim.Optimizer, step: int) -> None:
    state = {
        "step": step,
        "adapter": reward_model.shared.adapter_weights(ROLE),
        "head": reward_model.head.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    run.save_state(lambda folder: torch.save(state, folder / "reward.pt"))


def load_state(run: RunDir, reward_model: RewardModel, optimiser: torch.optim.Optimizer) -> int:
    """The step that an earlier attempt reached, 0 for a fresh start. Nothing random outlives a step."""
    folder = run.load_state()
    if folder is None:
        return 0
    state = torch.load(folder / "reward.pt", map_location=reward_model.shared.device, weights_only=True)
    reward_model.shared.load_adapter_weights(ROLE, state["adapter"])
    reward_model.head.load_state_dict(state["head"])
    optimiser.load_state_dict(state["optimiser"])
    logger.info("Going on after step %d", state["step"])
    return int(state["step"])


@torch.no_grad()
def reference_scores(reward_model: RewardModel, rankings: list[Ranking], config: RewardConfig) -> Tensor:
    """Raw scores of the reference policy's answers to the data's own prompts."""
    prompts = list({tuple(ranking.prompt): ranking.prompt for ranking in rankings}.values())
    prompts = prompts[: config.reference_samples]
    count = -(-config.reference_samples // len(prompts))
    scores = []
    for number, at in enumerate(range(0, len(prompts), per_pass := max(1, 64 // count))):
        rollout = sample(
            reward_model.shared,
            None,
            prompts[at : at + per_pass],
            count=count,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            generator=generator(config.seed, "normalise", number),
            keep_trunk=True,
        )
        scores.append(reward_model.raw_score(rollout.answers).flatten())
    return torch.cat(scores)


# --- measuring -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Accuracy:
    """Pairs put in the right order, a tie counting one half, by prompt: (right, pairs)."""

    by_prompt: dict[int | str, tuple[float, int]]

    @property
    def pairs(self) -> int:
        return sum(pairs for _, pairs in self.by_prompt.values())

    @property
    def value(self) -> float:
        return sum(right for right, _ in self.by_prompt.values()) / max(self.pairs, 1)

    def rounded(self) -> float | None:
        return round(self.value, 4) if self.pairs else None


def compare(rankings: list[Ranking], score: Callable[[list[Ranking]], list[list[float]]]) -> Accuracy:
    by_prompt: dict[int | str, tuple[float, int]] = {}
    for batch in portions(rankings):
        for ranking, scores in zip(batch, score(batch), strict=True):
            right, pairs = by_prompt.get(ranking.prompt_id, (0.0, 0))
            for chosen, rejected, _ in ranking.pairs:
                difference = scores[chosen] - scores[rejected]
                right += 1.0 if difference > 0 else 0.5 if difference == 0 else 0.0
            by_prompt[ranking.prompt_id] = (right, pairs + len(ranking.pairs))
    return Accuracy(by_prompt)


def accuracy(reward_model: RewardModel, rankings: list[Ranking]) -> Accuracy:
    return compare(rankings, lambda batch: reward_model.score(collate(batch, reward_model.shared)).tolist())


def lengths(rankings: list[Ranking]) -> list[list[float]]:
    """The baseline that every reward model must beat: the longer answer wins."""
    return [[float(len(tokens)) for tokens in ranking.candidates] for ranking in rankings]


def bootstrap_interval(measured: Accuracy, random: torch.Generator) -> list[float] | None:
    """95 % interval of the accuracy. Prompts are drawn, not pairs: the pairs of one prompt are not independent."""
    if not measured.pairs:
        return None
    table = torch.tensor(list(measured.by_prompt.values()), dtype=torch.float64)
    drawn = table[torch.randint(len(table), (BOOTSTRAP_SAMPLES, len(table)), generator=random)].sum(1)
    ends = torch.quantile(drawn[:, 0] / drawn[:, 1], torch.tensor([0.025, 0.975], dtype=torch.float64))
    return [round(float(end), 4) for end in ends]


def check_reload(trained: RewardModel, folder: Path, rankings: list[Ranking]) -> None:
    """Load the artefact into a fresh model and score again: a head lost on the way would pass unnoticed otherwise."""
    fresh = SharedModel(trained.shared.path, trained.shared.device)
    reloaded = RewardModel.load(fresh, folder)
    answers = collate([replace(ranking, trunk=None) for ranking in rankings], fresh)
    difference = (trained.score(answers) - reloaded.score(answers))[answers.response_mask.any(-1)].abs().max()
    if not difference <= RELOAD_TOLERANCE:
        raise AssertionError(f"the reward model scores differently after it was saved and loaded: by {difference:.2e}")


if __name__ == "__main__":
    run_recipe(train_reward_model, RewardConfig)
