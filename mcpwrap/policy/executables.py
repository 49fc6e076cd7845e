"""Which file a command starts, and what of it lies inside the project (POLICY.md §5)."""
# pathlib costs 5 ms of every start

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mcpwrap.policy.project import below

_BLOCK: Final = 1 << 20
"""Read at a time for a digest, in bytes; the file itself may be of any size."""


def search_path(path: str, project_root: str) -> list[str]:
    """The elements of a PATH that count: empty, relative and in-project ones (links resolved too) are left out."""
    return [element for element in path.split(os.pathsep) if os.path.isabs(element) and not below(element, project_root)]


def resolve_executable(name: str, env: Mapping[str, str], project_root: str) -> str | None:
    """The absolute path of the program `name`, links not resolved (a virtual environment's Python is known by its link).

    A name with a slash must be absolute, any other is looked for in the PATH of `env`; None where there is no such executable.
    """
    if os.path.basename(name) != name:
        return os.path.normpath(name) if os.path.isabs(name) and _runs(name) else None
    if not name:
        return None
    for folder in search_path(env.get("PATH", ""), project_root):
        for suffix in _suffixes(name, env):
            if _runs(found := os.path.join(folder, name + suffix)):
                return found
    return None


def _suffixes(name: str, env: Mapping[str, str]) -> tuple[str, ...]:
    if sys.platform != "win32":
        return ("",)
    known = tuple(s for s in env.get("PATHEXT", ".COM;.EXE;.BAT;.CMD").split(";") if s)
    return ("",) if name.upper().endswith(tuple(s.upper() for s in known)) else known


def _runs(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def digests(argv: Sequence[str], executable: str, cwd: str | None, project_root: str) -> dict[str, str]:
    """Element → SHA-256 (hex) of each element of `argv`, and of `executable`, that names a file inside the project.

    ``--option=PATH`` and ``file:`` URIs name a file as well. A relative element names one only where the server has a `cwd`: the
    default working folder is empty. A file that can't be read has the digest "".
    """
    found: dict[str, str] = {}
    for element in (executable, *argv[1:]):
        for path in _named(element, cwd):
            if below(path, project_root) and (known := _digest(path)) is not None:
                found[element] = known
                break
    return found


def _named(element: str, cwd: str | None) -> Iterator[str]:
    for text in dict.fromkeys((element, element.partition("=")[2])):
        if text[:7].lower() == "file://":
            from urllib.parse import unquote  # noqa: PLC0415 - 2 ms that few commands need

            text = unquote(text[7:])
        # (an escape in a URI may stand for a NUL, too)
        if not text or "\0" in text:
            continue
        if os.path.isabs(text):
            yield text
        elif cwd is not None:
            yield os.path.join(cwd, text)


def _digest(path: str) -> str | None:
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
    except PermissionError:
        return ""
    except (OSError, ValueError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        known = hashlib.sha256()
        while block := os.read(fd, _BLOCK):
            known.update(block)
        return known.hexdigest()
    except OSError:
        return ""
    finally:
        os.close(fd)
