"""Tokenizers with the habits of well-known families, trained on a few sentences: no network, well under a second."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SENTENCES = [
    "Hello there, how are you today? I am fine, thank you.",
    "Say hello to Ada. What is a good answer to it?",
    "user: model: system: assistant: [INST] [/INST] think tool",
]
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA_3 = (
    "{{- bos_token }}{% for message in messages %}{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system turns') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'] + eos_token }}{% else %}{{ raise_exception('No such role') }}{% endif %}"
    "{% endfor %}"
)
ZEPHYR = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
PHI_3 = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
QWEN_3 = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.role == 'assistant' and loop.last %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{{- message.content + '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}"
)
OPENS_THINKING = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}<think>\n\n</think>\n\n"
    "{{ m['content'] }}{% else %}{{ m['content'] }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
DEEPSEEK_R1 = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '<|User|>' + m['content'] }}"
    "{% elif m['role'] == 'assistant' %}{{ '<|Assistant|>' + m['content'].split('</think>')[-1] + eos_token }}"
    "{% else %}{{ m['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|Assistant|><think>\n' }}{% endif %}"
)
GLM_4 = (
    "[gMASK]<sop>{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
PLAIN = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}{{ 'assistant:' }}"

# name → (kind of tokenizer, special tokens, other added tokens, template, end tokens that the generation config names)
FAMILIES: dict[str, tuple[str, dict[str, str], list[str], str, list[str]]] = {
    "llama-3": (
        "bytes",
        {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"},
        ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        LLAMA_3,
        ["<|end_of_text|>", "<|eot_id|>"],
    ),
    "chatml": (
        "bytes",
        {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        ["<|im_start|>"],
        CHATML,
        ["<|im_end|>", "<|endoftext|>"],
    ),
    "gemma": (
        "pieces",
        {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"},
        ["<start_of_turn>", "<end_of_turn>"],
        GEMMA,
        ["<eos>", "<end_of_turn>"],
    ),
    "mistral": (
        "pieces",
        {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        ["[INST]", "[/INST]"],
        MISTRAL,
        ["</s>"],
    ),
    "zephyr": (
        "prefixed pieces",
        {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        [],
        ZEPHYR,
        ["</s>"],
    ),
    "phi-3": (
        "prefixed pieces",
        {"bos_token": "<s>", "eos_token": "<|endoftext|>", "unk_token": "<unk>"},
        ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>"],
        PHI_3,
        ["<|endoftext|>", "<|end|>", "<|assistant|>"],
    ),
    "qwen-3": (
        "bytes",
        {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        ["<|im_start|>", "~<think>", "~</think>"],
        QWEN_3,
        ["<|im_end|>", "<|endoftext|>"],
    ),
    "opens thinking": (
        "bytes",
        {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        ["<|im_start|>"],
        OPENS_THINKING,
        ["<|im_end|>", "<|endoftext|>"],
    ),
    "deepseek-r1": (
        "bytes",
        {"bos_token": "<|begin|>", "eos_token": "<|end|>"},
        ["~<|User|>", "~<|Assistant|>", "~<think>", "~</think>"],
        DEEPSEEK_R1,
        ["<|end|>"],
    ),
    "glm-4": (
        "bytes",
        {"eos_token": "<|endoftext|>", "pad_token": "<|pad|>"},
        ["[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|system|>"],
        GLM_4,
        ["<|endoftext|>", "<|user|>"],
    ),
    "plain unigram": ("unigram", {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}, [], PLAIN, ["</s>"]),
}


@cache
def family(name: str) -> PreTrainedTokenizerFast:
    """Return the family's tokenizer; a ~ before an added token says that the tokenizer does not call it special."""
    kind, named, more, template, _ = FAMILIES[name]
    special = [*dict.fromkeys(named.values()), *(text for text in more if text[0] != "~")]
    tokenizer = {"bytes": _bytes, "pieces": _pieces, "prefixed pieces": _prefixed, "unigram": _unigram}[kind](special)
    tokenizer.add_tokens([AddedToken(text[1:], special=False, normalized=False) for text in more if text[0] == "~"])
    if "bos_token" in named:
        bos = named["bos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    extra = [text for text in more if text[0] != "~"]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **named, additional_special_tokens=extra, chat_template=template
    )


def write_model(name: str, path: Path, **changes: Any) -> Path:
    """Write a tiny model of random weights with the family's tokenizer and generation config to `path`."""
    tokenizer = family(name)
    kind = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(kind)
    stops = changes.get("stops", tokenizer.convert_tokens_to_ids(FAMILIES[name][4]))
    model.generation_config = GenerationConfig(eos_token_id=stops, pad_token_id=tokenizer.pad_token_id)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def _bytes(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def _pieces(special: list[str]) -> Tokenizer:
    """As Gemma and newer Mistral have it: spaces become ▁, and nothing is put before a text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return _trained_pieces(tokenizer, special)


def _prefixed(special: list[str]) -> Tokenizer:
    """As Llama-2 and Zephyr have it: a text begins with ▁."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1, right=0),
        ]
    )
    return _trained_pieces(tokenizer, special)


def _trained_pieces(tokenizer: Tokenizer, special: list[str]) -> Tokenizer:
    alphabet = [chr(code) for code in range(33, 127)] + ["▁", "\n"]
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=480, special_tokens=[*special, *byte_tokens], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    # The byte tokens are plain vocabulary to the model, as in a sentencepiece file.
    parts = json.loads(tokenizer.to_str())
    parts["added_tokens"] = [entry for entry in parts["added_tokens"] if entry["content"] in special]
    return Tokenizer.from_str(json.dumps(parts))


def _unigram(special: list[str]) -> Tokenizer:
    """Its model has the special tokens among its pieces, as sentencepiece writes them."""
    pieces = [(text, 0.0) for text in special] + [(chr(code), -5.0) for code in (*range(33, 127), 0x2581, 10)]
    tokenizer = Tokenizer(models.Unigram([*pieces, ("▁hello", -2.0), ("▁good", -2.0)], unk_id=special.index("<unk>")))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(special)
    return tokenizer
