"""Looking at processes, and waiting for what they do: by a deadline, never by a sleep of a guessed length."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from mcpwrap.runtime.lifecycle import ServerEvent
from mcpwrap.runtime.process import Guardian

PATIENCE_S = 20.0
"""How long a test waits for what must come; reached only when it fails."""
PROMISED_S = 2.0
"""How long anything of a server may live when the shim is gone."""
CHILDREN = Path(__file__).with_name("children")


def lives(pid: int) -> bool:
    """True unless it is gone, or dead and only waits to be reaped."""
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return line.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def survivors(pids: Iterable[int], within_s: float = PROMISED_S) -> list[int]:
    """Which of them still live, once all are gone or the time is over."""
    pids = list(pids)
    until(lambda: not any(lives(pid) for pid in pids), within_s)
    return [pid for pid in pids if lives(pid)]


def until(true: Callable[[], bool], within_s: float = PATIENCE_S) -> bool:
    """Wait until something is true; what it was at the end."""
    end = time.monotonic() + within_s
    while not (done := true()) and time.monotonic() < end:
        time.sleep(0.005)
    return done


def next_events(guardian: Guardian, count: int = 1) -> list[ServerEvent]:
    """The next events, at least so many."""
    found: list[ServerEvent] = []
    end = time.monotonic() + PATIENCE_S
    while len(found) < count:
        assert time.monotonic() < end, f"{count} events were waited for, {found} came"
        select.select([guardian], [], [], 0.1)
        found += guardian.events()
    return found


def read_lines(descriptor: int, count: int) -> list[str]:
    """So many lines, or fewer at the end of the stream."""
    data = b""
    end = time.monotonic() + PATIENCE_S
    while data.count(b"\n") < count:
        assert time.monotonic() < end, f"{count} lines or the end were waited for, {data!r} came"
        if select.select([descriptor], [], [], 0.1)[0]:
            more = os.read(descriptor, 65536)
            if not more:
                break
            data += more
    return data.decode().splitlines()


def family(lines: Iterable[str]) -> dict[str, int]:
    """The lines ``kind pid`` of ``children/family.py`` and ``children/shim.py``."""
    return {kind: int(pid) for kind, pid in (line.split() for line in lines)}
