"""How the client proves itself to a provider: not at all, with a secret, or with a key (RFC 6749 §2.3, RFC 7523 §2.2).

    auth = auth_of(secrets)                          from what is stored of a login
    post_form(http, endpoint, fields, auth)          calls `auth.proof()` itself

A proof is made for one request and never kept.
"""

from __future__ import annotations

import base64
import os
import shlex
import stat
import sys
import time
from typing import Any, Final, Literal
from urllib.parse import quote_plus

import msgspec

from mcpwrap.errors import LoginError, StateError
from mcpwrap.files import read_private
from mcpwrap.identity.logins import LoginSecrets
from mcpwrap.secret import Secret

Method = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

ASSERTION_S: Final = 60
"""How long an assertion counts, in seconds: one request, and clocks that differ a little."""

KEY_FILE_LIMIT: Final = 64 * 1024
"""Longest key file, in bytes; an RSA key of 8192 bits has 7 KiB."""


MISSING_KEY: Final = "`key` of {} in your config.toml names it; put the file there"
"""What to do where a key file isn't there."""

_PLAIN: Final = "`key` of its profile in your config.toml names it; name a plain file"


class ClientAuth(msgspec.Struct, frozen=True):
    """Who the client is, and what proves it. `issuer` is whom an assertion is for; `key_file` the path of a PEM file with a private
    key, readable for this user alone."""

    method: Method
    client_id: str
    issuer: str
    secret: Secret | None = None
    key_file: str = ""

    def proof(self) -> tuple[list[tuple[str, str]], dict[str, str]]:
        """The form's fields and the headers that prove the client to the provider, for one request.

        The audience of an assertion is the issuer alone: one for an endpoint's address could be used at another provider that names
        the same endpoint (draft-ietf-oauth-rfc7523bis).

        Raises:
            LoginError: the key file can't be used, or a secret is wanted and there is none.
        """
        match self.method:
            case "none":
                return [("client_id", self.client_id)], {}
            case "client_secret_post":
                return [("client_id", self.client_id), ("client_secret", self._given().reveal())], {}
            case "client_secret_basic":
                # each part is encoded as in a form before they are joined (RFC 6749 §2.3.1)
                pair = f"{quote_plus(self.client_id)}:{quote_plus(self._given().reveal())}"
                return [], {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
            case "private_key_jwt":
                fields = [("client_id", self.client_id), ("client_assertion_type", ASSERTION_TYPE)]
                return [*fields, ("client_assertion", self._assertion())], {}

    def _given(self) -> Secret:
        if self.secret is None or not self.secret:
            raise LoginError(f"the client `{self.client_id}` needs its secret, and none is stored", hint="mcpwrap login")
        return self.secret

    def _assertion(self) -> str:
        import jwt

        key, algorithm = private_key(self.key_file)
        now = int(time.time())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.issuer,
            "jti": os.urandom(16).hex(),
            "iat": now,
            "exp": now + ASSERTION_S,
        }
        return jwt.encode(claims, key, algorithm=algorithm)


def auth_of(secrets: LoginSecrets) -> ClientAuth:
    """How the client of a stored login proves itself."""
    secret = Secret(secrets.client_secret) if secrets.client_secret else None
    return ClientAuth(secrets.auth, secrets.client_id, secrets.issuer, secret, secrets.key_file)


def is_missing(path: str) -> bool:
    """True where `path` is absolute and nothing is there; what can't be looked at may be there."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return os.path.isabs(path)
    except OSError:
        pass
    return False


def _mode(path: str) -> str:
    return f"chmod 600 {shlex.quote(path)}"


def private_key(path: str) -> tuple[Any, str]:
    """The private key in the PEM file `path`, and the JOSE algorithm that it signs with (RFC 7518 §3.1, RFC 8037 §3.1).

    Raises:
        LoginError: it can't be read safely, others can read it, or it is no key that signs.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if not os.path.isabs(path):
        raise LoginError(f"the key file `{path}` is no absolute path", hint="mend `key` of the profile in your own config.toml")
    try:
        data = read_private(path, KEY_FILE_LIMIT)
        if sys.platform != "win32" and os.stat(path).st_mode & (stat.S_IRGRP | stat.S_IROTH):
            raise LoginError(f"others can read the key file `{path}`", hint=_mode(path))
    except (StateError, OSError) as error:
        # (no mode mends a file that isn't there, and that of a folder would shut it)
        hint = MISSING_KEY.format("its profile") if is_missing(path) else _mode(path) if os.path.isfile(path) else _PLAIN
        raise LoginError(f"the key file `{path}` can't be used: {error}", hint=hint) from None
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # (not its text, which may have a part of the file)
        raise LoginError(f"the key file `{path}` holds no private key in PEM without a passphrase") from None
    match key:
        case ed25519.Ed25519PrivateKey():
            return key, "EdDSA"
        case ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()):
            return key, "ES256"
        case ec.EllipticCurvePrivateKey(curve=ec.SECP384R1()):
            return key, "ES384"
        case rsa.RSAPrivateKey() if key.key_size >= 2048:
            return key, "RS256"
    raise LoginError(f"the key in `{path}` can't be used", hint="Ed25519, P-256, P-384, or RSA with 2048 bits or more")
