"""Signing in at a real provider, by each of the ways."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mcpwrap.core.credentials import Network
from mcpwrap.errors import LoginError
from mcpwrap.identity import codeflow, device
from mcpwrap.identity.flow import Asked, Session, SignedIn, sign_in
from mcpwrap.identity.http import ProviderDown, ProviderSaid, client
from mcpwrap.identity.logins import access_key
from mcpwrap.identity.logout import revoke
from mcpwrap.identity.metadata import discover
from mcpwrap.identity.registration import Wish
from mcpwrap.secret import Secret
from tests.identity.desk import Desk
from tests.identity.providers.browser import Browser
from tests.identity.providers.oidc import API, ISSUES, Provider, Setup, running

OURS = Wish("mcpwrap")
SCOPES = ("repo:read", "issues:read")


@pytest.fixture(scope="module")
def started() -> Iterator[Provider]:
    with running() as provider:
        yield provider


@pytest.fixture
def provider(started: Provider) -> Provider:
    started.switch()
    return started


def asked(provider: Provider, **changes: Any) -> Asked:
    fields: dict[str, Any] = {"profile": "work", "wish": OURS, "resources": (API, ISSUES), "scopes": SCOPES, **changes}
    return Asked(issuer=provider.issuer, **fields)


def signed(provider: Provider, desk: Desk | None = None, **changes: Any) -> SignedIn:
    return sign_in(asked(provider, **changes), Network(), desk or Desk())


def test_a_browser_signs_a_person_in_and_a_card_and_secrets_come_of_it(provider: Provider) -> None:
    before = time.time()
    desk = Desk()
    found = signed(provider, desk)
    card, secrets = found.card, found.secrets
    assert (card.profile, card.issuer, card.client_id, card.flow) == ("work", provider.issuer, "mcpwrap", "browser")
    assert (card.sub, card.email, card.name, card.groups) == ("ann", "ann@acme.example", "ann", ("developers",))
    assert set(SCOPES) < set(card.scopes)
    assert card.resources == (API, ISSUES)
    assert card.refreshable
    assert card.ended == ""
    assert before <= card.logged_in_at <= time.time()
    assert not {"iss", "aud", "exp", "iat", "nonce", "sid"} & set(card.claims)
    access = secrets.access[access_key(API, ())]
    claims = jwt.decode(access.token, options={"verify_signature": False})
    assert claims["aud"] == API
    assert access.scope == ("repo:read",)
    assert claims["exp"] == pytest.approx(access.expires_at, abs=2)
    assert provider.active(secrets.refresh_token)
    desk.leaves()
    assert "You can close this window" in desk.page


def test_the_address_for_the_browser_binds_the_answer_in_every_way_there_is(provider: Provider) -> None:
    desk = Desk()
    signed(provider, desk)
    sent = parse_qs(urlsplit(desk.urls[0]).query)
    assert sent["response_type"] == ["code"]
    assert sent["code_challenge_method"] == ["S256"]
    assert sent["resource"] == [API, ISSUES]
    assert sent["prompt"] == ["consent"]
    assert {"openid", "offline_access", *SCOPES} <= set(sent["scope"][0].split())
    assert all(len(sent[name][0]) >= 43 for name in ("state", "nonce", "code_challenge"))
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/callback", sent["redirect_uri"][0])
    signed(provider, desk)
    again = parse_qs(urlsplit(desk.urls[1]).query)
    assert all(sent[name] != again[name] for name in ("state", "nonce", "code_challenge"))


def test_a_client_that_nobody_named_registers_itself_for_a_path_that_nobody_can_guess(provider: Provider) -> None:
    desk = Desk()
    found = signed(provider, desk, wish=Wish())
    redirect = urlsplit(parse_qs(urlsplit(desk.urls[0]).query)["redirect_uri"][0])
    assert len(redirect.path) > 20
    assert found.card.client_id != "mcpwrap"
    assert found.secrets.auth == "none"


def test_a_provider_that_registers_nobody_is_said_with_what_to_do() -> None:
    with running(Setup(registration=False)) as closed:
        with pytest.raises(LoginError, match="registers nobody by itself") as caught:
            signed(closed, wish=Wish())
        assert f"mcpwrap login --issuer {closed.issuer} --client-id ID" in caught.value.hint
        # the client of the login before is taken where there was one
        assert signed(closed, wish=Wish(), earlier=OURS).card.client_id == "mcpwrap"


def test_what_the_id_token_leaves_out_comes_from_userinfo() -> None:
    with running(Setup(claims_by_userinfo=True)) as provider:
        card = signed(provider, resources=()).card
        assert (card.email, card.groups) == ("ann@acme.example", ("developers",))
        assert provider.state()["requests"]["/me"] == 1


def test_one_who_presses_cancel_at_the_provider_reads_that(provider: Provider) -> None:
    desk = Desk("cancels")
    with pytest.raises(ProviderSaid, match=r"the sign-in was declined at 127\.0\.0\.1: End-User aborted interaction") as caught:
        signed(provider, desk)
    assert caught.value.error == "access_denied"
    desk.leaves()
    assert "You can close this window" in desk.page


def test_one_who_closes_the_browser_isnt_waited_for_longer_than_the_limit(provider: Provider) -> None:
    with client(Network()) as http:
        session = Session(http, asked(provider), discover(http, provider.issuer), Desk("leaves"))
        with pytest.raises(LoginError, match=r"didn't come back within 0\.005 minutes") as caught:
            codeflow.sign_in(session, limit_s=0.3)
    assert "mcpwrap login --device" in caught.value.hint


def test_a_resource_that_isnt_known_there_is_refused_with_where_to_mend_it(provider: Provider) -> None:
    with pytest.raises(ProviderSaid, match="invalid_target") as caught:
        signed(provider, resources=("https://nowhere.example",))
    assert "`resources` of the profile" in caught.value.hint


def test_a_provider_that_is_down_at_the_token_endpoint_is_said_and_may_be_tried_again(provider: Provider) -> None:
    provider.switch(down=["/token"], headers={"retry-after": "17"})
    with pytest.raises(ProviderDown, match=r"can't answer now \(status 503\)") as caught:
        signed(provider)
    assert caught.value.retry_after_s == 17


# device


class Entered(Desk):
    """Somebody who enters the code in a browser elsewhere, or does what `does` says there."""

    def __init__(self, does: str = "approves", *, says: bool = True) -> None:
        super().__init__(says=says)
        self.does = does
        self.elsewhere = Browser(does=does)

    def show(self, text: str) -> None:
        super().show(text)
        found = re.search(r"go to  (\S+)\n.*code +(\S+)", text)
        if found is not None and self.does != "leaves":
            self.elsewhere.visits(f"{found[1]}?user_code={found[2]}")


def by_device(
    provider: Provider, desk: Desk, *, clock: Any = time.monotonic, pauses: list[float] | None = None, **changes: Any
) -> SignedIn:
    waited = [] if pauses is None else pauses
    with client(Network()) as http:
        session = Session(http, asked(provider, flow="device", **changes), discover(http, provider.issuer), desk)
        return device.sign_in(session, pause=waited.append, clock=clock)


def test_a_code_is_entered_elsewhere_and_signs_in_here(provider: Provider) -> None:
    pauses: list[float] = []
    found = by_device(provider, Entered(), pauses=pauses)
    assert (found.card.flow, found.card.sub, found.card.email) == ("device", "ann", "ann@acme.example")
    assert found.card.refreshable
    assert pauses == [device.INTERVAL_S]


def test_a_device_registers_itself_too(provider: Provider) -> None:
    assert by_device(provider, Entered(), wish=Wish()).card.client_id != "mcpwrap"


def test_a_provider_without_a_device_flow_is_said(provider: Provider) -> None:
    provider.switch(without=["device_authorization_endpoint"])
    for profile, hint in (
        ("", "in a browser on this machine: mcpwrap login --issuer X"),
        ("work", 'in a browser on this machine: with `flow = "browser"` in [profiles.work], mcpwrap login --issuer X'),
    ):
        with pytest.raises(LoginError, match="has no device flow") as caught:
            by_device(provider, Desk(), profile=profile, command="mcpwrap login --issuer X")
        assert caught.value.hint == hint


def test_a_code_that_nobody_enters_is_asked_for_until_it_expires(provider: Provider) -> None:
    ticks = iter([0.0, 0.0, 5.0, 10.0, 601.0])
    pauses: list[float] = []
    with pytest.raises(LoginError, match="the code expired before anybody entered it"):
        by_device(provider, Entered("leaves"), clock=lambda: next(ticks), pauses=pauses)
    assert pauses == [5.0] * 3


# without a person


def key_pair(folder: Path, kid: str = "ci") -> tuple[Path, dict[str, Any]]:
    """A private key in a file, and its public half as a JWK."""
    key = ec.generate_private_key(ec.SECP256R1())
    file = folder / "ci.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    file.chmod(0o600)
    jwk = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return file, {**jwk, "kid": kid, "use": "sig", "alg": "ES256"}


def machine_client(**changes: Any) -> dict[str, Any]:
    return {"client_id": "ci", "grant_types": ["client_credentials"], "redirect_uris": [], "response_types": [], **changes}


def test_a_machine_signs_in_with_its_key(tmp_path: Path) -> None:
    file, jwk = key_pair(tmp_path)
    ci = machine_client(token_endpoint_auth_method="private_key_jwt", jwks={"keys": [jwk]})
    with running(Setup(clients=[ci])) as provider:
        wish = Wish("ci", None, str(file))
        found = signed(provider, flow="client-credentials", wish=wish, resources=(API,), scopes=("repo:read",))
        assert (found.card.sub, found.card.flow, found.card.refreshable) == ("ci", "client-credentials", True)
        assert (found.secrets.auth, found.secrets.key_file, found.secrets.refresh_token) == ("private_key_jwt", str(file), "")
        assert found.secrets.access[access_key(API, ())].scope == ("repo:read",)
        file.chmod(0o640)
        with pytest.raises(LoginError, match=r"others can read the key file .*ci\.pem"):
            signed(provider, flow="client-credentials", wish=wish)
        other, _ = key_pair(tmp_path)
        with pytest.raises(ProviderSaid, match="invalid_client"):
            signed(provider, flow="client-credentials", wish=Wish("ci", None, str(other)))


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_machine_signs_in_with_its_secret(method: str) -> None:
    secret = Secret("pass&word%/+ of 32 characters 12345")
    ci = machine_client(token_endpoint_auth_method=method, client_secret=secret.reveal())
    with running(Setup(clients=[ci])) as provider:
        if method == "client_secret_post":
            provider.switch(metadata={"token_endpoint_auth_methods_supported": [method]})
        found = signed(provider, flow="client-credentials", wish=Wish("ci", secret), resources=(API,), scopes=("repo:read",))
        assert (found.secrets.auth, found.secrets.client_secret) == (method, secret.reveal())
        with pytest.raises(ProviderSaid, match="invalid_client") as caught:
            signed(provider, flow="client-credentials", wish=Wish("ci", Secret("wrong")))
        assert "--client-secret" in caught.value.hint


def test_a_machine_without_a_key_and_without_a_secret_is_told_what_it_needs(provider: Provider) -> None:
    for wish in (Wish(), Wish("ci"), Wish("", Secret("x"))):
        with pytest.raises(LoginError, match="needs a client id, and a key or a secret"):
            signed(provider, flow="client-credentials", wish=wish)


# the end


def test_a_logout_revokes_the_refresh_token_and_leaves_signed_access_tokens_to_end(provider: Provider) -> None:
    secrets = signed(provider).secrets
    assert provider.active(secrets.refresh_token)
    assert revoke(secrets, Network()) == ""
    assert not provider.active(secrets.refresh_token)


def test_a_logout_revokes_access_tokens_where_there_is_nothing_else(provider: Provider) -> None:
    provider.switch(metadata={"scopes_supported": ["openid"]})
    found = signed(provider, resources=(), scopes=())
    assert not found.card.refreshable
    [access] = found.secrets.access.values()
    assert provider.active(access.token)
    assert revoke(found.secrets, Network()) == ""
    assert not provider.active(access.token)


def test_a_provider_that_is_down_at_a_logout_is_said(provider: Provider) -> None:
    secrets = signed(provider).secrets
    provider.switch(down=["/token/revocation"])
    assert "can't answer now" in revoke(secrets, Network())
