"""Files of mcpwrap's own that are sealed: one file a record, 0600 in a 0700 folder, replaced atomically (`mcpwrap.files`).

What can't be read, is another user's, or may be written by others is a `StateError`; what that means says who reads.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from mcpwrap.errors import StateError
from mcpwrap.files import read_private

_T = TypeVar("_T")


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file: the key of the record (a project's root), and what the seal made of it."""

    project: str
    sealed: bytes


def open_envelope(path: str, limit: int) -> Envelope:
    """The record at `path`, of at most `limit` bytes.

    Raises:
        StateError: it can't be read safely.
    """
    return decode(read_private(path, limit), Envelope)


def decode(data: bytes, kind: type[_T]) -> _T:
    """`data` as a `kind`.

    Raises:
        StateError: it is none.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    # msgspec's errors are ValueErrors, and so is what bad UTF-8 gives
    except (ValueError, RecursionError) as error:
        raise StateError("it can't be read, or another version of mcpwrap wrote it") from error
