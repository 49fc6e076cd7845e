"""The process apart: it reads one job from its standard input, does it, and writes the answer to its standard output.

It is started by `mcpwrap.identity.apart` and by nothing else. Why it exists: a provider that rotates refresh tokens takes the old
one back when it sends the new one, so whoever is killed in between has lost the login. A shim is killed often (clients end servers
by signals); this process has a session of its own, ignores the signals that come when a client, a terminal or a shim goes, and ends
only when what it got is stored. Who asked may be gone by then.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from typing import Final

IGNORED: Final = ("SIGINT", "SIGHUP", "SIGTERM", "SIGPIPE", "SIGQUIT", "SIGTSTP", "SIGUSR1", "SIGUSR2")
LIFE_S: Final = 90
"""After this the process ends itself, whatever it waits for: ten seconds for the lock, then one answer of a provider that was asked
in the last moment (thirty at most), and its storing. What hangs longer than that hangs for ever."""


def main() -> None:
    """Do the job. Nothing is written but the answer."""
    _settle()
    import msgspec  # noqa: PLC0415 - the signals first

    from mcpwrap.identity import broker  # noqa: PLC0415 - the same
    from mcpwrap.identity.job import JOB_LIMIT, Job, encode_answer  # noqa: PLC0415 - the same
    from mcpwrap.identity.vault import Vault  # noqa: PLC0415 - the same

    data = sys.stdin.buffer.read(JOB_LIMIT + 1)
    if len(data) > JOB_LIMIT:
        raise ValueError("the job is too long")
    job = msgspec.json.decode(data, type=Job)
    vault = Vault(job.places, job.header, job.key)
    answer = encode_answer(broker.issue(vault, job.bearer, job.wanted, job.network, time.time, job.lends))
    with suppress(OSError):  # who asked is gone; everything is stored
        view = memoryview(answer)
        while view:
            view = view[os.write(1, view) :]


def _settle() -> None:
    os.set_blocking(2, False)  # what is said beyond what fits into the pipe is lost: nobody reads it before the end
    for name in IGNORED:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not on Windows

    # a dump of this process would hold the key of the installation
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # by the system's own hand: Python's handlers wait until a call into a library returns
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, LIFE_S)
