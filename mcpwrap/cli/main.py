"""The door: dispatch, and the only place where an error becomes text and an exit code (POLICY.md §7).

``run`` is on the way of a call and starts with every server of every client, so it is taken first, before click is
imported.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import click

    from mcpwrap.errors import McpwrapError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it (128 + SIGINT)."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """The command `mcpwrap`; `argv` is without the program's name, that of the process by default. Ends in `SystemExit`."""
    sys.exit(dispatch(sys.argv[1:] if argv is None else argv))


def dispatch(argv: Sequence[str]) -> int:
    """Carry out one command line and return its exit code; every error is told on stderr here, and nowhere else."""
    from mcpwrap.errors import McpwrapError  # noqa: PLC0415 - with the first command only

    try:
        if argv[:1] == ["run"]:
            from mcpwrap.cli.run import main as run  # noqa: PLC0415 - its own import set

            return run(list(argv[1:]))
        code = _through_click(list(argv))
        sys.stdout.flush()
    except McpwrapError as error:
        _tell(error)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _close_stdout()
        return 0
    except Exception as error:  # noqa: BLE001 - the boundary
        _tell_bug(error)
        return 1
    return code


def _through_click(argv: list[str]) -> int:
    import click  # noqa: PLC0415 - 12 ms that `run` doesn't pay

    from mcpwrap.cli import completion  # noqa: PLC0415 - imports click
    from mcpwrap.cli.commands import PROGRAM, cli  # noqa: PLC0415 - imports click
    from mcpwrap.errors import UsageError  # noqa: PLC0415 - see dispatch

    for stream in (sys.stdout, sys.stderr):
        # a terminal that can't show a character gets its number, not a traceback
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    instruction = os.environ.get(completion.VARIABLE)
    if instruction:
        return completion.answer(cli, instruction)
    try:
        with cli.make_context(PROGRAM, list(argv)) as context:
            code = cli.invoke(context)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.UsageError as error:
        raise UsageError(_sentence(error.format_message()), hint=_usage_hint(error, cli, argv)) from error
    except click.ClickException as error:
        raise UsageError(_sentence(error.format_message())) from error
    return code if isinstance(code, int) else 0


def _sentence(text: str) -> str:
    # click's messages are sentences with a capital, ours are facts without one
    text = re.sub(r"'([^']*)'", r"`\1`", text.strip().removesuffix("."))
    return text[:1].lower() + text[1:]


def _usage_hint(error: click.UsageError, cli: click.Group, argv: list[str]) -> str:
    path = max(_typed(cli, argv), error.ctx.command_path if error.ctx is not None else "", key=len)
    return f"`{path} --help` says what it takes"


def _typed(command: click.Command, argv: list[str]) -> str:
    """The command that `argv` begins with: click doesn't say which one it was where an option's value is missing."""
    import click  # noqa: PLC0415 - see _through_click

    path = ["mcpwrap"]
    for word in argv:
        # (the groups' commands are imported when they are asked for)
        following = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        if following is None:
            break
        command = following
        path.append(word)
    return " ".join(path)


def _tell(error: McpwrapError) -> None:
    from mcpwrap.cli.screen import error_text  # noqa: PLC0415 - only when there is something to tell

    sys.stderr.write(error_text(error, sys.stderr))


def _tell_bug(error: Exception) -> None:
    if os.environ.get("MCPWRAP_DEBUG") == "1":
        import traceback  # noqa: PLC0415 - only here

        traceback.print_exc()
    from mcpwrap.core.visible import spell_out  # noqa: PLC0415 - only when there is something to tell

    fact = spell_out(f"{type(error).__name__}: {error}", limit=300)
    sys.stderr.write(
        f"error: {fact}\n"
        "       This is a bug in mcpwrap, not in what you typed.\n"
        "hint: report it with what `MCPWRAP_DEBUG=1` shows for the same command (CONTRIBUTING.md says where)\n"
    )


def _close_stdout() -> None:
    # the reader went away; without this the interpreter complains once more when it flushes at its end
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
