"""Files of mcpwrap's own that are sealed: one file a record, 0600 in a 0700 folder, replaced atomically.

What can't be read, is another user's, or may be written by others is a `StateError`; what that means says who reads.
"""
# pathlib costs 5 ms of every start

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import msgspec

from mcpwrap.errors import StateError

_T = TypeVar("_T")


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file: the key of the record (a project's root), and what the seal made of it."""

    project: str
    sealed: bytes


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """One writer at a time in `folder`."""
    if sys.platform == "win32":
        yield  # NOTE: no lock there; two answers at once would only share a generation
        return
    import fcntl  # noqa: PLC0415 - not on Windows

    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def open_envelope(path: str, limit: int) -> Envelope:
    """The record at `path`, of at most `limit` bytes.

    Raises:
        StateError: it can't be read safely.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        fd = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise StateError((error.strerror or str(error)).lower()) from error
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise StateError("it is no plain file")
        if sys.platform != "win32" and (found.st_uid != os.geteuid() or found.st_mode & 0o022):
            raise StateError("others can write it")
        if found.st_size > limit:
            raise StateError("it is too long")
        parts: list[bytes] = []
        left = limit + 1
        while left > 0 and (part := os.read(fd, left)):
            parts.append(part)
            left -= len(part)
    except OSError as error:
        raise StateError((error.strerror or str(error)).lower()) from error
    finally:
        os.close(fd)
    return decode(b"".join(parts), Envelope)


def decode(data: bytes, kind: type[_T]) -> _T:
    """`data` as a `kind`.

    Raises:
        StateError: it is none.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    # msgspec's errors are ValueErrors, and so is what bad UTF-8 gives
    except (ValueError, RecursionError) as error:
        raise StateError("it can't be read, or another version of mcpwrap wrote it") from error


def replace(path: str, data: bytes, mode: int = 0o600) -> None:
    """Put `data` in place of what is at `path`, durably, or leave that there. `mode` is that of the new file.

    Raises:
        OSError: it can't be written.
    """
    temporary = f"{path}.{os.urandom(8).hex()}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    fd = os.open(temporary, flags | getattr(os, "O_CLOEXEC", 0), mode)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(os.path.dirname(path))


def sync_folder(folder: str) -> None:
    """Have the names in `folder` written to the disk."""
    if sys.platform == "win32":
        return  # a folder can't be opened there
    with suppress(OSError):  # some file systems can't; the record itself is on the disk
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
