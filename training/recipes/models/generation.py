"""Sampling answers: softmax at a temperature and nothing else.

No top-k, no top-p, no penalty: PPO's ratio is 1 at the start only if tokens are drawn from the very distribution whose
log-probabilities are compared later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from training.recipes.models.answers import Answers
from training.recipes.models.shared_model import SharedModel
from training.recipes.process.memory import MicroBatches
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
        return [[model.chat.text(tokens, asked=asked) for tokens in group] for group in self.tokens()]

    def ended(self, model: SharedModel) -> list[list[bool]]:
        """Return whether each answer was finished: by a stop token, or by opening another speaker's turn."""
        return [[model.chat.is_over(tokens) for tokens in group] for group in self.tokens()]

    def tokens(self) -> list[list[list[int]]]:
        """Return the ids that were drawn, by prompt and answer."""
        return [
            [ids[mask].tolist() for ids, mask in zip(group, masks, strict=True)]
            for group, masks in zip(self.answers.response.cpu(), self.drawn.cpu(), strict=True)
        ]

    def read_as_seen(self, model: SharedModel, answers: Answers, read: Callable[[Answers], Tensor]) -> Tensor:
        """Return what `read` computes for each answer as people see it. Shapes: (g, k) or (g, k, heads).

        `answers` are those of this rollout as drawn. Nearly all are what people see, token by token; one that ends by
        another stop, opens another speaker's turn or has a token that no text has is tokenised anew from its text.
        """
        found = read(answers)
        drawn = self.tokens()
        changed = torch.tensor([[not model.chat.is_as_seen(tokens) for tokens in group] for group in drawn])
        for place in changed.any(-1).nonzero()[:, 0].tolist():
            ids = [model.chat.scored(tokens) for tokens in drawn[place]]
            response, mask = (tensor.to(model.device) for tensor in pad_right([ids], model.pad))
            prompt, prompt_mask = self.answers.prompt[place, None], self.answers.prompt_mask[place, None]
            again = read(Answers(prompt, prompt_mask, response, mask))[0]
            found[place, changed[place]] = again[changed[place]]
        return found


@dataclass(frozen=True)
class Drawing:
    """How answers are drawn: how many to a prompt, of at most how many tokens, at which temperature.

    `at_once` is how many are in memory at once; 0: all of them, fewer where memory runs out.
    """

    count: int
    max_new_tokens: int
    temperature: float
    at_once: int = 0


class Draw(NamedTuple):
    tokens: Tensor
    logprobs: Tensor
    entropy: Tensor


def draw(logits: Tensor, uniform: Tensor, temperature: float) -> Draw:
    """Return one token per row by inverting the cumulative distribution at a uniform number.

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
    first, everybody = (0, len(prompts)) if among is None else among
    start = generator.get_state()

    def draw_part(places: Sequence[int]) -> Rollout:
        generator.set_state(start)
        part = [prompts[place] for place in places]
        batch = _Batch(model, role, part, drawing, keep_trunk=keep_trunk and model.shares_trunk)
        own = slice((first + places[0]) * drawing.count, (first + places[0] + len(part)) * drawing.count)
        for slot in range(drawing.max_new_tokens):
            batch.draw(slot, torch.rand(everybody * drawing.count, generator=generator)[own].to(model.device))
            if not batch.read(slot, last=slot == drawing.max_new_tokens - 1):
                break
        return batch.rollout()

    sizes = [size for size in (-(-drawing.at_once // drawing.count), model.prompts_at_once) if size]
    memory = MicroBatches(min(sizes, default=0), f"prompts of {drawing.count} answers each")
    parts = memory.collect(range(len(prompts)), draw_part)
    if memory.size and memory.size not in sizes:
        model.prompts_at_once = memory.size  # memory ran out: so it would the next time
    return joined(parts, model.pad)


def joined(parts: list[Rollout], pad: int) -> Rollout:
    """Return rollouts of several prompts as one: prompts padded on the left, answers on the right."""
    if len(parts) == 1:
        return parts[0]
    width = max(part.answers.prompt.shape[1] for part in parts)
    slots = max(part.drawn.shape[2] for part in parts)

    def of_prompts(name: str, value: float = 0) -> Tensor | None:
        found = [getattr(part.answers, name) for part in parts]
        if any(each is None for each in found):
            return None
        return torch.cat([_padded(each, 1, width - each.shape[1], value, left=True) for each in found])

    def of_answers(found: list[Tensor | None], value: float = 0) -> Tensor | None:
        whole = [each for each in found if each is not None]
        if len(whole) < len(found):
            return None
        return torch.cat([_padded(each, 2, slots - each.shape[2], value) for each in whole])

    def own(name: str) -> Any:
        return of_answers([getattr(part, name) for part in parts])

    depths = [part.answers.depths for part in parts]
    return Rollout(
        answers=Answers(
            prompt=cast(Tensor, of_prompts("prompt", pad)),
            prompt_mask=cast(Tensor, of_prompts("prompt_mask")),
            response=cast(Tensor, of_answers([part.answers.response for part in parts], pad)),
            response_mask=cast(Tensor, of_answers([part.answers.response_mask for part in parts])),
            prompt_trunk=of_prompts("prompt_trunk"),
            response_trunk=of_answers([part.answers.response_trunk for part in parts]),
            depths=None if depths[0] is None else torch.cat(cast(list[Tensor], depths)),
        ),
        **{name: own(name) for name in ("drawn", "logprobs", "entropy", "before")},
        finished=torch.cat([part.finished for part in parts]),
    )


def _padded(tensor: Tensor, dimension: int, more: int, value: float, *, left: bool = False) -> Tensor:
    """Return a tensor with `more` entries of `value` along a dimension."""
    if not more:
        return tensor
    shape = [more if at == dimension else length for at, length in enumerate(tensor.shape)]
    filling = tensor.new_full(shape, value)
    return torch.cat([filling, tensor] if left else [tensor, filling], dimension)


class _Batch:
    """Answers on their way: what was drawn of all of them, and the rows that still go on.

    Every prompt is read once, and its answers go on from copies of its keys and values. Shapes of what was drawn:
    (g · k, slots), where the last slot is that of the closing token of an answer that was cut.
    """

    def __init__(
        self, model: SharedModel, role: str | None, prompts: list[list[int]], drawing: Drawing, *, keep_trunk: bool
    ) -> None:
        self.model, self.role, self.drawing, self.keep_trunk = model, role, drawing, keep_trunk
        self.ids, self.mask = (tensor.to(model.device) for tensor in pad_left(prompts, model.pad))
        self.groups, device = len(prompts), model.device
        total, slots = self.groups * drawing.count, drawing.max_new_tokens + 1
        self.response = torch.full((total, slots), model.pad, device=device)
        self.drawn = torch.zeros((total, slots), dtype=torch.bool, device=device)
        self.logprobs, self.entropy = torch.zeros(2, total, slots, device=device)
        self.before = torch.zeros(total, slots, model.hidden_size, device=device, dtype=model.dtype)
        self.trunk = torch.zeros_like(self.before) if keep_trunk else None
        self.depths = torch.zeros(total, len(model.depths), model.depth_size, device=device)  # sums over tokens

        self.cache = model.new_cache(self.ids.shape[1] + slots)
        self.prompt_trunk, _, final = model.advance(self.ids, self.mask, self.cache, role)
        copies = torch.arange(self.groups, device=device).repeat_interleave(drawing.count)
        self.cache.select(copies)
        self.state, self.seen = final[copies, -1], self.mask[copies]
        self.rows = torch.arange(total, device=device)  # which answer each row of the running batch belongs to
        self.done = torch.zeros(total, dtype=torch.bool, device=device)
        self.tokens, self.live = torch.empty(0), ~self.done  # of the last slot: what was drawn, and in which rows

    def draw(self, slot: int, uniform: Tensor) -> None:
        """Draw a token of every answer that goes on, by one number for every answer there is."""
        step = draw(self.model.logits(self.state), uniform[self.rows], self.drawing.temperature)
        live = ~self.done
        at = self.rows[live]
        self.response[at, slot], self.drawn[at, slot] = step.tokens[live], True
        self.logprobs[at, slot], self.entropy[at, slot] = step.logprobs[live], step.entropy[live]
        self.before[at, slot] = self.state[live]
        self.tokens, self.live = step.tokens, live
        self.done = self.done | torch.isin(step.tokens, self.model.stops)

    def read(self, slot: int, *, last: bool) -> bool:
        """Read what was drawn, so that the next token can be; return whether there is one to draw.

        The last token of an answer is read only for its trunk state.
        """
        to_read = self.live if self.keep_trunk else ~self.done
        if not to_read.any() or (last and not self.keep_trunk):
            return False
        if (~to_read).float().mean() >= LEAVING_SHARE:
            stay = to_read.nonzero()[:, 0]
            self.cache.select(stay)
            self.rows, self.done, self.seen = self.rows[stay], self.done[stay], self.seen[stay]
            self.tokens, to_read = self.tokens[stay], to_read[stay]
        self.state = self._advance(self.tokens, to_read, slot)
        return True

    def _advance(self, tokens: Tensor, which: Tensor, slot: int) -> Tensor:
        """Read one token of every row, keep the states of rows `which`, and return the final ones."""
        self.seen = torch.cat([self.seen, torch.ones_like(self.seen[:, :1])], 1)
        step = self.model.advance(tokens[:, None], self.seen, self.cache, self.role)
        if self.trunk is not None and step.trunk is not None:
            self.trunk[self.rows[which], slot] = step.trunk[which, 0]
        if self.keep_trunk and step.depths is not None:
            self.depths[self.rows[which]] += step.depths[which, 0]
        return step.final[:, -1]

    def rollout(self) -> Rollout:
        """Return all answers; those that were cut get the closing token that the reward model reads."""
        model, cut = self.model, self.drawing.max_new_tokens
        finished = (torch.isin(self.response, model.stops) & self.drawn).any(-1)
        self.response[~finished, cut] = model.closing
        if self.trunk is not None and not self.done.all():
            self._advance(torch.full_like(self.rows, model.closing), ~self.done, cut)
        closed = self.drawn.clone()
        closed[~finished, cut] = True
        used = cut + 1 if not finished.all() else int(self.drawn.sum(-1).max())  # slots that an answer came to use

        def grouped(tensor: Tensor) -> Tensor:
            return tensor[:, :used].unflatten(0, (self.groups, self.drawing.count))

        keeps_depths = self.keep_trunk and model.keeps_depths
        means = (self.depths / closed.sum(-1)[:, None, None]).unflatten(0, (self.groups, -1)) if keeps_depths else None
        return Rollout(
            answers=Answers(
                prompt=self.ids,
                prompt_mask=self.mask,
                response=grouped(self.response),
                response_mask=grouped(closed),
                prompt_trunk=self.prompt_trunk if self.keep_trunk else None,
                response_trunk=None if self.trunk is None else grouped(self.trunk),
                depths=means,
            ),
            drawn=grouped(self.drawn),
            logprobs=grouped(self.logprobs),
            entropy=grouped(self.entropy),
            before=grouped(self.before),
            finished=finished.unflatten(0, (self.groups, -1)),
        )
