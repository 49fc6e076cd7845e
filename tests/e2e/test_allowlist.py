"""The allowlist in front of real servers: what isn't admitted is neither listed nor reached (POLICY.md §3, PROTOCOL.md §5)."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

import pytest

from tests.e2e import parts, sessions
from tests.e2e.lines import Lines, Message
from tests.e2e.repository import prepare
from tests.e2e.sessions import Talk, initialize, modern_meta
from tests.project import Project, Server

pytestmark = pytest.mark.real

NOTHING = "allow = []"
INVALID_PARAMS = -32602
RESOURCE_NOT_FOUND = -32002


def listed(project: Project, server: Server, *, modern: bool = False) -> list[Message]:
    """The tools as the server itself lists them."""
    with Lines(project.direct(server)) as lines:
        talk = Talk(lines, modern_meta() if modern else None)
        if not modern:
            initialize(talk, lines, {})
        tools: list[Message] = talk.ask("tools/list")["result"]["tools"]
        return tools


@pytest.mark.parametrize("modern", [False, True], ids=["legacy", "modern"])
def test_without_an_allowlist_a_server_shows_no_tool_and_runs_none(modern: bool, project: Project) -> None:
    server = parts.git()
    prepare(project)
    tools = listed(project, server, modern=modern)
    project.define(server, rules=NOTHING)
    with Lines(project.behind(server)) as lines:
        talk = Talk(lines, modern_meta() if modern else None)
        if not modern:
            initialize(talk, lines, {})
        assert talk.ask("tools/list")["result"]["tools"] == []
        for tool in tools:
            refused = talk.call(tool["name"], {"repo_path": "repo", "files": ["notes.txt"], "message": "m", "branch_name": "b"})
            assert refused["error"]["code"] == INVALID_PARAMS, tool["name"]
    with Lines(project.direct(server)) as lines:
        talk = Talk(lines)
        initialize(talk, lines, {})
        staged = talk.call("git_diff_staged", {"repo_path": "repo"})["result"]["content"][0]["text"]
        assert staged.strip() == "Staged changes:", "a refused call reached the server"


def test_without_an_allowlist_nothing_of_a_server_that_has_everything_is_there(project: Project) -> None:
    server = parts.everything()
    tools = listed(project, server)
    project.define(server, rules=NOTHING)
    with Lines(project.behind(server)) as lines:  # no answers: a request of the server's that came through would fail the test
        talk = Talk(lines)
        initialize(talk, lines, sessions.EVERY_CAPABILITY)
        assert talk.ask("tools/list")["result"]["tools"] == []
        assert talk.ask("prompts/list")["result"]["prompts"] == []
        assert talk.ask("resources/list")["result"]["resources"] == []
        assert talk.ask("resources/templates/list")["result"]["resourceTemplates"] == []
        for tool in tools:
            assert talk.call(tool["name"])["error"]["code"] == INVALID_PARAMS, tool["name"]
        assert talk.ask("prompts/get", {"name": "simple-prompt"})["error"]["code"] == INVALID_PARAMS
        uri = "demo://resource/dynamic/text/1"
        assert talk.ask("resources/read", {"uri": uri})["error"]["code"] == RESOURCE_NOT_FOUND
        assert "error" in talk.ask("resources/subscribe", {"uri": uri})
        reference = {"type": "ref/prompt", "name": "completable-prompt"}
        assert "error" in talk.ask("completion/complete", {"ref": reference, "argument": {"name": "department", "value": ""}})
        assert "result" in talk.ask("ping")


def test_a_list_is_filtered_and_what_is_hidden_is_refused_as_an_unknown_tool_is(project: Project) -> None:
    server = parts.filesystem()
    patterns = ("read_*", "list_*", "write_file")
    prepare(project)
    tools = listed(project, server)
    project.define(server, rules='allow = ["read_*", "list_*", "write_file", "!read_media_file"]')
    with Lines(project.behind(server)) as lines:
        talk = Talk(lines)
        initialize(talk, lines, {})
        shown = talk.ask("tools/list")["result"]["tools"]
        kept = [t for t in tools if t["name"] != "read_media_file" and any(fnmatchcase(t["name"], p) for p in patterns)]
        assert shown == kept, "order and definitions stay the server's"
        assert len(kept) < len(tools)

        assert "isError" not in talk.call("write_file", {"path": "work/new.txt", "content": "one"})["result"]
        assert (project.root / "work" / "new.txt").read_text() == "one"
        hidden = talk.call("move_file", {"source": "work/new.txt", "destination": "work/moved.txt"})
        unknown = talk.call("no_such_tool", {"source": "work/new.txt", "destination": "work/moved.txt"})
        assert hidden["error"]["code"] == unknown["error"]["code"] == INVALID_PARAMS
        assert not (project.root / "work" / "moved.txt").exists()


def test_a_refusal_names_the_record_that_explains_it(project: Project) -> None:
    server = parts.memory()
    project.define(server, rules='allow = ["read_graph"]\ndeny = ["delete_*"]')
    with Lines(project.behind(server)) as lines:
        talk = Talk(lines)
        initialize(talk, lines, {})
        talk.call("read_graph")
        refused = json.dumps(talk.call("delete_entities", {"entityNames": ["tea"]})["error"])
    records = [json.loads(line) for line in project.mcpwrap("log", "--json").stdout.splitlines()]
    calls = [record for record in records if record["event"] == "call"]
    assert [record["outcome"] for record in calls if record["tool"] == "read_graph"][:1] == ["allow"]
    [denied] = [record for record in calls if record["tool"] == "delete_entities"]
    assert (denied["outcome"], denied["status"]) == ("deny", "refused")
    assert denied["reasons"][0]["line"] > 0
    assert denied["ref"] in refused
