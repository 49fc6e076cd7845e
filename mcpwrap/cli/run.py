"""``mcpwrap run [--project DIR] NAME [-- COMMAND…]``: the command that a client starts.

Parsed here without click, which costs 12 ms, for this is on the way of every start. The guardian is forked before anything heavy is
imported, so that it stays small.
"""
# ruff: noqa: PLC0415 - the order of the imports is the point of this file

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcpwrap.runtime.process import Guardian

USAGE = """\
usage: mcpwrap run [--project DIR] NAME [-- COMMAND...]

Starts the MCP server NAME of the project's mcpwrap.toml and judges every message in both directions.
It is the command for an AI client's configuration; it speaks MCP on its standard input and output.

  --project DIR   the project's folder (else MCPWRAP_PROJECT, CLAUDE_PROJECT_DIR, or the nearest mcpwrap.toml upwards)
  -- COMMAND...   a command that stays in the client's configuration; it must be the trusted one
"""

ON_A_TERMINAL = """\
`mcpwrap run` speaks MCP with an AI client on its standard input and output; there is nothing to type here.

Put it into the client's configuration instead:
  "{name}": {{ "command": "mcpwrap", "args": ["run", "--project", "{project}", "{name}"] }}

To see where things stand: mcpwrap status
To see what a policy lets through: mcpwrap explain {name} TOOL
"""


def main(args: list[str]) -> int:
    """Run the shim and return its exit code.

    Raises:
        UsageError: the command line can't be understood.
    """
    project, name, command = parse(args)
    if project == name == "":
        sys.stdout.write(USAGE)
        return 0
    _claim_standard_descriptors()
    if os.isatty(0) and os.isatty(1):
        sys.stderr.write(ON_A_TERMINAL.format(name=name, project=project or os.getcwd()))  # noqa: PTH109 - costs less
        return 2
    if sys.platform == "win32":
        from mcpwrap.errors import UsageError

        raise UsageError("`mcpwrap run` doesn't work on Windows", hint="run the client and mcpwrap inside WSL")
    from mcpwrap.runtime.process import Guardian

    guardian = Guardian.start()
    try:
        return _relay(project, name, command, guardian)
    finally:
        guardian.close()


def _relay(project: str, name: str, command: tuple[str, ...], guardian: Guardian) -> int:
    from mcpwrap.runtime.assess import Asked
    from mcpwrap.runtime.launch import Launcher

    env = dict(os.environ)
    asked = Asked(name, project or None, command, env, _cwd(), env.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111
    launcher = Launcher(asked, guardian)
    found = launcher.assess()
    pipes = None
    if not found.hold:
        pipes, found = launcher.start(found)
    # the server is starting by now; the rest is imported beside it
    from mcpwrap.runtime.compose import Run
    from mcpwrap.runtime.loop import relay

    run = Run(launcher, found, started=pipes is not None)
    run.announce()
    try:
        relay(run, guardian, pipes)
    finally:
        run.close()
    return 0


def _claim_standard_descriptors() -> None:
    """Open what the client left closed: else the next descriptor, the guardian's, would be taken for the wire."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _cwd() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - costs less
    except FileNotFoundError:
        return "/"


def parse(args: list[str]) -> tuple[str, str, tuple[str, ...]]:
    """Project (or ""), name and command; all empty where help is wanted.

    Raises:
        UsageError: an unknown option, no name, more than one, or nothing after ``--``.
    """
    from mcpwrap.errors import UsageError

    project, names, command = "", [], []
    i = 0
    while i < len(args):
        arg = args[i]
        if arg == "--":
            command = args[i + 1 :]
            if not command:
                raise UsageError("no command after `--`", hint="mcpwrap run NAME -- COMMAND...")
            break
        if arg in ("-h", "--help"):
            return "", "", ()
        if arg == "--project" or arg.startswith("--project="):
            value = arg.partition("=")[2] if "=" in arg else args[i + 1] if i + 1 < len(args) else ""
            if not value:
                raise UsageError("`--project` needs a folder", hint="mcpwrap run --project DIR NAME")
            project = value
            i += 1 if "=" in arg else 2
            continue
        if arg.startswith("-"):
            raise UsageError(f"unknown option `{arg}`", hint="mcpwrap run [--project DIR] NAME [-- COMMAND...]")
        names.append(arg)
        i += 1
    if len(names) != 1:
        fact = "which server?" if not names else "more than one server's name"
        raise UsageError(fact, hint="mcpwrap run [--project DIR] NAME [-- COMMAND...]")
    return project, names[0], tuple(command)
