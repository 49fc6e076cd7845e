"""One audit entry, as the session states it; who wrote it, when and for which server is added where it is written
(POLICY.md §6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mcpwrap.core.rules import Reason


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happened. A field at its default doesn't stand in the record.

    `event` is ``call``, ``list``, ``notification``, ``response``, ``approval``, ``credential`` or ``lifecycle``;
    `direction` is who sent the message, ``client`` or ``server``. `arguments` are redacted already, and UNSET where
    there are none (``null`` is a value). `duration_ms` counts from the call's arrival to its answer, in milliseconds.
    `client` is the client as it calls itself. `note` is free text for what has no other place; `counts` are a list's
    ``total`` and ``shown``.
    """

    event: str
    direction: str
    method: str
    outcome: str = ""
    ref: str = ""
    request_id: str | int | None = None
    tool: str = ""
    uri: str = ""
    prompt: str = ""
    task: str = ""
    reasons: tuple[Reason, ...] = ()
    arguments: Any = msgspec.UNSET
    status: str = ""
    duration_ms: float | None = None
    result_bytes: int | None = None
    client: Mapping[str, Any] | msgspec.Raw | None = None
    trace: str = ""
    note: str = ""
    counts: Mapping[str, int] | None = None
