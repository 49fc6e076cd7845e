"""Tokens that were forged, confused, replayed elsewhere or kept too long are refused, each for what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mcpwrap.core.credentials import Minted
from mcpwrap.identity.signing import current_key, issuer_of, jwks
from mcpwrap.identity.tokens import TokenError, audience, local_subject, mint, verify
from mcpwrap.identity.vault import Vault
from tests.identity import hostile
from tests.identity.installation import bearer, make_vault

NOW = 1_800_000_000.0
SHOP = audience("shop", "issues")
NAMES = [
    "no algorithm",
    "no algorithm, another spelling",
    "no signature",
    "another's signature",
    "another's signature under a name that isn't known",
    "another's signature without a name",
    "a key's name that is no text",
    "a changed claim",
    "HS256 with the public key as PEM",
    "HS256 with the public key as DER",
    "HS256 with the public key as it is",
    "HS256 with the public key as JSON",
    "HS256 with the public key as base64",
]


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    return make_vault(tmp_path_factory.mktemp("installation"))


def check(vault: Vault, token: str, keys: dict[str, Any] | None = None, now: float = NOW) -> dict[str, Any]:
    return verify(token, keys if keys is not None else jwks(vault, NOW), SHOP, issuer_of(vault), now)


def good(vault: Vault, ttl_s: int = 120) -> str:
    token, _ = mint(current_key(vault, NOW), issuer_of(vault), bearer(), Minted(ttl_s=ttl_s), local_subject(), NOW)
    return token.reveal()


def test_a_good_token_is_taken(vault: Vault) -> None:
    assert check(vault, good(vault))["aud"] == SHOP


def test_every_hostile_token_is_refused(vault: Vault) -> None:
    tokens = hostile.tokens(vault, NOW)
    assert len(tokens) > 50
    assert set(NAMES) <= tokens.keys()
    taken = []
    for name, token in tokens.items():
        try:
            check(vault, token)
        except TokenError as error:
            assert token not in str(error) or not token
        else:
            taken.append(name)
    assert taken == []


def test_a_token_counts_until_it_expires_and_no_longer(vault: Vault) -> None:
    token = good(vault, 5)
    assert check(vault, token, now=NOW + 6)
    with pytest.raises(TokenError, match="expired"):
        check(vault, token, now=NOW + 7)


def test_a_token_counts_from_when_it_was_issued(vault: Vault) -> None:
    token = good(vault)
    assert check(vault, token, now=NOW - 2)
    with pytest.raises(TokenError, match="future"):
        check(vault, token, now=NOW - 3)


def test_another_installations_keys_are_not_these(vault: Vault, tmp_path: Path) -> None:
    other = make_vault(tmp_path)
    current_key(other, NOW)
    with pytest.raises(TokenError, match="isn't known"):
        check(vault, good(vault), jwks(other, NOW))
    with pytest.raises(TokenError, match="isn't good"):
        verify(good(vault), jwks(vault, NOW), SHOP, issuer_of(other), NOW)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"alg": "HS256", "kty": "oct", "k": "AAAA"}, "another algorithm"),
        ({"alg": "ES256"}, "another algorithm"),
        ({"crv": "Ed448"}, "another algorithm"),
        ({"alg": None}, "another algorithm"),
        ({"x": "AAAA"}, "isn't good"),
        ({"x": 7}, "isn't good"),
        ({"exp": int(NOW)}, "retired"),
        ({"exp": "never"}, "no number"),
    ],
)
def test_a_key_set_that_is_not_right_lets_nothing_through(vault: Vault, change: dict[str, Any], why: str) -> None:
    keys = jwks(vault, NOW)
    keys["keys"][0] |= change
    with pytest.raises(TokenError, match=why):
        check(vault, good(vault), keys)


def test_two_keys_of_one_name_are_none(vault: Vault) -> None:
    keys = jwks(vault, NOW)
    keys["keys"].append(keys["keys"][0])
    with pytest.raises(TokenError, match="isn't known"):
        check(vault, good(vault), keys)


@pytest.mark.parametrize("keys", [{}, {"keys": {}}, {"keys": [7, "x"]}])
def test_what_is_no_key_set_has_no_keys(vault: Vault, keys: dict[str, Any]) -> None:
    with pytest.raises(TokenError, match="isn't known"):
        check(vault, good(vault), keys)
