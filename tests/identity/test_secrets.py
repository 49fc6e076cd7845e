"""A server's secret is bound to the project and the server that it was set for; lending it is a grant (IDENTITY.md §2)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mcpwrap.errors import UsageError, VaultError
from mcpwrap.identity.secrets import SECRET_LIMIT, Kept, Owner, SecretStore
from mcpwrap.identity.vault import Places
from mcpwrap.secret import Secret
from tests.identity.vaults import again, new_vault

SHOP, OTHER = "/src/shop", "/src/other"


@pytest.fixture
def store(places: Places) -> SecretStore:
    found = SecretStore(new_vault(places))
    found.set(SHOP, "git", "TOKEN", Secret("hunter2"))
    return found


def test_a_secret_comes_back_in_the_next_process(store: SecretStore) -> None:
    store.set(SHOP, "git", "TOKEN", Secret("hunter3"))
    assert SecretStore(again(store._vault)).get(SHOP, "git", "TOKEN") == Secret("hunter3")


@pytest.mark.parametrize(
    ("root", "server", "name"),
    [
        (OTHER, "git", "TOKEN"),
        (SHOP, "gut", "TOKEN"),
        (SHOP, "git", "TOKEN2"),
        (SHOP + "/git", "", "TOKEN"),
        ("", SHOP + "git", "TOKEN"),
        (SHOP + '","git', "TOKEN", ""),
    ],
)
def test_nobody_else_gets_it(store: SecretStore, root: str, server: str, name: str) -> None:
    assert store.get(root, server, name) is None


def test_one_projects_item_put_in_the_place_of_anothers_gives_nothing(store: SecretStore) -> None:
    store.set(OTHER, "git", "TOKEN", Secret("mine"))
    [a, b] = [Path(store._vault.path(item)) for item in store._vault.items("secret")]
    b.write_bytes(a.read_bytes())
    with pytest.raises(VaultError):
        [store.get(root, "git", "TOKEN") for root in (SHOP, OTHER)]


def test_it_can_be_lent_and_taken_back(store: SecretStore) -> None:
    store.grant(SHOP, "git", "TOKEN", OTHER, "gut")
    assert store.get(OTHER, "gut", "TOKEN") == Secret("hunter2")
    assert store.get(OTHER, "git", "TOKEN") is None
    store.set(SHOP, "git", "TOKEN", Secret("hunter3"))
    assert store.get(OTHER, "gut", "TOKEN") == Secret("hunter3")
    assert store.list() == [Kept(Owner(SHOP, "git"), "TOKEN", (Owner(OTHER, "gut"),))]
    assert not store.revoke(OTHER, "git", "TOKEN", OTHER, "gut")
    assert not store.revoke(SHOP, "git", "TOKEN", OTHER, "git")
    assert store.revoke(SHOP, "git", "TOKEN", OTHER, "gut")
    assert store.get(OTHER, "gut", "TOKEN") is None
    assert not store.revoke(SHOP, "git", "TOKEN", OTHER, "gut")


def test_a_grant_put_back_does_not_count(store: SecretStore) -> None:
    store.grant(SHOP, "git", "TOKEN", OTHER, "git")
    [grant] = store._vault.items("grant")
    kept = Path(store._vault.path(grant)).read_bytes()
    store.revoke(SHOP, "git", "TOKEN", OTHER, "git")
    Path(store._vault.path(grant)).write_bytes(kept)
    with pytest.raises(VaultError, match="put back"):
        store.get(OTHER, "git", "TOKEN")
    assert store.list()[0].lent == ()
    assert store.revoke(SHOP, "git", "TOKEN", OTHER, "git")  # whatever lies there goes
    assert store.get(OTHER, "git", "TOKEN") is None


def test_a_secret_is_lent_by_its_owner_only(store: SecretStore) -> None:
    store.grant(SHOP, "git", "TOKEN", OTHER, "git")
    with pytest.raises(VaultError, match="there is no secret `TOKEN` of `git`") as told:
        store.grant(OTHER, "git", "TOKEN", "/third", "git")
    assert told.value.hint == "mcpwrap secret set git TOKEN"
    assert store.get("/third", "git", "TOKEN") is None


def test_a_secret_of_ones_own_goes_before_a_lent_one(store: SecretStore) -> None:
    store.grant(SHOP, "git", "TOKEN", OTHER, "git")
    store.set(OTHER, "git", "TOKEN", Secret("mine"))
    assert store.get(OTHER, "git", "TOKEN") == Secret("mine")


def test_a_name_is_lent_from_one_place_at_a_time(store: SecretStore) -> None:
    store.set("/third", "git", "TOKEN", Secret("third"))
    store.grant(SHOP, "git", "TOKEN", OTHER, "git")
    store.grant(SHOP, "git", "TOKEN", OTHER, "git")
    with pytest.raises(VaultError, match="lent from elsewhere already"):
        store.grant("/third", "git", "TOKEN", OTHER, "git")
    with pytest.raises(UsageError, match="of `git` itself"):
        store.grant(SHOP, "git", "TOKEN", SHOP, "git")


def test_a_removed_secret_is_lent_to_nobody_even_when_it_is_set_again(store: SecretStore) -> None:
    store.grant(SHOP, "git", "TOKEN", OTHER, "git")
    assert store.remove(SHOP, "git", "TOKEN")
    assert not store.remove(SHOP, "git", "TOKEN")
    assert store.get(SHOP, "git", "TOKEN") is store.get(OTHER, "git", "TOKEN") is None
    store.set(SHOP, "git", "TOKEN", Secret("new"))
    assert store.get(OTHER, "git", "TOKEN") is None


def test_the_list_names_and_never_shows(store: SecretStore) -> None:
    store.set(OTHER, "git", "A", Secret("hunter4"))
    assert [kept.name for kept in store.list()] == ["A", "TOKEN"]
    assert store.list(SHOP) == [Kept(Owner(SHOP, "git"), "TOKEN")]
    assert "hunter" not in repr(store.list())


@pytest.mark.parametrize("name", ["", "-A", ".a", "A B", "A=B", "A\n", "Ä", "A" * 129, "${X}"])
def test_a_name_that_cannot_be_written_in_a_file_is_refused(store: SecretStore, name: str) -> None:
    with pytest.raises(UsageError, match="can't be a secret's name"):
        store.set(SHOP, "git", name, Secret("x"))


@pytest.mark.parametrize("value", ["", "a\0b", "x" * (SECRET_LIMIT + 1), "\ud800"])
def test_a_value_that_no_variable_can_have_is_refused_and_not_quoted(store: SecretStore, value: str) -> None:
    with pytest.raises(UsageError) as told:
        store.set(SHOP, "git", "TOKEN", Secret(value))
    assert len(str(told.value)) < 100
    assert told.value.__cause__ is None
    store.set(SHOP, "git", "TOKEN", Secret("x" * SECRET_LIMIT))


def test_a_grant_that_is_taken_back_while_it_is_listed_is_not_listed(store: SecretStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.grant(SHOP, "git", "TOKEN", OTHER, "git")
    monkeypatch.setattr(store._vault, "get", lambda item: None)
    assert store.list()[0].lent == ()


def test_a_change_shows_in_one_of_two_files(store: SecretStore) -> None:
    own, lent = map(Path, store.paths(OTHER, "git", "TOKEN"))
    assert not own.exists() and not lent.exists()
    store.grant(SHOP, "git", "TOKEN", OTHER, "git")
    assert lent.exists() and not own.exists()
    store.set(OTHER, "git", "TOKEN", Secret("mine"))
    assert own.exists()


def test_who_borrows_is_told_when_the_owner_sets_it_anew(store: SecretStore) -> None:
    before = store.paths(OTHER, "git", "TOKEN")
    store.grant(SHOP, "git", "TOKEN", OTHER, "git")
    paths = store.paths(OTHER, "git", "TOKEN")
    assert paths == (*before, store.paths(SHOP, "git", "TOKEN")[0])
    owners = Path(paths[2])
    old = owners.read_bytes()
    store.set(SHOP, "git", "TOKEN", Secret("hunter3"))
    assert owners.read_bytes() != old
    # a grant that can't be read leads nowhere
    Path(paths[1]).write_bytes(b"broken")
    assert store.paths(OTHER, "git", "TOKEN") == before


def test_without_a_grant_nothing_is_decrypted_to_know_what_to_watch(store: SecretStore) -> None:
    store.set(SHOP, "git", "OTHER", Secret("hunter4"))
    vault = store._vault
    code = f"""
import sys
from mcpwrap.identity.secrets import SecretStore
from mcpwrap.identity.vault import Places, Vault, read_header
places = Places({vault.places.state!r}, {vault.places.data!r})
vault = Vault(places, read_header(places), bytes.fromhex(sys.stdin.read()))
print(len(SecretStore(vault).paths({SHOP!r}, "git", "TOKEN")), "cryptography" in sys.modules)
"""
    ended = subprocess.run([sys.executable, "-c", code], input=vault.key.hex(), capture_output=True, text=True, check=True)
    assert ended.stdout == "2 False\n"
