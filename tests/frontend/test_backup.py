"""A backup is taken while people work, restored into an empty home, and work goes on there."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import services
from tests.frontend.test_serve import SET_UP, environment_of, manage, rank_one, serving, sign_in

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("serve")]

MORE = """
for number in range(3, 60):
    messages = [{"role": "user", "content": f"Question {number}"}]
    prompt = Prompt.objects.create(project=project, messages=messages, digest=Prompt.digest_of(messages), split="train")
    texts = [Completion.objects.create(prompt=prompt, source=Source.POLICY, policy=policy, text=t) for t in "ab"]
    tasks.open_task(prompt=prompt, kind="ranking", candidates=texts, seats=1)
from django.conf import settings
import json
folder = settings.MODEL_DIR / "base"
(folder / "inner").mkdir(parents=True)
(folder / "inner" / "weights.safetensors").write_bytes(bytes(range(256)) * 100)
adapter = settings.RUN_DIR / "1" / "checkpoint"
adapter.mkdir(parents=True)
(adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(folder)}))
(settings.RUN_DIR / "1" / "state").mkdir()
(settings.RUN_DIR / "1" / "state" / "half.pt").write_text("half")
PolicyVersion.objects.filter(pk=policy.pk).update(checkpoint=str(adapter))
"""
COUNT = "from annotation.models import *\nprint(Ranking.objects.count(), PolicyVersion.objects.get().checkpoint)"
MODES = (0o077, "of the group or of others")


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request, tmp_path) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """What names the database that is backed up, and the empty one."""
    if request.param == "sqlite":
        yield {}, {}
        return
    if not services.find("initdb") or not shutil.which("pg_dump"):
        pytest.skip("PostgreSQL is not installed")
    folder = tmp_path / "postgres"
    folder.mkdir()
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o711)  # the cluster's own account has to get there
    with services.postgres(folder) as url:
        subprocess.run([services.find("psql"), url, "-qc", "CREATE DATABASE second"], check=True)
        yield {"DATABASE_URL": url}, {"DATABASE_URL": _second(url)}


def _second(url: str) -> str:
    address, _, query = url.partition("?")
    return f"{address.rpartition('/')[0]}/second" + (f"?{query}" if query else "")


def test_it_is_taken_while_people_work_and_work_goes_on_in_an_empty_home(databases, tmp_path):
    old, new = tmp_path / "old", tmp_path / "elsewhere" / "new"
    environment, other = environment_of(old) | databases[0], environment_of(new) | databases[1]
    prepare = "from frontend.readiness import prepare\nprepare(print)\n"
    manage(environment, "shell", "--verbosity", "0", "-c", prepare + SET_UP + MORE)
    file = tmp_path / "prefloop.backup"
    done, over = [], threading.Event()
    with serving(environment) as (_, url):
        session = sign_in(url)
        for _ in range(5):
            rank_one(session, url)
        manage(environment, "take_snapshot", "--project", "letters")

        def work() -> None:
            while not over.is_set() and len(done) < 40:
                rank_one(session, url)
                done.append(1)

        worker = threading.Thread(target=work)
        worker.start()
        try:
            manage(environment, "backup", str(file))
        finally:
            over.set()
            worker.join()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with tarfile.open(file) as tar:
        assert not [name for name in tar.getnames() if "state" in name.split("/")]
    shutil.rmtree(old)  # nothing of it is needed

    manage(other, "restore", str(file))
    count, checkpoint = manage(other, "shell", "--verbosity", "0", "-c", COUNT).stdout.split()
    assert 5 <= int(count) <= 5 + len(done)
    assert checkpoint == str(new / "runs" / "1" / "checkpoint")
    assert str(new / "models" / "base") in (Path(checkpoint) / "adapter_config.json").read_text()
    assert (new / "models/base/inner/weights.safetensors").read_bytes() == bytes(range(256)) * 100
    assert len(list((new / "snapshots").glob("*.jsonl"))) == 1
    with serving(other) as (_, url):
        session.headers["Referer"] = url
        rank_one(session, url)  # signed in still: the key came along
    after = manage(other, "shell", "--verbosity", "0", "-c", COUNT).stdout.split()[0]
    assert int(after) == int(count) + 1
    open_to_others = [path for path in new.rglob("*") if path.stat().st_mode & 0o077 and "static" not in path.parts]
    assert not open_to_others
    assert stat.S_IMODE(new.stat().st_mode) == 0o700

    again = subprocess.run(
        [*_manage(), "restore", str(file)], env=other, cwd=_root(), capture_output=True, text=True, check=False
    )
    assert again.returncode == 1
    assert "has tables already" in again.stderr


def _manage() -> list[str]:
    import sys

    return [sys.executable, "manage.py"]


def _root() -> Path:
    return Path(__file__).resolve().parent.parent.parent


def test_a_file_that_is_no_backup_or_was_cut_changes_nothing(tmp_path):
    environment = environment_of(tmp_path / "home")
    outside, link = tarfile.TarInfo("snapshots/../../outside"), tarfile.TarInfo("snapshots/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    files = {"text": b"no tar at all", "empty": b"", "outside": _tar_of(outside), "link": _tar_of(link)}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        command = [*_manage(), "restore", str(tmp_path / name)]
        refused = subprocess.run(command, env=environment, cwd=_root(), capture_output=True, text=True, check=False)
        assert refused.returncode == 1, name
        assert "cannot be read as a backup" in refused.stderr, refused.stderr
        assert "Traceback" not in refused.stderr
    assert not (tmp_path / "home" / "db.sqlite3").exists()
    assert not list((tmp_path / "home").rglob("*link*"))


def _tar_of(entry: tarfile.TarInfo) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        tar.addfile(entry, io.BytesIO(b""))
    return written.getvalue()
