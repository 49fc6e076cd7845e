"""Tokens of our own: JWT access tokens (RFC 9068) that this installation signs and a server checks (IDENTITY.md §3).

What a token says, and on whose word:

    iss         the installation (`mcpwrap.identity.signing.issuer_of`)
    sub, idp    who acts: the operating system's user with ``idp: "local"``, or the login's subject with its issuer as `idp`.
                A `sub` means something only together with its `idp`
    aud         one server of one project, and no other (`audience`)
    client_id   "mcpwrap": the program that had it issued
    act.sub     the shim in front of that server, which acts for `sub` (RFC 8693 §4.1): what a model asked for is no person's click
    scope       what the policy grants, blanks between
    project, policy_hash    the project's name as it stands in its file, and the digest of the policy that counted
    email, groups           those of the login, where there is one
    iat, exp, jti           5 to 300 seconds, and a name of its own
"""

from __future__ import annotations

import math
import os
import secrets
import sys
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from mcpwrap.core.credentials import LOCAL, Bearer, Minted
from mcpwrap.errors import McpwrapError
from mcpwrap.identity.signing import ALGORITHMS, LEEWAY_S, MAX_TTL_S, SigningKey
from mcpwrap.secret import Secret

CLIENT_ID: Final = "mcpwrap"
TYPE: Final = "at+jwt"
"""The header's `typ` (RFC 9068 §2.1), which keeps ID tokens and other JWTs apart."""
MIN_TTL_S: Final = 5
TOKEN_LIMIT: Final = 64 * 1024
"""Longest token that is looked at, in characters: one with hundreds of groups has some 16 KiB."""

_HEADERS: Final = frozenset({"alg", "typ", "kid"})
"""What a header of ours has. Whatever else stands in one (`crit`, `jwk`, `jku`, `x5u`, `x5c`, `b64`, …) is refused."""
_REQUIRED: Final = ("iss", "sub", "aud", "client_id", "iat", "exp", "jti")
_KINDS: Final = {"EdDSA": ("OKP", "Ed25519"), "ES256": ("EC", "P-256")}


class TokenError(McpwrapError):
    """A token isn't good; why is for the log, not for who presented it."""


class Subject(msgspec.Struct, frozen=True):
    """For whom a token speaks: `idp` is "local" or the issuer that knows them as `sub`."""

    sub: str
    idp: str = LOCAL
    email: str = ""
    groups: tuple[str, ...] = ()


def local_subject() -> Subject:
    """The operating system's user that this process runs as, whatever the environment says; the number where it has no name."""
    if sys.platform == "win32":
        import getpass  # noqa: PLC0415 - on Windows only

        return Subject(getpass.getuser())
    import pwd  # noqa: PLC0415 - not on Windows

    try:
        return Subject(pwd.getpwuid(os.geteuid()).pw_name)
    except KeyError:  # a container's user without an entry
        return Subject(str(os.geteuid()))


def audience(project: str, server: str) -> str:
    """The `aud` of a server's tokens: ``urn:mcpwrap:<project>:<server>``.

    Whatever isn't an ASCII letter, a digit, or one of ``-._~`` is percent-encoded (RFC 3986 §2.1), ``:`` too, so that no two pairs
    of names are one audience.
    """
    return f"urn:mcpwrap:{_part(project)}:{_part(server)}"


def shim_name(project: str, server: str) -> str:
    """The `act.sub` of a server's tokens."""
    return f"urn:mcpwrap:shim:{_part(project)}:{_part(server)}"


def mint(key: SigningKey, issuer: str, bearer: Bearer, minted: Minted, subject: Subject, now: float) -> tuple[Secret, int]:
    """A token for the server of `bearer`, and when it expires, in seconds since the epoch.

    Raises:
        TokenError: `minted.ttl_s` isn't 5 to 300 seconds.
    """
    import jwt
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    if not MIN_TTL_S <= minted.ttl_s <= MAX_TTL_S:
        raise TokenError(f"a token lives {MIN_TTL_S} to {MAX_TTL_S} s, not {minted.ttl_s}", hint="ttl_s = 120")
    issued_at = math.floor(now)
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": subject.sub,
        "idp": subject.idp,
        "aud": audience(bearer.project, bearer.server),
        "client_id": CLIENT_ID,
        "scope": " ".join(minted.scope),
        "iat": issued_at,
        "exp": issued_at + minted.ttl_s,
        "jti": secrets.token_urlsafe(16),
        "act": {"sub": shim_name(bearer.project, bearer.server)},
        "project": bearer.project,
        "policy_hash": bearer.policy_hash,
    }
    if subject.email:
        claims["email"] = subject.email
    if subject.groups:
        claims["groups"] = list(subject.groups)
    private: Any = load_der_private_key(key.private, password=None)
    token = jwt.encode(claims, private, algorithm=key.alg, headers={"typ": TYPE, "kid": key.kid})
    return Secret(token), issued_at + minted.ttl_s


def verify(token: str, jwks: Mapping[str, Any], audience: str, issuer: str, now: float) -> dict[str, Any]:
    """The claims of a token of ours that is good for `audience` at `now`, checked with the public keys `jwks`.

    Raises:
        TokenError: it isn't.
    """
    import jwt

    if len(token) > TOKEN_LIMIT:
        raise TokenError("the token is too long")
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError as error:
        raise TokenError("it is no token") from error
    if unknown := sorted(header.keys() - _HEADERS):
        raise TokenError(f"the token's header has `{unknown[0]}`, which is never obeyed")
    if header.get("typ") != TYPE:
        raise TokenError("the token is of another type")
    entry = _key(jwks, header, now)
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            jwt.PyJWK(dict(entry)),
            algorithms=list(ALGORITHMS),
            audience=audience,
            issuer=issuer,
            # times are checked below, against the `now` that was given
            options={"require": list(_REQUIRED), "strict_aud": True, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
    except (jwt.PyJWTError, ValueError) as error:
        raise TokenError(f"the token isn't good: {type(error).__name__}") from error
    _check_times(claims, now)
    if not all(isinstance(claims[name], str) and claims[name] for name in ("sub", "jti", "client_id")):
        raise TokenError("the token's `sub`, `jti` or `client_id` is empty")
    return claims


def _key(jwks: Mapping[str, Any], header: Mapping[str, Any], now: float) -> Mapping[str, Any]:
    entries = jwks.get("keys")
    found = [e for e in entries if isinstance(e, dict) and e.get("kid") == header.get("kid")] if isinstance(entries, list) else []
    if len(found) != 1 or not isinstance(header.get("kid"), str):
        raise TokenError("the token is signed with a key that isn't known")
    entry = found[0]
    # the key says what it is for, not the token
    if header.get("alg") != entry.get("alg") or _KINDS.get(str(entry.get("alg"))) != (entry.get("kty"), entry.get("crv")):
        raise TokenError("the token is signed by another algorithm than its key is for")
    if "exp" in entry and not _number(entry["exp"]) > now:
        raise TokenError("the token is signed with a key that is retired")
    return entry


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    issued_at, expires_at = _number(claims["iat"]), _number(claims["exp"])
    if issued_at > now + LEEWAY_S:
        raise TokenError("the token is of the future")
    if not expires_at > now - LEEWAY_S:
        raise TokenError("the token has expired")
    if not 0 < expires_at - issued_at <= MAX_TTL_S:
        raise TokenError(f"the token is good for more than {MAX_TTL_S} s")


def _number(value: object) -> float:
    # (True is a number in Python, and "nan" compares with nothing)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TokenError("a time in the token is no number")
    return value


def _part(name: str) -> str:
    # (a folder's name may hold bytes that are no text; each still has an encoding of its own)
    return quote(name, safe="", encoding="utf-8", errors="surrogatepass")
