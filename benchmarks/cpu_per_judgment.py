"""CPU of the server for one judgment, as a multiple of what a bare pair of Django views needs for one.

    pip install granian  # in requirements/dev.txt; the extra `benchmarks`
    python benchmarks/cpu_per_judgment.py [--rounds 5] [--judgments 300] [--annotators 8] [--limit 7]

Both servers run on this machine in the same minutes and are asked in turn, each by the same number of clients over
real HTTP: Prefloop as `manage.py serve` with sessions, CSRF, permissions, the queue and synced commits, where a submit
answers with the next task; the bare pair (bare_pair.py) under granian, the fastest WSGI server that we know, with
persistent connections, as a GET of the page and a POST of a ranking. CPU time of the processes with their children, not
seconds on the wall, so other load changes it little. Prints one JSON line: the medians over the rounds, and of their
ratio; exit code 1 where that is above the limit.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import importlib.util
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

from annotators import Annotator, Server, Shown, prepared_server

HERE = Path(__file__).resolve().parent
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
Work = Callable[[], None]  # one judgment of one client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--judgments", type=int, default=300, help="of each server in a round")
    parser.add_argument("--annotators", type=int, default=8)
    parser.add_argument("--limit", type=float, default=7.0, help="largest ratio that is accepted")
    options = parser.parse_args()
    if importlib.util.find_spec("granian") is None:
        raise SystemExit("The bare pair runs under granian, which is in requirements/dev.txt: pip install granian")
    each = options.judgments // options.annotators
    tasks = (options.rounds + 1) * each * options.annotators + options.annotators
    size = {"annotators": options.annotators, "tasks": tasks, "seats": 1}
    with bare_pair() as (bare, port), prepared_server("", **size) as (server, sessions):
        ours = [Judging(server, session, number).one for number, session in enumerate(sessions)]
        floor = [BareClient(port, number).one for number in range(options.annotators)]
        rounds = []
        for number in range(options.rounds + 1):
            found = cpu_ms(server.process.pid, ours, each), cpu_ms(bare.pid, floor, each)
            if number:  # the first warms up
                rounds.append(found)
    ratio = statistics.median(mine / least for mine, least in rounds)
    found = {
        "benchmark": "cpu_per_judgment",
        "annotators": options.annotators,
        "judgments_per_round": each * options.annotators,
        "cpu_ms": round(statistics.median(mine for mine, _ in rounds), 2),
        "floor_ms": round(statistics.median(least for _, least in rounds), 2),
        "ratio": round(ratio, 2),
        "ratios": [round(mine / least, 2) for mine, least in rounds],
    }
    print(json.dumps(found))
    sys.exit(ratio > options.limit)


def cpu_ms(pid: int, clients: list[Work], each: int) -> float:
    """Let every client make so many judgments at once; return the server's CPU time for one, in ms."""

    def repeat(work: Work) -> None:
        for _ in range(each):
            work()

    before = cpu_of_tree(pid)
    threads = [threading.Thread(target=repeat, args=[work]) for work in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (cpu_of_tree(pid) - before) / (each * len(clients))


def cpu_of_tree(pid: int) -> float:
    """Return the CPU time of a process and of the processes that it started, in ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    children = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in _children(task)]
    return TICK_MS * (int(fields[11]) + int(fields[12])) + sum(map(cpu_of_tree, children))


def _children(task: Path) -> list[int]:
    return [int(child) for child in (task / "children").read_text().split()]


class Judging:
    """An annotator who judges one task after the other."""

    def __init__(self, server: Server, session: str, number: int) -> None:
        self.browser = Annotator(server.port, session, number)
        self.shown: Shown | None = None

    def one(self) -> None:
        shown = self.shown or self.browser.claim()
        if shown is None:
            raise SystemExit("There are no tasks left.")
        self.shown = self.browser.submit(shown)


class BareClient:
    """A client of the bare pair: a page, and a ranking of the task on it."""

    def __init__(self, port: int, number: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.random = random.Random(number)

    def one(self) -> None:
        page = self._ask("GET", "/task/", "", 200).decode()
        task = page.split('name="task" value="', 1)[1].split('"', 1)[0]
        order = ",".join(map(str, self.random.sample(range(4), 4)))
        self._ask("POST", "/judgment/", urlencode({"task": task, "seconds": 0.9, "order": order}), 201)

    def _ask(self, method: str, path: str, body: str, expected: int) -> bytes:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        try:
            self.connection.request(method, path, body or None, headers)
        except OSError:  # closed while the other server was asked
            self.connection.close()
            self.connection.request(method, path, body or None, headers)
        response = self.connection.getresponse()
        content = response.read()
        if response.status != expected:
            raise SystemExit(f"The bare pair answered {response.status}: {content[:200]!r}")
        return content


@contextlib.contextmanager
def bare_pair() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The bare pair under granian: its process and its port."""
    with tempfile.TemporaryDirectory(prefix="prefloop-bare-") as folder:
        environment = {**os.environ, "BARE_PAIR": folder}
        subprocess.run([sys.executable, "bare_pair.py"], cwd=HERE, env=environment, check=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
        command += [
            "--workers",
            "1",
            "--blocking-threads",
            "4",
            "--no-ws",
            "--log-level",
            "warning",
            "bare_pair:application",
        ]
        process = subprocess.Popen(command, cwd=HERE, env=environment)
        try:
            for _ in range(600):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.1)
            yield process, port
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    main()
