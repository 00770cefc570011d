"""The playground's child process: requests and replies as lines of JSON."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.forked import command
from tests.tiny_model import tiny_checkpoint
from training.recipes import chat

pytestmark = pytest.mark.recipes

QUESTION = [{"role": "user", "content": "Describe the sea."}]


def request(checkpoint: Path, **values):
    asked = {"checkpoint": str(checkpoint), "messages": QUESTION, "max_new_tokens": 12, "temperature": 1.0, "seed": 3}
    return {**asked, **values}


def test_the_text_grows_to_its_end_and_a_seed_gives_it_again(checkpoint, monkeypatch):
    monkeypatch.setattr(chat, "SAY_EVERY", 0.0)
    models = chat.Models()
    answers = list(chat.reply(models, request(checkpoint)))
    lengths = [answer["tokens"] for answer in answers]
    assert lengths == sorted(lengths)
    assert lengths[-1] <= 12
    assert ["finished" in answer for answer in answers] == [False] * (len(answers) - 1) + [True]
    assert answers[-1]["finished"] or lengths[-1] == 12
    assert list(chat.reply(models, request(checkpoint)))[-1] == answers[-1]
    assert list(chat.reply(models, request(checkpoint, seed=4)))[-1]["text"] != answers[-1]["text"]


def test_it_draws_what_sampling_draws(checkpoint):
    """Token by token from a cache, and in one batch: the same distribution, so at a low temperature the same text."""
    import torch

    from training.recipes.models.generation import Drawing, sample
    from training.recipes.text.prompts import prompt_tokens

    models = chat.Models()
    streamed = list(chat.reply(models, request(checkpoint, temperature=0.01)))[-1]
    model, role = models.get(str(checkpoint))
    tokens = prompt_tokens(model.chat, QUESTION, 200)
    rollout = sample(model, role, [tokens], Drawing(1, 12, 0.01), torch.Generator().manual_seed(9))
    assert rollout.texts(model)[0][0].rstrip("\ufffd") == streamed["text"]


def test_two_adapters_share_a_base_and_another_base_takes_its_place(checkpoint, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    for name in ("one", "two"):
        model = AutoModelForCausalLM.from_pretrained(checkpoint)
        config = LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        get_peft_model(model, config).save_pretrained(tmp_path / name)
    models = chat.Models()
    texts = {
        name: list(chat.reply(models, request(folder, temperature=0.01)))[-1]["text"]
        for name, folder in {"base": checkpoint, "one": tmp_path / "one", "two": tmp_path / "two"}.items()
    }
    assert len(set(texts.values())) == 3
    base = models.base
    assert list(chat.reply(models, request(tmp_path / "one", temperature=0.01)))[-1]["text"] == texts["one"]
    assert models.base is base
    other = tiny_checkpoint(tmp_path / "other", seed=5)
    list(chat.reply(models, request(other)))
    assert models.base is not base


def test_as_a_process_it_says_what_is_wrong_and_goes_on(checkpoint, tmp_path):
    lines = [request(tmp_path / "nothing"), request(checkpoint, messages=[]), request(checkpoint)]
    ended = subprocess.run(
        command("training.recipes.chat"),
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        check=True,
    )
    first, second, *_, last = map(json.loads, ended.stdout.splitlines())
    assert "There is no model in" in first["error"]
    assert second == {"error": "no messages"}
    assert "finished" in last
