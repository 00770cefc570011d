"""A real Ray on this machine for the time of some tests: a head without CPUs and one node, in a folder of their own.

Ray is 384 MB and comes in a virtual environment of its own, which `make nightly` makes; the tests talk to it by HTTP.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.programs import descendants, free_ports, wait_until

PROGRAM = Path(__file__).resolve().parents[1] / ".venv-ray" / "bin" / "ray"


def program() -> Path | None:
    """Return Ray's command: of PREFLOOP_TEST_RAY, or of .venv-ray; None where it is not installed."""
    found = Path(os.environ.get("PREFLOOP_TEST_RAY") or PROGRAM)
    return found if found.exists() else None


class Cluster:
    """A running Ray; `address` is that of its dashboard, which has the Jobs API."""

    def __init__(self, folder: Path, ray: Path) -> None:
        self.folder, self.ray = folder, ray
        self._groups: dict[str, subprocess.Popen[bytes]] = {}
        self._port, self._dashboard, *self._others = free_ports(8)
        self.address = f"http://127.0.0.1:{self._dashboard}"

    def start_head(self) -> None:
        client, agent_grpc, agent_http, *_ = self._others
        self._run(
            "head",
            "--head",
            "--num-cpus=0",
            "--node-ip-address=127.0.0.1",
            f"--port={self._port}",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={self._dashboard}",
            f"--ray-client-server-port={client}",
            f"--dashboard-agent-grpc-port={agent_grpc}",
            f"--dashboard-agent-listen-port={agent_http}",
            f"--temp-dir={self.folder}",
        )
        wait_until(self._answers, self._groups["head"], "Ray's head", (self.folder / "head.out").read_text)

    def start_node(self) -> None:
        *_, agent_grpc, agent_http = self._others
        self._run(
            "node",
            f"--address=127.0.0.1:{self._port}",
            "--num-cpus=4",
            "--node-ip-address=127.0.0.1",
            f"--dashboard-agent-grpc-port={agent_grpc}",
            f"--dashboard-agent-listen-port={agent_http}",
        )

    def kill(self, name: str) -> None:
        """End the head or the node with all its processes, as a loss of power does."""
        process = self._groups.pop(name)
        below = descendants(process.pid)
        for pid in [process.pid, *below, *self._orphans(name)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        for name in list(self._groups):
            self.kill(name)

    def _orphans(self, name: str) -> list[int]:
        """Return the processes that carry this cluster's mark and have left their tree."""
        mark = f"PREFLOOP_TEST_CLUSTER={self.folder}/{name}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (path / "environ").read_bytes().split(b"\0"):
                    found.append(int(path.name))
        return found

    def _run(self, name: str, *options: str) -> None:
        environment = {
            **os.environ,
            "PREFLOOP_TEST_CLUSTER": f"{self.folder}/{name}",
            "RAY_DISABLE_IMPORT_WARNING": "1",
        }
        with (self.folder / f"{name}.out").open("ab") as printed:
            self._groups[name] = subprocess.Popen(
                [self.ray, "start", "--block", "--disable-usage-stats", "--object-store-memory=80000000", *options],
                env=environment,
                stdout=printed,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                start_new_session=True,
            )

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.address}/api/jobs/", timeout=5) as answer:
            return bool(answer.status == 200)
        return False


@contextlib.contextmanager
def cluster(folder: Path, ray: Path) -> Iterator[Cluster]:
    """A Ray in an empty folder, whose path should be short: sockets have a limit of about 100 characters."""
    running = Cluster(folder, ray)
    try:
        running.start_head()
        running.start_node()
        yield running
    finally:
        running.stop()
