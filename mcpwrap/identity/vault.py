"""The vault: what only this installation can have written, and what only it can read (IDENTITY.md §2).

One 32-byte key per installation; where it comes from is `mcpwrap.identity.keys`. From it come, by HKDF-Expand (RFC 5869 §2.3; the
key is uniformly random, so that there is nothing to extract, §3.3), a key for each purpose and for each issuer:

* **seals** (`Vault.seal`): HMAC-SHA256 over what may be read but not forged: trust, pins, the cards of logins. Checking one costs a
  millisecond at the start of a shim.
* **items** (`Vault.put`): ChaCha20-Poly1305 (RFC 8439) over secrets: refresh tokens, signing keys, servers' secrets. Kind, issuer,
  name and count are associated data. How the key is kept isn't: the header's check is made over that with the key, so that a header
  that was altered is refused, and a key can move (`rewrite`) without sealing everything anew.

Both are counted in a `Ledger`, so that an old one that is put back doesn't count.

    <state>/vault/header      how the key is kept, and whether it is the right one
    <state>/vault/ledger      see `mcpwrap.identity.ledger`; its anchor lies in the data folder
    <state>/vault/items/*     one sealed file an item, 0600, replaced atomically and synced
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Final, Literal, NoReturn

import msgspec
from msgspec import structs

from mcpwrap.errors import StateError, VaultError
from mcpwrap.files import check_private, ensure_private, locked, read_private, reason, replace, sync_folder
from mcpwrap.identity.ledger import ANEW_HINT, MAC_SIZE, RESET_HINT, Ledger, anchor_path, holds_counts, name_of

KEY_SIZE: Final = 32
HEADER_LIMIT: Final = 16 * 1024
ITEM_LIMIT: Final = 1 << 20
"""Longest item, in bytes: a login with its access tokens has some 20 KiB."""

SEAL_VERSION: Final = b"\x01"
_COUNT_SIZE: Final = 8
_NONCE_SIZE: Final = 12
_RACES: Final = 8
"""Newer items in a row that may be stored while one is read, before that is taken for somebody who plays with the file."""

_EPOCH: Final = re.compile(r"[0-9A-Za-z]{1,64}")
"""It becomes a part of a file's name and of a keyring's entry before anything could be authenticated."""

SECRET_SERVICE: Final = "Secret Service"  # noqa: S105 - a name
"""What the header calls the keyring that is read without a library (`mcpwrap.identity.bus`)."""

Mode = Literal["keyring", "file", "passphrase"]


class Places(msgspec.Struct, frozen=True):
    """The folders of ours that the vault lies in: `state`, and `data` for what must stay where an older state is put back."""

    state: str
    data: str

    @property
    def vault(self) -> str:
        """The vault's own folder."""
        return os.path.join(self.state, "vault")

    @property
    def header(self) -> str:
        """The header's file, whether it exists or not."""
        return os.path.join(self.vault, "header")


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the key is kept. `where` is the keyring's name or the key file's path; `epoch` is random and names the key; `check`, made
    with the key over mode, place and epoch, tells the right key from a wrong one and this header from an altered one (`create` and
    `rewrite` put it in). For a passphrase `salt` and `wrapped` have what scrypt needs and the key that it seals; `n`, `r`, `p` are
    scrypt's (RFC 7914).
    """

    mode: Mode
    where: str
    epoch: str
    check: str = ""
    version: int = 1
    salt: bytes = b""
    wrapped: bytes = b""
    n: int = 0
    r: int = 0
    p: int = 0


class Item(msgspec.Struct, frozen=True):
    """What an item is: its kind (``login``, ``signing``, ``secret``), the issuer whose key seals it (``local`` for our own), and
    its name."""

    kind: str
    issuer: str
    name: str

    @property
    def key(self) -> str:
        """Issuer and name as one text, in which neither can pass for a part of the other."""
        return f"{len(self.issuer)}:{self.issuer}{self.name}"


def item_path(places: Places, item: Item) -> str:
    """The file of `item` in the vault of `places`, whether it exists or not."""
    return os.path.join(places.vault, "items", sha256(f"{item.kind}\0{item.key}".encode()).hexdigest())


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    item: Item
    count: int
    nonce: bytes
    sealed: bytes


class Vault:
    """An open vault: it holds the installation's key, and shows it to nobody.

    Raises:
        VaultError: `key` isn't the key that `header` was written with.
    """

    def __init__(self, places: Places, header: Header, key: bytes) -> None:
        if len(key) != KEY_SIZE or not hmac.compare_digest(header.check.encode(), check_of(key, header).encode()):
            raise VaultError(
                f"the key in {described(header)} isn't the one that this vault was made with, or its header was altered",
                hint=f"put the right key back, or where it is lost {ANEW_HINT}",
            )
        self.places = places
        self.header = header
        self._key = key
        self._items = os.path.join(places.vault, "items")
        self._ledger = Ledger(places.state, places.data, header.epoch, self._derive("ledger"))
        self._seal_key = self._derive("seal")

    def __repr__(self) -> str:
        return f"Vault({self.header.mode})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a vault isn't copied: it holds a key")

    @property
    def key(self) -> bytes:
        """The installation's key, for a process of ours that works apart; it goes through a pipe and nowhere else."""
        return self._key

    def check(self) -> None:
        """Check that the ledger can be had; with the key alone nothing that was sealed counts.

        Raises:
            VaultError: it can't be used.
        """
        self._ledger.current("")

    # seals (`mcpwrap.core.seal.Seal`)

    def seal(self, kind: str, key: str, payload: bytes) -> bytes:
        """A version, the next count, the MAC, and `payload` as it is. Raises StateError."""
        count = self._ledger.current(name_of(kind, key))[0] + 1
        return SEAL_VERSION + count.to_bytes(_COUNT_SIZE, "big") + self._mac(kind, key, count, payload) + payload

    def unseal(self, kind: str, key: str, sealed: bytes) -> bytes:
        """The payload. Raises StateError."""
        count, mac, payload = _parts(sealed)
        if not hmac.compare_digest(mac, self._mac(kind, key, count, payload)):
            raise StateError("it was not sealed by this installation")
        if count < self._ledger.oldest(name_of(kind, key)):
            raise StateError("it is an older one, put back")
        return payload

    def stored(self, kind: str, key: str, sealed: bytes) -> None:
        """Nothing older counts from now on. Raises StateError."""
        self._ledger.advance(name_of(kind, key), _parts(sealed)[0])

    def revoke(self, kind: str, key: str) -> None:
        """Nothing that was sealed before counts from now on. Raises StateError."""
        self._ledger.revoke(name_of(kind, key))

    def counts(self, kind: str, key: str) -> bool:
        """True where something was stored that wasn't revoked. Raises StateError."""
        return self._ledger.current(name_of(kind, key))[1]

    # items

    def put(self, item: Item, payload: bytes) -> None:
        """Store `payload` durably in place of what was there, which doesn't count any more.

        Raises:
            StateError: it can't be stored; what was there is still there.
        """
        name = name_of("item." + item.kind, item.key)
        with self._writing(), self._ledger.following(name) as count:
            self._write(item, count, payload)

    def update(self, item: Item, payload: bytes) -> None:
        """As `put`, without a new count: for what a provider itself invalidates (a refresh token that is rotated).

        Raises:
            VaultError: there is no such item any more (it was taken away meanwhile).
            StateError: it can't be stored; what was there is still there.
        """
        with self._writing():
            count, there = self._ledger.current(name_of("item." + item.kind, item.key))
            if not there:
                raise VaultError(f"the {item.kind} `{item.name}` was taken away")
            self._write(item, count, payload)

    def amend(self, item: Item, change: Callable[[bytes], bytes]) -> None:
        """As `update`, with what `change` makes of the payload that is there; nobody writes in between. What it raises is raised.

        Raises:
            VaultError: there is no such item any more, or what lies there doesn't count.
            StateError: it can't be stored; what was there is still there.
        """
        with self._writing():
            count, there = self._ledger.current(name_of("item." + item.kind, item.key))
            before = self.get(item) if there else None
            if before is None:
                raise VaultError(f"the {item.kind} `{item.name}` was taken away")
            self._write(item, count, change(before))

    def get(self, item: Item) -> bytes | None:
        """The payload of `item`; None where there is none.

        Raises:
            VaultError: what lies there doesn't count: altered, another's, or an older one put back.
        """
        path = self.path(item)
        try:
            check_private(self._items)
            return self._load(path, item)[1]
        except VaultError:
            raise
        except StateError as error:
            if isinstance(error.__cause__, FileNotFoundError):  # (it may be there by now)
                return None
            raise VaultError(f"`{path}` can't be used: {error}") from error

    def remove(self, item: Item) -> bool:
        """Take `item` away for good, whatever lies there; False where there was none.

        Raises:
            StateError: it can't be taken away.
        """
        name = name_of("item." + item.kind, item.key)
        with self._writing():
            there = os.path.lexists(self.path(item))
            try:
                # a file that was written by a program that was killed before it was counted doesn't come back either
                if there or self._ledger.current(name)[1]:
                    self._ledger.revoke(name)
                    there = True
            finally:
                # what only tightens works with a broken ledger as well
                self._unlink(item)
        return there

    def items(self, kind: str) -> list[Item]:
        """The items of a kind that count, in order of issuer and name."""
        found: list[Item] = []
        with suppress(StateError, OSError):
            check_private(self._items)
            for file in os.listdir(self._items):
                path = os.path.join(self._items, file)
                with suppress(StateError):
                    item = self._load(path, None)[0]
                    if item.kind == kind and self.path(item) == path:
                        found.append(item)
        return sorted(found, key=lambda item: (item.issuer, item.name))

    def path(self, item: Item) -> str:
        """The file of `item`, whether it exists or not."""
        return item_path(self.places, item)

    def lock(self, item: Item) -> str:
        """The file whose lock says who may renew `item`."""
        return self.path(item) + ".lock"

    # the parts

    @contextmanager
    def _writing(self) -> Iterator[None]:
        ensure_private(self._items)
        with locked(self._items):
            yield

    def _unlink(self, item: Item) -> None:
        try:
            os.unlink(self.path(item))
        except FileNotFoundError:
            return
        except OSError as error:
            raise StateError(f"`{self.path(item)}` can't be taken away: {reason(error)}") from error
        sync_folder(self._items)

    def _write(self, item: Item, count: int, payload: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        if len(payload) > ITEM_LIMIT:
            raise StateError(f"the {item.kind} `{item.name}` is longer than {ITEM_LIMIT >> 20} MiB")
        nonce = os.urandom(_NONCE_SIZE)
        sealed = ChaCha20Poly1305(self._item_key(item)).encrypt(nonce, payload, self._bound(item, count))
        try:
            replace(self.path(item), msgspec.json.encode(_Stored(item, count, nonce, sealed)))
        except OSError as error:
            raise StateError(f"`{self.path(item)}` can't be written: {reason(error)}") from error

    def _load(self, path: str, wanted: Item | None) -> tuple[Item, bytes]:
        data = read_private(path, 2 * ITEM_LIMIT)
        for _ in range(_RACES):
            stored, payload = self._open(path, data, wanted)
            if stored.count >= self._ledger.oldest(name_of("item." + stored.item.kind, stored.item.key)):
                return stored.item, payload
            # was a newer one stored since it was read?
            before, data = data, read_private(path, 2 * ITEM_LIMIT)
            if data == before:
                break
        raise VaultError(f"`{path}` is an older one, put back", hint=RESET_HINT)

    def _open(self, path: str, data: bytes, wanted: Item | None) -> tuple[_Stored, bytes]:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        try:
            stored = msgspec.json.decode(data, type=_Stored)
            if wanted is not None and stored.item != wanted:
                raise VaultError(f"`{path}` holds something else")
            cipher = ChaCha20Poly1305(self._item_key(stored.item))
            return stored, cipher.decrypt(stored.nonce, stored.sealed, self._bound(stored.item, stored.count))
        except (InvalidTag, ValueError, OverflowError, RecursionError) as error:
            raise VaultError(f"`{path}` was altered, or sealed by another installation", hint=RESET_HINT) from error

    def _item_key(self, item: Item) -> bytes:
        return self._derive(f"items of {item.issuer}")

    def _bound(self, item: Item, count: int) -> bytes:
        parts = (self.header.epoch, item.kind, item.issuer, item.name)
        return count.to_bytes(_COUNT_SIZE, "big") + b"".join(len(p.encode()).to_bytes(4, "big") + p.encode() for p in parts)

    def _derive(self, purpose: str) -> bytes:
        return derive(self._key, f"{self.header.epoch} {purpose}")

    def _mac(self, kind: str, key: str, count: int, payload: bytes) -> bytes:
        parts = (kind.encode(), key.encode("utf-8", "surrogateescape"), count.to_bytes(_COUNT_SIZE, "big"), payload)
        return hmac.digest(self._seal_key, b"".join(len(part).to_bytes(8, "big") + part for part in parts), "sha256")


def _parts(sealed: bytes) -> tuple[int, bytes, bytes]:
    start = len(SEAL_VERSION) + _COUNT_SIZE
    if not sealed.startswith(SEAL_VERSION) or len(sealed) < start + MAC_SIZE:
        raise StateError("it is not sealed")
    return int.from_bytes(sealed[len(SEAL_VERSION) : start], "big"), sealed[start : start + MAC_SIZE], sealed[start + MAC_SIZE :]


def derive(key: bytes, purpose: str) -> bytes:
    """32 bytes for one purpose: HKDF-Expand with SHA-256, one block (RFC 5869 §2.3)."""
    return hmac.digest(key, f"mcpwrap v1 {purpose}".encode() + b"\x01", "sha256")


def check_of(key: bytes, header: Header) -> str:
    """What `header` says of its key; nothing of the key can be learned from it."""
    kept = (header.mode, header.where, header.epoch)
    return derive(key, "check " + "".join(f"{len(part.encode('utf-8', 'surrogatepass'))}:{part}" for part in kept)).hex()


def create(places: Places, header: Header, key: bytes) -> Vault:
    """Write `header` (with its check) and an empty ledger: a new vault, in place of one that was there. What that one sealed
    doesn't count any more, not even when its whole state folder is put back: its anchor is taken away.

    Raises:
        StateError: it can't be written.
    """
    ensure_private(places.state)
    ensure_private(places.vault)
    old = None
    with suppress(VaultError):
        old = read_header(places)
    header = structs.replace(header, check=check_of(key, header))
    vault = Vault(places, header, key)
    vault._ledger.begin()
    _write_header(places, header)
    if old is not None and old.epoch != header.epoch:
        with suppress(OSError):
            os.unlink(anchor_path(places.data, old.epoch))
    return vault


def rewrite(vault: Vault, header: Header) -> Vault:
    """The same vault, whose key is kept as `header` says from now on; all that it sealed still counts.

    Raises:
        StateError: it can't be written; the old header is still there.
    """
    header = structs.replace(header, epoch=vault.header.epoch, check="")
    header = structs.replace(header, check=check_of(vault.key, header))
    _write_header(vault.places, header)
    return Vault(vault.places, header, vault.key)


def _write_header(places: Places, header: Header) -> None:
    try:
        replace(places.header, msgspec.json.encode(header))
    except OSError as error:
        raise StateError(f"`{places.header}` can't be written: {reason(error)}") from error


def read_header(places: Places) -> Header | None:
    """The vault's header; None where there is no vault.

    Raises:
        VaultError: it can't be used, or it is gone and what it belongs to is still there.
    """
    try:
        check_private(places.vault)
        header = msgspec.json.decode(read_private(places.header, HEADER_LIMIT), type=Header)
    except (StateError, ValueError, RecursionError) as error:
        if os.path.lexists(places.header):
            raise VaultError(f"the vault's header `{places.header}` can't be used: {error}", hint=ANEW_HINT) from error
        if holds_counts(places.state):
            raise VaultError(f"the vault's header `{places.header}` is gone, and its ledger isn't", hint=ANEW_HINT) from error
        return None
    if header.version != 1:
        raise VaultError("the vault was made by a newer version of mcpwrap", hint="use that version of mcpwrap")
    if not _EPOCH.fullmatch(header.epoch):
        raise VaultError(f"the vault's header `{places.header}` was altered", hint=RESET_HINT)
    return header


def described(header: Header) -> str:
    """Where the key lies, for a person."""
    return {
        "keyring": f"the system's keyring ({header.where})",
        "file": header.where,
        "passphrase": "the passphrase",
    }[header.mode]
