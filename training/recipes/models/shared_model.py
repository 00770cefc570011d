"""One base model in memory, and the roles that share it.

Policy, reward model and value head are LoRA adapters in the top blocks, and small heads; the reference policy ρ is the
base with its adapters off, in every round, so that the KL is always to the same model. Below the lowest adapted block,
the *trunk*, all roles are one and the same computation: it is done once per answer (while the answer is generated) and
its hidden states are kept; each role then runs only the blocks above.

The K answers to one prompt are read as a tree: one row holds the prompt once and then every answer, and a mask lets
an answer see the prompt and itself only. This needs models built like Llama (a list of blocks that take rotary
embeddings and an attention mask). Whether a model is, is not guessed from its name but tried on a few tokens when it
is loaded; any other causal model goes through whole forward passes, one row per answer, with the same results.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import DynamicCache

from training.recipes.losses.rl_math import head_logprobs, token_logprobs
from training.recipes.models.answers import Answers, Reading, Step
from training.recipes.models.key_values import (
    KeyValues,
    _additive,
    _causal,
    _positions,
    _tree,
    cache_argument,
    tree_mask,
)
from training.recipes.process import checkpoints
from training.recipes.process.errors import RecipeError
from training.recipes.process.log import logger
from training.recipes.text.formats import chat_format

ATOL = 1e-4


class SharedModel:
    """The base model, its tokenizer and its adapters by role name; role None is the reference, adapters off."""

    def __init__(self, path: str, device: torch.device, merged: Path | None = None) -> None:
        """`merged` is the folder of an adapter that becomes part of the weights."""
        self.path = os.path.abspath(path)
        self.device = device
        self.model, self.tokenizer = checkpoints.load_base(path, device, merged)
        self.decoder = getattr(self.model, self.model.base_model_prefix)
        self.hidden_size = self.head.in_features
        self.chat = chat_format(self.tokenizer, self.model)
        self.closing = self.chat.closing  # the token behind every answer that is trained on or scored
        self.stops = torch.tensor(sorted(self.chat.stops), device=device)  # those that end a sampled one
        self.pad: int = self.tokenizer.pad_token_id
        self.block_path, self.blocks = _find_blocks(self.model)
        self.cut = len(self.blocks)  # blocks below this one carry no adapter
        # Evenly spaced, in numbers of blocks: what a reward model reads that learns nothing but its head.
        self.depths = sorted({max(1, round(len(self.blocks) * part / 5)) for part in range(1, 5)})
        self.layered = True  # until it is shown not to work
        self._learning: list[nn.Parameter] = []
        self.learns_whole = False  # all weights do: no trunk is shared then
        self._peft: Any = None
        self._role: str | None = None
        self._check_head()
        self.layered = self._layers_agree()
        if not self.layered:
            logger.info(
                "%s: whole forward passes, since its blocks cannot be run one by one", type(self.model).__name__
            )

    @property
    def head(self) -> nn.Module:
        # Asked for each time: an adapter on the head puts another module in its place.
        return self.model.get_output_embeddings()

    @property
    def shares_trunk(self) -> bool:
        """Whether trunk states, once computed, hold for every role and for as long as the model is trained."""
        return self.layered and not self.learns_whole

    @property
    def keeps_depths(self) -> bool:
        """Whether the states at all depths come for free with the trunk."""
        return self.shares_trunk and self.depths[-1] <= self.cut

    @property
    def longest(self) -> int:
        return int(getattr(self.model.config, "max_position_embeddings", 1 << 30))

    # --- adapters ----------------------------------------------------------------------------------------------

    def add_adapter(self, role: str, *, rank: int, top_blocks: int) -> None:
        """A fresh LoRA adapter on every linear layer of the top blocks; B is zero, so at first it changes nothing."""
        from peft import LoraConfig  # costs seconds: sampling from a base model goes without

        self._put_adapter(
            role,
            LoraConfig(
                r=rank,
                lora_alpha=2 * rank,
                lora_dropout=0.0,
                fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in self.blocks.modules()),
                target_modules=sorted(_linear_names(self.blocks)),
                layers_to_transform=list(range(max(0, len(self.blocks) - top_blocks), len(self.blocks))),
                layers_pattern=self.block_path.rpartition(".")[2],
                base_model_name_or_path=self.path,
                task_type="CAUSAL_LM",
            ),
        )

    def load_adapter(self, role: str, folder: Path) -> None:
        from peft import PeftConfig

        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = False
        config.base_model_name_or_path = self.path
        self._put_adapter(role, config)
        self.load_adapter_weights(role, load_file(folder / checkpoints.ADAPTER_WEIGHTS))

    def copy_adapter(self, source: str, role: str) -> None:
        """A new role that begins as another one."""
        self._put_adapter(role, replace(self._peft.peft_config[source]))
        self.load_adapter_weights(role, self.adapter_weights(source))

    @torch.no_grad()
    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """All weights of a model that learns as a whole, by parameter name."""
        for name, parameter in self.model.named_parameters():
            parameter.copy_(weights[name])

    def save_adapter(self, role: str, folder: Path) -> None:
        """In PEFT's own format, for `PeftModel.from_pretrained(base, folder)`."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.adapter_weights(role), folder / checkpoints.ADAPTER_WEIGHTS, metadata={"format": "pt"})
        self._peft.peft_config[role].save_pretrained(str(folder))

    def adapter_weights(self, role: str) -> dict[str, Tensor]:
        from peft import get_peft_model_state_dict

        weights = get_peft_model_state_dict(self._peft, adapter_name=role, save_embedding_layers=False)
        return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}

    def load_adapter_weights(self, role: str, weights: dict[str, Tensor]) -> None:
        from peft import set_peft_model_state_dict

        outcome = set_peft_model_state_dict(self._peft, weights, adapter_name=role)
        if outcome.unexpected_keys:
            raise RecipeError(f"The adapter does not fit this model: {outcome.unexpected_keys[0]}")

    def parameters_of(self, role: str) -> list[nn.Parameter]:
        return [parameter for name, parameter in self.model.named_parameters() if f".{role}." in name]

    def _put_adapter(self, role: str, config: Any) -> None:
        from peft import PeftModelForCausalLM

        if self._peft is None:
            self._peft = PeftModelForCausalLM(self.model, config, adapter_name=role, autocast_adapter_dtype=False)
        else:
            self._peft.add_adapter(role, config)
        if not self.parameters_of(role):
            raise RecipeError(f"The adapter of the {role} touches no weight of this model")
        self._role = "?"  # PEFT has just made the new adapter the active one
        self._act_as(None)
        self.cut, everywhere = self._lowest_adapted_block()
        self.layered = self.layered and not everywhere

    def _lora_layers(self) -> Iterator[tuple[str, Any]]:
        from peft.tuners.tuners_utils import BaseTunerLayer

        return ((name, layer) for name, layer in self.model.named_modules() if isinstance(layer, BaseTunerLayer))

    def _lowest_adapted_block(self) -> tuple[int, bool]:
        """And whether anything outside the blocks is adapted, which the layered path does not know how to run."""
        prefix = f"{self.block_path}."
        names = [name for name, _ in self._lora_layers()]
        inside = [int(name.removeprefix(prefix).split(".")[0]) for name in names if name.startswith(prefix)]
        return min(inside, default=0), len(inside) < len(names)

    def _act_as(self, role: str | None) -> None:
        if self._peft is None or role == self._role:
            return
        for _, layer in self._lora_layers():
            layer.enable_adapters(role is not None)
            if role is not None:
                layer.set_adapter(role, inference_mode=True)
        for parameter in self._learning:
            # PEFT has just frozen the other adapters, and a frozen parameter ignores gradients on their way to it.
            parameter.requires_grad_(True)
        self._role = role

    def learn(self, *roles: str) -> list[nn.Parameter]:
        """Make the adapters of these roles, and nothing else, trainable."""
        self._learning = parameters = [parameter for role in roles for parameter in self.parameters_of(role)]
        self.model.requires_grad_(False)
        self._role = "?"
        self._act_as(roles[0])
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        if not trainable or {id(p) for p in trainable} != {id(p) for p in parameters}:
            raise AssertionError(
                f"{len(trainable)} tensors would be trained, {' and '.join(roles)} have {len(parameters)}"
            )
        return parameters

    def learn_whole(self) -> list[nn.Parameter]:
        """Make all weights trainable. Every role on this model moves with them, so a reference needs another model."""
        self.learns_whole = True
        self.model.requires_grad_(True)
        return list(self.model.parameters())

    # --- reading answers ---------------------------------------------------------------------------------------

    def read(self, answers: Answers, role: str | None) -> Reading:
        """Final hidden states of a role over the answers; with gradients where the caller has them enabled."""
        self._act_as(role)
        return self._read_tree(answers) if self.layered else self._read_rows(answers)

    @torch.no_grad()
    def with_trunk(self, answers: Answers) -> Answers:
        """The same answers with their trunk states, to be read by several roles."""
        if not self.shares_trunk or answers.prompt_trunk is not None:
            return answers
        mask, positions = tree_mask(answers.prompt_mask, answers.response_mask)
        hidden = self.decoder.embed_tokens(_tree(answers.prompt, answers.response))
        passed: list[Tensor] = []
        hidden = self._run_blocks(hidden, mask, positions, 0, self.cut, passed=passed)
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
        """Mean over each answer's tokens, EOS included, of the base's states at `depths`: (g, k, depths, d)."""
        if answers.depths is not None:
            return answers.depths
        self._act_as(None)
        passed: list[Tensor] = []
        if self.layered:
            mask, positions = tree_mask(answers.prompt_mask, answers.response_mask)
            hidden = self.decoder.embed_tokens(_tree(answers.prompt, answers.response))
            self._run_blocks(hidden, mask, positions, 0, self.depths[-1], passed=passed)
        else:
            outcome = self._whole_pass(answers, output_hidden_states=True)
            passed = [outcome.hidden_states[depth] for depth in self.depths]
        return _mean_states(passed, answers)

    def logprobs(self, reading: Reading, answers: Answers, mask: Tensor, temperature: float) -> Tensor:
        """Log-probabilities (g, k, r) of the masked tokens, 0 elsewhere; the head runs on those positions only."""
        hidden, tokens = reading.before[mask], answers.response[mask]
        head = self.head
        learns = torch.is_grad_enabled() and head.weight.requires_grad
        if type(head) is nn.Linear and head.bias is None and not learns:
            values = head_logprobs(hidden, head.weight, tokens, temperature)
        else:
            values = token_logprobs(head(hidden), tokens, temperature)
        return torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, values)

    def _read_tree(self, answers: Answers) -> Reading:
        answers = self.with_trunk(answers)
        mask, positions = tree_mask(answers.prompt_mask, answers.response_mask)
        if self.shares_trunk:
            hidden, first = _tree(answers.prompt_trunk, answers.response_trunk), self.cut
        else:
            hidden, first = self.decoder.embed_tokens(_tree(answers.prompt, answers.response)), 0
        hidden = self.decoder.norm(self._run_blocks(hidden, mask, positions, first, len(self.blocks)))
        width = answers.prompt.shape[1]
        after = hidden[:, width:].reshape(*answers.response.shape, self.hidden_size)
        return _reading(hidden[:, width - 1], after)

    def _read_rows(self, answers: Answers) -> Reading:
        groups, count, length = answers.response.shape
        hidden = self._whole_pass(answers).last_hidden_state.reshape(groups, count, -1, self.hidden_size)
        # The K copies of the prompt are equal; the first one's last state speaks for them all.
        return _reading(hidden[:, 0, -length - 1], hidden[:, :, -length:])

    def _whole_pass(self, answers: Answers, **options: bool) -> Any:
        """One row per answer: (g · k, p + r)."""
        count = answers.response.shape[1]
        ids = torch.cat([answers.prompt.repeat_interleave(count, 0), answers.response.flatten(0, 1)], 1)
        mask = torch.cat([answers.prompt_mask.repeat_interleave(count, 0), answers.response_mask.flatten(0, 1)], 1)
        return self.decoder(
            input_ids=ids, attention_mask=mask.long(), position_ids=_positions(mask), use_cache=False, **options
        )

    # --- generating --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def advance(self, ids: Tensor, mask: Tensor, cache: KeyValues | DynamicCache, role: str | None) -> Step:
        """Read q more tokens of n rows, after what the cache holds. Shapes: ids (n, q), mask (n, everything so far)."""
        self._act_as(role)
        width = ids.shape[1]
        positions = _positions(mask)[:, -width:]
        if not self.layered:
            outcome = self.decoder(
                input_ids=ids,
                attention_mask=mask.long(),
                position_ids=positions,
                use_cache=True,
                **{cache_argument(self.decoder.forward): cache},
            )
            return Step(None, None, outcome.last_hidden_state)
        additive = _additive(_causal(mask, width))
        passed: list[Tensor] = []
        trunk = self._run_blocks(self.decoder.embed_tokens(ids), additive, positions, 0, self.cut, cache, passed)
        hidden = self._run_blocks(trunk, additive, positions, self.cut, len(self.blocks), cache)
        return Step(trunk, torch.stack(passed, 2) if self.keeps_depths else None, self.decoder.norm(hidden))

    def new_cache(self, length: int) -> KeyValues | DynamicCache:
        """Room for the keys and values of `length` tokens per row."""
        return KeyValues(len(self.blocks), length) if self.layered else DynamicCache(config=self.model.config)

    # --- blocks ------------------------------------------------------------------------------------------------

    def _run_blocks(
        self,
        hidden: Tensor,
        mask: Tensor,
        positions: Tensor,
        first: int,
        last: int,
        cache: KeyValues | None = None,
        passed: list[Tensor] | None = None,
    ) -> Tensor:
        """Blocks `first` to `last`; states at the depths on the way are added to `passed`."""
        rotary = self.decoder.rotary_emb(hidden, position_ids=positions)
        argument = cache_argument(self.blocks[0].forward)
        for number, block in enumerate(self.blocks[first:last], start=first + 1):
            hidden = block(
                hidden,
                attention_mask=mask,
                position_ids=positions,
                position_embeddings=rotary,
                use_cache=cache is not None,
                **{argument: cache},
            )
            if passed is not None and number in self.depths:
                passed.append(hidden)
        return hidden

    def _sample_answers(self) -> Answers:
        """Two prompts of unequal length with two answers each, to try a path on."""
        # Spread over the vocabulary: its first entries are often special tokens that were never trained, whose tiny
        # embeddings blow rounding errors up.
        ids = (torch.arange(1, 25, device=self.device) * 7919).reshape(2, 12) % self.head.out_features
        prompt_mask = torch.ones(2, 6, dtype=torch.bool, device=self.device)
        prompt_mask[0, :2] = False
        response_mask = torch.ones(2, 2, 3, dtype=torch.bool, device=self.device)
        response_mask[1, 1, 2] = False
        return Answers(ids[:, :6], prompt_mask, ids[:, 6:].reshape(2, 2, 3), response_mask)

    @torch.no_grad()
    def _check_head(self) -> None:
        """We apply the head ourselves, to chosen positions only: the model must do nothing more than that to logits."""
        ids = self._sample_answers().prompt
        ours, theirs = self.head(self.decoder(input_ids=ids).last_hidden_state), self.model(input_ids=ids).logits
        if (ours - theirs).abs().max() > ATOL * theirs.abs().max().clamp(min=1):
            raise RecipeError(f"{type(self.model).__name__} scales its logits after the head, which is not supported")

    @torch.no_grad()
    def _layers_agree(self) -> bool:
        if not all(hasattr(self.decoder, name) for name in ("embed_tokens", "layers", "norm", "rotary_emb")):
            return False
        answers = self._sample_answers()
        try:
            tree, rows = self._read_tree(answers), self._read_rows(answers)
        except (TypeError, AttributeError, RuntimeError, ValueError):
            return False
        differences = (tree.after - rows.after)[answers.response_mask].abs().max()
        return bool(differences <= ATOL * rows.after.abs().max().clamp(min=1))


def role_logprobs(shared: SharedModel, answers: Answers, mask: Tensor, role: str | None, temperature: float) -> Tensor:
    """Log-probabilities (g, k, r) that a role gives to the masked tokens."""
    return shared.logprobs(shared.read(answers, role), answers, mask, temperature)


def _mean_states(passed: list[Tensor], answers: Answers) -> Tensor:
    """States of whole rows, (g, T, d) or (g · k, T, d) each, to means over the answers' tokens: (g, k, depths, d)."""
    groups, count, length = answers.response.shape
    mask = answers.response_mask[..., None]
    tokens = mask.sum(2).clamp(min=1)
    means = []
    for states in passed:
        answers_per_row = groups * count // states.shape[0]
        part = states[:, -answers_per_row * length :].reshape(groups, count, length, -1)
        means.append(part.masked_fill(~mask, 0.0).sum(2) / tokens)
    return torch.stack(means, 2)


def _reading(prompt_end: Tensor, after: Tensor) -> Reading:
    """The first token is predicted by the prompt's last state, each later one by the state before it."""
    first = prompt_end[:, None, None].expand(-1, after.shape[1], 1, -1)
    return Reading(before=torch.cat([first, after[:, :, :-1]], 2), after=after)


def _find_blocks(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """The longest list of modules is the stack of transformer blocks."""
    lists = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        raise RecipeError(f"{type(model).__name__} has no stack of transformer blocks")
    return max(lists, key=lambda item: len(item[1]))


def _linear_names(blocks: nn.ModuleList) -> set[str]:
    return {
        name.rpartition(".")[2]
        for name, module in blocks.named_modules()
        if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
    }
