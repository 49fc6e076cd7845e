"""Where things stand in a TOML text: the line and column of every key and of every element of an array.

tomllib gives values without positions, and some short texts cost it seconds (a dotted key of 40 kB: 8 s). So this goes over
the text first, in one linear pass: it notes positions, and it bounds keys, nesting and the number of values. It accepts more than
TOML does; what it stumbles over, tomllib must refuse as well (`mcpwrap.policy.toml` sees to that).
"""

from __future__ import annotations

import re
import tomllib
from typing import Final

KEY_LIMIT: Final = 256
"""Longest key, dots included, in bytes: tomllib's cost grows with the square of it."""

DEPTH_LIMIT: Final = 16
"""Deepest nesting of arrays and inline tables: nothing here needs more than four, and tomllib recurses."""

NUMBER_LIMIT: Final = 64
"""Longest number, date or truth value, in characters: Python refuses numbers of 4,300 digits without saying where."""

VALUE_LIMIT: Final = 20_000
"""Most keys and values in one file: ten for each of the 2,000 patterns."""

Path = tuple[str | int, ...]
Place = tuple[int, int]
"""Line and column, both from 1."""

_ENDLESS: Final = "a string has no end"

_BLANK: Final = re.compile(r"[ \t]*")
_SPACE: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*+")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_BASIC: Final = re.compile(r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"')
_LITERAL: Final = re.compile(r"'[^'\n]*+'")
_SCALAR: Final = re.compile(r"[^\s,\]}#=\"'\[{]+(?: [0-9][0-9:.Zz+-]*)?")
_IN_MULTILINE: Final = re.compile(r'\\.|"""', re.DOTALL)


class Stumble(Exception):
    """The text is no TOML from `at` (an offset) on, or passes a bound; `bound` says what is wrong, "" where tomllib says it."""

    def __init__(self, at: int, bound: str = "") -> None:
        super().__init__(bound)
        self.at = at
        self.bound = bound


class Places:
    """The positions in `text`.

    ``keys`` has the place of each key and element, by its path in the parsed value; ``headers`` the line of each ``[header]``.

    Raises:
        Stumble: see there.
    """

    def __init__(self, text: str) -> None:
        self.keys: dict[Path, Place] = {}
        self.headers: dict[Path, int] = {}
        self._text = text
        self._starts = [0, *(m.end() for m in re.finditer(r"\n", text))]
        self._line = 0
        self._arrays: dict[Path, int] = {}
        self._count = 0
        self._document()

    def place(self, path: Path) -> Place:
        """Where `path` stands, or the nearest thing around it."""
        while path and path not in self.keys:
            path = path[:-1]
        return self.keys.get(path, (1, 1))

    def line(self, path: Path) -> int:
        """The line of `place`."""
        return self.place(path)[0]

    def _document(self) -> None:
        table: Path = ()
        at = 0
        while (at := self._skip(_SPACE, at)) < len(self._text):
            if self._text[at] == "[":
                table, at = self._header(at)
            else:
                at = self._pair(table, at)
            at = self._skip(_BLANK, at)
            if at < len(self._text) and self._text[at] not in "#\r\n":
                raise Stumble(at)

    def _header(self, start: int) -> tuple[Path, int]:
        double = self._text.startswith("[[", start)
        parts, at = self._key(self._skip(_BLANK, start + (2 if double else 1)))
        if not self._text.startswith("]]" if double else "]", at):
            raise Stumble(at)
        path: Path = ()
        for i, part in enumerate(parts):
            path += (part,)
            last = i == len(parts) - 1
            if not last or not double:
                self._note(path, start)
                if path in self._arrays:
                    path += (self._arrays[path],)
            else:
                self._note(path, start)
                self._arrays[path] = self._arrays.get(path, -1) + 1
                path += (self._arrays[path],)
                self._note(path, start)
        # a header is the better place than the deeper one that mentioned the table first
        self.keys[path] = self._where(start)
        self.headers[path] = self.keys[path][0]
        return path, at + (2 if double else 1)

    def _pair(self, table: Path, start: int) -> int:
        parts, at = self._key(start)
        if not self._text.startswith("=", at):
            raise Stumble(at)
        for part in parts:
            table += (part,)
            self._note(table, start)
        return self._value(table, self._skip(_BLANK, at + 1), 0)

    def _key(self, start: int) -> tuple[list[str], int]:
        parts: list[str] = []
        at = start
        while True:
            found = _BARE.match(self._text, at) or _BASIC.match(self._text, at) or _LITERAL.match(self._text, at)
            if not found:
                raise Stumble(at, _ENDLESS if self._text[at : at + 1] in ("'", '"') else "")
            if found.end() - start > KEY_LIMIT or len(self._text[start : found.end()].encode()) > KEY_LIMIT:
                raise Stumble(start, f"a key is longer than {KEY_LIMIT} bytes")
            parts.append(_plain(found[0], at))
            at = self._skip(_BLANK, found.end())
            if not self._text.startswith(".", at):
                return parts, at
            at = self._skip(_BLANK, at + 1)

    def _value(self, path: Path, at: int, depth: int) -> int:
        if depth > DEPTH_LIMIT:
            raise Stumble(at, f"arrays and tables are nested deeper than {DEPTH_LIMIT}")
        match self._text[at : at + 1]:
            case '"' | "'" as quote:
                return self._string(quote, at)
            case "[":
                return self._array(path, at, depth)
            case "{":
                return self._inline(path, at, depth)
            case _:
                return self._scalar(at)

    def _scalar(self, at: int) -> int:
        found = _SCALAR.match(self._text, at)
        if not found:
            raise Stumble(at)
        if found.end() - at > NUMBER_LIMIT:
            raise Stumble(at, f"a value without quotes is longer than {NUMBER_LIMIT} characters")
        return found.end()

    def _string(self, quote: str, at: int) -> int:
        if not self._text.startswith(quote * 3, at):
            found = (_BASIC if quote == '"' else _LITERAL).match(self._text, at)
            if not found:
                raise Stumble(at, _ENDLESS)
            return found.end()
        end = self._text.find("'''", at + 3) if quote == "'" else -1
        if quote == '"':
            end = next((m.start() for m in _IN_MULTILINE.finditer(self._text, at + 3) if m[0] == '"""'), -1)
        if end < 0:
            raise Stumble(at, _ENDLESS)
        end += 3
        for _ in range(2):  # the text may end with one or two quotes of its own
            if self._text.startswith(quote, end):
                end += 1
        return end

    def _array(self, path: Path, at: int, depth: int) -> int:
        at = self._skip(_SPACE, at + 1)
        index = 0
        while not self._text.startswith("]", at):
            self._note((*path, index), at)
            at = self._skip(_SPACE, self._value((*path, index), at, depth + 1))
            index += 1
            if self._text.startswith(",", at):
                at = self._skip(_SPACE, at + 1)
            elif not self._text.startswith("]", at):
                raise Stumble(at)
        return at + 1

    def _inline(self, path: Path, at: int, depth: int) -> int:
        at = self._skip(_SPACE, at + 1)
        while not self._text.startswith("}", at):
            parts, after = self._key(at)
            if not self._text.startswith("=", after):
                raise Stumble(after)
            inner = path
            for part in parts:
                inner += (part,)
                self._note(inner, at)
            at = self._skip(_SPACE, self._value(inner, self._skip(_BLANK, after + 1), depth + 1))
            if self._text.startswith(",", at):
                at = self._skip(_SPACE, at + 1)
            elif not self._text.startswith("}", at):
                raise Stumble(at)
        return at + 1

    def _skip(self, what: re.Pattern[str], at: int) -> int:
        found = what.match(self._text, at)
        return found.end() if found else at

    def _note(self, path: Path, at: int) -> None:
        self._count += 1
        if self._count > VALUE_LIMIT:
            raise Stumble(at, f"there are more than {VALUE_LIMIT:,} keys and values")
        self.keys.setdefault(path, self._where(at))

    def _where(self, at: int) -> Place:
        # what is noted only moves on, so the line is found by walking on
        while self._line + 1 < len(self._starts) and self._starts[self._line + 1] <= at:
            self._line += 1
        return self._line + 1, at - self._starts[self._line] + 1


def _plain(raw: str, at: int) -> str:
    match raw[0]:
        case "'":
            return raw[1:-1]
        case '"' if "\\" in raw:
            try:
                return str(tomllib.loads(f"k = {raw}")["k"])
            except ValueError as error:
                raise Stumble(at, "a quoted key is no string of TOML") from error
        case '"':
            return raw[1:-1]
        case _:
            return raw
