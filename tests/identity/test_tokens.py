"""What a token of our own says, and for whom it is."""

from __future__ import annotations

import os
import sys
import types
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mcpwrap.core.credentials import Minted
from mcpwrap.identity.signing import current_key, issuer_of, jwks, rotate
from mcpwrap.identity.tokens import Subject, TokenError, audience, local_subject, mint, shim_name, verify
from mcpwrap.identity.vault import Vault
from tests.identity.installation import bearer

NOW = 1_800_000_000.5
ANN = Subject("248289761001", "https://login.acme.example", "ann@acme.example", ("developers",))


def test_a_token_says_who_acts_for_whom_and_under_which_policy(vault: Vault) -> None:
    key = current_key(vault, NOW)
    token, expires_at = mint(key, issuer_of(vault), bearer(), Minted(("issues:read", "issues:write"), 60), ANN, NOW)
    claims = verify(token.reveal(), jwks(vault, NOW), audience("shop", "issues"), issuer_of(vault), NOW)
    assert claims.pop("jti")
    assert claims == {
        "iss": issuer_of(vault),
        "sub": "248289761001",
        "idp": "https://login.acme.example",
        "aud": "urn:mcpwrap:shop:issues",
        "client_id": "mcpwrap",
        "scope": "issues:read issues:write",
        "iat": 1_800_000_000,
        "exp": 1_800_000_060,
        "act": {"sub": "urn:mcpwrap:shim:shop:issues"},
        "project": "shop",
        "policy_hash": "sha256:policy",
        "email": "ann@acme.example",
        "groups": ["developers"],
    }
    assert expires_at == claims["exp"]


def test_the_local_profile_is_the_systems_user_whatever_the_environment_says(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    subject = local_subject()
    assert subject == Subject(pwd.getpwuid(os.geteuid()).pw_name, "local")
    token, _ = mint(current_key(vault, NOW), issuer_of(vault), bearer(), Minted(), subject, NOW)
    claims = verify(token.reveal(), jwks(vault, NOW), audience("shop", "issues"), issuer_of(vault), NOW)
    assert claims["idp"] == "local"
    assert "email" not in claims
    assert "groups" not in claims


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert local_subject() == Subject(str(os.geteuid()))


def test_windows_names_its_user_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "getpass", types.SimpleNamespace(getuser=lambda: "ann"))
    assert local_subject() == Subject("ann")


@pytest.mark.parametrize("ttl_s", [4, 301, 0, -1])
def test_no_token_lives_shorter_or_longer_than_the_contract_says(vault: Vault, ttl_s: int) -> None:
    with pytest.raises(TokenError, match="5 to 300 s"):
        mint(current_key(vault, NOW), issuer_of(vault), bearer(), Minted(ttl_s=ttl_s), ANN, NOW)


def test_no_two_tokens_have_one_name(vault: Vault) -> None:
    key = current_key(vault, NOW)
    minted = {mint(key, issuer_of(vault), bearer(), Minted(), ANN, NOW)[0].reveal() for _ in range(50)}
    assert len(minted) == 50


def test_a_token_of_one_server_is_refused_by_another_also_after_a_rotation(vault: Vault) -> None:
    key = current_key(vault, NOW)
    token, _ = mint(key, issuer_of(vault), bearer(server="issues"), Minted(ttl_s=300), ANN, NOW + 290)
    rotate(vault, NOW + 300)
    keys = jwks(vault, NOW + 300)
    assert verify(token.reveal(), keys, audience("shop", "issues"), issuer_of(vault), NOW + 300)
    for project, server in (("shop", "files"), ("other", "issues"), ("shop:issues", ""), ("", "shop:issues")):
        with pytest.raises(TokenError):
            verify(token.reveal(), keys, audience(project, server), issuer_of(vault), NOW + 300)


def test_plain_names_stand_in_the_audience_as_they_are() -> None:
    assert audience("web-shop_2.0~x", "issues") == "urn:mcpwrap:web-shop_2.0~x:issues"
    assert shim_name("a:b", "c") == "urn:mcpwrap:shim:a%3Ab:c"


@pytest.mark.parametrize(
    "name", ["a:b", "a%3Ab", "ä", "a\u0308", "a b", "\udcff", "", "A", "a/b", "a\0b", "%", "é", "\ud83d\ude00", "😀"]
)
def test_odd_names_are_encoded_each_in_its_own_way(name: str) -> None:
    text = audience(name, "s")
    assert text.isascii()
    assert text.count(":") == 3
    assert unquote(text.split(":")[2], errors="surrogatepass") == name


@given(*[st.text(st.characters(exclude_categories=()), max_size=8)] * 4)
@example("a:b", "c", "a", "b:c")
@example("a%3Ab", "c", "a:b", "c")
@example("", "a", "a", "")
@example("\ud83d\ude00", "a", "😀", "a")
def test_no_two_pairs_of_names_are_one_audience(project: str, server: str, other: str, others: str) -> None:
    assert (audience(project, server) == audience(other, others)) == ((project, server) == (other, others))
