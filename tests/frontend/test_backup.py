"""A backup is taken while people work, restored into an empty home, and work goes on there."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import services
from tests.disks import small_disk
from tests.frontend.test_serve import (
    SET_UP,
    begin,
    copy_static_files,
    environment_of,
    manage,
    rank_one,
    serving,
    sign_in,
)

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
    begin(environment, SET_UP + MORE)
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
    copy_static_files(new)
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


TRY_EACH = """
import json
from pathlib import Path
from django.conf import settings
from django.core.management import CommandError, call_command
said = {}
for file in sorted(Path("FOLDER").glob("*.backup")):
    try:
        call_command("restore", str(file))
        said[file.stem] = "restored"
    except CommandError as why:
        said[file.stem] = str(why)
        said[file.stem + " left"] = sorted(path.name for path in Path(settings.HOME).iterdir())
print(json.dumps(said))
"""
FREEZE = """
from annotation.actions.snapshots import take_snapshot
take_snapshot(project=project, by=admin, type="prompts")
"""
WEIGHTS = "models/base/inner/weights.safetensors"


def flipped(name: str) -> Callable[[bytes, dict[str, tarfile.TarInfo]], bytes]:
    """One bit in the middle of a file is another."""

    def damage(content: bytes, members: dict[str, tarfile.TarInfo]) -> bytes:
        at = members[name].offset_data + members[name].size // 2
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    return damage


def header_flipped(content: bytes, members: dict[str, tarfile.TarInfo]) -> bytes:
    at = members[WEIGHTS].offset + 3
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def cut(content: bytes, members: dict[str, tarfile.TarInfo]) -> bytes:
    return content[: members[WEIGHTS].offset_data + 1000]


def cut_between_files(content: bytes, members: dict[str, tarfile.TarInfo]) -> bytes:
    return content[: members[WEIGHTS].offset]


def rewritten(change: Callable[[dict[str, bytes]], object]) -> Callable[[bytes, dict[str, tarfile.TarInfo]], bytes]:
    """The archive is whole as a tar file, and its files are others."""

    def damage(content: bytes, members: dict[str, tarfile.TarInfo]) -> bytes:
        files = {
            name: content[info.offset_data : info.offset_data + info.size]
            for name, info in members.items()
            if info.isfile()
        }
        change(files)
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, each in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(each)
                tar.addfile(info, io.BytesIO(each))
        return out.getvalue()

    return damage


def test_a_damaged_backup_is_refused_by_the_name_of_the_file_and_nothing_is_restored(tmp_path):
    environment, home = environment_of(tmp_path / "home"), tmp_path / "new"
    begin(environment, SET_UP + MORE + FREEZE)
    manage(environment, "backup", str(tmp_path / "whole"))
    content = (tmp_path / "whole").read_bytes()
    with tarfile.open(tmp_path / "whole") as tar:
        members = {info.name: info for info in tar}
    snapshot = next(name for name in members if name.startswith("snapshots/"))
    adapter = "runs/1/checkpoint/adapter_config.json"
    damages = {
        **{name: flipped(name) for name in ("database.sqlite3", WEIGHTS, adapter, "secret_key", "manifest.json")},
        "a snapshot": flipped(snapshot),
        "left out": rewritten(lambda files: files.pop(WEIGHTS)),
        "added": rewritten(lambda files: files.update({"models/base/other.bin": b"other"})),
        "without digests": rewritten(lambda files: files.pop("digests.json")),
        "digests": rewritten(lambda files: files.update({"digests.json": b"[]"})),
        "header": header_flipped,
        "cut": cut,
        "cut between files": cut_between_files,
    }
    (tmp_path / "damaged").mkdir()
    for name, damage in damages.items():
        (tmp_path / "damaged" / f"{name.replace('/', '|')}.backup").write_bytes(damage(content, members))
    program = TRY_EACH.replace("FOLDER", str(tmp_path / "damaged"))
    said = json.loads(manage(environment_of(home), "shell", "--verbosity", "0", "-c", program).stdout.splitlines()[-1])
    for name in ("database.sqlite3", WEIGHTS, adapter, "secret_key", "manifest.json"):
        assert f"is damaged: {name} is not what was written" in said[name.replace("/", "|")], said
    assert f"is damaged: {snapshot} is not what was written" in said["a snapshot"]
    assert f"{WEIGHTS} is missing" in said["left out"]
    assert "models/base/other.bin is not of the backup" in said["added"]
    assert "damaged or cut short after " in said["without digests"]
    assert "digests.json holds no object" in said["digests"]
    for name in ("header", "cut between files"):
        assert "damaged or cut short after " in said[name], said[name]
    assert f"cannot be read as a backup, at {WEIGHTS}" in said["cut"]
    assert all("Nothing was restored." in text for name, text in said.items() if not name.endswith(" left"))
    assert [left for name, left in said.items() if name.endswith(" left")] == [[]] * len(damages)
    manage(environment_of(home), "restore", str(tmp_path / "whole"))
    assert (home / WEIGHTS).read_bytes() == bytes(range(256)) * 100


def test_a_disk_that_is_too_small_for_a_backup_gets_none_of_it(tmp_path):
    environment = environment_of(tmp_path / "home")
    begin(environment, SET_UP + MORE)
    manage(environment, "backup", str(tmp_path / "whole"))
    command = [*_manage(), "restore", str(tmp_path / "whole")]
    with small_disk(tmp_path / "disk", "1m") as disk:
        new = environment_of(disk / "new")
        refused = subprocess.run(command, env=new, cwd=_root(), capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert "No space left on device. Nothing was restored." in refused.stderr
        assert "Traceback" not in refused.stderr
        assert list((disk / "new").iterdir()) == []


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
