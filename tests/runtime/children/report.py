"""Says what it was given: descriptors, working folder, environment, session, signals that are ignored or blocked."""

import json
import os
from pathlib import Path

descriptors = []
for entry in Path("/proc/self/fd").iterdir():
    try:
        descriptors.append((int(entry.name), str(entry.readlink())))
    except OSError:  # the one the folder was listed with
        continue
status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
print(
    json.dumps(
        {
            "descriptors": sorted(descriptors),
            "blocking": [os.get_blocking(number) for number in range(3)],
            "cwd": str(Path.cwd()),
            "environment": dict(os.environ),
            "leads": os.getsid(0) == os.getpgid(0) == os.getpid(),
            "blocked": int(status["SigBlk"], 16),
            "ignored": int(status["SigIgn"], 16),
        }
    ),
    flush=True,
)
