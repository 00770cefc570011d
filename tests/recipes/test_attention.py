"""Attention takes no mask of all pairs of tokens, and gives what transformers gives with one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from training.recipes.models import attention
from training.recipes.models.answers import Answers
from training.recipes.models.generation import Drawing, sample
from training.recipes.models.shared_model import SharedModel
from training.recipes.process.seeds import generator
from training.recipes.text.prompts import pad_left

pytestmark = pytest.mark.recipes


@pytest.fixture
def masks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, ...] | None]]:
    """The shapes of all masks that reach the kernel, None for causal attention without one."""
    seen: list[tuple[int, ...] | None] = []
    plain = attention.sdpa_attention_forward

    def watched(
        module: object, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: object
    ) -> object:
        seen.append(None if mask is None else tuple(mask.shape))
        return plain(module, query, key, value, mask, **options)

    monkeypatch.setattr(attention, "sdpa_attention_forward", watched)
    return seen


def answers(count: int) -> Answers:
    """Two prompts of 20 and 17 tokens with `count` answers of up to 5."""
    prompt, prompt_mask = pad_left([[5 + place for place in range(20)], [90 + place for place in range(17)]], 0)
    response = torch.arange(30, 30 + 10 * count).reshape(2, count, 5)
    response_mask = torch.ones_like(response, dtype=torch.bool)
    response_mask[1, 0, 3:] = False
    return Answers(prompt, prompt_mask, response, response_mask)


@torch.no_grad()
def own_states(shared: SharedModel, given: Answers, group: int, number: int) -> Tensor:
    """The states of an answer's tokens by transformers, in a row without padding."""
    ids = torch.cat(
        [
            given.prompt[group][given.prompt_mask[group]],
            given.response[group, number][given.response_mask[group, number]],
        ]
    )
    model = AutoModelForCausalLM.from_pretrained(shared.path)
    return model.model(input_ids=ids[None]).last_hidden_state[0, int(given.prompt_mask[group].sum()) :]


@pytest.mark.parametrize("layered", [True, False])
@pytest.mark.parametrize("count", [1, 3])
def test_padded_rows_are_read_without_a_mask_of_all_pairs(
    shared: SharedModel, masks: list[tuple[int, ...] | None], layered: bool, count: int
):
    shared.layered, given = layered, answers(count)
    masks.clear()
    with torch.no_grad():
        found = shared.read(given, None).after
    # A prompt's answers see all of the prompt and a part of each other: theirs are the only masks.
    assert set(masks) == ({None, (2, 1, 15, 35)} if layered and count == 3 else {None})
    for group in range(2):
        for number in range(count):
            real = given.response_mask[group, number]
            own = own_states(shared, given, group, number)
            torch.testing.assert_close(found[group, number][real], own, atol=1e-4, rtol=0)


def test_sampling_takes_a_mask_only_for_padding_before_the_newest_token(
    shared: SharedModel, masks: list[tuple[int, ...] | None]
):
    def draw(prompts: list[list[int]]) -> set[tuple[int, ...] | None]:
        masks.clear()
        sample(shared, None, prompts, Drawing(2, 6, 1.0), generator(1, "test"))
        return set(masks)

    assert draw([[5, 9, 30, 31], [7, 8, 9, 40]]) == {None}
    padded = draw([[5, 9, 30, 31], [7, 8]]) - {None}
    assert padded
    assert all(shape[-2] == 1 or shape[1] > 1 for shape in padded if shape is not None)


def test_a_trainers_rows_need_no_mask_and_get_no_other_states(checkpoint: Path, masks: list[tuple[int, ...] | None]):
    plain, ours = (AutoModelForCausalLM.from_pretrained(checkpoint) for _ in range(2))
    attention.use(ours)
    attention.without_masks(ours.model)
    ids = torch.arange(60).reshape(3, 20) + 5
    mask = torch.ones_like(ids)
    mask[0, :4], mask[0, -3:], mask[1, -5:] = 0, 0, 0
    with torch.no_grad():
        found = ours(input_ids=ids, attention_mask=mask, use_cache=False).logits
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        theirs = plain(input_ids=ids, attention_mask=mask, position_ids=positions).logits
    assert set(masks) == {None}
    torch.testing.assert_close(found[mask.bool()], theirs[mask.bool()], atol=1e-4, rtol=0)


def test_texts_packed_into_a_row_do_not_see_each_other(checkpoint: Path, masks: list[tuple[int, ...] | None]):
    plain, ours = (AutoModelForCausalLM.from_pretrained(checkpoint) for _ in range(2))
    attention.use(ours)
    attention.without_masks(ours.model)
    ids = torch.arange(20)[None] + 5
    ends = torch.tensor([0, 7, 20], dtype=torch.int32)
    packed = {"position_ids": torch.cat([torch.arange(7), torch.arange(13)])[None], "cu_seq_lens_q": ends}
    with torch.no_grad():
        found = ours(input_ids=ids, **packed, cu_seq_lens_k=ends, max_length_q=13, max_length_k=13, use_cache=False)
        theirs = [plain(input_ids=part).logits for part in (ids[:, :7], ids[:, 7:])]
    assert set(masks) == {None}
    torch.testing.assert_close(found.logits, torch.cat(theirs, 1), atol=1e-4, rtol=0)
