"""Folders for a vault, a vault, a real Secret Service, and a real provider where one is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpwrap.identity.vault import Places, Vault
from tests.identity.installation import make_vault
from tests.identity.providers.oidc import Provider, running
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


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """A new vault."""
    return make_vault(tmp_path)


@pytest.fixture(scope="module")
def shared_provider() -> Iterator[Provider]:
    with running() as provider:
        yield provider


@pytest.fixture
def provider(shared_provider: Provider) -> Iterator[Provider]:
    """A certified provider that behaves; its counts go on from test to test."""
    shared_provider.switch()
    yield shared_provider
    shared_provider.switch()
