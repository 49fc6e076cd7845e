"""File descriptors as the pump uses them: reading that can pause, writing that never blocks.

A write goes straight to the descriptor while it takes it and to a buffer when it doesn't; above `HIGH_WATER` the pump stops reading
from where the data come, so that a slow peer makes the other one wait instead of making the shim grow. Regular files and
``/dev/null`` can't be watched by the system's selector: reading them goes through a thread, writing them never blocks.
"""

from __future__ import annotations

import os
import select
import stat
import threading
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

HIGH_WATER: Final = 1024 * 1024
"""Bytes waiting to be written above which reading stops."""

LOW_WATER: Final = 256 * 1024
"""Bytes waiting below which reading goes on."""

HARD_LIMIT: Final = 128 * 1024 * 1024
"""Bytes waiting above which a peer counts as gone: two of the longest lines. Only a flooding server that never reads gets there."""

_SMALL_READ: Final = 64 * 1024
_LARGE_READ: Final = 1024 * 1024
"""Bytes a read: small ones cost no memory mapping; once one comes back full, the next are large."""

_JOINED: Final = 32 * 1024
"""Bytes up to which lines are copied into one piece for one write; larger ones are written as they are."""

_PIECES: Final = 512
"""Pieces in one write; systems take 1,024 at most (IOV_MAX)."""

_DRAINED: Final = 1024 * 1024
"""Bytes taken in at most when the writer is gone: what a large pipe holds. A descendant that lives on could write for ever."""

_F_SETPIPE_SZ: Final = 1031
"""``fcntl`` operation of Linux (``<fcntl.h>``): the capacity of a pipe in bytes."""


def watchable(fd: int) -> bool:
    """True where the selector can watch `fd`."""
    mode = os.fstat(fd).st_mode
    return not stat.S_ISREG(mode) and not (stat.S_ISCHR(mode) and not os.isatty(fd)) and os.name != "nt"


class Input:
    """Calls `on_data` with what arrives on `fd`, and with ``b""`` at its end."""

    def __init__(self, loop: AbstractEventLoop, fd: int, on_data: Callable[[bytes], None]) -> None:
        self._loop = loop
        self._fd = fd
        self._on_data = on_data
        self._size = _SMALL_READ
        self._reading = False
        self._ended = False
        self._watchable = watchable(fd)
        self._go = threading.Event()
        if self._watchable:
            os.set_blocking(fd, False)
        else:
            threading.Thread(target=self._read_in_thread, daemon=True).start()
        self.resume()

    def pause(self) -> None:
        """Stop reading."""
        if self._reading:
            self._reading = False
            self._go.clear()
            if self._watchable:
                self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Go on reading."""
        if not self._reading and not self._ended:
            self._reading = True
            self._go.set()
            if self._watchable:
                self._loop.add_reader(self._fd, self._ready)

    def drain(self) -> None:
        """Take in what is there already, without waiting."""
        left = _DRAINED
        while left > 0 and not self._ended and self._watchable:
            taken = self._take()
            if not taken:
                return
            left -= taken

    def hung_up(self) -> bool:
        """True where the other end is closed, though nothing is read just now."""
        if not self._watchable or self._ended:
            return False
        poll = select.poll()
        poll.register(self._fd, 0)  # a hang-up is told unasked
        return bool(poll.poll(0))

    def close(self) -> None:
        """Stop for good. The descriptor stays with its owner."""
        self.pause()
        self._ended = True
        self._go.set()

    def _ready(self) -> None:
        self._take()

    def _take(self) -> int:
        try:
            data = os.read(self._fd, self._size)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            data = b""
        self._size = _LARGE_READ if len(data) >= self._size else _SMALL_READ if len(data) < _SMALL_READ else self._size
        self._deliver(data)
        return len(data)

    def _deliver(self, data: bytes) -> None:
        if not data:
            self.close()
        self._on_data(data)

    def _read_in_thread(self) -> None:
        while True:
            self._go.wait()
            if self._ended:
                return
            try:
                data = os.read(self._fd, _SMALL_READ)
            except OSError:
                data = b""
            delivered = threading.Event()
            try:
                self._loop.call_soon_threadsafe(self._hand_over, data, delivered)
            except RuntimeError:
                return  # the loop is closed
            delivered.wait()
            if not data:
                return

    def _hand_over(self, data: bytes, delivered: threading.Event) -> None:
        try:
            self._deliver(data)
        finally:
            delivered.set()


class Output:
    """Writes lines to `fd`. `on_level` is called with True above the high water, with False when it is low again."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        fd: int,
        *,
        on_level: Callable[[bool], None],
        on_broken: Callable[[], None],
        own: bool,
    ) -> None:
        self._loop = loop
        self._fd = fd
        self._on_level = on_level
        self._on_broken = on_broken
        self._own = own
        self._waiting: deque[bytes | memoryview] = deque()
        self._size = 0
        self._full = False
        self._closing = False
        self._closed = False
        self._enlarged = False
        self._watchable = watchable(fd)
        self._was_blocking = os.get_blocking(fd)
        if self._watchable:
            os.set_blocking(fd, False)

    @property
    def empty(self) -> bool:
        """True where nothing waits to be written."""
        return not self._waiting

    def send(self, lines: list[bytes]) -> None:
        """Write `lines`, each with a line feed, now or as soon as the peer takes them."""
        if self._closed or self._closing:
            return
        if len(lines) == 1 and not self._waiting and len(lines[0]) < _JOINED:
            # the usual case, a call or its answer: one piece, one write
            data = lines[0] + b"\n"
            try:
                written = os.write(self._fd, data)
            except (BlockingIOError, InterruptedError):
                written = 0
            except OSError:
                self._break()
                return
            if written < len(data):
                self._wait_with([data], len(data), written)
            return
        self._send_all(lines)

    def _send_all(self, lines: list[bytes]) -> None:
        pieces: list[bytes] = []
        size = 0
        for line in lines:
            size += len(line) + 1
            pieces += (line, b"\n")
        if size <= _JOINED:
            pieces = [b"".join(pieces)]
        elif not self._enlarged:
            self._enlarge()
        if self._waiting:
            self._waiting.extend(pieces)
            self._size += size
        else:
            written = self._write(pieces)
            if written < size:
                self._wait_with(pieces, size, written)
        if self._size > HARD_LIMIT:
            self._break()
        elif self._size > HIGH_WATER and not self._full:
            self._full = True
            self._on_level(True)

    def close(self) -> None:
        """Close once everything was written."""
        self._closing = True
        if not self._waiting:
            self._shut()

    def _enlarge(self) -> None:
        """Ask for a larger pipe, once, when the first large message comes: fewer turns of the loop for each."""
        self._enlarged = True
        try:
            import fcntl  # noqa: PLC0415 - absent on Windows, and only large messages need it

            fcntl.fcntl(self._fd, _F_SETPIPE_SZ, _LARGE_READ)
        except (ImportError, OSError):
            pass  # not a pipe, or the user's share of pipe memory is used up

    def _write(self, pieces: list[bytes] | list[bytes | memoryview]) -> int:
        """Write what the descriptor takes and return how many bytes that was."""
        done = 0
        start = 0
        while start < len(pieces):
            some = pieces[start : start + _PIECES]
            try:
                count = os.write(self._fd, some[0]) if len(some) == 1 else os.writev(self._fd, some)
            except BlockingIOError:
                return done
            except InterruptedError:
                continue
            except OSError:
                self._break()
                return sum(len(p) for p in pieces)
            done += count
            if count < sum(len(p) for p in some):
                if not self._watchable:
                    pieces = self._rest(pieces[start:], count)
                    start = 0
                    continue
                return done
            start += len(some)
        return done

    @staticmethod
    def _rest(pieces: list[bytes] | list[bytes | memoryview], written: int) -> list[bytes | memoryview]:
        rest: list[bytes | memoryview] = []
        for piece in pieces:
            if written >= len(piece):
                written -= len(piece)
                continue
            rest.append(memoryview(piece)[written:] if written else piece)
            written = 0
        return rest

    def _wait_with(self, pieces: list[bytes], size: int, written: int) -> None:
        self._waiting.extend(self._rest(pieces, written))
        self._size = size - written
        self._loop.add_writer(self._fd, self._flush)

    def _flush(self) -> None:
        some = list(islice(self._waiting, _PIECES))
        written = self._write(some)
        if self._closed:
            return
        self._size -= written
        while self._waiting and written >= len(self._waiting[0]):
            written -= len(self._waiting.popleft())
        if written:
            self._waiting[0] = memoryview(self._waiting[0])[written:]
        if not self._waiting:
            self._loop.remove_writer(self._fd)
            if self._closing:
                self._shut()
        if self._full and self._size < LOW_WATER:
            self._full = False
            self._on_level(False)

    def _break(self) -> None:
        if self._waiting:
            self._loop.remove_writer(self._fd)
        self._waiting.clear()
        self._size = 0
        was_full, self._full = self._full, False
        self._shut()
        if was_full:
            self._on_level(False)
        self._loop.call_soon(self._on_broken)

    def _shut(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._own:
            os.close(self._fd)
        elif self._watchable and self._was_blocking:
            # the description may be shared with the shell that started us
            os.set_blocking(self._fd, True)
