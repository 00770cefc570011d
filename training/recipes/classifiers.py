"""The classifiers that prompt tuning makes: a language model that fills a blank, or for contrast has a new head."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerBase,
)

from training.cloze import Template, Verbalizer
from training.methods import PromptTuningConfig
from training.recipes.checkpoints import ADAPTER_CONFIG
from training.recipes.common import RecipeError, replace_folder
from training.recipes.label_scores import Blank, LabelScorer, scorer_for

DESCRIPTION = "classifier.json"
ADAPTER, WEIGHTS = "adapter", "model"  # folders of a checkpoint


class HeadScorer:
    """A classification head on the last token (causal models) or the first one (masked models): no template."""

    def __init__(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, labels: Sequence[str], max_length: int
    ) -> None:
        self.model, self.tokenizer, self.labels, self.max_length = model, tokenizer, list(labels), max_length

    def read(self, fields: Mapping[str, str]) -> Blank:
        texts = [fields["text"]] if "text" in fields else [fields["text_a"], fields["text_b"]]
        ids: list[int] = self.tokenizer(*texts, split_special_tokens=True).input_ids
        kept = self.tokenizer(*texts, split_special_tokens=True, truncation=True, max_length=self.max_length).input_ids
        return Blank(kept, [], cut=len(ids) - len(kept))

    def scores(self, blanks: Sequence[Blank]) -> Tensor:
        # Padding on the left: behind a soft prompt the head would else read a padding token.
        longest, pad = max(len(blank.before) for blank in blanks), self.tokenizer.pad_token_id
        device = next(self.model.parameters()).device
        rows = [[pad] * (longest - len(blank.before)) + blank.before for blank in blanks]
        mask = [[0] * (longest - len(blank.before)) + [1] * len(blank.before) for blank in blanks]
        inputs = {"input_ids": torch.tensor(rows, device=device), "attention_mask": torch.tensor(mask, device=device)}
        logits: Tensor = self.model(**inputs).logits
        return logits.float()


class Classifier:
    """A model with what it takes to ask it."""

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        template: Template | None,
        verbalizer: Verbalizer,
        max_length: int,
    ) -> None:
        self.model, self.tokenizer, self.verbalizer, self.max_length = model, tokenizer, verbalizer, max_length
        self.template = template
        self.scorer: LabelScorer
        if template is None:
            model.config.pad_token_id = tokenizer.pad_token_id  # by which the head finds a text's last token
            self.scorer = HeadScorer(model, tokenizer, verbalizer.labels, max_length)
        else:
            self.use(template)

    def use(self, template: Template) -> None:
        self.template = template
        self.scorer = scorer_for(self.model, self.tokenizer, template, self.verbalizer, self.max_length)

    def save(self, folder: Path, base: str) -> None:
        """classifier.json, and beside it what was learned: PEFT's adapter or soft prompt, or all weights."""
        description = {
            "base": base,
            "template": self.template.body if self.template else None,
            "verbalizer": {label: list(words) for label, words in self.verbalizer.words.items()},
            "max_length": self.max_length,
        }
        (folder / DESCRIPTION).write_text(json.dumps(description, ensure_ascii=False, indent=2), "utf-8")
        model: Any = self.model
        if hasattr(model, "peft_config"):
            replace_folder(folder / ADAPTER, lambda to: model.save_pretrained(str(to)))
        elif any(parameter.requires_grad for parameter in model.parameters()):
            replace_folder(folder / WEIGHTS, lambda to: model.save_pretrained(str(to)))

    @classmethod
    def load(cls, folder: Path, device: torch.device, config: PromptTuningConfig | None = None) -> Classifier:
        description = json.loads((folder / DESCRIPTION).read_text("utf-8"))
        verbalizer = Verbalizer(description["verbalizer"])
        template = Template.parse(description["template"]) if description["template"] else None
        whole = folder / WEIGHTS
        labels = None if template else len(verbalizer.labels)
        model = load_model(str(whole) if whole.exists() else description["base"], labels, config)
        if (folder / ADAPTER / ADAPTER_CONFIG).exists():
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(folder / ADAPTER))
        tokenizer = load_tokenizer(description["base"])
        return cls(model.to(device).eval(), tokenizer, template, verbalizer, description["max_length"])


def load_classifier(
    path: str, device: torch.device, config: PromptTuningConfig, templates: Sequence[Template], verbalizer: Verbalizer
) -> Classifier:
    """The model with whatever is to learn in it still untrained."""
    has_head = config.tuning == "head"
    model = load_model(path, len(verbalizer.labels) if has_head else None, config)
    tokenizer = load_tokenizer(path)
    if config.tuning == "soft_prompt":
        model = with_soft_prompt(model, path, config, verbalizer)
    elif config.tuning != "zero_shot" and config.train == "lora":
        model = with_adapter(model, config, "SEQ_CLS" if has_head else None)
    elif config.tuning != "zero_shot":
        model.requires_grad_(True)
    longest = min(config.max_length, getattr(model.config, "max_position_embeddings", config.max_length))
    template = None if has_head else templates[0]
    # Evaluation mode while learning, too: few-shot runs have a seed's luck to fight already, without dropout's.
    return Classifier(model.to(device).eval(), tokenizer, template, verbalizer, longest)


def load_model(path: str, labels: int | None, config: PromptTuningConfig | None) -> Any:
    """float32, nothing learning. `labels`: with a new (or a saved) classification head of so many."""
    if not (Path(path) / "config.json").exists():
        raise RecipeError(f"There is no model in {path}")
    if labels is not None:
        torch.manual_seed(config.seed if config else 0)  # the head that a saved adapter replaces is drawn, too
        model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=labels, dtype=torch.float32)
    else:
        masked = "MaskedLM" in "".join(AutoConfig.from_pretrained(path).architectures or [])
        model = (AutoModelForMaskedLM if masked else AutoModelForCausalLM).from_pretrained(path, dtype=torch.float32)
    return model.requires_grad_(False)


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    tokenizer = AutoTokenizer.from_pretrained(path)
    if tokenizer.pad_token_id is None:
        raise RecipeError(f"The tokenizer in {path} has no padding token: prepare the model first")
    return tokenizer


def with_adapter(model: Any, config: PromptTuningConfig, task: str | None) -> Any:
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(
        r=config.lora_rank, lora_alpha=2 * config.lora_rank, lora_dropout=0.0, target_modules="all-linear",
        task_type=task,
    )  # fmt: skip
    return get_peft_model(model, lora, autocast_adapter_dtype=False)


def with_soft_prompt(model: Any, path: str, config: PromptTuningConfig, verbalizer: Verbalizer) -> Any:
    """Vectors that begin as words: random ones lie where no word does, and stay there (Lester et al. 2104.08691)."""
    from peft import PromptTuningConfig as SoftPrompt
    from peft import PromptTuningInit, get_peft_model

    # PEFT has no masked-LM task: the one for features puts the vectors in front and leaves the output alone.
    masked = "MaskedLM" in "".join(model.config.architectures or [])
    soft = SoftPrompt(
        task_type="FEATURE_EXTRACTION" if masked else "CAUSAL_LM",
        num_virtual_tokens=config.virtual_tokens,
        prompt_tuning_init=PromptTuningInit.TEXT,
        prompt_tuning_init_text=f"Classify the text as {' or '.join(verbalizer.options)}. ",
        tokenizer_name_or_path=path,
    )
    return get_peft_model(model, soft, autocast_adapter_dtype=False)


def weights_that_learn(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: parameter.detach().cpu().clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
