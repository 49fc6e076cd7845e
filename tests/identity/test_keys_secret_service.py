"""The key in a real Secret Service: read at every start, without anybody to ask and without waiting for one (IDENTITY.md §2)."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcpwrap.errors import VaultError
from mcpwrap.identity import bus
from mcpwrap.identity.bus import Locked, Missing, Unreachable
from mcpwrap.identity.keyfile import text_of
from mcpwrap.identity.keys import ensure_vault, make_vault, move_vault, open_vault, probe_keyring
from mcpwrap.identity.vault import SECRET_SERVICE, Item, Places, read_header
from tests.identity.secret_service import SecretService

NO_DEFAULT = "there is no system keyring here to keep the installation's key in: the Secret Service has no default keyring"
ITEM = Item("secret", "local", "one")


def wanted(places: Places) -> dict[str, str]:
    header = read_header(places)
    assert header is not None
    return {"service": "mcpwrap", "username": header.epoch}


def test_a_vault_is_made_and_opened_again(places: Places, secret_service: SecretService) -> None:
    made = make_vault(places, "keyring", secret_service.env)
    made.put(ITEM, b"payload")
    assert made.header.where == SECRET_SERVICE
    assert open_vault(places, "keyring", secret_service.env).get(ITEM) == b"payload"
    # what lies there is the key, and any program that looks into keyrings finds it
    assert base64.b64decode(secret_service.get(wanted(places)) or "") == made.key


def test_the_first_use_makes_it_and_the_second_finds_it(places: Places, secret_service: SecretService) -> None:
    made = ensure_vault(places, "keyring", secret_service.env)
    assert ensure_vault(places, "keyring", secret_service.env).key == made.key


def test_two_vaults_of_one_person_do_not_meet(tmp_path: Path, secret_service: SecretService) -> None:
    folders = [Places(str(tmp_path / n / "state"), str(tmp_path / n / "data")) for n in ("a", "b")]
    made = [make_vault(each, "keyring", secret_service.env) for each in folders]
    opened = [open_vault(each, "keyring", secret_service.env) for each in folders]
    assert [each.key for each in opened] == [each.key for each in made]
    assert made[0].key != made[1].key


def test_a_probe_names_it_and_leaves_nothing(secret_service: SecretService) -> None:
    assert probe_keyring(secret_service.env).backend == SECRET_SERVICE
    assert secret_service.get({"service": "mcpwrap"}) is None


def test_a_clients_bare_environment_is_enough_after_the_first_use(places: Places, secret_service: SecretService) -> None:
    make_vault(places, "keyring", secret_service.env)
    assert open_vault(places, "keyring", {"PATH": "/bin"}).header.mode == "keyring"


def test_the_bus_of_a_later_session_is_remembered(places: Places, secret_service: SecretService, tmp_path: Path) -> None:
    made = make_vault(places, "keyring", secret_service.env)
    with SecretService(tmp_path / "later") as later:
        later.unlock()
        later.put("moved", wanted(places), text_of(made.key))
        open_vault(places, "keyring", later.env)
        secret_service.lock()
        assert open_vault(places, "keyring", {}).key == made.key


def test_a_locked_keyring_is_said_and_nobody_is_waited_for(places: Places, secret_service: SecretService) -> None:
    make_vault(places, "keyring", secret_service.env)
    secret_service.lock()
    with pytest.raises(Locked, match="the system's keyring is locked") as told:
        open_vault(places, "keyring", secret_service.env)
    assert "mcpwrap vault status" in told.value.hint
    assert "locked" in probe_keyring(secret_service.env).why


def test_a_wrong_password_leaves_it_locked(places: Places, secret_service: SecretService) -> None:
    make_vault(places, "keyring", secret_service.env)
    secret_service.stop()
    secret_service.unlock("another password")
    with pytest.raises(Locked):
        open_vault(places, "keyring", secret_service.env)
    with pytest.raises(VaultError, match="locked"):
        make_vault(places, "keyring", secret_service.env, reset=True)


def test_a_service_without_a_keyring_is_said_and_nobody_is_waited_for(places: Places, session_bus: SecretService) -> None:
    # the bus starts the service when it is asked for; its library would ask a person to make a keyring, and wait
    probe = probe_keyring(session_bus.env)
    assert (probe.backend, probe.why) == ("", NO_DEFAULT)
    with pytest.raises(VaultError, match=NO_DEFAULT):
        ensure_vault(places, "keyring", session_bus.env)
    assert not os.path.lexists(places.header)


def test_an_entry_that_is_gone_is_said_and_nothing_is_made_in_its_place(places: Places, secret_service: SecretService) -> None:
    make_vault(places, "keyring", secret_service.env)
    subprocess.run(["secret-tool", "clear", "service", "mcpwrap"], env=secret_service.env, check=True)
    for use in (open_vault, ensure_vault):
        with pytest.raises(Missing, match="isn't in the system's keyring") as told:
            use(places, "keyring", secret_service.env)
        assert "--reset" in told.value.hint
    assert secret_service.get({"service": "mcpwrap"}) is None


def test_an_entry_put_beside_ours_changes_nothing(places: Places, secret_service: SecretService) -> None:
    made = make_vault(places, "keyring", secret_service.env)
    for i, text in enumerate([text_of(os.urandom(32)), "no key", text_of(os.urandom(32))]):
        secret_service.put("planted", {**wanted(places), "application": f"planted {i}"}, text)
    assert open_vault(places, "keyring", secret_service.env).key == made.key


def test_another_key_in_the_entry_is_refused(places: Places, secret_service: SecretService) -> None:
    make_vault(places, "keyring", secret_service.env)
    for planted in (text_of(os.urandom(32)), "no key", "ü"):
        secret_service.put("Password", {**wanted(places), "application": "Python keyring library"}, planted)
        with pytest.raises(VaultError, match="isn't the one that this vault was made with"):
            open_vault(places, "keyring", secret_service.env)


def test_a_reset_takes_the_old_key_out(places: Places, secret_service: SecretService) -> None:
    make_vault(places, "keyring", secret_service.env)
    old = wanted(places)
    make_vault(places, "keyring", secret_service.env, reset=True)
    assert secret_service.get(old) is None
    assert secret_service.get(wanted(places)) is not None


def test_a_key_moves_into_a_file_and_back_and_nothing_is_lost(
    places: Places, secret_service: SecretService, tmp_path: Path
) -> None:
    made = make_vault(places, "keyring", secret_service.env)
    made.put(ITEM, b"payload")
    setting = f"file:{tmp_path / 'key'}"
    moved = move_vault(made, setting, secret_service.env)
    assert secret_service.get(wanted(places)) is None
    assert open_vault(places, setting, {}).get(ITEM) == b"payload"
    move_vault(moved, "keyring", secret_service.env)
    assert open_vault(places, "keyring", secret_service.env).get(ITEM) == b"payload"


def test_no_bus_is_said(places: Places, secret_service: SecretService) -> None:
    make_vault(places, "keyring", secret_service.env)
    gone = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere/bus"}
    Path(places.vault, "bus").unlink()
    for env in ({}, gone):
        with pytest.raises(Unreachable, match="no session bus"):
            open_vault(places, "keyring", env)


def test_a_start_imports_no_library_of_keyrings(places: Places, secret_service: SecretService) -> None:
    make_vault(places, "keyring", secret_service.env)
    script = (
        "import sys, os; from mcpwrap.identity.keys import open_vault; from mcpwrap.identity.vault import Places\n"
        f"open_vault(Places({places.state!r}, {places.data!r}), 'keyring', os.environ)\n"
        "print(sorted({'keyring', 'secretstorage', 'cryptography', 'subprocess', 'jwt'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", script], env=secret_service.env, check=True, capture_output=True, text=True)
    assert ended.stdout == "[]\n"


def test_the_library_finds_what_it_wrote_and_so_do_we(secret_service: SecretService) -> None:
    script = "import keyring; keyring.set_password('mcpwrap', 'name', 'value'); print(keyring.get_keyring().__class__.__module__)"
    ended = subprocess.run([sys.executable, "-c", script], env=secret_service.env, check=True, capture_output=True, text=True)
    assert ended.stdout == "keyring.backends.SecretService\n"
    assert bus.read(secret_service.env, "name")[0] == ["value"]
