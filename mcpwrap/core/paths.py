"""What a text may mean as a path, without the file system: every way that some server may read it.

A text that can't be read surely isn't read at all: a leading ``~`` or ``$``, ``%VAR%``, control characters, backslashes, drive
letters and UNC shapes (POLICY.md §2).
"""

from __future__ import annotations

import re
import unicodedata
from posixpath import normpath
from typing import Final

PATH_LIMIT: Final = 4096
"""Longest path, in characters (PATH_MAX of Linux)."""

_PLAIN: Final = re.compile(r"/?(?:(?:[A-Za-z0-9_@+,=-]|\.(?=[A-Za-z0-9_-]))+(?:/|\Z))*\Z")
"""Plain names without anything that two readers may take differently; most paths."""

_UNREADABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]|^[~$]|^//|^[A-Za-z]:|\$[({]|%[A-Za-z_][A-Za-z0-9_]*%")
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FILE_URI: Final = re.compile(r"file:", re.IGNORECASE)
_AUTHORITY: Final = re.compile(r"file:(?://(?:localhost)?(?=/))?", re.IGNORECASE)
_DOT: Final = re.compile("%2[Ee]")
_SLASH: Final = re.compile("%2[Ff]")


def inside(path: str, root: str) -> bool:
    """True where `path` is `root` or lies below it; by whole names, so that ``/data2`` isn't inside ``/data``."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def folded(text: str) -> str:
    """`text` as a file system sees it that ignores case and normalises names."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def looks_like_path(text: str) -> bool:
    """True for what is absolute, a ``file:`` URI, begins with ``.`` or ``~``, or has a dot segment or a backslash."""
    if text.startswith(("/", ".", "~", "\\")) or _FILE_URI.match(text) or re.match(r"[A-Za-z]:[/\\]", text):
        return True
    return any(segment in (".", "..") for segment in re.split(r"[/\\]", text))


def readings(text: str) -> tuple[str, ...] | None:
    """Every path, absolute or relative, that some reader may take `text` for; the literal one first.

    They are: as it stands; percent-decoded, once and twice; composed and decomposed (Unicode NFC, NFD); an alternate data stream
    cut off; trailing dots and spaces of names taken off, as Windows does. None where it can't be read.
    """
    if not text or len(text) > PATH_LIMIT:
        return None
    if _PLAIN.match(text) and not text.startswith("//"):
        return (text,)
    if _FILE_URI.match(text):
        return _file_uri(text)
    return _variants([text])


def lexical(text: str) -> str:
    """`text` without ``.``, ``..``, doubled or trailing slashes, by its letters alone."""
    return normpath(text)


def shortened(text: str) -> tuple[str, ...]:
    """For a text that is too long for a path: the paths, short enough, of readers that take out dot segments before they open it.

    What is left is to be read as any other text: of escapes only those are decoded that can make it shorter.
    """
    if len(text) <= PATH_LIMIT:
        return ()
    scheme = "file://" if _FILE_URI.match(text) else ""
    rest = _AUTHORITY.sub("", text, count=1) if scheme else text
    found: dict[str, None] = {}
    for _ in range(3):
        plain = lexical(rest)
        if len(plain) <= PATH_LIMIT:
            found[scheme + plain] = None
        if "%2" not in rest:
            break
        rest = _DOT.sub(".", _SLASH.sub("/", rest)).replace("%25", "%")
    return tuple(found)


def _file_uri(text: str) -> tuple[str, ...] | None:
    rest = text[len("file:") :]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            return None
        rest = slash + path
    if not rest.startswith("/") or "?" in rest or "#" in rest or _BROKEN_ESCAPE.search(rest):
        return None
    return _variants([rest])


def _variants(start: list[str]) -> tuple[str, ...] | None:
    found = dict.fromkeys(start)
    for text in start:
        for _ in range(2):
            if "%" not in text:
                break
            text = _decoded(text)
            found[text] = None
    if any(_UNREADABLE.search(text) for text in found):
        return None
    for text in tuple(found):
        if not text.isascii():
            found[unicodedata.normalize("NFC", text)] = None
            found[unicodedata.normalize("NFD", text)] = None
    for text in tuple(found):
        found["/".join(segment.partition(":")[0] or segment for segment in text.split("/"))] = None
    for text in tuple(found):
        found["/".join(_as_windows(segment) for segment in text.split("/"))] = None
    return tuple(found)


def _decoded(text: str) -> str:
    from urllib.parse import unquote_to_bytes  # noqa: PLC0415 - 3 ms that few calls need

    return unquote_to_bytes(text).decode("utf-8", "surrogateescape")


def _as_windows(segment: str) -> str:
    if segment in ("", ".", ".."):
        return segment
    kept = segment.rstrip(". ")
    # a name of dots and spaces: some systems go up for it
    return kept or ".."
