"""When mcpwrap itself fails in the middle of a message: nothing is forwarded half done, nobody waits for ever, nothing lives on."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.attacks.arena import NAME, Arena
from tests.attacks.shim import END_S, Shim, tool
from tests.project import Project
from tests.runtime.processes import survivors

BROKEN = """
import sys
from mcpwrap.core.session import Session

sound = Session.handle

def handle(self, event):
    if b"stumble" in getattr(event, "line", b""):
        %s
    return sound(self, event)

Session.handle = handle
from mcpwrap.cli.main import main
main(sys.argv[1:])
"""


@pytest.fixture
def arena(project: Project) -> Arena:
    found = Arena(project)
    found.set_up({"on": {"tools/call": [[]]}})
    return found


def start(arena: Arena, tmp_path: Path, statement: str) -> Shim:
    """A session of a shim that does `statement` where a line holds the word."""
    program = tmp_path / "broken.py"
    program.write_text(BROKEN % statement, encoding="utf-8")
    argv = [sys.executable, str(program), "run", "--project", str(arena.project.root), NAME]
    return Shim(argv, arena.project.env, arena.project.root)


@pytest.mark.parametrize("error", ["ZeroDivisionError('x')", "MemoryError()", "RecursionError('x')"])
def test_a_fault_in_the_middle_of_a_message_ends_the_session_with_an_answer_to_all_in_flight(
    arena: Arena, tmp_path: Path, error: str
) -> None:
    with start(arena, tmp_path, f"raise {error}") as shim:
        shim.open()
        shim.ask(7, "tools/call", tool("safe"))
        shim.fence()
        shim.ask(8, "tools/call", tool("safe", word="stumble"))
        assert shim.answer_to(7)["error"]["code"] == -32603
        assert shim.ended() == 1
        assert "This is a bug in mcpwrap" in shim.stderr
    assert arena.called() == ["safe"]
    assert survivors(arena.pids().values(), END_S) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_shim_that_is_busy_with_one_message(arena: Arena, tmp_path: Path, number: signal.Signals) -> None:
    with start(arena, tmp_path, "\n        print('busy', file=sys.stderr, flush=True)\n        while True: pass") as shim:
        shim.open()
        shim.ask(8, "tools/call", tool("safe", word="stumble"))
        shim.wait_for_stderr("busy")
        shim.process.send_signal(number)
        assert shim.ended() == -signal.SIGALRM
    assert survivors(arena.pids().values(), END_S) == []


def test_a_call_that_holds_half_a_character_is_recorded_and_runs_though_the_client_gave_its_name(arena: Arena) -> None:
    arena.script()
    with arena.start() as shim:
        shim.open()  # with a `clientInfo`, which is spliced into records as it was encoded
        shim.send_bytes(b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"safe","arguments":{"x":"\\ud800"}}}\n')
        assert "result" in shim.answer_to(7)
    (record,) = [r for r in arena.records if r["event"] == "call"]
    assert record["arguments"] == {"x": "\ud800"}
    assert record["client"] == {"name": "attacker", "version": "1"}
