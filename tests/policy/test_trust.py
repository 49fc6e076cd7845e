"""Trust records: digests, the store, and how a project stands."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from mcpwrap import files
from mcpwrap.errors import StateError
from mcpwrap.identity.vault import Places
from mcpwrap.policy.trust import CommandRecord, TrustRecord, TrustStore, digest, standing
from tests.identity.vaults import new_vault
from tests.vaults import Unsealed

ROOT = "/src/shop"
TOML = "version = 1\n"


def record(project: str = ROOT, content: str = TOML, lock: str | None = None) -> TrustRecord:
    command = CommandRecord("files", ("npx", "x"), "/usr/bin/npx", None, ("A",), {"/src/shop/x": "00"})
    known = digest(content.encode(), None if lock is None else lock.encode())
    return TrustRecord(project, known, content, lock, (command,), ("/src/other",), "2026-05-12T10:00:00Z", 0)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def store(state: Path) -> TrustStore:
    return TrustStore(str(state), Unsealed())


@pytest.mark.parametrize(
    ("toml", "lock", "known"),
    [
        (b"", None, "2cd7ec9223c39a689d5b77b2ec6845561abe515413d4ce97d64d80b88a6fa1a0"),
        (b"", b"", "4bb9bd51f967587526ffbe11f1452d29d546158c12ba06229a54c2f650ff9ae6"),
        (b"version = 1\n", None, "c67774c7a0e6943724b607ef2e05abdc118c4dc6831e7fcdf39a1273c17403ed"),
        (b"version = 1\n", b"pins", "f393a38c73f20f9e88b4b5508f488b0aac19be06c41bcdda96077449186e3994"),
    ],
)
def test_a_digest_has_its_known_answer(toml: bytes, lock: bytes | None, known: str) -> None:
    assert digest(toml, lock) == known


def test_a_digest_is_that_of_the_tag_and_both_files_with_their_lengths() -> None:
    said = b"mcpwrap trust v1\n" + bytes(7) + b"\x02ab" + bytes(7) + b"\x01c"
    assert digest(b"ab", b"c") == hashlib.sha256(said).hexdigest()
    assert digest(b"ab", None) == hashlib.sha256(said[:-9] + b"absent").hexdigest()


def test_moving_bytes_from_one_file_to_the_other_changes_the_digest() -> None:
    assert (
        len({digest(b"ab", b"c"), digest(b"a", b"bc"), digest(b"abc", b""), digest(b"abc", None), digest(b"abcabsent", b"")}) == 5
    )


def test_nothing_is_made_before_something_is_trusted(store: TrustStore, state: Path) -> None:
    assert store.get(ROOT) is None
    assert store.look(ROOT) == (None, "")
    assert store.records() == []
    assert store.remove(ROOT) is False
    assert not state.exists()


def test_a_record_comes_back_as_it_was_stored_with_its_generation(store: TrustStore) -> None:
    stored = store.put(record(lock="pins"))
    assert stored == msgspec.structs.replace(record(lock="pins"), generation=1)
    assert store.get(ROOT) == stored
    assert store.put(record()).generation == 2


def test_a_record_is_one_private_file_in_a_private_folder_and_nothing_else_is_left(store: TrustStore, state: Path) -> None:
    before = os.umask(0)
    try:
        store.put(record())
    finally:
        os.umask(before)
    name = hashlib.sha256(ROOT.encode()).hexdigest() + ".json"
    assert store.path(ROOT) == str(state / "trust" / name)
    assert [p.name for p in (state / "trust").iterdir()] == [name]
    assert (state / "trust" / name).stat().st_mode & 0o777 == 0o600
    assert (state / "trust").stat().st_mode & 0o777 == 0o700
    assert state.stat().st_mode & 0o777 == 0o700


def test_projects_do_not_share_records(store: TrustStore) -> None:
    store.put(record())
    assert store.get(ROOT + "/sub") is None
    assert store.get("/src/sho") is None
    store.put(record("/a"))
    assert [r.project for r in store.records()] == ["/a", ROOT]


def test_a_removed_record_is_gone(store: TrustStore) -> None:
    store.put(record())
    assert store.remove(ROOT) is True
    assert store.get(ROOT) is None
    assert store.remove(ROOT) is False


@pytest.fixture
def sealing(state: Path, tmp_path: Path) -> TrustStore:
    """A store with a real seal."""
    return TrustStore(str(state), new_vault(Places(str(state), str(tmp_path / "data"))))


def test_a_record_that_is_elsewhere_while_trust_is_taken_back_never_counts_again(sealing: TrustStore, tmp_path: Path) -> None:
    sealing.put(record())
    path = Path(sealing.path(ROOT))
    path.rename(tmp_path / "aside")
    assert sealing.remove(ROOT) is True
    (tmp_path / "aside").rename(path)
    assert sealing.get(ROOT) is None
    assert sealing.remove(ROOT) is True  # whatever lies there goes
    assert sealing.remove(ROOT) is False


@pytest.mark.skipif(sys.platform == "win32", reason="there is no lock there")
@pytest.mark.parametrize("there", [True, False])
def test_trust_that_isnt_taken_back_for_good_is_said(
    sealing: TrustStore, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    import fcntl

    sealing.put(record())
    path = Path(sealing.path(ROOT))
    copy = path.read_bytes()
    if not there:
        path.unlink()
    monkeypatch.setattr(files, "LOCK_S", 0.0)
    fd = os.open(state / "vault", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(StateError, match=r"a copy of the trust record would still count: .* is locked by another program") as told:
        sealing.remove(ROOT)
    assert told.value.hint == "mcpwrap untrust"
    assert not path.exists()
    os.close(fd)
    assert sealing.remove(ROOT) is True
    path.write_bytes(copy)
    path.chmod(0o600)
    assert sealing.get(ROOT) is None


@pytest.mark.skipif(sys.platform == "win32", reason="there is no lock there")
def test_a_record_that_was_not_counted_leaves_the_one_before(
    sealing: TrustStore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    monkeypatch.setattr(files, "LOCK_S", 0.0)
    before = sealing.put(record())
    fd = os.open(state / "vault", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    for project in (ROOT, "/src/other"):
        with pytest.raises(StateError, match="is locked by another program"):
            sealing.put(record(project, content="version = 1 # new\n"))
    assert sealing.get(ROOT) == before
    assert sealing.get("/src/other") is None
    os.close(fd)


def test_the_standing_says_whether_what_lies_there_is_what_was_accepted(store: TrustStore) -> None:
    assert standing(store, ROOT, TOML.encode(), None).state == "untrusted"
    stored = store.put(record())
    assert standing(store, ROOT, TOML.encode(), None).state == "trusted"
    changed = standing(store, ROOT, b"version = 1 \n", None)
    assert (changed.state, changed.record, changed.note) == ("changed", stored, "")
    assert standing(store, ROOT, TOML.encode(), b"").state == "changed"
    assert standing(store, "/src", TOML.encode(), None).state == "untrusted"


def broken(store: TrustStore, data: bytes) -> str:
    """Stores `data` in the record's place; returns why it doesn't count, after checking that it was left alone."""
    store.put(record())
    path = Path(store.path(ROOT))
    path.write_bytes(data)
    found = standing(store, ROOT, TOML.encode(), None)
    assert (found.state, found.record) == ("untrusted", None)
    assert path.read_bytes() == data
    assert store.records() == []
    assert found.note.startswith(f"the trust record {path} doesn't count: ")
    return found.note.partition("count: ")[2]


def sealed(payload: object, project: str = ROOT) -> bytes:
    return msgspec.json.encode({"project": project, "sealed": msgspec.json.encode(payload)})


ENCODED = msgspec.to_builtins(record())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it can't be read, or another version of mcpwrap wrote it"),
        (b"{}", "it can't be read"),
        (b"\xff\xfe", "it can't be read"),
        (b"[" * 100_000, "it can't be read"),
        (b'{"project": "/src/shop", "sealed": "!"}', "it can't be read"),
        (sealed(ENCODED)[:-20], "it can't be read"),
        (sealed(ENCODED | {"more": 1}), "it can't be read"),
        (sealed(ENCODED | {"callers": "x"}), "it can't be read"),
        (sealed(ENCODED, "/src/other"), "it is another project's"),
        (sealed(ENCODED | {"project": "/src/other"}), "it is another project's"),
        (sealed(ENCODED | {"content": "version = 1"}), "its digest isn't that of its content"),
        (sealed(ENCODED | {"lock": ""}), "its digest isn't that of its content"),
        (sealed(ENCODED).replace(b"{", b'{"x": 1, ', 1), "it can't be read"),
        (b" " * (9 << 20), "it is too long"),
    ],
)
def test_a_record_that_does_not_agree_with_itself_counts_as_none_is_left_alone_and_said(
    store: TrustStore, data: bytes, why: str
) -> None:
    assert broken(store, data).startswith(why)


def test_a_whole_record_of_another_project_counts_for_that_one_only(store: TrustStore) -> None:
    store.put(record("/a"))
    Path(store.path(ROOT)).write_bytes(Path(store.path("/a")).read_bytes())
    Path(store.path(ROOT)).chmod(0o600)
    assert store.look(ROOT)[1].endswith("it is another project's")
    assert [r.project for r in store.records()] == ["/a"]


def test_a_link_in_a_records_place_counts_as_none(store: TrustStore, tmp_path: Path) -> None:
    store.put(record())
    path = Path(store.path(ROOT))
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    found = standing(store, ROOT, TOML.encode(), None)
    assert found.state == "untrusted"
    assert found.note
    assert store.records() == []
    store.put(record())  # a new answer replaces the link itself
    assert not path.is_symlink()
    assert store.get(ROOT) is not None
    assert (tmp_path / "elsewhere").exists()


def test_a_pipe_or_a_folder_in_a_records_place_does_not_hang(store: TrustStore) -> None:
    store.put(record())
    path = Path(store.path(ROOT))
    path.unlink()
    os.mkfifo(path)
    assert store.look(ROOT)[1].endswith("it is no plain file")
    path.unlink()
    path.mkdir()
    assert store.look(ROOT)[1].endswith("it is no plain file")
    with pytest.raises(StateError, match="can't be written"):
        store.put(record())
    with pytest.raises(StateError, match="can't be taken away"):
        store.remove(ROOT)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_record_that_others_can_write_counts_as_none(store: TrustStore) -> None:
    store.put(record())
    Path(store.path(ROOT)).chmod(0o660)
    assert store.look(ROOT)[1].endswith("others can write it")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_record_of_another_user_counts_as_none(store: TrustStore) -> None:
    store.put(record())
    os.chown(store.path(ROOT), 12345, 12345)
    assert store.look(ROOT)[1].endswith("others can write it")


def test_a_folder_of_records_that_is_a_link_or_open_to_others_counts_as_empty(store: TrustStore, state: Path) -> None:
    store.put(record())
    (state / "trust").chmod(0o777)
    assert store.look(ROOT)[1].endswith("is writable for others")
    assert store.records() == []
    (state / "trust").chmod(0o700)
    (state / "trust").rename(state / "real")
    (state / "trust").symlink_to("real")
    assert store.look(ROOT)[1].endswith("is a link")
    with pytest.raises(StateError, match="is a link"):
        store.put(record())


def test_a_foreign_file_among_the_records_is_passed_over(store: TrustStore, state: Path) -> None:
    store.put(record())
    (state / "trust" / "notes.txt").write_text("x")
    (state / "trust" / ("0" * 64 + ".json")).write_bytes(Path(store.path(ROOT)).read_bytes())
    (state / "trust" / ("1" * 64 + ".json")).write_text("{")
    assert [r.project for r in store.records()] == [ROOT]


def test_a_record_that_cannot_be_written_leaves_the_one_before(
    store: TrustStore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.put(record())

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateError, match="can't be written: no space left on device"):
        store.put(record(content="version = 1 # new\n"))
    assert store.get(ROOT) == before
    assert len(list((state / "trust").iterdir())) == 1


def test_a_record_has_a_longest_length(store: TrustStore) -> None:
    with pytest.raises(StateError, match="longer than 8 MiB"):
        store.put(record(content="x" * (8 << 20)))
    assert store.get(ROOT) is None


@pytest.mark.parametrize("text", [b"\\ud800", b"\\udc00", b"\\ud800x", b"\\ud800\\u0041", b"\xed\xa0\x80"])
def test_content_that_is_no_text_counts_as_none(store: TrustStore, text: bytes) -> None:
    payload = msgspec.json.encode(ENCODED | {"content": "MARK"}).replace(b"MARK", text)
    assert broken(store, msgspec.json.encode({"project": ROOT, "sealed": payload})).startswith("it")


def test_two_answers_at_once_leave_one_whole_record_and_count_both(store: TrustStore, state: Path) -> None:
    contents = [f"# {i}\n" * 2000 for i in range(8)]
    failures: list[BaseException] = []

    def work(content: str) -> None:
        try:
            for _ in range(5):
                TrustStore(str(state), Unsealed()).put(record(content=content))
                found = TrustStore(str(state), Unsealed()).get(ROOT)
                assert found is not None
                assert found.content in contents
        except BaseException as error:  # noqa: BLE001 - told below, in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    found = store.get(ROOT)
    assert found is not None
    assert found.generation == 40
    assert len(list((state / "trust").iterdir())) == 1


def test_without_locks_or_syncing_of_folders_records_are_stored_all_the_same(
    store: TrustStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        assert store.put(record()).generation == 1
        assert store.put(record()).generation == 2
        assert store.remove(ROOT)


def test_a_record_that_cannot_be_read_counts_as_none(store: TrustStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(record())

    def refuse(fd: int, length: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", refuse)
    assert store.look(ROOT)[1].endswith("input/output error")


class Marked(Unsealed):
    """A seal that binds kind and key, and remembers what it was asked."""

    def seal(self, kind: str, key: str, payload: bytes) -> bytes:
        return f"{kind}|{key}|".encode() + payload

    def unseal(self, kind: str, key: str, sealed: bytes) -> bytes:
        start = f"{kind}|{key}|".encode()
        if not sealed.startswith(start):
            raise StateError("it was not sealed here")
        return sealed.removeprefix(start)


def test_what_was_not_sealed_for_this_project_counts_as_none(state: Path) -> None:
    store = TrustStore(str(state), Marked())
    stored = store.put(record())
    assert store.get(ROOT) == stored
    Path(store.path("/a")).write_bytes(Path(store.path(ROOT)).read_bytes().replace(b'"/src/shop"', b'"/a"', 1))
    assert store.look("/a")[1].endswith("it was not sealed here")
    Path(store.path(ROOT)).write_bytes(sealed(ENCODED))
    assert store.look(ROOT)[1].endswith("it was not sealed here")


class Keyed(Unsealed):
    """A seal that tells what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    def seal(self, kind: str, key: str, payload: bytes) -> bytes:
        self.asked.append(("seal", kind, key))
        return payload

    def unseal(self, kind: str, key: str, sealed: bytes) -> bytes:
        self.asked.append(("unseal", kind, key))
        return sealed


def test_a_record_is_sealed_as_that_of_one_projects_trust(state: Path) -> None:
    seal = Keyed()
    store = TrustStore(str(state), seal)
    store.put(record())
    assert store.look(ROOT)[1] == ""
    assert seal.asked == [("seal", "trust", ROOT), ("unseal", "trust", ROOT)]


def test_a_path_of_any_bytes_has_a_place(store: TrustStore) -> None:
    assert store.path("/a\udcff") != store.path("/a")


def test_a_folder_that_cant_be_listed_has_no_records(store: TrustStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(record())
    assert len(store.records()) == 1

    def refuse(_: str) -> list[str]:
        raise PermissionError

    monkeypatch.setattr(os, "listdir", refuse)
    assert store.records() == []
