"""The private folder of one run, for what its server reads: token files and the socket (IDENTITY.md §2 and §4).

It lies in the user's runtime folder (``/run/user/UID``, in memory) where there is one, else below our own state. A Unix socket's
path has at most some 100 bytes; where the folder is deeper, the socket lies in one of its own in the temporary folder, 0700, with a
random name: nobody can know or prepare it.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from contextlib import suppress
from typing import Final

from mcpwrap.errors import StateError
from mcpwrap.files import check_private, ensure_private, reason
from mcpwrap.runtime.proctable import alive

SOCKET_PATH_LIMIT: Final = 100
"""Longest path of a socket, in bytes: `sun_path` holds 108 on Linux and 104 on macOS."""

SOCKET: Final = "socket"

_OF_RUN: Final = re.compile(r"([0-9]{1,9})-")
"""A run's folder begins with its process; none has more digits, and the system takes no number beyond."""


def make(state: str, shim: str) -> str:
    """Make the folder of this run.

    Raises:
        StateError: it can't be made safely.
    """
    parent = _parent(state)
    ensure_private(parent)
    sweep(state)
    path = os.path.join(parent, f"{os.getpid()}-{shim}")
    try:
        os.mkdir(path, 0o700)
    except OSError as error:
        raise StateError(f"`{path}` can't be made: {reason(error)}") from error
    return path


def socket_path(folder: str) -> str:
    """Where the socket of the run with this folder lies.

    Raises:
        StateError: no folder for it can be made.
    """
    path = os.path.join(folder, SOCKET)
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    try:
        return os.path.join(tempfile.mkdtemp(prefix="mcpwrap-"), SOCKET)
    except OSError as error:
        raise StateError(f"no folder can be made for the token socket: {reason(error)}") from error


def remove(folder: str) -> None:
    """Take the folder away with the files in it; it has no folders. A link in its place goes, and not what it leads to."""
    with suppress(OSError):
        fd = _opened(os.path.dirname(folder))
        try:
            _remove(os.path.basename(folder), fd)
        finally:
            os.close(fd)


def sweep(state: str) -> None:
    """Take away what runs left that were killed: the tokens in it are short-lived, but nobody needs them any more."""
    parent = _parent(state)
    try:
        check_private(parent)
        fd = _opened(parent)
    except (StateError, OSError):
        return
    try:
        for name in os.listdir(fd):
            if (run := _OF_RUN.match(name)) and not alive(int(run[1])):
                with suppress(OSError):
                    _remove(name, fd)
    finally:
        os.close(fd)


def _remove(name: str, parent: int) -> None:
    if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=parent)
        return
    # (by descriptor: what was a folder a moment ago may be a link by now)
    fd = _opened(name, parent)
    try:
        if os.fstat(fd).st_uid != os.geteuid():
            return
        for each in os.listdir(fd):
            with suppress(OSError):
                os.unlink(each, dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent)


def _opened(folder: str, parent: int | None = None) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)


def _parent(state: str) -> str:
    # not XDG_RUNTIME_DIR: a client's file can set it
    runtime = f"/run/user/{os.getuid()}"
    with suppress(StateError):
        check_private(runtime)
        return os.path.join(runtime, "mcpwrap")
    return os.path.join(state, "run")
