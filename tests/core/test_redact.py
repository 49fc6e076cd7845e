from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mcpwrap.core.redact import KNOWN_KEPT, REDACTED, SHORTENED, Known, redact
from mcpwrap.secret import Secret

SECRETS = [
    "ghp_" + "a1" * 18,
    "github_pat_" + "a1" * 12,
    "glpat-" + "a1" * 10,
    "sk-" + "a1" * 10,
    "sk_live_" + "a1" * 8,
    "xoxb-" + "1" * 12,
    "AKIA" + "A1" * 8,
    "AIza" + "a1" * 16,
    "ya29." + "a1" * 10,
    "npm_" + "a1" * 18,
    "pypi-" + "a1" * 18,
    "hf_" + "a1" * 12,
    "dop_v1_" + "a1" * 20,
    "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    "eyJhbGciOiJI.eyJzdWIiOiIx.",
]


@pytest.mark.parametrize(
    "key",
    ["password", "PASSWORD", "db_passwd", "passphrase", "passcode", "pwd", "pin", "client_secret", "token", "access_token", "api_key", "API-Key",  # noqa: E501
     "apikey", "accessKey", "private.key", "signing key", "Authorization", "authorisation", "auth", "Cookie", "credentials", "bearer", "otp", "jwt",  # noqa: E501
     "sessionId", "connection_string", "dsn"],
)  # fmt: skip
@pytest.mark.parametrize("value", ["x", "", ["x"], {"a": "x"}, 1234, 1.5, Decimal("1.5")])
def test_a_value_under_a_key_that_sounds_like_a_secret_is_redacted(key: str, value: Any) -> None:
    assert redact({"deep": [{key: value}]}, whole=True) == {"deep": [{key: REDACTED}]}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("path", "a"), ("author", "ann"), ("keyboard", "de"), ("pinned", "x"), ("authority", "x"), ("password", None), ("has_password", True),  # noqa: E501
        ("maxTokens", 100), ("max_token", 1), ("token_count", 5), ("token_limit", Decimal("1.5")), ("tokens", 7), ("token_ttl", 1.5), ("n", 1),  # noqa: E501
        ("session_id_length", 3), ("min_token", 1), ("token_budget", 9), ("token_size", 4), ("token_expires_in", 60),
    ],
)  # fmt: skip
def test_any_other_value_stays(key: str, value: Any) -> None:
    assert redact({key: value}, whole=True) == {key: value}


def test_what_only_sounds_like_a_count_is_redacted_where_it_is_text() -> None:
    assert redact({"max_token": "abc", "token_limit": ["abc"]}, whole=True) == {"max_token": REDACTED, "token_limit": REDACTED}


def test_an_over_long_key_is_searched_as_well() -> None:
    key = "x" * 1000 + "password"
    assert redact({key: "a", "y" * 1000: "a"}, whole=True) == {key: REDACTED, "y" * 1000: "a"}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("whole", [True, False])
def test_a_token_of_a_known_shape_is_redacted_wherever_it_stands(secret: str, whole: bool) -> None:
    assert redact({"note": f"use {secret}, then\n({secret})"}, whole=whole) == {"note": f"use {REDACTED}, then\n({REDACTED})"}
    assert redact(secret, whole=whole) == REDACTED


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Authorization: Bearer abcdefghijkl", f"Authorization: {REDACTED}"),
        ("basic  dXNlcjpwYXNzd29yZA==", REDACTED),
        ("https://ann:secret@example.com/x", f"https://{REDACTED}@example.com/x"),
        ("https://example.com/a:b@c", "https://example.com/a:b@c"),
        ("a bearer of news", "a bearer of news"),
        ("skeleton sk-short", "skeleton sk-short"),
    ],
)
def test_credentials_in_headers_and_urls_are_redacted(text: str, redacted: str) -> None:
    assert redact(text, whole=True) == redacted


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH "])
@pytest.mark.parametrize("whole", [True, False])
def test_a_private_key_is_redacted_with_its_body(kind: str, whole: bool) -> None:
    body = "MIIEvQIBADANBgkq" * 100
    pem = f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"
    for text in (pem, pem[:-40]):
        assert "MIIE" not in redact(f"key: {text}", whole=whole)
    assert redact(f"a {pem} b", whole=True) == f"a {REDACTED} b"


def test_a_long_string_is_shortened_where_the_call_was_simply_allowed() -> None:
    text = "ab " * 1000
    assert redact({"a": [text]}, whole=True) == {"a": [text]}
    assert redact({"a": [text]}, whole=False) == {"a": [text[:SHORTENED] + "… (3000 characters)"]}
    assert redact("x" * SHORTENED, whole=False) == "x" * SHORTENED


def test_the_limit_is_256_characters() -> None:
    assert SHORTENED == 256


def test_a_token_on_the_edge_does_not_leave_its_head_behind() -> None:
    text = "x " * 120 + "ghp_" + "a1" * 18 + " rest" * 100
    assert "ghp_" not in redact(text, whole=False)


@pytest.mark.parametrize("value", [None, True, 0, 1.5, Decimal("0.1"), "", "short", [], {}, [[{}]]])
def test_what_holds_no_text_stays(value: Any) -> None:
    assert redact(value, whole=False) == value


def test_what_was_given_is_not_changed() -> None:
    value = {"password": "x", "a": ["b" * 300]}
    redact(value, whole=False)
    assert value == {"password": "x", "a": ["b" * 300]}


@pytest.mark.parametrize(
    "text",
    ["eyJ" * 300_000, "-----BEGIN " * 100_000, "-----BEGIN PRIVATE KEY-----" * 40_000, "://a:" * 200_000, "bearer " * 150_000,
     "eyJaaaaaaaa." * 80_000, "eyJaaaaaaaaaa.aaaa" * 50_000, "sk-" * 300_000],
)  # fmt: skip
def test_no_text_makes_redaction_slow(text: str) -> None:
    """A megabyte each; a search from every place to the end would take minutes, and the test's deadline would say so."""
    redact(text, whole=True)


def test_what_was_delivered_is_redacted_by_its_value_under_any_key_and_inside_of_anything() -> None:
    known = Known([Secret("s3cret-value"), Secret("s3cret-value-and-more"), Secret("7 chars")])
    value = {"a": "x s3cret-value y", "b": ["s3cret-value-and-more"], "s3cret-value": 1, "c": "7 chars", "d": 12345678}
    expected = {"a": "x [redacted] y", "b": [REDACTED], "[redacted]": 1, "c": "7 chars", "d": 12345678}
    assert redact(value, whole=True, known=known) == expected
    assert redact(value, whole=True) == value
    assert repr(known) == "Known(2)"


def test_a_secret_on_the_edge_of_what_is_kept_leaves_no_head_behind() -> None:
    long = "s3cret" + "x" * 1000
    for before in (0, 200, SHORTENED - 8, SHORTENED - 4, SHORTENED, 500):
        shown = redact("y" * before + long, whole=False, known=Known([Secret(long)]))
        assert "s3cret" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tell s3cret-v", "tell [redacted]"),
        ("s3cret-v", REDACTED),
        ("tell s3cret-", "tell s3cret-"),
        ("s3cret-v but no more", "s3cret-v but no more"),
        ("s3cret-v s3cret-va", "s3cret-v [redacted]"),
        ("short", "short"),
    ],
)
def test_the_beginning_of_a_secret_is_redacted_where_a_text_ends_in_it(text: str, shown: str) -> None:
    assert Known([Secret("s3cret-value-of-mine")]).redacted(text) == shown


def test_as_many_secrets_as_are_kept_are_known_and_the_newest_of_them() -> None:
    secrets = [Secret(f"secret-number-{number:03}") for number in range(KNOWN_KEPT + 1)]
    known = Known()
    for secret in secrets:
        known = known.and_before([secret])
    assert known.redacted("secret-number-000") == "secret-number-000"
    for secret in secrets[1:]:
        assert known.redacted(f"a {secret.reveal()}") == "a [redacted]"
    assert known.and_before([secrets[-1]]).redacted(secrets[1].reveal()) == REDACTED
