"""What a reset takes away: all that the old key sealed or encrypted, which would only be in the way of what follows it.

It goes once the new header and ledger stand: nothing of it counts by then, and a program of the old key can't write any more. One
that was killed in between leaves a vault whose items don't open, which another reset mends. Locks stay (who waits for one holds its
file), and so does all else in the state folder: the audit is nobody's key's.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from mcpwrap.errors import StateError
from mcpwrap.files import check_private, locked, reason, sync_folder
from mcpwrap.identity.ledger import ANEW_HINT
from mcpwrap.identity.vault import Places

_FOLDERS: Final = (os.path.join("vault", "items"), "logins", "trust", "pins")
"""Folders of the state folder in which everything is sealed."""

_PUBLIC: Final = "jwks.json"
"""The old signing keys' public part."""


def take_away(places: Places) -> None:
    """Take away all that an old key protected in the state folder; what can't be taken away doesn't keep the rest.

    Raises:
        StateError: something is still there.
    """
    failed: StateError | None = None
    for name in _FOLDERS:
        folder = os.path.join(places.state, name)
        if not os.path.lexists(folder):
            continue
        try:
            # a link isn't followed: what it leads to isn't ours
            check_private(folder)
            # who was in the middle of a write has finished then
            with locked(folder):
                _empty(folder)
        except (StateError, OSError) as error:
            failed = failed or _left(folder, error)
    try:
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(places.state, _PUBLIC))
    except OSError as error:
        failed = failed or _left(os.path.join(places.state, _PUBLIC), error)
    sync_folder(places.state)
    if failed is not None:
        raise failed


def _empty(folder: str) -> None:
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if not name.endswith(".lock") and (os.path.islink(path) or not os.path.isdir(path)):
            with suppress(FileNotFoundError):
                os.unlink(path)
    sync_folder(folder)


def _left(path: str, error: StateError | OSError) -> StateError:
    why = reason(error) if isinstance(error, OSError) else str(error)
    told = StateError(
        f"the vault begins anew, but what the old key sealed in `{path}` can't be taken away: {why}",
        hint=f"make that folder yours and writable, then {ANEW_HINT}",
    )
    told.__cause__ = error
    return told
