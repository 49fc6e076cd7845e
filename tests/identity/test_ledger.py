"""The ledger: counts that can't be turned back, whenever a program is killed and whoever writes at once (POLICY.md §5)."""

from __future__ import annotations

import fcntl
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mcpwrap import files
from mcpwrap.errors import StateError, VaultError
from mcpwrap.identity import ledger
from mcpwrap.identity.ledger import Ledger, anchor_path, holds_counts, name_of
from mcpwrap.identity.vault import Item, Places, Vault
from tests.identity.vaults import again, new_vault

ONE = Item("secret", "local", "one")
HERE = Path(__file__).parents[2]


class Killed(BaseException):
    """The program ends here."""


@pytest.fixture
def counts(tmp_path: Path) -> Ledger:
    found = Ledger(str(tmp_path / "state"), str(tmp_path / "data"), "e", b"k" * 32)
    found.begin()
    return found


def test_a_count_only_rises(counts: Ledger) -> None:
    assert counts.current("a") == (0, False)
    counts.advance("a", 3)
    counts.advance("a", 2)
    assert counts.current("a") == (3, True)
    counts.revoke("a")
    assert counts.current("a") == (4, False)
    assert counts.oldest("a") == 5
    assert counts.oldest("b") == 1


def test_a_deleted_ledger_or_anchor_is_said(counts: Ledger, tmp_path: Path) -> None:
    counts.advance("a", 1)
    for path in (tmp_path / "state/vault/ledger", Path(anchor_path(str(tmp_path / "data"), "e"))):
        kept = path.read_bytes()
        path.unlink()
        with pytest.raises(VaultError, match=f"`{path}` can't be used") as told:
            counts.current("a")
        with pytest.raises(VaultError):
            counts.advance("a", 2)
        assert not path.exists()  # nothing begins anew by itself
        assert "--reset" in told.value.hint
        path.write_bytes(kept)
        path.chmod(0o600)


def test_an_older_ledger_put_back_is_said(counts: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "state/vault/ledger"
    counts.advance("a", 1)
    old = path.read_bytes()
    counts.revoke("a")
    path.write_bytes(old)
    with pytest.raises(VaultError, match="behind its anchor"):
        counts.current("a")


def test_an_altered_ledger_or_anchor_is_said(counts: Ledger, tmp_path: Path) -> None:
    counts.advance("a", 1)
    for path in (tmp_path / "state/vault/ledger", tmp_path / "data/anchor-e"):
        kept = path.read_bytes()
        for altered in (b"", kept[:-1], kept[:32] + kept[32:].replace(b'"total":1', b'"total":0'), kept + b" "):
            path.write_bytes(altered)
            with pytest.raises(VaultError, match="was altered, or belongs to another key"):
                counts.current("a")
        path.write_bytes(kept)
    # the one can't pass for the other
    (tmp_path / "data/anchor-e").write_bytes((tmp_path / "state/vault/ledger").read_bytes())
    with pytest.raises(VaultError, match="was altered"):
        counts.current("a")


def test_a_ledger_that_could_not_be_read_again_is_not_written(counts: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    counts.advance("a", 1)
    monkeypatch.setattr(ledger, "LEDGER_LIMIT", 120)
    with pytest.raises(StateError, match="is full"):
        for i in range(10):
            counts.advance(f"a name that takes some room {i}", 1)
    assert counts.current("a") == (1, True)


def test_whether_something_was_counted_can_be_seen_without_a_key(counts: Ledger, tmp_path: Path) -> None:
    assert not holds_counts(str(tmp_path / "nowhere"))
    assert not holds_counts(str(tmp_path / "state"))
    counts.advance("a", 1)
    assert holds_counts(str(tmp_path / "state"))


def test_a_name_says_nothing_of_the_key() -> None:
    assert name_of("trust", "/home/ann/shop").startswith("trust:")
    assert "shop" not in name_of("trust", "/home/ann/shop")


# killed at every point


class Countdown:
    """Lets `left` calls through and kills the program at the next one, before or after it was done."""

    def __init__(self, left: int, *, after: bool) -> None:
        self.left = left
        self.after = after

    def wrap(self, call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object) -> object:
            self.left -= 1
            if self.left < 0 and not self.after:
                raise Killed
            done = call(*args)
            if self.left < 0:
                raise Killed
            return done

        return wrapped


def killed_at(point: int, *, after: bool, do: Callable[[], object]) -> bool:
    """Whether `do` was killed at the `point`-th of the steps that change the disk."""
    countdown = Countdown(point, after=after)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("replace", "fsync", "unlink", "write"):
            patch.setattr(os, name, countdown.wrap(getattr(os, name)))
        try:
            do()
        except Killed:
            return True
    return False


@pytest.mark.parametrize("after", [False, True])
def test_a_put_that_is_killed_leaves_the_old_or_the_new_one(tmp_path: Path, after: bool) -> None:
    point = 0
    outcomes = set()
    while True:
        vault = new_vault(Places(str(tmp_path / f"{point}s"), str(tmp_path / f"{point}d")))
        vault.put(ONE, b"old")
        if not killed_at(point, after=after, do=lambda: vault.put(ONE, b"new")):  # noqa: B023 - called at once
            break
        found = again(vault)
        outcomes.add(found.get(ONE))
        found.put(ONE, b"newer")
        assert again(found).get(ONE) == b"newer"
        point += 1
    assert outcomes == {b"old", b"new"}
    assert point > 6


@pytest.mark.parametrize("after", [False, True])
def test_a_removal_that_is_killed_never_leaves_what_could_count_later(tmp_path: Path, after: bool) -> None:
    point = 0
    while True:
        vault = new_vault(Places(str(tmp_path / f"{point}s"), str(tmp_path / f"{point}d")))
        vault.put(ONE, b"old")
        kept = Path(vault.path(ONE)).read_bytes()
        if not killed_at(point, after=after, do=lambda: vault.remove(ONE)):  # noqa: B023 - called at once
            break
        found = again(vault)
        found.remove(ONE)
        Path(found.path(ONE)).write_bytes(kept)
        with pytest.raises(VaultError, match="put back"):
            found.get(ONE)
        point += 1
    assert point > 4


def test_a_first_put_that_was_killed_before_it_was_counted_can_be_removed_for_good(tmp_path: Path) -> None:
    vault = new_vault(Places(str(tmp_path / "s"), str(tmp_path / "d")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "_write", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            vault.put(ONE, b"first")
    kept = Path(vault.path(ONE)).read_bytes()
    assert vault.remove(ONE)
    vault.put(ONE, b"second")
    Path(vault.path(ONE)).write_bytes(kept)
    with pytest.raises(VaultError, match="put back"):
        vault.get(ONE)


@pytest.mark.parametrize("after", [False, True])
def test_a_beginning_that_is_killed_can_be_begun_again(tmp_path: Path, after: bool) -> None:
    point = 0
    while True:
        places = Places(str(tmp_path / f"{point}s"), str(tmp_path / f"{point}d"))
        made: list[Vault] = []
        if not killed_at(point, after=after, do=lambda: made.append(new_vault(places))):  # noqa: B023 - called at once
            break
        vault = new_vault(places)
        vault.put(ONE, b"one")
        assert again(vault).get(ONE) == b"one"
        point += 1
    assert point > 6


@pytest.mark.parametrize("after", [False, True])
def test_a_seal_that_is_killed_leaves_it_stored_or_not(tmp_path: Path, after: bool) -> None:
    point = 0
    while True:
        vault = new_vault(Places(str(tmp_path / f"{point}s"), str(tmp_path / f"{point}d")))
        first = vault.seal("trust", "a", b"first")
        vault.stored("trust", "a", first)
        second = vault.seal("trust", "a", b"second")
        if not killed_at(point, after=after, do=lambda: vault.stored("trust", "a", second)):  # noqa: B023 - called at once
            break
        assert again(vault).unseal("trust", "a", second) == b"second"
        again(vault).stored("trust", "a", second)
        with pytest.raises(StateError, match="put back"):
            again(vault).unseal("trust", "a", first)
        point += 1
    assert point > 4


# at once


WRITER = """
import sys
from mcpwrap.identity.vault import Item, Places, Vault, read_header
state, data, key, name = sys.argv[1:]
places = Places(state, data)
vault = Vault(places, read_header(places), bytes.fromhex(key))
sys.stdin.readline()
for i in range(25):
    vault.put(Item("secret", "local", name), str(i).encode())
    vault.put(Item("secret", "local", "shared"), name.encode())
    vault.revoke("trust", name)
"""


def test_writers_at_once_lose_nothing(places: Places) -> None:
    vault = new_vault(places)
    names = ["a", "b", "c"]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, places.state, places.data, vault.key.hex(), name], stdin=subprocess.PIPE, cwd=HERE
        )
        for name in names
    ]
    for writer in writers:
        writer.communicate(b"\n")
        assert writer.returncode == 0
    found = again(vault)
    assert [found.get(Item("secret", "local", name)) for name in names] == [b"24"] * 3
    assert found._ledger.current(name_of("item.secret", Item("secret", "local", "shared").key)) == (75, True)
    assert [found._ledger.current(name_of("trust", name)) for name in names] == [(25, False)] * 3


def test_nobody_else_writes_between_reading_and_writing(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = new_vault(places)
    read, asked = vault._ledger._read, []

    def reading() -> object:
        fd = os.open(places.vault, os.O_RDONLY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            asked.append("free")
        except BlockingIOError:
            asked.append("taken")
        finally:
            os.close(fd)
        return read()

    monkeypatch.setattr(vault._ledger, "_read", reading)
    vault.revoke("trust", "a")
    vault.stored("trust", "a", vault.seal("trust", "a", b"payload"))
    # (to seal only reads)
    assert asked == ["taken", "free", "taken"]


def test_a_ledger_that_another_program_holds_is_said_and_nothing_is_half_done(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LOCK_S", 0.0)
    vault = new_vault(places)
    vault.put(ONE, b"old")
    fd = os.open(places.vault, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(StateError, match="is locked by another program"):
        vault.put(ONE, b"new")
    assert vault.get(ONE) == b"old"
    os.close(fd)
    vault.put(ONE, b"new")
    assert vault.get(ONE) == b"new"


def test_a_reader_at_once_never_finds_an_anchor_ahead(places: Places) -> None:
    vault = new_vault(places)
    command = [sys.executable, "-c", WRITER, places.state, places.data, vault.key.hex(), "a"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=HERE) as writer:
        assert writer.stdin is not None
        writer.stdin.write(b"\n")
        writer.stdin.close()
        while writer.poll() is None:
            vault.counts("trust", "a")
            vault.get(Item("secret", "local", "a"))
    assert writer.returncode == 0


FULL = """
import resource, signal, sys
from mcpwrap.errors import StateError
from mcpwrap.identity.vault import Item, Places, Vault, read_header
state, data, key, limit = sys.argv[1:]
places = Places(state, data)
vault = Vault(places, read_header(places), bytes.fromhex(key))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    vault.put(Item("secret", "local", "one"), b"new" * 100)
except StateError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit of files' sizes")
@pytest.mark.parametrize("limit", [0, 10, 60])
def test_a_full_disk_is_said_and_the_old_one_still_counts(places: Places, limit: int) -> None:
    vault = new_vault(places)
    vault.put(ONE, b"old")
    ended = subprocess.run(
        [sys.executable, "-c", FULL, places.state, places.data, vault.key.hex(), str(limit)],
        capture_output=True,
        text=True,
        cwd=HERE,
        check=True,
    )
    assert "can't be written: file too large" in ended.stdout
    assert again(vault).get(ONE) == b"old"
    assert [file.name for file in Path(vault.path(ONE)).parent.iterdir()] == [Path(vault.path(ONE)).name]
