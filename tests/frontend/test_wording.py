"""Pages, messages and descriptions use the field's words: the phrases listed here may not come back."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "templates").rglob("*.html"))
SCRIPTS = sorted((ROOT / "frontend" / "static" / "scripts").glob("*.js"))
# The text of seed tasks and of name patterns is data for models; recipes write logs and results.
DATA = {
    "training/recipes",
    "training/instructions",
    "training/exports",
    "annotation/blinding.py",
    "annotation/simulated_judges.py",
    "migrations",
}
SOURCES = [
    path
    for folder in ("annotation", "training", "frontend")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not any(part in path.as_posix() for part in DATA)
]
# Each with the words that take its place.
REPLACED = {
    r"page also does it by itself": "updates automatically",
    r"\bseats? judged": "annotations done",
    r"what people said": "annotations",
    r"people said": "annotations",
    r"rankings that count\b": "valid",
    r"for the model to answer": "in the data set",
    r"answers of models": "model responses",
    r"right about unseen": "accuracy on held-out pairs",
    r"in use, of": "active",
    r"\byour part\b": "your progress",
    r"seat is open": "tasks available",
    r"what is not a tie": "ties excluded",
    r"next: a model": "Next: prepare the base model",
    r"only people can say": "evaluate",
    r"the queue is done": "All tasks completed",
    r"watch it|look at it\b|see why": "View round",
    r"i have looked": "Resume sampling",
    r"at work now": "Active now",
    r"accounts and data": "User administration",
    r"settled last": "Resolved",
    r"withdraw the text": "Remove from new tasks",
    r"a withdrawn text is in no new task": "removed from new tasks",
    r"whose order is known": "with an expert ranking",
    r"go round again": "try again",
    r"nothing to practise on": "No practice tasks",
    r"pairs as known": "pairs match",
    r"what you did in": "Your annotations",
    r"people want different things": "typical",
    r"what the model is asked": "held out for evaluation",
    r"kept for evaluation": "held out",
    r"what a file may look like": "File format examples",
    r"before anything is\b": "review before importing",
    r"nothing is taken yet": "nothing imported yet",
    r">another file<": "Choose another file",
    r"to the prompts<": "View prompts",
    r"rows that are not taken": "skipped rows",
    r"calls things by other names": "Map columns",
    r"preferences out of a file": "Imported preferences",
    r"how far people agree": "Inter-annotator agreement",
    r"two people choose": "Pairwise agreement",
    r"compute again": "Recompute",
    r"with themselves": "Self-consistency",
    r"with known orders": "Gold accuracy",
    r"where an answer stood|what stands first": "Position bias",
    r"answers below the line": "Unacceptable",
    r"never punished|\d hasty|: hasty": "Too fast",
    r"too fast to be read": "Too fast",
    r"count again": "Include again",
    r"take out chance": "chance-corrected",
    r"to look at \(|decide anew|decide this order": "adjudicate",
    r"known (tasks?|orders?|answers?)\b": "gold",
    r"no longer known|is known now": "gold",
    r"let the votes count": "Discard adjudication",
    r"finds the comment under": "Comment sent.",
    r"held against": "gold",
    r"until a moment": "Immutable",
    r"took snapshot|take a snapshot|take snapshot|took a snapshot": "Create snapshot",
    r"\bout of\b.*taken": "Contents, Created",
    r"only some of the judgments": "Filter",
    r"least agreement": "Min. agreement",
    r"by number, as on": "Annotator IDs",
    r"somebody's judgments|count no more": "data excluded",
    r"rows in and out": "Counts",
    r"asked for</th>": "Filters",
    r"whose answers are preferred": "Bradley–Terry by source",
    r"none named": "not set",
    r"breaks off": "resumable",
    r"turn of the circle|the whole circle|\bthe circle\b": "round",
    r"a coin is right|going by length": "Length-only baseline",
    r"on its own prompts": "Train accuracy",
    r"pairs it was measured": "Eval pairs",
    r"ended by themselves": "Finished (EOS)",
    r"most memory\b": "Peak memory",
    r"how far its certainty|as sure as right": "calibration",
    r"tokens and what is learned|learns to say": "loss mask",
    r"start by themselves": "Automatic rounds",
    r"which is better\?": "Compare",
    r"in use, one after the other|into use\b": "Deployment history, Activate",
    r"judgments behind it|people’s ladder|people's ladder": "Training data, Human Elo",
    r"merge into a whole": "Merge adapter",
    r"ask any version|blind beside|longest reply": "Playground",
    r"on one ladder|compare two<|both sides answer|ask nobody": "Leaderboard",
    r"taken out</dt>|say the same</dt>": "Length-controlled win rate",
    r"took of people|in money|reckon\b": "Costs, Rates, Calculate",
    r"weights that learn|measure more|dear in people": "Trainable params",
    r"save all the same|what was tried|take them with you|stands there": "Runs, Export",
    r"is no member any more": "removed",
    r"is told of|told nothing|tell it when|webhook is there": "Events",
    r"days until it is over|make token|over since": "Expires in (days)",
    r"not for your role|>nothing here|please send that again|something broke": "No permission",
    r"sign of life": "inactivity",
    r"before seeing answers": "first draft",
    r"least sure texts first": "Uncertainty sampling",
    r"stands on every": "shown on every",
    r"lock yourself": "your own role",
    r"\bsomebody\b|\bwhoever\b": "a person, a member, the annotator",
    r"\bhand(ed|s)? (it |them )?in\b": "submit",
    r"reference answers?": "reference response",
    r"raised the alarm|the alarm\b": "reported a problem",
    r"\btaken back\b": "undone",
    r">look again|look for a task": "Refresh, Get next task",
    r"yours for|time is over": "Reserved for, Reservation expired",
    r"give every answer|(answers?|responses?) ha(s|ve) no place|\bto place\b|place 1st": "Rank",
    r"draw the line|take the line|move the line": "“unacceptable” cutoff",
    r"take out\b.*ranking|\btake out\"": "Unrank",
    r"dim shared words": "Highlight differences",
    r"single keys work": "Enable single-key shortcuts",
    r"follows by itself": "filled in automatically",
    r"in a few words why": "Rationale required",
    r"something is wrong with|\bflag it\b|stop the sampling": "Report, Pause sampling",
    r"i do not know enough|answers are broken|i do not want to read": "Outside my expertise",
    r"start from nothing|bring it back|bring my": "Clear, Restore",
    r"unchanged so far": "Edit the response before submitting",
    r"keep this as my first": "Save draft and reveal responses",
    r"put back what|\bchange it <": "Revert to original, Edit",
    r"how thoroughly|stages in (an|your own) order|does everything run": "Budget, Custom stages, smoke test",
    r"value that it shows in grey": "Leave a field blank",
    r"would not start": "Cannot start:",
    r"nothing is guessed": "no estimate without earlier runs",
    r"repeat elsewhere|start one like|go on anyway": "Export training script, Duplicate round, Continue anyway",
    r"all points as csv": "Download CSV",
    r"where the reward model is right": "Accuracy by slice",
    r"goes on past its gate": "continues past its quality gate",
    r"unseen prompts|own prompts": "held-out prompts, training prompts",
}


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield lines of a page or script, and the strings of a module that are no docstrings, with their line."""
    if path.suffix != ".py":
        code = re.sub(r"\{#.*?#\}|//.*|/\*.*?\*/", "", path.read_text("utf-8"))
        yield from enumerate(code.splitlines(), 1)
        return
    tree = ast.parse(path.read_text("utf-8"))
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


def _found(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line}: {text.strip()[:120]}" for path, line, text in _all() if pattern.search(text)
    ]


@functools.cache
def _all() -> list[tuple[Path, int, str]]:
    """Return all texts; at the first test and not at collection, which each process of a test run does as a whole."""
    return [(path, line, text) for path in (*PAGES, *SCRIPTS, *SOURCES) for line, text in _texts(path)]


@pytest.mark.parametrize("phrase", REPLACED)
def test_a_phrase_that_was_replaced_stays_out(phrase):
    found = _found(re.compile(phrase, re.IGNORECASE))
    assert not found, f"write {REPLACED[phrase]!r} instead:\n" + "\n".join(found)
