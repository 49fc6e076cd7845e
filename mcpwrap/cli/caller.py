"""Is there a person at a terminal? What only a person may say is asked here (POLICY.md §5).

Three things speak against it: the environment of a known agent's shell, a terminal that isn't there, and an ancestor
that is the client of a running shim. This stops honest agents. A hostile one with a shell can clear its environment and
open a pseudo-terminal; POLICY.md §8 promises nothing against that.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from mcpwrap.errors import RefusedError

DECLINED: Final = 3
"""Exit code where the person said no (POLICY.md §7)."""

AGENT_VARIABLES: Final[Mapping[str, str]] = {
    "CLAUDECODE": "Claude Code",
    "CLAUDE_CODE": "Claude Code",
    "CLAUDE_CODE_ENTRYPOINT": "Claude Code",
    "CLAUDE_CODE_SESSION_ID": "Claude Code",
    "CLAUDE_CODE_CHILD_SESSION": "Claude Code",
    "CLAUDE_CODE_IS_COWORK": "Cowork",
    "CURSOR_AGENT": "Cursor's agent",
    "CURSOR_TRACE_ID": "Cursor",
    "CODEX_SANDBOX": "Codex",
    "CODEX_SANDBOX_NETWORK_DISABLED": "Codex",
    "CODEX_CI": "Codex",
    "CODEX_THREAD_ID": "Codex",
    "GEMINI_CLI": "Gemini CLI",
    "QWEN_CODE": "Qwen Code",
    "ANTIGRAVITY_AGENT": "Antigravity",
    "OPENCODE": "opencode",
    "OPENCODE_CLIENT": "opencode",
    "KILO_PID": "Kilo Code",
    "COPILOT_CLI": "Copilot CLI",
    "COPILOT_AGENT": "Copilot's agent",
    "COPILOT_AGENT_JOB_ID": "Copilot's agent",
    "COPILOT_AGENT_SESSION_ID": "Copilot's agent",
    "AUGMENT_AGENT": "Augment",
    "CLINE_ACTIVE": "Cline",
    "ROO_ACTIVE": "Roo Code",
    "GOOSE_TERMINAL": "Goose",
    "CRUSH": "Crush",
    "AMP_CURRENT_THREAD_ID": "Amp",
    "PI_CODING_AGENT": "pi",
    "TRAE_AI_SHELL_ID": "Trae",
    "OPENCLAW_SHELL": "OpenClaw",
    "GROK_AGENT": "Grok",
    "AI_AGENT": "an agent (the name many of them share)",
    "AGENT": "an agent (the name that Amp, Crush and Goose share)",
}
"""Variables that agents set for the shells they start, and whose they are.

NOTE: what a person sets to configure an agent (``AIDER_*``, ``CODEX_HOME``, ``COPILOT_GITHUB_TOKEN``) is left out on purpose:
it stands in people's own shells, and says nothing about who types.
"""

_ANSWER_LIMIT: Final = 256
"""Characters of one answer that are read; the answers are single letters, the rest of a longer line is dropped."""

_LINE_LIMIT: Final = 4095
"""Bytes of one line; Linux silently drops what a terminal sends beyond."""

_ANCESTOR_LIMIT: Final = 512
"""Ancestors that are looked at; trees are some ten deep, and a table that changes while it is read could be a circle."""


class Terminal:
    """The person's terminal, opened as a device: neither standard input nor standard output stands in for it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pending = b""

    @classmethod
    def open(cls) -> Self | None:
        """The controlling terminal, or None where there is none."""
        name = "CON" if sys.platform == "win32" else "/dev/tty"
        try:
            fd = os.open(name, os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0))
        except OSError:
            return None
        return cls(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._fd)

    @property
    def width(self) -> int:
        """Columns, 80 where the device doesn't know."""
        try:
            return os.get_terminal_size(self._fd).columns or 80
        except OSError:
            return 80

    def show(self, text: str) -> None:
        """Write `text`.

        Raises:
            RefusedError: the terminal was hung up.
        """
        data = text.encode("utf-8", "backslashreplace")
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except OSError as error:
                raise RefusedError("the terminal is gone", hint="nothing was changed; run it again in another") from error

    def ask(self, question: str) -> str:
        """Show `question` and read one line; "" at the end of the terminal.

        What was typed before the question stood there is thrown away: it can't be an answer to it.
        """
        self._discard_typed_ahead()
        self.show(question)
        line = b""
        while not line.endswith((b"\n", b"\r")):
            try:
                chunk = os.read(self._fd, 1024)
            except OSError:  # the terminal was hung up
                return ""
            if not chunk:
                self.show("\n")
                break
            line = (line + chunk)[-_ANSWER_LIMIT - 1 :] if len(line) > _ANSWER_LIMIT else line + chunk
        return line[:_ANSWER_LIMIT].decode("utf-8", "replace").strip()

    def ask_hidden(self, question: str) -> str:
        """As `ask`, for what must not stand on the screen: nothing typed is shown, and only the line's end is taken off.

        Raises:
            RefusedError: the line is longer than a terminal takes.
        """
        if sys.platform == "win32":
            import getpass  # noqa: PLC0415 - only here

            return getpass.getpass(question)
        import termios  # noqa: PLC0415 - not there on Windows

        before = termios.tcgetattr(self._fd)
        silent = [*before]
        silent[3] &= ~termios.ECHO
        line = b""
        try:
            # first silence, which throws away what was typed before, then the question: nothing typed after it is lost or shown
            termios.tcsetattr(self._fd, termios.TCSAFLUSH, silent)
            self.show(question)
            while not line.endswith((b"\n", b"\r")) and (chunk := os.read(self._fd, 4096)):
                line += chunk
        except OSError:  # the terminal was hung up
            return ""
        finally:
            with suppress(OSError, termios.error):
                termios.tcsetattr(self._fd, termios.TCSADRAIN, before)
        self.show("\n")
        if len(line) >= _LINE_LIMIT:
            raise RefusedError(
                "a terminal takes no longer line than 4,095 characters", hint="see `[trust] scripted` in docs/vault.md"
            )
        return line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")

    def _discard_typed_ahead(self) -> None:
        if sys.platform == "win32":
            return  # NOTE: needs msvcrt or the console API; there the question is shown before anything is read
        import termios  # noqa: PLC0415 - not there on Windows

        termios.tcflush(self._fd, termios.TCIFLUSH)


def agent_in(env: Mapping[str, str]) -> tuple[str, str] | None:
    """The first variable of a known agent that `env` holds, and whose it is. An empty one counts as unset."""
    for name, owner in AGENT_VARIABLES.items():
        if env.get(name):
            return name, owner
    return None


def refuse_agents(env: Mapping[str, str], command: str) -> None:
    """Let `command` (as it is typed) through only where no agent is at work.

    Raises:
        RefusedError: a known agent's variable is set, or an ancestor is the client of a running shim.
    """
    agent = agent_in(env)
    if agent:
        name, owner = agent
        raise RefusedError(
            f"`{command}` wants a person, and `{name}` says that this is a shell of {owner}",
            hint=f"ask the person to run `{command}` in a terminal of their own, outside of the agent",
        )
    client = shim_client_above(os.getpid())
    if client:
        raise RefusedError(
            f"`{command}` wants a person, and process {client} above this one is served by a running mcpwrap",
            hint=f"ask the person to run `{command}` in a terminal that the client didn't start",
        )


def person_terminal(env: Mapping[str, str], command: str) -> Terminal:
    """The terminal of the person who typed `command`.

    Raises:
        RefusedError: an agent is at work, or there is no terminal.
    """
    refuse_agents(env, command)
    terminal = Terminal.open()
    if terminal is None:
        raise RefusedError(
            f"`{command}` asks a person, and there is no terminal here",
            hint=f"run `{command}` in a terminal; for machines see `[trust] scripted` in your own config.toml",
        )
    return terminal


def shim_client_above(pid: int, proc: str = "/proc") -> int | None:
    """The nearest ancestor of `pid` that is the client of a running ``mcpwrap run``, or None.

    NOTE: read from Linux's ``/proc``; elsewhere nothing is looked at, and the variables have to do.
    """
    ancestors = list(_ancestors(pid, proc))
    if not ancestors:
        return None
    clients = {client for shim in _processes(proc) if _is_shim(shim, proc) and (client := _client_of(shim, proc))}
    return next((a for a in ancestors if a in clients), None)


def _client_of(shim: int, proc: str) -> int | None:
    # what only passes the command on (uvx, a shell with -c) names it too and is no client
    for ancestor in _ancestors(shim, proc):
        if not _is_shim(ancestor, proc):
            # a shim whose client is gone belongs to process 1 or to a user's service manager for its last moments
            return None if ancestor == 1 or _comm(ancestor, proc) == "systemd" else ancestor
    return None


def _ancestors(pid: int, proc: str) -> Iterator[int]:
    for _ in range(_ANCESTOR_LIMIT):
        try:
            stat = Path(proc, str(pid), "stat").read_text("utf-8", "replace")
        except OSError:
            return
        # the name in parentheses may hold anything, parentheses and spaces included
        pid = int(stat.rpartition(")")[2].split()[1])
        if pid <= 0:
            return
        yield pid


def _processes(proc: str) -> Iterator[int]:
    try:
        names = [entry.name for entry in Path(proc).iterdir()]
    except OSError:
        return
    yield from (int(name) for name in names if name.isdigit())


def _is_shim(pid: int, proc: str) -> bool:
    try:
        line = Path(proc, str(pid), "cmdline").read_bytes()
    except OSError:
        return False
    words = line.replace(b"\0", b" ").split()
    return any(
        second == b"run" and first.rpartition(b"/")[2] in (b"mcpwrap", b"mcpwrap.exe")
        for first, second in itertools.pairwise(words)
    )


def _comm(pid: int, proc: str) -> str:
    try:
        return Path(proc, str(pid), "comm").read_text("utf-8", "replace").strip()
    except OSError:
        return ""
