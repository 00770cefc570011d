"""A prepared query gives what the query itself gives, for every row, column and value."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation import access
from annotation.actions import queue
from annotation.models import Assignment, Membership, Project, Role, Webhook
from annotation.models.prepared import Prepared
from annotation.opaque import key_of

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def values_of(row) -> dict[str, object] | None:
    return row and {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def all_values_of(seat: Assignment) -> list[dict[str, object] | None]:
    return [values_of(row) for row in (seat, seat.task, seat.task.prompt, seat.task.proposal, seat.project)]


def test_every_column_of_every_row_is_the_same(project, annotator, open_ranking_task, accept_proposal):
    """Of tasks with and without a proposal, with drafts, dates and answers, on either database."""
    open_ranking_task()
    accept_proposal()
    held = queue.claim_next(project=project, by=annotator)
    Assignment.objects.filter(pk=held.pk).update(draft={"rationale": "é \U0001f600", "tiers": [[1], [2]]})
    related = Assignment.objects.select_related("task__prompt", "task__proposal", "project")
    seats = list(related.exclude(annotator=None))
    assert {bool(seat.task.proposal) for seat in seats} == {True, False}
    for seat in seats:
        Membership.objects.get_or_create(project=project, user=seat.annotator, defaults={"role": Role.ANNOTATOR})
        with CaptureQueriesContext(connection) as asked:
            own = access.get_assignment(seat.annotator, project.slug, key_of(seat.pk, "assignment"))
            assert all_values_of(own) == all_values_of(seat)
            taken = queue._with_task(seat.pk, seat.project)
            assert all_values_of(taken) == all_values_of(seat)
        assert len(asked) == 2  # all that was compared came with them


def test_it_is_asked_with_the_values_of_each_call(project, annotator, stranger, open_ranking_task):
    open_ranking_task()
    held = queue.claim_next(project=project, by=annotator)
    other = Project.objects.create(slug="other", name="Other")
    own = {"user": annotator.pk, "slug": project.slug, "pk": held.pk}
    assert access._own_assignment.first(**own) == held
    wrong = {"user": stranger.pk, "slug": other.slug, "pk": held.pk + 1}
    for name, value in wrong.items():
        assert access._own_assignment.first(**{**own, name: value}) is None
    assert access._own_assignment.first(**own) == held


def test_many_rows_come_in_the_querys_order(project, alice):
    of_project = Prepared(lambda project: Webhook.objects.filter(project=project).order_by("-url"), project=int)
    for name in "bca":
        Webhook.objects.create(project=project, url=f"https://{name}.example", secret="s", events="test")
    assert [hook.url[8] for hook in of_project.rows(project=project.pk)] == ["c", "b", "a"]
    assert of_project.rows(project=project.pk + 1) == []


def test_a_value_that_the_query_does_not_use_is_refused(project):
    unused = Prepared(lambda slug, name: Project.objects.filter(slug=slug), slug=str, name=str)
    with pytest.raises(TypeError, match="name"):
        unused.first(slug=project.slug, name="x")
