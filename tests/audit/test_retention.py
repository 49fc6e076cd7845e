from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mcpwrap.audit.retention as retention
import mcpwrap.audit.writer as writer_module
from mcpwrap.audit.reader import read
from mcpwrap.audit.record import file_name
from mcpwrap.audit.retention import DAY_S, Pruned, prune
from mcpwrap.core.entry import Entry
from tests.audit.conftest import NOON, Clock, Open

CALL = Entry("call", "client", "tools/call", tool="t", arguments="x" * 1000)


def old_file(folder: Path, days: float, size: int = 100, shim: str = "old") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    moment = NOON - days * DAY_S
    path = folder / file_name(moment, shim)
    path.write_bytes(b"x" * size)
    os.utime(path, (moment, moment))
    return path


def test_files_whose_last_record_is_older_than_ninety_days_are_removed(folder: Path, clock: Clock) -> None:
    kept = old_file(folder, 89)
    old_file(folder, 91)
    old_file(folder, 400)
    assert prune(str(folder), clock=clock) == Pruned(files=2, bytes=200)
    assert list(folder.iterdir()) == [kept]


def test_a_long_run_counts_from_its_last_record(folder: Path, clock: Clock) -> None:
    path = old_file(folder, 120)
    os.utime(path, (NOON - 5, NOON - 5))
    assert prune(str(folder), clock=clock).files == 0


def test_the_oldest_go_first_until_the_rest_is_small_enough(folder: Path, clock: Clock) -> None:
    kept = {old_file(folder, 1), old_file(folder, 2)}
    old_file(folder, 3)
    old_file(folder, 4)
    assert prune(str(folder), bytes=250, clock=clock) == Pruned(files=2, bytes=200)
    assert set(folder.iterdir()) == kept


def test_the_file_of_a_living_shim_stays_however_old_or_large(folder: Path, clock: Clock, open_writer: Open) -> None:
    writer = open_writer("living")
    writer.write([CALL])
    (living,) = folder.iterdir()
    os.utime(living, (NOON - 400 * DAY_S, NOON - 400 * DAY_S))
    old_file(folder, 1)
    assert prune(str(folder), bytes=0, clock=clock).files == 1
    assert list(folder.iterdir()) == [living]
    writer.close()
    assert prune(str(folder), clock=clock).files == 1


def test_a_shim_that_was_killed_is_not_alive(folder: Path) -> None:
    program = """
import sys, time
from mcpwrap.audit.writer import AuditWriter
from mcpwrap.core.entry import Entry
writer = AuditWriter(sys.argv[1], shim="r", project="p", server="s", subject={}, policy_digest="d")
writer.write([Entry("lifecycle", "", "start")])
print("written", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", program, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        assert prune(str(folder), bytes=0).files == 0
        process.kill()
    assert prune(str(folder), bytes=0).files == 1


def test_what_is_no_record_file_is_never_touched(folder: Path, clock: Clock, tmp_path: Path) -> None:
    folder.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    name = file_name(NOON - 400 * DAY_S, "r")
    (folder / name).symlink_to(victim)
    (folder / name.replace("-r", "-d")).mkdir()
    os.mkfifo(folder / name.replace("-r", "-p"))
    (folder / "notes.txt").write_text("mine")
    os.utime(folder / "notes.txt", (0, 0))
    assert prune(str(folder), bytes=0, clock=clock) == Pruned(0, 0)
    assert len(list(folder.iterdir())) == 4
    assert victim.read_text() == "mine"


def test_a_folder_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    assert prune(str(tmp_path / "nowhere")) == Pruned(0, 0)


def test_a_long_run_prunes_when_it_goes_on_in_a_new_file(
    folder: Path, clock: Clock, open_writer: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "ROLL_BYTES", 5_000)
    monkeypatch.setattr(writer_module, "prune", lambda folder, clock: retention.prune(folder, bytes=20_000, clock=clock))
    writer = open_writer()
    for _ in range(100):
        writer.write([CALL])
        clock.now += 1
    assert sum(path.stat().st_size for path in folder.iterdir()) < 30_000
    assert [record["seq"] for record in read(str(folder))][-1] == 100
