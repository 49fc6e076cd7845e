"""What the client and the server set up between them: it must be there again after the server was restarted, and the same.

Everything here is bounded: of greetings there are digests, of the rest as many as `catalog.REMEMBERED`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from mcpwrap.core import pins
from mcpwrap.core.catalog import KEY_LIMIT, REMEMBERED
from mcpwrap.core.jsonrpc import Json

_SHOWN: Final = ("serverInfo", "capabilities", "instructions")
"""What of a greeting is named where it changed."""

_ENDED: Final = frozenset({"completed", "failed", "cancelled"})
"""States of a task that it doesn't leave (MCP 2025-11-25, basic/utilities/tasks)."""


class Established(msgspec.Struct):
    """One session's. Its maps keep their order."""

    greetings: dict[str, Json] = msgspec.field(default_factory=dict)
    """method that opens a session → digests of what the server said last, by name; "" stands for the rest"""
    subscribed: dict[str, None] = msgspec.field(default_factory=dict)
    """the URIs that a legacy client subscribed to"""
    level: Json | None = None
    """the parameters of the last ``logging/setLevel``"""
    tasks: dict[str, None] = msgspec.field(default_factory=dict)
    """tasks that were made and whose end wasn't seen"""

    def greeted(self, method: str, result: Json) -> None:
        """The server opened the session with `result`."""
        self.greetings[method] = _digests(result)

    def differs(self, method: str, result: Json) -> str:
        """What in `result` isn't as it was, in words; "" where all is."""
        before, now = self.greetings[method], _digests(result)
        changed = [name or "what else it says of itself" for name in before if before[name] != now[name]]
        return ", ".join(changed)

    def did(self, method: str, params: Json) -> None:
        """The server did what a ``logging/setLevel`` or ``resources/subscribe`` asked for; an ``unsubscribe`` counts once sent."""
        uri: Any = params.get("uri")
        match method:
            case "logging/setLevel":
                level = params.get("level")
                self.level = {"level": level} if type(level) is str and len(level) <= KEY_LIMIT else None
            case "resources/unsubscribe":
                self.subscribed.pop(uri, None)
            case _:
                _put(self.subscribed, uri)

    def told(self, task: str, body: Json, *, made: bool = False) -> None:
        """`body` tells of a task's state; a task that was `made` just now may need some time."""
        status = body.get("status")
        if type(status) is str and status in _ENDED:
            self.tasks.pop(task, None)
        elif made:
            _put(self.tasks, task)


def _put(kept: dict[str, None], key: str) -> None:
    if len(key) <= KEY_LIMIT:
        kept[key] = None
        if len(kept) > REMEMBERED:
            del kept[next(iter(kept))]


def _digests(result: Json) -> Json:
    said = pins.greeting(result)
    found: Json = {name: pins.digest({name: said.pop(name)} if name in said else {}) for name in _SHOWN}
    return {**found, "": pins.digest(said)}
