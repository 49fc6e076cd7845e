"""Vaults for tests: made without a keyring, with a key of the test's own."""

from __future__ import annotations

import os
import secrets

from mcpwrap.identity.vault import KEY_SIZE, Header, Places, Vault, create, read_header

NOWHERE = "/nowhere/key"


def new_vault(places: Places, key: bytes | None = None) -> Vault:
    """A new vault; its header names a key file that isn't there."""
    return create(places, Header("file", NOWHERE, secrets.token_hex(16)), key or os.urandom(KEY_SIZE))


def again(vault: Vault) -> Vault:
    """The vault as the next process opens it."""
    header = read_header(vault.places)
    assert header is not None
    return Vault(vault.places, header, vault.key)
