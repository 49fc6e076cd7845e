"""Facts about paths from the real file system, at the moment of the question (`mcpwrap.core.facts.Facts`).

A path may be resolved in two ways, ``..`` after symbolic links or before them, and servers do both: each gives a reading, and an
``allow`` needs all of them inside.
"""

from __future__ import annotations

import errno
import os
import re
import sys

from mcpwrap.core.paths import PATH_LIMIT, folded, inside, looks_like_path, readings

_FOLDS = sys.platform in ("darwin", "win32")

_OF_READER = re.compile(r"/proc/+(?:\./+)*(?:self|thread-self)(?:/|\Z)|/dev/+(?:\./+)*(?:fd|stdin|stdout|stderr)(?:/|\Z)")
"""What leads elsewhere for each process that reads it: to our own folder and files for us, to the server's for the server."""


class FileFacts:
    """`cwd` is the server's declared working folder; without one, relative paths can't be resolved. `folds` says that the file
    system ignores case and normalises names."""

    def __init__(self, cwd: str | None, *, folds: bool = _FOLDS) -> None:
        self._cwd = cwd
        self._folds = folds

    def paths(self, text: str) -> tuple[str, ...] | None:
        """Every canonical absolute path that some reader may take `text` for; None where it can't be resolved."""
        found: dict[str, None] = {}
        read = readings(text)
        if read is None:
            return None
        if text[:5].lower() == "file:" and self._cwd is not None and os.path.lexists(os.path.join(self._cwd, text[:5])):
            return None  # a reader that knows no URIs finds a folder of that name
        for each in read:
            resolved = self.ends(each)
            if not resolved:
                return None
            found |= dict.fromkeys(resolved)
        return tuple(found)

    def ends(self, path: str) -> tuple[str, ...] | None:
        """The canonical paths of one spelling, `..` taken after links and before; () for a name that no system opens (too long, or
        with a NUL); None where it can't be resolved, or leads the server elsewhere than us."""
        if not os.path.isabs(path):
            if self._cwd is None:
                return None
            path = os.path.join(self._cwd, path)
        found: dict[str, None] = {}
        for spelled in (path, os.path.normpath(path)) if ".." in path else (path,):
            if _OF_READER.search(spelled):
                return None
            try:
                found[self._resolved(spelled)] = None
            except ValueError:
                continue
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    return None  # a loop of links, a folder that can't be looked into
        return tuple(found)

    @property
    def rooted(self) -> bool:
        """True where the working folder is declared."""
        return self._cwd is not None

    def canonical(self, path: str) -> str:
        """An absolute path as the file system knows it; where it can't be resolved, as it is."""
        try:
            return self._resolved(path)
        except (OSError, ValueError):
            return path

    def is_path(self, text: str) -> bool:
        """By its look, or since its first name is there in the working folder: what is new may be put behind a link."""
        if looks_like_path(text):
            return True
        if self._cwd is None or not text or len(text) > PATH_LIMIT:
            return False
        return os.path.lexists(os.path.join(self._cwd, text.partition("/")[0]))

    def relative(self, path: str) -> str | None:
        """A canonical path relative to the working folder, where it lies inside."""
        if self._cwd is None:
            return None
        root = self.canonical(self._cwd)
        return os.path.relpath(path, root) if inside(path, root) else None

    def _resolved(self, path: str) -> str:
        try:
            os.stat(path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise
        # (one walk: the system itself has said whether there is a loop, or a folder that can't be looked into)
        resolved = os.path.realpath(path)
        return _as_listed(resolved) if self._folds else resolved


def _as_listed(path: str) -> str:
    """`path` with each name as its folder lists it, where only case or normalisation differ."""
    found = "/"
    for name in path.split("/")[1:]:
        wanted = folded(name)
        try:
            names = os.listdir(found)
        except OSError:
            names = []
        found = os.path.join(found, name if name in names else next((n for n in names if folded(n) == wanted), name))
    return found
