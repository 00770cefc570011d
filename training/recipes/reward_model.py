"""The reward model: LoRA on the shared base and one linear head. The only place where an answer gets a score.

One rule for training, PPO and evaluation alike: what is scored is the prompt, the answer's tokens and EOS, always with
EOS. People judged the text as it stood, so an answer that was cut at its length limit is closed in the same way as one
that ended by itself; what being cut costs beyond its looks is PPO's setting `missing_eos`, not the reward model's.

The head reads the mean of the answer's final hidden states, EOS included. (At the last token alone, a small model
memorises a few hundred pairs and predicts nothing about new prompts.)
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.recipes import checkpoints
from training.recipes.common import RecipeError
from training.recipes.roles import Answers, SharedModel

ROLE = "reward"
HEAD_FILE = "head.safetensors"
META_FILE = "reward.json"


class RewardModel:
    """score = gain · raw + bias, so that answers of the reference policy have mean 0 and variance 1."""

    def __init__(self, shared: SharedModel, head: nn.Linear, gain: float = 1.0, bias: float = 0.0) -> None:
        self.shared, self.head, self.gain, self.bias = shared, head, gain, bias

    @classmethod
    def fresh(cls, shared: SharedModel, *, rank: int, top_blocks: int, generator: torch.Generator) -> RewardModel:
        shared.add_adapter(ROLE, rank=rank, top_blocks=top_blocks)
        head = nn.Linear(shared.hidden_size, 1)
        with torch.no_grad():
            head.weight.normal_(0.0, (shared.hidden_size + 1) ** -0.5, generator=generator)
            head.bias.zero_()
        return cls(shared, head.to(shared.device))

    @classmethod
    def load(cls, shared: SharedModel, folder: Path) -> RewardModel:
        if not (folder / META_FILE).exists():
            raise RecipeError(f"There is no reward model in {folder}")
        base = checkpoints.resolve(folder).base
        if Path(base).resolve() != Path(shared.path).resolve():
            raise RecipeError(
                f"The reward model was trained on {base}, the policy on {shared.path}: they must share it"
            )
        shared.load_adapter(ROLE, folder)
        head = nn.Linear(shared.hidden_size, 1)
        head.load_state_dict(load_file(folder / HEAD_FILE))
        meta = json.loads((folder / META_FILE).read_text("utf-8"))
        return cls(shared, head.to(shared.device).requires_grad_(False), meta["gain"], meta["bias"])

    def save(self, folder: Path, facts: dict[str, object]) -> None:
        self.shared.save_adapter(ROLE, folder)
        save_file({name: tensor.detach().cpu() for name, tensor in self.head.state_dict().items()}, folder / HEAD_FILE)
        meta = {"gain": self.gain, "bias": self.bias, "pooling": "mean of the answer's states, EOS included"}
        (folder / META_FILE).write_text(json.dumps({**meta, **facts}, indent=1), "utf-8")

    def raw_score(self, answers: Answers) -> Tensor:
        """Shapes: G prompts with K answers each → (g, k). With gradients where the caller has them enabled."""
        states = self.shared.read(answers, ROLE).after
        mask = answers.response_mask[..., None]
        mean = states.masked_fill(~mask, 0.0).sum(2) / mask.sum(2).clamp(min=1)
        return self.head(mean)[..., 0]

    @torch.no_grad()
    def score(self, answers: Answers) -> Tensor:
        return self.gain * self.raw_score(answers) + self.bias

    def normalise_on(self, raw: Tensor) -> None:
        """Choose gain and bias so that these raw scores of the reference policy become mean 0, variance 1."""
        spread = float(raw.std(unbiased=False))
        if not spread > 1e-8:
            raise RecipeError("The reward model gives every answer the same score: there is nothing to learn from it")
        self.gain = 1.0 / spread
        self.bias = -float(raw.mean()) / spread
