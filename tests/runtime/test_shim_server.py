"""A server that isn't there, dies, or won't go, behind the installed command."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from mcpwrap.runtime.workdir import sweep
from tests.attacks.arena import NAME, RULES, Arena
from tests.attacks.shim import END_S, Shim, tool
from tests.project import Project
from tests.runtime.processes import survivors, until


@pytest.fixture
def arena(project: Project) -> Arena:
    return Arena(project)


def held_text(shim: Shim) -> str:
    """What a held session says, by the tool that it has."""
    assert shim.tools() == ["mcpwrap_status"]
    return str(shim.call("mcpwrap_status")["result"]["content"][0]["text"])


# it never comes up


def test_a_command_that_doesnt_exist_holds_the_session_and_says_so(arena: Arena) -> None:
    arena.policy(command=["no-such-program", "-x"])
    arena.accept()
    with arena.start() as shim:
        assert "`no-such-program` wasn't found" in shim.open()["result"]["instructions"]
        assert "`no-such-program` wasn't found" in held_text(shim)
        refused = shim.call("safe")["result"]
        assert refused["isError"] is True
        assert "`no-such-program` wasn't found" in shim.stderr
        # the remedy isn't another `trust` of what can't be found
        assert "install it, or correct `command` (mcpwrap.toml:" in shim.stderr
    opening, *_ = arena.records
    assert (opening["event"], opening["status"]) == ("lifecycle", "refused")
    assert "`no-such-program` wasn't found" in opening["note"]


def test_a_program_that_is_taken_away_after_trust_holds_the_session(arena: Arena, tmp_path: Path) -> None:
    program = tmp_path / "serve"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    arena.policy(command=[str(program)])
    arena.accept()
    program.unlink()
    with arena.start() as shim:
        shim.open()
        assert f"`{program}` wasn't found" in held_text(shim)


@pytest.mark.parametrize(
    ("content", "why"), [(b"\x7fnonsense", "exec format error"), (b"#!/no/such/interpreter\n", "no such file or directory")]
)
def test_a_program_that_the_system_cant_start_holds_the_session(arena: Arena, tmp_path: Path, content: bytes, why: str) -> None:
    program = tmp_path / "serve"
    program.write_bytes(content)
    program.chmod(0o755)
    arena.policy(command=[str(program)])
    arena.accept()
    with arena.start() as shim:
        shim.open()
        assert f"the server can't be started: {why}" in held_text(shim)


def test_a_working_folder_that_is_gone_holds_the_session(arena: Arena) -> None:
    arena.script()
    arena.policy(more='cwd = "${project}/there"\n')
    arena.accept()
    with arena.start() as shim:
        shim.open()
        assert "no such file or directory" in held_text(shim)


# it dies at its start


def test_a_server_that_misses_a_variable_which_the_policy_held_back_says_exactly_that(arena: Arena) -> None:
    arena.set_up({"start": [{"need": "GITHUB_TOKEN"}]})
    with arena.start(env={**arena.project.env, "GITHUB_TOKEN": "s3cret", "OTHER": "x"}) as shim:
        shim.open()
        assert held_text(shim).splitlines() == [
            'mcpwrap is holding "lab" back: the server exited (1) at start and said last: "Error: GITHUB_TOKEN is not set". '
            "The client passed GITHUB_TOKEN; the policy doesn't let it through.",
            'Ask the user to add inherit_env = ["GITHUB_TOKEN"] to [servers.lab] (mcpwrap.toml:2) and run `mcpwrap trust`.',
            "Don't run it yourself and don't work around it.",
        ]
        assert "s3cret" not in str(shim.raw) + shim.stderr
    assert "s3cret" not in str(arena.records)
    noted = next(record["note"] for record in arena.records if record["method"] == "exited")
    assert noted.startswith('mcpwrap is holding "lab" back: the server exited (1) at start')


def test_a_banner_on_stdout_doesnt_hide_that_a_server_died_at_its_start(arena: Arena) -> None:
    arena.set_up({"start": [{"raw": "Starting...\n"}, {"need": "GITHUB_TOKEN"}]})
    with arena.start(env={**arena.project.env, "GITHUB_TOKEN": "x"}) as shim:
        shim.open()
        assert "the policy doesn't let it through" in held_text(shim)


def test_a_server_that_dies_at_its_start_without_a_word_names_what_was_held_back(arena: Arena) -> None:
    arena.set_up({"start": [{"exit": 4}]})
    with arena.start(env={**arena.project.env, "FIRST": "x", "SECOND": "x"}) as shim:
        shim.open()
        assert "the server exited (4) at start. The client passed FIRST, SECOND; the policy" in held_text(shim)


def test_a_variable_that_is_let_through_after_all_lets_the_session_go_on(arena: Arena) -> None:
    arena.set_up({"start": [{"need": "GITHUB_TOKEN"}]})
    with arena.start(env={**arena.project.env, "GITHUB_TOKEN": "x"}) as shim:
        shim.open()
        assert "GITHUB_TOKEN" in held_text(shim)
        arena.policy(more='inherit_env = ["GITHUB_TOKEN"]\n')
        arena.accept()
        shim.wait_for_stderr("lab goes on")
        shim.wait_for_method("notifications/tools/list_changed")
        assert shim.tools() == ["safe", "logged", "asked"]
        assert "result" in shim.call("safe")


# it dies later


@pytest.mark.parametrize(("action", "how"), [({"exit": 0}, "exited (0)"), ({"kill": 11}, "was ended by signal 11")])
def test_a_server_that_dies_in_a_call_fails_all_that_is_in_flight_and_holds(arena: Arena, action: dict[str, int], how: str) -> None:
    with arena.run({"on": {"tools/call": [[], [action]]}}) as shim:
        shim.open()
        shim.fence()
        shim.ask(7, "tools/call", tool("safe"))
        shim.ask(8, "tools/call", tool("logged"))
        for id_ in (7, 8):
            error = shim.answer_to(id_)["error"]
            assert error["code"] == -32603
            assert how in error["message"]
        shim.wait_for_method("notifications/tools/list_changed")
        assert how in held_text(shim)
    assert sorted(r["status"] for r in arena.records if r["event"] == "response") == ["lost", "lost"]


def test_what_a_server_said_before_it_died_still_arrives(arena: Arena) -> None:
    with arena.run({"on": {"tools/call": [[{"text": 500_000}, {"exit": 0}]]}}) as shim:
        shim.open()
        assert len(shim.call("safe")["result"]["content"][0]["text"]) == 500_000


def test_a_server_that_dies_in_the_handshake_leaves_a_session_that_opens(arena: Arena) -> None:
    with arena.run({"on": {"initialize": [[{"exit": 2}]]}}) as shim:
        answer = shim.open("2025-06-18")["result"]
        assert answer["protocolVersion"] == "2025-06-18"
        assert "exited (2)" in answer["instructions"]
        assert "exited (2)" in held_text(shim)


@pytest.mark.parametrize("descriptor", [0, 1])
def test_a_server_that_closes_a_pipe_but_lives_is_ended_and_its_calls_fail(arena: Arena, descriptor: int) -> None:
    with arena.run({"on": {"tools/call": [[{"close": descriptor}, {"pause": 1}]]}}) as shim:
        shim.open()
        shim.ask(7, "tools/call", tool("safe"))
        assert until(lambda: arena.called() == ["safe"])
        shim.ask(8, "tools/call", tool("safe"))
        for id_ in (7, 8):
            assert shim.answer_to(id_)["error"]["code"] == -32603
    assert survivors(arena.pids().values(), END_S) == []


# it won't go


@pytest.mark.parametrize("start", [[], [{"deaf": 1}], [{"deaf": 1}, {"family": 1}]], ids=["EOF", "SIGTERM", "with a family"])
def test_a_server_that_heeds_nothing_is_gone_with_the_session(arena: Arena, start: list[dict[str, int]]) -> None:
    with arena.run({"start": start, "eof": [{"pause": 1}]}) as shim:
        shim.open()
        shim.hang_up()
        assert shim.ended() == 0
        assert survivors(arena.pids().values(), END_S) == []


def test_a_server_that_overlooks_the_end_of_its_input_is_asked_before_it_is_killed(arena: Arena) -> None:
    with arena.run({"start": [{"polite": 1}], "eof": [{"pause": 1}]}) as shim:
        shim.open()
        shim.hang_up()
        assert shim.ended() == 0
    assert arena.log[-1] == b"#asked"


def test_a_server_that_still_answers_after_the_end_of_its_input_is_heard(arena: Arena) -> None:
    late = {"send": {"jsonrpc": "2.0", "id": 7, "result": {"content": []}}}
    with arena.run({"on": {"tools/call": [[]]}, "eof": [late]}) as shim:
        shim.open()
        shim.ask(7, "tools/call", tool("safe"))
        shim.hang_up()
        assert shim.answer_to(7)["result"] == {"content": []}
        assert shim.ended() == 0


def test_what_a_server_leaves_in_its_folder_is_kept_and_said(arena: Arena) -> None:
    with arena.run({"start": [{"leave": "notes.txt"}]}) as shim:
        shim.open()
        shim.hang_up()
        assert shim.ended() == 0
    (folder,) = (arena.state / "work").iterdir()
    assert (folder / "notes.txt").exists()
    assert f"is kept: {folder}" in shim.stderr


def test_the_folder_of_a_run_that_was_killed_is_cleared_away_later(arena: Arena) -> None:
    arena.set_up()
    with arena.start() as shim:
        shim.open()
        shim.kill()
    assert len(list((arena.state / "work").iterdir())) == 1
    with arena.start() as shim:
        shim.open()
        sweep(str(arena.state))  # what each run does once, some seconds after its start
        (left,) = (arena.state / "work").iterdir()
        assert left.name.startswith(f"{shim.pid}-")


# the policy is broken


def test_a_typo_in_the_project_file_is_told_with_its_place_and_the_nearest_key(arena: Arena) -> None:
    with arena.run() as shim:
        shim.open()
        arena.policy("alow = []\n")
        refused = arena.project.mcpwrap("check", check=False)
        assert refused.returncode == 2
        assert "mcpwrap.toml:4:1" in refused.stdout
        assert "did you mean `allow`?" in refused.stdout
        # what was accepted goes on judging
        assert "result" in shim.call("safe")
        assert shim.call("evil")["error"]["code"] == -32602


def test_a_typo_in_the_users_file_holds_the_session_until_it_is_mended(arena: Arena, user_config: Path) -> None:
    arena.set_up()
    good = user_config.read_text("utf-8")
    with arena.start() as shim:
        shim.open()
        shim.fence()
        user_config.write_text(good + f"[servers.{NAME}]\ndenny = ['*']\n", encoding="utf-8")
        shim.wait_for_method("notifications/tools/list_changed")
        text = held_text(shim)
        assert "unknown key `denny`" in text
        assert f"{user_config}:6" in text
        assert "did you mean `deny`?" in text
        user_config.write_text(good, encoding="utf-8")
        shim.wait_for_stderr("lab goes on")
        shim.wait_for_method("notifications/tools/list_changed")
        assert "result" in shim.call("safe")


def test_a_server_that_the_file_doesnt_define_is_held(arena: Arena) -> None:
    arena.script()
    arena.project.write(f"version = 1\n[servers.other]\ncommand = ['{sys.executable}']\n{RULES.replace(NAME, 'other')}")
    arena.accept()
    with arena.start() as shim:
        shim.open()
        assert "has no [servers.lab]" in held_text(shim)


def test_a_stopped_server_holds_up_no_end(arena: Arena) -> None:
    with arena.run() as shim:
        shim.open()
        os.kill(arena.pids()["server"], signal.SIGSTOP)
        shim.ask(7, "tools/call", tool("safe"))
        shim.hang_up()
        assert shim.ended() == 0
    assert survivors(arena.pids().values(), END_S) == []
