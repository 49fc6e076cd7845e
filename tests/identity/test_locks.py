"""Locks between processes: bounded waits, nothing left by who is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from mcpwrap.errors import StateError
from mcpwrap.identity import locks
from mcpwrap.identity.locks import Busy, held

HOLDER = """
import sys
sys.path.append(sys.argv[1])
from mcpwrap.identity.locks import held
with held(sys.argv[2], 0):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "locks" / "one.lock")


def holder(path: str) -> subprocess.Popen[bytes]:
    root = str(Path(locks.__file__).parents[2])
    process = subprocess.Popen([sys.executable, "-I", "-c", HOLDER, root, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_one_process_at_a_time(path: str) -> None:
    with holder(path) as process:
        with pytest.raises(Busy, match="another process"), held(path, 0.05):
            pytest.fail("two hold it")
        process.communicate(b"")
    with held(path, 0):
        pass


def test_a_holder_that_is_killed_blocks_nobody(path: str) -> None:
    with holder(path) as process:
        process.kill()
        process.wait()
        with held(path, 0):
            pass


def test_a_note_is_left_to_the_next_holder_and_bounded(path: str) -> None:
    with held(path, 0) as lock:
        assert lock.note() == b""
        lock.write(b"x" * 10_000)
    with held(path, 0) as lock:
        assert lock.note() == b"x" * locks.NOTE_LIMIT
        lock.write(b"")
        assert lock.note() == b""


def test_a_note_that_cannot_be_written_is_no_error(path: str) -> None:
    with held(path, 0):
        pass
    fd = os.open(path, os.O_RDONLY)
    lock = locks.Held(fd)
    lock.write(b"note")
    assert lock.note() == b""
    os.close(fd)


def test_a_lock_is_no_link_and_lies_in_a_private_folder(path: str, tmp_path: Path) -> None:
    folder = Path(path).parent
    folder.mkdir(mode=0o700)
    Path(path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="can't be opened"), held(path, 0):
        pass
    folder.chmod(0o777)
    with pytest.raises(StateError, match="writable for others"), held(path, 0):
        pass


def test_a_file_that_was_made_anew_meanwhile_is_another_lock(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def and_gone(fd: int) -> bool:
        taken.append(fd)
        if len(taken) == 1:
            Path(path).unlink()
        return locks._flock(fd)

    monkeypatch.setattr(locks, "_try_lock", and_gone)
    with held(path, 1) as lock:
        lock.write(b"here")
        assert Path(path).read_bytes() == b"here"
    assert len(taken) == 2


def test_what_goes_wrong_while_trying_leaves_nothing_open(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def broken(fd: int) -> bool:
        seen.append(fd)
        raise KeyboardInterrupt

    monkeypatch.setattr(locks, "_try_lock", broken)
    with pytest.raises(KeyboardInterrupt), held(path, 1):
        pass
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(seen[0])


def test_windows_locks_a_byte_behind_the_note(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # what msvcrt.locking promises: from the file's position, `LK_NBLCK` raises OSError where another has it
    locked: set[int] = set()

    def locking(fd: int, mode: int, count: int) -> None:
        at = os.lseek(fd, 0, os.SEEK_CUR)
        assert (mode, count) == (2, 1)
        if at in locked:
            raise PermissionError(13, "Permission denied")
        locked.add(at)

    monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(locking=locking, LK_NBLCK=2))
    monkeypatch.setattr(locks, "_try_lock", locks._msvcrt)
    with held(path, 0) as lock:
        assert min(locked) > locks.NOTE_LIMIT
        lock.write(b"note")
        assert lock.note() == b"note"
        with pytest.raises(Busy), held(path, 0):
            pass
