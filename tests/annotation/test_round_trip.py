"""What is written can be read: every format out of a project and into an empty one, with random texts."""

from __future__ import annotations

import codecs
import io
import json
import os
import uuid
from pathlib import Path

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation.actions import judgments, projects, proposals, snapshots
from annotation.actions.prompts import import_prompts
from annotation.actions.round_trip import trip
from annotation.exports.classification import NOTHING_LABELLED
from annotation.exports.files import DownloadOptions, rendered
from annotation.exports.formats import FORMATS
from annotation.exports.types import NO_GOOD_ANSWER, NOTHING_PREFERRED
from annotation.imports import parse_prompts
from annotation.imports.conversations import own_conversation
from annotation.imports.transcripts import transcript_of
from annotation.models import Project, Proposal, ProposalBatch, SeatStatus, SnapshotType
from tests import NIGHTLY

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

# Anything that a text may be once it is stored: trimmed, composed, without control characters.
TEXT = (
    st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), min_size=1, max_size=30)
    .map(lambda text: parse_prompts(json.dumps({"text": f"x{text}"}).encode() + b"\n", "x.jsonl").rows)
    .filter(bool)
    .map(lambda rows: rows[0].messages[0]["content"])
    .filter(lambda text: transcript_of(text) is None and isinstance(own_conversation(text), str))
)


@st.composite
def judged_prompts(draw: st.DrawFn) -> list[dict]:
    rows = []
    for number in range(draw(st.integers(1, 3))):
        turns = [{"role": "system", "content": draw(TEXT)}] if draw(st.booleans()) else []
        for _ in range(draw(st.integers(0, 2))):
            turns += [{"role": "user", "content": draw(TEXT)}, {"role": "assistant", "content": draw(TEXT)}]
        turns.append({"role": "user", "content": f"{number} {draw(TEXT)}"})
        texts = draw(st.lists(TEXT, min_size=2, max_size=4, unique=True))
        people = draw(st.lists(st.sampled_from(["ann", "ben", "cem"]), min_size=1, unique=True))
        rankings = [_ranking(draw, len(texts), person) for person in people]
        rows.append({"prompt": turns, "candidates": [{"text": text} for text in texts], "rankings": rankings})
        rows.append({"prompt": turns, "completion": [{"role": "assistant", "content": f"{number} {draw(TEXT)}"}]})
        rows.append({"text": f"{number} {draw(TEXT)}", "label": draw(st.sampled_from(["good", "bad"]))})
    return rows


def _ranking(draw: st.DrawFn, count: int, person: str) -> dict:
    tiers: list[list[int]] = []
    for place in draw(st.permutations(range(count))):
        if tiers and draw(st.booleans()):
            tiers[-1].append(place)
        else:
            tiers.append([place])
    below = tiers[-1] if len(tiers) > 1 and draw(st.booleans()) else []
    margin = draw(st.sampled_from([-1.0, 0.25])) if count == 2 and len(tiers) == 2 else -1.0
    ratings = [{"place": 0, "criterion": "clear", "rating": 4.0}] if draw(st.booleans()) else []
    return {
        "tiers": tiers,
        "unacceptable": below,
        "unranked": [],
        "strength": -1,
        "margin": margin,
        "ratings": ratings,
        "weight": draw(st.sampled_from([1.0, 0.5])),
        "annotator": f"imported:{person}",
        "at": "2026-01-02T03:04:05+00:00",
    }


def _empty(admin, name: str) -> Project:
    return projects.create_project(project=Project(name=name), by=admin)


# A run at night tries more: PREFLOOP_ROUND_TRIP_EXAMPLES=50.
EXAMPLES = int(os.environ.get("PREFLOOP_ROUND_TRIP_EXAMPLES", "3"))
many = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.mark.parametrize("name", [name for name in FORMATS if not name.startswith("instruction")])
@many
@given(rows=judged_prompts())
def test_a_format_brings_everything_back_but_what_it_says(admin, name: str, rows: list[dict]) -> None:
    source, target = _empty(admin, "Source"), _empty(admin, "Target")
    content = "".join(json.dumps(row) + "\n" for row in rows)
    report = import_prompts(project=source, parsed=parse_prompts(content.encode(), "rows.jsonl"), by=admin)
    assert report.refused == []
    outcome = trip(source, target, name, "csv" if FORMATS[name].flat else "jsonl")
    assert (outcome.unnamed, outcome.invented, outcome.refused) == (set(), set(), [])
    assert outcome.problem in ("", NOTHING_PREFERRED, NO_GOOD_ANSWER, NOTHING_LABELLED)


@pytest.mark.parametrize("name", [name for name in FORMATS if name.startswith("instruction")])
@many
@given(tasks=st.lists(st.tuples(TEXT, st.one_of(st.just(""), TEXT), TEXT), min_size=1, max_size=3))
def test_accepted_tasks_come_back(admin, name: str, tasks: list[tuple[str, str, str]]) -> None:
    source, target = _empty(admin, "Source"), _empty(admin, "Target")
    batch = ProposalBatch.objects.create(project=source, origin="run", model="small")
    for number, (instruction, given_input, output) in enumerate(tasks):
        texts = {"instruction": f"{number} {instruction}", "input": given_input, "output": output}
        digest = Proposal.digest_of(**texts)
        proposal = Proposal.objects.create(project=source, batch=batch, index=number, digest=digest, **texts)
        (task,) = proposals.open_reviews(project=source, proposals=[proposal])
        task.assignments.update(status=SeatStatus.HELD, annotator=admin, expires_at=timezone.now())
        answer = {"verdict": "accept", "reason": "", "instruction": "", "input": "", "output": ""}
        judgments.submit(assignment=task.assignments.get(), client_uuid=uuid.uuid4(), answer=answer, active_ms=900)
    outcome = trip(source, target, name, "csv" if FORMATS[name].flat else "jsonl")
    assert (outcome.lost, outcome.invented, outcome.refused, outcome.problem) == (set(), set(), [], "")


@pytest.mark.parametrize("tiers", [[[[0, 1]]], [[[0], [1]], [[1], [0]]]], ids=["a tie", "one against one"])
def test_a_file_in_which_nobody_prefers_anything_is_refused_with_that_reason(admin, tiers: list) -> None:
    row = {
        "prompt": [{"role": "user", "content": "Which?"}],
        "candidates": [{"text": "This."}, {"text": "That."}],
        "rankings": [{"tiers": each, "annotator": f"imported:{n}"} for n, each in enumerate(tiers)],
    }
    source = _empty(admin, "Source")
    import_prompts(project=source, parsed=parse_prompts((json.dumps(row) + "\n").encode(), "rows.jsonl"), by=admin)
    outcome = trip(source, _empty(admin, "Ranking"), "ranking")
    assert outcome.problem.startswith("No ranking prefers one response to another yet")
    assert "votes" in outcome.lost
    kept = trip(source, _empty(admin, "Judgments"), "judgments")
    assert (kept.lost, kept.invented, kept.problem) == (set(), set(), "")


def test_rankings_and_raw_judgments_lose_nothing_that_anybody_said(admin) -> None:
    rows = [
        {
            "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hum"}],
            "candidates": [{"text": "Hm.", "finished": False}, {"text": "- first\n- second"}, {"text": "=SUM(A1)"}],
            "rankings": [
                {"tiers": [[0], [1, 2]], "unacceptable": [2], "annotator": "annotator-6", "at": "2025-05-05T05:05:05Z"},
                {"tiers": [[2], [0], [1]], "unacceptable": [], "annotator": "annotator-7", "weight": 0.5},
            ],
        }
    ]
    source = _empty(admin, "Source")
    parsed = parse_prompts("".join(json.dumps(row) + "\n" for row in rows).encode(), "rows.jsonl")
    assert import_prompts(project=source, parsed=parsed, by=admin).votes == 2
    for name in ("ranking", "judgments"):
        outcome = trip(source, _empty(admin, name), name)
        assert (outcome.lost, outcome.invented) == (set(), set())


def test_what_a_format_cannot_hold_is_on_the_page(project, admin, as_user, ranked_task) -> None:
    client = as_user(admin)
    client.post("/api/v1/projects/letters/snapshots/", {"type": "preference"}, content_type="application/json")
    page = client.get("/projects/letters/snapshots/1/").content.decode()
    assert "A system message opens the first question" in page
    assert "who said it" in page


def test_a_missing_margin_stays_missing(project, admin) -> None:

    from annotation.exports.context import SnapshotContext
    from annotation.exports.types import preference_rows

    def rows() -> list[dict]:
        return list(preference_rows(SnapshotContext(project, timezone.now())))

    def take(*given: dict) -> None:
        content = "".join(json.dumps(row) + "\n" for row in given).encode()
        import_prompts(project=project, parsed=parse_prompts(content, "rows.jsonl"), by=admin)

    take({"prompt": "One?", "chosen": "Yes.", "rejected": "No."})
    assert all("margin" not in row for row in rows())
    take({"prompt": "Two?", "chosen": "Yes.", "rejected": "No.", "margin": 0.25})
    assert [row["margin"] for row in rows()] == [0.25, None]


def test_a_column_of_margins_never_begins_with_null(project, admin) -> None:
    """An order of three has distances; a bare pair that came before it has none."""
    from annotation.exports.context import SnapshotContext
    from annotation.exports.files import DownloadOptions
    from annotation.exports.types import preference_rows

    given = [
        {"prompt": "One?", "chosen": "Yes.", "rejected": "No."},
        {
            "prompt": [{"role": "user", "content": "Two?"}],
            "candidates": [{"text": "a"}, {"text": "b"}, {"text": "c"}],
            "rankings": [{"tiers": [[0], [1], [2]], "annotator": "imported:ann"}],
        },
    ]
    content = "".join(json.dumps(row) + "\n" for row in given).encode()
    import_prompts(project=project, parsed=parse_prompts(content, "rows.jsonl"), by=admin)
    rows = list(preference_rows(SnapshotContext(project, timezone.now())))
    assert [row["margin"] for row in rows] == [0.5, 1.0, 0.5, None]
    file = io.BytesIO()
    DownloadOptions("preference-text", "csv").write(lambda: iter(rows), file)
    assert file.getvalue().count(b"\r\n") == 5


def test_several_peoples_votes_of_one_pair_are_merged_and_not_two_pairs(project, admin) -> None:

    from annotation.exports.context import SnapshotContext
    from annotation.exports.types import preference_rows

    task = {
        "id": 1,
        "data": {"prompt": "One?", "answer1": "Yes.", "answer2": "No."},
        "annotations": [
            {"completed_by": number, "result": [{"to_name": "answer1,answer2", "value": {"selected": side}}]}
            for number, side in enumerate(("left", "right", "left"))
        ],
    }
    parsed = parse_prompts(json.dumps([task]).encode(), "tasks.json")
    report = import_prompts(project=project, parsed=parsed, by=admin)
    assert (report.pairs, report.votes) == (1, 3)
    (row,) = preference_rows(SnapshotContext(project, timezone.now()))
    assert (row["votes_for"], row["votes_against"], row["share"]) == (2, 1, pytest.approx(2 / 3, abs=1e-6))
    assert row["chosen"][0]["content"] == "Yes."


def test_keys_that_come_late_do_not_break_a_reader(project, admin, tmp_path) -> None:
    """More than 10 MB of rankings without strengths, lines and ratings, and only then some with."""
    from datasets import load_dataset

    from annotation.exports.context import SnapshotContext
    from annotation.exports.files import DownloadOptions
    from annotation.exports.types import ranking_rows

    given = [
        {
            "prompt": [{"role": "user", "content": f"Question {number}?"}],
            "candidates": [{"text": f"{number} {'x' * 4000}"}, {"text": "y"}],
            "rankings": [
                {"tiers": [[0], [1]], "annotator": "ann"}
                if number < 600
                else {
                    "tiers": [[0], [1]],
                    "annotator": "ann",
                    "strength": 2,
                    "unacceptable": [1],
                    "ratings": [{"place": 1, "criterion": "clear", "rating": 2}],
                }
            ],
        }
        for number in range(610)
    ]
    content = "".join(json.dumps(row) + "\n" for row in given).encode()
    import_prompts(project=project, parsed=parse_prompts(content, "rows.jsonl"), by=admin)
    stored = list(ranking_rows(SnapshotContext(project, timezone.now())))
    path = tmp_path / "rows.jsonl"
    with path.open("wb") as file:
        DownloadOptions("ranking").write(lambda: iter(stored[:600] * 5 + stored[600:]), file)
    assert path.stat().st_size > 10 * 2**20
    loaded = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == 3010
    assert loaded[-1]["rankings"][0]["strength"] == 2


def _paths(value: object, path: str = "") -> dict[str, set[type]]:
    """The types of values by where they stand in a row; an empty list has no items, so a reader knows none."""
    found: dict[str, set[type]] = {path: {type(value)}}
    parts: list[tuple[str, object]] = []
    if isinstance(value, dict):
        parts = [(f"{path}.{name}", each) for name, each in value.items()]
    elif isinstance(value, list):
        parts = [(f"{path}[]", each) for each in value]
    for name, each in parts:
        for inner, types in _paths(each, name).items():
            found.setdefault(inner, set()).update(types)
    return found


def _check_readers(lines: list[bytes], folder: Path) -> None:
    """Load a file whose other rows stand behind what readers take columns from; each night before it as well."""
    import pandas
    from datasets import load_dataset

    read_first = 10 * 2**20 if NIGHTLY else 2**15
    for before in (0, read_first) if NIGHTLY else (read_first,):
        copies = before // len(lines[0]) + 2
        path = folder / f"{before}.jsonl"
        path.write_bytes(lines[0] * copies + b"".join(lines[1:]) + lines[0] * (read_first // len(lines[0])))
        cache = str(folder / "cache")
        loaded = load_dataset("json", data_files=str(path), split="train", cache_dir=cache, chunksize=read_first)
        frame = pandas.read_json(path, lines=True)
        assert len(loaded) == len(frame) == copies + len(lines) - 1 + read_first // len(lines[0])
        wanted = json.loads(lines[-1])
        assert set(loaded.column_names) == set(frame.columns) == wanted.keys()
        last = loaded[copies + len(lines) - 2]
        texts = [name for name, value in wanted.items() if isinstance(value, str) and name not in ("at", "created_at")]
        assert {name: last[name] for name in texts} == {name: wanted[name] for name in texts}


@pytest.mark.parametrize("name", FORMATS)
def test_the_first_row_of_each_format_has_every_key_that_any_row_has(project, admin, name: str, tmp_path) -> None:
    """Readers take the columns and types of a file from its first 10 MB: no key, and no item of a list, comes late."""
    ask = {"role": "user", "content": "Rich?"}
    pair = {"tiers": [[0], [1]], "annotator": "ann"}
    about = {"strength": 2, "unacceptable": [1], "ratings": [{"place": 1, "criterion": "clear", "rating": 2}]}
    about |= {"at": "2026-01-02T03:04:05+00:00", "weight": 0.5, "rationale": "It is.", "annotator": "ben"}
    bare = [{"prompt": f"{each}?", "candidates": [{"text": "a"}, {"text": "b"}], "rankings": [pair]} for each in "AB"]
    rows = [
        *bare,
        {"prompt": "C?", "completion": "c"},
        {"text": "D", "label": "good"},
        {
            "prompt": [{"role": "system", "content": "Be brief."}, ask],
            "candidates": [{"text": "a", "finished": False}, {"text": "b"}, {"text": "c"}],
            "rankings": [{**pair, **about, "tiers": [[0], [1, 2]], "unranked": []}],
        },
        {"prompt": "Pair?", "chosen": "x", "rejected": "y", "margin": 0.5},
        {"prompt": "Rated?", "completion": "z", "label": False},
        {"text": "E", "label": "bad", "annotator": "ann", "at": "2026-01-02T03:04:05+00:00"},
    ]
    for row in rows:
        parsed = parse_prompts((json.dumps(row) + "\n").encode(), "rows.jsonl")
        assert import_prompts(project=project, parsed=parsed, by=admin).refused == []
    made_from = FORMATS[name].made_from
    if made_from == SnapshotType.INSTRUCTION:  # made of one table, in which every column is filled
        return
    snapshot = snapshots.take_snapshot(project=project, by=admin, type=made_from)
    lines = rendered(snapshot, DownloadOptions(name)).read_bytes().splitlines(keepends=True)
    _check_readers(lines, tmp_path)
    first, *others = [_paths(json.loads(line)) for line in lines]
    assert others
    for other in others:
        for path, types in other.items():
            assert types - {type(None)} <= first.get(path, set()), (path, types, first.get(path))


def test_csv_is_utf_8_with_its_mark_and_answers_are_as_they_were(project, admin) -> None:
    row = {"prompt": "List two.", "chosen": "- first\n- second", "rejected": "=SUM(A1)"}
    content = (json.dumps(row) + "\n").encode()
    import_prompts(project=project, parsed=parse_prompts(content, "rows.jsonl"), by=admin)
    from annotation.exports.context import SnapshotContext
    from annotation.exports.files import DownloadOptions
    from annotation.exports.types import preference_rows

    stored = list(preference_rows(SnapshotContext(project, timezone.now())))
    file = io.BytesIO()
    DownloadOptions("preference-text", "csv").write(lambda: iter(stored), file)
    assert file.getvalue().startswith(codecs.BOM_UTF8)
    (found,) = parse_prompts(file.getvalue(), "rows.csv").rows
    assert [(pair.chosen, pair.rejected) for pair in found.pairs] == [("- first\n- second", "=SUM(A1)")]
