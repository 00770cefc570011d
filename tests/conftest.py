"""Three people and one project, for every test that speaks HTTP."""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from annotation.actions import judgments, proposals, queue, tasks
from annotation.models import (
    Completion,
    Membership,
    PolicyVersion,
    Project,
    Prompt,
    Proposal,
    ProposalBatch,
    Role,
    SeatStatus,
    Source,
    Split,
    Task,
)
from tests import pseudo
from tests.tables import postgresql_tables, sqlite_tables

SHORT_RESPONSES = 24  # tokens
PASSWORD = "correct horse battery staple"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep in one process what shares something costly: the browser tests, and files that say so by `xdist_group`."""
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.xdist_group("browser"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Take what is there by now, a million objects, out of every later search for unused ones."""
    gc.collect()
    gc.freeze()


# Files with a test of over ten seconds, of work or of waiting.
LONG = {
    "test_architectures.py",
    "test_backup.py",
    "test_blinding.py",
    "test_engines.py",
    "test_failing_disk.py",
    "test_failing_postgres.py",
    "test_gpu_benchmark.py",
    "test_hostile_clients.py",
    "test_kills.py",
    "test_loop.py",
    "test_migrations.py",
    "test_ppo.py",
    "test_processes.py",
    "test_rloo.py",
    "test_round_exports.py",
    "test_wheel.py",
}


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(LongTestsFirst(), "long tests first")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: Sequence[Any]) -> None:
    """Fork the processes of a run over all folders from one that has imported torch: 8 s less for each."""
    ignored = {Path(path).name for path in config.getoption("ignore") or ()}
    if "recipes" not in ignored and config.args_source is not config.ArgsSource.ARGS:
        from tests import forked

        for spec in specs:
            spec.python = forked.worker()


class LongTestsFirst:
    """Begins with long tests: at the end several processes share short ones, and none waits for a long one."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=self._place)

    def _place(self, item: pytest.Item) -> int:
        return 0 if item.path.name in LONG else 1 if item.get_closest_marker("recipes") else 2


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Begin with a copy of tables that are made once, in place of running all migrations in each process."""
    if connection.vendor == "sqlite":
        shutil.copyfile(sqlite_tables(), connection.settings_dict["TEST"]["NAME"])
    else:
        connection.settings_dict["TEST"]["TEMPLATE"] = postgresql_tables(os.environ["DATABASE_URL"])


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Keep the file that is there: the copy on SQLite, which goes with the folder of the test run."""
    return connection.vendor == "sqlite"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Let tests of committed transactions empty the audit log: by DELETE on SQLite, by TRUNCATE on PostgreSQL."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("DROP TRIGGER audit_no_delete")
        else:
            cursor.execute("DROP TRIGGER audit_no_truncate ON annotation_auditevent")


@pytest.fixture(autouse=True)
def _own_folders(settings: LazySettings, tmp_path: Path) -> None:
    """Files of a test go into its own folder."""
    settings.SNAPSHOT_DIR = tmp_path / "snapshots"
    settings.RUN_DIR = tmp_path / "runs"
    settings.MODEL_DIR = tmp_path / "models"


@pytest.fixture
def forked_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of recipes that the code under test starts are forked, which saves the time of their imports."""
    from tests import forked

    monkeypatch.setattr(sys, "executable", str(forked.python()))


@pytest.fixture
def project(db: None) -> Project:
    """A project whose responses are short, as those of tiny models on few cores have to be."""
    return Project.objects.create(
        slug="letters", name="Letters", guidelines="Prefer *kind* answers.", answer_tokens=SHORT_RESPONSES
    )


def _member(username: str, project: Project, role: Role) -> User:
    user = User.objects.create_user(username, password=PASSWORD)
    Membership.objects.create(project=project, user=user, role=role)
    return user


@pytest.fixture
def admin(project: Project) -> User:
    return _member("alice", project, Role.ADMIN)


@pytest.fixture
def annotator(project: Project) -> User:
    return _member("bob", project, Role.ANNOTATOR)


@pytest.fixture
def reviewer(project: Project) -> User:
    return _member("rita", project, Role.REVIEWER)


@pytest.fixture
def stranger(db: None) -> User:
    """Signed in, but not a member of the project."""
    return User.objects.create_user("charlie", password=PASSWORD)


@pytest.fixture
def as_user() -> Callable[[User], Client]:
    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def alice(admin: User, as_user: Callable[[User], Client]) -> Client:
    """The admin, signed in."""
    return as_user(admin)


@pytest.fixture
def bob(annotator: User, as_user: Callable[[User], Client]) -> Client:
    """The annotator, signed in."""
    return as_user(annotator)


@pytest.fixture
def rita(reviewer: User, as_user: Callable[[User], Client]) -> Client:
    """The reviewer, signed in."""
    return as_user(reviewer)


@pytest.fixture
def made_up(settings: LazySettings, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The headers of a browser that asks for the language of tests/pseudo.py."""
    with pseudo.offered(settings, tmp_path) as headers:
        yield headers


@pytest.fixture
def policy(project: Project) -> PolicyVersion:
    return PolicyVersion.objects.create(project=project, number=0, checkpoint="/models/base")


@pytest.fixture
def make_prompt(project: Project) -> Callable[..., Prompt]:
    numbers = itertools.count(1)

    def make(text: str | None = None, split: Split | None = None, **values: Any) -> Prompt:
        messages = [{"role": "user", "content": text or f"Write sentence {next(numbers)}."}]
        digest = Prompt.digest_of(messages)
        values = {"project": project, **values}
        return Prompt.objects.create(messages=messages, digest=digest, split=split or Split.of(digest), **values)

    return make


@pytest.fixture
def open_ranking_task(policy: PolicyVersion, make_prompt: Callable[..., Prompt]) -> Callable[..., Task]:
    """A task over the given answers of the base policy."""

    def open_task(
        texts: Sequence[str] = ("Yes.", "No.", "Maybe so.", "Who can say?"),
        *,
        prompt: Prompt | None = None,
        seats: int = 1,
        kind: str = "ranking",
        priority: int = 0,
    ) -> Task:
        prompt = prompt or make_prompt()
        candidates = [
            Completion.objects.create(prompt=prompt, source=Source.POLICY, policy=policy, text=text) for text in texts
        ]
        return tasks.open_task(prompt=prompt, kind=kind, candidates=candidates, seats=seats, priority=priority)

    return open_task


@pytest.fixture
def ranked_task(
    project: Project, open_ranking_task: Callable[..., Task], make_prompt: Callable[..., Prompt]
) -> Callable[..., Task]:
    """Makes a task that somebody has ranked, in the order of its texts; used plainly it has made one already."""

    def make(texts: Sequence[str] = ("Best.", "Middling.", "Worst."), **values: Any) -> Task:
        ranker = User.objects.create_user(f"ranker-{User.objects.count()}")
        Membership.objects.create(project=project, user=ranker, role=Role.ANNOTATOR)
        task = open_ranking_task(texts, priority=100, **values)
        seat = queue.claim_next(project=project, by=ranker)
        assert seat is not None
        assert seat.task == task
        answer = {"tiers": [[pk] for pk in sorted(seat.shown_order)], "unacceptable": [], "rationale": ""}
        judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=answer, active_ms=900)
        return task

    make()
    return make


@pytest.fixture
def accept_proposal(project: Project) -> Callable[[], Proposal]:
    """A proposed task that somebody has accepted."""
    numbers = itertools.count(1)

    def make() -> Proposal:
        number = next(numbers)
        texts = {"instruction": f"Add one to {number}.", "input": "", "output": str(number + 1)}
        batch, _ = ProposalBatch.objects.get_or_create(project=project, origin="run-1", defaults={"model": "small"})
        proposal = Proposal.objects.create(
            project=project, batch=batch, index=number, digest=Proposal.digest_of(**texts), **texts
        )
        (task,) = proposals.open_reviews(project=project, proposals=[proposal])
        person = User.objects.create_user(f"reviewer-{User.objects.count()}")
        held = {"status": SeatStatus.HELD, "annotator": person, "expires_at": timezone.now()}
        task.assignments.update(**held)
        answer = {"verdict": "accept", "reason": "", "instruction": "", "input": "", "output": ""}
        judgments.submit(assignment=task.assignments.get(), client_uuid=uuid.uuid4(), answer=answer, active_ms=900)
        return proposal

    return make
