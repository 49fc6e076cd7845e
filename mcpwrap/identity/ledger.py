"""The ledger: for each sealed thing the count of the last one, so that an old one put back doesn't count (POLICY.md §5).

Two files, both authenticated with the installation's key: the ledger itself beside the state, and its last count, the *anchor*, in
the data folder. Whoever puts the whole state folder back puts back an old ledger too; the anchor tells. (Who puts both back at once
isn't noticed: nothing on the same disk could tell. SECURITY.md says so.)

The ledger is written before its anchor and the anchor read before the ledger, so that neither a reader in between nor a program
that was killed in between finds an anchor that is ahead.
"""

from __future__ import annotations

import hmac
import os
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from mcpwrap.errors import StateError, VaultError
from mcpwrap.files import check_private, ensure_private, locked, read_private, reason, replace

if TYPE_CHECKING:
    from collections.abc import Iterator

MAC_SIZE: Final = 32
LEDGER_LIMIT: Final = 4 << 20
"""Longest ledger, in bytes: some 40,000 things that were ever recorded."""

_NAME: Final = "ledger"
_ANCHOR_LIMIT: Final = 4096

RESET_HINT: Final = "run `mcpwrap vault init --reset` if this was put back from a copy; trust and logins are given again"
ANEW_HINT: Final = "run `mcpwrap vault init --reset`; trust and logins are given again"
"""Remedies, as an agent may pass them on: each can stand after "ask the user to"."""


class _Counts(msgspec.Struct):
    """`total` counts every change; `of` has the current count of each thing, odd digits aside: what it is is in its name's hash."""

    total: int = 0
    of: dict[str, int] = {}
    revoked: dict[str, int] = {}


class Ledger:
    """The counts of one installation. `key` authenticates them; `epoch` names the installation's key."""

    def __init__(self, state: str, data: str, epoch: str, key: bytes) -> None:
        self._folder = os.path.join(state, "vault")
        self._data = data
        self._path = os.path.join(self._folder, _NAME)
        self._anchor = anchor_path(data, epoch)
        self._key = key

    def begin(self) -> None:
        """Start an empty ledger in place of whatever lies there.

        Raises:
            StateError: it can't be written.
        """
        ensure_private(self._folder)
        ensure_private(self._data)
        with locked(self._folder):
            self._write(_Counts())

    def current(self, name: str) -> tuple[int, bool]:
        """The count of the last one of `name` (0: there was none), and whether it counts.

        Raises:
            VaultError: the ledger is gone, was altered, or is older than its anchor.
        """
        counts = self._read()
        at = counts.of.get(name, 0)
        return at, at > 0 and counts.revoked.get(name, 0) < at

    def oldest(self, name: str) -> int:
        """The lowest count of `name` that counts.

        Raises:
            VaultError: as `current`.
        """
        counts = self._read()
        return max(counts.of.get(name, 0), counts.revoked.get(name, 0) + 1)

    @contextmanager
    def following(self, name: str) -> Iterator[int]:
        """The next count of `name`, which is the oldest that counts once the block, in which it is used, is over.

        Raises:
            StateError: it can't be written down; before the block where the ledger can't be changed now.
        """
        with self._changing() as counts:
            to = counts.of.get(name, 0) + 1
            yield to
            counts.of[name] = to

    def advance(self, name: str, to: int) -> None:
        """From now on nothing of `name` below `to` counts.

        Raises:
            StateError: it can't be written down.
        """
        with self._changing() as counts:
            counts.of[name] = max(counts.of.get(name, 0), to)

    def revoke(self, name: str) -> None:
        """From now on nothing of `name` counts that was sealed before.

        Raises:
            StateError: it can't be written down.
        """
        with self._changing() as counts:
            # one that was sealed and not stored yet has the next count
            counts.of[name] = counts.revoked[name] = counts.of.get(name, 0) + 1

    @contextmanager
    def _changing(self) -> Iterator[_Counts]:
        check_private(self._folder)
        with locked(self._folder):
            counts = self._read()
            yield counts
            counts.total += 1
            self._write(counts)

    def _read(self) -> _Counts:
        anchored = self._opened(self._anchor, _ANCHOR_LIMIT, b"anchor")
        counts = self._opened(self._path, LEDGER_LIMIT, b"ledger")
        if counts.total < anchored.total:
            raise VaultError("an older state was put back: the ledger of the vault is behind its anchor", hint=RESET_HINT)
        return counts

    def _opened(self, path: str, limit: int, what: bytes) -> _Counts:
        try:
            data = read_private(path, limit)
        except StateError as error:
            raise VaultError(f"the vault's {what.decode()} `{path}` can't be used: {error}", hint=ANEW_HINT) from error
        mac, payload = data[:MAC_SIZE], data[MAC_SIZE:]
        if not hmac.compare_digest(mac, self._mac(what, payload)):
            raise VaultError(f"the vault's {what.decode()} `{path}` was altered, or belongs to another key", hint=RESET_HINT)
        return msgspec.json.decode(payload, type=_Counts)

    def _write(self, counts: _Counts) -> None:
        try:
            for path, what, kept in ((self._path, b"ledger", counts), (self._anchor, b"anchor", _Counts(counts.total))):
                payload = msgspec.json.encode(kept)
                if len(payload) > LEDGER_LIMIT - MAC_SIZE:  # it couldn't be read again
                    raise StateError("the vault's ledger is full", hint=ANEW_HINT)
                replace(path, self._mac(what, payload) + payload)
        except OSError as error:
            raise StateError(f"the vault's ledger can't be written: {reason(error)}") from error

    def _mac(self, what: bytes, payload: bytes) -> bytes:
        return hmac.digest(self._key, b"mcpwrap %s v1\n%s" % (what, payload), "sha256")


def anchor_path(data: str, epoch: str) -> str:
    """The file of the anchor of the installation's key `epoch` in the folder `data`."""
    return os.path.join(data, f"anchor-{epoch}")


def holds_counts(state: str) -> bool:
    """True where a ledger lies below `state` that says of something that it was sealed; nothing of it is believed."""
    try:
        return os.lstat(os.path.join(state, "vault", _NAME)).st_size > MAC_SIZE + len(msgspec.json.encode(_Counts()))
    except OSError:
        return False


def name_of(kind: str, key: str) -> str:
    """The name of a thing in the ledger; it says the kind, and nothing of the key."""
    return f"{kind}:{sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}"
