"""Locks between processes: who may renew what (IDENTITY.md §2, "single-flight across processes").

A lock is held on an open file, so the system takes it away with the process that held it, however that one ended: a holder that is
killed blocks nobody. Waiting is bounded: the system's calls that wait can't be given a limit, so the lock is tried again and again.

The file's content is a note for the next holder (when a provider may be asked again). It is no secret and isn't believed further
than an advice may be.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from mcpwrap.errors import StateError
from mcpwrap.files import ensure_private, reason

NOTE_LIMIT: Final = 4096
"""Longest note, in bytes."""

_FIRST_S: Final = 0.002
_LONGEST_S: Final = 0.05
"""How long is waited between two tries: at first and at most. The most is what a waiter can lose after a holder let go."""

_WINDOWS_AT: Final = 1 << 30
"""The byte that is locked on Windows, where a locked byte can't be read: far behind any note."""


class Busy(StateError):
    """Another process held the lock for as long as could be waited."""


class Held:
    """A lock that is held, and its note."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def note(self) -> bytes:
        """What the last holder wrote; b"" where nobody did."""
        os.lseek(self._fd, 0, os.SEEK_SET)
        return os.read(self._fd, NOTE_LIMIT)

    def write(self, note: bytes) -> None:
        """Leave `note` to the next holder. A disk that is full is no reason to fail: it is an advice."""
        with suppress(OSError):
            os.lseek(self._fd, 0, os.SEEK_SET)
            os.truncate(self._fd, 0)
            os.write(self._fd, note[:NOTE_LIMIT])


@contextmanager
def held(path: str, wait_s: float) -> Iterator[Held]:
    """Hold the lock whose file is `path`, in a private folder that is made where it is missing.

    Raises:
        Busy: somebody else held it for `wait_s` seconds.
        StateError: the file can't be used.
    """
    ensure_private(os.path.dirname(path))
    deadline = time.monotonic() + wait_s
    pause_s = _FIRST_S
    while (fd := _taken(path)) is None:
        if time.monotonic() >= deadline:
            raise Busy("another process has been at it for too long")
        time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret: only not all at once
        pause_s = min(2 * pause_s, _LONGEST_S)
    try:
        yield Held(fd)
    finally:
        os.close(fd)  # and with it the lock


def _taken(path: str) -> int | None:
    """The open file, locked; None where another has it."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        raise StateError(f"`{path}` can't be opened: {reason(error)}") from error
    try:
        # a file that was taken away and made anew meanwhile is another lock
        if _try_lock(fd) and _is_at(fd, path):
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    except OSError:
        return False


def _flock(fd: int) -> bool:
    import fcntl  # noqa: PLC0415 - not on Windows

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _msvcrt(fd: int) -> bool:
    import msvcrt  # noqa: PLC0415 - on Windows only

    os.lseek(fd, _WINDOWS_AT, os.SEEK_SET)
    try:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except OSError:
        return False
    return True


_try_lock = _msvcrt if sys.platform == "win32" else _flock
