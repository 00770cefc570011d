"""What tests of the data browser ask of its pages."""

from __future__ import annotations

import uuid

from annotation.actions import judgments, queue

RECORDS = "/projects/letters/records/"


def rows(client, name, **asked):
    response = client.get(f"{RECORDS}{name}/", asked)
    assert response.status_code == 200, response.content.decode()
    return response.context["page"].rows


def texts(client, **asked):
    return [prompt.last_message for prompt in rows(client, "prompts", **asked)]


def change(client, name, do, ids=(), **values):
    response = client.post(f"{RECORDS}{name}/change/", {"do": do, "ids": list(ids), **values}, follow=True)
    return " ".join(str(message) for message in response.context["messages"])


def judge(project, user, order=None, rationale=""):
    seat = queue.claim_next(project=project, by=user)
    answer = {"tiers": [[pk] for pk in order or seat.shown_order], "unacceptable": [], "rationale": rationale}
    judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=answer, active_ms=900)
    return seat
