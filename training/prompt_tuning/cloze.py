"""Prompt tuning's two halves, without torch: the template that recasts a text, and the verbalizer that names labels.

    Template.parse("{text}, feel {mask}")      "This movie is great"  →  "This movie is great, feel [MASK]"
    Verbalizer({"positive": ["happy"], …})     [MASK] = "happy"       →  positive

A template is parsed by the few lines below and never evaluated. Slots: {text}, or {text_a} and {text_b}; {mask}, once;
{options}, the labels' first words; a brace is written twice. (Schick & Schütze 2001.07676; Gao et al. 2012.15723.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

TEXT_SLOTS = ("text", "text_a", "text_b")
SLOTS = (*TEXT_SLOTS, "mask", "options")
LONGEST = 2000  # characters of a template
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")

Encode = Callable[[str], list[int]]


class InvalidTemplate(ValueError):
    """What is wrong with a template, and what to write instead."""


class InvalidVerbalizer(ValueError):
    """What is wrong with a verbalizer, and what to write instead."""


@dataclass(frozen=True)
class Piece:
    """Literal text, or one slot. Only text slots may be shortened to fit a model."""

    content: str
    slot: bool = False


@dataclass(frozen=True)
class Part:
    """A stretch of a rendered template."""

    text: str
    may_be_cut: bool


@dataclass(frozen=True)
class Cloze:
    """A row in a template: the text before and after the blank."""

    before: tuple[Part, ...]
    after: tuple[Part, ...]

    def show(self, blank: str = "____") -> str:
        return "".join(part.text for part in self.before) + blank + "".join(part.text for part in self.after)


@dataclass(frozen=True)
class Template:
    body: str
    pieces: tuple[Piece, ...]

    @classmethod
    def parse(cls, body: str) -> Template:
        """Return the template of a body. Raises InvalidTemplate."""
        if len(body) > LONGEST:
            raise InvalidTemplate(f"A template has at most {LONGEST} characters, this one has {len(body)}.")
        pieces, at, literal = [], 0, ""
        for found in _PART.finditer(body):
            literal += body[at : found.start()]
            at = found.end()
            if found.group() in ("{{", "}}"):
                literal += found.group()[0]
            elif found.group(1) is None:
                brace = found.group()
                raise InvalidTemplate(
                    f"There is a single {brace} at character {found.start() + 1}. Write {brace * 2} for a brace."
                )
            else:
                pieces += [Piece(literal)] if literal else []
                pieces.append(Piece(_slot(found.group(1)), slot=True))
                literal = ""
        literal += body[at:]
        pieces += [Piece(literal)] if literal else []
        _check_slots([piece.content for piece in pieces if piece.slot])
        return cls(body, tuple(pieces))

    def after(self, text: str) -> Template:
        """Return the same template with `text` before it, taken literally and never cut."""
        return replace(self, pieces=(Piece(text), *self.pieces)) if text else self

    @property
    def text_slots(self) -> tuple[str, ...]:
        return tuple(piece.content for piece in self.pieces if piece.slot and piece.content in TEXT_SLOTS)

    @property
    def ends_with_mask(self) -> bool:
        """Return whether no slot follows the blank, so that a causal model can fill it."""
        mask = self.pieces.index(Piece("mask", slot=True))
        return not any(piece.slot for piece in self.pieces[mask + 1 :])

    def render(self, fields: Mapping[str, str], options: Sequence[str] = ()) -> Cloze:
        """Return the cloze of a row. Raises KeyError where the row lacks a text slot."""
        sides: tuple[list[Part], list[Part]] = ([], [])
        side = 0
        for piece in self.pieces:
            if not piece.slot:
                sides[side].append(Part(piece.content, may_be_cut=False))
            elif piece.content == "mask":
                side = 1
            elif piece.content == "options":
                sides[side].append(Part("\n".join(f"- {option}" for option in options), may_be_cut=False))
            else:
                sides[side].append(Part(fields[piece.content].strip(), may_be_cut=True))
        return Cloze(tuple(sides[0]), tuple(sides[1]))


def _slot(name: str) -> str:
    if name not in SLOTS:
        known = ", ".join(f"{{{slot}}}" for slot in SLOTS)
        raise InvalidTemplate(f"There is no slot {{{name}}}. The slots are {known}; for a brace write it twice.")
    return name


def _check_slots(slots: list[str]) -> None:
    if slots.count("mask") != 1:
        raise InvalidTemplate(f"A template has {{mask}} once, this one has it {slots.count('mask')} times.")
    if "text" in slots and ("text_a" in slots or "text_b" in slots):
        raise InvalidTemplate("Use {text} for rows with one text, or {text_a} and {text_b} for two; not both.")
    if not set(slots) & set(TEXT_SLOTS):
        raise InvalidTemplate("Where does the text go? Put {text} into the template.")
    if "text_b" in slots and "text_a" not in slots:
        raise InvalidTemplate("{text_b} is the second text; put {text_a} into the template, too.")
    for slot in set(slots):
        if slot in TEXT_SLOTS and slots.count(slot) > 1:
            raise InvalidTemplate(f"{{{slot}}} stands in the template twice.")


# --- verbalizer ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verbalizer:
    """Label → its label words. Raises InvalidVerbalizer."""

    words: dict[str, tuple[str, ...]]

    def __init__(self, words: Mapping[str, Sequence[str]]) -> None:
        tidy = {}
        for label, given in words.items():
            if isinstance(given, str):  # a word is a sequence, too: of letters
                raise InvalidVerbalizer(f"Label {label!r} needs a list of words, not the one word {given!r}.")
            if not isinstance(given, Sequence) or not all(isinstance(word, str) for word in given):
                raise InvalidVerbalizer(f"Label {label!r} needs a list of words; what is given is not one.")
            tidy[label] = tuple(word.strip() for word in given)
            if not tidy[label] or not all(tidy[label]):
                raise InvalidVerbalizer(f"Label {label!r} has no word, or an empty one.")
        if len(tidy) < 2:
            raise InvalidVerbalizer("A verbalizer needs two labels at least.")
        owner: dict[str, str] = {}
        for label, own in tidy.items():
            for word in own:
                if word in owner:
                    raise InvalidVerbalizer(f"{word!r} stands for {owner[word]!r} and for {label!r}: change one.")
                owner[word] = label
        object.__setattr__(self, "words", tidy)

    @property
    def labels(self) -> list[str]:
        return list(self.words)

    @property
    def options(self) -> list[str]:
        """Return what {options} lists."""
        return [own[0] for own in self.words.values()]


def spaced(template: Template) -> bool:
    """Return whether a space precedes label words. It is then part of the word: tokenizers split before spaces."""
    mask = template.pieces.index(Piece("mask", slot=True))
    before = template.pieces[mask - 1].content if mask and not template.pieces[mask - 1].slot else ""
    return before != before.rstrip(" ")


@dataclass(frozen=True)
class Finding:
    """`error`: the labels cannot be told apart. `warning`: they can, but not as well as with another word."""

    severity: Literal["error", "warning"]
    label: str
    word: str
    message: str


def lint(
    verbalizer: Verbalizer, template: Template, encode: Encode, *, unknown: int | None = None, masked: bool = False
) -> list[Finding]:
    """Return findings about the label words' tokens. `encode` adds no special tokens; `unknown` is the id of UNK.

    `masked`: for a masked language model, which predicts the blank itself; a causal one continues the text.
    """
    findings = []
    space = " " if spaced(template) else ""
    ids = {(label, word): encode(space + word) for label, own in verbalizer.words.items() for word in own}
    for (label, word), tokens in ids.items():
        findings += [
            Finding(severity, label, word, message)
            for severity, message in _word_findings(word, tokens, space, encode, unknown)
        ]
        if not masked and (message := _boundary_finding(template, space + word, tokens, encode)):
            findings.append(Finding("warning", label, word, message))
    findings += _collisions(ids)
    if not masked and not template.ends_with_mask:
        findings.append(
            Finding(
                "error",
                "",
                "",
                "A causal model reads from left to right: put {mask} behind every other slot.",
            )
        )
    return findings


def _word_findings(
    word: str, tokens: list[int], space: str, encode: Encode, unknown: int | None
) -> list[tuple[Literal["error", "warning"], str]]:
    found: list[tuple[Literal["error", "warning"], str]] = []
    if not tokens or (unknown is not None and unknown in tokens):
        found.append(("error", f"This model's tokenizer does not know {word!r}. Choose another word."))
    elif len(tokens) > 1:
        with_space = encode(f" {word}")
        if not space and len(with_space) == 1:
            found.append(("warning", f"{word!r} is one token only behind a space: put a space before {{mask}}."))
        else:
            found.append(
                (
                    "warning",
                    (
                        f"{word!r} is {len(tokens)} tokens. Their log-probabilities are added up; a word of one "
                        "token competes more fairly."
                    ),
                )
            )
    return found


def _boundary_finding(template: Template, word: str, tokens: list[int], encode: Encode) -> str | None:
    """Return a finding where text and word tokenised apart differ from both tokenised together."""
    before = "".join(part.text for part in template.render(dict.fromkeys(TEXT_SLOTS, "It is good.")).before)
    before = before[: -len(" ")] if word.startswith(" ") else before
    if encode(before + word) == encode(before) + tokens:
        return None
    return (
        f"{word.strip()!r} melts into the text before it: the model has hardly ever seen these tokens in this order. "
        "Put a space, a colon or a line break before {mask}."
    )


def _collisions(ids: Mapping[tuple[str, str], list[int]]) -> list[Finding]:
    found = []
    entries = list(ids.items())
    for place, ((label, word), tokens) in enumerate(entries):
        for (other_label, other), theirs in entries[:place]:
            if label == other_label or not tokens or not theirs:
                continue
            shorter, longer = sorted((tokens, theirs), key=len)
            if longer[: len(shorter)] == shorter:
                found.append(
                    Finding(
                        "error",
                        label,
                        word,
                        (
                            f"{word!r} and {other!r} ({other_label}) begin with the same tokens, one within the "
                            "other: the model cannot tell them apart. Change one."
                        ),
                    )
                )
            elif tokens[0] == theirs[0]:
                found.append(
                    Finding(
                        "warning",
                        label,
                        word,
                        (
                            f"{word!r} and {other!r} ({other_label}) share their first token; only the rest tells "
                            "them apart."
                        ),
                    )
                )
    return found
