"""Too much: lines without an end, floods, peers that don't read. Memory stays bounded, and the session ends or goes on."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from mcpwrap.core.framing import LINE_LIMIT
from tests.attacks.arena import Arena
from tests.attacks.shim import DEADLINE_S, END_S, Shim, encoded, memory_kib, tool
from tests.runtime.processes import survivors

MIB = 1024
"""KiB."""

NOTICE = '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"' + "x" * 1000 + '"}}\n'


def idle(shim: Shim) -> None:
    """Wait until the shim does nothing any more: both sides are held up."""
    end = time.monotonic() + DEADLINE_S
    before, since = "", time.monotonic()
    while time.monotonic() - since < 0.5:
        now = "".join(Path(f"/proc/{shim.pid}/stat").read_text().rpartition(")")[2].split()[11:13])
        if now != before:
            before, since = now, time.monotonic()
        assert time.monotonic() < end, "the shim is never idle"
        time.sleep(0.02)


def at_most_until_its_end(shim: Shim) -> int:
    """The memory that the shim took at most, in KiB, looked at until it is gone."""
    most, end = 0, time.monotonic() + END_S
    while shim.process.poll() is None:
        try:
            most = max(most, memory_kib(shim.pid))
        except (OSError, AssertionError):  # gone, or just going
            continue
        assert time.monotonic() < end, "the shim doesn't end"
        time.sleep(0.01)
    return most


def test_a_line_of_the_clients_beyond_the_limit_ends_the_session_and_reaches_nobody(arena: Arena) -> None:
    with arena.run({"on": {"tools/call": [[]]}}) as shim:
        shim.open()
        shim.ask(7, "tools/call", tool("safe"))
        shim.fence()
        before = len(arena.log)
        with pytest.raises(BrokenPipeError):
            shim.send_bytes(b'{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"safe","arguments":{"x":"')
            for _ in range(LINE_LIMIT // (1 << 20) + 2):
                shim.send_bytes(b"x" * (1 << 20))
        assert shim.answer_to(7)["error"]["code"] == -32603
        assert shim.ended() == 0
        assert len(arena.log) == before
    assert f"a line is longer than {LINE_LIMIT} bytes" in shim.stderr
    assert [r["status"] for r in arena.records if r["event"] == "response"] == ["lost"]


def test_a_line_of_the_servers_without_an_end_ends_the_session_in_bounded_memory(arena: Arena) -> None:
    with arena.run({"on": {"tools/call": [[{"deaf": 1}, {"for_ever": "x" * 65536}]]}}) as shim:
        shim.open()
        assert shim.call("safe")["error"]["code"] == -32603
        assert at_most_until_its_end(shim) < 300 * MIB
        assert shim.process.returncode == 0
        assert shim.stderr.count("the session ends") == 1
    assert survivors(arena.pids().values()) == []


def test_a_client_that_reads_nothing_makes_the_server_wait_and_not_the_shim_grow(arena: Arena) -> None:
    with arena.run({"on": {"tools/call": [[{"repeat": [60_000, NOTICE]}, {"honest": 1}]]}}, reading=False) as shim:
        shim.send({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": tool("safe")})
        arena.wait_for_pids("server")
        idle(shim)
        assert memory_kib(shim.pid) < 80 * MIB
        shim.read()
        shim.answer_to(7)
        assert len(shim.raw) == 60_001


def test_a_server_that_reads_nothing_makes_the_client_wait_and_not_the_shim_grow(arena: Arena) -> None:
    with arena.run({"start": [{"pause": 1}]}) as shim:
        arena.wait_for_pids("server")
        calls = b"".join(
            encoded({"jsonrpc": "2.0", "id": i, "method": "tools/call", "params": tool("safe", x="x" * 1000)})
            for i in range(60_000)
        )
        sender = threading.Thread(target=_send, args=(shim, calls))
        sender.start()
        idle(shim)
        assert memory_kib(shim.pid) < 80 * MIB
        assert sender.is_alive()
        shim.process.terminate()
        assert shim.ended() == 0
        sender.join(END_S)
    assert survivors(arena.pids().values()) == []


def _send(shim: Shim, data: bytes) -> None:
    assert shim.process.stdin is not None
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(shim.process.stdin.fileno(), view) :]
    except OSError:
        return  # the shim ended, as it was told


def test_a_client_that_floods_with_calls_gets_every_answer_once(arena: Arena) -> None:
    count = 5_000
    with arena.run() as shim:
        shim.open()
        shim.send_bytes(
            b"".join(
                encoded({"jsonrpc": "2.0", "id": i, "method": "tools/call", "params": tool("safe" if i % 2 else "evil")})
                for i in range(1, count + 1)
            )
        )
        shim.fence()
        ids = [m["id"] for m in shim.messages if isinstance(m["id"], int) and m["id"]]
    assert sorted(ids) == list(range(1, count + 1))
    assert set(arena.called()) == {"safe"}
    assert len([r for r in arena.records if r["event"] == "call"]) == count


def test_a_flood_of_junk_from_either_side_is_recorded_by_sample(arena: Arena) -> None:
    with arena.run({"on": {"tools/call": [[{"repeat": [3_000, "junk\n"]}, {"honest": 1}]]}}) as shim:
        shim.open()
        shim.send_bytes(b'{"jsonrpc":"2.0","method":"notifications/none"}\n' * 3_000)
        shim.call("safe")
        shim.fence()
        assert len(shim.raw) == 3
    noise = [r for r in arena.refused() if r["event"] == "notification"]
    assert 200 <= len(noise) < 300
    assert noise[-1]["note"].startswith("one of ")


def test_a_servers_stderr_flood_holds_up_nothing(arena: Arena) -> None:
    with arena.run({"start": [{"stderr": "x" * 5_000_000 + "\n"}]}) as shim:
        shim.open()
        assert "result" in shim.call("safe")
        assert memory_kib(shim.pid) < 80 * MIB


def test_a_descendant_that_goes_on_writing_doesnt_hold_up_the_word_that_the_server_is_gone(arena: Arena) -> None:
    with arena.run({"on": {"tools/call": [[{"flooding_child": "junk\n" * 100}, {"exit": 3}]]}}) as shim:
        shim.open()
        assert shim.call("safe")["error"]["code"] == -32603
        assert "exited (3)" in shim.call("mcpwrap_status")["result"]["content"][0]["text"]
    assert survivors(arena.pids().values()) == []
