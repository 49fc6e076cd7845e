"""Whatever a provider, a worker, a server or a forger sends is taken for what it is, or refused: nothing else is raised."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from mcpwrap.core.credentials import FromLogin, Minted, Wanted
from mcpwrap.identity.grants import NotGranted, granted
from mcpwrap.identity.job import decode_answer
from mcpwrap.identity.logins import AccessToken
from mcpwrap.identity.socket_protocol import Given, Question, Refused, decode_question
from mcpwrap.identity.socket_protocol import decode_answer as decode_socket_answer
from mcpwrap.identity.tokens import TokenError, verify
from tests.identity.hostile import b64

NOW = 1_800_000_000.0
SOURCE = FromLogin("https://api.example.com", ("a", "b"))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CLAIMS = st.fixed_dictionaries({}, optional={"aud": JSON, "exp": JSON, "scope": JSON})
JWS = st.builds(
    lambda header, claims: f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}.AAAA", JSON, CLAIMS | JSON
)
ANSWER = st.fixed_dictionaries(
    {"access_token": JWS | st.text(max_size=20) | JSON, "token_type": st.sampled_from(["Bearer", "bearer"]) | JSON},
    optional={"expires_in": JSON, "scope": st.sampled_from(["a", "a b", "a b c", ""]) | JSON, "refresh_token": JSON},
)


@given(ANSWER, st.none() | st.just(("a",)))
def test_a_providers_answer_is_what_was_asked_for_or_is_refused(answer: dict[str, Any], lent: tuple[str, ...] | None) -> None:
    try:
        found = granted(answer, SOURCE, lent, NOW)
    except NotGranted as refused:
        assert not {unicodedata.category(each) for each in str(refused)} & {"Cc", "Cf", "Cs"}
        return
    assert isinstance(found, AccessToken)
    assert set(found.scope) <= set(lent or SOURCE.scope)
    assert found.scope
    assert found.expires_at > NOW


@given(JWS | st.text(st.characters(exclude_categories=())))
@example("\udcff.\udcff.\udcff")
@example(f"{b64(b'{}')}.{b64(b'{}')}.")
@example(f"{b64(b'[' * 100_000)}.e30.AAAA")
def test_a_token_that_nobody_signed_is_refused(token: str) -> None:
    keys = {"keys": [{"kid": "k", "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": b64(b"\1" * 32)}]}
    try:
        verify(token, keys, "a", "i", NOW)
    except TokenError:
        return
    raise AssertionError("it was taken")


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode() + b"\n"))
@example(b'[{"name":"A","value":"x","expires_at":1e999}]\n')
@example(b"[" * 100_000 + b"\n")
def test_what_a_worker_sends_is_its_answer_or_nothing(data: bytes) -> None:
    found = decode_answer(data, (Wanted("A", Minted()),))
    assert found is None or [each.name for each in found] == ["A"]


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode() + b"\n"))
@example(b"[" * 1000 + b"\n")
@example(b'{"token":"\xff"}\n')
def test_what_comes_through_the_socket_is_understood_or_refused(line: bytes) -> None:
    for decode in (decode_question, decode_socket_answer):
        try:
            found = decode(line)
        except ValueError:
            continue
        assert isinstance(found, Question | Given | Refused)
