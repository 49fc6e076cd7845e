"""Which client we are at a provider, and what proves it."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from mcpwrap.core.credentials import Network
from mcpwrap.errors import LoginError
from mcpwrap.identity.answers import DEFAULT_S, LONGEST_S, TOKEN_LIMIT, tokens_of
from mcpwrap.identity.clientauth import ASSERTION_TYPE, ClientAuth, auth_of, private_key
from mcpwrap.identity.http import client
from mcpwrap.identity.logins import LoginSecrets
from mcpwrap.identity.metadata import Metadata
from mcpwrap.identity.registration import DEVICE_GRANT, Wish, given, register
from mcpwrap.secret import Secret
from tests.identity.providers.scripted import Scripted, say, scripted

ISSUER = "https://login.example.com"
SECRET = Secret("a&b c:d/%")


# proofs


def test_a_public_client_says_only_who_it_is() -> None:
    assert ClientAuth("none", "me", ISSUER).proof() == ([("client_id", "me")], {})


def test_a_secret_goes_into_a_header_each_part_encoded_or_into_the_form() -> None:
    fields, headers = ClientAuth("client_secret_basic", "m:e", ISSUER, SECRET).proof()
    assert fields == []
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"m%3Ae:a%26b+c%3Ad%2F%25"
    fields, headers = ClientAuth("client_secret_post", "me", ISSUER, SECRET).proof()
    assert (fields, headers) == ([("client_id", "me"), ("client_secret", "a&b c:d/%")], {})


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("secret", [None, Secret("")])
def test_a_secret_that_isnt_there_is_said(method: Any, secret: Secret | None) -> None:
    with pytest.raises(LoginError, match="the client `me` needs its secret, and none is stored"):
        ClientAuth(method, "me", ISSUER, secret).proof()


def written(folder: Path, key: Any, *, password: bytes = b"", mode: int = 0o600) -> str:
    file = folder / "key.pem"
    kind = BestAvailableEncryption(password) if password else NoEncryption()
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, kind))
    file.chmod(mode)
    return str(file)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (rsa.generate_private_key(65537, 2048), "RS256"),
    ],
)
def test_a_key_signs_an_assertion_for_the_issuer_alone_that_counts_a_minute_and_once(
    key: Any, algorithm: str, tmp_path: Path
) -> None:
    auth = ClientAuth("private_key_jwt", "me", ISSUER, key_file=written(tmp_path, key))
    (fields, headers), (again, _) = auth.proof(), auth.proof()
    assert headers == {}
    assert fields[:2] == [("client_id", "me"), ("client_assertion_type", ASSERTION_TYPE)]
    claims = jwt.decode(dict(fields)["client_assertion"], key.public_key(), algorithms=[algorithm], audience=ISSUER)
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("me", "me", ISSUER)
    assert claims["exp"] - claims["iat"] == 60
    assert abs(claims["iat"] - time.time()) < 5
    assert claims["jti"] != jwt.decode(dict(again)["client_assertion"], options={"verify_signature": False})["jti"]


def test_a_key_file_that_others_can_read_or_write_or_turn_elsewhere_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, ed25519.Ed25519PrivateKey.generate())
    for mode in (0o640, 0o604, 0o660, 0o622):
        Path(path).chmod(mode)
        with pytest.raises(LoginError) as caught:
            private_key(path)
        assert caught.value.hint == f"chmod 600 {path}"
    Path(path).chmod(0o600)
    link = tmp_path / "link.pem"
    link.symlink_to(path)
    for other, hint in (
        (str(tmp_path), "name a plain file"),  # (0600 on a folder shuts it)
        (str(tmp_path / "nothing.pem"), "put the file there"),
        (f"{path}/nothing.pem", "put the file there"),
        (str(link), "chmod 600"),
    ):
        with pytest.raises(LoginError, match="can't be used") as caught:
            private_key(other)
        assert hint in caught.value.hint
        assert ("chmod" in caught.value.hint) is (hint == "chmod 600")
    with pytest.raises(LoginError, match="is no absolute path"):
        private_key("key.pem")


def test_a_key_that_cant_sign_is_refused_without_a_word_of_it(tmp_path: Path) -> None:
    path = written(tmp_path, ed25519.Ed25519PrivateKey.generate(), password=b"x")
    with pytest.raises(LoginError, match="holds no private key in PEM without a passphrase"):
        private_key(path)
    Path(path).write_text("-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n")
    with pytest.raises(LoginError, match="holds no private key") as caught:
        private_key(path)
    assert "canary" not in str(caught.value)
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is refused
    for weak in (short, ec.generate_private_key(ec.SECP521R1()), dsa.generate_private_key(2048)):
        with pytest.raises(LoginError, match="can't be used"):
            private_key(written(tmp_path, weak))


def test_the_client_of_a_stored_login_proves_itself_as_it_did() -> None:
    secrets = LoginSecrets(ISSUER, "me", f"{ISSUER}/token", auth="client_secret_post", client_secret="x", key_file="/k")
    assert auth_of(secrets) == ClientAuth("client_secret_post", "me", ISSUER, Secret("x"), "/k")
    assert auth_of(LoginSecrets(ISSUER, "me", f"{ISSUER}/token")) == ClientAuth("none", "me", ISSUER)


# which client


def described(**changes: Any) -> Metadata:
    return Metadata(ISSUER, f"{ISSUER}/token", **changes)


def test_a_client_that_a_person_named_is_taken_as_it_is() -> None:
    assert given(described(), Wish("me")).method == "none"
    assert given(described(auth_methods=("client_secret_post",)), Wish("me")).method == "none"
    assert given(described(), Wish("me", SECRET)).method == "client_secret_basic"
    assert given(described(auth_methods=("client_secret_post",)), Wish("me", SECRET)).method == "client_secret_post"
    assert given(described(), Wish("me", SECRET, "/key.pem")).method == "private_key_jwt"
    for odd in ("", "a\nb", "ü", "x" * 3000):
        with pytest.raises(LoginError, match="is no client id"):
            given(described(), Wish(odd))


def test_the_address_of_a_document_is_a_client_id_where_the_provider_takes_those() -> None:
    document = "https://shop.example/mcpwrap.json"
    assert given(described(documents=True), Wish(document)).client_id == document
    with pytest.raises(LoginError, match="doesn't take the address of a document as client id"):
        given(described(), Wish(document))
    with pytest.raises(LoginError, match="is not https"):
        given(described(documents=True), Wish("http://shop.example/mcpwrap.json"))


@pytest.fixture(scope="module")
def provider() -> Iterator[Scripted]:
    with scripted() as one:
        yield one


def registered(provider: Scripted, answer: dict[str, Any], *, redirect_uri: str = "", **changes: Any) -> ClientAuth:
    provider.seen.clear()
    provider.routes["/register"] = say(answer, 201)
    metadata = Metadata(provider.issuer, f"{provider.issuer}/token", registration_endpoint=f"{provider.issuer}/register", **changes)
    with client(Network()) as http:
        return register(http, metadata, redirect_uri=redirect_uri)


def sent(provider: Scripted) -> dict[str, Any]:
    import json

    document: dict[str, Any] = json.loads(provider.seen[0].body)
    return document


def test_a_client_registers_as_native_and_public_where_it_may(provider: Scripted) -> None:
    both = {"client_id": "new", "client_secret": "s"}
    assert (
        registered(provider, both, redirect_uri="http://127.0.0.1:1/x", auth_methods=("client_secret_post", "none")).method
        == "none"
    )
    assert sent(provider) == {
        "client_name": "mcpwrap",
        "application_type": "native",
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "redirect_uris": ["http://127.0.0.1:1/x"],
    }
    assert registered(provider, both).method == "client_secret_basic"
    assert (sent(provider)["grant_types"], sent(provider)["redirect_uris"]) == ([DEVICE_GRANT, "refresh_token"], [])
    assert registered(provider, both, auth_methods=("client_secret_post",)).secret == Secret("s")
    # one that can't prove itself where tokens are revoked could never sign out
    signing_out = registered(provider, both, auth_methods=("none", "client_secret_post"), revoking_methods=("client_secret_post",))
    assert signing_out.method == "client_secret_post"
    assert registered(provider, both, auth_methods=("none",), revoking_methods=("tls_client_auth",)).method == "none"
    # the provider may choose
    assert registered(provider, {**both, "token_endpoint_auth_method": "none"}).secret is None
    assert registered(provider, both, auth_methods=("private_key_jwt",)).method == "none"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({}, "without a client id"),
        ({"client_id": 7}, "without a client id"),
        ({"client_id": "a\x1b"}, "without a client id"),
        ({"client_id": "a"}, "without the secret that it wants"),
        ({"client_id": "a", "client_secret": "x" * 5000}, "without the secret that it wants"),
        ({"client_id": "a", "token_endpoint_auth_method": "tls\x1b"}, r"prove itself by `tls\\u\{1b\}`"),
    ],
)
def test_a_registration_that_isnt_one_is_refused(answer: dict[str, Any], why: str, provider: Scripted) -> None:
    with pytest.raises(LoginError, match=why):
        registered(provider, answer)


# what a token endpoint gives


def test_an_answer_is_taken_apart() -> None:
    answer = {
        "access_token": "a",
        "token_type": "bearer",
        "expires_in": 60,
        "refresh_token": "r",
        "id_token": "i",
        "scope": "x y x",
    }
    tokens = tokens_of(answer, who="h", now=100.0)
    assert (tokens.access.token, tokens.access.expires_at, tokens.access.obtained_at) == ("a", 160.0, 100.0)
    assert (tokens.refresh_token, tokens.id_token, tokens.scope, tokens.access.scope) == ("r", "i", ("x", "y"), ("x", "y"))
    bare = tokens_of({"access_token": "a", "token_type": "Bearer", "refresh_token": None}, who="h", now=0)
    assert (bare.refresh_token, bare.id_token, bare.scope, bare.access.expires_at) == ("", "", None, DEFAULT_S)
    assert repr(tokens) == "Tokens(…)"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3600", 3600.0),
        (0, 0.0),
        (-5, 0.0),
        (10**12, LONGEST_S),
        ("soon", DEFAULT_S),
        (True, DEFAULT_S),
        ([], DEFAULT_S),
        (1.5, 1.5),
    ],
)
def test_a_lifetime_is_believed_within_bounds(value: object, seconds: float) -> None:
    answer = {"access_token": "a", "token_type": "Bearer", "expires_in": value}
    assert tokens_of(answer, who="h", now=0).access.expires_at == seconds


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"token_type": "mac"}, "of a kind that can't be used"),
        ({"token_type": None}, "of a kind that can't be used"),
        ({"token_type": 7}, "of a kind that can't be used"),
        ({"access_token": None}, "gave no access token"),
        ({"access_token": ""}, "gave no access token"),
        ({"access_token": "a b"}, "an odd access token"),
        ({"access_token": "a\n"}, "an odd access token"),
        ({"access_token": "ü"}, "an odd access token"),
        ({"access_token": 7}, "an odd access token"),
        ({"refresh_token": "x" * (TOKEN_LIMIT + 1)}, "an odd refresh token"),
        ({"id_token": []}, "gave no id token"),
    ],
)
def test_a_token_that_cant_be_used_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(LoginError, match=why):
        tokens_of({"access_token": "a", "token_type": "Bearer", **changes}, who="h", now=0)
