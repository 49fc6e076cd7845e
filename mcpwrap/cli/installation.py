"""The vault as the commands use it: opened when something is sealed or read, made where a person first needs it.

On a machine with a keyring the key goes there without a question. Without one a key file is offered, never chosen silently: a
person is asked; a script has leave in the user's file to answer for one, and is told where the key lies.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mcpwrap.cli import caller
from mcpwrap.errors import VaultError
from mcpwrap.identity.vault import read_header

if TYPE_CHECKING:
    from mcpwrap.cli.here import Here
    from mcpwrap.identity.vault import Vault
    from mcpwrap.runtime.door import Door

KEY_FILE: Final = "vault.key"


class Late:
    """The seal of a vault that is opened with the first thing that is sealed or unsealed (`mcpwrap.core.seal.Seal`)."""

    def __init__(self, door: Door, setting: Callable[[], str]) -> None:
        self._door = door
        self._setting = setting

    def seal(self, kind: str, key: str, payload: bytes) -> bytes:
        """As `Vault.seal`. Raises StateError."""
        return self._vault.seal(kind, key, payload)

    def unseal(self, kind: str, key: str, sealed: bytes) -> bytes:
        """As `Vault.unseal`. Raises StateError."""
        return self._vault.unseal(kind, key, sealed)

    def stored(self, kind: str, key: str, sealed: bytes) -> None:
        """As `Vault.stored`. Raises StateError."""
        self._vault.stored(kind, key, sealed)

    def revoke(self, kind: str, key: str) -> None:
        """As `Vault.revoke`. Raises StateError."""
        self._vault.revoke(kind, key)

    def counts(self, kind: str, key: str) -> bool:
        """As `Vault.counts`; without a vault nothing was ever recorded. Raises StateError."""
        return read_header(self._door.places) is not None and self._vault.counts(kind, key)

    @property
    def _vault(self) -> Vault:
        return self._door.open(self._setting())


def ensure(here: Here, terminal: caller.Terminal | None) -> Vault:
    """The open vault, made where there was none; `terminal` is the person's, None where a script answers for one.

    Raises:
        VaultError: it can't be opened, or there is no place for its key.
    """
    if read_header(here.door.places) is not None:
        return here.door.open(here.vault_setting)
    from mcpwrap.identity.keys import ensure_vault, make_vault  # noqa: PLC0415 - once an installation

    try:
        ensure_vault(here.door.places, here.vault_setting, here.env)
    except VaultError as error:
        path = str(Path(here.folders.data, KEY_FILE))
        if here.vault_chosen or not _key_file_wanted(error, path, terminal):
            raise
        setting = f"file:{path}"
        make_vault(here.door.places, setting, here.env)
        write_setting(here.user_file, setting)
    return here.door.open(here.vault_setting)


def _key_file_wanted(error: VaultError, path: str, terminal: caller.Terminal | None) -> bool:
    if terminal is None:
        sys.stderr.write(f"mcpwrap: {error}; it lies in {path} (0600) now, as the user's file says from here on\n")
        return True
    terminal.show(
        f"{str(error)[:1].upper()}{str(error)[1:]}. It seals what you trust, and your logins and secrets.\n"
        f"It can lie in a file that only you can read: {path}\n"
        "(elsewhere, or behind a passphrase: answer no, then `mcpwrap vault init --help`)\n"
    )
    return terminal.ask("Keep it in that file? [y/N] ").lower() in ("y", "yes")
