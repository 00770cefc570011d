"""How a model writes a conversation as tokens: where a text begins, where an answer ends, what is markup.

Everything that reads, samples, scores, trains or shows tokens asks here, with torch or without. Three things are
decided, from the tokenizer, the generation config and the chat template:

- The *stops* are the tokens that end an answer; the *closing* one is what the template writes behind an answer, and
  what training and scoring put there.
- Text of people, files and models never becomes a control token. A control token that is spelled in a text gets a mark
  inside before the template is rendered, and the copy of the tokenizer that is used here splits at that mark and drops
  it. Text without such spellings has exactly the tokens that `apply_chat_template` gives it.
- Where the template writes something between its generation prompt and an answer (an empty block of thoughts, a
  space), prompt and answer together read as the template renders them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from tokenizers import Tokenizer, pre_tokenizers

from annotation.plain_text import cleaned_text
from training.tokenizers.conversations import calls_of, variants
from training.tokenizers.settings import OFF, SHOWN, ChatSettings
from training.tokenizers.templates import ChatMessage, ChatTemplate
from training.tokenizers.thoughts import split_thoughts, tag_left_open

MARK = "\ufdd0"  # a noncharacter: Unicode keeps it for a program's own use, no text has it
BYTES_OF_MARK = "ï·Ĳ"  # EF B7 90, in the letters that byte-level tokenizers write bytes with
REPLACEMENT = "\ufffd"
# Added tokens that no tokenizer calls special, but that are markup by their looks.
MARKUP = re.compile(r"<[|｜].+[|｜]>|\[/?[A-Z_]{3,}\]|</?(?:think|tools?|tool_\w+)>")
QUESTION, ANSWER, NEXT = "QUESTION", "ANSWER", "FOLLOWUP"


class FormatError(ValueError):
    """Raised for a model, conversation or text that cannot be tokenised; the message gives the reason."""


class ChatFormat:
    """A tokenizer with a chat template. `stops` and `closing` are token ids."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        template: str,
        special: Mapping[str, str],
        declared_stops: Iterable[int] = (),
        settings: ChatSettings | None = None,
    ) -> None:
        """`special` are special tokens by name (bos_token, …); `declared_stops` those of the generation config."""
        self.settings = settings or ChatSettings()
        self.special = dict(special)
        try:
            self.template = ChatTemplate(template, {**special, **self.settings.template_kwargs})
        except TemplateError as problem:
            raise FormatError(f"The chat template cannot be read: {problem}") from None
        self._inner = _splitting_at_mark(tokenizer)
        self.control = self._control_tokens(template)
        ids = [self._inner.token_to_id(text) for text in self.control]
        unknown = self._inner.token_to_id(special.get("unk_token", ""))
        self._control_ids = {number for number in ids if number is not None and number != unknown}
        spelled = sorted(self.control, key=len, reverse=True)
        self._spelled = re.compile("|".join(map(re.escape, spelled))) if spelled else None
        self._read_template(set(declared_stops))

    # --- what the template does ---------------------------------------------------------------------------------

    def _control_tokens(self, template: str) -> set[str]:
        """Return the texts of the tokens that may only come from a template."""
        control = {text for text in self.special.values() if self._inner.token_to_id(text) is not None}
        for token in self._inner.get_added_tokens_decoder().values():
            text = token.content
            looks_like_markup = len(text) > 2 and text[0] in "<[{|" and text in template
            if text and (token.special or looks_like_markup or MARKUP.fullmatch(text)):
                control.add(text)
        return control

    def _read_template(self, declared: set[int]) -> None:
        """Find the markup around an answer by rendering a conversation of known texts."""
        asked = [{"role": "user", "content": QUESTION}]
        answered = [*asked, {"role": "assistant", "content": ANSWER}]
        try:
            prompt = self.template.render(asked, generation_prompt=True)
            whole = self.template.render(answered, generation_prompt=False)
            longer = self.template.render([*answered, {"role": "user", "content": NEXT}], generation_prompt=True)
        except TemplateError as problem:
            raise FormatError(f"The chat template refuses a question with an answer ({problem})") from None
        if ANSWER not in whole or QUESTION not in prompt:
            raise FormatError("The chat template leaves out what people or the assistant say")
        before, _, tail = whole.rpartition(ANSWER)
        shared = next(length for length in range(len(prompt), -1, -1) if before.startswith(prompt[:length]))
        self._dropped, lead = prompt[shared:], before[shared:]
        # A space belongs to the answer's first token; anything else stands before every answer, sampled or given.
        self._space = lead if not lead.strip() else ""
        self._lead = "" if self._space else lead
        self._opened = tag_left_open(prompt)
        self._thinks = bool(self._opened) or bool(self._lead and split_thoughts(self._lead, self._opened).block)
        self._around = prompt.rpartition(QUESTION)[2]
        asked_only = self.template.render(asked, generation_prompt=False)
        # What the template puts before an answer, and nothing of the turn before.
        self.generation_prompt = prompt[len(asked_only) :] if prompt.startswith(asked_only) else ""
        self.generation_prompt = self.generation_prompt or self._around
        self._read_ends(tail, longer.rpartition(ANSWER)[2].partition(NEXT), declared)

    def _read_ends(self, tail: str, following: tuple[str, str, str], declared: set[int]) -> None:
        between, _, opening = following
        turn_ends = self._controls_in(tail) + [token for token in self._controls_in(between) if token in declared]
        eos, bos = (self._inner.token_to_id(self.special.get(name, "")) for name in ("eos_token", "bos_token"))
        # A generation config may name a token that the tokenizer does not have: it ends an answer, if ever drawn.
        candidates = [*turn_ends, eos, *(token for token in sorted(declared) if self._is_known(token)), bos]
        closing = next((token for token in candidates if token is not None), None)
        if closing is None:
            raise FormatError(
                "Nothing ends an answer: the tokenizer has no end-of-sequence token, the generation config names none "
                "and the chat template writes none"
            )
        self.closing = int(closing)
        stops = {self.closing, *declared, *self._controls_in(tail), *self._controls_in(between)}
        if eos is not None:
            stops.add(eos)
        # What stands between prompt and answer is no end, whatever else it opens.
        self.stops = frozenset(stops - set(self._controls_in(self._lead)) | {self.closing})
        # Without such tokens between turns, another speaker's turn is known by its text.
        texts = [] if self._controls_in(between) else [between.rstrip(), opening.rstrip()]
        self.turn_texts = tuple(text for text in texts if len(text.strip()) > 2)

    def _is_known(self, token: int) -> bool:
        """Return whether the tokenizer has this token: a model's embedding may have more rows than that."""
        return 0 <= token < 1 << 32 and self._inner.id_to_token(token) is not None

    def _controls_in(self, text: str) -> list[int]:
        return [token for token in self.encode(text) if token in self._control_ids]

    # --- text to tokens -----------------------------------------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        """Return token ids of text with markup; nothing is put before or behind it."""
        ids: list[int] = self._inner.encode(text, add_special_tokens=False).ids
        return ids

    def render(self, messages: Sequence[ChatMessage], *, asks: bool = False) -> str:
        """Return the conversation as text, up to where the answer begins, with marks in spelled control tokens.

        With `asks` a model that may think is let think; otherwise the text is what answers are read after.
        """
        if not messages:
            raise FormatError("no messages")
        text = self._rendered(messages)
        return text if asks and self.settings.thoughts != OFF else self.ready(text)

    def ready(self, rendered: str) -> str:
        """Return a rendered conversation up to where the answer starts; a block of thoughts is closed."""
        if self.settings.thoughts == SHOWN or not rendered.endswith(self._dropped):
            return rendered
        rendered = rendered[: len(rendered) - len(self._dropped)]
        return rendered if self._lead and rendered.endswith(self._lead) else rendered + self._lead

    def _rendered(self, messages: Sequence[ChatMessage]) -> str:
        problem = ""
        for variant in variants(self._protected(messages)):
            try:
                text = self.template.render(variant, generation_prompt=True)
            except TemplateError as refusal:
                problem = problem or str(refusal)
                continue
            lost = next((entry for entry in variant if not _is_in(entry, text)), None)
            if lost is None:
                return text
            problem = problem or f"it leaves out a message of the {lost.get('role')}"
        raise FormatError(f"the chat template refuses it ({problem})")

    def prompt(self, messages: Sequence[ChatMessage], *, asks: bool = False) -> list[int]:
        """Return the tokens of a conversation up to where the answer begins. Raises FormatError with a reason."""
        return self.tokens_of(self.render(messages, asks=asks))

    def tokens_of(self, rendered: str) -> list[int]:
        """Return the tokens of rendered text, sure that no marked spelling became a control token."""
        ids = self.encode(rendered)
        written = len(self._spelled.findall(rendered)) if self._spelled else 0
        if sum(token in self._control_ids for token in ids) > written:
            raise FormatError("a text in it would become a control token")
        return ids

    def answer(self, text: str) -> list[int]:
        """Return the tokens of an answer as it is trained on and scored: its text, then the closing token."""
        before, text = self._opening_of(text)
        anchor, ids = self.encode(self._around + before), self.tokens_of(self._around + before + text)
        if ids[: len(anchor)] != anchor:
            anchor, ids = [], self.tokens_of(before + text)
        found = ids[len(anchor) :] if not before or before == self._space else self.encode(before) + ids[len(anchor) :]
        return [*found, self.closing]

    def _opening_of(self, text: str) -> tuple[str, str]:
        """Return the markup before an answer, and the answer's text with marks."""
        if self.settings.thoughts != SHOWN or not self._thinks:
            return "", self._space + self.protect(text)
        given = text.removeprefix(self._opened).lstrip("\n") if self._opened else text
        thought = split_thoughts(text)
        if not thought.block:
            return self._lead, self.protect(text)
        block = thought.block.lstrip().removeprefix(self._opened).lstrip("\n") if self._opened else thought.block
        return block, self.protect(thought.answer if thought.closed else given)

    def protect(self, text: str) -> str:
        """Return the text with a mark inside every control token that it spells."""
        text = text.replace(MARK, REPLACEMENT)
        return self._spelled.sub(lambda found: found[0][0] + MARK + found[0][1:], text) if self._spelled else text

    def _protected(self, value: Any) -> Any:
        """Return messages with marks in all their texts; a turn of the assistant goes without its thoughts."""
        match value:
            case str():
                return self.protect(value)
            case Mapping():
                if value.get("role") == "assistant" and isinstance(value.get("content"), str):
                    value = {**value, "content": split_thoughts(value["content"]).answer}
                return {name: self._protected(entry) for name, entry in value.items()}
            case list() | tuple():
                return [self._protected(entry) for entry in value]
        return value

    # --- tokens to text -----------------------------------------------------------------------------------------

    def is_over(self, tokens: Sequence[int]) -> bool:
        """Return whether the tokens of an answer end it: by a stop token, or by opening another speaker's turn."""
        if tokens and tokens[-1] in self.stops:
            return True
        return bool(self.turn_texts) and self._turn_begins(self.decode(tokens)) is not None

    def text(self, tokens: Sequence[int], *, asked: bool = False) -> str:
        """Return the visible text of an answer: without the stop, and without thoughts unless the project shows them.

        A turn of another speaker that the model opens is cut off. `asked`: it was sampled after a prompt that allows
        thoughts.
        """
        end = next((place for place, token in enumerate(tokens) if token in self.stops), len(tokens))
        return self.visible(self.decode(tokens[:end]), opened=self._opened if asked else "")

    def visible(self, text: str, *, opened: str = "") -> str:
        """Return what people see of an answer's text up to its stop; `opened` is the tag that its prompt ends in."""
        begins = self._turn_begins(text)
        text = text if begins is None else text[:begins]
        text = cleaned_text(text.removeprefix(self._space))
        opened = opened if self.settings.thoughts != OFF else ""
        if self.settings.thoughts == SHOWN:
            return f"{opened}\n{text}" if opened else text
        return split_thoughts(text, opened).answer

    def is_as_seen(self, tokens: Sequence[int]) -> bool:
        """Return whether drawn tokens are just what people see: text, and no other stop than the closing one."""
        body = tokens[:-1] if tokens and tokens[-1] == self.closing else tokens
        if not body:
            return bool(tokens)
        if any(token in self._control_ids or token in self.stops or not self._is_known(token) for token in body):
            return False
        text = self.decode(body)
        return text == cleaned_text(text) and self._turn_begins(text) is None and not split_thoughts(text).block

    def scored(self, tokens: Sequence[int]) -> list[int]:
        """Return drawn tokens with the closing one behind them, or those of the text that people see if it differs."""
        drawn = list(tokens)
        if self.is_as_seen(drawn):
            return drawn if drawn[-1] == self.closing else [*drawn, self.closing]
        text = self.text(drawn)
        return self.answer(text) if text else [self.closing]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens with every control token spelled out."""
        return str(self._inner.decode(list(tokens), skip_special_tokens=False))

    def _turn_begins(self, text: str) -> int | None:
        places = [place for turn in self.turn_texts if (place := text.find(turn)) >= 0]
        return min(places, default=None)


def _splitting_at_mark(tokenizer: Tokenizer) -> Tokenizer:
    """Return a copy of the tokenizer to which a mark is a border between tokens and nothing else."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    copy.encode_special_tokens = False
    own = copy.pre_tokenizer
    if own is None:
        copy.pre_tokenizer = pre_tokenizers.Split(MARK, "removed")
        return copy
    # After the tokenizer's own steps, which may write bytes as other letters and put a space before every piece.
    written = "".join(piece for piece, _ in own.pre_tokenize_str(MARK))
    steps = [own, pre_tokenizers.Split(MARK if MARK in written else BYTES_OF_MARK, "removed")]
    copy.pre_tokenizer = pre_tokenizers.Sequence(steps)
    return copy


def _is_in(message: ChatMessage, text: str) -> bool:
    """Return whether what a message says, and the tools that it calls, are in the rendered text."""
    content = message.get("content")
    names = [str(call.get("name", "")) for call in calls_of(message)]
    if not all(name in text for name in names):
        return False
    if not isinstance(content, str) or content.strip() in text:
        return True
    return json.dumps(content.strip(), ensure_ascii=False)[1:-1] in text  # as templates write results of tools


# --- from files ------------------------------------------------------------------------------------------------


def declared_stops(generation_config: Mapping[str, Any] | None) -> list[int]:
    """Return the end tokens of a generation config, which has none, one or several."""
    given = (generation_config or {}).get("eos_token_id")
    return [int(token) for token in (given if isinstance(given, list | tuple) else [given]) if token is not None]


def special_tokens(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return special tokens by name out of a tokenizer_config.json, as chat templates ask for them."""
    named = {name: value for name, value in settings.items() if name.endswith("_token") and value}
    return {
        name: str(value["content"] if isinstance(value, Mapping) else value)
        for name, value in named.items()
        if isinstance(value, str | Mapping)
    }


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one where there is no such file."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found
