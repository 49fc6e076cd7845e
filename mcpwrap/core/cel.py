"""``when``: an expression in CEL (Common Expression Language), compiled and type-checked when the file is read (POLICY.md §2).

The evaluator gives errors back as values, which are truthy: only ``value() is True`` counts. Its own bounds are a limit on steps in
comprehensions; ours are the length of the expression, one level of comprehensions, and what is handed in.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mcpwrap.core.patterns import PatternError

if TYPE_CHECKING:
    from mcpwrap.core.conditions import Context

EXPRESSION_LIMIT: Final = 4096
"""Longest expression, in characters."""

HANDED_LIMIT: Final = 10_000
"""Most elements and characters (by the thousand) that are handed to an expression; beyond it, it counts as an error."""

_NAMED: Final = re.compile(r"""\bargs\s*(?:\.\s*([A-Za-z_][A-Za-z0-9_]*)|\[\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*\])?""")
_STRINGS: Final = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""")
_MACRO: Final = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(")
_INT64: Final = 1 << 63


class When(msgspec.Struct, frozen=True):
    """One compiled expression. Build with `compile_when`."""

    text: str
    names: frozenset[str] | None
    """the arguments that it names; None where it takes ``args`` as a whole"""
    program: Any

    def holds(self, context: Context) -> bool | None:
        """True or false, None where it can't be told (an error: something absent, of another type, too large).

        Where the arguments of `context` are None, an answer is one that they can't change.
        """
        try:
            data = self._data(context)
        except _TooLarge:
            return None
        value = self.program.eval(data=data).value()
        return value if value is True or value is False else None

    def _data(self, context: Context) -> dict[str, Any]:
        data: dict[str, Any] = {
            "tool": context.tool,
            "uri": context.uri,
            "server": context.server,
            "project": context.project,
            "subject": dict(context.subject),
            "client": dict(context.client),
            "session": dict(context.session),
            "time": context.time,
        }
        given = context.arguments
        if given is not None:
            room = _Room()
            names = given.keys() if self.names is None else self.names & given.keys()
            data["args"] = {name: room.take(given[name]) for name in names}
        return data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, When) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class _TooLarge(Exception):
    """More than an expression is given."""


class _Room:
    """Turns values of JSON into those of CEL, as many as there is room for."""

    def __init__(self) -> None:
        self._left = HANDED_LIMIT

    def take(self, value: Any) -> Any:
        self._left -= 1
        if isinstance(value, str):
            self._left -= len(value) // 1000
        if self._left < 0:
            raise _TooLarge
        kind = type(value)
        if kind is dict:
            return {name: self.take(inner) for name, inner in value.items()}
        if kind is list:
            return [self.take(inner) for inner in value]
        if kind is int and not -_INT64 <= value < _INT64:
            raise _TooLarge
        if kind is str and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise _TooLarge
        if kind not in (str, int, float, bool, type(None)):
            raise _TooLarge
        return value


@lru_cache(maxsize=2048)
def compile_when(text: str) -> When:
    """Compile and check one expression.

    Raises:
        PatternError: it is too long, isn't valid, names what isn't there, or gives no truth value.
    """
    if len(text) > EXPRESSION_LIMIT:
        raise PatternError(f"an expression has at most {EXPRESSION_LIMIT} characters")
    bare = _STRINGS.sub('""', text)
    if len(_MACRO.findall(bare)) > 1:
        raise PatternError("an expression has at most one of `all`, `exists`, `exists_one`, `map`, `filter`: write two rules")
    try:
        program = _environment().compile(text)
    except RuntimeError as error:
        raise PatternError(f"`when` is no valid CEL expression: {_first_line(str(error))}") from error
    if program.return_type().name() not in ("BOOL", "DYN"):
        raise PatternError(f"`when` must be true or false, and this is a {program.return_type().name().lower()}")
    return When(text, _names(text), program)


def _names(text: str) -> frozenset[str] | None:
    found: set[str] = set()
    for match in _NAMED.finditer(text):
        name = match[1] or match[2] or match[3]
        if name is None:
            return None
        found.add(name)
    return frozenset(found)


def _first_line(message: str) -> str:
    """The parser's own words, without its prefixes, source lines and position marks."""
    line = message.partition("\n")[0]
    return re.sub(r"^[A-Z_]+: ERROR: <input>:\d+:(\d+): ", r"column \1: ", line).replace(" (in container '')", "")


@lru_cache(maxsize=1)
def _environment() -> Any:
    from cel_expr_python import cel  # 70 ms and 7 MiB that few policies need

    record = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    text = cel.Type.STRING
    variables = dict.fromkeys(("args", "subject", "client", "session"), record) | dict.fromkeys(
        ("tool", "uri", "server", "project"), text
    )
    return cel.NewEnv(variables={**variables, "time": cel.Type.TIMESTAMP})
