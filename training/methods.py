"""The training methods: one frozen dataclass and one row of METHODS each. No torch.

A dataclass field is a form field, a JSON key and a recipe setting at once; its help text and range live beside it.
To add a method: a dataclass, a row, `recipes/<recipe>.py`, one test file.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar
from urllib.parse import urlsplit

from training.instructions.recast import CLUSTERS


def _setting(default: Any, help: str, *, least: float | None = None, most: float | None = None) -> Any:
    return field(default=default, metadata={"help": help, "least": least, "most": most})


class InvalidConfig(ValueError):
    """A setting that makes no sense. `errors` maps field name to message."""

    def __init__(self, errors: dict[str, str]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{name}: {message}" for name, message in errors.items()))


@dataclass(frozen=True)
class MethodConfig:
    """What all methods share: types, ranges and choices are checked on construction."""

    choices: ClassVar[dict[str, tuple[str, ...]]] = {}  # settings that take one of a few words

    def __post_init__(self) -> None:
        errors = {}
        for setting in fields(self):
            value, wanted = getattr(self, setting.name), type(setting.default)
            if isinstance(value, int) and not isinstance(value, bool) and wanted is float:
                object.__setattr__(self, setting.name, value := float(value))
            if type(value) is not wanted:
                errors[setting.name] = f"should be {wanted.__name__}, not {value!r}"
                continue
            least, most = setting.metadata.get("least"), setting.metadata.get("most")
            if least is not None and not value >= least:
                errors[setting.name] = f"should be at least {least:g}, not {value}"
            elif most is not None and not value <= most:
                errors[setting.name] = f"should be at most {most:g}, not {value}"
            if setting.name in self.choices and value not in self.choices[setting.name]:
                errors[setting.name] = f"should be one of {', '.join(self.choices[setting.name])}, not {value!r}"
        if errors:
            raise InvalidConfig(errors)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class SampleConfig(MethodConfig):
    """Completions of a policy for prompts. top-p is 1 and there is no top-k: PPO relies on plain sampling."""

    completions_per_prompt: int = _setting(4, "Completions drawn for every prompt", least=1, most=64)
    max_new_tokens: int = _setting(24, "Length at which a completion is cut (truncated)", least=1, most=4096)
    temperature: float = _setting(0.9, "Sampling temperature", least=0.01, most=5)
    batch_size: int = _setting(64, "Completions generated together", least=1, most=4096)
    max_prompt_tokens: int = _setting(512, "Longer prompts are refused and counted", least=1, most=1_000_000)
    prompts: int = _setting(0, "Prompts to answer, drawn at random; 0 takes all", least=0)
    server: str = _setting(
        "", "Ask this OpenAI-compatible server (http://localhost:8000/v1) instead of the policy; its key, if it "
        "wants one, stands in PREFLOOP_SERVER_KEY",
    )  # fmt: skip
    server_model: str = _setting("", "The server's name for the model; may stay empty where it has only one")
    seed: int = _setting(0, "Seed of the random generator", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_server(self.server)


def _check_server(server: str) -> None:
    if server and not _is_address(server):
        raise InvalidConfig({"server": f"should be an address such as http://localhost:8000/v1, not {server}"})
    if "@" in server:
        raise InvalidConfig({"server": "should hold no password: settings are shown on pages"})


def _is_address(text: str) -> bool:
    try:
        address = urlsplit(text)
    except ValueError:
        return False
    return address.scheme in ("http", "https") and bool(address.hostname)


@dataclass(frozen=True)
class SelfInstructConfig(MethodConfig):
    """Tasks in the manner of a few examples, as in Self-Instruct. Nothing learns from one before people accepted it."""

    proposals: int = _setting(64, "Tasks to ask for", least=1, most=100_000)
    seed_examples: int = _setting(6, "Seed tasks that each request shows", least=0, most=64)
    pool_examples: int = _setting(2, "Accepted proposals shown with them; seeds fill up", least=0, most=64)
    max_new_tokens: int = _setting(160, "Length at which a proposal is cut, and refused", least=8, most=4096)
    temperature: float = _setting(0.8, "Sampling temperature", least=0.01, most=5)
    batch_size: int = _setting(16, "Proposals generated together", least=1, most=4096)
    max_prompt_tokens: int = _setting(2048, "Longer requests are left out and counted", least=1, most=1_000_000)
    similarity: float = _setting(
        0.7, "ROUGE-L from which on an instruction is a near-duplicate of another one", least=0.01, most=1
    )
    near_duplicates: str = _setting("hold", "hold: nobody reviews them; review: they are reviewed, with a mark")
    server: str = _setting("", "Ask this OpenAI-compatible server instead of the policy; its key, as in sampling")
    server_model: str = _setting("", "The server's name for the model; may stay empty where it has only one")
    seed: int = _setting(0, "Seed of the random generator, and of the choice of examples", least=0)

    choices: ClassVar = {"near_duplicates": ("hold", "review")}

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_server(self.server)


@dataclass(frozen=True)
class RewardConfig(MethodConfig):
    """Linear heads on states of the policy's base model, or on an adapter over it, trained on rankings."""

    epochs: int = _setting(3, "Passes over the rankings", least=1, most=100)
    learning_rate: float = _setting(1e-3, "Peak rate of AdamW for the adapter; linear decay to 0", least=0, most=1)
    head_learning_rate_factor: float = _setting(3.0, "The head learns this many times faster", least=0, most=1000)
    rankings_per_step: int = _setting(4, "Rankings in one optimiser step", least=1, most=1024)
    lora_rank: int = _setting(16, "Rank of the adapter", least=1, most=1024)
    top_blocks: int = _setting(6, "Transformer blocks, from the top, that carry the adapter", least=1, most=1000)
    loss: str = _setting("bradley_terry", "bradley_terry: pairs with soft labels; plackett_luce: whole rankings")
    margin: float = _setting(
        0.0, "Distance that Bradley-Terry asks for between first and last, less between neighbours", least=0, most=10
    )
    pooling: str = _setting(
        "depths",
        "What the heads read: depths (the base model's states at several depths; no adapter learns, epochs and rates "
        "do not matter), or its final states under an adapter: mean, last, attention, or verbalizer (Yes or No when "
        "asked whether the answer is good; slower, since every answer is read again)",
    )
    ridge: float = _setting(0.2, "Penalty on the heads' weights, with pooling 'depths'", least=0, most=1000)
    heads: int = _setting(
        2,
        "The first learns from all rankings, each other one from a bootstrap; the last of several judges checkpoints",
        least=1,
        most=64,
    )
    weight_decay: float = _setting(0.0, "AdamW's weight decay", least=0, most=10)
    start: str = _setting("fresh", "Where the adapter starts: fresh, policy, or previous (the last reward model)")
    max_length: int = _setting(
        512, "Tokens of prompt and completion; longer ones are refused and counted", least=8, most=1_000_000
    )
    learning_curve: int = _setting(
        3, "Further models trained on 1/2, 1/4, … of the rankings, to see what each ranking brings", least=0, most=10
    )
    gate: str = _setting("stop", "A model that fails its gate: stop the round, or only report it")
    reference_samples: int = _setting(
        96, "Answers of the reference policy on which scores are scaled to mean 0, variance 1", least=2, most=100_000
    )
    max_new_tokens: int = _setting(24, "Length at which those answers are cut", least=1, most=4096)
    temperature: float = _setting(0.9, "Temperature of those answers", least=0.01, most=5)
    seed: int = _setting(0, "Seed of the random generator", least=0)

    choices: ClassVar = {
        "loss": ("bradley_terry", "plackett_luce"),
        "pooling": ("depths", "mean", "last", "attention", "verbalizer"),
        "start": ("fresh", "policy", "previous"),
        "gate": ("stop", "report"),
    }


@dataclass(frozen=True)
class PPOConfig(MethodConfig):
    """Proximal policy optimisation against a reward model, held near the reference policy by a KL penalty."""

    episodes: int = _setting(640, "Completions sampled and learned from in all", least=1)
    batch_size: int = _setting(64, "Episodes per update", least=2, most=65536)
    minibatch_size: int = _setting(32, "Episodes per optimiser step", least=1, most=65536)
    ppo_epochs: int = _setting(4, "Passes over the episodes of one update", least=1, most=100)
    completions_per_prompt: int = _setting(4, "Episodes that share a prompt in one update", least=1, most=256)
    max_new_tokens: int = _setting(24, "Length at which a completion is cut", least=1, most=4096)
    max_prompt_tokens: int = _setting(512, "Longer prompts are refused and counted", least=1, most=1_000_000)
    temperature: float = _setting(
        0.9, "Sampling temperature; log-probabilities are taken at the same one", least=0.01, most=5
    )
    learning_rate: float = _setting(6e-4, "Peak rate of AdamW; linear decay to 0", least=0, most=1)
    kl_coef: float = _setting(0.03, "Weight of the per-token KL penalty against the reference policy", least=0, most=10)
    kl_target: float = _setting(
        0.0,
        "Nats per completion that an adaptive KL coefficient aims at; 0 keeps it fixed",
        least=0,
        most=1000,
    )
    kl_horizon: float = _setting(
        5.0, "Updates in which an adaptive KL coefficient changes by 20 % at the most", least=1, most=1_000_000
    )
    kl_limit: float = _setting(
        10.0, "Stop when the KL to the reference exceeds this many nats per completion", least=0, most=10000
    )
    gamma: float = _setting(1.0, "Discount of later rewards", least=0, most=1)
    gae_lambda: float = _setting(0.95, "λ of generalised advantage estimation", least=0, most=1)
    clip_range: float = _setting(0.2, "ε of the clipped policy objective", least=0, most=10)
    value_clip_range: float = _setting(0.2, "Range in which a value estimate may move in one update", least=0, most=100)
    value_coef: float = _setting(0.1, "Weight of the value loss", least=0, most=100)
    whiten_rewards: bool = _setting(False, "Scale per-token rewards to variance 1 (mean kept)")
    missing_eos_score: float = _setting(
        -1.0,
        "Score of a completion that was cut before its end, where missing_eos is 'replace'",
        least=-100,
        most=100,
    )
    missing_eos: str = _setting("keep", "keep: score cut completions as they are; replace: give them missing_eos_score")
    max_grad_norm: float = _setting(1.0, "Gradient norm above which it is scaled down", least=0, most=1000)
    lora_rank: int = _setting(16, "Rank of the adapter", least=1, most=1024)
    top_blocks: int = _setting(6, "Transformer blocks, from the top, that carry the adapter", least=1, most=1000)
    train: str = _setting("lora", "lora: adapters on the shared base; full: all weights, in a model of their own")
    value_model: str = _setting(
        "shared", "shared: a head on the policy's states; separate: an adapter that begins as the reward model's"
    )
    disagreement_coef: float = _setting(
        0.0, "Taken off the score for each unit by which the reward model's heads disagree", least=0, most=100
    )
    entropy_floor: float = _setting(
        0.05, "Stop when the policy's entropy falls below this many nats per token", least=0, most=100
    )
    distinct_floor: float = _setting(
        0.3, "Stop when fewer than this share of an answer's token pairs are distinct", least=0, most=1
    )
    length_floor: float = _setting(1.5, "Stop when answers are shorter than this many tokens", least=0, most=4096)
    clipfrac_limit: float = _setting(0.6, "Stop when more than this share of tokens is clipped", least=0, most=1)
    ratio_limit: float = _setting(
        5.0, "Stop when the mean probability ratio of a minibatch exceeds this", least=1, most=1_000_000
    )
    save_every: int = _setting(1, "Updates between resumable states", least=1)
    eval_every: int = _setting(
        5, "Updates between evaluations, of which the best checkpoint is kept; 0: only at the end", least=0
    )
    eval_completions: int = _setting(4, "Completions per eval prompt and evaluation", least=1, most=64)
    processes: int = _setting(1, "Processes that share every batch; each holds the whole model", least=1, most=1024)
    seed: int = _setting(0, "Seed of the random generator", least=0)

    choices: ClassVar = {
        "missing_eos": ("keep", "replace"),
        "train": ("lora", "full"),
        "value_model": ("shared", "separate"),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        errors = {}
        if self.batch_size % self.minibatch_size:
            errors["minibatch_size"] = f"should divide batch_size ({self.batch_size}), not {self.minibatch_size}"
        if self.minibatch_size % self.completions_per_prompt:
            errors["completions_per_prompt"] = (
                f"should divide minibatch_size ({self.minibatch_size}), not {self.completions_per_prompt}"
            )
        if self.episodes < self.batch_size:
            errors["episodes"] = f"should be at least batch_size ({self.batch_size}), not {self.episodes}"
        if self.batch_size // self.completions_per_prompt % self.processes:
            errors["processes"] = (
                f"should divide the prompts of an update ({self.batch_size // self.completions_per_prompt}), "
                f"not {self.processes}"
            )
        if errors:
            raise InvalidConfig(errors)


@dataclass(frozen=True)
class DPOConfig(MethodConfig):
    """Direct preference optimisation: learns from pairs of answers, without a reward model and without sampling."""

    epochs: int = _setting(2, "Passes over the pairs", least=1, most=100)
    batch_size: int = _setting(16, "Pairs per optimiser step", least=1, most=65536)
    learning_rate: float = _setting(2e-4, "Peak rate of AdamW; linear decay to 0", least=0, most=1)
    beta: float = _setting(0.1, "β: how strongly the policy is held to the reference", least=0.0001, most=100)
    lora_rank: int = _setting(16, "Rank of the adapter", least=1, most=1024)
    top_blocks: int = _setting(6, "Transformer blocks, from the top, that carry the adapter", least=1, most=1000)
    max_length: int = _setting(
        512, "Tokens of prompt and answer; longer ones are refused and counted", least=8, most=1_000_000
    )
    max_new_tokens: int = _setting(24, "Length at which answers to eval prompts are cut", least=1, most=4096)
    temperature: float = _setting(0.9, "Temperature of those answers", least=0.01, most=5)
    eval_completions: int = _setting(4, "Answers per eval prompt, before and after", least=1, most=64)
    save_every: int = _setting(10, "Steps between resumable states", least=1)
    seed: int = _setting(0, "Seed of the random generator", least=0)


@dataclass(frozen=True)
class RLOOConfig(MethodConfig):
    """REINFORCE with the mean score of a prompt's other answers as baseline: PPO without a value model."""

    episodes: int = _setting(640, "Completions sampled and learned from in all", least=1)
    batch_size: int = _setting(32, "Episodes per update", least=2, most=65536)
    minibatch_size: int = _setting(16, "Episodes per optimiser step", least=1, most=65536)
    passes: int = _setting(1, "Passes over the episodes of one update", least=1, most=100)
    completions_per_prompt: int = _setting(4, "Episodes that share a prompt", least=2, most=256)
    max_new_tokens: int = _setting(24, "Length at which a completion is cut", least=1, most=4096)
    max_prompt_tokens: int = _setting(512, "Longer prompts are refused and counted", least=1, most=1_000_000)
    temperature: float = _setting(
        0.9, "Sampling temperature; log-probabilities are taken at the same one", least=0.01, most=5
    )
    learning_rate: float = _setting(6e-4, "Peak rate of AdamW; linear decay to 0", least=0, most=1)
    kl_coef: float = _setting(
        0.03, "Weight of the completion's KL to the reference policy, taken off its score", least=0.0001, most=10
    )
    kl_limit: float = _setting(
        10.0, "Stop when the KL to the reference exceeds this many nats per completion", least=0, most=10000
    )
    entropy_floor: float = _setting(
        0.05, "Stop when the policy's entropy falls below this many nats per token", least=0, most=100
    )
    length_floor: float = _setting(1.5, "Stop when answers are shorter than this many tokens", least=0, most=4096)
    clip_range: float = _setting(
        0.2, "ε of the clipped objective; the ratio is that of whole answers", least=0, most=10
    )
    max_grad_norm: float = _setting(1.0, "Gradient norm above which it is scaled down", least=0, most=1000)
    lora_rank: int = _setting(16, "Rank of the adapter", least=1, most=1024)
    top_blocks: int = _setting(6, "Transformer blocks, from the top, that carry the adapter", least=1, most=1000)
    eval_completions: int = _setting(4, "Completions per eval prompt, before and after", least=1, most=64)
    save_every: int = _setting(1, "Updates between resumable states", least=1)
    seed: int = _setting(0, "Seed of the random generator", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        errors = {}
        if self.batch_size % self.minibatch_size:
            errors["minibatch_size"] = f"should divide batch_size ({self.batch_size}), not {self.minibatch_size}"
        if self.batch_size % self.completions_per_prompt:
            errors["completions_per_prompt"] = (
                f"should divide batch_size ({self.batch_size}), not {self.completions_per_prompt}"
            )
        if self.episodes < self.batch_size:
            errors["episodes"] = f"should be at least batch_size ({self.batch_size}), not {self.episodes}"
        if errors:
            raise InvalidConfig(errors)


@dataclass(frozen=True)
class SFTConfig(MethodConfig):
    """Supervised fine-tuning on the answers that people wrote or liked best."""

    epochs: int = _setting(3, "Passes over the answers", least=1, most=100)
    batch_size: int = _setting(8, "Answers per optimiser step", least=1, most=65536)
    learning_rate: float = _setting(5e-4, "Peak rate of AdamW; linear decay to 0", least=0, most=1)
    lora_rank: int = _setting(16, "Rank of the adapter", least=1, most=1024)
    top_blocks: int = _setting(6, "Transformer blocks, from the top, that carry the adapter", least=1, most=1000)
    max_length: int = _setting(
        512, "Tokens of prompt and answer; longer ones are refused and counted", least=8, most=1_000_000
    )
    max_new_tokens: int = _setting(24, "Length at which answers to eval prompts are cut", least=1, most=4096)
    temperature: float = _setting(0.9, "Temperature of those answers", least=0.01, most=5)
    eval_completions: int = _setting(4, "Answers per eval prompt, before and after", least=1, most=64)
    save_every: int = _setting(10, "Steps between resumable states", least=1)
    seed: int = _setting(0, "Seed of the random generator", least=0)


@dataclass(frozen=True)
class InstructionTuningConfig(MethodConfig):
    """Supervised fine-tuning on many tasks worded as instructions, measured on wordings and tasks it has never seen."""

    per_task: int = _setting(48, "Examples of each rule-made task to learn from; 0: none of these tasks", least=0)
    test_per_task: int = _setting(24, "Further examples of each rule-made task, to measure with", least=1, most=10_000)
    held_out: str = _setting(
        "sentiment, paraphrase, definitions", "Clusters of tasks that are only measured, separated by commas"
    )
    seed_tasks: bool = _setting(True, "Also learn from the seed tasks, which were written for this project")
    pool: bool = _setting(True, "Also learn from the proposed tasks that people accepted")
    labelled: bool = _setting(False, "Also learn from the project's labelled texts, with the labels as options")
    train: str = _setting("lora", "lora: an adapter; full: all weights, which makes a model of its own")
    epochs: int = _setting(2, "Passes over the instructions", least=1, most=100)
    batch_size: int = _setting(16, "Instructions per optimiser step", least=1, most=65536)
    packing: bool = _setting(
        True, "Lay the instructions of a step end to end instead of padding them; each still reads only itself"
    )
    learning_rate: float = _setting(
        0.0, "Peak rate of AdamW; linear decay to 0; 0: 5e-4 for an adapter, 2e-5 for all weights", least=0, most=1
    )
    lora_rank: int = _setting(16, "Rank of the adapter", least=1, most=1024)
    top_blocks: int = _setting(6, "Transformer blocks, from the top, that carry the adapter", least=1, most=1000)
    max_length: int = _setting(
        512, "Tokens of instruction and answer; longer ones are refused and counted", least=8, most=1_000_000
    )
    max_new_tokens: int = _setting(24, "Length at which answers are cut", least=1, most=4096)
    temperature: float = _setting(0.9, "Temperature of the answers that are shown", least=0.01, most=5)
    shown: int = _setting(32, "Unseen instructions whose answers are shown, before and after", least=1, most=10_000)
    eval_completions: int = _setting(1, "Answers to each of them", least=1, most=64)
    save_every: int = _setting(20, "Steps between resumable states", least=1)
    seed: int = _setting(0, "Seed of the random generator, and of the choice of examples and wordings", least=0)

    choices: ClassVar = {"train": ("lora", "full")}

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := [name for name in self.clusters_held_out if name not in CLUSTERS]:
            named = f"{', '.join(unknown)}; there are {', '.join(CLUSTERS)}"
            raise InvalidConfig({"held_out": f"names clusters that do not exist: {named}"})

    @property
    def clusters_held_out(self) -> list[str]:
        return [name.strip() for name in self.held_out.split(",") if name.strip()]


@dataclass(frozen=True)
class PromptTuningConfig(MethodConfig):
    """A classifier made of a language model, a template and a verbalizer; or, for contrast, of a new head."""

    tuning: str = _setting(
        "cloze",
        "zero_shot: the model as it is; in_context: labelled rows stand before the text; cloze: learn to fill the "
        "blank; soft_prompt: learn only vectors before the text; p_tuning: the same, made by a small network; prefix: "
        "vectors before the keys and values of every layer; head: no template, a new classification head",
    )
    train: str = _setting("lora", "For cloze and head: lora, an adapter; full, all weights")
    shots: int = _setting(
        16, "Labelled rows per label to learn from, or to show, and as many to choose by; 0: all", least=0
    )
    epochs: int = _setting(8, "Passes over the labelled rows", least=1, most=1000)
    batch_size: int = _setting(8, "Rows per optimiser step", least=1, most=65536)
    learning_rate: float = _setting(0.0, "Peak rate of AdamW; linear decay to 0; 0: the method's own", least=0, most=10)
    lora_rank: int = _setting(16, "Rank of the adapter", least=1, most=1024)
    virtual_tokens: int = _setting(20, "Vectors that a soft prompt consists of", least=1, most=1000)
    calibration: str = _setting(
        "none",
        "What is taken off the labels' log-probabilities: none; contextual, those of empty texts; prior, their mean "
        "over the rows to be judged",
    )
    max_length: int = _setting(
        256, "Tokens; of longer rows the text is cut, never the template", least=8, most=1_000_000
    )
    seed: int = _setting(0, "Seed of the random generator, and of the choice of labelled rows", least=0)

    choices: ClassVar = {
        "tuning": ("zero_shot", "in_context", "cloze", "soft_prompt", "p_tuning", "prefix", "head"),
        "train": ("lora", "full"),
        "calibration": ("none", "contextual", "prior"),
    }


@dataclass(frozen=True)
class EvaluateConfig(MethodConfig):
    """Two versions answer the prompts kept for evaluation; people say, blind, which answer is better."""

    against: str = _setting(
        "before", "before: the version with which the round began; base: version 0; references: people's answers"
    )
    prompts: int = _setting(50, "Prompts kept for evaluation to answer, drawn at random; 0 takes all", least=0)
    seats: int = _setting(1, "People who judge each comparison", least=1, most=20)
    max_new_tokens: int = _setting(24, "Length at which an answer is cut, of both sides", least=1, most=4096)
    temperature: float = _setting(0.9, "Sampling temperature of both sides", least=0.01, most=5)
    batch_size: int = _setting(64, "Answers generated together", least=1, most=4096)
    max_prompt_tokens: int = _setting(512, "Longer prompts are refused and counted", least=1, most=1_000_000)
    seed: int = _setting(0, "Seed of the random generator, of the choice of prompts and of the order", least=0)

    choices: ClassVar = {"against": ("before", "base", "references")}


@dataclass(frozen=True)
class Method:
    """A row of METHODS: what the method is called, takes and makes."""

    label: str
    config: type[MethodConfig]
    recipe: str  # module under training.recipes
    data: str  # dataset type of data.jsonl, in TRL's words
    makes: str  # "policy", "reward_model", "completions", "comparisons", "classifier" or "proposals"


METHODS: dict[str, Method] = {
    "sample": Method("Sampling", SampleConfig, recipe="sample", data="prompt-only", makes="completions"),
    "reward": Method("Reward model", RewardConfig, recipe="reward", data="ranking", makes="reward_model"),
    "ppo": Method("PPO", PPOConfig, recipe="ppo", data="prompt-only", makes="policy"),
    "dpo": Method("DPO", DPOConfig, recipe="dpo", data="preference", makes="policy"),
    "rloo": Method("RLOO", RLOOConfig, recipe="rloo", data="prompt-only", makes="policy"),
    "prompt_tuning": Method(
        "Prompt tuning", PromptTuningConfig, recipe="prompt_tuning", data="classification", makes="classifier"
    ),
    "self_instruct": Method(
        "Self-instruct", SelfInstructConfig, recipe="self_instruct", data="examples", makes="proposals"
    ),
    "instruction_tuning": Method(
        "Instruction tuning", InstructionTuningConfig, recipe="instruction_tuning", data="instructions", makes="policy"
    ),
    "evaluate": Method(
        "Evaluation by people", EvaluateConfig, recipe="evaluate", data="prompt-only", makes="comparisons"
    ),
    "sft": Method("SFT", SFTConfig, recipe="sft", data="prompt-completion", makes="policy"),
}
