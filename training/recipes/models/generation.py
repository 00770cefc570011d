"""Sampling answers: softmax at a temperature and nothing else.

No top-k, no top-p, no penalty: PPO's ratio is 1 at the start only if tokens are drawn from the very distribution whose
log-probabilities are compared later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.recipes.models.answers import Answers, TokenStep
from training.recipes.models.shared_model import SharedModel
from training.recipes.text.prompts import pad_left, pad_right

# Taking finished rows out copies the key-value cache, so it is done when enough of them wait.
LEAVING_SHARE = 1 / 8


@dataclass(frozen=True)
class Rollout:
    """Sampled answers. Shapes (g, k, r); `drawn` marks the tokens that the policy drew itself.

    An answer that was cut at its length limit has one token more in `answers` than in `drawn`: the closing one, for
    scoring. `before` (g, k, r, d) are the final states that predicted the tokens.
    """

    answers: Answers
    drawn: Tensor
    logprobs: Tensor
    entropy: Tensor
    before: Tensor
    finished: Tensor  # (g, k) the policy ended the answer itself

    @property
    def lengths(self) -> Tensor:
        return self.drawn.sum(-1)

    def texts(self, model: SharedModel, *, asked: bool = False) -> list[list[str]]:
        """Return what people see of each answer; `asked`: the prompts let the model think."""
        return [[model.chat.text(tokens, asked=asked) for tokens in group] for group in self._tokens()]

    def ended(self, model: SharedModel) -> list[list[bool]]:
        """Return whether each answer ended by itself: by a stop, or by going on as somebody else."""
        return [[model.chat.is_over(tokens) for tokens in group] for group in self._tokens()]

    def _tokens(self) -> list[list[list[int]]]:
        """Return the ids that were drawn, by prompt and answer."""
        return [
            [ids[mask].tolist() for ids, mask in zip(group, masks, strict=True)]
            for group, masks in zip(self.answers.response.cpu(), self.drawn.cpu(), strict=True)
        ]

    def read_as_seen(self, model: SharedModel, answers: Answers, read: Callable[[Answers], Tensor]) -> Tensor:
        """Return what `read` makes of each answer as people see it. Shapes: (g, k) or (g, k, heads).

        `answers` are those of this rollout as they were drawn. Nearly all are what people see, token by token; one
        that ends by another stop, has a control token inside or goes on as somebody else is read anew from its text.
        """
        found = read(answers)
        drawn = self._tokens()
        changed = torch.tensor([[not model.chat.is_as_seen(tokens) for tokens in group] for group in drawn])
        for place in changed.any(-1).nonzero()[:, 0].tolist():
            texts = [model.chat.text(tokens) for tokens in drawn[place]]
            ids = [model.chat.answer(text) if text else [model.closing] for text in texts]
            response, mask = (tensor.to(model.device) for tensor in pad_right([ids], model.pad))
            prompt, prompt_mask = self.answers.prompt[place, None], self.answers.prompt_mask[place, None]
            again = read(Answers(prompt, prompt_mask, response, mask))[0]
            found[place, changed[place]] = again[changed[place]]
        return found


@dataclass(frozen=True)
class Drawing:
    """How answers are drawn: how many to a prompt, of at most how many tokens, at which temperature."""

    count: int
    max_new_tokens: int
    temperature: float


class Draw(NamedTuple):
    tokens: Tensor
    logprobs: Tensor
    entropy: Tensor


def draw(logits: Tensor, uniform: Tensor, temperature: float) -> Draw:
    """One token per row by inverting the cumulative distribution at a uniform number.

    One number per row and token, whatever the other rows do: the outcome does not depend on when rows leave the batch.
    Shapes: (n, vocabulary), (n,) → (n,) each.
    """
    scaled = logits.float() / temperature
    total = torch.logsumexp(scaled, -1, keepdim=True)
    probabilities = (scaled - total).exp()
    # In double precision: a float32 sum over 50,000 terms would distort the tail.
    cumulative = probabilities.double().cumsum(-1)
    points = uniform.double()[:, None] * cumulative[:, -1:]
    tokens = torch.searchsorted(cumulative, points, right=True).clamp(max=logits.shape[-1] - 1)
    return Draw(
        tokens=tokens[:, 0],
        logprobs=(scaled.gather(-1, tokens) - total)[:, 0],
        entropy=total[:, 0] - (probabilities * scaled).sum(-1),
    )


@torch.no_grad()
def sample(
    model: SharedModel,
    role: str | None,
    prompts: list[list[int]],
    drawing: Drawing,
    generator: torch.Generator,
    *,
    keep_trunk: bool = False,
    among: tuple[int, int] | None = None,
) -> Rollout:
    """Draw `drawing.count` answers to each prompt. With `keep_trunk` they carry their trunk states for other roles.

    `among` = (first, all): these prompts are those from `first` on of `all` that several processes answer with the
    same generator; each draws the numbers that it would have drawn in one process.
    """
    device, groups = model.device, len(prompts)
    count, max_new_tokens, temperature = drawing.count, drawing.max_new_tokens, drawing.temperature
    rows_in_all, slots = groups * count, max_new_tokens + 1
    ids, mask = (tensor.to(device) for tensor in pad_left(prompts, model.pad))
    keep_trunk = keep_trunk and model.shares_trunk
    first, everybody = (0, groups) if among is None else among

    response = torch.full((rows_in_all, slots), model.pad, device=device)
    drawn = torch.zeros((rows_in_all, slots), dtype=torch.bool, device=device)
    logprobs, entropy = torch.zeros(2, rows_in_all, slots, device=device)
    before = torch.zeros(rows_in_all, slots, model.hidden_size, device=device)
    response_trunk = torch.zeros_like(before) if keep_trunk else None
    depths = torch.zeros(rows_in_all, len(model.depths), model.depth_size, device=device)  # sums over tokens

    def keep(read: TokenStep, which: Tensor, slot: int) -> None:
        if response_trunk is not None and read.trunk is not None:
            response_trunk[rows[which], slot] = read.trunk[which, 0]
        if keep_trunk and read.depths is not None:
            depths[rows[which]] += read.depths[which, 0]

    # 1. Every prompt is read once, and its K answers go on from copies of its keys and values.
    cache = model.new_cache(ids.shape[1] + slots)
    prompt_trunk, _, final = model.advance(ids, mask, cache, role)
    cache.select(torch.arange(groups, device=device).repeat_interleave(count))
    state = final[:, -1].repeat_interleave(count, 0)
    seen = mask.repeat_interleave(count, 0)
    rows = torch.arange(rows_in_all, device=device)  # which answer each row of the running batch belongs to
    done = torch.zeros(rows_in_all, dtype=torch.bool, device=device)

    # 2. Token by token.
    for slot in range(max_new_tokens):
        uniform = torch.rand(everybody * count, generator=generator)[first * count :][:rows_in_all].to(device)[rows]
        step = draw(model.logits(state), uniform, temperature)
        live = ~done
        at = rows[live]
        response[at, slot], drawn[at, slot] = step.tokens[live], True
        logprobs[at, slot], entropy[at, slot], before[at, slot] = step.logprobs[live], step.entropy[live], state[live]
        done = done | torch.isin(step.tokens, model.stops)
        # The last token is read only for its trunk state: nothing is drawn after it.
        to_read = live if keep_trunk else ~done
        if not to_read.any() or (slot == max_new_tokens - 1 and not keep_trunk):
            break
        tokens = step.tokens
        if (~to_read).float().mean() >= LEAVING_SHARE:
            stay = to_read.nonzero()[:, 0]
            cache.select(stay)
            rows, done, seen, tokens, to_read = rows[stay], done[stay], seen[stay], tokens[stay], to_read[stay]
        seen = torch.cat([seen, torch.ones_like(seen[:, :1])], 1)
        step_read = model.advance(tokens[:, None], seen, cache, role)
        state = step_read.final[:, -1]
        keep(step_read, to_read, slot)

    # 3. Answers that were cut are closed, as the reward model wants to read them.
    finished = (torch.isin(response, model.stops) & drawn).any(-1)
    response[~finished, max_new_tokens] = model.closing
    if response_trunk is not None and not done.all():
        seen = torch.cat([seen, torch.ones_like(seen[:, :1])], 1)
        keep(model.advance(torch.full_like(rows, model.closing)[:, None], seen, cache, role), ~done, max_new_tokens)

    # 4. Slots that no answer came to use are cut off.
    closed = drawn.clone()
    closed[~finished, max_new_tokens] = True
    used = slots if not finished.all() else int(drawn.sum(-1).max())

    def grouped(tensor: Tensor) -> Tensor:
        return tensor[:, :used].unflatten(0, (groups, count))

    return Rollout(
        answers=Answers(
            prompt=ids,
            prompt_mask=mask,
            response=grouped(response),
            response_mask=grouped(closed),
            prompt_trunk=prompt_trunk if keep_trunk else None,
            response_trunk=None if response_trunk is None else grouped(response_trunk),
            depths=(depths / closed.sum(-1)[:, None, None]).unflatten(0, (groups, count))
            if keep_trunk and model.keeps_depths
            else None,
        ),
        drawn=grouped(drawn),
        logprobs=grouped(logprobs),
        entropy=grouped(entropy),
        before=grouped(before),
        finished=finished.unflatten(0, (groups, count)),
    )
