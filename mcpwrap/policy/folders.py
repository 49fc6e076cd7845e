"""Where mcpwrap's own files lie, and how a configuration file is opened (POLICY.md §1).

A folder of ours must be the user's alone: what lies in it decides what runs. A configuration file is opened without following a
link, must be a plain file, is bounded, and is read once; everything else is done on those bytes.
"""
# pathlib costs 5 ms of every start; what is here works on strings and descriptors

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from typing import Final

import msgspec

from mcpwrap.errors import ConfigError, StateError
from mcpwrap.files import lies_in, reason

APP: Final = "mcpwrap"

FILE_LIMIT: Final = 256 * 1024
"""Longest configuration file, in bytes (POLICY.md §1): no real one has a tenth of it, and parsing stays below a second."""

_POSIX: Final = sys.platform != "win32"

_XDG: Final = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME")


class Folders(msgspec.Struct, frozen=True):
    """Absolute paths of mcpwrap's own folders.

    `data` holds what must stay where an older state is put back. `nondefault` names the variables that moved one of them away from
    the platform's default; the audit records it.
    """

    config: str
    state: str
    data: str
    site_file: str
    nondefault: tuple[str, ...]


def folders(env: Mapping[str, str]) -> Folders:
    """The folders for a process with the environment `env`; nothing is created.

    On Linux and its kin these are the XDG folders (a relative value of a variable is no value, as the XDG specification has it). On
    macOS and Windows platformdirs is asked, which looks at the process's own environment.

    Raises:
        StateError: there is no home folder.
    """
    if sys.platform in ("darwin", "win32"):
        return _by_platformdirs(env)
    home, moved = _home(env)
    config, by_config = _xdg(env, "XDG_CONFIG_HOME", os.path.join(home, ".config"))
    state, by_state = _xdg(env, "XDG_STATE_HOME", os.path.join(home, ".local", "state"))
    data, by_data = _xdg(env, "XDG_DATA_HOME", os.path.join(home, ".local", "share"))
    moved += by_config + by_state + by_data
    config, state, data = (os.path.join(each, APP) for each in (config, state, data))
    return Folders(config, state, data, "/etc/mcpwrap/config.toml", tuple(moved))


def _home(env: Mapping[str, str]) -> tuple[str, list[str]]:
    import pwd  # noqa: PLC0415 - not on Windows

    try:
        real = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:  # a container's user without an entry
        real = ""
    home = env.get("HOME", "") or real
    if not os.path.isabs(home):
        raise StateError("there is no home folder", hint="set `HOME` to an absolute path")
    return home, ["HOME"] if os.path.normpath(home) != os.path.normpath(real or "/") else []


def _xdg(env: Mapping[str, str], name: str, default: str) -> tuple[str, list[str]]:
    value = env.get(name, "")
    if not os.path.isabs(value) or os.path.normpath(value) == os.path.normpath(default):
        return default, []
    return os.path.normpath(value), [name]


def _by_platformdirs(env: Mapping[str, str]) -> Folders:
    # 14 ms that Linux doesn't pay
    import platformdirs  # noqa: PLC0415

    dirs = platformdirs.PlatformDirs(APP, appauthor=False, roaming=False)
    moved = tuple(name for name in (*_XDG, "WIN_PD_OVERRIDE_LOCAL_APPDATA") if env.get(name))
    site = _program_data() if sys.platform == "win32" else "/Library/Application Support"
    return Folders(
        os.path.abspath(dirs.user_config_dir),
        os.path.abspath(dirs.user_state_dir),
        os.path.abspath(dirs.user_data_dir),
        os.path.join(site, APP, "config.toml"),
        moved,
    )


def _program_data() -> str:
    # not %ProgramData%: a client's file can set a variable, and the administrator's rules would be gone
    if sys.platform == "win32":  # pragma: no branch - for the type checker
        import ctypes  # noqa: PLC0415

        buffer = ctypes.create_unicode_buffer(260)
        if ctypes.windll.shell32.SHGetFolderPathW(None, 0x23, None, 0, buffer) == 0:  # CSIDL_COMMON_APPDATA
            return buffer.value
    return "C:\\ProgramData"


def refuse_inside_project(folders: Folders, project_root: str) -> None:
    """Check that no folder of ours lies inside the project: what is in a project is written by others.

    Raises:
        ConfigError: one does.
    """
    ours = {"configuration": folders.config, "state": folders.state, "data": folders.data, "site": folders.site_file}
    for kind, path in ours.items():
        if lies_in(os.path.realpath(path), project_root) or lies_in(os.path.normpath(path), project_root):
            by = f" (moved by {', '.join(folders.nondefault)})" if folders.nondefault else ""
            raise ConfigError(
                f"the {kind} folder `{path}` lies inside the project `{project_root}`{by}",
                hint="unset the variable that moves it there, or choose a smaller project folder",
            )


def read_config(path: str, limit: int = FILE_LIMIT) -> bytes:
    """The bytes of the configuration file `path`, read once; at most `limit` of them.

    Raises:
        FileNotFoundError: there is none.
        ConfigError: it is a link, no plain file, longer than that, or can't be read.
    """
    return _read(path, by_root=False, limit=limit)


def read_site(path: str) -> bytes:
    """As `read_config`, for the administrator's file, which must be root's and writable for nobody else.

    Raises:
        FileNotFoundError: there is none.
        ConfigError: it can't be used (then everything is denied).
    """
    return _read(path, by_root=_POSIX, limit=FILE_LIMIT)


def _read(path: str, *, by_root: bool, limit: int) -> bytes:
    name = os.path.basename(path)
    # O_NONBLOCK: opening a named pipe would wait for its writer
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        if not _POSIX and os.path.islink(path):
            raise ConfigError(f"`{name}` is a link", file=path, hint="put the file itself there")
        fd = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        raise
    except OSError as error:
        if os.path.islink(path):
            raise ConfigError(f"`{name}` is a link", file=path, hint="put the file itself there") from error
        raise ConfigError(f"`{name}` can't be opened: {reason(error)}", file=path) from error
    except ValueError as error:  # a NUL in the path
        raise ConfigError(f"`{name}` can't be opened: {error}", file=path) from error
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"`{name}` is no plain file", file=path)
        if by_root and (found.st_uid != 0 or found.st_mode & 0o022):
            raise ConfigError(
                f"`{name}` can be written by others than root", file=path, hint=f"chown root {path}; chmod 644 {path}"
            )
        if _POSIX and not by_root and found.st_mode & 0o002:
            raise ConfigError(f"`{name}` is writable for everybody", file=path, hint=f"chmod o-w {path}")
        return _bounded(fd, name, path, limit)
    except OSError as error:
        raise ConfigError(f"`{name}` can't be read: {reason(error)}", file=path) from error
    finally:
        os.close(fd)


def _bounded(fd: int, name: str, path: str, limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit + 1
    while left > 0 and (part := os.read(fd, left)):
        parts.append(part)
        left -= len(part)
    if left <= 0:
        raise ConfigError(f"`{name}` is longer than {limit // 1024} KiB", file=path)
    return b"".join(parts)
