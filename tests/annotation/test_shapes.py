"""Rows as other tools write them: the shape that is found, what people said in them, and what nobody reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annotation.actions.prompts import import_prompts
from annotation.imports import PairRow, ParsedPrompts, parse_prompts
from annotation.imports.fields import Fields
from annotation.imports.shapes import SHAPES, shape_of
from annotation.imports.spellings import in_one_spelling
from tests.annotation.import_rows import ROOT

ASK = "At what temperature does water boil?"
GOOD, BAD, FAIR = "At 100 degrees Celsius.", "When it wants to.", "At 212 degrees Fahrenheit."
USER = {"role": "user", "content": ASK}
BETTER = PairRow(GOOD, BAD)
SAMPLES = ROOT / "benchmarks" / "shapes"
OTHER_VALUES = (str, lambda value: None, lambda value: [value], lambda value: {"text": value}, lambda value: True)


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def turn(speaker: str, text: str) -> dict[str, str]:
    return {"from": speaker, "value": text}


def parse(*rows: object, name: str = "rows.jsonl", **how: Any) -> ParsedPrompts:
    return parse_prompts(b"".join(json.dumps(row).encode() + b"\n" for row in rows), name, **how)


def task(data: dict, *results: dict, **about: Any) -> dict:
    """A Label Studio task with one annotation for each result."""
    annotations = [
        {"id": number, "completed_by": number, "was_cancelled": False, "result": [result]}
        for number, result in enumerate(results, start=1)
    ]
    return {"id": 1, "data": data, "annotations": annotations, **about}


ITEMS = [{"id": "a", "body": GOOD}, {"id": "b", "body": BAD}, {"id": "c", "body": FAIR}]
LIST = {"prompt": ASK, "items": ITEMS}
SIDES = {"prompt": ASK, "answer1": BAD, "answer2": GOOD}
RECORD = {"instruction": ASK, "response-1": BAD, "response-2": GOOD}
HH = f"\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: {ASK}\n\nAssistant: "
TWO = {"instruction": "Answer.", "input": ASK, "response1": BAD, "response2": GOOD}
TURNS = [{"role": "user", "content": "Hi"}, said("Hello."), USER]
BATTLE = {
    "question_id": "q1",
    "model_a": "m1",
    "model_b": "m2",
    "conversation_a": [USER, said(BAD)],
    "conversation_b": [USER, said(GOOD)],
    "turn": 1,
    "judge": "judge-1",
}

# Shape, row, and the pairs in it; each row asks ASK and has one row of votes.
PREFERENCES: list[tuple[str, dict]] = [
    ("trl-preference", {"prompt": ASK, "chosen": GOOD, "rejected": BAD}),
    ("trl-preference", {"prompt": [USER], "chosen": [said(GOOD)], "rejected": [said(BAD)]}),
    ("trl-preference", {"chosen": [USER, said(GOOD)], "rejected": [USER, said(BAD)]}),
    ("trl-preference", {"prompt": ASK, "chosen": [USER, said(GOOD)], "rejected": [USER, said(BAD)], "source": "x"}),
    ("trl-preference", {"question": ASK, "chosen": GOOD, "rejected": BAD}),
    ("trl-preference", {"instruction": ASK, "input": "", "chosen": GOOD, "rejected": BAD}),
    ("trl-preference", {"prompt": [USER], "chosen": [said(GOOD)], "rejected": [said(BAD)], "tools": [{"type": "x"}]}),
    (
        "ultrafeedback-binarized",
        {
            "prompt": ASK,
            "prompt_id": "ab12",
            "chosen": [USER, said(GOOD)],
            "rejected": [USER, said(BAD)],
            "messages": [USER, said(GOOD)],
            "score_chosen": 8.5,
            "score_rejected": 4.0,
        },
    ),
    ("ultrafeedback-binarized", {"instruction": ASK, "chosen_response": GOOD, "rejected_response": BAD}),
    (
        "openai-preference",
        {
            "input": {"messages": [USER], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [said(GOOD)],
            "non_preferred_output": [said(BAD)],
        },
    ),
    (
        "sharegpt-preference",
        {
            "conversations": [turn("human", ASK)],
            "chosen": turn("gpt", GOOD),
            "rejected": turn("gpt", BAD),
            "system": "",
        },
    ),
    ("helpsteer3", {"context": [USER], "response1": BAD, "response2": GOOD, "overall_preference": 3}),
    ("helpsteer3", {"prompt": ASK, "response_1": GOOD, "response_2": BAD, "preference_strength": -2}),
    ("pku-saferlhf", {"prompt": ASK, "response_0": BAD, "response_1": GOOD, "better_response_id": 1}),
    ("shp", {"history": ASK, "human_ref_A": BAD, "human_ref_B": GOOD, "labels": 0, "score_A": 3, "score_B": 30}),
    ("llmbar", {"input": ASK, "output_1": BAD, "output_2": GOOD, "label": 2}),
    ("arena", BATTLE | {"winner": "model_b"}),
    (
        "arena-answers",
        {"prompt": json.dumps([ASK]), "response_a": BAD, "response_b": GOOD, "winner_model_b": 1, "winner_tie": 0},
    ),
    (
        "nemo-rl",
        {
            "context": [USER],
            "completions": [{"rank": 1, "completion": [said(BAD)]}, {"rank": 0, "completion": [said(GOOD)]}],
        },
    ),
    ("label-studio", task(SIDES, {"to_name": "answer1,answer2", "type": "pairwise", "value": {"selected": "right"}})),
    ("label-studio", task(LIST | {"items": ITEMS[:2]}, {"value": {"ranker": ["a", "b"]}})),
    (
        "label-studio",
        task(
            LIST | {"items": [{"id": 1, "body": GOOD}, {"id": 2, "body": BAD}]},
            {"value": {"ranker": {"rank": ["1", "2"]}}},
        ),
    ),
    (
        "label-studio",
        task(
            {"prompt": ASK, "items": [{"id": "a", "html": f"<p>{GOOD}</p>"}, {"id": "b", "html": BAD}]},
            {"value": {"ranker": {"rank": ["a", "b"]}}},
        ),
    ),
    (
        "label-studio-flat",
        SIDES | {"id": 4, "comparison": "right", "annotator": 1, "annotation_id": 9, "lead_time": 6.7},
    ),
    ("label-studio-flat", SIDES | {"comparison": "right"}),
    (
        "argilla",
        {
            "id": "r",
            "fields": RECORD,
            "responses": {"ranking": [{"value": ["response-2", "response-1"], "user_id": "u"}]},
        },
    ),
    (
        "argilla",
        {
            "fields": RECORD,
            "responses": [{"user_id": "u", "status": "submitted", "values": {"best": {"value": "response-2"}}}],
        },
    ),
    (
        "argilla-hub",
        RECORD
        | {
            "ranking.responses": [["response-2", "response-1"], ["response-1", "response-2"]],
            "ranking.responses.users": ["u1", "u2"],
            "ranking.responses.status": ["submitted", "discarded"],
        },
    ),
    (
        "potato",
        {
            "id": "p1",
            "prompt": ASK,
            "responses": [BAD, GOOD],
            "user_id": "ann",
            "label_annotations": {"best": {"B": "true"}},
        },
    ),
    (
        "prodigy",
        {
            "text": ASK,
            "options": [{"id": "x", "text": BAD}, {"id": "y", "text": GOOD}],
            "accept": ["y"],
            "answer": "accept",
        },
    ),
    (
        "prodigy",
        {"input": {"text": ASK}, "accept": {"text": BAD}, "reject": {"text": GOOD}, "answer": "reject", "mapping": {}},
    ),
]


@pytest.mark.parametrize(
    ("shape", "row"), PREFERENCES, ids=[f"{n} {shape}" for n, (shape, _) in enumerate(PREFERENCES)]
)
def test_a_preference_in_each_shape(shape: str, row: dict) -> None:
    parsed = parse(row)
    assert (parsed.refused, list(parsed.shapes)) == ([], [shape])
    assert parsed.rows[0].messages == [USER]
    assert [(pair.chosen, pair.rejected) for pair in parsed.rows[0].pairs] == [(GOOD, BAD)]
    assert sum(vote.orders for vote in parsed.rows[0].votes) == 1
    assert not parsed.stopping


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": HH + GOOD, "rejected": HH + BAD},
        {"chosen": HH.strip() + " " + GOOD, "rejected": HH.strip() + " " + BAD},
        {"prompt": HH, "response": GOOD, "chosen": " " + GOOD, "rejected": BAD},
        {"prompt": HH.strip(), "answers": [{"answer": BAD, "model": "m", "rank": 2.0}, {"answer": GOOD, "rank": 1.0}]},
    ],
    ids=["HH", "without leading line breaks", "full-hh", "Nectar"],
)
def test_a_transcript_is_a_conversation_wherever_it_stands(row: dict) -> None:
    parsed = parse(row)
    assert parsed.refused == []
    assert parsed.rows[0].messages == TURNS
    assert parsed.rows[0].pairs == (BETTER,)


def test_seven_ranks_are_one_vote_and_ties_stay() -> None:
    answers = [
        {"answer": f"Answer {place}", "model": "m", "rank": rank} for place, rank in enumerate([1, 2, 2, 4, 5, 6, 7])
    ]
    (row,) = parse({"prompt": f"\n\nHuman: {ASK}\n\nAssistant: ", "answers": answers}).rows
    (vote,) = row.votes
    assert vote.tiers == ((0,), (1, 2), (3,), (4,), (5,), (6,))
    assert len(row.pairs) == 7 * 6 / 2 - 1


def test_feedback_on_a_trace_is_a_vote_of_each_person_and_what_was_expected_the_reference() -> None:
    path = SAMPLES / "evaluated.jsonl"
    parsed = parse_prompts(path.read_bytes(), path.name)
    assert [(row.completions, row.references) for row in parsed.rows] == [
        ((GOOD,), ()),
        (("Five.",), ()),
        (("Seven.",), ("Six.",)),  # the output of a model is none
    ]
    traced, run, _ = parsed.rows
    assert [(vote.annotator, vote.ratings, vote.unacceptable, vote.rationale) for vote in traced.votes] == [
        ("ann", ((0, "acceptable", 1.0), (0, "accuracy", 0.9)), (), "Short and right."),
        ("bob", ((0, "acceptable", 0.0),), (0,), ""),  # the score of a program is no vote
    ]
    assert [(vote.ratings, vote.rationale) for vote in run.votes] == [(((0, "correctness", 0.0),), "It boils at 100.")]
    assert [row.reason[:38] for row in parsed.refused] == ["the feedback \"tone\" is 'friendly', whi"]
    assert parsed.not_used["scores[].value"] == 1


RUN = {"run_id": "r", "inputs": {"question": ASK}, "outputs": {"answer": GOOD}, "key": "correctness"}
TRACE = {"trace_id": "t", "request": json.dumps({"messages": [USER]}), "response": GOOD}
BOB = {"source_type": "HUMAN", "source_id": "bob"}
PERSON = {"type": "app", "user_id": "bob"}


@pytest.mark.parametrize(
    ("row", "votes", "references"),
    [
        (RUN | {"score": 1, "feedback_source": PERSON}, [("bob", "correctness", 1.0)], ()),
        (RUN | {"score": 1, "value": "correct", "feedback_source": PERSON}, [("bob", "correctness", 1.0)], ()),
        (RUN | {"score": 1, "feedback_source": {"type": "model"}}, [], ()),
        (RUN | {"score": None, "value": None, "comment": "a text alone", "feedback_source": PERSON}, [], ()),
        (
            {"inputs": {"question": ASK}, "outputs": {"answer": GOOD}}
            | {
                "feedback": [
                    {"key": "correctness", "score": 1, "feedback_source": {"type": "auto_eval"}},
                    {"key": "correctness", "score": 0, "feedback_source": PERSON},
                ]
            },
            [("bob", "correctness", 0.0)],
            (),
        ),
        (
            TRACE
            | {
                "assessments": [
                    {"assessment_name": "relevance", "feedback": {"value": "yes"}, "source": BOB},
                    {"assessment_name": "expected_response", "expectation": {"value": FAIR}, "source": BOB},
                    {"assessment_name": "expected_facts", "expectation": {"value": ["It boils."]}, "source": BOB},
                    {"name": "old", "feedback": {"value": "no"}, "source": BOB, "valid": False},
                    {"name": "safe", "feedback": {"value": "yes"}, "source": {"source_type": "LLM_JUDGE"}},
                    {"name": "expected_response", "expectation": {"value": BAD}, "source": {"source_type": "CODE"}},
                ]
            },
            [("bob", "relevance", 1.0)],
            (FAIR,),
        ),
        (
            TRACE | {"assessments": json.dumps([{"name": "relevance", "feedback": {"value": False}, "source": BOB}])},
            [("bob", "relevance", 0.0)],
            (),
        ),
        (
            {"input": ASK, "output": GOOD, "scores": [{"name": "quality", "value": 4, "authorUserId": "u"}]}
            | {"annotations": [{"name": "right", "result": {"label": "incorrect"}, "annotator_kind": "HUMAN"}]},
            [("u", "quality", 4.0), ("", "right", 0.0)],
            (),
        ),
        ({"input": ASK, "output": GOOD, "scores": []}, [], ()),
        ({"input": ASK, "actual_output": GOOD, "expected_output": FAIR}, [], (FAIR,)),
    ],
)
def test_of_feedback_only_what_a_person_says_is_a_vote(row: dict, votes: list, references: tuple) -> None:
    parsed = parse(row)
    assert (parsed.refused, parsed.stopping) == ([], {})
    (prompt,) = parsed.rows
    assert (prompt.completions, prompt.references) == ((GOOD,), references)
    assert [(vote.annotator, *said[1:]) for vote in prompt.votes for said in vote.ratings] == votes


def test_what_is_said_of_a_turn_of_prism_is_kept_where_scores_are_missing() -> None:
    """Scores are ratings where there is no score for each answer, and the answer that was chosen is preferred."""

    def turn(number: int, *answers: dict[str, Any]) -> list[dict[str, Any]]:
        asked = {"turn": number, "role": "user", "content": f"{ASK} {number}"}
        given = [{"turn": number, "role": "model", "content": f"{number}{at}"} for at in range(len(answers))]
        return [asked, *map(dict.__or__, given, answers)]

    history = [
        *turn(0, {"score": 9, "if_chosen": False}, {"score": None, "if_chosen": True}, {"if_chosen": False}),
        *turn(1, {"if_chosen": False}, {"if_chosen": True}),
        *turn(2, {"score": 70, "if_chosen": True}),
    ]
    rows = parse({"user_id": "u", "conversation_history": history}).rows
    assert [message["content"] for message in rows[-1].messages[1::2]] == ["01", "11"]  # those that were chosen go on
    assert [[(vote.tiers, vote.unranked, vote.ratings) for vote in row.votes] for row in rows] == [
        [(((0,),), (), ((0, "score", 9.0),)), (((1,), (0, 2)), (0, 2), ())],
        [(((1,), (0,)), (), ())],
        [(((0,),), (), ((0, "score", 70.0),))],
    ]
    assert [row.pairs for row in rows] == [
        (PairRow("01", "00"), PairRow("01", "02")),
        (PairRow("11", "10"),),
        (),
    ]


def test_each_turn_of_prism_is_a_prompt_with_a_ranking_by_its_persons_scores() -> None:
    path = SAMPLES / "prism.jsonl"
    first, second = parse_prompts(path.read_bytes(), path.name).rows
    assert [turn["content"] for turn in second.messages] == [ASK, GOOD, "And on a mountain?"]  # the chosen one goes on
    assert (first.pairs, second.pairs) == ((BETTER,), ())
    assert [(vote.tiers, vote.annotator, vote.at[:10]) for row in (first, second) for vote in row.votes] == [
        (((1,), (0,)), "user1", "2023-11-21"),
        (((0, 1),), "user1", "2023-11-21"),
    ]
    path = SAMPLES / "prism-utterances.jsonl"
    (refused,) = parse_prompts(path.read_bytes(), path.name).refused
    assert "import conversations.jsonl" in refused.reason


def test_everybody_who_voted_is_a_vote() -> None:
    (row,) = parse(TWO | {"idx": 0, "annotator1": 2, "annotator2": 2, "annotator3": 0}).rows
    assert row.messages[0]["content"] == f"Answer.\n\n{ASK}"
    assert [(vote.annotator, vote.tiers) for vote in row.votes] == [
        ("annotator1", ((1,), (0,))),
        ("annotator2", ((1,), (0,))),
        ("annotator3", ((0, 1),)),
    ]
    assert row.pairs == (BETTER,)
    left, right = ({"to_name": "answer1,answer2", "value": {"selected": side}} for side in ("left", "right"))
    (row,) = parse(task(SIDES, left, right, right)).rows
    assert [vote.annotator for vote in row.votes] == ["1", "2", "3"]
    assert row.pairs == (BETTER,)


def test_helpsteer3_keeps_every_preference_with_its_reason() -> None:
    individual = [
        {"score": 3, "reasoning": "Wrong.", "feedback1": "x", "feedback2": ""},
        {"score": 0, "reasoning": "Alike."},
        {"score": -1, "reasoning": "Funny."},
    ]
    row = {"domain": "general", "language": "english", "context": [USER], "response1": BAD, "response2": GOOD}
    parsed = parse(row | {"overall_preference": 2, "individual_preference": individual})
    votes = parsed.rows[0].votes
    assert [(vote.tiers, vote.margin, vote.rationale) for vote in votes] == [
        (((1,), (0,)), 1.0, "Wrong."),
        (((0, 1),), None, "Alike."),
        (((0,), (1,)), pytest.approx(1 / 3), "Funny."),
    ]
    assert parsed.not_used == {"language": 1, "individual_preference[].feedback1": 1}


def test_a_tie_in_an_arena_is_a_vote_and_no_pair() -> None:
    parsed = parse(*(BATTLE | {"winner": winner, "question_id": winner} for winner in ("tie", "tie (bothbad)")))
    assert [vote.unacceptable for row in parsed.rows for vote in row.votes] == [(), (0, 1)]
    assert [row.pairs for row in parsed.rows] == [(), ()]
    assert [answer.name for answer in parsed.rows[0].answers] == ["m1", "m2"]


@pytest.mark.parametrize(
    ("ranker", "pairs"),
    [
        ({"_": ["b", "a"], "relevant": ["c"], "biased": []}, []),
        ({"_": ["a", "b", "c"]}, []),
        ({"relevant": ["a", "c"], "irrelevant": ["b"]}, [(GOOD, BAD), (FAIR, BAD)]),
        (["a", "c", "b"], [(GOOD, BAD), (GOOD, FAIR), (FAIR, BAD)]),
        ({"rank": ["a", "c"], "_": ["b"]}, [(GOOD, FAIR)]),
        ({"first pile": ["a"], "second pile": ["b"], "_": ["c"]}, []),
    ],
)
def test_of_label_studios_buckets_only_what_somebody_ordered_is_an_order(ranker: Any, pairs: list) -> None:
    parsed = parse(task(LIST, {"from_name": "rank", "to_name": "items", "type": "ranker", "value": {"ranker": ranker}}))
    assert parsed.refused == []
    assert {(pair.chosen, pair.rejected) for pair in parsed.rows[0].pairs} == set(pairs)


def test_label_studios_ratings_texts_and_cancelled_annotations() -> None:
    row = task(
        {"prompt": ASK, "response": BAD},
        {"to_name": "response", "from_name": "quality", "type": "rating", "value": {"rating": 2}},
    )
    row["annotations"][0]["result"].append({"from_name": "better", "type": "textarea", "value": {"text": [GOOD]}})
    row["annotations"].append({"was_cancelled": True, "result": [{"value": {"rating": 5}, "to_name": "response"}]})
    (found,) = parse(row).rows
    assert [vote.ratings for vote in found.votes] == [((0, "quality", 2.0),)]
    assert found.references == (GOOD,)


def test_only_submitted_responses_of_argilla_count() -> None:
    values = [
        {
            "value": [{"value": "response-2", "rank": 1}, {"value": "response-1", "rank": 2}],
            "user_id": "u1",
            "status": "submitted",
        },
        *(
            {
                "value": [{"value": "response-1", "rank": 1}, {"value": "response-2", "rank": 2}],
                "user_id": "u2",
                "status": status,
            }
            for status in ("discarded", "draft", "pending")
        ),
    ]
    (row,) = parse({"id": "r1", "fields": RECORD, "responses": {"order": values}}).rows
    assert [(vote.annotator, vote.tiers) for vote in row.votes] == [("u1", ((1,), (0,)))]
    corrected = {"corrected-answer": [{"value": GOOD, "user_id": "u"}], "quality": [{"value": 4, "user_id": "u"}]}
    parsed = parse({"id": "r1", "fields": {"prompt": ASK}, "responses": corrected})
    assert parsed.rows[0].references == (GOOD,)
    assert parsed.not_used == {"responses.quality": 1}


def test_answers_that_are_only_rated_or_called_good_are_votes_without_an_order() -> None:
    parsed = parse(
        {
            "prompt": ASK,
            "response": GOOD,
            "helpfulness": 4,
            "correctness": 4,
            "coherence": 4,
            "complexity": 1,
            "verbosity": 1,
        },
        {
            "prompt": ASK,
            "response": BAD,
            "helpfulness": 0,
            "correctness": 0,
            "coherence": 3,
            "complexity": 1,
            "verbosity": 1,
        },
    )
    assert [row.completions for row in parsed.rows] == [(GOOD,), (BAD,)]
    assert [row.votes[0].ratings[0] for row in parsed.rows] == [(0, "helpfulness", 4.0), (0, "helpfulness", 0.0)]
    kto = parse(
        {"prompt": ASK, "completion": GOOD, "label": True},
        {"prompt": [USER], "completion": [said(BAD)], "label": False},
        {"instruction": ASK, "input": "", "output": BAD, "kto_tag": False},
        {"messages": [USER, said(GOOD)], "label": True},
    )
    assert kto.refused == []
    assert list(kto.shapes) == ["trl-kto", "alpaca-kto", "sharegpt-kto"]
    assert [row.votes[0].ratings for row in kto.rows] == [((0, "acceptable", value),) for value in (1.0, 0.0, 0.0, 1.0)]


def test_ultrafeedback_orders_its_answers_by_their_overall_score() -> None:
    completions = [
        {
            "model": name,
            "response": text,
            "overall_score": score,
            "critique": "A long critique of it.",
            "annotations": {"helpfulness": {"Rating": "4", "Rationale": "x"}},
        }
        for name, text, score in (("m1", BAD, 2.0), ("m2", GOOD, 8.0), ("m3", FAIR, 8.0))
    ]
    parsed = parse({"source": "x", "instruction": ASK, "models": ["m1"], "completions": completions})
    (row,) = parsed.rows
    assert row.votes[0].tiers == ((1, 2), (0,))
    assert (0, "overall_score", 2.0) in row.votes[0].ratings
    assert parsed.not_used["completions[].critique"] == 1


def test_openassistants_messages_become_the_same_as_its_tree() -> None:
    flat = [
        {
            "message_id": "q",
            "parent_id": None,
            "message_tree_id": "q",
            "role": "prompter",
            "text": ASK,
            "lang": "en",
            "rank": None,
        },
        {
            "message_id": "a",
            "parent_id": "q",
            "message_tree_id": "q",
            "role": "assistant",
            "text": BAD,
            "lang": "en",
            "rank": 1,
        },
        {
            "message_id": "b",
            "parent_id": "q",
            "message_tree_id": "q",
            "role": "assistant",
            "text": GOOD,
            "lang": "en",
            "rank": 0,
        },
        {
            "message_id": "c",
            "parent_id": "b",
            "message_tree_id": "q",
            "role": "prompter",
            "text": "Why?",
            "lang": "en",
            "rank": None,
        },
    ]
    parsed = parse(*flat)
    assert (parsed.refused, list(parsed.shapes)) == ([], ["oasst"])
    assert [(row.external_id, len(row.messages)) for row in parsed.rows] == [("q", 1), ("c", 3)]
    assert parsed.rows[0].pairs == (BETTER,)


REFERENCES: list[tuple[str, dict, list]] = [
    ("openai", {"messages": [{"role": "developer", "content": "Be brief."}, USER, said(GOOD)]}, ["system", "user"]),
    ("sharegpt", {"conversations": [turn("human", ASK), turn("gpt", GOOD)], "system": "Be brief."}, ["system", "user"]),
    ("alpaca", {"instruction": "Answer.", "input": ASK, "output": GOOD}, ["user"]),
    (
        "alpaca",
        {"instruction": ASK, "output": GOOD, "system": "Be brief.", "history": [["Hi", "Hello."]]},
        ["system", "user", "assistant", "user"],
    ),
    ("trl-completion", {"prompt": ASK, "completion": GOOD}, ["user"]),
    (
        "langsmith",
        {"id": "x", "inputs": {"question": ASK}, "outputs": {"answer": GOOD}, "metadata": {"a": 1}},
        ["user"],
    ),
    ("langfuse", {"id": "x", "input": ASK, "expectedOutput": GOOD, "status": "ACTIVE"}, ["user"]),
    ("langfuse", {"input": {"messages": [USER]}, "expected_output": said(GOOD)}, ["user"]),
]


@pytest.mark.parametrize(("shape", "row", "roles"), REFERENCES)
def test_an_answer_to_imitate_in_each_shape(shape: str, row: dict, roles: list[str]) -> None:
    parsed = parse(row)
    assert (parsed.refused, list(parsed.shapes)) == ([], [shape])
    (found,) = parsed.rows
    assert [message["role"] for message in found.messages] == roles
    assert ASK in found.messages[-1]["content"]
    assert found.references == (GOOD,)
    assert found.votes == found.answers == ()


@pytest.mark.parametrize(
    ("row", "shape"),
    [
        ({"id": 1, "text": "Lovely.", "label": ["good"], "Comments": []}, "labelled"),
        ({"id": 1, "text": "Lovely.", "label": "good"}, "labelled"),
        ({"text": "Lovely.", "label": "good", "answer": "accept", "_input_hash": 1, "_task_hash": 2}, "prodigy"),
        (
            {
                "text": "Lovely.",
                "options": [{"id": "good", "text": "good"}, {"id": "bad", "text": "bad"}],
                "accept": ["good"],
                "answer": "accept",
            },
            "prodigy",
        ),
        (
            task(
                {"text": "Lovely."},
                *[
                    {"from_name": "s", "to_name": "text", "value": {"choices": [label]}}
                    for label in ("good", "bad", "good")
                ],
            ),
            "label-studio",
        ),
        ({"fields": {"text": "Lovely."}, "responses": {"mood": [{"value": "good", "user_id": "u"}]}}, "argilla"),
    ],
)
def test_a_label_in_each_shape(row: dict, shape: str) -> None:
    parsed = parse(row)
    assert (parsed.refused, list(parsed.shapes), parsed.rows) == ([], [shape], [])
    assert [(label.text, label.label) for label in parsed.labels] == [("Lovely.", "good")]


@pytest.mark.parametrize(
    ("row", "stopping"),
    [
        ({"prompt": ASK, "my_reply": GOOD}, ["my_reply"]),
        (
            {"prompt": ASK, "gpt4": "It boils at 100 degrees.", "llama": "It boils whenever it likes."},
            ["gpt4", "llama"],
        ),
        ({"prompt": ASK, "dialog_so_far": [turn("human", "Hi")]}, ["dialog_so_far"]),
        ({"prompt": ASK, "thumbsUp": True}, ["thumbsUp"]),
        ({"prompt": ASK, "rating": 4}, ["rating"]),
    ],
)
def test_fields_that_look_like_answers_or_votes_stop_a_row_until_they_are_waived(
    row: dict, stopping: list[str]
) -> None:
    parsed = parse(row)
    assert parsed.rows == []
    assert list(parsed.stopping) == stopping
    assert all(f'"{name}"' in parsed.refused[0].reason for name in stopping)
    waived = parse(row, ignore=stopping)
    assert (len(waived.rows), waived.refused) == (1, [])
    assert dict(waived.not_used) == dict.fromkeys(stopping, 1)


def test_fields_that_only_describe_are_counted_and_stop_nothing() -> None:
    row = {
        "prompt": ASK,
        "source": "web",
        "num_turns": 3,
        "language": "en",
        "created_at": "2026-01-01",
        "note": "Ask Ann.",
    }
    parsed = parse(row, row | {"prompt": "Another?", "language": None})
    assert len(parsed.rows) == 2
    assert parsed.not_used == {"source": 2, "num_turns": 2, "language": 1, "created_at": 2, "note": 2}


def test_ids_and_categories_may_be_numbers_and_stay_apart_from_texts() -> None:
    parsed = parse({"id": 1, "prompt": "One?", "category": 3}, {"id": 2.0, "prompt": "Two?"})
    assert [(row.external_id, row.category) for row in parsed.rows] == [("1", "3"), ("2", "")]


def test_messages_in_newer_spellings() -> None:
    parts = [{"type": "text", "text": ASK}]
    parsed = parse(
        {"messages": [{"role": "user", "content": parts}]},
        {"messages": [{"role": "developer", "content": "Be brief."}, USER]},
        {
            "messages": [
                USER,
                {"role": "assistant", "content": None, "tool_calls": []},
                {"role": "tool", "content": "x"},
            ]
        },
        {"messages": [{"role": "human", "content": ASK}]},
        {"prompt": "steps", "completions": ["one", "two"], "labels": [True, False]},
    )
    assert [row.messages[0]["role"] for row in parsed.rows] == ["user", "system", "user"]
    assert [row.messages[-1]["content"] for row in parsed.rows] == [ASK] * 3
    reasons = [refused.reason for refused in parsed.refused]
    assert '"content" of message 2 is null' in reasons[0]
    assert "stepwise supervision" in reasons[1]


def test_the_names_of_fields_leave_out_no_shape_that_knows_a_row() -> None:
    """Shapes are asked by names first, once for a file: that finds what asking each of them for each row finds."""
    rows = [json.loads(line) for path in SAMPLES.glob("*.jsonl") for line in path.read_text("utf-8").splitlines()]
    assert set(SHAPES) == {path.stem for path in SAMPLES.glob("*.jsonl")}
    # Other values under the same names, too: what was found for one row is not taken for another.
    others = [{name: each(value) for name, value in row.items()} for row in rows for each in OTHER_VALUES]
    for row in rows + others + rows:
        data, names = in_one_spelling(row)
        first = next(name for name, shape in SHAPES.items() if shape.knows(Fields(data, names=names)))
        assert shape_of(Fields(data, names=names)) == first


def test_a_shape_can_be_chosen() -> None:
    row = {"text": ASK, "label": "good"}
    assert parse(row).labels
    parsed = parse(row, shape="plain", ignore=["label"])
    assert [row.messages for row in parsed.rows] == [[USER]]
    assert parsed.not_used == {"label": 1}


def test_every_shape_has_a_name_of_its_own() -> None:
    assert len({shape.label for shape in SHAPES.values()}) == len(SHAPES)


@pytest.mark.parametrize(
    ("table", "shape"),
    [
        (f"prompt,answer1,answer2,comparison\n{ASK},{BAD},{GOOD},right\n", "label-studio-flat"),
        (f'instruction,response-1,response-2,best.responses\n{ASK},{BAD},{GOOD},"[""response-2""]"\n', "argilla-hub"),
        (f"history,human_ref_A,human_ref_B,labels\n{ASK},{BAD},{GOOD},0\n", "shp"),
        (f"question,chosen,rejected\n{ASK},{GOOD},{BAD}\n", "trl-preference"),
        (f"prompt,response_0,response_1,better_response_id\n{ASK},{BAD},{GOOD},1\n", "pku-saferlhf"),
        (f"prompt,response_a,response_b,winner\n{ASK},{BAD},{GOOD},model_b\n", "arena-answers"),
    ],
)
def test_a_preference_in_a_table(table: str, shape: str) -> None:
    parsed = parse_prompts(table.encode(), "rows.csv")
    assert (parsed.refused, list(parsed.shapes)) == ([], [shape])
    assert [(pair.chosen, pair.rejected) for pair in parsed.rows[0].pairs] == [(GOOD, BAD)]


def test_reference_answers_and_labels_in_tables() -> None:
    parsed = parse_prompts(f"id,input,expectedOutput\n1,{ASK},{GOOD}\n".encode(), "rows.csv")
    assert (parsed.rows[0].references, list(parsed.shapes)) == ((GOOD,), ["langfuse"])
    parsed = parse_prompts(b"id,text,label\n1,Lovely.,good\n", "rows.csv")
    assert [label.label for label in parsed.labels] == ["good"]


def test_an_item_called_1_is_not_the_item_called_1_in_quotes() -> None:
    items = [{"id": 1, "body": GOOD}, {"id": "1", "body": BAD}]
    (row,) = parse(task({"prompt": ASK, "items": items}, {"value": {"ranker": {"rank": ["1", 1]}}})).rows
    assert [(pair.chosen, pair.rejected) for pair in row.pairs] == [(BAD, GOOD)]


@pytest.mark.django_db
def test_equal_votes_of_two_people_are_two_votes(project, admin) -> None:
    rows = [
        {"prompt": ASK, "chosen": better, "rejected": worse, "annotator": person, "created_at": "2026-01-02"}
        for person, better, worse in (("x", GOOD, BAD), ("y", GOOD, BAD), ("z", BAD, GOOD))
    ]
    report = import_prompts(project=project, parsed=parse(*rows), by=admin)
    assert (report.taken, report.pairs, report.votes, report.not_used) == (3, 1, 3, {})


def test_what_prodigy_ignored_or_rejected_brings_no_prompt() -> None:
    options = [{"id": 1, "text": GOOD}, {"id": 2, "text": BAD}]
    parsed = parse(
        {"text": ASK, "options": options, "accept": [1], "answer": "accept", "_annotator_id": "ann"},
        {"text": "A?", "options": options, "accept": [], "answer": "ignore"},
        {"text": "B?", "options": options, "accept": [], "answer": "reject"},
        {"text": "Fine", "label": "GOOD", "answer": "ignore", "_input_hash": 1},
        {"text": "Poor", "label": "GOOD", "answer": "reject", "_input_hash": 2},
    )
    assert [row.messages for row in parsed.rows] == [[USER]]
    assert parsed.rows[0].votes[0].annotator == "ann"
    assert (parsed.labels, [row.line for row in parsed.refused]) == ([], [2, 3, 4, 5])


def test_an_archived_item_of_langfuse_is_refused_with_that_reason() -> None:
    active = {"id": "1", "input": ASK, "expectedOutput": GOOD, "status": "ACTIVE"}
    parsed = parse(active, active | {"id": "2", "input": "Old?", "status": "ARCHIVED"})
    assert [row.external_id for row in parsed.rows] == ["1"]
    assert "archived" in parsed.refused[0].reason


@pytest.mark.parametrize(
    "asked",
    [
        [{"type": "system", "content": "Be brief."}, {"type": "human", "content": ASK}],
        [[{"type": "system", "content": "Be brief."}, {"type": "human", "content": ASK}]],
        [{"type": "system", "data": {"content": "Be brief."}}, {"type": "human", "data": {"content": ASK}}],
        [
            {"lc": 1, "type": "constructor", "id": ["langchain", name], "kwargs": {"content": text}}
            for name, text in (("SystemMessage", "Be brief."), ("HumanMessage", ASK))
        ],
    ],
    ids=["types", "a batch", "data", "classes"],
)
def test_messages_of_langchain_in_a_langsmith_example_are_a_conversation(asked: list) -> None:
    parsed = parse({"inputs": {"messages": asked}, "outputs": {"output": GOOD}, "id": "x"})
    (row,) = parsed.rows
    assert row.messages == [{"role": "system", "content": "Be brief."}, USER]
    assert row.reference == GOOD


@pytest.mark.parametrize(
    ("flags", "tiers"), [((1, 0, 0), ((0,), (1,))), ((0, 1, 0), ((1,), (0,))), ((0, 0, 1), ((0, 1),))]
)
def test_a_winner_in_three_columns_uses_all_three(flags: tuple, tiers: tuple) -> None:
    names = ("winner_model_a", "winner_model_b", "winner_tie")
    row = {"prompt": json.dumps([ASK]), "response_a": json.dumps([GOOD]), "response_b": json.dumps([BAD])}
    parsed = parse(row | dict(zip(names, flags, strict=True)))
    assert parsed.rows[0].votes[0].tiers == tiers
    assert parsed.not_used == {}
    assert "write model_a, model_b or tie" in parse(row | dict.fromkeys(names, 1)).refused[0].reason
