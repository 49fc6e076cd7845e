"""Getting the server to run: the assessment, and the start that follows from it.

Kept apart from the rest of the wiring, since the server is started before the rest is even imported: its own start takes longer
than ours, and the two run side by side.
"""

from __future__ import annotations

import os

from mcpwrap.errors import McpwrapError, StateError
from mcpwrap.policy.folders import folders
from mcpwrap.runtime import workdir
from mcpwrap.runtime.assess import Asked, Assessment, assess
from mcpwrap.runtime.lifecycle import ServerPipes
from mcpwrap.runtime.process import Guardian
from mcpwrap.runtime.words import held_by

_Look = tuple[int, int, int, int]


class Launcher:
    """Assesses what a client asked for and starts its server. `shim` is the id of this run."""

    def __init__(self, asked: Asked, guardian: Guardian) -> None:
        self.asked = asked
        self.guardian = guardian
        self.state = folders(asked.env).state
        self.shim = os.urandom(6).hex()
        self.work = ""
        self._seen: tuple[_Look | None, ...] = ()

    def assess(self) -> Assessment:
        """The assessment by the files as they are now."""
        # the look is taken first: a file that changes while it is read is seen as changed the next time
        watched: tuple[str, ...] = ()
        while True:
            seen = _looks(watched)
            found = assess(self.asked)
            if found.watched == watched:
                self._seen = seen
                return found
            watched = found.watched

    def changed(self, found: Assessment) -> bool:
        """True where a file that `found` depends on changed since."""
        return _looks(found.watched) != self._seen

    def start(self, found: Assessment) -> tuple[ServerPipes | None, Assessment]:
        """Start the server. Where that fails, the assessment that says so."""
        launch = found.launch
        assert launch is not None  # noqa: S101 - nothing is held
        try:
            if launch.cwd is None and not self.work:
                self.work = workdir.make(self.state, self.shim)
            return self.guardian.spawn(launch.argv, launch.env, launch.cwd or self.work), found
        except (McpwrapError, OSError) as error:
            problem = error if isinstance(error, McpwrapError) else StateError(f"the server can't be started: {error}")
            return None, Assessment(held_by(self.asked.name, problem), project=found.project, watched=found.watched)


def _looks(paths: tuple[str, ...]) -> tuple[_Look | None, ...]:
    looks: list[_Look | None] = []
    for path in paths:
        try:
            found = os.lstat(path)
        except OSError:
            looks.append(None)
        else:
            # the change time as well: whoever edits a file can put its modification time back
            looks.append((found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino))
    return tuple(looks)
