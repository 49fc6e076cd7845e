"""`mcpwrap check`: are the files that count here without fault, and what is the digest? Changes nothing, asks nobody."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import click
import msgspec

from mcpwrap.cli.here import Found, Here, need
from mcpwrap.cli.screen import Ink, count, place_lines
from mcpwrap.core.credentials import Profile
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import ConfigError
from mcpwrap.policy.load import ProjectPolicy, rules_for
from mcpwrap.policy.lock import parse as parse_lock
from mcpwrap.policy.review import review, review_server
from mcpwrap.policy.review_credentials import review_credentials
from mcpwrap.policy.trust import commands_of, digest, verify_command, warnings_for

FAULTY: Final = 2
"""Exit code where a file can't be used (POLICY.md §7)."""

UNTOLD: Final = 1
"""Exit code where the vault doesn't open, so that trust can't be told."""

_TRUST_WORDS: Final = {
    "trusted": "trusted",
    "changed": "changed since it was accepted; `mcpwrap trust` shows what differs",
    "untrusted": "not trusted yet; `mcpwrap trust` shows what it would let run",
}


T = TypeVar("T")


@dataclass(slots=True)
class Findings:
    """What was found so far."""

    errors: list[ConfigError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@click.command()
@click.option("--project", metavar="DIR", help="The project, where it isn't the one you are in.")
@click.option("--json", "as_json", is_flag=True, help="For programs; `digest` is what `mcpwrap trust --digest` takes.")
def check(project: str | None, as_json: bool) -> int:
    """Look for faults in the project's file, your own and the administrator's. Exit code 2 where there is one.

    Where the vault doesn't open, so that trust can't be told, the exit code is 1.
    """
    here = Here.now()
    found = need(project, here)
    findings = Findings()
    policy = _try(found.lying, findings)
    user = _try(here.user, findings)
    _try(here.site, findings)
    if policy is not None:
        findings.warnings += _warnings(found, policy, user.profiles if user is not None else {})
    if as_json:
        click.echo(json.dumps(_facts(found, policy, findings), indent=2))
    else:
        click.echo("\n".join(_lines(found, policy, findings, Ink.of(sys.stdout))))
    return FAULTY if findings.errors else UNTOLD if found.closed is not None else 0


def _try(read: Callable[[], T], findings: Findings) -> T | None:
    try:
        return read()
    except ConfigError as error:
        findings.errors.append(error)
        return None


def _warnings(found: Found, policy: ProjectPolicy, profiles: Mapping[str, Profile]) -> Iterator[str]:
    yield from warnings_for(policy)
    missing = set()
    for command in commands_of(policy, found.here.env, {}):
        if command.argv and not command.executable:
            missing.add(command.server)
            yield f"{command.server}: `{command.argv[0]}` was not found; the server can't start on this machine"
    record = found.recorded.record
    if record is not None and found.recorded.state == "trusted":
        for server in policy.servers.values():
            if server.command is not None and server.name not in missing:
                why = verify_command(record, server.name, server.command, found.here.env, policy=server)
                if why:
                    yield f"{server.name}: {why}; it is held until `mcpwrap trust`"
    for server in policy.servers.values():
        rules = rules_for(policy, server.name, (), server.command or ())
        tools = known_tools(found, server.name)
        advice = [*review_server(server, policy.file, tools), *review_credentials(policy, server, profiles)]
        for each in sorted([*review(rules, tools), *advice]):
            place = f"({each.file}:{each.line})"
            yield f"{server.name}: {each.text}" if place in each.text else f"{server.name}: {each.text} {place}"


def known_tools(found: Found, server: str) -> Mapping[str, Mapping[str, Any]] | None:
    """The definitions of the server's tools: those of the lock, else what it showed last; None where nothing is known."""
    if found.lock is not None and (entry := parse_lock(found.lock).servers.get(server)) is not None:
        return entry.items["tool"]
    seen = found.here.pins.seen(found.root, server)
    return seen.items.get("tool") if seen is not None else None


def _facts(found: Found, policy: ProjectPolicy | None, findings: Findings) -> dict[str, Any]:
    return {
        "digest": digest(found.data, found.lock),
        "file": found.project.file,
        "project": found.root,
        "trust": "unknown" if found.closed is not None else found.recorded.state,
        "vault": None if found.closed is None else {"message": str(found.closed), "hint": found.closed.hint},
        "issuer": policy.issuer if policy else "",
        "errors": [
            {
                "file": error.file,
                "line": error.line,
                "column": error.column,
                "message": str(error),
                "excerpt": error.excerpt,
                "hint": error.hint,
            }
            for error in findings.errors
        ],
        "warnings": findings.warnings,
        "servers": [
            {
                "name": server.name,
                "command": None if server.command is None else list(server.command),
                "cwd": server.cwd,
                "env": dict(server.env),
                "inherit_env": list(server.inherit_env),
                "credentials": [
                    {"name": each.name, "source": msgspec.to_builtins(each.source), "via": each.via} for each in server.credentials
                ],
                "line": server.line,
            }
            for server in (policy.servers.values() if policy else ())
        ],
    }


def _lines(found: Found, policy: ProjectPolicy | None, findings: Findings, ink: Ink) -> list[str]:
    lines: list[str] = []
    trust = _TRUST_WORDS[found.recorded.state]
    if found.closed is not None:
        trust = "whether it is trusted can't be told"
        lines.append(f"{ink('red', 'error:')} {spell_out(str(found.closed))}")
        if found.closed.hint:
            lines.append(f"{ink('bold', 'hint:')} {spell_out(found.closed.hint)}")
    for error in findings.errors:
        lines += [f"{ink('red', 'error:')} {spell_out(str(error))}", *place_lines(error)]
        if error.hint:
            lines.append(f"{ink('bold', 'hint:')} {spell_out(error.hint)}")
    lines += [f"{ink('yellow', 'warning:')} {spell_out(text)}" for text in findings.warnings]
    if not findings.errors and policy is not None:
        what = count(len(policy.servers), "server")
        lines.append(f"{spell_out(found.file_name)}: {ink('green', 'no fault')}, {what}; {trust}")
        lines.append(f"digest  {digest(found.data, found.lock)}")
    return lines
