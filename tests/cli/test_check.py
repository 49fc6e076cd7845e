"""`mcpwrap check` and `mcpwrap schema`."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import pytest

from mcpwrap.core.jsonrpc import Json
from mcpwrap.core.pins import Kind
from mcpwrap.policy.lock import Entry as LockEntry
from mcpwrap.policy.lock import Lock, render
from mcpwrap.policy.trust import digest
from tests.cli.conftest import FILE, plain
from tests.project import Project
from tests.vaults import key_file_of


def test_a_file_without_fault_says_so_with_its_digest_and_trust(project: Project) -> None:
    project.write(FILE)
    assert plain(project.mcpwrap("check").stdout, project) == (
        "mcpwrap.toml: no fault, 1 server; not trusted yet; `mcpwrap trust` shows what it would let run\ndigest  DIGEST\n"
    )
    project.trust()
    assert "no fault, 1 server; trusted\n" in project.mcpwrap("check").stdout


def test_programs_get_all_of_it(project: Project) -> None:
    project.write(FILE)
    facts = json.loads(project.mcpwrap("check", "--json").stdout)
    assert facts == {
        "digest": digest(FILE.encode(), None),
        "file": str(project.root / "mcpwrap.toml"),
        "project": str(project.root),
        "trust": "untrusted",
        "vault": None,
        "issuer": "",
        "errors": [],
        "warnings": [],
        "servers": [
            {
                "name": "files",
                "command": ["/bin/sh", "-c", "exit 0", str(project.root)],
                "cwd": None,
                "env": {"LOG_LEVEL": "info"},
                "inherit_env": ["HTTPS_PROXY"],
                "credentials": [],
                "line": 3,
            }
        ],
    }
    project.trust()
    assert json.loads(project.mcpwrap("check", "--json").stdout)["trust"] == "trusted"
    project.write(FILE + "\n")
    assert json.loads(project.mcpwrap("check", "--json").stdout)["trust"] == "changed"


TYPO = FILE.replace('allow = ["read_*"', 'alow = ["read_*"')


def test_a_typo_is_shown_with_its_place_and_the_nearest_key(project: Project) -> None:
    project.write(TYPO)
    ended = project.mcpwrap("check", check=False)
    assert ended.returncode == 2
    assert ended.stdout == (
        "error: unknown key `alow` in [servers.files]\n"
        '  mcpwrap.toml:7:1   alow = ["read_*", "list_*", "!read_media_file"]\n'
        "hint: did you mean `allow`?\n"
    )


def test_a_typo_in_a_file_that_was_accepted_before_says_what_judges_meanwhile(project: Project) -> None:
    project.write(FILE)
    project.trust()
    project.write(TYPO)
    ended = project.mcpwrap("check", check=False)
    assert "hint: did you mean `allow`? Until it is fixed, the accepted version goes on judging.\n" in ended.stdout


def test_a_fault_for_programs_has_its_place(project: Project) -> None:
    project.write(TYPO)
    ended = project.mcpwrap("check", "--json", check=False)
    assert ended.returncode == 2
    [error] = json.loads(ended.stdout)["errors"]
    assert (error["file"], error["line"], error["column"]) == ("mcpwrap.toml", 7, 1)


def test_a_fault_of_the_persons_own_file_is_found_too(project: Project, user_config: Path) -> None:
    project.write(FILE)
    user_config.write_text('[servers."*"]\nallow = ["*"]\n')
    ended = project.mcpwrap("check", check=False)
    assert ended.returncode == 2
    assert f"{user_config}:2" in ended.stdout


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        ('"/bin/sh", "-c", "exit 0"', '"npx", "-y", "some-server"', "without an exact version"),
        ('"/bin/sh"', '"no-such-program-here"', "`no-such-program-here` was not found"),
        ('deny = ["move_file"]', 'deny = ["read_file"]\n', ""),
        (
            '"read_*"',
            '"move_file", "read_*"',
            "files: `move_file` stands in `allow` (mcpwrap.toml:7) and in `deny` (mcpwrap.toml:10); `deny` wins",
        ),
    ],
)
def test_what_works_but_may_not_be_meant_gets_a_warning(project: Project, old: str, new: str, warning: str) -> None:
    project.write(FILE.replace(old, new))
    ended = project.mcpwrap("check")
    assert (warning in ended.stdout) if warning else ("warning" not in ended.stdout)


def test_a_lock_file_is_a_fault_while_pins_are_not_there(project: Project) -> None:
    project.write(FILE)
    (project.root / "mcpwrap.lock").write_text("x")
    ended = project.mcpwrap("check", check=False)
    assert ended.returncode == 2
    assert "mcpwrap.lock" in ended.stdout


def test_without_a_project_the_way_on_is_said(project: Project) -> None:
    ended = project.mcpwrap("check", check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: no `mcpwrap.toml` here or above\nhint: ")


def test_a_fault_cannot_draw_on_the_terminal(project: Project) -> None:
    project.write('version = 1\n"\u202e\\u001B[2J" = 1\n')
    ended = project.mcpwrap("check", check=False)
    assert ended.returncode == 2
    assert not set(ended.stdout) & {"\x1b", "\u202e"}


@pytest.mark.parametrize("which", ["project", "user", "site"])
def test_each_files_schema_can_be_printed(project: Project, which: str) -> None:
    assert "$schema" in json.loads(project.mcpwrap("schema", which).stdout)
    assert project.mcpwrap("schema").stdout == project.mcpwrap("schema", "project").stdout


def test_what_may_not_be_meant_is_found_by_what_the_lock_says_the_server_has(project: Project) -> None:
    project.write(
        FILE
        + """
[[servers.files.rules]]
deny = ["read_file"]
args.pth = { glob = "**/.env" }
"""
    )
    tool = {"name": "read_file", "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}}}
    wipe = {"name": "list_wiped", "inputSchema": {"type": "object"}, "annotations": {"destructiveHint": True}}
    items: dict[Kind, dict[str, Json]] = {"tool": {"read_file": tool, "list_wiped": wipe}}
    (project.root / "mcpwrap.lock").write_bytes(render(Lock({"files": LockEntry(items=items)})))
    ended = project.mcpwrap("check")
    assert [line.partition("warning: ")[2] for line in ended.stdout.splitlines() if line.startswith("warning")] == [
        "files: `!read_media_file` in `allow` matches no tool that the server has; did you mean `read_file`? (mcpwrap.toml:7)",
        "files: `list_wiped` is allowed without `log` or `ask`, and the server calls it destructive (mcpwrap.toml:7)",
        "files: `create_directory` in `log` matches no tool that the server has (mcpwrap.toml:8)",
        "files: `edit_*` in `ask` matches no tool that the server has (mcpwrap.toml:9)",
        "files: `move_file` in `deny` matches no tool that the server has; did you mean `read_file`? (mcpwrap.toml:10)",
        "files: no tool that this rule matches has an argument `pth`; did you mean `path`? (mcpwrap.toml:18)",
    ]


def test_what_a_server_receives_is_there_for_programs(project: Project) -> None:
    project.write(
        '[login]\nissuer = "https://login.example.com"\n[servers.f]\nallow = ["x"]\n[servers.f.credentials]\n'
        'A = { login = { resource = "https://api.example.com", scope = ["r"] } }\nB = { secret = "b", via = "file" }\n'
        'C = { minted = {}, via = "helper" }\n'
    )
    facts = json.loads(project.mcpwrap("check", "--json").stdout)
    assert facts["issuer"] == "https://login.example.com"
    assert facts["servers"][0]["credentials"] == [
        {"name": "A", "source": {"type": "login", "resource": "https://api.example.com", "scope": ["r"]}, "via": "env"},
        {"name": "B", "source": {"type": "secret", "name": "b"}, "via": "file"},
        {"name": "C", "source": {"type": "minted", "scope": [], "ttl_s": 120}, "via": "helper"},
    ]


def test_what_no_profile_of_the_persons_own_file_lends_is_warned_of(project: Project, user_config: Path) -> None:
    project.write(
        '[login]\nissuer = "https://login.example.com"\n[servers.f]\nallow = ["x"]\n[servers.f.credentials]\n'
        'A = { login = { resource = "https://api.example.com" } }\n'
    )
    user_config.write_text('[profiles.work]\nissuer = "https://login.example.com"\nresources = []\n')
    assert (
        "warning: f: `A` will be refused: [profiles.work] in your config.toml doesn't lend https://api.example.com; "
        "add it to its `resources` (mcpwrap.toml:6)\n" in project.mcpwrap("check").stdout
    )


def test_where_the_vault_doesnt_open_it_says_that_trust_cant_be_told_and_still_looks_for_faults(project: Project) -> None:
    project.write(FILE)
    project.trust()
    key = key_file_of(os.environ)
    key.chmod(0o644)
    ended = project.mcpwrap("check", check=False)
    assert ended.returncode == 1
    assert plain(ended.stdout, project) == (
        f"error: the key file `{key}` is open to others\nhint: run `chmod 600 {key}`\n"
        "mcpwrap.toml: no fault, 1 server; whether it is trusted can't be told\ndigest  DIGEST\n"
    )
    facts = json.loads(project.mcpwrap("check", "--json", check=False).stdout)
    assert facts["trust"] == "unknown"
    assert facts["vault"] == {"message": f"the key file `{key}` is open to others", "hint": f"run `chmod 600 {key}`"}
    project.write(TYPO)
    ended = project.mcpwrap("check", check=False)
    assert ended.returncode == 2
    assert "open to others" in ended.stdout
    assert "unknown key `alow`" in ended.stdout


def test_a_key_that_was_pasted_in_place_of_its_name_is_warned_of(project: Project) -> None:
    key = f"ghp_{secrets.token_hex(18)}"
    project.write(f'[servers.a]\nallow = ["x"]\ncredentials.T = {{ secret = "{key}" }}\n')
    told = project.mcpwrap("check").stdout
    assert "warning: a: `secret` of `T` is a name, and this looks like the key itself: take it out, revoke it, and `mcpwrap" in told
    assert key not in told
