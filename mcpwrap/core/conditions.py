"""Conditions of a rule: constraints on arguments, ``unless``, and ``when`` (POLICY.md §2).

What is judged is three-valued: a constraint surely holds, surely doesn't, or it can't be told (the argument is absent, of another
type, or can't be resolved). What can't be told fails an ``allow`` and satisfies ``log``, ``ask`` and ``deny``, so that nothing
unsure ever loosens; of ``unless`` the same holds the other way round.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import msgspec

from mcpwrap.core.cel import When
from mcpwrap.core.facts import Facts, NoFacts
from mcpwrap.core.hosts import SEARCH_LIMIT, host_matches, hosts_in, sure_host
from mcpwrap.core.outcome import Outcome
from mcpwrap.core.paths import PATH_LIMIT, folded, inside, lexical, readings, shortened
from mcpwrap.core.patterns import Pattern

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


class Truth(enum.IntEnum):
    """Whether something holds."""

    NO = 0
    UNSURE = 1
    YES = 2


class Constraint(msgspec.Struct, frozen=True):
    """What one argument must be; everything that is given must hold.

    `within` are absolute folders, `host` patterns of hosts, `glob` patterns, `one_of` plain values, `max` a number.
    """

    within: tuple[str, ...] = ()
    host: tuple[str, ...] = ()
    glob: tuple[Pattern, ...] = ()
    one_of: tuple[Any, ...] | None = None
    max: int | float | None = None

    def judge(self, value: Any, facts: Facts) -> Truth:
        """Whether one value, no array, satisfies it."""
        found = Truth.YES
        if self.within:
            found = min(found, self._within(value, facts))
        if self.host:
            found = min(found, self._host(value))
        if self.glob:
            found = min(found, self._glob(value, facts))
        if self.one_of is not None:
            found = min(found, _one_of(value, self.one_of))
        if self.max is not None:
            number = type(value) is int or type(value) is float
            found = min(found, Truth.UNSURE if not number else Truth.YES if value <= self.max else Truth.NO)
        return found

    def possibly(self, text: str, facts: Facts) -> bool:
        """For the key ``*``, whose strings may be anything: whether `text` may be what the constraint means."""
        if self.one_of is not None and _one_of(text, self.one_of) is not Truth.YES:
            return False
        if self.max is not None:
            return False
        if self.host and not self._host_possibly(text):
            return False
        if not (self.within or self.glob):
            return True
        return any(self._path_possibly(each, facts) for each in (text, *shortened(text)))

    def _path_possibly(self, text: str, facts: Facts) -> bool:
        if self.within and (not _is_pathlike(text, facts) or self._within(text, facts) is Truth.NO):
            return False
        return not self.glob or self._glob_possibly(text, facts)

    def _host_possibly(self, text: str) -> bool:
        if len(text) > SEARCH_LIMIT:
            return True  # it can't be told
        return any(host_matches(each, host) for host in hosts_in(text) for each in self.host)

    def _within(self, value: Any, facts: Facts) -> Truth:
        if type(value) is not str:
            return Truth.UNSURE
        found = facts.paths(value)
        if found is None:
            return Truth.UNSURE
        roots = [facts.canonical(root) for root in self.within]
        if all(any(inside(path, root) for root in roots) for path in found):
            return Truth.YES
        near = any(inside(folded(path), folded(root)) for path in found for root in roots)
        return Truth.UNSURE if near else Truth.NO

    def _host(self, value: Any) -> Truth:
        if type(value) is not str:
            return Truth.UNSURE
        host = sure_host(value)
        if host is None:
            return Truth.UNSURE
        return Truth.YES if any(host_matches(each, host) for each in self.host) else Truth.NO

    def _glob(self, value: Any, facts: Facts) -> Truth:
        if type(value) is not str or len(value) > PATH_LIMIT:
            return Truth.UNSURE
        found = facts.paths(value) if facts.is_path(value) else ()
        if found is None:
            return Truth.UNSURE
        if self._matches(value) and all(any(map(self._matches, _forms(path, facts))) for path in found):
            return Truth.YES
        return Truth.UNSURE if self._glob_possibly(value, facts) else Truth.NO

    def _matches(self, text: str) -> bool:
        return any(pattern.matches(text) or (_rootless(pattern) and pattern.matches("/" + text)) for pattern in self.glob)

    def _glob_possibly(self, text: str, facts: Facts) -> bool:
        if any(pattern.matches(text) for pattern in self.glob):
            return True
        if len(text) > PATH_LIMIT:
            return False  # no path; as text it was judged
        folds = [_folded_pattern(pattern) for pattern in self.glob]
        spellings = _spellings(text, facts)
        if spellings is None:
            return True
        return any(
            pattern.matches(spelled) or (_rootless(pattern) and pattern.matches("/" + spelled))
            for spelled in spellings
            for pattern in folds
        )


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
            if not _satisfied(key, constraint, context, possibly=strict):
                return f"{_named(key)} isn't {_words(constraint)}, or that can't be told"
        if self.unless and known and all(_satisfied(k, c, context, possibly=not strict) for k, c in self.unless):
            return "its `unless` holds" if strict else "its `unless` holds, or may"
        if self.when is not None:
            held = self.when.holds(context)
            # where the arguments aren't known, an `allow` whose `when` can't be told may still hold
            if held is False or (held is None and not strict and known):
                return "its `when` isn't true" if held is False else "its `when` can't be told"
        return ""

    def surely(self, context: Context) -> bool:
        """True where they hold whatever the arguments are."""
        if self.args or self.unless:
            return False
        return self.when is None or self.when.holds(msgspec.structs.replace(context, arguments=None)) is True


def _satisfied(key: str, constraint: Constraint, context: Context, *, possibly: bool) -> bool:
    """Whether the argument `key` satisfies `constraint`: possibly (any element), or surely (every one)."""
    facts, arguments = context.facts, context.arguments or {}
    if key == EVERY:
        strings = list(islice(_strings(arguments, keys=possibly), VALUES_LIMIT + 1))
        if len(strings) > VALUES_LIMIT:
            return possibly
        if possibly:
            return any(constraint.possibly(text, facts) for text in strings)
        return bool(strings) and all(constraint.judge(text, facts) is Truth.YES for text in strings)
    if key == URI:
        if not context.uri.startswith("file:") and (constraint.within or constraint.glob):
            return False  # no path: the list's plain patterns are for it
        truths = [constraint.judge(context.uri, facts)]
    else:
        values = list(islice(_values(arguments, key), VALUES_LIMIT + 1))
        if len(values) > VALUES_LIMIT:
            return possibly
        truths = [Truth.UNSURE if value is _ABSENT else constraint.judge(value, facts) for value in values]
    return any(t is not Truth.NO for t in truths) if possibly else all(t is Truth.YES for t in truths)


_LINES: Final = re.compile(r"[\r\n]")

_ABSENT: Final = object()


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


def _one_of(value: Any, known: tuple[Any, ...]) -> Truth:
    kind = _kind(value)
    alike = [each for each in known if _kind(each) is kind]  # True is no 1
    if not alike:
        return Truth.UNSURE  # of another type: a server may read "22" as 22
    return Truth.YES if value in alike else Truth.NO


def _kind(value: Any) -> type:
    return float if type(value) is int else type(value)


def _is_pathlike(text: str, facts: Facts) -> bool:
    return len(text) <= PATH_LIMIT and facts.is_path(text)


def _forms(path: str, facts: Facts) -> tuple[str, ...]:
    relative = facts.relative(path)
    return (path,) if relative is None else (path, relative)


def _rootless(pattern: Pattern) -> bool:
    """True for ``**/x``, which means ``x`` in the first folder as well."""
    return pattern.text.startswith("**/")


def _spellings(text: str, facts: Facts) -> set[str] | None:
    """Every folded spelling that a glob is matched against; None where `text` is a path that can't be resolved."""
    # a line break at the end is no part of a name; one within makes it a text of several lines, and no path
    text = text.strip("\r\n\t ")
    found = {text, *(readings(text) or ())}
    if facts.is_path(text) and not _LINES.search(text):
        resolved = facts.paths(text)
        if resolved is None and text.startswith(("/", "~", "file:")):
            return None
        for path in resolved or ():
            found.update(_forms(path, facts))
    spelled: set[str] = set()
    for each in found:
        plain = folded(each)
        for form in (plain, lexical(plain) if plain else ""):
            spelled.update((form, form + "/"))
    return spelled


@lru_cache(maxsize=4096)
def _folded_pattern(pattern: Pattern) -> Pattern:
    return pattern.folded(folded)


def _named(key: str) -> str:
    return "a string" if key == EVERY else "the URI" if key == URI else f"`{key}`"


def _words(constraint: Constraint) -> str:
    words: list[str] = []
    if constraint.within:
        words.append(f"inside {' or '.join(constraint.within)}")
    if constraint.host:
        words.append(f"on the host {' or '.join(constraint.host)}")
    if constraint.glob:
        words.append(f"like {' or '.join(pattern.text for pattern in constraint.glob)}")
    if constraint.one_of is not None:
        words.append(f"one of {', '.join(map(str, constraint.one_of))}")
    if constraint.max is not None:
        words.append(f"at most {constraint.max}")
    return " and ".join(words)
