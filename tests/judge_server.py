"""A server that judges pairs, as a process: `python -m tests.judge_server KEY` prints its address and serves.

It speaks OpenAI's chat completions and checks each request. It prefers the response with the higher number in "quality
7". Words in the conversation make it answer oddly (ODD), or by a habit: "habit:first" prefers what is shown first,
"habit:long" what is longer. GET /asked returns what it was asked; POST /mood sets `status` of all further answers, and
whether verdicts are `turned` round.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET_OF_THE_SERVER = "internal stack trace"
QUALITY = re.compile(r"quality (\d+)")
SHOWN = re.compile(
    r"<conversation-(\w{8})>\n(.*)\n</conversation-\1>\n\n<response-A-\1>\n(.*)\n</response-A-\1>\n\n"
    r"<response-B-\1>\n(.*)\n</response-B-\1>",
    re.DOTALL,
)
ODD: dict[str, Any] = {
    "odd:page": b"<html>Sign in</html>",
    "odd:empty": b"",
    "odd:list": b"[]",
    "odd:latin": "é".encode("latin-1"),
    "odd:none": {"choices": []},
    "odd:number": {"choices": [{"message": {"content": 7}}]},
    "odd:silent": {"choices": [{"message": {"content": ""}}]},
    "odd:undecided": {"choices": [{"message": {"content": "Both have merits."}}]},
    "odd:thinks": {"choices": [{"message": {"content": "<think>[[A]] or [[B]]?"}}]},
    "odd:picture": {"choices": [{"message": {"content": [{"type": "image_url"}]}}]},
    "odd:stopped": {"choices": [{"message": {"content": "[[A]] was my first"}, "finish_reason": "length"}]},
    "odd:ended": {"choices": [{"message": {"content": "[[A]]? No.\n**[[TIE]]**"}, "finish_reason": "length"}]},
    "odd:usage": {"choices": [{"message": {"content": "[[TIE]]"}}], "usage": {"prompt_tokens": "many"}},
}


class JudgeServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, key: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.key = key
        self.lock = threading.Lock()
        self.asked: list[dict[str, Any]] = []
        self.faults: list[str] = []
        self.status = 200
        self.is_turned = False


class Handler(BaseHTTPRequestHandler):
    server: JudgeServer

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._send(200, {"data": [{"id": "small-judge"}]})
        else:
            self._send(200, {"asked": self.server.asked, "faults": self.server.faults})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/mood":
            self.server.status = body["status"]
            self.server.is_turned = body.get("turned", False)
            self._send(200, {})
            return
        fault = self._fault(body)
        with self.server.lock:
            if fault:
                self.server.faults.append(fault)
            self.server.asked.append(body)
        if fault or self.server.status != 200:
            self._send(400 if fault else self.server.status, {"error": f"{fault} {SECRET_OF_THE_SERVER}"})
            return
        self._judge(body)

    def _fault(self, body: dict[str, Any]) -> str:
        """Return what is wrong with a request."""
        messages = body.get("messages", [])
        checks = {
            "path": self.path == "/v1/chat/completions",
            "key": self.headers.get("Authorization") == f"Bearer {self.server.key}",
            "type": self.headers.get("Content-Type") == "application/json",
            "fields": set(body) <= {"model", "messages", "max_tokens", "temperature", "seed"},
            "model": body.get("model") == "small-judge",
            "roles": [message.get("role") for message in messages] == ["system", "user"],
            "form": len(messages) == 2 and "[[TIE]]" in messages[0]["content"],
            "marks": len(messages) == 2 and SHOWN.fullmatch(messages[1]["content"]) is not None,
        }
        return ", ".join(name for name, is_right in checks.items() if not is_right)

    def _judge(self, body: dict[str, Any]) -> None:
        found = SHOWN.fullmatch(body["messages"][1]["content"])
        assert found is not None
        _, conversation, first, second = found.groups()
        if odd := next((name for name in ODD if name in conversation), ""):
            self._send(200, ODD[odd])
            return
        if "odd:refused" in conversation:
            self._send(422, {"error": f"too long {SECRET_OF_THE_SERVER}"})
            return
        if "odd:down" in conversation:
            self._send(500, {"error": SECRET_OF_THE_SERVER})
            return
        if "odd:babble" in conversation:
            self.wfile.write(f"{SECRET_OF_THE_SERVER} \0\r\n\r\n".encode())
            self.close_connection = True
            return
        if "odd:cut" in conversation:
            self.send_response(200)
            self.send_header("Content-Length", "5000")
            self.end_headers()
            self.wfile.write(b'{"choices": [{"mess')
            self.close_connection = True
            return
        said = f"Reasons: [[A]] was my first thought.\n[[{self._verdict(conversation, first, second)}]]"
        usage = {"prompt_tokens": 100, "completion_tokens": 20}
        self._send(200, {"choices": [{"message": {"role": "assistant", "content": said}}], "usage": usage})

    def _verdict(self, conversation: str, first: str, second: str) -> str:
        if "habit:first" in conversation:
            return "A"
        if "habit:long" in conversation:
            values = [len(first), len(second)]
        else:
            values = [int(found[1]) if (found := QUALITY.search(text)) else 0 for text in (first, second)]
        if self.server.is_turned:
            values.reverse()
        return "TIE" if values[0] == values[1] else "A" if values[0] > values[1] else "B"

    def _send(self, status: int, body: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    server = JudgeServer(sys.argv[1])
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever(poll_interval=0.05)
