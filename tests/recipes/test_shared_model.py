"""The roles share one model; the fast way of reading answers gives what whole forward passes give."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    GraniteMoeConfig,
    GraniteMoeForCausalLM,
    LlamaConfig,
    MambaConfig,
    Phi3Config,
)

from tests.tiny_model import tiny_checkpoint, tiny_tokenizer
from training.recipes.models.caches import cache_argument
from training.recipes.models.generation import Drawing, Rollout, sample
from training.recipes.models.shared_model import SharedModel, longest_text
from training.recipes.process import checkpoints
from training.recipes.process.errors import RecipeError
from training.recipes.process.seeds import generator
from training.recipes.text.prompts import pad_right, padded

pytestmark = pytest.mark.recipes

PROMPTS = [[5, 9, 30], [7, 8, 9, 40, 41, 42, 43], [90, 20]]


def with_adapters(shared: SharedModel, top_blocks: int = 2) -> SharedModel:
    """Two adapters that do change something."""
    for role in ("policy", "reward"):
        shared.adapters.add(role, rank=4, top_blocks=top_blocks)
        for parameter in shared.adapters.parameters(role):
            torch.nn.init.normal_(parameter, std=0.2)
    return shared


def rollout_of(shared: SharedModel, role: str | None = "policy", **options: object) -> Rollout:
    return sample(shared, role, PROMPTS, Drawing(4, 9, 0.8), generator(1, "test"), keep_trunk=True, **options)


@pytest.mark.parametrize("role", [None, "policy", "reward"])
def test_reading_from_the_trunk_equals_whole_forward_passes(shared: SharedModel, role: str | None):
    rollout = rollout_of(with_adapters(shared))
    assert rollout.answers.response_trunk is not None
    captured = shared.read(rollout.answers, role)
    computed = shared.read(rollout.answers.without_trunk(), role)
    shared.layered = False
    whole = shared.read(rollout.answers, role)
    real = rollout.answers.response_mask
    for other in (computed, whole):
        torch.testing.assert_close(captured.after[real], other.after[real], atol=1e-4, rtol=0)
        torch.testing.assert_close(captured.before[real], other.before[real], atol=1e-4, rtol=0)


def test_reading_is_what_the_plain_model_computes(shared: SharedModel):
    """Against transformers itself: one unpadded sequence through the untouched model."""
    rollout = rollout_of(shared, None)
    plain = AutoModelForCausalLM.from_pretrained(shared.path)
    found = shared.logprobs(shared.read(rollout.answers, None), rollout.answers, rollout.drawn, 0.8)
    for row, prompt in enumerate(PROMPTS):
        for column in range(4):
            length = int(rollout.lengths[row, column])
            tokens = rollout.answers.response[row, column, :length].tolist()
            logits = plain(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1] / 0.8
            expected = torch.log_softmax(logits, -1)[range(length), tokens]
            torch.testing.assert_close(found[row, column, :length], expected, atol=1e-4, rtol=0)


def test_the_reference_is_the_base_whatever_the_adapters_hold(shared: SharedModel):
    answers = rollout_of(shared, None).answers.without_trunk()
    untouched = shared.read(answers, None).after
    with_adapters(shared)
    assert not torch.equal(shared.read(answers, "policy").after, untouched)
    assert not torch.equal(shared.read(answers, "reward").after, shared.read(answers, "policy").after)
    torch.testing.assert_close(shared.read(answers, None).after, untouched, atol=1e-6, rtol=0)


def test_a_fresh_adapter_changes_nothing_at_all(shared: SharedModel):
    shared.adapters.add("policy", rank=4, top_blocks=2)
    answers = rollout_of(shared).answers
    assert torch.equal(shared.read(answers, "policy").after, shared.read(answers, None).after)


def test_only_the_learner_receives_gradients(shared: SharedModel):
    with_adapters(shared)
    learned = shared.adapters.learn("policy")
    rollout = rollout_of(shared)
    reading = shared.read(rollout.answers, "policy")
    shared.read(rollout.answers, "reward")  # another role may speak before the backward pass
    shared.read(rollout.answers, "policy")
    reading.after.sum().backward()
    assert all(parameter.grad is not None for parameter in learned)
    assert {id(p) for p in shared.model.parameters() if p.grad is not None} == {id(p) for p in learned}


def test_the_adapter_loads_with_peft(shared: SharedModel, tmp_path: Path):
    with_adapters(shared)
    shared.adapters.save("policy", tmp_path / "adapter")
    answers = rollout_of(shared).answers
    peft = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(shared.path), tmp_path / "adapter")
    length = int(answers.response_mask[1, 2].sum())
    ids = PROMPTS[1] + answers.response[1, 2, :length].tolist()
    theirs = peft(torch.tensor([ids])).logits[0, len(PROMPTS[1]) :]
    ours = shared.logits(shared.read(answers, "policy").after[1, 2, :length])
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    assert checkpoints.resolve(tmp_path / "adapter").base == shared.path


def test_an_adapter_survives_saving_and_loading(shared: SharedModel, checkpoint: Path, tmp_path: Path):
    with_adapters(shared)
    shared.adapters.save("policy", tmp_path / "adapter")
    answers = rollout_of(shared).answers
    fresh = SharedModel(str(checkpoint), torch.device("cpu"))
    fresh.adapters.load("anything", tmp_path / "adapter")
    assert fresh.cut == 2
    assert torch.equal(fresh.read(answers, "anything").after, shared.read(answers, "policy").after)


def test_another_architecture_goes_through_whole_forward_passes(tmp_path: Path):
    shared = SharedModel(str(tiny_checkpoint(tmp_path / "gpt2", architecture="gpt2")), torch.device("cpu"))
    assert not shared.layered
    shared.adapters.add("policy", rank=4, top_blocks=2)
    names = [name for name, _ in shared.model.named_parameters() if "lora_A" in name]
    assert {name.split(".")[2] for name in names} == {"2", "3"}
    rollout = rollout_of(shared)
    assert rollout.answers.response_trunk is None
    found = shared.logprobs(shared.read(rollout.answers, "policy"), rollout.answers, rollout.drawn, 0.8)
    torch.testing.assert_close(found, rollout.logprobs, atol=1e-4, rtol=0)


def test_a_path_without_a_model_is_refused_in_one_line(tmp_path: Path):
    with pytest.raises(RecipeError, match="There is no model in"):
        checkpoints.resolve(tmp_path)


def test_padding_that_equals_eos_is_refused(checkpoint: Path, tmp_path: Path):
    tokenizer = checkpoints.load_tokenizer(str(checkpoint))
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(RecipeError, match="differ from EOS"):
        checkpoints.load_tokenizer(str(tmp_path))


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_sampling_uses_no_argument_that_transformers_is_giving_up(tmp_path: Path, architecture: str):
    shared = SharedModel(str(tiny_checkpoint(tmp_path / "model", architecture=architecture)), torch.device("cpu"))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=FutureWarning)
        warnings.filterwarnings("error", category=DeprecationWarning)
        rollout_of(shared, None)


def test_the_cache_is_passed_by_the_name_that_the_model_knows():
    def before_5_24(hidden_states: Tensor, past_key_values: object = None, **_: object): ...
    def since_5_24(hidden_states: Tensor, cache: object = None, **_: object): ...
    def gpt_neox(hidden_states: Tensor, layer_past: object = None): ...

    named = [cache_argument(forward) for forward in (before_5_24, since_5_24, gpt_neox)]
    assert named == ["past_key_values", "cache", "layer_past"]


def test_padding_stands_on_one_side_and_is_masked():
    ids, mask = padded([[5, 6, 7], [8]], 0, "left")
    assert ids.tolist() == [[5, 6, 7], [0, 0, 8]]
    assert mask.int().tolist() == [[1, 1, 1], [0, 0, 1]]
    ids, mask = padded([[5, 6, 7], [8]], 0, "right")
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert mask.int().tolist() == [[1, 1, 1], [1, 0, 0]]
    ids, mask = pad_right([[[1, 2], [3]], [[4]]], 0)
    assert ids.tolist() == [[[1, 2], [3, 0]], [[4, 0], [0, 0]]]
    assert mask.int().tolist() == [[[1, 1], [1, 0]], [[1, 0], [0, 0]]]


def test_texts_end_where_positions_begin_to_depend_on_their_length():
    assert longest_text(LlamaConfig(max_position_embeddings=300)) == 300
    assert longest_text(MambaConfig()) == 1 << 30
    factors = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "max_position_embeddings": 256}
    sizes["original_max_position_embeddings"] = 32
    assert longest_text(Phi3Config(**sizes)) == 256
    long = Phi3Config(**sizes, rope_parameters={"rope_type": "longrope", "rope_theta": 1e4, **factors})
    assert longest_text(long) == 32
    yarn = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32}
    assert longest_text(LlamaConfig(max_position_embeddings=128, rope_parameters=yarn)) == 128


def test_trl_finds_the_number_of_experts_of_a_model_that_has_it_under_another_name(tmp_path: Path):
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    tokenizer = tiny_tokenizer()
    config = GraniteMoeConfig(**sizes, num_local_experts=4, num_experts_per_tok=2, vocab_size=len(tokenizer))
    GraniteMoeForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model, _ = checkpoints.load_base(str(tmp_path), torch.device("cpu"))
    assert model.config.num_experts == 4
    model, _ = checkpoints.load_base(str(tiny_checkpoint(tmp_path / "dense")), torch.device("cpu"))
    assert not hasattr(model.config, "num_experts")
