"""What is kept of logins: a card that counts or doesn't, and secrets behind it (`mcpwrap.identity.logins`)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcpwrap import files
from mcpwrap.errors import StateError, VaultError
from mcpwrap.identity.logins import CARD_LIMIT, AccessToken, Card, LoginSecrets, LoginStore, access_key, card_path, key_of, keys_for
from mcpwrap.identity.vault import Places
from tests.identity.vaults import again, new_vault

ISSUER = "https://login.example"
CARD = Card("work", ISSUER, "client", "browser", "ann", scopes=("read",), refreshable=True)
SECRETS = LoginSecrets(ISSUER, "client", ISSUER + "/token", refresh_token="r", access={"": AccessToken("t", 9.0, 1.0)})


@pytest.fixture
def store(places: Places) -> LoginStore:
    return LoginStore(new_vault(places))


def test_a_login_comes_back_in_the_next_process(store: LoginStore) -> None:
    assert store.card(CARD.key) is None
    assert store.secrets(CARD.key) is None
    assert store.cards() == []
    store.put(CARD, SECRETS)
    other = LoginStore(again(store._vault))
    assert other.card(CARD.key) == CARD
    assert other.secrets(CARD.key) == SECRETS
    assert other.cards() == [CARD]


def test_profile_and_issuer_name_a_login_and_neither_passes_for_the_other(store: LoginStore) -> None:
    assert key_of("a", "b") != key_of("", "ab") != key_of("ab", "")
    assert CARD.key == key_of("work", ISSUER)
    assert (store.item(CARD.key).issuer, store.item(CARD.key).name) == (ISSUER, "work")
    assert access_key("r", ("b", "a")) == access_key("r", ("a", "b")) != access_key("", ("r", "a", "b"))


def test_an_old_or_foreign_card_does_not_count(store: LoginStore) -> None:
    store.put(CARD, SECRETS)
    path = Path(store.path(CARD.key))
    old = path.read_bytes()
    store.put_card(Card("work", ISSUER, "client", "browser", "bob"))
    path.write_bytes(old)
    with pytest.raises(VaultError, match="put back") as told:
        store.card(CARD.key)
    assert told.value.hint == "mcpwrap login"
    assert store.cards() == []
    other = key_of("other", ISSUER)
    Path(store.path(other)).write_bytes(old)
    with pytest.raises(VaultError, match="not sealed by this installation"):
        store.card(other)


def test_a_card_under_another_ones_name_is_not_listed(store: LoginStore) -> None:
    store.put(CARD, SECRETS)
    path = Path(store.path(CARD.key))
    (path.parent / ("0" * 64 + ".json")).write_bytes(path.read_bytes())
    (path.parent / "garbage").write_bytes(b"garbage")
    assert store.cards() == [CARD]


def test_a_logout_is_for_good(store: LoginStore) -> None:
    store.put(CARD, SECRETS)
    card, item = Path(store.path(CARD.key)), Path(store._vault.path(store.item(CARD.key)))
    kept = card.read_bytes(), item.read_bytes()
    assert store.remove(CARD.key)
    assert not store.remove(CARD.key)
    assert not card.exists() and not item.exists()
    card.write_bytes(kept[0])
    item.write_bytes(kept[1])
    for look in (store.card, store.secrets):
        with pytest.raises(VaultError, match="put back"):
            look(CARD.key)
    with pytest.raises(VaultError, match="taken away"):
        store.amend(CARD.key, lambda _: SECRETS)


def test_what_renews_a_login_does_not_bring_it_back(store: LoginStore) -> None:
    store.put(CARD, SECRETS)
    ended = Card("work", ISSUER, "client", "browser", "ann", ended="expired")
    store.update_card(ended)
    assert store.card(CARD.key) == ended
    store.amend(CARD.key, lambda _: LoginSecrets(ISSUER, "client", "t", refresh_token="r2"))
    found = store.secrets(CARD.key)
    assert found is not None and found.refresh_token == "r2"
    store.remove(CARD.key)
    with pytest.raises(VaultError, match="the login was taken away"):
        store.update_card(CARD)
    assert store.card(CARD.key) is None


def test_a_logout_works_with_a_broken_ledger(store: LoginStore) -> None:
    store.put(CARD, SECRETS)
    Path(store._vault.places.vault, "ledger").write_bytes(b"broken")
    with pytest.raises(VaultError):
        store.remove(CARD.key)
    assert not Path(store.path(CARD.key)).exists()
    assert not Path(store._vault.path(store.item(CARD.key))).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no lock there")
def test_a_login_whose_card_cant_be_stored_leaves_the_secrets_of_the_one_before(
    store: LoginStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    store.put(CARD, SECRETS)
    fd = os.open(Path(store.path(CARD.key)).parent, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    monkeypatch.setattr(files, "LOCK_S", 0.0)
    with pytest.raises(StateError, match="is locked by another program"):
        store.put(CARD, msgspec.structs.replace(SECRETS, refresh_token="another's"))
    os.close(fd)
    assert store.secrets(CARD.key) == SECRETS


def test_what_cannot_be_written_or_taken_away_is_said(store: LoginStore) -> None:
    with pytest.raises(StateError, match="longer than 256 KiB"):
        store.put_card(Card("work", ISSUER, "client", "browser", "x" * CARD_LIMIT))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", _full)
        with pytest.raises(StateError, match="can't be written: no space left"):
            store.put_card(CARD)
    store.put(CARD, SECRETS)
    Path(store.path(CARD.key)).unlink()
    Path(store.path(CARD.key)).mkdir()
    with pytest.raises(StateError, match="can't be taken away"):
        store.remove(CARD.key)


def test_a_folder_that_is_a_link_is_not_used(store: LoginStore, tmp_path: Path) -> None:
    store.put(CARD, SECRETS)
    folder = Path(store.path(CARD.key)).parent
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(VaultError, match="is a link"):
        store.card(CARD.key)
    assert store.cards() == []
    assert card_path(store._vault.places.state, CARD.key) == store.path(CARD.key)


@given(data=st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_is_an_error_of_ours(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("v")
    store = LoginStore(new_vault(Places(str(folder / "s"), str(folder / "d"))))
    store.put(CARD, SECRETS)
    Path(store.path(CARD.key)).write_bytes(data)
    with pytest.raises(VaultError):
        store.card(CARD.key)
    assert store.cards() == []


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_card_that_is_stored_while_the_one_before_is_read_counts(store: LoginStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(CARD, SECRETS)
    newer = Card("work", ISSUER, "client", "browser", "bob")
    unseal = store._vault.unseal

    def meanwhile(kind: str, key: str, sealed: bytes) -> bytes:
        monkeypatch.undo()
        LoginStore(again(store._vault)).put_card(newer)
        return unseal(kind, key, sealed)

    monkeypatch.setattr(store._vault, "unseal", meanwhile)
    assert store.card(CARD.key) == newer


def test_a_profiles_login_goes_before_the_one_without(store: LoginStore) -> None:
    assert keys_for(ISSUER, ("work", "home")) == (key_of("work", ISSUER), key_of("home", ISSUER), key_of("", ISSUER))
