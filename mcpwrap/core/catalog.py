"""What a session taught: which tool a task came from, which inputs a server asked for, which listens are open.

Everything here is bounded; the oldest entry goes first, and what was forgotten is refused as unknown.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from mcpwrap.core.jsonrpc import Json

REMEMBERED: Final = 4096
"""Entries kept of each kind; far more than a session has at once, few enough to be nothing in memory."""

KEY_LIMIT: Final = 4096
"""Longest key, in characters or bytes: the peers choose them, and they are kept."""

V = TypeVar("V")


class Remembered(Generic[V]):
    """A mapping that keeps the last `limit` entries."""

    __slots__ = ("_entries", "_limit")

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._entries: dict[object, V] = {}
        self._limit = limit

    def put(self, key: object, value: V) -> None:
        """Keep `value`; the oldest entry goes where there are too many, and what has a key of more than `KEY_LIMIT` isn't kept."""
        if isinstance(key, str | bytes) and len(key) > KEY_LIMIT:
            return
        self._entries.pop(key, None)
        self._entries[key] = value
        if len(self._entries) > self._limit:
            del self._entries[next(iter(self._entries))]

    def drop(self, key: object) -> None:
        """Forget what is kept for `key`."""
        self._entries.pop(key, None)

    def get(self, key: object) -> V | None:
        """The value kept for `key`."""
        return self._entries.get(key)


OWN_STATE: Final = "mcpwrap"
"""``requestState`` of ours, where all that a server asked for was declined and it gave none: the client retries only with one."""


class Inputs:
    """The ``inputRequests`` of one call: the keys that were passed on, with digests of what they asked, and the answers that stand
    for what was not."""

    __slots__ = ("declined", "issued")

    def __init__(self) -> None:
        self.issued: dict[str, bytes] = {}
        self.declined: Json = {}


class Catalog:
    """One session's memory."""

    __slots__ = ("client_tasks", "inputs", "limits", "tasks")

    def __init__(self) -> None:
        self.tasks: Remembered[str] = Remembered()
        """task id → the tool whose call made it"""
        self.limits: Remembered[int] = Remembered()
        """task id → the longest answer that the budgets of its call permit, in bytes"""
        self.client_tasks: Remembered[str] = Remembered()
        """task id → the server's request for which the client made it"""
        self.inputs: Remembered[Inputs] = Remembered()
        """a call (its method and parameters, or a task) → what it was asked for"""
