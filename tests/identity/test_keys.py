"""One place for the key, named by the setting and the header alike; no second one is ever looked in (IDENTITY.md §2)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import structs

from mcpwrap.errors import StateError, VaultError
from mcpwrap.identity import bus, keyfile, keyrings, keys, passphrase
from mcpwrap.identity.keyrings import NO_KEYRING
from mcpwrap.identity.keys import ensure_vault, make_vault, move_vault, open_vault, parse_setting
from mcpwrap.identity.vault import Header, Item, Places, Vault, create, read_header
from mcpwrap.secret import Secret
from tests.contracts.keyrings import CredentialLocker, windows

ONE = Item("secret", "local", "one")
WORDS = Secret("correct horse battery staple")
NOWHERE = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}
WINDOWS = "Windows Credential Locker"


@pytest.fixture
def setting(tmp_path: Path) -> str:
    """A key file that isn't made yet."""
    return f"file:{tmp_path / 'key'}"


@pytest.fixture
def locker(monkeypatch: pytest.MonkeyPatch) -> CredentialLocker:
    """Windows' keyring, asked in this process."""
    locker = CredentialLocker()
    backend = windows(monkeypatch, locker)
    monkeypatch.setattr(keyrings, "choose", lambda *_: (backend, WINDOWS))
    monkeypatch.setattr(keyrings, "_apart", lambda request, env: keyrings._done(keyrings._answer(request, env)))
    return locker


# a key file


def test_a_vault_with_a_key_file(places: Places, setting: str) -> None:
    made = make_vault(places, setting, {})
    made.put(ONE, b"payload")
    assert open_vault(places, setting, {}).get(ONE) == b"payload"
    assert read_header(places) == made.header


def test_there_is_one_vault(places: Places, setting: str) -> None:
    made = make_vault(places, setting, {})
    with pytest.raises(VaultError, match="there is a vault already"):
        make_vault(places, setting, {})
    assert open_vault(places, setting, {}).key == made.key


def test_a_key_file_that_is_gone_or_another_is_no_beginning(places: Places, setting: str, tmp_path: Path) -> None:
    make_vault(places, setting, {})
    key = tmp_path / "key"
    key.unlink()
    for use in (open_vault, ensure_vault):
        with pytest.raises(VaultError, match="isn't there"):
            use(places, setting, {})
    assert not key.exists()
    keyfile.make_key(str(key), None, home="")
    with pytest.raises(VaultError, match="isn't the one that this vault was made with"):
        open_vault(places, setting, {})


def test_without_a_vault_the_remedy_is_said(places: Places, setting: str) -> None:
    for each in ("keyring", "passphrase", setting):
        with pytest.raises(VaultError, match="there is no vault yet") as told:
            open_vault(places, each, {})
        assert told.value.hint == "run `mcpwrap vault init`"
    for each in ("passphrase", setting):
        with pytest.raises(VaultError, match="there is no vault yet"):
            ensure_vault(places, each, {})
    assert not os.path.lexists(places.state)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Keyring",
        "keyring:",
        "keyring:x",
        "passphrase:x",
        "file:",
        "file:key",
        "file:./key",
        "file:~/key",
        "file:/a\0b",
        "plain",
    ],
)
def test_a_setting_that_says_something_else_is_refused(text: str) -> None:
    with pytest.raises(VaultError, match="is no place for the installation's key"):
        parse_setting(text)
    with pytest.raises(VaultError):
        parse_setting(os.fsdecode(b"file:/\xff"))


def test_settings_say_what_they_are() -> None:
    assert [str(parse_setting(text)) for text in ("keyring", "passphrase", "file:/a/../b")] == ["keyring", "passphrase", "file:/b"]


# the setting and the header


def test_the_setting_and_the_header_must_name_the_same_place(places: Places, setting: str, tmp_path: Path) -> None:
    make_vault(places, setting, {})
    for other in ("keyring", "passphrase", f"file:{tmp_path / 'other'}"):
        for use in (open_vault, ensure_vault):
            with pytest.raises(VaultError, match=r"config\.toml says") as told:
                use(places, other, {"MCPWRAP_PASSPHRASE": "correct horse battery staple"})
            assert f'key = "{setting}"' in told.value.hint
            assert "mcpwrap vault init --" in told.value.hint


def test_a_header_that_was_turned_to_another_place_is_refused(places: Places, setting: str, tmp_path: Path) -> None:
    make_vault(places, setting, {})
    (tmp_path / "copy").write_bytes((tmp_path / "key").read_bytes())
    (tmp_path / "copy").chmod(0o600)
    header = Path(places.header)
    header.write_text(json.dumps(json.loads(header.read_bytes()) | {"where": str(tmp_path / "copy")}))
    with pytest.raises(VaultError, match="its header was altered"):
        open_vault(places, f"file:{tmp_path / 'copy'}", {})


def test_a_vault_that_somebody_slipped_in_is_refused(places: Places, setting: str, tmp_path: Path) -> None:
    make_vault(places, setting, {})
    # another one, with another key, in the same place; the person's key file is still the person's
    create(places, Header("file", str(tmp_path / "key"), "planted"), os.urandom(32))
    with pytest.raises(VaultError, match="isn't the one that this vault was made with"):
        open_vault(places, setting, {})


# a passphrase


def test_a_vault_behind_a_passphrase(places: Places) -> None:
    made = make_vault(places, "passphrase", {}, passphrase=WORDS)
    made.put(ONE, b"payload")
    assert open_vault(places, "passphrase", {}, passphrase=WORDS).get(ONE) == b"payload"
    assert open_vault(places, "passphrase", {"MCPWRAP_PASSPHRASE": WORDS.reveal()}).get(ONE) == b"payload"
    assert made.key not in Path(places.header).read_bytes()


def test_a_shim_that_has_no_passphrase_says_so(places: Places) -> None:
    make_vault(places, "passphrase", {}, passphrase=WORDS)
    for env in ({}, {"MCPWRAP_PASSPHRASE": ""}):
        with pytest.raises(VaultError, match="nobody can be asked for it here") as told:
            open_vault(places, "passphrase", env)
        assert "MCPWRAP_PASSPHRASE" in told.value.hint


def test_a_wrong_passphrase_is_said(places: Places) -> None:
    make_vault(places, "passphrase", {}, passphrase=WORDS)
    with pytest.raises(VaultError, match="MCPWRAP_PASSPHRASE isn't the vault's passphrase") as told:
        open_vault(places, "passphrase", {"MCPWRAP_PASSPHRASE": "correct horse battery stable"})
    assert "--reset" not in told.value.hint
    with pytest.raises(VaultError, match="the passphrase is wrong"):
        open_vault(places, "passphrase", {}, passphrase=Secret("correct horse battery stable"))


def test_a_short_passphrase_is_refused(places: Places) -> None:
    with pytest.raises(VaultError, match="at least 12 characters"):
        make_vault(places, "passphrase", {}, passphrase=Secret("hunter2"))
    assert not os.path.lexists(places.header)


@pytest.mark.parametrize("change", [{"n": 1 << 40}, {"n": 2}, {"r": 1 << 20}, {"p": 2}, {"salt": b""}, {"salt": b"x" * 17}])
def test_what_a_header_asks_of_scrypt_is_bounded_before_it_is_done(places: Places, change: dict[str, int | bytes]) -> None:
    header = make_vault(places, "passphrase", {}, passphrase=WORDS).header
    with pytest.raises(VaultError, match="was altered, or was made by another version"):
        passphrase.unwrap(structs.replace(header, **change), WORDS)


def test_an_altered_wrapping_is_refused(places: Places) -> None:
    header = make_vault(places, "passphrase", {}, passphrase=WORDS).header
    for change in ({"wrapped": b""}, {"wrapped": header.wrapped[:-1] + b"\0"}, {"salt": bytes(16)}, {"epoch": "other"}):
        with pytest.raises(VaultError, match="the passphrase is wrong"):
            passphrase.unwrap(structs.replace(header, **change), WORDS)


def test_two_vaults_with_one_passphrase_have_nothing_in_common(tmp_path: Path) -> None:
    headers = [
        make_vault(Places(str(tmp_path / n / "s"), str(tmp_path / n / "d")), "passphrase", {}, passphrase=WORDS).header
        for n in ("a", "b")
    ]
    assert headers[0].salt != headers[1].salt
    assert headers[0].wrapped != headers[1].wrapped


# moving and beginning anew


def moves(places: Places, first: str, second: str) -> None:
    vault = make_vault(places, first, {}, passphrase=WORDS)
    vault.put(ONE, b"payload")
    sealed = vault.seal("trust", "a", b"trusted")
    vault.stored("trust", "a", sealed)
    moved = move_vault(vault, second, {}, passphrase=WORDS)
    found = open_vault(places, second, {}, passphrase=WORDS)
    assert found.key == moved.key == vault.key
    assert found.get(ONE) == b"payload"
    assert found.unseal("trust", "a", sealed) == b"trusted"
    with pytest.raises(VaultError, match=r"config\.toml says"):
        open_vault(places, first, {}, passphrase=WORDS)


def test_a_key_moves_and_nothing_is_lost(places: Places, setting: str, tmp_path: Path) -> None:
    moves(places, setting, "passphrase")
    assert (tmp_path / "key").exists()  # the person's to take away


def test_a_key_moves_out_of_a_passphrase(places: Places, setting: str) -> None:
    moves(places, "passphrase", setting)


def test_a_key_moves_between_files(places: Places, setting: str, tmp_path: Path) -> None:
    moves(places, setting, f"file:{tmp_path / 'other'}")


def test_a_key_moves_out_of_a_keyring_and_back(places: Places, setting: str, locker: CredentialLocker) -> None:
    moves(places, "keyring", setting)
    assert not locker.kept
    move_vault(open_vault(places, setting, {}), "keyring", {})
    assert open_vault(places, "keyring", {}).header.where == WINDOWS


def test_a_new_passphrase_is_a_move_too(places: Places) -> None:
    vault = make_vault(places, "passphrase", {}, passphrase=WORDS)
    move_vault(vault, "passphrase", {}, passphrase=Secret("another few words"))
    assert open_vault(places, "passphrase", {}, passphrase=Secret("another few words")).key == vault.key
    with pytest.raises(VaultError, match="wrong"):
        open_vault(places, "passphrase", {}, passphrase=WORDS)


def test_a_move_that_fails_changes_nothing(places: Places, setting: str, tmp_path: Path, locker: CredentialLocker) -> None:
    vault = make_vault(places, "keyring", {})
    (tmp_path / "key").write_text("something else")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(VaultError, match="holds no key"):
        move_vault(vault, setting, {})
    with pytest.raises(VaultError, match="at least 12"):
        move_vault(vault, "passphrase", {}, passphrase=Secret("short"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mcpwrap.identity.vault.replace", _full)
        with pytest.raises(StateError, match="can't be written"):
            move_vault(vault, "passphrase", {}, passphrase=WORDS)
    assert open_vault(places, "keyring", {}).key == vault.key


def test_a_reset_begins_anew_and_the_old_does_not_count(places: Places, setting: str, tmp_path: Path) -> None:
    old = make_vault(places, setting, {})
    old.put(ONE, b"payload")
    new = make_vault(places, f"file:{tmp_path / 'new'}", {}, reset=True)
    assert new.key != old.key
    assert new.get(ONE) is None
    with pytest.raises(StateError):
        old.put(ONE, b"payload")
    assert new.get(ONE) is None
    new.put(ONE, b"new")
    assert new.get(ONE) == b"new"


def test_a_reset_mends_a_broken_header(places: Places, setting: str, tmp_path: Path) -> None:
    make_vault(places, setting, {})
    Path(places.header).write_text("broken")
    with pytest.raises(VaultError, match="can't be used"):
        make_vault(places, setting, {})
    assert make_vault(places, f"file:{tmp_path / 'new'}", {}, reset=True).header.where == str(tmp_path / "new")


def test_a_reset_takes_the_old_key_out_of_the_keyring(places: Places, setting: str, locker: CredentialLocker) -> None:
    make_vault(places, "keyring", {})
    make_vault(places, setting, {}, reset=True)
    assert not locker.kept


# a keyring


def test_the_first_use_makes_a_vault_where_there_is_a_keyring(places: Places, locker: CredentialLocker) -> None:
    made = ensure_vault(places, "keyring", {})
    assert (made.header.mode, made.header.where) == ("keyring", WINDOWS)
    assert ensure_vault(places, "keyring", {}).key == made.key
    assert [each["UserName"] for each in locker.kept.values()] == [made.header.epoch]


def test_without_a_keyring_nothing_is_made_and_one_sentence_says_why(places: Places, tmp_path: Path) -> None:
    with pytest.raises(VaultError) as told:
        ensure_vault(places, "keyring", {**NOWHERE, "HOME": str(tmp_path)})
    assert str(told.value) == NO_KEYRING
    assert told.value.hint == "run `mcpwrap vault init --key-file PATH` (or --passphrase)"
    assert not os.path.lexists(places.state)


def test_a_keyring_that_fails_later_is_an_error_and_nothing_else(places: Places, locker: CredentialLocker) -> None:
    make_vault(places, "keyring", {})
    before = sorted(Path(places.state).rglob("*"))
    locker.failing = True
    for use in (open_vault, ensure_vault):
        with pytest.raises(VaultError, match="can't be read in the system's keyring: WindowsError 1312"):
            use(places, "keyring", {})
    locker.failing = False
    locker.kept.clear()
    for use in (open_vault, ensure_vault):
        with pytest.raises(VaultError, match="isn't in the system's keyring"):
            use(places, "keyring", {})
    assert sorted(Path(places.state).rglob("*")) == before


def test_a_recorded_bus_is_a_hint_and_no_more(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = create(places, Header("keyring", "Secret Service", "e"), os.urandom(32))
    record = Path(places.vault, "bus")
    asked: list[str] = []

    def read(env: object, name: str, recorded: str) -> tuple[list[str], str]:
        asked.append(recorded)
        return [keyfile.text_of(vault.key)], "unix:path=/new"

    monkeypatch.setattr(bus, "read", read)
    assert open_vault(places, "keyring", {}).key == vault.key
    assert record.read_text() == "unix:path=/new"
    assert record.stat().st_mode & 0o777 == 0o600
    for data in (b"x" * 5000, b"\xff"):
        record.write_bytes(data)
        open_vault(places, "keyring", {})
    record.unlink()
    monkeypatch.setattr(keys, "replace", _full)
    open_vault(places, "keyring", {})  # a read-only home
    assert asked == ["", "", "", ""]


def test_of_several_entries_the_one_that_the_header_knows_counts(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = create(places, Header("keyring", "Secret Service", "e"), os.urandom(32))
    ours, other = keyfile.text_of(vault.key), keyfile.text_of(os.urandom(32))
    for texts in ([ours, other], [other, ours], [other, ours, other], ["no key", ours]):
        monkeypatch.setattr(bus, "read", lambda *_, texts=texts: (texts, "unix:path=/new"))
        assert open_vault(places, "keyring", {}).key == vault.key


def test_no_key_at_all_is_refused(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    create(places, Header("keyring", "Secret Service", "e"), os.urandom(32))
    monkeypatch.setattr(bus, "read", lambda *_: ([], "unix:path=/new"))
    with pytest.raises(VaultError, match="isn't the one that this vault was made with"):
        open_vault(places, "keyring", {})


# what a start costs


def test_a_start_with_a_key_file_imports_nothing_heavy(places: Places, setting: str) -> None:
    make_vault(places, setting, {})
    script = (
        "import sys; from mcpwrap.identity.keys import open_vault; from mcpwrap.identity.vault import Places\n"
        f"open_vault(Places({places.state!r}, {places.data!r}), {setting!r}, {{}})\n"
        "print(sorted({'keyring', 'jeepney', 'cryptography', 'subprocess', 'jwt', 'httpx2', 'threading', 'tomlkit'}"
        " & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert ended.stdout == "[]\n"


def test_a_vault_is_not_copied(places: Places, setting: str) -> None:
    import copy
    import pickle

    vault: Vault = make_vault(places, setting, {})
    for use in (copy.copy, pickle.dumps):
        with pytest.raises(TypeError, match="a vault isn't copied"):
            use(vault)


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")
