"""The only loop: bytes become events, commands are carried out.

A message is handled to its end in the callback that read it. All records of one read are written with one write before anything of
that read is sent: no audit, no call. Where a peer is slow, its buffer fills, and what fills it is read
no further until it drains.

End of the session (POLICY.md §7): the client's EOF is passed on at once, after what it sent before; SIGTERM follows after
`TERM_AFTER_S` and SIGKILL after `KILL_AFTER_S`, to all descendants. Until the server is gone its answers are still passed on.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final, Protocol

from mcpwrap.core import commands as c
from mcpwrap.core.credentials import Failed, Issued
from mcpwrap.core.entry import Entry
from mcpwrap.core.events import ClientGone, ClientLine, Event, RecordFailed, ServerExited, ServerLine
from mcpwrap.core.framing import FramingError, LineReader
from mcpwrap.core.pins import Learned
from mcpwrap.core.session import Session
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import StateError
from mcpwrap.runtime.channels import Input, Output
from mcpwrap.runtime.lifecycle import Exited, GuardianLost, ServerPipes, SpawnFailed
from mcpwrap.runtime.process import Guardian
from mcpwrap.runtime.restarts import Restarting, Restarts
from mcpwrap.runtime.stderr import ServerStderr, say

TERM_AFTER_S: Final = 1.0
KILL_AFTER_S: Final = 1.5
GIVE_UP_S: Final = 1.7
"""When the shim ends whatever the server does; clients send SIGTERM two seconds after EOF (PROTOCOL.md §6)."""

HURRIED_S: Final = 0.5
"""How long after SIGTERM a server that doesn't read is killed, once its client is gone."""

FLUSH_S: Final = 0.2
"""How long the end waits for a client that still reads."""

WATCH_S: Final = 0.5
"""How often an idle session looks whether its policy or trust changed."""

FIRST_TOKEN_S: Final = 10.0
"""How long a client's first message waits for a credential that the server can't start without; clients wait 30 s and more."""

LOOK_S: Final = 0.02
"""How old that look may be when a client's message is judged."""


def _doomed(signum: int, frame: object) -> None:
    """The client wants an end: it comes by itself when the loop doesn't bring it in time, and the guardian does the rest."""
    signal.setitimer(signal.ITIMER_REAL, GIVE_UP_S + FLUSH_S)


class Recorder(Protocol):
    """Where records go. Raises StateError where one can't be written."""

    def write(self, entries: Sequence[Entry]) -> None: ...


class Control(Restarting, Protocol):
    """What the pump asks of its surroundings."""

    def changed(self) -> bool:
        """True where a file that decides changed since the last look."""
        ...

    def reassess(self, at: float, *, running: bool) -> tuple[list[Event], ServerPipes | None]:
        """What follows from a change; the pipes of a server where one was started."""
        ...

    def attach(self, loop: asyncio.AbstractEventLoop, came: Callable[[list[Issued | Failed]], None]) -> None:
        """Have credentials fetched on `loop`; `came` is called with each answer."""
        ...

    def late(self, at: float) -> list[Event]:
        """What follows from a first credential that isn't there after `FIRST_TOKEN_S`."""
        ...

    def delivered(self, came: list[Issued | Failed], at: float, *, running: bool) -> tuple[list[Event], ServerPipes | None]:
        """What follows from credentials that came, or couldn't be had; the pipes of a server where one was started."""
        ...

    def why_exited(self, exited: Exited | SpawnFailed | GuardianLost, tail: str, *, early: bool) -> str:
        """The words for a person when the server is gone; `tail` is the end of its stderr."""
        ...

    def learn(self, learned: Learned) -> None:
        """Keep what was seen of the server's definitions."""
        ...

    def note(self, what: str, why: str) -> None:
        """Put into the audit what happened to the session besides its messages."""
        ...


class Pump:
    """Runs one session on a loop until it is over."""

    def __init__(self, session: Session, recorder: Recorder, guardian: Guardian, control: Control) -> None:
        self._session = session
        self._recorder = recorder
        self._guardian = guardian
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._client_lines = LineReader()
        self._server_lines = LineReader()
        self._looked_at = 0.0
        self._ending = False
        self._answered = False
        self._lost = ""
        """why the last record couldn't be written"""
        self._crowded: set[str] = set()
        self._server_in: Input | None = None
        self._server_out: Output | None = None
        self._server_stderr: ServerStderr | None = None
        self._stopping = False
        self._restarts = Restarts(
            self._loop, session, control, act=self._act, attach=self._attach, stop=self._stop_server, server=lambda: self._server_in
        )
        self._unguarded = False
        self._hung_up = False
        self._fault: Exception | None = None
        self._client_out = Output(self._loop, 1, on_level=self._level("client"), on_broken=self._client_gone, own=False)
        self._client_in = Input(self._loop, 0, self._from_client)
        self._loop.add_reader(guardian.fileno(), self._from_guardian)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._loop.add_signal_handler(number, self._signalled)
            # runs even while one long line is being parsed and the loop doesn't turn
            signal.signal(number, _doomed)
            signal.siginterrupt(number, False)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        self._loop.set_exception_handler(self._failed)

    async def run(self, pipes: ServerPipes | None) -> None:
        """Relay until the session is over; `pipes` are the server's, where it was started already.

        Raises:
            Exception: a fault of ours, after the session was ended for it.
        """
        if pipes is not None:
            self._attach(pipes)
        self._loop.call_later(WATCH_S, self._watch)
        self._control.attach(self._loop, self._delivered)
        self._loop.call_later(FIRST_TOKEN_S, self._first_token_late)
        try:
            await self._done.wait()
        finally:
            self._carry_out(self._session.handle(ClientGone(monotonic())))
            self._client_in.close()
            self._detach()
            self._loop.remove_reader(self._guardian.fileno())
            self._client_out.close()
            signal.setitimer(signal.ITIMER_REAL, 0)
        if self._fault is not None:
            raise self._fault

    # what comes in

    def _from_client(self, data: bytes) -> None:
        at = monotonic()
        if at - self._looked_at > LOOK_S:
            self._look(at)
        try:
            lines = self._client_lines.feed(data) if data else [self._client_lines.finish()]
        except FramingError as error:
            self._break_off(str(error))
            return
        found: list[c.Command] = []
        handle = self._session.handle
        for line in lines:
            if line and line != b"\r":
                found += handle(ClientLine(line, at))
        self._carry_out(found)
        if not data:
            self._end()

    def _from_server(self, data: bytes) -> None:
        if not data:
            self._server_silent()
            return
        at = monotonic()
        try:
            lines = self._server_lines.feed(data)
        except FramingError as error:
            self._break_off(str(error))
            return
        found: list[c.Command] = []
        handle = self._session.handle
        for line in lines:
            if line and line != b"\r":
                found += handle(ServerLine(line, at))
            # (a banner on stdout is no answer)
            self._answered = self._answered or line.startswith((b"{", b"["))
        self._carry_out(found)

    def _from_guardian(self) -> None:
        for event in self._guardian.events():
            match event:
                case Exited() | SpawnFailed() | GuardianLost():
                    self._server_gone(event)
                case _:
                    pass
            if isinstance(event, GuardianLost):
                # nothing can be started any more: the session stays held
                self._unguarded = True
                self._loop.remove_reader(self._guardian.fileno())

    # what goes out

    def _carry_out(self, found: list[c.Command]) -> None:
        """Write the records, then send; where no record permits anything (the end of a call), send, then write."""
        entries: list[Entry] = []
        to_server: list[bytes] = []
        to_client: list[bytes] = []
        permits = restart = False
        for command in found:
            kind = type(command)
            if kind is c.Record:
                entries.append(command.entry)  # type: ignore[union-attr]
            elif kind is c.ToServer:
                to_server.append(command.line)  # type: ignore[union-attr]
                permits = permits or bool(command.refs)  # type: ignore[union-attr]
            elif kind is c.ToClient:
                to_client.append(command.line)  # type: ignore[union-attr]
                permits = permits or bool(command.refs)  # type: ignore[union-attr]
            elif kind is c.Announce:
                # one line: the names in it are the client's
                say(spell_out(command.text))  # type: ignore[union-attr]
            elif kind is c.Learn:
                self._control.learn(command.learned)  # type: ignore[union-attr]
            elif kind is c.RestartServer:
                restart = True
            else:
                self._restarts.drop()
                self._stop_server()
        if permits and not self._record(entries):
            self._without_records(found, entries)
            return
        if to_server and self._server_out is not None:
            self._server_out.send(to_server)
        if to_client:
            self._client_out.send(to_client)
        if entries and not permits:
            self._record(entries)
        if restart:
            # (what goes to the old process is with it)
            self._restarts.begin()

    def _record(self, entries: list[Entry]) -> bool:
        try:
            self._recorder.write(entries)
        except StateError as error:
            if not self._lost:
                say(f"calls are refused: {error}")
            self._lost = str(error)
            return False
        self._lost = ""
        return True

    def _without_records(self, found: list[c.Command], entries: list[Entry]) -> None:
        """Hold back what the lost records would have permitted, and refuse it (POLICY.md §6)."""
        lost = {entry.ref for entry in entries if entry.ref}
        kept: list[c.Command] = [
            command for command in found if isinstance(command, c.ToServer | c.ToClient) and lost.isdisjoint(command.refs)
        ]
        refused = self._session.handle(RecordFailed(tuple(lost), self._lost, monotonic()))
        self._carry_out(kept + [command for command in refused if not isinstance(command, c.Record)])

    def _level(self, side: str) -> Callable[[bool], None]:
        """Backpressure: what fills a buffer isn't read further.

        The server is read on while its own input is full: it may be waiting for us to take its answers before it reads again. What
        it makes us send meanwhile (refusals of its requests) is bounded by `channels.HARD_LIMIT`.
        """

        def changed(full: bool) -> None:
            (self._crowded.add if full else self._crowded.discard)(side)
            self._throttle()

        return changed

    def _throttle(self) -> None:
        (self._client_in.pause if self._crowded else self._client_in.resume)()
        if self._server_in is not None:
            (self._server_in.pause if "client" in self._crowded else self._server_in.resume)()

    # the server comes and goes

    def _attach(self, pipes: ServerPipes) -> None:
        self._server_lines = LineReader()
        self._answered = False
        self._stopping = False
        self._server_out = Output(self._loop, pipes.stdin, on_level=self._level("server"), on_broken=self._server_deaf, own=True)
        self._server_in = Input(self._loop, pipes.stdout, self._from_server)
        self._server_stderr = ServerStderr(self._loop, pipes.stderr)
        self._stdout = pipes.stdout
        self._throttle()

    def _detach(self) -> None:
        if self._server_out is not None:
            self._server_out.close()
            self._server_out = None
        if self._server_in is not None:
            self._server_in.close()
            self._server_in = None
            os.close(self._stdout)
        if self._server_stderr is not None:
            self._server_stderr.close()
            self._server_stderr = None
        self._crowded.discard("server")
        if not self._ending:
            self._throttle()

    def _server_deaf(self) -> None:
        """The server closed its input, or never reads it: its exit comes by itself, or is brought about."""
        if not self._ending and self._server_out is not None:
            self._guardian.shutdown(TERM_AFTER_S, KILL_AFTER_S)

    def _server_silent(self) -> None:
        """The server closed its output; it can't answer any more, so it ends."""
        if not self._ending and self._server_out is not None:
            self._server_out.close()
            self._guardian.shutdown(TERM_AFTER_S, KILL_AFTER_S)

    def _stop_server(self) -> None:
        if self._server_out is not None:
            self._stopping = True
            self._server_out.close()
            self._guardian.shutdown(TERM_AFTER_S, KILL_AFTER_S)

    def _server_gone(self, event: Exited | SpawnFailed | GuardianLost) -> None:
        if self._server_in is None or self._server_stderr is None:
            return
        self._server_in.drain()
        self._server_stderr.drain()
        tail = self._server_stderr.tail
        stopped = self._stopping
        self._detach()
        self._guardian.kill_all()
        if self._ending:
            self._finish()
        elif self._restarts.restarting:
            self._restarts.respawn()
        elif not stopped:
            why = self._control.why_exited(event, tail, early=not self._answered)
            say(why)
            self._control.note("exited", why)
            self._carry_out(self._session.handle(ServerExited(why, monotonic())))
        elif self._session.held:
            self._looked_at = 0.0

    # credentials, and a server that gets new ones

    def _delivered(self, came: list[Issued | Failed]) -> None:
        """Something was fetched, or couldn't be."""
        if self._ending or self._unguarded:
            return
        self._follow(*self._control.delivered(came, monotonic(), running=self._running))

    def _first_token_late(self) -> None:
        if not self._ending:
            self._follow(self._control.late(monotonic()), None)

    def _follow(self, events: list[Event], pipes: ServerPipes | None) -> None:
        if pipes is not None:
            self._attach(pipes)
        for event in events:
            self._act(event)
        self._restarts.look()

    def _act(self, event: Event) -> None:
        self._carry_out(self._session.handle(event))

    @property
    def _running(self) -> bool:
        """True where a server runs, or is being started again."""
        return self._server_in is not None or self._restarts.restarting

    # what decides changes

    def _watch(self) -> None:
        if not self._ending:
            self._look(monotonic())
            self._restarts.watch()
            if "server" in self._crowded and not self._hung_up and self._client_in.hung_up():
                # the client is gone, and its end isn't read because the server doesn't read
                self._hung_up = True
                self._guardian.shutdown(0.0, HURRIED_S)
            self._loop.call_later(WATCH_S, self._watch)

    def _look(self, at: float) -> None:
        self._looked_at = at
        if self._unguarded or not self._control.changed() or (self._stopping and self._server_in is not None):
            return
        self._follow(*self._control.reassess(at, running=self._running))

    # the end

    def _client_gone(self) -> None:
        self._end()

    def _signalled(self) -> None:
        if not self._ending:
            self._end()
        self._guardian.signal_server(signal.SIGTERM)

    def _break_off(self, why: str) -> None:
        """A line too long to be read, or a fault of ours: the session can't go on (POLICY.md §7)."""
        if self._server_in is not None:
            # for good: the rest of that line would fill the memory until the server is gone
            self._server_in.close()
        say(f"the session ends: {why}")
        self._carry_out(self._session.handle(ServerExited(why, monotonic())))
        self._end()

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A fault of ours in a callback: what it had begun is half done, so the session ends (fail closed)."""
        error = context.get("exception")
        if not isinstance(error, Exception):
            return
        if self._fault is None:
            self._fault = error
            # not here: what fails once more comes back to this
            loop.call_soon(self._break_off, "mcpwrap failed")
        else:
            self._done.set()

    def _end(self) -> None:
        if self._ending:
            return
        self._ending = True
        self._client_in.close()
        if self._server_out is None:
            self._finish()
            return
        self._server_out.close()
        self._guardian.shutdown(TERM_AFTER_S, KILL_AFTER_S)
        self._loop.call_later(GIVE_UP_S, self._finish)

    def _finish(self) -> None:
        # the client may still be reading what the server said last
        self._await_flush(monotonic() + FLUSH_S)

    def _await_flush(self, until: float) -> None:
        if self._client_out.empty or monotonic() > until:
            self._done.set()
        else:
            self._loop.call_later(0.01, self._await_flush, until)
