"""Pins: what a server says of itself must stay what was accepted (POLICY.md §4).

Rules

1. What was accepted is a `PinnedServer`: digests of the greeting and of every tool, prompt and resource template. One that comes
   from ``mcpwrap.lock`` is whole: what doesn't stand in it is new.
2. Where nothing was accepted of a kind yet, the first list is taken page by page: what was shown once can't change any more, not
   in a later session either, and with the last page nothing can be added. What deceives (`mcpwrap.core.disguise`), or has the name
   of another server's tool, isn't taken.
3. What is changed, new, or there twice is hidden from lists and refused when it is called, until a person accepts it (`replace`).
4. Before a list was seen, a call is judged by its name: nothing else is known.

Nothing here ever loosens within a session but an acceptance.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec

from mcpwrap.core import jsonrpc
from mcpwrap.core.disguise import Others, disguised, hidden_in
from mcpwrap.core.jsonrpc import Json
from mcpwrap.core.patterns import NAME_LIMIT

Kind = Literal["tool", "prompt", "template"]

KINDS: Final[tuple[Kind, ...]] = ("tool", "prompt", "template")

NAME_OF: Final[Mapping[Kind, str]] = {"tool": "name", "prompt": "name", "template": "uriTemplate"}
"""The field that names a definition."""

WORDS: Final[Mapping[Kind, str]] = {"tool": "tool", "prompt": "prompt", "template": "resource template"}

COUNT_LIMIT: Final = 4096
"""Most definitions of one kind; the largest servers have some hundreds."""

BYTES_LIMIT: Final = 8 * 1024 * 1024
"""Most bytes of the definitions that are kept of one server: they are held in memory, and written down."""

PAGES_LIMIT: Final = 256
"""Most pages of a list that has no end yet: each is written down with those before it."""

GREETING_LIMIT: Final = 1024 * 1024
"""Longest greeting, in bytes; ``instructions`` have some kilobytes."""

LOCK_NAME: Final = "mcpwrap.lock"
FIRST_SIGHT: Final = "pins of first sight"

SERVER_INFO: Final = "io.modelcontextprotocol/serverInfo"

_NEGOTIATION: Final = frozenset({"protocolVersion", "supportedVersions", "resultType", "ttlMs", "cacheScope", "_meta"})
"""What of a greeting depends on the client's revision, or is about caching."""

_WITHOUT_WORDS: Final = (_NEGOTIATION | {"capabilities"}) - {"_meta"}

_PLAIN_NAME: Final = re.compile(r"[\w@./+-]{1,100}\Z")
"""What the name or version of a server is made of: no sentence."""

_BY_REVISION: Final = frozenset({"listChanged", "subscribe"})
"""How changes are announced is a matter of the revision: a server of both families says one thing to each of them."""

_TWICE: Final = "there are two of that name"
_MANY: Final = "the server has more definitions than mcpwrap keeps"

_encode = msgspec.json.Encoder(order="deterministic", decimal_format="number").encode


class PinnedServer(msgspec.Struct, frozen=True):
    """What was accepted of one server, as digests.

    In `complete` are the kinds whose whole list was accepted: what isn't in it is new. `locked`: it comes from ``mcpwrap.lock``,
    so that nothing is taken on first sight.
    """

    greeting: str | None = None
    items: Mapping[Kind, Mapping[str, str]] = {}
    complete: frozenset[Kind] = frozenset()
    locked: bool = False


class Learned(msgspec.Struct, frozen=True):
    """What was seen of a server: the definitions of its last whole lists, held or not, by kind and name.

    `complete` are the kinds whose whole list was seen; of the others there is what was shown so far.
    `twice` has names that stood there more than once. `first_sight`: something was
    taken, and `pinned` is what is to be remembered. `at` says when (RFC 3339), "" in the session itself.
    """

    items: Mapping[Kind, Mapping[str, Json]] = {}
    complete: frozenset[Kind] = frozenset()
    greeting: Json | None = None
    twice: Mapping[Kind, frozenset[str]] = {}
    first_sight: bool = False
    pinned: PinnedServer = PinnedServer()
    at: str = ""


def digest(definition: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of `definition`, its keys sorted and its numbers as they are: ``1`` and ``1.0`` are different."""
    return sha256(_canonical(definition)).hexdigest()


def _canonical(value: object) -> bytes:
    try:
        return _encode(value)
    except UnicodeEncodeError:  # a lone surrogate
        return jsonrpc.encode(_ordered(value))


def _ordered(value: object) -> object:
    match value:
        case dict():
            return {key: _ordered(value[key]) for key in sorted(value)}
        case list():
            return [_ordered(item) for item in value]
        case _:
            return value


def greeting(result: Mapping[str, Any]) -> Json:
    """What is pinned of an answer to ``initialize`` or ``server/discover``: all but the version negotiation and caching.

    Both answers of one server come out the same, since clients of both families use one pin.
    """
    kept = {key: value for key, value in result.items() if key not in _NEGOTIATION}
    meta = result.get("_meta")
    if isinstance(meta, dict) and SERVER_INFO in meta:
        info = meta[SERVER_INFO]
        # readers of either family look at one place: where both are filled, both are what it says
        kept |= {"_meta": {SERVER_INFO: info}} if kept.setdefault("serverInfo", info) != info else {}
    capabilities = kept.get("capabilities")
    if isinstance(capabilities, dict):
        kept["capabilities"] = {
            name: {key: value for key, value in each.items() if key not in _BY_REVISION} if isinstance(each, dict) else each
            for name, each in capabilities.items()
            if each != {} or name not in ("experimental", "extensions")
        }
    return kept


def reduced(result: Mapping[str, Any], name: str) -> Json:
    """A greeting whose texts aren't to be passed on: the negotiation, the capabilities, and the server's name and version.

    In place of those that might be sentences stand `name`, which a person gave, and ``unknown``: clients insist on both.
    """
    kept = {key: value for key, value in result.items() if key in _WITHOUT_WORDS}
    if (info := _plain_info(result.get("serverInfo"), name)) is not None:
        kept["serverInfo"] = info
    meta = result.get("_meta")
    if type(meta) is dict and (info := _plain_info(meta.get(SERVER_INFO), name)) is not None:
        kept["_meta"] = {SERVER_INFO: info}
    return kept


def _plain_info(info: Any, name: str) -> Json | None:
    if type(info) is not dict:
        return None
    plain = {key: text for key in ("name", "version") if type(text := info.get(key)) is str and _PLAIN_NAME.match(text)}
    return {"name": name, "version": "unknown", **plain}


def suspicious(definition: Mapping[str, Any], kind: Kind, name: str) -> str:
    """Why a definition is held back even on first sight; "" where nothing speaks against it."""
    if why := disguised(name):
        return why
    hidden = hidden_in(definition)
    return f"it holds the hidden character {hidden}" if hidden else ""


class _Run:
    """One pass over a list, from its first page on."""

    __slots__ = ("items", "size", "suspects", "twice", "whole")

    def __init__(self, *, whole: bool, suspects: frozenset[str]) -> None:
        self.items: dict[str, Json] = {}
        self.size = 0
        self.twice: set[str] = set()
        self.whole = whole
        self.suspects = suspects
        """names that stood there twice the last time: they stay held until a whole list has them once"""


class PinGuard:
    """Compares what a server says in one session with its pins; `pinned` None: nothing was accepted yet.

    `others` are the names of tools of the project's other servers, perhaps with their digests: a tool that has such a name, or one
    that looks like it, isn't taken on first sight, unless it is the same by its digest (the same server started twice).
    """

    def __init__(self, pinned: PinnedServer | None = None, others: Collection[str] = frozenset()) -> None:
        self._pinned = pinned or PinnedServer()
        self._others = Others(others)
        self._taken: dict[Kind, dict[str, str]] = {kind: {} for kind in KINDS}
        self._closed: set[Kind] = set()
        """kinds to which nothing new is taken any more in this session"""
        self._why: dict[Kind, dict[str, str]] = {kind: {} for kind in KINDS}
        self._runs: dict[Kind, _Run] = {kind: _Run(whole=False, suspects=frozenset()) for kind in KINDS}
        self._seen: dict[Kind, _Run] = {}
        self._parts: dict[Kind, _Run] = {kind: _Run(whole=False, suspects=frozenset()) for kind in KINDS}
        """what was shown of the kinds that were never seen whole"""
        self._pages: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        self._newcomers: dict[Kind, set[str]] = {kind: set() for kind in KINDS}
        """names that were listed in this session and weren't among the accepted"""
        self._fresh: set[Kind] = set()
        """kinds whose whole list was seen in this session and hasn't changed since, by what the server says"""
        self._taken_greeting: str | None = None
        self._greeting: Json | None = None
        self._first_sight = False
        self._dirty = False

    @property
    def file(self) -> str:
        """Where the pins come from, as messages name it."""
        return LOCK_NAME if self._pinned.locked else FIRST_SIGHT

    def replace(self, pinned: PinnedServer | None) -> None:
        """Judge by `pinned` from now on, also what was seen already. None changes nothing: what was known goes on judging."""
        if pinned is None:
            return
        self._pinned = pinned
        for kind in KINDS:
            if self._complete(kind):
                self._taken[kind].clear()
            twice = self._twice(kind)
            self._why[kind].clear()
            for run in (self._parts[kind], self._seen.get(kind), self._runs[kind]):
                for name, definition in run.items.items() if run else ():
                    self._judge(kind, name, definition)
            for name in twice:
                self._hold(kind, name, _TWICE)
        self._dirty = True

    def greeting(self, result: Mapping[str, Any]) -> str:
        """Why what the server said of itself can't be passed on, "" where it can; a first sight is taken."""
        said = greeting(result)
        data = _canonical(said)
        if len(data) > GREETING_LIMIT:
            return f"what the server says of itself is longer than {GREETING_LIMIT // 1024} KiB"
        if said != self._greeting:
            self._greeting, self._dirty = said, True
        found = sha256(data).hexdigest()
        accepted = self._pinned.greeting or self._taken_greeting
        if accepted is None and not self._pinned.locked:
            if hidden := hidden_in(said):
                return f"what the server says of itself holds the hidden character {hidden}"
            self._taken_greeting, self._first_sight = found, True
            return ""
        return "" if found == accepted else "what the server says of itself (instructions, name, capabilities) has changed"

    def page(self, kind: Kind, items: list[Any], *, first: bool, last: bool) -> set[int]:
        """The indexes of `items`, one page of a list, that are to be hidden. `first` and `last` are about the page in its list."""
        self._fresh.discard(kind)
        if first:
            # a list of one page shows by itself whether a name is there twice
            suspects = frozenset() if last else frozenset(self._twice(kind))
            self._runs[kind] = _Run(whole=True, suspects=suspects)
        run = self._runs[kind]
        hidden: set[int] = set()
        places: dict[str, list[int]] = {}
        for i, item in enumerate(items):
            name = item.get(NAME_OF[kind]) if type(item) is dict else None
            # (a call of a longer name is denied, whatever it is)
            if type(name) is str and len(name) <= NAME_LIMIT:
                places.setdefault(name, []).append(i)
            else:
                hidden.add(i)
        for name, at in places.items():
            # the same definition on two pages is a page that was asked for again
            if len(at) > 1 or (name in run.items and digest(run.items[name]) != digest(items[at[-1]])):
                run.twice.add(name)
            if self._kept(kind, run, name, items[at[-1]]):
                why = self._judge(kind, name, items[at[-1]], twice=name in run.twice or name in run.suspects)
            else:
                self._close(kind)
                self._hold(kind, name, _MANY)
                why = _MANY
            if why:
                hidden.update(at)
        if kind not in self._seen:
            self._pages[kind] += 1
            if self._pages[kind] >= PAGES_LIMIT:
                self._close(kind)
        if last:
            self._end(kind, run)
        return hidden

    def held(self, kind: Kind, name: str) -> str:
        """Why a call of `name` is refused now; "" where nothing speaks against it."""
        why = self._why[kind].get(name)
        if why is not None:
            return f"the {WORDS[kind]} `{name}`: {why}"
        if name in self._pinned.items.get(kind, ()) or name in self._taken[kind]:
            return ""
        if self._unlisted(kind, name):
            return ""  # the server says that there is none: its own error is the answer
        if self._is_closed(kind):
            return f"the {WORDS[kind]} `{name}` is not among those that were accepted"
        why = disguised(name) or self._squatting(kind, name, None)
        return f"the {WORDS[kind]} `{name}`: {why}" if why else ""

    def listed(self, kind: Kind) -> tuple[Mapping[str, Json], bool]:
        """The definitions that the session saw last, held or not, and whether they are all there were."""
        seen = self._seen.get(kind)
        return (self._parts[kind].items, False) if seen is None else (seen.items, True)

    def twice(self, kind: Kind) -> frozenset[str]:
        """The names that stood more than once in the last whole list."""
        return frozenset(self._seen[kind].twice) if kind in self._seen else frozenset()

    def stale(self, kind: Kind) -> None:
        """The server says that its list changed: what isn't in the one that was seen may be there now."""
        self._fresh.discard(kind)

    def learned(self) -> Learned | None:
        """What was seen, after a whole list or a greeting; None where that was told already."""
        if not self._dirty:
            return None
        first_sight, self._dirty, self._first_sight = self._first_sight, False, False
        complete = self._pinned.complete | self._closed
        shown = {kind: run for kind, run in self._parts.items() if run.items and kind not in self._seen}
        return Learned(
            items={kind: dict(run.items) for kind, run in (*shown.items(), *self._seen.items())},
            complete=frozenset(self._seen),
            greeting=self._greeting,
            twice={kind: frozenset(run.twice) for kind, run in self._seen.items() if run.twice},
            first_sight=first_sight,
            pinned=PinnedServer(
                greeting=self._pinned.greeting or self._taken_greeting,
                items={kind: self._accepted(kind) for kind in KINDS if kind in complete or kind in shown},
                complete=complete,
                locked=self._pinned.locked,
            ),
        )

    def _accepted(self, kind: Kind) -> dict[str, str]:
        twice = self._twice(kind)
        taken = {name: found for name, found in self._taken[kind].items() if name not in twice}
        return {**self._pinned.items.get(kind, {}), **taken}

    def _complete(self, kind: Kind) -> bool:
        return self._pinned.locked or kind in self._pinned.complete

    def _is_closed(self, kind: Kind) -> bool:
        return kind in self._closed or self._complete(kind)

    def _twice(self, kind: Kind) -> set[str]:
        return {name for name, why in self._why[kind].items() if why == _TWICE}

    def _unlisted(self, kind: Kind, name: str) -> bool:
        """True where the last whole list, and every other of this session, shows that there is no `name`."""
        seen = self._seen.get(kind)
        if seen is None or kind not in self._fresh or self._pinned.locked or name in seen.items:
            return False
        return name not in self._newcomers[kind] and len(self._newcomers[kind]) < COUNT_LIMIT

    def _kept(self, kind: Kind, run: _Run, name: str, definition: Json) -> bool:
        """Keep `definition` for whom it may be shown to; False where there is no room."""
        size = len(_canonical(definition))
        parts = self._parts[kind]
        known = kind in self._seen or parts.items.get(name) == definition
        for where, each in ((self._runs, run), *(() if known else ((self._parts, parts),))):
            total = size + sum(other.size for other in where.values())
            if total > BYTES_LIMIT or (name not in each.items and len(each.items) >= COUNT_LIMIT):
                return False
        run.size += size
        run.items[name] = definition
        if not known:
            parts.size += size
            parts.items[name] = definition
            self._dirty = True
        return True

    def _judge(self, kind: Kind, name: str, definition: Json, *, twice: bool = False) -> str:
        """Why `definition` is held, "" where it isn't; on first sight it is taken then."""
        found = digest(definition)
        why = ""
        accepted = self._pinned.items.get(kind, {}).get(name) or self._taken[kind].get(name)
        if twice:
            why = _TWICE
        elif accepted is not None:
            why = "" if accepted == found else "its definition is not the one that was accepted"
        elif self._is_closed(kind):
            if len(self._newcomers[kind]) < COUNT_LIMIT:
                self._newcomers[kind].add(name)
            return "it is new since the others were accepted"
        else:
            why = suspicious(definition, kind, name) or self._squatting(kind, name, found)
            if not why:
                # (as many as `_kept` has room for)
                self._taken[kind][name] = found
                self._first_sight = True
        if why:
            self._hold(kind, name, why)
        else:
            self._why[kind].pop(name, None)
        return why

    def _hold(self, kind: Kind, name: str, why: str) -> None:
        known = name in self._pinned.items.get(kind, ()) or name in self._taken[kind] or name in self._why[kind]
        if known or len(self._why[kind]) < COUNT_LIMIT:
            self._why[kind][name] = why
        else:
            self._close(kind)

    def _close(self, kind: Kind) -> None:
        """Take nothing new any more: what isn't known is held without being kept."""
        self._closed.add(kind)

    def _squatting(self, kind: Kind, name: str, found: str | None) -> str:
        return self._others.imitated(name, found) if kind == "tool" else ""

    def _end(self, kind: Kind, run: _Run) -> None:
        self._runs[kind] = _Run(whole=False, suspects=frozenset())
        if not run.whole:
            return  # its beginning wasn't seen
        for name in (run.suspects - run.twice) & run.items.keys():
            self._why[kind].pop(name, None)
            self._judge(kind, name, run.items[name])
        before = self._seen.get(kind)
        if before is None or before.items != run.items or before.twice != run.twice:
            self._dirty = True
        if not self._is_closed(kind):
            self._close(kind)
            self._first_sight = self._dirty = True
        self._seen[kind] = run
        self._parts[kind] = _Run(whole=False, suspects=frozenset())
        if _MANY not in self._why[kind].values():
            self._fresh.add(kind)
