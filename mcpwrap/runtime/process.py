"""The server's process: how it is started, and why nothing of it survives the shim.

`Guardian` is the handle. On Linux a guardian process, forked early, is the server's parent and the reaper of everything below it
(`runtime/guardian.py`). On macOS and other POSIX systems it is the same without the reaper: the server's session and what is below
it are found; a daemon that made a session of its own and whose parent has already exited is not.

Everything that happens comes as an event of `runtime/lifecycle.py`: `Started` or `SpawnFailed` after `Guardian.spawn`, `Exited`,
`GuardianLost`.
"""

from __future__ import annotations

from mcpwrap.runtime.posix import Guardian

__all__ = ["Guardian"]
