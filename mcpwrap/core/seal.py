"""The port through which recorded state is authenticated (ARCHITECTURE.md, "The seal").

Who records something that a program of the same user could forge (a trust record, a remembered answer) hands it through a seal. The
seal's key and the way it is kept belong to the implementation; who uses it never sees them.
"""

from __future__ import annotations

from typing import Protocol


class Seal(Protocol):
    """Binds a payload to the installation, to what kind of thing it is, and to the key it was recorded under."""

    def seal(self, kind: str, key: str, payload: bytes) -> bytes:
        """What to store for `payload`; `kind` and `key` are bound into it.

        Raises:
            StateError: the key of the installation can't be used.
        """
        ...

    def unseal(self, kind: str, key: str, sealed: bytes) -> bytes:
        """The payload of `sealed`.

        Raises:
            StateError: it was not sealed here, for this kind and this key; or the key of the installation can't be used.
        """
        ...
