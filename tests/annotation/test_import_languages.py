"""Columns in other languages, pairs under other names, votes that both answers are bad, and files of chat applications.

Every row is written by hand from the documentation of the tool or data set that its comment names.
"""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command

from annotation.imports import UnreadableFile, parse_prompts
from annotation.imports.guesses import guessed
from annotation.models import ImportedJudgment, Prompt
from tests.annotation.import_rows import AB, ASK, BAD, GOOD, USER, asked, found, parse, said

SECOND_WINS = [
    {"问题": ASK, "回答A": BAD, "回答B": GOOD, "偏好": "回答B"},
    {"問題": ASK, "回答一": BAD, "回答二": GOOD, "更好": "2"},
    {"提示": ASK, "选择": GOOD, "拒绝": BAD},
    {"Frage": ASK, "Antwort A": BAD, "Antwort B": GOOD, "Besser": "B"},
    {"Frage": ASK, "Antwort 1": BAD, "Antwort 2": GOOD, "Bessere Antwort": "Antwort 2"},
    {"Question": ASK, "Réponse A": BAD, "Réponse B": GOOD, "Meilleure réponse": "Réponse B"},
    {"pregunta": ASK, "respuesta_1": BAD, "respuesta_2": GOOD, "mejor respuesta": "2"},
    {"вопрос": ASK, "ответ a": BAD, "ответ b": GOOD, "предпочтение": "b"},
    {"質問": ASK, "回答1": BAD, "回答2": GOOD, "勝者": "2"},
    {"질문": ASK, "답변 A": BAD, "답변 B": GOOD, "선호": "B"},
    {"system": "", "history": [], "question": ASK, "response_chosen": GOOD, "response_rejected": BAD},  # DPO-En-Zh
    {"prompt": ASK, "chosen_response": GOOD, "rejected_response": BAD, "chosen_reward": 5},  # NeMo-Aligner
    {"chosen_conversations": [USER, said(GOOD)], "rejected_conversations": [USER, said(BAD)]},  # torchtune
    {"prompt": ASK, "y_w": GOOD, "y_l": BAD},
    {"prompt": ASK, "winner_response": GOOD, "loser_response": BAD},
    {"prompt": ASK, "preferred": GOOD, "dispreferred": BAD},
    {"trajectory": [{"from": "user", "value": ASK}], "chosen": GOOD, "rejected": BAD},  # UltraInteract
    {"messages": [USER, said(GOOD)], "rejected_response": BAD},  # ms-swift
    {"messages": [USER, said(GOOD)], "rejected_messages": [USER, said(BAD)]},
    {"query": ASK, "response": GOOD, "rejected_response": BAD, "history": [], "system": ""},
    {"input_text": ASK, "candidate_0": BAD, "candidate_1": GOOD, "choice": 1},  # Vertex AI
    {"user_input": ASK, "responses_and_scores": [{"response": BAD, "score": 1}, {"response": GOOD, "score": 9}]},
    {
        "instruction": ASK,
        "output_1": BAD,
        "output_2": GOOD,
        "preference": 1.93,
        "raw_completion": {"p": 1},
    },  # AlpacaEval
]


@pytest.mark.parametrize("row", SECOND_WINS, ids=lambda row: "+".join(row)[:40])
def test_the_better_answer_is_found_under_its_names(row: dict) -> None:
    pairs, tiers = found(row)
    assert pairs == [(GOOD, BAD)]
    assert len(tiers) == 1


def test_a_preference_between_two_numbers_keeps_how_far_it_leans() -> None:
    row = {"instruction": ASK, "output_1": BAD, "output_2": GOOD}
    assert [parse(row | {"preference": at}).rows[0].votes[0].margin for at in (1.93, 1.25, 2, 1)] == [
        0.86,
        0.5,
        None,
        None,
    ]
    assert [parse(row | {"preference": at}).rows[0].votes[0].tiers for at in (1.25, 1.5)] == [((0,), (1,)), ((0, 1),)]


BOTH_BAD = [
    *(AB | {"preference": value} for value in ("both_bad", "tie (bothbad)", "都不好", "beide schlecht", "Both Bad")),
    AB | {"winner_model_a": 0, "winner_model_b": 0, "winner_tie": 0, "winner_tie_bothbad": 1},  # Kaggle's arena
    AB | {"comparison": "both bad", "annotator": 1, "lead_time": 2.5},  # Label Studio JSON-MIN
    {"prompt": ASK, "responses": [BAD, GOOD], "label_annotations": {"p": {"both bad": "true"}}},  # Potato
    {
        "idx": 0,
        "instruction": "",
        "input": ASK,
        "response1": BAD,
        "response2": GOOD,
        "annotator1": "both bad",
    },  # PandaLM
    {"fields": {"prompt": ASK, "response_a": BAD, "response_b": GOOD}, "responses": {"p": [{"value": "both_bad"}]}},
    {
        "id": 1,
        "data": {"prompt": ASK, "answer1": BAD, "answer2": GOOD},
        "annotations": [{"result": [{"type": "choices", "value": {"choices": ["Both bad"]}}]}],
    },
]


@pytest.mark.parametrize("row", BOTH_BAD, ids=lambda row: "+".join(row)[:40])
def test_both_bad_is_a_tie_of_two_unacceptable_answers_in_every_shape(row: dict) -> None:
    assert found(row)[0] == []
    (vote,) = parse(row).rows[0].votes
    assert (vote.tiers, vote.unacceptable) == (((0, 1),), (0, 1))


def test_both_bad_among_numbers_of_votes_and_mapped_columns() -> None:
    (row,) = parse(AB | {"votes_a": 2, "votes_b": 1, "votes_tie": 1, "votes_both_bad": 1}).rows
    assert sorted((vote.tiers, vote.unacceptable) for vote in row.votes) == [
        *[(((0,), (1,)), ())] * 2,
        (((0, 1),), ()),
        (((0, 1),), (0, 1)),
        (((1,), (0,)), ()),
    ]
    mapping = {"text": "q", "chosen": "one", "rejected": "two", "winner": "w"}
    odd = {"q": ASK, "one": GOOD, "two": BAD}
    assert parse(odd | {"w": "both_bad"}, mapping=mapping).rows[0].votes[0].unacceptable == (0, 1)
    (vote,) = parse(odd | {"w": "X"}, mapping=mapping | {"winner_bad": "X,Y"}).rows[0].votes
    assert (vote.tiers, vote.unacceptable) == (((0, 1),), (0, 1))


def test_questions_answers_and_labels_in_other_languages() -> None:
    assert asked({"问题": ASK, "答案": GOOD}) == (["user"], [ASK], (GOOD,))
    assert asked({"指令": "翻译", "输入": "早上好", "输出": GOOD})[1:] == (["翻译\n\n早上好"], (GOOD,))
    (label,) = parse({"文本": "很好", "标签": "正面"}).labels
    assert (label.text, label.label) == ("很好", "正面")
    table = "Frage;Antwort A;Antwort B;Bessere Antwort\nWarum?;Darum.;Nein.;A\n"
    (row,) = parse_prompts(table.encode(), "x.csv").rows
    assert [(pair.chosen, pair.rejected) for pair in row.pairs] == [("Darum.", "Nein.")]
    for name in ("偏好", "我的评分", "Bewertung"):  # by its name in the file
        assert dict(parse({"问题": ASK, "答案": GOOD, name: "x"}).stopping) == {name: 1}


@pytest.mark.parametrize(
    ("columns", "mapping"),
    [
        (["用户的问题", "模型的回答"], {"text": "用户的问题", "reference": "模型的回答"}),
        (
            ["Die Frage", "Antwort links", "Antwort rechts", "Was ist besser"],
            {
                "text": "Die Frage",
                "chosen": "Antwort links",
                "rejected": "Antwort rechts",
                "winner": "Was ist besser",
            },
        ),
        (
            ["user_request", "reply_x", "reply_y", "reply_z", "rater"],
            {"text": "user_request", "completions": "reply_x,reply_y,reply_z", "annotator": "rater"},
        ),
        (["model_reply", "rating"], {}),
    ],
)
def test_a_mapping_is_guessed_from_names_that_only_hold_a_known_word(columns: list, mapping: dict) -> None:
    assert guessed(columns) == mapping


@pytest.mark.django_db
@pytest.mark.database
@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_the_preview_offers_guesses_and_they_are_taken(project, admin, as_user, name: str) -> None:
    row = {
        "用户的问题": "水在什么温度下沸腾？",
        "模型的回答 甲": "100 度。",
        "模型的回答 乙": "随意。",
        "哪个更好": "甲",
    }
    content = json.dumps(row, ensure_ascii=False) + "\n"
    if name.endswith(".csv"):
        content = f"{','.join(row)}\n{','.join(row.values())}\n"
    client = as_user(admin)
    file = SimpleUploadedFile(name, content.encode())
    address = client.post("/projects/letters/prompts/", {"file": file}).headers["Location"]
    page = client.get(address).content.decode()
    assert "guesses from the column names" in page
    sent = {"text": "用户的问题", "chosen": "模型的回答 甲", "rejected": "模型的回答 乙", "winner": "哪个更好"}
    for column in sent.values():
        assert f'<option value="{column}" selected>' in page
    client.post(address, sent | {"winner_first": "甲", "winner_second": "乙"})
    client.post(f"{address}take/")
    assert Prompt.objects.get().messages[0]["content"] == row["用户的问题"]
    assert ImportedJudgment.objects.count() == 1


def test_a_row_without_a_prompt_names_what_it_has() -> None:
    (refused,) = parse({"who": "ann", "what": ASK}).refused
    assert 'say which of "who", "what" is the prompt (columns)' in refused.reason


def test_answers_within_an_object_that_nobody_reads_stop_the_row() -> None:
    verl = {"prompt": [USER], "data_source": "x", "reward_model": {"style": "rule", "ground_truth": "100"}}
    parsed = parse(verl)
    assert (dict(parsed.stopping), parsed.rows) == ({"reward_model": 1}, [])
    assert len(parse(verl, ignore=("reward_model",)).rows) == 1
    assert parse({"prompt": ASK, "steps": [{"answer": GOOD}]}).stopping == {"steps": 1}
    assert len(parse({"prompt": ASK, "metadata": {"score": 1}, "usage": {"completion_tokens": 3}}).rows) == 1


def test_what_stands_beside_the_rows_of_an_object_is_no_part_that_gets_lost() -> None:
    held = {"version": "1", "instruction": "Answer briefly.", "data": [{"question": ASK, "answer": GOOD}]}
    parsed = parse(held, name="x.json")
    assert (parsed.rows, dict(parsed.stopping)) == ([], {"file.instruction": 1})
    mapping = {"text": "question", "reference": "answer", "system": "file.instruction"}
    (row,) = parse(held, name="x.json", mapping=mapping).rows
    assert [turn["content"] for turn in row.messages] == ["Answer briefly.", ASK]
    held.pop("instruction")
    assert not parse(held, name="x.json").not_used


def zipped(**files: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "."), text)
    return content.getvalue()


def test_an_empty_file_of_an_archive_is_named_and_the_others_are_taken(tmp_path) -> None:
    row = json.dumps({"prompt": ASK}) + "\n"
    parsed = parse_prompts(zipped(a__jsonl=row, b__jsonl="", c__csv="prompt\n", d__json="[]"), "x.zip")
    assert len(parsed.rows) == 1
    assert [refused.reason.partition(":")[0] for refused in parsed.refused] == ["b.jsonl", "c.csv", "d.json"]
    assert all("holds no rows" in refused.reason for refused in parsed.refused)
    with pytest.raises(UnreadableFile, match="holds no rows"):
        parse_prompts(zipped(a__jsonl="", b__csv="prompt\n"), "x.zip")
    for name, text in {"a.jsonl": row, "b.jsonl": "", "c.csv": ""}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "d.zip").write_bytes(zipped(a__jsonl=row, b__jsonl=" \n"))
    for given, taken in ((tmp_path, 1), (tmp_path / "d.zip", 1)):
        out = io.StringIO()
        call_command("import_prompts", given, "--dry-run", "--json", stdout=out, stderr=io.StringIO())
        report = json.loads(out.getvalue())
        assert report["taken"] == taken
        named = [path.rpartition("/")[2] for path in report["ignored"]] + [
            row["reason"] for row in report["refused_rows"]
        ]
        assert any(each.startswith("b.jsonl") for each in named)


def test_feedback_of_open_webui_ends_at_the_rated_message() -> None:
    messages = {
        "1": {"parentId": None, "role": "user", "content": ASK},
        "2": {"parentId": "1", "role": "assistant", "content": GOOD},
        "3": {"parentId": "2", "role": "user", "content": "And at the top of a mountain?"},
        "4": {"parentId": "3", "role": "assistant", "content": BAD},
    }
    row = {
        "user_id": "u1",
        "created_at": 1_760_000_000,
        "data": {"rating": -1, "model_id": "small", "reason": "wrong", "comment": "It is lower there."},
        "meta": {"message_id": "4"},
        "snapshot": {"chat": {"chat": {"history": {"messages": messages}}}},
    }
    (prompt,) = parse(row).rows
    assert [turn["content"] for turn in prompt.messages] == [ASK, GOOD, "And at the top of a mountain?"]
    (vote,) = prompt.votes
    assert (vote.unacceptable, vote.annotator, vote.rationale) == ((0,), "u1", "wrong\n\nIt is lower there.")
    assert vote.at == "2025-10-09T08:53:20+00:00"
    row["meta"]["message_id"] = "2"
    assert parse(row).rows[0].completions == (GOOD,)
    row["snapshot"] = {"chat": {}}
    assert "has no conversation" in parse(row).refused[0].reason
