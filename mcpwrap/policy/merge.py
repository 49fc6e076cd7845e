"""All files → the rules for one server (POLICY.md §1 and §3): the defining file's own, and what the others tighten."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mcpwrap.core.rules import Pattern, PatternError, Rule, RuleTable, ServerRules
from mcpwrap.errors import ConfigError
from mcpwrap.policy.check import shown
from mcpwrap.policy.lists import KINDS, pattern_error
from mcpwrap.policy.toml import nearest

if TYPE_CHECKING:
    from mcpwrap.policy.load import ProjectPolicy, Tightening, TighteningPolicy


def rules_for(policy: ProjectPolicy, server: str, tightening: Sequence[TighteningPolicy], command: Sequence[str]) -> ServerRules:
    """The rules for `server`, which is started with `command` (empty where that isn't known).

    A table of a file that tightens counts where its name, a pattern, matches the server's; with ``match`` its name is only a label,
    and it counts where its pattern matches the command.

    Raises:
        ConfigError: the file defines no such server, or a pattern can't be used with this project's path.
    """
    own = policy.servers.get(server)
    if own is None:
        near = nearest(server, policy.servers)
        known = ", ".join(shown(name) for name in policy.servers) or "none"
        raise ConfigError(
            f"{shown(server)} is no server of {policy.file}",
            file=policy.file,
            hint=f"did you mean `{near}`?" if near else f"servers there: {known}; or add [servers.{server}]",
        )
    tables: dict[str, RuleTable] = {}
    matching = [(file, table) for file in tightening for table in file.servers if _counts(table, server, command)]
    for kind, word in KINDS.items():
        table = own.tables[kind]
        rules = table.rules + tuple(rule for file, each in matching for rule in _tightened(file, each, kind, policy.root))
        tables[kind] = RuleTable(word, rules, table.file, table.line)
    return ServerRules(
        server,
        tables["tools"],
        tables["resources"],
        tables["prompts"],
        tables["server_requests"],
        tables["extra_methods"],
        own.budget,
        own.line,
    )


def _tightened(file: TighteningPolicy, table: Tightening, kind: str, root: str) -> tuple[Rule, ...]:
    try:
        return table.lists.rules(kind, {"project": root})
    except PatternError as error:
        raise pattern_error(file.file, table.line, error) from error


def _counts(table: Tightening, server: str, command: Sequence[str]) -> bool:
    if table.command is None:
        return Pattern.parse(table.name, line=table.line).matches(server)
    if not command:
        return True  # not known: the stricter way
    pattern = Pattern.parse(table.command, line=table.line)
    return any(pattern.matches(text) for text in _spellings(command))


def _spellings(command: Sequence[str]) -> set[str]:
    # a path to the program, or Windows' suffix, must not slip past `npx*`
    program = re.split(r"[/\\]", command[0])[-1]
    plain = re.sub(r"\.(exe|cmd|bat|com)$", "", program, flags=re.IGNORECASE)
    return {" ".join((name, *command[1:])) for name in (command[0], program, plain)}
