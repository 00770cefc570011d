"""The data browser over HTTP: search in any script, kept by both databases."""

from __future__ import annotations

import pytest
from django.db import connection

from annotation.models import (
    Completion,
    Project,
    words,
)
from tests.annotation.record_pages import RECORDS, rows, texts

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("天气", ["北京今天的天气怎么样？"]),
        ("天", ["北京今天的天气怎么样？", "明天会下雨吗"]),
        ("今天的天", ["北京今天的天气怎么样？"]),
        ("气天", []),
        ("weather", ["How is the WEATHER today?"]),
        ("weath", ["How is the WEATHER today?"]),
        ("today weather", ["How is the WEATHER today?"]),
        ('"today weather"', []),
        ('"weather today"', ["How is the WEATHER today?"]),
        ("الطقس", ["كيف الطقس اليوم؟"]),
        ("ärger", ["Was hilft gegen ÄRGER?"]),
        ("お天気", ["今日のお天気は？"]),
        ("날씨", ["오늘날씨가어때요"]),
        ("c++", ["Explain c++ and snake_case."]),
        ("snake", ["Explain c++ and snake_case."]),
        ("O'Brien", ["Who is O'Brien?"]),
        ("' OR 1=1 --", []),
    ],
)
def test_search_finds_words_and_parts_of_text_without_spaces(alice, make_prompt, asked, found):
    for text in (
        "北京今天的天气怎么样？",
        "明天会下雨吗",
        "How is the WEATHER today?",
        "كيف الطقس اليوم؟",
        "Was hilft gegen ÄRGER?",
        "今日のお天気は？",
        "오늘날씨가어때요",
        "Explain c++ and snake_case.",
        "Who is O'Brien?",
    ):
        make_prompt(text)
    expected = list(found)
    got = texts(alice, q=asked)
    if asked == "天":  # Japanese has the character, too
        expected.append("今日のお天気は？")
    assert sorted(got) == sorted(expected)


def test_a_search_without_a_letter_is_refused_in_words(alice, make_prompt):
    make_prompt()
    response = alice.get(f"{RECORDS}prompts/", {"q": "?!,"})
    assert response.status_code == 422
    assert "The search needs letters or digits" in response.content.decode()


def test_search_stays_within_the_project_and_follows_changes(alice, project, make_prompt, policy):
    other = Project.objects.create(slug="other", name="Other")
    make_prompt("A rare aardvark", project=other)
    prompt = make_prompt("Another thing")
    assert texts(alice, q="aardvark") == []
    answer = Completion.objects.create(prompt=prompt, source="policy", policy=policy, text="An aardvark.")
    assert rows(alice, "responses", q="aardvark") == [answer]
    Completion.objects.filter(pk=answer.pk).update(text="A zebra.")
    assert rows(alice, "responses", q="aardvark") == []
    assert rows(alice, "responses", q="zebra") == [answer]
    answer.delete()
    assert rows(alice, "responses", q="zebra") == []


@pytest.mark.skipif(connection.vendor != "sqlite", reason="triggers keep the index on SQLite only")
def test_a_migration_that_rebuilds_a_table_cannot_lose_the_search_index(alice, make_prompt):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'annotation_words_%'")
        assert cursor.fetchone()[0] == 3 * len(words.ALL)
        cursor.execute("DROP TRIGGER annotation_words_prompt_insert")
    make_prompt("Unseen by the index")
    assert texts(alice, q="unseen") == []
    words.ensure(connection)
    assert texts(alice, q="unseen") == ["Unseen by the index"]
    make_prompt("Seen at once")
    assert texts(alice, q="seen") == ["Seen at once"]
