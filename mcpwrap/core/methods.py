"""THE table: which method exists in which revision, who may send it, what a policy matches on, and what its answer holds.

A method that has no row for a revision and a sender doesn't exist there and is denied. The table is compared with the method maps
of the MCP SDK in the tests, so that a new revision can't be missed; it has more than they do: tasks (2025-11-25, and the extension
``io.modelcontextprotocol/tasks`` of 2026-07-28).

Sources: the schema of each revision; PROTOCOL.md §1 and §2; the tasks extension's specification.
"""

from __future__ import annotations

import enum
from typing import Final, Literal

import msgspec

LEGACY: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Revisions with a handshake, oldest first."""

MODERN: Final = ("2026-07-28",)
"""Stateless revisions: every request carries its revision and the client's capabilities."""

BATCHING: Final = "2025-03-26"
"""The one revision that has JSON-RPC batches."""

ALL: Final = LEGACY + MODERN

Sender = Literal["client", "server"]


class Matched(enum.Enum):
    """What a policy matches a message on."""

    __hash__ = object.__hash__  # (that of the names would be made anew for each message)

    ALWAYS = enum.auto()
    """nothing: it carries no authority of its own (POLICY.md §7)"""
    TOOL = enum.auto()
    """``params.name``"""
    PROMPT = enum.auto()
    """``params.name``"""
    RESOURCE = enum.auto()
    """``params.uri``"""
    COMPLETION = enum.auto()
    """the prompt or resource that ``params.ref`` names"""
    LISTEN = enum.auto()
    """each resource and task that ``params.notifications`` names"""
    TASK = enum.auto()
    """the tool that made the task ``params.taskId``"""
    SERVER_REQUEST = enum.auto()
    """sampling, elicitation or roots"""
    CANCEL = enum.auto()
    """a request in flight, ``params.requestId``"""
    PROGRESS = enum.auto()
    """a request in flight, by ``params.progressToken``"""
    SUBSCRIPTION = enum.auto()
    """a ``subscriptions/listen`` in flight, by ``_meta``"""
    CLIENT_TASK = enum.auto()
    """a task that the client made for a request of the server's"""


class Holds(enum.Enum):
    """What has to be looked at in the answer to a request."""

    __hash__ = object.__hash__  # as above

    NOTHING = enum.auto()
    KEPT = enum.auto()
    """nothing; what it sets up is set up again where the server is restarted"""
    HANDSHAKE = enum.auto()
    DISCOVERY = enum.auto()
    TOOLS = enum.auto()
    PROMPTS = enum.auto()
    RESOURCES = enum.auto()
    TEMPLATES = enum.auto()
    TASKS = enum.auto()
    """a list, filtered"""
    INPUT = enum.auto()
    """it may ask for input first (``inputRequests``, 2026-07-28) or name a new task"""
    TASK_STATE = enum.auto()
    """a task's state, which may hold ``inputRequests`` and the tool's own result"""


class Method(msgspec.Struct, frozen=True):
    """One row. `subject` is the word that ``server_requests`` patterns match, where the row is one."""

    name: str
    sender: Sender
    revisions: tuple[str, ...]
    matched: Matched
    holds: Holds = Holds.NOTHING
    subject: str = ""

    @property
    def is_notification(self) -> bool:
        """True where the method wants no answer."""
        return self.name.startswith("notifications/")


_TASKS: Final = ("2025-11-25",)
_SINCE_2025_06: Final = ("2025-06-18", "2025-11-25")

TABLE: Final = (
    # requests of the client
    Method("initialize", "client", LEGACY, Matched.ALWAYS, Holds.HANDSHAKE),
    # a probe may come before any revision is agreed, and must never meet an answer of ours (PROTOCOL.md §1)
    Method("server/discover", "client", ALL, Matched.ALWAYS, Holds.DISCOVERY),
    Method("ping", "client", LEGACY, Matched.ALWAYS),
    Method("tools/list", "client", ALL, Matched.ALWAYS, Holds.TOOLS),
    Method("prompts/list", "client", ALL, Matched.ALWAYS, Holds.PROMPTS),
    Method("resources/list", "client", ALL, Matched.ALWAYS, Holds.RESOURCES),
    Method("resources/templates/list", "client", ALL, Matched.ALWAYS, Holds.TEMPLATES),
    Method("tools/call", "client", ALL, Matched.TOOL, Holds.INPUT),
    Method("prompts/get", "client", ALL, Matched.PROMPT, Holds.INPUT),
    Method("resources/read", "client", ALL, Matched.RESOURCE, Holds.INPUT),
    Method("resources/subscribe", "client", LEGACY, Matched.RESOURCE, Holds.KEPT),
    Method("resources/unsubscribe", "client", LEGACY, Matched.RESOURCE, Holds.KEPT),
    Method("subscriptions/listen", "client", MODERN, Matched.LISTEN),
    Method("completion/complete", "client", ALL, Matched.COMPLETION),
    Method("logging/setLevel", "client", LEGACY, Matched.ALWAYS, Holds.KEPT),
    Method("tasks/get", "client", _TASKS + MODERN, Matched.TASK, Holds.TASK_STATE),
    Method("tasks/cancel", "client", _TASKS + MODERN, Matched.TASK, Holds.TASK_STATE),
    Method("tasks/result", "client", _TASKS, Matched.TASK, Holds.TASK_STATE),
    Method("tasks/update", "client", MODERN, Matched.TASK, Holds.TASK_STATE),
    Method("tasks/list", "client", _TASKS, Matched.ALWAYS, Holds.TASKS),
    # notifications of the client
    Method("notifications/cancelled", "client", ALL, Matched.CANCEL),
    Method("notifications/initialized", "client", LEGACY, Matched.ALWAYS),
    Method("notifications/progress", "client", LEGACY, Matched.PROGRESS),
    Method("notifications/roots/list_changed", "client", LEGACY, Matched.SERVER_REQUEST, subject="roots"),
    Method("notifications/tasks/status", "client", _TASKS, Matched.CLIENT_TASK),
    # requests of the server; 2026-07-28 has none
    Method("ping", "server", LEGACY, Matched.ALWAYS),
    Method("roots/list", "server", LEGACY, Matched.SERVER_REQUEST, subject="roots"),
    Method("sampling/createMessage", "server", LEGACY, Matched.SERVER_REQUEST, subject="sampling"),
    Method("elicitation/create", "server", _SINCE_2025_06, Matched.SERVER_REQUEST, subject="elicitation"),
    Method("tasks/get", "server", _TASKS, Matched.CLIENT_TASK),
    Method("tasks/result", "server", _TASKS, Matched.CLIENT_TASK),
    Method("tasks/cancel", "server", _TASKS, Matched.CLIENT_TASK),
    # (a server listing the client's tasks would see other servers' tasks: no row for tasks/list)
    # notifications of the server
    Method("notifications/cancelled", "server", ALL, Matched.CANCEL),
    Method("notifications/progress", "server", ALL, Matched.PROGRESS),
    Method("notifications/message", "server", ALL, Matched.ALWAYS),
    Method("notifications/tools/list_changed", "server", ALL, Matched.ALWAYS),
    Method("notifications/prompts/list_changed", "server", ALL, Matched.ALWAYS),
    Method("notifications/resources/list_changed", "server", ALL, Matched.ALWAYS),
    Method("notifications/resources/updated", "server", ALL, Matched.RESOURCE),
    Method("notifications/elicitation/complete", "server", _TASKS, Matched.SERVER_REQUEST, subject="elicitation"),
    Method("notifications/tasks/status", "server", _TASKS, Matched.TASK),
    Method("notifications/tasks", "server", MODERN, Matched.TASK),
    Method("notifications/subscriptions/acknowledged", "server", MODERN, Matched.SUBSCRIPTION),
)

SPEC_METHODS: Final = frozenset(row.name for row in TABLE) | {"tasks/list"}
"""Every method name of the specification; ``extra_methods`` may name none of them."""

INPUT_METHODS: Final = {
    "sampling/createMessage": "sampling",
    "elicitation/create": "elicitation",
    "roots/list": "roots",
}
"""What ``inputRequests`` may hold (MCP 2026-07-28, basic/patterns/mrtr), with the word that a policy matches."""

_ROWS: Final = {(revision, row.sender, row.name): row for row in TABLE for revision in row.revisions}


def lookup(revision: str, sender: Sender, method: str) -> Method | None:
    """The row for `method` in `revision`, or None where it doesn't exist there."""
    return _ROWS.get((revision, sender, method))
