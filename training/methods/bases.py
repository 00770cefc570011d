"""Settings of methods that share most of them: a dataclass each, of which a method's own is a kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from training.methods import shared
from training.methods.settings import GATES, InvalidConfig, MethodConfig, idle, setting
from training.phrases import Phrase, phrase

NOTHING_LEARNED = phrase("should be above 0: nothing would be learned")


def should_divide(name: str, whole: int, given: int) -> Phrase:
    """Return that a setting should divide another one, whose name and value these are."""
    return phrase("should divide %(name)s (%(whole)s), not %(given)s", name=name, whole=whole, given=given)


def at_least_setting(name: str, least: int, given: int) -> Phrase:
    """Return that a setting should not be less than another one, whose name and value these are."""
    return phrase("should be at least %(name)s (%(least)s), not %(given)s", name=name, least=least, given=given)


def parts_errors(micro_batch: int, step: int, name: str) -> Iterator[tuple[str, str]]:
    """Yield that a part of a step is larger than the step, whose setting is `name`."""
    if micro_batch > step:
        yield from idle(
            "micro_batch",
            phrase(
                "does nothing above %(name)s (%(step)s), which is read at once anyway: set less, or leave it out",
                name=name,
                step=step,
            ),
        )


@dataclass(frozen=True)
class AnswersConfig(MethodConfig):
    """What methods share that learn from given answers: SFT, and DPO, which gives two to a prompt."""

    epochs: int = setting(3, "Passes over the responses", least=1, most=100)
    batch_size: int = setting(8, "Responses per optimiser step", least=1, most=65536)
    learning_rate: float = setting(5e-4, "Peak rate of AdamW; linear decay to 0", least=0, most=1)
    lora_rank: int = shared.lora_rank()
    top_blocks: int = shared.top_blocks()
    max_length: int = shared.max_length()
    max_new_tokens: int = shared.eval_answer_length()
    temperature: float = shared.eval_temperature()
    eval_completions: int = shared.eval_completions()
    eval_every: int = shared.eval_every(10, phrase("Steps"))
    gate: str = shared.policy_gate()
    micro_batch: int = shared.micro_batch(phrase("Responses"))
    checkpointing: bool = shared.checkpointing()
    processes: int = shared.processes()
    save_every: int = shared.save_every(phrase("Steps"))
    seed: int = shared.seed()

    choices: ClassVar = {"gate": GATES}

    def without_effect(self) -> Iterator[tuple[str, str]]:
        """Yield the settings that would do nothing beside the others."""
        yield from parts_errors(self.micro_batch, self.batch_size, "batch_size")
        if not self.learning_rate:
            yield "learning_rate", NOTHING_LEARNED


@dataclass(frozen=True)
class PolicyGradientConfig(MethodConfig):
    """What methods share that learn from answers that they draw and a reward model scores: PPO and RLOO."""

    episodes: int = setting(640, "Responses sampled and trained on in all", least=1, most=10_000_000)
    batch_size: int = setting(32, "Episodes per update", least=2, most=65536)
    minibatch_size: int = setting(16, "Episodes per optimiser step", least=1, most=65536)
    completions_per_prompt: int = setting(4, "Episodes that share a prompt", least=1, most=256)
    max_new_tokens: int = setting(
        24, "Length at which a response is truncated", least=1, most=4096, inherits=shared.ANSWER_TOKENS
    )
    max_prompt_tokens: int = shared.max_prompt_tokens()
    temperature: float = setting(
        0.9,
        "Sampling temperature; log-probabilities are taken at the same one",
        least=0.01,
        most=5,
        inherits=shared.TEMPERATURE,
    )
    learning_rate: float = setting(6e-4, "Peak rate of AdamW; linear decay to 0", least=0, most=1)
    kl_coef: float = setting(
        0.03, "Weight of the response's KL to the reference policy, subtracted from its score", least=0.0001, most=10
    )
    kl_limit: float = setting(
        10.0, "Stop when the KL to the reference exceeds this many nats per response", least=0, most=10000
    )
    kl_limit_per_token: float = setting(
        0.0, "Stop when the KL exceeds this many nats per token; 0: only kl_limit stops the run", least=0, most=1000
    )
    clip_range: float = setting(0.2, "ε of the clipped objective", least=0, most=10)
    max_grad_norm: float = shared.max_grad_norm()
    lora_rank: int = shared.lora_rank()
    top_blocks: int = shared.top_blocks()
    entropy_floor: float = setting(
        0.05, "Stop when the policy's entropy falls below this many nats per token", least=0, most=100
    )
    length_floor: float = setting(1.5, "Stop when responses are shorter than this many tokens", least=0, most=4096)
    eval_completions: int = setting(4, "Responses per held-out prompt, before and after", least=1, most=64)
    eval_every: int = shared.eval_every(5, phrase("Updates"))
    gate: str = shared.policy_gate()
    micro_batch: int = shared.micro_batch(phrase("Episodes"))
    sampling_batch: int = setting(
        0,
        "Responses generated together; 0: all of an update, fewer where memory runs out",
        least=0,
        most=shared.MOST_AT_ONCE,
    )
    checkpointing: bool = shared.checkpointing()
    processes: int = shared.processes()
    save_every: int = shared.save_every(phrase("Updates"))
    seed: int = shared.seed()

    choices: ClassVar = {"gate": GATES}

    def __post_init__(self) -> None:
        super().__post_init__()
        errors = self.size_errors()
        if errors:
            raise InvalidConfig(errors)

    def size_errors(self) -> dict[str, str]:
        """Return what is wrong with the numbers of episodes, by setting; nothing where they fit each other."""
        errors: dict[str, str] = {}
        if self.batch_size % self.minibatch_size:
            errors["minibatch_size"] = should_divide("batch_size", self.batch_size, self.minibatch_size)
        if self.episodes < self.batch_size:
            errors["episodes"] = at_least_setting("batch_size", self.batch_size, self.episodes)
        errors |= shared.share_errors(
            self.processes, {phrase("prompts of an update"): self.batch_size // self.completions_per_prompt}
        )
        return errors

    @property
    def rate(self) -> float:
        """Return the peak learning rate."""
        return self.learning_rate

    @property
    def updates(self) -> int:
        """Return how many batches are drawn and learned from."""
        return self.episodes // self.batch_size

    @property
    def passes_over_update(self) -> int:
        """Return how often the episodes of an update are learned from."""
        return 1

    def without_effect(self) -> Iterator[tuple[str, str]]:
        """Yield the settings that would do nothing beside the others."""
        yield from parts_errors(self.micro_batch, self.minibatch_size, "minibatch_size")
        if rest := self.episodes % self.batch_size:
            yield (
                "episodes",
                phrase(
                    "should be a multiple of batch_size (%(size)s): the last %(rest)s would not be sampled; set "
                    "%(less)s or %(more)s",
                    size=self.batch_size,
                    rest=rest,
                    less=self.episodes - rest,
                    more=self.episodes - rest + self.batch_size,
                ),
            )
        if self.sampling_batch > self.batch_size:
            yield from idle(
                "sampling_batch",
                phrase("does nothing above batch_size (%(size)s): set less, or leave it out", size=self.batch_size),
            )
        if not self.rate:
            yield "learning_rate", NOTHING_LEARNED
        for name in ("eval_every", "save_every"):
            if getattr(self, name) > self.updates:
                yield from idle(
                    name,
                    phrase(
                        "does nothing above the number of updates (%(updates)s): set less, or 0", updates=self.updates
                    ),
                )
        if self.passes_over_update == 1 and self.minibatch_size == self.batch_size:
            yield from idle(
                "clip_range",
                phrase(
                    "does nothing where each episode is trained on once, in one step: the ratio is 1 there. Set more "
                    "passes or a smaller minibatch_size, or leave it out"
                ),
            )


@dataclass(frozen=True)
class GroupBaselineConfig(PolicyGradientConfig):
    """What RLOO and GRPO share: the other responses to a prompt are the baseline of each."""

    completions_per_prompt: int = setting(4, "Episodes that share a prompt", least=2, most=256)
    passes: int = setting(1, "Passes over the episodes of one update", least=1, most=100)

    def size_errors(self) -> dict[str, str]:
        """Return what is wrong with the numbers of episodes, by setting."""
        errors = super().size_errors()
        if self.batch_size % self.completions_per_prompt:
            errors["completions_per_prompt"] = should_divide("batch_size", self.batch_size, self.completions_per_prompt)
        errors |= shared.share_errors(self.processes, {phrase("episodes of an optimiser step"): self.minibatch_size})
        return errors

    @property
    def passes_over_update(self) -> int:
        """Return how often the episodes of an update are learned from."""
        return self.passes
