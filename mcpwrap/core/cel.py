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

WORK_LIMIT: Final = 20_000_000
"""Most elements times characters that are handed to an expression with a comprehension: each element may be sought in all the rest
(5 ns a character)."""

_NAMED: Final = re.compile(r"""\bargs\s*(?:\.\s*([A-Za-z_][A-Za-z0-9_]*)|\[\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*\])?""")
_STRINGS: Final = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""")
_UNPLAIN: Final = re.compile(r"""\\|\"{3}|'{3}""")
_MACRO: Final = re.compile(r"\b(?:all|exists|exists_one|map|filter)\s*(?:\(|//)")
_CALLED: Final = re.compile(r"\s*\(")
_UNFIT: Final = re.compile("[\0\ud800-\udfff]")
"""The evaluator takes a text up to its first NUL, and stops at a lone surrogate."""
_INT64: Final = 1 << 63
_KNOWN: Final = ("tool", "uri", "server", "project", "subject", "client", "session", "time")


class When(msgspec.Struct, frozen=True):
    """One compiled expression. Build with `compile_when`."""

    text: str
    names: frozenset[str] | None
    """the arguments that it names; None where it takes ``args`` as a whole"""
    program: Any
    known: tuple[str, ...] = ()
    """what it names besides: what the client calls itself is no reason to fail where it isn't asked about"""
    work: int | None = None
    """most elements times characters that it is handed; None where it goes through them once"""

    def holds(self, context: Context) -> bool | None:
        """True or false, None where it can't be told (an error: something absent, of another type, too large).

        Where the arguments of `context` are None, an answer is one that they can't change.
        """
        try:
            value = self.program.eval(data=self._data(context)).value()
        except (_Unfit, RuntimeError, TypeError, ValueError, OverflowError):  # the evaluator's own, for what it can't take
            return None
        return value if value is True or value is False else None

    def _data(self, context: Context) -> dict[str, Any]:
        room = _Room(self.work)
        data: dict[str, Any] = {}
        for name in self.known:
            value = getattr(context, name)
            data[name] = value if name == "time" else room.take(value if type(value) is str else dict(value))
        given = context.arguments
        if given is not None:
            names = given.keys() if self.names is None else self.names & given.keys()
            data["args"] = room.take({name: given[name] for name in names})
        return data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, When) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class _Unfit(Exception):
    """More than an expression is given, or what it would read otherwise than it is."""


class _Room:
    """Turns values of JSON into those of CEL, as many as there is room for."""

    def __init__(self, work: int | None) -> None:
        self._count = self._characters = 0
        self._work = work

    def take(self, value: Any) -> Any:
        self._count += 1
        kind = type(value)
        if kind is str:
            self._characters += len(value)
        if self._count + self._characters // 1000 > HANDED_LIMIT:
            raise _Unfit
        if self._work is not None and self._count * self._characters > self._work:
            raise _Unfit
        if kind is dict:
            return {self.take(name): self.take(inner) for name, inner in value.items()}
        if kind is list:
            return [self.take(inner) for inner in value]
        if kind is int and not -_INT64 <= value < _INT64:
            raise _Unfit
        if kind is str and _UNFIT.search(value):
            raise _Unfit
        if kind not in (str, int, float, bool, type(None)):
            raise _Unfit
        return value


@lru_cache(maxsize=2048)
def compile_when(text: str) -> When:
    """Compile and check one expression.

    Raises:
        PatternError: it is too long, isn't valid, names what isn't there, or gives no truth value.
    """
    if len(text) > EXPRESSION_LIMIT:
        raise PatternError(f"an expression has at most {EXPRESSION_LIMIT} characters")
    macros = len(_MACRO.findall(_bare(text)))
    if macros > 1:
        raise PatternError("an expression has at most one of `all`, `exists`, `exists_one`, `map`, `filter`: write two rules")
    try:
        program = _environment().compile(text)
    except RuntimeError as error:
        raise PatternError(f"`when` is no valid CEL expression: {_first_line(str(error))}") from error
    if program.return_type().name() not in ("BOOL", "DYN"):
        raise PatternError(f"`when` must be true or false, and this is a {program.return_type().name().lower()}")
    known = tuple(name for name in _KNOWN if name in text)
    return When(text, _names(text), program, known, WORK_LIMIT if macros else None)


def _bare(text: str) -> str:
    """`text` without what stands in its strings; with it, where it isn't plain where these end (a comment may hold a quote)."""
    bare = _STRINGS.sub('""', text)
    return text if _UNPLAIN.search(text) or "//" in bare else bare


def _names(text: str) -> frozenset[str] | None:
    if "//" in _bare(text):
        return None  # a comment may stand between a name and what makes it a call
    found: set[str] = set()
    for match in _NAMED.finditer(text):
        name = match[1] or match[2] or match[3]
        # `args.exists(…)` goes through all of them
        if name is None or _CALLED.match(text, match.end()):
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
