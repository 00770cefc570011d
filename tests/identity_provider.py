"""An OpenID Connect provider as a process: `python -m tests.identity_provider` prints its issuer and serves.

Discovery, keys, authorization, token and userinfo over HTTP. POST /next says who signs in next, and what is wrong with
the answer: `claims` of the ID token, `userinfo`, `fault` (other_key, no_token, redirect, other_sub, large).
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, SECRET = "prefloop", "a secret of the client"
KEY, OTHER_KEY = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))


class Provider(ThreadingHTTPServer):
    next: dict[str, Any]
    codes: dict[str, dict[str, Any]]
    asked: list[str]

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Provider

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.server.asked.append(url.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        match url.path:
            case "/.well-known/openid-configuration":
                self._json(self._described())
            case "/keys":
                jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
                self._json({"keys": [jwk | {"kid": "first", "use": "sig", "alg": "RS256"}]})
            case "/authorize":
                self._authorize(query)
            case "/userinfo":
                sub = "another person" if self.server.next.get("fault") == "other_sub" else self.server.next["sub"]
                self._json({"sub": sub, **self.server.next.get("userinfo", {})})
            case "/asked":
                self._json({"asked": self.server.asked})
            case _:
                self.send_error(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path == "/next":
            self.server.next = json.loads(body)
            self._json({})
        elif self.path == "/token":
            self._token({name: values[0] for name, values in parse_qs(body).items()})
        else:
            self.send_error(404)

    def _described(self) -> dict[str, Any]:
        issuer = self.server.issuer
        names = {"authorization": "authorize", "token": "token", "userinfo": "userinfo", "end_session": "end"}
        described = {f"{name}_endpoint": f"{issuer}/{path}" for name, path in names.items()}
        described |= {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
        return described | self.server.next.get("described", {})

    def _authorize(self, query: dict[str, str]) -> None:
        if query["client_id"] != CLIENT_ID or query["response_type"] != "code" or "openid" not in query["scope"]:
            self.send_error(400)
            return
        code = secrets.token_urlsafe(16)
        self.server.codes[code] = query
        self.send_response(302)
        self.send_header("Location", f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}")
        self.end_headers()

    def _token(self, form: dict[str, str]) -> None:
        asked = self.server.codes.pop(form.get("code", ""), None)
        right = form.get("client_id") == CLIENT_ID and form.get("client_secret") == SECRET
        if asked is None or not right or form["redirect_uri"] != asked["redirect_uri"] or not _proves(form, asked):
            self._json({"error": "invalid_grant"}, status=400)
            return
        fault = self.server.next.get("fault")
        if fault == "redirect":
            self.send_response(302)
            self.send_header("Location", f"{self.server.issuer}/userinfo")
            self.end_headers()
            return
        now = int(time.time())
        claims = {"iss": self.server.issuer, "aud": CLIENT_ID, "sub": self.server.next["sub"], "iat": now}
        claims |= {"exp": now + 300, "nonce": asked["nonce"]} | self.server.next.get("claims", {})
        key = OTHER_KEY if fault == "other_key" else KEY
        id_token = jwt.encode(claims, key, algorithm="RS256", headers={"kid": "first"})
        answer = {"access_token": "an access token", "token_type": "Bearer", "expires_in": 60, "id_token": id_token}
        if fault == "no_token":
            del answer["id_token"]
        if fault == "large":
            answer["more"] = "x" * 2**21
        self._json(answer)

    def _json(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _proves(form: dict[str, str], asked: dict[str, str]) -> bool:
    """PKCE: the verifier has the hash that the authorization was asked with."""
    digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked.get("code_challenge")


def main() -> None:
    server = Provider(("127.0.0.1", 0), Handler)
    server.next, server.codes, server.asked = {"sub": "nobody"}, {}, []
    sys.stdout.write(f"{server.issuer}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
