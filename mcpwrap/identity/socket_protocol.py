"""How a server asks the shim in front of it for a credential (IDENTITY.md §4, `helper`): both ends of `MCPWRAP_TOKEN_SOCKET`.

A connection is one question and one answer, each one line of JSON:

    {"credential": "AGENT_TOKEN"}                                       null: the only one that the server has
    {"token": "eyJ…", "expires_at": 1795762539, "name": "AGENT_TOKEN"}  seconds since the epoch; null: doesn't expire
    {"error": "nobody is signed in at …", "hint": "mcpwrap login acme"}

Both sides look at who is at the other end: another user's process is neither answered nor believed. (A process of the same user is:
nothing on the system keeps those apart.)
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from typing import Final

import msgspec

from mcpwrap.core.visible import spell_out
from mcpwrap.errors import LoginError, StateError

VARIABLE: Final = "MCPWRAP_TOKEN_SOCKET"
QUESTION_LIMIT: Final = 1024
"""Longest question, in bytes: it has the name of one variable."""
ANSWER_LIMIT: Final = 256 * 1024
"""Longest answer, in bytes: a token has at most 64 KiB, each character of a secret may take six."""
TIME_S: Final = 5.0
"""How long one question may take, from connecting to the answer's end. A token is there before it is asked for."""


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which credential is asked for; None for the only one."""

    credential: str | None = None


class Given(msgspec.Struct, frozen=True):
    """A credential."""

    token: str
    expires_at: int | None
    name: str

    def __repr__(self) -> str:
        return f"Given({self.name})"


class Refused(msgspec.Struct, frozen=True):
    """Why there is none: one fact and the remedy."""

    error: str
    hint: str = ""


def encode(message: Question | Given | Refused) -> bytes:
    """One line with its end."""
    return msgspec.json.encode(message) + b"\n"


def decode_question(line: bytes) -> Question:
    """What was asked.

    Raises:
        ValueError: it is no question.
    """
    return msgspec.json.decode(_whole(line, QUESTION_LIMIT), type=Question)


def decode_answer(line: bytes) -> Given | Refused:
    """What was answered.

    Raises:
        ValueError: it is no answer.
    """
    document = msgspec.json.decode(_whole(line, ANSWER_LIMIT))
    if isinstance(document, dict) and "error" in document:
        return msgspec.convert(document, type=Refused)
    return msgspec.convert(document, type=Given)


def is_ours(connection: socket.socket) -> bool:
    """True where the process at the other end of a Unix socket is this user's; False too where the system doesn't say."""
    try:
        return peer(connection)[1] == os.geteuid()
    except (OSError, struct.error):
        return False


def ask(path: str, credential: str | None) -> Given:
    """Ask the shim whose socket is `path`, within `TIME_S` seconds.

    Raises:
        LoginError: it has none, and says why.
        StateError: it can't be asked.
    """
    deadline = time.monotonic() + TIME_S
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(TIME_S)
            connection.connect(path)
            if not is_ours(connection):
                raise StateError(f"`{VARIABLE}` is a socket of another user", hint="start the server through `mcpwrap run`")
            connection.sendall(encode(Question(credential)))
            line = _line(connection, deadline)
    except OSError as error:
        raise _unreachable(str(error.strerror or error).lower()) from error
    try:
        answer = decode_answer(line)
    except ValueError as error:
        raise _unreachable("it gave no answer") from error
    if isinstance(answer, Refused):
        raise LoginError(spell_out(answer.error, limit=500), hint=spell_out(answer.hint, limit=500))
    return answer


def _line(connection: socket.socket, deadline: float) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n") and len(data) <= ANSWER_LIMIT:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("it took too long")
        connection.settimeout(left_s)
        part = connection.recv(64 * 1024)
        if not part:
            break
        data += part
    return bytes(data)


def _whole(line: bytes, limit: int) -> bytes:
    if len(line) > limit or line.find(b"\n") != len(line) - 1:
        raise ValueError("not one line")
    return line


def _unreachable(why: str) -> StateError:
    return StateError(
        f"the mcpwrap that this server was started by can't be asked: {why}",
        hint="it ends with its client; a process that outlives it has no credentials any more",
    )


def peer(connection: socket.socket) -> tuple[int, int]:
    """Process and user at the other end: of a server's socket who listened on it, of a connection who connected; -1 for what the
    system doesn't say.

    Raises:
        OSError: the system can't be asked.
    """
    if sys.platform == "linux":
        return _linux_peer(connection)
    return _bsd_peer(connection)


def _linux_peer(connection: socket.socket) -> tuple[int, int]:
    # struct ucred: pid, uid, gid (unix(7))
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, 17, struct.calcsize("3i")))
    return int(pid), int(uid)


def _bsd_peer(connection: socket.socket) -> tuple[int, int]:
    # LOCAL_PEERCRED of SOL_LOCAL gives a struct xucred, which begins with its version, 0, and the user (sys/ucred.h); LOCAL_PEERPID
    # the process
    version, uid = struct.unpack_from("2I", connection.getsockopt(0, 1, 76))
    (pid,) = struct.unpack("i", connection.getsockopt(0, 2, 4))
    return int(pid), int(uid) if version == 0 else -1
