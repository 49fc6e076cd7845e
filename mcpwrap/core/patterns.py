"""Patterns: literals, globs, and whole-name regular expressions (POLICY.md §2; RE2: linear time).

A glob is matched by simulating its states, so no pattern and no name can make it slow. In URIs and paths ``*`` stays within one
segment and ``**`` doesn't; in names both match anything; a lone ``*`` matches anything everywhere. ``?`` and ``[`` are literal.

Some things are judged while a part of them is open: a resource template before its variables are known. There a text is a
sequence of known characters and `HOLE`; `Pattern.covers` says that every way to fill the holes matches, `Pattern.touches` that some
way may.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, Final, Protocol

import msgspec

NAME_LIMIT: Final = 4096
"""Longest name or URI that is matched, in characters; a longer one is denied (no real one comes near; bounds the work)."""


class Hole(enum.Enum):
    """The part of a text that isn't known yet: any characters, or none."""

    HOLE = enum.auto()


HOLE: Final = Hole.HOLE

Text = Sequence[str | Hole]
"""Single characters and holes; a `str` is one without holes."""


class _Star(enum.Enum):
    SEGMENT = enum.auto()
    ANY = enum.auto()


_Symbol = str | _Star


class _Regex(Protocol):
    @property
    def pattern(self) -> str: ...

    def fullmatch(self, text: str, /) -> object | None: ...


class PatternError(ValueError):
    """A pattern can't be used; the text says why."""


class Pattern(msgspec.Struct, frozen=True):
    """One pattern as it stands in a file. Build with `Pattern.parse`."""

    text: str
    line: int
    symbols: tuple[_Symbol, ...]
    literal: str | None
    prefix: str | None
    regex: _Regex | None
    parts: tuple[str, ...] | None = None
    """the literal parts between stars that match anything; None where a star stays within a segment"""

    @classmethod
    def parse(
        cls, text: str, *, line: int, uri: bool = False, path: bool = False, variables: Mapping[str, str] | None = None
    ) -> Pattern:
        """Compile `text`; where `uri` or `path` is true, a single ``*`` stays within a segment.

        `variables` are put in literally for ``${name}``, percent-encoded where `uri` is true, after the pattern was parsed, so
        that a ``*`` in a folder's name is no wildcard.

        Raises:
            PatternError: it is empty, too long, names an unknown variable, or isn't a valid RE2 expression.
        """
        if not text:
            raise PatternError("a pattern can't be empty")
        if len(text) > NAME_LIMIT:
            raise PatternError(f"a pattern has at most {NAME_LIMIT} characters")
        if text.startswith("^") is not text.endswith("$") and not (uri and text.endswith("$")):
            # taken for a glob it would match nothing, and a `deny` would fail open
            whole = f"^{text.removeprefix('^').removesuffix('$')}$"
            raise PatternError(f"a regular expression goes from `^` to `$`: write `{whole}`")
        values = dict(variables or {})
        if uri and "${" in text:
            from urllib.parse import quote  # noqa: PLC0415 - 3 ms that few files need

            values = {k: quote(v, safe="/:") for k, v in values.items()}
        if text.startswith("^"):  # and ends with `$`: see above
            return cls(text, line, (), None, None, _compile_regex(text, values))
        symbols = (_Star.ANY,) if text == "*" else tuple(_symbols(text, segments=uri or path, values=values))
        return cls._of(text, line, symbols)

    @classmethod
    def _of(cls, text: str, line: int, symbols: tuple[_Symbol, ...]) -> Pattern:
        literal = prefix = None
        if not any(isinstance(s, _Star) for s in symbols):
            literal = "".join(s for s in symbols if isinstance(s, str))
        elif symbols[-1] is _Star.ANY and all(isinstance(s, str) for s in symbols[:-1]):
            prefix = "".join(s for s in symbols[:-1] if isinstance(s, str))
        parts = None
        if _Star.SEGMENT not in symbols:
            pieces = [""]
            for symbol in symbols:
                if isinstance(symbol, str):
                    pieces[-1] += symbol
                else:
                    pieces.append("")
            parts = tuple(pieces)
        return cls(text, line, symbols, literal, prefix, None, parts)

    def folded(self, fold: Callable[[str], str]) -> Pattern:
        """The pattern for texts that went through `fold`; a regular expression is one for either case."""
        if self.regex is not None:
            return msgspec.structs.replace(self, regex=_without_case(self.regex))
        symbols: list[_Symbol] = []
        for star, run in groupby(self.symbols, key=lambda symbol: isinstance(symbol, _Star)):
            known = list(run)
            symbols.extend(known if star else fold("".join(map(str, known))))
        return self._of(self.text, self.line, tuple(symbols))

    @property
    def universal(self) -> bool:
        """True where it matches everything."""
        return self.prefix == ""

    def matches(self, text: str) -> bool:
        """True where the whole of `text` matches; exact in case."""
        if self.literal is not None:
            return text == self.literal
        if self.prefix is not None:
            return text.startswith(self.prefix)
        if self.regex is not None:
            return self.regex.fullmatch(text) is not None
        return _in_order(self.parts, text) if self.parts is not None else _segments(self.symbols).fullmatch(text) is not None

    def covers(self, text: Text) -> bool:
        """True where every way to fill the holes of `text` matches. May miss one (a regular expression over holes)."""
        if self.regex is not None:
            return isinstance(text, str) and self.regex.fullmatch(text) is not None
        states = self._closure({0})
        for symbol in text:
            # only `**` swallows a hole whole: it may be empty, and it may hold a slash
            states = self._closure(self._step(states, symbol))
            if not states:
                return False
        return len(self.symbols) in states

    def touches(self, text: Text) -> bool:
        """True where some way to fill the holes of `text` may match. May say so wrongly (a regular expression over holes)."""
        if self.regex is not None:
            return not isinstance(text, str) or self.regex.fullmatch(text) is not None
        states = self._closure({0})
        for symbol in text:
            if symbol is HOLE:
                # a hole can hold whatever leads from a state to any later one
                states = set(range(min(states), len(self.symbols) + 1))
            else:
                states = self._closure(self._step(states, symbol))
            if not states:
                return False
        return len(self.symbols) in states

    def _step(self, states: set[int], symbol: str | Hole) -> set[int]:
        after: set[int] = set()
        for i in states:
            if i == len(self.symbols):
                continue
            here = self.symbols[i]
            if here is _Star.ANY or (here is _Star.SEGMENT and symbol is not HOLE and symbol != "/"):
                after.add(i)
            elif here == symbol:
                after.add(i + 1)
        return after

    def _closure(self, states: set[int]) -> set[int]:
        todo = list(states)
        while todo:
            i = todo.pop()
            if i < len(self.symbols) and isinstance(self.symbols[i], _Star) and i + 1 not in states:
                states.add(i + 1)
                todo.append(i + 1)
        return states


def _in_order(parts: tuple[str, ...], text: str) -> bool:
    """True where `text` is `parts` in their order with anything between them: the first places found are as good as any."""
    first, *middle, last = parts
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


@lru_cache(maxsize=2048)
def _segments(symbols: tuple[_Symbol, ...]) -> _Regex:
    """A glob with stars that stay within a segment, as a regular expression of linear time; made on first use."""
    import re2

    stars = {_Star.SEGMENT: "[^/]*", _Star.ANY: ".*"}
    pattern = "".join(stars[s] if isinstance(s, _Star) else re2.escape(s) for s in symbols)
    options = re2.Options()
    options.dot_nl = True
    regex: _Regex = re2.compile(pattern, options)
    return regex


def _symbols(text: str, *, segments: bool, values: Mapping[str, str]) -> Iterable[_Symbol]:
    i = 0
    while i < len(text):
        if text.startswith("${", i):
            value, i = _variable(text, i, values)
            yield from value
        elif text[i] == "*":
            stars = len(text[i:]) - len(text[i:].lstrip("*"))
            yield _Star.ANY if stars > 1 or not segments else _Star.SEGMENT
            i += stars
        else:
            yield text[i]
            i += 1


def _variable(text: str, at: int, values: Mapping[str, str]) -> tuple[str, int]:
    end = text.find("}", at)
    name = text[at + 2 : end] if end > 0 else ""
    if name not in values:
        known = ", ".join(f"`${{{k}}}`" for k in sorted(values)) or "none"
        raise PatternError(f"unknown substitution in `{text}` (known here: {known})")
    return values[name], end + 1


def _compile_regex(text: str, values: Mapping[str, str]) -> _Regex:
    import re2

    for name, value in values.items():
        text = text.replace(f"${{{name}}}", re2.escape(value))
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True  # a line break in a name must not slip past a `deny`
    try:
        regex: _Regex = re2.compile(text, options)
    except re2.error as error:
        raise PatternError(f"`{text}` is no valid RE2 expression: {_reason(error)}") from error
    return regex


def _without_case(regex: _Regex) -> _Regex:
    import re2

    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    options.case_sensitive = False
    found: _Regex = re2.compile(regex.pattern, options)
    return found


def _reason(error: Exception) -> str:
    first: Any = error.args[0] if error.args else error
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)
