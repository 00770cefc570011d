"""The LoRA adapters of the roles that share one base model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.recipes.models.blocks import Blocks, is_conv1d, linear_names
from training.recipes.process import checkpoints
from training.recipes.process.errors import RecipeError
from training.recipes.process.log import remark

POLICY = "policy"  # the role that learns
UNKNOWN = "?"  # PEFT has changed which adapter is active


class Adapters:
    """Adapters by role name, of which one or none is active; role None is the base, adapters off."""

    def __init__(self, model: Any, base: str, blocks: Blocks) -> None:
        self._model, self._base, self._blocks = model, base, blocks
        self.lowest = len(blocks)  # the lowest block with an adapter
        self.outside_blocks = False  # whether anything outside the blocks is adapted
        self._learning: list[nn.Parameter] = []
        self._peft: Any = None
        self._role: str | None = None

    def add(self, role: str, *, rank: int, top_blocks: int) -> None:
        """Put a LoRA adapter on every linear layer of the top blocks; its B is zero, so at first it changes nothing."""
        from peft import LoraConfig  # costs seconds: sampling from a base model goes without

        self._put(
            role,
            LoraConfig(
                r=rank,
                lora_alpha=2 * rank,
                lora_dropout=0.0,
                fan_in_fan_out=any(map(is_conv1d, self._blocks.modules.modules())),
                target_modules=sorted(linear_names(self._blocks)),
                layers_to_transform=self._top(top_blocks),
                layers_pattern=self._blocks.path.rpartition(".")[2],
                base_model_name_or_path=self._base,
                task_type="CAUSAL_LM",
            ),
        )

    def load(self, role: str, folder: Path, *, rank: int = 0, top_blocks: int = 0) -> None:
        """Add a role with the adapter that is saved in `folder`.

        It grows to `rank` and `top_blocks` where it has less, and computes what it did: what is new of its A is random,
        as in a fresh adapter, and what is new of its B is zero. Where it has more, it keeps that.
        """
        from peft import PeftConfig

        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = False
        config.base_model_name_or_path = self._base
        weights = load_file(folder / checkpoints.ADAPTER_WEIGHTS)
        grown = self._grown(config, rank, top_blocks)
        if grown is config:
            self._put(role, config)
            self.load_weights(role, weights)
            return
        self._put(role, grown)
        self.load_weights(role, widened(weights, self.weights(role)))
        has, gets = (f"rank {each.r} in {len(each.layers_to_transform)} blocks" for each in (config, grown))
        if role == POLICY:
            remark(f"The adapter grew from {has} to {gets}, and began as what it was")

    def _top(self, count: int) -> list[int]:
        """Return the numbers of the last `count` blocks."""
        return list(range(max(0, len(self._blocks) - count), len(self._blocks)))

    def _grown(self, config: Any, rank: int, top_blocks: int) -> Any:
        """Return the configuration of an adapter with at least this rank and these blocks; itself where it has them.

        One that was not made here, with ranks or blocks by name, is left as it is.
        """
        blocks: Any = getattr(config, "layers_to_transform", None)
        plain = isinstance(blocks, list) and not config.rank_pattern and not config.use_rslora and not config.use_dora
        if not plain:
            return config
        wanted = sorted({*blocks, *self._top(top_blocks)})
        if rank <= config.r and wanted == sorted(blocks):
            return config
        larger = max(rank, config.r)
        return replace(config, r=larger, lora_alpha=config.lora_alpha * larger / config.r, layers_to_transform=wanted)

    def copy(self, source: str, role: str) -> None:
        """Add a role that begins as another one."""
        self._put(role, replace(self._peft.peft_config[source]))
        self.load_weights(role, self.weights(source))

    def save(self, role: str, folder: Path) -> None:
        """Write an adapter in PEFT's own format, for `PeftModel.from_pretrained(base, folder)`."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.weights(role), folder / checkpoints.ADAPTER_WEIGHTS, metadata={"format": "pt"})
        self._peft.peft_config[role].save_pretrained(str(folder))

    def weights(self, role: str) -> dict[str, Tensor]:
        """Return copies of a role's weights, on the CPU."""
        from peft import get_peft_model_state_dict

        weights = get_peft_model_state_dict(self._peft, adapter_name=role, save_embedding_layers=False)
        return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}

    def load_weights(self, role: str, weights: dict[str, Tensor]) -> None:
        """Take these weights for a role. Raises RecipeError if they are of another model."""
        from peft import set_peft_model_state_dict

        outcome = set_peft_model_state_dict(self._peft, weights, adapter_name=role)
        if outcome.unexpected_keys:
            raise RecipeError(f"The adapter does not fit this model: {outcome.unexpected_keys[0]}")

    def parameters(self, role: str) -> list[nn.Parameter]:
        """Return a role's own parameters."""
        return [parameter for name, parameter in self._model.named_parameters() if f".{role}." in name]

    def _put(self, role: str, config: Any) -> None:
        from peft import PeftModelForCausalLM

        if self._peft is None:
            self._peft = PeftModelForCausalLM(
                self._model,
                config,
                adapter_name=role,
            )
        else:
            self._peft.add_adapter(role, config)
        if not self.parameters(role):
            raise RecipeError(f"The adapter of the {role} touches no weight of this model")
        self._role = UNKNOWN  # PEFT has just made the new adapter the active one
        self.act_as(None)
        self.lowest, self.outside_blocks = self._places()

    def _lora_layers(self) -> Iterator[tuple[str, Any]]:
        from peft.tuners.tuners_utils import BaseTunerLayer

        return ((name, layer) for name, layer in self._model.named_modules() if isinstance(layer, BaseTunerLayer))

    def _places(self) -> tuple[int, bool]:
        """Return the lowest adapted block, and whether anything outside the blocks is adapted."""
        prefix = f"{self._blocks.path}."
        names = [name for name, _ in self._lora_layers()]
        inside = [int(name.removeprefix(prefix).split(".")[0]) for name in names if name.startswith(prefix)]
        return min(inside, default=0), len(inside) < len(names)

    def act_as(self, role: str | None) -> None:
        """Make this role the active one."""
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
        self._learning = parameters = [parameter for role in roles for parameter in self.parameters(role)]
        self._model.requires_grad_(False)
        self._role = UNKNOWN
        self.act_as(roles[0])
        trainable = [p for p in self._model.parameters() if p.requires_grad]
        if not trainable or {id(p) for p in trainable} != {id(p) for p in parameters}:
            raise AssertionError(
                f"{len(trainable)} tensors would be trained, {' and '.join(roles)} have {len(parameters)}"
            )
        return parameters


def widened(weights: dict[str, Tensor], fresh: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a fresh adapter with those of a smaller one in them, so that both compute the same.

    B of a fresh adapter is zero, so what A has beyond the smaller one's rows reaches nothing yet.
    """
    for name, tensor in weights.items():
        into = fresh[name]
        into[tuple(slice(length) for length in tensor.shape)] = tensor
    return fresh
