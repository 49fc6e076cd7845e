"""A server that says its process id and heeds no end of input; with ``deaf`` no SIGTERM either."""

import os
import signal
import sys

if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.write(1, b"%d\n" % os.getpid())
while True:
    signal.pause()
