"""The door for the browser's answer: who may come in, and who is sent away without ending the wait."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import pytest

from mcpwrap.errors import LoginError
from mcpwrap.identity import loopback
from mcpwrap.identity.loopback import Listener

STATE = "a-state"
DEADLINE_S = 30.0


class Waiting:
    """A listener that waits in a thread of its own."""

    def __init__(self, path: str = "", limit_s: float = DEADLINE_S) -> None:
        self.listener = Listener(path)
        self.found: list[dict[str, str] | None] = []
        self._thread = threading.Thread(target=self._wait, args=(limit_s,), daemon=True)
        parts = urlsplit(self.listener.redirect_uri)
        self.host, self.path = parts.netloc, parts.path

    def __enter__(self) -> Self:
        self.listener.__enter__()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._thread.is_alive():
            self.knock(f"GET {self.path}?state={STATE} HTTP/1.1\r\nHost: {self.host}\r\n\r\n")
        self._thread.join(DEADLINE_S)
        self.listener.__exit__(kind, error, trace)

    def _wait(self, limit_s: float) -> None:
        self.found.append(self.listener.wait(STATE, limit_s=limit_s))

    def open(self) -> socket.socket:
        name, port = self.host.split(":")
        return socket.create_connection((name, int(port)), DEADLINE_S)

    def knock(self, request: str | bytes) -> str:
        """What is answered to `request`; "" where the door is shut."""
        try:
            with self.open() as connection:
                connection.sendall(request.encode() if isinstance(request, str) else request)
                parts = []
                while part := connection.recv(4096):
                    parts.append(part)
                return b"".join(parts).decode()
        except OSError:
            return ""

    def get(self, query: str, *, path: str | None = None, host: str | None = None, method: str = "GET") -> str:
        target = (self.path if path is None else path) + query
        return self.knock(f"{method} {target} HTTP/1.1\r\nHost: {self.host if host is None else host}\r\n\r\n")

    def answer(self) -> dict[str, str] | None:
        self._thread.join(DEADLINE_S)
        return self.found[0]


def test_the_answer_with_our_state_ends_the_wait_and_the_page_shows_nothing_of_it() -> None:
    with Waiting() as door:
        page = door.get(f"?code=the-code&state={STATE}&iss=https%3A%2F%2Fa.example&empty=")
        assert door.answer() == {"code": "the-code", "state": STATE, "iss": "https://a.example", "empty": ""}
    assert page.startswith("HTTP/1.1 200 OK\r\n")
    for header in (
        "Cache-Control: no-store",
        "Referrer-Policy: no-referrer",
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options: nosniff",
    ):
        assert f"\r\n{header}\r\n" in page
    assert "You can close this window" in page
    assert not [part for part in ("the-code", STATE, "a.example") if part in page]


def test_the_address_is_on_this_machine_alone_and_nobody_can_guess_it() -> None:
    with Listener() as one, Listener() as other, Listener("/callback") as named:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{22}", one.redirect_uri)
        assert urlsplit(one.redirect_uri).path != urlsplit(other.redirect_uri).path
        assert urlsplit(named.redirect_uri).path == "/callback"


@pytest.mark.parametrize(
    ("knock", "status"),
    [
        (lambda door: door.get("?code=x&state=wrong"), 400),
        (lambda door: door.get("?code=x"), 400),
        (lambda door: door.get(""), 400),
        (lambda door: door.get(f"?code=x&state={STATE}&state={STATE}"), 400),
        (lambda door: door.get(f"?code=x&code=y&state={STATE}"), 400),
        (lambda door: door.get(f"?state={STATE}&x=%ff"), 400),
        (lambda door: door.get(f"?state={STATE}" + "&x=" * 60), 400),
        (lambda door: door.get(f"?code=x&state={STATE}", path="/"), 404),
        (lambda door: door.get("", path="/favicon.ico"), 404),
        (lambda door: door.get(f"?code=x&state={STATE}", path=f"http://{door.host}{door.path}"), 404),
        (lambda door: door.get(f"?code=x&state={STATE}", method="POST"), 405),
        (lambda door: door.get(f"?code=x&state={STATE}", method="HEAD"), 405),
        (lambda door: door.get(f"?code=x&state={STATE}", host="evil.example"), 421),
        (lambda door: door.get(f"?code=x&state={STATE}", host=f"evil.example:{door.host.split(':')[1]}"), 421),
        (lambda door: door.get(f"?code=x&state={STATE}", host=f"localhost:{door.host.split(':')[1]}"), 421),
        (lambda door: door.get(f"?code=x&state={STATE}", host="127.0.0.1"), 421),
        (lambda door: door.get(f"?code=x&state={STATE}", host=f"{door.host}\r\nHost: evil.example"), 421),
        (lambda door: door.knock(f"GET {door.path}?code=x&state={STATE} HTTP/1.1\r\n\r\n"), 421),
        (lambda door: door.knock(f"GET {door.path}?code=x&state={STATE}\r\n\r\n"), 400),
        (lambda door: door.knock(b"\x16\x03\x01" + b"\0" * 20 + b"\r\n\r\n"), 400),
        (lambda door: door.knock(b"GET /" + b"a" * (loopback.REQUEST_LIMIT - 4)), 400),
    ],
)
def test_what_isnt_the_answer_is_sent_away_and_waited_past(knock: Callable[[Waiting], str], status: int) -> None:
    with Waiting() as door:
        page = knock(door)
        assert page.startswith(f"HTTP/1.1 {status} ")
        assert "evil" not in page
        assert door.get(f"?code=good&state={STATE}").startswith("HTTP/1.1 200")
        answer = door.answer()
        assert answer is not None
        assert answer["code"] == "good"


def test_connections_that_say_nothing_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with Waiting() as door:
        silent = [door.open() for _ in range(loopback.CONNECTIONS + 5)]
        assert door.get(f"?code=good&state={STATE}").startswith("HTTP/1.1 200")
        assert door.answer() is not None
        for connection in silent:
            connection.close()


def test_a_request_that_doesnt_end_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "REQUEST_S", 0.05)
    monkeypatch.setattr(loopback, "_TICK_S", 0.05)
    with Waiting() as door, door.open() as slow:
        slow.sendall(b"GET /")
        assert slow.recv(10) == b""
        with door.open() as gone:
            gone.sendall(b"GET")
        assert door.get(f"?code=good&state={STATE}").startswith("HTTP/1.1 200")
        # (else a thread that hasn't ended yet is knocked at in vain, for as long as the test's limit)
        assert door.answer() is not None


def test_an_answer_in_pieces_is_one_answer() -> None:
    with Waiting() as door, door.open() as connection:
        request = f"GET {door.path}?code=good&state={STATE} HTTP/1.1\r\nHost: {door.host}\r\n\r\n"
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for letter in request:
            connection.send(letter.encode())
        answer = door.answer()
        assert answer is not None
        assert answer["code"] == "good"


def test_nobody_who_comes_is_waited_for_up_to_the_limit_and_the_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "_TICK_S", 0.05)
    left: list[float] = []
    with Listener() as listener:
        assert listener.wait(STATE, limit_s=0.2, passing=left.append) is None
    assert left == sorted(left, reverse=True)
    assert left
    assert max(left) < 0.2


def test_where_nothing_can_listen_the_way_without_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(LoginError, match=r"nothing can listen on 127\.0\.0\.1: permission denied") as caught:
        Listener()
    assert caught.value.hint == "mcpwrap login --device"


def test_a_browser_that_breaks_off_is_forgotten() -> None:
    with Waiting() as door:
        connection = door.open()
        connection.sendall(b"GET /")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()  # with a reset
        assert door.get(f"?code=good&state={STATE}").startswith("HTTP/1.1 200")
        assert door.answer() is not None
