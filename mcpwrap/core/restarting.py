"""A server that is restarted, or not started yet, while its client's session goes on (IDENTITY.md §4, ``via = "env"``).

A server knows the credentials of its environment only as they were when it was started. So it is ended and started again before
they run out, and the client isn't to notice:

    AWAITING   the server runs and its first token is still being fetched: calls wait, all that carries no authority goes on
    DUE        everything goes on; once there is nothing in flight, the server is restarted
    DRAINING   the client's requests wait; what is in flight has until `DrainOver` to end
    ABSENT     there is no server: the old one is ended, or the first one still waits for its token
    OPENING    the new one is opened and compared with the old one (`reopening`); its requests and notifications wait

Rules

1. What was sent to a server is never sent to another one. What it didn't answer is answered with an error, and recorded as lost.
2. What waits is judged when it is sent on, by the rules of that moment, in the order in which it came. It is bounded.
3. What is cancelled while it waits was never there. What only the old process would understand (progress, an answer) is dropped.
4. Requests of the server that the client hasn't answered, and tasks whose end wasn't seen, keep it from being idle; the tasks only
   until the restart is forced, since whoever would ask for their end waits, too.
5. A new process that isn't what the old one was gets nothing of what waits: the session is held.
"""

from __future__ import annotations

import enum
from typing import Final

from mcpwrap.core import denial
from mcpwrap.core.access import Access
from mcpwrap.core.commands import Command, ToClient, ToServer
from mcpwrap.core.jsonrpc import INTERNAL_ERROR, Error, Message, Notification, Request, Result, WireError, id_key
from mcpwrap.core.methods import MODERN, Matched, lookup
from mcpwrap.core.reopening import Reopening
from mcpwrap.core.state import IN_FLIGHT_LIMIT, State
from mcpwrap.core.state import denial as own_denial
from mcpwrap.core.visible import spell_out
from mcpwrap.core.waiting import Waiting


class Phase(enum.Enum):
    """How far a restart is."""

    AWAITING = "awaiting"
    DUE = "due"
    DRAINING = "draining"
    ABSENT = "absent"
    OPENING = "opening"


_ALONE: Final = frozenset({Phase.ABSENT, Phase.OPENING})
"""Phases in which nothing of the client's reaches a server."""


class Restarting:
    """One restart, or the first start. Says what becomes of each message meanwhile; what follows is the session's to do."""

    def __init__(self, state: State, access: Access, phase: Phase) -> None:
        self._state = state
        self._access = access
        self.phase = phase
        self.said = Waiting()
        """what the new process said before it was found to be as the old one"""
        self._opening: Reopening | None = None
        self._in_batch = False

    @property
    def idle(self) -> bool:
        """True where nothing would be lost if the server ended now."""
        state = self._state
        if self.phase is Phase.DUE and (state.established.tasks or (state.handshake is not None and not state.greeted)):
            return False
        return not state.server_calls and all(p.cancelled or p.listen is not None for p in state.calls.values())

    def batch(self, *, over: bool = False) -> None:
        """What comes from here on came in one line, until it is `over`."""
        self._in_batch = not over
        self._state.waiting.new_batch()

    def open(self, out: list[Command]) -> None:
        """The new process runs: begin to compare it with the old one."""
        self.phase = Phase.OPENING
        self._opening = Reopening(self._state, self._access)
        self._opening.start(out)

    @property
    def verdict(self) -> str | None:
        """None while it isn't known whether the new process is as the old one was; "" where it is, else why not."""
        return self._opening.verdict if self._opening is not None else None

    # what the client sends

    def takes(self, m: Message, out: list[Command]) -> bool:
        """True where a message of the client's is dealt with: it waits, or nobody is there to whom it means something."""
        if type(m) is Request:
            if self.phase is Phase.DUE or (self.phase is Phase.AWAITING and self._needs_no_token(m)):
                return False
            self._wait(m, out)
            return True
        if type(m) is Notification:
            if m.method == "notifications/cancelled" and self._withdrawn(m):
                return True
            return self.phase in _ALONE and self._takes_notification(m, out)
        return False

    def _needs_no_token(self, m: Request) -> bool:
        """True for what is always let through (POLICY.md §7), but for one whose id waits already."""
        row = lookup(self._state.legacy_or_latest(), "client", m.method) or lookup(MODERN[-1], "client", m.method)
        always = row is not None and row.matched is Matched.ALWAYS
        return always and id_key(m.id) not in self._state.waiting

    def _wait(self, m: Request, out: list[Command]) -> None:
        state = self._state
        key = id_key(m.id)
        if key in state.calls or key in state.waiting:
            self._refuse(m, "an id that is in flight can't be used again", out)
        elif not state.waiting.has_room(m, IN_FLIGHT_LIMIT - len(state.calls)):
            ref = self._refuse(m, "more than mcpwrap lets wait for a server", out)
            out.append(ToClient(denial.broken(m.id, f"too much waits for the server (ref {ref})")))
        else:
            state.waiting.add(m, batched=self._in_batch)

    def _refuse(self, m: Request, why: str, out: list[Command]) -> str:
        return self._state.refused(
            out, event="call", direction="client", method=m.method, request_id=m.id, decision=own_denial(why)
        )

    def _withdrawn(self, m: Notification) -> bool:
        state = self._state
        id = m.params.get("requestId")
        if not (type(id) is int or type(id) is str):
            return False
        if state.waiting.withdraw(id):
            return True
        pending = state.calls.get(id_key(id))
        if self.phase not in _ALONE or pending is None or pending.id != id:
            return False
        # a subscription, of which the new process hasn't heard
        state.forget(id_key(id))
        return True

    def _takes_notification(self, m: Notification, out: list[Command]) -> bool:
        state = self._state
        if m.method == "notifications/initialized" and "initialize" in state.established.greetings:
            # the new process gets it from us, once
            state.greeted, state.introduced = True, False
            return True
        row = lookup(state.legacy_or_latest(), "client", m.method) or lookup(MODERN[-1], "client", m.method)
        if row is not None and (not row.is_notification or row.matched in (Matched.CANCEL, Matched.PROGRESS)):
            return False  # nothing is in flight: it is dropped
        why = ""
        if row is not None and row.matched is Matched.CLIENT_TASK:
            why = "about a task that was made for a process that is gone"
        elif not state.waiting.has_room(m, IN_FLIGHT_LIMIT):
            why = "more than mcpwrap lets wait for a server"
        if why:
            state.refused(out, event="notification", direction="client", method=m.method, decision=own_denial(why))
        else:
            state.waiting.add(m, batched=self._in_batch)
        return True

    # what the server sends

    def hears(self, m: Message, out: list[Command]) -> bool:
        """True where a message of the server's is dealt with: nobody is to hear it yet, or any more."""
        if self.phase is Phase.ABSENT:
            return True  # the last words of the old process
        if self.phase is not Phase.OPENING or self._opening is None:
            return False
        if type(m) is Request or type(m) is Notification:
            self._hear(m, out)
        elif isinstance(m, Result | Error) and not self._opening.answer(m, out):
            self._state.refused(
                out, event="response", direction="server", method="", request_id=m.id,
                decision=own_denial("an answer to nothing that was asked"),
            )  # fmt: skip
        return True

    def _hear(self, m: Request | Notification, out: list[Command]) -> None:
        if isinstance(m, Request) and m.method == "ping":
            out.append(ToServer(denial.answer(m.id, {})))
        elif isinstance(m, Request) and id_key(m.id) in self.said:
            self._state.refused(
                out, event="call", direction="server", method=m.method, request_id=m.id,
                decision=own_denial("an id that is in flight can't be used again"),
            )  # fmt: skip
        elif isinstance(m, Notification) and m.method == "notifications/cancelled" and self._took_back(m):
            pass
        elif self.said.has_room(m, IN_FLIGHT_LIMIT):
            self.said.add(m)
        elif isinstance(m, Request):
            out.append(ToServer(denial.error(m.id, INTERNAL_ERROR, "the session isn't open yet")))

    def _took_back(self, m: Notification) -> bool:
        id = m.params.get("requestId")
        return (type(id) is int or type(id) is str) and self.said.withdraw(id)

    def garbled(self, error: WireError, out: list[Command]) -> bool:
        """True where what the server says and can't be read is dealt with: it can't be the answer to a call of the client's."""
        if self.phase is Phase.OPENING and self._opening is not None:
            self._opening.garbled(error.id)
            self._state.refused(out, event="notification", direction="server", method="", decision=own_denial(error.reason))
        return self.phase in _ALONE


def not_the_same(server: str, why: str) -> str:
    """The words of a session that is held since its server's new process isn't what the old one was."""
    return (
        f'mcpwrap restarted "{spell_out(server)}" to renew its credentials, and holds the new process back: {why}.\n'
        "Ask the user to look at `mcpwrap pins` in a terminal of their own, and to reconnect this server in the client.\n"
        "Don't run it yourself and don't work around it."
    )
