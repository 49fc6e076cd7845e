"""`mcpwrap explain REF` of what no line of a file refused: it says so, and names no rule that had no part in it."""

from __future__ import annotations

import json
import os

import msgspec
import pytest

from mcpwrap.core.entry import Entry
from mcpwrap.core.rules import NAME_LIMIT, Reason
from mcpwrap.policy.lock import Entry as LockEntry
from mcpwrap.policy.lock import Lock, render
from tests.cli.conftest import FILE
from tests.cli.test_explain import explain, record
from tests.project import Project
from tests.vaults import key_file_of

BY_ITSELF = "mcpwrap refused this by itself, by no rule of a file\n"


@pytest.fixture
def accepted(project: Project) -> Project:
    project.write(FILE)
    project.trust()
    return project


def own(text: str, method: str = "tools/call", *, event: str = "call", sender: str = "client", file: str = "") -> Entry:
    reason = Reason(file, 0, "deny", text)
    return Entry(event, sender, method, outcome="deny", ref="k7f2", reasons=(reason,), status="refused")


@pytest.mark.parametrize(
    "entry",
    [
        own("not valid JSON", ""),
        own("`name` must be a string and `arguments` an object"),
        own("`tasks/list` doesn't exist in revision 2025-06-18", "tasks/list"),
        own("no such request here", "vendor/ask", sender="server"),
        own("it asks for a secret", "elicitation/create", sender="server"),
        own("an answer to nothing that was asked", "", event="response", sender="server"),
        msgspec.structs.replace(own("an id that is in flight can't be used again"), tool="read_file"),
        msgspec.structs.replace(own("an id that is in flight can't be used again"), tool="move_file"),
        msgspec.structs.replace(own("no permitted call of this session made this task", "tasks/get"), task="t"),
    ],
)
def test_what_mcpwrap_refuses_by_itself_names_no_rule(accepted: Project, entry: Entry) -> None:
    record(accepted, entry)
    code, text = explain(accepted, "k7f2")
    assert code == 4
    assert text.endswith(f"  mcpwrap  deny  {entry.reasons[0].text}\n{BY_ITSELF}")
    assert "mcpwrap.toml" not in text
    facts = json.loads(accepted.mcpwrap("explain", "k7f2", "--json", check=False).stdout)
    assert (facts["today"], facts["note"]) == (None, BY_ITSELF.strip())


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (own("a dot segment in the URI", "resources/read"), "a dot segment in the URI"),
        (own("names that begin with `mcpwrap_` are mcpwrap's own"), "names that begin with `mcpwrap_` are mcpwrap's own"),
    ],
)
def test_what_it_refuses_by_its_name_is_the_same_answer_today(accepted: Project, entry: Entry, text: str) -> None:
    target = {"uri": "docs://a/../b"} if entry.method == "resources/read" else {"tool": "mcpwrap_x"}
    record(accepted, msgspec.structs.replace(entry, **target))
    assert explain(accepted, "k7f2")[1].endswith(f"  mcpwrap  deny  {text}\n")


@pytest.mark.parametrize(
    ("entry", "line", "why"),
    [
        (own("`elicitation` is not permitted", "notifications/elicitation/complete", event="notification"), 14, "no rule admits"),
        (own("the server asks for sampling, which isn't permitted: no rule"), 14, "no rule admits this server request"),
        (own("the server wants to open a URL, which isn't permitted", event="response"), 14, "no rule admits this server request"),
        (own("resources in it aren't permitted", event="response"), 12, "which resource isn't recorded"),
        (own("a resource that isn't permitted", "notifications/resources/updated", event="notification"), 12, "which resource"),
    ],
)
def test_where_the_policy_is_behind_it_its_line_is_named(accepted: Project, entry: Entry, line: int, why: str) -> None:
    record(accepted, entry)
    code, text = explain(accepted, "k7f2")
    assert code == 4
    assert "the policy behind it says today:\n" in text
    assert f"    mcpwrap.toml:{line}  deny  {why}" in text


def test_a_policy_that_permits_it_is_not_behind_it(accepted: Project) -> None:
    record(accepted, own("`roots` is not permitted", "notifications/roots/list_changed", event="notification"))
    assert explain(accepted, "k7f2")[1].endswith(BY_ITSELF)


HELD = "the server is held back: mcpwrap.toml in /src/shop is not trusted yet"


def test_what_was_refused_while_the_server_was_held_is_asked_of_the_policy_once_it_isnt(accepted: Project) -> None:
    record(accepted, msgspec.structs.replace(own(HELD), tool="read_file", arguments={}))
    assert explain(accepted, "k7f2")[1].endswith(
        'once it isn\'t held, the policy says:\n  files › read_file: allowed\n    mcpwrap.toml:7  allow  allow = ["read_*"]\n'
    )


def test_while_the_server_still_is_held_that_is_said_with_its_command(project: Project) -> None:
    project.write(FILE)
    note = "run `mcpwrap trust` in a terminal of their own, in that folder"
    record(project, msgspec.structs.replace(own(HELD), tool="read_file", arguments={}, note=note))
    code, text = explain(project, "k7f2")
    assert code == 4
    assert f"  note       {note}\n" in text
    assert text.endswith(
        f"  mcpwrap  deny  {HELD}\n"
        "it is still held back: mcpwrap.toml in ROOT is not trusted yet; next: mcpwrap trust --project ROOT\n"
    )
    facts = json.loads(project.mcpwrap("explain", "k7f2", "--json", check=False).stdout)
    assert facts["today"] is None
    assert facts["note"].startswith("it is still held back: ")
    project.trust()
    assert "once it isn't held, the policy says:\n  files › read_file: allowed\n" in explain(project, "k7f2")[1]


def test_a_secret_that_isnt_set_yet_still_holds_the_server(project: Project) -> None:
    project.write(FILE + '[servers.files.credentials.KEY]\nsecret = "KEY"\n')
    project.trust()
    record(project, msgspec.structs.replace(own("the server is held back: KEY can't be had"), tool="read_file", arguments={}))
    assert explain(project, "k7f2")[1].endswith(
        "it is still held back: its secret KEY isn't set; next: mcpwrap secret set --project ROOT files KEY\n"
    )


def test_where_the_vault_doesnt_open_the_record_is_shown_and_why_no_more_can_be_said(accepted: Project) -> None:
    record(accepted, msgspec.structs.replace(own(HELD), tool="read_file", arguments={}))
    key = key_file_of(os.environ)
    key.chmod(0o644)
    assert explain(accepted, "k7f2")[1].endswith(
        f"today: can't be said, the key file `{key}` is open to others; next: run `chmod 600 {key}`\n"
    )


def test_what_a_server_says_of_itself_is_held_by_its_pin(accepted: Project) -> None:
    record(accepted, own("what the server says of itself has changed", "initialize", event="lifecycle", file="mcpwrap.lock"))
    assert explain(accepted, "k7f2")[1].endswith("it is held by its pin, by no rule of a file; `mcpwrap pins` shows it\n")


@pytest.mark.parametrize(
    ("name", "end"), [("read_other", "mcpwrap pins accept files read_other\n"), ("read_file", "files › read_file: allowed\n")]
)
def test_a_tool_that_its_pin_held_is_judged_by_its_pin_again(project: Project, name: str, end: str) -> None:
    project.write(FILE)
    entry = LockEntry(items={"tool": {"read_file": {"name": "read_file"}}})
    (project.root / "mcpwrap.lock").write_bytes(render(Lock({"files": entry})))
    project.trust()
    text = f"the tool `{name}` is not among those that were accepted; `mcpwrap pins` shows it"
    record(project, msgspec.structs.replace(own(text, file="mcpwrap.lock"), tool=name, arguments={}))
    assert end in explain(project, "k7f2")[1]


def test_a_name_that_was_cut_for_the_record_is_not_judged_again(accepted: Project) -> None:
    reason = Reason("mcpwrap.toml", 3, "deny", f"longer than {NAME_LIMIT} characters")
    record(accepted, Entry("call", "client", "tools/call", outcome="deny", ref="k7f2", tool="r" * NAME_LIMIT, reasons=(reason,)))
    code, text = explain(accepted, "k7f2")
    assert code == 4
    assert text.endswith("today: can't be said, its name was recorded in part\n")
