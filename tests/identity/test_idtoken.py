"""ID tokens: what counts, and every way not to."""

from __future__ import annotations

import hmac
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mcpwrap.core.credentials import Network
from mcpwrap.errors import LoginError
from mcpwrap.identity.http import client
from mcpwrap.identity.idtoken import Person, checked, person_of
from mcpwrap.identity.metadata import Metadata
from mcpwrap.secret import Secret
from tests.identity.providers.scripted import Scripted, say, scripted
from tests.identity.providers.tokens import CLIENT, Signer, b64, claims_of, unsigned

ISSUER = "https://login.example.com"
SIGNER = Signer()


def judged(token: str, keys: list[Any] | None = None, *, nonce: str = "n") -> dict[str, Any]:
    return checked(token, {"keys": [SIGNER.jwk()] if keys is None else keys}, ISSUER, CLIENT, nonce=nonce)


def refused(token: str, why: str, keys: list[Any] | None = None) -> None:
    with pytest.raises(LoginError, match=f"ID token doesn't count: {why}") as caught:
        judged(token, keys)
    assert token not in str(caught.value) + caught.value.hint
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "RS512", "ES256", "ES384", "EdDSA"])
def test_a_token_that_the_issuers_key_signed_counts(algorithm: str) -> None:
    signer = Signer(algorithm)
    assert judged(signer.sign(claims_of(ISSUER)), [{"kty": "oct", "k": "AAAA"}, "odd", signer.jwk()])["sub"] == "ann"
    # a key may leave out what it is for, a token which key it was
    bare = signer.jwk(alg=None, use=None, kid=None)
    assert judged(signer.sign(claims_of(ISSUER), kid=None), [Signer(algorithm).jwk(), bare])["sub"] == "ann"


def test_a_token_without_a_signature_is_refused() -> None:
    refused(unsigned(claims_of(ISSUER)), "it is signed with `none`")
    refused(unsigned(claims_of(ISSUER), "None"), "it is signed with `None`")
    refused(unsigned(claims_of(ISSUER), "ES256"), "no key of the provider signed it")


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_mac_made_with_the_public_key_is_no_signature(algorithm: str) -> None:
    signer = Signer("RS256")
    public = signer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    token = unsigned(claims_of(ISSUER), algorithm)
    signed = f"{token}{b64(hmac.digest(public, token.rstrip('.').encode(), 'sha' + algorithm[2:]))}"
    for keys in ([signer.jwk()], [{"kty": "oct", "k": b64(public), "kid": "k1", "alg": algorithm}]):
        refused(signed, f"it is signed with `{algorithm}`", keys)


def test_a_key_that_a_token_brings_along_isnt_looked_at() -> None:
    other = Signer()
    refused(other.sign(claims_of(ISSUER), jwk=other.jwk(), jku="https://evil.example/jwks"), "no key of the provider signed it")


@pytest.mark.parametrize(
    "key",
    [
        SIGNER.jwk(use="enc"),
        SIGNER.jwk(kid="k2"),
        SIGNER.jwk(alg="ES512"),
        SIGNER.jwk(x="!"),
        SIGNER.jwk(crv="P-999"),
        SIGNER.jwk(kty="RSA"),
        {"kty": "EC"},
    ],
)
def test_a_key_that_isnt_for_this_signs_nothing(key: dict[str, Any]) -> None:
    refused(SIGNER.sign(claims_of(ISSUER)), "no key of the provider signed it", [key])


def test_a_short_rsa_key_signs_nothing() -> None:
    weak = Signer("RS256", bits=1024)
    header, payload, _ = unsigned(claims_of(ISSUER), "RS256").split(".")
    refused(f"{header}.{payload}.AAAA", "no key of the provider signed it", [weak.jwk()])


@pytest.mark.parametrize("jwks", [{}, {"keys": "x"}, {"keys": []}, {"keys": [SIGNER.jwk(kid="other")] * 70 + [SIGNER.jwk()]}])
def test_keys_that_arent_there_sign_nothing(jwks: dict[str, Any]) -> None:
    with pytest.raises(LoginError, match="no key of the provider signed it"):
        checked(SIGNER.sign(claims_of(ISSUER)), jwks, ISSUER, CLIENT, nonce="n")


NOW = int(time.time())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"iss": "https://login.example.com/"}, "it is another issuer's"),
        ({"iss": None}, "a claim that it must have is missing"),
        ({"aud": "other"}, "it is for another client"),
        ({"aud": ["mcpwrap", "other"]}, "it is for another client"),
        ({"aud": ["mcpwrap", "other"], "azp": "other"}, "it is for another client"),
        ({"azp": "other"}, "it is for another client"),
        ({"aud": None}, "a claim that it must have is missing"),
        ({"exp": NOW - 3600}, "it has expired"),
        ({"exp": None}, "a claim that it must have is missing"),
        ({"iat": NOW + 3600}, "it comes from the future"),
        ({"nbf": NOW + 3600}, "it comes from the future"),
        ({"iat": "soon"}, "its time can't be read"),
        ({"iat": None}, "a claim that it must have is missing"),
        ({"nonce": "other"}, "it is from another sign-in"),
        ({"nonce": None}, "it is from another sign-in"),
        ({"sub": None}, "a claim that it must have is missing"),
        ({"sub": ""}, "it names nobody"),
        ({"sub": "a" * 256}, "it names nobody"),
        ({"exp": "never"}, "it can't be read"),
    ],
)
def test_a_claim_that_isnt_as_it_must_be_is_said(changes: dict[str, Any], why: str) -> None:
    refused(SIGNER.sign(claims_of(ISSUER, **changes)), why)


def test_a_subject_that_is_no_text_names_nobody() -> None:
    claims = claims_of(ISSUER, sub=7)
    head, body, _ = SIGNER.sign(claims_of(ISSUER)).split(".")
    body = b64(json.dumps(claims).encode())
    from jwt import get_algorithm_by_name

    signature = get_algorithm_by_name("ES256").sign(f"{head}.{body}".encode(), SIGNER.key)
    refused(f"{head}.{body}.{b64(signature)}", "it names nobody")


def test_another_kind_of_token_is_no_id_token() -> None:
    refused(SIGNER.sign(claims_of(ISSUER), typ="at+jwt"), "it is another kind of token")
    refused("a.b", "it can't be read")
    many = claims_of(ISSUER, aud=["mcpwrap", "other"], azp="mcpwrap")
    assert judged(SIGNER.sign(many))["sub"] == "ann"
    # the device flow sends no nonce
    assert judged(SIGNER.sign(claims_of(ISSUER, nonce=None)), nonce="")["sub"] == "ann"


# who it is


def person(provider: Scripted, claims: dict[str, Any], userinfo: Any = None) -> Person:
    provider.routes["/jwks"] = say({"keys": [SIGNER.jwk()]})
    if userinfo is not None:
        provider.routes["/me"] = userinfo
    metadata = Metadata(
        provider.issuer,
        f"{provider.issuer}/token",
        jwks_uri=f"{provider.issuer}/jwks",
        userinfo_endpoint="" if userinfo is None else f"{provider.issuer}/me",
    )
    with client(Network()) as http:
        token = SIGNER.sign(claims_of(provider.issuer, **claims))
        return person_of(http, metadata, CLIENT, token, Secret("the-token"), nonce="n")


def test_userinfo_is_asked_only_for_what_is_missing_and_adds_without_changing() -> None:
    with scripted() as provider:
        full = {"email": "a@x", "groups": ["g", 7], "name": "Ann"}
        found = person(provider, full, say({"sub": "ann"}))
        assert (found.email, found.groups, found.name) == ("a@x", ("g",), "Ann")
        assert provider.asked("/me") == []
        found = person(provider, {"email": "a@x"}, say({"sub": "ann", "email": "b@x", "groups": ["h"]}))
        assert (found.email, found.groups) == ("a@x", ("h",))
        assert provider.asked("/me")[0].headers["authorization"] == "Bearer the-token"


def test_userinfo_of_somebody_else_ends_the_login() -> None:
    with scripted() as provider:
        for sub in ("bob", None, ["ann"]):
            with pytest.raises(LoginError, match="speaks of somebody else"):
                person(provider, {}, say({"sub": sub, "email": "b@x"}))


def test_a_userinfo_that_doesnt_take_the_token_is_done_without() -> None:
    with scripted() as provider:
        assert person(provider, {}, say({"error": "invalid_token"}, 401)).sub == "ann"
        assert person(provider, {}).claims == {"sub": "ann"}


def test_an_email_that_isnt_verified_is_none() -> None:
    with scripted() as provider:
        for verified in (False, "false"):
            assert person(provider, {"email": "boss@x", "email_verified": verified}).email == ""
        assert person(provider, {"email": "a@x", "email_verified": True}).email == "a@x"
        odd = person(provider, {"email": 7, "groups": "admins", "name": None})
        assert (odd.email, odd.groups, odd.name) == ("", (), "")


def test_a_provider_that_says_too_much_of_somebody_is_refused() -> None:
    with scripted() as provider, pytest.raises(LoginError, match="says more than 128 KiB about you"):
        person(provider, {}, say({"sub": "ann", "groups": ["x" * 1000] * 140}))
