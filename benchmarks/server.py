"""A server of its own for a benchmark of pages, with the data that a script makes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def serve(folder: Path, set_up: str) -> tuple[subprocess.Popen[bytes], str]:
    environment = {**os.environ, "PREFLOOP_HOME": str(folder)}
    environment.pop("DATABASE_URL", None)
    for program in ("from frontend.readiness import prepare; prepare(print)", set_up):
        command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", program]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "manage.py", "serve", "--no-worker", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            urllib.request.urlopen(f"{url}/health/", timeout=2)
            return process, url
        except OSError:
            time.sleep(0.1)
    raise SystemExit("The server did not start.")
