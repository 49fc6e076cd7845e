"""What a session knows of the world around it, handed in by the runtime (the policy information point; NIST SP 800-162)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from mcpwrap.core.facts import Facts, NoFacts
from mcpwrap.core.pins import PinnedServer


def _no_clock() -> None:
    return None


class World(msgspec.Struct, frozen=True):
    """`subject` is who asks (``issuer``, ``sub``, ``email``, ``groups``, ``claims``, ``profile``, as far as they are known, and as
    JSON: dicts and lists, no tuples), `project` the project's name, `session` the id of this run.

    `pinned` is what was accepted of the server's definitions, None where nothing was yet; `others` are the tools that other
    servers of the project are known for, with their digests. `now` gives the time, a `datetime`; it is asked only where a
    condition may need it.
    """

    facts: Facts = NoFacts()
    subject: Mapping[str, Any] = {}
    project: str = ""
    session: str = ""
    pinned: PinnedServer | None = None
    others: Mapping[str, str] = {}
    now: Callable[[], Any] = _no_clock
