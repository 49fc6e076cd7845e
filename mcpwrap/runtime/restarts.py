"""A server whose credential was a variable gets a new one by being started again; the client's session goes on (IDENTITY.md §4).

The session says when (`mcpwrap.core.restarting`): it is told that a restart is due, that it can't wait any longer, and that the
wait for what is in flight is over. Here are the timers for that, and the steps of the process itself: stop, its exit, start.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from mcpwrap.core.events import DrainOver, Event, RestartDue, RestartForced, ServerExited, ServerRestarted
from mcpwrap.core.restarting import Phase
from mcpwrap.runtime.stderr import say

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle

    from mcpwrap.core.session import Session
    from mcpwrap.runtime.lifecycle import ServerPipes

DRAIN_S: Final = 30.0
"""How long the calls in flight may hold up a restart that can't wait; what isn't answered by then is lost."""

JOIN_S: Final = 30.0
"""How long a restarted server may take to be what it was; first starts of package runners take longer, second ones don't."""


class Restarting(Protocol):
    """What is asked of the surroundings."""

    def force_in_s(self) -> float | None:
        """In how many seconds a server with an old credential must be restarted; None where none has one."""
        ...

    def restart(self, at: float) -> tuple[list[Event], ServerPipes | None, str]:
        """Start the server again, if it still may run: what else follows from the files as they are now, the pipes, or why there
        are none, for a person."""
        ...


class Restarts:
    """The restarts of one session's server. `act` hands an event to the session and carries out what it says; `server` is what
    changes with each process."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        session: Session,
        control: Restarting,
        *,
        act: Callable[[Event], None],
        attach: Callable[[ServerPipes], None],
        stop: Callable[[], None],
        server: Callable[[], object | None],
    ) -> None:
        self._loop = loop
        self._session = session
        self._control = control
        self._act = act
        self._attach = attach
        self._stop = stop
        self._server = server
        self._timer: TimerHandle | None = None
        self._draining = False
        """the timer is for what is in flight"""
        self.restarting = False
        """the server was stopped to be started again"""

    def look(self) -> None:
        """Something changed: see when the server must be restarted."""
        if self._draining:
            return
        self._cancel()
        wait_s = self._control.force_in_s()
        if wait_s is not None and self._server() is not None and not self.restarting:
            self._timer = self._loop.call_later(wait_s, self._force)

    def watch(self) -> None:
        """Look again whether a restart is due: what became due while the last one was on would else wait for the next renewal."""
        if self._session.phase is None and not self.restarting and self._timer is None and self._server() is not None:
            wait_s = self._control.force_in_s()
            if wait_s is not None:
                self._act(RestartDue(monotonic()))
                self.look()

    def begin(self) -> None:
        """Stop the server; it is started again when it is gone."""
        self._cancel()
        self.restarting = True
        if self._server() is None:
            self.respawn()
        else:
            self._stop()

    def drop(self) -> None:
        """The server isn't to be started again."""
        self._cancel()
        self.restarting = False

    def respawn(self) -> None:
        """The old process is gone: start the next one."""
        events, pipes, why = self._control.restart(monotonic())
        self.restarting = False
        for event in events:
            self._act(event)
        if pipes is None:
            if not self._session.held:
                say(why)
                self._act(ServerExited(why, monotonic()))
            return
        self._attach(pipes)
        self._after(JOIN_S, self._join_over)
        self._act(ServerRestarted(monotonic()))

    def _force(self) -> None:
        self._timer = None
        self._act(RestartForced(monotonic()))
        # (while the process before is still being opened it means nothing; `watch` asks again)
        if self._session.phase is Phase.DRAINING and not self.restarting:
            self._draining = True
            self._timer = self._loop.call_later(DRAIN_S, self._drain_over)

    def _drain_over(self) -> None:
        self._draining, self._timer = False, None
        if self._session.phase is Phase.DRAINING:
            self._act(DrainOver(monotonic()))

    def _join_over(self) -> None:
        if self._session.phase is Phase.OPENING:
            self._act(DrainOver(monotonic()))

    def _after(self, wait_s: float, then: Callable[[], None]) -> None:
        server = self._server()
        self._loop.call_later(wait_s, lambda: then() if self._server() is server else None)

    def _cancel(self) -> None:
        self._draining = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
