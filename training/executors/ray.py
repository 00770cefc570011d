"""An executor that submits jobs to a Ray cluster by the REST interface of its Jobs API; nothing here imports Ray.

The submission id is the job's name, so that Ray refuses a second job of that name. Ray never starts a job again by
itself, and forgets its jobs with its head: the next attempt is ours, and the job's folder says how it ended. Its logs
are not asked for, as Ray reads the whole file for each request: a job prints into its folder.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shlex
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.utils.translation import gettext_noop

from annotation.outgoing import NoRedirect
from training.executors._remote import RemoteExecutor
from training.executors.base import EngineAway, Job, Phase, State

REQUEST_SECONDS = 20.0
LONGEST_REASON = 1000  # characters of Ray's message, whose end says most
PHASES = {
    "PENDING": Phase.WAITING,
    "RUNNING": Phase.RUNNING,
    "SUCCEEDED": Phase.ENDED,
    "FAILED": Phase.ENDED,
    "STOPPED": Phase.ENDED,
}


class RayExecutor(RemoteExecutor):
    """Submits the command of a job to the cluster at PREFLOOP_RAY, which sees the run directories at the same path."""

    name = "ray"
    label = "Ray"
    order = 20
    takes = frozenset({"cpus", "gpus", "memory_gb", "minutes", "partition", "image"})

    def submit(self, job: Job) -> None:
        self.prepare(job)
        status, said = _ask("POST", "", body_of(job, self.job_command(job)))
        if status == 200 or (status >= 400 and self._is_known(job)):
            return  # of a submission whose answer was lost Ray says that it exists already
        raise ValueError(_reason(said) or _answered(status))

    def poll(self, job: Job) -> State:
        try:
            status, said = _ask("GET", job.name)
        except (EngineAway, ValueError) as away:  # also of a token that is refused: the job goes on without us
            return State(Phase.UNKNOWN, why=str(away))
        if status == 404:
            return State(Phase.GONE)
        phase = PHASES.get(str(said.get("status")))
        if status != 200 or phase is None:
            return State(Phase.UNKNOWN, why=_reason(said) or _answered(status))
        return State(phase, _exit_code(said), "" if phase is Phase.RUNNING else _reason(said))

    def cancel(self, job: Job, *, now: bool = False) -> None:  # noqa: ARG002  Ray has one way to stop a job
        """Ask Ray to stop a job: SIGTERM, and SIGKILL after the grace that it was submitted with.

        A job that has not begun is not stopped by that (ray issue 58353): once it begins it finds its folder closed.
        """
        try:
            status, _ = _ask("POST", f"{job.name}/stop")
        except ValueError as refused:
            raise EngineAway(str(refused)) from refused
        if status not in (200, 404):
            raise EngineAway(_answered(status))

    def unavailable(self) -> str:
        try:
            status, said = _ask("GET", "prefloop-none")  # of a job that it does not know
        except (EngineAway, ValueError) as away:
            return str(away)
        return "" if status in (200, 404) else _reason(said) or _answered(status)

    def _is_known(self, job: Job) -> bool:
        return _ask("GET", job.name)[0] == 200


def body_of(job: Job, command: str) -> dict[str, Any]:
    """Return what a job is submitted with."""
    asked = job.resources
    runtime: dict[str, Any] = {
        "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(int(settings.TRAINING_STOP_GRACE_SECONDS) + 5)}
    }
    if asked.image:
        runtime["image_uri"] = asked.image
    printed = shlex.quote(str(job.folder.output_path))
    body: dict[str, Any] = {
        "entrypoint": f"cd {shlex.quote(str(settings.BASE_DIR))} && exec {command} >> {printed} 2>&1",
        "submission_id": job.name,
        "runtime_env": runtime,
        "metadata": {"prefloop_run": job.run},
        # Without these Ray starts it on the head at once, however busy that is.
        "entrypoint_num_cpus": asked.cpus or 1,
        "entrypoint_num_gpus": asked.gpus,
    }
    if asked.memory_gb:
        body["entrypoint_memory"] = round(asked.memory_gb * 1024**3)
    if asked.partition:
        body["entrypoint_resources"] = {asked.partition: 0.001}
    return body


def _ask(method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    """Return status and JSON of a request to the Jobs API.

    Raises EngineAway where it does not answer, or not in whole; ValueError where an operator has to change a setting.
    """
    if not settings.RAY_ADDRESS:
        raise ValueError("PREFLOOP_RAY is not set: the address of Ray's dashboard, such as http://127.0.0.1:8265")
    headers = {"Content-Type": "application/json"}
    if settings.RAY_TOKEN:
        headers["Authorization"] = f"Bearer {settings.RAY_TOKEN}"
    request = urllib.request.Request(
        f"{settings.RAY_ADDRESS}/api/jobs/{quote(path)}",
        data=None if body is None else json.dumps(body).encode(),
        headers=headers,
        method=method,
    )
    try:
        with _opener().open(request, timeout=REQUEST_SECONDS) as answer:
            return answer.status, _json(answer.read())
    except urllib.error.HTTPError as refused:
        said = _body_of_refusal(refused)
        if refused.code in (401, 403):
            text = gettext_noop("Ray refused the token (PREFLOOP_RAY_TOKEN): %(status)s")
            raise ValueError(text % {"status": refused.code}) from refused
        if refused.code in (408, 429, 502, 503, 504):
            raise EngineAway(_answered(refused.code)) from refused
        return refused.code, _json(said)
    except (OSError, http.client.HTTPException) as away:
        why = getattr(away, "reason", away)
        raise EngineAway(
            gettext_noop("Ray at %(address)s does not answer: %(error)s")
            % {"address": settings.RAY_ADDRESS, "error": why or type(away).__name__}
        ) from away


def _answered(status: int) -> str:
    text = gettext_noop("Ray at %(address)s answered with status %(status)s")
    return text % {"address": settings.RAY_ADDRESS, "status": status}


def _body_of_refusal(refused: urllib.error.HTTPError) -> bytes:
    """Return what the body of a refusal says; empty where it breaks off, as the status says enough."""
    with refused, contextlib.suppress(OSError, http.client.HTTPException):
        return refused.read(100_000)
    return b""


def _opener() -> urllib.request.OpenerDirector:
    """Return what asks without following redirects, which would take the token along."""
    return urllib.request.build_opener(NoRedirect)


def _json(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"message": text.decode("utf-8", errors="replace")}


def _reason(said: dict[str, Any]) -> str:
    return str(said.get("message") or "").strip()[-LONGEST_REASON:]


def _exit_code(said: dict[str, Any]) -> int | None:
    if said.get("status") == "SUCCEEDED":
        return 0
    code = said.get("driver_exit_code")
    return code if isinstance(code, int) else None


EXECUTOR = RayExecutor()
