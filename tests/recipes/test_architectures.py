"""Log-probabilities of sampled answers are transformers' own, whatever the architecture.

The prompts are longer than the attention windows of 16 tokens, and of unequal length.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from tests import NIGHTLY
from tests.architectures import CAUSAL, MASKED, build
from training.recipes.models.answers import Answers
from training.recipes.models.generation import Drawing, Rollout, sample
from training.recipes.models.masks import Reach
from training.recipes.models.shared_model import SharedModel
from training.recipes.prepare import prepare
from training.recipes.process.errors import RecipeError
from training.recipes.process.log import remarks
from training.recipes.process.seeds import generator

pytestmark = pytest.mark.recipes

PROMPTS = [[(37 * place + 11) % 250 + 5 for place in range(length)] for length in (60, 41, 5)]
FAST = ["mistral-window", "phi3-window", "starcoder2", "gpt-oss", "exaone4", "gemma3", "gemma2", "cohere"]
WHOLE = ["gpt2", "llama4", "opt-350m", "granite", "lfm2", "qwen3-next", "qwen3.5", "mamba"]
# Of tokens drawn behind padding: what linear attention adds up, and rounds, depends on where a text begins.
ROUNDED = {"qwen3-next": 1e-3, "qwen3.5": 1e-3}


@pytest.fixture(autouse=True)
def _no_remarks():
    remarks.clear()
    yield
    remarks.clear()


def loaded(folder: Path, name: str, **options: object) -> SharedModel:
    return SharedModel(str(build(folder / name, name, **options)), torch.device("cpu"))


def loaded_from(folder: Path) -> SharedModel:
    return SharedModel(str(folder), torch.device("cpu"))


def answer(shared: SharedModel) -> Rollout:
    return sample(shared, None, PROMPTS, Drawing(2, 12, 1.0), generator(1, "test"), keep_trunk=True)


@torch.no_grad()
def own_logprobs(shared: SharedModel, answers: Answers, drawn: Tensor) -> Tensor:
    """One unpadded sequence after the other through the untouched model."""
    plain = AutoModelForCausalLM.from_pretrained(shared.path)
    found = torch.zeros(drawn.shape)
    for row, prompt in enumerate(PROMPTS):
        for column in range(drawn.shape[1]):
            tokens = answers.response[row, column][drawn[row, column]].tolist()
            logits = plain(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1]
            found[row, column, : len(tokens)] = logits.log_softmax(-1)[range(len(tokens)), tokens]
    return found


@pytest.mark.parametrize("name", [*FAST, *WHOLE])
def test_log_probabilities_are_the_models_own(tmp_path: Path, name: str):
    shared = loaded(tmp_path, name)
    assert shared.layered == (name in FAST)
    rollout = answer(shared)
    expected = own_logprobs(shared, rollout.answers, rollout.drawn)
    with torch.no_grad():
        read = shared.logprobs(shared.read(rollout.answers, None), rollout.answers, rollout.drawn, 1.0)
    torch.testing.assert_close(rollout.logprobs, expected, atol=ROUNDED.get(name, 1e-4), rtol=0)
    torch.testing.assert_close(read, expected, atol=1e-4, rtol=0)
    assert shared.depth_states(rollout.answers.without_trunk()).isfinite().all()


@pytest.mark.parametrize("name", ["mistral-window", "gpt-oss"])
def test_the_windows_decide_something_here(tmp_path: Path, name: str):
    """Read without its windows the same model says something else, by far more than the tolerance above."""
    shared = loaded(tmp_path, name)
    rollout = answer(shared)
    shared.decoder.config.sliding_window = 10_000
    with torch.no_grad():
        reading = shared.read(rollout.answers.without_trunk(), None)
        wrong = shared.logprobs(reading, rollout.answers, rollout.drawn, 1.0)
    assert float((wrong - rollout.logprobs).abs().max()) > 0.1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("xlnet", "XLNetLMHeadModel sees the tokens behind the one that it predicts: it is no causal language model"),
        ("rwkv", "RwkvForCausalLM makes something else of a text with padding before it"),
        ("t5", "is of the type t5, which writes no text from left to right"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_starts(tmp_path: Path, name: str, words: str):
    with pytest.raises(RecipeError, match=words):
        prepare(str(build(tmp_path / "source", name)), tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", ["dbrx", "minimax", "mamba", "bloom", "gpt-neo", "opt", "falcon", "xglm", "lfm2"])
def test_models_of_every_kind_are_prepared(tmp_path: Path, name: str):
    prepare(str(build(tmp_path / "source", name)), tmp_path / "model")
    assert loaded_from(tmp_path / "model").closing


def test_masks_of_windows_and_chunks():
    visible = torch.ones(1, 4, 4, dtype=torch.bool).tril()
    positions = torch.arange(4)[None]
    assert Reach().narrow(visible, positions, positions)[0].int().tolist() == visible[0].int().tolist()
    window = Reach("sliding_attention", window=2).narrow(visible, positions, positions)
    assert window[0].int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    chunk = Reach("chunked_attention", chunk=2).narrow(visible, positions, positions)
    assert chunk[0].int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]


def test_what_goes_through_whole_passes_says_so(tmp_path: Path):
    assert loaded(tmp_path, "llama").layered
    assert remarks == []
    loaded(tmp_path, "gpt2")
    loaded(tmp_path, "mamba")
    assert remarks == [
        "GPT2LMHeadModel goes through whole forward passes, which is slower: its blocks are not built like Llama's",
        "MambaForCausalLM goes through whole forward passes, which is slower: its blocks are not built like Llama's",
        "MambaForCausalLM reads a whole answer anew for every token, which is much slower: a token read through its "
        "cache gets other states",
    ]


def test_a_models_windows_are_as_they_were_after_it_was_tried(tmp_path: Path):
    assert loaded(tmp_path, "mistral-window", sliding_window=40).decoder.config.sliding_window == 40


@pytest.mark.skipif(not NIGHTLY, reason="an hour; `make nightly`")
def test_every_recipe_is_right_on_every_architecture_or_refuses_in_words():
    done = subprocess.run(
        [sys.executable, "benchmarks/architectures.py", "--variants", "all"],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["faults"] == []
    assert found["architectures"] == len(CAUSAL) + len(MASKED)
    assert found["worst_nats"] <= 1e-4


def test_recipes_are_right_on_ten_architectures_or_refuse_in_words():
    """A part of benchmarks/architectures.py, which tries every recipe on all of them."""
    names = "mistral-window,gemma2,gemma3,gpt-oss,granite,opt-350m,mamba,llama4,bert,distilbert"
    recipes = "logprobs,reward,ppo,head"
    also = "gemma2:kto,opt-350m:reward on labels,granite:grpo,mistral-window:distil"
    options = ["--architectures", names, "--recipes", recipes, "--also", also]
    done = subprocess.run(
        [sys.executable, "benchmarks/architectures.py", *options],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["faults"] == []
    assert (found["architectures"], found["recipes"], found["wrong"]) == (10, 7, 0)
    assert found["worst_nats"] <= 1e-4
    assert found["refusals"] == [
        f"{name}: transformers has no classification head for {kind}: take cloze instead of head"
        for name, kind in (("granite", "Granite"), ("llama4", "Llama4Text"), ("mamba", "Mamba"))
    ]
