"""Columns under other names, other spellings of messages and other containers: what is stated is taken, no more.

Every row is written by hand from the documentation of the tool or data set that its id names.
"""

from __future__ import annotations

import gzip
import io
import json
import runpy
import zipfile
from pathlib import Path
from typing import Any

import pytest

from annotation.imports import ParsedPrompts, UnreadableFile, parse_prompts

ROOT = Path(__file__).resolve().parent.parent.parent
ASK = "At what temperature does water boil?"
GOOD, BAD, FAIR = "At 100 degrees Celsius.", "When it wants to.", "At 212 degrees Fahrenheit."
USER = {"role": "user", "content": ASK}
AB = {"prompt": ASK, "response_a": BAD, "response_b": GOOD}
ABC = AB | {"response_c": FAIR}
PAIR = {"prompt": ASK, "chosen": GOOD, "rejected": BAD}
SECOND = {"prompt": "Two plus two?", "chosen": "Four.", "rejected": "Five."}
BATTLE = {"model_a": "m1", "model_b": "m2", "conversation_a": [USER, {"role": "assistant", "content": BAD}]}
BATTLE |= {"conversation_b": [USER, {"role": "assistant", "content": GOOD}]}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def parse(*rows: object, name: str = "rows.jsonl", **how: Any) -> ParsedPrompts:
    return parse_prompts(b"".join(json.dumps(row).encode() + b"\n" for row in rows), name, **how)


def found(row: object, **how: Any) -> tuple[list, list]:
    """The pairs of a row, and who voted for which tiers."""
    parsed = parse(row, **how)
    assert [refused.reason for refused in parsed.refused] == []
    (prompt,) = parsed.rows
    assert prompt.messages[-1] == USER
    return sorted((pair.chosen, pair.rejected) for pair in prompt.pairs), [vote.tiers for vote in prompt.votes]


def asked(row: object) -> tuple[list[str], list[str], tuple[str, ...]]:
    """The roles and texts of a prompt, and its reference answers."""
    parsed = parse(row)
    assert [refused.reason for refused in parsed.refused] == []
    (prompt,) = parsed.rows
    return [turn["role"] for turn in prompt.messages], [turn["content"] for turn in prompt.messages], prompt.references


SECOND_WINS = [
    AB | {"preference": "b"},
    AB | {"preference": "B"},
    AB | {"winner": "response_b"},
    AB | {"winner": "model_b"},
    AB | {"choice": "Response B"},
    AB | {"label": "B>A"},
    AB | {"label": "A<<B"},
    AB | {"better": "right"},
    AB | {"preferred": "second"},
    AB | {"selected": GOOD},
    AB | {"chosen": "response_b"},
    AB | {"model_a": "alpha", "model_b": "beta", "winner": "beta"},
    AB | {"score_a": 2, "score_b": "7"},
    AB | {"preference": "b", "choice": "response_b"},
    {"prompt": ASK, "completion_1": BAD, "completion_2": GOOD, "preference": 2},
    {"prompt": ASK, "completion_1": BAD, "completion_2": GOOD, "preference": 2.0},
    {"prompt": ASK, "completion_1": BAD, "completion_2": GOOD, "preference": "completion_2"},
    {"prompt": ASK, "response_0": BAD, "response_1": GOOD, "better": 1},
    {"question": ASK, "answer1": BAD, "answer2": GOOD, "chosen": "2"},
    {"question": ASK, "first_answer": BAD, "second_answer": GOOD, "winner": "second"},
    {"query": ASK, "model_a_output": BAD, "model_b_output": GOOD, "verdict": "b"},
    {"Prompt": ASK, "Response A": BAD, "Response B": GOOD, "Preference": "B"},
    {"instruction": ASK, "output_1": BAD, "output_2": GOOD, "generator_1": "x", "generator_2": "y", "preference": 2.0},
    {"question": ASK, "response_A": BAD, "response_B": GOOD, "label": "B>A", "source": "mmlu"},
    {"prompt": [USER], "response_a": [said(BAD)], "response_b": [said(GOOD)], "preference": "b"},
    {"prompt": ASK, "response_a": [USER, said(BAD)], "response_b": [USER, said(GOOD)], "preference": "b"},
    {"query": ASK, "responses": [BAD, GOOD], "scores": [0.1, 0.9]},
    {"instruction": ASK, "generations": [BAD, GOOD], "ratings": [2, 5], "generation_models": ["m", "n"]},
    {"prompt": ASK, "completions": [BAD, GOOD], "ranks": [2, 1]},
    {"prompt": ASK, "responses": [{"text": BAD, "score": 1}, {"text": GOOD, "score": 4}]},
    {"question": ASK, "answers": [{"text": BAD, "pm_score": 1, "author": "x"}, {"text": GOOD, "pm_score": 5}]},
    {
        "question": {"dataset": "eli5", "id": "x", "full_text": ASK},
        "answer_0": BAD,
        "score_0": -1.0,
        "answer_1": GOOD,
        "score_1": 1.0,
        "quotes_0": {"title": ["t"], "extract": ["e"]},
        "quotes_1": {"title": [], "extract": []},
    },
    BATTLE | {"winner": "model_b", "turn": 1, "judge": ["gpt-4", "pair-v2"]},
    {name: json.dumps(value) if "conv" in name else value for name, value in BATTLE.items()} | {"winner": "model_b"},
    PAIR | {"margin": float("nan")},
    {"prompt": ASK, "chosen": [GOOD], "rejected": [BAD], "subset": "Math", "num_correct": 1},
    {"system_prompt": "", "question": ASK, "chosen": GOOD, "rejected": BAD},
    {"source": "x", "conversation": [{"input": ASK, "output": None}], "prompt": ASK, "turns": 1}
    | {"chosen": [USER, said(GOOD)], "rejected": [USER, said(BAD)], "rating_chosen": 5, "rating_rejected": 2},
    {"id": "1", "text": ASK, "responses": [BAD, GOOD], "label_annotations": {"preference": {"selection": "B"}}},
    {"id": "1", "text": ASK, "responses": [BAD, GOOD], "label_annotations": {"p": {"scale_value": "2"}}},
    {"contents": [{"role": "user", "parts": [{"text": ASK}]}]}
    | {
        "completions": [
            {"score": 0, "completion": {"role": "model", "parts": [{"text": BAD}]}},
            {"score": 1, "completion": {"role": "model", "parts": [{"text": GOOD}]}},
        ]
    },
    {
        "id": 1,
        "data": {"prompt": ASK, "response_a": BAD, "response_b": GOOD},
        "annotations": [{"completed_by": 1, "result": [{"type": "choices", "value": {"choices": ["Response B"]}}]}],
    },
    {
        "fields": {"instruction": ASK, "response_a": BAD, "response_b": GOOD},
        "responses": {"preference": [{"value": "B", "user_id": "u", "status": "submitted"}]},
    },
    {"prompt": f"<|im_start|>user\n{ASK}<|im_end|>\n<|im_start|>assistant\n"}
    | {"chosen": f"{GOOD}<|im_end|>", "rejected": f"{BAD}<|im_end|>"},
]


@pytest.mark.parametrize("row", SECOND_WINS, ids=lambda row: ",".join(row)[:50])
def test_the_answer_that_a_row_calls_better_is_preferred(row: dict) -> None:
    pairs, votes = found(row)
    assert pairs == [(GOOD, BAD)]
    assert len(votes) == 1


TIES = [
    AB | {"preference": "tie"},
    AB | {"winner": "Tie (inconsistent)"},
    AB | {"label": "A=B"},
    AB | {"choice": "No preference"},
    AB | {"rating_a": 4, "rating_b": 4},
    {"instruction": ASK, "output_1": BAD, "output_2": GOOD, "preference": 1.5},
    {"input": ASK, "system": "", "chosen": GOOD, "rejected": BAD, "status": "tie", "chosen_score": 8},
    {"id": "1", "text": ASK, "responses": [BAD, GOOD], "label_annotations": {"p": {"scale_value": "0"}}},
    {"id": "1", "text": ASK, "responses": [BAD, GOOD], "label_annotations": {"p": {"selection": "tie"}}},
]


@pytest.mark.parametrize("row", TIES, ids=lambda row: ",".join(map(str, row))[:50])
def test_a_tie_is_a_vote_that_prefers_nothing(row: dict) -> None:
    assert found(row) == ([], [((0, 1),)])


def test_two_bad_answers_are_equal_and_below_the_line() -> None:
    for winner in ("both bad", "tie (bothbad)", "both_bad"):
        (vote,) = parse(AB | {"winner": winner}).rows[0].votes
        assert (vote.tiers, vote.unacceptable) == (((0, 1),), (0, 1))


# What does not say for certain who won, was not submitted, or cannot be kept, refuses its row with the reason.
UNCERTAIN = [
    (AB | {"preference": 1}, "\"preference\" is '1', which does not say for certain"),
    (AB | {"preference": -2}, "does not say for certain"),
    (AB | {"preference": True}, "does not say for certain"),
    (AB | {"preference": "skip"}, "nobody judged these answers"),
    (AB | {"preference": "not sure"}, "nobody judged these answers"),
    (AB | {"preference": "a", "choice": "b"}, "say different things"),
    (AB | {"preference": "a", "winner": "b"}, '"preference" looks like'),
    (AB | {"preference": "b", "status": "discarded"}, "was not submitted"),
    (AB | {"preference": "b", "was_cancelled": True}, "was not submitted"),
    (PAIR | {"status": "draft"}, "was not submitted"),
    (ABC | {"ranking": "b > d > a"}, "none of the answers"),
    (ABC | {"ranking": [2, 0, 1]}, "places or answers"),
    ({"prompt": ASK, "completion_1": BAD, "completion_2": GOOD, "preference": 0}, "does not say for certain"),
    ({"prompt": ASK, "completions": [BAD, GOOD, FAIR], "ranking": [2, 0, 1]}, '"ranking" looks like'),
    ({"prompt": ASK, "completions": [BAD, GOOD], "scores": [1, None]}, "answer 2 has no scores"),
    (AB | {"preference": "b", "second_best": "Some other answer that was given."}, '"second_best" is '),
    (PAIR | {"best_answer": BAD}, '"best_answer" looks like'),
    ({"prompt": ASK, "responses": [BAD, GOOD], "preferred_index": 1}, '"preferred_index" looks like'),
    ({"prompt": ASK, "responses": [BAD, GOOD], "winner_model": "m2"}, '"winner_model" looks like'),
    ({"question": ASK, "choices": [GOOD, BAD], "answer": 0}, "the row has no"),
    ({"text": ASK, "entities": [{"label": "X", "start_offset": 0}]}, '"entities" looks like'),
    ({"text": ASK, "spans": [{"label": "X", "start": 0}], "answer": "accept", "_task_hash": 2}, '"spans" looks like'),
    (
        {"id": "1", "text": ASK, "responses": [BAD, GOOD], "label_annotations": {"q": {"helpful": "B", "safe": "A"}}},
        '"label_annotations.q" looks like',
    ),
    (
        {"inputs": {"question": ASK}, "outputs": {"output": GOOD}, "feedback_stats": {"correctness": {"n": 1}}},
        '"feedback_stats" looks like',
    ),
    ({"messages": [USER, {"role": "assistant", "content": [{"type": "tool_use", "id": "t"}]}]}, 'type "tool_use"'),
    (
        {"contents": [{"role": "user", "parts": [{"text": ASK}, {"fileData": {"fileUri": "x"}}]}], "output": GOOD},
        'type "fileData"',
    ),
    ({"question_id": 1, "category": "writing", "turns": [ASK, "And?"]}, "2 questions"),
]


@pytest.mark.parametrize(("row", "reason"), UNCERTAIN, ids=lambda value: str(value)[-40:])
def test_what_is_not_certain_refuses_its_row_with_the_reason(row: dict, reason: str) -> None:
    parsed = parse(row)
    assert parsed.rows == []
    (refused,) = parsed.refused
    assert reason in refused.reason


@pytest.mark.parametrize("row", [AB, AB | {"preference": None}, AB | {"preference": "", "annotator": "u"}])
def test_answers_of_which_nobody_says_anything_are_to_be_ranked(row: dict) -> None:
    (prompt,) = parse(row).rows
    assert (prompt.completions, prompt.votes, prompt.pairs) == ((BAD, GOOD), (), ())


ORDERS = [
    ABC | {"ranking": "b > c > a"},
    ABC | {"ranking": "A < C < B"},
    ABC | {"ranking": ["b", "c", "a"]},
    ABC | {"best": "b", "worst": "a"},
    ABC | {"rank_a": 3, "rank_b": 1, "rank_c": 2},
    ABC | {"score_a": 1, "score_b": 3, "score_c": 2},
    {"prompt": ASK, "completions": [BAD, GOOD, FAIR], "ranks": [3, 1, 2]},
    {"text": ASK, "responses": [BAD, GOOD, FAIR], "label_annotations": {"q": {"rank_order": "B,C,A"}}},
    {"text": ASK, "responses": [BAD, GOOD, FAIR], "label_annotations": {"q": {"best": "B", "worst": "A"}}},
]


@pytest.mark.parametrize("row", ORDERS, ids=lambda row: ",".join(row)[:50])
def test_an_order_of_three_answers(row: dict) -> None:
    assert found(row) == (sorted([(GOOD, BAD), (GOOD, FAIR), (FAIR, BAD)]), [((1,), (2,), (0,))])


def test_of_several_answers_only_what_was_compared_is_a_pair() -> None:
    assert found(ABC | {"best": "b"})[0] == [(GOOD, FAIR), (GOOD, BAD)]
    assert found(ABC | {"ranking": "B = C > A"})[0] == [(GOOD, BAD), (FAIR, BAD)]
    assert found({"prompt": ASK, "chosen": [GOOD], "rejected": [BAD, FAIR]})[0] == [(GOOD, FAIR), (GOOD, BAD)]


VOTERS = [
    AB | {"annotator_1": "b", "annotator_2": "tie", "annotator_3": "B", "annotator_4": ""},
    AB
    | {
        "votes": [
            {"annotator": "annotator_1", "preference": "b"},
            {"annotator": "annotator_2", "preference": "tie"},
            {"annotator": "annotator_3", "preference": "b"},
            {"annotator": "annotator_4", "preference": "a", "status": "discarded"},
        ]
    },
    AB
    | {
        "annotations": [
            {"annotator_id": f"annotator_{at}", "choice": choice, "created_at": "2024-05-01T10:00:00Z"}
            for at, choice in ((1, "Response B"), (2, "Tie"), (3, "Response B"))
        ]
    },
]


@pytest.mark.parametrize("row", VOTERS, ids=lambda row: list(row)[-1])
def test_every_annotator_has_a_vote_and_what_was_discarded_is_none(row: dict) -> None:
    (prompt,) = parse(row).rows
    assert [(vote.annotator, vote.tiers) for vote in prompt.votes] == [
        ("annotator_1", ((1,), (0,))),
        ("annotator_2", ((0, 1),)),
        ("annotator_3", ((1,), (0,))),
    ]
    assert [(pair.chosen, pair.rejected) for pair in prompt.pairs] == [(GOOD, BAD)]


def test_votes_without_names_and_numbers_of_votes_are_that_many_votes() -> None:
    assert [vote.tiers for vote in parse(AB | {"preferences": ["b", "a", "b"]}).rows[0].votes] == [
        ((1,), (0,)),
        ((0,), (1,)),
        ((1,), (0,)),
    ]
    (row,) = parse(AB | {"votes_a": 1, "votes_b": 2, "ties": 1}).rows
    assert sorted(vote.tiers for vote in row.votes) == [((0,), (1,)), ((0, 1),), ((1,), (0,)), ((1,), (0,))]
    assert parse(AB | {"votes_a": 1, "votes_b": 100_000}).refused[0].reason.startswith("the row counts more than 1,000")


def test_scores_beside_a_choice_are_ratings_and_do_not_decide() -> None:
    (row,) = parse(AB | {"preference": "a", "score_a": 2, "score_b": 7}).rows
    (vote,) = row.votes
    assert vote.tiers == ((0,), (1,))
    assert vote.ratings == ((0, "score", 2.0), (1, "score", 7.0))


RATED = [
    ({"prompt": ASK, "response": GOOD, "rating": 4}, ("rating", 4.0)),
    ({"question": ASK, "answer": GOOD, "score": "0.5"}, ("score", 0.5)),
    ({"prompt": ASK, "response": GOOD, "feedback": "thumbs_up"}, ("acceptable", 1.0)),
    ({"prompt": ASK, "response": GOOD, "thumbs": "down"}, ("acceptable", 0.0)),
    ({"prompt": ASK, "response": GOOD, "is_safe": False, "category": {"violence": True}}, ("safe", 0.0)),
    ({"question": ASK, "completion": GOOD, "label": True, "system": ""}, ("acceptable", 1.0)),
    ({"instruction": ASK, "completion": GOOD, "label": "False"}, ("acceptable", 0.0)),
]


@pytest.mark.parametrize(("row", "rating"), RATED)
def test_an_answer_with_a_rating_is_compared_with_nothing(row: dict, rating: tuple) -> None:
    (prompt,) = parse(row).rows
    assert prompt.pairs == ()
    assert [vote.ratings for vote in prompt.votes] == [((0, *rating),)]


SYSTEM = "Be right."
WITH_SYSTEM = [
    {"system_prompt": SYSTEM, "question": ASK, "response": GOOD},
    {"systemInstruction": {"role": "system", "parts": [{"text": SYSTEM}]}}
    | {"contents": [{"role": "user", "parts": [{"text": ASK}]}, {"role": "model", "parts": [{"text": GOOD}]}]},
    {"context": SYSTEM, "messages": [{"author": "user", "content": ASK}, {"author": "assistant", "content": GOOD}]},
    {
        "schemaVersion": "bedrock-conversation-2024",
        "system": [{"text": SYSTEM}],
        "messages": [{"role": "user", "content": [{"text": ASK}]}, {"role": "assistant", "content": [{"text": GOOD}]}],
    },
    {
        "system": [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": ASK}]}, said(GOOD)],
    },
    {
        "messages": [
            {"role": "System", "content": SYSTEM},
            {"role": "User", "content": ASK},
            {"role": "Chatbot", "content": GOOD},
        ]
    },
    {"input": [{"role": "system", "content": SYSTEM}, USER], "ideal": GOOD},
    {
        "conversations": [
            {"from": "system", "value": SYSTEM},
            {"from": "user", "value": ASK},
            {"from": "bing", "value": GOOD},
        ]
    },
    {"text": f"<s>[INST] <<SYS>>\n{SYSTEM}\n<</SYS>>\n\n{ASK} [/INST] {GOOD} </s>"},
    {"text": f"[INST] <<SYS>>\n{SYSTEM}\n<</SYS>>\n\n{ASK} [/INST] {GOOD}"},
    {"text": f"<|system|>\n{SYSTEM}</s>\n<|user|>\n{ASK}</s>\n<|assistant|>\n{GOOD}</s>"},
    {"text": f"{SYSTEM}\n\n### Instruction:\n{ASK}\n\n### Response:\n{GOOD}"},
    {"text": f"{SYSTEM} USER: {ASK} ASSISTANT: {GOOD}</s>"},
]


@pytest.mark.parametrize("row", WITH_SYSTEM, ids=lambda row: str(row)[:50])
def test_a_conversation_with_a_system_text_in_each_spelling(row: dict) -> None:
    assert asked(row) == (["system", "user"], [SYSTEM, ASK], (GOOD,))


ANSWERED = [
    {"question": ASK, "answer": GOOD},
    {"problem": ASK, "solution": GOOD},
    {"prompt": ASK, "generation": GOOD},
    {"inputs": ASK, "targets": GOOD, "task": "x"},
    {"prompt": ASK, "referenceResponse": GOOD, "category": "sci"},
    {"messages": [USER], "ground_truth": GOOD},
    {"INSTRUCTION": ASK, "RESPONSE": GOOD, "SOURCE": "x"},
    {"input_text": ASK, "output_text": GOOD},
    {"conversations": [ASK, GOOD], "source": "stackexchange"},
    {"conversations": {"from": ["human", "gpt"], "value": [ASK, GOOD]}},
    {"conversation": [{"input": ASK, "output": GOOD}], "source": "x"},
    {"messages": json.dumps([USER, said(GOOD)])},
    {"interactions": [{"is_user": True, "text": ASK}, {"is_user": False, "text": GOOD}]},
    {"uuid": "x", "instruction": ASK, "response": GOOD, "conversations": [USER, said(GOOD)]},
    {"text": f"<bos><start_of_turn>user\n{ASK}<end_of_turn>\n<start_of_turn>model\n{GOOD}<end_of_turn>\n"},
    {"text": f"<|user|>\n{ASK}<|end|>\n<|assistant|>\n{GOOD}<|end|>"},
    {
        "text": f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{ASK}<|eot_id|>"
        f"<|start_header_id|>assistant<|end_header_id|>\n\n{GOOD}<|eot_id|>"
    },
]


@pytest.mark.parametrize("row", ANSWERED, ids=lambda row: ",".join(row)[:50])
def test_a_question_with_its_answer_under_each_name(row: dict) -> None:
    assert asked(row) == (["user"], [ASK], (GOOD,))


def test_what_stands_beside_a_question_belongs_to_it() -> None:
    whole = f"Say when.\n\n{ASK}"
    for row in (
        {"instruction": "Say when.", "context": ASK, "response": GOOD, "category": "closed_qa"},
        {"definition": "Say when.", "inputs": ASK, "targets": GOOD},
        {"instruction": "Say when.", "input": ASK, "output": GOOD},
    ):
        assert asked(row) == (["user"], [whole], (GOOD,))
    several = ["Hi", "Hello.", ASK]
    for row in (
        {"conversation": [{"input": "Hi", "output": "Hello."}, {"input": ASK, "output": GOOD}]},
        {"text": f"<s>[INST] Hi [/INST] Hello. </s><s>[INST] {ASK} [/INST] {GOOD} </s>"},
    ):
        assert asked(row) == (["user", "assistant", "user"], several, (GOOD,))
    marked = "Hi\n<extra_id_1>Assistant\nHello.\n<extra_id_1>User\n" + ASK
    (row,) = parse({"prompt": marked, "response": GOOD, "helpfulness": 4, "correctness": 4}).rows
    assert [turn["content"] for turn in row.messages] == several


def test_what_messages_hold_besides_their_text_is_counted() -> None:
    answer = said(GOOD) | {"weight": 0, "reasoning_content": "hm", "refusal": None}
    parsed = parse({"messages": [USER, answer]})
    assert parsed.not_used == {"messages[].weight": 1, "messages[].reasoning_content": 1}
    assert parsed.rows[0].references == (GOOD,)


def test_fields_are_reported_by_their_names_in_the_file() -> None:
    parsed = parse({"Prompt": ASK, "Response A": BAD, "Response B": GOOD, "Other Notes": "x", "Preference": "b"})
    assert parsed.not_used == {"Other Notes": 1}
    parsed = parse(PAIR | {"systemInstruction": "Be right.", "system": "Be kind."})
    assert parsed.not_used == {"systemInstruction": 1}


FILES = [
    ("x.json", json.dumps({"version": 1, "data": [PAIR, SECOND]})),
    ("x.json", json.dumps({"train": [PAIR], "test": [SECOND]})),
    ("x.json", json.dumps({"rows": [{"row_idx": 0, "row": PAIR}, {"row_idx": 1, "row": SECOND}]})),
    ("x.json", json.dumps({name: [PAIR[name], SECOND[name]] for name in PAIR})),
    ("x.json", json.dumps({name: {"0": PAIR[name], "1": SECOND[name]} for name in PAIR})),
    ("x.json", json.dumps({"0": PAIR, "1": SECOND})),
    ("x.json", json.dumps({"columns": list(PAIR), "data": [list(PAIR.values()), list(SECOND.values())]})),
    ("x.csv", f"question;response_a;response_b;winner\n{ASK};{BAD};{GOOD};b\nTwo plus two?;Five.;Four.;b\n"),
]


@pytest.mark.parametrize(("name", "text"), FILES)
def test_tables_as_other_programs_write_them(name: str, text: str) -> None:
    for file, content in ((name, text.encode()), (f"{name}.gz", gzip.compress(text.encode()))):
        parsed = parse_prompts(content, file)
        assert [(pair.chosen, pair.rejected) for row in parsed.rows for pair in row.pairs] == [
            (GOOD, BAD),
            ("Four.", "Five."),
        ]


def zipped(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "."), data)
    return content.getvalue()


def test_a_zip_archive_holds_one_data_file() -> None:
    rows = json.dumps(PAIR).encode() + b"\n"
    parsed = parse_prompts(zipped(rows__jsonl=rows, LICENSE__txt=b"MIT", README__md=b"# x"), "rows.zip")
    assert [row.pairs[0].chosen for row in parsed.rows] == [GOOD]
    with pytest.raises(UnreadableFile, match=r"one data file; found: a.jsonl, b.jsonl"):
        parse_prompts(zipped(a__jsonl=rows, b__jsonl=rows), "rows.zip")
    with pytest.raises(UnreadableFile, match="found: none"):
        parse_prompts(zipped(LICENSE__txt=b"MIT"), "rows.zip")
    with pytest.raises(UnreadableFile, match="larger than 50 MB"):
        parse_prompts(zipped(a__jsonl=b" " * (51 * 2**20)), "rows.zip")
    with pytest.raises(UnreadableFile, match="cannot be unpacked"):
        parse_prompts(b"PK nothing", "rows.zip")


def test_messages_that_pandas_wrote_into_a_table() -> None:
    better, worse = ([USER, said(text)] for text in (GOOD, BAD))
    table = f'prompt,chosen,rejected\n{ASK},"{better}","{worse}"\n'
    (row,) = parse_prompts(table.encode(), "x.csv").rows
    assert [(pair.chosen, pair.rejected) for pair in row.pairs] == [(GOOD, BAD)]
    numpy = "[{'content': 'x', 'role': 'user'}\n {'content': 'y', 'role': 'assistant'}]"
    parsed = parse_prompts(f'prompt,chosen,rejected\n{ASK},"{numpy}","{numpy}"\n'.encode(), "x.csv")
    assert parsed.rows == []
    assert "holds objects of Python written as text; save the table as JSONL" in parsed.refused[0].reason


def test_the_table_of_the_docs_is_what_an_import_does() -> None:
    script = runpy.run_path(str(ROOT / "benchmarks" / "import_shapes.py"))
    found = script["of_shapes"]()
    assert script["table"](found) in (ROOT / "docs" / "reference" / "import-shapes.md").read_text("utf-8")
    for name, each in found.items():  # every sample brings something, or says why not
        assert each["taken"] or each["reasons"], name
        assert each["taken"] + each["duplicate"] + each["refused"] >= 1
    assert sum(each["reference answers"] for each in found.values()) > 10
