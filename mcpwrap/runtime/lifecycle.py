"""What the server's process does, as values: the events that a `Guardian` hands to the pump."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerPipes:
    """Our ends of the server's standard streams: descriptors, close-on-exec; the caller closes them."""

    stdin: int
    stdout: int
    stderr: int


@dataclass(frozen=True, slots=True)
class Started:
    """The command was executed; ``pid`` is the server's, and its process group's."""

    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The command could not be executed; ``message`` is lower case, without the command's name."""

    message: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The server itself ended (its descendants may live on): with ``code`` or by ``signal``; the other is None."""

    code: int | None
    signal: int | None


@dataclass(frozen=True, slots=True)
class GuardianLost:
    """The guardian is gone, and the server with it; nothing can be started any more. Comes once, and last."""


ServerEvent = Started | SpawnFailed | Exited | GuardianLost
