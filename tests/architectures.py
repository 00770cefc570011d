"""Tiny models with random weights of the architectures that people use, by name.

Each is a transformers configuration of a few thousand weights. `build(path, name)` writes one with the tokenizer of
tests/tiny_model.py; options of the configuration may be changed, such as `sliding_window`.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.tiny_model import tiny_tokenizer

LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
MOE = LLAMA | {"moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2}
LINEAR = {  # of layers with linear attention
    "head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
GPT2 = {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 512}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
BERT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
WINDOW = {"sliding_window": 16}
MIXED = {"layer_types": ["sliding_attention", "full_attention"] * 2, **WINDOW}

# name: (configuration class without "Config", options)
CAUSAL: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", LLAMA),
    "mistral": ("Mistral", LLAMA | {"sliding_window": None, "head_dim": 8}),
    "mistral-window": ("Mistral", LLAMA | WINDOW | {"head_dim": 8}),
    "mixtral": ("Mixtral", LLAMA | {"num_local_experts": 4, "head_dim": 8}),
    "qwen2": ("Qwen2", LLAMA),
    "qwen2-window": ("Qwen2", LLAMA | WINDOW | {"use_sliding_window": True, "max_window_layers": 1}),
    "qwen3": ("Qwen3", LLAMA | {"head_dim": 8}),
    "qwen3-moe": ("Qwen3Moe", MOE | {"head_dim": 8, "decoder_sparse_step": 1}),
    "qwen3-next": ("Qwen3Next", MOE | LINEAR | {"shared_expert_intermediate_size": 32}),
    "qwen3.5": ("Qwen3_5Text", LLAMA | LINEAR),
    "gemma": ("Gemma", LLAMA | {"head_dim": 8}),
    "gemma2": ("Gemma2", LLAMA | WINDOW | {"head_dim": 8, "query_pre_attn_scalar": 8, "final_logit_softcapping": 3.0}),
    "gemma3": ("Gemma3Text", LLAMA | MIXED | {"head_dim": 8, "query_pre_attn_scalar": 8}),
    "phi": ("Phi", LLAMA),
    "phi3": ("Phi3", LLAMA | {"sliding_window": None}),
    "phi3-window": ("Phi3", LLAMA | WINDOW),
    "smollm3": ("SmolLM3", LLAMA),
    "olmo2": ("Olmo2", LLAMA),
    "olmo3": ("Olmo3", LLAMA | MIXED),
    "olmoe": ("Olmoe", LLAMA | {"num_experts": 4, "num_experts_per_tok": 2}),
    "gpt2": ("GPT2", GPT2 | NO_DROPOUT),
    "gptj": ("GPTJ", GPT2 | NO_DROPOUT | {"rotary_dim": 4}),
    "gpt-neox": ("GPTNeoX", {name: value for name, value in LLAMA.items() if name != "num_key_value_heads"}),
    "gpt-oss": ("GptOss", LLAMA | MIXED | {"head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "granite": ("Granite", LLAMA | {"logits_scaling": 4.0, "residual_multiplier": 0.5, "embedding_multiplier": 3.0}),
    "cohere": ("Cohere", LLAMA | {"logit_scale": 0.25}),
    "cohere2": ("Cohere2", LLAMA | MIXED | {"logit_scale": 0.25, "head_dim": 8}),
    "glm4": ("Glm4", LLAMA | {"head_dim": 8}),
    "stablelm": ("StableLm", LLAMA),
    "starcoder2": ("Starcoder2", LLAMA | WINDOW | {"residual_dropout": 0.0, "embedding_dropout": 0.0}),
    "exaone4": ("Exaone4", LLAMA | MIXED | {"sliding_window_pattern": 2}),
    "llama4": (
        "Llama4Text",
        LLAMA
        | {
            "head_dim": 8,
            "intermediate_size_mlp": 64,
            "num_local_experts": 2,
            "attention_chunk_size": 16,
            "layer_types": ["chunked_attention", "full_attention"] * 2,
        },
    ),
    "falcon": ("Falcon", {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "alibi": False}),
    "bloom": ("Bloom", {"hidden_size": 32, "n_layer": 4, "n_head": 4}),
    "mpt": ("Mpt", {"d_model": 32, "n_layers": 4, "n_heads": 4, "max_seq_len": 512}),
    "opt": (
        "OPT",
        {"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "word_embed_proj_dim": 32},
    ),
    "opt-350m": (
        "OPT",
        {
            "hidden_size": 32,
            "ffn_dim": 64,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "word_embed_proj_dim": 16,
            "do_layer_norm_before": False,
        },
    ),
    "gpt-neo": (
        "GPTNeo",
        {"hidden_size": 32, "num_layers": 4, "num_heads": 4, "window_size": 16, "max_position_embeddings": 512}
        | {"attention_types": [[["global", "local"], 2]], "intermediate_size": 64},
    ),
    "gpt-bigcode": ("GPTBigCode", GPT2 | NO_DROPOUT),
    "codegen": ("CodeGen", GPT2 | NO_DROPOUT | {"rotary_dim": 4, "n_ctx": 512}),
    "xglm": (
        "XGLM",
        {"d_model": 32, "ffn_dim": 64, "num_layers": 4, "attention_heads": 4, "max_position_embeddings": 512},
    ),
    "persimmon": ("Persimmon", {name: value for name, value in LLAMA.items() if name != "num_key_value_heads"}),
    "nemotron": ("Nemotron", LLAMA | {"head_dim": 8}),
    "seed-oss": ("SeedOss", LLAMA | {"head_dim": 8, "attention_dropout": 0.0, "residual_dropout": 0.0}),
    "ernie4.5": ("Ernie4_5", LLAMA | {"head_dim": 8}),
    "hunyuan": ("HunYuanDenseV1", LLAMA | {"head_dim": 8}),
    "helium": ("Helium", LLAMA | {"head_dim": 8}),
    "apertus": ("Apertus", LLAMA),
    "arcee": ("Arcee", LLAMA),
    "glm": ("Glm", LLAMA | {"head_dim": 8}),
    "nanochat": ("NanoChat", LLAMA | {"final_logit_softcapping": 3.0}),
    "ministral3": ("Ministral3", LLAMA | {"head_dim": 8, "sliding_window": None}),
    "minimax": ("MiniMax", LLAMA | {"head_dim": 8, "num_local_experts": 4, "block_size": 16}),
    "dbrx": (
        "Dbrx",
        {
            "d_model": 32,
            "n_heads": 4,
            "n_layers": 4,
            "max_seq_len": 512,
            "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
        }
        | {"ffn_config": {"hidden_size": 32, "ffn_hidden_size": 32, "moe_num_experts": 4, "moe_top_k": 2}},
    ),
    "deepseek-v3": (
        "DeepseekV3",
        LLAMA
        | {
            "num_key_value_heads": 4,
            "moe_intermediate_size": 32,
            "n_routed_experts": 4,
            "n_group": 2,
            "topk_group": 1,
            "num_experts_per_tok": 2,
            "kv_lora_rank": 16,
            "q_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
            "first_k_dense_replace": 1,
        },
    ),
    "rwkv": ("Rwkv", {"hidden_size": 32, "num_hidden_layers": 4, "context_length": 512, "intermediate_size": 64}),
    "xlnet": ("XLNet", {"d_model": 32, "n_layer": 4, "n_head": 4, "d_inner": 64, "dropout": 0.0}),
    "t5": ("T5", {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}),
    "lfm2": ("Lfm2", LLAMA | {"layer_types": ["conv", "full_attention"] * 2}),
    "mamba": ("Mamba", {"hidden_size": 32, "num_hidden_layers": 4, "state_size": 8}),
}
MASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", BERT),
    "roberta": ("Roberta", BERT),
    "deberta-v2": ("DebertaV2", BERT),
    "modernbert": ("ModernBert", BERT | {"global_attn_every_n_layers": 2, "local_attention": 16}),
    "electra": ("Electra", BERT | {"embedding_size": 16}),
    "albert": ("Albert", BERT | {"embedding_size": 16}),
    "xlm-roberta": ("XLMRoberta", BERT),
    "camembert": ("Camembert", BERT),
    "deberta": ("Deberta", BERT),
    "mpnet": ("MPNet", BERT),
    "big-bird": ("BigBird", BERT | {"attention_type": "original_full"}),
    "big-bird-sparse": ("BigBird", BERT | {"block_size": 4, "num_random_blocks": 1}),
    "distilbert": ("DistilBert", {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4}),
}


VARIANTS = ("plain", "no-pad", "no-template", "bos", "window")
SHORT_WINDOW = 6  # tokens: shorter than any prompt


def has_window(name: str) -> bool:
    """Return whether this model has attention windows, whose length the variant "window" changes."""
    return name in CAUSAL and bool(CAUSAL[name][1].get("sliding_window"))


def build(path: Path, name: str, *, seed: int = 0, variant: str = "plain", **options: Any) -> Path:
    """Write a model of this architecture and a tokenizer to `path`, and return it."""
    import torch
    import transformers

    masked = name in MASKED
    kind, shape = (MASKED if masked else CAUSAL)[name]
    tokenizer = _masked_tokenizer() if masked else _causal_tokenizer(variant)
    tokens: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }
    if variant == "window":
        options = {"sliding_window": SHORT_WINDOW} | options
    config = getattr(transformers, f"{kind}Config")(**(tokens | shape | options))
    torch.manual_seed(seed)
    auto = transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
    if config.is_encoder_decoder:
        auto = transformers.AutoModelForSeq2SeqLM
    model = auto.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():  # far enough from zero that attention matters
            if parameter.dim() > 1:
                parameter.normal_(std=0.2)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def _causal_tokenizer(variant: str) -> Any:
    """The tiny tokenizer without a padding token, without a chat template, or with a token that begins every text."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = deepcopy(tiny_tokenizer())
    if variant == "no-pad":
        tokenizer.pad_token = None
    if variant in ("no-template", "bos"):
        tokenizer.chat_template = None
    if variant == "bos":
        tokenizer.add_special_tokens({"bos_token": "<|begin|>"})
        begin = ("<|begin|>", tokenizer.bos_token_id)
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=[begin]
        )
    return tokenizer


def _masked_tokenizer() -> Any:
    """The tiny tokenizer with BERT's special tokens around a text."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = deepcopy(tiny_tokenizer())
    tokenizer.add_special_tokens({"mask_token": "<|mask|>", "cls_token": "<|cls|>", "sep_token": "<|sep|>"})
    special = [(name, tokenizer.convert_tokens_to_ids(name)) for name in ("<|cls|>", "<|sep|>")]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|cls|> $A <|sep|>", pair="<|cls|> $A <|sep|> $B <|sep|>", special_tokens=special
    )
    return tokenizer
