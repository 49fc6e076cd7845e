"""A desk: a project with one server that checks its token."""

from __future__ import annotations

import pytest

from tests.delivery.desk import Desk
from tests.project import Project


@pytest.fixture
def desk(project: Project) -> Desk:
    """One that isn't defined yet."""
    return Desk(project)
