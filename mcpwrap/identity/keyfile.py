"""The installation's key in a file: for machines without a keyring (IDENTITY.md §2).

One line, base64 of 32 bytes (what ``openssl rand -base64 32`` prints as well). Owner, mode and kind are checked at every read: what
others can write could be another's key, what others can read is no key.
"""

from __future__ import annotations

import base64
import os
import stat
import sys
from typing import Final

from mcpwrap.errors import StateError, VaultError
from mcpwrap.files import reason, sync_folder

KEY_SIZE: Final = 32

_FILE_LIMIT: Final = 256
"""Longest key file, in bytes: 44 characters and what an editor puts at the end of a line."""

_PROJECT_FILE: Final = "mcpwrap.toml"


def key_in(text: str) -> bytes | None:
    """The 32 bytes that a key file or a keyring's entry holds as base64; None where it holds something else."""
    try:
        key = base64.b64decode(text.strip().encode("ascii"), validate=True)
    except ValueError:
        return None
    return key if len(key) == KEY_SIZE else None


def text_of(key: bytes) -> str:
    """What a key file or a keyring's entry holds for `key`: 44 characters of ASCII, which fit everywhere."""
    return base64.b64encode(key).decode()


def read_key(path: str) -> bytes:
    """The key in the file `path`.

    Raises:
        VaultError: it isn't there, isn't this user's alone, or holds no key.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        fd = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError as error:
        raise VaultError(
            f"the key file `{path}` isn't there",
            hint="mount the medium it lies on, or put your copy of it back",
        ) from error
    except (OSError, ValueError) as error:
        if os.path.islink(path):
            raise VaultError(f"the key file `{path}` is a link", hint="put the file itself there") from error
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise VaultError(f"the key file `{path}` can't be read: {why}") from error
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise VaultError(f"the key file `{path}` is no plain file", hint="put a file there, or name another path")
        if sys.platform != "win32":
            if found.st_uid != os.geteuid():
                raise VaultError(f"the key file `{path}` belongs to another user", hint="use a file of your own")
            if found.st_mode & 0o077:
                raise VaultError(f"the key file `{path}` is open to others", hint=f"run `chmod 600 {path}`")
        data = os.read(fd, _FILE_LIMIT + 1)
    except OSError as error:
        raise VaultError(f"the key file `{path}` can't be read: {reason(error)}") from error
    finally:
        os.close(fd)
    check_folder(os.path.dirname(path))
    key = key_in(data.decode("ascii", "replace")) if len(data) <= _FILE_LIMIT else None
    if key is None:
        raise VaultError(f"the key file `{path}` holds no key", hint="put your copy of it back: one line, base64 of 32 bytes")
    return key


def make_key(path: str, key: bytes | None, *, home: str) -> bytes:
    """Make the key file `path` with `key` (None: a new one), or take over the one that lies there; the key that it holds.

    Raises:
        VaultError: it lies in a project or in a folder that others can write, or what lies there is no key of this user's, or
            another one than `key`.
        StateError: it can't be written.
    """
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise VaultError(f"the folder `{folder}` isn't there", hint=f"run `mkdir -m 700 -p {folder}`")
    _refuse_project(folder, home)
    check_folder(folder)
    if os.path.lexists(path):
        found = read_key(path)
        if key is not None and found != key:
            raise VaultError(f"`{path}` holds another key already", hint="name a file that isn't there yet")
        return found
    key = os.urandom(KEY_SIZE) if key is None else key
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        raise StateError(f"the key file `{path}` can't be written: {reason(error)}") from error
    try:
        try:
            view = memoryview(text_of(key).encode() + b"\n")
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
    except BaseException as error:
        # a piece of a key would be in the way the next time
        os.unlink(path)
        if isinstance(error, OSError):
            raise StateError(f"the key file `{path}` can't be written: {reason(error)}") from error
        raise
    sync_folder(folder)
    # an umask or a file system without modes shows now, not at the next start
    read_key(path)
    return key


def check_folder(folder: str) -> None:
    """Check that nobody else can put another file in place of one in `folder`: neither there nor further up.

    Raises:
        VaultError: somebody can.
    """
    if sys.platform == "win32":
        return  # NOTE: access lists aren't looked at
    here = os.path.realpath(folder)
    first = True
    while True:
        try:
            found = os.stat(here)
        except OSError as error:
            raise VaultError(f"`{here}` can't be looked at: {reason(error)}") from error
        # in a sticky folder (/tmp) only the owner can move a folder away; a file of ours shouldn't lie right in one
        loose = found.st_mode & 0o022 and (first or not found.st_mode & stat.S_ISVTX)
        if loose or found.st_uid not in (0, os.geteuid()):
            raise VaultError(
                f"others can write `{here}`, where the key file lies", hint="put it into a folder of your own, mode 700"
            )
        first = False
        if here == os.path.dirname(here):
            return
        here = os.path.dirname(here)


def _refuse_project(folder: str, home: str) -> None:
    here = os.path.realpath(folder)
    top = os.path.realpath(home) if home else ""
    while here not in (top, os.path.dirname(here)):
        if os.path.lexists(os.path.join(here, _PROJECT_FILE)):
            raise VaultError(
                f"`{folder}` lies in the project `{here}`: what is in a project is read by servers and committed",
                hint="put the key file somewhere else",
            )
        here = os.path.dirname(here)
