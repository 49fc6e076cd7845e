"""The private folder of a run: swept when its run is gone, and nothing else with it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mcpwrap.runtime import rundir

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such folders")

GONE = "999999999"
"""No process has this number."""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the folders of runs lie."""
    found = tmp_path / "run"
    found.mkdir(mode=0o700)
    monkeypatch.setattr(rundir, "_parent", lambda state: str(found))
    return found


def folder(path: Path) -> Path:
    """A folder with a file in it."""
    path.mkdir(mode=0o700)
    (path / "a.txt").write_text("x")
    return path


def test_what_a_killed_run_left_is_swept_and_what_lives_stays(runs: Path) -> None:
    folder(runs / f"{GONE}-a")
    folder(runs / f"{os.getpid()}-b")
    folder(runs / "notes")
    rundir.sweep("")
    assert sorted(each.name for each in runs.iterdir()) == [f"{os.getpid()}-b", "notes"]


def test_a_planted_link_is_taken_away_and_not_what_it_leads_to(runs: Path, tmp_path: Path) -> None:
    precious = folder(tmp_path / "precious")
    (runs / f"{GONE}-a").symlink_to(precious)
    inside = folder(runs / f"{GONE}-b")
    (inside / "link").symlink_to(precious / "a.txt")
    (inside / "links").symlink_to(precious)
    rundir.sweep("")
    (runs / "mine").symlink_to(precious)
    rundir.remove(str(runs / "mine"))
    assert list(runs.iterdir()) == []
    assert (precious / "a.txt").read_text() == "x"


def test_a_folder_that_becomes_a_link_while_it_is_swept_is_not_followed(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious = folder(tmp_path / "precious")
    swept = folder(runs / f"{GONE}-a")
    look = os.stat

    def swapped(path: str, *args: object, **more: object) -> os.stat_result:
        found: os.stat_result = look(path, *args, **more)  # type: ignore[arg-type]
        if path == swept.name and not swept.is_symlink():
            swept.rename(tmp_path / "aside")
            swept.symlink_to(precious)
        return found

    monkeypatch.setattr(os, "stat", swapped)
    rundir.sweep("")
    assert (precious / "a.txt").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives folders away")
def test_a_folder_of_another_user_is_left_alone(runs: Path) -> None:
    theirs = folder(runs / f"{GONE}-a")
    os.chown(theirs, 12345, -1)
    rundir.sweep("")
    assert (theirs / "a.txt").exists()


@pytest.mark.parametrize("name", ["9" * 30 + "-a", "\u00b2-a", "-a", f"{GONE}"])
def test_a_name_that_no_run_has_is_passed_over(runs: Path, name: str) -> None:
    folder(runs / name)
    rundir.sweep("")
    assert (runs / name / "a.txt").exists()
