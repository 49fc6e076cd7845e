"""How the process apart is asked (`mcpwrap.identity.worker` says why there is one).

    apart = start(job)          costs the spawn and no more
    … `apart.fileno()` becomes readable; `apart.read()` until it gives the results …
    apart.give_up()             where that takes longer than `GIVE_UP_S`

The process is never killed from here: it may be between a provider's answer and the disk. The key and what is wanted go through its
standard input, the answer comes through its standard output; nothing of either is in its arguments or environment. What it says
on standard error isn't shown: of a crash the name of the exception is told, since its text may hold anything.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Final, cast

import msgspec

import mcpwrap
from mcpwrap.core.credentials import Failed, Issued, Wanted
from mcpwrap.identity.job import ANSWER_LIMIT, JOB_LIMIT, Job, decode_answer

GIVE_UP_S: Final = 30.0
"""How long an answer is waited for; the process itself goes on."""
RETRY_S: Final = 5.0
"""When it may be tried again after the process failed."""
STDERR_LIMIT: Final = 16 * 1024
"""How much of what the process says of a crash is read, in bytes."""

# -I ignores PYTHON* variables and the user's site folder, and puts neither the working folder nor a script's before the library.
# The folder that this mcpwrap came from goes to the end of the path: it is there already but where it runs from a checkout.
_CODE: Final = (
    "import sys\nsys.path += [p for p in sys.argv[1:] if p not in sys.path]\nfrom mcpwrap.identity.worker import main\nmain()\n"
)
_READ: Final = 64 * 1024
_DETACHED: Final = 0x08000200 if sys.platform == "win32" else 0
"""CREATE_NO_WINDOW and CREATE_NEW_PROCESS_GROUP."""

_left: list[subprocess.Popen[bytes]] = []
"""Processes that were given up and are still at it; they are reaped when the next one starts."""


class Apart:
    """One process at work, or why it couldn't be started."""

    def __init__(self, wanted: tuple[Wanted, ...], process: subprocess.Popen[bytes] | None, why: str = "") -> None:
        self._wanted = wanted
        self._process = process
        self._why = why
        self._data = bytearray()
        # (where there is no process, something that can be read all the same: its end)
        self._out = _nothing() if process is None else cast(IO[bytes], process.stdout)
        self._err = _nothing() if process is None else cast(IO[bytes], process.stderr)
        for stream in (self._out, self._err):
            os.set_blocking(stream.fileno(), False)

    def __repr__(self) -> str:
        return f"Apart({self.pid})"

    @property
    def pid(self) -> int:
        """The process; 0 where it couldn't be started."""
        return self._process.pid if self._process is not None else 0

    def fileno(self) -> int:
        """What the answer comes from; it doesn't block. -1 once there are results."""
        return -1 if self._out.closed else self._out.fileno()

    def read(self) -> list[Issued | Failed] | None:
        """Read what is there; the results once all is there, None before. Never blocks, never raises."""
        while True:
            try:
                part = os.read(self._out.fileno(), _READ)
            except BlockingIOError:
                return None
            except OSError:
                part = b""
            self._data += part
            if not part or len(self._data) > ANSWER_LIMIT:
                data = bytes(self._data)
                self._data.clear()
                return self.result(data)

    def result(self, data: bytes) -> list[Issued | Failed]:
        """The results in `data`, all that came from `fileno()` until its end; for garbage, each `Failed`, to be tried again."""
        results = decode_answer(data, self._wanted)
        why = self._why or self._crash()
        self._close()
        return results if results is not None else self._failed(why)

    def give_up(self) -> list[Issued | Failed]:
        """Wait no longer. The process goes on and stores what it gets."""
        self._close()
        return self._failed(f"no answer within {GIVE_UP_S:.0f} s")

    def _failed(self, why: str) -> list[Issued | Failed]:
        return [
            Failed(each.name, f"the process that renews credentials failed: {why}", "mcpwrap status", RETRY_S)
            for each in self._wanted
        ]

    def _crash(self) -> str:
        # (closing its output is the last that it does, so that what it said before is there)
        data = b""
        with suppress(OSError):
            data = os.read(self._err.fileno(), STDERR_LIMIT)
        lines = data.decode("ascii", "replace").strip().splitlines()
        name = re.match(r"(?:[A-Za-z_]\w{0,60}\.){0,6}([A-Za-z_]\w{0,60})(?::|$)", lines[-1]) if lines else None
        return f"it ended with {name[1]}" if name else "it gave no whole answer"

    def _close(self) -> None:
        self._out.close()
        self._err.close()
        if self._process is not None:
            _left.append(self._process)
        _reap()


def start(job: Job, *, python: Sequence[str] = ()) -> Apart:
    """Start the process and hand it `job`. Never blocks, never raises; `python` is the interpreter, this one by default."""
    _reap()
    try:
        data = msgspec.json.encode(job)
    except UnicodeEncodeError:
        return Apart(job.wanted, None, "a name in it is no text")
    if len(data) > JOB_LIMIT:
        return Apart(job.wanted, None, f"more than {JOB_LIMIT >> 10} KiB are asked for at once")
    root = os.path.dirname(os.path.dirname(os.path.abspath(mcpwrap.__file__)))
    try:
        process = subprocess.Popen(
            [*(python or (sys.executable,)), "-I", "-c", _CODE, root],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
            cwd=os.path.abspath(os.sep),
            close_fds=True,
            # neither a client that ends its group nor a terminal that hangs up reaches it
            start_new_session=True,
            creationflags=_DETACHED,
        )
    except (OSError, ValueError) as error:
        return Apart(job.wanted, None, f"it can't be started ({type(error).__name__})")
    stdin = cast(IO[bytes], process.stdin)
    with suppress(OSError):  # it is dead already; its end is its answer
        stdin.write(data)
    with suppress(OSError):
        stdin.close()
    return Apart(job.wanted, process)


def run(job: Job, timeout_s: float = GIVE_UP_S) -> list[Issued | Failed]:
    """As `start`, and wait for the results, at most `timeout_s`."""
    apart = start(job)
    deadline = time.monotonic() + timeout_s
    while (left_s := deadline - time.monotonic()) > 0:
        select.select([apart.fileno()], [], [], left_s)
        results = apart.read()
        if results is not None:
            return results
    return apart.give_up()


def _environment() -> dict[str, str]:
    """Nothing of the asker's: a proxy, a certificate or a Python variable there may be a repository's doing."""
    if sys.platform == "win32":
        # without these neither sockets nor the system's randomness work there
        return {name: value for name in ("SYSTEMROOT", "WINDIR") if (value := os.environ.get(name))}
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


def _nothing() -> IO[bytes]:
    out, end = os.pipe()
    os.close(end)
    return os.fdopen(out, "rb", buffering=0)


def _reap() -> None:
    _left[:] = [process for process in _left if process.poll() is None]
