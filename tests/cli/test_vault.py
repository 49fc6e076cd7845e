"""`mcpwrap vault`: where the key lies is chosen by a person, written into their file, and shown (IDENTITY.md §2)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcpwrap.policy.folders import folders
from tests.cli.conftest import At
from tests.identity.secret_service import SecretService
from tests.project import USER_FILE, Project
from tests.vaults import no_vault

WORDS = "correct horse battery staple"
OWN = """\
# mine, by hand

[trust]
scripted = true   # for CI

[servers."*"]     # everywhere
deny = ["delete_*"]
"""


@pytest.fixture
def project(project: Project, user_config: Path) -> Project:
    """A project whose person has no vault yet and lets scripts in."""
    no_vault(project.env)
    user_config.write_text(USER_FILE)
    return project


@pytest.fixture
def shop(project: Project, user_config: Path) -> Project:
    """The same, with no file of the person's own."""
    user_config.unlink()
    return project


@pytest.fixture
def key(home: Path) -> Path:
    (home / "keys").mkdir(mode=0o700)
    return home / "keys" / "mcpwrap.key"


@pytest.fixture
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecretService]:
    with SecretService(tmp_path_factory.mktemp("desktop")) as service:
        yield service.unlock()


def status(project: Project) -> dict[str, Any]:
    return dict(json.loads(project.mcpwrap("vault", "status", "--json", check=False).stdout))


def header(home: Path) -> Path:
    return Path(folders({"HOME": str(home)}).state) / "vault" / "header"


def test_a_person_keeps_the_key_in_a_file(shop: Project, at_terminal: At, key: Path, user_config: Path) -> None:
    with at_terminal("vault", "init", "--key-file", str(key)) as person:
        person.reads(f"the installation's key lies in {key}.\nKeep a copy of the file elsewhere")
        assert person.ends() == 0
    assert user_config.read_text() == f'[vault]\nkey = "file:{key}"\n'
    assert user_config.stat().st_mode & 0o777 == 0o600
    assert key.stat().st_mode & 0o777 == 0o600
    found = status(shop)
    assert (found["state"], found["mode"], found["where"], found["setting"]) == ("open", "file", str(key), f"file:{key}")
    assert found["holds"] == {"logins": 0, "secrets": 0, "grants": 0, "signing": 0}
    assert "made" not in shop.mcpwrap("vault", "status").stdout
    [record] = [json.loads(line) for line in shop.mcpwrap("log", "--json").stdout.splitlines()]
    assert record["method"] == "mcpwrap/vault-init"


def test_everything_else_in_the_persons_file_stays(project: Project, user_config: Path, key: Path) -> None:
    user_config.write_text(OWN)
    user_config.chmod(0o640)
    project.mcpwrap("vault", "init", "--key-file", str(key))
    assert user_config.read_text() == OWN + f'\n[vault]\nkey = "file:{key}"\n'
    assert user_config.stat().st_mode & 0o777 == 0o640
    user_config.write_text(OWN.replace("\n[servers", '\n[vault]   # where\nkey = "keyring" # old\n\n[servers'))
    project.mcpwrap("vault", "init", "--key-file", str(key))
    assert user_config.read_text() == OWN.replace("\n[servers", f'\n[vault]   # where\nkey = "file:{key}" # old\n\n[servers')


@pytest.mark.parametrize("text", ['vault.key = "keyring"\n', 'vault = { key = "keyring" }\n', "[vault]\n"])
def test_any_way_of_writing_it_is_understood(text: str, project: Project, user_config: Path, key: Path) -> None:
    user_config.write_text(text + "[trust]\nscripted = true\n")
    project.mcpwrap("vault", "init", "--key-file", str(key))
    assert status(project)["setting"] == f"file:{key}"
    assert "scripted = true\n" in user_config.read_text()


def test_a_file_that_cannot_be_read_is_not_changed(project: Project, user_config: Path, key: Path) -> None:
    for text in ("[trust\n", "[trust]\nscripted = true\n[unknown]\n"):
        user_config.write_text(text)
        ended = project.mcpwrap("vault", "init", "--key-file", str(key), check=False)
        assert ended.returncode == 2
        assert user_config.read_text() == text
        assert not key.exists()
    assert status(project)["state"] == "closed"


def test_a_vault_that_is_there_is_left_alone(project: Project, key: Path, home: Path) -> None:
    project.mcpwrap("vault", "init", "--key-file", str(key))
    before = header(home).read_bytes()
    for options in ([], ["--key-file", str(key)]):
        ended = project.mcpwrap("vault", "init", *options)
        assert ended.stdout == f"there is a vault already, its key in {key}; nothing changed\n"
    assert header(home).read_bytes() == before


def test_the_key_moves_and_nothing_is_lost(project: Project, key: Path, user_config: Path) -> None:
    project.write('version = 1\n[servers.git]\ncommand = ["/bin/true"]\nallow = ["*"]\n')
    project.mcpwrap("vault", "init", "--key-file", str(key))
    script(project, ["secret", "set", "git", "TOKEN"], "hunter2")
    other = key.with_name("other.key")
    ended = project.mcpwrap("vault", "init", "--key-file", str(other))
    assert ended.stdout.startswith(f"the installation's key was moved to {other}; nothing is lost.")
    assert f"rm {key}" in ended.stdout
    key.unlink()
    assert status(project)["holds"]["secrets"] == 1
    assert f'key = "file:{other}"' in user_config.read_text()


def test_a_lost_setting_is_put_right_by_saying_it_again(project: Project, key: Path, user_config: Path) -> None:
    project.mcpwrap("vault", "init", "--key-file", str(key))
    user_config.write_text("[trust]\nscripted = true\n")
    found = status(project)
    assert found["state"] == "closed"
    assert found["why"].startswith("config.toml says that the vault's key is kept by `keyring`")
    assert project.mcpwrap("vault", "status", check=False).returncode == 1
    ended = project.mcpwrap("vault", "init", check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(
        "error: there is a vault already, and it doesn't open: config.toml says that the vault's key is kept by `keyring`"
    )
    assert f'hint: put `key = "file:{key}"` below [vault] in config.toml' in ended.stderr
    assert status(project)["state"] == "closed"
    project.mcpwrap("vault", "init", "--key-file", str(key))
    assert status(project)["state"] == "open"


def test_without_a_keyring_the_remedy_is_said(project: Project, home: Path) -> None:
    ended = project.mcpwrap("vault", "init", check=False)
    assert ended.returncode == 1
    assert ended.stderr == (
        "error: there is no system keyring here to keep the installation's key in\n"
        "hint: run `mcpwrap vault init --key-file PATH` (or --passphrase)\n"
    )
    assert not header(home).exists()
    found = project.mcpwrap("vault", "status")
    assert found.stdout.count("yet") == 1
    assert "there is none yet" in found.stdout
    assert "mcpwrap vault init --key-file PATH" in found.stdout


def test_the_key_goes_into_the_keyring_by_itself(project: Project, desktop: SecretService, key: Path) -> None:
    env = {**project.env, "DBUS_SESSION_BUS_ADDRESS": desktop.address}

    def mcpwrap(*args: str) -> str:
        return subprocess.run(
            [project.command, *args], cwd=project.root, env=env, check=True, capture_output=True, text=True
        ).stdout

    assert "the first trust, login or secret makes it" in mcpwrap("vault", "status")
    assert mcpwrap("vault", "init") == "the installation's key lies in the system's keyring (Secret Service).\n"
    # a client's bare environment is enough
    assert (status(project)["state"], status(project)["where"]) == ("open", "Secret Service")
    desktop.lock()
    found = status(project)
    assert (found["state"], found["why"]) == ("closed", "the system's keyring is locked")


def test_a_person_types_a_passphrase_that_nobody_sees(shop: Project, at_terminal: At) -> None:
    with at_terminal("vault", "init", "--passphrase") as person:
        person.reads("A passphrase for the vault: ")
        person.types(WORDS)
        person.reads("The same again: ")
        person.types(WORDS)
        person.reads("MCPWRAP_PASSPHRASE in their environment.")
        assert person.ends() == 0
        assert "horse" not in person.seen
    assert status(shop)["why"].startswith("the vault is behind a passphrase, and nobody can be asked")
    shop.env["MCPWRAP_PASSPHRASE"] = WORDS
    with at_terminal("secret", "list") as person:
        person.reads("Passphrase of the vault: ")
        person.types("wrong horse battery staple")
        person.reads("the passphrase is wrong")
        assert person.ends() == 1
    with at_terminal("secret", "list") as person:
        person.reads("Passphrase of the vault: ")
        person.types(WORDS)
        person.reads("no secret is kept")
        assert person.ends() == 0
    with at_terminal("secret", "list", MCPWRAP_PASSPHRASE=WORDS) as person:
        person.reads("no secret is kept")
        assert person.ends() == 0


def test_two_passphrases_that_differ_make_nothing(shop: Project, at_terminal: At, home: Path) -> None:
    with at_terminal("vault", "init", "--passphrase") as person:
        person.reads("A passphrase for the vault: ")
        person.types(WORDS)
        person.reads("The same again: ")
        person.types("something else")
        person.reads("the two passphrases differ")
        assert person.ends() == 2
    assert not header(home).exists()


def test_a_script_gives_the_passphrase_by_the_environment_or_on_standard_input(project: Project, key: Path) -> None:
    script(project, ["vault", "init", "--passphrase"], WORDS + "\n")
    assert status(project)["state"] == "closed"
    env = {**project.env, "MCPWRAP_PASSPHRASE": WORDS}
    ended = subprocess.run(
        [project.command, "vault", "status"], env=env, cwd=project.root, capture_output=True, text=True, check=True
    )
    assert "behind a passphrase" in ended.stdout
    ended = subprocess.run(
        [project.command, "vault", "init", "--key-file", key], env=env, cwd=project.root, capture_output=True, text=True, check=True
    )
    assert "was moved" in ended.stdout


def test_a_reset_asks_and_says_what_is_lost(shop: Project, at_terminal: At, key: Path, home: Path) -> None:
    with at_terminal("vault", "init", "--key-file", str(key)) as person:
        assert person.ends() == 0
    before = header(home).read_bytes()
    with at_terminal("vault", "init", "--reset") as person:
        person.reads("Everything that the old key protects is taken away: what you trusted and\npinned, logins, secrets")
        person.reads("audit and your files stay.")
        person.reads("Begin anew? [y/N] ")
        person.types("")
        person.reads("nothing was changed")
        assert person.ends() == 3
    assert header(home).read_bytes() == before
    with at_terminal("vault", "init", "--reset") as person:
        person.reads("Begin anew? [y/N] ")
        person.types("y")
        assert person.ends() == 0
    assert header(home).read_bytes() != before
    assert status(shop)["state"] == "open"


def test_a_reset_mends_a_broken_header(project: Project, key: Path, home: Path) -> None:
    project.mcpwrap("vault", "init", "--key-file", str(key))
    header(home).write_text("broken")
    assert "can't be used" in status(project)["why"]
    assert project.mcpwrap("vault", "init", check=False).returncode == 1
    project.mcpwrap("vault", "init", "--reset")
    assert status(project)["state"] == "open"


def test_one_place_is_chosen(project: Project, key: Path) -> None:
    for options in (["--keyring", "--passphrase"], ["--keyring", "--key-file", str(key)]):
        ended = project.mcpwrap("vault", "init", *options, check=False)
        assert ended.returncode == 2
        assert "the key lies in one place" in ended.stderr


def test_a_key_file_does_not_lie_in_the_project(project: Project) -> None:
    project.write("version = 1\n")
    ended = project.mcpwrap("vault", "init", "--key-file", "key", check=False)
    assert ended.returncode == 1
    assert "lies in the project" in ended.stderr
    assert not (project.root / "key").exists()


def test_an_agent_makes_no_vault(shop: Project, at_terminal: At, key: Path, home: Path) -> None:
    for options in ([], ["--key-file", str(key)], ["--reset"]):
        with at_terminal("vault", "init", *options, CLAUDECODE="1") as person:
            person.reads("`mcpwrap vault init` wants a person")
            assert person.ends() == 3
    assert not header(home).exists()
    assert shop.mcpwrap("vault", "init", check=False).returncode == 3  # no terminal


def test_a_full_audit_is_a_vault_that_is_not_made(project: Project, key: Path, home: Path) -> None:
    audit = Path(folders({"HOME": str(home)}).state) / "audit"
    audit.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    audit.write_text("in the way")
    assert project.mcpwrap("vault", "init", "--key-file", str(key), check=False).returncode == 1
    assert not header(home).exists()
    assert not key.exists()


def test_a_folder_of_the_persons_file_that_cannot_be_written_says_what_is_left_to_do(
    project: Project, key: Path, user_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcpwrap.cli import opened
    from mcpwrap.cli.here import Here
    from mcpwrap.cli.vault import _configure
    from mcpwrap.errors import StateError
    from mcpwrap.identity.keys import Setting

    def full(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(opened, "replace", full)
    with pytest.raises(StateError, match="read-only file system") as told:
        _configure(Here.now(), Setting("passphrase"))
    assert told.value.hint == f'put `key = "passphrase"` below [vault] in {user_config}'


def notes(project: Project) -> list[str]:
    records = [json.loads(line) for line in project.mcpwrap("log", "--json").stdout.splitlines()]
    return [record["note"].partition("; folders moved")[0] for record in records if record["method"] == "mcpwrap/vault-init"]


def test_a_vault_that_does_not_open_is_said_with_its_remedy(project: Project, key: Path) -> None:
    project.mcpwrap("vault", "init", "--key-file", str(key))
    key.rename(key.with_name("elsewhere"))
    for options in ([], ["--key-file", str(key)]):
        ended = project.mcpwrap("vault", "init", *options, check=False)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr == (
            f"error: there is a vault already, and it doesn't open: the key file `{key}` isn't there\n"
            "hint: mount the medium it lies on, or put your copy of it back\n"
        )
    assert notes(project)[1:] == [f"failed: there is a vault already, and it doesn't open: the key file `{key}` isn't there"] * 2


def test_a_vault_whose_ledger_is_broken_does_not_open(project: Project, key: Path, home: Path) -> None:
    project.mcpwrap("vault", "init", "--key-file", str(key))
    header(home).with_name("ledger").write_bytes(bytes(64))
    assert project.mcpwrap("vault", "init", check=False).returncode == 1
    found = status(project)
    assert found["state"] == "closed"
    assert "was altered" in found["why"]
    assert found["hint"].startswith("run `mcpwrap vault init --reset`")


def test_what_was_refused_or_failed_is_recorded(shop: Project, at_terminal: At, key: Path, user_config: Path) -> None:
    shop.mcpwrap("vault", "init", check=False)
    assert [note.partition(" ")[0] for note in notes(shop)] == ["failed:"]
    with at_terminal("vault", "init", "--key-file", str(key)) as person:
        assert person.ends() == 0
    with at_terminal("vault", "init", "--reset") as person:
        person.reads("Begin anew? [y/N] ")
        person.types("")
        assert person.ends() == 3
    user_config.write_text(USER_FILE + f'[vault]\nkey = "file:{key}"\n')
    shop.mcpwrap("vault", "init", "--key-file", "/nowhere/key", check=False)
    assert notes(shop)[1:] == [
        "begins; its key goes to: file",
        "not reset: the person said no",
        "its key moves from file to file",
        "failed: the folder `/nowhere` isn't there",
    ]


def test_a_mistake_in_the_persons_file_is_said_with_its_place(project: Project, user_config: Path) -> None:
    user_config.write_text("[trust]\nscripted = true\n[vault]\nkye = 1\n")
    assert f"({user_config}:4" in status(project)["why"]


def test_no_line_of_the_status_is_broken_within_a_word(project: Project, user_config: Path, key: Path) -> None:
    project.mcpwrap("vault", "init", "--key-file", str(key))
    user_config.write_text(USER_FILE)
    lines = project.mcpwrap("vault", "status", check=False).stdout.splitlines()
    assert all(len(line) <= 80 or len(line.split()) <= 2 for line in lines)
    assert any(line.startswith(" ") for line in lines)


def test_the_list_of_commands_cuts_no_sentence(project: Project) -> None:
    for group in ("vault", "secret"):
        assert "..." not in project.mcpwrap(group, "--help").stdout.partition("Commands:")[2]


def test_an_option_without_its_value_names_the_command_that_explains_it(project: Project) -> None:
    ended = project.mcpwrap("vault", "init", "--key-file", check=False)
    assert ended.returncode == 2
    assert ended.stderr.endswith("hint: `mcpwrap vault init --help` says what it takes\n")
    assert "hint: `mcpwrap --help`" in project.mcpwrap("--nothing", check=False).stderr


def test_a_wrong_passphrase_of_the_environment_invites_to_no_reset(project: Project) -> None:
    script(project, ["vault", "init", "--passphrase"], WORDS + "\n")
    env = {**project.env, "MCPWRAP_PASSPHRASE": "wrong horse battery staple"}
    ended = subprocess.run(
        [project.command, "vault", "init"], env=env, cwd=project.root, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr == (
        "error: there is a vault already, and it doesn't open: MCPWRAP_PASSPHRASE isn't the vault's passphrase\n"
        "hint: give the right MCPWRAP_PASSPHRASE to the program that starts this\n"
    )


def script(project: Project, args: list[str], text: str) -> str:
    ended = subprocess.run(
        [project.command, *args], cwd=project.root, env=project.env, input=text, text=True, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
