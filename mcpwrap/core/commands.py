"""What to do, as values. They are carried out in order, but for records, which come before anything of the same read is sent."""

from __future__ import annotations

import msgspec

from mcpwrap.core.entry import Entry
from mcpwrap.core.pins import Learned


class ToServer(msgspec.Struct, frozen=True, gc=False):
    """Send one line (without line feed), and only once the records of `refs` were written."""

    line: bytes
    refs: tuple[str, ...] = ()

    def __repr__(self) -> str:
        # a token may stand in it
        return f"ToServer({len(self.line)} bytes, {self.refs})"


class ToClient(msgspec.Struct, frozen=True, gc=False):
    """Send one line (without line feed), and only once the records of `refs` were written."""

    line: bytes
    refs: tuple[str, ...] = ()


class Record(msgspec.Struct, frozen=True):
    """Write one audit record."""

    entry: Entry


class Announce(msgspec.Struct, frozen=True):
    """Tell the person, on stderr."""

    text: str


class Learn(msgspec.Struct, frozen=True):
    """Keep what was seen of the server's definitions: as its pins where it is the first sight, else to show what differs."""

    learned: Learned


class StopServer(msgspec.Struct, frozen=True):
    """End the server; its exit is not a fault."""


class RestartServer(msgspec.Struct, frozen=True):
    """End the server, after all that goes to it, and start the next one; then comes `ServerRestarted`, or `ServerExited` where it
    can't be started. The end of the old process is no event."""


Command = ToServer | ToClient | Record | Announce | Learn | StopServer | RestartServer
