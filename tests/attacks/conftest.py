"""Each attack has a project of its own, whose server follows a script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.arena import Arena
from tests.explained import check_refusals
from tests.project import Project

LEFT_OUT = 3
"""Most refusals of one test that aren't asked again, since a budget, a changed file or a shortened value stands against it."""


@pytest.fixture(autouse=True)
def explained(home: Path) -> Iterator[None]:
    """After each test: every refusal in its audit is explained by the right file and line."""
    yield
    found = check_refusals(home)
    assert len(found.left_out) <= LEFT_OUT, found.left_out


@pytest.fixture
def arena(project: Project) -> Arena:
    """A project, and a lab for its server; nothing is written or trusted yet."""
    return Arena(project)
