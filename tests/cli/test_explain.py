"""`mcpwrap explain`: the decision, its reasons, and what would have to change (POLICY.md §3)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from mcpwrap.audit.writer import AuditWriter
from mcpwrap.core.entry import Entry
from mcpwrap.core.jsonrpc import Json
from mcpwrap.core.pins import Kind, Learned
from mcpwrap.core.rules import Reason
from mcpwrap.policy.folders import folders
from mcpwrap.policy.lock import Entry as LockEntry
from mcpwrap.policy.lock import Lock, render
from mcpwrap.policy.pins import PinStore
from tests.cli.conftest import FILE, plain
from tests.project import Project
from tests.vaults import vault_of


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
    user_config.write_text(user_config.read_text() + '[servers."*"]\ndeny = ["read_*"]\n')
    code, text = explain(accepted, "files", "read_file")
    assert code == 4
    assert f"{user_config}:6  deny  deny" in text
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


CONDITIONS = (
    FILE.replace('ask = ["edit_*"]', 'ask = ["edit_*"]\nlimit = "100/h"')
    + """
[[servers.files.rules]]
ask = ["read_*"]
unless.path = { within = "${project}/docs" }

[[servers.files.rules]]
deny = ["*"]
args."*" = { glob = ["**/.env"] }
reason = "secrets stay out of the model"

[[servers.files.rules]]
allow = ["search_files"]
args.path = { within = "${project}" }
limit = "30/min"

[[servers.files.rules]]
deny = ["list_secret"]
when = '!("developers" in subject.groups)'

[[servers.files.server_requests.rules]]
allow = ["sampling"]
args.maxTokens = { max = 100 }
"""
)


@pytest.fixture
def conditional(project: Project) -> Project:
    project.write(CONDITIONS)
    project.trust()
    return project


def test_arguments_are_judged_and_what_would_have_let_it_through_is_said(conditional: Project) -> None:
    code, text = explain(conditional, "files", "search_files", '{"path": "/etc/passwd"}')
    assert code == 4
    assert text.startswith("files › search_files: denied\n  mcpwrap.toml:3  deny  no rule admits this tool\n")
    assert "what would have let it through, had its conditions held:\n  mcpwrap.toml:28  allow  " in text
    assert "`path` isn't inside ROOT" in text
    assert "1. call it so that the `allow` rule at mcpwrap.toml:28 holds, or change its conditions\n  2. mcpwrap trust\n" in text


def test_a_call_that_fits_is_allowed_with_its_limits(conditional: Project) -> None:
    code, text = explain(conditional, "files", "search_files", f'{{"path": "{conditional.root}/x"}}')
    assert code == 0
    assert text.startswith("files › search_files: allowed\n  mcpwrap.toml:28  allow  ")
    assert "within these limits:\n  mcpwrap.toml:28  allow  limit = 30/min; past it: ask\n" in text
    assert "  mcpwrap.toml:3   limit  limit = 100/h for the server; past it: ask\n" in text


def test_a_limit_on_answers_alone_asks_nobody(project: Project) -> None:
    project.write(FILE.replace('ask = ["edit_*"]', 'ask = ["edit_*"]\nmax_result_bytes = 2000'))
    project.trust()
    code, text = explain(project, "files", "read_file")
    assert code == 0
    assert text.endswith(
        "within these limits:\n  mcpwrap.toml:3  limit  max_result_bytes = 2000 for the server; longer answers are held back\n"
    )


def test_without_arguments_the_range_of_outcomes_and_the_rules_that_matter_are_said(conditional: Project) -> None:
    code, text = explain(conditional, "files", "read_file")
    assert code == 0
    assert text.startswith("files › read_file: allowed, or stricter by its arguments: denied\n  mcpwrap.toml:7  allow  ")
    assert "what depends on its arguments (give them as JSON behind the name):\n  mcpwrap.toml:19  ask   ask = " in text
    assert "  mcpwrap.toml:23  deny  secrets stay out of the model\n" in text
    code, text = explain(conditional, "files", "delete_file")
    assert code == 4
    assert text.startswith("files › delete_file: denied\n")
    facts = json.loads(conditional.mcpwrap("explain", "files", "search_files", "--json", check=False).stdout)
    assert (facts["outcome"], facts["at_worst"]) == ("allow", "deny")
    assert [each["line"] for each in facts["depends"]] == [23, 28]


def test_a_denial_by_a_condition_says_that_it_can_be_changed(conditional: Project) -> None:
    code, text = explain(conditional, "files", "read_file", '{"nested": [{"x": "a/.env"}]}')
    assert code == 4
    assert "  mcpwrap.toml:23  deny  secrets stay out of the model\n" in text
    assert '2. change the conditions of that rule, or add "!read_file" to the `deny` that has "*"' in text
    code, text = explain(conditional, "files", "read_file", f'{{"path": "{conditional.root}/docs/a"}}')
    assert (code, text.splitlines()[0]) == (0, "files › read_file: allowed")


def test_who_asks_can_be_said(conditional: Project) -> None:
    assert explain(conditional, "files", "list_secret", "{}")[0] == 4
    assert explain(conditional, "files", "list_secret", "{}", "--subject", '{"groups": ["guests"]}')[0] == 4
    assert explain(conditional, "files", "list_secret", "{}", "--subject", '{"groups": ["developers"]}')[0] == 0
    assert explain(conditional, "files", "list_secret", "{}", "--subject", "[]")[0] == 2


@pytest.mark.parametrize(("tokens", "code"), [(5, 0), (500, 4)])
def test_what_a_server_asks_is_judged_by_its_parameters(conditional: Project, tokens: int, code: int) -> None:
    found, text = explain(conditional, "files", "--method", "sampling/createMessage", f'{{"maxTokens": {tokens}}}')
    assert found == code
    assert text.startswith("files › sampling  (sampling/createMessage): ")


def test_a_key_that_stands_twice_is_no_valid_json(conditional: Project) -> None:
    assert explain(conditional, "files", "read_file", '{"path": "a", "path": "b"}')[0] == 2


def test_a_name_that_is_too_long_is_denied_for_that(conditional: Project) -> None:
    assert "longer than 4096 characters" in explain(conditional, "files", "x" * 4097)[1]


def test_a_refusal_by_arguments_is_repeated_with_what_was_recorded(conditional: Project) -> None:
    reason = Reason("mcpwrap.toml", 23, "deny", "secrets stay out of the model")
    arguments = {"path": "a/.env", "n": [1, True]}
    record(
        conditional,
        Entry("call", "client", "tools/call", outcome="deny", ref="k7f5", tool="read_file", reasons=(reason,), arguments=arguments),
    )
    code, text = explain(conditional, "k7f5")
    assert code == 4
    assert "today it would be another answer" not in text
    assert "recorded in part" not in text


@pytest.mark.parametrize("value", ["[redacted]", "x… (999 characters)"])
def test_a_refusal_that_was_recorded_in_part_says_that_it_cannot_be_repeated(conditional: Project, value: str) -> None:
    reason = Reason("mcpwrap.toml", 23, "deny", "secrets stay out of the model")
    entry = Entry("call", "client", "tools/call", outcome="deny", ref="k7f6", tool="read_file", reasons=(reason,))
    record(conditional, msgspec.structs.replace(entry, arguments={"path": [value]}))
    text = explain(conditional, "k7f6")[1]
    assert "note: its arguments were recorded in part (redacted or shortened), so the answer can't be repeated exactly\n" in text
    assert "files › read_file: allowed, or stricter by its arguments: denied" in text


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


def test_what_is_not_pinned_is_denied_by_its_pins(project: Project) -> None:
    project.write(FILE)
    entry = LockEntry(items={"tool": {"read_file": {"name": "read_file"}}})
    (project.root / "mcpwrap.lock").write_bytes(render(Lock({"files": entry})))
    project.trust()
    assert explain(project, "files", "read_file")[0] == 0
    assert explain(project, "files", "read_other") == (
        4,
        """\
files › read_other: denied
  mcpwrap.lock  deny  the tool `read_other` is not among those that were accepted; `mcpwrap pins` shows it
to let it run:
  1. mcpwrap pins accept files read_other
""",
    )


def test_a_tool_that_the_server_has_not_is_named_with_the_nearest(project: Project) -> None:
    project.write(FILE)
    entry = LockEntry(items={"tool": {"read_file": {"name": "read_file"}}})
    (project.root / "mcpwrap.lock").write_bytes(render(Lock({"files": entry})))
    assert (
        "files has no tool `read_fil`, as far as is known; did you mean `read_file`?\n" in explain(project, "files", "read_fil")[1]
    )
    assert "files has no tool `zz`, as far as is known\n" in explain(project, "files", "zz")[1]
    assert "has no tool" not in explain(project, "files", "read_file")[1]


def test_a_name_that_is_to_be_pasted_is_written_as_toml_does(project: Project) -> None:
    project.write(FILE)
    assert r'add "a\u001b\"\U0000202e" to `allow`' in explain(project, "files", 'a\x1b"\u202e')[1]


def test_what_changed_since_it_was_pinned_is_denied_by_what_was_seen(project: Project) -> None:
    project.write(FILE)
    accepted = {"name": "read_file", "description": "old"}
    (project.root / "mcpwrap.lock").write_bytes(render(Lock({"files": LockEntry(items={"tool": {"read_file": accepted}})})))
    project.trust()
    items: dict[Kind, dict[str, Json]] = {"tool": {"read_file": {"name": "read_file", "description": "new"}}}
    state = folders({**os.environ, "HOME": str(project.home)}).state
    PinStore(state, vault_of(project.env)).note_seen(str(project.root), "files", Learned(items=items, complete=frozenset({"tool"})))
    code, text = explain(project, "files", "read_file")
    assert code == 4
    assert "the tool `read_file`: its definition is not the one that was accepted" in text
