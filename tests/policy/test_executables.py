"""Which files of the project a command names."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from mcpwrap.policy.executables import digests


def known(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_program_is_known_by_what_it_resolves_to_and_not_by_its_name(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    (root / "tool").write_text("ours")
    (root / "x").write_text("x")
    assert digests(("tool", "x"), "/usr/bin/tool", str(root), str(root)) == {"x": known("x")}


def test_a_file_with_an_equals_sign_in_its_name_is_meant_before_the_value(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    (root / "a=b").write_text("whole")
    (root / "b").write_text("value")
    assert digests(("t", "a=b", "c=b"), "/usr/bin/t", str(root), str(root)) == {"a=b": known("whole"), "c=b": known("value")}


def test_what_can_be_no_path_names_no_file(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    (root / "x").write_text("x")
    assert digests(("t", "a\0b", "/\0", "", "x"), "/usr/bin/t", str(root), str(root)) == {"x": known("x")}
    assert digests(("t", "\0=x"), "/usr/bin/t", str(root), str(root)) == {"\0=x": known("x")}


@pytest.mark.parametrize("element", ["file:///elsewhere/%00", "--x=file:///elsewhere/a%00b", "file://%00", "file://"])
def test_a_uri_of_what_can_be_no_path_names_no_file(tmp_path: Path, element: str) -> None:
    root = tmp_path.resolve()
    assert digests(("t", element), "/usr/bin/t", str(root), str(root)) == {}


def test_a_uri_of_a_file_names_it_in_either_case(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    (root / "a b").write_text("x")
    for scheme in ("file", "FILE"):
        element = f"{scheme}://{root}/a%20b"
        assert digests(("t", element), "/usr/bin/t", None, str(root)) == {element: known("x")}


def test_a_file_is_closed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path.resolve()
    (root / "x").write_text("x")
    close = os.close
    closed: list[int] = []

    def noted(fd: int) -> None:
        closed.append(fd)
        close(fd)

    monkeypatch.setattr(os, "close", noted)
    digests(("t", "x", str(root)), "/usr/bin/t", str(root), str(root))
    assert len(closed) == 2
