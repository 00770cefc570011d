"""Shapes of files, one function and one row each: the first in SHAPES that knows a row reads it."""

from __future__ import annotations

from annotation.imports.fields import Fields
from annotation.imports.shapes import (
    alpaca,
    arena,
    argilla,
    asked,
    batch,
    chats,
    compared,
    comparisons,
    evaluated,
    helpsteer,
    hh,
    label_studio,
    labelled,
    listed,
    ms_swift,
    nectar,
    nemo,
    oasst,
    openai,
    plain,
    potato,
    prefloop,
    prism,
    prometheus,
    sharegpt,
    squad,
    traces,
    trl,
    two_answers,
    ultrafeedback,
)
from annotation.imports.shapes.known import AskedShapes
from annotation.imports.shapes.shape import Shape

SHAPES: dict[str, Shape] = {
    "prefloop-rankings": prefloop.RANKING,
    "prefloop-judgments": prefloop.JUDGMENT,
    "prefloop-preference": prefloop.PREFERENCE,
    "prefloop-implicit": prefloop.IMPLICIT,
    "prefloop-text": prefloop.TEXT,
    "prefloop-scores": prefloop.SCORES,
    "openai-batch": batch.BATCH,
    "oasst": oasst.TREE,
    "oasst-messages": oasst.MESSAGES,
    "open-webui": chats.OPEN_WEBUI,
    "chatgpt": chats.CHATGPT,
    "label-studio": label_studio.TASKS,
    "argilla": argilla.RECORDS,
    "argilla-hub": argilla.FLAT,
    "prodigy": labelled.PRODIGY,
    "openai-preference": openai.PREFERENCE,
    "ms-swift": ms_swift.PREFERENCE,
    "prometheus": prometheus.PREFERENCE,
    "prometheus-feedback": prometheus.FEEDBACK,
    "sharegpt-preference": sharegpt.PREFERENCE,
    "sharegpt-kto": sharegpt.KTO,
    "sharegpt": sharegpt.CONVERSATION,
    "nemo-rl": nemo.NEMO,
    "prism": prism.CONVERSATION,
    "prism-utterances": prism.UTTERANCE,
    "nectar": nectar.NECTAR,
    "ultrafeedback": ultrafeedback.RAW,
    "ultrafeedback-binarized": ultrafeedback.BINARIZED,
    "helpsteer3": helpsteer.PREFERENCES,
    "helpsteer3-edits": helpsteer.EDITS,
    "helpsteer3-feedback": helpsteer.FEEDBACK,
    "helpsteer2": helpsteer.RATED,
    "pku-saferlhf": two_answers.PKU,
    "shp": two_answers.SHP,
    "pandalm": two_answers.PANDALM,
    "llmbar": two_answers.LLMBAR,
    "webgpt": comparisons.WEBGPT,
    "summaries": comparisons.SUMMARIES,
    "summaries-rated": comparisons.RATED_SUMMARY,
    "arena": arena.BATTLE,
    "arena-answers": arena.ANSWERS,
    "label-studio-flat": label_studio.FLAT,
    "evaluated": evaluated.EVALUATED,
    "langsmith": traces.LANGSMITH,
    "langfuse": traces.LANGFUSE,
    "squad": squad.SQUAD,
    "answers-in-columns": compared.COMPARED,
    "answers-in-list": listed.LISTED,
    "hh": hh.PAIR,
    "trl-preference": trl.PREFERENCE,
    "trl-stepwise": trl.STEPWISE,
    "trl-kto": trl.UNPAIRED,
    "alpaca-kto": alpaca.KTO,
    "answer-rated": asked.RATED,
    "alpaca": alpaca.ALPACA,
    "potato": potato.POTATO,
    "openai": openai.CHAT,
    "label-votes": labelled.VOTED,
    "labelled": labelled.LABELLED,
    "trl-completion": prefloop.COMPLETION,
    "question-answer": asked.ANSWERED,
    "mt-bench-questions": asked.QUESTIONS_ALONE,
    "transcript": hh.TRANSCRIPT,
    "plain": plain.PLAIN,
}
PLAIN = "plain"
_ASKED = AskedShapes(SHAPES)
# Each of these sets of column names shows that the first row of a table is a header.
KNOWN_COLUMNS = tuple(names for shape in SHAPES.values() for names in shape.columns)


def shape_of(fields: Fields, before: str = PLAIN) -> str:
    """Return the name of the shape that knows a row; the one of the row before it, where that knows it as well."""
    if before != PLAIN and SHAPES[before].knows(fields):
        return before
    return next(name for name in _ASKED.possible(fields) if SHAPES[name].knows(fields))


__all__ = ["KNOWN_COLUMNS", "PLAIN", "SHAPES", "Shape", "shape_of"]
