"""`mcpwrap status`: where things stand, and what to do next."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mcpwrap.cli.here import EXAMPLE
from mcpwrap.core.entry import Entry
from mcpwrap.core.rules import Reason
from tests.cli.conftest import FILE, PLAIN, At, plain
from tests.cli.person import Person
from tests.cli.test_explain import REFUSED, record
from tests.project import Project


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
