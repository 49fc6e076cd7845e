"""Other providers than the one that most tests use, and a real browser."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mcpwrap.core.credentials import Network
from mcpwrap.errors import LoginError
from mcpwrap.identity.flow import Asked, sign_in
from mcpwrap.identity.logout import revoke
from mcpwrap.identity.registration import Wish
from tests.e2e.parts import node, script
from tests.identity.debian import need
from tests.identity.desk import Desk
from tests.identity.providers.oidc import running
from tests.identity.providers.others import canaille, mock

CHROMIUM = Path("/usr/bin/chromium")
DEADLINE_S = 120.0


def test_canaille_signs_somebody_in_and_is_told_of_the_logout() -> None:
    with canaille() as issuer:
        found = sign_in(Asked("", issuer), Network(), Desk())
        assert (found.card.email, found.card.issuer) == ("ann@acme.example", issuer)
        assert found.card.sub
        assert revoke(found.secrets, Network()) == ""


def test_a_provider_that_doesnt_advertise_s256_is_refused_before_a_browser_opens() -> None:
    desk = Desk()
    with mock() as issuer, pytest.raises(LoginError, match="doesn't say that it checks PKCE by S256"):
        sign_in(Asked("", issuer), Network(), desk)
    assert desk.urls == []


@pytest.fixture
def chromium() -> Path:
    need(("chromium",), ("chromium",))
    return CHROMIUM


def test_a_real_browser_comes_back_and_shows_a_page_that_says_nothing(chromium: Path) -> None:
    library = script("playwright-core/index.js")
    program = Path(__file__).parent / "providers" / "chromium.mjs"
    seen: list[dict[str, Any]] = []

    def browse(url: str) -> None:
        argv = [node(), str(program), library, str(chromium), url]
        seen.append(json.loads(subprocess.run(argv, capture_output=True, check=True, timeout=DEADLINE_S).stdout))

    desk = Desk(browse)
    with running() as provider:
        found = sign_in(Asked("", provider.issuer, wish=Wish("mcpwrap")), Network(), desk)
    desk.leaves()
    assert found.card.email == "ann@acme.example"
    assert seen[0]["text"].strip() == "You can close this window and go back to the terminal."
