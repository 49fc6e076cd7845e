"""`mcpwrap trust` and `untrust`, as a person at a terminal meets them (POLICY.md §5)."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from mcpwrap.policy.folders import folders
from tests.cli.conftest import FILE, At, plain
from tests.cli.person import Person
from tests.project import Project
from tests.vaults import key_file_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals here")


def standing(project: Project) -> str:
    return str(json.loads(project.mcpwrap("check", "--json").stdout)["trust"])


def records(project: Project) -> list[dict[str, object]]:
    return [json.loads(line) for line in project.mcpwrap("log", "--json").stdout.splitlines()]


def test_a_file_that_nobody_trusted_is_shown_in_full_before_the_question(shop: Project, at_terminal: At) -> None:
    with at_terminal("trust") as person:
        assert (
            plain(person.reads("[y/N] "), shop)
            == """\
SHOP: mcpwrap.toml in ROOT is not trusted yet
  digest  DIGEST

files  mcpwrap.toml:3
  runs        /bin/sh -c 'exit 0' ROOT
  as          /bin/sh
  in          a private empty folder
  sets        LOG_LEVEL=info
  hands over  HTTPS_PROXY  (as your client has it)
  tools       allow  read_*, list_* but not read_media_file  :7
              log    create_directory  :8
              ask    edit_*  :9
              deny   move_file  :10
  resources   allow  docs://*  :13
  may ask for allow  roots  :15

Trust this? [y/N] """
        )


def test_rules_are_shown_with_their_conditions_and_limits(shop: Project, at_terminal: At) -> None:
    rules = """
[[servers.files.rules]]
ask = ["edit_*", "!edit_notes"]
unless.path = { within = "${project}/docs" }
[[servers.files.rules]]
deny = ["*"]
args."*" = { glob = "**/.env" }
when = "true // \\u001b[2J"
reason = 'not \u202e "these"'
[[servers.files.rules]]
allow = ["search_files"]
limit = "30/min"
over = "deny"
[servers.files.resources]
allow = [{ within = "${project}" }]
"""
    head, _, _ = FILE.partition("[servers.files.resources]")
    shop.write(head.replace("inherit_env", 'limit = "500/session"\ninherit_env') + rules)
    with at_terminal("trust") as person:
        text = " ".join(plain(person.reads("[y/N] "), shop).split())
    for line in (
        " at most limit = 500/session (past it: ask) ",
        " allow search_files with limit = 30/min (past it: deny) :23 ",
        ' ask edit_* but not edit_notes with unless.path { within = "${project}/docs" } :15 ',
        r""" deny * (reason "not \u{202e} \"these\"") with args."*" { glob = "**/.env" }, when true // \u{1b}[2J :18 """,
        ' resources allow * with { within = "${project}" } :27 ',
    ):
        assert line in text


def test_a_reason_that_changed_is_shown(trusted: Project, at_terminal: At) -> None:
    rule = '[[servers.files.rules]]\ndeny = ["move_file"]\nreason = "GIVEN"\n'
    for given, shown in (("not here", '– → "not here"'), ("ask \u202e", '"not here" → "ask \\u{202e}"')):
        trusted.write(FILE + rule.replace("GIVEN", given))
        with at_terminal("trust") as person:
            text = person.reads("diff] ")
            person.types("y")
            assert person.ends() == 0
        assert f'loosens  files › reason of deny = ["move_file"]  {shown}  :17' in text


def test_after_a_change_a_rule_that_was_widened_loosens(trusted: Project, at_terminal: At) -> None:
    rule = '[[servers.files.rules]]\ndeny = ["list_*"]\nargs.path = { glob = "GLOB" }\n'
    trusted.write(FILE + rule.replace("GLOB", "**"))
    with at_terminal("trust") as person:
        text = person.reads("diff] ")
        assert (
            '  tightens  files › rule  – → deny = ["list_*"] with args.path { glob = "**" }  :17\n  same      1 command\n' in text
        )
        person.types("y")
        assert person.ends() == 0
    trusted.write(FILE + rule.replace("GLOB", "x"))
    with at_terminal("trust") as person:
        text = person.reads("diff] ")
        rule = 'deny = ["list_*"] with args.path { glob = "%s" }'
        assert f"  loosens  files › rule  {rule % '**'} → {rule % 'x'}  :17\n" in text


@pytest.mark.parametrize("answer", ["", "n", "no", "yes please", "d"])
def test_everything_but_yes_is_no(shop: Project, at_terminal: At, answer: str) -> None:
    with at_terminal("trust") as person:
        person.reads("[y/N] ")
        person.types(answer)
        assert person.ends() == 3
        assert person.rest.endswith("Not trusted; nothing of it runs.\n")
    assert standing(shop) == "untrusted"
    assert records(shop) == []


def test_a_yes_is_stored_and_recorded(shop: Project, at_terminal: At) -> None:
    with at_terminal("trust") as person:
        person.reads("[y/N] ")
        person.types("y")
        assert person.ends() == 0
        assert "trusted. Sessions that were held go on by themselves" in person.rest
    assert standing(shop) == "trusted"
    [record] = records(shop)
    assert record["event"] == "lifecycle"
    assert record["method"] == "mcpwrap/trust"
    assert record["project"] == str(shop.root)
    assert record["server"] == ""
    assert str(record["note"]).startswith("accepted on a terminal; commands: files")


def test_what_was_accepted_already_is_not_asked_again(trusted: Project, at_terminal: At) -> None:
    with at_terminal("trust") as person:
        assert person.ends() == 0
        assert "is trusted already; nothing changed" in person.rest


def test_after_a_change_only_the_difference_is_shown(trusted: Project, at_terminal: At) -> None:
    trusted.write(FILE.replace('deny = ["move_file"]', "").replace('ask = ["edit_*"]', 'ask = ["edit_*", "move_file"]'))
    with at_terminal("trust") as person:
        assert (
            plain(person.reads("diff] "), trusted)
            == """\
SHOP: mcpwrap.toml changed since TODAY
  loosens  files › move_file  deny → ask  :9
  same     1 command

Until you accept it, the version of TODAY goes on judging.

Accept? [y/N/d for the text diff] """
        )
        person.types("d")
        diff = person.reads("diff] ")
        assert '-deny = ["move_file"]' in diff
        assert '+ask = ["edit_*", "move_file"]' in diff
        person.types("y")
        assert person.ends() == 0
        assert "accepted." in person.rest
    assert standing(trusted) == "trusted"


def test_a_change_that_is_declined_leaves_the_old_version_judging(trusted: Project, at_terminal: At) -> None:
    trusted.write(FILE.replace('deny = ["move_file"]', "").replace('"read_*"', '"read_*", "move_file"'))
    with at_terminal("trust") as person:
        person.reads("diff] ")
        person.types("n")
        assert person.ends() == 3
        assert "goes on judging" in person.rest
    assert standing(trusted) == "changed"
    assert trusted.mcpwrap("explain", "files", "move_file", check=False).returncode == 4


def test_a_change_of_comments_says_so(trusted: Project, at_terminal: At) -> None:
    trusted.write("# hello\n" + FILE)
    with at_terminal("trust") as person:
        assert "\n  same  1 command\n" in person.reads("diff] ")


def test_a_new_command_is_shown_in_full_after_a_change_too(trusted: Project, at_terminal: At) -> None:
    argument = "x" * 300
    trusted.write(FILE.replace('"exit 0"', f'"{argument}"'))
    with at_terminal("trust") as person:
        text = person.reads("diff] ")
        assert f"runs        /bin/sh -c {argument}" in text
        assert "loosens" in text


def test_trust_that_is_taken_back_is_gone(trusted: Project) -> None:
    ended = trusted.mcpwrap("untrust")
    assert plain(ended.stdout, trusted) == (
        "ROOT is not trusted any more; running sessions hold its servers from the next call on\n"
    )
    assert standing(trusted) == "untrusted"
    assert records(trusted)[-1]["method"] == "mcpwrap/untrust"
    assert "was not trusted; nothing changed" in trusted.mcpwrap("untrust").stdout


@pytest.mark.parametrize("spoil", ["broken", "gone"])
def test_trust_can_be_taken_back_without_a_usable_file(trusted: Project, spoil: str) -> None:
    file = trusted.root / "mcpwrap.toml"
    if spoil == "gone":
        file.unlink()
    else:
        file.write_text("][")
    assert "is not trusted any more" in trusted.mcpwrap("untrust").stdout
    trusted.write(FILE)
    assert standing(trusted) == "untrusted"


def test_trust_can_be_taken_back_with_a_file_of_ones_own_that_cant_be_used(trusted: Project) -> None:
    own = Path(folders(trusted.env).config) / "config.toml"
    kept = own.read_text()
    own.write_text("][")
    assert "is not trusted any more" in trusted.mcpwrap("untrust").stdout
    own.write_text(kept)
    assert standing(trusted) == "untrusted"


def test_trust_can_be_taken_back_from_an_agents_shell(trusted: Project) -> None:
    with_agent = {**trusted.env, "CLAUDECODE": "1"}
    import subprocess

    subprocess.run([trusted.command, "untrust"], cwd=trusted.root, env=with_agent, check=True, capture_output=True)
    assert standing(trusted) == "untrusted"


def test_a_file_swapped_between_the_question_and_the_answer_is_not_trusted(shop: Project, at_terminal: At) -> None:
    with at_terminal("trust") as person:
        person.reads("[y/N] ")
        shop.write(FILE.replace("exit 0", "exit 1"))
        person.types("y")
        assert person.ends() == 3
        assert "error: mcpwrap.toml or what it runs changed while you were reading" in person.rest
    assert standing(shop) == "untrusted"


def test_a_script_swapped_between_the_question_and_the_answer_is_not_trusted(shop: Project, at_terminal: At) -> None:
    script = shop.root / "server.sh"
    script.write_text("exit 0")
    shop.write(FILE.replace('"-c", "exit 0"', '"${project}/server.sh"'))
    with at_terminal("trust") as person:
        assert "checks" in person.reads("[y/N] ")
        script.write_text("curl evil")
        person.types("y")
        assert person.ends() == 3
    assert standing(shop) == "untrusted"


def test_a_script_that_changed_since_is_shown_and_asked_for(shop: Project, at_terminal: At) -> None:
    script = shop.root / "server.sh"
    script.write_text("exit 0")
    shop.write(FILE.replace('"-c", "exit 0"', '"${project}/server.sh"'))
    with at_terminal("trust") as person:
        person.reads("[y/N] ")
        person.types("y")
        assert person.ends() == 0
    script.write_text("exit 1")
    with at_terminal("trust") as person:
        assert "server.sh changed" in person.reads("[y/N] ")
        person.types("y")
        assert person.ends() == 0


def test_what_was_typed_before_the_question_is_no_answer(shop: Project, at_terminal: At) -> None:
    with at_terminal("trust") as person:
        person.types("y")
        person.types("y")
        person.reads("[y/N] ")
        person.types("n")
        assert person.ends() == 3
    assert standing(shop) == "untrusted"


def test_what_a_terminal_would_hide_or_obey_is_spelled_out(shop: Project, at_terminal: At) -> None:
    shop.write(FILE.replace("exit 0", "echo \\u001B[2J \\u202E safe \\u200B \\u0007"))
    with at_terminal("trust") as person:
        text = person.reads("[y/N] ")
    assert r"echo \u{1b}[2J \u{202e} safe \u{200b} \u{7}" in text
    assert not set(text) & {"\x1b", "\u202e", "\u200b", "\x07"}


def test_the_question_goes_to_the_terminal_even_where_input_and_output_are_pipes(shop: Project, at_terminal: At) -> None:
    with at_terminal("trust", piped=True) as person:
        person.reads("[y/N] ")
        person.types("y")
        assert person.ends() == 0
    assert standing(shop) == "trusted"


def test_a_terminal_that_is_hung_up_is_a_no(shop: Project, at_terminal: At) -> None:
    with at_terminal("trust") as person:
        person.reads("[y/N] ")
        person.hangs_up()
        person._process.wait(timeout=60)
    assert standing(shop) == "untrusted"


def test_without_a_terminal_nothing_is_trusted(shop: Project) -> None:
    import subprocess

    ended = subprocess.run(
        [shop.command, "trust"],
        cwd=shop.root, env=shop.env, input="y\n", capture_output=True, text=True, check=False, start_new_session=True,
    )  # fmt: skip
    assert ended.returncode == 3
    assert ended.stderr == (
        "error: `mcpwrap trust` asks a person, and there is no terminal here\n"
        "hint: run `mcpwrap trust` in a terminal; for machines see `[trust] scripted` in your own config.toml\n"
    )
    assert standing(shop) == "untrusted"


@pytest.mark.parametrize("name", ["CLAUDECODE", "CURSOR_AGENT", "CODEX_SANDBOX", "GEMINI_CLI", "OPENCODE", "AI_AGENT"])
def test_in_an_agents_shell_nothing_is_trusted(shop: Project, at_terminal: At, name: str) -> None:
    with at_terminal("trust", **{name: "1"}) as person:
        assert person.ends() == 3
        assert f"`{name}` says that this is a shell of" in person.rest
        assert "hint: ask the person to run `mcpwrap trust` in a terminal of their own" in person.rest
    assert standing(shop) == "untrusted"


CLIENT = """
import subprocess, sys
shim = subprocess.Popen([sys.argv[1], "run", "files"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
code = subprocess.call(["/bin/sh", "-c", '"$0" trust; exit $?', sys.argv[1]])
shim.stdin.close()
shim.wait()
sys.exit(code)
"""
"""A client that serves itself with a shim, and lets its model type into a shell."""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at on Linux only")
def test_below_the_client_of_a_running_shim_nothing_is_trusted(shop: Project) -> None:
    with Person([sys.executable, "-c", CLIENT, str(shop.command)], env=shop.env, cwd=shop.root) as person:
        assert person.ends() == 3
        assert "above this one is served by a running mcpwrap" in person.rest
    assert standing(shop) == "untrusted"


def test_no_audit_no_trust(shop: Project, at_terminal: At) -> None:
    state = shop.home / ".local" / "state" / "mcpwrap"
    (state / "audit").write_text("not a folder")
    with at_terminal("trust") as person:
        person.reads("[y/N] ")
        person.types("y")
        assert person.ends() == 1
        assert "error: " in person.rest
    (state / "audit").unlink()
    assert standing(shop) == "untrusted"


CLIENTS = FILE.replace('command = ["/bin/sh", "-c", "exit 0", "${project}"]\n', "")


def test_a_clients_command_is_shown_and_trusted_by_name(shop: Project, at_terminal: At) -> None:
    shop.write(CLIENTS)
    with at_terminal("trust", "files", "--", "/bin/sh", "-c", "exit 7") as person:
        text = person.reads("[y/N] ")
        assert "runs        /bin/sh -c 'exit 7'\n              (a command of the client's configuration" in text
        person.types("y")
        assert person.ends() == 0
    with at_terminal("trust", "files", "--", "/bin/sh", "-c", "exit 8") as person:
        text = person.reads("[y/N] ")
        assert "loosens  files › command    /bin/sh -c 'exit 7' → /bin/sh -c 'exit 8'" in text
        person.types("n")
        assert person.ends() == 3
    with at_terminal("trust", "files", "--", "/bin/sh", "-c", "exit 7") as person:
        assert person.ends() == 0
        assert "trusted already" in person.rest


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["files", "--", "/bin/echo"], 2, "the file has another command for `files`"),
        (["nothing", "--", "/bin/echo"], 2, "mcpwrap.toml has no server `nothing`"),
        (["files"], 2, "a file is trusted as a whole, not server by server"),
    ],
)
def test_a_clients_command_that_does_not_fit_the_file_is_refused(
    shop: Project, at_terminal: At, arguments: list[str], code: int, text: str
) -> None:
    with at_terminal("trust", *arguments) as person:
        assert person.ends() == code
        assert text in person.rest


def test_a_pair_of_projects_is_shown_and_recorded(trusted: Project, at_terminal: At, tmp_path: Path) -> None:
    (tmp_path / "mcpwrap.toml").write_text("version = 1\n")
    with at_terminal("trust", "--project", str(trusted.root), cwd=tmp_path) as person:
        text = person.reads("[y/N] ")
        assert f"You are in another project, {tmp_path}:" in text
        person.types("y")
        assert person.ends() == 0
    with at_terminal("trust", "--project", str(trusted.root), cwd=tmp_path) as person:
        assert person.ends() == 0
        assert "trusted already" in person.rest


def test_the_persons_own_servers_are_trusted_like_a_project(shop: Project, user_config: Path, at_terminal: At) -> None:
    user_config.write_text(user_config.read_text() + '[servers.mine]\ncommand = ["/bin/sh", "-c", "exit 0"]\nallow = ["*"]\n')
    with at_terminal("trust", "--project", str(user_config.parent)) as person:
        assert "\nmine  " in person.reads("[y/N] ")
        person.types("y")
        assert person.ends() == 0
    assert "allowed" in shop.mcpwrap("explain", "mine", "anything").stdout


def test_a_broken_file_is_not_offered(shop: Project, at_terminal: At) -> None:
    shop.write(FILE.replace('allow = ["read_*"', 'alow = ["read_*"'))
    with at_terminal("trust") as person:
        assert person.ends() == 2
        assert "error: unknown key `alow` in [servers.files]\n  mcpwrap.toml:7:1   alow = [" in person.rest
        assert "hint: did you mean `allow`?" in person.rest


def test_a_vault_that_doesnt_open_is_said_before_anything_is_shown(shop: Project, at_terminal: At) -> None:
    key = key_file_of(os.environ)
    key.chmod(0o644)
    with at_terminal("trust") as person:
        assert person.ends() == 1
        assert person.rest == f"error: the key file `{key}` is open to others\nhint: run `chmod 600 {key}`\n"


def test_what_was_trusted_isnt_asked_for_again_while_the_vault_doesnt_open(trusted: Project, at_terminal: At) -> None:
    key = key_file_of(os.environ)
    key.rename(key.with_suffix(".away"))
    with at_terminal("trust") as person:
        assert person.ends() == 1
        assert "Trust this?" not in person.rest
        assert f"error: the key file `{key}` isn't there\n" in person.rest
    key.with_suffix(".away").rename(key)
    with at_terminal("trust") as person:
        assert person.ends() == 0
        assert "is trusted already" in person.rest
