"""Servers' secrets: each bound to the project and the server that it was set for, and lent to others only by a grant.

A repository chooses its servers' names, so a name says nothing about who asks: the canonical root of the project does. A grant is
an item of the vault as well, filed under the borrower, so that getting a secret costs two look-ups however many there are.
"""

from __future__ import annotations

import builtins
import re
from contextlib import suppress
from typing import Final

import msgspec

from mcpwrap.core.credentials import KEPT_NAME, LOCAL, Failed
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import StateError, UsageError, VaultError
from mcpwrap.identity.vault import Item, Vault
from mcpwrap.secret import Secret

SECRET_LIMIT: Final = 64 * 1024
"""Longest secret, in bytes: a private key has some 10 KiB, and a process's environment takes 128 KiB a variable."""

NAME: Final = re.compile(KEPT_NAME)
"""What a secret may be called."""

_SECRET: Final = "secret"  # noqa: S105 - a kind
_GRANT: Final = "grant"


class Owner(msgspec.Struct, frozen=True, order=True):
    """Whose a secret is: the canonical root of the project, and the server in it."""

    root: str
    server: str


class Kept(msgspec.Struct, frozen=True, order=True):
    """One secret by its name, whose it is, and to whom it is lent. The secret itself isn't in it."""

    owner: Owner
    name: str
    lent: tuple[Owner, ...] = ()


def not_set(wanted: str, name: str, server: str) -> Failed:
    """What is said where the secret `name`, which the credential `wanted` is to be, isn't there."""
    shown = f"`{spell_out(name)}` isn't set for `{spell_out(server)}`"
    return Failed(wanted, f"the secret {shown}", f"mcpwrap secret set {server} {name}")


class SecretStore:
    """The servers' secrets of one installation. Roots are canonical paths."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def set(self, root: str, server: str, name: str, value: Secret) -> None:
        """Keep `value` in place of what was kept under this name.

        Raises:
            UsageError: the name or the value can't be a variable's.
            StateError: it can't be stored.
        """
        if not NAME.fullmatch(name):
            raise UsageError(f"`{name}` can't be a secret's name", hint="letters, digits, `.`, `-` and `_`, as in GITHUB_TOKEN")
        try:
            payload = value.reveal().encode()
        except UnicodeEncodeError:
            raise UsageError("the value is no UTF-8 text") from None
        if not payload or b"\0" in payload or len(payload) > SECRET_LIMIT:
            raise UsageError(f"the value is empty, has a NUL in it, or is longer than {SECRET_LIMIT >> 10} KiB")
        self._vault.put(_item(Owner(root, server), name), payload)

    def get(self, root: str, server: str, name: str) -> Secret | None:
        """The secret `name` that was set for this project and server, else the one that was lent to it, else None.

        Raises:
            VaultError: what lies there doesn't count.
        """
        here = Owner(root, server)
        payload = self._vault.get(_item(here, name))
        if payload is None and (granted := self._vault.get(_grant(here, name))) is not None:
            payload = self._vault.get(_item(msgspec.json.decode(granted, type=Owner), name))
        return None if payload is None else Secret(payload.decode())

    def list(self, root: str | None = None) -> builtins.list[Kept]:
        """Every secret, or those of one project, in order. What doesn't count isn't there."""
        lent = self._lent()
        kept = (_parts(item) for item in self._vault.items(_SECRET))
        return sorted(
            Kept(owner, name, tuple(sorted(lent.get((owner, name), ())))) for owner, name in kept if root in (None, owner.root)
        )

    def remove(self, root: str, server: str, name: str) -> bool:
        """Take a secret away, and what was lent of it; False where there was none.

        Raises:
            StateError: it can't be taken away.
        """
        owner = Owner(root, server)
        # the secret first: a grant of nothing gives nothing
        there = self._vault.remove(_item(owner, name))
        for borrower in self._lent().get((owner, name), []):
            self._vault.remove(_grant(borrower, name))
        return there

    def check(self, root: str, server: str, name: str) -> None:
        """Check that there is the secret `name` of this project and server.

        Raises:
            VaultError: there is none, or what lies there doesn't count.
        """
        if self._vault.get(_item(Owner(root, server), name)) is None:
            raise VaultError(f"there is no secret `{name}` of `{server}`", hint=f"mcpwrap secret set {server} {name}")

    def grant(self, root: str, server: str, name: str, to_root: str, to_server: str) -> None:
        """Lend the secret `name` of one project's server to another's; one that this borrower has of its own goes first.

        Raises:
            VaultError: there is no such secret, or the borrower has one of this name from elsewhere.
            StateError: it can't be stored.
        """
        owner, to = Owner(root, server), Owner(to_root, to_server)
        self.check(root, server, name)
        if owner == to:
            raise UsageError(f"`{name}` is a secret of `{server}` itself")
        before = self._vault.get(_grant(to, name))
        if before is not None and msgspec.json.decode(before, type=Owner) != owner:
            raise VaultError(f"`{to_server}` has a `{name}` lent from elsewhere already", hint="take that back first: --revoke")
        self._vault.put(_grant(to, name), msgspec.json.encode(owner))

    def revoke(self, root: str, server: str, name: str, to_root: str, to_server: str) -> bool:
        """Take back what `grant` lent; False where that wasn't lent.

        Raises:
            StateError: it can't be taken back.
        """
        to = Owner(to_root, to_server)
        try:
            granted = self._vault.get(_grant(to, name))
        except StateError:
            granted = None  # whatever lies there goes
        else:
            if granted is None or msgspec.json.decode(granted, type=Owner) != Owner(root, server):
                return False
        return self._vault.remove(_grant(to, name))

    def paths(self, root: str, server: str, name: str) -> tuple[str, ...]:
        """The files that change when this secret is set, taken away, lent or taken back, the owner's too where it is lent; they
        needn't be there."""
        here = Owner(root, server)
        found = (self._vault.path(_item(here, name)), self._vault.path(_grant(here, name)))
        # (where there is no grant, nothing is decrypted: a shim asks at its start)
        with suppress(StateError, msgspec.DecodeError):
            if (granted := self._vault.get(_grant(here, name))) is not None:
                return (*found, self._vault.path(_item(msgspec.json.decode(granted, type=Owner), name)))
        return found

    def _lent(self) -> dict[tuple[Owner, str], builtins.list[Owner]]:
        lent: dict[tuple[Owner, str], builtins.list[Owner]] = {}
        for item in self._vault.items(_GRANT):
            with suppress(VaultError):
                granted = self._vault.get(item)
                if granted is not None:
                    borrower, name = _parts(item)
                    lent.setdefault((msgspec.json.decode(granted, type=Owner), name), []).append(borrower)
        return lent


def _item(owner: Owner, name: str) -> Item:
    return Item(_SECRET, LOCAL, _joined(owner, name))


def _grant(borrower: Owner, name: str) -> Item:
    return Item(_GRANT, LOCAL, _joined(borrower, name))


def _joined(owner: Owner, name: str) -> str:
    # as JSON no part can pass for another
    return msgspec.json.encode((owner.root, owner.server, name)).decode()


def _parts(item: Item) -> tuple[Owner, str]:
    root, server, name = msgspec.json.decode(item.name, type=tuple[str, str, str])
    return Owner(root, server), name
