"""The reward model: what heads read of an answer, and the only place where an answer gets a score.

One rule for training, PPO and evaluation alike: what is scored is the prompt, the answer's tokens and EOS, always with
EOS. People judged the text as it stood, so an answer that was cut at its length limit is closed in the same way as one
that ended by itself; what being cut costs beyond its looks is PPO's setting `missing_eos`, not the reward model's.

By default the heads read the base model itself, as it is: the mean over the answer's tokens, EOS included, of its
hidden states at a few depths. A few hundred rankings teach a linear head on those far more about unseen prompts than
they teach an adapter (docs/decisions/0004-reward-model.md), and the states come for free with every sampled answer.
The other poolings read the final states under a LoRA adapter. Of several heads the last one is the *judge*: it learns
from rankings of prompts that the other heads never see, reads the base model at other depths, and no policy is ever
trained against it. So its errors are its own, and it can tell a better policy from one that exploits the score.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from training.recipes.models.answers import Answers
from training.recipes.models.shared_model import SharedModel
from training.recipes.process.errors import RecipeError
from training.recipes.process.log import logger
from training.rundir import where_now
from training.tokenizers.chat_format import ChatFormat

ROLE = "reward"
HEAD_FILE = "head.safetensors"
META_FILE = "reward.json"
JUDGE = "judge_"  # what the names of the judge's weights begin with
POOLINGS = {
    "depths": "means of the answer's states, EOS included, at several depths of the base model; no adapter",
    "mean": "mean of the answer's states, EOS included",
    "last": "the state after EOS",
    "attention": "the answer's states, EOS included, weighted by a learned query",
    "verbalizer": "the log-odds of Yes against No when the user goes on to ask whether it was a good answer",
}
QUESTION = "Is this a good answer? Answer Yes or No."


class DepthHead:
    """A linear head on an answer's mean states at some depths of the base model, each scaled alike."""

    def __init__(self, shared: SharedModel, depths: Sequence[int], outputs: int) -> None:
        self.depths = list(depths)
        self.places = [shared.depths.index(depth) for depth in depths]
        width = shared.depth_size * len(self.places)
        self.linear = nn.Linear(width, outputs, device=shared.device)
        nn.init.zeros_(self.linear.weight)  # a convex problem: where it starts does not matter
        nn.init.zeros_(self.linear.bias)
        # Of the states over the answers trained on: no depth is louder than another.
        self.mean, self.spread = torch.zeros(width, device=shared.device), torch.ones(width, device=shared.device)

    def standardise_on(self, states: Tensor) -> None:
        """Take mean and spread from the states (answers, depths, d) that are trained on."""
        flat = states[:, self.places].flatten(-2)
        self.mean, self.spread = flat.mean(0), flat.std(0, unbiased=False) + 1e-6

    def features(self, states: Tensor) -> Tensor:
        """Return states at all depths (…, depths, d) as the head reads them: (…, width), of length about 1."""
        flat = states[..., self.places, :].flatten(-2)
        return (flat - self.mean) / self.spread / flat.shape[-1] ** 0.5

    def read(self, states: Tensor) -> Tensor:
        """Return what the head says of states (…, depths, d): (…, outputs)."""
        raw: Tensor = self.linear(self.features(states))
        return raw

    def weights(self) -> dict[str, Tensor]:
        """Return copies of all that it consists of."""
        own = {name: tensor.detach().clone() for name, tensor in self.linear.state_dict().items()}
        return own | {"mean": self.mean.clone(), "spread": self.spread.clone()}

    @torch.no_grad()
    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Take what `weights` returned. Raises RuntimeError where the shapes differ."""
        self.linear.load_state_dict({name: weights[name] for name in ("weight", "bias")})
        self.mean.copy_(weights["mean"])
        self.spread.copy_(weights["spread"])


class RewardModel:
    """A score gain · raw + bias: answers of the reference policy have mean 0 and variance 1.

    Where people drew a line above unacceptable answers, its raw score is 0, so its score is the bias.
    """

    def __init__(
        self,
        shared: SharedModel,
        pooling: str,
        scoring: int = 1,
        *,
        judged: bool = False,
        role: str = ROLE,
        depths: Sequence[int] | None = None,
    ) -> None:
        """`scoring` heads give the score, a judge stands beside them; `depths` are those that a saved model reads."""
        self.shared, self.pooling, self.role = shared, pooling, role
        read = depths or shared.blocks.scored_depths
        self.depth_head = DepthHead(shared, read, scoring) if pooling == "depths" else None
        self.head = (
            self.depth_head.linear if self.depth_head else nn.Linear(shared.hidden_size, scoring, device=shared.device)
        )
        self.judging = DepthHead(shared, shared.blocks.judged_depths, 1) if judged else None
        self.query = nn.Parameter(torch.zeros(shared.hidden_size, device=shared.device))  # of zeros: the mean
        self.gain, self.bias = 1.0, 0.0
        self.judge_gain, self.judge_bias = 1.0, 0.0
        self.reads_own_base = False  # what others kept of an answer's states is then of another model

    @classmethod
    def initialise(
        cls,
        shared: SharedModel,
        *,
        rank: int,
        top_blocks: int,
        generator: torch.Generator,
        heads: int = 1,
        pooling: str = "mean",
        role: str = ROLE,
    ) -> RewardModel:
        judged = heads > 1 and shared.depth_size > 0  # a model that hides its states between the blocks has no judge
        model = cls(shared, pooling, max(1, heads - 1), judged=judged, role=role)
        with torch.no_grad():
            model.head.bias.zero_()
            if pooling != "depths":
                shared.adapters.add(role, rank=rank, top_blocks=top_blocks)
            if pooling == "verbalizer":
                yes, no = (shared.tokenizer(word, add_special_tokens=False).input_ids[0] for word in ("Yes", "No"))
                model.head.weight.copy_(shared.head.weight[yes] - shared.head.weight[no])
            elif pooling != "depths":
                deviation = (shared.hidden_size + 1) ** -0.5
                model.head.weight.copy_(torch.randn(model.head.weight.shape, generator=generator) * deviation)
        return model

    @classmethod
    def load(cls, shared: SharedModel, folder: Path) -> RewardModel:
        """Return it as it was saved, ready to score. One that was trained on another base brings that along.

        Raises RecipeError if it is not there, or was trained with another tokenizer.
        """
        base = base_of(folder)
        is_own = Path(base).resolve() != Path(shared.path).resolve()
        if is_own:
            shared, asked = SharedModel(base, shared.device), shared
            if shared.tokenizer.get_vocab() != asked.tokenizer.get_vocab():
                raise RecipeError(
                    f"The reward model was trained on {base}, whose tokenizer is another than that of {asked.path}: "
                    "it cannot read the answers. Train a reward model for this base model"
                )
            logger.info("The reward model reads a model of its own, %s", base)
        meta = json.loads((folder / META_FILE).read_text("utf-8"))
        weights = load_file(folder / HEAD_FILE)
        depths = meta["depths"] if meta["pooling"] == "depths" else None
        if depths and not {*depths} <= {*shared.depths}:
            raise RecipeError(
                f"The reward model in {folder} reads blocks {depths}, which are not among {shared.depths}"
            )
        scoring, judged = max(1, meta["heads"] - 1), f"{JUDGE}weight" in weights
        if not judged and len(weights["weight"]) > scoring:
            # The last head of an older model learned from what the others learned from: it can judge nothing.
            weights |= {name: weights[name][:scoring] for name in ("weight", "bias")}
        model = cls(shared, meta["pooling"], scoring, judged=judged, depths=depths)
        model.reads_own_base = is_own
        if model.has_adapter:
            shared.adapters.load(ROLE, folder)
        model.load_head_weights(weights)
        model.head.requires_grad_(False)
        model.query.requires_grad_(False)
        model.gain, model.bias = meta["gain"], meta["bias"]
        model.judge_gain, model.judge_bias = meta["judge_gain"], meta["judge_bias"]
        return model

    def save(self, folder: Path, facts: dict[str, object]) -> None:
        if self.has_adapter:
            self.shared.adapters.save(self.role, folder)
        save_file({name: tensor.cpu() for name, tensor in self.head_weights().items()}, folder / HEAD_FILE)
        meta = {
            "gain": self.gain,
            "bias": self.bias,
            "judge_gain": self.judge_gain,
            "judge_bias": self.judge_bias,
            "heads": self.heads,
            "pooling": self.pooling,
            "reads": POOLINGS[self.pooling],
            "base": self.shared.path,
            "depths": self.depth_head.depths if self.depth_head else self.shared.blocks.scored_depths,
            "judge_depths": self.judging.depths if self.judging else None,
        }
        (folder / META_FILE).write_text(json.dumps({**meta, **facts}, indent=1), "utf-8")

    def head_weights(self) -> dict[str, Tensor]:
        """Return copies of what is not in the adapter."""
        weights = {name: tensor.detach().clone() for name, tensor in self.head.state_dict().items()}
        if self.pooling == "attention":
            weights["query"] = self.query.detach().clone()
        if self.depth_head is not None:
            weights = self.depth_head.weights()
        if self.judging is not None:
            weights |= {f"{JUDGE}{name}": tensor for name, tensor in self.judging.weights().items()}
        return weights

    @torch.no_grad()
    def load_head_weights(self, weights: dict[str, Tensor]) -> None:
        if self.depth_head is not None:
            self.depth_head.load_weights(weights)
        else:
            self.head.load_state_dict({name: weights[name] for name in ("weight", "bias")})
        if "query" in weights:
            self.query.copy_(weights["query"])
        if self.judging is not None:
            self.judging.load_weights(
                {name.removeprefix(JUDGE): tensor for name, tensor in weights.items() if name.startswith(JUDGE)}
            )

    def head_parameters(self) -> list[nn.Parameter]:
        """Return what learns of the heads that score."""
        return [*self.head.parameters(), *([self.query] if self.pooling == "attention" else [])]

    @property
    def has_adapter(self) -> bool:
        return self.pooling != "depths"

    @property
    def heads(self) -> int:
        """Return the number of heads, the judge included."""
        return self.head.out_features + self.has_judge

    @property
    def has_judge(self) -> bool:
        return self.judging is not None

    # --- scores ------------------------------------------------------------------------------------------------

    def raw_scores(self, answers: Answers) -> Tensor:
        """Return the outputs of all heads, the judge last. Shapes: G prompts with K answers each → (g, k, heads)."""
        raw = self.raw_scoring(answers)
        return raw if self.judging is None else torch.cat([raw, self.raw_judge(answers)[..., None]], -1)

    def raw_judge(self, answers: Answers) -> Tensor:
        """Return the judge's output, before gain and bias. Shapes: → (g, k)."""
        assert self.judging is not None
        return self.judging.read(self.shared.depth_states(self._own(answers)))[..., 0]

    def raw_scoring(self, answers: Answers) -> Tensor:
        """Return the scoring heads' outputs, with gradients where enabled. Shapes: → (g, k, scoring heads)."""
        answers = self._own(answers)
        if self.depth_head is not None:
            return self.depth_head.read(self.shared.depth_states(answers))
        if self.pooling == "verbalizer":
            answers = self._with_question(answers)
        states, mask = self.shared.read(answers, self.role).after.float(), answers.response_mask
        if self.pooling in ("last", "verbalizer"):
            last = (mask.sum(-1) - 1).clamp(min=0)[..., None, None]
            pooled = states.gather(2, last.expand(-1, -1, 1, states.shape[-1]))[:, :, 0]
        else:
            interest = states @ self.query / self.shared.hidden_size**0.5 if self.pooling == "attention" else mask * 0.0
            # A missing candidate has no token at all; its weights must not become NaN.
            weights = interest.masked_fill(~mask, torch.finfo(torch.float32).min).softmax(-1) * mask
            pooled = (weights[..., None] * states.masked_fill(~mask[..., None], 0.0)).sum(2)
        return self.head(pooled)

    def _own(self, answers: Answers) -> Answers:
        """Return the answers without the cached states of another model."""
        return answers.without_trunk() if self.reads_own_base else answers

    def _with_question(self, answers: Answers) -> Answers:
        """Return the answers with the question after every EOS, to be read anew: cached states end before it."""
        question = torch.tensor(question_tokens(self.shared.chat), device=self.shared.device)
        lengths = answers.response_mask.sum(-1, keepdim=True)
        places = lengths + torch.arange(len(question), device=self.shared.device)
        response = functional.pad(answers.response, (0, len(question)), value=self.shared.pad)
        response = response.scatter(-1, places, question.expand(places.shape))
        ends = torch.where(lengths > 0, lengths + len(question), 0)  # a missing candidate is asked nothing
        mask = torch.arange(response.shape[-1], device=self.shared.device) < ends
        return Answers(answers.prompt, answers.prompt_mask, response, mask)

    def raw_score(self, answers: Answers) -> Tensor:
        """Return the mean over the scoring heads, before gain and bias. Shapes: → (g, k)."""
        return self.raw_scoring(answers).mean(-1)

    @torch.no_grad()
    def score(self, answers: Answers) -> Tensor:
        """Return the score: PPO's reward, the order of best-of-n, the figure of reports. Shapes: → (g, k)."""
        return self.gain * self.raw_score(answers) + self.bias

    @torch.no_grad()
    def judge(self, answers: Answers) -> Tensor:
        """Return the score of the held-out head, which nothing is optimised against; `score` where there is none."""
        if not self.has_judge:
            return self.score(answers)
        return self.judge_gain * self.raw_judge(answers) + self.judge_bias

    @torch.no_grad()
    def disagreement(self, answers: Answers) -> Tensor:
        """Return the standard deviation over the scoring heads, in score units; 0 with one. Shapes: → (g, k)."""
        return self.gain * self.raw_scoring(answers).std(-1, unbiased=False)

    def normalise_on(self, raw: Tensor) -> None:
        """Choose gains and biases so that these raw scores (n, heads) of the reference get mean 0, variance 1."""
        self.gain, self.bias = _standardising(raw[..., : self.head.out_features].mean(-1))
        self.judge_gain, self.judge_bias = _standardising(raw[..., -1])


def question_tokens(chat: ChatFormat) -> list[int]:
    """Return what comes between an answer's closing token and the verdict on it, in the model's own chat format."""
    messages = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": (answer := "ANSWER")},
        {"role": "user", "content": QUESTION},
    ]
    tokens = chat.encode(chat.render(messages).rpartition(answer)[2])
    return tokens[tokens.index(chat.closing) + 1 :] if chat.closing in tokens else tokens


def base_of(folder: Path) -> str:
    """Return the folder of the model that a saved reward model was trained on."""
    try:
        return where_now(str(json.loads((folder / META_FILE).read_text("utf-8"))["base"]), folder)
    except FileNotFoundError:
        raise RecipeError(f"There is no reward model in {folder}") from None


def _standardising(raw: Tensor) -> tuple[float, float]:
    spread = float(raw.std(unbiased=False))
    if not spread > 1e-8:
        raise RecipeError("The reward model gives every answer the same score: there is nothing to learn from it")
    return 1.0 / spread, -float(raw.mean()) / spread
