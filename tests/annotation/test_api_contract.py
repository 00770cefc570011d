"""The API keeps what its OpenAPI description promises: schemathesis asks it for everything, as two people.

Each operation is asked in the way it is described and in ways that break the description. No answer may be a 5xx, and
each must have a status, a content type and a body that the description has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from schemathesis import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from annotation.actions import alarms, invitations, queue, snapshots
from annotation.actions.tokens import make_token
from annotation.delivery import webhooks
from annotation.models import AIJudge, Evaluation, Event, ImportStatus, PromptUpload, Role, Scope
from tests import NIGHTLY
from training.actions import playground
from training.models import Metric, TrainingRound, TrainingRun

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
EXAMPLES = 15 if NIGHTLY else 5

# The labels of the operations without their description, which takes a second to make.
LABELS = [
    f"{method} {path.replace('{pk}', '{id}')}"
    for path, _, method, _ in EndpointEnumerator().get_api_endpoints()
    if path not in ("/api/v1/docs/", "/api/v1/schema/")
]


@pytest.fixture(scope="session")
def operations() -> dict[str, APIOperation]:
    """The described operations by their label."""
    schema = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True))
    schema.app = get_wsgi_application()
    return {operation.ok().label: operation.ok() for operation in schema.get_all_operations()}


# Where a request that keeps to the description may still be refused, by a rule that JSON Schema has no words for.
MORE_IS_ASKED = {
    "POST /api/v1/projects/": "a name is more than spaces",
    "PATCH /api/v1/projects/{slug}/": "a name is more than spaces",
    "POST /api/v1/projects/{slug}/alarms/": "a note is more than spaces",
    "POST /api/v1/projects/{slug}/assignments/{id}/flag/": "it is an answer of the task",
    "POST /api/v1/projects/{slug}/assignments/{id}/submit/": "every answer has a place",
    "POST /api/v1/projects/{slug}/autopilot/": "there is such a plan, and a cause for a round",
    "POST /api/v1/projects/{slug}/compute/": "there are such a method and executor, which takes the resources",
    "POST /api/v1/projects/{slug}/evaluations/": "there are such versions",
    "POST /api/v1/projects/{slug}/feedback/": "it says something of a response, and the prompt ends with the user",
    "POST /api/v1/projects/{slug}/feedback/batch/": "as for one",
    "POST /api/v1/projects/{slug}/playground/": "there are such versions",
    "POST /api/v1/projects/{slug}/playground/{id}/judge/": "two versions have answered",
    "POST /api/v1/projects/{slug}/invitations/": "admins are invited one by one",
    "POST /api/v1/projects/{slug}/methods/": "there is such a verbalizer",
    "POST /api/v1/projects/{slug}/templates/": "it has the slots of a template",
    "POST /api/v1/projects/{slug}/verbalizers/": "two labels, and no word for both",
    "POST /api/v1/projects/{slug}/judges/": "the operator lists the server",
    "POST /api/v1/projects/{slug}/judges/{id}/versions/": "the operator lists the server",
    "POST /api/v1/projects/{slug}/judges/{id}/versions/{number}/take-over/": "there is such a slice",
    "POST /api/v1/projects/{slug}/members/": "there is such an account",
    "POST /api/v1/projects/{slug}/prompts/": "the file can be read",
    "POST /api/v1/projects/{slug}/rounds/": "settings are those of the methods",
    "POST /api/v1/projects/{slug}/rounds/dry-run/": "settings are those of the methods",
    "GET /api/v1/projects/{slug}/snapshots/{number}/download/": "CSV has no place for lists",
    "POST /api/v1/projects/{slug}/snapshots/withdraw/": "there is such an account",
    "POST /api/v1/projects/{slug}/webhooks/": "a secret is base64 of 24 to 64 bytes",
}


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """As Django's own test client does: the application must not close the connection that holds the test's data."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def midlife(
    project, admin, annotator, policy, open_ranking_task, ranked_task, make_prompt, accept_proposal
) -> dict[str, Any]:
    """Something of everything, and the values that lead there."""
    open_ranking_task()
    seat = queue.claim_next(project=project, by=annotator)
    snapshots.take_snapshot(project=project, by=admin)
    round = TrainingRound.objects.create(project=project, number=1)
    run = TrainingRun.objects.create(round=round, position=0, method="sample")
    Metric.objects.create(run=run, step=1, name="sample/tokens_per_second", value=12.5)
    hook = webhooks.add_webhook(project=project, url="https://example.org/told", events=[Event.ROUND], by=admin)
    delivery = webhooks.send_test(webhook=hook, by=admin)
    asked = playground.ask(
        project=project, by=admin, question="Hello?", versions=[policy], max_new_tokens=8, temperature=1.0
    )
    Evaluation.objects.create(project=project, number=1, version=policy, origin="run-9")
    alarm = alarms.raise_alarm(project=project, note="Nothing but hearts.", by=annotator)
    ((invited, _),) = invitations.invite(project=project, role=Role.ANNOTATOR, by=admin, days=1)
    taken = PromptUpload.objects.create(
        project=project, uploaded_by=admin, filename="a.jsonl", status=ImportStatus.TAKEN
    )
    judge = AIJudge.objects.create(project=project, name="Strict")
    version = judge.versions.create(number=1, server="https://models.example/v1", model="m", rubric="Short is good.")
    return {
        "imports": taken.pk,
        "judges": judge.pk,
        "judge_runs": version.runs.create(most_pairs=5).pk,
        "alarms": alarm.pk,
        "assignments": seat.key,
        "webhooks": hook.pk,
        "deliveries": delivery.pk,
        "proposals": accept_proposal().pk,
        "playground": asked.pk,
        "invitations": invited.pk,
    }


def way_there(label: str, midlife: dict[str, Any]) -> dict[str, Any]:
    """Values for the path of an operation under which there is something."""
    path = label.partition(" ")[2]
    values: dict[str, Any] = {
        "slug": "letters",
        "number": "0" if "/policies/" in path else "1",
        "earlier": "1",
        "webhook": str(midlife["webhooks"]),
        "run": str(midlife["judge_runs"]),
    }
    values["id"] = str(midlife[path.split("/{id}/")[0].rsplit("/", 1)[-1]]) if "/{id}/" in path else ""
    return {name: value for name, value in values.items() if f"{{{name}}}" in path}


def test_every_operation_is_asked(operations):
    assert sorted(LABELS) == sorted(operations)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("label", LABELS)
def test_every_answer_is_one_that_is_described(label, mode, operations, midlife, admin, annotator):
    operation = operations[label]
    # What breaks the description is refused for what it is only where the role would do.
    people = [admin, annotator] if mode == GenerationMode.POSITIVE else [admin]
    tokens = [make_token(user=user, name="contract", scopes=list(Scope))[1] for user in people]
    known = way_there(label, midlife)
    strategy = operation.as_strategy(
        generation_mode=mode, path_parameters=known if mode == GenerationMode.POSITIVE else None
    )

    @given(case=strategy)
    @hypothesis_settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=not NIGHTLY,  # the same examples in every run, but new ones at night
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: schemathesis.Case) -> None:
        has_nul = r"\u0000" in json.dumps(case.body, default=str)  # described as a text, and in no text accepted
        excluded = [negative_data_rejection]  # a number where a text belongs is read as its text, and the like
        if label in MORE_IS_ASKED or has_nul:
            excluded.append(positive_data_acceptance)
        for token in tokens:
            with transaction.atomic():  # every question meets the same data
                case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, excluded_checks=excluded)
                transaction.set_rollback(True)

    ask()
