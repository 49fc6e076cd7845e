"""What a record file is called, where it lies and how it is opened; known to the writer, the reader and the pruning
alike.

A run of the shim writes ``<UTC date>T<time>-<shim>.jsonl`` with mode 0600 in a folder with mode 0700. A name tells when
the file was opened, so that a reader can leave files unopened until their time comes.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from pathlib import Path
from typing import Final

from mcpwrap.errors import StateError

RECORD_LIMIT: Final = 96 * 1024 * 1024
"""Longest record in bytes, its line feed included: a line on the wire has at most 64 MiB, the rest is room for
redaction and for what we add. The writer refuses a longer one, so that the reader may take a longer line for junk."""

SHIM: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""The id of a run; it becomes a part of a file name."""

_NAME: Final = re.compile(rf"(\d{{4}})-(\d\d)-(\d\d)T(\d{{6}})-{SHIM.pattern}\.jsonl", re.ASCII)

_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)  # the three don't exist on Windows
_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)
_NONBLOCK: Final = getattr(os, "O_NONBLOCK", 0)
_BINARY: Final = getattr(os, "O_BINARY", 0)  # and this one exists only there


class AuditError(StateError):
    """A record can't be written; what it would permit must be refused."""


def file_name(seconds: float, shim: str) -> str:
    """The name of a file that `shim` opens at `seconds` (since the epoch)."""
    return time.strftime("%Y-%m-%dT%H%M%S", time.gmtime(seconds)) + f"-{shim}.jsonl"


def stamp(seconds: float) -> str:
    """`seconds` since the epoch as a record's ``time``: RFC 3339, UTC, milliseconds. Clamped to the years 1970 to
    9999."""
    seconds = min(max(seconds, 0.0), 253_402_300_799.0)
    milliseconds = round(seconds * 1_000_000) // 1000  # a time that was read from a text may lie just below its millisecond
    whole, rest = divmod(milliseconds, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{rest:03d}Z"


def opened_at(name: str) -> str | None:
    """The ``time`` that no record in the file `name` lies before; None where it isn't a record file's name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    year, month, day, clock = match.groups()
    return f"{year}-{month}-{day}T{clock[:2]}:{clock[2:4]}:{clock[4:]}.000Z"


def create(folder: str, name: str) -> int:
    """Make the file `name` in `folder`, which is made where it is missing, and return a descriptor that appends to it.

    Raises:
        AuditError: the folder is a link, or somebody else can write in it.
        OSError: the file exists already (a link counts), or can't be made.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _CLOEXEC | _BINARY
    _make_folder(Path(folder))
    if sys.platform == "win32":  # no modes and no descriptors of folders there: the profile's access list protects both
        return os.open(Path(folder) / name, flags, 0o600)
    where = _open_folder(folder)
    try:
        return os.open(name, flags, 0o600, dir_fd=where)
    finally:
        os.close(where)


def _make_folder(folder: Path) -> None:
    missing = []
    while not folder.exists() and not folder.is_symlink():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)


def _open_folder(folder: str) -> int:
    try:
        where = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _NOFOLLOW | _CLOEXEC)
    except NotADirectoryError as error:
        raise AuditError(
            f"`{folder}` isn't a folder of its own",
            hint=f"a link or a file is in its place; look at it, then `rm {folder}`",
        ) from error
    try:
        found = os.fstat(where)
        if found.st_uid != os.geteuid():
            raise AuditError(f"`{folder}` belongs to another user", hint=f"move it away: `mv {folder} {folder}.old`")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise AuditError(f"others can write in `{folder}`", hint=f"look at what lies there, then `chmod 700 {folder}`")
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            os.fchmod(where, 0o700)
    except BaseException:
        os.close(where)
        raise
    return where


def open_to_read(path: str) -> int:
    """A descriptor that reads a record file; neither a link nor a pipe in its place holds the reader up.

    Raises:
        OSError: it isn't a regular file, or can't be read.
    """
    descriptor = os.open(path, os.O_RDONLY | _NOFOLLOW | _NONBLOCK | _CLOEXEC | _BINARY)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"`{path}` isn't a regular file")
    return descriptor
