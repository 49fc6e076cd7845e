"""The two ways to a real server: directly, which shows that the test itself is right, and behind the installed command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.repository import prepare
from tests.explained import check_refusals
from tests.project import Launch, Project, Server

Reach = Callable[[Server], Launch]
"""Makes a server reachable, and says how it is started."""


@pytest.fixture(autouse=True)
def explained(home: Path) -> Iterator[None]:
    """After each test: every refusal in its audit is explained by the right file and line, and asked again."""
    yield
    assert check_refusals(home).left_out == []


@pytest.fixture(params=["direct", "behind"])
def reach(request: pytest.FixtureRequest, project: Project) -> Reach:
    """A prepared project with one server in which everything is allowed, directly and behind mcpwrap."""
    prepare(project)
    way: Any = request.param

    def reach_it(server: Server) -> Launch:
        if way == "direct":
            return project.direct(server)
        project.define(server)
        return project.behind(server)

    return reach_it
