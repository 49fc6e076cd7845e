"""Both ends of the socket by which a server asks for its token."""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcpwrap.errors import LoginError, StateError
from mcpwrap.identity import socket_protocol as protocol
from mcpwrap.identity.socket_protocol import Given, Question, Refused, ask, decode_answer, decode_question, encode

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="Unix sockets")

Answering = Callable[[bytes], None]


@pytest.fixture
def shim(tmp_path: Path) -> Iterator[Callable[..., tuple[str, list[bytes]]]]:
    """Listens, and answers the next question with these bytes; the path, and what was asked."""
    threads: list[threading.Thread] = []
    sockets: list[socket.socket] = []

    def listen(*answer: bytes, close: bool = True) -> tuple[str, list[bytes]]:
        path, asked = str(tmp_path / f"socket{len(sockets)}"), []
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen()
        sockets.append(listener)

        def serve() -> None:
            connection, _ = listener.accept()
            sockets.append(connection)
            with connection.makefile("rb") as reader:
                asked.append(reader.readline())
            try:
                for part in answer:
                    connection.sendall(part)
            except OSError:
                pass
            if close:
                connection.close()

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return path, asked

    yield listen
    for thread in threads:
        thread.join(timeout=10)
    for each in sockets:
        each.close()


def test_a_credential_is_asked_for_and_given(shim: Callable[..., tuple[str, list[bytes]]]) -> None:
    path, asked = shim(b'{"token": "x", "expires_at": 17, "name": "AGENT', b'_TOKEN"}\n')
    assert ask(path, "AGENT_TOKEN") == Given("x", 17, "AGENT_TOKEN")
    assert asked == [b'{"credential":"AGENT_TOKEN"}\n']


def test_a_refusal_has_its_remedy_and_nothing_that_a_terminal_obeys(shim: Callable[..., tuple[str, list[bytes]]]) -> None:
    path, asked = shim(encode(Refused("nobody is signed in\x1b[2J", "mcpwrap login acme\x1b[2J")))
    with pytest.raises(LoginError) as refused:
        ask(path, None)
    assert str(refused.value).startswith("nobody is signed in")
    assert "\x1b" not in str(refused.value) + refused.value.hint
    assert refused.value.hint.startswith("mcpwrap login acme")
    assert asked == [b'{"credential":null}\n']


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[]\n",
        b'{"token": "x"}\n',
        b'{"token": "x", "expires_at": 1.5, "name": "A"}\n',
        b'{"token": "x", "expires_at": 1, "name": "A"}',
        b'{"token": "x", "expires_at": 1, "name": "A"}\n{}\n',
        b'{"error": 7}\n',
        b"\xff\n",
        b"x" * (protocol.ANSWER_LIMIT + 2),
    ],
    ids=range(11),
)
def test_what_is_no_answer_is_an_error(shim: Callable[..., tuple[str, list[bytes]]], answer: bytes) -> None:
    path, _ = shim(answer)
    with pytest.raises(StateError, match="can't be asked"):
        ask(path, None)


def test_an_answer_that_does_not_come_is_not_waited_for(
    shim: Callable[..., tuple[str, list[bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "TIME_S", 0.05)
    path, _ = shim(b'{"token":', close=False)
    with pytest.raises(StateError, match="can't be asked"):
        ask(path, None)


def test_an_answer_that_drips_is_not_waited_for(
    shim: Callable[..., tuple[str, list[bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = iter([0.0, 1.0, protocol.TIME_S + 1])
    monkeypatch.setattr("mcpwrap.identity.socket_protocol.time.monotonic", lambda: next(at))
    path, _ = shim(b"{", close=False)
    with pytest.raises(StateError, match="took too long"):
        ask(path, None)


def test_nobody_listening_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no such file") as error:
        ask(str(tmp_path / "gone"), None)
    assert "ends with its client" in error.value.hint


def test_another_users_socket_is_not_asked(shim: Callable[..., tuple[str, list[bytes]]], monkeypatch: pytest.MonkeyPatch) -> None:
    path, asked = shim(encode(Given("x", None, "A")))
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)
    with pytest.raises(StateError, match="another user"):
        ask(path, None)
    assert asked in ([], [b""])


def test_both_ends_of_a_socket_know_whose_the_other_is(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = socket.socketpair(socket.AF_UNIX)
    with one, two:
        assert protocol.is_ours(one)
        assert protocol.peer(two) == (os.getpid(), os.geteuid())
    assert not protocol.is_ours(one)


def test_where_the_system_is_bsds_its_own_structure_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    # sys/ucred.h: cr_version, cr_uid, cr_ngroups, cr_groups[16]
    class Peer:
        def __init__(self, version: int, uid: int) -> None:
            self._credentials = struct.pack("2Ih2x16I", version, uid, 0, *[0] * 16)

        def getsockopt(self, level: int, option: int, size: int) -> bytes:
            assert level == 0
            return {1: self._credentials[:size], 2: struct.pack("i", 77)}[option]

    monkeypatch.setattr(sys, "platform", "darwin")
    assert protocol.peer(Peer(0, 501)) == (77, 501)  # type: ignore[arg-type]
    assert protocol.peer(Peer(1, 501)) == (77, -1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b'{"credential": 7}\n', b'{"credential": null, "more": 1}\n', b"[]\n", b"\n", b"{}\n{}\n", b" " * 2000 + b"{}\n"],
    ids=range(8),
)
def test_what_is_no_question_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode_question(line)


def test_what_is_said_comes_out_as_it_went_in_and_shows_nothing() -> None:
    for question in (Question(), Question("A")):
        assert decode_question(encode(question)) == question
    for answer in (Given("t", 5, "A"), Given("t", None, "A"), Refused("why", "hint")):
        assert decode_answer(encode(answer)) == answer
    assert repr(Given("s3cret", 5, "A")) == "Given(A)"
