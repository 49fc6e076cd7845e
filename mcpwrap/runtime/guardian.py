"""The guardian: a small process that outlives the shim by some milliseconds, so that nothing else does.

The shim forks it before it imports anything heavy, and asks it to start the server. Rules:

1. It is the server's parent and, on Linux, the reaper of every orphan below it, so each process that the server ever
   starts can be found by following parents, whatever session or double fork it hides in.
2. The shim's end of the control socket closes when the shim ends, however it ends. Then everything below is killed,
   again and again until nothing is left, and the guardian exits. An orderly end is staged here too (`SHUTDOWN`), so
   that it holds when the shim is killed in the middle of it.
3. It never holds what belongs to the client: its descriptors are /dev/null, the control socket and two of its own, so
   the client sees the end of its pipes when the shim dies.
4. It has a session of its own and ignores the signals that a terminal or a client sends to a group. Should it be
   killed all the same, the kernel kills the server (parent-death signal) and the shim, which then adopts the orphans,
   the rest.
5. What goes wrong in here ends as rule 2 does: fail closed.

One thread, one loop. It must stay small (it is copied from the shim page by page): no dataclasses, no pathlib, no json.
"""

from __future__ import annotations

import fcntl
import gc
import os
import select
import signal
import socket
import time

from mcpwrap.runtime import prctl, proctable, wire

SWEEP_PAUSE_S = 0.005
"""Between two looks for survivors; a killed process needs about one millisecond to be gone."""
LONGEST_PAUSE_S = 0.5
"""The same, when nothing has changed for a while: what waits in the kernel shall cost nothing."""
SWEEP_S = 1.0
"""How long a kill on request may hold up the control socket."""
LAST_SWEEP_S = 3600.0
"""How long the guardian stays for what doesn't die: what forks faster than it is killed, what waits in the kernel for a disk."""
MAX_DESCRIPTORS = 65536
"""Descriptors that are closed blindly where none can be listed; more than any shim opens before it forks."""

_IGNORED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGPIPE", "SIGALRM", "SIGUSR2", "SIGTSTP", "SIGTTIN", "SIGTTOU")


def fork() -> tuple[int, socket.socket]:
    """Fork the guardian: its process id and the shim's end of the control socket.

    Call it first, before threads and heavy imports. Raises OSError.
    """
    ours, theirs = socket.socketpair()
    shim = os.getpid()
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, ours
    code = 1
    try:
        ours.detach()  # closed with all the others
        _Guardian(theirs.detach(), shim).run()
        code = 0
    finally:
        os._exit(code)  # nothing of the shim's runs here: no handlers, no flush of what it had buffered


class _Guardian:
    def __init__(self, control: int, shim: int) -> None:
        gc.disable()  # a collection would touch, and so copy, every page
        os.setsid()
        self._control = socket.socket(fileno=_keep_only(control))
        self._control.setblocking(False)
        self._shim = shim
        self._server = 0  # 0: none
        self._report = -1  # where the child says that it could not execute; -1: nothing is starting
        self._session = 0  # the last server's, while something of it may live
        self._term_at: float | None = None
        self._kill_at: float | None = None
        self._eof = False
        self._buffer = bytearray()
        self._descriptors: list[int] = []
        self._wakeup = _wake_on_signals()
        prctl.rename("mcpwrap guardian")
        self._complete = prctl.adopt_orphans()
        prctl.signal_on_parent_death(signal.SIGUSR1)  # for the case that somebody holds a copy of the shim's end
        os.chdir("/")

    def run(self) -> None:
        """Serve the shim until it is gone, then leave nothing behind."""
        try:
            while not self._eof:
                self._wait()
        finally:
            self._sweep(LAST_SWEEP_S)

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        if self._report >= 0:
            poll.register(self._report, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(self._timeout_ms())}
        if self._report in ready:
            self._finish_start()
        if self._wakeup in ready:
            _drain(self._wakeup)
            self._reap()
            self._eof = self._eof or os.getppid() != self._shim
        if self._control.fileno() in ready:
            self._listen()
        self._stages()

    # -- the shim's messages ---------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Read all that is there before any of it is done: a request whose shim is already gone is not carried out."""
        while not self._eof:
            try:
                data, descriptors = _receive(self._control)
            except BlockingIOError:
                break
            except OSError:
                data, descriptors = b"", []
            self._descriptors += descriptors
            self._buffer += data
            self._eof = not data
            if len(self._buffer) > wire.FRAME_LIMIT:
                break
        while not self._eof and (message := wire.take(self._buffer)) is not None:
            self._obey(*message)

    def _obey(self, kind: bytes, fields: list[str]) -> None:
        match kind:
            case wire.SPAWN:
                streams, self._descriptors = self._descriptors[:3], self._descriptors[3:]
                try:
                    count = int(fields[1])
                    argv, environment = fields[2 : 2 + count], fields[2 + count :]
                    self._spawn(argv, environment, fields[0], streams)
                finally:
                    for descriptor in streams:
                        os.close(descriptor)
            case wire.REFUSE:
                self._say(wire.FAILED, fields[0])
            case wire.SIGNAL:
                self._signal(int(fields[0]))
            case wire.KILL:
                self._sweep(SWEEP_S)
            case wire.SHUTDOWN:
                now = time.monotonic()
                self._term_at, self._kill_at = now + float(fields[0]), now + float(fields[1])
            case _:
                raise ValueError("unknown message")

    def _say(self, kind: bytes, text: str) -> None:
        message = wire.frame(kind, text)
        try:
            whole = self._control.send(message) == len(message)
        except OSError:
            whole = False
        # At most two small messages answer each request: when they don't fit, the shim stopped reading.
        self._eof = self._eof or not whole

    # -- the server ------------------------------------------------------------------------------------------------

    def _spawn(self, argv: list[str], environment: list[str], cwd: str, streams: list[int]) -> None:
        if len(streams) != 3:
            self._say(wire.FAILED, "no room for three more descriptors")
            return
        if self._server:
            self._say(wire.FAILED, "a server is already running")
            return
        if self._session:
            self._sweep(SWEEP_S)  # what an earlier server left must not meet the new one
        self._term_at = self._kill_at = None
        env = dict(variable.split("=", 1) for variable in environment if variable)
        try:
            report, theirs = os.pipe()
            pid = os.fork()
        except OSError as error:
            self._say(wire.FAILED, _text(error.errno))
            return
        if pid == 0:
            _become_server(argv, env, cwd, streams, theirs)
        os.close(theirs)
        self._server, self._session, self._report = pid, pid, report

    def _finish_start(self) -> None:
        """The report closes without a word when the command was executed."""
        words = os.read(self._report, 4096)
        os.close(self._report)
        self._report = -1
        if not words:
            self._say(wire.STARTED, str(self._server))
            return
        self._server = 0
        self._say(wire.FAILED, os.fsdecode(words))

    def _reap(self) -> bool:
        """Take leave of the dead; True when there is no child left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if pid == self._server and self._report >= 0:
                self._finish_start()
            if pid == self._server:
                self._server = 0
                self._say(wire.EXITED, str(os.waitstatus_to_exitcode(status)))

    # -- the end ---------------------------------------------------------------------------------------------------

    def _timeout_ms(self) -> int | None:
        due = [at for at in (self._term_at, self._kill_at) if at is not None]
        return None if not due else max(0, int((min(due) - time.monotonic()) * 1000) + 1)

    def _stages(self) -> None:
        now = time.monotonic()
        if self._term_at is not None and now >= self._term_at:
            self._term_at = None
            self._signal(signal.SIGTERM)
        if self._kill_at is not None and now >= self._kill_at:
            self._term_at = self._kill_at = None
            self._sweep(SWEEP_S)

    def _signal(self, signum: int) -> set[int]:
        """Send it to everything below, and return what could be reached."""
        session = 0 if self._complete else self._session
        found = proctable.descendants(os.getpid(), session) or ({self._server} if self._server else set())
        return _reach(found, signum)

    def _sweep(self, bound_s: float) -> None:
        """Kill everything below until nothing is left, for ``bound_s`` at most.

        Where every orphan comes to us, nothing is left when there is no child any more: only the system can say that. A look at
        the processes can miss one that forks a successor and exits, over and over; so the children are killed as fast as can be
        until one look finds nothing new.
        """
        end = time.monotonic() + bound_s
        known: set[int] = set()
        pause_s = SWEEP_PAUSE_S
        while True:
            found = _reach(proctable.children(os.getpid()), signal.SIGKILL)
            if found <= known:
                found |= self._signal(signal.SIGKILL)
            childless = self._reap()
            if childless and (self._complete or not found):
                self._session = 0
                return
            if time.monotonic() > end or (not found and _refuse(proctable.children(os.getpid()))):
                return
            if found <= known:  # none is new: let them die
                select.select([self._wakeup], [], [], pause_s)
                _drain(self._wakeup)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                pause_s = SWEEP_PAUSE_S
            known |= found


def _become_server(argv: list[str], env: dict[str, str], cwd: str, streams: list[int], report: int) -> None:
    """In the child: become the server, or say why not. Never returns."""
    guardian, stage = os.getppid(), ""
    try:
        os.setsid()
        prctl.signal_on_parent_death(signal.SIGKILL)
        if os.getppid() != guardian:
            return
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)  # inheritable; all the others close on exec
        for signum in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        stage = f"working folder `{cwd}`: "
        os.chdir(cwd)
        stage = ""
        os.execve(argv[0], argv, env)  # noqa: S606 (an argument list, never a shell)
    except (OSError, ValueError) as error:
        why = _text(error.errno) if isinstance(error, OSError) else str(error)
        os.write(report, os.fsencode(stage + why)[:4096])  # no more than a pipe takes at once
    finally:
        os._exit(127)


def _keep_only(control: int) -> int:
    """Close every descriptor but ``control``, which moves out of the way of 0, 1 and 2; these become /dev/null."""
    kept = fcntl.fcntl(control, fcntl.F_DUPFD_CLOEXEC, 3)
    try:
        numbers = [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        numbers = list(range(MAX_DESCRIPTORS))
    for number in numbers:
        if number != kept:
            try:
                os.close(number)
            except OSError:  # the listing's own, or never open
                continue
    null = os.open("/dev/null", os.O_RDWR)  # 0, the lowest that is free
    for number in (1, 2):
        os.dup2(null, number, inheritable=False)
    return kept


def _reach(pids: set[int], signum: int) -> set[int]:
    """Signal them; return those that it reached. What is gone, or is another user's by now, it doesn't."""
    reached: set[int] = set()
    for pid in pids:
        try:
            os.kill(pid, signum)
        except OSError:
            continue
        reached.add(pid)
    return reached


def _refuse(pids: set[int]) -> bool:
    """True where there are some, and every one of them gained privileges that we don't have: they are not ours to end."""
    for pid in pids:
        try:
            os.kill(pid, 0)
        except PermissionError:
            continue
        except OSError:
            return False
        return False
    return bool(pids)


def _wake_on_signals() -> int:
    """A descriptor that dead children and the shim's death make readable; what is aimed at the group is ignored."""
    wakeup, theirs = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(theirs, False)
    signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    for name in _IGNORED:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, _wake)
    signal.signal(signal.SIGUSR1, _wake)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return wakeup


def _wake(signum: int, frame: object) -> None:
    """The descriptor was written to before this is called."""


def _drain(descriptor: int) -> None:
    try:
        os.read(descriptor, 4096)
    except BlockingIOError:
        return


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    data, descriptors, flags, _ = socket.recv_fds(control, 262144, 3)  # before Python 3.12 its own flags get lost: no CLOEXEC
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    if flags & socket.MSG_CTRUNC:
        raise OSError("descriptors were lost on the way")
    return data, list(descriptors)


def _text(errno: int | None) -> str:
    text = os.strerror(errno or 0)
    return text[:1].lower() + text[1:]
