"""What a server gets, and why not: secrets, minted tokens, and those of a real provider."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mcpwrap.core.credentials import Bearer, Failed, FromSecret, Issued, Minted, Network, Profile, Wanted
from mcpwrap.errors import StateError, VaultError
from mcpwrap.files import Locked
from mcpwrap.identity import broker, grants, http, locks, renewal
from mcpwrap.identity.http import ProviderDown
from mcpwrap.identity.logins import AccessToken, LoginStore, access_key
from mcpwrap.identity.secrets import SecretStore
from mcpwrap.identity.signing import issuer_of, jwks
from mcpwrap.identity.tokens import audience, local_subject, verify
from mcpwrap.identity.vault import Vault
from mcpwrap.secret import Secret
from tests.identity.installation import bearer, claims_of, keep, sign_in, wanted
from tests.identity.providers.oidc import API, ISSUES, Provider
from tests.identity.providers.scripted import Answer, scripted

ADDRESS = "http://127.0.0.1:9"
"""Where nobody listens."""


class Clock:
    """A clock that goes where a test puts it."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ann(vault: Vault, provider: Provider) -> str:
    """The key of a login."""
    return sign_in(vault, provider)


@pytest.fixture
def refreshes(provider: Provider) -> Callable[[], int]:
    """How many good refreshes there were since the test began."""
    before = provider.state()["refreshes"]
    return lambda: provider.state()["refreshes"] - before


def issue(
    vault: Vault, who: Bearer | str, *asked: Wanted, now: Callable[[], float] = time.time, lends: Profile | None = None
) -> list[Issued | Failed]:
    return broker.issue(vault, bearer(who) if isinstance(who, str) else who, asked, Network(), now, lends)


def issued(result: Issued | Failed) -> str:
    assert isinstance(result, Issued), result
    return result.value.reveal()


def failed(result: Issued | Failed) -> Failed:
    assert isinstance(result, Failed), result
    return result


# secrets and minted tokens


def test_a_secret_goes_to_the_project_and_server_that_it_was_set_for(vault: Vault) -> None:
    SecretStore(vault).set("/src/shop", "issues", "KEY", Secret("s3cret"))
    asked = Wanted("SIGNING_KEY", FromSecret("KEY"))
    assert issue(vault, "", asked) == [Issued("SIGNING_KEY", Secret("s3cret"))]
    for other in (bearer(server="files"), bearer(project="other")):
        assert failed(issue(vault, other, asked)[0]).hint == f"mcpwrap secret set {other.server} KEY"


def test_a_minted_token_speaks_for_the_systems_user(vault: Vault) -> None:
    result = issue(vault, "", Wanted("AGENT_TOKEN", Minted(("a",), 100)))[0]
    token = issued(result)
    claims = verify(token, jwks(vault, time.time()), audience("shop", "issues"), issuer_of(vault), time.time())
    assert (claims["sub"], claims["idp"]) == (local_subject().sub, "local")
    assert isinstance(result, Issued)
    assert result.expires_at == claims["exp"]
    assert result.renew_at is not None
    assert claims["iat"] + 79 < result.renew_at <= claims["iat"] + 81


def test_a_minted_token_speaks_for_who_is_signed_in(vault: Vault) -> None:
    key = keep(vault, ADDRESS, "refresh")
    claims = claims_of(issued(issue(vault, key, Wanted("AGENT_TOKEN", Minted()))[0]))
    assert (claims["sub"], claims["idp"], claims["email"], claims["groups"]) == (
        "ann",
        ADDRESS,
        "ann@acme.example",
        ["developers"],
    )


def test_a_minted_token_of_a_login_that_was_taken_back_is_refused(vault: Vault) -> None:
    key = keep(vault, ADDRESS, "refresh")
    LoginStore(vault).remove(key)
    found = failed(issue(vault, key, Wanted("AGENT_TOKEN", Minted()))[0])
    assert (found.why, found.hint) == (f"nobody is signed in at `{ADDRESS}`", "mcpwrap login acme")
    assert found.retry_s is None


def test_a_minted_token_with_a_life_that_is_out_of_bounds_is_refused(vault: Vault) -> None:
    assert "5 to 300 s" in failed(issue(vault, "", Wanted("AGENT_TOKEN", Minted(ttl_s=3600)))[0]).why


# the provider's tokens


def test_two_resources_get_a_token_each_from_one_login_and_share_it(vault: Vault, ann: str, refreshes: Callable[[], int]) -> None:
    asked = (wanted("A", API), Wanted("M", Minted()), wanted("B", ISSUES))
    first = issue(vault, ann, *asked)
    assert [each.name for each in first] == ["A", "M", "B"]
    assert claims_of(issued(first[0]))["aud"] == API
    assert claims_of(issued(first[2]))["aud"] == ISSUES
    again = issue(vault, bearer(ann, server="files"), *asked)
    assert [again[0], again[2]] == [first[0], first[2]]
    assert refreshes() == 2


def test_a_scope_is_narrowed_and_a_token_of_another_scope_is_another_token(
    vault: Vault, ann: str, refreshes: Callable[[], int]
) -> None:
    read, both = wanted("R", API, "repo:read"), wanted("W", API, "repo:read", "repo:write")
    results = issue(vault, ann, read, both)
    assert [claims_of(issued(each))["scope"] for each in results] == ["repo:read", "repo:read repo:write"]
    assert refreshes() == 2
    # the order in which a policy names them is nothing
    assert issued(issue(vault, ann, wanted("W", API, "repo:write", "repo:read"))[0]) == issued(results[1])
    assert refreshes() == 2


def test_a_token_is_renewed_at_80_percent_of_its_life(vault: Vault, ann: str, clock: Clock, refreshes: Callable[[], int]) -> None:
    first = issue(vault, ann, wanted(), now=clock)[0]
    assert isinstance(first, Issued)
    assert first.renew_at is not None
    assert first.expires_at is not None
    clock.ahead_s = 235
    assert issue(vault, ann, wanted(), now=clock) == [first]
    clock.ahead_s = 245
    assert issued(issue(vault, ann, wanted(), now=clock)[0]) != issued(first)
    assert refreshes() == 2
    assert first.renew_at == pytest.approx(first.expires_at - 60, abs=2)


def test_a_token_of_the_future_is_not_believed_after_the_clock_was_put_back(
    vault: Vault, ann: str, clock: Clock, refreshes: Callable[[], int]
) -> None:
    issue(vault, ann, wanted())
    clock.ahead_s = -3600
    results = issue(vault, ann, wanted(), now=clock)
    assert refreshes() == 2
    assert isinstance(results[0], Issued)


def test_what_the_login_was_not_made_for_is_refused_and_costs_nothing_else(vault: Vault, ann: str, provider: Provider) -> None:
    # this provider takes the refresh token back before it finds out that it doesn't know the resource
    asked = provider.state()["requests"]["/token"]
    unknown, admin, good = issue(vault, ann, wanted("A", "https://unknown.example"), wanted("B", API, "admin"), wanted())
    assert "was not made for the resource `https://unknown.example`" in failed(unknown).why
    assert failed(unknown).hint == "mcpwrap login acme --resource https://unknown.example"
    assert "was not given the scope `admin`" in failed(admin).why
    assert failed(admin).hint == "mcpwrap login acme --scope admin"
    assert failed(unknown).retry_s is failed(admin).retry_s is None
    assert provider.state()["requests"]["/token"] == asked + 1
    assert claims_of(issued(good))["aud"] == API
    card = LoginStore(vault).card(ann)
    assert card is not None
    assert card.ended == ""


def lending(issuer: str, **more: Any) -> Profile:
    return Profile("acme", issuer, **more)


def test_what_the_profile_does_not_lend_is_not_asked_for(
    vault: Vault, ann: str, provider: Provider, refreshes: Callable[[], int]
) -> None:
    lends = lending(provider.issuer, resources=(ISSUES,), scopes=("issues:read",))
    results = issue(vault, ann, wanted("A", API), wanted("B", ISSUES, "admin"), wanted("C", ISSUES), lends=lends)
    assert failed(results[0]).why == f"the profile `acme` doesn't lend {API}"
    assert failed(results[1]).why == "the profile `acme` doesn't lend the scope admin"
    assert failed(results[0]).retry_s is None
    assert "config.toml" in failed(results[0]).hint
    assert claims_of(issued(results[2]))["scope"] == "issues:read"
    assert refreshes() == 1


def test_a_token_with_more_than_the_profile_lends_is_refused_also_where_it_lies_in_the_vault(
    vault: Vault, ann: str, provider: Provider
) -> None:
    assert issued(issue(vault, ann, wanted())[0])
    found = failed(issue(vault, ann, wanted(), lends=lending(provider.issuer, scopes=("repo:read",)))[0])
    assert "granted more than was asked for: `repo:write`" in found.why
    # what was refused isn't kept, and the login is still good
    assert claims_of(issued(issue(vault, ann, wanted("A", API, "repo:read"))[0]))["scope"] == "repo:read"


def test_a_login_of_another_issuer_than_the_profiles_is_refused(vault: Vault, ann: str) -> None:
    found = failed(issue(vault, ann, wanted(), lends=lending("https://other.example"))[0])
    assert found.hint == "mcpwrap login acme"
    assert "https://other.example" in found.why


def test_a_login_of_another_profile_is_refused(vault: Vault) -> None:
    key = keep(vault, ADDRESS, "refresh")
    lends = Profile("customers", ADDRESS)
    assert failed(issue(vault, key, wanted(), lends=lends)[0]).hint == "mcpwrap login customers"


@pytest.mark.parametrize(("profile", "hint"), [("acme", "mcpwrap login acme"), ("", f"mcpwrap login --issuer {ADDRESS}")])
def test_without_a_login_the_remedy_is_named(vault: Vault, profile: str, hint: str) -> None:
    key = keep(vault, ADDRESS, "refresh", profile=profile)
    LoginStore(vault).remove(key)
    for asked in (wanted(), Wanted("M", Minted())):
        found = failed(issue(vault, key, asked)[0])
        assert (found.why, found.hint, found.retry_s) == (f"nobody is signed in at `{ADDRESS}`", hint, None)


def test_the_local_login_has_no_tokens_of_a_provider(vault: Vault) -> None:
    found = failed(issue(vault, "", wanted())[0])
    assert "local one" in found.why
    assert "[login]" in found.hint


def test_a_login_without_its_secrets_is_none(vault: Vault) -> None:
    key = keep(vault, ADDRESS, "refresh")
    vault.remove(LoginStore(vault).item(key))
    assert failed(issue(vault, key, wanted())[0]).hint == "mcpwrap login acme"


def test_secrets_of_another_issuer_are_not_used(vault: Vault) -> None:
    key = keep(vault, ADDRESS, "refresh")
    LoginStore(vault).amend(key, lambda secrets: msgspec.structs.replace(secrets, issuer="https://other.example"))
    assert "is another's" in failed(issue(vault, key, wanted())[0]).why


def test_a_login_without_a_refresh_token_cannot_be_renewed(vault: Vault) -> None:
    key = keep(vault, ADDRESS, "")
    found = failed(issue(vault, key, wanted())[0])
    assert "gave no refresh token" in found.why
    assert found.hint == "mcpwrap login acme"
    assert found.retry_s is None


def test_a_vault_that_was_tampered_with_is_told_for_each_credential(vault: Vault) -> None:
    key = keep(vault, ADDRESS, "refresh")
    path = Path(vault.path(LoginStore(vault).item(key)))
    path.write_bytes(path.read_bytes().replace(b'"nonce":"', b'"nonce":"AAAA', 1))
    results = issue(vault, key, wanted("A"), wanted("B"), Wanted("M", FromSecret("KEY")))
    assert [failed(each).retry_s for each in results] == [None] * 3
    assert "altered" in failed(results[1]).why


# the provider ends it, is down, or says something else


def test_a_refresh_token_that_the_provider_does_not_take_ends_the_login(vault: Vault, provider: Provider) -> None:
    key = keep(vault, provider.issuer, "never-given")
    found = failed(issue(vault, key, wanted())[0])
    assert found.why.startswith(f"the login at `{provider.issuer}` has ended")
    assert (found.hint, found.retry_s) == ("mcpwrap login acme", None)
    card = LoginStore(vault).card(key)
    assert card is not None
    assert card.ended
    # ... for tokens that are still good too, and nobody asks again
    keep_token(vault, key, time.time() + 300)
    before = provider.state()["requests"]["/token"]
    assert "has ended" in failed(issue(vault, key, wanted())[0]).why
    assert provider.state()["requests"]["/token"] == before


def keep_token(vault: Vault, key: str, expires_at: float, obtained_at: float | None = None) -> None:
    token = AccessToken("kept", expires_at, time.time() if obtained_at is None else obtained_at, ("repo:read",))
    LoginStore(vault).amend(
        key, lambda secrets: msgspec.structs.replace(secrets, access={access_key(API, ()): token, **secrets.access})
    )


@pytest.fixture
def old(vault: Vault, ann: str) -> str:
    """A login whose token is past 80 % of its life, and good for a minute more."""
    keep_token(vault, ann, time.time() + 60, time.time() - 600)
    return ann


def test_a_provider_that_is_down_is_left_alone_and_a_good_token_is_used_on(vault: Vault, old: str, provider: Provider) -> None:
    provider.switch(down=["/token"])
    before = provider.state()["requests"]["/token"]
    result = issue(vault, old, wanted())[0]
    assert issued(result) == "kept"
    assert isinstance(result, Issued)
    assert result.renew_at is not None
    assert time.time() < result.renew_at <= time.time() + 2
    # who comes next doesn't ask again before it is time
    assert issued(issue(vault, old, wanted())[0]) == "kept"
    assert provider.state()["requests"]["/token"] == before + 1


def test_a_provider_that_is_down_costs_nothing_but_time(vault: Vault, ann: str, provider: Provider, clock: Clock) -> None:
    provider.switch(down=["/token"])
    waits = []
    for _ in range(9):
        found = failed(issue(vault, ann, wanted(), now=clock)[0])
        assert "can't answer now" in found.why
        assert found.retry_s is not None
        waits.append(found.retry_s)
        clock.ahead_s += found.retry_s + 0.01
    # twice as long each time, three quarters of it at least, and a minute at most
    assert all(0.75 * min(2.0 ** (n + 1), 60) <= wait_s <= min(2.0 ** (n + 1), 60) for n, wait_s in enumerate(waits))
    provider.switch()
    assert isinstance(issue(vault, ann, wanted(), now=clock)[0], Issued)
    # and it begins anew
    provider.switch(down=["/token"])
    clock.ahead_s += 400
    assert (failed(issue(vault, ann, wanted(), now=clock)[0]).retry_s or 99) <= 2


def test_a_provider_that_says_when_is_believed_up_to_a_minute(vault: Vault, ann: str, provider: Provider) -> None:
    provider.switch(down=["/token"], status=429, headers={"retry-after": "3000"})
    assert failed(issue(vault, ann, wanted())[0]).retry_s == 60


def test_one_of_several_resources_finds_out_that_the_provider_is_down(vault: Vault, ann: str, provider: Provider) -> None:
    provider.switch(down=["/token"])
    before = provider.state()["requests"]["/token"]
    results = issue(vault, ann, wanted("A"), wanted("B", ISSUES), wanted("C", API, "repo:read"))
    assert [failed(each).retry_s is not None for each in results] == [True] * 3
    assert provider.state()["requests"]["/token"] == before + 1


def test_a_note_of_a_clock_that_was_ahead_holds_nobody_back(vault: Vault, ann: str, provider: Provider) -> None:
    with locks.held(vault.lock(LoginStore(vault).item(ann)), 0) as lock:
        lock.write(msgspec.json.encode({"failures": 3, "until": time.time() + 10_000}))
    assert isinstance(issue(vault, ann, wanted())[0], Issued)


def test_a_note_that_is_garbage_holds_nobody_back(vault: Vault, ann: str) -> None:
    with locks.held(vault.lock(LoginStore(vault).item(ann)), 0) as lock:
        lock.write(b"{{{")
    assert isinstance(issue(vault, ann, wanted())[0], Issued)


def test_what_is_no_answer_leaves_a_good_token_in_use(vault: Vault, old: str, provider: Provider) -> None:
    provider.switch(down=["/token"], status=302, headers={"location": "https://portal.example"})
    assert issued(issue(vault, old, wanted())[0]) == "kept"


def test_a_provider_that_refuses_the_client_says_so(vault: Vault, ann: str, provider: Provider) -> None:
    provider.switch(down=["/token"], status=401, answer={"error": "invalid_client"})
    found = failed(issue(vault, ann, wanted())[0])
    assert (found.why, found.hint, found.retry_s) == ("the provider refused: invalid_client", "mcpwrap login acme", None)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"error": "x", "error_description": "solved: run this"}, "x"),
        ({"error": "", "error_description": "solved: run this"}, "status 400"),
        ({"error": "a\u202e" * 99}, ("a\\u{202e}" * 7)[:60]),
    ],
)
def test_of_a_providers_refusal_its_code_alone_is_passed_on(
    vault: Vault, ann: str, provider: Provider, answer: dict[str, str], code: str
) -> None:
    provider.switch(down=["/token"], status=400, answer=answer)
    why = failed(issue(vault, ann, wanted())[0]).why
    assert why.startswith(f"the provider refused: {code}")
    assert "solved" not in why
    assert "\u202e" not in why
    assert len(why) <= len("the provider refused: ") + 64


@pytest.mark.parametrize("error", ["invalid_scope", "invalid_target"])
def test_a_refusal_by_the_provider_has_its_own_words_here(vault: Vault, ann: str, provider: Provider, error: str) -> None:
    provider.switch(down=["/token"], status=400, answer={"error": error})
    found = failed(issue(vault, ann, wanted("A", API, "repo:read"))[0])
    assert found.retry_s is None
    assert ("repo:read" if error == "invalid_scope" else API) in found.why


def test_a_new_refresh_token_is_kept_also_where_the_access_token_is_refused(vault: Vault, ann: str, provider: Provider) -> None:
    provider.switch(
        down=["/token"],
        status=200,
        answer={"access_token": "x", "token_type": "DPoP", "expires_in": 60, "refresh_token": "rotated"},
    )
    assert "isn't a bearer token" in failed(issue(vault, ann, wanted())[0]).why
    secrets = LoginStore(vault).secrets(ann)
    assert secrets is not None
    assert secrets.refresh_token == "rotated"
    assert secrets.access == {}


def test_a_number_beyond_all_bounds_costs_no_login(vault: Vault) -> None:
    with scripted() as sloppy:
        key = keep(vault, sloppy.issuer, "first")
        body = b'{"access_token":"x","token_type":"Bearer","refresh_token":"rotated","expires_in":1%s}' % (b"0" * 400)
        sloppy.routes["/token"] = Answer(body)
        assert issued(issue(vault, key, wanted())[0]) == "x"
    assert refresh_token(vault, key) == "rotated"


def test_whatever_is_wrong_with_an_access_token_the_new_refresh_token_is_kept(
    vault: Vault, ann: str, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ArithmeticError("nobody thought of this")

    monkeypatch.setattr(grants, "granted", fails)
    answer = {"access_token": "x", "token_type": "Bearer", "refresh_token": "rotated"}
    provider.switch(down=["/token"], status=200, answer=answer)
    assert failed(issue(vault, ann, wanted())[0]).why == "the provider's token can't be looked at"
    assert refresh_token(vault, ann) == "rotated"


@pytest.mark.parametrize(("times", "kept"), [(4, "rotated"), (5, None)])
def test_a_vault_that_is_locked_for_a_while_costs_no_login(
    vault: Vault, ann: str, provider: Provider, monkeypatch: pytest.MonkeyPatch, times: int, kept: str | None
) -> None:
    amend, calls = LoginStore.amend, 0

    def sometimes(store: LoginStore, key: str, change: Any) -> None:
        nonlocal calls
        calls += 1
        if 1 < calls <= 1 + times:  # (the first finds out whether anything can be stored)
            raise Locked("it is locked by another program")
        amend(store, key, change)

    monkeypatch.setattr(LoginStore, "amend", sometimes)
    before = refresh_token(vault, ann)
    answer = {"access_token": "x", "token_type": "Bearer", "refresh_token": "rotated"}
    provider.switch(down=["/token"], status=200, answer=answer)
    found = issue(vault, ann, wanted())[0]
    assert refresh_token(vault, ann) == (kept or before)
    if kept is None:
        assert failed(found).why == "it is locked by another program"
    else:
        assert issued(found) == "x"


def test_a_token_that_is_good_at_another_of_the_logins_resources_is_refused(vault: Vault, ann: str, provider: Provider) -> None:
    claims = base64.urlsafe_b64encode(msgspec.json.encode({"aud": [API, ISSUES]})).rstrip(b"=").decode()
    answer = {"access_token": f"e30.{claims}.c2ln", "token_type": "Bearer", "expires_in": 60}
    provider.switch(down=["/token"], status=200, answer=answer)
    assert f"is for `{ISSUES}` as well" in failed(issue(vault, ann, wanted())[0]).why


def refresh_token(vault: Vault, key: str) -> str:
    secrets = LoginStore(vault).secrets(key)
    assert secrets is not None
    return secrets.refresh_token


def test_access_tokens_that_expired_are_not_kept(vault: Vault, ann: str) -> None:
    keep_token(vault, ann, time.time() - 1, time.time() - 600)
    issue(vault, ann, wanted("A", ISSUES))
    secrets = LoginStore(vault).secrets(ann)
    assert secrets is not None
    assert list(secrets.access) == [access_key(ISSUES, ())]


def test_no_more_access_tokens_are_kept_than_a_policy_needs(vault: Vault, ann: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "KEPT", 1)
    issue(vault, ann, wanted("A", ISSUES), wanted("B", API))
    secrets = LoginStore(vault).secrets(ann)
    assert secrets is not None
    assert list(secrets.access) == [access_key(API, ())]


def test_client_credentials_ask_anew(vault: Vault, provider: Provider) -> None:
    key = keep(vault, provider.issuer, "")
    store = LoginStore(vault)
    card = store.card(key)
    assert card is not None
    store.put_card(msgspec.structs.replace(card, flow="client-credentials"))
    answer = {"access_token": "fresh", "token_type": "Bearer", "expires_in": 60, "scope": "repo:read"}
    provider.switch(down=["/token"], status=200, answer=answer)
    assert issued(issue(vault, key, wanted("A", API, "repo:read"))[0]) == "fresh"
    provider.switch(down=["/token"], status=400, answer={"error": "invalid_grant"})
    assert issued(issue(vault, key, wanted("A", API, "repo:read"))[0]) == "fresh"
    # there is no refresh token that could have ended
    assert "invalid_grant" in failed(issue(vault, key, wanted("A", "https://any.example", "any"))[0]).why
    card = store.card(key)
    assert card is not None
    assert card.ended == ""


# what happens meanwhile


class Meanwhile:
    """Does something between the provider's answer and what is made of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, do: Callable[[], object]) -> None:
        real = http.post_form

        def posted(*args: Any, **kwargs: Any) -> dict[str, Any]:
            self._monkeypatch.setattr(renewal, "post_form", real)
            try:
                return real(*args, **kwargs)
            finally:
                do()

        self._monkeypatch.setattr(renewal, "post_form", posted)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    return Meanwhile(monkeypatch)


def test_a_login_that_is_taken_back_while_it_is_renewed_stays_away_and_its_new_tokens_are_revoked(
    vault: Vault, ann: str, provider: Provider, meanwhile: Meanwhile
) -> None:
    store = LoginStore(vault)
    revocations = provider.state()["revocations"]
    meanwhile(lambda: store.remove(ann))
    assert failed(issue(vault, ann, wanted())[0]).hint == "mcpwrap login acme"
    assert store.card(ann) is None
    assert store.secrets(ann) is None
    assert provider.state()["revocations"] == revocations + 1


def test_a_login_that_is_made_anew_while_the_old_one_is_renewed_is_not_overwritten(
    vault: Vault, ann: str, provider: Provider, meanwhile: Meanwhile
) -> None:
    revocations = provider.state()["revocations"]
    meanwhile(lambda: keep(vault, provider.issuer, "newer"))
    found = failed(issue(vault, ann, wanted())[0])
    assert found.retry_s is not None
    assert found.retry_s <= 1
    secrets = LoginStore(vault).secrets(ann)
    assert secrets is not None
    assert (secrets.refresh_token, secrets.access) == ("newer", {})
    assert provider.state()["revocations"] == revocations + 1


def test_what_was_discarded_is_not_revoked_where_the_provider_cannot(
    vault: Vault, ann: str, provider: Provider, meanwhile: Meanwhile
) -> None:
    store = LoginStore(vault)
    revocations = provider.state()["revocations"]
    store.amend(ann, lambda secrets: msgspec.structs.replace(secrets, revocation_endpoint=""))
    meanwhile(lambda: store.remove(ann))
    assert failed(issue(vault, ann, wanted())[0]).hint == "mcpwrap login acme"
    assert provider.state()["revocations"] == revocations


def test_a_login_that_is_made_anew_is_not_ended_by_what_the_old_one_is_told(
    vault: Vault, provider: Provider, meanwhile: Meanwhile
) -> None:
    key = keep(vault, provider.issuer, "older")
    meanwhile(lambda: keep(vault, provider.issuer, "newer"))
    assert "signed in anew" in failed(issue(vault, key, wanted())[0]).why
    card = LoginStore(vault).card(key)
    assert card is not None
    assert card.ended == ""


def test_a_login_that_is_taken_back_is_not_brought_back_by_its_end(vault: Vault, provider: Provider, meanwhile: Meanwhile) -> None:
    store = LoginStore(vault)
    key = keep(vault, provider.issuer, "older")
    meanwhile(lambda: store.remove(key))
    assert failed(issue(vault, key, wanted())[0]).hint == "mcpwrap login acme"
    assert store.card(key) is None


def test_a_login_that_is_taken_back_after_the_storing_gives_nothing(
    vault: Vault, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LoginStore(vault)
    real = renewal.Renewal.tokens

    def tokens(self: renewal.Renewal, sources: Any) -> Any:
        found = real(self, sources)
        store.remove(ann)
        return found

    monkeypatch.setattr(renewal.Renewal, "tokens", tokens)
    assert failed(issue(vault, ann, wanted())[0]).hint == "mcpwrap login acme"


def test_who_lost_the_race_takes_what_the_winner_got(
    vault: Vault, ann: str, monkeypatch: pytest.MonkeyPatch, refreshes: Callable[[], int]
) -> None:
    real = locks.held
    first: list[Issued | Failed] = []

    def after_the_winner(path: str, wait_s: float) -> Any:
        monkeypatch.setattr(renewal, "held", real)
        first.extend(issue(vault, ann, wanted()))
        return real(path, wait_s)

    monkeypatch.setattr(renewal, "held", after_the_winner)
    assert issue(vault, ann, wanted()) == first
    assert refreshes() == 1


def test_a_login_that_is_taken_back_while_the_lock_is_waited_for_gives_nothing(
    vault: Vault, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = locks.held

    def after_logout(path: str, wait_s: float) -> Any:
        LoginStore(vault).remove(ann)
        return real(path, wait_s)

    monkeypatch.setattr(renewal, "held", after_logout)
    assert failed(issue(vault, ann, wanted())[0]).hint == "mcpwrap login acme"


def test_a_lock_that_is_held_for_too_long_is_not_waited_for(
    vault: Vault, ann: str, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "LOCK_S", 0.0)
    with locks.held(vault.lock(LoginStore(vault).item(ann)), 0):
        good, missing = issue(vault, ann, wanted("A", API), wanted("B", ISSUES))
    assert issued(good) == "kept"
    assert failed(missing).retry_s is not None


def test_who_waited_in_vain_takes_what_there_is_by_then(
    vault: Vault, ann: str, monkeypatch: pytest.MonkeyPatch, refreshes: Callable[[], int]
) -> None:
    first: list[Issued | Failed] = []

    def in_vain(path: str, wait_s: float) -> Any:
        monkeypatch.setattr(renewal, "held", locks.held)
        first.extend(issue(vault, ann, wanted()))
        raise locks.Busy("somebody else is at it")

    monkeypatch.setattr(renewal, "held", in_vain)
    assert issue(vault, ann, wanted()) == first
    assert refreshes() == 1


def test_what_cannot_be_stored_is_not_asked_for(
    vault: Vault, old: str, monkeypatch: pytest.MonkeyPatch, refreshes: Callable[[], int]
) -> None:
    def full(self: LoginStore, key: str, change: object) -> None:
        raise StateError("no space left on device")

    monkeypatch.setattr(LoginStore, "amend", full)
    good, missing = issue(vault, old, wanted("A", API), wanted("B", ISSUES))
    assert issued(good) == "kept"
    assert "no space" in failed(missing).why
    assert failed(missing).retry_s is not None
    assert refreshes() == 0


def test_a_login_that_goes_before_the_provider_is_asked_is_gone(
    vault: Vault, ann: str, monkeypatch: pytest.MonkeyPatch, refreshes: Callable[[], int]
) -> None:
    real = LoginStore.amend

    def late(self: LoginStore, key: str, change: Any) -> None:
        self.remove(key)
        real(self, key, change)

    monkeypatch.setattr(LoginStore, "amend", late)
    assert failed(issue(vault, ann, wanted())[0]).hint == "mcpwrap login acme"
    assert refreshes() == 0


def test_a_disk_that_is_full_after_the_answer_is_told(vault: Vault, ann: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = LoginStore.amend
    calls = []

    def second(self: LoginStore, key: str, change: Any) -> None:
        calls.append(key)
        if len(calls) == 2:
            raise StateError("no space left on device")
        real(self, key, change)

    monkeypatch.setattr(LoginStore, "amend", second)
    found = failed(issue(vault, ann, wanted())[0])
    assert ("no space" in found.why, found.retry_s) == (True, broker.STORE_RETRY_S)


def test_nothing_more_is_asked_once_nobody_waits(
    vault: Vault, ann: str, monkeypatch: pytest.MonkeyPatch, refreshes: Callable[[], int]
) -> None:
    monkeypatch.setattr(renewal, "ASKING_S", -1.0)
    assert failed(issue(vault, ann, wanted())[0]).why == "the provider is too slow"
    assert refreshes() == 0


def test_a_network_that_cannot_be_used_is_told(vault: Vault, ann: str) -> None:
    network = Network(ca="/nowhere/ca.pem")
    found = failed(broker.issue(vault, bearer(ann), [wanted()], network, time.time, None)[0])
    assert "/nowhere/ca.pem" in found.why


def test_a_token_without_a_resource_and_a_scope_is_what_the_provider_gives(vault: Vault, ann: str) -> None:
    token = issued(issue(vault, ann, wanted("A", ""))[0])
    assert token.count(".") == 0
    assert repr(renewal.Usable(AccessToken(token, 0, 0), 0)) == "Usable(…)"


def test_where_nothing_is_lent_nothing_is_asked(vault: Vault, ann: str, provider: Provider) -> None:
    found = issue(vault, ann, wanted(), lends=lending(provider.issuer, resources=()))
    assert "doesn't lend" in failed(found[0]).why


def test_nothing_that_is_asked_for_is_nothing(vault: Vault) -> None:
    assert issue(vault, "") == []


def test_errors_say_whether_they_pass() -> None:
    asked = wanted()
    assert broker._failed(asked, VaultError("x")).retry_s is None
    assert broker._failed(asked, StateError("x")).retry_s == broker.STORE_RETRY_S
    assert broker._failed(asked, ProviderDown("x")).hint == "mcpwrap status"
    assert grants.NotGranted("x").exit_code == 1
