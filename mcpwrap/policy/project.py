"""Which project counts (POLICY.md §1 and §7).

``--project DIR``, then ``MCPWRAP_PROJECT``, then ``CLAUDE_PROJECT_DIR``, then the nearest ``mcpwrap.toml`` going up from the
working directory. Going up ends below the home folder (outside of it: at ``/``) and at a folder that another user owns. A
project is its canonical root path, links resolved.

NOTE: Windows has no owner that could be compared here; nothing is checked there.
"""
# pathlib costs 5 ms of every start

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from typing import Final

import msgspec

from mcpwrap.core.pins import LOCK_NAME
from mcpwrap.errors import ConfigError
from mcpwrap.files import lies_in
from mcpwrap.policy.folders import read_config
from mcpwrap.policy.lock import LOCK_LIMIT

PROJECT_FILE: Final = "mcpwrap.toml"
LOCK_FILE: Final = LOCK_NAME
FOUND_UPWARDS: Final = "mcpwrap.toml found upwards"


class Project(msgspec.Struct, frozen=True):
    """A project: its canonical root, its file, and what chose it (``--project``, a variable's name, or `FOUND_UPWARDS`)."""

    root: str
    file: str
    chosen_by: str


def find_project(*, option: str | None, env: Mapping[str, str], cwd: str, home: str) -> Project | None:
    """The project that counts; None where there is none.

    A folder named by ``--project`` or ``MCPWRAP_PROJECT`` must be a project's root. ``CLAUDE_PROJECT_DIR`` is where a client works,
    which may be a folder of a project or no project at all: it is searched upwards, and the working directory doesn't count then.
    A variable that is empty counts as unset.

    Raises:
        ConfigError: what was named is no project, or another user owns its folder.
    """
    if option is not None:
        return _named(option, "--project", cwd)
    if named := env.get("MCPWRAP_PROJECT"):
        return _named(named, "MCPWRAP_PROJECT", cwd)
    if named := env.get("CLAUDE_PROJECT_DIR"):
        start = _folder(named, "CLAUDE_PROJECT_DIR", cwd)
        if not _own(start):
            raise _foreign(start, "CLAUDE_PROJECT_DIR")
        return _search(start, home, "CLAUDE_PROJECT_DIR")
    return _search(os.path.realpath(cwd), home, FOUND_UPWARDS)


def caller_project(*, cwd: str, home: str) -> str | None:
    """The root of the project that the working directory lies in, for the check of pairs (POLICY.md §1); None where it is in none.

    Raises:
        ConfigError: its path is no text.
    """
    found = _search(os.path.realpath(cwd), home, FOUND_UPWARDS)
    return found.root if found else None


def read_project(project: Project) -> tuple[bytes, bytes | None]:
    """The bytes of the project's file and of the lock file beside it (None where there is none), each read once.

    Raises:
        ConfigError: one of them can't be read.
    """
    try:
        toml = read_config(project.file)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no `{PROJECT_FILE}`", file=project.file) from error
    try:
        return toml, read_config(os.path.join(project.root, LOCK_FILE), LOCK_LIMIT)
    except FileNotFoundError:
        return toml, None


def _named(name: str, by: str, cwd: str) -> Project:
    root = _folder(name, by, cwd)
    # root may look after another's project, but only where a person says so on the command line
    if not _own(root) and not (by == "--project" and os.geteuid() == 0):
        raise _foreign(root, by)
    file = os.path.join(root, PROJECT_FILE)
    if not os.path.lexists(file):
        raise ConfigError(
            f"`{root}`, named by {by}, has no `{PROJECT_FILE}`", hint=f"name the folder that holds `{PROJECT_FILE}`, or write one"
        )
    return Project(root, file, by)


def _folder(name: str, by: str, cwd: str) -> str:
    if not name or "\0" in name:
        raise ConfigError(f"{by} names no folder")
    root = os.path.realpath(os.path.join(cwd, name))
    if not os.path.isdir(root):
        raise ConfigError(f"`{root}`, named by {by}, is no folder")
    return _text(root)


def _search(start: str, home: str, by: str) -> Project | None:
    top = os.path.realpath(home) if home else ""
    here = start
    while True:
        if here == top or not _own(here):
            return None
        file = os.path.join(here, PROJECT_FILE)
        # a link counts as found: reading it says why it can't be used, silence would choose another project
        if os.path.lexists(file):
            return Project(_text(here), file, by)
        parent = os.path.dirname(here)
        if parent == here:
            return None
        here = parent


def _own(folder: str) -> bool:
    if sys.platform == "win32":
        return True
    try:
        found = os.stat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _foreign(root: str, by: str) -> ConfigError:
    hint = "root may name it with `--project`" if by != "--project" else "use a copy of your own"
    return ConfigError(f"`{root}`, named by {by}, belongs to another user", hint=hint)


def _text(root: str) -> str:
    try:
        root.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"the path {root!r} is no UTF-8 text", hint="rename the folder") from error
    return root


def below(path: str, root: str) -> bool:
    """True where the absolute `path` lies in `root`, as it stands or with its links resolved."""
    return lies_in(os.path.normpath(path), root) or lies_in(os.path.realpath(path), root)
