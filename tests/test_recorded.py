"""Whatever writes is in the audit log, or stands below with a reason why not: a new action or address is neither."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.urls import URLPattern, URLResolver, get_resolver

from annotation import audit, clock
from frontend.admin_site import Recorded

OWN = ("annotation", "training", "frontend")
LIBRARIES = ("rest_framework.mixins",)  # their create() calls our perform_create()
WRITES = {
    "execute",
    "create",
    "bulk_create",
    "bulk_update",
    "get_or_create",
    "update_or_create",
    "update",
    "delete",
    "save",
}
AUTHORED = "a row with its author and time, which says as much as an entry would"
JUDGING = "the work itself: its rows have author, time and order, and there are thousands a day"
WORKER = "the worker's own bookkeeping, nobody's act; the run's and the round's rows say how they ended"
PART = "a part of actions that are recorded, or of judging"
SIGNALS = "recorded by Django's signals and the password validator (tests of test_audit.py and test_accounts.py)"
READS = "reads only, by an SQL statement of its own"
OWN_VIEW = "changes nothing of the project: what one person is shown or told"

OF_A_PRODUCT = "a product's own data, thousands in a minute; its token is recorded"

KEEPING_HOUSE = "of the worker, after the days that the operator has set; no judgment is among it"
ACTIONS: dict[str, str] = {
    "annotation.actions.expiry.delete_expired": KEEPING_HOUSE,
    "annotation.actions.expiry.give_up": KEEPING_HOUSE,
    "annotation.actions.feedback.take": OF_A_PRODUCT,
    "annotation.actions.guidelines.acknowledge": AUTHORED,
    "annotation.actions.guidelines.store_version": PART,
    "annotation.actions.notifications.read": OWN_VIEW,
    "annotation.actions.quality_figures.figures_of": OWN_VIEW,
    "annotation.actions.quality_figures.work_next": WORKER,
    "annotation.actions.notifications.tell": PART,
    "annotation.actions.served.delete_old": KEEPING_HOUSE,
    "annotation.actions.served.store": OF_A_PRODUCT,
    "annotation.actions.served.with_records": OF_A_PRODUCT,
    "annotation.actions.table_statistics.refresh": KEEPING_HOUSE,
    **dict.fromkeys(
        [f"annotation.actions.queue.{name}" for name in ("own_progress", "responses_of", "shown_order")], READS
    ),
    **dict.fromkeys(
        [f"annotation.actions.assignments.{name}" for name in ("finish", "give_back", "renew", "replace_lapsed")], PART
    ),
    **dict.fromkeys(
        [
            "annotation.actions.assignments.save_draft",
            "annotation.actions.assignments.skip",
            "annotation.actions.checks.claim_check",
            "annotation.actions.judgments.keep_first_version",
            "annotation.actions.judgments.submit",
            "annotation.actions.reopening.redo",
            "annotation.actions.reopening.undo",
            "annotation.actions.practice.next_assignment",
            "annotation.actions.practice.settle",
            "annotation.actions.presence.arrive",
            "annotation.actions.presence.leave",
            "annotation.actions.quality.look_without_judging",
            "annotation.actions.queue.claim_next",
        ],
        JUDGING,
    ),
    **dict.fromkeys(
        [
            "annotation.actions.assignments.move_to_a_seat_of_its_own",
            "annotation.actions.checks.open_check",
            "annotation.actions.coverage.close_empty_seats",
            "annotation.actions.coverage.follow_settings",
            "annotation.actions.coverage.open_seats_for_members",
            "annotation.actions.coverage.settle",
            "annotation.actions.evaluations.open_evaluation",
            "annotation.actions.first_admin.is_set_up_code",
            "annotation.actions.first_admin.set_up_code",
            "annotation.actions.import_jobs.end",
            "annotation.actions.import_jobs.note",
            "annotation.actions.import_parts.cut",
            "annotation.actions.import_labels.store",
            "annotation.actions.import_votes.store",
            "annotation.actions.invitations.mail_link",
            "annotation.actions.labels.follow_settings",
            "annotation.actions.labels.open_label_tasks",
            "annotation.actions.labels.prioritise",
            "annotation.actions.passed_over.invalidate",
            "annotation.actions.projects.add_policy",
            "annotation.actions.projects.register_base_policy",
            "annotation.actions.proposals.open_reviews",
            "annotation.actions.records.note_change",
            "annotation.actions.revisions.close",
            "annotation.actions.revisions.keep",
            "annotation.actions.prompts.store_rows",
            "annotation.actions.tasks.open_tasks",
            "annotation.actions.tasks.open_task",
            "annotation.actions.tasks.open_tasks_for",
            "annotation.actions.tokens.find_token",
            "annotation.actions.upload_contents.forget",
            "annotation.actions.upload_contents.keep",
            "annotation.delivery.mail.tell",
            "annotation.delivery.mail.write",
            "annotation.delivery.mail.write_to",
            "annotation.delivery.mail.write_to_address",
            "annotation.delivery.webhooks.record_event",
        ],
        PART,
    ),
    **dict.fromkeys(
        [
            "annotation.actions.flags.flag",
            "annotation.actions.quality.comment",
            "annotation.actions.quality.reply",
            "training.actions.playground.ask",
            "training.actions.playground.cancel",
            "training.actions.playground.judge",
        ],
        AUTHORED,
    ),
    **dict.fromkeys(["annotation.actions.quality.mark_read", "annotation.delivery.mail.subscribe"], OWN_VIEW),
    **dict.fromkeys(
        [
            "annotation.actions.ai_judge_audits.look_again",
            "annotation.actions.import_jobs.forget_previews",
            "annotation.delivery.mail.send_next",
            "annotation.delivery.webhooks.deliver_next",
            "training.actions.packages.make_next",
            *(
                f"training.actions.playground.{name}"
                for name in ("claim_reply", "fail", "finish", "keep_text", "put_back")
            ),
            *(
                f"training.actions.runs.{name}"
                for name in (
                    *("claim_run", "fail_run", "forget_job", "heartbeat", "note_job", "put_back", "reclaim_lost_runs"),
                    "release_run",
                )
            ),
            *(f"training.actions.preparations.{name}" for name in ("claim", "fail", "finish", "put_back", "report")),
            "training.actions.runs.save_metrics",
            "training.actions.runs.settle_round",
            "training.actions.runs.settle_run",
            "training.actions.runs.tell_finished",
            "training.actions.signs.give_sign",
        ],
        WORKER,
    ),
}
OF_PROJECT, API, PK = "projects/<slug:slug>/", "api/v1/projects/<slug:slug>/^", "(?P<pk>[0-9]{1,18})"
ADDRESSES: dict[str, str] = {
    **dict.fromkeys([f"{API}feedback/$ create", f"{API}feedback/batch/$ batch"], OF_A_PRODUCT),
    **dict.fromkeys(
        [
            f"accounts/{name} post"
            for name in ("login/", "logout/", "password_change/", "password_reset/", "reset/<uidb64>/<token>/")
        ]
        + ["accounts/one-time/<str:key>/"],
        SIGNALS,
    ),
    **dict.fromkeys(
        [
            f"{API}assignments/{PK}/draft/$ draft",
            f"{API}assignments/{PK}/first-version/$ first_version",
            f"{API}assignments/{PK}/skip/$ skip",
            f"{API}assignments/{PK}/submit/$ submit",
            f"{API}assignments/{PK}/redo/$ redo",
            f"{API}tasks/claim/$ claim",
            f"{API}tasks/undo/$ undo",
            f"{OF_PROJECT}tasks/<int:pk>/redo/",
            f"{OF_PROJECT}undo/",
            f"{OF_PROJECT}annotate/",
            f"{OF_PROJECT}practice/",
            f"{OF_PROJECT}tasks/<int:pk>/draft/",
            f"{OF_PROJECT}tasks/<int:pk>/first-version/",
            f"{OF_PROJECT}tasks/<int:pk>/skip/",
            f"{OF_PROJECT}tasks/<int:pk>/submit/",
        ],
        JUDGING,
    ),
    **dict.fromkeys(
        [
            f"{API}assignments/{PK}/flag/$ flag",
            f"{API}guidelines/acknowledge/$ acknowledge",
            f"{OF_PROJECT}guidelines/acknowledge/",
            f"{API}playground/$ create",
            f"{API}playground/{PK}/judge/$ judge",
            f"{OF_PROJECT}playground/",
            f"{OF_PROJECT}playground/<int:pk>/",
            f"{OF_PROJECT}playground/<int:pk>/cancel/",
            f"{OF_PROJECT}playground/<int:pk>/judge/",
            f"{OF_PROJECT}review/judgments/<int:pk>/comment/",
            f"{OF_PROJECT}tasks/<int:pk>/flag/",
            f"{OF_PROJECT}mine/<int:pk>/reply/",
        ],
        AUTHORED,
    ),
    **dict.fromkeys(
        [
            f"{API}rounds/dry-run/$ dry_run",
            "accounts/language/",
            "accounts/notifications/read/",
            "accounts/profile/",
            f"{OF_PROJECT}members/mail/",
            f"{OF_PROJECT}mine/comments/<int:pk>/read/",
            f"{OF_PROJECT}quality/",
            f"{OF_PROJECT}records/<slug:name>/views/",
            f"{OF_PROJECT}records/views/<int:pk>/remove/",
            f"{OF_PROJECT}tasks/<int:pk>/preview/",
            "projects/new/preview/",
        ],
        OWN_VIEW,
    ),
}


def functions_in(package: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the public functions of a package, or of one module, by their names."""
    root = importlib.import_module(package)
    names = [each.name for each in pkgutil.iter_modules(getattr(root, "__path__", []))]
    for module in [root, *(importlib.import_module(f"{package}.{name}") for name in names)]:
        for name, found in vars(module).items():
            if inspect.isfunction(found) and found.__module__ == module.__name__ and not name.startswith("_"):
                yield f"{module.__name__}.{name}", found


def tree_of(found: Callable[..., Any]) -> ast.AST | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(found)))
    except (OSError, TypeError, SyntaxError):
        return None


def names_used(found: Callable[..., Any], owner: type | None) -> Iterator[tuple[Any, type | None]]:
    """Yield what a function refers to: functions, classes and methods of its own class."""
    function = inspect.unwrap(found)
    function = getattr(function, "__func__", function)
    tree = tree_of(function)
    known = {**getattr(function, "__globals__", {}), **inspect.getclosurevars(function).nonlocals}
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield known.get(node.id), None
        elif isinstance(node, ast.Attribute):
            yield from _attribute(node, known, owner)


def _attribute(node: ast.Attribute, known: dict[str, Any], owner: type | None) -> Iterator[tuple[Any, type | None]]:
    base = node.value
    if isinstance(base, ast.Name) and base.id in known:
        yield getattr(known[base.id], node.attr, None), None
    is_super = isinstance(base, ast.Call) and isinstance(base.func, ast.Name) and base.func.id == "super"
    if owner and (is_super or (isinstance(base, ast.Name) and base.id in ("self", "cls"))):
        for each in owner.__mro__:
            if node.attr in vars(each):
                yield vars(each)[node.attr], owner


def reached(found: Callable[..., Any], owner: type | None = None) -> set[Any]:
    """Return every function of ours that a function leads to, itself included."""
    seen: set[Any] = set()
    waiting: list[tuple[Any, type | None]] = [(found, owner)]
    while waiting:
        each, own = waiting.pop()
        each = inspect.unwrap(each) if callable(each) else each
        module = getattr(each, "__module__", None) or ""
        is_code = inspect.isroutine(each) or inspect.isclass(each)
        if not is_code or each in seen or not module.startswith((*OWN, *LIBRARIES)):
            continue
        seen.add(each)
        if not inspect.isclass(each):
            waiting += names_used(each, own)
    return seen


def is_recorded(found: Callable[..., Any], owner: type | None = None) -> bool:
    return audit.record in reached(found, owner)


def writes(found: Callable[..., Any]) -> bool:
    functions = [each for each in reached(found) if inspect.isfunction(each) and each is not clock.now]  # a SELECT
    trees = [tree for each in functions if (tree := tree_of(each))]
    return any(isinstance(node, ast.Attribute) and node.attr in WRITES for tree in trees for node in ast.walk(tree))


def routes(patterns: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for each in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(each, URLResolver):
            if each.app_name != "admin":  # see the test of its site
                yield from routes(each.url_patterns, f"{prefix}{each.pattern}")
        elif isinstance(each, URLPattern):
            yield f"{prefix}{each.pattern}", each.callback


def handlers(callback: Any) -> Iterator[tuple[str, Any, type | None]]:
    """Yield what answers requests that may write, with the name of the action where an address has several."""
    if actions := getattr(callback, "actions", None):
        for method, action in actions.items():
            if method not in ("get", "head", "options"):
                yield action, getattr(callback.cls, action), callback.cls
        return
    own = getattr(callback, "view_class", None)
    if own is not None:
        if hasattr(own, "post"):
            yield "post", own.post, own
        return
    if "POST" in methods_of(callback):
        yield "", callback, None


def methods_of(view: Any) -> list[str]:
    """Return the methods that decorators of a view allow; POST where none says anything."""
    while view is not None:
        allowed = inspect.getclosurevars(view).nonlocals.get("request_method_list")
        if allowed is not None:
            return list(allowed)
        view = getattr(view, "__wrapped__", None)
    return ["POST"]


MODULES = (
    "annotation.actions",
    "annotation.delivery.webhooks",
    "annotation.delivery.mail",
    "training.actions",
    "frontend.deletion",
    "frontend.accounts.people",
)


@pytest.mark.slow
def test_each_action_that_writes_is_recorded_or_has_a_reason():
    silent = {
        name for module in MODULES for name, found in functions_in(module) if writes(found) and not is_recorded(found)
    }
    assert silent == set(ACTIONS)


@pytest.mark.slow
def test_each_address_that_writes_is_recorded_or_has_a_reason():
    silent = {
        f"{path} {action}".strip()
        for path, callback in routes()
        for action, found, owner in handlers(callback)
        if not is_recorded(found, owner)
    }
    assert silent == set(ADDRESSES)


def test_the_walk_finds_addresses_and_actions():
    found = dict(routes())
    assert len(found) > 150
    assert is_recorded(found["projects/<slug:slug>/rounds/<int:number>/pause/"])
    assert not is_recorded(found["projects/<slug:slug>/tasks/<int:pk>/draft/"])


@pytest.mark.parametrize("reasons", [ACTIONS, ADDRESSES])
def test_each_reason_is_one(reasons):
    assert all(len(why) > 20 for why in reasons.values())


def test_every_page_of_the_administration_is_recorded():
    assert all(isinstance(each, Recorded) for each in admin.site._registry.values())
