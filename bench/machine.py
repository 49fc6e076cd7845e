"""Which machine a result belongs to."""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def describe() -> dict[str, object]:
    """Processor, usable cores, kernel, Python, load; where two runs differ in these, so do the numbers."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return {
        "cpu": _cpu_model(),
        "cores": cores,
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }


def splits_cores() -> bool:
    """Whether the client can have a core of its own here."""
    return sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1


@contextmanager
def on_cores(*, first: bool) -> Iterator[None]:
    """Keep this thread, and what it starts meanwhile, on the first core or on the others, as `splits_cores` allows.

    Left alone, a scheduler may put a client and a server that wake each other on one core or on two, and keeps to it:
    the same round trip takes 30 or 100 µs. Apart it always crosses cores, as with a client that has other work.
    """
    before = os.sched_getaffinity(0)
    lowest = {min(before)}
    os.sched_setaffinity(0, lowest if first else before - lowest)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _cpu_model() -> str:
    try:
        for row in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = row.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
