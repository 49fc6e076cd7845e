"""The key in a file: made for its owner alone, and looked at every time (IDENTITY.md §2)."""

from __future__ import annotations

import base64
import os
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpwrap.errors import StateError, VaultError
from mcpwrap.identity.keyfile import check_folder, key_in, make_key, read_key, text_of

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "key"


def made(path: Path) -> bytes:
    return make_key(str(path), None, home="")


def test_a_key_file_is_made_for_its_owner_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        key = made(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert base64.b64decode(path.read_bytes()) == key == read_key(str(path))
    assert len(key) == 32


def test_one_that_is_there_is_taken_over_where_it_is_a_key_of_ours(path: Path) -> None:
    path.write_bytes(base64.b64encode(b"k" * 32) + b"\n")
    for mode in (0o600, 0o400):
        path.chmod(mode)
        assert made(path) == b"k" * 32
        assert make_key(str(path), b"k" * 32, home="") == b"k" * 32
    with pytest.raises(VaultError, match="holds another key already"):
        make_key(str(path), b"x" * 32, home="")
    assert path.read_bytes() == base64.b64encode(b"k" * 32) + b"\n"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o660, 0o610])
def test_one_that_is_open_to_others_is_refused(path: Path, mode: int) -> None:
    made(path)
    path.chmod(mode)
    with pytest.raises(VaultError, match="is open to others") as told:
        read_key(str(path))
    assert told.value.hint == f"run `chmod 600 {path}`"
    with pytest.raises(VaultError, match="is open to others"):
        made(path)


@ROOT_ONLY
def test_another_users_is_refused(path: Path) -> None:
    made(path)
    os.chown(path, 65534, 65534)
    with pytest.raises(VaultError, match="belongs to another user"):
        read_key(str(path))


def test_a_link_is_refused(path: Path, tmp_path: Path) -> None:
    made(tmp_path / "real")
    path.symlink_to(tmp_path / "real")
    with pytest.raises(VaultError, match="is a link"):
        read_key(str(path))
    with pytest.raises(VaultError, match="is a link"):
        made(path)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(VaultError, match="is a link"):
        made(tmp_path / "dangling")
    assert not (tmp_path / "nowhere").exists()


def test_what_is_no_plain_file_is_refused_without_waiting(path: Path, tmp_path: Path) -> None:
    os.mkfifo(path, 0o600)
    with pytest.raises(VaultError, match="no plain file"):
        read_key(str(path))
    with pytest.raises(VaultError, match="no plain file"):
        read_key(str(tmp_path))
    with pytest.raises(VaultError, match="can't be read"):
        read_key(str(tmp_path / ("x" * 400)))
    with pytest.raises(VaultError, match="can't be read"):
        read_key("/nul\0l")


def test_a_file_that_is_not_there_is_said(path: Path) -> None:
    with pytest.raises(VaultError, match="isn't there") as told:
        read_key(str(path))
    assert "mount" in told.value.hint
    with pytest.raises(VaultError, match=f"the folder `{path}` isn't there") as told:
        made(path / "key")
    assert told.value.hint == f"run `mkdir -m 700 -p {path}`"


def test_a_huge_or_broken_file_holds_no_key(path: Path) -> None:
    made(path)
    for data in (
        b"",
        b"\n",
        b"no key",
        b"A" * 43,
        bytes(32),
        base64.b64encode(bytes(31)),
        base64.b64encode(bytes(33)),
        b"\xff" * 44,
    ):
        path.write_bytes(data)
        with pytest.raises(VaultError, match="holds no key"):
            read_key(str(path))
    path.write_bytes(base64.b64encode(bytes(32)) + b" " * 300)
    with pytest.raises(VaultError, match="holds no key"):
        read_key(str(path))
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(VaultError, match="holds no key"):
        read_key(str(path))


@given(text=st.text(max_size=100))
def test_whatever_stands_in_a_file_is_a_key_or_none(text: str) -> None:
    key = key_in(text)
    assert key is None or len(key) == 32


@given(key=st.binary(min_size=32, max_size=32))
def test_every_key_comes_back(key: bytes) -> None:
    assert key_in(text_of(key) + "\n") == key


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    for mode in (0o770, 0o707, 0o1777, 0o777):
        folder = tmp_path / f"{mode:o}"
        folder.mkdir()
        folder.chmod(mode)
        with pytest.raises(VaultError, match="others can write"):
            made(folder / "key")
        inner = folder / "inner"
        inner.mkdir(mode=0o700)
        if mode == 0o1777:
            made(inner / "key")  # as below /tmp: nobody else can move it away
            continue
        with pytest.raises(VaultError, match="others can write"):
            made(inner / "key")


def test_a_folder_that_was_opened_later_is_noticed_at_the_next_read(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    made(folder / "key")
    folder.chmod(0o777)
    with pytest.raises(VaultError, match="others can write"):
        read_key(str(folder / "key"))


@ROOT_ONLY
def test_another_users_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "keys" / "mine"
    folder.mkdir(parents=True)
    os.chown(folder.parent, 65534, 65534)
    with pytest.raises(VaultError, match="others can write"):
        made(folder / "key")


def test_a_folder_that_cannot_be_looked_at_is_said() -> None:
    with pytest.raises(VaultError, match="can't be looked at"):
        check_folder("/nowhere/at/all")


def test_a_key_file_does_not_lie_in_a_project(tmp_path: Path) -> None:
    project = tmp_path / "home" / "shop"
    (project / "deep").mkdir(parents=True)
    (project / "mcpwrap.toml").touch()
    home = str(tmp_path / "home")
    for folder in (project, project / "deep"):
        with pytest.raises(VaultError, match="lies in the project"):
            make_key(str(folder / "key"), None, home=home)
    (tmp_path / "link").symlink_to(project / "deep")
    with pytest.raises(VaultError, match="lies in the project"):
        make_key(str(tmp_path / "link" / "key"), None, home=home)
    # the home folder and what is above it are no project (POLICY.md §1)
    (tmp_path / "home" / "mcpwrap.toml").touch()
    (tmp_path / "home" / "keys").mkdir()
    assert make_key(str(tmp_path / "home" / "keys" / "key"), None, home=home)


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_leaves_no_piece_of_a_key(path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(StateError, match="can't be written: no space left on device"):
        made(path)
    assert not path.exists()


def test_one_who_is_stopped_while_writing_leaves_no_piece_of_a_key(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stopped)
    with pytest.raises(KeyboardInterrupt):
        made(path)
    assert not path.exists()


def test_a_short_write_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:5]))
    key = made(path)
    assert read_key(str(path)) == key


def test_a_file_that_appears_in_between_is_not_written_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"another's")
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    with pytest.raises(StateError, match="file exists"):
        made(path)
    assert path.read_bytes() == b"another's"


def test_a_disk_error_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(path)

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", broken)
    with pytest.raises(VaultError, match="can't be read: input/output error"):
        read_key(str(path))


def test_no_error_quotes_what_stands_in_the_file(path: Path) -> None:
    path.write_text("something secret, and too short\n")
    path.chmod(0o600)
    with pytest.raises(VaultError) as told:
        read_key(str(path))
    assert "something secret" not in "".join(traceback.format_exception(told.value))


def test_on_windows_folders_are_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o777)
    made_key = tmp_path / "key"
    monkeypatch.setattr("sys.platform", "win32")
    key = made(made_key)
    made_key.chmod(0o644)
    assert read_key(str(made_key)) == key
