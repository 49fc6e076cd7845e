"""The door to the vault: opened once a run, and again only where the vault itself changed.

Opening may cost a read of the system's keyring; nothing on the way of a call does. A vault that can't be opened (locked, its
keyring silent) is tried again after a while, so that the session goes on by itself once a person unlocked it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Final

from mcpwrap.errors import VaultError
from mcpwrap.identity.vault import Places
from mcpwrap.runtime import prctl

if TYPE_CHECKING:
    from mcpwrap.identity.vault import Vault
    from mcpwrap.secret import Secret

AGAIN_AFTER_S: Final = 5.0
"""When a vault that couldn't be opened is tried again."""

SLOW_S: Final = 1.0
"""An attempt that took longer held the session up: the next one waits `AGAIN_AFTER_S` times as long as it took."""


class Door:
    """Opens the vault below `places` for a run whose client gave it the environment `env`."""

    def __init__(self, places: Places, env: Mapping[str, str]) -> None:
        self.places = places
        self.passphrase: Callable[[], Secret | None] = lambda: None
        """asks a person for the vault's passphrase, where there can be one"""
        self._env = env
        self._vault: Vault | None = None
        self._opened_by: object = None
        self._error: VaultError | None = None
        self._again_at = 0.0

    def open(self, setting: str) -> Vault:
        """The vault, its key kept as `setting` says (``[vault] key`` of the user's file).

        Raises:
            VaultError: it can't be opened; why, and the remedy.
        """
        by = (setting, _look(self.places.header))
        if by == self._opened_by and self._vault is not None:
            return self._vault
        if by == self._opened_by and self._error is not None and monotonic() < self._again_at:
            raise self._error
        from mcpwrap.identity.keys import open_vault  # noqa: PLC0415 - only where something is sealed
        from mcpwrap.identity.passphrase import VARIABLE  # noqa: PLC0415 - see above

        self._vault, self._error, self._opened_by = None, None, by
        began = monotonic()
        try:
            asks = setting == "passphrase" and not self._env.get(VARIABLE)
            self._vault = open_vault(self.places, setting, self._env, passphrase=self.passphrase() if asks else None)
        except VaultError as error:
            self._error = error
            took = monotonic() - began
            self._again_at = monotonic() + AGAIN_AFTER_S * max(1.0, took if took > SLOW_S else 1.0)
            raise
        # a dump of this process would hold the key (not by RLIMIT_CORE: the server would inherit that)
        prctl.leave_no_dump()
        return self._vault

    @property
    def vault(self) -> Vault | None:
        """The open vault; None where it isn't."""
        return self._vault

    @property
    def due(self) -> bool:
        """True where an attempt failed and it is time for the next one."""
        return self._error is not None and monotonic() >= self._again_at


def _look(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ino, found.st_size)
