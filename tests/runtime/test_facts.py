"""Facts about paths, from a real file system with links."""

import errno
import os
from pathlib import Path

import pytest

from mcpwrap.core.constraint import Constraint, Truth
from mcpwrap.core.facts import NoFacts
from mcpwrap.runtime.facts import FileFacts


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "docs").mkdir(parents=True)
    (root / "docs" / "a").write_text("")
    (tmp_path / "outside").mkdir()
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "dangling").symlink_to(tmp_path / "outside" / "none")
    (root / "loop").symlink_to("loop")
    return root


def test_links_are_followed_existing_or_not(tree: Path) -> None:
    facts = FileFacts(None)
    outside = str(tree.parent / "outside")
    assert facts.paths(f"{tree}/docs/a") == (f"{tree}/docs/a",)
    assert facts.paths(f"{tree}/docs/new/x") == (f"{tree}/docs/new/x",)
    assert facts.paths(f"{tree}/out/x") == (f"{outside}/x",)
    assert facts.paths(f"{tree}/dangling") == (f"{outside}/none",)
    assert facts.paths(f"{tree}/docs/a/x") == (f"{tree}/docs/a/x",)  # a file, where a folder should be


def test_dots_after_a_link_are_read_in_both_ways(tree: Path) -> None:
    found = FileFacts(None).paths(f"{tree}/out/../x")
    assert found is not None
    assert set(found) == {f"{tree.parent}/x", f"{tree}/x"}


def test_what_cant_be_resolved_is_none(tree: Path) -> None:
    facts = FileFacts(None)
    for text in (f"{tree}/loop", "docs/a", "~/x", f"{tree}/{'x' * 300}"):
        assert facts.paths(text) is None


def test_relative_paths_go_from_the_declared_folder(tree: Path) -> None:
    facts = FileFacts(str(tree))
    assert facts.paths("docs/a") == (f"{tree}/docs/a",)
    assert facts.relative(f"{tree}/docs/a") == "docs/a"
    assert facts.relative("/etc") is None
    assert FileFacts(None).relative(str(tree)) is None


def test_a_folder_that_is_called_like_a_scheme_makes_a_uri_unsure(tree: Path) -> None:
    facts = FileFacts(str(tree))
    assert facts.paths(f"file://{tree}/docs/a") == (f"{tree}/docs/a",)
    (tree / "file:").mkdir()
    assert facts.paths(f"file://{tree}/docs/a") is None


def test_a_name_that_is_there_is_a_path(tree: Path) -> None:
    facts = FileFacts(str(tree))
    assert facts.is_path("docs")
    assert facts.is_path("loop")
    assert facts.is_path("./new")
    assert not facts.is_path("new")
    assert not facts.is_path("")
    assert not facts.is_path("x\0y")
    assert not facts.is_path("x" * 5000)
    assert not FileFacts(None).is_path("docs")


def test_where_the_file_system_folds_names_are_spelled_as_they_are_listed(tree: Path) -> None:
    facts = FileFacts(None, folds=True)
    (tree / "É").mkdir()
    assert facts.paths(f"{tree}/DOCS/A") == (f"{tree}/docs/a",)
    assert facts.canonical(f"{tree}/e\u0301/New") == f"{tree}/É/New"
    assert facts.paths(f"{tree}/New/X/Y") == (f"{tree}/New/X/Y",)


def test_a_root_that_cant_be_resolved_stays_as_it_is(tree: Path) -> None:
    assert FileFacts(None).canonical(f"{tree}/loop") == f"{tree}/loop"


def test_a_file_system_that_fails_resolves_nothing(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: str, *, strict: bool = False) -> str:
        raise OSError(errno.ENOENT if strict else errno.EIO, "no")

    monkeypatch.setattr(os.path, "realpath", fails)
    assert FileFacts(None).paths(f"{tree}/docs/a") is None


def test_what_lies_in_a_folder_that_cant_be_looked_into_resolves_to_nothing(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: str, **how: object) -> os.stat_result:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(os, "stat", fails)
    assert FileFacts(None).paths(f"{tree}/docs/a") is None


def test_a_name_that_no_file_system_takes_resolves_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: str, *, strict: bool = False) -> str:
        raise ValueError("embedded null byte")

    monkeypatch.setattr(os.path, "realpath", fails)
    assert FileFacts(None).paths("/x") is None


def test_without_facts_nothing_is_resolved() -> None:
    facts = NoFacts()
    assert facts.paths("/a") is None
    assert facts.canonical("/a") == "/a"
    assert facts.is_path("/a")
    assert not facts.is_path("a")
    assert facts.relative("/a") is None


@pytest.mark.parametrize(
    "path",
    [
        "/proc/self/cwd/docs/a",
        "/proc//./self/root/etc",
        "/proc/thread-self/cwd",
        "/tmp/../proc/self/cwd/a",
        "/proc/1/../self/cwd/a",
        "%2fproc/self/cwd",
        "file:///proc/self/cwd/a",
        "/dev/fd/3",
        "/dev/stdin",
    ],
)
def test_what_leads_the_server_elsewhere_than_us_resolves_to_nothing(
    tree: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    facts = FileFacts("/srv")
    assert facts.paths(path) is None
    within = Constraint(within=(str(tree),))
    assert within.judge(path, facts) is Truth.UNSURE
    assert within.possibly(path, facts)


def test_a_name_like_those_resolves(tree: Path) -> None:
    for path in (f"{tree}/proc/selfish", f"{tree}/proc/self.txt", f"{tree}/dev/fdx"):
        assert FileFacts(None).paths(path) == (path,)
