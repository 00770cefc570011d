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

from training.methods import PromptTuningConfig
from training.prompt_tuning.cloze import Template, Verbalizer
from training.recipes.models.blocks import unadaptable
from training.recipes.models.label_scores import Blank, LabelScorer, scorer_for
from training.recipes.process.checkpoints import ADAPTER_CONFIG
from training.recipes.process.errors import RecipeError
from training.recipes.process.files import replace_folder
from training.recipes.text.prompts import padded
from training.rundir import where_now

DESCRIPTION = "classifier.json"
ADAPTER, WEIGHTS = "adapter", "model"  # folders of a checkpoint
ASKED = ("zero_shot", "in_context")  # nothing in the model learns
VECTORS = ("soft_prompt", "p_tuning", "prefix")
EXAMPLES_LENGTH = 1024  # tokens, where labelled rows stand before each text


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
        ids, mask = padded([blank.before for blank in blanks], self.tokenizer.pad_token_id, "left")
        device = next(self.model.parameters()).device
        logits: Tensor = self.model(input_ids=ids.to(device), attention_mask=mask.long().to(device)).logits
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
        self.examples = ""  # solved ones that stand before every text
        self.scorer: LabelScorer
        if template is None:
            model.config.pad_token_id = tokenizer.pad_token_id  # by which the head finds a text's last token
            self.scorer = HeadScorer(model, tokenizer, verbalizer.labels, max_length)
        else:
            self.use(template)

    def use(self, template: Template) -> None:
        self.template = template
        asked = template.after(self.examples)
        self.scorer = scorer_for(self.model, self.tokenizer, asked, self.verbalizer, self.max_length)

    def show(self, rows: Sequence[Mapping[str, str]]) -> int:
        """Put as many of these labelled rows before every text as leave a quarter of the room free; gives how many."""
        assert self.template is not None
        shown: list[str] = []
        room = self.max_length * 3 // 4
        for row in rows:
            cloze = self.template.render(row, self.verbalizer.options)
            solved = cloze.show(self.verbalizer.words[row["label"]][0])
            room -= len(self.tokenizer(f"{solved}\n\n", add_special_tokens=False).input_ids)
            if room < 0:
                break
            shown.append(f"{solved}\n\n")
        self.examples = "".join(shown)
        self.use(self.template)
        return len(shown)

    def save(self, folder: Path, base: str) -> None:
        """Write classifier.json and what was tuned: PEFT's adapter or soft prompt, or all weights."""
        description = {
            "base": base,
            "template": self.template.body if self.template else None,
            "verbalizer": {label: list(words) for label, words in self.verbalizer.words.items()},
            "max_length": self.max_length,
            "examples": self.examples,
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
        model = load_model(str(whole) if whole.exists() else where_now(description["base"], folder), labels, config)
        if (folder / ADAPTER / ADAPTER_CONFIG).exists():
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(folder / ADAPTER))
        tokenizer = load_tokenizer(where_now(description["base"], folder))
        classifier = cls(model.to(device).eval(), tokenizer, template, verbalizer, description["max_length"])
        if template and (examples := description.get("examples")):
            classifier.examples = examples
            classifier.use(template)
        return classifier


def load_classifier(
    path: str, device: torch.device, config: PromptTuningConfig, templates: Sequence[Template], verbalizer: Verbalizer
) -> Classifier:
    """Return the model with the weights that are to be tuned as they start."""
    has_head = config.tuning == "head"
    model = load_model(path, len(verbalizer.labels) if has_head else None, config)
    tokenizer = load_tokenizer(path)
    if config.tuning in VECTORS:
        model = try_vectors(model, path, config, verbalizer)
    elif config.tuning not in ASKED and config.train == "lora":
        model = with_adapter(model, config, "SEQ_CLS" if has_head else None)
    elif config.tuning not in ASKED:
        model.requires_grad_(True)
    wanted = max(config.max_length, EXAMPLES_LENGTH) if config.tuning == "in_context" else config.max_length
    longest = min(wanted, positions(model, wanted))
    template = None if has_head else templates[0]
    # Evaluation mode while learning, too: few-shot runs have a seed's luck to fight already, without dropout's.
    return Classifier(model.to(device).eval(), tokenizer, template, verbalizer, longest)


def load_model(path: str, labels: int | None, config: PromptTuningConfig | None) -> Any:
    """Return the model in float32 and frozen; with `labels`, with a new or saved classification head of that size."""
    if not (Path(path) / "config.json").exists():
        raise RecipeError(f"There is no model in {path}")
    if labels is not None:
        torch.manual_seed(config.seed if config else 0)  # the head that a saved adapter replaces is drawn, too
        config_class = type(AutoConfig.from_pretrained(path))
        if config_class not in AutoModelForSequenceClassification._model_mapping:
            name = config_class.__name__.removesuffix("Config")
            raise RecipeError(f"transformers has no classification head for {name}: take cloze instead of head")
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

    left_out = unadaptable(model)
    if hasattr(model, "pre_classifier"):  # DistilBERT's, which is a part of the new head and is trained whole
        left_out.add("pre_classifier")
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=2 * config.lora_rank,
        lora_dropout=0.0,
        target_modules="all-linear",
        exclude_modules=sorted(left_out) or None,
        task_type=task,
    )
    return get_peft_model(model, lora, autocast_adapter_dtype=False)


def with_vectors(model: Any, path: str, config: PromptTuningConfig, verbalizer: Verbalizer) -> Any:
    """Return the model with a soft prompt that starts as words: random vectors stay far from any (Lester 2104.08691).

    P-tuning makes such vectors with a small network (Liu et al. 2103.10385); a prefix are keys and values of its own in
    every layer (Li & Liang 2101.00190), here learned as they are.
    """
    from peft import PrefixTuningConfig, PromptEncoderConfig, PromptTuningInit, get_peft_model
    from peft import PromptTuningConfig as SoftPrompt

    # PEFT has no masked-LM task: the one for features puts the vectors in front and leaves the output alone.
    masked = "MaskedLM" in "".join(model.config.architectures or [])
    task = "FEATURE_EXTRACTION" if masked else "CAUSAL_LM"
    vectors: dict[str, Any] = {"task_type": task, "num_virtual_tokens": config.virtual_tokens, **shape_of(model)}
    if config.tuning == "p_tuning":
        encoder = PromptEncoderConfig(**vectors, encoder_hidden_size=model.config.hidden_size)
        return get_peft_model(model, encoder, autocast_adapter_dtype=False)
    if config.tuning == "prefix":
        if masked:
            raise RecipeError("A prefix needs a causal model; for this one take a soft prompt or P-tuning")
        prefix = PrefixTuningConfig(**{name: value for name, value in vectors.items() if name != "token_dim"})
        return get_peft_model(model, prefix, autocast_adapter_dtype=False)
    soft = SoftPrompt(
        **vectors,
        prompt_tuning_init=PromptTuningInit.TEXT,
        prompt_tuning_init_text=f"Classify the text as {' or '.join(verbalizer.options)}. ",
        tokenizer_name_or_path=path,
    )
    return get_peft_model(model, soft, autocast_adapter_dtype=False)


def shape_of(model: Any) -> dict[str, int]:
    """Return what PEFT cannot read from every configuration: width of the embeddings, layers and heads."""
    config = model.config.get_text_config()
    names = {"num_layers": ("num_hidden_layers", "n_layers"), "num_attention_heads": ("num_attention_heads", "n_heads")}
    found = {
        name: next((getattr(config, each, None) for each in of if hasattr(config, each)), None)
        for name, of in names.items()
    }
    known = {name: value for name, value in found.items() if isinstance(value, int)}
    # PEFT asks for a number of heads, which a model without attention does not have.
    return {"token_dim": model.get_input_embeddings().embedding_dim, "num_attention_heads": 1, **known}


@torch.no_grad()
def try_vectors(model: Any, path: str, config: PromptTuningConfig, verbalizer: Verbalizer) -> Any:
    """Return the model with vectors, after a first pass. Raises RecipeError where it does not take them."""
    name = type(model).__name__
    try:
        changed = with_vectors(model, path, config, verbalizer)
        ids = torch.ones(2, 4, dtype=torch.long)
        changed(input_ids=ids, attention_mask=torch.ones_like(ids))
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError) as problem:
        words = str(problem).strip().partition("\n")[0].removesuffix(".")
        raise RecipeError(f"{name} does not take a {config.tuning.replace('_', ' ')} ({words}): take cloze") from None
    return changed


def positions(model: Any, otherwise: int) -> int:
    """Return how many tokens the model can read; RoBERTa counts its positions from behind that of the padding."""
    longest: int = getattr(model.config, "max_position_embeddings", otherwise)
    tables = [module for name, module in model.named_modules() if name.endswith("embeddings.position_embeddings")]
    padding = getattr(tables[0], "padding_idx", None) if tables else None
    return longest if padding is None else longest - padding - 1


def weights_that_learn(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: parameter.detach().cpu().clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
