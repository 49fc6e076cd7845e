"""The door through which the browser comes back: one listener on 127.0.0.1, for one answer (RFC 8252 §7.3).

Anybody on this machine, and any page in the browser, can knock at it. So:

* the ``Host`` must be exactly ours: a name that was turned to 127.0.0.1 (DNS rebinding) isn't;
* only a GET of our path with our `state` is the answer; anything else gets a plain page and is forgotten, since a wrong knock that
  ended the login would let every page end it;
* a knock has a size, a time and a number; nobody can keep the door for himself;
* the page says nothing of what came, isn't kept, and sends no referrer.
"""

from __future__ import annotations

import hmac
import secrets
import selectors
import socket
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qsl

from mcpwrap.errors import LoginError

REQUEST_LIMIT: Final = 16 * 1024
"""Longest request, in bytes; a browser's has 1 KiB and the code and state some hundreds."""

REQUEST_S: Final = 10.0
"""For one request to come and to be answered."""

CONNECTIONS: Final = 32
"""Connections that may be open at once; browsers open some six, a part of them for nothing. The oldest goes first."""

_TICK_S: Final = 1.0
"""How often the time is looked at."""

_FIELDS: Final = 50
"""Most parameters of an answer."""

_DONE: Final = "You can close this window and go back to the terminal."
_WRONG: Final = "This is not the answer that mcpwrap is waiting for."


class Listener:
    """An open door. `redirect_uri` is its address; `path` (with its slash) is made up where none is given."""

    def __init__(self, path: str = "") -> None:
        """Raises LoginError: nothing can listen on 127.0.0.1."""
        self._path = path or f"/{secrets.token_urlsafe(16)}"
        try:
            self._socket = socket.create_server(("127.0.0.1", 0), backlog=16)
        except OSError as error:
            raise LoginError(
                f"nothing can listen on 127.0.0.1: {(error.strerror or str(error)).lower()}", hint="mcpwrap login --device"
            ) from None
        self._socket.setblocking(False)
        self._host = f"127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends the browser."""
        return f"http://{self._host}{self._path}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()

    def wait(self, state: str, *, limit_s: float, passing: Callable[[float], None] = lambda left_s: None) -> dict[str, str] | None:
        """The parameters of the answer that carries `state`; None where none came within `limit_s` seconds.

        `passing` is told now and then how many seconds are left.
        """
        end = time.monotonic() + limit_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            knocks: dict[socket.socket, _Knock] = {}
            try:
                while (left_s := end - time.monotonic()) > 0:
                    for key, _ in selector.select(min(_TICK_S, left_s)):
                        if key.fileobj is self._socket:
                            self._open(selector, knocks)
                            continue
                        knock = knocks[key.fileobj]  # type: ignore[index]
                        if not knock.read():
                            continue
                        answer = self._judged(knock.request, state)
                        knock.answer(*_page(answer))
                        _shut(selector, knocks, knock)
                        if isinstance(answer, dict):
                            return answer
                    for knock in [knock for knock in knocks.values() if knock.late]:
                        _shut(selector, knocks, knock)
                    passing(max(end - time.monotonic(), 0.0))
            finally:
                for knock in list(knocks.values()):
                    _shut(selector, knocks, knock)
        return None

    def _open(self, selector: selectors.BaseSelector, knocks: dict[socket.socket, _Knock]) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:  # pragma: no cover - it was gone again
            return
        if len(knocks) >= CONNECTIONS:
            _shut(selector, knocks, next(iter(knocks.values())))
        connection.setblocking(False)
        knocks[connection] = _Knock(connection)
        selector.register(connection, selectors.EVENT_READ)

    def _judged(self, request: bytes, state: str) -> dict[str, str] | int:
        """The parameters of a good answer, else the status of a refusal."""
        head, complete, _ = request.partition(b"\r\n\r\n")
        line, *headers = head.decode("latin-1").split("\r\n")
        words = line.split(" ")
        if not complete or len(words) != 3 or not words[2].startswith("HTTP/1."):
            return 400
        method, target, _ = words
        hosts = [value.strip() for name, _, value in (header.partition(":") for header in headers) if name.lower() == "host"]
        if hosts != [self._host]:
            return 421
        path, _, query = target.partition("?")
        if path != self._path:
            return 404
        if method != "GET":
            return 405
        try:
            pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_FIELDS)
        except ValueError:
            return 400
        answer = dict(pairs)
        if len(answer) != len(pairs) or not hmac.compare_digest(answer.get("state", "").encode(), state.encode()):
            return 400  # (a parameter that comes twice: RFC 6749 §3.1)
        return answer


class _Knock:
    """One connection: what came of its request."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.request = b""
        self._until = time.monotonic() + REQUEST_S

    @property
    def late(self) -> bool:
        return time.monotonic() > self._until

    def read(self) -> bool:
        """Take what came; True once there is something to be judged."""
        try:
            part = self.connection.recv(REQUEST_LIMIT + 1 - len(self.request))
        except BlockingIOError:  # pragma: no cover - it was announced, and nothing came (select(2), BUGS)
            return False
        except OSError:
            part = b""
        self.request += part
        return not part or b"\r\n\r\n" in self.request or len(self.request) > REQUEST_LIMIT

    def answer(self, status: str, headers: Mapping[str, str], text: str) -> None:
        body = text.encode()
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items()), f"Content-Length: {len(body)}"]
        try:
            # some hundred bytes: a new connection takes them in one piece
            self.connection.send("\r\n".join([*lines, "", ""]).encode() + body)
            self.connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the browser is gone; what it brought counts


def _shut(selector: selectors.BaseSelector, knocks: dict[socket.socket, _Knock], knock: _Knock) -> None:
    del knocks[knock.connection]
    selector.unregister(knock.connection)
    knock.connection.close()


_REASONS: Final = {400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 421: "Misdirected Request"}


def _page(answer: dict[str, str] | int) -> tuple[str, dict[str, str], str]:
    good = isinstance(answer, dict)
    status = f"{answer} {_REASONS[answer]}" if isinstance(answer, int) else "200 OK"
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
        **({"Allow": "GET"} if answer == 405 else {}),
    }
    return status, headers, f"<!doctype html><title>mcpwrap</title><p>{_DONE if good else _WRONG}</p>\n"
