"""`mcpwrap secret`: typed where nobody sees it, bound to project and server, lent by name (IDENTITY.md §2)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import At
from tests.project import USER_FILE, Project
from tests.vaults import no_vault

FILE = 'version = 1\n[servers.git]\ncommand = ["/bin/true"]\nallow = ["*"]\n[servers.gut]\ncommand = ["/bin/true"]\nallow = ["*"]\n'
SECRET = "hunter2-0451"


@pytest.fixture
def project(project: Project, user_config: Path) -> Project:
    """A project whose person has no vault yet and lets scripts in."""
    no_vault(project.env)
    user_config.write_text(USER_FILE)
    return project


@pytest.fixture
def key(home: Path) -> Path:
    (home / "keys").mkdir(mode=0o700)
    return home / "keys" / "mcpwrap.key"


@pytest.fixture
def shop(project: Project, key: Path) -> Project:
    """A project that scripts may serve, and a vault."""
    project.write(FILE)
    project.mcpwrap("vault", "init", "--key-file", str(key))
    return project


@pytest.fixture
def mine(shop: Project, user_config: Path, key: Path) -> Project:
    """The same, without leave for scripts."""
    user_config.write_text(f'[vault]\nkey = "file:{key}"\n')
    return shop


def put(project: Project, server: str, name: str, value: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [project.command, "secret", "set", server, name],
        cwd=project.root,
        env=project.env,
        input=value,
        text=True,
        capture_output=True,
        check=False,
    )


def listed(project: Project, *args: str) -> list[dict[str, Any]]:
    return list(json.loads(project.mcpwrap("secret", "list", "--json", *args).stdout))


def kept(home: Path, key: Path, root: Path, server: str, name: str) -> str | None:
    from mcpwrap.identity.keys import open_vault
    from mcpwrap.identity.secrets import SecretStore
    from mcpwrap.identity.vault import Places
    from mcpwrap.policy.folders import folders

    found = folders({"HOME": str(home)})
    secret = SecretStore(open_vault(Places(found.state, found.data), f"file:{key}", {})).get(str(root), server, name)
    return None if secret is None else secret.reveal()


def test_a_person_types_a_secret_that_nobody_sees(mine: Project, at_terminal: At, home: Path, key: Path) -> None:
    with at_terminal("secret", "set", "git", "TOKEN") as person:
        person.reads(f"TOKEN for git in {mine.root}: ")
        person.types(f" {SECRET} ")
        person.reads(f"TOKEN is kept for git in {mine.root}")
        assert person.ends() == 0
        assert SECRET not in person.seen
    assert kept(home, key, mine.root, "git", "TOKEN") == f" {SECRET} "
    log = mine.mcpwrap("log", "--json").stdout
    assert "mcpwrap/secret-set" in log
    assert SECRET not in log


def test_what_was_typed_ahead_is_no_secret(mine: Project, at_terminal: At) -> None:
    with at_terminal("secret", "set", "git", "TOKEN") as person:
        person.reads("TOKEN for git")
        person.types("")
        person.reads("nothing was entered")
        assert person.ends() == 2
    assert listed(mine) == []


def test_the_terminal_shows_what_is_typed_again_afterwards(mine: Project, at_terminal: At) -> None:
    with at_terminal("secret", "set", "git", "TOKEN") as person:
        person.reads("TOKEN for git")
        person.types(SECRET)
        assert person.ends() == 0
        assert person.echoes


def test_a_line_that_a_terminal_cuts_is_refused(mine: Project, at_terminal: At) -> None:
    with at_terminal("secret", "set", "git", "TOKEN") as person:
        person.reads("TOKEN for git")
        person.types("x" * 4200)
        person.reads("a terminal takes no longer line than 4,095 characters")
        assert person.ends() == 3
    assert listed(mine) == []


def test_a_script_gives_it_on_standard_input(shop: Project, home: Path, key: Path) -> None:
    for value, wanted in ((SECRET + "\n", SECRET), ("line\nline\n\n", "line\nline\n"), ("a\r\n", "a"), ("x" * 65536, "x" * 65536)):
        ended = put(shop, "git", "TOKEN", value)
        assert ended.returncode == 0, ended.stderr
        assert kept(home, key, shop.root, "git", "TOKEN") == wanted
        assert SECRET not in ended.stdout
    for value, fact in (("", "nothing was entered"), ("x" * 65540, "more than 64 KiB"), ("a\0b", "a NUL in it")):
        ended = put(shop, "git", "TOKEN", value)
        assert ended.returncode == 2
        assert fact in ended.stderr
    assert kept(home, key, shop.root, "git", "TOKEN") == "x" * 65536


def test_a_secret_is_never_an_argument(shop: Project) -> None:
    ended = shop.mcpwrap("secret", "set", "git", "TOKEN", SECRET, check=False)
    assert ended.returncode == 2
    assert listed(shop) == []


def test_a_server_that_is_not_there_and_an_odd_name_are_refused(shop: Project) -> None:
    ended = put(shop, "hub", "TOKEN", SECRET)
    assert ended.returncode == 2
    assert ended.stderr == "error: mcpwrap.toml has no server `hub`\nhint: add `[servers.hub]` to it first\n"
    assert "can't be a secret's name" in put(shop, "git", "TO KEN", SECRET).stderr


def test_without_leave_and_without_a_terminal_nothing_is_set(mine: Project, at_terminal: At) -> None:
    ended = put(mine, "git", "TOKEN", SECRET)
    assert ended.returncode == 3
    for words in (["set", "git", "TOKEN"], ["grant", "git", "TOKEN", "--to-server", "gut"]):
        with at_terminal("secret", *words, CLAUDECODE="1") as person:
            person.reads("wants a person")
            assert person.ends() == 3
    assert listed(mine) == []


def test_it_is_listed_by_name(shop: Project, make_project: Callable[[], Project]) -> None:
    assert shop.mcpwrap("secret", "list").stdout == "no secret is kept; one is set with `mcpwrap secret set SERVER NAME`\n"
    put(shop, "git", "TOKEN", SECRET)
    other = make_project()
    other.write(FILE)
    put(other, "gut", "KEY", SECRET)
    assert [(each["project"], each["server"], each["name"]) for each in listed(shop)] == sorted(
        [(str(shop.root), "git", "TOKEN"), (str(other.root), "gut", "KEY")]
    )
    assert [each["name"] for each in listed(shop, "--project", str(other.root))] == ["KEY"]
    text = shop.mcpwrap("secret", "list").stdout
    assert "PROJECT" in text and "TOKEN" in text and SECRET not in text


def test_it_is_lent_and_taken_back(shop: Project, make_project: Callable[[], Project], home: Path, key: Path) -> None:
    put(shop, "git", "TOKEN", SECRET)
    other = make_project()
    other.write(FILE)
    to = ["--to-project", str(other.root), "--to-server", "gut"]
    ended = shop.mcpwrap("secret", "grant", "git", "TOKEN", *to)
    assert ended.stdout == f"lent: TOKEN of git in {shop.root} to gut in {other.root}\n"
    assert kept(home, key, other.root, "gut", "TOKEN") == SECRET
    assert listed(shop)[0]["lent"] == [{"project": str(other.root), "server": "gut"}]
    assert f"gut in {other.root}" in shop.mcpwrap("secret", "list").stdout
    # the borrower's file may be gone by then
    (other.root / "mcpwrap.toml").unlink()
    assert shop.mcpwrap("secret", "grant", "git", "TOKEN", *to, "--revoke").stdout.startswith("taken back: ")
    assert kept(home, key, other.root, "gut", "TOKEN") is None
    assert shop.mcpwrap("secret", "grant", "git", "TOKEN", *to, "--revoke").stdout.startswith("this wasn't lent: ")
    methods = [json.loads(line)["method"] for line in shop.mcpwrap("log", "--json").stdout.splitlines()]
    assert methods == ["mcpwrap/vault-init", "mcpwrap/secret-set", "mcpwrap/secret-grant", "mcpwrap/secret-revoke"]


def test_lending_names_a_borrower_that_is_there(shop: Project) -> None:
    put(shop, "git", "TOKEN", SECRET)
    assert "lend it to whom?" in shop.mcpwrap("secret", "grant", "git", "TOKEN", check=False).stderr
    assert "has no server `hub`" in shop.mcpwrap("secret", "grant", "git", "TOKEN", "--to-server", "hub", check=False).stderr
    assert "no secret `KEY`" in shop.mcpwrap("secret", "grant", "git", "KEY", "--to-server", "gut", check=False).stderr
    assert listed(shop)[0]["lent"] == []


def test_a_person_is_asked_before_it_is_lent(mine: Project, at_terminal: At, home: Path, key: Path) -> None:
    with at_terminal("secret", "set", "git", "TOKEN") as person:
        person.reads("TOKEN for git")
        person.types(SECRET)
        assert person.ends() == 0
    for answer, code in (("n", 3), ("y", 0)):
        assert kept(home, key, mine.root, "gut", "TOKEN") is None
        with at_terminal("secret", "grant", "git", "TOKEN", "--to-server", "gut") as person:
            person.reads(f"Lend TOKEN of git in {mine.root} to gut in {mine.root}? [y/N] ")
            person.types(answer)
            assert person.ends() == code
    assert kept(home, key, mine.root, "gut", "TOKEN") == SECRET


def test_taking_away_always_works(mine: Project, at_terminal: At, home: Path, key: Path) -> None:
    with at_terminal("secret", "set", "git", "TOKEN") as person:
        person.reads("TOKEN for git")
        person.types(SECRET)
        assert person.ends() == 0
    # no terminal, an agent's shell, a broken project file, a full audit
    mine.write("broken")
    (home / ".local/state/mcpwrap/audit").rename(home / "audit")
    (home / ".local/state/mcpwrap/audit").write_text("in the way")
    ended = subprocess.run(
        [mine.command, "secret", "rm", "git", "TOKEN"],
        cwd=mine.root,
        env={**mine.env, "CLAUDECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"TOKEN of git in {mine.root} is gone\n"
    assert ended.stderr.startswith("error: ")
    assert kept(home, key, mine.root, "git", "TOKEN") is None
    assert mine.mcpwrap("secret", "rm", "git", "TOKEN").stdout.startswith("there was no secret TOKEN of git")


def test_without_a_vault_there_is_nothing_to_list(project: Project) -> None:
    assert project.mcpwrap("secret", "list").stdout.startswith("no secret is kept")
    assert listed(project) == []


def test_without_a_keyring_a_script_is_told_what_to_choose_and_nothing_is_kept(project: Project, home: Path) -> None:
    project.write(FILE)
    ended = put(project, "git", "TOKEN", SECRET)
    assert ended.returncode == 1
    assert ended.stderr == (
        "error: there is no system keyring here to keep the installation's key in\n"
        "hint: run `mcpwrap vault init --key-file PATH` (or --passphrase)\n"
    )
    assert not (home / ".local/share/mcpwrap/vault.key").exists()


def test_a_script_that_trusts_begins_with_a_key_file_and_is_told(project: Project, home: Path) -> None:
    project.write(FILE)
    digest = json.loads(project.mcpwrap("check", "--json").stdout)["digest"]
    said = project.mcpwrap("trust", "--digest", digest).stdout
    assert "there is no system keyring here to keep the installation's key in" in said
    assert f"the key lies in {home}/.local/share/mcpwrap/vault.key now, and your config.toml says so" in said
    assert put(project, "git", "TOKEN", SECRET).returncode == 0
    assert [each["name"] for each in listed(project)] == ["TOKEN"]


ASKING = FILE + '[servers.git.credentials.TOKEN]\nsecret = "token"\n'


def test_a_name_that_no_credential_asks_for_is_kept_and_said(shop: Project, home: Path, key: Path) -> None:
    assert put(shop, "git", "TOKEN", SECRET).stdout.endswith(
        "note: no credential of git asks for it yet; below [servers.git] in mcpwrap.toml:\n"
        '      credentials.TOKEN = { secret = "TOKEN" }\n'
    )
    assert 'credentials._1_2_3 = { secret = "1.2-3" }' in put(shop, "git", "1.2-3", SECRET).stdout
    # what is shown can be pasted
    shop.write(FILE.replace("[servers.git]\n", '[servers.git]\ncredentials._1_2_3 = { secret = "1.2-3" }\n'))
    assert "note" not in put(shop, "git", "1.2-3", SECRET).stdout
    shop.write(ASKING)
    assert "note" not in put(shop, "git", "token", SECRET).stdout
    assert put(shop, "git", "tokn", SECRET).stdout.endswith("note: no credential of git asks for tokn; it asks for token\n")
    assert kept(home, key, shop.root, "git", "tokn") == SECRET


def test_what_the_accepted_file_asks_for_counts_as_asked_for(shop: Project) -> None:
    shop.write(ASKING)
    shop.trust()
    shop.write(FILE)
    assert "note" not in put(shop, "git", "token", SECRET).stdout


def test_the_server_that_was_meant_is_named(shop: Project) -> None:
    ended = put(shop, "gitt", "TOKEN", SECRET)
    assert (ended.returncode, ended.stderr) == (2, "error: mcpwrap.toml has no server `gitt`\nhint: did you mean `git`?\n")


@pytest.mark.parametrize("command", ["set", "rm", "grant"])
def test_the_shell_completes_the_names_that_are_asked_for(shop: Project, command: str) -> None:
    def completed(server: str, text: str) -> str:
        words = ["mcpwrap", "secret", command, server, text]
        env = {**shop.env, "_MCPWRAP_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": "4"}
        ended = subprocess.run([shop.command], cwd=shop.root, env=env, capture_output=True, text=True, check=True)
        assert ended.stderr == ""
        return ended.stdout

    shop.write(ASKING)
    assert completed("git", "to") == "plain,token\n"
    assert completed("git", "x") == completed("gut", "t") == completed("hub", "t") == "\n"
    shop.write("broken")
    assert completed("git", "t") == "\n"


def test_nobody_is_asked_to_lend_what_is_not_there(mine: Project, at_terminal: At) -> None:
    with at_terminal("secret", "grant", "git", "TOKEN", "--to-server", "gut") as person:
        person.reads("there is no secret `TOKEN` of `git`")
        assert person.ends() == 1
        assert "Lend" not in person.seen


@pytest.mark.parametrize(("folder", "fact"), [("nowhere", "is no folder"), (".config", "has no `mcpwrap.toml`"), ("", "no folder")])
def test_a_borrower_that_is_no_project_is_said_by_the_option_that_was_typed(
    folder: str, fact: str, shop: Project, home: Path
) -> None:
    put(shop, "git", "TOKEN", SECRET)
    ended = shop.mcpwrap("secret", "grant", "git", "TOKEN", "--to-project", str(home / folder) if folder else "", check=False)
    assert ended.returncode == 2
    assert fact in ended.stderr
    assert "--to-project" in ended.stderr
    assert "--project" not in ended.stderr.replace("--to-project", "")


def test_a_vault_that_is_made_on_the_way_is_recorded(project: Project) -> None:
    project.write(FILE)
    put(project, "git", "TOKEN", SECRET)
    digest = json.loads(project.mcpwrap("check", "--json").stdout)["digest"]
    project.mcpwrap("trust", "--digest", digest)
    records = [json.loads(line) for line in project.mcpwrap("log", "--json").stdout.splitlines()]
    no_keyring = "failed: there is no system keyring here to keep the installation's key in"
    made = ["begins; its key goes to: keyring", no_keyring]
    notes = [record["note"].partition("; folders moved")[0] for record in records if record["method"] == "mcpwrap/vault-init"]
    # (records of several commands within one second may stand in any order)
    assert sorted(notes) == sorted([*made, *made, "begins; its key goes to: file"])
