"""Folders for a vault, and a real Secret Service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpwrap.identity.vault import Places
from tests.identity.secret_service import SecretService


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Where a vault may lie; nothing is there yet."""
    return Places(str(tmp_path / "state" / "mcpwrap"), str(tmp_path / "data" / "mcpwrap"))


@pytest.fixture
def session_bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecretService]:
    """A session bus on which a Secret Service can be started, and no keyring made yet."""
    with SecretService(tmp_path_factory.mktemp("desktop")) as service:
        yield service


@pytest.fixture
def secret_service(session_bus: SecretService) -> SecretService:
    """A Secret Service with an unlocked keyring."""
    return session_bus.unlock()
