"""Facts about paths from the real file system, at the moment of the question (`mcpwrap.core.facts.Facts`).

A path may be resolved in two ways, ``..`` after symbolic links or before them, and servers do both: each gives a reading, and an
``allow`` needs all of them inside.
"""

from __future__ import annotations

import errno
import os
import sys

from mcpwrap.core.paths import PATH_LIMIT, folded, inside, looks_like_path, readings

_FOLDS = sys.platform in ("darwin", "win32")


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
            if not os.path.isabs(each):
                if self._cwd is None:
                    return None
                each = os.path.join(self._cwd, each)
            for spelled in (each, os.path.normpath(each)) if ".." in each else (each,):
                resolved = self._resolve(spelled)
                if resolved is None:
                    return None
                found[resolved] = None
        return tuple(found)

    def canonical(self, path: str) -> str:
        """An absolute path as the file system knows it; where it can't be resolved, as it is."""
        return self._resolve(path) or path

    def is_path(self, text: str) -> bool:
        """By its look, or since it names something in the working folder."""
        if looks_like_path(text):
            return True
        if self._cwd is None or not text or len(text) > PATH_LIMIT:
            return False
        return os.path.lexists(os.path.join(self._cwd, text))

    def relative(self, path: str) -> str | None:
        """A canonical path relative to the working folder, where it lies inside."""
        if self._cwd is None:
            return None
        root = self.canonical(self._cwd)
        return os.path.relpath(path, root) if inside(path, root) else None

    def _resolve(self, path: str) -> str | None:
        try:
            resolved = os.path.realpath(path, strict=True)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                return None  # a loop of links, a name too long, a folder that can't be looked into
            try:
                resolved = os.path.realpath(path)
            except OSError:
                return None
        except ValueError:
            return None
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
