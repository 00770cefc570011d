"""The reward model over HTTP, as a process: what it answers is what the recipe scores."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import requests
import torch

from tests.forked import command
from tests.recipes.conftest import SEVERAL_HEADS, trained_reward
from training.recipes.models.rankings import JudgedSet, collate
from training.recipes.models.reward_model import RewardModel
from training.recipes.models.shared_model import SharedModel
from training.recipes.text.prompts import prompt_tokens, response_tokens

pytestmark = pytest.mark.recipes
EXECUTED = (sys.executable, "-m", "training.recipes.serve_reward")
MESSAGES = [{"role": "user", "content": "Describe the sea."}]


@pytest.fixture(scope="module")
def reward_model(checkpoint: Path) -> Path:
    return trained_reward(checkpoint, SEVERAL_HEADS, rankings=20, candidates=3)


def serve(
    folder: Path, *arguments: str, token: str = "", program: Sequence[str] = EXECUTED
) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [*program, str(folder), "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PREFLOOP_REWARD_TOKEN": token, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://\S+", line):
            return process, found.group()
    raise AssertionError(f"it ended with {process.wait()}")


@pytest.fixture(scope="module")
def address(reward_model) -> Iterator[str]:
    process, address = serve(reward_model, "--batch-size", "2")
    yield address
    process.kill()
    process.wait()


def scores_of(folder: Path, checkpoint: Path, answers: list[str]) -> list[float]:
    """By the recipe's own way from texts to scores."""
    shared = SharedModel(str(checkpoint), torch.device("cpu"))
    model = RewardModel.load(shared, folder)
    prompt = prompt_tokens(shared.chat, MESSAGES, 200)
    candidates = [response_tokens(shared.chat, answer, 200) for answer in answers]
    return model.score(collate([JudgedSet(0, "train", prompt, candidates)], shared))[0].tolist()


def as_text(checkpoint: Path) -> tuple[str, str]:
    tokenizer = SharedModel(str(checkpoint), torch.device("cpu")).tokenizer
    text = tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, tokenize=False)
    return text, tokenizer.eos_token


def test_it_answers_as_the_recipe_scores_with_prompts_and_without(address, reward_model, checkpoint):
    answers = ["the sea is calm", "rain", "green and warm and wide"]
    wanted = scores_of(reward_model, checkpoint, answers)
    prompt, eos = as_text(checkpoint)
    queries = [prompt + answers[0] + eos, prompt + answers[1], prompt + answers[2] + eos]
    newer = requests.post(address, json={"query": queries, "prompts": [prompt] * 3, "labels": [None] * 3}, timeout=60)
    older = requests.post(address, json={"query": queries}, timeout=60)
    assert newer.json()["rewards"] == pytest.approx(wanted, abs=1e-4)
    assert older.json()["rewards"] == pytest.approx(wanted, abs=1e-4)
    assert newer.json()["scores"] == newer.json()["rewards"]


def test_an_empty_answer_is_scored_as_its_end_alone_and_a_prompt_may_be_cut(address, reward_model, checkpoint):
    prompt, eos = as_text(checkpoint)
    shared = SharedModel(str(checkpoint), torch.device("cpu"))
    model = RewardModel.load(shared, reward_model)
    ids = prompt_tokens(shared.chat, MESSAGES, 200)
    (wanted,) = model.score(collate([JudgedSet(0, "train", ids, [[shared.closing]])], shared))[0].tolist()
    sent = {"query": [prompt + eos, prompt], "prompts": [prompt] * 2}
    assert requests.post(address, json=sent, timeout=60).json()["rewards"] == pytest.approx([wanted] * 2, abs=1e-4)
    cut = {"query": [prompt[9:] + "rain"], "prompts": [prompt]}
    assert len(requests.post(address, json=cut, timeout=60).json()["rewards"]) == 1


def test_an_answer_has_one_score_however_its_query_ends(address, reward_model, checkpoint):
    (wanted,) = scores_of(reward_model, checkpoint, ["the sea is calm"])
    prompt, eos = as_text(checkpoint)
    whole, pad = prompt + "the sea is calm", "<|pad|>"
    padded = [pad * 4 + whole, pad * 4 + whole + eos, pad + whole + eos + pad * 3]
    ends = [
        whole + end for end in ("", eos, eos + pad * 3, eos + "\n", eos * 2, eos + "\n" + eos + pad, "<|start|>user")
    ]
    for prompts in ([prompt] * 10, None):
        sent = {"query": ends + padded, **({"prompts": prompts} if prompts else {})}
        assert requests.post(address, json=sent, timeout=60).json()["rewards"] == pytest.approx([wanted] * 10, abs=1e-4)


def test_what_people_do_not_see_of_an_answer_has_no_score(address, reward_model, checkpoint):
    """Thoughts are cut off before answers are shown, and so are control characters; a template's marks are marks."""
    (wanted,) = scores_of(reward_model, checkpoint, ["the sea is calm"])
    prompt, _ = as_text(checkpoint)
    hidden = [
        "<think>rain or sea?</think>\n\nthe sea is calm",
        "the sea\x00 is calm",
        "<think>\n</think>the sea is calm",
    ]
    sent = {"query": [prompt + answer for answer in hidden], "prompts": [prompt] * 3}
    assert requests.post(address, json=sent, timeout=60).json()["rewards"] == pytest.approx([wanted] * 3, abs=1e-4)
    # Thoughts that never end leave nothing to see: as an answer that ends before it begins.
    sent = {"query": [prompt + "<think>rain or", prompt], "prompts": [prompt] * 2}
    unfinished, empty = requests.post(address, json=sent, timeout=60).json()["rewards"]
    assert unfinished == pytest.approx(empty, abs=1e-4)


def test_bytes_that_are_no_text_and_lengths_that_are_none(address):
    refused = requests.post(address, data='{"query": ["é"]}'.encode("latin-1"), timeout=60)
    assert refused.status_code == 400
    assert "no UTF-8" in refused.json()["error"]
    host, port = address.removeprefix("http://").partition("/")[0].split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(b"POST /get_reward HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n")
        assert b" 411 " in connection.recv(200)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"query": "one text"}, "query should be a list"),
        ({"query": ["a"], "prompts": []}, "prompts should be a list of 1 texts"),
        ({"query": ["abc"], "prompts": ["xyz"]}, "query 0 does not begin with its prompt, and has no turn"),
        ({"query": ["no turn at all"]}, "query 0 does not begin with its prompt, and has no turn of the assistant"),
        ({"query": ["abc " * 400], "prompts": ["abc"]}, "query 0: prompt and answer longer than"),
    ],
)
def test_bad_input_is_named(address, body, said):
    refused = requests.post(address, json=body, timeout=60)
    assert refused.status_code == 400
    assert said in refused.json()["error"]


def test_other_requests(address):
    assert requests.get(address.replace("get_reward", "health"), timeout=60).json() == {"status": "ok"}
    assert requests.get(address, timeout=60).status_code == 404
    assert requests.post(address, data="{", timeout=60).status_code == 400
    assert requests.post(address, json={"query": []}, timeout=60).json() == {"rewards": [], "scores": []}


def test_others_reach_it_with_a_token_only(reward_model):
    refused = subprocess.run(
        command("training.recipes.serve_reward", reward_model, "--host", "0.0.0.0"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "set PREFLOOP_REWARD_TOKEN" in refused.stderr
    process, address = serve(reward_model, token="open sesame", program=command("training.recipes.serve_reward"))
    try:
        assert requests.post(address, json={"query": []}, timeout=60).status_code == 401
        with_token = {"Authorization": "Bearer open sesame"}
        assert requests.post(address, json={"query": []}, headers=with_token, timeout=60).status_code == 200
    finally:
        process.kill()
        process.wait()
