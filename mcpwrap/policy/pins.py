"""What is remembered of servers' definitions where no lock says it, and what was seen of them last (POLICY.md §4).

Both are sealed files of the person's own state, one for each server of each project: ``pins/PROJECT-SERVER.pins.json`` is trust
on first use, ``….seen.json`` is for `mcpwrap pins` to show what differs. Pins that are there but don't count (not sealed here, not
to be read, an older state put back, taken away behind our back) hold everything until a person accepts it: they are no reason to
take the first list again.
"""
# pathlib costs 5 ms of every start

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec

from mcpwrap.core import jsonrpc
from mcpwrap.core.pins import KINDS, Kind, Learned, PinnedServer, digest
from mcpwrap.core.seal import Seal
from mcpwrap.errors import StateError
from mcpwrap.files import check_private, ensure_private, locked, reason, replaced
from mcpwrap.policy import exact, lock
from mcpwrap.policy.lock import Lock
from mcpwrap.policy.records import TrustRecord
from mcpwrap.policy.sealed import Envelope, open_envelope

RECORD_LIMIT: Final = 32 * 1024 * 1024
"""Longest file, in bytes: the definitions that a session keeps, escaped and in base64."""

_NOTHING: Final = "none"
"""In place of a digest: nothing is equal to it."""

_What = Literal["pins", "seen"]

_PINS: Final = ".pins.json"


class PinStore:
    """The files below the folder `state`. Nothing is created before something is remembered."""

    def __init__(self, state: str, seal: Seal) -> None:
        self._state = state
        self._folder = os.path.join(state, "pins")
        self._seal = seal

    def remembered(self, project: str, server: str) -> PinnedServer | None:
        """The pins that were taken on first sight; None where there are none. Those that don't count accept nothing."""
        known = self.known(project, server)
        if known is None:
            if not self._there(project, server):
                return None
            return PinnedServer(greeting=_NOTHING, complete=frozenset(KINDS))
        return PinnedServer(
            greeting=None if known.greeting is None else digest(known.greeting),
            items={kind: {name: digest(each) for name, each in items.items()} for kind, items in known.items.items()},
            complete=known.complete,
        )

    def known(self, project: str, server: str) -> Learned | None:
        """As `remembered`, with the definitions, and when they were taken."""
        return self._read("pins", project, server)

    def seen(self, project: str, server: str) -> Learned | None:
        """What the server showed last; None where nothing was seen."""
        return self._read("seen", project, server)

    def remember(self, project: str, server: str, learned: Learned) -> None:
        """Take what `learned` says was taken; of what was remembered before nothing changes.

        Raises:
            StateError: it can't be stored safely.
        """
        taken: dict[Kind, dict[str, Any]] = {}
        for kind, items in learned.items.items():
            digests = learned.pinned.items.get(kind, {})
            taken[kind] = {name: each for name, each in items.items() if digests.get(name) == digest(each)}
        said = learned.greeting if learned.greeting is not None and digest(learned.greeting) == learned.pinned.greeting else None
        with self._writing():
            known = self.known(project, server) or Learned()
            new = {kind: {**items, **known.items.get(kind, {})} for kind, items in taken.items() if kind not in known.complete}
            self._write(
                "pins",
                project,
                server,
                Learned(
                    items={**known.items, **new},
                    complete=known.complete | (learned.pinned.complete & learned.complete),
                    greeting=said if known.greeting is None else known.greeting,
                ),
            )

    def accept(self, project: str, server: str, accepted: Learned) -> None:
        """Remember `accepted` in place of what was: a person said so.

        Raises:
            StateError: it can't be stored safely.
        """
        with self._writing():
            self._write("pins", project, server, accepted)

    def note_seen(self, project: str, server: str, learned: Learned) -> None:
        """Keep what was seen, kind by kind in place of what was seen before.

        Raises:
            StateError: it can't be stored safely.
        """
        with self._writing():
            before = self.seen(project, server) or Learned()
            kept = {kind: names for kind, names in before.twice.items() if kind not in learned.complete}
            shown = {
                kind: items if kind in learned.complete else {**before.items.get(kind, {}), **items}
                for kind, items in learned.items.items()
            }
            now = Learned(
                items={**before.items, **shown},
                complete=before.complete | learned.complete,
                greeting=before.greeting if learned.greeting is None else learned.greeting,
                twice={**kept, **learned.twice},
            )
            if now != msgspec.structs.replace(before, at=""):
                self._write("seen", project, server, now)

    def forget(self, project: str) -> None:
        """Take away all that is kept of `project`.

        Raises:
            StateError: something of it can't be taken away.
        """
        prefix = f"{_hash(project)}-"
        with suppress(FileNotFoundError):
            for name in os.listdir(self._folder):
                if name.startswith(prefix):
                    path = os.path.join(self._folder, name)
                    if name.endswith(_PINS):
                        # they go on purpose: the next list is a first sight again
                        self._seal.revoke("pins", name.removesuffix(_PINS))
                    try:
                        os.unlink(path)
                    except OSError as error:
                        raise StateError(f"`{name}` can't be taken away: {reason(error)}") from error

    def path(self, what: _What, project: str, server: str) -> str:
        """The file, whether it exists or not."""
        return pins_path(self._state, what, project, server)

    def _there(self, project: str, server: str) -> bool:
        """True where pins were remembered, whether they still count or not."""
        try:
            return os.path.lexists(self.path("pins", project, server)) or self._seal.counts("pins", _key(project, server))
        except StateError:
            return True

    def _writing(self) -> Any:
        ensure_private(self._state)
        ensure_private(self._folder)
        return locked(self._folder)

    def _read(self, what: _What, project: str, server: str) -> Learned | None:
        path = self.path(what, project, server)
        try:
            check_private(self._folder)
            envelope = open_envelope(path, RECORD_LIMIT)
            try:
                payload = self._seal.unseal(what, _key(project, server), envelope.sealed)
            except StateError:
                # it may have been read while the next one was stored
                envelope = open_envelope(path, RECORD_LIMIT)
                payload = self._seal.unseal(what, _key(project, server), envelope.sealed)
            tree = exact.read(payload)
            # what is sealed was written here, and by this version or an older one
            if tree["project"] != project or tree["server"] != server:
                return None
            return Learned(
                items={kind: tree["items"][kind] for kind in KINDS if kind in tree["items"]},
                complete=frozenset(kind for kind in KINDS if kind in tree["complete"]),
                greeting=tree["greeting"],
                twice={kind: frozenset(tree["twice"][kind]) for kind in KINDS if kind in tree["twice"]},
                at=tree["at"],
            )
        except (StateError, exact.Unreadable, KeyError, TypeError):
            return None

    def _write(self, what: _What, project: str, server: str, kept: Learned) -> None:
        from datetime import UTC, datetime  # noqa: PLC0415 - only where something new was seen

        tree = {
            "project": project,
            "server": server,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "greeting": kept.greeting,
            "items": dict(kept.items),
            "complete": sorted(kept.complete),
            "twice": {kind: sorted(names) for kind, names in kept.twice.items()},
        }
        sealed = self._seal.seal(what, _key(project, server), jsonrpc.encode(tree))
        data = msgspec.json.encode(Envelope(project, sealed))
        if len(data) > RECORD_LIMIT:
            raise StateError("what is to be remembered of the server is longer than 32 MiB")
        try:
            with replaced(self.path(what, project, server), data, RECORD_LIMIT):
                if what == "pins":  # (what was merely seen decides nothing)
                    self._seal.stored(what, _key(project, server), sealed)
        except OSError as error:
            raise StateError(f"`{self.path(what, project, server)}` can't be written: {reason(error)}") from error


def pins_path(state: str, what: _What, project: str, server: str) -> str:
    """The file with what is remembered or was seen of `server`, below the folder `state`."""
    return os.path.join(state, "pins", f"{_key(project, server)}.{what}.json")


def pins_of(
    store: PinStore, record: TrustRecord, root: str, server: str, servers: Iterable[str]
) -> tuple[PinnedServer | None, Mapping[str, str]]:
    """The pins of `server` that count (the trusted lock's, else the remembered ones; None: nothing was accepted yet), and the tools
    of the project's other `servers` with their digests, where they matter: on first sight.

    Raises:
        ConfigError: the trusted lock can't be read by this version.
    """
    known = lock.parse(record.lock.encode()) if record.lock is not None else Lock()
    pinned = lock.pinned(known, server) or store.remembered(root, server)
    if pinned is not None and "tool" in pinned.complete:
        return pinned, {}
    return pinned, others_of(known, store, root, server, servers)


def others_of(known: Lock, store: PinStore, root: str, server: str, servers: Iterable[str]) -> dict[str, str]:
    """The tools that are known of the project's `servers` but `server`, with their digests; "" where two have one that differs."""
    others: dict[str, str] = {}
    for other in servers:
        if other == server:
            continue
        theirs = lock.pinned(known, other) or store.remembered(root, other) or PinnedServer()
        for name, found in theirs.items.get("tool", {}).items():
            others[name] = found if others.get(name, found) == found else ""
    return others


def _hash(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _key(project: str, server: str) -> str:
    return f"{_hash(project)}-{_hash(server)}"
