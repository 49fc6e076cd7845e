"""Lines of a record file, forwards and backwards, in bounded memory.

Both give whole lines with their line feed. A piece without one is what stands behind the last line feed: the torn line
of a shim that was killed while it wrote, or one that is being written now. None stands for a piece longer than any
record.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

from mcpwrap.audit.record import RECORD_LIMIT

BLOCK: Final = 64 * 1024
"""Bytes that are read at once on the way backwards."""


def forwards(file: BinaryIO, start: int = 0, *, limit: int = RECORD_LIMIT) -> Iterator[tuple[bytes | None, int]]:
    """The pieces from the byte `start` on, each with the position behind it."""
    file.seek(start)
    position = start
    while piece := file.readline(limit):
        position += len(piece)
        # what follows an over-long piece is its rest, and comes out as one line more that is no record
        yield (None if len(piece) == limit and not piece.endswith(b"\n") else piece), position


def backwards(file: BinaryIO, end: int, *, limit: int = RECORD_LIMIT) -> Iterator[bytes | None]:
    """The pieces before the byte `end`, the last first. The first that comes is what stands behind the last line feed
    (b"" for nothing)."""
    pending: list[bytes] = []  # the blocks of a line whose beginning isn't reached yet, the last first
    size = 0
    too_long = False
    ending = b""
    position = end
    while position > 0:
        step = min(BLOCK, position)
        position -= step
        file.seek(position)
        parts = file.read(step).split(b"\n")
        while len(parts) > 1:
            yield None if too_long else b"".join([parts.pop(), *reversed(pending), ending])
            if too_long:
                parts.pop()
            pending, size, too_long, ending = [], 0, False, b"\n"
        pending.append(parts[0])
        size += len(parts[0])
        if size > limit:
            pending, too_long = [], True
    yield None if too_long else b"".join([*reversed(pending), ending])
