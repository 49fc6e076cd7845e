"""What the server's process does, as values: the events that a `Guardian` hands to the pump."""

from __future__ import annotations

from typing import NamedTuple


class ServerPipes(NamedTuple):
    """Our ends of the server's standard streams: descriptors, close-on-exec; the caller closes them."""

    stdin: int
    stdout: int
    stderr: int


class Started(NamedTuple):
    """The command was executed; ``pid`` is the server's, and its process group's."""

    pid: int


class SpawnFailed(NamedTuple):
    """The command could not be executed; ``message`` is lower case, without the command's name."""

    message: str


class Exited(NamedTuple):
    """The server itself ended (its descendants may live on): with ``code`` or by ``signal``; the other is None."""

    code: int | None
    signal: int | None


class GuardianLost(NamedTuple):
    """The guardian is gone, and the server with it; nothing can be started any more. Comes once, and last."""


ServerEvent = Started | SpawnFailed | Exited | GuardianLost
