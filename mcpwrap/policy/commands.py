"""The commands that a trust record holds, and whether the one about to run is among them (POLICY.md §5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from mcpwrap.errors import ConfigError
from mcpwrap.policy.executables import digests, resolve_executable
from mcpwrap.policy.records import CommandRecord, TrustRecord

if TYPE_CHECKING:
    from mcpwrap.policy.load import ProjectPolicy, ServerPolicy

_AGAIN: Final = "it needs `mcpwrap trust` again"


def commands_of(policy: ProjectPolicy, env: Mapping[str, str], extra: Mapping[str, Sequence[str]]) -> tuple[CommandRecord, ...]:
    """A record for each command that the file defines, and for each of `extra`: commands of a client's configuration, by server.

    Raises:
        ConfigError: `extra` names a server that the file doesn't define, or another command than the file does.
    """
    for name, argv in extra.items():
        server = policy.servers.get(name)
        if server is None:
            raise ConfigError(f"`{name}` is no server of {policy.file}", file=policy.file, hint=f"add [servers.{name}] first")
        if server.command is not None and server.command != tuple(argv):
            raise ConfigError(
                f"{policy.file} defines another command for `{name}`",
                file=policy.file,
                line=server.line,
                hint=f"use `mcpwrap run {name}` without a command, or take `command` out of [servers.{name}]",
            )
        if not argv:
            raise ConfigError(f"the command for `{name}` is empty")
    return tuple(
        _record(server, tuple(command), policy.root, env)
        for server in policy.servers.values()
        if (command := server.command or extra.get(server.name))
    )


def _record(server: ServerPolicy, argv: tuple[str, ...], root: str, env: Mapping[str, str]) -> CommandRecord:
    executable = resolve_executable(argv[0], env, root) or ""
    return CommandRecord(server.name, argv, executable, server.cwd, server.inherit_env, digests(argv, executable, server.cwd, root))


def find_command(record: TrustRecord, server: str, argv: Sequence[str]) -> CommandRecord | None:
    """The accepted record of exactly this command; None where there is none."""
    return next((c for c in record.commands if c.server == server and c.argv == tuple(argv)), None)


def verify_command(
    record: TrustRecord, server: str, argv: Sequence[str], env: Mapping[str, str], *, policy: ServerPolicy | None = None
) -> str | None:
    """None where `argv` is as it was accepted: the list, the resolved executable, the digests; else what differs, as a sentence.

    With `policy`, the accepted file's entry for the server, its working folder and inherited variables are compared as well: they
    can differ though the file is the same, since ``${home}`` is the environment's.
    """
    accepted = find_command(record, server, argv)
    if accepted is None:
        if any(c.server == server for c in record.commands):
            return f"the command for `{server}` isn't the one that was accepted; {_AGAIN}"
        return f"no command was accepted for `{server}`; {_AGAIN}"
    if policy is not None and policy.cwd != accepted.cwd:
        return f"`{server}` would run in {_or(policy.cwd)}, and {_or(accepted.cwd)} was accepted; {_AGAIN}"
    if policy is not None and policy.inherit_env != accepted.inherit_env:
        return f"the variables that `{server}` inherits aren't those that were accepted; {_AGAIN}"
    executable = resolve_executable(argv[0], env, record.project)
    if executable is None:
        return f"`{argv[0]}` wasn't found: it is no executable, or in no folder of PATH that counts"
    if not accepted.executable:
        return f"`{argv[0]}` is {executable} now, and wasn't found when it was accepted; {_AGAIN}"
    if executable != accepted.executable:
        return f"`{argv[0]}` is {executable} now, and {accepted.executable} was accepted; {_AGAIN}"
    now = digests(argv, executable, accepted.cwd, record.project)
    for element in dict.fromkeys((*accepted.digests, *now)):
        if element not in now:
            return f"`{element}` is gone; it was a file of the project when it was accepted"
        if element not in accepted.digests:
            return f"`{element}` is a file of the project now, and wasn't when it was accepted; {_AGAIN}"
        if now[element] != accepted.digests[element] or not now[element]:
            return f"`{element}` isn't the file that was accepted; {_AGAIN}"
    return None


def _or(cwd: str | None) -> str:
    return f"`{cwd}`" if cwd else "a private folder"
