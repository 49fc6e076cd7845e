"""What waits for a server that isn't there: messages, in the order in which they came, judged only when they are released."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from mcpwrap.core.jsonrpc import Id, Message, Request, id_key

BYTES_LIMIT: Final = 64 * 1024 * 1024
"""Most bytes that wait: as many as one line may have (POLICY.md §7). They are kept as they came, which is a tenth of what they
would take once they are read."""


class Waiter(msgspec.Struct, frozen=True, gc=False):
    """One message as our own encoding of it. Those of one `batch` came in one line, and go on in one; 0 is none."""

    line: bytes
    batch: int = 0


class Waiting:
    """The messages of one side. Requests are known by their ids."""

    __slots__ = ("_batch", "_count", "_requests", "_size", "_waiters")

    def __init__(self) -> None:
        self._waiters: dict[int, Waiter] = {}
        self._requests: dict[Id, tuple[Id, int]] = {}
        self._count = self._size = self._batch = 0

    def __contains__(self, key: Id) -> bool:
        """True where a request waits whose id collides with `key` (`jsonrpc.id_key`)."""
        return key in self._requests

    def __len__(self) -> int:
        return len(self._waiters)

    def has_room(self, m: Message, count: int) -> bool:
        """True where `m` may wait, too: no more than `count` messages and `BYTES_LIMIT`."""
        return len(self._waiters) < count and self._size + len(m.encoded) <= BYTES_LIMIT

    def add(self, m: Message, *, batched: bool = False) -> None:
        """Let `m` wait; `batched`: it came in the batch that `new_batch` was called for last."""
        self._count += 1
        self._waiters[self._count] = Waiter(m.encoded, self._batch if batched else 0)
        self._size += len(m.encoded)
        if type(m) is Request:
            self._requests[id_key(m.id)] = m.id, self._count

    def new_batch(self) -> None:
        """What is added as `batched` from here on came in another line than before."""
        self._batch += 1

    def withdraw(self, id: Id) -> bool:
        """Take the request `id` out; False where it doesn't wait."""
        found = self._requests.get(id_key(id))
        if found is None or found[0] != id:
            return False
        del self._requests[id_key(id)]
        self._size -= len(self._waiters.pop(found[1]).line)
        return True

    def release(self) -> Iterator[list[Waiter]]:
        """All that waits, in order, and empty from now on: a message by itself, or those of one batch."""
        waiters, self._waiters = self._waiters, {}
        self._requests.clear()
        self._size = 0
        together: list[Waiter] = []
        for waiter in waiters.values():
            if together and not (waiter.batch and waiter.batch == together[0].batch):
                yield together
                together = []
            together.append(waiter)
        if together:
            yield together
