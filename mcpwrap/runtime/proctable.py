"""Which processes descend from one: from /proc on Linux, from libproc on macOS.

With a sub-reaper (Linux) the chain of parents is complete: an orphan's parent is the reaper. Without one a daemon's
chain is cut, so members of the server's session count too; what made a session of its own *and* lost its parent is
not found.
"""

from __future__ import annotations

import os
import sys

# No dataclass: this is imported before the fork, and dataclasses would double what is copied.
Row = tuple[int, int, int]
"""Process, parent, session."""

_DEEPEST = 512
"""Generations that are followed; trees are some ten deep, and a table that changes while it is read could be a circle."""


def descendants(root: int, session: int = 0) -> set[int]:
    """All living processes below ``root``, and all of ``session`` (0: none) with what is below them; not ``root``."""
    rows = _rows()
    below: dict[int, list[int]] = {}
    for pid, parent, _ in rows:
        below.setdefault(parent, []).append(pid)
    found: set[int] = set()
    waiting = list(below.get(root, ()))
    waiting.extend(pid for pid, _, its in rows if session and its == session)
    while waiting:
        pid = waiting.pop()
        if pid not in found and pid != root:
            found.add(pid)
            waiting.extend(below.get(pid, ()))
    return found


def children(root: int) -> set[int]:
    """The children of ``root``, a process of one thread; the dead that wait to be reaped may be among them."""
    try:
        with open(f"/proc/{root}/task/{root}/children", "rb", buffering=0) as file:
            return {int(pid) for pid in file.readall().split()}
    except OSError:  # not Linux, or a kernel without it
        return {pid for pid, parent, _ in _rows() if parent == root}


def foreign_children(root: int, session: int) -> set[int]:
    """The children of ``root`` that aren't of ``session``, and all that is below them."""
    found: set[int] = set()
    for pid, parent, its in _rows():
        if parent == root and its != session:
            found.add(pid)
            found |= descendants(pid)
    return found


def is_below(pid: int, root: int) -> bool:
    """True where `pid` is `root` or descends from it."""
    parents = {row[0]: row[1] for row in _rows()}
    for _ in range(_DEEPEST):
        if pid == root:
            return True
        if pid not in parents:
            return False
        pid = parents[pid]
    return False


def alive(pid: int) -> bool:
    """True where there is a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _rows() -> list[Row]:
    return _libproc() if sys.platform == "darwin" else _proc()


def _proc() -> list[Row]:
    """Every process of /proc; none where it isn't mounted. Dead ones that only wait to be reaped are left out."""
    rows: list[Row] = []
    try:
        names = os.listdir("/proc")
    except OSError:
        return rows
    for name in names:
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb", buffering=0) as file:
                line = file.read(4096) or b""
        except OSError:  # gone meanwhile
            continue
        # The name in parentheses may hold anything, ") Z 1" included: fields count from the last parenthesis.
        fields = line.rpartition(b")")[2].split()
        # A dead main thread looks like a dead process, while other threads run on (field 20: the threads).
        if len(fields) > 17 and not (fields[0] in b"ZX" and int(fields[17]) <= 1):
            rows.append((int(name), int(fields[1]), int(fields[3])))
    return rows


def _libproc() -> list[Row]:
    """Every process of this user on macOS (libproc.h: proc_listallpids, proc_pidinfo with PROC_PIDTBSDINFO)."""
    import ctypes  # noqa: PLC0415 (late on purpose)

    libproc = ctypes.CDLL("/usr/lib/libproc.dylib")
    count = libproc.proc_listallpids(None, 0)
    pids = (ctypes.c_int * (count + 256))()  # room for those born between the two calls
    count = libproc.proc_listallpids(pids, ctypes.sizeof(pids))
    info = (ctypes.c_uint32 * 34)()  # struct proc_bsdinfo, 136 bytes: the second is the status, the fifth the parent
    rows: list[Row] = []
    for pid in pids[: max(count, 0)]:
        if libproc.proc_pidinfo(pid, 3, ctypes.c_uint64(0), info, ctypes.sizeof(info)) != ctypes.sizeof(info):
            continue
        try:
            session = os.getsid(pid)
        except OSError:
            continue
        if info[1] != 5:  # SZOMB
            rows.append((pid, info[4], session))
    return rows
