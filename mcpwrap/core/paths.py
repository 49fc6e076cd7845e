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

_UNREADABLE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]|^[~$\s\ufeff\"'`]|[^\S ]\Z|\ufeff\Z|^//|^[A-Za-z]:|\$[({]|%[A-Za-z_][A-Za-z0-9_]*%"
)
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FILE_URI: Final = re.compile(r"file:", re.IGNORECASE)
_AUTHORITY: Final = re.compile(r"file:(?://(?:localhost)?(?=/))?", re.IGNORECASE)
_BLANK: Final = "".join(c for c in map(chr, range(0x3001)) if c <= " " or c.isspace()) + "\ufeff\"'`"
"""What many a reader takes off before it opens a path: blanks (JavaScript's ``trim`` takes a byte order mark, too), and quotes."""

_BREAKS: Final = re.compile(r"[\t\r\n]")
_URI_END: Final = re.compile(r"[?#]")
_DRIVE: Final = re.compile(r"(?://[.?]/|/)?[A-Za-z][:|]")
_OPAQUE: Final = re.compile(
    r"(?:~[A-Za-z0-9._-]*|\$(?:env:)?[A-Za-z_][A-Za-z0-9_]*|\$\{[^}]*\}|\$\([^)]*\)|%[A-Za-z_][A-Za-z0-9_]*%)(?=[/\\]|\Z)"
)
"""A home or a variable as the first name of a path: ``~5 minutes``, ``$5`` and ``${name} is new`` are none."""

_VARIABLE: Final = re.compile(r"\$[({]|%[A-Za-z_][A-Za-z0-9_]*%")
_IGNORABLE: Final = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
"""What HFS+ leaves out when it compares names."""

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


def opaque(text: str) -> bool:
    """True for a path that begins with a home or a variable, or looks like a path and has a variable in it: nobody but its reader
    knows where it leads."""
    if any(_OPAQUE.match(each) for each in _decodings([text.strip(_BLANK)])):
        return True
    return _VARIABLE.search(text) is not None and looks_like_path(text)


def foreign(text: str) -> bool:
    """True for a path of Windows with a drive or a machine: its names can be judged, and where it leads can't."""
    return re.match(r"[\x00-\x20]*(?:[A-Za-z]:[/\\]|\\\\[A-Za-z0-9._?-]+\\[^\\\s])", text) is not None


def relative(text: str) -> bool:
    """True for a text that is surely meant as a path without saying from where: hidden names, dot segments, ``file:name``."""
    return re.match(r"\.[A-Za-z0-9_-]|(?i:file):[^/\\\s]\S*\Z", text) is not None or any(
        segment in (".", "..") for segment in re.split(r"[/\\]", text)
    )


def spellings(text: str) -> tuple[str, ...]:
    """Every path that some reader, however odd, may take `text` for: more than `readings` gives, of any text.

    Besides those: blanks around it taken off; up to its first NUL; backslashes as slashes; without a drive; as a URI that careless
    and careful readers take apart (tabs and line breaks, a query, a machine left out); without what HFS+ ignores.
    """
    if _PLAIN.match(text) and not text.startswith("//"):
        return (text,)
    start = [text, text.strip(_BLANK)]
    compact = _BREAKS.sub("", start[1])
    if _FILE_URI.match(compact):
        for whole in (compact, _URI_END.split(compact, maxsplit=1)[0]):
            rest = whole[len("file:") :].replace("\\", "/")
            bare = rest.lstrip("/")
            # as a path of its own, and behind a machine
            start += [rest, bare, "/" + bare, "/" + bare.partition("/")[2]]
    found = _decodings(start)
    for change in (_until_nul, _with_slashes, _without_drive, _composed, _decomposed, _seen, _without_streams, _all_as_windows):
        for each in tuple(found):
            found[change(each)] = None
    found.pop("", None)
    return tuple(found)


def _until_nul(text: str) -> str:
    return text.partition("\0")[0]


def _with_slashes(text: str) -> str:
    return text.replace("\\", "/")


def _without_drive(text: str) -> str:
    return _DRIVE.sub("", text, count=1) if _DRIVE.match(text) else text


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def _seen(text: str) -> str:
    return text if text.isascii() else _IGNORABLE.sub("", text)


def _without_streams(text: str) -> str:
    return "/".join(segment.partition(":")[0] or segment for segment in text.split("/")) if ":" in text else text


def _all_as_windows(text: str) -> str:
    return "/".join(_as_windows(segment) for segment in text.split("/"))


def readings(text: str, *, streams: bool = True) -> tuple[str, ...] | None:
    """Every path, absolute or relative, that some reader may take `text` for; the literal one first.

    They are: as it stands; percent-decoded, once and twice; composed and decomposed (Unicode NFC, NFD); with `streams` an alternate
    data stream cut off; trailing dots and spaces of names taken off, as Windows does. None where it can't be read.
    """
    if not text or len(text) > PATH_LIMIT:
        return None
    if _PLAIN.match(text) and not text.startswith("//"):
        return (text,)
    if _FILE_URI.match(text):
        return _file_uri(text)
    return _variants([text], streams=streams)


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


def _variants(start: list[str], *, streams: bool = True) -> tuple[str, ...] | None:
    if any(_UNREADABLE.search(text) for text in start):
        return None
    found = _decodings(start)
    if any(_UNREADABLE.search(text) for text in found):
        return None
    changes = (_composed, _decomposed, _without_streams, _all_as_windows) if streams else (_composed, _decomposed, _all_as_windows)
    for change in changes:
        for text in tuple(found):
            found[change(text)] = None
    return tuple(found)


def _decodings(start: list[str]) -> dict[str, None]:
    """`start` as it stands and percent-decoded, once and twice."""
    found = dict.fromkeys(start)
    for text in start:
        for _ in range(2):
            if "%" not in text:
                break
            text = _decoded(text)
            found[text] = None
    return found


def _decoded(text: str) -> str:
    from urllib.parse import unquote_to_bytes  # noqa: PLC0415 - 3 ms that few calls need

    # what was no UTF-8 stays as it is, to be decoded again
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _as_windows(segment: str) -> str:
    if segment in ("", ".", ".."):
        return segment
    kept = segment.rstrip(". ")
    # a name of dots and spaces: some systems go up for it
    return kept or ".."
