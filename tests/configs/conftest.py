"""What a project file of `configs` refuses is explained by its file and line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.explained import check_refusals


@pytest.fixture(autouse=True)
def explained(home: Path) -> Iterator[None]:
    """After each test: every refusal in its audit is explained by the right file and line, and asked again."""
    yield
    assert check_refusals(home).left_out == []
