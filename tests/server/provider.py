"""A small provider of identities on loopback: discovery, code flow with PKCE, signed ID tokens."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "foedus", "a secret/with: signs"


@dataclass
class Provider:
    """What the provider says; tests change it to make it lie. `person` are the claims of who signs in."""

    issuer: str = ""
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "s-1", "preferred_username": "Bob.B"})
    lies: dict[str, Any] = field(default_factory=dict)  # claims that replace the right ones
    metadata: dict[str, Any] = field(default_factory=dict)  # entries that replace the right ones
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "1"}))
    signing_key: Any = None  # another key than the published one
    algorithm: str = "RS256"
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    seen: list[dict[str, str]] = field(default_factory=list)  # questions of browsers

    def authorize(self, question: dict[str, str]) -> str:
        """Sign the person in and return where the browser is sent."""
        self.seen.append(question)
        code = secrets.token_urlsafe()
        self.codes[code] = question
        answer = urlencode({"code": code, "state": question["state"], "iss": self.issuer})
        return f"{question['redirect_uri']}?{answer}"

    def tokens(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """Give tokens for a code, once, to whoever has the client's secret and the verifier."""
        question = self.codes.pop(form.get("code", ""), None)
        right = base64.b64encode(f"{CLIENT}:a%20secret%2Fwith%3A%20signs".encode()).decode()
        if question is None or authorization != f"Basic {right}":
            return 401, {"error": "invalid_client"}
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != question["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        if form["redirect_uri"] != question["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": self.id_token(question)}

    def id_token(self, question: dict[str, str]) -> str:
        """Return the signed claims."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": question["nonce"],
        }
        claims = {
            name: value for name, value in {**claims, **self.person, **self.lies}.items() if value is not None
        }
        header = {"alg": self.algorithm, "kid": "1"}
        return jwt.encode(header, claims, self.signing_key or self.key, algorithms=[self.algorithm])


@contextmanager
def running_provider() -> Iterator[Provider]:
    """Run a provider until the block ends."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/.well-known/openid-configuration":
                self._say(200, {**_metadata(provider.issuer), **provider.metadata})
            elif parts.path == "/keys":
                self._say(200, {"keys": [provider.key.as_dict(private=False)]})
            elif parts.path == "/authorize":
                question = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self.send_response(302)
                self.send_header("Location", provider.authorize(question))
                self.end_headers()
            else:
                self._say(404, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self._say(*provider.tokens(form, self.headers.get("Authorization", "")))

        def _say(self, status: int, value: dict[str, Any]) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _metadata(issuer: str) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/keys",
    }
