"""Columns under other names that say who won: what is stated is taken, no more.

Every row is written by hand from the documentation of the tool or data set that its id names.
"""

from __future__ import annotations

import json

import pytest

from tests.annotation.import_rows import AB, ABC, ASK, BAD, BATTLE, FAIR, GOOD, PAIR, USER, found, parse, said

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
    AB | {"Which response is better?": "Response B is much better"},
    AB | {"overall": "The second is slightly better than the first."},
    AB | {"opinion": "Response A is much worse than response B."},
    AB | {"opinion": "Response A is worse!"},
    {"prompt": ASK, "response_1": BAD, "response_2": GOOD, "overall_preference": "Response 2 is slightly better"},
    {"instruction": ASK, "input": "", "accepted": GOOD, "rejected": BAD},
    AB | {"_unit_id": 1, "_trusted_judgments": 3, "which_is_better": "response_b", "which_is_better:confidence": 0.66},
    {"HITId": "H", "WorkerId": "w", "AssignmentStatus": "Approved"}
    | {"Input.prompt": ASK, "Input.response_a": BAD, "Input.response_b": GOOD, "Answer.better.label": "response_b"},
    {"HITId": "H", "WorkerId": "w", "Input.prompt": ASK, "Input.response_a": BAD, "Input.response_b": GOOD}
    | {"Answer.choice.a": "false", "Answer.choice.b": "true"},
    {"HITId": "H", "WorkerId": "w", "Input.prompt": ASK, "Input.response_a": BAD, "Input.response_b": GOOD}
    | {
        "Answer.taskAnswers": json.dumps([{"better": {"response_a": False, "response_b": True}, "why": "It is right."}])
    },
    {"HITId": "H", "WorkerId": "w", "Input.prompt": ASK, "Input.response_a": BAD, "Input.response_b": GOOD}
    | {"Input.better": "response_b", "Answer.better": "response_b"},
    {"conversation": [USER], "chosen": said(GOOD), "rejected": said(BAD)},
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
    AB | {"Which response is better?": "Both responses are equally good"},
    AB | {"opinion": "They are about the same."},
    AB | {"opinion": "Both responses are equally good"},
    AB | {"opinion": "Neither response is better"},
    {"instruction": ASK, "output_1": BAD, "output_2": GOOD, "preference": 1.5},
    {"input": ASK, "system": "", "chosen": GOOD, "rejected": BAD, "status": "tie", "chosen_score": 8},
    {"id": "1", "text": ASK, "responses": [BAD, GOOD], "label_annotations": {"p": {"scale_value": "0"}}},
    {"id": "1", "text": ASK, "responses": [BAD, GOOD], "label_annotations": {"p": {"selection": "tie"}}},
]


@pytest.mark.parametrize("row", TIES, ids=lambda row: ",".join(map(str, row))[:50])
def test_a_tie_is_a_vote_that_prefers_nothing(row: dict) -> None:
    assert found(row) == ([], [((0, 1),)])


def test_whoever_voted_on_a_crowd_platform_is_named_and_votes_of_two_are_two() -> None:
    row = {"HITId": "H", "Input.prompt": ASK, "Input.response_a": BAD, "Input.response_b": GOOD}
    rows = [
        row | {"WorkerId": who, "Answer.better.label": "response_b", "Answer.reason": "It is right."} for who in "vw"
    ]
    appen = AB | {"_worker_id": "x", "_trust": "0.9", "best": "response_b"}
    forms = [
        AB | {"Email Address": f"{who}@example.org", "Why": "So.", "Which is better?": "Response B"} for who in "yz"
    ]
    parsed = parse(*rows, appen, *forms)
    assert [[(vote.annotator, vote.rationale) for vote in row.votes] for row in parsed.rows] == [
        [("v", "It is right.")],
        [("w", "It is right.")],
        [("x", "")],
        [("y@example.org", "So.")],
        [("z@example.org", "So.")],
    ]
    assert parsed.not_used == {"HITId": 2, "_trust": 1}


def test_criteria_of_answers_are_ratings_and_put_them_in_no_order() -> None:
    both = AB | {"helpfulness_a": 1, "helpfulness_b": 4, "honesty_a": 5, "honesty_b": 5}
    alone = {"question": ASK, "answer": GOOD, "relevance": 4, "fluency": "5"}
    first, second = parse(both, alone).rows
    assert (first.pairs, [(vote.tiers, vote.ratings) for vote in first.votes]) == (
        (),
        [
            (((0,),), ((0, "helpfulness", 1.0), (0, "honesty", 5.0))),
            (((1,),), ((1, "helpfulness", 4.0), (1, "honesty", 5.0))),
        ],
    )
    assert [vote.ratings for vote in second.votes] == [((0, "relevance", 4.0), (0, "fluency", 5.0))]
    (judged,) = parse(both | {"preference": "b"}).rows
    assert [(vote.tiers, len(vote.ratings)) for vote in judged.votes] == [(((1,), (0,)), 4)]


def test_what_a_model_answered_beside_the_right_answer_is_no_reference() -> None:
    sampled = {"input": ASK, "completion": BAD, "ideal": GOOD}
    rated = {"prompt": ASK, "response": BAD, "reference_answer": GOOD, "score": 2}
    for row, votes in ((sampled, 0), (rated, 1)):
        (prompt,) = parse(row).rows
        assert (prompt.completions, prompt.references, len(prompt.votes)) == ((BAD,), (GOOD,), votes)


def test_a_chat_of_cohere_is_a_conversation_with_its_answer() -> None:
    row = {"preamble": "Be short.", "chat_history": [{"role": "USER", "message": "Hi."}], "message": ASK, "text": GOOD}
    (prompt,) = parse(row | {"chat_history": [*row["chat_history"], {"role": "CHATBOT", "message": "Yes?"}]}).rows
    assert [turn["content"] for turn in prompt.messages] == ["Be short.", "Hi.", "Yes?", ASK]
    assert prompt.references == (GOOD,)


def test_two_bad_answers_are_equal_and_below_the_line() -> None:
    for said_so in (
        {"winner": "both bad"},
        {"winner": "tie (bothbad)"},
        {"winner": "both_bad"},
        {"x": "Both are bad."},
    ):
        (vote,) = parse(AB | said_so).rows[0].votes
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
    (AB | {"preference": "b", "_tainted": "true"}, "was not submitted"),
    (AB | {"preference": "b", "Rating: is it helpful": 4}, '"Rating: is it helpful" looks like'),
    (AB | {"preference": "b", "_rating": 4}, '"_rating" looks like'),
    (AB | {"preference": "Response C is better"}, "does not say for certain"),
    (AB | {"preference": "Response A is better than Response B in style"}, "does not say for certain"),
    (AB | {"opinion": "Response A is better than Response B in style but worse in accuracy"}, '"opinion" looks like'),
    (AB | {"Q1": "B"}, '"Q1" looks like'),
    (AB | {"q1": "Response B"}, '"q1" looks like'),
    (AB | {"opinion": "Response A is not better than Response B"}, '"opinion" looks like'),
    (AB | {"opinion": "Response A is better than response A."}, '"opinion" looks like'),
    (
        {"HITId": "H", "Input.prompt": ASK, "Input.response_a": BAD, "Input.response_b": GOOD}
        | {"Input.better": "response_a", "Answer.better": "response_b"},
        '"Input.better" and "better" say different things',
    ),
    (
        {"HITId": "H", "Input.prompt": ASK, "Input.response": BAD, "Answer.response": "Not good at all."},
        '"Answer.response" looks like',
    ),
    (
        {"input": ASK, "output": GOOD, "scores": [{"name": "quality", "value": 4, "score": 5}]},
        'the feedback "quality" says different things in "value" and "score"',
    ),
    (
        {"input": ASK, "output": GOOD, "annotations": [{"name": "q", "result": {"label": "correct", "score": 0}}]},
        'the feedback "q" says different things in "result.label" and "result.score"',
    ),
    (
        {"HITId": "H", "AssignmentStatus": "Rejected", "Input.prompt": ASK, "Input.response_a": BAD}
        | {"Input.response_b": GOOD, "Answer.better.label": "response_b"},
        "was not submitted",
    ),
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
    ({"messages": [USER, {"role": "assistant", "content": [{"type": "tool_use", "id": "t"}]}]}, 'has no "name"'),
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


@pytest.mark.parametrize(
    ("data", "result", "found"),
    [
        ({"text": "Fine."}, {"taxonomy": [["mood", "good"]]}, "mood / good"),
        ({"prompt": ASK, "response": GOOD}, {"number": 4}, ("clear", 4.0)),
        ({"prompt": ASK, "response": GOOD}, {"chatmessage": {"role": "user", "content": "And?"}}, "value.chatmessage"),
        ({"text": "Fine."}, {"start": 0, "end": 2, "text": "Fi", "labels": ["X"]}, "value.labels"),
        ({"prompt": ASK, "answer1": GOOD, "answer2": BAD}, {"rating": 4}, "value.rating"),
    ],
)
def test_what_a_person_said_by_any_control_of_label_studio_is_taken_or_stops_the_row(data, result, found) -> None:
    task = {"id": 1, "data": data, "annotations": [{"result": [{"from_name": "clear", "to_name": "response"}]}]}
    task["annotations"][0]["result"][0]["value"] = result
    parsed = parse(task)
    if isinstance(found, tuple):
        assert parsed.rows[0].votes[0].ratings == ((0, *found),)
    elif parsed.labels:
        assert parsed.labels[0].label == found
    else:
        assert parsed.rows == []
        assert f"annotations[].result[].{found}" in parsed.stopping
