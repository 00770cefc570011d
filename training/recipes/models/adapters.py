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
                layers_to_transform=list(range(max(0, len(self._blocks) - top_blocks), len(self._blocks))),
                layers_pattern=self._blocks.path.rpartition(".")[2],
                base_model_name_or_path=self._base,
                task_type="CAUSAL_LM",
            ),
        )

    def load(self, role: str, folder: Path) -> None:
        """Add a role with the adapter that is saved in `folder`."""
        from peft import PeftConfig

        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = False
        config.base_model_name_or_path = self._base
        self._put(role, config)
        self.load_weights(role, load_file(folder / checkpoints.ADAPTER_WEIGHTS))

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
