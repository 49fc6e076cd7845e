"""What a provider's answer is worth."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from mcpwrap.core.credentials import FromLogin
from mcpwrap.identity.grants import DEFAULT_LIFE_S, LONGEST_LIFE_S, TOKEN_LIMIT, NotGranted, granted, refresh_token

NOW = 1_800_000_000.0
API, ISSUES = "https://api.example.com", "https://issues.example.com"


def jwt_of(claims: object) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'ES256'})}.{part(claims)}.c2ln"


def answer(**more: Any) -> dict[str, Any]:
    found = {"access_token": "opaque", "token_type": "Bearer", "expires_in": 600, "scope": "repo:read", **more}
    return {name: value for name, value in found.items() if value is not None}


READ = FromLogin(API, ("repo:read",))
BOTH = FromLogin(API, ("repo:read", "repo:write"))


def test_what_was_asked_for_is_taken() -> None:
    token = granted(answer(), READ, None, NOW)
    assert (token.token, token.expires_at, token.obtained_at, token.scope) == ("opaque", NOW + 600, NOW, ("repo:read",))


def test_less_than_was_asked_for_is_taken_and_recorded() -> None:
    assert granted(answer(), BOTH, None, NOW).scope == ("repo:read",)


@pytest.mark.parametrize(
    ("change", "source", "lent", "why"),
    [
        ({"scope": "repo:read admin"}, READ, None, "more than was asked for: `admin`"),
        ({"scope": "repo:read repo:write"}, READ, None, "more than was asked for: `repo:write`"),
        ({"scope": None}, READ, None, "doesn't say which scope"),
        ({"scope": 7}, READ, None, "doesn't say which scope"),
        ({"scope": ""}, READ, None, "granted nothing of `repo:read`"),
        ({"scope": "repo:read admin"}, FromLogin(API), ("repo:read",), "more than was asked for: `admin`"),
        ({"scope": None}, FromLogin(API), ("repo:read",), "doesn't say which scope"),
        ({"token_type": "DPoP"}, READ, None, "isn't a bearer token"),
        ({"token_type": "mac"}, READ, None, "isn't a bearer token"),
        ({"token_type": None}, READ, None, "isn't a bearer token"),
        ({"token_type": 1}, READ, None, "isn't a bearer token"),
        ({"access_token": None}, READ, None, "without an access token"),
        ({"access_token": ""}, READ, None, "without an access token"),
        ({"access_token": 7}, READ, None, "without an access token"),
        ({"access_token": "x" * (TOKEN_LIMIT + 1)}, READ, None, "without an access token"),
        ({"access_token": "a\r\nX-Evil: 1"}, READ, None, "without an access token"),
        ({"access_token": "a b"}, READ, None, "without an access token"),
        ({"access_token": "schlüssel"}, READ, None, "without an access token"),
        ({"expires_in": 0}, READ, None, "expired already"),
        ({"expires_in": -5}, READ, None, "expired already"),
        ({"expires_in": "soon"}, READ, None, "in seconds"),
        ({"expires_in": True}, READ, None, "in seconds"),
        ({"expires_in": None, "access_token": jwt_of({"exp": NOW - 1})}, READ, None, "expired already"),
        ({"access_token": jwt_of({"exp": "x"})}, READ, None, "in seconds"),
        ({"access_token": jwt_of({"aud": "https://other.example"})}, READ, None, "is for https://other.example, not for"),
        ({"access_token": jwt_of({"aud": ["a", "b", "c", "d"]})}, READ, None, "is for a, b, c, not for"),
        ({"access_token": jwt_of({"aud": []})}, READ, None, "is for nobody"),
        ({"access_token": jwt_of({"aud": None})}, READ, None, "is for None"),
        ({"access_token": jwt_of({"aud": API + "/"})}, READ, None, "not for"),
        ({"access_token": jwt_of({"aud": "\u202eevil"})}, READ, None, r"(?i)is for .*202e"),
        ({"scope": None, "access_token": jwt_of({"scope": "repo:read admin"})}, READ, None, "`admin`"),
        ({"scope": None, "access_token": jwt_of({"scope": ["admin"]})}, READ, None, "`admin`"),
        # the answer says less than the token
        ({"access_token": jwt_of({"scope": "repo:read admin"})}, READ, None, "more than was asked for: `admin`"),
        ({"access_token": jwt_of({"scp": ["repo:read", "admin"]})}, READ, None, "more than was asked for: `admin`"),
        ({"access_token": jwt_of({"scp": "admin"})}, FromLogin(API), ("repo:read",), "more than was asked for: `admin`"),
        ({"access_token": jwt_of({"scope": {"admin": True}})}, READ, None, "doesn't say which scope"),
        ({"scope": [10**5000]}, READ, None, "doesn't say which scope"),
        ({"access_token": jwt_of({"aud": API, "cnf": {"jkt": "x"}})}, READ, None, "is bound to a key"),
        ({"access_token": jwt_of({"aud": [API, ISSUES]})}, READ, None, f"is for `{ISSUES}` as well as for `{API}`"),
        ({"access_token": jwt_of({"aud": [[API], 7]})}, READ, None, "is for something else, something else, not for"),
        ({"expires_in": -(10**400)}, READ, None, "expired already"),
        ({"expires_in": float("inf")}, READ, None, "in seconds"),
    ],
)
def test_what_was_not_asked_for_is_refused(
    change: dict[str, Any], source: FromLogin, lent: tuple[str, ...] | None, why: str
) -> None:
    with pytest.raises(NotGranted, match=why):
        granted(answer(**change), source, lent, NOW, (API, ISSUES))


@pytest.mark.parametrize(
    ("change", "source"),
    [
        ({"access_token": jwt_of({"aud": API})}, READ),
        ({"access_token": jwt_of({"aud": ["other", API]})}, READ),
        ({"access_token": jwt_of({"sub": "ann"})}, READ),
        ({"access_token": jwt_of({"aud": "anything"})}, FromLogin("", ("repo:read",))),
        ({"access_token": jwt_of(["aud"])}, READ),
        ({"access_token": "a.b.c"}, READ),
        ({"access_token": "a.!!.c"}, READ),
        ({"token_type": "bearer"}, READ),
        ({"scope": None, "access_token": jwt_of({"scope": "repo:read"})}, READ),
        ({"scope": "repo:read repo:read"}, READ),
    ],
)
def test_what_says_nothing_else_is_taken(change: dict[str, Any], source: FromLogin) -> None:
    assert granted(answer(**change), source, None, NOW, (API, ISSUES)).scope == ("repo:read",)


def test_what_the_token_says_is_recorded_beside_what_the_answer_says() -> None:
    found = answer(access_token=jwt_of({"scope": "repo:write"}))
    assert granted(found, BOTH, None, NOW).scope == ("repo:read", "repo:write")


def test_without_a_scope_asked_for_none_has_to_be_said() -> None:
    assert granted(answer(scope=None), FromLogin(API), None, NOW).scope == ()
    assert granted(answer(scope="anything at all"), FromLogin(API), None, NOW).scope == ("anything", "at", "all")


@pytest.mark.parametrize(
    ("change", "life_s"),
    [
        ({"expires_in": "3600"}, 3600),
        ({"expires_in": 12.5}, 12.5),
        ({"expires_in": None}, DEFAULT_LIFE_S),
        ({"expires_in": 600, "access_token": jwt_of({"exp": NOW + 60})}, 60),
        ({"expires_in": 60, "access_token": jwt_of({"exp": NOW + 600})}, 60),
        ({"expires_in": 10**9}, LONGEST_LIFE_S),
        ({"expires_in": 10**400}, LONGEST_LIFE_S),
        ({"expires_in": 600, "access_token": jwt_of({"exp": 10**400})}, 600),
    ],
)
def test_a_token_is_good_for_the_least_that_is_said(change: dict[str, Any], life_s: float) -> None:
    assert granted(answer(**change), READ, None, NOW).expires_at == NOW + life_s


@pytest.mark.parametrize(
    ("new", "kept"), [("two", "two"), (None, "one"), ("", "one"), (7, "one"), ("x" * (TOKEN_LIMIT + 1), "one")]
)
def test_the_refresh_token_is_the_new_one_where_there_is_one(new: object, kept: str) -> None:
    assert refresh_token({"refresh_token": new}, "one") == kept
