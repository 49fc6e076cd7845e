"""A program of the same user against what mcpwrap recorded: forged, edited, put back, taken away (POLICY.md §5)."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from base64 import b64encode
from pathlib import Path

import msgspec
import pytest

from mcpwrap.core.pins import Learned, PinnedServer, digest
from mcpwrap.identity.vault import Header, Vault, check_of
from mcpwrap.policy.pins import PinStore
from mcpwrap.policy.sealed import Envelope
from mcpwrap.policy.trust import TrustStore
from tests.attacks.arena import NAME, Arena
from tests.attacks.shim import DEADLINE_S, Shim
from tests.attacks.test_repository import NOT_TRUSTED, held_text
from tests.vaults import key_file_of, places_of, vault_of

OTHER = 'allow = ["*"]\n'


def trust_file(arena: Arena) -> Path:
    """The record of the arena's project."""
    return Path(TrustStore(str(arena.state), vault_of(arena.project.env)).path(str(arena.project.root)))


def runs(arena: Arena) -> bool:
    """True where a session reaches the server; else it is held for want of trust."""
    with arena.start() as shim:
        shim.open()
        tools = shim.tools()
        if tools == ["mcpwrap_status"]:
            assert NOT_TRUSTED in held_text(shim)
        return "safe" in tools


def held_for(shim: Shim) -> str:
    """Why a session is held that has a vault it can't use."""
    shim.open()
    return held_text(shim)


def test_a_record_written_by_another_program_is_no_trust(arena: Arena) -> None:
    arena.set_up()
    path = trust_file(arena)
    honest = msgspec.json.decode(path.read_bytes(), type=Envelope)
    payload = honest.sealed[1 + 8 + 32 :]
    forged = json.loads(payload) | {"accepted_at": "2030-01-01T00:00:00+00:00"}
    key = os.urandom(32)
    vault = vault_of(arena.project.env)
    stranger = Vault(vault.places, msgspec.structs.replace(vault.header, check=check_of(key, vault.header)), key)
    for sealed in (
        payload,  # as the version before the vault wrote it
        honest.sealed[: 1 + 8 + 32] + json.dumps(forged).encode(),
        honest.sealed[:1] + (99).to_bytes(8, "big") + honest.sealed[9:],
        honest.sealed[:9] + bytes(32) + payload,
        stranger._derive("seal") + payload,
    ):
        path.write_bytes(msgspec.json.encode(Envelope(honest.project, sealed)))
        assert not runs(arena)
    path.write_bytes(msgspec.json.encode(honest))
    assert runs(arena)


def test_an_older_trust_that_is_put_back_doesnt_count(arena: Arena) -> None:
    arena.set_up(rules=OTHER)
    old, file = trust_file(arena).read_bytes(), (arena.project.root / "mcpwrap.toml").read_bytes()
    arena.set_up(rules='allow = ["safe"]\ndeny = ["evil"]\n')
    trust_file(arena).write_bytes(old)
    (arena.project.root / "mcpwrap.toml").write_bytes(file)
    assert not runs(arena)


def test_a_trust_that_was_taken_back_stays_taken_back(arena: Arena) -> None:
    arena.set_up()
    old = trust_file(arena).read_bytes()
    arena.project.mcpwrap("untrust")
    trust_file(arena).write_bytes(old)
    trust_file(arena).chmod(0o600)
    assert not runs(arena)


def test_a_record_that_is_elsewhere_while_trust_is_taken_back_stays_taken_back(arena: Arena, tmp_path: Path) -> None:
    arena.set_up()
    trust_file(arena).rename(tmp_path / "aside")
    assert "is not trusted any more" in arena.project.mcpwrap("untrust").stdout
    (tmp_path / "aside").rename(trust_file(arena))
    assert not runs(arena)
    assert "is not trusted any more" in arena.project.mcpwrap("untrust").stdout
    assert "was not trusted" in arena.project.mcpwrap("untrust").stdout


def test_whoever_holds_our_folders_locked_keeps_no_session_from_its_answers_and_its_end(arena: Arena) -> None:
    arena.set_up()
    folders = [arena.state / name for name in ("vault", "pins", "trust")]
    (arena.state / "pins").mkdir(mode=0o700, exist_ok=True)
    held = [os.open(folder, os.O_RDONLY) for folder in folders]
    for fd in held:
        fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        with arena.start() as shim:
            shim.open()
            assert "safe" in shim.tools()
            assert shim.call("safe")["result"]["content"]
            shim.hang_up()
            assert shim.process.wait(DEADLINE_S) == 0
    finally:
        for fd in held:
            os.close(fd)


def test_a_running_session_doesnt_fall_for_it_either(arena: Arena) -> None:
    with arena.run() as shim:
        shim.open()
        assert shim.call("safe")["result"]["content"]
        old = trust_file(arena).read_bytes()
        arena.project.mcpwrap("untrust")
        trust_file(arena).write_bytes(old)
        refused = shim.call("safe")
        assert refused["result"]["isError"] is True
        assert NOT_TRUSTED in refused["result"]["content"][0]["text"]
    assert arena.called() == ["safe"]


def test_the_whole_state_folder_put_back_is_noticed(arena: Arena, tmp_path: Path) -> None:
    arena.set_up()
    shutil.copytree(arena.state, tmp_path / "copy")
    arena.project.mcpwrap("untrust")
    shutil.rmtree(arena.state)
    shutil.copytree(tmp_path / "copy", arena.state)
    with arena.start() as shim:
        text = held_for(shim)
    assert "an older state was put back" in text
    assert "`mcpwrap vault init --reset`" in text
    assert arena.log == []


@pytest.mark.parametrize("what", ["ledger", "anchor"])
def test_a_ledger_or_an_anchor_that_is_gone_or_altered_holds_everything(arena: Arena, what: str) -> None:
    arena.set_up()
    places = places_of(arena.project.env)
    path = Path(places.vault) / "ledger" if what == "ledger" else next(Path(places.data).glob("anchor-*"))
    whole = path.read_bytes()
    for data in (None, b"", whole[:-1], whole[:32] + b"{}", bytes(32) + b"{}"):
        if data is None:
            path.unlink()
        else:
            path.write_bytes(data)
            path.chmod(0o600)
        with arena.start() as shim:
            assert f"the vault's {what}" in held_for(shim)
    path.write_bytes(whole)
    assert runs(arena)


def test_another_key_opens_nothing(arena: Arena) -> None:
    arena.set_up()
    key_file_of(arena.project.env).write_bytes(b64encode(os.urandom(32)) + b"\n")
    with arena.start() as shim:
        text = held_for(shim)
    assert "isn't the one that this vault was made with" in text
    assert arena.log == []


def test_a_header_of_the_attackers_own_makes_nothing_count(arena: Arena) -> None:
    arena.set_up()
    key, epoch = os.urandom(32), "ee" * 16
    header = Header("file", str(key_file_of(arena.project.env)), epoch)
    header = msgspec.structs.replace(header, check=check_of(key, header))
    Path(places_of(arena.project.env).header).write_bytes(msgspec.json.encode(header))
    with arena.start() as shim:
        held_for(shim)
    assert arena.log == []


def test_a_key_file_that_others_can_read_is_not_used(arena: Arena) -> None:
    arena.set_up()
    key_file_of(arena.project.env).chmod(0o644)
    with arena.start() as shim:
        text = held_for(shim)
    assert "0600" in text or "others" in text
    assert arena.log == []


def test_pins_that_are_taken_away_are_no_reason_to_believe_the_next_list(arena: Arena) -> None:
    with arena.run() as shim:
        shim.open()
        assert "safe" in shim.tools()
    pins = Path(PinStore(str(arena.state), vault_of(arena.project.env)).path("pins", str(arena.project.root), NAME))
    old = pins.read_bytes()
    pins.unlink()
    with arena.start() as shim:
        shim.open()
        assert shim.tools() == []
        assert "error" in shim.call("safe")
    pins.write_bytes(old)
    pins.chmod(0o600)
    with arena.start() as shim:
        shim.open()
        assert "safe" in shim.tools()


def test_pins_that_were_accepted_before_are_no_pins_any_more(arena: Arena) -> None:
    arena.set_up()
    store = PinStore(str(arena.state), vault_of(arena.project.env))
    root = str(arena.project.root)
    items = {"tool": {"safe": {"name": "safe", "description": "one"}}}
    store.accept(root, NAME, Learned(items=items, complete=frozenset({"tool"})))  # type: ignore[arg-type]
    path = Path(store.path("pins", root, NAME))
    old = path.read_bytes()
    items["tool"]["safe"]["description"] = "two"
    store.accept(root, NAME, Learned(items=items, complete=frozenset({"tool"})))  # type: ignore[arg-type]
    path.write_bytes(old)
    remembered = store.remembered(root, NAME)
    assert remembered is not None
    assert remembered.items == {}
    assert remembered != PinnedServer(items={"tool": {"safe": digest({"name": "safe", "description": "one"})}})


def test_untrusting_forgets_the_pins_and_the_next_trust_begins_anew(arena: Arena) -> None:
    with arena.run() as shim:
        shim.open()
        shim.tools()
    arena.project.mcpwrap("untrust")
    arena.accept()
    assert runs(arena)
