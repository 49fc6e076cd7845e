"""The server's notifications, judged."""

from __future__ import annotations

from typing import Final

from mcpwrap.core import adapt, meta
from mcpwrap.core.access import Access
from mcpwrap.core.asking import Asking
from mcpwrap.core.client_replies import ClientReplies
from mcpwrap.core.commands import Command, ToClient
from mcpwrap.core.contents import followed
from mcpwrap.core.jsonrpc import (
    Error,
    Id,
    Notification,
    Result,
    encode,
    id_key,
)
from mcpwrap.core.meta import SUBSCRIPTION_KEY
from mcpwrap.core.methods import MODERN, Matched, Method, lookup
from mcpwrap.core.outcome import Unfit
from mcpwrap.core.pending import Pending
from mcpwrap.core.pins import Kind
from mcpwrap.core.rules import Outcome
from mcpwrap.core.state import State
from mcpwrap.core.state import denial as own_denial

TEXT_LIMIT: Final = 64 * 1024
"""Longest ``message`` or status notification, in bytes; a longer one would drown what matters (POLICY.md §2)."""

_TEXTS: Final = frozenset({"notifications/message", "notifications/tasks/status", "notifications/progress"})


_CHANGED: Final[dict[str, tuple[Kind, ...]]] = {
    "notifications/tools/list_changed": ("tool",),
    "notifications/prompts/list_changed": ("prompt",),
    "notifications/resources/list_changed": ("template",),
}


class ServerNotices:
    """Judges them. Appends commands; holds no state of its own."""

    def __init__(self, state: State, access: Access, replies: ClientReplies, asking: Asking) -> None:
        self._state = state
        self._access = access
        self._replies = replies
        self._asking = asking

    def notification(self, m: Notification, at: float, out: list[Command]) -> None:
        """Judge a notification of the server's: forward it, or drop it."""
        state = self._state
        if state.may_echo:
            m = meta.taken_back(m)
        refs: tuple[str, ...] = ()
        row = lookup(state.legacy_or_latest(), "server", m.method) or lookup(MODERN[-1], "server", m.method)
        if row is None or not row.is_notification:
            extra, refs = state.unlisted("server", m, at, out)
            if extra.outcome >= Outcome.ASK:
                state.refused(out, event="notification", direction="server", method=m.method, decision=extra)
                return
        else:
            try:
                if row.matched is Matched.TASK:
                    refs = self._task_told(m, at, out)
                elif why := self._unwanted(row, m, out):
                    raise Unfit(why)
            except Unfit as unfit:
                self._drop(m, str(unfit), out)
                return
        if len(m.encoded) > TEXT_LIMIT and m.method in _TEXTS:
            self._drop(m, f"longer than {TEXT_LIMIT} bytes", out)
            return
        if state.adapted is not None:
            adapt.notification(state, m, out)
            return
        out.append(ToClient(self._told(row, m, out), refs))

    def _told(self, row: Method | None, m: Notification, out: list[Command]) -> bytes:
        """The line to send: what a task tells of its result follows the policy for resources like the result itself."""
        if row is None or row.matched is not Matched.TASK or self._state.live.resources.plainly_open:
            return m.encoded
        kept, taken = followed(m.params, "tasks/get", self._access.shows)
        if not taken:
            return m.encoded
        self._state.refused(
            out, event="notification", direction="server", method=m.method,
            decision=own_denial("resources in it aren't permitted"), note=f"altered: {taken} taken out",
        )  # fmt: skip
        return encode({**m.body, "params": kept})

    def _task_told(self, m: Notification, at: float, out: list[Command]) -> tuple[str, ...]:
        """The refs of the records that permit what a task's state asks for.

        Raises:
            Unfit: it may not be passed on.
        """
        state, task = self._state, m.params.get("taskId")
        if type(task) is not str or self._access.task(task).outcome is Outcome.DENY:
            raise Unfit("a task that no permitted call of this session made")
        if why := longer(m, task_limit(state, task)):
            raise Unfit(why)
        if len(m.encoded) > TEXT_LIMIT and m.method in _TEXTS:
            raise Unfit(f"longer than {TEXT_LIMIT} bytes")
        state.established.told(task, m.params)
        return self._asking.task_body(task, m.params, at, out)

    def _unwanted(self, row: Method, m: Notification, out: list[Command]) -> str:
        state = self._state
        match row.matched:
            case Matched.ALWAYS:
                for kind in _CHANGED.get(m.method, ()):
                    state.guard.stale(kind)
                return ""
            case Matched.PROGRESS:
                token = m.params.get("progressToken")
                known = (type(token) is int or type(token) is str) and (
                    token in state.tokens or state.task_tokens.get(token) is not None
                )
                return "" if known else "progress of nothing that is in flight"
            case Matched.CANCEL:
                return self._cancel(m, out)
            case Matched.RESOURCE:
                uri = m.params.get("uri")
                shown = type(uri) is str and self._access.resource(uri).outcome <= Outcome.LOG
                return "" if shown else "a resource that isn't permitted"
            case Matched.SERVER_REQUEST:
                return f"`{row.subject}` is not permitted" if row.subject in state.closed else ""
            case _:
                # the acknowledgment of a subscription: the table has no others
                pending = self._subscription(m)
                if pending is None:
                    return "an acknowledgment of nothing that was asked"
                if pending.quiet_ack:
                    pending.quiet_ack = False
                    return "acknowledged already"
                pending.acknowledged = True
                return ""

    def _subscription(self, m: Notification) -> Pending | None:
        meta = m.params.get("_meta")
        id = meta.get(SUBSCRIPTION_KEY) if type(meta) is dict else None
        pending = self._state.calls.get(id_key(id)) if type(id) is int or type(id) is str else None
        return pending if pending is not None and pending.listen is not None else None

    def _cancel(self, m: Notification, out: list[Command]) -> str:
        state = self._state
        id: Id | None = m.params.get("requestId")
        if not (type(id) is int or type(id) is str):
            return "a cancellation of nothing that is in flight"
        if (asked := state.server_calls.get(id_key(id))) is not None:
            self._replies.ended(asked, "cancelled", out)
            return ""
        listening = state.calls.get(id_key(id))
        if listening is not None and listening.listen is not None:
            state.forget(id_key(id))
            return ""
        return "a cancellation of nothing that is in flight"

    def _drop(self, m: Notification, why: str, out: list[Command]) -> None:
        self._state.refused(out, event="notification", direction="server", method=m.method, decision=own_denial(why))


def task_limit(state: State, task: str) -> int | None:
    """Longest answer about `task`, in bytes; of one that isn't known (everything is allowed, then) that of the server."""
    limit = state.catalog.limits.get(task)
    budget = state.live.budget
    return limit if limit is not None or budget is None else budget.max_result_bytes


def longer(m: Result | Error | Notification, limit: int | None) -> str:
    """Why a message is longer than its budgets permit; "" where it isn't."""
    return (
        f"the answer has {len(m.encoded)} bytes, and the policy permits {limit}"
        if limit is not None and len(m.encoded) > limit
        else ""
    )
