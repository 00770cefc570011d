"""What a proposed task is refused for before anybody sees it: a code for each reason, and the reason in plain words.

After Self-Instruct's filter (Wang et al. 2023), with what small models add: loops, copies of the examples, answers that
stop at the length limit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from training.instructions.similarity import UNSPACED, tokens
from training.phrases import Phrase, phrase

FEWEST, MOST = 3, 150  # words of an instruction; characters where a script sets no spaces
LONGEST_OUTPUT = 1000
LOOP, TURNS = 4, 4  # so many words, so many times over
MINORITY = 0.3  # of another script, outside quotation marks

BEYOND_TEXT = re.compile(
    r"\b(?:images?|pictures?|photos?|videos?|audio|graphs?|charts?|plots?|diagrams?|maps?|files?|attachments?|links?|"
    r"urls?|websites?|draw|playlists?|bild(?:er)?|datei(?:en)?|grafik(?:en)?)\b|图片|图像|照片|视频|音频|文件|图表|链接|网址",
    re.IGNORECASE,
)
QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|‘[^’]*’|「[^」]*」|『[^』]*』|«[^»]*»|„[^“”]*[“”]|(?<!\w)'[^'\n]*'(?!\w)")
OUR_WORDS = re.compile(
    r"in (?:exactly )?(?:this|the same) form|one more task|tasks for a language assistant", re.IGNORECASE
)
NOT_LATIN = re.compile(f"[{UNSPACED}\u0400-\u04ff\u0590-\u06ff\u0900-\u0dff\u0e00-\u0e7f\uac00-\ud7af]")


@dataclass(frozen=True)
class Proposed:
    """A task as it was written. `examples` are the instructions and inputs of those it was shown."""

    instruction: str
    input: str = ""
    output: str = ""
    finished: bool = True
    examples: frozenset[tuple[str, str]] = field(default_factory=frozenset)


def _is_odd_start(task: Proposed) -> bool:
    start = task.instruction.lstrip("\"'“‘«„「『¿¡")[:1]
    return not start.isalpha()


def _repeats_prompt(task: Proposed) -> bool:
    return bool(OUR_WORDS.search(task.instruction)) or (task.instruction, task.input) in task.examples


def _loops(task: Proposed) -> bool:
    return any(_has_loop(text) for text in (task.instruction, task.output))


def _has_loop(text: str) -> bool:
    words = tokens(text)
    runs = Counter(words[at : at + LOOP] for at in range(len(words) - LOOP + 1))
    return bool(runs) and max(runs.values()) >= TURNS


def _mixes_scripts(task: Proposed) -> bool:
    """Return whether the instruction mixes scripts outside quotes, where translation tasks may have any."""
    words = [word for word in tokens(QUOTED.sub(" ", task.instruction)) if word[0].isalpha()]
    other = sum(bool(NOT_LATIN.search(word)) for word in words)
    return bool(words) and MINORITY <= other / len(words) <= 1 - MINORITY


def _same(first: str, second: str) -> bool:
    """Return whether two texts are equal except for spaces: commas or capitals may be what the task asks for."""
    return bool(second.strip()) and first.split() == second.split()


CHECKS: dict[str, tuple[Phrase, Callable[[Proposed], bool]]] = {
    "too_short": (
        phrase("the instruction has fewer than %(count)s words", count=FEWEST),
        lambda task: len(tokens(task.instruction)) < FEWEST,
    ),
    "too_long": (
        phrase(
            "the instruction has more than %(words)s words, or the output more than %(output)s",
            words=MOST,
            output=LONGEST_OUTPUT,
        ),
        lambda task: len(tokens(task.instruction)) > MOST or len(tokens(task.output)) > LONGEST_OUTPUT,
    ),
    "odd_start": (phrase("the instruction does not begin with a letter"), _is_odd_start),
    "beyond_text": (
        phrase("it asks about an image, a file, a graph or a link, which a language model does not get"),
        lambda task: bool(BEYOND_TEXT.search(task.instruction)),
    ),
    "repeats_prompt": (phrase("it repeats one of its examples, or what the model was asked"), _repeats_prompt),
    "unfinished": (phrase("it was cut at the length limit"), lambda task: not task.finished),
    "no_output": (phrase("the output is empty"), lambda task: not task.output.strip()),
    "output_is_input": (phrase("the output is the input again"), lambda task: _same(task.output, task.input)),
    "output_is_instruction": (
        phrase("the output is the instruction again"),
        lambda task: _same(task.output, task.instruction),
    ),
    "loops": (phrase("the same words come over and over"), _loops),
    "mixed_scripts": (phrase("the instruction mixes two scripts"), _mixes_scripts),
}
REASONS = {code: words for code, (words, _) in CHECKS.items()}


def refused_by(task: Proposed) -> str:
    """Return the code of the first check that the task fails; empty where it passes all."""
    return next((code for code, (_, applies) in CHECKS.items() if applies(task)), "")


def shown(examples: Iterable[dict[str, str]]) -> frozenset[tuple[str, str]]:
    return frozenset((example["instruction"], example["input"]) for example in examples)
