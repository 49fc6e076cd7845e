"""A vault, and a real provider where one is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpwrap.identity.vault import Vault
from tests.identity.installation import make_vault
from tests.identity.providers.oidc import Provider, running


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
