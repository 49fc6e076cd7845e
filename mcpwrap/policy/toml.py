"""Bytes → a TOML tree with places, bounded; every way to fail is a `ConfigError` with line, column and excerpt."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from mcpwrap.errors import ConfigError
from mcpwrap.policy.folders import FILE_LIMIT
from mcpwrap.policy.places import Path, Places, Stumble

_EXCERPT_LIMIT: Final = 160
"""Longest excerpt, in characters: one line of a terminal, or two."""

_AT: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


class Document(msgspec.Struct, frozen=True):
    """A parsed file: its tree, and where everything stands."""

    file: str
    tree: dict[str, Any]
    places: Places
    text: str

    def error(self, path: Path, message: str, hint: str = "") -> ConfigError:
        """An error at `path`."""
        line, column = self.places.place(path)
        return _error(self.text, self.file, line, column, message, hint)


def parse(data: bytes, *, file: str) -> Document:
    """Parse `data`; `file` is how messages name it.

    Raises:
        ConfigError: it is too long, no UTF-8, no TOML 1.0, or passes a bound of `mcpwrap.policy.places`.
    """
    if len(data) > FILE_LIMIT:
        raise ConfigError(f"the file is longer than {FILE_LIMIT // 1024} KiB", file=file)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = len(data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode()) + 1
        raise ConfigError("the file is no UTF-8 text", file=file, line=line, column=column, hint="save it as UTF-8") from error
    if text.startswith("\ufeff"):
        raise ConfigError("the file begins with a byte order mark", file=file, line=1, column=1, hint="save it as plain UTF-8")
    text = text.replace("\r\n", "\n")
    try:
        places = Places(text)
    except Stumble as stumble:
        raise _stumbled(text, file, stumble) from stumble
    return Document(file, _tree(text, file), places, text)


def _tree(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    # ValueError: TOMLDecodeError, and what int() and datetime() say; the others are what deep or huge values would give
    except (ValueError, RecursionError, OverflowError) as error:
        raise _syntax(text, file, error) from error


def _stumbled(text: str, file: str, stumble: Stumble) -> ConfigError:
    """The error for a text that wasn't walked to its end: tomllib's words, from the part that was seen to be bounded."""
    at = stumble.at
    if not stumble.bound:
        end = text.find("\n", at)
        # what comes behind has no bound yet
        seen = text if end < 0 else text[: end + 1]
        if len(seen) - at <= _EXCERPT_LIMIT * 4:
            try:
                tomllib.loads(seen)
            except (ValueError, RecursionError, OverflowError) as error:
                return _syntax(text, file, error)
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    return _error(
        text,
        file,
        line,
        column,
        stumble.bound or "this is no TOML",
        "",
    )


def _syntax(text: str, file: str, error: Exception) -> ConfigError:
    said = str(error)
    found = _AT.search(said)
    message = said[: found.start()] if found else said
    message = message[:1].lower() + message[1:200]
    if found and found[1]:
        line, column = int(found[1]), int(found[2])
    elif found:
        line, column = text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1
    else:
        line = column = 0  # int() and datetime() don't know where they are
    rest = text.split("\n")[line - 1][column - 1 :] if line else ""
    return _error(text, file, line, column, f"no valid TOML: {message}", _remedy(text, message, rest))


def _remedy(text: str, message: str, rest: str) -> str:
    """What to write instead of a line whose `rest` can't be read; "" where that can't be told."""
    if text.lstrip().startswith("{"):
        return "this is JSON, and the file is TOML; `mcpwrap init NAME -- COMMAND…` writes one"
    if "unescaped '\\'" in message or "hex value" in message:
        return "a backslash in \"…\" begins an escape; put the text into '…'"
    return "a text is put into quotation marks" if message == "invalid value" and re.match(r"[\w~/.*$]", rest) else ""


def _error(text: str, file: str, line: int, column: int, message: str, hint: str) -> ConfigError:
    excerpt = ""
    if line:
        start = 0
        for _ in range(line - 1):
            start = text.find("\n", start) + 1
        end = text.find("\n", start)
        excerpt = text[start : end if end >= 0 else len(text)].strip()
        if len(excerpt) > _EXCERPT_LIMIT:
            excerpt = excerpt[: _EXCERPT_LIMIT - 1] + "…"
    return ConfigError(message, file=file, line=line, column=column, excerpt=excerpt, hint=hint)


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The one of `known` that `word` was most likely meant to be; None where none is as near as `cutoff` (0 to 1)."""
    import difflib  # noqa: PLC0415 - only a file with an error pays for it

    found = difflib.get_close_matches(word[:64], list(known), n=1, cutoff=cutoff)
    return found[0] if found else None
