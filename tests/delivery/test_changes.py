"""What changes while a session runs counts, whatever was fetched before: what runs, what was taken back, what is asked for."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from tests.attacks.shim import Shim
from tests.delivery.desk import NAME, SERVER, Desk, ask, eventually, refused, told
from tests.delivery.test_ways import good, secret, shown, variables
from tests.project import toml

DEAF = "    import signal\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
SLOW = '        case "initialize":\n            time.sleep(1.5)\n'


def issued(desk: Desk) -> int:
    """How many credentials were delivered so far."""
    return sum(record["event"] == "credential" for record in desk.records)


def until_issued(desk: Desk, shim: Shim, count: int) -> None:
    """Let so many more credentials come."""
    before = issued(desk)
    eventually(lambda: shim.request("ping", "ping"), lambda _: issued(desk) >= before + count)


def test_a_script_of_the_project_that_changed_isnt_run_by_a_restart(desk: Desk) -> None:
    script = desk.project.root / "server.py"
    shutil.copy(SERVER, script)
    argv = [sys.executable, "-I", str(script), str(desk.log)]
    env = {"DESK_COMMAND": str(desk.project.command), "DESK_NAME": NAME}
    desk.project.write(
        f'version = 1\n[servers.{NAME}]\ncommand = {toml(argv)}\nenv = {toml(env)}\nallow = ["*"]\n{desk.minted("env")}\n'
    )
    desk.project.trust()
    proof = desk.project.home / "proof"
    with desk.shim() as shim:
        shim.open()
        told(ask(shim, 1, "env", stateless=False))
        script.write_text(f"open({str(proof)!r}, 'w')\n", encoding="utf-8")
        text = refused(eventually(lambda: shim.call("whoami", way="env"), lambda a: not good(a)))
        assert "isn't the file that was accepted" in text
    assert not proof.exists()
    assert desk.starts == 1


def test_a_server_that_came_back_as_another_stays_held_whatever_tokens_come_and_files_are_touched(desk: Desk) -> None:
    desk.define(desk.minted("env") + desk.minted("file").replace("AGENT_TOKEN", "OTHER_TOKEN"))
    with desk.shim() as shim:
        shim.open()
        told(shim.call("whoami", way="env"))
        Path(f"{desk.log}.version").write_text("2", encoding="utf-8")
        eventually(lambda: shim.call("whoami", way="env"), lambda a: not good(a))
        starts = desk.starts
        until_issued(desk, shim, 2)
        os.utime(desk.project.root / "mcpwrap.toml")
        until_issued(desk, shim, 1)
        assert not good(shim.call("whoami", way="env"))
    assert desk.starts == starts


def test_an_untrust_while_the_old_process_ends_starts_no_new_one(desk: Desk) -> None:
    stubborn = desk.project.home / "stubborn.py"
    stubborn.write_text(
        SERVER.read_text("utf-8")
        .replace("    for thread in running:\n", "    time.sleep(60)\n    for thread in running:\n")
        .replace(
            "def main() -> None:\n",
            "def main() -> None:\n    import signal\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n",
            1,
        ),
        encoding="utf-8",
    )
    argv = [sys.executable, "-I", str(stubborn), str(desk.log)]
    desk.project.write(f'version = 1\n[servers.{NAME}]\ncommand = {toml(argv)}\nallow = ["*"]\n{desk.minted("env")}\n')
    desk.project.trust()
    with desk.shim() as shim:
        shim.open()
        first = told(shim.call("whoami", way="env"))["pid"]
        # (a call that isn't answered at once is queued: the restart has begun, and the old process takes its time)
        number = 100
        while True:
            number += 1
            shim.ask(number, "tools/call", {"name": "whoami", "arguments": {"way": "env"}})
            if not _answers_soon(shim, number):
                break
        desk.project.mcpwrap("untrust")
        assert "is not trusted yet" in refused(shim.answer_to(number))
    assert desk.starts == 1
    assert first


def _answers_soon(shim: Shim, number: int) -> bool:
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        if shim.answers(number):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("via", ["env", "file", "meta"])
def test_a_secret_that_was_taken_away_reaches_nobody_from_the_next_call_on(desk: Desk, via: str) -> None:
    desk.define(secret(via))
    desk.run("secret", "set", NAME, "key", stdin="mine\n")
    with desk.shim() as shim:
        shim.open()
        assert shown(shim, via)["found"] == "mine"
        desk.run("secret", "rm", NAME, "key")
        assert f"mcpwrap secret set {NAME} key" in refused(shim.call("shown", way=via))


def test_a_secret_that_is_set_anew_while_the_server_is_opened_reaches_it_all_the_same(desk: Desk) -> None:
    slow = desk.project.home / "slow.py"
    text = SERVER.read_text("utf-8").replace(
        '        case "initialize":\n', '        case "initialize":\n            time.sleep(1.5)\n'
    )
    slow.write_text(text, encoding="utf-8")
    argv = [sys.executable, "-I", str(slow), str(desk.log)]
    desk.project.write(f'version = 1\n[servers.{NAME}]\ncommand = {toml(argv)}\nallow = ["*"]\n{secret("env")}\n')
    desk.project.trust()
    desk.run("secret", "set", NAME, "key", stdin="the first\n")
    with desk.shim() as shim:
        shim.open()
        assert shown(shim, "env")["found"] == "the first"
        starts = desk.starts
        desk.run("secret", "set", NAME, "key", stdin="the second\n")
        eventually(dict, lambda _: desk.starts > starts)
        desk.run("secret", "set", NAME, "key", stdin="the third\n")
        eventually(lambda: shim.call("shown", way="env"), lambda a: "the third" in str(a))


def test_a_credential_that_the_file_no_longer_names_goes_out_no_more(desk: Desk) -> None:
    desk.define(secret("meta"))
    desk.run("secret", "set", NAME, "key", stdin="mine\n")
    with desk.shim() as shim:
        shim.open()
        assert shown(shim, "meta")["found"] == "mine"
        desk.define("")
        eventually(lambda: shim.call("shown", way="meta"), lambda a: "KeyError" in str(a))


def test_a_token_file_that_cant_be_written_is_told(desk: Desk) -> None:
    desk.define(desk.minted("file"))
    with desk.shim() as shim:
        shim.open()
        path = Path(variables(told(shim.call("whoami", way="file"))["pid"])["AGENT_TOKEN_FILE"])
        path.unlink()
        path.mkdir()
        eventually(lambda: shim.call("whoami", way="file"), lambda a: not good(a) and "can't be written" in refused(a))
        path.rmdir()
