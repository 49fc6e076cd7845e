"""prctl(2), as far as nobody may be left behind, and no key in a core dump. Linux only; elsewhere, and without ctypes, each
function says False.

ctypes is imported on first use: in the guardian, beside the shim's own start, and in the shim where it opened the vault (2 ms).
"""

from __future__ import annotations

import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int | bytes) -> bool:
    if sys.platform != "linux":
        return False
    try:
        import ctypes  # noqa: PLC0415 (late on purpose)

        call = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):  # an interpreter without libffi, or linked statically
        return False
    zero = ctypes.c_ulong(0)
    argument = ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_ulong(value)
    return bool(call(ctypes.c_int(option), argument, zero, zero, zero) == 0)


def adopt_orphans(adopt: bool = True) -> bool:
    """Descendants (also those that exist already) whose parent dies become children of this process, not of init."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, int(adopt))


def signal_on_parent_death(signum: int) -> bool:
    """This process gets ``signum`` when the thread that forked it ends; kept over execve, not over fork."""
    return _prctl(_PR_SET_PDEATHSIG, signum)


def leave_no_dump() -> bool:
    """No core dump is made of this process, and nobody but root looks into its memory. What it executes isn't touched by that."""
    return _prctl(_PR_SET_DUMPABLE, 0)


def rename(title: str) -> None:
    """Show ``title`` in process lists, cut to what the command line's memory holds; best effort.

    Not only for the reader's sake: who ends processes by a shim's command line shall not hit the guardian as well.
    """
    if not _prctl(_PR_SET_NAME, title.encode()[:15]):
        return
    import ctypes  # noqa: PLC0415 (late on purpose)

    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read(4096).rpartition(b")")[2].split()
        start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, fields 48 and 49 of proc(5)
    except (OSError, ValueError, IndexError):
        return
    if 0 < start < end:
        size = end - start
        ctypes.memmove(start, title.encode()[: size - 1].ljust(size, b"\0"), size)
