"""Every page and endpoint through admin, annotator, stranger and somebody who is not signed in.

The rows are the whole URL map: a new address without a row here fails `test_every_address_has_a_row`.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import get_resolver, reverse

from annotation.actions import alarms, flags, invitations, judgments, quality, queue, records, snapshots
from annotation.actions.tokens import make_token
from annotation.delivery import webhooks
from annotation.models import (
    AIJudge,
    Completion,
    Evaluation,
    Event,
    FlagReason,
    ImportStatus,
    Notification,
    PromptUpload,
    Ranking,
    ReviewComment,
    Role,
    SavedView,
    Scope,
    Source,
)
from annotation.records.lists import LISTS
from tests import pseudo
from training.actions import playground, prompt_tuning, rounds
from training.instructions.form import Written
from training.models import TrainingRound, TrainingRun
from training.products.proposals import store

pytestmark = pytest.mark.django_db

# name, method, and the status for admin, annotator, stranger. 302 is a redirect to where the work goes on.
PAGES = [
    ("home", "get", 200, 200, 200),
    ("palette", "get", 200, 200, 200),
    ("profile", "get", 200, 200, 200),
    ("notifications", "get", 200, 200, 200),
    ("notifications_read", "post", 302, 302, 302),
    ("notification", "get", 404, 302, 404),
    ("tokens", "get", 200, 200, 200),
    ("tokens", "post", 200, 200, 200),
    ("token_revoke", "post", 302, 404, 404),
    ("project", "get", 200, 200, 404),
    ("project_create", "get", 403, 403, 403),
    ("project_preview", "post", 200, 200, 200),
    ("project_duplicate", "post", 403, 403, 404),
    ("model", "get", 200, 403, 404),
    ("model", "post", 302, 403, 404),
    ("project_edit", "get", 200, 403, 404),
    ("project_edit", "post", 200, 403, 404),
    ("project_close", "post", 302, 403, 404),
    ("project_reopen", "post", 302, 403, 404),
    ("guidelines", "get", 200, 200, 404),
    ("guidelines_acknowledge", "post", 302, 302, 404),
    ("members", "get", 200, 403, 404),
    ("members", "post", 200, 403, 404),
    ("member_remove", "post", 302, 403, 404),
    ("invitations", "get", 200, 403, 404),
    ("invitations", "post", 200, 403, 404),
    ("invitation_revoke", "post", 302, 403, 404),
    ("mail_about_rounds", "post", 302, 403, 404),
    ("prompts", "get", 200, 403, 404),
    ("prompts", "post", 200, 403, 404),
    ("upload", "get", 200, 403, 404),
    ("take_upload", "post", 302, 403, 404),
    ("upload_job", "post", 400, 403, 404),
    ("upload", "post", 302, 403, 404),
    ("upload_refused", "get", 200, 403, 404),
    ("records", "get", 200, 403, 404),
    ("records_change", "post", 302, 403, 404),
    ("records_export", "post", 200, 403, 404),
    ("view_save", "post", 302, 403, 404),
    ("view_remove", "post", 302, 403, 404),
    ("record_prompt", "get", 200, 403, 404),
    ("record_response", "get", 200, 403, 404),
    ("record_annotation", "get", 200, 403, 404),
    ("record_task", "get", 200, 403, 404),
    ("prompt_add", "get", 200, 403, 404),
    ("prompt_edit", "get", 200, 403, 404),
    ("annotate", "get", 200, 302, 404),
    ("annotate", "post", 302, 302, 404),
    ("assignment", "get", 404, 200, 404),
    ("save_draft", "post", 404, 400, 404),
    ("preview", "post", 404, 200, 404),
    ("first_version", "post", 404, 400, 404),
    ("submit", "post", 404, 422, 404),
    ("skip", "post", 404, 302, 404),
    ("redo", "post", 404, 409, 404),
    ("undo", "post", 409, 409, 404),
    ("flag", "post", 404, 302, 404),
    ("flags", "get", 200, 403, 404),
    ("flag_dismiss", "post", 302, 403, 404),
    ("flag_withdraw", "post", 302, 403, 404),
    ("snapshots", "get", 200, 403, 404),
    ("snapshots", "post", 302, 403, 404),
    ("snapshot_download", "get", 200, 403, 404),
    ("quality", "get", 200, 403, 404),
    ("quality", "post", 302, 403, 404),
    ("quality_weights", "post", 302, 403, 404),
    ("quality_exclude", "post", 302, 403, 404),
    ("quality_lift", "post", 302, 403, 404),
    ("review", "get", 200, 403, 404),
    ("review_task", "get", 200, 403, 404),
    ("review_task", "post", 422, 403, 404),
    ("review_withdraw", "post", 302, 403, 404),
    ("review_mark_known", "post", 302, 403, 404),
    ("review_send_back", "post", 302, 403, 404),
    ("review_comment", "post", 302, 403, 404),
    ("known", "get", 200, 403, 404),
    ("known_practice", "post", 302, 403, 404),
    ("practice", "get", 200, 200, 404),
    ("practice", "post", 302, 302, 404),
    ("own_work", "get", 200, 200, 404),
    ("own_annotation", "get", 404, 302, 404),
    ("own_reply", "post", 404, 302, 404),
    ("comment_read", "post", 404, 302, 404),
    ("snapshot", "get", 200, 403, 404),
    ("snapshot_card", "get", 200, 403, 404),
    ("snapshot_changes", "get", 200, 403, 404),
    ("withdraw", "post", 200, 403, 404),
    ("audit", "get", 200, 403, 404),
    ("feedback", "get", 200, 403, 404),
    ("feedback_erase", "post", 302, 403, 404),
    ("feedback_queue", "post", 302, 403, 404),
    ("judges", "get", 200, 403, 404),
    ("judges", "post", 200, 403, 404),
    ("judge", "get", 200, 403, 404),
    ("judge", "post", 422, 403, 404),
    ("judge_prices", "post", 302, 403, 404),
    ("judge_calibrate", "post", 302, 403, 404),
    ("judge_take_over", "post", 302, 403, 404),
    ("judge_cancel", "post", 302, 403, 404),
    ("judge_resume", "post", 302, 403, 404),
    ("project_archive", "post", 302, 403, 404),
    ("project_delete", "get", 200, 403, 404),
    ("project_delete", "post", 422, 403, 404),
    ("own_data", "get", 200, 200, 200),
    ("own_data", "post", 200, 200, 200),
    ("person", "get", 403, 403, 403),
    ("person", "post", 403, 403, 403),
    ("audit_of_server", "get", 403, 403, 403),
    ("webhooks", "get", 200, 403, 404),
    ("webhooks", "post", 200, 403, 404),
    ("webhook", "get", 200, 403, 404),
    ("webhook_test", "post", 302, 403, 404),
    ("send_again", "post", 302, 403, 404),
    ("webhook_remove", "post", 302, 403, 404),
    ("rounds", "get", 200, 403, 404),
    ("round_new", "get", 200, 403, 404),
    ("round_new", "post", 200, 403, 404),
    ("generate", "post", 302, 403, 404),
    ("proposals", "get", 200, 403, 404),
    ("proposals", "post", 200, 403, 404),
    ("proposal", "get", 200, 403, 404),
    ("round", "get", 200, 403, 404),
    ("rounds_compare", "get", 200, 403, 404),
    ("round_describe", "post", 302, 403, 404),
    ("round_curves", "get", 200, 403, 404),
    ("round_samples", "get", 200, 403, 404),
    ("round_slices", "get", 200, 403, 404),
    ("round_log", "get", 200, 403, 404),
    ("round_metrics", "get", 200, 403, 404),
    ("alarm", "post", 302, 302, 404),
    ("alarm_settle", "post", 302, 403, 404),
    ("round_metrics_csv", "get", 200, 403, 404),
    ("round_export", "get", 200, 403, 404),
    ("prompt_tuning", "get", 200, 403, 404),
    ("prompt_tuning", "post", 200, 403, 404),
    ("template_rendered", "post", 200, 403, 404),
    ("template_new", "get", 200, 403, 404),
    ("template", "get", 200, 403, 404),
    ("template", "post", 200, 403, 404),
    ("verbalizer_new", "get", 200, 403, 404),
    ("verbalizer", "get", 200, 403, 404),
    ("autopilot", "get", 200, 403, 404),
    ("autopilot", "post", 422, 403, 404),
    ("compute", "get", 200, 403, 404),
    ("compute", "post", 302, 403, 404),
    ("policies", "get", 200, 403, 404),
    ("policy", "get", 200, 403, 404),
    ("policy_promote", "post", 302, 403, 404),
    ("policy_package", "post", 302, 403, 404),
    ("policy_download", "get", 404, 403, 404),
    ("playground", "get", 200, 403, 404),
    ("playground", "post", 422, 403, 404),
    ("exchange", "get", 200, 403, 404),
    ("exchange", "post", 422, 403, 404),
    ("exchange_replies", "get", 200, 403, 404),
    ("exchange_judge", "post", 302, 403, 404),
    ("exchange_cancel", "post", 302, 403, 404),
    ("costs", "get", 200, 403, 404),
    ("costs_csv", "get", 200, 403, 404),
    ("free_space", "post", 302, 403, 404),
    ("evaluations", "get", 200, 403, 404),
    ("evaluations", "post", 422, 403, 404),
    ("evaluation", "get", 200, 403, 404),
    ("evaluation_close", "post", 302, 403, 404),
    ("methods", "get", 200, 403, 404),
    ("methods_csv", "get", 404, 403, 404),
    ("methods_figure", "get", 404, 403, 404),
    ("instruction_tokens", "get", 200, 403, 404),
    ("round_tokens", "get", 200, 403, 404),
    ("round_cancel", "post", 302, 403, 404),
    ("round_pause", "post", 302, 403, 404),
    ("round_resume", "post", 302, 403, 404),
    ("round_retry", "post", 302, 403, 404),
    ("round_go_on", "post", 302, 403, 404),
]
API = [
    ("projects/", "get", 200, 200, 200),
    ("projects/letters/", "get", 200, 200, 404),
    ("projects/letters/", "patch", 200, 403, 404),
    ("projects/letters/progress/", "get", 200, 200, 404),
    ("projects/letters/alarms/", "get", 200, 403, 404),
    ("projects/letters/alarms/", "post", 400, 400, 404),
    ("projects/letters/alarms/{raised}/settle/", "post", 204, 403, 404),
    ("projects/letters/templates/", "get", 200, 403, 404),
    ("projects/letters/templates/", "post", 400, 403, 404),
    ("projects/letters/verbalizers/", "get", 200, 403, 404),
    ("projects/letters/verbalizers/", "post", 400, 403, 404),
    ("projects/letters/autopilot/", "get", 200, 403, 404),
    ("projects/letters/autopilot/", "post", 200, 403, 404),
    ("projects/letters/compute/", "get", 200, 403, 404),
    ("projects/letters/compute/", "post", 200, 403, 404),
    ("projects/letters/policies/0/", "get", 200, 403, 404),
    ("projects/letters/policies/0/promote/", "post", 409, 403, 404),
    ("projects/letters/playground/", "get", 200, 403, 404),
    ("projects/letters/playground/", "post", 400, 403, 404),
    ("projects/letters/playground/{asked}/", "get", 200, 403, 404),
    ("projects/letters/playground/{asked}/judge/", "post", 400, 403, 404),
    ("projects/letters/costs/", "get", 200, 403, 404),
    ("projects/letters/evaluations/", "get", 200, 403, 404),
    ("projects/letters/evaluations/", "post", 400, 403, 404),
    ("projects/letters/evaluations/1/", "get", 200, 403, 404),
    ("projects/letters/evaluations/1/close/", "post", 200, 403, 404),
    ("projects/letters/evaluations/ladder/", "get", 200, 403, 404),
    ("projects/letters/methods/", "get", 200, 403, 404),
    ("projects/letters/methods/", "post", 400, 403, 404),
    ("projects/letters/guidelines/", "get", 200, 200, 404),
    ("projects/letters/guidelines/acknowledge/", "post", 400, 400, 404),
    ("projects/letters/members/", "get", 200, 403, 404),
    ("projects/letters/members/", "post", 400, 403, 404),
    ("projects/letters/policies/", "get", 200, 200, 404),
    ("projects/letters/prompts/", "get", 200, 403, 404),
    ("projects/letters/prompts/", "post", 400, 403, 404),
    ("projects/letters/tasks/", "get", 200, 403, 404),
    ("projects/letters/tasks/claim/", "post", 204, 200, 404),
    ("projects/letters/assignments/{seat}/", "get", 404, 200, 404),
    ("projects/letters/assignments/{seat}/draft/", "post", 404, 400, 404),
    ("projects/letters/assignments/{seat}/first-version/", "post", 404, 400, 404),
    ("projects/letters/assignments/{seat}/submit/", "post", 404, 400, 404),
    ("projects/letters/assignments/{seat}/skip/", "post", 404, 204, 404),
    ("projects/letters/assignments/{seat}/flag/", "post", 404, 400, 404),
    ("projects/letters/assignments/{seat}/redo/", "post", 404, 409, 404),
    ("projects/letters/tasks/undo/", "post", 409, 409, 404),
    ("projects/letters/rankings/", "get", 200, 403, 404),
    ("projects/letters/unary/", "get", 200, 403, 404),
    ("projects/letters/references/", "get", 200, 403, 404),
    ("projects/letters/snapshots/", "get", 200, 403, 404),
    ("projects/letters/snapshots/", "post", 201, 403, 404),
    ("projects/letters/snapshots/1/download/", "get", 200, 403, 404),
    ("projects/letters/quality/", "get", 200, 403, 404),
    ("projects/letters/snapshots/1/", "get", 200, 403, 404),
    ("projects/letters/snapshots/1/card/", "get", 200, 403, 404),
    ("projects/letters/snapshots/1/changes/1/", "get", 200, 403, 404),
    ("projects/letters/snapshots/withdraw/", "post", 400, 403, 404),
    ("projects/", "post", 403, 403, 403),
    ("projects/letters/judges/", "get", 200, 403, 404),
    ("projects/letters/judges/", "post", 400, 403, 404),
    ("projects/letters/judges/{judge_id}/", "get", 200, 403, 404),
    ("projects/letters/judges/{judge_id}/versions/", "post", 400, 403, 404),
    ("projects/letters/judges/{judge_id}/versions/1/calibration/", "get", 200, 403, 404),
    ("projects/letters/judges/{judge_id}/versions/1/runs/", "post", 400, 403, 404),
    ("projects/letters/judges/{judge_id}/versions/1/take-over/", "post", 400, 403, 404),
    ("projects/letters/judges/{judge_id}/runs/{judge_run}/", "get", 200, 403, 404),
    ("projects/letters/judges/{judge_id}/runs/{judge_run}/cancel/", "post", 200, 403, 404),
    ("projects/letters/judges/{judge_id}/runs/{judge_run}/resume/", "post", 200, 403, 404),
    ("projects/letters/feedback/", "get", 200, 403, 404),
    ("projects/letters/feedback/", "post", 400, 403, 404),
    ("projects/letters/feedback/batch/", "post", 400, 403, 404),
    ("projects/letters/feedback/queue/", "post", 400, 403, 404),
    ("projects/letters/feedback/erase/", "post", 400, 403, 404),
    ("projects/letters/invitations/", "get", 200, 403, 404),
    ("projects/letters/invitations/", "post", 201, 403, 404),
    ("projects/letters/invitations/{invited}/", "delete", 204, 403, 404),
    ("projects/letters/audit/", "get", 200, 403, 404),
    ("projects/letters/webhooks/", "get", 200, 403, 404),
    ("projects/letters/webhooks/", "post", 400, 403, 404),
    ("projects/letters/webhooks/{hook}/test/", "post", 202, 403, 404),
    ("projects/letters/webhooks/{hook}/deliveries/", "get", 200, 403, 404),
    ("projects/letters/webhooks/{hook}/deliveries/{delivery}/again/", "post", 202, 403, 404),
    ("projects/letters/webhooks/{hook}/", "delete", 204, 403, 404),
    ("projects/letters/imports/", "get", 200, 403, 404),
    ("projects/letters/imports/{import}/", "get", 200, 403, 404),
    ("projects/letters/imports/{import}/pause/", "post", 200, 403, 404),
    ("projects/letters/imports/{import}/resume/", "post", 409, 403, 404),
    ("projects/letters/imports/{import}/undo/", "post", 200, 403, 404),
    ("projects/letters/proposals/", "get", 200, 403, 404),
    ("projects/letters/proposals/{proposed}/", "get", 200, 403, 404),
    ("projects/letters/pool/", "get", 200, 403, 404),
    ("projects/letters/rounds/", "get", 200, 403, 404),
    ("projects/letters/rounds/", "post", 409, 403, 404),
    ("projects/letters/rounds/1/", "get", 200, 403, 404),
    ("projects/letters/rounds/1/metrics/", "get", 200, 403, 404),
    ("projects/letters/rounds/1/cancel/", "post", 200, 403, 404),
    ("projects/letters/rounds/1/go-on/", "post", 409, 403, 404),
    ("projects/letters/rounds/1/pause/", "post", 200, 403, 404),
    ("projects/letters/rounds/1/resume/", "post", 409, 403, 404),
    ("projects/letters/rounds/1/retry/", "post", 409, 403, 404),
    ("projects/letters/rounds/dry-run/", "post", 200, 403, 404),
]
OPEN_TO_ALL = {
    "set_language",
    "health",
    "invitation",
    "help",
    "help_page",
    "login",
    "setup",
    "sso_begin",
    "sso_callback",
    "one_time",
    "logout",
    "password_reset",
    "password_reset_done",
    "password_reset_confirm",
    "password_reset_complete",
    "schema",
    "api_docs",
}
OF_NO_PROJECT = {
    "home",
    "profile",
    "palette",
    "own_data",
    "person",
    "audit_of_server",
    "notification",
    "notifications",
    "notifications_read",
    "project_create",
    "project_preview",
    "tokens",
    "token_revoke",
}
DJANGOS_OWN = {"password_change", "password_change_done"}


@pytest.fixture
def made(project, admin, annotator, stranger, policy, open_ranking_task, ranked_task) -> SimpleNamespace:
    """A project in mid-life: one task ranked, one held by the annotator, a snapshot, an active round, an upload."""
    open_ranking_task()
    seat = queue.claim_next(project=project, by=annotator)
    snapshots.take_snapshot(project=project, by=admin)
    round = TrainingRound.objects.create(project=project, number=1)
    TrainingRun.objects.create(round=round, position=0, method="sample")
    flag = flags.flag(assignment=seat, completion=None, reason=FlagReason.OTHER, note="Not a question.", by=annotator)
    upload = PromptUpload.objects.create(project=project, uploaded_by=admin, filename="new.txt", content=b"Hello?\n")
    undone = PromptUpload.objects.create(
        project=project, uploaded_by=admin, filename="old.txt", status=ImportStatus.UNDONE
    )
    ranked = Ranking.objects.select_related("assignment").get().assignment
    alarm = alarms.raise_alarm(project=project, note="Nothing but emoji.", by=annotator)
    template = prompt_tuning.save_template(project=project, name="was", body="{text} It was {mask}", by=admin)
    words = prompt_tuning.save_verbalizer(project=project, name="w", words={"a": ["good"], "b": ["bad"]}, by=admin)
    view = SavedView.objects.create(project=project, owner=admin, name="Held out", records="prompts")
    comment = ReviewComment.objects.create(assignment=seat, author=admin, text="Mind the guidelines.")
    judge = AIJudge.objects.create(project=project, name="Small")
    version = judge.versions.create(number=1, server="http://localhost:8000/v1", rubric="Kindness.", created_by=admin)
    judging = version.runs.create(most_pairs=1)
    token, _ = make_token(user=admin, name="a script", scopes=[Scope.READ])
    hook = webhooks.add_webhook(project=project, url="https://example.org/told", events=[Event.ROUND], by=admin)
    delivery = webhooks.send_test(webhook=hook, by=admin)
    task = Written("Describe the image.", "", "A wren")  # refused: no task of its own
    batch = store(project=project, origin="run-1", proposed=1, unparsed=Counter(), tasks=[task])
    proposed = batch.proposals.get()
    asked = playground.ask(
        project=project, by=admin, question="Hello?", versions=[policy], max_new_tokens=8, temperature=1.0
    )
    Evaluation.objects.create(project=project, number=1, version=policy, origin="run-9")
    ((invited, _),) = invitations.invite(project=project, role=Role.ANNOTATOR, by=admin, days=1)
    told = Notification.objects.create(user=annotator, project=project, kind="sent-back", url="/projects/letters/")
    return SimpleNamespace(
        told=told,
        alarm=alarm,
        annotator=annotator,
        asked=asked,
        comment=comment,
        delivery=delivery,
        flag=flag,
        hook=hook,
        invited=invited,
        judge=judge,
        judging=judging,
        proposed=proposed,
        ranked=ranked,
        seat=seat,
        template=template,
        token=token,
        undone=undone,
        upload=upload,
        view=view,
        words=words,
    )


def arguments_of(made: SimpleNamespace) -> dict[str, list[Any]]:
    """Return what an address names besides its project, by the name of the page."""
    return {
        **{name: [made.asked.pk] for name in ("exchange", "exchange_replies", "exchange_judge", "exchange_cancel")},
        **{name: [made.judge.pk] for name in ("judge", "judge_prices")},
        **{name: [made.judge.pk, 1] for name in ("judge_calibrate", "judge_take_over")},
        **{name: [made.judge.pk, made.judging.pk] for name in ("judge_cancel", "judge_resume")},
        "evaluation": [1],
        "evaluation_close": [1],
        "policy": [0],
        "policy_promote": [0],
        "policy_package": [0],
        "policy_download": [0],
        "proposal": [made.proposed.pk],
        "token_revoke": [made.token.pk],
        "webhook": [made.hook.pk],
        "webhook_test": [made.hook.pk],
        "webhook_remove": [made.hook.pk],
        "send_again": [made.hook.pk, made.delivery.pk],
        "quality_exclude": [made.ranked.annotator_id],
        "quality_lift": [made.ranked.annotator_id],
        "review_task": [made.ranked.task_id],
        "review_withdraw": [made.ranked.task_id],
        "review_mark_known": [made.ranked.task_id],
        "review_comment": [made.ranked.pk],
        "review_send_back": [made.ranked.pk],
        "known_practice": [made.ranked.task_id],
        "comment_read": [made.comment.pk],
        "notification": [made.told.pk],
        "upload": [made.upload.pk],
        "take_upload": [made.upload.pk],
        "upload_job": [made.upload.pk],
        "upload_refused": [made.upload.pk],
        "records": ["prompts"],
        "records_change": ["prompts"],
        "records_export": ["prompts", "csv"],
        "view_save": ["prompts"],
        "view_remove": [made.view.pk],
        "record_prompt": [made.seat.task.prompt_id],
        "record_response": [made.seat.shown_order[0]],
        "record_annotation": [made.ranked.pk],
        "record_task": [made.seat.task_id],
        "prompt_edit": [made.seat.task.prompt_id],
        "assignment": [made.seat.key],
        "own_annotation": [made.seat.key],
        "own_reply": [made.seat.key],
        "redo": [made.seat.key],
        "save_draft": [made.seat.key],
        "submit": [made.seat.key],
        "preview": [made.seat.key],
        "first_version": [made.seat.key],
        "skip": [made.seat.key],
        "snapshot_download": [1],
        "snapshot": [1],
        "snapshot_card": [1],
        "snapshot_changes": [1, 1],
        "alarm_settle": [made.alarm.pk],
        "round": [1],
        "round_describe": [1],
        "round_curves": [1],
        "round_samples": [1],
        "round_slices": [1],
        "round_log": [1],
        "round_metrics": [1],
        "round_metrics_csv": [1],
        "methods_csv": [1],
        "methods_figure": [1],
        "template": [made.template.pk],
        "verbalizer": [made.words.pk],
        "round_tokens": [1],
        "flag": [made.seat.key],
        "flag_dismiss": [made.flag.pk],
        "flag_withdraw": [made.flag.pk],
        "round_cancel": [1],
        "round_export": [1, "trl"],
        "round_go_on": [1],
        "round_pause": [1],
        "round_resume": [1],
        "round_retry": [1],
        "person": [made.annotator.pk],
        "invitation_revoke": [made.invited.pk],
        "member_remove": [made.annotator.memberships.get().pk],
    }


@pytest.fixture
def addresses(project, made) -> dict[str, str]:
    """Return the address of every page of PAGES, and the ids that the API's addresses name."""
    arguments = arguments_of(made)
    found = {
        "raised": str(made.alarm.pk),
        "seat": str(made.seat.key),
        "hook": str(made.hook.pk),
        "delivery": str(made.delivery.pk),
        "proposed": str(made.proposed.pk),
        "asked": str(made.asked.pk),
        "invited": str(made.invited.pk),
        "judge_id": str(made.judge.pk),
        "judge_run": str(made.judging.pk),
        "import": str(made.undone.pk),
    }
    for name, *_ in PAGES:
        first = [] if name in OF_NO_PROJECT else [project.slug]
        found[name] = reverse(name, args=[*first, *arguments.get(name, [])])
    return found


@pytest.mark.slow
@pytest.mark.database  # each page's queries are asked of PostgreSQL here: tests of what a page shows need not be
def test_no_page_has_a_text_that_is_not_translated(made_up, addresses, admin, annotator, as_user, settings):
    """Every page that the admin of the server and of the project can open, in the language of tests/pseudo.py."""
    settings.PROJECT_CREATORS = "all"
    User.objects.filter(pk=admin.pk).update(is_staff=True, is_superuser=True)
    alice, bob, left = as_user(admin), as_user(annotator), {}
    for name in [name for name, method, *_ in PAGES if method == "get"]:
        answer = (bob if name == "assignment" else alice).get(addresses[name], **made_up)
        is_page = answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/html")
        if is_page and (found := pseudo.untranslated(answer.content.decode())):
            left[name] = found
    assert left == {}


def status_for(client: Client, method: str, address: str) -> int:
    return getattr(client, method)(address).status_code


@pytest.mark.parametrize(("name", "method", "admins", "annotators", "strangers"), PAGES)
def test_pages(name, method, admins, annotators, strangers, addresses, admin, annotator, stranger, as_user):
    address = addresses[name]
    # The stranger first and the one who may do most last: what a request changes must not decide the next one.
    assert status_for(as_user(stranger), method, address) == strangers
    assert Client().get(address).status_code in (302, 405)
    assert "/accounts/login/" in getattr(Client(), method)(address).headers["Location"]
    assert status_for(as_user(annotator), method, address) == annotators
    if name not in ("skip",):
        assert status_for(as_user(admin), method, address) == admins


@pytest.mark.database
def test_each_endpoint_that_reads_answers_the_admin(addresses, admin, as_user):
    """One pass over all reading endpoints, so that their queries are asked of PostgreSQL, too."""
    alice = as_user(admin)
    asked = [("/api/v1/" + path.format_map(addresses), wanted) for path, method, wanted, *_ in API if method == "get"]
    assert len(asked) > 40
    assert {address: alice.get(address).status_code for address, _ in asked} == dict(asked)


@pytest.mark.parametrize(("path", "method", "admins", "annotators", "strangers"), API)
def test_endpoints(path, method, admins, annotators, strangers, addresses, admin, annotator, stranger, as_user):
    address = "/api/v1/" + path.format_map(addresses)
    assert status_for(as_user(stranger), method, address) == strangers
    assert status_for(Client(), method, address) == 401
    assert status_for(as_user(annotator), method, address) == annotators
    assert status_for(as_user(admin), method, address) == admins


def test_every_address_has_a_row():
    named = {
        pattern.name
        for entry in get_resolver().url_patterns
        for pattern in getattr(entry, "url_patterns", [entry])
        if getattr(entry, "namespace", None) != "admin" and getattr(pattern, "name", None)
    }
    rows = {name for name, *_ in PAGES} | OPEN_TO_ALL | DJANGOS_OWN
    assert named - rows == set()


def test_an_annotator_never_sees_who_wrote_an_answer(addresses, annotator, as_user: Callable[[User], Client]):
    seat = addresses["seat"]
    page = as_user(annotator).get(addresses["assignment"]).content.decode()
    payload = json.dumps(as_user(annotator).get(f"/api/v1/projects/letters/assignments/{seat}/").json())
    for text in (page, payload):
        assert "policy" not in text.lower()
        assert "/models/base" not in text


def test_the_palette_leads_only_where_the_role_may_go(as_user, annotator, stranger, project):
    for user, names in ((annotator, {"Overview", "Annotate", "My work", "Guidelines"}), (stranger, set())):
        found = as_user(user).get("/palette/?project=letters").json()["entries"]
        assert {each["label"] for each in found if each["group"].startswith("Letters")} == names


RANKER, REPORTER = "zq-ranker", "zq-reporter"


@pytest.fixture
def said_by_others(made, project, admin, annotator, open_ranking_task) -> None:
    """Everything that an annotator can have done or had done to them, with user names that occur nowhere else."""
    ranker = made.ranked.annotator
    User.objects.filter(pk=ranker.pk).update(username=RANKER, first_name=RANKER, email=f"{RANKER}@example.org")
    User.objects.filter(pk=annotator.pk).update(username=REPORTER)
    ranker.refresh_from_db()
    open_ranking_task(("Good.",), kind="unary", priority=200)
    held = queue.claim_next(project=project, by=ranker)
    said = {"good": False, "reason": "other", "comment": "Vague."}
    judgments.submit(assignment=held, client_uuid=uuid.uuid4(), answer=said, active_ms=900)
    prompt = made.ranked.task.prompt
    Completion.objects.create(prompt=prompt, source=Source.PERSON, author=ranker, text="By hand.")
    records.assign(project=project, tasks=[open_ranking_task()], to=ranker, by=admin)
    quality.comment(assignment=made.ranked, author=admin, text="Why?")
    quality.reply(assignment=made.ranked, author=ranker, text="It is kinder.")
    for reason in ("Hasty.", "Hasty again."):
        quality.lift_exclusion(project=project, annotator=ranker, by=admin)
        quality.exclude(project=project, annotator=ranker, reason=reason, by=admin)
    rounds.pause_alarmed()
    assert TrainingRound.objects.get().reason.endswith("reported a model problem: Nothing but emoji.")


def bodies_of(client: Client, addresses: dict[str, str]) -> dict[str, str]:
    """Return what a person reads at every address that they may read, the files of all lists among them."""
    asked = {name: addresses[name] for name, method, *_ in PAGES if method == "get"}
    asked |= {path: "/api/v1/" + path.format_map(addresses) for path, method, *_ in API if method == "get"}
    found = {name: client.get(address) for name, address in asked.items()}
    for name in LISTS:
        address = f"/projects/letters/records/{name}/"
        found[address] = client.get(address)
        for kind in ("csv", "jsonl"):
            found[f"{name}.{kind}"] = client.post(f"{address}export.{kind}", {"everything": "1"})
    return {
        name: (answer.getvalue() if answer.streaming else answer.content).decode(errors="replace")
        for name, answer in found.items()
        if answer.status_code == 200
    }


@pytest.mark.slow
def test_no_address_tells_a_reviewer_or_an_annotator_the_user_name_of_an_annotator(
    addresses, said_by_others, alice, rita, bob
):
    """Every address that they may read, and every file of the lists; admins read the names in many places."""
    read = {who: bodies_of(client, addresses) for who, client in (("rita", rita), ("bob", bob), ("alice", alice))}
    assert len(read["rita"]) > 100
    told = {who: {name for name, body in pages.items() if RANKER in body} for who, pages in read.items()}
    told["rita"] |= {name for name, body in read["rita"].items() if REPORTER in body}
    assert told["rita"] | told["bob"] == set()
    assert len(told["alice"]) > 10
