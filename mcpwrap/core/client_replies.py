"""What the client sends besides requests: its notifications, its answers to the server, and what can't be read."""

from __future__ import annotations

from mcpwrap.core import denial, held, meta
from mcpwrap.core.commands import Command, Record, ToClient, ToServer
from mcpwrap.core.entry import Entry
from mcpwrap.core.jsonrpc import Error, Notification, Result, Shape, WireError, id_key
from mcpwrap.core.methods import MODERN, Matched, Method, lookup
from mcpwrap.core.pending import Pending
from mcpwrap.core.rules import Decision, Outcome
from mcpwrap.core.state import State
from mcpwrap.core.state import denial as own_denial


class ClientReplies:
    """Judges them. Appends commands; holds no state of its own."""

    def __init__(self, state: State) -> None:
        self._state = state

    # notifications

    def notification(self, m: Notification, at: float, out: list[Command]) -> None:
        """Judge one notification: forward it, or drop it."""
        state = self._state
        revision = state.legacy_or_latest()
        if meta.holds_ours(m.params.get("_meta")):
            m = meta.without_ours(m)
        row = lookup(revision, "client", m.method) or lookup(MODERN[-1], "client", m.method)
        if row is not None and not row.is_notification:
            self._drop(m, "a request without an id", out)
            return
        if m.method == "notifications/initialized":
            state.greeted = True
            if state.introduced:
                state.introduced = False
                return
        if state.hold or state.rules is None:
            held.notification(state, m)
            return
        refs: tuple[str, ...] = ()
        if row is None and state.tokenless:
            self._drop(m, state.tokenless, out)
            return
        if row is None:
            decision, refs = state.unlisted("client", m, at, out)
            if decision.outcome >= Outcome.ASK:
                self._refuse_notification(m, decision, out)
                return
        elif why := self._unwanted(row, m):
            self._drop(m, why, out)
            return
        out.append(ToServer(m.encoded, refs))

    def _unwanted(self, row: Method, m: Notification) -> str:
        state = self._state
        match row.matched:
            case Matched.CANCEL:
                return self._cancel(m)
            case Matched.PROGRESS:
                token = m.params.get("progressToken")
                known = (type(token) is int or type(token) is str) and any(
                    p.token == token and type(p.token) is type(token) for p in state.server_calls.values()
                )
                return "" if known else "progress of nothing that is in flight"
            case Matched.SERVER_REQUEST:
                return f"`{row.subject}` is not permitted" if row.subject in state.closed else ""
            case Matched.CLIENT_TASK:
                return "" if state.made_by_client(m.params.get("taskId")) else "a task that was made for nothing"
            case _:
                return ""

    def _cancel(self, m: Notification) -> str:
        state = self._state
        id = m.params.get("requestId")
        pending = state.calls.get(id_key(id)) if type(id) is int or type(id) is str else None
        if pending is None or pending.cancelled or pending.id != id:
            return "a cancellation of nothing that is in flight"
        if pending.method == "initialize":
            return "`initialize` can't be cancelled"
        state.cancel(id_key(pending.id))
        return ""

    def _drop(self, m: Notification, why: str, out: list[Command]) -> None:
        self._refuse_notification(m, own_denial(why), out)

    def _refuse_notification(self, m: Notification, decision: Decision, out: list[Command]) -> None:
        self._state.refused(out, event="notification", direction="client", method=m.method, decision=decision)

    # answers and what can't be read

    def response(self, m: Result | Error, at: float, out: list[Command]) -> None:
        """Pass on the client's answer to a request of the server's; anything else is dropped."""
        state = self._state
        pending = state.server_calls.get(id_key(m.id))
        if pending is None or pending.id != m.id:
            state.owed.drop(id_key(m.id))
            state.refused(
                out, event="response", direction="client", method="", request_id=m.id,
                decision=own_denial("an answer to nothing that was asked"),
            )  # fmt: skip
            return
        if type(m) is Result:
            task = m.result.get("task")
            if type(task) is dict and type(task.get("taskId")) is str:
                state.catalog.client_tasks.put(task["taskId"], pending.method)
        self.ended(pending, "ok" if type(m) is Result else "error", out, at=at, size=len(m.encoded))
        out.append(ToServer(m.encoded))

    def ended(self, p: Pending, status: str, out: list[Command], *, at: float | None = None, size: int | None = None) -> None:
        """A request of the server's is in flight no more; record how it ended. `at` is monotonic seconds, `size` bytes."""
        self._state.server_calls.pop(id_key(p.id), None)
        if p.ref:
            duration_ms = round((at - p.at) * 1000, 3) if at is not None else None
            out.append(
                Record(
                    Entry(
                        "response", "client", p.method, ref=p.ref, request_id=p.id,
                        status=status, duration_ms=duration_ms, result_bytes=size,
                    )
                )
            )  # fmt: skip

    def unreadable(self, error: WireError, out: list[Command]) -> None:
        """Refuse what could not be read; it is answered where an id is certain and not in flight.

        Where it was meant as an answer, it is the server that waits for one.
        """
        state = self._state
        ref = state.refused(
            out,
            event="call" if error.id is not None else "notification",
            direction="client",
            method="",
            request_id=error.id,
            decision=own_denial(error.reason),
        )
        if error.shape is Shape.ANSWER:
            asked = state.server_calls.get(id_key(error.id)) if error.id is not None else None
            if asked is not None and asked.id == error.id:
                self.ended(asked, "error", out)
                out.append(ToServer(denial.broken(asked.id, f"the client's answer can't be read: {error.reason}")))
        elif error.id is not None and id_key(error.id) not in state.calls and id_key(error.id) not in state.waiting:
            out.append(ToClient(denial.error(error.id, error.code, f"{error.reason} (ref {ref})")))
