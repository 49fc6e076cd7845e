"""What is kept of logins: for each a card that can be read at every start, and the secrets, which are an item of the vault.

The *card* (``<state>/logins/HASH.json``, sealed, no secret in it) says who is signed in where. It is the login: without a card that
counts there is none, whatever tokens still lie about. Shims watch its file, so that a logout counts from the next call on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec

from mcpwrap.errors import StateError, VaultError
from mcpwrap.files import check_private, ensure_private, locked, read_private, reason, replace, sync_folder
from mcpwrap.identity.vault import Item, Vault

_KIND: Final = "login"
CARD_LIMIT: Final = 256 * 1024
"""Longest card, in bytes; the claims of a person in hundreds of groups have some kilobytes."""

Flow = Literal["browser", "device", "client-credentials"]


class Card(msgspec.Struct, frozen=True):
    """One login: the profile's name ("" where the issuer was given on the command line), the issuer, and who is signed in.

    `scopes` and `resources` are what the provider granted. `ended` is "" while the login is good, else why it isn't. Times are
    seconds since the epoch. `claims` are those of the ID token, without what only the protocol needs.
    """

    profile: str
    issuer: str
    client_id: str
    flow: Flow
    sub: str
    email: str = ""
    name: str = ""
    groups: tuple[str, ...] = ()
    claims: Mapping[str, Any] = {}
    scopes: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    refreshable: bool = False
    logged_in_at: float = 0.0
    ended: str = ""

    @property
    def key(self) -> str:
        """What names the login: profile and issuer; neither can pass for a part of the other."""
        return key_of(self.profile, self.issuer)


class AccessToken(msgspec.Struct, frozen=True):
    """One access token of the provider's. Times are seconds since the epoch."""

    token: str
    expires_at: float
    obtained_at: float
    scope: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"AccessToken(expires_at={self.expires_at})"


class LoginSecrets(msgspec.Struct, frozen=True):
    """What a login needs to be renewed, and its access tokens by resource and scope (`access_key`).

    `auth` says how the client proves itself at the token endpoint; `client_secret` and `key_file` are what it needs for that.
    """

    issuer: str
    client_id: str
    token_endpoint: str
    revocation_endpoint: str = ""
    refresh_token: str = ""
    auth: Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"] = "none"
    client_secret: str = ""
    key_file: str = ""
    access: Mapping[str, AccessToken] = {}

    def __repr__(self) -> str:
        return f"LoginSecrets({self.issuer})"


def key_of(profile: str, issuer: str) -> str:
    """The key of a login."""
    return f"{len(profile)}:{profile}{issuer}"


def keys_for(issuer: str, profiles: Sequence[str]) -> tuple[str, ...]:
    """The logins that may count for `issuer`; the first one that is there does: those of the `profiles`, then the one that was
    made without a profile."""
    return tuple(key_of(name, issuer) for name in (*profiles, ""))


def access_key(resource: str, scope: tuple[str, ...]) -> str:
    """Under which an access token is kept."""
    return "\0".join((resource, *sorted(scope)))


class LoginStore:
    """The logins of one installation."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._folder = os.path.join(vault.places.state, "logins")

    def path(self, key: str) -> str:
        """The card's file, whether it exists or not."""
        return card_path(self._vault.places.state, key)

    def card(self, key: str) -> Card | None:
        """The card of the login `key`; None where there is none.

        Raises:
            VaultError: what lies there doesn't count.
        """
        path = self.path(key)
        try:
            check_private(self._folder)
            card = msgspec.json.decode(self._unseal(path, key), type=Card)
        except (StateError, ValueError) as error:
            if isinstance(error.__cause__, FileNotFoundError):  # (it may be there by now)
                return None
            raise VaultError(f"the login in `{path}` doesn't count: {error}", hint="mcpwrap login") from error
        return card if card.key == key else None

    def cards(self) -> list[Card]:
        """Every login that counts, in order of profile and issuer."""
        found = []
        try:
            names = os.listdir(self._folder)
        except OSError:
            return []
        for name in names:
            path = os.path.join(self._folder, name)
            try:
                check_private(self._folder)
                sealed = read_private(path, CARD_LIMIT)
                # (the payload follows; it is believed only once it is unsealed under the key that it names)
                card = self.card(msgspec.json.decode(_payload(sealed), type=Card).key)
            except (StateError, ValueError):
                continue
            if card is not None and self.path(card.key) == path:
                found.append(card)
        return sorted(found, key=lambda card: (card.profile, card.issuer))

    def secrets(self, key: str) -> LoginSecrets | None:
        """The secrets of the login `key`; None where there are none.

        Raises:
            VaultError: what lies there doesn't count.
        """
        payload = self._vault.get(self.item(key))
        return None if payload is None else msgspec.json.decode(payload, type=LoginSecrets)

    def put(self, card: Card, secrets: LoginSecrets) -> None:
        """Store a login in place of the one before, secrets first.

        Raises:
            StateError: it can't be stored.
        """
        ensure_private(self._folder)
        with locked(self._folder):  # before anything is stored: secrets beside the card of another would be somebody else's
            self._vault.put(self.item(card.key), msgspec.json.encode(secrets))
            self._write(card)

    def put_card(self, card: Card) -> None:
        """Store a card in place of the one before.

        Raises:
            StateError: it can't be stored.
        """
        ensure_private(self._folder)
        with locked(self._folder):
            self._write(card)

    def update_card(self, card: Card) -> None:
        """As `put_card`, for a login that is there: one that a person took away meanwhile doesn't come back.

        Raises:
            VaultError: it was taken away.
            StateError: it can't be stored.
        """
        ensure_private(self._folder)
        with locked(self._folder):
            if not self._vault.counts(_KIND, card.key):
                raise VaultError("the login was taken away", hint="mcpwrap login")
            self._write(card)

    def end(self, key: str, why: str, refresh_token: str) -> bool:
        """Mark the login `key` as ended, if its refresh token still is `refresh_token`: who signed in anew meanwhile is signed in.
        False where that is so, or the login was taken away.

        Raises:
            StateError: it can't be stored.
        """
        ensure_private(self._folder)
        with locked(self._folder):
            card, secrets = self.card(key), self.secrets(key)
            if card is None or secrets is None or secrets.refresh_token != refresh_token:
                return False
            self._write(msgspec.structs.replace(card, ended=why))
            return True

    def amend(self, key: str, change: Callable[[LoginSecrets], LoginSecrets]) -> None:
        """Store what `change` makes of the secrets that are there, durably; nobody writes in between. What it raises is raised.

        Raises:
            VaultError: the login was taken away meanwhile.
            StateError: it can't be stored.
        """
        self._vault.amend(
            self.item(key), lambda payload: msgspec.json.encode(change(msgspec.json.decode(payload, type=LoginSecrets)))
        )

    def remove(self, key: str) -> bool:
        """Take a login away for good; False where there was none.

        Raises:
            StateError: it can't be taken away.
        """
        ensure_private(self._folder)
        with locked(self._folder):
            there = os.path.lexists(self.path(key))
            try:
                if there or self._vault.counts(_KIND, key):
                    self._vault.revoke(_KIND, key)
                    there = True
            finally:
                # what only tightens works with a broken ledger as well
                self._unlink(key)
                there = self._vault.remove(self.item(key)) or there
        return there

    def _unseal(self, path: str, key: str) -> bytes:
        sealed = read_private(path, CARD_LIMIT)
        try:
            return self._vault.unseal(_KIND, key, sealed)
        except StateError:
            # was a newer one stored since it was read?
            newer = read_private(path, CARD_LIMIT)
            if newer == sealed:
                raise
            return self._vault.unseal(_KIND, key, newer)

    def _unlink(self, key: str) -> None:
        try:
            os.unlink(self.path(key))
        except FileNotFoundError:
            return
        except OSError as error:
            raise StateError(f"`{self.path(key)}` can't be taken away: {reason(error)}") from error
        sync_folder(self._folder)

    def _write(self, card: Card) -> None:
        sealed = self._vault.seal(_KIND, card.key, msgspec.json.encode(card))
        if len(sealed) > CARD_LIMIT:  # it couldn't be read again
            raise StateError(f"what the provider says of the login is longer than {CARD_LIMIT >> 10} KiB")
        try:
            replace(self.path(card.key), sealed)
        except OSError as error:
            raise StateError(f"`{self.path(card.key)}` can't be written: {reason(error)}") from error
        self._vault.stored(_KIND, card.key, sealed)

    def item(self, key: str) -> Item:
        """The vault's item with the secrets of `key`."""
        return item_of(key)


def item_of(key: str) -> Item:
    """The vault's item with the secrets of the login `key`."""
    size, _, rest = key.partition(":")
    return Item(_KIND, rest[int(size) :], rest[: int(size)])


def card_path(state: str, key: str) -> str:
    """The file of the card of the login `key` below the folder `state`."""
    return os.path.join(state, "logins", sha256(key.encode()).hexdigest() + ".json")


def _payload(sealed: bytes) -> bytes:
    # version, count, MAC (`mcpwrap.identity.vault`)
    return sealed[1 + 8 + 32 :]
