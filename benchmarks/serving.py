"""Server CPU per page: the embedded default (WSGI threads in an ASGI process) against Django's own ASGI handler.

    python benchmarks/serving.py [--requests 1500] [--clients 8]

Both serve the same signed-in page from the same database, in turn, three times each; prints one JSON line with the
median CPU milliseconds per request and requests per second. Linux only (reads /proc).
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parent.parent
SERVERS = {
    "wsgi threads in asgi": "frontend.asgi:application",
    "django asgi": "django.core.asgi:get_asgi_application",
}
SET_UP = """
from django.contrib.auth.models import User
from annotation.actions import projects
from annotation.models import Project
projects.create_project(project=Project(name="Bench"), by=User.objects.create_user("bench", password="bench words"))
"""


def manage(environment: dict[str, str], *arguments: str) -> None:
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, check=True)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(target: str, environment: dict[str, str], count: int, clients: int) -> tuple[float, float]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    factory = ["--factory"] if target.endswith("get_asgi_application") else []
    options = ["--port", str(port), "--log-level", "error", "--lifespan", "off", *factory]
    process = subprocess.Popen([sys.executable, "-m", "uvicorn", target, *options], cwd=ROOT, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(100):
            try:
                requests.get(f"{url}/health/", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        sessions = [sign_in(url) for _ in range(clients)]

        def visit(session: requests.Session, times: int) -> None:
            for _ in range(times):
                assert session.get(f"{url}/projects/bench/", timeout=30).status_code == 200

        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(visit, sessions, [5] * clients))  # warm
            began, cpu_began = time.perf_counter(), cpu_seconds(process.pid)
            list(pool.map(visit, sessions, [count // clients] * clients))
            seconds, cpu = time.perf_counter() - began, cpu_seconds(process.pid) - cpu_began
        done = count // clients * clients
        return 1000 * cpu / done, done / seconds
    finally:
        process.terminate()
        process.wait(20)


def sign_in(url: str) -> requests.Session:
    session = requests.Session()
    session.get(f"{url}/accounts/login/", timeout=10)
    form = {"username": "bench", "password": "bench words", "csrfmiddlewaretoken": session.cookies["csrftoken"]}
    session.post(f"{url}/accounts/login/", data=form, headers={"Referer": url}, timeout=10)
    assert "sessionid" in session.cookies
    return session


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "PREFLOOP_HOME": home, "DJANGO_SETTINGS_MODULE": "frontend.settings"}
        manage(environment, "migrate", "--verbosity", "0")
        manage(environment, "collectstatic", "--noinput", "--verbosity", "0")
        manage(environment, "shell", "--verbosity", "0", "-c", SET_UP)
        figures: dict[str, list[tuple[float, float]]] = {name: [] for name in SERVERS}
        for _ in range(3):
            for name, target in SERVERS.items():
                figures[name].append(measure(target, environment, options.requests, options.clients))
    print(
        json.dumps(
            {
                "benchmark": "serving",
                "clients": options.clients,
                **{
                    name: {
                        "cpu_ms_per_request": round(statistics.median(cpu for cpu, _ in rounds), 2),
                        "requests_per_second": round(statistics.median(rate for _, rate in rounds), 1),
                    }
                    for name, rounds in figures.items()
                },
            }
        )
    )


if __name__ == "__main__":
    main()
