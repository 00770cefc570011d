"""Flags: raised beside the work, looked at by reviewers, and what becomes of the text."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from annotation.actions import tasks
from annotation.models import Assignment, Completion, Flag, FlagReason, Prompt, SeatStatus, Source

pytestmark = [pytest.mark.django_db, pytest.mark.database]

ANSWERS = ["Kind.", "Rude."]


@pytest.fixture
def seat(project, annotator, as_user, policy, make_prompt) -> Assignment:
    prompt = make_prompt("Say something.")
    for index, text in enumerate(ANSWERS):
        Completion.objects.create(
            prompt=prompt, source=Source.POLICY, policy=policy, text=text, origin="run-1", index=index
        )
    project.reference_share = 0
    project.save()
    tasks.open_tasks_for(policy=policy, origin="run-1")
    as_user(annotator).post(f"/projects/{project.slug}/annotate/")
    return Assignment.objects.get(status=SeatStatus.HELD)


@pytest.fixture
def raise_flag(seat, annotator, as_user):
    def post(**fields):
        return as_user(annotator).post(
            f"{seat.get_absolute_url()}flag/", {"reason": "harmful", **fields}, headers={"HX-Request": "true"}
        )

    return post


def rude_number() -> int:
    """By which the page names the rude answer."""
    return Assignment.objects.get(status=SeatStatus.HELD).number_of(rude().pk)


def rude() -> Completion:
    return Completion.objects.get(text="Rude.", origin="run-1")


def test_a_flag_on_an_answer_reaches_the_reviewers_with_its_text(raise_flag, project, admin, annotator, as_user):
    assert "Reported" in raise_flag(answer=rude_number(), note="It shouts.").content.decode()
    page = as_user(admin).get(f"/projects/{project.slug}/flags/").content.decode()
    for words in ("Rude.", "It shouts.", "Harmful", annotator.username, "Say something."):
        assert words in page


def test_flagging_again_changes_the_flag_and_makes_no_second_one(raise_flag):
    raise_flag(answer=rude_number())
    raise_flag(answer=rude_number(), reason="off-topic", note="On second thought.")
    flag = Flag.objects.get()
    assert (flag.reason, flag.note) == ("off-topic", "On second thought.")


def test_the_prompt_may_be_flagged_beside_an_answer(raise_flag, seat):
    raise_flag()
    raise_flag(answer=rude_number())
    assert Flag.objects.get(completion=None).prompt == seat.task.prompt
    assert Flag.objects.get(prompt=None).completion == rude()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"reason": ""}, "Choose a reason"),
        ({"reason": "ugly"}, "not one of the available choices"),
        ({"answer": "999999"}, "a response of this task"),
        ({"note": "x" * 501}, "at most 500 characters"),
    ],
)
def test_what_is_no_flag_is_refused_in_words(raise_flag, fields, message):
    response = raise_flag(**fields)
    assert response.status_code == 422
    assert message in response.content.decode()
    assert Flag.objects.count() == 0


def test_a_withdrawn_answer_is_in_no_new_task(raise_flag, seat, project, policy, admin, as_user):
    raise_flag(answer=rude_number())
    as_user(admin).post(f"/projects/{project.slug}/flags/{Flag.objects.get().pk}/withdraw/")
    assert Flag.objects.get().status == "withdrawn"
    assert rude().withdrawn_at
    texts = ["Rude.", "New.", "Newer."]
    for index, text in enumerate(texts):
        Completion.objects.create(
            prompt=seat.task.prompt, source=Source.POLICY, policy=policy, text=text, origin="run-2", index=index
        )
    opened = tasks.open_tasks_for(policy=policy, origin="run-2")
    assert [sorted(task.candidates.values_list("text", flat=True)) for task in opened] == [["New.", "Newer."]]
    assert rude() in seat.task.candidates.all()  # people see it there: candidates never change


def test_a_withdrawn_prompt_gets_no_new_task(raise_flag, seat, project, policy, admin, as_user):
    raise_flag()
    as_user(admin).post(f"/projects/{project.slug}/flags/{Flag.objects.get().pk}/withdraw/")
    assert Prompt.objects.get().withdrawn_at
    for index, text in enumerate(["New.", "Newer."]):
        Completion.objects.create(
            prompt=seat.task.prompt, source=Source.POLICY, policy=policy, text=text, origin="run-2", index=index
        )
    assert tasks.open_tasks_for(policy=policy, origin="run-2") == []


def test_a_dismissed_flag_leaves_the_text_and_is_settled_once(raise_flag, project, admin, as_user):
    raise_flag(answer=rude_number())
    flag, client = Flag.objects.get(), as_user(admin)
    client.post(f"/projects/{project.slug}/flags/{flag.pk}/dismiss/")
    again = client.post(f"/projects/{project.slug}/flags/{flag.pk}/withdraw/", follow=True)
    assert "report is already resolved" in again.content.decode()
    flag.refresh_from_db()
    assert (flag.status, flag.settled_by) == ("dismissed", admin)
    assert rude().withdrawn_at is None
    assert "has checked it" in raise_flag(answer=rude_number()).content.decode()


def test_a_program_flags_over_the_api(seat, annotator, as_user):
    address = f"/api/v1/projects/letters/assignments/{seat.key}/flag/"
    body = {"answer": rude_number(), "reason": "personal-data"}
    assert as_user(annotator).post(address, body, content_type="application/json").status_code == 204
    assert Flag.objects.get().reason == FlagReason.PERSONAL_DATA


@pytest.mark.parametrize(
    "values",
    [
        lambda prompt: {"prompt": prompt, "completion": rude()},  # on two texts
        lambda prompt: {},  # on none
        lambda prompt: {"prompt": prompt},  # a second one of the same person on the same text
        lambda prompt: {"completion": rude(), "status": "dismissed"},  # settled by nobody
    ],
)
def test_the_database_refuses_what_no_flag_can_be(seat, project, annotator, raise_flag, values):
    raise_flag()
    with pytest.raises(IntegrityError), transaction.atomic():
        Flag.objects.create(project=project, raised_by=annotator, reason="other", **values(seat.task.prompt))
