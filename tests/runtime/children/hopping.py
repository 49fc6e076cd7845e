"""A server that exits at once and leaves a process that forks a successor, in a session of its own, and exits, over and over."""

import os
import time

end = time.monotonic() + 15.0  # should nobody end it
if os.fork() == 0:
    while time.monotonic() < end and os.fork() == 0:
        os.setsid()
    os.write(1, b"" if time.monotonic() < end else b"nobody ended it\n")
os._exit(0)
