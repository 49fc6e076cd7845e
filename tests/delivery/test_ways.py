"""What each way of delivery promises besides a token: who may have it, where it lies, what becomes of it (IDENTITY.md §4)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.shim import DEADLINE_S, Message, Shim, modern
from tests.delivery.desk import NAME, Desk, ask, eventually, refused, told


def good(answer: Message) -> bool:
    """True for a result that is none of an error."""
    return "result" in answer and not answer["result"].get("isError", False)


def shown(shim: Shim, way: str) -> dict[str, Any]:
    """What the server has."""
    return told(shim.call("shown", way=way))


def variables(pid: int) -> dict[str, str]:
    """The environment that a process was started with."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(pair.decode().partition("=")[::2] for pair in pairs if pair)


def secret(via: str) -> str:
    """The table of a secret."""
    return f'[servers.{NAME}.credentials.AGENT_TOKEN]\nsecret = "key"\nvia = "{via}"\n'


# secrets


@pytest.mark.parametrize("via", ["env", "file", "helper", "meta"])
def test_a_secret_that_is_set_later_heals_the_session_and_one_that_is_set_anew_reaches_the_server(desk: Desk, via: str) -> None:
    desk.define(secret(via))
    with desk.shim() as shim:
        shim.open()
        text = shim.call("shown", way=via)["result"]["content"][0]["text"]
        assert f"mcpwrap secret set {NAME} key" in text
        desk.run("secret", "set", NAME, "key", stdin="the first value\n")
        eventually(lambda: shim.call("shown", way=via), good)
        first = shown(shim, via)
        assert first["found"] == "the first value"
        desk.run("secret", "set", NAME, "key", stdin="the second value\n")
        eventually(lambda: shim.call("shown", way=via), lambda a: good(a) and "the second value" in str(a))
        assert (shown(shim, via)["pid"] == first["pid"]) == (via != "env")
        desk.run("secret", "rm", NAME, "key")
        text = refused(eventually(lambda: shim.call("shown", way=via), lambda a: not good(a)))
        assert f"mcpwrap secret set {NAME} key" in text


def test_a_secret_is_for_its_project_and_server_alone(desk: Desk, make_project: Any) -> None:
    desk.define(secret("meta"))
    desk.run("secret", "set", NAME, "key", stdin="mine\n")
    other = Desk(make_project())
    config = desk.project.home / ".config/mcpwrap/config.toml"
    assert other.project.home == desk.project.home, config
    other.define(secret("meta"))
    with other.shim() as shim:
        shim.open()
        assert f"mcpwrap secret set {NAME} key" in refused(shim.call("shown", way="meta"))


# the environment


def test_a_variable_reaches_the_server_and_nobody_else(desk: Desk) -> None:
    desk.define(secret("env"))
    desk.run("secret", "set", NAME, "key", stdin="a canary of the environment\n")
    with desk.shim(MCPWRAP_PASSPHRASE="not for servers") as shim:
        shim.open()
        found = shown(shim, "env")
        env = variables(found["pid"])
        assert env["AGENT_TOKEN"] == "a canary of the environment"
        assert "MCPWRAP_PASSPHRASE" not in env
        for pid in (shim.pid, found["pid"]):
            assert b"canary" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert "AGENT_TOKEN" not in variables(shim.pid)


def test_a_restart_waits_for_the_call_in_flight_and_repeats_nothing(desk: Desk) -> None:
    desk.define(desk.minted("env"))
    with desk.shim() as shim:
        shim.open()
        first = told(ask(shim, 1, "env", stateless=False))
        shim.ask(2, "tools/call", {"name": "slow", "arguments": {"way": "env", "seconds": 4.5}})
        pids: set[int] = set()
        while first["pid"] in pids or not pids:
            pids = {told(shim.call("whoami", way="env"))["pid"]}
        slow = told(shim.answer_to(2)) if not shim.answers(2) else told(shim.answers(2)[0])
        assert slow["pid"] == first["pid"]
        assert len(shim.answers(2)) == 1
        after = told(shim.call("whoami", way="env"))
        assert after["seen"]["calls"] <= 3, "what was called before wasn't called again"


def test_what_a_legacy_client_had_set_up_is_set_up_again(desk: Desk) -> None:
    desk.define(desk.minted("env"))
    with desk.shim() as shim:
        shim.open()
        shim.request(10, "logging/setLevel", {"level": "warning"})
        shim.request(11, "resources/subscribe", {"uri": "docs://one"})
        first = told(shim.call("whoami", way="env"))
        later = told(eventually(lambda: shim.call("whoami", way="env"), lambda a: told(a)["pid"] != first["pid"]))
        assert later["seen"]["level"] == "warning"
        assert later["seen"]["subscribed"] == ["docs://one"]


def test_a_server_that_comes_back_as_another_is_held(desk: Desk) -> None:
    desk.define(desk.minted("env"))
    with desk.shim() as shim:
        shim.open()
        told(shim.call("whoami", way="env"))
        Path(f"{desk.log}.version").write_text("2", encoding="utf-8")
        text = refused(eventually(lambda: shim.call("whoami", way="env"), lambda a: not good(a)))
        assert "holds the new process back" in text
        assert "`mcpwrap pins`" in text
        assert shim.tools() == ["mcpwrap_status"]


def test_a_restarted_server_that_dies_is_told_and_nothing_hangs(desk: Desk) -> None:
    desk.define(desk.minted("env"))
    with desk.shim() as shim:
        shim.open()
        first = told(shim.call("whoami", way="env"))
        second = told(eventually(lambda: shim.call("whoami", way="env"), lambda a: told(a)["pid"] != first["pid"]))
        os.kill(second["pid"], signal.SIGKILL)
        eventually(lambda: shim.call("whoami", way="env"), lambda a: not good(a))
        assert "was ended by signal 9" in shim.call("mcpwrap_status")["result"]["content"][0]["text"]


# files


def test_a_token_file_is_private_and_gone_at_the_end(desk: Desk) -> None:
    desk.define(desk.minted("file"))
    with desk.shim() as shim:
        shim.open()
        pid = told(shim.call("whoami", way="file"))["pid"]
        path = Path(variables(pid)["AGENT_TOKEN_FILE"])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert not str(path).startswith(str(desk.project.root))
        assert [p.name for p in path.parent.iterdir()] == ["AGENT_TOKEN"]
    assert not path.parent.exists()


def test_what_a_killed_shim_left_is_swept_by_the_next_one(desk: Desk) -> None:
    desk.define(desk.minted("file"))
    with desk.shim() as shim:
        shim.open()
        path = Path(variables(told(shim.call("whoami", way="file"))["pid"])["AGENT_TOKEN_FILE"])
        shim.kill()
    assert path.exists()
    with desk.shim() as shim:
        shim.open()
        told(shim.call("whoami", way="file"))
        assert not path.parent.exists()


# the socket


def asked(path: str, question: bytes) -> bytes:
    """What the socket answers to these bytes."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(DEADLINE_S)
        connection.connect(path)
        connection.sendall(question)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        data = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65536):
                data += part
        return data


def test_outside_the_servers_processes_only_minted_tokens_are_given(desk: Desk) -> None:
    desk.define(desk.minted("helper", 120) + secret("helper").replace("AGENT_TOKEN", "OTHER_KEY"))
    desk.run("secret", "set", NAME, "key", stdin="not for everybody\n")
    with desk.shim() as shim:
        shim.open()
        # below the server `mcpwrap token` asks for the only one, and there are two
        text = shim.call("shown", way="helper")["result"]["content"][0]["text"]
        assert "which credential" in text
        assert "OTHER_KEY" in text
        path = variables(server_pid(desk))["MCPWRAP_TOKEN_SOCKET"]
        minted = json.loads(asked(path, b'{"credential": "AGENT_TOKEN"}\n'))
        assert minted["token"].count(".") == 2
        assert json.loads(asked(path, b'{"credential": null}\n'))["name"] == "AGENT_TOKEN"
        assert "error" in json.loads(asked(path, b'{"credential": "OTHER_KEY"}\n'))


def server_pid(desk: Desk) -> int:
    """The server's process, the last that was started."""
    return int(desk.log.read_text("utf-8").split()[-1])


def test_the_socket_is_private_answers_nonsense_with_nothing_and_is_gone_at_the_end(desk: Desk) -> None:
    desk.define(desk.minted("helper", 120))
    with desk.shim() as shim:
        shim.open()
        told(shim.call("whoami", way="helper"))
        path = variables(server_pid(desk))["MCPWRAP_TOKEN_SOCKET"]
        assert stat.S_IMODE(os.stat(path).st_mode) & 0o077 == 0
        assert stat.S_IMODE(os.stat(Path(path).parent).st_mode) == 0o700
        for nonsense in (b"", b"\n", b"{}x\n", b'{"credential": 7}\n', b'{"credential": "A", "more": 1}\n', b"x" * 100_000):
            assert asked(path, nonsense) == b""
        open_ones = [socket.socket(socket.AF_UNIX) for _ in range(80)]
        for connection in open_ones:
            connection.connect(path)
        # (who holds lines open doesn't keep the session from its calls)
        assert good(shim.request(900, "ping"))
        for connection in open_ones:
            connection.close()
        eventually(lambda: shim.call("whoami", way="helper"), good)
    assert not Path(path).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_gets_nothing_from_the_socket(desk: Desk) -> None:
    desk.define(desk.minted("helper", 120))
    with desk.shim() as shim:
        shim.open()
        told(shim.call("whoami", way="helper"))
        path = variables(server_pid(desk))["MCPWRAP_TOKEN_SOCKET"]
        # even with the folder opened for it: the peer's user is what counts
        Path(path).parent.chmod(0o755)
        Path(path).chmod(0o666)
        stranger = (
            "import os, socket, sys\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\n"
            "s.connect(sys.argv[1]); s.sendall(b'{\"credential\": null}\\n'); print(s.recv(10))\n"
        )
        ended = subprocess.run(
            [sys.executable, "-I", "-c", stranger, path], capture_output=True, text=True, check=False, timeout=DEADLINE_S
        )
        assert "eyJ" not in ended.stdout
        assert "token" not in ended.stdout


# `_meta`


@pytest.mark.parametrize("stateless", [False, True], ids=["legacy", "modern"])
def test_in_meta_the_clients_copies_are_taken_out_and_the_servers_echo_too(desk: Desk, stateless: bool) -> None:
    desk.define(desk.minted("meta", 120))
    forged = {"mcpwrap/AGENT_TOKEN": "forged", "MCPWRAP/other": "forged", "mine": 1}
    with desk.shim() as shim:
        if not stateless:
            shim.open()
        params = {"name": "whoami", "arguments": {"way": "meta"}, "_meta": forged}
        if stateless:
            params = modern(params)
        answer = shim.request(1, "tools/call", params)
        assert set(told(answer)["meta"]) >= {"mcpwrap/AGENT_TOKEN", "mine"}
        assert "MCPWRAP/other" not in told(answer)["meta"]
        assert answer["result"]["_meta"] == {"kept": True}


def test_without_delivery_by_meta_the_clients_copies_are_taken_out_all_the_same(desk: Desk) -> None:
    desk.define("")
    with desk.shim() as shim:
        shim.open()
        answer = shim.request(
            1, "tools/call", {"name": "shown", "arguments": {"way": "meta"}, "_meta": {"mcpwrap/AGENT_TOKEN": "x"}}
        )
        assert answer["result"]["isError"] is True


# the policy and the tokens


def test_an_untrust_counts_though_the_token_is_still_good(desk: Desk) -> None:
    desk.define(desk.minted("file", 300))
    with desk.shim() as shim:
        shim.open()
        told(shim.call("whoami", way="file"))
        desk.project.mcpwrap("untrust")
        assert "is not trusted yet" in refused(shim.call("whoami", way="file"))


def test_calls_that_come_at_once_wait_for_the_first_token_and_lists_dont(desk: Desk) -> None:
    desk.define(desk.minted("file", 120))
    with desk.shim() as shim:
        shim.open()
        for number in range(20):
            shim.ask(number + 100, "tools/call", {"name": "whoami", "arguments": {"way": "file"}})
        assert "whoami" in shim.tools()
        for number in range(20):
            answers = shim.answers(number + 100)
            told(answers[0] if answers else shim.answer_to(number + 100))


def test_a_server_that_died_by_itself_isnt_started_again_by_a_new_token(desk: Desk) -> None:
    desk.define(desk.minted("file"))
    with desk.shim() as shim:
        shim.open()
        os.kill(told(shim.call("whoami", way="file"))["pid"], signal.SIGKILL)
        eventually(lambda: shim.call("whoami", way="file"), lambda a: not good(a))
        issued = sum(r["event"] == "credential" for r in desk.records)
        # (two more tokens come meanwhile)
        eventually(
            lambda: shim.call("whoami", way="file"), lambda _: sum(r["event"] == "credential" for r in desk.records) >= issued + 2
        )
        assert not good(shim.call("whoami", way="file"))
    assert desk.starts == 1
