"""What `trust` shows before it asks: everything that the file would let run and do, and after a change what differs.

Commands are never shortened; what a terminal would hide or obey is spelled out (POLICY.md §5).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Container, Iterator, Sequence
from typing import Final

from mcpwrap.cli.screen import Ink, columns, command_text, count, day, wrapped
from mcpwrap.core.rules import Rule, RuleTable, ServerRules
from mcpwrap.core.visible import spell_out
from mcpwrap.policy.changed_credentials import issuer_text, source_text, way_text
from mcpwrap.policy.changed_rules import budget_text, terms
from mcpwrap.policy.load import ProjectPolicy, ServerPolicy, rules_for
from mcpwrap.policy.trust import CommandRecord, TrustRecord, announce_changes, warnings_for

_LABEL_WIDTH: Final = 12
"""Columns of the words on the left."""

_ALIGNED: Final = 60
"""Longest change whose place is aligned with the others', in characters."""

_EFFECTS: Final = {"allow": "green", "log": "green", "ask": "yellow", "deny": "red"}


def whole(policy: ProjectPolicy, commands: Sequence[CommandRecord], *, width: int, ink: Ink) -> list[str]:
    """Every server of `policy`: what runs, where, with which variables, and what it may do."""
    lines = _login(policy, ink)
    for server in policy.servers.values():
        lines += ["", *server_block(policy, server, _record_of(commands, server.name), width=width, ink=ink)]
    if not policy.servers:
        lines += ["", "  no servers: nothing would run"]
    return lines + _warnings(policy, commands, width=width, ink=ink)


def _login(policy: ProjectPolicy, ink: Ink) -> list[str]:
    """Who vouches for the person, where the file says so or a server gets something in the person's name."""
    if not policy.issuer and not any(server.credentials for server in policy.servers.values()):
        return []
    place = f"  {policy.file}:{policy.issuer_line}" if policy.issuer else ""
    return ["", f"  {ink('dim', 'login'.ljust(_LABEL_WIDTH))}{spell_out(issuer_text(policy.issuer))}{place}"]


def change(
    old: ProjectPolicy | None,
    policy: ProjectPolicy,
    record: TrustRecord,
    commands: Sequence[CommandRecord],
    *,
    width: int,
    ink: Ink,
) -> list[str]:
    """What loosens and what tightens against the accepted `record`, and each command that differs, in full."""
    rows: list[tuple[str, ...]] = [
        _row(kind, spell_out(text), f":{line}" if line else "") for kind, text, line in announce_changes(old, policy)
    ]
    clients = {name for name, server in policy.servers.items() if server.command is None}
    rows += [("loosens", text, "") for text in command_changes(record.commands, commands, clients)]
    if not rows:
        rows = [("same", "only comments and layout differ", "")]
    lines = [_paint_kind(line, ink) for line in columns(rows)]
    accepted = {command.server: command for command in record.commands}
    for command in commands:
        server = policy.servers.get(command.server)
        if server is not None and accepted.get(command.server) != command:
            lines += ["", *server_block(policy, server, command, width=width, ink=ink)]
    return lines + _warnings(policy, commands, width=width, ink=ink)


def _row(kind: str, text: str, place: str) -> tuple[str, ...]:
    # a whole rule would push the lines' numbers of all others out of sight
    return (kind, text, place) if len(text) <= _ALIGNED else (kind, f"{text}  {place}")


def server_block(policy: ProjectPolicy, server: ServerPolicy, command: CommandRecord | None, *, width: int, ink: Ink) -> list[str]:
    """One server in full."""
    argv = command.argv if command else server.command
    rows: list[tuple[str, str]] = []
    if argv is None:
        rows.append(("runs", "nothing yet: its command stays in the client's configuration,"))
        rows.append(("", f"and is trusted with `mcpwrap trust {server.name} -- COMMAND …`"))
    else:
        rows.append(("runs", command_text(argv)))
        if server.command is None:
            rows.append(("", "(a command of the client's configuration, not of the file)"))
        if command is not None:
            rows.append(("as", spell_out(command.executable) if command.executable else "not found on this machine"))
            rows += [("checks", f"{spell_out(name)}  {digest[:16]}…") for name, digest in sorted(command.digests.items())]
    rows.append(("in", spell_out(server.cwd) if server.cwd else "a private empty folder"))
    rows += [("sets", f"{spell_out(name)}={spell_out(value)}") for name, value in server.env.items()]
    if server.inherit_env:
        rows.append(("hands over", f"{', '.join(map(spell_out, server.inherit_env))}  (as your client has it)"))
    for label, wanted in zip(("receives", *[""] * len(server.credentials)), server.credentials, strict=False):
        line = server.credential_lines[wanted.name]
        rows.append((label, spell_out(f"{wanted.name}  {source_text(wanted.source)}, {way_text(wanted)}  :{line}")))
    if server.budget is not None:
        rows.append(("at most", spell_out(budget_text(server.budget))))
    lines = [ink("bold", spell_out(server.name)) + f"  {policy.file}:{server.line}"]
    lines += [f"  {ink('dim', label.ljust(_LABEL_WIDTH))}{text}" for label, text in rows]
    rules = rules_for(policy, server.name, (), argv or ())
    return lines + list(_tables(rules, width=width, ink=ink))


def command_changes(old: Sequence[CommandRecord], new: Sequence[CommandRecord], clients: Container[str]) -> list[str]:
    """What differs in what runs though the file needn't say so: executables, files of the project, clients' commands.

    `clients` are the servers whose command stays in the client's configuration.
    """
    accepted = {command.server: command for command in old}
    lines: list[str] = []
    for command in new:
        before, name = accepted.get(command.server), spell_out(command.server)
        if before is None:
            if command.server in clients:
                lines.append(f"{name} › command    none → one of your client's configuration")
            continue
        if before.argv != command.argv and command.server in clients:
            lines.append(f"{name} › command    {command_text(before.argv)} → {command_text(command.argv)}")
        if before.executable != command.executable:
            lines.append(f"{name} › runs as    {_found(before.executable)} → {_found(command.executable)}")
        for element in sorted({*before.digests, *command.digests}):
            if before.digests.get(element) != command.digests.get(element):
                lines.append(f"{name} › content of {spell_out(element)} changed")
    return lines


def text_diff(old: str, new: str, *, file: str, since: str, ink: Ink) -> list[str]:
    """The unified diff of both texts, every line spelled out."""
    lines = []
    for line in difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"{file} (accepted {day(since)})", f"{file} (now)", lineterm=""
    ):
        text = spell_out(line)
        lines.append(ink("green", text) if line.startswith("+") else ink("red", text) if line.startswith("-") else text)
    return lines or ["  no line differs"]


def _tables(rules: ServerRules, *, width: int, ink: Ink) -> Iterator[str]:
    for label, table, without in (
        ("tools", rules.tools, "none: every tool stays hidden"),
        ("resources", rules.resources, ""),
        ("prompts", rules.prompts, ""),
        ("may ask for", rules.server_requests, ""),
        ("methods", rules.extra_methods, ""),
    ):
        rows = list(_rule_rows(table))
        if not rows and without:
            yield f"  {ink('dim', label.ljust(_LABEL_WIDTH))}{without}"
        for effect, patterns in rows:
            head = f"  {ink('dim', label.ljust(_LABEL_WIDTH))}{_paint_effect(effect, ink)}"
            first, *more = wrapped(patterns, width=width - _LABEL_WIDTH - 9, indent=0)
            yield f"{head} {first}"
            yield from (" " * (_LABEL_WIDTH + 9) + line for line in more)
            label = ""


def _rule_rows(table: RuleTable) -> Iterator[tuple[str, str]]:
    for rule in sorted(table.rules, key=lambda rule: rule.effect):
        if rule.patterns:
            yield rule.effect.label, f"{_patterns(rule)}{_reason(rule)}{spell_out(terms(rule))}  :{rule.patterns[0].line}"


def _reason(rule: Rule) -> str:
    """The file's own words, which the model reads; before what may end in an expression, which may say anything."""
    return spell_out(f" (reason {json.dumps(rule.why, ensure_ascii=False)})") if rule.why else ""


def _patterns(rule: Rule) -> str:
    text = ", ".join(_quoted(p.text) for p in rule.patterns)
    return f"{text} but not {', '.join(_quoted(p.text.removeprefix('!')) for p in rule.excluded)}" if rule.excluded else text


def _quoted(pattern: str) -> str:
    """A pattern as one word; one that could be taken for several, or for words of ours, stands in quotation marks."""
    shown = spell_out(pattern)
    return shown if re.fullmatch(r"[^\s,\"']+", shown) else json.dumps(shown, ensure_ascii=False)


def _warnings(policy: ProjectPolicy, commands: Sequence[CommandRecord], *, width: int, ink: Ink) -> list[str]:
    texts = [spell_out(text) for text in warnings_for(policy)]
    texts += [f"{spell_out(c.server)}: `{spell_out(c.argv[0])}` was not found" for c in commands if not c.executable and c.argv]
    lines: list[str] = []
    for text in texts:
        first, *more = wrapped(text, width=width - 11, indent=0)
        lines += [f"{ink('yellow', 'warning:')} {first}", *(" " * 9 + line for line in more)]
    return ["", *lines] if lines else []


def summary(policy: ProjectPolicy) -> str:
    """How much there is to accept."""
    return count(len(policy.servers), "server")


def _record_of(commands: Sequence[CommandRecord], server: str) -> CommandRecord | None:
    return next((command for command in commands if command.server == server), None)


def _found(executable: str) -> str:
    return spell_out(executable) if executable else "not found"


def _paint_effect(effect: str, ink: Ink) -> str:
    match _EFFECTS.get(effect):
        case "green":
            return ink("green", effect.ljust(6))
        case "yellow":
            return ink("yellow", effect.ljust(6))
        case _:
            return ink("red", effect.ljust(6))


def _paint_kind(line: str, ink: Ink) -> str:
    kind = line.split(maxsplit=1)[0]
    return line.replace(kind, ink("red" if kind == "loosens" else "green", kind), 1) if kind != "same" else line
