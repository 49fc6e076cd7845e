"""Files and folders of mcpwrap's own: private, never through a link, replaced as a whole, one writer at a time.

What can't be used safely is a `StateError`; what that means says who asks.
"""
# pathlib costs 5 ms of every start; what is here works on strings and descriptors

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import Final

from mcpwrap.errors import StateError

_POSIX: Final = sys.platform != "win32"

LOCK_S: Final = 2.0
"""How long a folder's lock is waited for. Ours is held for milliseconds; a session stands still meanwhile, its end included."""

_PAUSE_S: Final = 0.01


class Locked(StateError):
    """Another program holds a folder's lock, and nothing was done."""


def ensure_private(path: str) -> None:
    """Make the folder `path` (mode 0700, parents too) or check that the one there is this user's alone.

    Raises:
        StateError: it is a link, no folder, another user's, writable for others, or can't be made.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except FileExistsError as error:
        raise StateError(f"`{path}` is no folder", hint=f"move it away: mv {path} {path}.old") from error
    except OSError as error:
        raise StateError(f"`{path}` can't be made: {reason(error)}", hint="make its parent folder writable for you") from error
    check_private(path)


def check_private(path: str) -> None:
    """Check that the folder `path` is this user's alone.

    Raises:
        StateError: it is a link, no folder, another user's, writable for others, or isn't there.
    """
    try:
        found = os.lstat(path)
    except OSError as error:
        raise StateError(f"`{path}` can't be looked at: {reason(error)}") from error
    if stat.S_ISLNK(found.st_mode):
        raise StateError(f"`{path}` is a link", hint="put a real folder in its place; a link could be turned elsewhere")
    if not stat.S_ISDIR(found.st_mode):
        raise StateError(f"`{path}` is no folder", hint=f"move it away: mv {path} {path}.old")
    if not _POSIX:
        return  # NOTE: access lists aren't looked at; the profile's folders are the user's own there
    if found.st_uid != os.geteuid():
        raise StateError(f"`{path}` belongs to another user", hint=f"chown it to yourself, or move it away: mv {path} {path}.old")
    if found.st_mode & 0o022:
        raise StateError(f"`{path}` is writable for others", hint=f"chmod 700 {path}")


def lies_in(path: str, root: str) -> bool:
    """True where the absolute `path` is `root` or below it; both as they stand, no link is resolved."""
    return path == root or path.startswith(root if root.endswith(os.sep) else root + os.sep)


def read_private(path: str, limit: int) -> bytes:
    """The bytes of the file `path`, at most `limit` of them; it must be a plain file of this user's that nobody else can write.

    Raises:
        StateError: it can't be read safely.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        fd = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise StateError(reason(error)) from error
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
        raise StateError(reason(error)) from error
    finally:
        os.close(fd)
    return b"".join(parts)


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """One writer at a time in `folder`.

    Raises:
        Locked: another program has it for longer than `LOCK_S`.
        StateError: it can't be opened.
    """
    if sys.platform == "win32":
        yield  # NOTE: no lock there; two answers at once would only share a generation
        return
    import fcntl  # noqa: PLC0415 - not on Windows

    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise StateError(f"`{folder}` can't be opened: {reason(error)}") from error
    try:
        # not without a limit: any program of the user can hold it, and a shim that waits sees neither EOF nor signals
        until = monotonic() + LOCK_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() >= until:
                    raise Locked(
                        f"`{folder}` is locked by another program", hint=f"see which one it is: fuser -v {folder}"
                    ) from None
            except OSError as error:
                raise StateError(f"`{folder}` can't be locked: {reason(error)}") from error
            sleep(_PAUSE_S)
        yield
    finally:
        os.close(fd)


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


@contextmanager
def replaced(path: str, data: bytes, limit: int) -> Iterator[None]:
    """As `replace`; where the block raises StateError, what was there (at most `limit` bytes of it) comes back.

    Raises:
        OSError: it can't be written.
    """
    before: bytes | None = None
    with suppress(StateError):
        before = read_private(path, limit)
    replace(path, data)
    try:
        yield
    except StateError:
        with suppress(OSError):
            if before is None:
                os.unlink(path)
            else:
                replace(path, before)
        raise


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


def reason(error: OSError) -> str:
    """What the system says, in lower case."""
    return (error.strerror or str(error)).lower()
