"""Completion in the person's shell: click's own scripts, and the names of servers and tools where they are cheap."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class, shell_complete

from mcpwrap.errors import McpwrapError

VARIABLE: Final = "_MCPWRAP_COMPLETE"
"""The variable by which the shell's script asks (click's convention)."""

_PROGRAM: Final = "mcpwrap"


def answer(cli: click.Command, instruction: str) -> int:
    """What the shell's script asked for, on stdout."""
    return shell_complete(cli, {}, _PROGRAM, VARIABLE, instruction)


def servers(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The project's servers."""
    return [name for name in _lists(context) if name.startswith(incomplete)]


def tools(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Tools that the file names literally for the server that was typed."""
    named = _lists(context).get(str(context.params.get("server_or_ref") or ""), [])
    return [name for name in named if name.startswith(incomplete)]


def secrets(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The secrets that the server that was typed asks for."""
    from mcpwrap.cli.here import asked_for, look  # noqa: PLC0415 - only when a name is completed

    try:
        found = look(context.params.get("project"))
        names = () if found is None else asked_for(found, str(context.params.get("server") or ""))
    except (McpwrapError, OSError):
        names = ()  # a half-typed line is no place for an error
    return [name for name in names if name.startswith(incomplete)]


def profiles(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The profiles of the person's own file, and the built-in one."""
    from mcpwrap.cli.here import Here  # noqa: PLC0415 - only when a name is completed
    from mcpwrap.core.credentials import LOCAL  # noqa: PLC0415 - the same

    try:
        user = Here.now().user()
    except McpwrapError:
        user = None
    return [name for name in (LOCAL, *(user.profiles if user else ())) if name.startswith(incomplete)]


def _lists(context: click.Context) -> dict[str, list[str]]:
    from mcpwrap.cli.here import look  # noqa: PLC0415 - only when a name is completed
    from mcpwrap.policy.load import rules_for  # noqa: PLC0415 - the same

    try:
        found = look(context.params.get("project"))
        if found is None:
            return {}
        policy = found.lying()
        return {
            name: sorted(
                {
                    pattern.literal
                    for rule in rules_for(policy, name, (), found.command(server)).tools.rules
                    for pattern in rule.patterns
                    if pattern.literal is not None
                }
            )
            for name, server in policy.servers.items()
        }
    except (McpwrapError, OSError):
        return {}  # a half-typed line is no place for an error


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.option("--project", metavar="DIR")
@click.argument("name", required=False, shell_complete=servers)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def run(project: str | None, name: str | None, command: tuple[str, ...]) -> None:
    """Stand in front of a server. Only its names are completed here; `run` itself never passes through click."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the script that completes mcpwrap's commands in your shell.

    In ~/.bashrc or ~/.zshrc: eval "$(mcpwrap completion bash)", or zsh. For fish: mcpwrap completion fish | source
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise TypeError(f"click knows no `{shell}`")
    # the name is given: the script must call the command, whatever path this process was started by
    click.echo(kind(run, {}, _PROGRAM, VARIABLE).source())
    return 0
