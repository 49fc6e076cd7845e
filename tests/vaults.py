"""Vaults for tests: one with a key file, made in a moment; and a seal that authenticates nothing, for what lies below the seal."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

from mcpwrap.identity.vault import Header, Places, Vault, create
from mcpwrap.policy.folders import folders

KEY_FILE = "vault.key"


class Unsealed:
    """A seal that seals nothing."""

    def seal(self, kind: str, key: str, payload: bytes) -> bytes:
        return payload

    def unseal(self, kind: str, key: str, sealed: bytes) -> bytes:
        return sealed

    def stored(self, kind: str, key: str, sealed: bytes) -> None:
        pass

    def revoke(self, kind: str, key: str) -> None:
        pass

    def counts(self, kind: str, key: str) -> bool:
        return False


def places_of(env: Mapping[str, str]) -> Places:
    """Where the vault of a person with the environment `env` lies."""
    ours = folders(env)
    return Places(ours.state, ours.data)


def key_file_of(env: Mapping[str, str]) -> Path:
    """The key file that `make_vault` makes."""
    return Path(folders(env).data) / KEY_FILE


def setting_of(env: Mapping[str, str]) -> str:
    """The table that the user's file needs for it."""
    return f'[vault]\nkey = "file:{key_file_of(env)}"\n'


def make_vault(env: Mapping[str, str]) -> Vault:
    """What `mcpwrap vault init --key-file` makes, but for the user's file."""
    path, key, epoch = key_file_of(env), os.urandom(32), os.urandom(16).hex()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(b64encode(key) + b"\n")
    path.chmod(0o600)
    return create(places_of(env), Header("file", str(path), epoch), key)


def vault_of(env: Mapping[str, str]) -> Vault:
    """The vault that a person with this environment has; made where there is none."""
    from mcpwrap.identity.keys import open_vault

    if not Path(places_of(env).header).exists():
        return make_vault(env)
    return open_vault(places_of(env), f"file:{key_file_of(env)}", env)
