"""The host's attacks on the vault: a copied state, a planted bus, a planted variable, a keyring that never answers."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpwrap.errors import VaultError
from mcpwrap.identity import bus
from mcpwrap.identity.keyfile import text_of
from mcpwrap.identity.keys import ensure_vault, make_vault, open_vault
from mcpwrap.identity.secrets import SecretStore
from mcpwrap.identity.vault import Places, Vault
from mcpwrap.secret import Secret
from tests.identity.odd_bus import OddBus
from tests.identity.secret_service import SecretService


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(str(tmp_path / "state" / "mcpwrap"), str(tmp_path / "data" / "mcpwrap"))


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[SecretService]:
    with SecretService(tmp_path / "desktop") as service:
        yield service.unlock()


@pytest.fixture
def vault(places: Places, desktop: SecretService) -> Vault:
    made = make_vault(places, "keyring", desktop.env)
    SecretStore(made).set("/shop", "git", "TOKEN", Secret("hunter2"))
    return made


def test_a_state_that_was_copied_to_another_machine_opens_nothing(vault: Vault, tmp_path: Path) -> None:
    there = Places(str(tmp_path / "there" / "state"), str(tmp_path / "there" / "data"))
    shutil.copytree(vault.places.state, there.state)
    shutil.copytree(vault.places.data, there.data)
    (Path(there.vault) / "bus").unlink()
    with SecretService(tmp_path / "their desktop") as service:
        service.unlock()
        for use in (open_vault, ensure_vault):
            with pytest.raises(VaultError, match="isn't in the system's keyring"):
                use(there, "keyring", service.env)


def test_a_bus_that_a_clients_file_names_cannot_bring_a_key_of_its_own(vault: Vault, tmp_path: Path) -> None:
    key = text_of(os.urandom(32))
    with SecretService(tmp_path / "planted") as planted:
        planted.unlock()
        planted.put(
            "Password", {"service": "mcpwrap", "username": vault.header.epoch, "application": "Python keyring library"}, key
        )
        with pytest.raises(VaultError, match="isn't the one that this vault was made with"):
            open_vault(vault.places, "keyring", planted.env)


def test_a_vault_that_was_slipped_in_with_its_bus_is_still_another_ones(
    vault: Vault, desktop: SecretService, tmp_path: Path
) -> None:
    # header, ledger and anchor are the attacker's, and so is the bus that its record names; the person's bus comes first
    with SecretService(tmp_path / "planted") as planted:
        planted.unlock()
        theirs = Places(str(tmp_path / "theirs" / "state"), str(tmp_path / "theirs" / "data"))
        make_vault(theirs, "keyring", planted.env)
        shutil.rmtree(vault.places.vault)
        shutil.copytree(theirs.vault, vault.places.vault)
        for file in Path(theirs.data).iterdir():
            shutil.copy(file, vault.places.data)
        opened = open_vault(vault.places, "keyring", desktop.env)
        # nothing on this disk tells; but it is an empty vault: no trust, no secret of the person's counts in it
        assert opened.key != vault.key
        assert SecretStore(opened).list() == []


@pytest.mark.parametrize("name", ["keyring.backends.null.Keyring", "keyrings.alt.file.PlaintextKeyring"])
def test_a_variable_in_a_clients_file_turns_no_keyring_off(vault: Vault, desktop: SecretService, name: str) -> None:
    env = {**desktop.env, "PYTHON_KEYRING_BACKEND": name}
    assert open_vault(vault.places, "keyring", env).key == vault.key


def test_a_header_that_asks_for_less_is_refused(vault: Vault, desktop: SecretService, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(text_of(os.urandom(32)))
    key.chmod(0o600)
    header = Path(vault.places.header)
    header.write_text(json.dumps(json.loads(header.read_bytes()) | {"mode": "file", "where": str(key)}))
    with pytest.raises(VaultError, match=r"config\.toml says that the vault's key is kept by `keyring`"):
        open_vault(vault.places, "keyring", desktop.env)
    with pytest.raises(VaultError, match="or its header was altered"):
        open_vault(vault.places, f"file:{key}", desktop.env)


def test_a_keyring_that_hangs_holds_nobody_up(vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "LIMIT_S", 0.2)
    (Path(vault.places.vault) / "bus").unlink()
    folder = tmp_path / "hangs"
    folder.mkdir()
    with OddBus(folder, lambda method: None) as odd, pytest.raises(VaultError, match="didn't answer within"):
        open_vault(vault.places, "keyring", odd.env)
