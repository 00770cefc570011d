"""A snapshot in the words of the library that takes it: one function each, from one row to rows, and a row in FORMATS.

Every format is made from the rows of one snapshot type, so it is as reproducible as the snapshot is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.utils.translation import gettext, gettext_noop, pgettext

from annotation.exports.context import SnapshotRow, conversation_text
from annotation.exports.facts import KINDS
from annotation.exports.tools import with_tools
from annotation.judged.preferences import Vote
from annotation.judged.strengths import WinRecords, count, fit
from annotation.models import SnapshotType
from annotation.stats.unpaired import unpaired_labels

_Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Format:
    """A format of rows. `flat`: every cell is text, a number or a truth value, so that CSV can hold the rows.

    `loses` are kinds of `annotation.exports.facts` that such a file does not keep, `adds` those of which a reader gets
    more than the project holds; `note` gives details.
    """

    label: str
    made_from: SnapshotType
    rows: Callable[[SnapshotRow], Iterator[SnapshotRow]]
    flat: bool = False
    loses: tuple[str, ...] = ()
    adds: tuple[str, ...] = ()
    note: str = ""

    @property
    def cannot_hold(self) -> str:
        """Return what such a file cannot hold, as a sentence for the page."""
        note = gettext(self.note) if self.note else ""
        lost = [gettext(KINDS[kind]) for kind in self.loses]
        if not lost:
            return note
        names = pgettext("between the names of a list", ", ").join(lost[:-1] or lost)
        if lost[:-1]:
            names = gettext("%(names)s and %(last)s") % {"names": names, "last": lost[-1]}
        return (gettext("Not in it: %(names)s.") % {"names": names} + f" {note}").strip()


def as_it_is(row: SnapshotRow) -> Iterator[SnapshotRow]:
    """Yield the row as the snapshot stores it."""
    yield row


def text_and_label(row: SnapshotRow) -> Iterator[SnapshotRow]:
    """Yield a text with the label of most people; none where their votes are tied."""
    if row["label"] is not None:
        yield {name: value for name, value in row.items() if name != "votes"}


def preference_text(row: SnapshotRow) -> Iterator[SnapshotRow]:
    """Yield TRL's standard form: prompt, chosen and rejected as texts."""
    yield _origin(row) | {
        "prompt": _prompt_text(row["prompt"]),
        "chosen": _answer(row["chosen"]),
        "rejected": _answer(row["rejected"]),
        **_stated(row, "margin"),
    }


def preference_implicit(row: SnapshotRow) -> Iterator[SnapshotRow]:
    """Yield TRL's form with an implicit prompt: both conversations start with it."""
    yield _origin(row) | {
        "chosen": row["prompt"] + row["chosen"],
        "rejected": row["prompt"] + row["rejected"],
        **_stated(row, "margin"),
    }


def kto(row: SnapshotRow) -> Iterator[SnapshotRow]:
    """Yield answers labelled true or false by `unpaired_labels`; one with equal weight on both sides is left out."""
    for candidate, label in zip(row["candidates"], unpaired_labels(row), strict=True):
        if label is not None:
            completion = [{"role": "assistant", "content": candidate["text"]}]
            yield _origin(row) | {"prompt": row["prompt"], "completion": completion, "label": label}


def unpaired_text(row: SnapshotRow) -> Iterator[SnapshotRow]:
    """Yield TRL's unpaired preference with the prompt and the completion as texts."""
    yield _origin(row) | {
        "prompt": _prompt_text(row["prompt"]),
        "completion": _answer(row["completion"]),
        "label": row["label"],
    }


def sharegpt_kto(row: SnapshotRow) -> Iterator[SnapshotRow]:
    """Yield LLaMA-Factory's sharegpt with a `kto_tag`: true where the last answer is good."""
    system, turns = _without_system(row["prompt"])
    said = _sharegpt_turns(turns + row["completion"])
    yield {"conversations": said, "kto_tag": row["label"], "system": system}


def scores(row: SnapshotRow) -> Iterator[SnapshotRow]:
    """Yield every answer with its Bradley–Terry strength among the task's answers (`annotation.judged.strengths`)."""
    records: WinRecords = {}
    names = {place: str(place) for place in range(len(row["candidates"]))}
    for ranking in row["rankings"]:
        vote = Vote(ranking["tiers"], weight=ranking["weight"], unranked=ranking.get("unranked", ()))
        count(records, vote, names)
    for name, strength in fit(records).items():
        yield _origin(row) | {
            "prompt": _prompt_text(row["prompt"]),
            "completion": row["candidates"][int(name)]["text"],
            "score": strength.value,
            "score_low": strength.low,
            "score_high": strength.high,
            "rankings": len(row["rankings"]),
        }


def nemo_rl(row: SnapshotRow) -> Iterator[SnapshotRow]:
    """Yield NVIDIA NeMo RL's preferences: a row per vote, rank 0 best; its trainer takes the best and the worst."""
    for ranking in row["rankings"]:
        ranked = [(place, rank) for rank, tier in enumerate(ranking["tiers"]) for place in tier]
        if len(ranked) > 1 and len(ranking["tiers"]) > 1 and len(ranking.get("unranked", ())) < 2:
            yield {
                "context": row["prompt"],
                "completions": [
                    {"rank": rank, "completion": [{"role": "assistant", "content": row["candidates"][place]["text"]}]}
                    for place, rank in ranked
                ],
                "task_name": "preference",
            }


def messages(row: SnapshotRow) -> Iterator[SnapshotRow]:
    """Yield a conversation for SFT, as TRL, axolotl and OpenAI read it."""
    yield {"messages": row["prompt"] + row["completion"]}


def messages_with_tools(row: SnapshotRow) -> Iterator[SnapshotRow]:
    """Yield a conversation for SFT whose calls of tools are fields, as OpenAI reads it; arguments are a JSON text."""
    yield {"messages": with_tools(row["prompt"] + row["completion"])}


def anthropic_hh(row: SnapshotRow) -> Iterator[SnapshotRow]:
    """Yield whole transcripts, as in Anthropic's hh-rlhf; a system message, which it lacks, opens the first turn."""
    yield {name: _transcript(row["prompt"] + row[name]) for name in ("chosen", "rejected")}


def openai_preference(row: SnapshotRow) -> Iterator[SnapshotRow]:
    """Yield OpenAI's rows for preference fine-tuning."""
    yield {
        "input": {"messages": row["prompt"], "tools": [], "parallel_tool_calls": True},
        "preferred_output": row["chosen"],
        "non_preferred_output": row["rejected"],
    }


def alpaca(row: SnapshotRow) -> Iterator[SnapshotRow]:
    """Yield LLaMA-Factory's alpaca; earlier turns are its `history`."""
    system, turns = _without_system(row["prompt"])
    yield {
        "instruction": turns[-1]["content"],
        "input": "",
        "output": _answer(row["completion"]),
        "system": system,
        "history": _exchanges(turns[:-1]),
    }


def sharegpt(row: SnapshotRow) -> Iterator[SnapshotRow]:
    """Yield LLaMA-Factory's sharegpt."""
    system, turns = _without_system(row["prompt"])
    yield {"conversations": _sharegpt_turns(turns + row["completion"]), "system": system}


def sharegpt_preference(row: SnapshotRow) -> Iterator[SnapshotRow]:
    """Yield LLaMA-Factory's sharegpt with chosen and rejected (`ranking: true` in its dataset_info.json)."""
    system, turns = _without_system(row["prompt"])
    yield {
        "conversations": _sharegpt_turns(turns),
        "chosen": _sharegpt_turns(row["chosen"])[0],
        "rejected": _sharegpt_turns(row["rejected"])[0],
        "system": system,
    }


def instruction_alpaca(row: SnapshotRow) -> Iterator[SnapshotRow]:
    """Yield Alpaca's three fields."""
    yield {name: row[name] for name in ("instruction", "input", "output")}


def instruction_prompt_completion(row: SnapshotRow) -> Iterator[SnapshotRow]:
    """Yield TRL's prompt and completion; the input is a paragraph below the instruction."""
    asked = "\n\n".join(filter(None, [row["instruction"], row["input"]]))
    yield {
        "prompt": [{"role": "user", "content": asked}],
        "completion": [{"role": "assistant", "content": row["output"]}],
        "split": row["split"],
    }


# A pair is merged out of everybody's rankings: single people and whole orders are not in it.
MERGED = ("answers", "votes", "ties", "margins", "ratings", "people", "reasons", "dates", "lines")
TOOLS = gettext_noop(
    "The descriptions of the tools are not kept: add them as tools, or to the system message. Messages have tool_calls "
    "only where there are some."
)
UNPAIRED_NOTE = gettext_noop(
    "Where nobody drew a line the best answer is called good and the worst bad; the middle is left out, and so is what "
    "as many people call good as bad."
)
AS_PROMPTS = gettext_noop("Tasks come back as prompts with a reference response.")
FORMATS: dict[str, Format] = {
    "preference": Format(
        "TRL preference: messages",
        SnapshotType.PREFERENCE,
        as_it_is,
        loses=MERGED,
        note=gettext_noop(
            "Each pair has its votes for, against and tied. TRL's reward trainer subtracts a margin wherever it finds "
            "the column: where only some pairs state one, leave it out there."
        ),
    ),
    "preference-text": Format(
        "TRL preference: text",
        SnapshotType.PREFERENCE,
        preference_text,
        flat=True,
        loses=MERGED,
        note=gettext_noop("A conversation is one text with its roles, and is cut at them on the way back."),
    ),
    "preference-implicit": Format(
        "TRL preference: implicit prompt", SnapshotType.PREFERENCE, preference_implicit, loses=MERGED
    ),
    "hh": Format(
        "Anthropic HH",
        SnapshotType.PREFERENCE,
        anthropic_hh,
        flat=True,
        loses=(*MERGED, "systems"),
        note=gettext_noop(
            "A system message opens the first question; a text with a speaker's mark in it is cut there when read."
        ),
    ),
    "openai-preference": Format(
        "OpenAI preference fine-tuning", SnapshotType.PREFERENCE, openai_preference, loses=MERGED
    ),
    "sharegpt-preference": Format(
        "LLaMA-Factory sharegpt ranking", SnapshotType.PREFERENCE, sharegpt_preference, loses=MERGED
    ),
    "ranking": Format("Rankings with all answers", SnapshotType.RANKING, as_it_is, loses=("reasons",)),
    "unpaired": Format(
        "TRL unpaired preference with votes",
        SnapshotType.UNPAIRED,
        as_it_is,
        loses=("pairs", *MERGED),
        adds=("below",),
        note=UNPAIRED_NOTE,
    ),
    "unpaired-text": Format(
        "TRL unpaired preference: text",
        SnapshotType.UNPAIRED,
        unpaired_text,
        flat=True,
        loses=("pairs", *MERGED),
        adds=("below",),
        note=gettext_noop(
            "Where nobody drew a line the best answer is called good and the worst bad; the middle is left out, and so "
            "is what as many people call good as bad. A conversation is one text with its roles, and is cut at them on "
            "the way back."
        ),
    ),
    "sharegpt-kto": Format(
        "LLaMA-Factory sharegpt KTO",
        SnapshotType.UNPAIRED,
        sharegpt_kto,
        loses=("pairs", *MERGED),
        adds=("below",),
        note=UNPAIRED_NOTE,
    ),
    "scores": Format(
        "Answers with their strengths",
        SnapshotType.RANKING,
        scores,
        flat=True,
        loses=("answers", "pairs", "votes", "ties", "margins", "lines", "ratings", "people", "reasons", "dates"),
        note=gettext_noop(
            "Only how strong each answer is among others: a rating on the way back. A conversation is one text with "
            "its roles."
        ),
    ),
    "kto": Format(
        "TRL unpaired preference (KTO)",
        SnapshotType.RANKING,
        kto,
        loses=("pairs", *MERGED),
        adds=("below",),
        note=UNPAIRED_NOTE,
    ),
    "nemo-rl": Format(
        "NeMo RL preference",
        SnapshotType.RANKING,
        nemo_rl,
        loses=("pairs", *MERGED),
        note=gettext_noop("One row a ranking; rankings that only tie are left out, and everybody counts alike."),
    ),
    "prompt-completion": Format("TRL prompt and completion", SnapshotType.PROMPT_COMPLETION, as_it_is),
    "messages": Format("Messages for SFT", SnapshotType.PROMPT_COMPLETION, messages),
    "messages-tools": Format(
        "Messages with calls of tools", SnapshotType.PROMPT_COMPLETION, messages_with_tools, note=TOOLS
    ),
    "alpaca": Format("LLaMA-Factory alpaca", SnapshotType.PROMPT_COMPLETION, alpaca),
    "sharegpt": Format("LLaMA-Factory sharegpt", SnapshotType.PROMPT_COMPLETION, sharegpt),
    "prompt-only": Format("TRL prompt only", SnapshotType.PROMPTS, as_it_is),
    "classification": Format(
        "Text and label",
        SnapshotType.CLASSIFICATION,
        text_and_label,
        flat=True,
        loses=("label_votes",),
        adds=("labels",),
        note=gettext_noop(
            "Texts whose votes are tied are left out. Answers on one side of a line that people drew are labelled "
            "acceptable or unacceptable, too."
        ),
    ),
    "label-votes": Format(
        "Texts with every vote on their label",
        SnapshotType.CLASSIFICATION,
        as_it_is,
        adds=("labels",),
        note=gettext_noop(
            "Weights of votes are in it; read back, every vote counts alike. Answers on one side of a line that people "
            "drew are labelled acceptable or unacceptable, too."
        ),
    ),
    "instruction": Format(
        "Instructions and where they come from",
        SnapshotType.INSTRUCTION,
        as_it_is,
        flat=True,
        adds=("prompts",),
        note=AS_PROMPTS,
    ),
    "instruction-alpaca": Format(
        "Alpaca", SnapshotType.INSTRUCTION, instruction_alpaca, flat=True, adds=("prompts",), note=AS_PROMPTS
    ),
    "instruction-trl": Format(
        "TRL prompt and completion",
        SnapshotType.INSTRUCTION,
        instruction_prompt_completion,
        adds=("prompts",),
        note=AS_PROMPTS,
    ),
    "judgments": Format("Raw annotations", SnapshotType.JUDGMENTS, as_it_is),
}
# The format in which a snapshot is stored: no row is changed.
STORED = {format.made_from: name for name, format in FORMATS.items() if format.rows is as_it_is}


def formats_of(type: str) -> dict[str, Format]:
    return {name: format for name, format in FORMATS.items() if format.made_from == type}


def _stated(row: SnapshotRow, name: str) -> SnapshotRow:
    """Return a column that only some snapshots have."""
    return {name: row[name]} if name in row else {}


def _origin(row: SnapshotRow) -> SnapshotRow:
    return {name: row[name] for name in ("prompt_id", "group_id", "split")}


def _answer(message: _Messages) -> str:
    return message[0]["content"]


def _prompt_text(prompt: _Messages) -> str:
    """Return a single question as it is, a conversation with its roles."""
    return prompt[0]["content"] if len(prompt) == 1 else conversation_text(prompt)


def _transcript(conversation: _Messages) -> str:
    system, turns = _without_system(conversation)
    turns = _with_users(turns)
    speakers = {"user": "Human", "assistant": "Assistant"}
    said = [turn["content"] for turn in turns]
    if system:
        said[0] = f"{system}\n\n{said[0]}"
    return "".join(f"\n\n{speakers[turn['role']]}: {text}" for turn, text in zip(turns, said, strict=True))


def _without_system(conversation: _Messages) -> tuple[str, _Messages]:
    if conversation[0]["role"] == "system":
        return conversation[0]["content"], conversation[1:]
    return "", conversation


def _with_users(turns: _Messages) -> _Messages:
    """Return turns in which a later system message, which some formats lack, is a turn of the user."""
    return [{**turn, "role": "user"} if turn["role"] == "system" else turn for turn in turns]


def _exchanges(turns: _Messages) -> list[list[str]]:
    """Return pairs of question and answer; consecutive messages of one role are joined."""
    merged: list[dict[str, str]] = []
    for turn in _with_users(turns):
        if merged and merged[-1]["role"] == turn["role"]:
            merged[-1] = {"role": turn["role"], "content": f"{merged[-1]['content']}\n\n{turn['content']}"}
        else:
            merged.append(turn)
    if merged and merged[0]["role"] == "assistant":
        merged.insert(0, {"role": "user", "content": ""})
    if len(merged) % 2:
        merged.append({"role": "assistant", "content": ""})
    return [[one["content"], other["content"]] for one, other in zip(merged[::2], merged[1::2], strict=True)]


def _sharegpt_turns(turns: _Messages) -> _Messages:
    speakers = {"user": "human", "assistant": "gpt", "system": "system"}
    return [{"from": speakers[turn["role"]], "value": turn["content"]} for turn in turns]
