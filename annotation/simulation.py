"""Simulated annotators: they sign in over HTTP and work through the queue as a browser would.

Everything goes through the pages and the API that people use; nothing here touches the database.
"""

from __future__ import annotations

import json
import logging
import random
import re
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import requests

from annotation.simulated_judges import SimulatedJudge

logger = logging.getLogger(__name__)

TIE_WITHIN = 0.02  # scores closer than this are a tie
UNACCEPTABLE_BELOW = -0.5
MUCH_BETTER_FROM = 0.6
GUIDELINES_TO_READ = re.compile(r'name="guidelines" value="(\d+)"')


@dataclass
class WorkTally:
    """What one annotator, or all together, did."""

    rankings: int = 0
    references: int = 0
    skipped: int = 0
    unary: int = 0

    def __add__(self, other: WorkTally) -> WorkTally:
        return WorkTally(
            self.rankings + other.rankings,
            self.references + other.references,
            self.skipped + other.skipped,
            self.unary + other.unary,
        )


@dataclass(frozen=True)
class Habits:
    """`noise` is the standard deviation of what is added to a judge's scores; `pace` the seconds spent on a task."""

    noise: float = 0.1
    skip_share: float = 0.02
    pace: float = 0.0
    most_tasks: int | None = None


class SimulatedAnnotator:
    def __init__(self, *, url: str, username: str, password: str, judge: SimulatedJudge, habits: Habits) -> None:
        self.url = url.rstrip("/")
        self.username, self.password = username, password
        self.judge, self.habits = judge, habits
        self.random = random.Random(username)
        self.session = requests.Session()
        self.tally = WorkTally()

    def work_through(self, project: str, stop: threading.Event) -> WorkTally:
        """Judge until the queue is empty, `most_tasks` are done, or `stop` is set; return what was done."""
        self._sign_in()
        page = self._past_the_guidelines(project, self._post(f"/projects/{project}/annotate/"))
        while not stop.is_set() and (assignment := self._assignment_shown(project, page)):
            done = self.tally.rankings + self.tally.unary + self.tally.references
            if self.habits.most_tasks is not None and done >= self.habits.most_tasks:
                break
            began = time.monotonic()
            if self.habits.pace and stop.wait(self.random.uniform(0.5, 1.5) * self.habits.pace):
                break
            page = self._judge(project, assignment, active_ms=int(1000 * (time.monotonic() - began)))
            page = self._past_the_guidelines(project, page)
        return self.tally

    def _sign_in(self) -> None:
        self._get("/accounts/login/")
        self._post("/accounts/login/", {"username": self.username, "password": self.password}, htmx=False)
        if "sessionid" not in self.session.cookies:
            raise RuntimeError(f"{self.username} could not sign in at {self.url}.")

    def _past_the_guidelines(self, project: str, page: requests.Response) -> requests.Response:
        """Acknowledge the version of the guidelines that a page shows, and return the page after it."""
        shown = GUIDELINES_TO_READ.search(page.text)
        return self._post(f"/projects/{project}/annotate/", {"guidelines": shown[1]}) if shown else page

    def _assignment_shown(self, project: str, page: requests.Response) -> dict[str, Any] | None:
        """Return the assignment on the page, by the address that the page pushed; None where the queue is empty."""
        address = page.headers.get("HX-Push-Url", "")
        if "/tasks/" not in address:
            return None
        number = address.rstrip("/").rsplit("/", 1)[1]
        assignment: dict[str, Any] = self._get(f"/api/v1/projects/{project}/assignments/{number}/").json()
        return assignment

    def _judge(self, project: str, assignment: dict[str, Any], *, active_ms: int) -> requests.Response:
        path = f"/projects/{project}/tasks/{assignment['id']}"
        if self.random.random() < self.habits.skip_share:
            self.tally.skipped += 1
            return self._post(f"{path}/skip/", {"reason": "not sure what is asked"})
        answers = {"ranking": self._ranking, "unary": self._unary, "reference": self._reference}
        if assignment["kind"] not in answers:
            self.tally.skipped += 1
            return self._post(f"{path}/skip/", {"reason": "simulated annotators only rank, judge and write"})
        answer = answers[assignment["kind"]](assignment)
        self._post(f"{path}/draft/", {"draft": _json(answer), "active_ms": active_ms})
        fields = {name: value if isinstance(value, str) else _json(value) for name, value in answer.items()}
        page = self._post(f"{path}/submit/", {**fields, "client_uuid": str(uuid.uuid4()), "active_ms": active_ms})
        if assignment["kind"] == "ranking":
            self.tally.rankings += 1
        elif assignment["kind"] == "unary":
            self.tally.unary += 1
        else:
            self.tally.references += 1
        return page

    def _ranking(self, assignment: dict[str, Any]) -> dict[str, Any]:
        scores = {
            candidate["id"]: self.judge.score(candidate["text"]) + self.random.gauss(0, self.habits.noise)
            for candidate in assignment["candidates"]
        }
        tiers: list[list[int]] = []
        for pk in sorted(scores, key=lambda pk: -scores[pk]):
            if tiers and scores[tiers[-1][0]] - scores[pk] < TIE_WITHIN:
                tiers[-1].append(pk)
            else:
                tiers.append([pk])
        unacceptable = [pk for tier in tiers if scores[tier[0]] < UNACCEPTABLE_BELOW for pk in tier]
        asked = assignment["asked"]
        answer: dict[str, Any] = {"tiers": tiers, "unacceptable": unacceptable, "rationale": ""}
        if asked["rationale"] == "required":
            answer["rationale"] = "Simulated."
        if asked["criteria"]:
            answer["ratings"] = {pk: dict.fromkeys(asked["criteria"], _rating(score)) for pk, score in scores.items()}
        match asked["form"]:
            case "graded":
                apart = max(scores.values()) - min(scores.values())
                answer["strength"] = 0 if len(tiers) == 1 else 2 if apart > MUCH_BETTER_FROM else 1
            case "best" | "top_k":
                best = sorted(scores, key=lambda pk: -scores[pk])[: asked["places"]]
                answer |= {"tiers": [[pk] for pk in best], "unacceptable": []}
        return answer

    def _unary(self, assignment: dict[str, Any]) -> dict[str, Any]:
        (candidate,) = assignment["candidates"]
        score = self.judge.score(candidate["text"]) + self.random.gauss(0, self.habits.noise)
        return {"good": score >= UNACCEPTABLE_BELOW, "reason": "", "comment": ""}

    def _reference(self, assignment: dict[str, Any]) -> dict[str, Any]:
        best = max(assignment["candidates"], key=lambda candidate: self.judge.score(candidate["text"]), default=None)
        if best is None:  # a project in which one writes first, without seeing the others
            return {"text": self.judge.improve(""), "derived_from": None}
        return {"text": self.judge.improve(best["text"]), "derived_from": best["id"]}

    def _get(self, path: str) -> requests.Response:
        response = self.session.get(self.url + path, timeout=60)
        response.raise_for_status()
        return response

    def _post(self, path: str, data: dict[str, Any] | None = None, *, htmx: bool = True) -> requests.Response:
        headers = {"X-CSRFToken": self.session.cookies.get("csrftoken", ""), "Referer": self.url}
        if htmx:
            headers["HX-Request"] = "true"
        response = self.session.post(self.url + path, data=data or {}, headers=headers, timeout=60)
        response.raise_for_status()
        return response


def _rating(score: float) -> int:
    """Return a rating from 1 to 5 for a score that is about 0 and seldom beyond ±1."""
    return min(5, max(1, round(3 + 2 * score)))


def _json(value: Any) -> str:
    return "" if value is None else json.dumps(value)


def simulate(
    *,
    url: str,
    project: str,
    logins: list[tuple[str, str]],
    judge: SimulatedJudge,
    habits: Habits,
    stop: threading.Event | None = None,
) -> WorkTally:
    """Let all annotators work at once, each with a session of their own; return what they did together."""
    stop = stop or threading.Event()
    people = [
        SimulatedAnnotator(url=url, username=username, password=password, judge=judge, habits=habits)
        for username, password in logins
    ]
    with ThreadPoolExecutor(max_workers=len(people)) as pool:
        tallies = list(pool.map(lambda person: person.work_through(project, stop), people))
    return sum(tallies, WorkTally())
