"""The server's stderr on its way to ours, and our own words there.

It is free-form and no sign of an error (PROTOCOL.md §6). Control characters are spelled out, since it may end up on a terminal, and
the end of it is kept for the message when a server dies. Nothing here waits: where nobody reads our stderr, the server's is read no
further, as it would be without us, and our own words are dropped.
"""

from __future__ import annotations

import codecs
import os
import re
import select
from typing import TYPE_CHECKING, Final

from mcpwrap.core.visible import INVISIBLE

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

TAIL: Final = 4096
"""Characters of the server's stderr that are kept."""

_PIECE: Final = 640
"""Bytes read at once; spelled out at most six times as long, which a pipe takes whole where it takes anything (PIPE_BUF)."""

_DRAINED: Final = 1024 * 1024
"""Bytes taken in at most when the server is gone; a descendant that lives on could write for ever."""

_HIDDEN: Final = re.compile(r"(?![\t\n])" + INVISIBLE.pattern)

_SAID: Final = 1020
"""Characters of ours at once: at most four bytes each, which a pipe takes whole where it takes anything (PIPE_BUF)."""

_RETRY_S: Final = 0.05


def say(text: str) -> None:
    """Words of ours on stderr, or nothing where nobody reads it; names of others in them may hold anything."""
    try:
        if _writable():
            # the server's words stand on the same stderr: ours say whose they are
            named = text if text.startswith("mcpwrap ") else f"mcpwrap: {text}"
            os.write(2, f"{_visible(named)[:_SAID]}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # the client closed it; there is nobody to tell


def _visible(text: str) -> str:
    return _HIDDEN.sub(lambda found: f"\\u{{{ord(found[0]):x}}}", text)


def _writable() -> bool:
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    return any(flags & select.POLLOUT for _, flags in poll.poll(0))


class ServerStderr:
    """Passes `fd` on. Owns it."""

    def __init__(self, loop: AbstractEventLoop, fd: int) -> None:
        self._loop = loop
        self._fd = fd
        self._tail = ""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._open = True
        os.set_blocking(fd, False)
        loop.add_reader(fd, self._ready)

    @property
    def tail(self) -> str:
        """The end of what the server said, as it came."""
        return self._tail

    def drain(self) -> None:
        """Take in what is there already."""
        for _ in range(_DRAINED // _PIECE):
            if not self._open or not self._pass_on():
                return

    def close(self) -> None:
        """Stop and close."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            os.close(self._fd)

    def _ready(self) -> None:
        try:
            free = _writable()
        except OSError:
            free = True
        if free:
            self._pass_on()
        else:
            self._loop.remove_reader(self._fd)
            self._loop.call_later(_RETRY_S, self._again)

    def _again(self) -> None:
        if self._open:
            self._loop.add_reader(self._fd, self._ready)

    def _pass_on(self) -> bool:
        try:
            data = os.read(self._fd, _PIECE)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        text = self._decode(data).replace("\r\n", "\n")
        self._tail = (self._tail + text)[-TAIL:]
        try:
            if _writable():
                os.write(2, _visible(text).encode())
        except OSError:
            pass  # nobody reads it
        return True
