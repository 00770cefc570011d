"""An answer that says who made it is no blind candidate: people would rank the name."""

from __future__ import annotations

import re

from annotation.models import Project

# Families and makers that models name when they speak of themselves. Each is a name and nothing else in English, or is
# asked for together with a version or a maker below.
FAMILIES = (
    "chatgpt",
    "gpt-?[2345](?:\\.\\d)?o?",
    "openai",
    "anthropic",
    "deepseek",
    "deepmind",
    "hugging ?face",
    "smollm\\d?",
    "tinyllama",
    "code ?llama",
    "llama[- ]?[234](?:\\.\\d)?",
    "mistral ?ai",
    "mixtral",
    "qwen\\d?(?:\\.\\d)?",
    "tongyi qianwen",
    "chatglm",
    "baichuan",
    "alpaca-\\d+b",
    "vicuna-\\d+b",
    "falcon-\\d+b",
    "open ?assistant",
    "stablelm",
    "pythia-\\d+",
    "gemma-\\d+",
    "phi-[1234](?:\\.\\d)?",
    "starcoder",
    "claude (?:instant|opus|sonnet|haiku|\\d)",
)
NAMES = re.compile(rf"(?<![\w/.-])(?:{'|'.join(FAMILIES)})(?![\w])", re.IGNORECASE)
# "As a large language model trained by X", "I am X, an AI assistant", "I was created by X".
CONFESSIONS = re.compile(
    r"\b(?:language model|(?:AI|virtual) (?:assistant|model)|chat ?bot)[^.!?\n]{0,40}?\b"
    r"(?:trained|developed|created|made|built) by\s+(?P<maker>[A-Z][\w-]*(?: [A-Z][\w-]*)*)"
    r"|\b[Ii](?: was|'m| am|’m)(?: an? [\w ]{0,30}?)? ?(?:trained|developed|created|built) by\s+"
    r"(?P<company>[A-Z][\w-]*(?: [A-Z][\w-]*)*)"
    r"|\b(?:I am|I'm|I’m|[Mm]y name is) (?P<name>[A-Z][\w-]+), (?:an? |your )[\w -]{0,30}?"
    r"(?:language model|assistant|chatbot|AI)\b"
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


def names_its_model(text: str, project: Project) -> str | None:
    """Return the words by which an answer reveals which model wrote it; None where it does not."""
    if found := CONFESSIONS.search(text):
        return found.group()
    if found := NAMES.search(text):
        return found.group()
    if (own := _own_name(project)) and (found := own.search(text)):
        return found.group()
    return None


def _own_name(project: Project) -> re.Pattern[str] | None:
    """Return a pattern for the base model's name, whole and by the part that identifies it."""
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
