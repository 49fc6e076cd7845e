"""A server that says its process id and heeds no end of its input."""

import os
import signal

os.write(1, b"%d\n" % os.getpid())
signal.alarm(60)  # should nobody end it
while True:
    signal.pause()
