"""One base model in memory, and the roles that share it.

Policy, reward model and value head are LoRA adapters in the top blocks, and small heads; the reference policy is the
base with its adapters off, in every round, so that the KL is always to the same model. Below the lowest adapted block,
the *trunk*, all roles are one and the same computation: it is done once per answer (while the answer is generated) and
its hidden states are kept; each role then runs only the blocks above.

The K answers to one prompt are read as a tree: one row holds the prompt once and then every answer, and a mask lets
an answer see the prompt and itself only. This needs models built like Llama (a list of blocks that take rotary
embeddings and an attention mask). Whether a model is, is tried when it is loaded (checks.py); any other causal model
goes through whole forward passes, one row per answer, with the same results, and the run says so.
"""

from __future__ import annotations

import inspect
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.recipes.losses.rl_math import head_logprobs, token_logprobs
from training.recipes.models import attention
from training.recipes.models.adapters import Adapters
from training.recipes.models.answers import AnswerReading, Answers, TokenStep
from training.recipes.models.blocks import Blocks
from training.recipes.models.caches import AnyCache, KeyValues, ModelCache, WholeRows, cache_argument
from training.recipes.models.checks import cache_disagrees, check_padding, find_scaling, layers_disagree, widths
from training.recipes.models.masks import as_tree, positions_of, row_layout, step_sight, tree_layout
from training.recipes.process import checkpoints, precision
from training.recipes.process.errors import RecipeError
from training.recipes.process.log import remark
from training.recipes.text.formats import chat_format


class SharedModel:
    """The base model, its tokenizer and its adapters by role name; role None is the reference, adapters off."""

    def __init__(self, path: str, device: torch.device, merged: Path | None = None) -> None:
        """`merged` is the folder of an adapter that becomes part of the weights."""
        self.path = os.path.abspath(path)
        self.device = device
        self.model, self.tokenizer = checkpoints.load_base(path, device, merged)
        attention.use(self.model)
        self.decoder = getattr(self.model, self.model.base_model_prefix)
        self.chat = chat_format(self.tokenizer, self.model)
        self.closing = self.chat.closing  # the token behind every answer that is trained on or scored
        self.stops = torch.tensor(sorted(self.chat.stops), device=device)  # those that end a sampled one
        self.pad: int = self.tokenizer.pad_token_id
        self.blocks = Blocks(self.model, self.decoder)
        self.adapters = Adapters(self.model, self.path, self.blocks)
        self._arguments = inspect.signature(self.decoder.forward).parameters
        self.learns_whole = False  # all weights do: no trunk is shared then
        self.layered, self.cached = False, True
        self.prompts_at_once = 0  # whose answers are drawn together; 0: all, until memory runs out
        # Widths of the final states and of those between the blocks (0: the model does not show these).
        with precision.checked_in_float32(self.model), self.blocks.short_windows():
            self.hidden_size, self.depth_size = widths(self)
            self._scaling = find_scaling(self)
            self._choose_passes()

    def _choose_passes(self) -> None:
        """Find the fastest way of reading and sampling that gives what whole forward passes give."""
        check_padding(self)
        name = type(self.model).__name__
        self.layered = (reason := layers_disagree(self)) is None
        if self.layered:
            return
        remark(f"{name} goes through whole forward passes, which is slower: {reason}")
        self.cached = (reason := cache_disagrees(self)) is None
        if not self.cached:
            remark(f"{name} reads a whole answer anew for every token, which is much slower: {reason}")

    @property
    def depths(self) -> list[int]:
        """Return the blocks after which states are kept: those that a reward model's heads and judge read."""
        return self.blocks.depths

    @property
    def head(self) -> nn.Module:
        # Asked for each time: an adapter on the head puts another module in its place.
        return self.model.get_output_embeddings()

    @property
    def cut(self) -> int:
        """Return the lowest block with an adapter; the blocks below it are the trunk."""
        return self.adapters.lowest

    @property
    def by_blocks(self) -> bool:
        """Return whether the blocks are run one by one."""
        return self.layered and not self.adapters.outside_blocks

    @property
    def shares_trunk(self) -> bool:
        """Return whether trunk states, once computed, are valid for every role and during all of training."""
        return self.by_blocks and not self.learns_whole

    @property
    def keeps_depths(self) -> bool:
        """Return whether the states at all depths are computed together with the trunk."""
        return self.shares_trunk and self.depths[-1] <= self.cut

    @property
    def scales_logits(self) -> bool:
        """Return whether the model changes its logits after the head."""
        return self._scaling is not None

    def logits(self, states: Tensor) -> Tensor:
        """Return the model's logits from final states, scaled or capped as the model does it."""
        logits = self.head(states)
        return logits if self._scaling is None else self._scaling(logits)

    @property
    def dtype(self) -> torch.dtype:
        """Return the number format of the frozen weights and of all states."""
        return self.head.weight.dtype

    @property
    def longest(self) -> int:
        """Return how many tokens a text may have, see `longest_text`."""
        return longest_text(self.model.config.get_text_config())

    # --- all weights -------------------------------------------------------------------------------------------

    @torch.no_grad()
    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Take all weights of a model that learns as a whole, by parameter name."""
        for name, parameter in self.model.named_parameters():
            parameter.copy_(weights[name])

    def learn_whole(self) -> list[nn.Parameter]:
        """Make all weights trainable. Every role on this model moves with them, so a reference needs another model."""
        self.learns_whole = True
        self.model.requires_grad_(True)
        return list(self.model.parameters())

    # --- reading answers ---------------------------------------------------------------------------------------

    def read(self, answers: Answers, role: str | None) -> AnswerReading:
        """Return the final hidden states of a role over the answers; with gradients where the caller enables them."""
        self.adapters.act_as(role)
        return self.read_tree(answers) if self.by_blocks else self.read_rows(answers)

    @torch.no_grad()
    def with_trunk(self, answers: Answers) -> Answers:
        """Return the same answers with their trunk states, for several roles to read."""
        if not self.shares_trunk or answers.prompt_trunk is not None:
            return answers
        layout = tree_layout(answers.prompt_mask, answers.response_mask)
        hidden = self.blocks.embed(layout.move(as_tree(answers.prompt, answers.response)))
        passed: list[Tensor] = []
        hidden = layout.move_back(self.blocks.run(hidden, layout.sight, (0, self.cut), passed=passed))
        passed = [layout.move_back(states) for states in passed]
        width = answers.prompt.shape[1]
        shape = (*answers.response.shape, self.hidden_size)
        return replace(
            answers,
            prompt_trunk=hidden[:, :width],
            response_trunk=hidden[:, width:].reshape(shape),
            depths=_mean_states(passed, answers) if self.keeps_depths else None,
        )

    @torch.no_grad()
    def depth_states(self, answers: Answers) -> Tensor:
        """Return the base's states at `depths`, as means over each answer's tokens with EOS: (g, k, depths, d)."""
        if answers.depths is not None:
            return answers.depths
        self.adapters.act_as(None)
        passed: list[Tensor] = []
        if self.by_blocks:
            layout = tree_layout(answers.prompt_mask, answers.response_mask)
            hidden = self.blocks.embed(layout.move(as_tree(answers.prompt, answers.response)))
            self.blocks.run(hidden, layout.sight, (0, self.depths[-1]), passed=passed)
            passed = [layout.move_back(states) for states in passed]
        elif self.depth_size:
            ids, mask = _rows(answers)
            layout = row_layout(mask)
            outcome = self.whole_pass(layout.move(ids), None, output_hidden_states=True)
            passed = [layout.move_back(outcome.hidden_states[depth]) for depth in self.depths]
        else:
            name = type(self.model).__name__
            raise RecipeError(f"{name} does not show the states between its blocks: set pooling to mean, not depths")
        return _mean_states(passed, answers)

    def logprobs(self, reading: AnswerReading, answers: Answers, mask: Tensor, temperature: float) -> Tensor:
        """Return log-probabilities (g, k, r) of the masked tokens, 0 elsewhere; the head skips the others."""
        hidden, tokens = reading.before[mask], answers.response[mask]
        head = self.head
        learns = torch.is_grad_enabled() and head.weight.requires_grad
        if type(head) is nn.Linear and head.bias is None and not learns and not self.scales_logits:
            values = head_logprobs(hidden, head.weight, tokens, temperature)
        else:
            values = token_logprobs(self.logits(hidden), tokens, temperature)
        return torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, values)

    def read_tree(self, answers: Answers) -> AnswerReading:
        answers = self.with_trunk(answers)
        layout = tree_layout(answers.prompt_mask, answers.response_mask)
        if self.shares_trunk:
            hidden, first = layout.move(as_tree(answers.prompt_trunk, answers.response_trunk)), self.cut
        else:
            hidden, first = self.blocks.embed(layout.move(as_tree(answers.prompt, answers.response))), 0
        hidden = layout.move_back(self.blocks.norm(self.blocks.run(hidden, layout.sight, (first, len(self.blocks)))))
        width = answers.prompt.shape[1]
        after = hidden[:, width:].reshape(*answers.response.shape, self.hidden_size)
        return _reading(hidden[:, width - 1], after)

    def read_rows(self, answers: Answers) -> AnswerReading:
        groups, count, length = answers.response.shape
        ids, mask = _rows(answers)
        layout = row_layout(mask)
        states = layout.move_back(self.whole_pass(layout.move(ids), None).last_hidden_state)
        hidden = states.reshape(groups, count, -1, self.hidden_size)
        # The K copies of the prompt are equal; the first one's last state speaks for them all.
        return _reading(hidden[:, 0, -length - 1], hidden[:, :, -length:])

    def whole_pass(self, ids: Tensor, mask: Tensor | None, cache: ModelCache | None = None, **options: Any) -> Any:
        """Run the model as transformers does. Shapes: ids (n, q), mask (n, all tokens so far).

        `mask` is None where no padding stands before a token.
        """
        if mask is not None and "position_ids" in self._arguments:
            options["position_ids"] = positions_of(mask)[:, -ids.shape[1] :]
        if cache is not None:
            options[cache_argument(self.decoder.forward)] = cache.states
        seen = None if mask is None else mask.long()
        return self.decoder(input_ids=ids, attention_mask=seen, use_cache=cache is not None, **options)

    # --- generating --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def advance(self, ids: Tensor, mask: Tensor, cache: AnyCache, role: str | None) -> TokenStep:
        """Read q more tokens of n rows, after what the cache holds. Shapes: ids (n, q), mask (n, everything so far)."""
        self.adapters.act_as(role)
        width = ids.shape[1]
        if isinstance(cache, ModelCache):
            return TokenStep(None, None, self.whole_pass(ids, mask, cache).last_hidden_state)
        if isinstance(cache, WholeRows):
            return TokenStep(None, None, self.whole_pass(cache.add(ids), mask).last_hidden_state[:, -width:])
        begins = cache.begin(mask) if mask.shape[1] == width else None
        sight = begins.sight if begins else step_sight(cache.seen(mask), width, padded=cache.padded)
        passed: list[Tensor] = []
        hidden = self.blocks.embed(begins.move(ids) if begins else ids)
        trunk = self.blocks.run(hidden, sight, (0, self.cut), cache=cache, passed=passed)
        final = self.blocks.norm(self.blocks.run(trunk, sight, (self.cut, len(self.blocks)), cache=cache))
        if begins:
            trunk, final, *passed = (begins.move_back(states) for states in (trunk, final, *passed))
        return TokenStep(trunk, torch.stack(passed, 2) if self.keeps_depths else None, final)

    def new_cache(self, length: int) -> AnyCache:
        """Return room for the states of `length` tokens per row."""
        if self.by_blocks:
            return KeyValues(len(self.blocks), length)
        return ModelCache(self.model.config) if self.cached else WholeRows()


def longest_text(config: Any) -> int:
    """Return how many tokens the positions of a model reach; a config without that number sets no limit.

    Rotary embeddings that depend on the length of a text (LongRoPE of Phi-3, dynamic NTK) are taken up to where they
    begin to: beyond it an answer's probabilities would change with what is read beside it.
    """
    found = [getattr(config, "max_position_embeddings", None)]
    given = getattr(config, "rope_parameters", None) or {}
    for rope in [given, *given.values()]:  # of all layers, or by the type of layer
        if isinstance(rope, dict) and rope.get("rope_type") in ("longrope", "dynamic"):
            found.append(rope.get("original_max_position_embeddings"))
            found.append(getattr(config, "original_max_position_embeddings", None))
    return min((int(each) for each in found if each), default=1 << 30)


def role_logprobs(shared: SharedModel, answers: Answers, mask: Tensor, role: str | None, temperature: float) -> Tensor:
    """Return the log-probabilities (g, k, r) that a role gives to the masked tokens."""
    return shared.logprobs(shared.read(answers, role), answers, mask, temperature)


def _mean_states(passed: list[Tensor], answers: Answers) -> Tensor:
    """Return states of whole rows, (g, T, d) or (g · k, T, d) each, as means over the answers: (g, k, depths, d)."""
    groups, count, length = answers.response.shape
    mask = answers.response_mask[..., None]
    tokens = mask.sum(2).clamp(min=1)
    means = []
    for states in passed:
        answers_per_row = groups * count // states.shape[0]
        part = states[:, -answers_per_row * length :].float().reshape(groups, count, length, -1)
        means.append(part.masked_fill(~mask, 0.0).sum(2) / tokens)
    return torch.stack(means, 2)


def _reading(prompt_end: Tensor, after: Tensor) -> AnswerReading:
    """Return the states that predict each token: the prompt's last for the first, then the one before it."""
    first = prompt_end[:, None, None].expand(-1, after.shape[1], 1, -1)
    return AnswerReading(before=torch.cat([first, after[:, :, :-1]], 2), after=after)


def _rows(answers: Answers) -> tuple[Tensor, Tensor]:
    """Return ids and mask with one row per answer: (g · k, p + r) each."""
    count = answers.response.shape[1]
    ids = torch.cat([answers.prompt.repeat_interleave(count, 0), answers.response.flatten(0, 1)], 1)
    mask = torch.cat([answers.prompt_mask.repeat_interleave(count, 0), answers.response_mask.flatten(0, 1)], 1)
    return ids, mask
