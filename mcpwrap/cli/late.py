"""The vault as commands that only read see it: opened with the first thing that is sealed or unsealed, and not before."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mcpwrap.cli import caller
from mcpwrap.identity.vault import read_header

if TYPE_CHECKING:
    from mcpwrap.cli.here import Here
    from mcpwrap.identity.vault import Vault
    from mcpwrap.runtime.door import Door
    from mcpwrap.secret import Secret


class Late:
    """A seal that opens its vault late (`mcpwrap.core.seal.Seal`). Everything raises StateError where that fails."""

    def __init__(self, door: Door, setting: Callable[[], str]) -> None:
        self._door = door
        self._setting = setting

    def seal(self, kind: str, key: str, payload: bytes) -> bytes:
        """As `Vault.seal`."""
        return self._vault.seal(kind, key, payload)

    def unseal(self, kind: str, key: str, sealed: bytes) -> bytes:
        """As `Vault.unseal`."""
        return self._vault.unseal(kind, key, sealed)

    def stored(self, kind: str, key: str, sealed: bytes) -> None:
        """As `Vault.stored`."""
        self._vault.stored(kind, key, sealed)

    def revoke(self, kind: str, key: str) -> None:
        """As `Vault.revoke`."""
        self._vault.revoke(kind, key)

    def counts(self, kind: str, key: str) -> bool:
        """As `Vault.counts`; without a vault nothing was ever recorded."""
        return read_header(self._door.places) is not None and self._vault.counts(kind, key)

    @property
    def _vault(self) -> Vault:
        return self._door.open(self._setting())


def typed_passphrase(here: Here) -> Secret | None:
    """The vault's passphrase, where a person sits at the terminal; None else."""
    from mcpwrap.secret import Secret  # noqa: PLC0415 - only here

    terminal = None if caller.agent_in(here.env) else caller.Terminal.open()
    if terminal is None:
        return None
    with terminal:
        return Secret(terminal.ask_hidden("Passphrase of the vault: "))
