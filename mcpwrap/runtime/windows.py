"""The same handle on Windows: a job object takes the guardian's place.

Every process that a process of the job starts belongs to the job, and the system ends them all with the last handle to it. That
is ours, so nothing outlives the shim, however it ends. The server is created suspended and is let go once it is in the job.

There are no signals: `Guardian.signal_server` ends the job, and `Guardian.shutdown` has one stage. Pipes can't be watched here
and do block; `Guardian.fileno` is a socket, readable when `Guardian.events` has something.

NOTE: written from the system's documentation; the tests of this module's promises run on Linux only.
"""
# ruff: noqa: E402 - the platform is asserted before its modules are imported

from __future__ import annotations

import sys

assert sys.platform == "win32"  # noqa: S101 - tells mypy which of the platforms' names exist

import _winapi
import contextlib
import ctypes
import msvcrt
import os
import socket
import subprocess  # noqa: TID251 - for STARTUPINFO and the quoting of arguments; it starts nothing here
import threading
from collections import deque
from collections.abc import Mapping, Sequence

from mcpwrap.runtime.lifecycle import Exited, ServerEvent, ServerPipes, SpawnFailed, Started

_CREATE_SUSPENDED = 0x4
_EXTENDED_LIMITS = 9  # JobObjectExtendedLimitInformation
_KILL_ON_JOB_CLOSE = 0x2000
_BATCH_SPECIAL = frozenset('"%!^&|<>\r\n')
"""What cmd.exe takes for more than text even between quotes: no quoting is safe in an argument of a batch file."""


class _Limits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = (
        ("times", ctypes.c_int64 * 2),
        ("flags", ctypes.c_uint32),
        ("working_set", ctypes.c_size_t * 2),
        ("active_processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority", ctypes.c_uint32 * 2),
        ("io", ctypes.c_uint64 * 6),
        ("memory", ctypes.c_size_t * 4),
    )


_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_kernel32.CreateJobObjectW.argtypes = (ctypes.c_void_p, ctypes.c_wchar_p)
_kernel32.CreateJobObjectW.restype = ctypes.c_void_p
_kernel32.SetInformationJobObject.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32)
_kernel32.AssignProcessToJobObject.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
_kernel32.TerminateJobObject.argtypes = (ctypes.c_void_p, ctypes.c_uint)
_kernel32.ResumeThread.argtypes = (ctypes.c_void_p,)


class Guardian:
    """The handle of the job that the server and everything it starts belong to."""

    def __init__(self, job: int) -> None:
        self._job = job
        self._found: deque[ServerEvent] = deque()
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self._running = threading.Lock()  # held while a server runs
        self._timer: threading.Timer | None = None
        self._closed = False

    @classmethod
    def start(cls) -> Guardian:
        """Create the job. Raises OSError."""
        job = _kernel32.CreateJobObjectW(None, None)
        limits = _Limits(flags=_KILL_ON_JOB_CLOSE)
        if not job or not _kernel32.SetInformationJobObject(job, _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits)):
            raise ctypes.WinError(ctypes.get_last_error())
        return cls(job)

    def fileno(self) -> int:
        """Readable when `events` has something; -1 after `close`."""
        return self._ours.fileno()

    def spawn(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> ServerPipes:
        """Start the server; the events and the pipes are as on other systems, but the pipes block. Raises OSError."""
        pipes = [*os.pipe(), *os.pipe(), *os.pipe()]
        theirs, ours = [pipes[0], pipes[3], pipes[5]], [pipes[1], pipes[2], pipes[4]]
        try:
            if not self._running.acquire(blocking=False):
                self._say(SpawnFailed("a server is already running"))
            else:
                self._launch(argv, env, cwd, [msvcrt.get_osfhandle(descriptor) for descriptor in theirs])
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        return ServerPipes(*ours)

    def _launch(self, argv: Sequence[str], env: Mapping[str, str], cwd: str, handles: list[int]) -> None:
        try:
            if argv[0].lower().endswith((".bat", ".cmd")) and any(_BATCH_SPECIAL & set(word) for word in argv[1:]):
                raise OSError("an argument of a batch file holds a character that can't be quoted")
            for handle in handles:
                os.set_handle_inheritable(handle, True)
            start = subprocess.STARTUPINFO(
                dwFlags=subprocess.STARTF_USESTDHANDLES,
                hStdInput=handles[0],
                hStdOutput=handles[1],
                hStdError=handles[2],
                lpAttributeList={"handle_list": handles},  # these three are inherited and no others
            )
            flags = _CREATE_SUSPENDED | subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
            line = subprocess.list2cmdline(argv)
            process, thread, pid, _ = _winapi.CreateProcess(argv[0], line, None, None, True, flags, dict(env), cwd, start)
        except (OSError, ValueError) as error:
            self._running.release()
            self._say(SpawnFailed(_text(error)))
            return
        if not _kernel32.AssignProcessToJobObject(self._job, process):
            why = ctypes.WinError(ctypes.get_last_error())
            _winapi.TerminateProcess(process, 1)  # it has not run a single instruction
            _winapi.CloseHandle(thread)
            _winapi.CloseHandle(process)
            self._running.release()
            self._say(SpawnFailed(_text(why)))
            return
        _kernel32.ResumeThread(thread)
        _winapi.CloseHandle(thread)
        self._say(Started(pid))
        threading.Thread(target=self._await_exit, args=(process,), daemon=True).start()

    def _await_exit(self, process: int) -> None:
        _winapi.WaitForSingleObject(process, _winapi.INFINITE)
        code = _winapi.GetExitCodeProcess(process)
        _winapi.CloseHandle(process)
        self._running.release()
        self._say(Exited(code, None))

    def _say(self, event: ServerEvent) -> None:
        self._found.append(event)
        try:
            self._theirs.send(b"!")
        except OSError:  # closed, or so full that it is readable anyway
            return

    def events(self) -> list[ServerEvent]:
        """Everything that happened since the last call, in order; never blocks."""
        with contextlib.suppress(OSError):  # nothing there, or closed
            self._ours.recv(4096)
        found: list[ServerEvent] = []
        while self._found:
            found.append(self._found.popleft())
        return found

    def signal_server(self, signum: int) -> None:
        """End the server and everything below it: Windows knows no signal that asks."""
        self.kill_all()

    def kill_all(self) -> None:
        """End the server and everything below it, now."""
        if not self._closed:
            _kernel32.TerminateJobObject(self._job, 1)

    def shutdown(self, term_after_s: float = 1.0, kill_after_s: float = 1.5) -> None:
        """Let the server end after its EOF: everything is ended after ``kill_after_s`` seconds (POLICY.md §7)."""
        self._timer = threading.Timer(kill_after_s, self.kill_all)
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        """End what is left. May be called again."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        _winapi.CloseHandle(self._job)
        self._ours.close()
        self._theirs.close()


def _text(error: OSError | ValueError) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return text[:1].lower() + text[1:]
