"""The shim's own standard streams: pipes, sockets, files, nothing at all; and large messages through them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.arena import Arena
from tests.attacks.shim import END_S, encoded, memory_kib, said, tool
from tests.project import Project
from tests.runtime.processes import survivors

SESSION = b"".join(
    encoded(m)
    for m in (
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18", "capabilities": {}}},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": tool("safe")},
        {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": tool("evil")},
    )
)


@pytest.fixture
def arena(project: Project) -> Arena:
    found = Arena(project)
    found.set_up()
    return found


def answers(text: bytes) -> dict[int, Any]:
    """The answers in an output, by id."""
    messages = [json.loads(line) for line in text.splitlines()]
    return {m["id"]: m for m in messages if "id" in m}


def run(arena: Arena, redirection: str = "", **how: Any) -> subprocess.CompletedProcess[bytes]:
    """One session from a shell, which can close what we can't."""
    command = f'exec "$0" run --project "$1" lab {redirection}'
    argv = ["sh", "-c", command, str(arena.project.command), str(arena.project.root)]
    return subprocess.run(argv, env=arena.project.env, cwd=arena.project.root, timeout=END_S * 3, check=False, **how)


def test_a_file_as_standard_input_is_a_session_that_ends_with_it(arena: Arena, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(SESSION)
    with (tmp_path / "in").open("rb") as file:
        ended = run(arena, stdin=file, capture_output=True)
    assert ended.returncode == 0
    found = answers(ended.stdout)
    assert said(found[2])["name"] == "safe"
    assert found[3]["error"]["code"] == -32602


def test_a_file_as_standard_output_gets_every_line(arena: Arena, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        ended = run(arena, input=SESSION, stdout=file, stderr=subprocess.PIPE)
    assert ended.returncode == 0
    assert set(answers((tmp_path / "out").read_bytes())) == {1, 2, 3}


def test_no_input_ends_the_session_at_once(arena: Arena) -> None:
    ended = run(arena, stdin=subprocess.DEVNULL, capture_output=True)
    assert (ended.returncode, ended.stdout) == (0, b"")


def test_an_output_that_swallows_everything_is_no_fault(arena: Arena) -> None:
    ended = run(arena, input=SESSION, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert ended.returncode == 0
    assert arena.called() == ["safe"]


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_the_client_left_closed_is_never_another_descriptor_of_ours(arena: Arena, redirection: str) -> None:
    ended = run(arena, redirection, input=SESSION, capture_output=True)
    assert ended.returncode == 0
    assert b"bug" not in ended.stderr
    if redirection == "2>&-":
        assert set(answers(ended.stdout)) == {1, 2, 3}
    assert arena.called() == (["safe"] if "<&-" not in redirection else [])


def test_sockets_as_standard_streams_as_node_makes_them(arena: Arena) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(END_S)
    with arena.start(stdin=theirs, stdout=theirs) as shim:
        theirs.close()
        ours.sendall(
            SESSION + encoded({"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": tool("safe", x="x" * 3_000_000)})
        )
        data = b""
        while 4 not in answers(data[: data.rfind(b"\n") + 1]):
            data += ours.recv(1 << 20)
        assert said(answers(data)[4])["arguments"]["x"] == "x" * 3_000_000
        ours.shutdown(socket.SHUT_WR)
        assert shim.ended() == 0
        ours.close()


def test_large_messages_pass_in_both_directions(arena: Arena) -> None:
    size = 10 * 1024 * 1024
    with arena.start() as shim:
        shim.open()
        assert said(shim.call("safe", x="x" * size))["arguments"]["x"] == "x" * size
        assert "result" in shim.call("safe")
        assert memory_kib(shim.pid) < 300 * 1024


def test_the_client_that_goes_on_writing_but_reads_no_more_ends_the_session(arena: Arena) -> None:
    with arena.start(reading=False) as shim:
        assert shim.process.stdout is not None
        shim.process.stdout.close()
        shim.send({"jsonrpc": "2.0", "id": 1, "method": "ping"})
        assert shim.ended() == 0
    assert survivors(arena.pids().values(), END_S) == []


def test_a_stderr_that_nobody_reads_holds_up_nothing(arena: Arena) -> None:
    arena.script({"start": [{"stderr": "first\n"}], "on": {"tools/call": [[{"stderr": "x" * 10_000}, {"honest": 1}]]}})
    read, write = os.pipe()
    argv = [str(arena.project.command), "run", "--project", str(arena.project.root), "lab"]
    process = subprocess.Popen(
        argv, env=arena.project.env, cwd=arena.project.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=write
    )
    os.close(write)
    out, _ = process.communicate(
        SESSION + encoded({"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": tool("safe")}), END_S
    )
    os.close(read)
    assert process.returncode == 0
    assert set(answers(out)) == {1, 2, 3, 4}


def test_a_stderr_that_is_closed_later_holds_up_nothing(arena: Arena) -> None:
    arena.script({"on": {"tools/call": [[{"stderr": "x" * 10_000}, {"honest": 1}]]}})
    with arena.start() as shim:
        shim.open()
        assert shim.process.stderr is not None
        os.dup2(os.open(os.devnull, os.O_RDONLY), shim.process.stderr.fileno())
        for _ in range(3):
            assert "result" in shim.call("safe")


def test_a_stopped_shim_goes_on_where_it_was(arena: Arena) -> None:
    with arena.start() as shim:
        shim.open()
        os.kill(shim.pid, signal.SIGSTOP)
        shim.ask(7, "tools/call", tool("safe"))
        os.kill(shim.pid, signal.SIGCONT)
        assert "result" in shim.answer_to(7)


def test_a_name_that_is_no_text_is_held_like_any_other_unknown_one(arena: Arena) -> None:
    ended = subprocess.run(
        [bytes(arena.project.command), b"run", b"\xff\x1b[31m"],
        env=arena.project.env, cwd=arena.project.root, input=SESSION, capture_output=True, timeout=END_S * 3, check=False,
    )  # fmt: skip
    assert ended.returncode == 0
    assert answers(ended.stdout)[2]["result"]["isError"] is True
    assert b"\x1b" not in ended.stderr
    assert arena.log == []
