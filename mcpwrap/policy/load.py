"""The bytes of a file → a policy (POLICY.md §1 and §2). Merging files is `mcpwrap.policy.merge`; `rules_for` is here by name too.

Nothing here reads a file, starts anything or looks at the environment: what a file says is known without obeying it.
"""
# only texts of paths are looked at

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from mcpwrap.core.credentials import Network, Profile, Wanted
from mcpwrap.core.rules import Budget, Outcome, RuleTable
from mcpwrap.policy.check import check, header, shown
from mcpwrap.policy.conditional import budget
from mcpwrap.policy.credentials import read_credentials, read_login, read_network, read_profiles, read_vault
from mcpwrap.policy.lists import KINDS, PatternLists, bound_patterns, read_lists
from mcpwrap.policy.merge import rules_for
from mcpwrap.policy.places import Path
from mcpwrap.policy.schema import json_schema
from mcpwrap.policy.shape import EFFECTS, PROJECT, SITE, USER
from mcpwrap.policy.shape_kinds import Table
from mcpwrap.policy.substitution import expand
from mcpwrap.policy.toml import Document, parse

__all__ = [
    "PolicyTest",
    "ProjectPolicy",
    "ServerPolicy",
    "Tightening",
    "TighteningPolicy",
    "json_schema",
    "load_project",
    "load_site",
    "load_user",
    "rules_for",
]


class PolicyTest(msgspec.Struct, frozen=True):
    """One expectation of a project's file: what is asked for, by whom, and the outcome that it should have. `line` is its own."""

    line: int
    call: str
    method: str
    args: Mapping[str, Any]
    subject: Mapping[str, Any]
    client: Mapping[str, Any]
    expect: Outcome
    name: str


class ServerPolicy(msgspec.Struct, frozen=True):
    """A server as its file defines it; ``${project}`` and ``${home}`` are put in.

    `command` is None where the command stays in the client's configuration; `cwd` None means a private empty folder. `line` is
    that of its table, `credential_lines` those of its credentials, by name. `tables` has the file's own rules by the names of
    `mcpwrap.policy.lists.KINDS`.
    """

    name: str
    command: tuple[str, ...] | None
    cwd: str | None
    env: Mapping[str, str]
    inherit_env: tuple[str, ...]
    line: int
    tables: Mapping[str, RuleTable]
    budget: Budget | None = None
    tests: tuple[PolicyTest, ...] = ()
    credentials: tuple[Wanted, ...] = ()
    credential_lines: Mapping[str, int] = {}


class ProjectPolicy(msgspec.Struct, frozen=True):
    """What a project's file says. `file` is its name as people know it, `root` the project's canonical folder.

    `issuer` is who vouches for the person, to the letter ("" for the local profile); `issuer_line` is where the file says so (0:
    nowhere).
    """

    file: str
    name: str
    root: str
    servers: Mapping[str, ServerPolicy]
    issuer: str = ""
    issuer_line: int = 0


class Tightening(msgspec.Struct, frozen=True):
    """One table of a file that tightens: the servers it is for, by name or (where `command` is given) by command, and its lists."""

    name: str
    command: str | None
    line: int
    lists: PatternLists


class TighteningPolicy(msgspec.Struct, frozen=True):
    """What the user's or the administrator's file says.

    Everything but `servers` comes from the user's file only: `own_servers` are those that belong to no project (None where there
    are none), `vault` is where the key lies ("keyring", "file:/absolute/path", "passphrase"), `profiles` are logins by name, in the
    file's order: of several for one issuer the first that is signed in counts.
    """

    file: str
    scripted: bool
    servers: tuple[Tightening, ...]
    own_servers: ProjectPolicy | None
    vault: str = "keyring"
    profiles: Mapping[str, Profile] = {}
    network: Network = Network()


def load_project(data: bytes, *, file: str, root: str, home: str) -> ProjectPolicy:
    """A project's file.

    Raises:
        ConfigError: with file, line, column, excerpt and, for an unknown key, the nearest known one.
    """
    document = _document(data, file, PROJECT)
    name = document.tree.get("project", {}).get("name") or os.path.basename(root) or root
    servers = {server: _server(document, server, {"project": root, "home": home}) for server in document.tree.get("servers", {})}
    return ProjectPolicy(file, name, root, servers, *read_login(document))


def load_user(data: bytes, *, file: str, home: str, root: str | None = None) -> TighteningPolicy:
    """The user's file. Its own servers belong to the "project" `root`, by default the folder of `file`.

    Raises:
        ConfigError: as `load_project`.
    """
    document = _document(data, file, USER)
    tables: dict[str, Any] = document.tree.get("servers", {})
    own = [name for name, table in tables.items() if "command" in table]
    for name in own:
        if "*" in name:
            raise document.error(
                ("servers", name),
                f"{shown(name)} is a pattern, and `command` defines one server",
                "give the server a name, or take `command` out",
            )
    own_servers = None
    variables = {"home": home}
    login = read_login(document)
    if own:
        own_root = root or os.path.dirname(file)
        own_servers = ProjectPolicy(file, "user", own_root, {name: _server(document, name, variables) for name in own}, *login)
    return TighteningPolicy(
        file,
        document.tree.get("trust", {}).get("scripted", False),
        _tightening(document, [name for name in tables if name not in own], home),
        own_servers,
        read_vault(document),
        read_profiles(document, variables),
        read_network(document, variables),
    )


def load_site(data: bytes, *, file: str, home: str) -> TighteningPolicy:
    """The administrator's file.

    Raises:
        ConfigError: as `load_project`; then everything is denied.
    """
    document = _document(data, file, SITE)
    return TighteningPolicy(file, False, _tightening(document, list(document.tree.get("servers", {})), home), None)


def _document(data: bytes, file: str, shape: Table) -> Document:
    document = parse(data, file=file)
    check(document, shape)
    bound_patterns(document)
    return document


def _server(document: Document, name: str, variables: Mapping[str, str]) -> ServerPolicy:
    path: Path = ("servers", name)
    table: Mapping[str, Any] = document.tree["servers"][name]
    lists = read_lists(document, path, table, admits=True, variables=variables)
    line = document.places.line(path)
    return ServerPolicy(
        name,
        _command(document, (*path, "command"), table["command"], variables) if "command" in table else None,
        _cwd(document, (*path, "cwd"), table["cwd"], variables) if "cwd" in table else None,
        {k: expand(document, (*path, "env", k), v, variables) for k, v in table.get("env", {}).items()},
        tuple(dict.fromkeys(table.get("inherit_env", []))),
        line,
        {
            kind: RuleTable(word, lists.rules(kind, variables), document.file, _table_line(document, path, kind))
            for kind, word in KINDS.items()
        },
        budget(document, path, table),
        tuple(_test(document, (*path, "tests", i), each) for i, each in enumerate(table.get("tests", ()))),
        read_credentials(document, path, table),
        {key: document.places.line((*path, "credentials", key)) for key in table.get("credentials", {})},
    )


def _test(document: Document, path: Path, table: Mapping[str, Any]) -> PolicyTest:
    line = document.places.line(path)
    for key in ("call", "expect"):
        if key not in table:
            raise document.error(path, f"a test needs `{key}`", 'write `call = "tool"` and `expect = "deny"`')
    return PolicyTest(
        line,
        table["call"],
        table.get("method", "tools/call"),
        table.get("args", {}),
        table.get("subject", {}),
        table.get("client", {}),
        Outcome(EFFECTS.index(table["expect"])),
        table.get("name", ""),
    )


def _table_line(document: Document, path: Path, kind: str) -> int:
    return document.places.line(path if kind == "tools" else (*path, kind))


def _command(document: Document, path: Path, elements: list[str], variables: Mapping[str, str]) -> tuple[str, ...]:
    command = tuple(expand(document, (*path, i), element, variables) for i, element in enumerate(elements))
    program = command[0]
    if not program:
        raise document.error((*path, 0), "the program's name can't be empty")
    if os.path.basename(program) != program and not os.path.isabs(program):
        raise document.error(
            (*path, 0),
            f"{shown(program)} is relative to nothing: the server's working folder is no part of the search",
            f'write "${{project}}/{program.removeprefix("./")}"' if "project" in variables else "write an absolute path",
        )
    return command


def _cwd(document: Document, path: Path, text: str, variables: Mapping[str, str]) -> str:
    cwd = expand(document, path, text, variables)
    if not os.path.isabs(cwd):
        below = "" if cwd in (".", "./") else f"/{cwd.removeprefix('./')}"
        hint = f'write "${{project}}{below}"' if "project" in variables else ""
        raise document.error(path, f"`cwd` must be absolute, and {shown(cwd)} isn't", hint)
    return os.path.normpath(cwd)


def _tightening(document: Document, names: list[str], home: str) -> tuple[Tightening, ...]:
    found: list[Tightening] = []
    for name in names:
        path: Path = ("servers", name)
        table: Mapping[str, Any] = document.tree["servers"][name]
        command: str | None = None
        if "match" in table:
            command = table["match"].get("command")
            if command is None:
                raise document.error(
                    (*path, "match"), f"`match` in {header(path)} names no `command`", 'write `match = { command = "npx*" }`'
                )
        # the project isn't known before the merge; any value does for the check
        lists = read_lists(document, path, table, admits=False, variables={"project": "/", "home": home})
        found.append(Tightening(name, command, document.places.line(path), lists.having(home=home)))
    return tuple(found)
