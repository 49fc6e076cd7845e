"""The commands by name; each one's module is imported when it is used, and not before."""

from __future__ import annotations

import importlib
import sys
from typing import Final

import click

from mcpwrap import __version__
from mcpwrap.errors import UsageError

PROGRAM: Final = "mcpwrap"

COMMANDS: Final = {
    "run": ("mcpwrap.cli.completion", "Stand in front of a server (what an AI client starts)."),
    "status": ("mcpwrap.cli.status", "Where things stand, and what to do next."),
    "init": ("mcpwrap.cli.init", "Ask a server what it has, and write a starting file."),
    "check": ("mcpwrap.cli.check", "Look for faults in the files that count here."),
    "trust": ("mcpwrap.cli.trust", "Show what a project's file lets run and do, and accept it."),
    "untrust": ("mcpwrap.cli.trust", "Take the trust back, for running sessions too."),
    "pins": ("mcpwrap.cli.pins", "What servers may offer: what is pinned, and what differs."),
    "login": ("mcpwrap.cli.login", "Sign in, so that servers get short-lived tokens."),
    "logout": ("mcpwrap.cli.logout", "Sign out: the provider is told, and what is kept here is wiped."),
    "vault": ("mcpwrap.cli.vault", "Where the installation's key lies, and what it protects."),
    "secret": ("mcpwrap.cli.secret", "Secrets for servers: set, list, lend, take away."),
    "explain": ("mcpwrap.cli.explain", "Why a call is let through or refused."),
    "test": ("mcpwrap.cli.test", "Run the tests of a policy."),
    "log": ("mcpwrap.cli.log", "What happened: the audit records."),
    "token": ("mcpwrap.cli.token", "A credential for a server or a script, as JSON."),
    "jwks": ("mcpwrap.cli.jwks", "The public keys that mcpwrap's own tokens are checked with."),
    "demo": ("mcpwrap.cli.demo", "See it work: a small server, a real client, a temporary project."),
    "schema": ("mcpwrap.cli.schema", "The JSON Schema of a file."),
    "completion": ("mcpwrap.cli.completion", "The script that completes commands in your shell."),
}
"""Name → the module that has a click command of that name, and its line in the help."""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"`{cmd_name}` is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=_Lazy,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every command has its own help: mcpwrap COMMAND --help",
)
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> int:
    """A per-project allowlist between an AI client and its MCP servers.

    Without a command: `mcpwrap status`.
    """
    if context.invoked_subcommand is not None:
        return 0
    if not sys.stdout.isatty() or not sys.stdin.isatty():
        raise UsageError(
            "no command, and no person to show the status to",
            hint="you want `mcpwrap run NAME`",
        )
    from mcpwrap.cli.status import status  # noqa: PLC0415 - only when it is shown

    code = context.invoke(status)
    return code if isinstance(code, int) else 0
