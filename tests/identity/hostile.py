"""Tokens that nobody may take, each made from one that everybody may: by whom, and what is wrong with it."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from mcpwrap.identity.signing import SigningKey, current_key, issuer_of, jwks
from mcpwrap.identity.tokens import audience
from mcpwrap.identity.vault import Vault


def tokens(vault: Vault, now: float) -> dict[str, str]:
    """Hostile tokens by what is wrong with them; the server is `issues` of `shop`."""
    key = current_key(vault, now)
    private: Any = load_der_private_key(key.private, password=None)
    good = {
        "iss": issuer_of(vault),
        "sub": "ann",
        "aud": audience("shop", "issues"),
        "client_id": "mcpwrap",
        "iat": int(now),
        "exp": int(now) + 120,
        "jti": "one",
    }

    def signed(claims: Mapping[str, Any] | None = None, drop: str = "", **header: Any) -> str:
        """By the right key, over what isn't right."""
        kept = {name: value for name, value in {**good, **(claims or {})}.items() if name != drop}
        headers = {name: value for name, value in {"typ": "at+jwt", "kid": key.kid, "alg": key.alg, **header}.items() if value}
        return join(headers, kept, lambda data: bytes(private.sign(data)))

    assert jwt.decode(signed(), options={"verify_signature": False}) == good
    mine = ed25519.Ed25519PrivateKey.generate()
    mine_jwk = {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": b64(mine.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)),
        "kid": key.kid,
        "alg": "EdDSA",
    }
    by_me = {"typ": "at+jwt", "kid": key.kid, "alg": "EdDSA"}
    start, _, _ = signed().rpartition(".")
    return {
        "no algorithm": join({**by_me, "alg": "none"}, good, lambda _: b""),
        "no algorithm, another spelling": join({**by_me, "alg": "nOnE"}, good, lambda _: b""),
        "no signature": f"{start}.",
        "another's signature": join(by_me, good, mine.sign),
        "another's signature under a name that isn't known": join({**by_me, "kid": "mine"}, good, mine.sign),
        "another's signature without a name": join({"typ": "at+jwt", "alg": "EdDSA"}, good, mine.sign),
        "a key's name that is no text": join({**by_me, "kid": 1}, good, mine.sign),
        "a changed claim": ".".join(
            [start.split(".")[0], b64(json.dumps({**good, "sub": "root"}).encode()), signed().split(".")[2]]
        ),
        **{f"HS256 with the public key {form}": by_hmac(form, secret, key, good) for form, secret in public_forms(vault, key, now)},
        "a key in the header": join({**by_me, "jwk": mine_jwk}, good, mine.sign),
        "the right key in the header": signed(jwk=jwks(vault, now)["keys"][0]),
        "an address of keys in the header": signed(jku="http://127.0.0.1:1/jwks.json"),
        "an address of a certificate in the header": signed(x5u="http://127.0.0.1:1/cert.pem"),
        "a certificate in the header": signed(x5c=["MIIB"]),
        "something critical": signed(crit=["b64"], b64=True),
        "something critical that nobody knows": signed(crit=["exp"]),
        "compressed": signed(zip="DEF"),
        "an ID token": signed(typ="JWT"),
        "a logout token": signed(typ="logout+jwt"),
        "no type": signed(typ=None),
        "ES256 by a key that is for EdDSA": by_curve(key, good),
        "for another server": signed({"aud": audience("shop", "files")}),
        "for another project's server": signed({"aud": audience("other", "issues")}),
        "for several servers": signed({"aud": [audience("shop", "issues"), audience("shop", "files")]}),
        "for the beginning of its name": signed({"aud": audience("shop", "issue")}),
        "by another issuer": signed({"iss": "urn:mcpwrap:installation:other"}),
        "by several issuers": signed({"iss": [issuer_of(vault)]}),
        "expired": signed({"iat": int(now) - 200, "exp": int(now) - 3}),
        "of the future": signed({"iat": int(now) + 30, "exp": int(now) + 60}),
        "good for an hour": signed({"exp": int(now) + 3600}),
        "good for less than nothing": signed({"iat": int(now) + 2, "exp": int(now) + 1}),
        "an expiry that is no number": signed({"exp": "tomorrow"}),
        "an expiry that is true": signed({"exp": True}),
        "an expiry that never comes": signed({"exp": float("inf")}),
        "an expiry that compares with nothing": signed({"exp": float("nan")}),
        "an issue that is no number": signed({"iat": None}),
        "a name that is empty": signed({"jti": ""}),
        "a name that is no text": signed({"jti": 7}),
        "for nobody": signed({"sub": ""}),
        "by no client": signed({"client_id": ""}),
        **{f"without `{name}`": signed(drop=name) for name in good},
        "no object": join({"typ": "at+jwt", "kid": key.kid, "alg": key.alg}, ["sub"], lambda data: bytes(private.sign(data))),
        "too long": signed({"groups": ["x" * 70_000]}),
        "two parts": start,
        "nothing": "",
        "no JSON": "a.b.c",
        "a header that is no object": f"{b64(b'[]')}.{b64(b'{}')}.",
    }


def public_forms(vault: Vault, key: SigningKey, now: float) -> list[tuple[str, bytes]]:
    """The public key in each form that a careless server could take for a shared secret."""
    private: Any = load_der_private_key(key.private, password=None)
    public = private.public_key()
    return [
        ("as PEM", public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)),
        ("as DER", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
        ("as it is", public.public_bytes(Encoding.Raw, PublicFormat.Raw)),
        ("as JSON", json.dumps(jwks(vault, now)["keys"][0]).encode()),
        ("as base64", jwks(vault, now)["keys"][0]["x"].encode()),
    ]


def by_hmac(form: str, secret: bytes, key: SigningKey, claims: Mapping[str, Any]) -> str:
    assert form
    header = {"typ": "at+jwt", "kid": key.kid, "alg": "HS256"}
    return join(header, claims, lambda data: hmac.digest(secret, data, sha256))


def by_curve(key: SigningKey, claims: Mapping[str, Any]) -> str:
    private = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(dict(claims), private, algorithm="ES256", headers={"typ": "at+jwt", "kid": key.kid})


def join(header: Mapping[str, Any], claims: Any, sign: Any) -> str:
    """A JWS in compact form (RFC 7515 §7.1); nothing is checked."""
    start = f"{b64(json.dumps(dict(header)).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{start}.{b64(sign(start.encode()))}"


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
