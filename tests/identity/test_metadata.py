"""What a provider says of itself, and what of it is believed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from mcpwrap.core.credentials import Network
from mcpwrap.errors import LoginError
from mcpwrap.identity.http import ProviderDown, client
from mcpwrap.identity.metadata import METADATA_LIMIT, Metadata, believed, discover, well_known
from tests.identity.providers.scripted import Answer, Scripted, say, scripted

ISSUER = "https://login.example.com"
DOORS = {"authorization_endpoint": f"{ISSUER}/auth", "token_endpoint": f"{ISSUER}/token"}


@pytest.fixture(scope="module")
def started() -> Iterator[Scripted]:
    with scripted() as provider:
        yield provider


@pytest.fixture
def provider(started: Scripted) -> Scripted:
    started.routes.clear()
    started.seen.clear()
    return started


def found(issuer: str) -> Metadata:
    with client(Network()) as http:
        return discover(http, issuer)


def test_metadata_is_looked_for_where_both_specifications_put_it() -> None:
    assert well_known(f"{ISSUER}/") == (
        f"{ISSUER}/.well-known/openid-configuration",
        f"{ISSUER}/.well-known/oauth-authorization-server",
    )
    assert well_known(f"{ISSUER}/realms/a") == (
        f"{ISSUER}/realms/a/.well-known/openid-configuration",
        f"{ISSUER}/.well-known/openid-configuration/realms/a",
        f"{ISSUER}/.well-known/oauth-authorization-server/realms/a",
    )
    for issuer in (f"{ISSUER}?x=1", f"{ISSUER}#x", "http://login.example.com", "login.example.com"):
        with pytest.raises(LoginError):
            well_known(issuer)


@pytest.mark.parametrize("place", range(3))
def test_metadata_is_found_in_each_of_these_places(place: int, provider: Scripted) -> None:
    issuer = f"{provider.issuer}/realms/a"
    path = well_known(issuer)[place].removeprefix(provider.issuer)
    # some servers answer whatever is asked with a page
    provider.routes[well_known(issuer)[0].removeprefix(provider.issuer)] = Answer(b"<html>", 200, {"Content-Type": "text/html"})
    provider.routes[path] = say({"issuer": issuer, "token_endpoint": f"{provider.issuer}/token"})
    assert found(issuer).token_endpoint == f"{provider.issuer}/token"


def test_a_server_without_metadata_is_no_provider(provider: Scripted) -> None:
    with pytest.raises(LoginError, match=r"127\.0\.0\.1 says nothing of itself as an identity provider") as caught:
        found(provider.issuer)
    assert "/.well-known/oauth-authorization-server" in caught.value.hint


@pytest.mark.parametrize("named", [f"{ISSUER}/", "https://evil.example", ISSUER.upper(), None, 7, [ISSUER], ""])
def test_metadata_of_another_issuer_is_refused(named: object) -> None:
    with pytest.raises(LoginError, match=r"the metadata of `https://login\.example\.com` names another issuer") as caught:
        believed(ISSUER, {"issuer": named, **DOORS})
    assert ("write it so: https://login.example.com/" in caught.value.hint) == (named == f"{ISSUER}/")


@pytest.mark.parametrize(
    "name",
    [
        "authorization_endpoint",
        "token_endpoint",
        "device_authorization_endpoint",
        "revocation_endpoint",
        "registration_endpoint",
        "userinfo_endpoint",
        "jwks_uri",
    ],
)
def test_a_door_that_is_less_safe_than_the_issuer_is_refused(name: str) -> None:
    for url, why in (
        ("http://login.example.com/x", "is not https"),
        ("http://127.0.0.1:8080/x", "leads to this machine"),
        ("https://localhost/x", "leads to this machine"),
        ("javascript:alert(1)", "is no plain web address"),
        ("https://a@b/", "is no plain web address"),
        (7, "is no text"),
    ):
        with pytest.raises(LoginError, match=why):
            believed(ISSUER, {"issuer": ISSUER, **DOORS, name: url})
    here = "https://127.0.0.1"
    with pytest.raises(LoginError, match="is not https, and the issuer is"):
        believed(here, {"issuer": here, "token_endpoint": f"{here}/token", name: "http://127.0.0.1/x"})


def test_what_is_said_is_kept_and_what_isnt_stays_open() -> None:
    bare = believed(ISSUER, {"issuer": ISSUER, **DOORS})
    assert (bare.scopes, bare.auth_methods, bare.s256, bare.sends_iss, bare.documents, bare.openid) == (
        None,
        None,
        False,
        False,
        False,
        False,
    )
    full: dict[str, Any] = {
        "issuer": ISSUER,
        **DOORS,
        "jwks_uri": f"{ISSUER}/jwks",
        "scopes_supported": ["openid", 7, "a"],
        "code_challenge_methods_supported": ["plain", "S256"],
        "authorization_response_iss_parameter_supported": True,
        "client_id_metadata_document_supported": True,
        "token_endpoint_auth_methods_supported": ["none"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }
    said = believed(ISSUER, full)
    assert (said.scopes, said.auth_methods) == (("openid", "a"), ("none",))
    assert said.s256 and said.sends_iss and said.documents and said.openid
    assert not believed(ISSUER, {**full, "code_challenge_methods_supported": ["plain"]}).s256
    assert not believed(ISSUER, {**full, "authorization_response_iss_parameter_supported": "true"}).sends_iss
    assert not believed(ISSUER, {**full, "scopes_supported": ["a"]}).openid
    with pytest.raises(LoginError, match="names no token endpoint"):
        believed(ISSUER, {"issuer": ISSUER})


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(b'{"x": "' + b"a" * METADATA_LIMIT + b'"}'), "more than 128 KiB"),
        (Answer(itertools.repeat(b"x" * 4096)), "more than 128 KiB"),
        (Answer(b"", 302, {"Location": "https://evil.example/"}), "with a redirect"),
        (say({"issuer": "https://evil.example"}), "names another issuer: `https://evil.example`"),
        (say({"issuer": "\x1b[2J\u202e"}), r"names another issuer: `\\u\{1b\}\[2J\\u\{202e\}`"),
    ],
)
def test_metadata_that_cant_be_believed_ends_it(answer: Answer, why: str, provider: Scripted) -> None:
    provider.routes["/.well-known/openid-configuration"] = answer
    with pytest.raises(LoginError, match=why):
        found(provider.issuer)
    assert provider.asked("/.well-known/oauth-authorization-server") == []


def test_a_provider_that_is_down_isnt_asked_elsewhere(provider: Scripted) -> None:
    provider.routes["/.well-known/openid-configuration"] = say({}, 503)
    with pytest.raises(ProviderDown):
        found(provider.issuer)
    assert len(provider.seen) == 1
