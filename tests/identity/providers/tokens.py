"""What a scripted provider signs: its keys, and ID tokens of every kind."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

CLIENT = "mcpwrap"


def b64(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Signer:
    """A key and its public half as a JWK."""

    def __init__(self, algorithm: str = "ES256", *, kid: str | None = "k1", bits: int = 2048) -> None:
        self.algorithm = algorithm
        self.kid = kid
        self.key: Any
        match algorithm[:2]:
            case "ES":
                self.key = ec.generate_private_key({"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1()}[algorithm])
            case "Ed":
                self.key = ed25519.Ed25519PrivateKey.generate()
            case _:
                self.key = rsa.generate_private_key(65537, bits)

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """The public half; None takes an entry away."""
        made = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.key.public_key(), as_dict=True)
        document = {**made, "use": "sig", "alg": self.algorithm, "kid": self.kid, **changes}
        return {name: value for name, value in document.items() if value is not None and name != "key_ops"}

    def sign(self, claims: Mapping[str, Any], **header: Any) -> str:
        """A token with `claims`; an entry of `header` that is None is taken away."""
        more = {name: value for name, value in {"kid": self.kid, **header}.items() if value is not None}
        return jwt.encode(dict(claims), self.key, algorithm=self.algorithm, headers=more)


def claims_of(issuer: str, **changes: Any) -> dict[str, Any]:
    """An ID token's claims as they should be, with `changes`; None takes one away."""
    now = int(time.time())
    claims = {"iss": issuer, "sub": "ann", "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": "n", **changes}
    return {name: value for name, value in claims.items() if value is not None}


def unsigned(claims: Mapping[str, Any], algorithm: str = "none", signature: bytes = b"") -> str:
    """A token with a signature of one's own, or none."""
    header = b64(json.dumps({"alg": algorithm, "typ": "JWT", "kid": "k1"}).encode())
    return f"{header}.{b64(json.dumps(dict(claims)).encode())}.{b64(signature)}"
