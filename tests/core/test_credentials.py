"""What a profile lends, and what it doesn't."""

from __future__ import annotations

import pytest

from mcpwrap.core.credentials import FromLogin, Profile, not_lent

API, OTHER = "https://api.example.com", "https://other.example.com"


@pytest.mark.parametrize(
    ("resources", "scopes", "resource", "scope", "why"),
    [
        (None, None, API, ("r",), ""),
        (None, None, "", (), ""),
        ((API,), ("r",), API, ("r",), ""),
        ((API,), ("r", "w"), API, (), ""),
        ((API,), None, OTHER, (), f"doesn't lend {OTHER}"),
        ((API,), None, API + "/", (), f"doesn't lend {API}/"),
        ((API,), None, "", (), "doesn't lend tokens for no resource in particular"),
        ((), None, API, (), f"doesn't lend {API}"),
        (None, ("r",), API, ("r", "w"), "doesn't lend the scope w"),
        (None, (), API, ("r", "w"), "doesn't lend the scopes r w"),
        ((API,), (), OTHER, ("r",), f"doesn't lend {OTHER}"),
    ],
)
def test_a_profile_lends_what_its_lists_have_and_no_more(
    resources: tuple[str, ...] | None, scopes: tuple[str, ...] | None, resource: str, scope: tuple[str, ...], why: str
) -> None:
    profile = Profile("work", "https://login.example.com", resources=resources, scopes=scopes)
    assert not_lent(profile, FromLogin(resource, scope)) == why
