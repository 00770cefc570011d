"""A language model for tests: random weights, four blocks, a byte-level vocabulary of a few hundred tokens.

`tiny_checkpoint(path)` writes it as any prepared model is written. No network. What is costly to make is made once for
all processes of a test run, see `made_once`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock

SENTENCES = [
    "The sea is calm and the morning is good.",
    "A bad day can still end well with a good cup of tea.",
    "Write one sentence about the weather in spring.",
    "What do you think of rainy Sundays and long walks?",
    "system user assistant",
]
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|start|>' + message['role'] + '\n' + message['content'] + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)


def made_once(kind: str, what: Any, make: Callable[[Path], object]) -> Path:
    """Return the folder that `make(folder)` has filled for `what` (JSON), once for all tests, which only read it."""
    digest = sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
    folder = Path(os.environ["PREFLOOP_TEST_FOLDER"]) / f"{kind}-{digest}"
    with FileLock(f"{folder}.lock"):
        if not (whole := folder.with_suffix(".whole")).exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            whole.touch()
    return folder


def shared_checkpoint(*, seed: int = 0, architecture: str = "llama") -> Path:
    """Return the folder of a tiny model that all tests share."""
    return made_once("tiny", [architecture, seed], lambda folder: _write(folder, seed, architecture))


def tiny_checkpoint(path: Path, *, seed: int = 0, architecture: str = "llama") -> Path:
    """Write model and tokenizer to `path`; "gpt2" gives a model whose blocks cannot be run one by one."""
    shutil.copytree(shared_checkpoint(seed=seed, architecture=architecture), path, dirs_exist_ok=True)
    return Path(path)


def _write(path: Path, seed: int, architecture: str) -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer()
    tokens = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
    }
    torch.manual_seed(seed)
    if architecture == "llama":
        shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "max_position_embeddings": 256}
        heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
        model = LlamaForCausalLM(LlamaConfig(**tokens, **shape, **heads, initializer_range=0.2))
    else:
        dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        model = GPT2LMHeadModel(GPT2Config(**tokens, **dropout, n_embd=32, n_layer=4, n_head=4, n_positions=256))
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)


@cache
def tiny_tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|pad|>", "<|start|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|end|>",
        pad_token="<|pad|>",
        padding_side="left",
        chat_template=CHAT_TEMPLATE,
    )
