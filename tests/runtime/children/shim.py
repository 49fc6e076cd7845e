"""A shim as small as can be: a guardian, a server, and what the server says on our stdout.

``ending`` begins an orderly end that would take a minute.
"""

import os
import select
import sys
from pathlib import Path

from mcpwrap.runtime.process import Guardian

guardian = Guardian.start()
print("guardian", guardian.pid, flush=True)
family = str(Path(__file__).with_name("family.py"))
pipes = guardian.spawn([sys.executable, "-I", family], {"PATH": os.defpath}, "/")
if "ending" in sys.argv:
    guardian.shutdown(30.0, 60.0)
while True:
    readable, _, _ = select.select([pipes.stdout, guardian.fileno()], [], [])
    if pipes.stdout in readable:
        os.write(1, os.read(pipes.stdout, 65536))
    if guardian.fileno() in readable:
        guardian.events()
