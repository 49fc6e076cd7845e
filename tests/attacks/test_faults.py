"""What breaks at the worst moment: a process is killed, a disk is full, a home can't be written (ATTACKS.md, faults)."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.attacks.arena import Arena
from tests.attacks.shim import END_S, Shim, children_of, encoded, tool
from tests.runtime.processes import survivors, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")

FAMILY = ("server", "child", "session", "daemon")
STUBBORN = {"start": [{"deaf": 1}, {"family": 1}], "eof": [{"pause": 1}], "on": {"tools/call": [[{"honest": 1}], []]}}


def family_of(arena: Arena, shim: Shim) -> dict[str, int]:
    """Every process of the run, by kind."""
    server = arena.wait_for_pids(*FAMILY)
    (guardian,) = children_of(shim.pid)
    return {**server, "guardian": guardian, "shim": shim.pid}


@pytest.mark.parametrize("moment", ["before a word", "in a call", "while it ends"])
@pytest.mark.parametrize("victims", [("shim",), ("guardian",), ("server", "shim"), ("shim", "guardian")])
def test_nothing_lives_on_when_processes_are_killed(arena: Arena, victims: Sequence[str], moment: str) -> None:
    with arena.run(STUBBORN) as shim:
        family = family_of(arena, shim)
        if moment != "before a word" or victims == ("guardian",):
            # NOTE: a guardian that is killed before the shim's loop runs leaves its orphans to init
            shim.open()
        if moment == "in a call":
            shim.call("safe")
            shim.ask(7, "tools/call", tool("safe"))
            assert until(lambda: len(arena.called()) == 2)
        if moment == "while it ends":
            shim.hang_up()
        for victim in victims:
            os.kill(family[victim], signal.SIGKILL)
        if victims != ("shim", "guardian"):  # NOTE: with both gone at one blow nobody is left to end a daemon
            shim.hang_up()
            assert survivors(family.values(), END_S) == []
        else:
            assert survivors([family["server"]], END_S) == []
            for pid in survivors(family.values(), 0.5):
                os.kill(pid, signal.SIGKILL)
        shim.process.wait(END_S)
    if moment == "in a call":
        assert [r["tool"] for r in arena.records if r["event"] == "call"] == ["safe", "safe"]


def test_nothing_lives_on_when_the_client_is_killed(arena: Arena) -> None:
    arena.set_up(STUBBORN)
    argv = [str(arena.project.command), "run", "--project", str(arena.project.root), "lab"]
    code = (
        "import json, subprocess, sys, signal\n"
        "shim = subprocess.Popen(json.loads(sys.argv[1]), stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "print(shim.pid, flush=True)\n"
        "signal.pause()\n"
    )
    client = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(argv)], env=arena.project.env, stdout=subprocess.PIPE, text=True
    )
    assert client.stdout is not None
    shim = int(client.stdout.readline())
    family = [*arena.wait_for_pids(*FAMILY).values(), *children_of(shim), shim]
    client.kill()
    client.wait()
    client.stdout.close()
    assert survivors(family, END_S) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_everything(arena: Arena, number: signal.Signals) -> None:
    with arena.run(STUBBORN) as shim:
        shim.open()
        family = family_of(arena, shim)
        shim.process.send_signal(number)
        assert shim.ended() == 0
        assert survivors(family.values(), END_S) == []


def test_a_killed_server_fails_its_calls_and_holds_the_session(arena: Arena) -> None:
    with arena.run({"on": {"tools/call": [[]]}}) as shim:
        shim.open()
        shim.ask(7, "tools/call", tool("safe"))
        shim.ask("8", "tools/call", tool("safe"))
        shim.fence()
        os.kill(arena.pids()["server"], signal.SIGKILL)
        for id_ in (7, "8"):
            error = shim.answer_to(id_)["error"]
            assert error["code"] == -32603
            assert "was ended by signal 9" in error["message"]
        assert shim.tools() == ["mcpwrap_status"]
        assert "reconnect this server" in shim.call("safe")["result"]["content"][0]["text"]
    assert [r["status"] for r in arena.records if r["event"] == "response"] == ["lost", "lost"]


def test_a_killed_guardian_takes_the_server_along_and_the_session_stays_held_for_good(arena: Arena) -> None:
    with arena.run(STUBBORN) as shim:
        shim.open()
        shim.fence()
        family = family_of(arena, shim)
        os.kill(family.pop("guardian"), signal.SIGKILL)
        shim.wait_for_method("notifications/tools/list_changed")
        assert survivors([pid for kind, pid in family.items() if kind != "shim"], END_S) == []
        arena.policy("allow = []\n")
        arena.accept()  # (the shim looks at the files before each call)
        assert "guards the server is gone" in shim.call("safe")["result"]["content"][0]["text"]
        assert "goes on" not in shim.stderr


def test_every_call_that_reached_the_server_has_its_record_when_the_shim_is_killed(arena: Arena) -> None:
    calls = b"".join(
        encoded({"jsonrpc": "2.0", "id": i, "method": "tools/call", "params": tool("safe", i=i)}) for i in range(1, 4000)
    )
    with arena.run() as shim:
        shim.open()
        shim.send_bytes(calls[: len(calls) // 2])
        shim.answer_to(200)
        shim.kill()
        assert survivors(arena.pids().values(), END_S) == []
    ran = {m["id"] for m in arena.received if m.get("method") == "tools/call"}
    recorded = {r["request_id"] for r in arena.records if r["event"] == "call"}
    assert ran
    assert ran <= recorded
    assert arena.project.mcpwrap("log", "--json").stdout.count('"event":"call"') == len(recorded)


# a disk that is full, folders that can't be written


def _at_most(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_full_disk_refuses_calls_keeps_what_was_recorded_and_passes(arena: Arena) -> None:
    arena.set_up()
    with arena.start(preexec_fn=lambda: _at_most(6000)) as shim:
        shim.open()
        answers = [shim.call("safe", i=i) for i in range(20)]
        good = [a for a in answers if "result" in a]
        assert good and len(good) < 20
        assert answers[: len(good)] == good
        for refused in answers[len(good) :]:
            assert refused["error"]["code"] == -32603
            assert "nothing was run, since it can't be recorded" in refused["error"]["message"]
        assert len(arena.called()) == len(good)
        assert shim.tools() == ["safe", "logged", "asked"]
        assert shim.call("evil")["error"]["code"] == -32602
        assert shim.stderr.count("calls are refused") == 1
        for file in (arena.state / "audit").iterdir():
            assert all(json.loads(line) for line in file.read_bytes().splitlines())
        assert len([r for r in arena.records if r["event"] == "call"]) == len(good)
        resource.prlimit(shim.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert "result" in shim.call("safe")


def test_one_batch_that_cant_be_recorded_is_refused_as_a_whole(arena: Arena) -> None:
    arena.set_up()
    with arena.start(preexec_fn=lambda: _at_most(6000)) as shim:
        shim.open("2025-03-26")
        shim.fence()
        before = len(arena.called())
        shim.send([{"jsonrpc": "2.0", "id": i, "method": "tools/call", "params": tool("safe", x="x" * 200)} for i in range(1, 30)])
        for id_ in range(1, 30):
            assert shim.wait_for(lambda m, i=id_: m.get("id") == i, f"{id_}")["error"]["code"] == -32603  # type: ignore[misc]
        shim.fence()
        assert len(arena.called()) == before


def read_only(folder: Path) -> list[str]:
    """A command that starts another one for which `folder` is read-only."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return ["sh", "-c", 'chmod -R a-w "$0" && exec "$@"', str(folder)]
    code = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    if not shutil.which("unshare") or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("root here may not mount, so nothing is read-only")
    return ["unshare", "-m", "sh", "-c", code, str(folder)]


def test_a_home_that_cant_be_written_refuses_calls_and_the_session_opens(arena: Arena) -> None:
    arena.set_up(more='cwd = "${project}"\n')
    with arena.start(before=read_only(arena.project.home / ".local")) as shim:
        assert shim.open()["result"]["serverInfo"]["name"] == "scripted"
        assert shim.tools() == ["safe", "logged", "asked"]
        refused = shim.call("safe")["error"]
        assert refused["code"] == -32603
        assert "can't be recorded" in refused["message"]
        assert "calls are refused" in shim.stderr
    assert arena.called() == []


def test_a_home_that_cant_hold_the_servers_folder_holds_the_session(arena: Arena) -> None:
    arena.set_up()
    with arena.start(before=read_only(arena.project.home / ".local")) as shim:
        shim.open()
        assert shim.tools() == ["mcpwrap_status"]
        assert "work` can't be made" in shim.call("mcpwrap_status")["result"]["content"][0]["text"]
    assert arena.log == []


def test_a_file_in_the_place_of_the_audit_folder_refuses_calls(arena: Arena) -> None:
    arena.set_up()
    (arena.state / "audit").write_text("", encoding="utf-8")
    with arena.start() as shim:
        shim.open()
        assert shim.call("safe")["error"]["code"] == -32603
        assert shim.call("evil")["error"]["code"] == -32602
    assert arena.called() == []
