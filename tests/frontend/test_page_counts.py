"""The pages that refresh by themselves count no further than they show, however large the project is."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation.actions import queue

pytestmark = [pytest.mark.django_db, pytest.mark.database]
GROWING = ("annotation_prompt", "annotation_completion", "annotation_ranking", "annotation_assignment")


@pytest.fixture
def judged_project(project, ranked_task, open_ranking_task):
    for _ in range(4):
        ranked_task(["a", "b"])
    open_ranking_task(["a", "b"])
    return project


def figures(page: str) -> list[str]:
    return [found.strip() for found in re.findall(r'<p class="figure">([^<]+)', page)]


def test_figures_end_with_a_plus_where_there_are_more(judged_project, alice, monkeypatch):
    url = judged_project.get_absolute_url()
    whole = figures(alice.get(url).content.decode())
    assert whole[:4] == ["6", "13", "5", "5"]
    monkeypatch.setattr(queue, "COUNTED", 3)
    capped = figures(alice.get(url, headers={"hx-request": "true"}).content.decode())
    assert capped[:4] == ["3+", "3+", "3+", "3+"]
    assert capped[4:] == whole[4:]


@pytest.mark.parametrize("who", ["alice", "bob", "rita"])
@pytest.mark.parametrize("page", ["home", "project", "fragment"])
def test_no_count_reads_all_rows_of_a_growing_table(judged_project, who, page, request):
    client = request.getfixturevalue(who)
    headers = {"hx-request": "true"} if page == "fragment" else {}
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert (
            client.get("/" if page == "home" else judged_project.get_absolute_url(), headers=headers).status_code == 200
        )
    counts = [each["sql"] for each in asked.captured_queries if "COUNT(" in each["sql"].upper()]
    endless = [sql for sql in counts if re.search(rf'FROM "?({"|".join(GROWING)})"?\\b', sql) and not bounded(sql)]
    assert not endless, "\n".join(endless)
    assert counts


def bounded(sql: str) -> bool:
    """Whether a count ends at a limit, or is of what one person has or holds."""
    return "LIMIT" in sql or "annotator_id" in sql or "'held'" in sql
