"""What the shim and its guardian say to each other: a kind (one byte), a length (four, big-endian), the payload.

The fields of a payload are joined by NUL, which neither an argument nor a variable can hold: no parser to import,
nothing to escape. Names and values that aren't UTF-8 survive (`os.fsencode`).
"""

from __future__ import annotations

import os

FRAME_LIMIT = 8 * 1024 * 1024
"""Longest payload in bytes: execve(2) takes 6 MiB of arguments and environment at most."""

# to the guardian
SPAWN = b"S"  # a working folder, the number of arguments, the arguments, the environment; three descriptors ride along
REFUSE = b"R"  # a message to come back as FAILED: what can't be spawned fails by the same way as what could
SIGNAL = b"G"  # a signal's number
KILL = b"K"
SHUTDOWN = b"D"  # seconds until SIGTERM, seconds until SIGKILL
# from the guardian
STARTED = b"s"  # a process id
FAILED = b"f"  # a message
EXITED = b"x"  # an exit code, negative for a signal

_HEADER = 5


def frame(kind: bytes, *fields: str) -> bytes:
    """One message; ValueError when it is over `FRAME_LIMIT` or a field holds a NUL."""
    raw = [os.fsencode(field) for field in fields]
    if any(b"\0" in field for field in raw):
        raise ValueError("an argument or a variable holds a NUL character")
    payload = b"\0".join(raw)
    if len(payload) > FRAME_LIMIT:
        raise ValueError("argument list too long")
    return kind + len(payload).to_bytes(4, "big") + payload


def take(buffer: bytearray) -> tuple[bytes, list[str]] | None:
    """Take the first whole message off ``buffer``: its kind and fields, or None. ValueError: over `FRAME_LIMIT`."""
    if len(buffer) < _HEADER:
        return None
    size = int.from_bytes(buffer[1:_HEADER], "big")
    if size > FRAME_LIMIT:
        raise ValueError("a message is over its limit")
    end = _HEADER + size
    if len(buffer) < end:
        return None
    kind, payload = bytes(buffer[:1]), bytes(buffer[_HEADER:end])
    del buffer[:end]
    return kind, [os.fsdecode(field) for field in payload.split(b"\0")]
