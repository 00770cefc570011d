"""Answers that say who made them are no blind candidates: people would rank the name.

The names are data, in maker_names.txt and in the project's own list; here is only how an answer uses them. An answer is
held back where it has a name that is nothing else, where it introduces itself by a name or a maker, and where it has
the name of the project's model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from pathlib import Path

from annotation.models import Project

NAMES_FILE = Path(__file__).parent / "maker_names.txt"
VERSION = r"(?:o\b|[-_ ]?v?\d[\w.]*(?:-\d+[bB])?)?"  # ChatGLM3-6B, Qwen2.5, GPT-4o
EDGES = r"(?<![A-Za-z0-9_/.-]){}(?![A-Za-z0-9_/])"  # other scripts write no space between words
ARTICLE = r"(?:an?|the|your|eine?|une?|un[ao]?|el|la|le|il|de|het|een)"
KIND = (
    r"(?:(?:large |big |gro(?:ß|ss)es |grand )?(?:language|Sprach|dialogue|chat)[ -]?(?:model(?:l)?|modell)"
    r"|(?:AI|KI|IA|virtual)[- ](?:assistant|model|Assistent|Modell|chatbot)|(?:AI|KI|IA)|assistant"
    r"|chat ?bot|model(?:l)?"
    r"|modelo de lenguaje|mod[eè]le de langage|modello linguistico|modelo de linguagem|asistente(?: de IA)?)"
)
MADE = (
    r"(?:trained|developed|created|made|built|designed|fine-tuned|powered|entwickelt|trainiert|erstellt|geschaffen"
    r"|desarrollad[oa]|entrenad[oa]|cread[oa]|d[ée]velopp[ée]e?|cr[ée]{2}e?|entra[iî]n[ée]e?|sviluppat[oa]|creat[oa]"
    r"|desenvolvid[oa]|criad[oa]|treinad[oa])"
)
BY = r"(?:by|at|from|von|vom|por|par|da|dalla|pela|pelo|de|door)"
I_AM = (
    r"(?:\b(?:I am|I am based on|I[\'’]m|I was|my name is|call me|this is|you are (?:talking"
    r"|chatting|speaking) (?:to|with)|as)"
    r"|\b(?:ich bin|ich wurde|mein Name ist|ich hei(?:ß|ss)e)|\b(?:soy|me llamo|fui|mi nombre es)"
    r"|\b(?:je suis|je m[\'’]appelle|j[\'’]ai [ée]t[ée])|\b(?:sono|mi chiamo|sono stat[oa])|\b(?:sou"
    r"|eu sou|fui|meu nome é)"
    r"|\b(?:ik ben|mijn naam is)|(?:我是|我叫|我的名字是)|(?:я|Я|меня зовут|Меня зовут)"
    r"|(?:私は|わたしは)|(?:저는|나는))"
)
MAKER_IN_CHINESE = re.compile(r"由\s*[\w ]{1,20}(?:开发|開發|训练|訓練|研发|打造|创建|推出)")
# "As a language model trained by X", "I was created by X", "I am X, an AI assistant": of any maker with a capital.
CONFESSIONS = re.compile(
    rf"\b(?:language model|(?:AI|virtual) (?:assistant|model)|chat ?bot|Sprachmodell"
    rf"|modelo de lenguaje|mod[eè]le de langage)"
    rf"(?:[^.!?\n]{{0,40}}?\b{MADE})?\s+(?:by|von|por|par)\s+[A-Z][\w-]*(?: [A-Z][\w-]*)*"
    rf"|\b[Ii](?: was|\'m| am|’m)(?: an? [\w ]{{0,30}}?)? ?{MADE} by\s+[A-Z][\w-]*(?: [A-Z][\w-]*)*"
    rf"|\b(?:I am|I\'m|I’m|[Mm]y name is) [A-Z][\w-]+, (?:an? |your )[\w -]{{0,30}}?(?:language model"
    rf"|assistant|chatbot|AI)\b"
)
WORDS_OF_A_MODEL_NAME = re.compile(r"[-_/ ]+")
SAID_OF_ANY_MODEL = {
    "base",
    "chat",
    "instruct",
    "it",
    "small",
    "large",
    "medium",
    "tiny",
    "model",
    "test",
    "toy",
    "sft",
}
SHORTEST_NAME = 4
PART, OVERLAP, AT_THE_CUT = 2000, 500, 150  # characters that are searched at once; a name has up to 100


def may_be_blind(text: str, project: Project) -> bool:
    """Return whether an answer may stand in a blind task: it has a text, and the text does not say who made it.

    The one rule for answers that were imported, sampled, written, brought by the API, compared in an evaluation or
    ranked in the playground.
    """
    return bool(text.strip()) and names_its_model(text, project) is None


class BlindCheck:
    """`may_be_blind` for the answers of one project, each read once.

    Reading takes about a second for a million characters. Where a transaction needs to know, the answers are given
    here before it begins: a database that has one writer would wait for it. `beat` is called before each.
    """

    def __init__(self, project: Project, texts: Iterable[str] = (), *, beat: Callable[[], None] = lambda: None) -> None:
        self.project = project
        self._known: dict[str, bool] = {}
        for text in texts:
            beat()
            self(text)

    def __call__(self, text: str) -> bool:
        if text not in self._known:
            self._known[text] = may_be_blind(text, self.project)
        return self._known[text]


def names_its_model(text: str, project: Project) -> str | None:
    """Return the words by which an answer reveals which model wrote it; None where it does not."""
    own = (_own_name(project), _further_names(tuple(project.maker_names)))
    anywhere, any_name, *introductions = _patterns()
    # Most texts have no name at all, and looking for introductions takes far longer than looking for names.
    known = [anywhere, *introductions] if any_name.search(text) else []
    for pattern in (CONFESSIONS, MAKER_IN_CHINESE, *known, *filter(None, own)):
        if found := _first(pattern, text):
            return found.group().strip()
    return None


def _first(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Return what a pattern finds first in a text, which is read a part at a time.

    One search holds all other threads until it ends, half a second for some texts of 20,000 characters.
    """
    for start in range(0, max(len(text) - OVERLAP, 1), PART - OVERLAP):
        end = min(start + PART, len(text))
        found = pattern.search(text, start, end)
        # What ends beside the cut may be longer than it looks, and is found whole in the next part.
        if found and (end == len(text) or found.start() < end - OVERLAP or found.end() <= end - AT_THE_CUT):
            return found
    return None


@lru_cache(maxsize=100)
def _further_names(names: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return what finds the names that an admin of the project added, with or without a version behind them."""
    known = [name.strip() for name in names if name.strip()]
    return re.compile(EDGES.format(rf"(?:{_any_of(known)}){VERSION}"), re.IGNORECASE) if known else None


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    """Return what finds a name that is nothing else, any name, and names by which an answer introduces itself."""
    names = names_by_section()
    anywhere = _any_of(names["anywhere"])
    all_names = _any_of([*names["anywhere"], *names["self"]])
    kind = rf"(?:\s*{ARTICLE})?[\w\s]{{0,40}}?\b{KIND}"
    about = rf"(?:\s*{ARTICLE})?(?:[\w\s]{{0,40}}?\b{KIND})?"
    return (
        re.compile(EDGES.format(rf"(?:{anywhere}){VERSION}"), re.IGNORECASE),
        re.compile(all_names, re.IGNORECASE),
        # "I am Grok", "You are talking to Vicuna", "My name is Koala and I am a dialogue model".
        re.compile(
            rf"{I_AM}\s*(?:{ARTICLE}\s+)?(?:{all_names}){VERSION}(?![\w\'’])"
            rf"(?=\s*(?:$|[.,;:!?。，！]"
            rf"|(?:and|und|y|et|e) (?:I am|I[\'’]m|ich bin|soy|je suis|sono) [\w ]{{0,30}}{KIND}"
            rf"|(?:is|ist|es)\b|{ARTICLE}\s+[\w ]{{0,30}}{KIND}|{MADE}))",
            re.IGNORECASE,
        ),
        # "I was made by Google", "Ich bin ein Sprachmodell von Mistral".
        re.compile(
            rf"{I_AM}(?:{about}\s*,?\s*(?:\w+\s+)?{MADE}\s+{BY}|{kind}\s+{BY})\s+(?:{all_names}){VERSION}(?!\w)"
            rf"|{I_AM}\s+{BY}\s+(?:{all_names})\s+{MADE}(?!\w)",
            re.IGNORECASE,
        ),
    )


@cache
def names_by_section() -> dict[str, tuple[str, ...]]:
    """Return the names of maker_names.txt by section."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in NAMES_FILE.read_text("utf-8").splitlines():
        text = line.strip()
        if text.startswith("["):
            section = text.strip("[]")
            found[section] = []
        elif text and not text.startswith("#"):
            found[section].append(text)
    return {name: tuple(names) for name, names in found.items()}


def _any_of(names: list[str] | tuple[str, ...]) -> str:
    """Return the alternatives, longest first, by their first character: a search looks at those of one only."""
    by_first: dict[str, list[str]] = {}
    for name in sorted(set(names), key=len, reverse=True):
        rest = r"[-_ ]?".join(map(re.escape, re.split(r"[ -]", name[1:])))
        by_first.setdefault(name[0].lower(), []).append(rest)
    return "|".join(
        # Apart from the flag that ignores case, a set of characters is ruled out without trying what follows.
        f"(?-i:[{re.escape(first)}{re.escape(first.upper())}])(?:{'|'.join(rests)})"
        for first, rests in by_first.items()
    )


def _own_name(project: Project) -> re.Pattern[str] | None:
    """Return what finds the project's base model: its name with any hyphen or space between its parts."""
    parts = [part for part in WORDS_OF_A_MODEL_NAME.split(project.base_model.rstrip("/").rsplit("/", 1)[-1]) if part]
    if not parts:
        return None
    names = [r"[-_ ]?".join(map(re.escape, parts))]
    first = parts[0]
    if (
        len(first) >= SHORTEST_NAME
        and first.lower() not in SAID_OF_ANY_MODEL
        and re.search(r"\d|[A-Z].*[A-Z]|lm$", first)
    ):
        names.append(re.escape(first))
    return re.compile(rf"(?<!\w)(?:{'|'.join(names)})(?!\w)", re.IGNORECASE)
