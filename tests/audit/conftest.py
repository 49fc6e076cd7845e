from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcpwrap.audit.writer import AuditWriter

NOON = 1_779_105_600.0  # 2026-05-18T12:00:00Z


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


Open = Callable[..., AuditWriter]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "audit"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_writer(folder: Path, clock: Clock) -> Iterator[Open]:
    writers: list[AuditWriter] = []

    def start(shim: str = "run1", *, server: str = "files", project: str = "/src/shop") -> AuditWriter:
        writer = AuditWriter(
            str(folder),
            shim=shim,
            project=project,
            server=server,
            subject={"issuer": "local", "sub": "ann"},
            policy_digest="d1",
            clock=clock,
        )
        writers.append(writer)
        return writer

    yield start
    for writer in writers:
        writer.close()
