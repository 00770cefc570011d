"""Log-probability of every label, by filling a template's blank with its label words.

One interface for causal models (the blank comes last, the word is what follows) and masked ones (the blank is one mask
token for each token of the word). A label with several words has the mean of their probabilities; a word of several
tokens has the sum of their log-probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from training.prompt_tuning.cloze import Cloze, Part, Template, Verbalizer, spaced
from training.recipes.text.prompts import Refused, padded

CONTENT_FREE = ("", "N/A", "[MASK]")  # Zhao et al. 2102.09690
SHORTEST_TEXT = 4  # tokens; less of a text has no meaning


@dataclass(frozen=True)
class Blank:
    """Token ids before and after the blank, without special tokens."""

    before: list[int]
    after: list[int]
    cut: int = 0  # tokens of the row's own text that did not fit


class LabelScorer(Protocol):
    """What a classifier needs of a language model."""

    labels: list[str]

    def read(self, fields: Mapping[str, str]) -> Blank:
        """Return the tokens of a row. Raises Refused where the template alone, or hardly any text, fits."""

    def scores(self, blanks: Sequence[Blank]) -> Tensor:
        """Return the log-probability of each label's words, not normalised over labels. Shape: (n, labels)."""


class _Scorer:
    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        template: Template,
        verbalizer: Verbalizer,
        max_length: int,
    ) -> None:
        self.model, self.tokenizer, self.template = model, tokenizer, template
        self.labels, self.options = verbalizer.labels, verbalizer.options
        self.space = " " if spaced(template) else ""
        self.words = [[self._encode(self.space + word) for word in own] for own in verbalizer.words.values()]
        self.longest_word = max(len(tokens) for own in self.words for tokens in own)
        self.room = max_length - self.longest_word - len(self._encode_special(""))

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _encode(self, text: str) -> list[int]:
        """Return token ids; special tokens spelled out in a text are encoded as text."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
        return ids

    def _encode_special(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text).input_ids
        return ids

    def _frame(self) -> tuple[list[int], list[int]]:
        """Return the tokens that the tokenizer puts before and behind a text."""
        frame, inner = self._encode_special("a"), self._encode("a")
        at = next(place for place in range(len(frame)) if frame[place : place + len(inner)] == inner)
        return frame[:at], frame[at + len(inner) :]

    def _padded(self, rows: list[list[int]], side: str) -> tuple[Tensor, Tensor]:
        """Return ids and attention mask (1 on real tokens), (n, longest) each, on the model's device."""
        ids, mask = padded(rows, self.tokenizer.pad_token_id, side)
        return ids.to(self.device), mask.long().to(self.device)

    def read(self, fields: Mapping[str, str]) -> Blank:
        cloze = self.template.render(fields, self.options)
        before, after = self._sides(cloze)
        overflow = len(before) + len(after) - self.room
        if overflow <= 0:
            return Blank(before, after)
        cut = 0
        while overflow > 0:  # tokens at a seam may melt, so that one cut is not always enough
            cloze, gone = self._shorten(cloze, overflow)
            cut += gone
            before, after = self._sides(cloze)
            overflow = len(before) + len(after) - self.room
        return Blank(before, after, cut)

    def _sides(self, cloze: Cloze) -> tuple[list[int], list[int]]:
        before = "".join(part.text for part in cloze.before)
        before = before[: -len(self.space)] if self.space else before
        return self._encode(before), self._encode("".join(part.text for part in cloze.after))

    def _shorten(self, cloze: Cloze, overflow: int) -> tuple[Cloze, int]:
        """Take tokens off the end of the longest text."""
        sides = [list(cloze.before), list(cloze.after)]
        lengths = {
            (side, place): len(self._encode(part.text))
            for side, parts in enumerate(sides)
            for place, part in enumerate(parts)
            if part.may_be_cut
        }
        (side, place), length = max(lengths.items(), key=lambda item: item[1])
        if length - overflow < SHORTEST_TEXT:
            raise Refused(f"the template leaves room for less than {SHORTEST_TEXT} tokens of the text")
        kept = self.tokenizer.decode(self._encode(sides[side][place].text)[: length - overflow])
        sides[side][place] = Part(kept, may_be_cut=True)
        return Cloze(tuple(sides[0]), tuple(sides[1])), overflow

    def _by_label(self, by_word: list[list[Tensor]]) -> Tensor:
        """Return the (n,) log-probabilities of every label's words as (n, labels)."""
        return torch.stack([torch.stack(words, -1).logsumexp(-1) - log(len(words)) for words in by_word], dim=-1)


class CausalScorer(_Scorer):
    """Reads the text before the blank, begun as the tokenizer begins a text; what stands behind it is not read."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.opening, _ = self._frame()  # BOS, without which some models fall apart

    def scores(self, blanks: Sequence[Blank]) -> Tensor:
        if self.longest_word == 1:
            logprobs = self._next_token([self.opening + blank.before for blank in blanks])
            return self._by_label([[logprobs[:, tokens[0]] for tokens in own] for own in self.words])
        return self._by_label([[self._continuation(blanks, tokens) for tokens in own] for own in self.words])

    def _forward(self, rows: list[list[int]], keep: int) -> Tensor:
        """Return log-probabilities after each of the last `keep` tokens. Shape: (n, keep, vocabulary)."""
        if getattr(self.model, "active_peft_config", None) and self.model.active_peft_config.is_prompt_learning:
            return self._forward_behind_vectors(rows, keep)
        ids, mask = self._padded(rows, "left")
        # Padding on the left, and positions that do not count it.
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        logits = self.model(input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=keep).logits
        return logits[:, -keep:].float().log_softmax(-1)

    def _forward_behind_vectors(self, rows: list[list[int]], keep: int) -> Tensor:
        """Return the same with padding on the right.

        PEFT counts positions itself: left padding between its vectors and a text would move them apart, by as much as
        the longest row of the batch is longer.
        """
        config: Any = self.model.active_peft_config
        ids, mask = self._padded(rows, "right")
        before = 0 if config.peft_type == "PREFIX_TUNING" else config.num_virtual_tokens
        ends = torch.tensor([len(row) for row in rows], device=self.device)[:, None] + before
        wanted, places = (ends - keep + torch.arange(keep, device=self.device)).unique(return_inverse=True)
        logits = self.model(input_ids=ids, attention_mask=mask, logits_to_keep=wanted).logits
        chosen = logits.gather(1, places[..., None].expand(-1, -1, logits.shape[-1]))
        return chosen.float().log_softmax(-1)

    def _next_token(self, rows: list[list[int]]) -> Tensor:
        return self._forward(rows, 1)[:, 0]

    def _continuation(self, blanks: Sequence[Blank], word: list[int]) -> Tensor:
        logprobs = self._forward([self.opening + blank.before + word[:-1] for blank in blanks], len(word))
        index = torch.tensor(word, device=self.device)[None, :, None].expand(len(blanks), -1, 1)
        return logprobs.gather(-1, index)[..., 0].sum(-1)


class MaskedScorer(_Scorer):
    """Predicts the blank from both sides; words of one length are scored in one pass."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.opening, self.closing = self._frame()

    def scores(self, blanks: Sequence[Blank]) -> Tensor:
        lengths = {len(tokens) for own in self.words for tokens in own}
        filled = {length: self._fill(blanks, length) for length in lengths}
        return self._by_label(
            [[filled[len(tokens)][:, range(len(tokens)), tokens].sum(-1) for tokens in own] for own in self.words]
        )

    def _fill(self, blanks: Sequence[Blank], masks: int) -> Tensor:
        """Return log-probabilities at the mask tokens. Shape: (n, masks, vocabulary)."""
        mask_id = self.tokenizer.mask_token_id
        rows = [[*self.opening, *blank.before, *[mask_id] * masks, *blank.after, *self.closing] for blank in blanks]
        ids, mask = self._padded(rows, "right")
        logits = self.model(input_ids=ids, attention_mask=mask).logits.float()
        soft = logits.shape[1] - ids.shape[1]  # a soft prompt precedes everything
        first = torch.tensor([len(self.opening) + len(blank.before) + soft for blank in blanks], device=self.device)
        places = first[:, None] + torch.arange(masks, device=self.device)
        chosen = logits.gather(1, places[..., None].expand(-1, -1, logits.shape[-1]))
        return chosen.log_softmax(-1)


def scorer_for(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    template: Template,
    verbalizer: Verbalizer,
    max_length: int,
) -> LabelScorer:
    """Return the scorer of a model: a masked one has a mask token and bidirectional attention."""
    masked = tokenizer.mask_token_id is not None and "MaskedLM" in "".join(model.config.architectures or [])
    return (MaskedScorer if masked else CausalScorer)(model, tokenizer, template, verbalizer, max_length)


# --- calibration -----------------------------------------------------------------------------------------------


@torch.no_grad()
def all_scores(scorer: LabelScorer, blanks: Sequence[Blank], batch_size: int) -> Tensor:
    """Return the scores of many rows, read in batches of similar length. Shape: (n, labels)."""
    order = sorted(range(len(blanks)), key=lambda row: len(blanks[row].before) + len(blanks[row].after))
    found = torch.empty(len(blanks), len(scorer.labels))
    for at in range(0, len(order), batch_size):
        chosen = order[at : at + batch_size]
        found[chosen] = scorer.scores([blanks[row] for row in chosen]).float().cpu()
    return found


def contextual_prior(scorer: LabelScorer, template: Template, batch_size: int) -> Tensor:
    """Return the labels' mean log-probabilities after content-free texts (Zhao et al. 2102.09690). Shape: (labels,)."""
    blanks = [scorer.read(dict.fromkeys(template.text_slots, text)) for text in CONTENT_FREE]
    return all_scores(scorer, blanks, batch_size).log_softmax(-1).mean(0)


def batch_prior(scores: Tensor) -> Tensor:
    """Return the labels' mean log-probabilities over unlabelled rows: (n, labels) → (labels,)."""
    return scores.log_softmax(-1).mean(0)


def calibrated(scores: Tensor, prior: Tensor) -> Tensor:
    """Return log-probabilities over labels less the prior. Shapes: (n, labels), (labels,) → (n, labels)."""
    return (scores.log_softmax(-1) - prior).log_softmax(-1)
