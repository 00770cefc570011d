"""Sampling: plain softmax at a temperature, with finished and cut answers told apart."""

from __future__ import annotations

import pytest
import torch

from training.recipes.models import generation
from training.recipes.models.shared_model import SharedModel
from training.recipes.process.seeds import generator

pytestmark = pytest.mark.recipes

PROMPTS = [[5, 9, 30], [7, 8, 9, 40, 41, 42, 43]]


def sample(shared: SharedModel, **options: object) -> generation.Rollout:
    drawing = generation.Drawing(8, 12, 0.8)
    return generation.sample(shared, None, PROMPTS, drawing, generator(1, "test"), **options)


def end_often(shared: SharedModel) -> None:
    """Make EOS likely, so that a batch holds finished and cut answers."""
    original = shared.model.get_output_embeddings()

    class Eager(torch.nn.Linear):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            logits = original(hidden)
            logits[..., 2] = logits.max(-1).values - 1
            return logits

    head = Eager(original.in_features, original.out_features, bias=False)
    shared.model.set_output_embeddings(head)


def test_draw_inverts_the_cumulative_distribution():
    # p = (0.2, 0.5, 0.3): up to 0.2 the first, up to 0.7 the second, then the third.
    logits = torch.tensor([[0.2, 0.5, 0.3]]).log().expand(5, 3)
    drawn = generation.draw(logits, torch.tensor([0.0, 0.19, 0.21, 0.69, 0.999999]), 1.0)
    assert drawn.tokens.tolist() == [0, 0, 1, 1, 2]
    assert drawn.logprobs.exp().tolist() == pytest.approx([0.2, 0.2, 0.5, 0.5, 0.3])
    # −0.2 ln 0.2 − 0.5 ln 0.5 − 0.3 ln 0.3 = 0.321888 + 0.346574 + 0.361192
    assert drawn.entropy.tolist() == pytest.approx([1.029653] * 5, abs=1e-5)


def test_draw_follows_the_temperature():
    # p = (0.8, 0.2) at T = 1; squared and normalised at T = 0.5: 0.64 / 0.68 = 0.941176.
    logits = torch.tensor([[0.8, 0.2]]).log()
    assert generation.draw(logits, torch.tensor([0.5]), 0.5).logprobs.exp().item() == pytest.approx(0.941176)


def test_a_token_of_probability_zero_is_never_drawn():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf]]).expand(2, 3)
    assert generation.draw(logits, torch.tensor([0.0, 0.99999994]), 1.0).tokens.tolist() == [1, 1]


def test_finished_and_cut_answers(shared: SharedModel):
    end_often(shared)
    rollout = sample(shared, keep_trunk=True)
    assert 0 < rollout.finished.float().mean() < 1
    for row in range(2):
        for column in range(8):
            length = int(rollout.lengths[row, column])
            tokens = rollout.answers.response[row, column]
            scored = int(rollout.answers.response_mask[row, column].sum())
            if rollout.finished[row, column]:
                assert int(tokens[length - 1]) in shared.chat.stops
                assert scored == length
            else:
                assert length == 12
                assert not shared.chat.stops & set(tokens[:length].tolist())
                assert tokens[length] == shared.closing  # closed for scoring, though the policy did not draw it
                assert scored == length + 1
    assert not rollout.logprobs[~rollout.drawn].any()


def test_logprobs_while_sampling_are_those_of_reading_again(shared: SharedModel):
    end_often(shared)
    rollout = sample(shared, keep_trunk=True)
    again = shared.logprobs(shared.read(rollout.answers, None), rollout.answers, rollout.drawn, 0.8)
    torch.testing.assert_close(again, rollout.logprobs, atol=1e-4, rtol=0)


def test_answers_do_not_depend_on_when_finished_rows_leave(shared: SharedModel, monkeypatch: pytest.MonkeyPatch):
    end_often(shared)
    monkeypatch.setattr(generation, "LEAVING_SHARE", 0.01)
    early = sample(shared)
    monkeypatch.setattr(generation, "LEAVING_SHARE", 2.0)
    late = sample(shared)
    assert torch.equal(early.answers.response, late.answers.response)
    torch.testing.assert_close(early.logprobs, late.logprobs, atol=1e-5, rtol=0)


def test_sampling_without_rotary_blocks_gives_the_same_answers(shared: SharedModel):
    fast = sample(shared)
    shared.layered = False
    assert torch.equal(sample(shared).answers.response, fast.answers.response)


def test_token_frequencies_are_the_model_s_probabilities(shared: SharedModel):
    """4,000 first tokens: no probability of 1 % or more is off by more than five standard errors."""
    rollout = generation.sample(shared, None, PROMPTS[:1], generation.Drawing(4000, 1, 0.8), generator(2))
    logits = shared.model(torch.tensor(PROMPTS[:1])).logits[0, -1] / 0.8
    expected = logits.softmax(-1)
    found = torch.bincount(rollout.answers.response[0, :, 0], minlength=len(expected)) / 4000
    error = (expected * (1 - expected) / 4000).sqrt()
    likely = expected > 0.01
    assert ((found - expected).abs() < 5 * error)[likely].all()


def test_texts_leave_special_tokens_out(shared: SharedModel):
    end_often(shared)
    texts = sample(shared).texts(shared)
    assert len(texts) == 2
    assert all("<|" not in text for group in texts for text in group)
