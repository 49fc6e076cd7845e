"""The parts of signing in that no honest provider shows at will."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mcpwrap.core.credentials import Network
from mcpwrap.errors import LoginError, StateError
from mcpwrap.identity import device
from mcpwrap.identity.flow import Asked, Session, SignedIn, check
from mcpwrap.identity.http import ProviderSaid, client
from mcpwrap.identity.logins import Card, LoginSecrets, LoginStore, card_path, key_of
from mcpwrap.identity.logout import cards_unread, end, revoke, wipe
from mcpwrap.identity.metadata import discover
from mcpwrap.identity.registration import Wish
from mcpwrap.identity.vault import Header, Places, create
from tests.identity.desk import Desk
from tests.identity.honest import ACCESS, REFRESH, Honest, honest
from tests.identity.providers.scripted import Answer, Request, say
from tests.identity.providers.tokens import CLIENT


@pytest.fixture
def provider() -> Iterator[Honest]:
    with honest() as one:
        yield one


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"issuer": "http://login.example.com"}, "the issuer `http://login.example.com` is not https"),
        ({"resources": ("api",)}, "`api` is no absolute URI"),
        ({"resources": ("https://a/#x",)}, "is no absolute URI"),
        ({"resources": ("https://a/ b",)}, "is no absolute URI"),
        ({"resources": ("https://ä/",)}, "is no absolute URI"),
        ({"scopes": ("a b",)}, "`a b` is no scope"),
        ({"scopes": ("",)}, "is no scope"),
        ({"scopes": ('a"',)}, "is no scope"),
        ({"scopes": tuple(map(str, range(101)))}, "at most 100"),
    ],
)
def test_what_cant_be_asked_for_is_said_first(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(LoginError, match=why):
        check(Asked("", **{"issuer": "https://login.example.com", **fields}))


def test_what_is_typed_again_has_each_option_once() -> None:
    asked = Asked("", "https://a.example", command="mcpwrap login --client-secret")
    assert asked.again("--client-secret") == "mcpwrap login --client-secret"
    by_device = Asked("", "https://a.example", "device", command="mcpwrap login")
    assert (by_device.again(), by_device.again("--device")) == ("mcpwrap login --device", "mcpwrap login --device")


def test_a_key_file_that_isnt_there_is_said_first_with_who_names_it(tmp_path: Path) -> None:
    file = tmp_path / "ci.pem"
    asked = Asked("work", "https://login.example.com", "client-credentials", Wish("ci", None, str(file)))
    with pytest.raises(LoginError, match=r"the key file `.*ci\.pem` isn't there") as caught:
        check(asked)
    assert caught.value.hint == "`key` of [profiles.work] in your config.toml names it; put the file there"
    file.touch()
    check(asked)


def test_where_nothing_can_listen_the_same_login_without_a_browser_is_named(
    provider: Honest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("mcpwrap.identity.loopback.socket.create_server", refuse)
    with pytest.raises(LoginError, match="nothing can listen") as caught:
        provider.signs_in(command="mcpwrap login work")
    assert caught.value.hint == "mcpwrap login work --device"


def test_a_provider_that_gives_no_id_tokens_signs_in_nobody_in_particular(provider: Honest) -> None:
    provider.provider.describes(jwks_uri=None, scopes_supported=None)
    provider.grants = {"id_token": None, "refresh_token": None, "scope": "a b"}
    desk = provider.desk()
    card = provider.signs_in(desk, scopes=("a",)).card
    assert (card.sub, card.refreshable, card.scopes) == ("", False, ("a", "b"))
    sent = parse_qs(urlsplit(desk.urls[0]).query)
    assert sent["scope"] == ["a"]
    assert not {"nonce", "prompt"} & set(sent)
    desk = provider.desk()
    provider.signs_in(desk)
    assert "scope" not in parse_qs(urlsplit(desk.urls[0]).query)


def test_an_authorization_endpoint_with_a_query_keeps_it(provider: Honest) -> None:
    provider.provider.describes(authorization_endpoint=f"{provider.issuer}/auth?tenant=a")
    desk = provider.desk()
    provider.signs_in(desk)
    assert desk.urls[0].startswith(f"{provider.issuer}/auth?tenant=a&response_type=code&")


def test_a_provider_without_a_sign_in_for_browsers_is_said(provider: Honest) -> None:
    provider.provider.describes(authorization_endpoint=None)
    with pytest.raises(LoginError, match="has no sign-in for browsers"):
        provider.signs_in()


def test_a_browser_that_comes_back_with_nothing_is_said(provider: Honest) -> None:
    for code in ("", None):
        provider.answer["code"] = code
        with pytest.raises(LoginError, match="sent the browser back without a code"):
            provider.signs_in()


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        ("invalid_scope", "`mcpwrap logout work` forgets earlier ones"),
        ("invalid_client", "mcpwrap login work --client-secret"),
        ("unauthorized_client", "`flow` of the profile"),
        ("unknown_thing", ""),
    ],
)
def test_a_refusal_comes_with_what_to_do(error: str, hint: str, provider: Honest) -> None:
    provider.answer = {"error": error, "iss": provider.issuer}
    asked: dict[str, Any] = {"profile": "work", "command": "mcpwrap login work"}
    with pytest.raises(ProviderSaid, match=error) as at_the_browser:
        provider.signs_in(**asked)
    provider.answer = {"code": "x", "iss": provider.issuer}
    provider.provider.routes["/token"] = say({"error": error}, 400)
    with pytest.raises(ProviderSaid, match=error) as at_the_token_endpoint:
        provider.signs_in(**asked)
    for caught in (at_the_browser, at_the_token_endpoint):
        assert hint in caught.value.hint
        assert caught.value.error == error


# the device flow


def polled(provider: Honest, answers: list[Answer], **more: Any) -> tuple[SignedIn, list[float]]:
    document = {"device_code": "d", "user_code": "ABCD", "verification_uri": f"{provider.issuer}/enter", **more}
    provider.provider.routes["/device"] = say(document)
    left = iter(answers)

    def token(request: Request) -> Answer:
        return next(left, provider.tokens())

    provider.provider.routes["/token"] = token
    pauses: list[float] = []
    with client(Network()) as http:
        asked = Asked("", provider.issuer, "device", Wish(CLIENT), resources=("https://a.example",))
        session = Session(http, asked, discover(http, provider.issuer), Desk())
        return device.sign_in(session, pause=pauses.append, clock=lambda: 0.0), pauses


def test_a_provider_that_wants_to_be_asked_less_often_is_asked_less_often(provider: Honest) -> None:
    pending, slower = say({"error": "authorization_pending"}, 400), say({"error": "slow_down"}, 400)
    found, pauses = polled(provider, [pending, slower, slower, pending, say({}, 503), say({}, 429, Retry_After="30")], interval=2)
    assert found.card.sub == "ann"
    assert pauses == [2.0, 2.0, 7.0, 12.0, 12.0, 17.0, 47.0]
    _, pauses = polled(provider, [slower] * 20, interval=50, expires_in=10**9)
    assert max(pauses) == device.LONGEST_INTERVAL_S
    for odd in ("x", True, -1, None):
        assert polled(provider, [], interval=odd)[1] == [device.INTERVAL_S]
    assert polled(provider, [], interval=0.001)[1] == [1.0]
    request = provider.provider.asked("/device")[0]
    assert ("resource", "https://a.example") in request.form


@pytest.mark.parametrize(
    ("error", "why"),
    [
        ("expired_token", "the code expired before anybody entered it"),
        ("access_denied", "the sign-in was declined"),
        ("invalid_grant", "refused: invalid_grant"),
    ],
)
def test_an_end_of_the_device_flow_is_said(error: str, why: str, provider: Honest) -> None:
    with pytest.raises(LoginError, match=why) as caught:
        polled(provider, [say({"error": error}, 400)])
    assert error == "invalid_grant" or "mcpwrap login --device" in caught.value.hint


def test_a_sign_in_that_is_interrupted_gives_nothing(provider: Honest) -> None:
    provider.provider.routes["/device"] = say({"device_code": "d", "user_code": "A", "verification_uri": f"{provider.issuer}/e"})

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    with client(Network()) as http:
        session = Session(http, Asked("", provider.issuer, "device", Wish(CLIENT)), discover(http, provider.issuer), Desk())
        with pytest.raises(KeyboardInterrupt):
            device.sign_in(session, pause=interrupt)
    assert provider.provider.asked("/token") == []


# the end


def kept(folder: Path, provider: Honest, *, profile: str = "", **secrets: Any) -> tuple[LoginStore, Card]:
    places = Places(str(folder / "state"), str(folder / "data"))
    store = LoginStore(create(places, Header("file", str(folder / "key"), "e" * 32), os.urandom(32)))
    card = Card(profile, provider.issuer, CLIENT, "browser", "ann")
    fields = {"revocation_endpoint": f"{provider.issuer}/revoke", "refresh_token": REFRESH, **secrets}
    store.put(card, LoginSecrets(provider.issuer, CLIENT, f"{provider.issuer}/token", **fields))
    return store, card


def test_a_logout_revokes_the_refresh_token_first_and_then_the_others(provider: Honest, tmp_path: Path) -> None:
    provider.provider.routes["/revoke"] = Answer(b"", 200, {})
    found = provider.signs_in()
    store, card = kept(tmp_path, provider, access=found.secrets.access)
    ended = end(store, "", provider.issuer, card.key, Network())
    assert (ended.was, ended.unrevoked) == (True, "")
    forms = [dict(request.form) for request in provider.provider.asked("/revoke")]
    assert [(form["token"], form["token_type_hint"], form["client_id"]) for form in forms] == [
        (REFRESH, "refresh_token", CLIENT),
        (ACCESS, "access_token", CLIENT),
    ]
    assert store.card(card.key) is None
    assert store.secrets(card.key) is None
    assert not end(store, "", provider.issuer, card.key, Network()).was


@pytest.mark.parametrize(
    ("route", "why"),
    [
        (say({}, 503), "can't answer now"),
        (say({"error": "invalid_client"}, 401), "refused: invalid_client"),
        (say({"error": "unsupported_token_type"}, 400), "refused: unsupported_token_type"),
        (Answer(b"", 302, {"Location": "/"}), "with a redirect"),
    ],
)
def test_a_logout_that_the_provider_doesnt_take_is_wiped_here_and_said(
    route: Answer, why: str, provider: Honest, tmp_path: Path
) -> None:
    provider.provider.routes["/revoke"] = route
    store, card = kept(tmp_path, provider)
    ended = end(store, "", provider.issuer, card.key, Network())
    assert ended.was
    assert why in ended.unrevoked
    assert REFRESH not in ended.unrevoked
    assert store.card(card.key) is None


def test_a_login_with_nothing_to_revoke_or_nowhere_to_is_no_failure_or_said(provider: Honest, tmp_path: Path) -> None:
    bare = LoginSecrets(provider.issuer, CLIENT, f"{provider.issuer}/token")
    assert revoke(bare, Network()) == ""
    nowhere = LoginSecrets(provider.issuer, CLIENT, f"{provider.issuer}/token", refresh_token=REFRESH)
    assert revoke(nowhere, Network()) == "the provider has no way to revoke tokens"
    found = provider.signs_in()
    signed = LoginSecrets(provider.issuer, CLIENT, "", revocation_endpoint=f"{provider.issuer}/revoke", access=found.secrets.access)
    provider.provider.routes["/revoke"] = say({"error": "unsupported_token_type"}, 400)
    assert revoke(signed, Network()) == ""
    keyed = LoginSecrets(
        provider.issuer,
        CLIENT,
        "",
        revocation_endpoint=f"{provider.issuer}/revoke",
        refresh_token=REFRESH,
        auth="private_key_jwt",
        key_file="/nowhere.pem",
    )
    assert "the key file `/nowhere.pem` can't be used" in revoke(keyed, Network())


def test_secrets_that_were_altered_are_wiped_too(provider: Honest, tmp_path: Path) -> None:
    store, card = kept(tmp_path, provider)
    [item] = [path for path in (tmp_path / "state/vault/items").iterdir() if path.suffix != ".lock"]
    item.write_bytes(b"{}")
    ended = end(store, "", provider.issuer, card.key, Network())
    assert ended.was
    assert "was altered" in ended.unrevoked or "can't be used" in ended.unrevoked
    assert not item.exists()


def test_without_the_vaults_key_the_files_are_found_and_taken_away(
    provider: Honest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, card = kept(tmp_path, provider, profile="work")
    places = Places(str(tmp_path / "state"), str(tmp_path / "data"))
    (tmp_path / "state/logins/odd.json").write_text("nothing")
    copy = tmp_path / "state/logins/copy.json"
    copy.write_bytes(Path(store.path(card.key)).read_bytes())
    assert [found.key for found in cards_unread(places)] == [card.key]
    assert wipe(places, card.key)
    assert not Path(card_path(places.state, card.key)).exists()
    assert list((tmp_path / "state/vault/items").glob("[0-9a-f]" * 64)) == []
    assert not wipe(places, card.key)
    assert cards_unread(Places(str(tmp_path / "nowhere"), "")) == []

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(StateError, match="can't be taken away: permission denied"):
        wipe(places, key_of("work", provider.issuer))


def test_each_flow_is_the_one_that_was_asked_for(provider: Honest) -> None:
    provider.provider.routes["/device"] = say({"error": "unauthorized_client"}, 400)
    with pytest.raises(ProviderSaid, match="unauthorized_client"):
        provider.signs_in(flow="device")
    with pytest.raises(LoginError, match="client-credentials needs"):
        provider.signs_in(flow="client-credentials", wish=Wish())
