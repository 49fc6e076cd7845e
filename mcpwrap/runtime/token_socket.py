"""The shim's end of ``MCPWRAP_TOKEN_SOCKET``: a server, or a script of it, asks for its current token (IDENTITY.md §4, `helper`).

One connection is one question: one JSON line comes, one goes back (`mcpwrap.identity.socket_protocol`). The socket is 0600 in a
0700 folder and the peer's user is checked: that keeps other users out, not this user's processes. Of those, only the server's own
may have more than minted tokens.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from mcpwrap.core.credentials import Issued
from mcpwrap.errors import StateError
from mcpwrap.files import reason
from mcpwrap.identity.socket_protocol import QUESTION_LIMIT, TIME_S, Given, Refused, decode_question, encode, peer
from mcpwrap.runtime.proctable import is_below

if TYPE_CHECKING:
    from mcpwrap.core.credentials import Failed

BACKLOG: Final = 64
OPEN_LIMIT: Final = 64
"""Connections at once; a server asks one question a minute."""


class Asked(Protocol):
    """Who answers: `name` is the credential (None: the only one), `within` that the server's own processes ask."""

    def __call__(self, name: str | None, *, within: bool) -> Issued | Failed: ...


class TokenSocket:
    """Listens at `path` from its making on; answers once it is attached to a loop.

    Raises:
        StateError: it can't be made.
    """

    def __init__(self, path: str, asked: Asked, server_pid: Callable[[], int]) -> None:
        self.path = path
        self._asked = asked
        self._server_pid = server_pid
        self._server: asyncio.Server | None = None
        self._starting: asyncio.Task[None] | None = None
        self._open = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._socket.bind(path)
            self._socket.listen(BACKLOG)
            self._socket.setblocking(False)
        except OSError as error:
            self._socket.close()
            raise StateError(f"the token socket `{path}` can't be made: {reason(error)}") from error
        finally:
            os.umask(before)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer from now on."""

        async def serve() -> None:
            self._server = await asyncio.start_unix_server(self._connected, sock=self._socket, limit=QUESTION_LIMIT)

        self._starting = loop.create_task(serve())

    def close(self) -> None:
        """Answer nobody any more, and take the socket away."""
        if self._starting is not None:
            self._starting.cancel()
        if self._server is not None:
            self._server.close()
        self._socket.close()
        with suppress(OSError):
            os.unlink(self.path)
        folder = os.path.dirname(self.path)
        if os.path.basename(folder).startswith("mcpwrap-"):
            with suppress(OSError):  # it was made for the socket alone
                os.rmdir(folder)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            pid, uid = peer(writer.get_extra_info("socket"))
            if self._open > OPEN_LIMIT or uid != os.geteuid():
                return
            async with asyncio.timeout(TIME_S):
                question = decode_question(await reader.readline())
                root = self._server_pid()
                found = self._asked(question.credential, within=root > 0 and is_below(pid, root))
                writer.write(encode(_said(found)))
                await writer.drain()
        except (OSError, ValueError, TimeoutError):
            pass  # whoever asked so gets no answer
        finally:
            self._open -= 1
            writer.close()


def _said(found: Issued | Failed) -> Given | Refused:
    if isinstance(found, Issued):
        return Given(found.value.reveal(), None if found.expires_at is None else int(found.expires_at), found.name)
    return Refused(found.why, found.hint)
