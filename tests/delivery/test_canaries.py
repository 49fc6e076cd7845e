"""Secrets of a whole session, from the login to the call, are looked for wherever anybody could read them (IDENTITY.md §4)."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpwrap.identity.logins import LoginStore
from tests.delivery.desk import NAME, Desk, eventually
from tests.delivery.test_logins import Office
from tests.delivery.test_ways import good, server_pid
from tests.identity.providers.oidc import Provider, Setup, running
from tests.vaults import key_file_of, make_vault, vault_of

SECRET = "canary-of-a-servers-secret-4d1f"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running(Setup(access_s=5)) as provider:
        yield provider


def processes(but: int) -> dict[str, bytes]:
    """Arguments and variables of all processes of this machine, but the variables of the process `but`."""
    found: dict[str, bytes] = {}
    for name in (path.name for path in Path("/proc").iterdir() if path.name.isdigit()):
        for what in ("cmdline", "environ"):
            if what == "environ" and int(name) == but:
                continue
            try:
                found[f"{what} of {name}"] = Path(f"/proc/{name}/{what}").read_bytes()
            except OSError:
                continue
    return found


def songs(text: str) -> set[bytes]:
    """The shapes in which `text` would be recognised."""
    data = text.encode()
    return {data, base64.b64encode(data).rstrip(b"=")[:-2], data.hex().encode()}


@pytest.mark.parametrize("via", ["env", "file", "meta"])
def test_no_secret_of_a_session_is_to_be_seen(desk: Desk, provider: Provider, via: str) -> None:
    office = Office(desk.project)
    office.lend(provider)
    office.want(provider, via, more=f'[servers.{NAME}.credentials.OTHER_KEY]\nsecret = "other"\nvia = "env"\n')
    said = office.sign_in() + office.run("secret", "set", NAME, "other", stdin=SECRET + "\n")
    seen: dict[str, bytes] = {}
    tokens: set[str] = set()
    env = office.project.env
    store = LoginStore(vault_of(env))
    [card] = store.cards()
    with office.shim(MCPWRAP_DEBUG="1") as shim:
        shim.open()

        def call() -> dict[str, object]:
            seen.update(processes(but=server_pid(office)))
            secrets = store.secrets(card.key)
            assert secrets is not None
            tokens.update({secrets.refresh_token, *(access.token for access in secrets.access.values())})
            return shim.call("silent", way=via, with_secret=[SECRET, "in an argument"])

        eventually(call, lambda answer: good(answer) and len(tokens) >= 5)
        # and once more while it is refused
        office.run("logout", "work")
        eventually(lambda: shim.call("silent", way=via), lambda answer: not good(answer))
        # (the client said the secret itself: not what it wrote, what it reads is looked at)
        seen["stdout"] = b"".join(shim.raw)
        run_dir = office.project.home / ".local/state/mcpwrap/run"
    seen["stderr"] = shim.stderr.encode()
    seen["said"] = said.encode()
    for args in (
        ("status",),
        ("status", "--json"),
        ("log", "--json"),
        ("vault", "status"),
        ("secret", "list"),
        ("explain", NAME, "silent"),
    ):
        seen[" ".join(args)] = office.run(*args).encode()
    sealed = office.project.home / ".local/state/mcpwrap/vault/items"
    key_file = key_file_of(env)
    for path in office.project.home.rglob("*"):
        if path.is_file() and sealed not in path.parents and path != key_file and run_dir not in path.parents:
            seen[str(path)] = path.read_bytes()
    for path in sealed.iterdir():
        seen[str(path)] = path.read_bytes()
    secrets_of_all = {*tokens, SECRET, key_file.read_text("utf-8").strip()} - {""}
    assert len(secrets_of_all) >= 7
    for secret in secrets_of_all:
        for song in songs(secret):
            assert [where for where, data in seen.items() if song in data] == []


DUMPABLE = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)"
OPENS = f"""
import os, subprocess, sys
from mcpwrap.identity.vault import Places
from mcpwrap.runtime.door import Door
state, data, key = sys.argv[1:]
door = Door(Places(state, data), os.environ)
code = {DUMPABLE!r}
exec(code)
door.open("file:" + key)
exec(code)
subprocess.run([sys.executable, "-c", code], check=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
def test_a_process_that_opened_the_vault_leaves_no_core_dump_and_its_server_may(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "PATH": os.defpath}
    places = make_vault(env).places
    argv = [sys.executable, "-c", OPENS, places.state, places.data, str(key_file_of(env))]
    ended = subprocess.run(argv, env=env, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["1", "0", "1"]
