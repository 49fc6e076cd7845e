"""A provider that says exactly what a test wants, for what no honest one does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> list[tuple[str, str]]:
        """The fields of a form."""
        return parse_qsl(self.body.decode(), keep_blank_values=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `body` may be an iterator: it is sent without a length, until it or the reader ends. `raw` is sent instead of
    all, status line included."""

    body: bytes | Iterator[bytes] = b"{}"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    raw: Iterator[bytes] | None = None


def say(document: object, status: int = 200, **headers: str) -> Answer:
    """A JSON answer."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(json.dumps(document).encode(), status, {"Content-Type": "application/json", **more})


Route = Answer | Callable[[Request], Answer]


class Scripted:
    """A provider with one answer a path; others are 404. `seen` has every request."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.server = server
        self.issuer = f"http://127.0.0.1:{cast('tuple[str, int]', server.server_address)[1]}"
        self.routes: dict[str, Route] = {}
        self.seen: list[Request] = []

    def asked(self, path: str) -> list[Request]:
        """The requests to `path`."""
        return [request for request in self.seen if request.path == path]

    def describes(self, **changes: Any) -> dict[str, Any]:
        """Have discovery say what an ordinary provider says, with `changes`; None takes an entry away."""
        document = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "device_authorization_endpoint": f"{self.issuer}/device",
            "revocation_endpoint": f"{self.issuer}/revoke",
            "userinfo_endpoint": f"{self.issuer}/me",
            "jwks_uri": f"{self.issuer}/jwks",
            "scopes_supported": ["openid", "email", "offline_access"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            **changes,
        }
        document = {name: value for name, value in document.items() if value is not None}
        self.routes["/.well-known/openid-configuration"] = say(document)
        return document


@contextmanager
def scripted() -> Iterator[Scripted]:
    """A provider without any answers yet."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body)
            provider.seen.append(request)
            route = provider.routes.get(parts.path, Answer(b"", 404, {}))
            answer = route if isinstance(route, Answer) else route(request)
            with suppress(OSError):
                self._send(answer)

        do_POST = do_GET

        def _send(self, answer: Answer) -> None:
            if answer.raw is not None:
                for part in answer.raw:
                    self.connection.sendall(part)
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if isinstance(answer.body, bytes):
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            for part in [answer.body] if isinstance(answer.body, bytes) else answer.body:
                self.wfile.write(part)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        provider = Scripted(server)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            server.block_on_close = False
