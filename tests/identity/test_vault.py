"""The vault's items and seals: what was altered, swapped, put back or forged doesn't count (IDENTITY.md §2)."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcpwrap.errors import StateError, VaultError
from mcpwrap.identity.vault import (
    HEADER_LIMIT,
    ITEM_LIMIT,
    Item,
    Places,
    Vault,
    read_header,
)
from tests.identity.vaults import again, new_vault

ONE = Item("secret", "local", "one")
TWO = Item("secret", "local", "two")
OTHER_ISSUER = Item("secret", "https://login.example", "one")
OTHER_KIND = Item("login", "local", "one")

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")


@pytest.fixture
def vault(places: Places) -> Vault:
    return new_vault(places)


# items


def test_an_item_comes_back_in_the_next_process(vault: Vault) -> None:
    vault.put(ONE, b"first")
    vault.put(ONE, b"second")
    assert again(vault).get(ONE) == b"second"
    assert again(vault).items("secret") == [ONE]
    assert vault.get(TWO) is None


def test_nothing_of_an_item_can_be_read_on_the_disk(vault: Vault) -> None:
    vault.put(ONE, b"a payload to look for")
    for file in Path(vault.places.state).rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert b"a payload to look for" not in data
            assert vault.key not in data
            assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("other", [TWO, OTHER_ISSUER, OTHER_KIND])
def test_two_items_cannot_be_swapped(vault: Vault, other: Item) -> None:
    vault.put(ONE, b"one")
    vault.put(other, b"other")
    a, b = Path(vault.path(ONE)), Path(vault.path(other))
    one, two = a.read_bytes(), b.read_bytes()
    a.write_bytes(two)
    b.write_bytes(one)
    for item in (ONE, other):
        with pytest.raises(VaultError, match="holds something else"):
            vault.get(item)
    assert vault.items("secret") == vault.items("login") == []


@pytest.mark.parametrize("other", [TWO, OTHER_ISSUER, OTHER_KIND])
def test_an_item_cannot_pass_for_another_by_its_label(vault: Vault, other: Item) -> None:
    vault.put(ONE, b"one")
    stored = json.loads(Path(vault.path(ONE)).read_bytes())
    stored["item"] = {"kind": other.kind, "issuer": other.issuer, "name": other.name}
    Path(vault.path(other)).write_text(json.dumps(stored))
    with pytest.raises(VaultError, match="was altered"):
        vault.get(other)


def test_an_items_count_cannot_be_raised(vault: Vault) -> None:
    vault.put(ONE, b"one")
    old = json.loads(Path(vault.path(ONE)).read_bytes())
    vault.put(ONE, b"two")
    for count in (2, 3, -1, 2**63, 2**64, 2**70):
        Path(vault.path(ONE)).write_text(json.dumps({**old, "count": count}))
        with pytest.raises(VaultError, match="was altered"):
            vault.get(ONE)


def test_an_old_item_put_back_does_not_count(vault: Vault) -> None:
    vault.put(ONE, b"one")
    old = Path(vault.path(ONE)).read_bytes()
    vault.put(ONE, b"two")
    Path(vault.path(ONE)).write_bytes(old)
    with pytest.raises(VaultError, match="an older one, put back"):
        again(vault).get(ONE)
    assert vault.items("secret") == []


def test_a_removed_item_put_back_does_not_count(vault: Vault) -> None:
    vault.put(ONE, b"one")
    old = Path(vault.path(ONE)).read_bytes()
    assert vault.remove(ONE)
    assert not vault.remove(ONE)
    Path(vault.path(ONE)).write_bytes(old)
    with pytest.raises(VaultError, match="put back"):
        vault.get(ONE)
    assert vault.remove(ONE)  # whatever lies there
    vault.put(ONE, b"new")
    Path(vault.path(ONE)).write_bytes(old)
    with pytest.raises(VaultError, match="put back"):
        vault.get(ONE)


def test_another_installations_item_does_not_count(vault: Vault, tmp_path: Path) -> None:
    other = new_vault(Places(str(tmp_path / "b"), str(tmp_path / "c")))
    other.put(ONE, b"one")
    vault.put(ONE, b"mine")
    Path(vault.path(ONE)).write_bytes(Path(other.path(ONE)).read_bytes())
    with pytest.raises(VaultError, match="was altered"):
        vault.get(ONE)


def test_each_issuer_has_a_key_of_its_own(vault: Vault) -> None:
    keys = {vault._item_key(item) for item in (ONE, TWO, OTHER_ISSUER)}
    assert len(keys) == 2
    # neither issuer nor name can pass for a part of the other
    assert Item("k", "a", "b:c").key != Item("k", "a2:b", "c").key


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_altered_bit_never_gives_another_payload(position: int, bit: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("v")
    vault = new_vault(Places(str(folder / "s"), str(folder / "d")))
    vault.put(ONE, b"payload")
    data = bytearray(Path(vault.path(ONE)).read_bytes())
    data[position % len(data)] ^= 1 << bit
    Path(vault.path(ONE)).write_bytes(data)
    with suppress(VaultError):
        assert vault.get(ONE) == b"payload"  # (a bit of base64 that stands for nothing)


@given(data=st.binary(max_size=400) | st.from_regex(rb'\{"item":.{0,40}\}', fullmatch=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_is_an_error_of_ours(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("v")
    vault = new_vault(Places(str(folder / "s"), str(folder / "d")))
    vault.put(ONE, b"payload")
    Path(vault.path(ONE)).write_bytes(data)
    with pytest.raises(VaultError):
        vault.get(ONE)
    with pytest.raises(StateError):
        vault.unseal("trust", "a", data)
    Path(vault.places.header).write_bytes(data)
    with pytest.raises(VaultError):
        read_header(vault.places)
    Path(vault.places.vault, "ledger").write_bytes(data)
    with pytest.raises(VaultError):
        vault.counts("trust", "a")


@pytest.mark.parametrize(
    "field", [{"nonce": ""}, {"sealed": ""}, {"sealed": "A" * 20}, {"extra": 1}, {"count": "1"}, {"item": {"kind": "secret"}}]
)
def test_an_item_of_another_shape_is_refused(vault: Vault, field: dict[str, object]) -> None:
    vault.put(ONE, b"one")
    stored = json.loads(Path(vault.path(ONE)).read_bytes())
    Path(vault.path(ONE)).write_text(json.dumps(stored | field))
    with pytest.raises(VaultError, match="was altered"):
        vault.get(ONE)


def test_deep_nesting_and_surrogates_are_refused(vault: Vault) -> None:
    vault.put(ONE, b"one")
    for text in ("[" * 200_000, '{"item":{"kind":"\\ud800","issuer":"","name":""},"count":1,"nonce":"","sealed":""}'):
        Path(vault.path(ONE)).write_text(text)
        with pytest.raises(VaultError):
            vault.get(ONE)


def test_items_and_headers_are_bounded(vault: Vault) -> None:
    with pytest.raises(StateError, match="longer than 1 MiB"):
        vault.put(ONE, bytes(ITEM_LIMIT + 1))
    vault.put(ONE, bytes(ITEM_LIMIT))
    assert vault.get(ONE) == bytes(ITEM_LIMIT)
    with Path(vault.path(ONE)).open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(VaultError, match="too long"):
        vault.get(ONE)
    with Path(vault.places.header).open("r+b") as file:
        file.truncate(HEADER_LIMIT + 1)
    with pytest.raises(VaultError, match="too long"):
        read_header(vault.places)


def test_update_changes_what_is_there_and_brings_nothing_back(vault: Vault) -> None:
    vault.put(ONE, b"one")
    vault.update(ONE, b"two")
    assert again(vault).get(ONE) == b"two"
    vault.remove(ONE)
    with pytest.raises(VaultError, match="was taken away"):
        vault.update(ONE, b"three")
    assert vault.get(ONE) is None


def test_only_items_of_the_kind_are_listed(vault: Vault) -> None:
    assert vault.items("secret") == []
    for item in (TWO, ONE, OTHER_ISSUER, OTHER_KIND):
        vault.put(item, b"x")
    folder = Path(vault.path(ONE)).parent
    (folder / f"{Path(vault.path(ONE)).name}.12ab.new").write_bytes(Path(vault.path(ONE)).read_bytes())  # a killed writer's
    (folder / "folder").mkdir()
    assert vault.items("secret") == [OTHER_ISSUER, ONE, TWO]
    assert vault.lock(ONE) == vault.path(ONE) + ".lock"


def test_what_cannot_be_taken_away_is_said(vault: Vault) -> None:
    Path(vault.path(ONE)).mkdir(parents=True, mode=0o700)
    Path(vault.path(ONE)).parent.chmod(0o700)
    with pytest.raises(StateError, match="can't be taken away"):
        vault.remove(ONE)


def test_removing_works_with_a_broken_ledger(vault: Vault) -> None:
    vault.put(ONE, b"one")
    Path(vault.places.vault, "ledger").write_bytes(b"broken")
    with pytest.raises(VaultError, match="was altered"):
        vault.remove(ONE)
    assert not Path(vault.path(ONE)).exists()


# folders and files


def test_a_folder_that_is_a_link_is_not_used(vault: Vault, tmp_path: Path) -> None:
    vault.put(ONE, b"one")
    items = Path(vault.path(ONE)).parent
    items.rename(tmp_path / "elsewhere")
    items.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(VaultError, match="is a link"):
        vault.get(ONE)
    for use in (lambda: vault.put(ONE, b"two"), lambda: vault.update(ONE, b"two"), lambda: vault.remove(ONE)):
        with pytest.raises(StateError, match="is a link"):
            use()
    assert vault.items("secret") == []
    state = Path(vault.places.vault)
    state.rename(tmp_path / "moved")
    state.symlink_to(tmp_path / "moved")
    with pytest.raises(VaultError, match="is a link"):
        read_header(vault.places)


def test_a_file_that_is_a_link_is_not_used(vault: Vault, tmp_path: Path) -> None:
    vault.put(ONE, b"one")
    for file in (vault.path(ONE), vault.places.header):
        Path(file).rename(tmp_path / "elsewhere")
        Path(file).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(VaultError):
        vault.get(ONE)
    with pytest.raises(VaultError):
        read_header(vault.places)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_not_used(vault: Vault, mode: int) -> None:
    vault.put(ONE, b"one")
    for file in (vault.path(ONE), vault.places.header):
        Path(file).chmod(mode)
    with pytest.raises(VaultError, match="others can write it"):
        vault.get(ONE)
    with pytest.raises(VaultError, match="others can write it"):
        read_header(vault.places)


@ROOT_ONLY
def test_another_users_files_and_folders_are_not_used(vault: Vault) -> None:
    vault.put(ONE, b"one")
    os.chown(vault.path(ONE), 65534, 65534)
    with pytest.raises(VaultError):
        vault.get(ONE)
    os.chown(vault.places.vault, 65534, 65534)
    with pytest.raises(VaultError, match="belongs to another user"):
        read_header(vault.places)
    with pytest.raises(StateError, match="belongs to another user"):
        vault.revoke("trust", "a")


# at once


def test_one_that_is_stored_while_the_one_before_is_read_counts(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.put(ONE, b"old")
    writer = again(vault)
    oldest = vault._ledger.oldest
    news = iter([b"new", b"newer"])

    def meanwhile(name: str) -> int:
        if payload := next(news, None):
            writer.put(ONE, payload)
        return oldest(name)

    monkeypatch.setattr(vault._ledger, "oldest", meanwhile)
    assert vault.get(ONE) == b"newer"


def test_one_that_is_taken_away_while_it_is_read_is_gone(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.put(ONE, b"old")
    writer = again(vault)
    oldest = vault._ledger.oldest

    def meanwhile(name: str) -> int:
        writer.remove(ONE)
        return oldest(name)

    monkeypatch.setattr(vault._ledger, "oldest", meanwhile)
    assert vault.get(ONE) is None


def test_somebody_who_plays_with_the_file_is_not_waited_for(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.put(ONE, b"old")
    old = Path(vault.path(ONE)).read_bytes()
    vault.put(ONE, b"new")
    spaces = iter(range(1, 1000))

    def put_back(path: str, limit: int) -> bytes:
        return old + b" " * next(spaces)

    monkeypatch.setattr("mcpwrap.identity.vault.read_private", put_back)
    with pytest.raises(VaultError, match="put back"):
        vault.get(ONE)
    assert next(spaces) < 20
