"""The server's process: how it is started, and why nothing of it survives the shim.

`Guardian` is the handle; which one depends on the platform:

- Linux: a guardian process, forked early, is the server's parent and the reaper of everything below it
  (`runtime/guardian.py`).
- macOS: the same without the reaper. The server's session and what is below it are found; a daemon that made a session
  of its own and whose parent has already exited is not. Elsewhere only the server itself is.
- Windows: a job object that ends with the last handle to it (`runtime/windows.py`).

Everything that happens comes as an event (`runtime/lifecycle.py`): `Started` or `SpawnFailed` after `Guardian.spawn`,
`Exited`, `GuardianLost`. Import this module and call `Guardian.start` before anything else: what is imported by then is what
the guardian is made of.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from mcpwrap.runtime.windows import Guardian
else:
    from mcpwrap.runtime.posix import Guardian

__all__ = ["Guardian"]
