"""Bytes to lines: MCP's stdio framing, one JSON-RPC message a line (MCP 2026-07-28, basic/transports/stdio).

The only place that knows how messages are cut apart, so that another framing can take its place.
"""

from __future__ import annotations

from typing import Final

LINE_LIMIT: Final = 64 * 1024 * 1024
"""Longest line in bytes (POLICY.md §7). The specification sets none; without one a peer could fill the memory."""


class FramingError(Exception):
    """A line passed `LINE_LIMIT`; the session can't go on, since the rest of that line can't be told from the next."""


class LineReader:
    """Collects bytes and gives whole lines, without their line feed. Never holds more than `limit` bytes and one read."""

    __slots__ = ("_held", "_limit")

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take `data` in and return the lines that it completes.

        Raises:
            FramingError: a line is longer than the limit.
        """
        if not self._held and len(data) <= self._limit and data.find(b"\n") == len(data) - 1 and data:
            return [data[:-1]]  # the usual case: one whole line
        lines = data.split(b"\n")
        rest = lines.pop()
        if lines and self._held:
            self._held += lines[0]
            lines[0] = bytes(self._held)
            self._held = bytearray()
        self._held += rest
        if len(self._held) > self._limit or any(len(line) > self._limit for line in lines):
            raise FramingError(f"a line is longer than {self._limit} bytes")
        return lines

    def finish(self) -> bytes:
        """What came after the last line feed, at the end of the stream ("" where nothing did)."""
        rest = bytes(self._held)
        self._held = bytearray()
        return rest
