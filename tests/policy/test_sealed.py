"""How our own records are read and written: one writer, no links, bounds, and nothing half done."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import msgspec
import pytest

from mcpwrap import files
from mcpwrap.errors import StateError
from mcpwrap.files import locked, replace
from mcpwrap.policy.sealed import Envelope, decode, open_envelope

posix = pytest.mark.skipif(sys.platform == "win32", reason="there is no lock there")


@posix
def test_one_writes_while_another_waits(tmp_path: Path) -> None:
    import fcntl

    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with locked(str(tmp_path)), pytest.raises(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(fd)


@posix
def test_a_link_or_a_file_is_no_folder_to_lock(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    (tmp_path / "file").write_text("")
    for name in ("link", "file"):
        with pytest.raises(StateError, match="can't be opened"), locked(str(tmp_path / name)):
            pass


@posix
def test_a_lock_that_another_program_holds_is_waited_for_and_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    fd = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    now = 0.0

    def passes(pause_s: float) -> None:
        nonlocal now
        now += pause_s
        assert now < 3

    monkeypatch.setattr(files, "monotonic", lambda: now)
    monkeypatch.setattr(files, "sleep", passes)
    with pytest.raises(files.Locked, match=f"`{tmp_path}` is locked by another program"), locked(str(tmp_path)):
        pytest.fail("two at once")
    assert now >= 1
    monkeypatch.setattr(files, "sleep", lambda _: os.close(fd))
    with locked(str(tmp_path)):
        pass


def written(path: Path, size: int) -> Path:
    empty = msgspec.json.encode(Envelope("", b""))
    path.write_bytes(empty.replace(b'""', b'"' + b"x" * (size - len(empty)) + b'"', 1))
    path.chmod(0o600)
    assert path.stat().st_size == size
    return path


def test_a_record_may_be_as_long_as_its_bound(tmp_path: Path) -> None:
    path = written(tmp_path / "record", 100)
    assert open_envelope(str(path), 100).project == "x" * len(open_envelope(str(path), 100).project)
    with pytest.raises(StateError, match="it is too long"):
        open_envelope(str(path), 99)


@posix
@pytest.mark.parametrize("mode", [0o602, 0o620, 0o622])
def test_a_record_that_others_can_write_is_none(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path / "record", 100)
    open_envelope(str(path), 100)
    path.chmod(mode)
    with pytest.raises(StateError, match="others can write it"):
        open_envelope(str(path), 100)


@posix
def test_a_record_is_a_plain_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(written(tmp_path / "record", 100))
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(StateError, match="symbolic links"):
        open_envelope(str(tmp_path / "link"), 100)
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(StateError, match="it is no plain file"):
            open_envelope(str(path), 100)


def test_what_is_put_in_place_is_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "record"
    path.write_text("before")
    replace(str(path), b"after")
    assert path.read_bytes() == b"after"
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        replace(str(path), b"again", 0o644)
        assert stat.S_IMODE(path.stat().st_mode) == 0o644 & ~_umask()
    assert [each.name for each in tmp_path.iterdir()] == ["record"]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_what_cannot_be_put_in_place_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record"
    path.write_text("before")

    def refuse(*_: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no"):
        replace(str(path), b"after")
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["record"]


def test_a_record_is_written_in_as_many_pieces_as_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data[:3])))
    replace(str(tmp_path / "record"), b"0123456789")
    read = os.read
    monkeypatch.setattr(os, "read", lambda fd, size: read(fd, min(size, 7)))
    assert (tmp_path / "record").read_bytes() == b"0123456789"
    path = written(tmp_path / "envelope", 100)
    assert len(open_envelope(str(path), 100).project) > 7


@posix
def test_what_is_written_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def noted(*args: object, name: str = name, real: object = real) -> None:
            done.append(name)
            real(*args)  # type: ignore[operator]

        monkeypatch.setattr(os, name, noted)
    replace(str(tmp_path / "record"), b"x")
    assert done == ["fsync", "replace", "fsync"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_nothing_is_left_open(tmp_path: Path) -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    path = written(tmp_path / "record", 100)
    before = opened()
    open_envelope(str(path), 100)
    replace(str(path), b"x")
    with locked(str(tmp_path)):
        pass
    for bad in (tmp_path, path):
        with pytest.raises(StateError):
            open_envelope(str(bad), 100)
    assert opened() == before


def test_what_is_nested_too_deep_is_no_record() -> None:
    with pytest.raises(StateError, match="it can't be read"):
        decode(b"[" * 100_000, Envelope)
