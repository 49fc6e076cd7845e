"""The kinds of what may stand in a file; `mcpwrap.policy.shape` is made of them, `check` and `schema` read them.

A key is known (a shape), known to come with a later version (`Later`: it is refused with that said, never half obeyed), known but
out of place in this file (`Elsewhere`), or unknown, which is an error as well.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Reserved(msgspec.Struct, frozen=True):
    """Names that are kept: those that `pattern` matches as a whole. `why` goes on after the name, `hint` is the remedy; `part` are
    some of them that have a reason of their own."""

    pattern: str
    why: str
    hint: str
    part: Reserved | None = None


class Text(msgspec.Struct, frozen=True):
    """A string; `pattern` is what the whole of it must match, `like` says that in words. A `url` gets the hints of one."""

    doc: str
    limit: int = 4096
    pattern: str = ""
    like: str = ""
    reserved: Reserved | None = None
    url: bool = False


class Version(msgspec.Struct, frozen=True):
    """The integer 1."""

    doc: str


class Flag(msgspec.Struct, frozen=True):
    """True or false."""

    doc: str


class Strings(msgspec.Struct, frozen=True):
    """A list of strings; `least` is how many it must have. `constraint` is the shape of the tables that may stand in it as well."""

    doc: str
    item: Text
    least: int = 0
    constraint: Table | None = None


class OneOrMore(msgspec.Struct, frozen=True):
    """A string, or a list of at least one."""

    doc: str
    item: Text


class Scalars(msgspec.Struct, frozen=True):
    """A list of strings, numbers and truth values, at least one."""

    doc: str


class Number(msgspec.Struct, frozen=True):
    """A number; `least` and `most` are the smallest and largest, and where `least` is given, the number is whole."""

    doc: str
    least: int | None = None
    most: int | None = None


class Choice(msgspec.Struct, frozen=True):
    """One of some words; `later` are those of a later version, and what of it is missing."""

    doc: str
    words: tuple[str, ...]
    later: Mapping[str, str] = {}


class Each(msgspec.Struct, frozen=True):
    """An array of tables (`[[header]]`)."""

    doc: str
    table: Table


class Keyed(msgspec.Struct, frozen=True):
    """A table of tables of the shape `table`, each with at least one key; their own keys match `name`."""

    doc: str
    name: str
    like: str
    table: Table


class Free(msgspec.Struct, frozen=True):
    """A table of anything."""

    doc: str


class StringMap(msgspec.Struct, frozen=True):
    """A table of strings whose keys match `name`."""

    doc: str
    name: str
    like: str
    value: Text
    reserved: Reserved | None = None


class Later(msgspec.Struct, frozen=True):
    """A key of a later version; `why` says what of it is missing."""

    why: str


class Elsewhere(msgspec.Struct, frozen=True):
    """A key that counts in another file only."""

    message: str
    hint: str


class Table(msgspec.Struct, frozen=True):
    """A table of known keys. The JSON Schema says as well which it must have: all that it `needs`, exactly `one` of some; beside
    a key of `beside` at least one of those given there, and beside a key of `without` none of them.
    """

    doc: str
    keys: Mapping[str, Shape]
    needs: tuple[str, ...] = ()
    one: tuple[str, ...] = ()
    beside: Mapping[str, tuple[str, ...]] = {}
    without: Mapping[str, tuple[str, ...]] = {}


class Named(msgspec.Struct, frozen=True):
    """A table of tables whose keys match `name`. One that has a `command` has the shape `own` where that is given, else `other`."""

    doc: str
    name: str
    like: str
    other: Table
    own: Table | None = None
    reserved: Reserved | None = None

    def choose(self, value: object) -> Table:
        """The shape for one of the tables."""
        return self.own if self.own is not None and isinstance(value, dict) and "command" in value else self.other


Shape = (
    Text
    | Version
    | Flag
    | Strings
    | OneOrMore
    | Scalars
    | Number
    | Choice
    | Each
    | Keyed
    | Free
    | StringMap
    | Later
    | Elsewhere
    | Table
    | Named
)
