"""The private folder of one run, for what its server reads: token files and the socket (IDENTITY.md §2 and §4).

It lies in the user's runtime folder (``/run/user/UID``, in memory) where there is one, else below our own state. A Unix socket's
path has at most some 100 bytes; where the folder is deeper, the socket lies in one of its own in the temporary folder, 0700, with a
random name: nobody can know or prepare it.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from typing import Final

from mcpwrap.errors import StateError
from mcpwrap.files import check_private, ensure_private, reason
from mcpwrap.runtime.proctable import alive

SOCKET_PATH_LIMIT: Final = 100
"""Longest path of a socket, in bytes: `sun_path` holds 108 on Linux and 104 on macOS."""

SOCKET: Final = "socket"


def make(state: str, shim: str) -> str:
    """Make the folder of this run.

    Raises:
        StateError: it can't be made safely.
    """
    parent = _parent(state)
    ensure_private(parent)
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
    """Take the folder away with the files in it; it has no folders."""
    with suppress(OSError):
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
    with suppress(OSError):
        os.rmdir(folder)


def sweep(state: str) -> None:
    """Take away what runs left that were killed: the tokens in it are short-lived, but nobody needs them any more."""
    parent = _parent(state)
    try:
        check_private(parent)
        names = os.listdir(parent)
    except (StateError, OSError):
        return
    for name in names:
        pid = name.partition("-")[0]
        if pid.isdigit() and not alive(int(pid)):
            remove(os.path.join(parent, name))


def _parent(state: str) -> str:
    # not XDG_RUNTIME_DIR: a client's file can set it
    runtime = f"/run/user/{os.getuid()}"
    with suppress(StateError):
        check_private(runtime)
        return os.path.join(runtime, "mcpwrap")
    return os.path.join(state, "run")
