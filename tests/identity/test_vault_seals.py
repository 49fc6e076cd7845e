"""The vault's key, its header and its seals; a whole state that is put back (IDENTITY.md §2)."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from mcpwrap.errors import StateError, VaultError
from mcpwrap.identity.vault import (
    Header,
    Item,
    Places,
    Vault,
    create,
    derive,
    described,
    read_header,
    rewrite,
)
from tests.identity.vaults import again, new_vault

ONE = Item("secret", "local", "one")


@pytest.fixture
def vault(places: Places) -> Vault:
    return new_vault(places)


# the header and the key


def test_the_wrong_key_is_refused(vault: Vault) -> None:
    for key in (os.urandom(32), b"", vault.key[:31], vault.key + b"\0"):
        with pytest.raises(VaultError, match="isn't the one that this vault was made with"):
            Vault(vault.places, vault.header, key)


@pytest.mark.parametrize(
    "change", [{"mode": "keyring"}, {"mode": "passphrase"}, {"where": "/elsewhere/key"}, {"epoch": "0" * 32}, {"check": ""}]
)
def test_an_altered_header_is_refused(vault: Vault, change: dict[str, str]) -> None:
    with pytest.raises(VaultError):
        Vault(vault.places, structs.replace(vault.header, **change), vault.key)


def test_a_header_of_a_later_version_or_another_shape_is_refused(vault: Vault) -> None:
    header = Path(vault.places.header)
    good = json.loads(header.read_bytes())
    header.write_text(json.dumps({**good, "version": 2}))
    with pytest.raises(VaultError, match="a newer version"):
        read_header(vault.places)
    for change in ({"extra": 1}, {"mode": "plain"}, {"epoch": "../../x"}, {"epoch": ""}, {"epoch": 1}):
        header.write_text(json.dumps(good | change))
        with pytest.raises(VaultError):
            read_header(vault.places)


def test_a_header_that_is_gone_while_its_ledger_is_not_is_no_beginning(vault: Vault) -> None:
    Path(vault.places.header).unlink()
    assert read_header(vault.places) is None  # nothing was sealed
    create(vault.places, vault.header, vault.key)
    vault.revoke("trust", "a")
    Path(vault.places.header).unlink()
    with pytest.raises(VaultError, match="is gone, and its ledger isn't") as told:
        read_header(vault.places)
    assert "--reset" in told.value.hint


def test_a_key_that_moves_opens_all_that_it_sealed(vault: Vault) -> None:
    vault.put(ONE, b"one")
    sealed = vault.seal("trust", "a", b"payload")
    vault.stored("trust", "a", sealed)
    moved = rewrite(vault, Header("keyring", "Secret Service", ""))
    assert moved.header.epoch == vault.header.epoch
    assert again(moved).get(ONE) == b"one"
    assert again(moved).unseal("trust", "a", sealed) == b"payload"
    assert described(moved.header) == "the system's keyring (Secret Service)"
    assert described(vault.header) == "/nowhere/key"
    assert described(Header("passphrase", "", "e")) == "the passphrase"


def test_a_header_that_cannot_be_written_is_said(vault: Vault) -> None:
    old = read_header(vault.places)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", _full)
        with pytest.raises(StateError, match="can't be written: no space left"):
            rewrite(vault, Header("keyring", "Secret Service", ""))
        with pytest.raises(StateError, match="can't be written: no space left"):
            vault.put(ONE, b"one")
        with pytest.raises(StateError, match="can't be written: no space left"):
            vault.revoke("trust", "a")
    assert read_header(vault.places) == old


# a whole state put back


def test_the_whole_state_folder_put_back_does_not_count(vault: Vault, tmp_path: Path) -> None:
    vault.put(ONE, b"one")
    shutil.copytree(vault.places.state, tmp_path / "copy")
    vault.remove(ONE)
    shutil.rmtree(vault.places.state)
    (tmp_path / "copy").rename(vault.places.state)
    with pytest.raises(VaultError, match="an older state was put back") as told:
        again(vault).get(ONE)
    assert "--reset" in told.value.hint


def test_the_state_from_before_a_reset_does_not_count(vault: Vault, tmp_path: Path) -> None:
    vault.put(ONE, b"one")
    shutil.copytree(vault.places.state, tmp_path / "copy")
    reset = new_vault(vault.places)
    assert not again(reset).counts("trust", "a")
    with pytest.raises(VaultError):
        reset.get(ONE)
    shutil.rmtree(vault.places.state)
    (tmp_path / "copy").rename(vault.places.state)
    with pytest.raises(VaultError, match="anchor"):
        again(vault).get(ONE)


# seals


def test_a_seal_comes_back_and_binds_kind_and_key(vault: Vault) -> None:
    sealed = vault.seal("trust", "a", b"payload")
    vault.stored("trust", "a", sealed)
    assert again(vault).unseal("trust", "a", sealed) == b"payload"
    assert vault.counts("trust", "a")
    for kind, key in (("pins", "a"), ("trust", "b"), ("trus", "ta"), ("", "trusta")):
        with pytest.raises(StateError, match="not sealed by this installation"):
            vault.unseal(kind, key, sealed)


@given(position=st.integers(0, 200), bit=st.integers(0, 7), cut=st.integers(0, 60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_altered_or_cut_seal_is_refused(position: int, bit: int, cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("v")
    vault = new_vault(Places(str(folder / "s"), str(folder / "d")))
    sealed = vault.seal("trust", "a", b"payload")
    altered = bytearray(sealed)
    altered[position % len(sealed)] ^= 1 << bit
    for forged in (bytes(altered), sealed[:-1], sealed[: min(cut, len(sealed) - 1)], sealed + b"x", b""):
        with pytest.raises(StateError):
            vault.unseal("trust", "a", forged)


def test_an_old_seal_put_back_does_not_count(vault: Vault) -> None:
    first = vault.seal("trust", "a", b"first")
    vault.stored("trust", "a", first)
    second = vault.seal("trust", "a", b"second")
    assert vault.unseal("trust", "a", first) == b"first"  # a program that was killed here leaves both
    vault.stored("trust", "a", second)
    with pytest.raises(StateError, match="an older one, put back"):
        vault.unseal("trust", "a", first)
    vault.revoke("trust", "a")
    assert not vault.counts("trust", "a")
    for old in (first, second):
        with pytest.raises(StateError, match="put back"):
            again(vault).unseal("trust", "a", old)
    third = vault.seal("trust", "a", b"third")
    vault.stored("trust", "a", third)
    assert vault.unseal("trust", "a", third) == b"third"


def test_one_that_was_sealed_before_a_revocation_and_stored_after_it_does_not_count(vault: Vault) -> None:
    sealed = vault.seal("trust", "a", b"late")
    vault.revoke("trust", "a")
    vault.stored("trust", "a", sealed)
    assert not vault.counts("trust", "a")
    with pytest.raises(StateError, match="put back"):
        vault.unseal("trust", "a", sealed)


def test_keys_of_projects_may_be_any_path(vault: Vault) -> None:
    key = os.fsdecode(b"/shop/\xff")
    sealed = vault.seal("trust", key, b"payload")
    vault.stored("trust", key, sealed)
    assert vault.unseal("trust", key, sealed) == b"payload"


def test_purposes_have_keys_of_their_own() -> None:
    # RFC 5869 §2.3: T(1) = HMAC(PRK, info | 0x01)
    import hashlib
    import hmac

    assert derive(b"k" * 32, "a") == hmac.new(b"k" * 32, b"mcpwrap v1 a\x01", hashlib.sha256).digest()
    assert derive(b"k" * 32, "a") != derive(b"k" * 32, "b")


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")
