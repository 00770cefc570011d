"""Reviewing proposed tasks over HTTP: what is stored, what is refused, and what can be taken back."""

from __future__ import annotations

import json
import uuid

import pytest
from django.db import IntegrityError, transaction

from annotation.actions import proposals
from annotation.models import Assignment, Proposal, ProposalReview, SeatStatus, Task

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def seat(bob, propose) -> Assignment:
    propose(similar=[{"id": "seed:sky", "text": "Name the colour of grass.", "score": 0.73}], similarity=0.73)
    bob.post("/projects/letters/annotate/")
    return Assignment.objects.get(status=SeatStatus.HELD)


def submit(client, seat: Assignment, **fields):
    return client.post(f"{seat.get_absolute_url()}submit/", {"client_uuid": str(uuid.uuid4()), **fields})


def test_the_page_shows_the_task_and_what_is_like_it(bob, seat):
    page = bob.get(seat.get_absolute_url()).content.decode()
    assert "Name a colour of the sky." in page
    assert "0.73" in page
    assert "Name the colour of grass." in page
    assert 'class="menu skip flag"' not in page


def test_a_flagged_near_duplicate_says_so(bob, propose):
    propose(near_duplicate=True, similarity=0.9)
    bob.post("/projects/letters/annotate/")
    seat = Assignment.objects.get(status=SeatStatus.HELD)
    assert "Near-duplicate of another task" in bob.get(seat.get_absolute_url()).content.decode()


def test_accepting_keeps_no_texts(bob, seat):
    assert submit(bob, seat, verdict="accept", instruction="Sent along", output="by the page").status_code == 302
    review = ProposalReview.objects.get()
    assert (review.verdict, review.reason, review.instruction, review.output) == ("accept", "", "", "")
    seat.refresh_from_db()
    assert seat.status == SeatStatus.DONE


def test_an_edit_keeps_the_new_texts_and_leaves_the_proposal(bob, seat):
    fields = {"instruction": "Name the colour of the sky at noon.\r\n", "input": "", "output": "Blue."}
    submit(bob, seat, verdict="edit", reason="wrong", **fields)
    review = ProposalReview.objects.get()
    assert (review.instruction, review.output, review.reason) == ("Name the colour of the sky at noon.", "Blue.", "")
    assert Proposal.objects.get().instruction == "Name a colour of the sky."


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "Accept, edit or reject the task."),
        ({"verdict": "reject"}, "Choose a reason for the rejection."),
        ({"verdict": "reject", "reason": "ugly"}, "is not one of the available choices"),
        ({"verdict": "edit", "instruction": " ", "output": "Blue."}, "Instruction is empty."),
        ({"verdict": "edit", "instruction": "Name it.", "output": ""}, "Output is empty."),
        ({"verdict": "edit", "instruction": "Name a colour of the sky.", "output": "Blue. "}, "Nothing is changed."),
    ],
)
def test_what_is_not_taken(bob, seat, fields, message):
    response = submit(bob, seat, **fields)
    assert response.status_code == 422
    assert message in response.content.decode()
    assert not ProposalReview.objects.exists()


def test_rejecting_for_a_reason_sent_twice_is_one_review(bob, seat):
    again = {"verdict": "reject", "reason": "trivial", "client_uuid": str(uuid.uuid4())}
    submit(bob, seat, **again)
    submit(bob, seat, **again)
    assert [review.reason for review in ProposalReview.objects.all()] == ["trivial"]


def test_drafts_skip_and_undo_as_with_other_kinds(bob, seat, propose, admin, as_user):
    draft = {"verdict": "edit", "instruction": "Half", "output": ""}
    url = seat.get_absolute_url()
    assert bob.post(f"{url}draft/", {"draft": json.dumps(draft), "active_ms": "10"}).status_code == 200
    submit(bob, seat, verdict="edit", instruction="Changed.", input="", output="Blue.")
    assert "Name a colour of the sky." in bob.get("/projects/letters/mine/").content.decode()
    bob.post("/projects/letters/undo/")
    seat.refresh_from_db()
    assert seat.status == SeatStatus.HELD
    assert (seat.draft["verdict"], seat.draft["instruction"], seat.draft["output"]) == ("edit", "Changed.", "Blue.")
    assert not ProposalReview.objects.exists()

    bob.post(f"{url}skip/", {"reason": "I do not know enough about this"})
    as_user(admin).post("/projects/letters/annotate/")
    assert Assignment.objects.get(status=SeatStatus.HELD).task == seat.task


def test_it_cannot_be_flagged(bob, seat):
    response = bob.post(f"{seat.get_absolute_url()}flag/", {"reason": "other"})
    assert "reject it, with the reason" in bob.get(response.headers["Location"]).content.decode()


def test_a_program_reviews_through_the_api(bob, propose):
    propose(input="None given", similar=[{"id": "seed:a", "text": "Name it", "score": 0.5}])
    claimed = bob.post("/api/v1/projects/letters/tasks/claim/").json()
    assert (claimed["kind"], claimed["messages"]) == ("proposal", [])
    assert claimed["proposal"] == {
        "instruction": "Name a colour of the sky.",
        "input": "None given",
        "output": "Blue.",
        "similar": [{"id": "seed:a", "text": "Name it", "score": 0.5}],
        "near_duplicate": False,
    }
    body = {"client_uuid": str(uuid.uuid4()), "verdict": "reject", "reason": "unclear"}
    address = f"/api/v1/projects/letters/assignments/{claimed['id']}/submit/"
    assert bob.post(address, json.dumps(body), content_type="application/json").status_code == 200
    assert ProposalReview.objects.get().reason == "unclear"


def test_strangers_and_colleagues_see_nothing_of_a_seat(seat, admin, stranger, as_user):
    for somebody in (admin, stranger):
        assert as_user(somebody).get(seat.get_absolute_url()).status_code == 404
        assert submit(as_user(somebody), seat, verdict="accept").status_code == 404


def test_a_proposal_has_one_task(project, propose):
    proposal = propose()
    proposals.open_reviews(project=project, proposals=Proposal.objects.all())
    assert Task.objects.filter(proposal=proposal).count() == 1
    with pytest.raises(IntegrityError, match=r"(?i)proposal_id|unique"), transaction.atomic():
        Task.objects.create(project=project, proposal=proposal, kind="proposal")


def test_what_the_database_refuses(project, seat, make_prompt):
    review = {"assignment": seat, "client_uuid": uuid.uuid4()}
    for wrong in (
        {"verdict": "reject"},
        {"verdict": "accept", "reason": "wrong"},
        {"verdict": "accept", "instruction": "Texts"},
        {"verdict": "edit", "instruction": "No output"},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            ProposalReview.objects.create(**review, **wrong)
    for wrong in ({"kind": "ranking"}, {"kind": "proposal"}, {"kind": "proposal", "prompt": make_prompt()}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Task.objects.create(project=project, **wrong)
