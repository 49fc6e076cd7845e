"""A request in flight: what must be known of it when its answer comes."""

from __future__ import annotations

import msgspec

from mcpwrap.core.jsonrpc import Id, Json
from mcpwrap.core.methods import Method
from mcpwrap.core.outcome import Outcome


class Pending(msgspec.Struct):
    """A request that was forwarded and isn't answered yet. `at` is monotonic seconds; `ref` is "" where no record was written."""

    id: Id
    method: str
    row: Method | None
    revision: str
    modern: bool
    at: float
    ref: str = ""
    name: str = ""
    outcome: Outcome = Outcome.ALLOW
    token: Id | None = None
    call_key: bytes = b""
    cancelled: bool = False
    listen: Json | None = None
    """the ``notifications`` that a ``subscriptions/listen`` asked for"""
    batch: str = ""
    """the first ref of the batch it came in; "" outside of batches"""
    acknowledged: bool = False
    """the client has the acknowledgment"""
    quiet_ack: bool = False
    """the next acknowledgment is one that the client has already"""
    first: bool = True
    """it asks for the beginning of a list"""
    result_limit: int | None = None
    """longest answer that its budgets permit, in bytes"""
    sets: Json | None = None
    """the parameters of what is set up again where the server is restarted (`Holds.KEPT`)"""
    asks: tuple[str, ...] = ()
    """the refs of the records that permit what its answer asks of the client"""
