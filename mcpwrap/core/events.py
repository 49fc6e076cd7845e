"""What happened, as values. `at` is monotonic time in seconds; the core has no clock of its own."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mcpwrap.core.rules import ServerRules
from mcpwrap.core.world import World
from mcpwrap.secret import Secret


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


# a server whose environment holds credentials that run out (IDENTITY.md §4; `mcpwrap.core.restarting`)


class ServerBegan(msgspec.Struct, frozen=True):
    """The server of a session that began without one (`Session(starting=True)`) runs for the first time: what waited is sent on."""

    at: float


class RestartDue(msgspec.Struct, frozen=True):
    """A credential of the server's environment wants renewing soon: restart the server as soon as it has nothing to do."""

    at: float


class RestartForced(msgspec.Struct, frozen=True):
    """The restart can't wait any longer: what comes is queued, and what is in flight has until `DrainOver` to end."""

    at: float


class DrainOver(msgspec.Struct, frozen=True):
    """Too long was waited: for what is in flight before a restart (it is lost, and the server restarted), or for a new process that
    doesn't answer (the session is held). Where neither is waited for it means nothing."""

    at: float


class ServerRestarted(msgspec.Struct, frozen=True):
    """After `RestartServer`: the new process runs, and only its lines come from here on."""

    at: float


class TokenAwaited(msgspec.Struct, frozen=True):
    """A server was started whose first credentials are still being fetched beside its start: calls wait until `TokenReady` or
    `TokenFailed`."""

    at: float


class TokenFailed(msgspec.Struct, frozen=True):
    """A credential of a running server can't be had: its calls are refused until `TokenReady`. `why` is written for a person: the
    fact and the remedy, in whole sentences."""

    why: str
    at: float


class TokenReady(msgspec.Struct, frozen=True):
    """All credentials are there again."""

    at: float


class TokensChanged(msgspec.Struct, frozen=True):
    """What is delivered from here on: `meta`, by the credential's name, is put into each forwarded request; `known` are the values
    that were delivered in any way, which no record may show. Those that were known before are known on."""

    meta: Mapping[str, Secret]
    known: tuple[Secret, ...]
    at: float


Happening = (
    ServerStarted
    | ServerExited
    | PolicyChanged
    | NoticeChanged
    | Withheld
    | RecordFailed
    | ClientGone
    | ServerBegan
    | RestartDue
    | RestartForced
    | DrainOver
    | ServerRestarted
    | TokenAwaited
    | TokenFailed
    | TokenReady
    | TokensChanged
)
Event = ClientLine | ServerLine | Happening
