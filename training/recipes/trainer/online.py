"""What RLOO and GRPO share: TRL's trainers that sample for themselves, on our tokens and with our scores.

TRL would decode the answers without their EOS and score that text, so that the reward model could not tell a finished
answer from one that was cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from training.methods import GRPOConfig, RLOOConfig
from training.phrases import phrase
from training.recipes.models.answers import Answers
from training.recipes.models.reward_model import RewardModel
from training.recipes.process.errors import nothing_usable
from training.recipes.process.files import required_path
from training.recipes.process.memory import MicroBatches
from training.recipes.rl.episodes import prompts_of_update
from training.recipes.rl.guards import outside_limits
from training.recipes.text.prompts import PromptTokens, pad_left, pad_right, read_prompts
from training.recipes.trainer.callback import RunCallback
from training.recipes.trainer.roles import Roles, load_roles
from training.recipes.trainer.training import count_rows, held_out_prompts, learn, report_results, settings
from training.rundir import Messages, Row, RunDir

OnlineConfig = GRPOConfig | RLOOConfig


def train_online(
    run: RunDir,
    config: OnlineConfig,
    inputs: Row,
    trainer: type,
    arguments: Callable[..., Any],
    describe: Callable[[Row], dict[str, float]],
    *,
    entropy: str,
    **own: Any,
) -> Row:
    """Train the policy with one of TRL's trainers and the project's reward model; return the result.

    `arguments` is the class of the trainer's settings, `own` are those that only it has; `describe` gives TRL's log of
    an update our names, of which `entropy` is one.
    """
    # 1. Roles and prompts.
    required_path(inputs, "reward_model")
    roles = load_roles(run, config, inputs)
    assert roles.reward_model is not None
    roles.student.generation_config.eos_token_id = sorted(roles.shared.chat.stops)
    rows = list(run.rows())
    most = min(config.max_prompt_tokens, roles.shared.longest - config.max_new_tokens - 1)
    prompts, refused = read_prompts(roles.shared.chat, rows, most)
    train = [prompt for prompt in prompts if prompt.split == "train"]
    if not train:
        raise nothing_usable(phrase("There is no prompt to train on"), len(rows), refused)
    steps = config.batch_size // config.minibatch_size * config.passes
    callback = RunCallback(
        run,
        config,
        roles,
        held_out_prompts({prompt.prompt_id: prompt for prompt in prompts}),
        unit="updates",
        steps_per_row=steps,
        why_stop=lambda metrics: outside_limits(metrics, config, entropy=entropy),
    )

    # 2. Training.
    from datasets import Dataset

    tokens = {prompt.prompt_id: prompt.tokens for prompt in train}
    made = make_trainer(
        trainer,
        tokens,
        config,
        model=roles.student,
        reward_funcs=scorer(roles.reward_model, tokens, config.completions_per_prompt),
        peft_config=roles.adapter,
        processing_class=roles.shared.tokenizer,
        train_dataset=Dataset.from_list(
            [{"prompt": stand_in(prompt.prompt_id)} for prompt in sequence_of(train, config)]
        ),
        args=arguments(**shared_arguments(run, config, roles, steps), **own),
    )
    after = learn(made, callback, describe)

    # 3. Save.
    reasons = Counter(row["reason"] for row in refused)
    return report_results(
        callback,
        after,
        episodes=callback.rows * config.batch_size,
        updates=callback.rows,
        rows=count_rows(len(rows), reasons),
    )


def sequence_of(train: list[PromptTokens], config: OnlineConfig) -> list[PromptTokens]:
    """Return the prompts of all updates in one list, the same as PPO's: TRL's trainer then makes one pass over it."""
    groups = config.batch_size // config.completions_per_prompt
    updates = config.episodes // config.batch_size
    return [prompt for n in range(1, updates + 1) for prompt in prompts_of_update(train, n, groups, config.seed)]


def shared_arguments(run: RunDir, config: OnlineConfig, roles: Roles, steps: int) -> Row:
    """Return TRL's settings that both trainers have; `steps` are the optimiser steps of an update."""
    return {
        **settings(run, config, roles),
        "max_steps": config.updates * steps,
        "per_device_train_batch_size": config.minibatch_size // config.processes,
        "steps_per_generation": config.batch_size // config.minibatch_size,
        "num_iterations": config.passes,
        "num_generations": config.completions_per_prompt,
        "shuffle_dataset": False,
        "max_completion_length": config.max_new_tokens,
        "temperature": config.temperature,
        "top_k": 0,
        "top_p": 1.0,
        "beta": config.kl_coef,
        "epsilon": config.clip_range,
        "max_grad_norm": config.max_grad_norm,
        "disable_dropout": True,
        "logging_steps": steps,
    }


def stand_in(prompt_id: int) -> Messages:
    """Return the message that TRL gets in place of a prompt: its id, of which `make_trainer` knows the tokens."""
    return [{"role": "user", "content": str(prompt_id)}]


def make_trainer(trainer: Any, tokens: dict[int, list[int]], config: OnlineConfig, **arguments: Any) -> Any:
    """Return TRL's trainer, which samples after our tokens of each prompt, and in parts that fit into memory.

    TRL would render and tokenise the conversation itself: a control token that is spelled in it would become one.
    """

    class TokenTrainer(trainer):  # type: ignore[misc]
        parts = MicroBatches(config.micro_batch, "episodes")
        parts.alone = config.processes == 1
        drawing = MicroBatches(config.sampling_batch, "completions")
        at_hand: Row | None = None  # the part of a minibatch that is learned from
        part_share = 1.0

        def _tokenize_prompts(self, prompts: list[Messages]) -> tuple[list[list[int]], None, dict[str, Any]]:
            return [tokens[int(messages[0]["content"])] for messages in prompts], None, {}

        def _generate_single_turn(self, prompt_ids: list[list[int]], *others: Any) -> Any:
            draw = super()._generate_single_turn
            parts = self.drawing.collect(prompt_ids, lambda some: draw(list(some), *others))
            if isinstance(parts[0], tuple):  # GRPO's have log-probabilities beside them, where a server samples
                return [answer for answers, _ in parts for answer in answers], None
            return [answer for part in parts for answer in part]

        def _get_per_token_logps_and_entropies(self, *inputs: Any, **more: Any) -> Any:
            if len(inputs) == 5 and self.parts.size:  # without gradients TRL reads this many rows at once
                inputs = (*inputs[:4], min(inputs[4], self.parts.size))
            elif "batch_size" in more and self.parts.size:
                more["batch_size"] = min(more["batch_size"], self.parts.size)
            return super()._get_per_token_logps_and_entropies(*inputs, **more)

        def _prepare_inputs(self, batch: Any) -> Any:
            return super()._prepare_inputs(batch) if self.at_hand is None else self.at_hand

        def training_step(self, model: nn.Module, inputs: Any, items: Any) -> Tensor:
            """Return the loss of a minibatch, whose gradients are added up over its parts."""
            model.train()
            drawn, step = self._prepare_inputs(inputs), super(trainer, self).training_step
            count = len(drawn["completion_ids"])

            def part(rows: Sequence[int]) -> Tensor:
                self.at_hand, self.part_share = rows_of(drawn, rows, count), len(rows) / count
                loss: Tensor = step(model, inputs, items)
                return loss

            try:
                loss = self.parts.run(range(count), part, model.zero_grad)
            finally:
                self.at_hand = None
            self._step += 1
            assert loss is not None
            return loss

        def compute_loss(self, *inputs: Any, **options: Any) -> Tensor:
            loss: Tensor = super().compute_loss(*inputs, **options) * self.part_share
            return loss

    return TokenTrainer(**arguments)


def rows_of(batch: Row, rows: Sequence[int], count: int) -> Row:
    """Return some of the `count` rows of a batch, whose tensors have a row each, or are one number for all."""

    def some(value: Any) -> Any:
        return value[list(rows)] if isinstance(value, Tensor) and value.dim() and len(value) == count else value

    return {name: some(value) for name, value in batch.items()}


def scorer(reward_model: RewardModel, tokens: dict[int, list[int]], per_prompt: int) -> Any:
    """Return TRL's reward function: the reward model's own score of prompt, answer and closing token.

    TRL hands over the answers to a prompt one after the other, so that the prompt is read once for all of them.
    """
    shared = reward_model.shared

    def score(prompts: list[Messages], completion_ids: list[list[int]], **_: Any) -> list[float]:
        """`completion_ids` are the tokens that were drawn: with a stop where the policy ended the answer itself."""
        firsts = prompts[::per_prompt]
        if prompts != [messages for messages in firsts for _ in range(per_prompt)]:
            raise AssertionError("TRL has mixed the answers of different prompts")
        closed = [shared.chat.scored(ids) for ids in completion_ids]
        prompt, prompt_mask = pad_left([tokens[int(messages[0]["content"])] for messages in firsts], shared.pad)
        groups = [closed[at : at + per_prompt] for at in range(0, len(closed), per_prompt)]
        batch = (prompt, prompt_mask, *pad_right(groups, shared.pad))
        answers = Answers(*(tensor.to(shared.device) for tensor in batch))
        scores: list[float] = reward_model.score(answers).flatten().tolist()
        return scores

    return score


def describe_answers(log: Row, kl_coef: float) -> dict[str, float]:
    """Return of TRL's log of an update what all policy gradients log; KL in nats per completion."""
    kl = log["kl"] * log["completions/mean_length"]  # TRL's is per token
    return {
        "objective/kl": kl,
        "objective/kl_coef": kl_coef,
        "objective/score": log["reward"],
        "objective/score_total": log["reward"] - kl_coef * kl,
        "response/length": log["completions/mean_length"],
        "response/eos_share": 1 - log["completions/clipped_ratio"],
    }
