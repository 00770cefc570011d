"""Writes the replies of the playground: one at a time, by a process that keeps the last models in memory for a while.

It imports no tensor library, so it may share a process with the pages. What passes between it and its child is a line
of JSON each way: training/recipes/chat.py.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from typing import Any

from django.conf import settings
from django.db import close_old_connections

from training.actions import playground
from training.executors.recipe_environment import environment_of_recipe
from training.models import Reply
from training.products.chat import chat_inputs

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.3
IDLE_SECONDS = 600.0  # then the child ends and gives its memory back
SILENT_SECONDS = 300.0  # loading a model takes long, but not so long


class ChildGone(Exception):
    """The process ended while it wrote."""


class Child:
    """A process of training.recipes.chat, and the lines that it prints."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "training.recipes.chat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=settings.BASE_DIR,
            env=environment_of_recipe(os.environ, {}),
            start_new_session=True,
        )
        self.lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True, name="playground-reader").start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def ask(self, request: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as gone:
            raise ChildGone(f"ended with exit code {self.process.wait()}") from gone

    def next_line(self, seconds: float) -> dict[str, Any] | None:
        """Return the next line of the process, None where nothing came in that time. Raises ChildGone."""
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            return None
        if line is None:
            raise ChildGone(f"ended with exit code {self.process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def stop(self) -> None:
        if self.is_alive:
            self.process.kill()
        self.process.wait()


class Generator:
    """`stop` ends it in good order: a reply in progress waits for the next generator."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.child: Child | None = None
        self.used_at = 0.0

    def run_forever(self) -> None:
        try:
            while not self.stopping.is_set():
                try:
                    busy = self.write_next()
                except Exception:
                    # The database may be away for a moment.
                    logger.exception("playground iteration failed; retrying")
                    busy = False
                close_old_connections()
                self._end_idle_child()
                if not busy:
                    self.stopping.wait(POLL_SECONDS)
        finally:
            self._end_child()

    def stop(self) -> None:
        self.stopping.set()

    def write_next(self) -> bool:
        """Write one reply from start to end; return False where none waits."""
        reply = playground.claim_reply()
        if reply is None:
            return False
        try:
            self._write(reply)
        except ChildGone as gone:
            self._end_child()
            if reply.attempt >= playground.MOST_ATTEMPTS:
                playground.fail(reply=reply, error=f"The process that wrote it {gone}.")
            else:  # memory may have been short for a moment
                playground.put_back(reply=reply)
                Reply.objects.filter(pk=reply.pk).update(attempt=reply.attempt)
        except Exception:
            self._end_child()  # it still writes this reply, and its lines must not be taken for the next one's
            raise
        return True

    def _write(self, reply: Reply) -> None:
        if self.child is None or not self.child.is_alive:
            self.child = Child()
        exchange = reply.exchange
        self.child.ask(
            {
                "checkpoint": reply.policy.checkpoint,
                "messages": exchange.messages,
                "max_new_tokens": exchange.max_new_tokens,
                "temperature": exchange.temperature,
                "seed": reply.pk,
                **chat_inputs(exchange.project),
            }
        )
        began = heard = time.monotonic()
        text, tokens = "", 0
        while True:
            line = self.child.next_line(0.5)
            seconds = time.monotonic() - began
            if line is None and time.monotonic() - heard > SILENT_SECONDS:
                raise ChildGone(f"said nothing for {SILENT_SECONDS:.0f} seconds")
            if line is not None:
                heard, text, tokens = time.monotonic(), line.get("text", text), line.get("tokens", tokens)
                if "error" in line:
                    return playground.fail(reply=reply, error=line["error"])
                if "finished" in line:
                    self.used_at = time.monotonic()
                    return playground.finish(
                        reply=reply, text=text, tokens=tokens, seconds=seconds, finished=line["finished"]
                    )
            if self.stopping.is_set():
                return playground.put_back(reply=reply)
            if not playground.keep_text(reply=reply, text=text, tokens=tokens, seconds=seconds):
                return self._end_child()  # cancelled: it cannot be told to stop in the middle

    def _end_idle_child(self) -> None:
        if self.child and time.monotonic() - self.used_at > IDLE_SECONDS:
            self._end_child()

    def _end_child(self) -> None:
        if self.child:
            self.child.stop()
        self.child = None
