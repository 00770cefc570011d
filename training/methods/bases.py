"""Settings of methods that share most of them: a dataclass each, of which a method's own is a kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from training.methods import shared
from training.methods.settings import GATES, InvalidConfig, MethodConfig, idle, setting

NOTHING_LEARNED = "should be above 0: nothing would be learned"


def parts_errors(micro_batch: int, step: int, name: str) -> Iterator[tuple[str, str]]:
    """Yield that a part of a step is larger than the step, whose setting is `name`."""
    if micro_batch > step:
        yield from idle(
            "micro_batch", f"above {name} ({step}), which is read at once anyway: set less, or leave it out"
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
    eval_every: int = shared.eval_every(10, "Steps")
    gate: str = shared.policy_gate()
    micro_batch: int = shared.micro_batch("Answers")
    checkpointing: bool = shared.checkpointing()
    processes: int = shared.processes()
    save_every: int = shared.save_every("Steps")
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

    episodes: int = setting(640, "Responses sampled and trained on in all", least=1)
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
    eval_every: int = shared.eval_every(5, "Updates")
    gate: str = shared.policy_gate()
    micro_batch: int = shared.micro_batch("Episodes")
    sampling_batch: int = setting(
        0, "Responses generated together; 0: all of an update, fewer where memory runs out", least=0
    )
    checkpointing: bool = shared.checkpointing()
    processes: int = shared.processes()
    save_every: int = shared.save_every("Updates")
    seed: int = shared.seed()

    choices: ClassVar = {"gate": GATES}

    def __post_init__(self) -> None:
        super().__post_init__()
        errors = self.size_errors()
        if errors:
            raise InvalidConfig(errors)

    def size_errors(self) -> dict[str, str]:
        """Return what is wrong with the numbers of episodes, by setting; nothing where they fit each other."""
        errors = {}
        if self.batch_size % self.minibatch_size:
            errors["minibatch_size"] = f"should divide batch_size ({self.batch_size}), not {self.minibatch_size}"
        if self.episodes < self.batch_size:
            errors["episodes"] = f"should be at least batch_size ({self.batch_size}), not {self.episodes}"
        errors |= shared.share_errors(
            self.processes, prompts_of_an_update=self.batch_size // self.completions_per_prompt
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
            near = f"{self.episodes - rest} or {self.episodes - rest + self.batch_size}"
            last = f"the last {rest} would not be drawn"
            yield "episodes", f"should be a multiple of batch_size ({self.batch_size}): {last}; set {near}"
        if self.sampling_batch > self.batch_size:
            yield from idle("sampling_batch", f"above batch_size ({self.batch_size}): set less, or leave it out")
        if not self.rate:
            yield "learning_rate", NOTHING_LEARNED
        for name in ("eval_every", "save_every"):
            if getattr(self, name) > self.updates:
                yield from idle(name, f"above the number of updates ({self.updates}): set less, or 0")
        if self.passes_over_update == 1 and self.minibatch_size == self.batch_size:
            yield from idle(
                "clip_range",
                "where each episode is learned from once, in one step: the ratio is 1 there. Set more passes or a "
                "smaller minibatch_size, or leave it out",
            )
