"""What the processes of a shim hold in memory, the server's own left out. Linux only: elsewhere nothing is measured."""

from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
# Set for each command: finds what a shim forked off and handed to another parent.
MARKER = "MCPWRAP_BENCH_SESSION"


@dataclass(frozen=True, slots=True)
class Memory:
    """Sums over processes, in MiB: proportional, private, resident."""

    pss: float
    private: float
    resident: float
    processes: int


def shim_processes(root: int, marker: str, server: int) -> list[int]:
    """The ids of the command `root` and all that descends from it or carries its marker, less the process `server`."""
    parents: dict[int, int] = {}
    marked: set[int] = set()
    wanted = f"{MARKER}={marker}".encode()
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        try:
            # The name in the second field may hold spaces and parentheses; what follows the last one doesn't.
            parents[pid] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                marked.add(pid)
        except OSError:
            continue  # gone meanwhile, or another user's
    found = {root} | marked
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {server})


def memory_of(pids: list[int]) -> Memory | None:
    """What the processes hold together; None where that can't be read, or when there are none."""
    pss = private = resident = counted = 0
    for pid in pids:
        try:
            text = (PROC / str(pid) / "smaps_rollup").read_text()
        except OSError:
            continue
        fields = {name: int(rest.split()[0]) for name, _, rest in (row.partition(":") for row in text.splitlines()[1:])}
        pss += fields["Pss"]
        private += fields["Private_Clean"] + fields["Private_Dirty"]
        resident += fields["Rss"]
        counted += 1
    if not counted:
        return None
    return Memory(pss / 1024, private / 1024, resident / 1024, counted)
