"""A server with a child, a child of another session, and a daemon that forked twice; all are deaf to SIGTERM and SIGHUP.

It prints a line ``kind pid`` for each, itself last. With ``leave`` it exits then and they live on.
"""

import os
import signal
import sys


def stay(kind: str) -> None:
    os.write(1, f"{kind} {os.getpid()}\n".encode())
    signal.alarm(60)  # should nobody end it
    while True:
        signal.pause()


signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
if os.fork() == 0:
    if os.fork() == 0:
        stay("grandchild")
    stay("child")
if os.fork() == 0:
    os.setsid()
    stay("session")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        stay("daemon")
    os._exit(0)
os.wait()  # the daemon's parent: the only one that ends
if "leave" not in sys.argv:
    stay("server")
os.write(1, f"server {os.getpid()}\n".encode())
