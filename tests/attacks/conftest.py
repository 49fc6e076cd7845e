"""Each attack has a project of its own, whose server follows a script."""

from __future__ import annotations

import pytest

from tests.attacks.arena import Arena
from tests.project import Project


@pytest.fixture
def arena(project: Project) -> Arena:
    """A project, and a lab for its server; nothing is written or trusted yet."""
    return Arena(project)
