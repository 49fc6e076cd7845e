"""The shim's side of the guardian, on POSIX systems."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from mcpwrap.runtime import guardian, prctl, proctable, wire

TYPE_CHECKING = False  # typing's own costs an import, and this is imported before the fork
if TYPE_CHECKING:
    from mcpwrap.runtime.lifecycle import ServerEvent, ServerPipes

SEND_S = 1.0
"""How long the guardian may leave a request unread; it reads at once, or it is stopped."""
CLOSE_S = 0.5
"""How long `Guardian.close` waits for a guardian; one that takes longer is killed, and what it leaves is hunted."""
ADOPT_S = 1.0
"""How long what a dead guardian left is hunted."""


class Guardian:
    """The handle of the process that starts the server and leaves nothing of it behind (theory: `runtime/guardian.py`).

    Not for several threads at once. After `GuardianLost` the descriptor stays readable: take it off the loop.
    """

    def __init__(self, pid: int, control: socket.socket) -> None:
        self._pid = pid
        self._control = control
        self._control.settimeout(SEND_S)  # for sending; the descriptor itself doesn't block, and is read with os.read
        self._buffer = bytearray()
        self._lost = False
        self._reaped = False
        self._adopting = False
        self.server_pid = 0
        """the server's process, 0 while none runs"""
        self.spared: Callable[[], Collection[int]] = tuple
        """children of ours in sessions of their own that aren't the server's"""

    @classmethod
    def start(cls) -> Guardian:
        """Fork the guardian. Call it before threads and heavy imports. Raises OSError."""
        return cls(*guardian.fork())

    @property
    def pid(self) -> int:
        """The guardian's process id."""
        return self._pid

    def fileno(self) -> int:
        """The control socket: doesn't block; readable when `events` has something. -1 after `close`."""
        return self._control.fileno()

    def spawn(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> ServerPipes:
        """Ask for the server: ``argv[0]`` is an absolute path, ``env`` its whole environment.

        The pipes are there at once and don't block. An event follows, `Started` or `SpawnFailed`. What an earlier
        server left behind is killed first. Raises OSError when no pipe can be made.
        """
        from mcpwrap.runtime.lifecycle import ServerPipes  # noqa: PLC0415 (dataclasses: not before the fork)

        pipes: list[int] = []
        try:
            for _ in range(3):
                pipes += os.pipe()
            theirs, ours = [pipes[0], pipes[3], pipes[5]], [pipes[1], pipes[2], pipes[4]]
            for descriptor in ours:
                os.set_blocking(descriptor, False)
        except OSError:
            for descriptor in pipes:
                os.close(descriptor)
            raise
        try:
            self._request_spawn(argv, env, cwd, theirs)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        return ServerPipes(*ours)

    def _request_spawn(self, argv: Sequence[str], env: Mapping[str, str], cwd: str, descriptors: list[int]) -> None:
        try:
            if not argv or not os.path.isabs(argv[0]):
                raise ValueError("the command is not an absolute path")
            if any("=" in name or not name for name in env):
                raise ValueError("a variable's name is empty or holds `=`")
            variables = [f"{name}={value}" for name, value in env.items()]
            message = wire.frame(wire.SPAWN, cwd, str(len(argv)), *argv, *variables)
        except ValueError as error:
            self._send(wire.frame(wire.REFUSE, str(error)))
        else:
            self._send(message, descriptors)

    def events(self) -> list[ServerEvent]:
        """Everything that happened since the last call, in order; never blocks."""
        from mcpwrap.runtime.lifecycle import GuardianLost, Started  # noqa: PLC0415 (as in spawn)

        found: list[ServerEvent] = []
        if self._lost or self._control.fileno() < 0:
            return found
        ended = self._fill()
        while (message := self._take()) is not None:
            found.append(message)
            self.server_pid = message.pid if isinstance(message, Started) else 0
        if ended:
            self._lost = True
            self._clean_up()
            found.append(GuardianLost())
        elif not self._adopting and any(isinstance(event, Started) for event in found):
            # From now on orphans of a killed guardian come to us. Not earlier: the import costs.
            self._adopting = prctl.adopt_orphans()
        return found

    def signal_server(self, signum: int) -> None:
        """Send ``signum`` to the server and to everything below it."""
        self._send(wire.frame(wire.SIGNAL, str(int(signum))))

    def kill_all(self) -> None:
        """SIGKILL the server and everything below it, now."""
        self._send(wire.frame(wire.KILL))

    def shutdown(self, term_after_s: float = 1.0, kill_after_s: float = 1.5) -> None:
        """Let the server end: SIGTERM and SIGKILL to everything after so many seconds (POLICY.md §7).

        The caller closes the server's stdin, waits for `Exited` and calls `close`. The stages are the guardian's: they
        hold when the shim is stopped meanwhile, and when it is killed everything is killed at once.
        """
        self._send(wire.frame(wire.SHUTDOWN, repr(float(term_after_s)), repr(float(kill_after_s))))

    def close(self) -> None:
        """Kill what is left, and return when the guardian is gone, after `CLOSE_S` at most. May be called again."""
        if self._control.fileno() < 0:
            return
        end = time.monotonic() + CLOSE_S
        try:
            self._control.shutdown(socket.SHUT_WR)
        except OSError:  # gone already
            self._lost = True
        while not self._fill():
            poll = select.poll()
            poll.register(self._control, select.POLLIN)
            if not poll.poll(max(0, int((end - time.monotonic()) * 1000))):
                # it was stopped, by the server for one: then it goes, and the server with it
                self._clean_up()
                break
        self._control.close()
        self._lost = True
        self._reap(end)
        if self._adopting:
            self._adopting = not prctl.adopt_orphans(False)

    # -- the wire --------------------------------------------------------------------------------------------------

    def _send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        if self._lost or self._control.fileno() < 0:
            return
        try:
            sent = socket.send_fds(self._control, [message], descriptors) if descriptors else 0
            self._control.sendall(memoryview(message)[sent:])
        except OSError:
            # It is gone, or stopped: then it goes, the kernel takes the server with it, and `events` says so.
            self._kill_guardian()

    def _fill(self) -> bool:
        """Read what is there; True when the guardian has closed its end."""
        while len(self._buffer) <= wire.FRAME_LIMIT:
            try:
                data = os.read(self._control.fileno(), 65536)
            except BlockingIOError:
                return False
            except OSError:
                return True
            if not data:
                return True
            self._buffer += data
        return True

    def _take(self) -> ServerEvent | None:
        from mcpwrap.runtime.lifecycle import Exited, SpawnFailed, Started  # noqa: PLC0415 (as in spawn)

        try:
            message = wire.take(self._buffer)
        except ValueError:
            self._kill_guardian()
            return None
        match message:
            case (wire.STARTED, [pid]):
                return Started(int(pid))
            case (wire.FAILED, [text]):
                return SpawnFailed(text)
            case (wire.EXITED, [number]):
                code = int(number)
                return Exited(code, None) if code >= 0 else Exited(None, -code)
            case _:
                return None

    # -- a guardian that was killed --------------------------------------------------------------------------------

    def _kill_guardian(self) -> None:
        if not self._reaped:
            os.kill(self._pid, signal.SIGKILL)  # not reaped, so the number is still its own

    def _clean_up(self) -> None:
        """Kill what a guardian that was killed left behind: its orphans are our children, of a session that isn't ours.

        Only what this process starts in a session of its own could be taken for it.
        """
        end = time.monotonic() + ADOPT_S
        self._kill_guardian()
        self._reap(end)  # orphans are handed on before a dead process can be reaped
        killed: set[int] = set()
        while self._adopting and time.monotonic() < end:
            found = proctable.foreign_children(os.getpid(), os.getsid(0)).difference(self.spared())
            killed |= found
            for pid in found:
                with contextlib.suppress(OSError):  # gone
                    os.kill(pid, signal.SIGKILL)
            for pid in killed:
                with contextlib.suppress(OSError):  # reaped already, or not a child of ours
                    os.waitpid(pid, os.WNOHANG)
            if not found:
                return
            time.sleep(0.001)

    def _reap(self, end: float) -> None:
        while not self._reaped:
            try:
                self._reaped = os.waitpid(self._pid, os.WNOHANG)[0] == self._pid
            except ChildProcessError:  # somebody else reaped it
                self._reaped = True
            if time.monotonic() >= end:
                return
            if not self._reaped:
                time.sleep(0.001)
