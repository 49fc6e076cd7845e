"""The private empty folder that a server is started in where the policy names none (POLICY.md §2).

A checkout's `node_modules`, `.npmrc` or `sitecustomize.py` aren't run there. What the server leaves in it is kept: a folder that
isn't empty at the end stays, and that is said.
"""

from __future__ import annotations

import os

from mcpwrap.files import ensure_private
from mcpwrap.runtime.proctable import alive


def make(state: str, shim: str) -> str:
    """Make the folder of this run, and clear away empty ones of runs that were killed.

    Raises:
        StateError: it can't be made safely.
    """
    parent = os.path.join(state, "work")
    ensure_private(state)
    ensure_private(parent)
    path = os.path.join(parent, f"{os.getpid()}-{shim}")
    os.mkdir(path, 0o700)
    return path


def sweep(state: str) -> None:
    """Remove empty folders whose run is over."""
    parent = os.path.join(state, "work")
    try:
        names = os.listdir(parent)
    except OSError:
        return
    for name in names:
        pid = name.partition("-")[0]
        if pid.isdigit() and not alive(int(pid)):
            remove(os.path.join(parent, name))


def remove(path: str) -> bool:
    """Remove the folder where it is empty; False where something lies in it."""
    try:
        os.rmdir(path)
    except OSError:
        return not os.path.isdir(path)
    return True
