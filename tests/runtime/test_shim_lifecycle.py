"""What changes while a session runs: trust is taken back and given, files tighten, a change is accepted (POLICY.md §5)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.attacks.arena import NAME, RULES, Arena
from tests.attacks.shim import END_S, Message, Shim, modern, said, tool
from tests.project import Project
from tests.runtime.processes import survivors, until

OPEN = 'allow = ["*"]\n'
CHANGED = "notifications/tools/list_changed"


@pytest.fixture
def arena(project: Project) -> Arena:
    return Arena(project)


def status(shim: Shim) -> str:
    """What `mcpwrap_status` says."""
    return str(shim.call("mcpwrap_status")["result"]["content"][0]["text"])


def listen(shim: Shim, id_: int) -> None:
    """Subscribe to list changes in the stateless way."""
    shim.ask(id_, "subscriptions/listen", modern({"notifications": {"toolsListChanged": True}}))
    assert shim.wait_for_method("notifications/subscriptions/acknowledged")["params"]["notifications"] == {"toolsListChanged": True}


# trust taken back, and given


def test_trust_that_is_taken_back_refuses_the_next_call_and_ends_the_server(arena: Arena) -> None:
    with arena.run() as shim:
        shim.open()
        assert "result" in shim.call("safe")
        server = arena.pids()["server"]
        arena.project.mcpwrap("untrust")
        refused = shim.call("safe")["result"]
        assert refused["isError"] is True
        assert "is not trusted yet" in refused["content"][0]["text"]
        assert survivors([server], END_S) == []
        assert shim.tools() == ["mcpwrap_status"]
        assert arena.called() == ["safe"]


def test_trust_that_is_given_again_lets_the_session_go_on_with_a_new_server(arena: Arena) -> None:
    with arena.run() as shim:
        shim.open()
        shim.fence()
        first = arena.wait_for_pids("server")["server"]
        arena.project.mcpwrap("untrust")
        shim.wait_for_method(CHANGED)
        arena.project.trust()
        shim.wait_for_method(CHANGED)
        assert shim.tools() == ["safe", "logged", "asked"]
        assert said(shim.call("safe"))["name"] == "safe"
        assert arena.pids()["server"] != first
        # the client's own handshake was said again, and no answer to it reached the client
        openings = [m for m in arena.received if m.get("method") == "initialize"]
        assert len(openings) == 2
        assert openings[0]["params"] == openings[1]["params"]
        assert len(shim.answers(0)) == 1
        assert not any("mcpwrap-initialize" in line.decode() for line in shim.raw)


def test_a_call_in_flight_fails_when_trust_is_taken_back(arena: Arena) -> None:
    with arena.run({"on": {"tools/call": [[]]}}) as shim:
        shim.open()
        shim.ask(7, "tools/call", tool("safe"))
        shim.fence()
        arena.project.mcpwrap("untrust")
        error = shim.answer_to(7)["error"]
        assert error["code"] == -32603
        assert "is not trusted yet" in error["message"]
    (end,) = [r for r in arena.records if r["event"] == "response"]
    assert end["status"] == "lost"


# a held session goes on


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_a_legacy_session_that_was_opened_untrusted_goes_on(arena: Arena, revision: str) -> None:
    arena.script({"legacy": True})
    arena.policy()
    with arena.start() as shim:
        assert shim.open(revision)["result"]["protocolVersion"] == revision
        assert "is not trusted yet" in status(shim)
        arena.project.trust()
        shim.wait_for_method(CHANGED)
        assert shim.tools() == ["safe", "logged", "asked"]
        assert said(shim.call("safe", x=1)) == {"name": "safe", "arguments": {"x": 1}}
        assert shim.call("evil")["error"]["code"] == -32602
    assert [m["method"] for m in arena.received[:2]] == ["initialize", "notifications/initialized"]
    assert arena.received[0]["params"]["protocolVersion"] == revision


def test_a_stateless_session_that_was_opened_untrusted_goes_on(arena: Arena) -> None:
    arena.script()
    arena.policy()
    with arena.start() as shim:
        found = shim.request(1, "server/discover", modern())["result"]
        assert "is not trusted yet" in found["instructions"]
        assert (found["ttlMs"], found["cacheScope"]) == (0, "private")
        assert shim.tools(modern()) == ["mcpwrap_status"]
        listen(shim, 2)
        arena.project.trust()
        assert shim.wait_for_method(CHANGED)["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == 2
        assert shim.tools(modern()) == ["safe", "logged", "asked"]
        assert said(shim.call_modern("safe"))["name"] == "safe"
        assert shim.call_modern("evil")["error"]["code"] == -32602


def test_a_stateless_session_goes_on_with_a_server_that_is_legacy(arena: Arena) -> None:
    changed = {"send": {"jsonrpc": "2.0", "method": CHANGED}}
    asks = {"send": {"jsonrpc": "2.0", "id": 5, "method": "roots/list"}}
    arena.script({"legacy": True, "on": {"tools/call": [[changed, asks, {"honest": 1}]]}})
    arena.policy(RULES + f'[servers.{NAME}.server_requests]\nallow = ["*"]\n')
    with arena.start() as shim:
        assert "result" in shim.request(1, "server/discover", modern())
        listen(shim, 2)
        arena.project.trust()
        shim.wait_for_method(CHANGED)
        result: Message = shim.request(3, "tools/list", modern())["result"]
        assert [t["name"] for t in result["tools"]] == ["safe", "logged", "asked"]
        assert (result["resultType"], result["ttlMs"], result["cacheScope"]) == ("complete", 0, "private")
        answer = shim.call_modern("safe")
        assert said(answer)["name"] == "safe"
        assert answer["result"]["resultType"] == "complete"
        assert shim.call_modern("evil")["error"]["code"] == -32602
        assert not any(m.get("method") == "roots/list" for m in shim.messages)
        stamps = [m["params"]["_meta"] for m in shim.messages if m.get("method") == CHANGED]
        assert stamps == [{"io.modelcontextprotocol/subscriptionId": 2}] * 2
    (call,) = [m for m in arena.received if m.get("method") == "tools/call"]
    assert call["params"] == {"name": "safe", "arguments": {}}


def test_a_session_whose_client_said_nothing_yet_goes_on_without_a_word_to_the_server(arena: Arena) -> None:
    arena.script({"legacy": True})
    arena.policy()
    with arena.start() as shim:
        shim.wait_for_stderr("is not trusted yet")
        arena.project.trust()
        shim.wait_for_stderr("lab goes on")
        assert shim.open()["result"]["serverInfo"]["name"] == "scripted"
        shim.fence()
    assert arena.methods()[0] == "initialize"


def test_a_server_that_refuses_to_go_on_leaves_the_session_held(arena: Arena) -> None:
    refusal = {"send": {"jsonrpc": "2.0", "id": "$id", "error": {"code": -32602, "message": "no"}}}
    arena.script({"on": {"initialize": [[refusal]]}})
    arena.policy()
    with arena.start() as shim:
        shim.open()
        arena.project.trust()
        arena.wait_for_pids("server")
        assert until(lambda: "refused the session" in status(shim))
        assert shim.call("safe")["result"]["isError"] is True
    assert arena.called() == []


def test_calls_that_come_while_the_session_goes_on_are_still_refused(arena: Arena) -> None:
    arena.script({"on": {"initialize": [[]], "ping": [[]]}})
    arena.policy()
    with arena.start() as shim:
        shim.open()
        arena.project.trust()
        shim.wait_for_stderr("lab goes on")
        assert shim.call("safe")["result"]["isError"] is True
        assert "result" in shim.request(1, "ping")
    assert arena.called() == []


# files that tighten, changes that are accepted


def test_a_tightened_users_file_counts_from_the_next_call_on(arena: Arena, user_config: Path) -> None:
    arena.set_up()
    good = user_config.read_text("utf-8")
    with arena.start() as shim:
        shim.open()
        assert "result" in shim.call("safe")
        server = arena.pids()["server"]
        user_config.write_text(good + '[servers."*"]\ndeny = ["sa*"]\n', encoding="utf-8")
        shim.wait_for_method(CHANGED)
        refused = shim.call("safe")
        assert refused["error"]["code"] == -32602
        assert shim.tools() == ["logged", "asked"]
        user_config.write_text(good, encoding="utf-8")
        shim.wait_for_method(CHANGED)
        assert "result" in shim.call("safe")
        assert arena.pids()["server"] == server


def test_the_users_file_admits_nothing(arena: Arena, user_config: Path) -> None:
    arena.set_up()
    user_config.write_text(user_config.read_text("utf-8") + '[servers."*"]\nask = ["*"]\n', encoding="utf-8")
    with arena.start() as shim:
        shim.open()
        assert "was not run" in shim.call("safe")["result"]["content"][0]["text"]
        assert shim.call("evil")["error"]["code"] == -32602
        assert shim.call("unnamed")["error"]["code"] == -32602
    assert arena.called() == []


def test_an_accepted_change_of_the_rules_counts_without_a_restart(arena: Arena) -> None:
    with arena.run() as shim:
        shim.open()
        assert shim.call("evil")["error"]["code"] == -32602
        server = arena.pids()["server"]
        arena.policy(OPEN)
        shim.wait_for_method(CHANGED)
        assert shim.call("evil")["error"]["code"] == -32602  # changed, and not accepted
        arena.project.trust()
        shim.wait_for_method(CHANGED)
        assert "result" in shim.call("evil")
        assert "mcpwrap_status" not in shim.tools()
        assert arena.pids()["server"] == server
    digests = [r["policy_digest"] for r in arena.records if r.get("tool") == "evil"]
    assert len(set(digests)) == 2


def test_an_accepted_change_of_the_command_is_told_and_waits_for_the_next_start(arena: Arena) -> None:
    with arena.run() as shim:
        shim.open()
        server = arena.wait_for_pids("server")["server"]
        arena.policy(command=[*arena.argv, "more"])
        arena.project.trust()
        shim.wait_for_stderr("the accepted command changed")
        assert "the accepted command changed" in status(shim)
        assert "result" in shim.call("safe")
        # still, when something else is accepted after it
        arena.policy(OPEN, command=[*arena.argv, "more"])
        arena.project.trust()
        assert until(lambda: "result" in shim.call("evil"))
        assert "the accepted command changed" in status(shim)
        assert "mcpwrap_status" in shim.tools()
        assert arena.pids()["server"] == server
    with arena.start() as shim:
        shim.open()
        assert "result" in shim.call("evil")
        assert "mcpwrap_status" not in shim.tools()


# a command that stays in the client's configuration


def test_a_clients_command_that_is_the_files_own_runs(arena: Arena) -> None:
    arena.set_up()
    with arena.start(*arena.argv) as shim:
        shim.open()
        assert "result" in shim.call("safe")


@pytest.mark.parametrize("more", [("more",), ("--token", "ghp_" + "a" * 36)])
def test_a_clients_command_that_differs_from_the_files_is_held(arena: Arena, more: tuple[str, ...]) -> None:
    arena.set_up()
    with arena.start(*arena.argv, *more) as shim:
        shim.open()
        text = status(shim)
        assert "the client's command" in text
        assert "is not the one of mcpwrap.toml:2" in text
        assert "ghp_" not in text + shim.stderr
    assert arena.log == []


def test_a_clients_command_that_the_file_leaves_open_is_held_until_exactly_it_is_trusted(arena: Arena) -> None:
    arena.script()
    arena.policy(command=())
    arena.accept()
    with arena.start(*arena.argv) as shim:
        shim.open()
        assert f"mcpwrap trust --project {arena.project.root} {NAME} -- {sys.executable}" in status(shim)
        digest = arena.project.mcpwrap("check", "--json").stdout.partition('"digest": "')[2][:64]
        arena.project.mcpwrap("trust", "--digest", digest, NAME, "--", *arena.argv)
        shim.wait_for_method(CHANGED)
        assert "result" in shim.call("safe")
    with arena.start(*arena.argv, "more") as shim:
        shim.open()
        assert "isn't the one that was accepted" in status(shim)
    with arena.start() as shim:
        shim.open()
        assert "has no command" in status(shim)
