"""`mcpwrap status`: where things stand, and what to do next."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from mcpwrap.cli.here import EXAMPLE
from mcpwrap.core.entry import Entry
from mcpwrap.core.rules import Reason
from mcpwrap.identity.logins import LoginStore
from mcpwrap.identity.secrets import SecretStore
from mcpwrap.policy.folders import folders
from mcpwrap.runtime.words import held
from mcpwrap.secret import Secret
from tests.cli.conftest import FILE, PLAIN, At, plain
from tests.cli.person import Person
from tests.cli.test_explain import REFUSED, record
from tests.identity.installation import keep
from tests.identity.secret_service import SecretService
from tests.project import USER_FILE, Project
from tests.vaults import key_file_of, no_vault, vault_of


def status(project: Project) -> str:
    return plain(project.mcpwrap("status").stdout, project)


def test_without_a_project_a_file_to_start_with_is_shown(project: Project) -> None:
    text = status(project)
    assert text.startswith("no project here: there is no `mcpwrap.toml` in ROOT or above\n")
    assert "To start, run `mcpwrap init NAME -- COMMAND…`" in text
    for line in EXAMPLE.splitlines():
        assert f"  {line}\n" in text or not line
    assert "next   mcpwrap trust" in text


def test_the_file_to_start_with_has_no_fault(project: Project) -> None:
    project.write(EXAMPLE)
    facts = json.loads(project.mcpwrap("check", "--json").stdout)
    assert facts["errors"] == []
    assert not any("exact version" in warning for warning in facts["warnings"])


def test_a_project_that_nobody_trusted_says_what_to_do(project: Project) -> None:
    project.write(FILE)
    assert (
        status(project)
        == """\
SHOP   untrusted   ROOT/mcpwrap.toml
  files   /bin/sh -c 'exit 0' ROOT   not seen yet
vault  its key lies in KEY
today  0 calls
next   mcpwrap trust
""".replace("KEY", str(project.home / ".local/share/mcpwrap/vault.key")).replace("ROOT   not", _shortened(project) + "   not")
    )


def _shortened(project: Project) -> str:
    command = f"/bin/sh -c 'exit 0' {project.root}"
    shown = command if len(command) <= 40 else command[:39] + "…"
    return plain(shown, project).removeprefix("/bin/sh -c 'exit 0' ")


def test_a_trusted_project_without_calls_says_how_a_client_gets_there(project: Project) -> None:
    project.write(FILE)
    project.trust()
    assert "next   put `mcpwrap run files` into your client's configuration" in status(project)


def test_lists_calls_and_refusals_are_shown_as_the_audit_has_them(project: Project) -> None:
    project.write(FILE)
    project.trust()
    record(
        project,
        Entry("list", "server", "tools/list", outcome="allow", status="ok", counts={"total": 20, "shown": 1}),
        Entry("list", "server", "tools/list", outcome="allow", status="ok", counts={"total": 14, "shown": 9}),
        Entry("list", "server", "prompts/list", outcome="allow", status="ok", counts={"total": 3, "shown": 0}),
        Entry("call", "client", "tools/call", outcome="allow", ref="k7f1", tool="read_file"),
        Entry("response", "server", "tools/call", ref="k7f1", status="ok"),
        REFUSED,
    )
    text = status(project)
    assert "9 of 14 tools, 5 hidden\n" in text
    assert "today  2 calls · 1 refused\n" in text
    assert 'files › move_file  deny = ["move_file"]  mcpwrap.toml:10\n' in text
    assert text.endswith("next   mcpwrap explain k7f2\n")
    facts = json.loads(project.mcpwrap("status", "--json").stdout)
    assert facts["servers"][0]["tools"] == {"shown": 9, "total": 14}
    assert facts["today"] == {"calls": 2, "refused": 1}
    assert facts["next"] == "mcpwrap explain k7f2"


def test_records_of_other_projects_are_not_counted(project: Project, tmp_path: Path) -> None:
    project.write(FILE)
    project.trust()
    other = Project(root=tmp_path, home=project.home, command=project.command)
    record(other, REFUSED)
    assert "today  0 calls\n" in status(project)


def test_a_change_that_waits_is_said(project: Project) -> None:
    project.write(FILE)
    project.trust()
    project.write(FILE.replace("move_file", "move_files"))
    text = status(project)
    assert text.startswith("SHOP   changed   ")
    assert "the version accepted on TODAY goes on judging until you accept the change" in text
    assert text.endswith("next   mcpwrap trust\n")


def test_a_fault_is_shown_and_is_what_comes_next(project: Project) -> None:
    project.write(FILE.replace("deny", "denny"))
    text = status(project)
    assert "error: unknown key `denny` in [servers.files]\n  mcpwrap.toml:10:1   denny" in text
    assert text.endswith("next   mend mcpwrap.toml:10:1, then: mcpwrap check\n")


def test_a_server_that_would_be_held_says_why(project: Project) -> None:
    project.write('version = 1\n[servers.mine]\nallow = ["*"]\n')
    project.trust()
    text = status(project)
    assert "held: its command isn't trusted yet" in text
    assert text.endswith("next   mcpwrap trust mine -- COMMAND …\n")


def test_junk_in_the_audit_is_left_out_and_made_visible(project: Project) -> None:
    project.write(FILE)
    project.trust()
    reason = Reason("mcpwrap.toml\x1b[2J", 1, "deny", "\u202e")
    record(
        project, Entry("call", "client", "tools/call", outcome="deny", ref="k", tool="\x1b]0;", reasons=(reason,), status="refused")
    )
    text = status(project)
    assert r"\u{1b}" in text
    assert not set(text) & {"\x1b", "\u202e"}


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals here")
def test_without_a_command_a_terminal_gets_the_status(shop: Project, at_terminal: At) -> None:
    with at_terminal() as person:
        assert person.ends() == 0
        assert plain(person.rest, shop).startswith("SHOP   untrusted   ROOT/mcpwrap.toml\n")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals here")
def test_colour_is_for_terminals_that_want_it(shop: Project) -> None:
    for extra, coloured in (({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm", **PLAIN}, False)):
        with Person([shop.command], env={**shop.env, **extra}, cwd=shop.root) as person:
            assert person.ends() == 0
            assert ("\x1b[" in person.rest) is coloured


# what a server waits for, and a vault that doesn't open

LOGIN = """\
version = 1
[login]
issuer = "https://login.acme.example"
[servers.github]
command = ["/bin/sh", "-c", "exit 0"]
allow = ["*"]
[servers.github.credentials.TOKEN]
secret = "token"
"""
SECRET = LOGIN.replace('[login]\nissuer = "https://login.acme.example"\n', "")


def test_a_secret_that_isnt_set_is_said_with_the_command_that_sets_it(project: Project) -> None:
    project.write(SECRET)
    project.trust()
    text = status(project)
    assert re.search(r"^  github .* held: its secret token isn't set$", text, re.MULTILINE)
    assert text.endswith("next   mcpwrap secret set github token\n")
    facts = json.loads(project.mcpwrap("status", "--json").stdout)
    assert facts["servers"][0]["held"] == "its secret token isn't set"
    assert facts["next"] == "mcpwrap secret set github token"
    SecretStore(vault_of(os.environ)).set(str(project.root), "github", "token", Secret("s3cret"))
    facts = json.loads(project.mcpwrap("status", "--json").stdout)
    assert facts["servers"][0]["held"] is None
    assert facts["next"].startswith("put `mcpwrap run github`")


def test_that_nobody_is_signed_in_where_the_project_wants_it_is_said(project: Project) -> None:
    project.write(LOGIN)
    project.trust()
    text = status(project)
    assert "login  nobody is signed in at https://login.acme.example (mcpwrap.toml:3)\n" in text
    assert text.endswith("next   mcpwrap login\n")
    facts = json.loads(project.mcpwrap("status", "--json").stdout)
    assert facts["servers"][0]["held"] == "nobody is signed in at https://login.acme.example"
    key = keep(vault_of(os.environ), "https://login.acme.example", "refresh", profile="")
    text = status(project)
    assert "nobody is signed in" not in text
    assert text.endswith("next   mcpwrap secret set github token\n")
    LoginStore(vault_of(os.environ)).end(key, "the provider said so", "refresh")
    text = status(project)
    assert "login  the login at https://login.acme.example has ended: the provider said so (mcpwrap.toml:3)\n" in text
    assert text.endswith("next   mcpwrap login\n")


def test_another_profile_of_the_provider_counts_where_the_first_ones_login_ended(project: Project, user_config: Path) -> None:
    with user_config.open("a") as file:
        file.write("".join(f'[profiles.{name}]\nissuer = "https://login.acme.example"\n' for name in ("one", "two")))
    project.write(LOGIN)
    project.trust()
    vault = vault_of(os.environ)
    LoginStore(vault).end(keep(vault, "https://login.acme.example", "old", profile="one"), "it did", "old")
    assert status(project).endswith("next   mcpwrap login\n")
    keep(vault, "https://login.acme.example", "new", profile="two")
    assert status(project).endswith("next   mcpwrap secret set github token\n")


def test_a_server_that_nobody_accepted_yet_is_listed_for_programs_too(project: Project) -> None:
    project.write(FILE)
    project.trust()
    project.write(FILE + '[servers.more]\ncommand = ["/bin/sh"]\n')
    facts = json.loads(project.mcpwrap("status", "--json").stdout)
    assert [(each["name"], each["command"], each["held"]) for each in facts["servers"][1:]] == [
        ("more", ["/bin/sh"], "new, not accepted yet")
    ]
    assert re.search(r"^  more +new, not accepted yet$", status(project), re.MULTILINE)


@pytest.mark.parametrize("damage", ["gone", "open"])
def test_a_vault_that_doesnt_open_isnt_called_untrusted(project: Project, damage: str) -> None:
    project.write(FILE)
    project.trust()
    key = key_file_of(os.environ)
    if damage == "gone":
        key.unlink()
        why, hint = (
            f"the key file `{key}` isn't there",
            "mount the medium it lies on, or put your copy of it back",
        )
    else:
        key.chmod(0o644)
        why, hint = f"the key file `{key}` is open to others", f"run `chmod 600 {key}`"
    text = project.mcpwrap("status").stdout
    assert text.startswith(f"{project.root.name}   can't be told: {why}\n")
    assert text.endswith(f"next   {hint}\n")
    assert "untrusted" not in text
    assert "doesn't count" not in text
    facts = json.loads(project.mcpwrap("status", "--json").stdout)
    assert (facts["trust"], facts["servers"][0]["held"], facts["next"]) == ("unknown", why, hint)
    for args in (["trust"], ["token", "--server", "files"], ["pins"], ["explain", "files", "read_file"]):
        ended = project.mcpwrap(*args, check=False)
        assert (ended.returncode, ended.stdout) == (1, ""), args
        assert ended.stderr == f"error: {why}\nhint: {hint}\n"
    digest = json.loads(project.mcpwrap("check", "--json", check=False).stdout)["digest"]
    ended = project.mcpwrap("trust", "--digest", digest, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"error: {why}\nhint: {hint}\n")


def test_a_keyring_that_is_locked_is_said_in_place_of_the_trust(
    project: Project, user_config: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    no_vault(project.env)
    user_config.write_text(USER_FILE)
    project.write(FILE)
    with SecretService(tmp_path_factory.mktemp("desktop")) as desktop:
        desktop.unlock()
        env = {**project.env, "DBUS_SESSION_BUS_ADDRESS": desktop.address}

        def mcpwrap(*args: str) -> str:
            return subprocess.run([project.command, *args], cwd=project.root, env=env, capture_output=True, text=True).stdout

        mcpwrap("trust", "--digest", str(json.loads(mcpwrap("check", "--json"))["digest"]))
        assert mcpwrap("status").startswith(f"{project.root.name}   trusted   ")
        desktop.lock()
        text = mcpwrap("status")
    assert text.startswith(f"{project.root.name}   can't be told: the system's keyring is locked\n")
    assert re.search(r"^next   unlock it \(.*\),? and look again with `mcpwrap vault status`$", text, re.MULTILINE)


def test_before_anything_was_trusted_a_vault_that_doesnt_open_comes_next(project: Project) -> None:
    project.write(FILE)
    key = key_file_of(os.environ)
    key.chmod(0o644)
    text = status(project)
    assert text.startswith("SHOP   untrusted   ")
    assert text.endswith(f"next   run `chmod 600 {key}`\n")


def test_of_what_a_held_session_refused_only_the_fact_stands_there_on_one_line(project: Project) -> None:
    project.write(FILE)
    project.trust()
    hold = held("files", "the server exited (1) at start and said last: " + "x" * 200, "mend that")
    record(project, msgspec.structs.replace(REFUSED, reasons=(Reason("", 0, "deny", hold),)))
    text = status(project)
    row = next(line for line in text.splitlines() if "move_file" in line)
    assert "the server exited (1) at start and said last: xxx" in row
    assert "…" in row
    assert r"\u{a}" not in text
    assert "holding" not in text


def test_the_folders_are_named_outside_a_project_too(project: Project) -> None:
    facts = json.loads(project.mcpwrap("status", "--json").stdout)
    assert facts["project"] is None
    ours = folders(os.environ)
    assert facts["folders"] == {"config": ours.config, "state": ours.state, "audit": str(Path(ours.state, "audit"))}
