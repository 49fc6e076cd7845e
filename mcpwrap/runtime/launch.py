"""Getting the server to run: the assessment, and the start that follows from it.

Kept apart from the rest of the wiring, since the server is started before the rest is even imported: its own start takes longer
than ours, and the two run side by side. A server that gets a token as a variable waits for it; the process that fetches it is
started here, so that it too runs beside our own imports.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from mcpwrap.errors import McpwrapError, StateError
from mcpwrap.identity.vault import Places
from mcpwrap.policy.folders import folders
from mcpwrap.runtime import workdir
from mcpwrap.runtime.assess import Asked, Assessment, assess
from mcpwrap.runtime.door import Door
from mcpwrap.runtime.lifecycle import ServerPipes
from mcpwrap.runtime.process import Guardian
from mcpwrap.runtime.words import held_by

if TYPE_CHECKING:
    from mcpwrap.runtime.deliveries import Deliveries

_Look = tuple[int, int, int, int]


class Launcher:
    """Assesses what a client asked for and starts its server. `shim` is the id of this run."""

    def __init__(self, asked: Asked, guardian: Guardian) -> None:
        self.asked = asked
        self.guardian = guardian
        ours = folders(asked.env)
        self.state = ours.state
        self.door = Door(Places(ours.state, ours.data), asked.env)
        self.shim = os.urandom(6).hex()
        self.work = ""
        self.deliveries: Deliveries | None = None
        """None while no credential was ever wanted"""
        self._seen: tuple[_Look | None, ...] = ()

    def assess(self) -> Assessment:
        """The assessment by the files as they are now."""
        # the look is taken first: a file that changes while it is read is seen as changed the next time
        watched: tuple[str, ...] = ()
        while True:
            seen = _looks(watched)
            found = assess(self.asked, self.door)
            if found.watched == watched:
                self._seen = seen
                return self._wanting(found)
            watched = found.watched

    def changed(self, found: Assessment) -> bool:
        """True where a file that `found` depends on changed since, or a vault that was closed is worth another try."""
        return _looks(found.watched) != self._seen or self.door.due

    def start(self, found: Assessment) -> tuple[ServerPipes | None, Assessment]:
        """Start the server; no pipes where it waits for a credential. Where it fails, the assessment that says so."""
        launch = found.launch
        assert launch is not None  # noqa: S101 - nothing is held
        if not self.ready:
            return None, found
        try:
            if launch.cwd is None and not self.work:
                self.work = workdir.make(self.state, self.shim)
            env = {**launch.env, **self.deliveries.environment()} if self.deliveries is not None else launch.env
            return self.guardian.spawn(launch.argv, env, launch.cwd or self.work), found
        except (McpwrapError, OSError) as error:
            problem = error if isinstance(error, McpwrapError) else StateError(f"the server can't be started: {error}")
            return None, self._held(found, problem)

    @property
    def ready(self) -> bool:
        """True where the server needn't wait for a credential."""
        return self.deliveries is None or self.deliveries.complete

    @property
    def awaited(self) -> bool:
        """True where the server runs, or may run, and some of its credentials are still being fetched."""
        return self.deliveries is not None and self.deliveries.awaited

    def _wanting(self, found: Assessment) -> Assessment:
        """Have the credentials fetched that `found` wants."""
        if found.hold or not (found.wanted or self.deliveries is not None):
            return found
        if self.deliveries is None:
            from mcpwrap.runtime.deliveries import Deliveries  # noqa: PLC0415 - few servers have credentials

            self.deliveries = Deliveries(shim=self.shim, state=self.state, server_pid=lambda: self.guardian.server_pid)
        try:
            self.deliveries.want(found, self.door.vault)
        except StateError as error:
            return self._held(found, error)
        self.deliveries.fetch()
        return found

    def _held(self, found: Assessment, error: McpwrapError) -> Assessment:
        return msgspec.structs.replace(found, hold=held_by(self.asked.name, error), notice="", rules=None, launch=None)


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
