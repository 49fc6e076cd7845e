"""Conditions of a rule: constraints on arguments, ``unless``, and ``when`` (POLICY.md §2).

What is judged is three-valued: a constraint surely holds, surely doesn't, or it can't be told (the argument is absent, of another
type, or can't be resolved). What can't be told fails an ``allow`` and satisfies ``log``, ``ask`` and ``deny``, so that nothing
unsure ever loosens; of ``unless`` the same holds the other way round.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mcpwrap.core.facts import Facts, NoFacts
from mcpwrap.core.outcome import Outcome

if TYPE_CHECKING:
    from mcpwrap.core.cel import When
    from mcpwrap.core.constraint import Constraint

EVERY: Final = "*"
"""The key that stands for every string at any depth of the arguments."""

URI: Final = "\0uri"
"""The key that stands for the URI which is judged (constraints in the lists of a ``resources`` table)."""

VALUES_LIMIT: Final = 10_000
"""Most values of one call that a rule looks at; more can't be told."""


class Context(msgspec.Struct, frozen=True):
    """What a decision is made on besides the name. `arguments` are None where they aren't known; `time` is a `datetime`."""

    arguments: Mapping[str, Any] | None = None
    tool: str = ""
    uri: str = ""
    server: str = ""
    project: str = ""
    subject: Mapping[str, Any] = {}
    client: Mapping[str, Any] = {}
    session: Mapping[str, Any] = {}
    time: Any = None
    facts: Facts = NoFacts()


class Conditions(msgspec.Struct, frozen=True):
    """The conditions of one rule: keys of arguments with their constraints, and an expression. `text` is what a person reads."""

    args: tuple[tuple[str, Constraint], ...] = ()
    unless: tuple[tuple[str, Constraint], ...] = ()
    when: When | None = None
    text: str = ""

    def applies(self, effect: Outcome, context: Context) -> bool:
        """Whether a rule of `effect` counts for what is asked; where the arguments aren't known, whether it may."""
        return not self.why_not(effect, context)

    def why_not(self, effect: Outcome, context: Context) -> str:
        """Why a rule of `effect` doesn't count, in words; "" where it does."""
        known = context.arguments is not None
        strict = effect is not Outcome.ALLOW
        for key, constraint in self.args if known else ():
            if not _judged(key, constraint, context, possibly=strict):
                from mcpwrap.core.constraint import words  # noqa: PLC0415 - as below

                return f"{_named(key)} isn't {words(constraint)}, or that can't be told"
        if self.unless and known and all(_judged(k, c, context, possibly=not strict) for k, c in self.unless):
            return "its `unless` holds" if strict else "its `unless` holds, or may"
        if self.when is not None:
            held = _held(self.when, context)
            # where the arguments aren't known, an `allow` whose `when` can't be told may still hold
            if held is False or (held is None and not strict and known):
                return "its `when` isn't true" if held is False else "its `when` can't be told"
        return ""

    def surely(self, context: Context) -> bool:
        """True where they hold whatever the arguments are."""
        if self.args or self.unless:
            return False
        return self.when is None or _held(self.when, msgspec.structs.replace(context, arguments=None)) is True


def _judged(key: str, constraint: Constraint, context: Context, *, possibly: bool) -> bool:
    """As `_satisfied`; whatever goes wrong there can't be told."""
    try:
        return _satisfied(key, constraint, context, possibly=possibly)
    except Exception:  # noqa: BLE001 - no text that is judged may end a session, whichever library gives up on it
        return possibly


def _held(when: When, context: Context) -> bool | None:
    try:
        return when.holds(context)
    except Exception:  # noqa: BLE001 - as above
        return None


def _satisfied(key: str, constraint: Constraint, context: Context, *, possibly: bool) -> bool:
    """Whether the argument `key` satisfies `constraint`: possibly (any element), or surely (every one)."""
    from mcpwrap.core.constraint import Metered, Truth  # noqa: PLC0415 - 10 ms of a start, which most policies don't need

    facts, arguments = context.facts, context.arguments or {}
    if key == EVERY:
        strings = list(islice(_strings(arguments, keys=possibly), VALUES_LIMIT + 1))
        if len(strings) > VALUES_LIMIT:
            return possibly
        facts = Metered(facts)
        if possibly:
            return any(constraint.possibly(text, facts) for text in strings)
        return bool(strings) and all(constraint.judge(text, facts) is Truth.YES for text in strings)
    if key == URI:
        path = context.uri.startswith("file:") or (possibly and _SCHEME.match(context.uri) is None)
        if not path and (constraint.within or constraint.glob):
            return False  # no path: the list's plain patterns are for it; without a scheme a server may take it for one
        truths = iter((constraint.judge(context.uri, facts),))
    else:
        values = list(islice(_values(arguments, key), VALUES_LIMIT + 1))
        if len(values) > VALUES_LIMIT:
            return possibly
        if len(values) > 1:
            facts = Metered(facts)
        truths = (Truth.UNSURE if value is _ABSENT else constraint.judge(value, facts) for value in values)
    return any(t is not Truth.NO for t in truths) if possibly else all(t is Truth.YES for t in truths)


_ABSENT: Final = object()

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""That of a URI (RFC 3986 §3.1); of one letter it is a drive."""


def _values(arguments: Mapping[str, Any], key: str) -> Iterator[Any]:
    """The values of a key, dotted for nested ones; arrays are taken apart, and what isn't there is `_ABSENT`."""
    yield from _descend(arguments, key.split("."))
    if "." in key and key in arguments:
        yield from _descend(arguments, [key])


def _descend(value: Any, parts: list[str]) -> Iterator[Any]:
    todo = [(value, 0)]
    while todo:
        here, at = todo.pop()
        if type(here) is list:
            if not here:
                yield _ABSENT
            todo.extend((each, at) for each in here)
        elif at == len(parts):
            yield here
        elif isinstance(here, Mapping) and parts[at] in here:
            todo.append((here[parts[at]], at + 1))
        else:
            yield _ABSENT


def _strings(arguments: Mapping[str, Any], *, keys: bool) -> Iterator[str]:
    """Every string at any depth; with `keys` the names in nested objects as well (a path may hide there)."""
    todo: list[Any] = list(arguments.values())
    while todo:
        here = todo.pop()
        if type(here) is str:
            yield here
        elif type(here) is list:
            todo.extend(here)
        elif isinstance(here, Mapping):
            if keys:
                yield from here
            todo.extend(here.values())


def _named(key: str) -> str:
    return "a string" if key == EVERY else "the URI" if key == URI else f"`{key}`"
