"""Conversations written in one text, with a mark before each turn, as lists of messages.

Marks that people also write in an ordinary text ("User:" at the beginning of a line) count only where the text begins
with a speaker and ends with the assistant's mark and nothing behind it: then it can be nothing but a transcript.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

ROLES = {"system": "system", "human": "user", "user": "user", "h": "user", "assistant": "assistant", "a": "assistant"}
ROLES |= {"model": "assistant", "instruction": "user", "response": "assistant", "chatbot": "assistant"}
ROLES |= {"developer": "system"}


@dataclass(frozen=True)
class Marks:
    """How a format marks its turns: `turn` matches a mark and its speaker, `end` what closes a turn.

    `only_open`: the marks count only where the text ends with the assistant's.
    """

    turn: re.Pattern[str]
    end: tuple[str, ...] = ()
    only_open: bool = False
    begin: str = ""  # what may stand before the first mark

    def turns(self, text: str) -> list[dict[str, str]]:
        """Return every turn of the text, the open one at its end with an empty content; empty without a first mark."""
        text = text.lstrip().removeprefix(self.begin).lstrip()
        if not self.turn.match(text):
            return []
        parts = self.turn.split(text)
        return [
            {"role": ROLES[speaker.lower()], "content": self._said(said)}
            for speaker, said in zip(parts[1::2], parts[2::2], strict=True)
        ]

    def _said(self, text: str) -> str:
        text = text.strip()
        end = next((end for end in self.end if text.endswith(end)), "")
        return text.removesuffix(end).strip()


MARKS = (
    # Anthropic HH: blank lines between turns.
    Marks(re.compile(r"(?:^|\n\n)(Human|Assistant|H|A):(?=\s|$)")),
    # ChatML.
    Marks(re.compile(r"<\|im_start\|>(system|user|assistant)\n"), end=("<|im_end|>",)),
    # Phi 4.
    Marks(re.compile(r"<\|im_start\|>(system|user|assistant)<\|im_sep\|>"), end=("<|im_end|>",)),
    # Zephyr and Phi: the end of a turn is </s> or <|end|>.
    Marks(re.compile(r"<\|(system|user|assistant)\|>\n?"), end=("</s>", "<|end|>", "<|endoftext|>")),
    # Cohere's Command R, and gpt-oss without its channels.
    Marks(
        re.compile(r"<\|START_OF_TURN_TOKEN\|><\|(SYSTEM|USER|CHATBOT)_TOKEN\|>"),
        end=("<|END_OF_TURN_TOKEN|>",),
        begin="<BOS_TOKEN>",
    ),
    Marks(
        re.compile(r"<\|start\|>(system|developer|user|assistant)(?:<\|message\|>|\Z)"), end=("<|end|>", "<|return|>")
    ),
    # Gemma and Llama 3.
    Marks(re.compile(r"<start_of_turn>(user|model)\n"), end=("<end_of_turn>",), begin="<bos>"),
    Marks(
        re.compile(r"<\|start_header_id\|>(system|user|assistant)<\|end_header_id\|>\n\n"),
        end=("<|eot_id|>",),
        begin="<|begin_of_text|>",
    ),
    # Guanaco and Vicuna: "### Human: …### Assistant: …".
    Marks(re.compile(r"###\s*(System|Human|User|Assistant):(?=\s|$)")),
    # One line break between turns, or other names.
    Marks(re.compile(r"(?:^|\n)(System|Human|User|Assistant):(?=\s|$)"), only_open=True),
)


BEGINNINGS = frozenset("HASU<#")  # of every text that begins with one of the marks


def _marks_for(text: str) -> tuple[Marks, ...]:
    """Return the marks that a text may begin with: of nearly every text none, without a look at each of them."""
    return MARKS if text.lstrip()[:1] in BEGINNINGS else ()


# Templates in which a turn is not marked by its speaker alone.
_LLAMA_2 = re.compile(r"(?:<s>)?\s*\[INST\](.*?)\[/INST\](.*?)(?=</s>|<s>|\Z)(?:</s>)?\s*", re.DOTALL)
_MISTRAL_SYSTEM = re.compile(r"\s*(?:<s>)?\s*\[SYSTEM_PROMPT\](.*?)\[/SYSTEM_PROMPT\]", re.DOTALL)
_LLAMA_2_SYSTEM = re.compile(r"\s*<<SYS>>(.*?)<</SYS>>(.*)", re.DOTALL)
_ALPACA = re.compile(r"(?:^|\n)[^\S\n]*### (Instruction|Input|Response):")
_VICUNA = re.compile(r"(?:^|(?<=\s)|(?<=</s>))(USER|ASSISTANT):(?=\s|\Z)")
_DEEPSEEK = re.compile(r"<｜(User|Assistant)｜>")
_HELPSTEER = re.compile(r"\n<extra_id_1>(User|Assistant)\n")


def _llama_2(text: str) -> list[dict[str, str]]:
    """Return the turns of the template of Llama 2 or Mistral; empty for any other text."""
    turns: list[dict[str, str]] = []
    position = 0
    if system := _MISTRAL_SYSTEM.match(text):
        turns.append({"role": "system", "content": system[1].strip()})
        position = system.end()
    while found := _LLAMA_2.match(text, position):
        asked, answer = found[1].strip(), found[2].strip()
        if not turns and (inside := _LLAMA_2_SYSTEM.fullmatch(asked)):
            turns.append({"role": "system", "content": inside[1].strip()})
            asked = inside[2].strip()
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        position = found.end()
    return turns if position == len(text) else []


def _alpaca(text: str) -> list[dict[str, str]]:
    """Return the turns of Alpaca's template, what stands before them as system text; empty for any other text."""
    before, *parts = _ALPACA.split(text)
    names, texts = parts[::2], [part.strip() for part in parts[1::2]]
    if names not in (["Instruction", "Response"], ["Instruction", "Input", "Response"]):
        return []
    system = [{"role": "system", "content": before.strip()}] if before.strip() else []
    asked = {"role": "user", "content": "\n\n".join(filter(None, texts[:-1]))}
    return [*system, asked, {"role": "assistant", "content": texts[-1]}]


def _helpsteer(text: str) -> list[dict[str, str]]:
    """Return the turns of a HelpSteer prompt, whose first turn has no mark; empty for any other text."""
    first, *parts = _HELPSTEER.split(text)
    if not parts:
        return []
    turns = [
        {"role": ROLES[name.lower()], "content": said.strip()}
        for name, said in zip(parts[::2], parts[1::2], strict=True)
    ]
    return [{"role": "user", "content": first.strip()}, *turns]


def _vicuna(text: str) -> list[dict[str, str]]:
    """Return the turns of Vicuna's template, USER: and ASSISTANT: in one line; empty for any other text."""
    before, *parts = _VICUNA.split(text)
    names = parts[::2]
    if len(names) < 2 or names != ["USER", "ASSISTANT"] * (len(names) // 2):
        return []
    before = before.strip().removeprefix("SYSTEM:").strip()
    system = [{"role": "system", "content": before}] if before else []
    said = [part.strip().removesuffix("</s>").strip() for part in parts[1::2]]
    return system + [{"role": ROLES[name.lower()], "content": each} for name, each in zip(names, said, strict=True)]


def _deepseek(text: str) -> list[dict[str, str]]:
    """Return the turns of DeepSeek's template, whose system text stands before the first mark; empty for others."""
    before, *parts = _DEEPSEEK.split(text)
    names = parts[::2]
    if names[:1] != ["User"]:
        return []
    before = before.strip().removeprefix("<｜begin▁of▁sentence｜>").strip()
    system = [{"role": "system", "content": before}] if before else []
    said = [part.strip().removesuffix("<｜end▁of▁sentence｜>").strip() for part in parts[1::2]]
    return system + [{"role": ROLES[name.lower()], "content": each} for name, each in zip(names, said, strict=True)]


# By what each text of the template has: to look for it costs next to nothing, a pattern takes 0.2 s for 2 MB.
TEMPLATES = {"[INST]": _llama_2, "### ": _alpaca, "<extra_id_1>": _helpsteer, "USER:": _vicuna}
TEMPLATES["<｜User｜>"] = _deepseek


def _turns_by_template(text: str) -> Iterator[list[dict[str, str]]]:
    return (read(text) for mark, read in TEMPLATES.items() if mark in text)


def transcript_of(text: Any) -> list[dict[str, str]] | None:
    """Return the turns of a conversation in one text; None where the text is no transcript.

    The assistant's mark at the end, with nothing behind it, is the place of the answer and no turn of its own.
    """
    for turns in _turns_by_template(text) if isinstance(text, str) else ():
        if turns:
            return turns[:-1] if _is_open(turns) else turns
    alone: list[dict[str, str]] = []
    for marks in _marks_for(text) if isinstance(text, str) else ():
        turns = marks.turns(text)
        opened = _is_open(turns)
        if marks.only_open and not opened:
            continue
        if len(turns) > 1:  # the first marks that split the text: others may be part of a turn
            return turns[:-1] if opened else turns
        alone = alone or [turn for turn in turns if turn["content"] or turn["role"] != "assistant"]
    return alone or None


def end_of_turns(text: Any) -> str:
    """Return what ends a turn in the template of an open transcript; empty where nothing does."""
    if isinstance(text, str):
        for marks in _marks_for(text):
            if marks.end and _is_open(marks.turns(text)):
                return next((end for end in marks.end if end in text), marks.end[0])
    return ""


def is_open_transcript(text: Any) -> bool:
    """Return whether a text begins with a speaker and ends with the assistant's mark."""
    if not isinstance(text, str):
        return False
    return any(_is_open(marks.turns(text)) for marks in _marks_for(text)) or any(
        map(_is_open, _turns_by_template(text))
    )


def _is_open(turns: list[dict[str, str]]) -> bool:
    return len(turns) > 1 and turns[-1] == {"role": "assistant", "content": ""}
