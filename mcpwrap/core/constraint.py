"""What a constraint says of one value: a path, the host of a URL, a pattern, a choice, a number (POLICY.md §2).

It surely holds, surely doesn't, or it can't be told: of another type, not to be resolved, or read in two ways. A text may be read
in many ways, so it surely holds only where all readings agree, and surely doesn't only where none comes near.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

import msgspec

from mcpwrap.core.facts import Facts, Once
from mcpwrap.core.hosts import SEARCH_LIMIT, host_matches, hosts_in, sure_host
from mcpwrap.core.paths import PATH_LIMIT, folded, foreign, inside, lexical, opaque, readings, relative, shortened, spellings
from mcpwrap.core.patterns import Pattern

NAMES_LIMIT: Final = 200_000
"""Most names that are looked up in the file system for one rule and call, where it has several texts: 10,000 ordinary paths, half a
second at 4 µs each and twice where something isn't there. What comes after can't be told."""

SPELLED_LIMIT: Final = 8 << 20
"""Most characters that are spelled out for one rule and call (0.1 µs each); a text that can't be a path or a match isn't spelled
out. What comes after can't be told."""


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
        if self.host and not self._host_possibly(text, facts):
            return False
        if not (self.within or self.glob):
            return True
        if _SURROGATE.search(text):
            return True  # what isn't Unicode is read in as many ways as there are readers
        return any(self._path_possibly(each, facts) for each in (text, *shortened(text)))

    def _path_possibly(self, text: str, facts: Facts) -> bool:
        if len(text) > PATH_LIMIT:
            # no path; as a text it is judged all the same
            return not self.within and any(pattern.matches(text) for pattern in self.glob)
        if self.within and not self._within_possibly(text, facts):
            return False
        return not self.glob or self._glob_possibly(text, facts)

    def _within_possibly(self, text: str, facts: Facts) -> bool:
        """Where it leads is all that counts, so what can't be resolved but may well be a path is inside."""
        if not _may_be_path(text, facts):
            return False
        found = _ends(text, facts)
        if found is None or opaque(text) or foreign(text):
            return True
        if not facts.rooted and relative(text):
            return True
        roots = [folded(facts.canonical(root)) for root in self.within]
        return any(inside(folded(path), root) for path in found for root in roots)

    def _host_possibly(self, text: str, facts: Facts) -> bool:
        if len(text) > SEARCH_LIMIT:
            return True  # it can't be told
        if isinstance(facts, Metered):
            facts.search(text)
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
        if type(value) is not str or len(value) > PATH_LIMIT or _SURROGATE.search(value):
            return Truth.UNSURE
        if self._matches(value):
            return Truth.YES if self._glob_surely(value, facts) else Truth.UNSURE
        if facts.is_path(value) and facts.paths(value) is None:
            return Truth.UNSURE
        return Truth.UNSURE if self._glob_possibly(value, facts, named=True) else Truth.NO

    def _glob_surely(self, value: str, facts: Facts) -> bool:
        """Whether every reading of a text that matches does so as well, and every place where one leads."""
        url = _URL.match(value) is not None
        # a pattern with a colon isn't about names with streams
        read = _url_readings(value) if url else readings(value, streams=not any(":" in pattern.text for pattern in self.glob))
        if read is None:
            # prose of several lines, say, which is no path in any spelling: its letters are all there is
            return not url and not _may_be_path(value, facts)
        if url:
            return all(map(self._matches, read))
        # a pattern may be for files, and for their URIs
        schemes = ("", "file://") if value[:5].lower() == "file:" else ("",)
        if not all(any(self._matches_composed(scheme + lexical(each)) for scheme in schemes) for each in read):
            return False
        if not (facts.rooted or facts.is_path(value)):
            return True
        if facts.paths(value) is None:
            return False
        for each in read:
            ends = facts.ends(each)
            if not ends:
                return False
            for path in ends:
                if not any(self._matches_composed(scheme + form) for form in _forms(path, facts) for scheme in schemes):
                    return False
        return True

    def _matches(self, text: str) -> bool:
        return any(pattern.matches(text) or (_rootless(pattern) and pattern.matches("/" + text)) for pattern in self.glob)

    def _matches_composed(self, text: str) -> bool:
        """As names are compared that look alike: a pattern's own `ü` is the same in either form. One that goes up never matches."""
        if text == ".." or text.startswith("../"):
            return False
        return self._matches(text) or (
            not text.isascii() and any(self._matches(unicodedata.normalize(form, text)) for form in ("NFC", "NFD"))
        )

    def _glob_possibly(self, text: str, facts: Facts, *, named: bool = False) -> bool:
        if any(pattern.matches(text) for pattern in self.glob):
            return True
        folds = [_folded_pattern(pattern) for pattern in self.glob]
        if not (named and facts.rooted) and not _may_be_path(text, facts) and not _near(text, folds):
            return False
        found = _ends(text, facts, named=named)
        if found is None or opaque(text):
            return True
        forms = {*spellings(text)}
        for path in found:
            forms.update(_forms(path, facts))
        # an expression may tell cases apart (`[^A-Z]`): it is for the forms as they are, too
        exact = [pattern for pattern in self.glob if pattern.regex is not None]
        if exact and any(pattern.matches(form) for form in _each_form(forms) for pattern in exact):
            return True
        return any(
            pattern.matches(spelled) or (_rootless(pattern) and pattern.matches("/" + spelled))
            for spelled in _each_form(forms, fold=folded)
            for pattern in folds
        )


class Spent(Exception):
    """The texts of a call need more work than a rule puts into them."""


class Metered(Once):
    """Facts for several texts of one call, as far as the work for them goes.

    Raises (any method that looks something up):
        Spent: there are more than `NAMES_LIMIT` names, `SPELLED_LIMIT` characters, or four times `SEARCH_LIMIT` to look at.
    """

    __slots__ = ("_characters", "_names", "_searched")

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._names = self._characters = self._searched = 0

    def search(self, text: str) -> None:
        """Count a text that is searched for hosts."""
        self._searched += len(text)
        if self._searched > 4 * SEARCH_LIMIT:
            raise Spent

    def spell(self, text: str) -> None:
        """Count a text that is spelled out."""
        self._characters += len(text)
        if self._characters > SPELLED_LIMIT:
            raise Spent

    def paths(self, text: str) -> tuple[str, ...] | None:
        """As `Facts.paths`, counted."""
        self.spell(text)
        read = readings(text) or ()
        for each in () if read == (text,) else read:  # (a plain one is counted by `ends`)
            self._walk(each)
        return super().paths(text)

    def ends(self, path: str) -> tuple[str, ...] | None:
        """As `Facts.ends`, counted."""
        self._walk(path)
        return super().ends(path)

    def _walk(self, path: str) -> None:
        self._names += (path.count("/") + 8) * (2 if ".." in path else 1)
        if self._names > NAMES_LIMIT:
            raise Spent


_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_URL: Final = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]+://", re.IGNORECASE)
_ODD_URL: Final = re.compile(r"[\x00-\x1f\\]|(?:\A|/)\.\.?(?:[/?#]|\Z)")
"""What leads elsewhere in a URL, for some reader: dot segments, and what is a slash or nothing."""


def _one_of(value: Any, known: tuple[Any, ...]) -> Truth:
    kind = _kind(value)
    alike = [each for each in known if _kind(each) is kind]  # True is no 1
    if not alike:
        return Truth.UNSURE  # of another type: a server may read "22" as 22
    return Truth.YES if value in alike else Truth.NO


def _kind(value: Any) -> type:
    return float if type(value) is int else type(value)


def _forms(path: str, facts: Facts) -> tuple[str, ...]:
    relative = facts.relative(path)
    return (path,) if relative is None else (path, relative)


def _rootless(pattern: Pattern) -> bool:
    """True for ``**/x``, which means ``x`` in the first folder as well."""
    return pattern.text.startswith("**/")


def _may_be_path(text: str, facts: Facts) -> bool:
    """Whether some spelling of `text` can be a path: by its look, or since its first name is there."""
    if facts.is_path(text) or opaque(text):
        return True
    # a single name of letters has no other spelling
    return _ODD.search(text) is not None and any(map(facts.is_path, _spelled(text, facts)))


_ODD: Final = re.compile(r"[/\\%:\x00-\x1f\x7f-\U0010ffff]|^[ \"'`]|[. \"'`]$")
"""What stands in a text that has another spelling, or a folder in front."""


def _spelled(text: str, facts: Facts) -> tuple[str, ...]:
    found = spellings(text)
    if isinstance(facts, Metered):
        for each in found:
            facts.spell(each)
    return found


def _ends(text: str, facts: Facts, *, named: bool = False) -> set[str] | None:
    """Everywhere that some spelling of `text` leads; None where one can't be resolved that has a folder to go from."""
    found: set[str] = set()
    for each in _spelled(text, facts):
        if (named and facts.rooted) or facts.is_path(each):
            ends = facts.ends(each)
            if ends is None and (facts.rooted or each.startswith("/")):
                return None
            found.update(ends or ())
    return found


def _near(text: str, patterns: list[Pattern]) -> bool:
    """False only for a text that isn't a path and has none of the letters that each pattern needs: prose."""
    if len(text) > PATH_LIMIT or not text:
        return False
    if "%" in text or not text.isascii():
        return True
    small = text.lower()
    return any(pattern.regex is not None or all(each in small for each in _needed(pattern)) for pattern in patterns)


@lru_cache(maxsize=4096)
def _needed(pattern: Pattern) -> tuple[str, ...]:
    """Letters that stand in every text that matches, whatever is taken away between them."""
    letters = "".join(symbol if isinstance(symbol, str) else "/" for symbol in pattern.symbols)
    return tuple(letters.split("/"))


def _each_form(forms: Iterable[str], *, fold: Callable[[str], str] = str) -> set[str]:
    """`forms` after `fold`, without dot segments as well, and as folders."""
    found: set[str] = set()
    for each in forms:
        plain = fold(each if each.isascii() else _SURROGATE.sub("\ufffd", each))
        for form in (plain, lexical(plain) if plain else ""):
            found.update((form, form + "/"))
    return found


@lru_cache(maxsize=4096)
def _folded_pattern(pattern: Pattern) -> Pattern:
    return pattern.folded(folded)


def _url_readings(text: str) -> tuple[str, ...] | None:
    """A URL as it stands and decoded; None where one of these leads elsewhere, for some reader."""
    found = readings(text, streams=False)
    return None if found is None or any(_ODD_URL.search(each) for each in found) else found


def words(constraint: Constraint) -> str:
    """What `constraint` asks for, as a person reads it."""
    found: list[str] = []
    if constraint.within:
        found.append(f"inside {' or '.join(constraint.within)}")
    if constraint.host:
        found.append(f"on the host {' or '.join(constraint.host)}")
    if constraint.glob:
        found.append(f"like {' or '.join(pattern.text for pattern in constraint.glob)}")
    if constraint.one_of is not None:
        found.append(f"one of {', '.join(map(str, constraint.one_of))}")
    if constraint.max is not None:
        found.append(f"at most {constraint.max}")
    return " and ".join(found)
