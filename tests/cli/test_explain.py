"""`mcpwrap explain`: the decision, its reasons, and what would have to change (POLICY.md §3)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mcpwrap.audit.writer import AuditWriter
from mcpwrap.core.entry import Entry
from mcpwrap.core.rules import Reason
from mcpwrap.policy.folders import folders
from tests.cli.conftest import FILE, plain
from tests.project import Project


@pytest.fixture
def accepted(project: Project) -> Project:
    project.write(FILE)
    project.trust()
    return project


def explain(project: Project, *args: str) -> tuple[int, str]:
    ended = project.mcpwrap("explain", *args, check=False)
    return ended.returncode, plain(ended.stdout + ended.stderr, project)


def test_what_is_allowed_is_said_with_its_rule(accepted: Project) -> None:
    assert explain(accepted, "files", "read_file") == (
        0,
        'files › read_file: allowed\n  mcpwrap.toml:7  allow  allow = ["read_*"]\n',
    )


def test_what_is_logged_is_said(accepted: Project) -> None:
    code, text = explain(accepted, "files", "create_directory")
    assert code == 0
    assert text.startswith("files › create_directory: allowed, and logged in full\n  mcpwrap.toml:8  log  log = ")


def test_a_denial_says_what_would_have_to_change(accepted: Project) -> None:
    assert explain(accepted, "files", "move_file") == (
        4,
        """\
files › move_file: denied
  mcpwrap.toml:10  deny  deny = ["move_file"]
to let it run:
  1. take "move_file" out of `deny` in [servers.files], mcpwrap.toml:10
  2. add "move_file" to `allow` in [servers.files], mcpwrap.toml:3
  3. mcpwrap trust
""",
    )


def test_what_no_rule_admits_says_where_to_add_it(accepted: Project) -> None:
    code, text = explain(accepted, "files", "delete_file")
    assert code == 4
    assert text.endswith('1. add "delete_file" to `allow` in [servers.files], mcpwrap.toml:3\n  2. mcpwrap trust\n')


def test_what_a_list_takes_out_itself_says_so(accepted: Project) -> None:
    code, text = explain(accepted, "files", "read_media_file")
    assert code == 4
    assert '1. take "!read_media_file" out of `allow` in [servers.files], mcpwrap.toml:7\n  2. mcpwrap trust\n' in text


def test_a_question_says_that_nobody_can_be_asked_yet(accepted: Project) -> None:
    assert explain(accepted, "files", "edit_file") == (
        0,
        """\
files › edit_file: needs a person's yes; this version can't ask anybody, so it is refused
  mcpwrap.toml:9  ask  ask = ["edit_*"]
to let it run:
  1. add "!edit_file" to the `ask` that has "edit_*" in [servers.files], mcpwrap.toml:9
  2. add "edit_file" to `allow` in [servers.files], mcpwrap.toml:3
  3. mcpwrap trust
""",
    )


def test_the_steps_that_are_named_do_let_it_run(accepted: Project) -> None:
    changed = FILE.replace('"edit_*"', '"edit_*", "!edit_file"').replace('"read_*"', '"read_*", "edit_file"')
    accepted.write(changed)
    accepted.trust()
    assert explain(accepted, "files", "edit_file")[1].startswith("files › edit_file: allowed\n")


def test_a_denial_of_the_persons_own_file_says_that_the_project_cannot_undo_it(accepted: Project, user_config: Path) -> None:
    user_config.write_text('[servers."*"]\ndeny = ["read_*"]\n')
    code, text = explain(accepted, "files", "read_file")
    assert code == 4
    assert f"{user_config}:2  deny  deny" in text
    assert 'add "!read_file" to the `deny` that has "read_*", ' in text
    assert "it tightens from outside; the project's file can't undo it" in text
    assert "mcpwrap trust" not in text


@pytest.mark.parametrize(
    ("method", "name", "outcome"),
    [
        ("resources/read", "docs://readme", "allow"),
        ("resources/read", "docs://a/../b", "deny"),
        ("resources/read", "file:///etc/passwd", "deny"),
        ("prompts/get", "review", "deny"),
        ("roots/list", "", "allow"),
        ("sampling/createMessage", "", "deny"),
        ("ping", "", "allow"),
        ("vendor/secret", "", "deny"),
        ("completion/complete", "docs://readme", "allow"),
        ("tools/call", "mcpwrap_status", "deny"),
    ],
)
def test_other_methods_are_judged_by_their_own_tables(accepted: Project, method: str, name: str, outcome: str) -> None:
    ended = accepted.mcpwrap("explain", "files", *([name] if name else []), "--method", method, "--json", check=False)
    facts = json.loads(ended.stdout)
    assert facts["outcome"] == outcome
    assert facts["reasons"]
    assert ended.returncode == (4 if outcome == "deny" else 0)


def test_a_method_without_a_name_of_its_own_says_what_it_follows(accepted: Project) -> None:
    code, text = explain(accepted, "files", "x", "--method", "tasks/get")
    assert code == 2
    assert "error: `tasks/get` isn't judged by a name of its own but by the call it belongs to" in text


def test_arguments_make_no_difference_yet_and_that_is_said(accepted: Project) -> None:
    code, text = explain(accepted, "files", "read_file", '{"path": "x"}')
    assert code == 0
    assert text.endswith("note: this version judges by names alone; the arguments made no difference\n")


@pytest.mark.parametrize("arguments", ["{", "[]", "1"])
def test_arguments_that_are_no_object_are_an_error(accepted: Project, arguments: str) -> None:
    assert explain(accepted, "files", "read_file", arguments)[0] == 2


def test_an_unknown_server_is_named_with_the_nearest(accepted: Project) -> None:
    assert explain(accepted, "file", "read_file") == (
        2,
        "error: mcpwrap.toml has no server `file`\nhint: did you mean `files`?\n",
    )


def test_where_nothing_is_trusted_the_file_as_it_lies_there_is_explained(project: Project) -> None:
    project.write(FILE)
    code, text = explain(project, "files", "read_file")
    assert code == 0
    assert "by mcpwrap.toml as it stands; nothing of it runs until you accept it: `mcpwrap trust`" in text


def test_where_a_change_waits_the_accepted_version_is_explained(accepted: Project) -> None:
    accepted.write(FILE.replace('deny = ["move_file"]', "").replace('"read_*"', '"read_*", "move_file"'))
    code, text = explain(accepted, "files", "move_file")
    assert code == 4
    assert "by the version accepted on TODAY; a change waits: `mcpwrap trust`" in text


def test_a_server_that_only_the_change_has_is_held(accepted: Project) -> None:
    accepted.write(FILE + '[servers.more]\ncommand = ["/bin/sh"]\nallow = ["*"]\n')
    code, text = explain(accepted, "more", "x")
    assert code == 0
    assert "by mcpwrap.toml as it stands; `more` is held until you accept it" in text


def test_a_tools_name_cannot_draw_on_the_terminal(accepted: Project) -> None:
    _, text = explain(accepted, "files", "read\x1b[2J\u202e")
    assert r"read\u{1b}[2J\u{202e}" in text
    assert "\x1b" not in text


# a refusal that was seen


def record(project: Project, *entries: Entry) -> None:
    state = folders({**os.environ, **project.env}).state
    writer = AuditWriter(
        str(Path(state) / "audit"),
        shim="abcdef123456",
        project=str(project.root),
        server="files",
        subject={"issuer": "local", "sub": "ann"},
        policy_digest="",
    )
    writer.write(entries)
    writer.close()


REFUSED = Entry(
    "call",
    "client",
    "tools/call",
    outcome="deny",
    ref="k7f2",
    request_id=3,
    tool="move_file",
    reasons=(Reason("mcpwrap.toml", 10, "deny", 'deny = ["move_file"]'),),
    arguments={"source": "a", "destination": "\x1b[2J"},
    status="refused",
)


@pytest.mark.parametrize("ref", ["k7f2", "(ref k7f2)", "ref k7f2"])
def test_a_refusal_is_explained_by_its_ref(accepted: Project, ref: str) -> None:
    record(accepted, REFUSED)
    code, text = explain(accepted, ref)
    assert code == 4
    assert text.startswith("files › move_file: deny, refused\n  when ")
    assert r"\u{1b}" not in text.split("arguments")[0]
    assert "\x1b" not in text
    assert text.endswith("""\
  mcpwrap.toml:10  deny  deny = ["move_file"]
to let it run:
  1. take "move_file" out of `deny` in [servers.files], mcpwrap.toml:10
  2. add "move_file" to `allow` in [servers.files], mcpwrap.toml:3
  3. mcpwrap trust
""")


def test_a_refusal_that_would_not_happen_today_says_so(accepted: Project) -> None:
    record(accepted, REFUSED)
    accepted.write(FILE.replace('deny = ["move_file"]', "").replace('"read_*"', '"read_*", "move_file"'))
    accepted.trust()
    code, text = explain(accepted, "k7f2")
    assert code == 4
    assert text.endswith("""\
today it would be another answer:
  files › move_file: allowed
    mcpwrap.toml:7  allow  allow = ["move_file"]
""")


def test_a_refusal_of_a_project_that_is_gone_is_still_shown(accepted: Project) -> None:
    record(accepted, REFUSED)
    (accepted.root / "mcpwrap.toml").unlink()
    code, text = explain(accepted, "k7f2")
    assert code == 4
    assert "today: can't be said, " in text


def test_a_refusal_for_programs(accepted: Project) -> None:
    record(accepted, REFUSED)
    facts = json.loads(accepted.mcpwrap("explain", "k7f2", "--json", check=False).stdout)
    assert facts["records"][0]["ref"] == "k7f2"
    assert facts["today"]["outcome"] == "deny"


def test_a_call_that_ran_is_explained_by_its_ref_too(accepted: Project) -> None:
    reason = Reason("mcpwrap.toml", 7, "allow", 'allow = ["read_*"]')
    record(
        accepted,
        Entry("call", "client", "tools/call", outcome="allow", ref="k7f3", tool="read_file", reasons=(reason,)),
        Entry("response", "server", "tools/call", ref="k7f3", status="ok", duration_ms=1.5),
    )
    code, text = explain(accepted, "k7f3")
    assert code == 0
    assert text.startswith("files › read_file: allow, ok\n")


def test_an_unknown_ref_is_an_error_with_a_way_on(accepted: Project) -> None:
    assert explain(accepted, "zzzz") == (
        1,
        "error: no audit record has the ref `zzzz`\n"
        "hint: `mcpwrap log` shows the refs; for a server's tool: `mcpwrap explain SERVER TOOL`\n",
    )
