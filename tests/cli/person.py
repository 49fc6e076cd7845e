"""A person at a pseudo-terminal: starts `mcpwrap`, reads what stands there, types."""

from __future__ import annotations

import codecs
import os
import select
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

DEADLINE_S = 60.0
"""For anything a person waits for here; it takes a tenth of a second, the rest is for a busy machine."""


class Person:
    """One command on a terminal of its own. It is ended, whatever state it is in, when the `with` block is left.

    With `piped` standard input and output are no terminal; the controlling terminal still is one.
    """

    def __init__(self, argv: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, piped: bool = False) -> None:
        self.seen = ""
        self._read = 0
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._fd, terminal = os.openpty()
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL if piped else terminal,
            stdout=subprocess.DEVNULL if piped else terminal,
            stderr=terminal,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(terminal)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._fd)

    def reads(self, text: str) -> str:
        """Wait until `text` stands on the terminal and return all that came since the last time.

        Raises:
            AssertionError: it didn't come.
        """
        deadline = time.monotonic() + DEADLINE_S
        while (at := self.seen.find(text, self._read)) < 0:
            if time.monotonic() > deadline or not self._more():
                raise AssertionError(f"{text!r} never came; on the terminal stands:\n{self.seen}")
        new = self.seen[self._read : at + len(text)]
        self._read = at + len(text)
        return new

    def types(self, text: str) -> None:
        """Type `text` and a return."""
        os.write(self._fd, text.encode() + b"\n")

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._fd)[3] & termios.ECHO)

    def hangs_up(self) -> None:
        """Close the terminal."""
        os.close(self._fd)
        self._fd = os.open(os.devnull, os.O_RDWR)

    def ends(self) -> int:
        """Wait for the command's end and return its exit code."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline and self._more():
            pass
        return self._process.wait(timeout=DEADLINE_S)

    @property
    def rest(self) -> str:
        """What came since the last time, once the command has ended."""
        return self.seen[self._read :]

    def _more(self) -> bool:
        ready, _, _ = select.select([self._fd], [], [], DEADLINE_S)
        if not ready:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # Linux: the other side is closed
            return False
        # a terminal's lines end with CR LF
        self.seen = (self.seen + self._decode(data)).replace("\r\n", "\n")
        return bool(data)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(2, termios.TIOCSCTTY, 0)
