"""The port through which recorded state is authenticated (ARCHITECTURE.md, "The seal").

Who records something that a program of the same user could forge (a trust record, pins, a remembered answer) hands it through a
seal. The seal's key and the way it is kept belong to the implementation; who uses it never sees them.

An old record is as good a forgery as a new one, so each seal carries a count, and the count that is current for a kind and a key
is kept apart from the record:

    sealed = seal.seal(kind, key, payload)      the next count goes into it
    (the file is replaced)
    seal.stored(kind, key, sealed)              from now on nothing older counts
    …
    seal.revoke(kind, key)                      from now on nothing that was sealed before counts
    (the file is taken away)
"""

from __future__ import annotations

from typing import NoReturn, Protocol

from mcpwrap.errors import StateError


class Seal(Protocol):
    """Binds a payload to the installation, to what kind of thing it is, and to the key it was recorded under."""

    def seal(self, kind: str, key: str, payload: bytes) -> bytes:
        """What to store for `payload`; `kind`, `key` and the next count are bound into it.

        Raises:
            StateError: the key of the installation can't be used.
        """
        ...

    def unseal(self, kind: str, key: str, sealed: bytes) -> bytes:
        """The payload of `sealed`.

        Raises:
            StateError: it was not sealed here, for this kind and this key, or not last; or the key of the installation can't be
                used.
        """
        ...

    def stored(self, kind: str, key: str, sealed: bytes) -> None:
        """Make `sealed` the oldest that counts. A program that is killed before this leaves both, the old and the new one, valid.

        Raises:
            StateError: that can't be written down.
        """
        ...

    def revoke(self, kind: str, key: str) -> None:
        """Make nothing count that was sealed for this kind and key until now.

        Raises:
            StateError: that can't be written down.
        """
        ...

    def counts(self, kind: str, key: str) -> bool:
        """True where something was stored that wasn't revoked: if it isn't there any more, somebody took it away.

        Raises:
            StateError: what was counted can't be read.
        """
        ...


class NoSeal:
    """The seal of an installation whose key can't be had: nothing counts, nothing can be recorded, and `error` says why."""

    def __init__(self, error: StateError) -> None:
        self.error = error

    def seal(self, kind: str, key: str, payload: bytes) -> NoReturn:
        """Raises `error`."""
        raise self.error

    def unseal(self, kind: str, key: str, sealed: bytes) -> NoReturn:
        """Raises `error`."""
        raise self.error

    def stored(self, kind: str, key: str, sealed: bytes) -> NoReturn:
        """Raises `error`."""
        raise self.error

    def revoke(self, kind: str, key: str) -> NoReturn:
        """Raises `error`."""
        raise self.error

    def counts(self, kind: str, key: str) -> NoReturn:
        """Raises `error`."""
        raise self.error
