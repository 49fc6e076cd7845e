"""What happened, as values. `at` is monotonic time in seconds; the core has no clock of its own."""

from __future__ import annotations

import msgspec

from mcpwrap.core.rules import ServerRules
from mcpwrap.core.world import World


class ClientLine(msgspec.Struct, frozen=True, gc=False):
    """One line from the client, without its line feed."""

    line: bytes
    at: float


class ServerLine(msgspec.Struct, frozen=True, gc=False):
    """One line from the server, without its line feed."""

    line: bytes
    at: float


class ServerStarted(msgspec.Struct, frozen=True):
    """The server of a session that was held runs now; once it answered our handshake, it is judged by `rules`."""

    rules: ServerRules
    at: float
    world: World = World()


class ServerExited(msgspec.Struct, frozen=True):
    """The server is gone, or never came up. `why` is written for a person."""

    why: str
    at: float


class PolicyChanged(msgspec.Struct, frozen=True):
    """Another policy was accepted, or one that tightens was changed: it counts from the next message on.

    So do pins that were accepted."""

    rules: ServerRules
    at: float
    world: World = World()


class NoticeChanged(msgspec.Struct, frozen=True):
    """Something waits for a person while the session goes on (a change that isn't accepted yet); "" takes it back."""

    notice: str
    at: float


class Withheld(msgspec.Struct, frozen=True):
    """The session may not go on (not trusted any more); `why` is written for a person. The server is to be stopped."""

    why: str
    at: float


class RecordFailed(msgspec.Struct, frozen=True):
    """The records that permit the calls `refs` couldn't be written: those calls weren't sent and must be refused."""

    refs: tuple[str, ...]
    why: str
    at: float


class ClientGone(msgspec.Struct, frozen=True):
    """The client closed its end; nobody waits for an answer any more."""

    at: float


Happening = ServerStarted | ServerExited | PolicyChanged | NoticeChanged | Withheld | RecordFailed | ClientGone
Event = ClientLine | ServerLine | Happening
