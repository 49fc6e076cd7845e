"""How long records are kept: 90 days or 500 MB, whichever ends first (POLICY.md §6)."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from mcpwrap.audit.record import open_to_read, opened_at

if sys.platform != "win32":
    import fcntl

DAYS: Final = 90
BYTES: Final = 500_000_000
DAY_S: Final = 86_400.0


class Pruned(msgspec.Struct, frozen=True):
    """What was removed: number of files and their bytes."""

    files: int
    bytes: int


def claim(descriptor: int) -> None:
    """Mark an open record file as one of a living shim; the mark goes when its descriptor is closed, by kill -9 too.

    A file system without locks can't be marked; there `prune` can't take a lock either and leaves every file alone.
    """
    if sys.platform != "win32":  # there an open file can't be removed anyway
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def prune(folder: str, *, days: float = DAYS, bytes: int = BYTES, clock: Callable[[], float] = time.time) -> Pruned:
    """Remove record files whose last record is older than `days`, then the oldest until at most `bytes` are left.

    A file that a living shim writes counts but stays, and what isn't a record file is never touched. Never raises over
    a file or a folder that can't be read: the rest is done.
    """
    found: list[tuple[float, str, int]] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if opened_at(entry.name) and entry.is_file(follow_symlinks=False):
                    info = entry.stat(follow_symlinks=False)
                    found.append((info.st_mtime, entry.path, info.st_size))
    total = sum(size for _, _, size in found)
    oldest = clock() - days * DAY_S
    files = removed = 0
    for changed, path, size in sorted(found):
        if changed >= oldest and total <= bytes:
            break
        if _remove_unless_claimed(path):
            files += 1
            removed += size
            total -= size
    return Pruned(files, removed)


def _remove_unless_claimed(path: str) -> bool:
    try:
        descriptor = open_to_read(path)
    except OSError:
        return False
    try:
        if sys.platform != "win32":
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            Path(path).unlink()
    except OSError:
        return False
    finally:
        os.close(descriptor)
    if sys.platform == "win32":  # ours must be closed first; one that a shim has open refuses
        with contextlib.suppress(OSError):
            Path(path).unlink()
        return not Path(path).exists()
    return True
