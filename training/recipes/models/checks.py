"""What is tried of a model when it is loaded: our ways of reading it against its own.

Nothing is guessed from a model's name. The rows are longer than its attention windows, which are shortened meanwhile
(Blocks.short_windows); padding stands before prompts and behind answers, and a few tokens are read through a cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from training.recipes.models.answers import AnswerReading, Answers
from training.recipes.models.logits import Scaling, scalings
from training.recipes.process.errors import RecipeError

if TYPE_CHECKING:
    from training.recipes.models.shared_model import SharedModel

ATOL = 1e-4  # of states and logits, in units of their largest one
ATOL_BFLOAT16 = 5e-2  # of models so large that they are not widened for it
PROMPT, ANSWER, PADDING = 14, 6, 3  # tokens
FAILURES = (TypeError, AttributeError, RuntimeError, ValueError, NotImplementedError, KeyError, IndexError)


def sample_answers(shared: SharedModel) -> Answers:
    """Return two prompts of unequal length with two answers each."""
    # Spread over the vocabulary: its first entries are often special tokens that were never trained, whose tiny
    # embeddings blow rounding errors up.
    count = 2 * (PROMPT + 2 * ANSWER)
    numbers = torch.arange(1, count + 1, device=shared.device) * 7919 % shared.model.config.get_text_config().vocab_size
    ids = numbers.reshape(2, -1)
    prompt_mask = torch.ones(2, PROMPT, dtype=torch.bool, device=shared.device)
    prompt_mask[0, :PADDING] = False
    response_mask = torch.ones(2, 2, ANSWER, dtype=torch.bool, device=shared.device)
    response_mask[1, 1, -2:] = False
    return Answers(ids[:, :PROMPT], prompt_mask, ids[:, PROMPT:].reshape(2, 2, ANSWER), response_mask)


def close(ours: Tensor, theirs: Tensor) -> bool:
    """Tell whether two ways of computing something agree up to rounding."""
    atol = ATOL_BFLOAT16 if theirs.dtype == torch.bfloat16 else ATOL
    return bool((ours - theirs).abs().max() <= atol * theirs.abs().max().clamp(min=1))


@torch.no_grad()
def widths(shared: SharedModel) -> tuple[int, int]:
    """Return the width of the final states and of those between the blocks; 0 where the model does not show these."""
    answers = sample_answers(shared)
    outcome = shared.whole_pass(answers.prompt, torch.ones_like(answers.prompt_mask), output_hidden_states=True)
    between = getattr(outcome, "hidden_states", None) or ()
    shown = len(between) == len(shared.blocks) + 1
    return outcome.last_hidden_state.shape[-1], between[shared.depths[-1]].shape[-1] if shown else 0


@torch.no_grad()
def find_scaling(shared: SharedModel) -> Scaling | None:
    """Return what the model does to its logits after the head; None for nothing. Raises RecipeError if unknown."""
    ids = sample_answers(shared).prompt
    plain = shared.head(shared.whole_pass(ids, torch.ones_like(ids, dtype=torch.bool)).last_hidden_state)
    theirs = shared.model(input_ids=ids).logits
    if close(plain, theirs):
        return None
    for scaling in scalings(shared.model.config.get_text_config()):
        if close(scaling(plain), theirs):
            return scaling
    raise RecipeError(
        f"{type(shared.model).__name__} changes its logits after the head in a way that is not known here: "
        "only a factor (logit_scale, logits_scaling, lm_head_multiplier) and a soft cap are"
    )


@torch.no_grad()
def check_padding(shared: SharedModel) -> None:
    """Raise RecipeError where padding before a text changes the model's output."""
    answers = sample_answers(shared)
    padded = shared.whole_pass(answers.prompt, answers.prompt_mask).last_hidden_state[:1, PADDING:]
    alone = shared.whole_pass(answers.prompt[:1, PADDING:], answers.prompt_mask[:1, PADDING:]).last_hidden_state
    if not close(padded, alone):
        raise RecipeError(
            f"{type(shared.model).__name__} makes something else of a text with padding before it, so that prompts of "
            "unequal length cannot be read together: it is not supported"
        )


@torch.no_grad()
def layers_disagree(shared: SharedModel) -> str | None:
    """Return why the blocks cannot be run one by one; None where that gives what whole passes give."""
    if reason := shared.blocks.why_not():
        return reason
    answers = sample_answers(shared)
    rows = shared.read_rows(answers)
    reason = _layers_differ(shared, answers, rows)
    if reason and shared.blocks.fused:  # its attention layers may not go by the name that its config has
        shared.blocks.fused = False
        reason = _layers_differ(shared, answers, rows)
    return reason


def _layers_differ(shared: SharedModel, answers: Answers, rows: AnswerReading) -> str | None:
    shared.layered = True
    try:
        tree = shared.read_tree(answers)
        if not close(tree.after[answers.response_mask], rows.after[answers.response_mask]):
            return "its blocks, run one by one, give other states"
        return _cache_differs(shared, answers)
    except FAILURES as problem:
        return f"its blocks cannot be run one by one ({type(problem).__name__}: {_first_line(problem)})"
    finally:
        shared.layered = False


@torch.no_grad()
def cache_disagrees(shared: SharedModel) -> str | None:
    """Return why the model's own cache cannot be used for sampling; None where it gives what whole passes give."""
    try:
        return _cache_differs(shared, sample_answers(shared))
    except FAILURES as problem:
        return f"its cache cannot be used ({type(problem).__name__}: {_first_line(problem)})"


def _cache_differs(shared: SharedModel, answers: Answers) -> str | None:
    """Compare answers read token by token with the same answers read at once."""
    groups, count, length = answers.response.shape
    expected = shared.read_rows(answers).after.flatten(0, 1)
    cache = shared.new_cache(PROMPT + length)
    shared.advance(answers.prompt, answers.prompt_mask, cache, None)
    rows = torch.arange(groups, device=shared.device).repeat_interleave(count)
    cache.select(rows)
    seen, ids, real = answers.prompt_mask[rows], answers.response.flatten(0, 1), answers.response_mask.flatten(0, 1)
    for place in range(length):
        seen = torch.cat([seen, torch.ones_like(seen[:, :1])], 1)
        if place == length - 1:  # as where a finished answer leaves the batch
            cache.select(torch.tensor([0, 2], device=shared.device))
            seen, ids, real, expected = seen[[0, 2]], ids[[0, 2]], real[[0, 2]], expected[[0, 2]]
        state = shared.advance(ids[:, place : place + 1], seen, cache, None).final[:, -1]
        if not close(state[real[:, place]], expected[:, place][real[:, place]]):
            return "a token read through its cache gets other states"
    return None


def _first_line(problem: Exception) -> str:
    return str(problem).strip().partition("\n")[0][:200]
