"""Attacks on a sign-in: by another provider, a page in the browser, a program on this machine, the network's texts.

Each ends with nothing stored: a sign-in gives its card and secrets only at its very end.
"""

from __future__ import annotations

import hmac
import secrets
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mcpwrap.core.credentials import Network
from mcpwrap.errors import LoginError
from mcpwrap.identity import device
from mcpwrap.identity.flow import Asked, Session, sign_in
from mcpwrap.identity.http import client
from mcpwrap.identity.metadata import discover
from mcpwrap.identity.registration import Wish
from mcpwrap.secret import Secret
from tests.identity.desk import Desk
from tests.identity.honest import ACCESS, CODE, REFRESH, Honest, honest, visit
from tests.identity.providers.browser import Browser
from tests.identity.providers.oidc import Provider, running
from tests.identity.providers.scripted import Answer, say
from tests.identity.providers.tokens import CLIENT, b64, claims_of, unsigned


@pytest.fixture
def provider() -> Iterator[Honest]:
    with honest() as one:
        yield one


@pytest.fixture(scope="module")
def started() -> Iterator[Provider]:
    with running() as one:
        yield one


@pytest.fixture
def real(started: Provider) -> Provider:
    started.switch()
    return started


def refused(provider: Honest, why: str, desk: Desk | None = None, **changes: Any) -> LoginError:
    with pytest.raises(LoginError, match=why) as caught:
        provider.signs_in(desk, **changes)
    return caught.value


def test_without_an_attack_the_honest_provider_signs_ann_in(provider: Honest) -> None:
    found = provider.signs_in()
    assert (found.card.sub, found.card.email, found.secrets.refresh_token) == ("ann", "ann@acme.example", REFRESH)


# mix-up (RFC 9207 §1)


def test_a_code_of_another_issuer_is_never_sent_to_ours(provider: Honest) -> None:
    provider.answer["iss"] = "https://evil.example"
    error = refused(provider, "the answer comes from another issuer, `https://evil.example`, not from `http")
    assert "mixed up" in error.hint
    assert provider.provider.asked("/token") == []


def test_an_answer_without_an_issuer_is_refused_where_the_provider_says_that_it_names_it(provider: Honest) -> None:
    del provider.answer["iss"]
    refused(provider, "the answer doesn't name its issuer")
    assert provider.provider.asked("/token") == []
    # one that never says so is believed; but what it says is compared
    provider.provider.describes(authorization_response_iss_parameter_supported=None)
    assert provider.signs_in().card.sub == "ann"
    provider.answer["iss"] = provider.issuer + "/"
    refused(provider, "the answer comes from another issuer")


def test_an_error_of_another_issuer_isnt_shown_as_ours(provider: Honest) -> None:
    provider.answer = {"error": "access_denied", "iss": "https://evil.example"}
    refused(provider, "the answer comes from another issuer")


def test_a_real_providers_answer_with_another_issuer_is_refused(real: Provider) -> None:
    for iss, why in (("https://evil.example", "another issuer"), (None, "doesn't name its issuer")):
        real.switch(iss=iss)
        with pytest.raises(LoginError, match=why):
            sign_in(Asked("", real.issuer, wish=Wish(CLIENT)), Network(), Desk())
    assert real.state()["grants"] == {}


def test_metadata_that_names_another_issuer_opens_no_browser(real: Provider) -> None:
    real.switch(metadata={"issuer": "https://evil.example"})
    desk = Desk()
    with pytest.raises(LoginError, match=r"names another issuer: `https://evil\.example`"):
        sign_in(Asked("", real.issuer, wish=Wish(CLIENT)), Network(), desk)
    assert desk.urls == []


# downgrade of PKCE


@pytest.mark.parametrize("methods", [None, ["plain"], [], "S256"])
def test_a_provider_that_doesnt_check_s256_opens_no_browser(methods: object, provider: Honest) -> None:
    provider.provider.describes(code_challenge_methods_supported=methods)
    desk = provider.desk()
    refused(provider, "doesn't say that it checks PKCE by S256", desk)
    assert desk.urls == []


def test_a_real_provider_that_stops_saying_s256_opens_no_browser(real: Provider) -> None:
    real.switch(no_s256=True)
    with pytest.raises(LoginError, match="PKCE by S256"):
        sign_in(Asked("", real.issuer, wish=Wish(CLIENT)), Network(), Desk())


def test_the_verifier_is_sent_to_the_token_endpoint_alone(provider: Honest) -> None:
    desk = provider.desk()
    provider.signs_in(desk)
    [request] = provider.provider.asked("/token")
    form = dict(request.form)
    assert len(form["code_verifier"]) == 43
    assert form["code_verifier"] not in desk.urls[0] + desk.text
    assert form["client_id"] == CLIENT


# endpoints


@pytest.mark.parametrize("name", ["token_endpoint", "authorization_endpoint", "jwks_uri", "revocation_endpoint"])
def test_an_endpoint_that_became_plain_http_ends_it(name: str, provider: Honest) -> None:
    provider.provider.describes(**{name: "http://login.example.com/x"})
    desk = provider.desk()
    refused(provider, "`http://login.example.com/x` is not https", desk)
    assert desk.urls == []


@pytest.mark.parametrize("path", ["/token", "/jwks"])
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(b"", 307, {"Location": "https://evil.example/"}), "with a redirect, and none is followed"),
        (Answer(b"<html>", 200, {"Content-Type": "text/html"}), "no JSON object"),
        (Answer(b" " * (600 * 1024)), "more than 512 KiB"),
    ],
)
def test_hostile_answers_end_it(path: str, answer: Answer, why: str, provider: Honest) -> None:
    provider.provider.routes[path] = answer
    refused(provider, why)


# the door


def test_a_page_that_was_turned_to_our_address_brings_nothing_in(provider: Honest) -> None:
    statuses: list[int] = []

    def rebinding(url: str) -> None:
        sent = parse_qs(urlsplit(url).query)
        redirect = sent["redirect_uri"][0]
        port = urlsplit(redirect).port
        stolen = f"{redirect}?code=evil&state={sent['state'][0]}&iss={provider.issuer}"
        for host in (f"evil.example:{port}", "evil.example", f"localhost:{port}"):
            statuses.append(visit(stolen, Host=host)[0])
        provider.browser(url)

    assert provider.signs_in(Desk(rebinding)).card.sub == "ann"
    assert statuses == [421, 421, 421]
    assert dict(provider.provider.asked("/token")[0].form)["code"] == CODE


def test_a_code_that_was_put_in_with_a_guessed_state_is_waited_past(provider: Honest) -> None:
    def injecting(url: str) -> None:
        redirect = parse_qs(urlsplit(url).query)["redirect_uri"][0]
        for state in ("", "x", "A" * 43):
            assert visit(f"{redirect}?code=evil&state={state}")[0] == 400
            assert visit(f"{redirect}?error=access_denied&state={state}")[0] == 400
        provider.browser(url)

    assert provider.signs_in(Desk(injecting)).card.sub == "ann"
    assert dict(provider.provider.asked("/token")[0].form)["code"] == CODE


def test_a_stolen_code_of_another_sign_in_is_refused_by_the_provider(real: Provider) -> None:
    def inject(url: str) -> None:
        # the same request with another challenge: what somebody else's sign-in looks like
        challenge = parse_qs(urlsplit(url).query)["code_challenge"][0]
        back = Browser(does="stops").visits(url.replace(challenge, b64(b"x" * 32)))
        code = parse_qs(urlsplit(back).query)["code"][0]
        Browser(does=f"mangles:code={code}").visits(url)

    with pytest.raises(LoginError, match="invalid_grant"):
        sign_in(Asked("", real.issuer, wish=Wish(CLIENT)), Network(), Desk(inject))


def test_an_id_token_of_another_sign_in_is_refused(provider: Honest) -> None:
    provider.claims["nonce"] = "another"
    provider.provider.routes["/token"] = lambda request: say(
        {
            "access_token": ACCESS,
            "token_type": "Bearer",
            "id_token": provider.signer.sign(claims_of(provider.issuer, nonce="another")),
        }
    )
    refused(provider, "it is from another sign-in")


# texts


def test_an_error_with_escapes_is_spelled_out(provider: Honest) -> None:
    provider.answer = {"error": "x\x1b[31m", "error_description": "\x1b]0;owned\x07\u202eyour password", "iss": provider.issuer}
    error = refused(provider, "refused")
    assert str(error) == "127.0.0.1 refused: x\\u{1b}[31m: \\u{1b}]0;owned\\u{7}\\u{202e}your password"
    provider.answer = {"error": "access_denied", "error_description": "\x1b[2J", "iss": provider.issuer}
    assert "\\u{1b}[2J" in str(refused(provider, "declined"))
    provider.answer = {"code": CODE, "iss": "\x1b[2J"}
    assert "\x1b" not in str(refused(provider, "another issuer"))


@pytest.mark.parametrize(
    ("host", "reads"), [("xn--pple-43d.example", "reads as `\u0430pple.example`"), ("xn--a.example", "can't be read")]
)
def test_a_host_that_only_looks_like_one_is_said(host: str, reads: str, provider: Honest) -> None:
    provider.provider.describes(authorization_endpoint=f"https://{host}/auth")
    desk = provider.desk()
    provider.signs_in(desk)
    assert desk.shown[0].startswith(f"Look twice: the host {host} {reads}; its letters may only look like")
    provider.provider.describes(authorization_endpoint="https://login.example/auth")
    plain = provider.desk()
    provider.signs_in(plain)
    assert "Look twice" not in plain.text


# forged identity


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_forged_id_token_is_refused(algorithm: str, provider: Honest) -> None:
    public = provider.signer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def forged(request: object) -> Answer:
        token = unsigned(claims_of(provider.issuer, sub="admin", nonce=provider.nonce), algorithm)
        if algorithm == "HS256":
            token += b64(hmac.digest(public, token.rstrip(".").encode(), "sha256"))
        return say({"access_token": ACCESS, "token_type": "Bearer", "id_token": token})

    provider.provider.routes["/token"] = forged
    refused(provider, f"it is signed with `{algorithm}`")


def test_userinfo_of_somebody_else_is_refused(provider: Honest) -> None:
    provider.claims = {}
    provider.provider.routes["/me"] = say({"sub": "admin", "email": "admin@acme.example"})
    refused(provider, "speaks of somebody else")


def test_a_missing_id_token_is_refused(provider: Honest) -> None:
    provider.grants = {"id_token": None}
    refused(provider, "gave no ID token")


# the device flow


def by_device(provider: Honest, desk: Desk, **answer: Any) -> None:
    document = {
        "device_code": "canary-device-code",
        "user_code": "ABCD-EFGH",
        "verification_uri": f"{provider.issuer}/enter",
        "expires_in": 600,
        **answer,
    }
    provider.provider.routes["/device"] = say(document)
    with client(Network()) as http:
        asked = Asked("", provider.issuer, "device", wish=Wish(CLIENT))
        device.sign_in(Session(http, asked, discover(http, provider.issuer), desk), pause=lambda seconds: None)


def test_a_place_for_the_code_at_another_host_is_said_and_asked_for(provider: Honest) -> None:
    desk = Desk(says=False)
    with pytest.raises(LoginError, match="the place for the code was not accepted"):
        by_device(provider, desk, verification_uri="https://evil.example/device")
    assert desk.asked[0].startswith("The code is to be entered at evil.example, not at 127.0.0.1, where you sign in:")
    assert desk.shown == []
    assert provider.provider.asked("/token") == []
    desk = Desk(says=True)
    by_device(provider, desk, verification_uri="https://www.example/device")
    assert desk.shown == ["In any browser, go to  https://www.example/device\nand enter the code     ABCD-EFGH"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"user_code": "\x1b[2J"}, "a code that can't be shown"),
        ({"user_code": "A" * 100}, "a code that can't be shown"),
        ({"user_code": None}, "a code that can't be shown"),
        ({"device_code": "a b"}, "a code that can't be shown"),
        ({"device_code": 7}, "a code that can't be shown"),
        ({"verification_uri": "http://login.example.com/"}, "is not https"),
        ({"verification_uri": "javascript:alert(1)"}, "is no plain web address"),
    ],
)
def test_a_code_that_cant_be_shown_is_refused(answer: dict[str, object], why: str, provider: Honest) -> None:
    with pytest.raises(LoginError, match=why):
        by_device(provider, Desk(), **answer)


# what leaks


def test_no_exception_carries_a_secret_whatever_goes_wrong(provider: Honest, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    real_token = secrets.token_urlsafe

    def recorded(size: int) -> str:
        made.append(real_token(size))
        return made[-1]

    monkeypatch.setattr(secrets, "token_urlsafe", recorded)
    secret = Secret("canary-client-secret")
    wrong: list[Callable[[], None]] = [
        lambda: provider.grants.update(token_type="mac"),
        lambda: provider.grants.update(access_token=f"{ACCESS}\n"),
        lambda: provider.grants.update(refresh_token=f"{REFRESH} x"),
        lambda: provider.grants.update(id_token="x"),
        lambda: provider.claims.update(aud="other"),
        lambda: provider.provider.routes.update({"/token": say({"error": "invalid_grant"}, 400)}),
        lambda: provider.provider.routes.update({"/token": say({}, 503)}),
        lambda: provider.provider.routes.update({"/token": Answer(b"no", 200, {})}),
        lambda: provider.provider.routes.update({"/token": Answer(raw=iter([b"no\r\n\r\n"]))}),
    ]
    for break_it in wrong:
        provider.grants.clear()
        provider.claims.pop("aud", None)
        provider.provider.routes["/token"] = lambda request: provider.tokens()
        break_it()
        desk = provider.desk()
        made.clear()
        with pytest.raises(LoginError) as caught:
            provider.signs_in(desk, wish=Wish(CLIENT, secret))
        # the source lines of a traceback name no value; what counts is what exceptions say and carry
        told = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)) + desk.text
        verifier = dict(provider.provider.asked("/token")[-1].form)["code_verifier"]
        assert verifier in made
        for canary in (ACCESS, REFRESH, CODE, verifier, secret.reveal()):
            assert canary not in told
        assert verifier not in desk.urls[0]


def test_what_a_sign_in_gives_shows_nothing_when_it_is_printed(provider: Honest) -> None:
    found = provider.signs_in(wish=Wish(CLIENT, Secret("canary-client-secret")))
    [access] = found.secrets.access.values()
    for shown in (repr(found), repr(found.secrets), repr(access), f"{found.secrets}", str(found)):
        assert "canary" not in shown
