"""What a server showed last against what was accepted of it: the differences that wait for a person, and accepting them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Literal

import msgspec

from mcpwrap.core import jsonrpc
from mcpwrap.core.disguise import Others
from mcpwrap.core.jsonrpc import Json
from mcpwrap.core.pins import KINDS, WORDS, Kind, Learned, digest, suspicious
from mcpwrap.policy.lock import Entry, Lock
from mcpwrap.policy.pins import PinStore, others_of

What = Literal["changed", "new", "twice", "gone"]


class Difference(msgspec.Struct, frozen=True):
    """One thing of a server that isn't as it was accepted. What is ``gone`` holds nothing back; what is there ``twice`` can't be
    accepted. `why` says what speaks against it besides, "" where nothing does.
    """

    server: str
    kind: Kind | Literal["greeting"]
    name: str
    what: What
    old: Json | None
    new: Json | None
    why: str = ""

    @property
    def waits(self) -> bool:
        """True where something is held back until a person accepts it."""
        return self.what != "gone"

    @property
    def title(self) -> str:
        """What it is, in words."""
        return "what the server says of itself" if self.kind == "greeting" else f"{WORDS[self.kind]} {self.name}"


class State(msgspec.Struct, frozen=True):
    """One server: where its pins come from, since when (RFC 3339, "" for a lock), what was accepted, and what differs."""

    server: str
    source: Literal["lock", "first sight", ""]
    at: str
    accepted: Entry
    seen: Learned | None
    differences: tuple[Difference, ...]

    @property
    def waiting(self) -> tuple[Difference, ...]:
        """What is held back."""
        return tuple(difference for difference in self.differences if difference.waits)


def state_of(lock: Lock, store: PinStore, root: str, server: str, servers: Iterable[str]) -> State:
    """How `server`, one of the project's `servers`, stands; `lock` is the one that counts."""
    seen = store.seen(root, server)
    if (entry := lock.servers.get(server)) is not None:
        return State(server, "lock", "", entry, seen, tuple(_differences(server, entry, frozenset(KINDS), seen)))
    known, pinned = store.known(root, server), store.remembered(root, server)
    if pinned is None:
        return State(server, "", "", Entry(), seen, ())
    accepted = Entry(greeting=known.greeting, items=known.items) if known else Entry()
    at = known.at if known else ""
    others = Others(others_of(lock, store, root, server, servers))
    found = tuple(_explained(each, others) for each in _differences(server, accepted, pinned.complete, seen))
    return State(server, "first sight", at, accepted, seen, found)


def offer_digest(differences: Sequence[Difference]) -> str:
    """SHA-256 (hex) of what would be accepted: servers, kinds, names, and the digests of what is new."""
    rows = [[d.server, d.kind, d.name, "" if d.new is None else digest(d.new)] for d in differences]
    return sha256(jsonrpc.encode(sorted(rows))).hexdigest()


def accept(entry: Entry, differences: Sequence[Difference], package: str | None) -> Entry:
    """`entry` with `differences` accepted; none of them may be there twice."""
    items = {kind: dict(entry.items.get(kind, {})) for kind in KINDS}
    greeting = entry.greeting
    for difference in differences:
        if difference.kind == "greeting":
            greeting = difference.new
        elif difference.new is None:
            items[difference.kind].pop(difference.name, None)
        else:
            items[difference.kind][difference.name] = difference.new
    return Entry(package, greeting, items)


def _differences(server: str, accepted: Entry, complete: frozenset[Kind], seen: Learned | None) -> Iterator[Difference]:
    if seen is None:
        return
    old, new = accepted.greeting, seen.greeting
    if new is not None and (old is None or digest(old) != digest(new)):
        yield Difference(server, "greeting", "", "new" if old is None else "changed", old, new)
    for kind in KINDS:
        if kind in seen.complete and kind in complete:
            yield from _items(server, kind, accepted, seen)


def _explained(difference: Difference, others: Others) -> Difference:
    """`difference` with the reason for which a tool wasn't taken on first sight, where it is another server's name."""
    if difference.kind != "tool" or difference.what != "new" or difference.why or difference.new is None:
        return difference
    return msgspec.structs.replace(difference, why=others.imitated(difference.name, digest(difference.new)))


def _items(server: str, kind: Kind, accepted: Entry, seen: Learned) -> Iterator[Difference]:
    before, now, twice = accepted.items.get(kind, {}), seen.items[kind], seen.twice.get(kind, frozenset())
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if new is None:
            yield Difference(server, kind, name, "gone", old, None)
        elif name in twice:
            yield Difference(server, kind, name, "twice", old, None, "there are two of that name: only the server can mend that")
        elif old is None:
            yield Difference(server, kind, name, "new", None, new, suspicious(new, kind, name))
        elif digest(old) != digest(new):
            yield Difference(server, kind, name, "changed", old, new, suspicious(new, kind, name))
