"""Who signed in: the ID token (OpenID Connect Core 1.0 §3.1.3.7), and userinfo for what it leaves out.

The algorithms are ours, not the token's: asymmetric ones alone, so that neither ``none`` nor a MAC made with the public key passes.
Keys come from the issuer's own JWKS; a token's ``jku``, ``jwk`` and ``x5u`` are never looked at.

NOTE: ``at_hash`` isn't compared: both tokens come in one answer, over one connection, from the token endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mcpwrap.core.visible import spell_out
from mcpwrap.errors import LoginError
from mcpwrap.identity.http import ProviderSaid, get_json
from mcpwrap.identity.metadata import Metadata
from mcpwrap.secret import Secret

if TYPE_CHECKING:
    import httpx2

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""What an ID token may be signed with."""

LEEWAY_S: Final = 60
"""How far the provider's clock and ours may differ, in seconds."""

RSA_BITS: Final = 2048
"""Shortest RSA key that counts (RFC 7518 §3.3)."""

SUB_LIMIT: Final = 255
"""Longest subject, in characters (OpenID Connect Core §2)."""

CLAIMS_LIMIT: Final = 128 * 1024
"""Longest claims that are kept, in bytes as JSON."""

_KEYS: Final = 64
"""Most keys of a JWKS that are tried."""

_KINDS: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}

_PROTOCOL: Final = frozenset(
    {"iss", "aud", "azp", "exp", "iat", "nbf", "jti", "nonce", "at_hash", "c_hash", "s_hash", "sid", "auth_time", "acr", "amr"}
)
"""Claims that only the protocol needs."""


class Person(msgspec.Struct, frozen=True):
    """Who signed in. `email` is "" where the provider says that it isn't verified."""

    sub: str
    email: str = ""
    name: str = ""
    groups: tuple[str, ...] = ()
    claims: Mapping[str, Any] = {}


def person_of(http: httpx2.Client, metadata: Metadata, client_id: str, id_token: str, access: Secret, *, nonce: str) -> Person:
    """Whom `id_token` names; userinfo is asked with `access` where e-mail or groups are missing. `nonce` is "" where none was sent.

    Raises:
        ProviderDown: the keys or the userinfo can't be had now.
        LoginError: the token doesn't count, or userinfo speaks of somebody else.
    """
    claims = checked(id_token, get_json(http, metadata.jwks_uri), metadata.issuer, client_id, nonce=nonce)
    if metadata.userinfo_endpoint and not ("email" in claims and "groups" in claims):
        try:
            more = get_json(http, metadata.userinfo_endpoint, bearer=access)
        except ProviderSaid:
            more = {"sub": claims["sub"]}  # (a token for an API isn't always one for userinfo)
        if more.get("sub") != claims["sub"]:
            raise LoginError(
                f"the userinfo of {metadata.host} speaks of somebody else than its ID token",
                hint="nothing was stored; tell whoever runs the provider",
            )
        claims = {**more, **claims}
    return _person(claims, metadata.host)


def checked(id_token: str, jwks: Mapping[str, Any], issuer: str, client_id: str, *, nonce: str) -> dict[str, Any]:
    """The claims of `id_token`, if the keys in `jwks` signed it for us.

    Raises:
        LoginError: it doesn't count; says why.
    """
    import jwt

    try:
        header = jwt.get_unverified_header(id_token)
    except jwt.PyJWTError:
        raise _refused("it can't be read") from None
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS:
        raise _refused(f"it is signed with `{spell_out(str(algorithm), limit=40)}`, which doesn't count")
    if header.get("typ", "JWT").upper() not in ("JWT", "APPLICATION/JWT"):
        raise _refused("it is another kind of token")
    for key in _keys(jwks, algorithm, header.get("kid")):
        try:
            claims: dict[str, Any] = jwt.decode(
                id_token,
                key,
                algorithms=[algorithm],
                audience=client_id,
                issuer=issuer,
                leeway=LEEWAY_S,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except jwt.InvalidSignatureError:
            continue
        except jwt.PyJWTError as error:
            raise _refused(_WHY.get(type(error).__name__, "it can't be read")) from None
        _bound(claims, client_id, nonce)
        return claims
    raise _refused("no key of the provider signed it")


_WHY: Final = {
    "ExpiredSignatureError": "it has expired; is the clock of this machine right?",
    "ImmatureSignatureError": "it comes from the future; is the clock of this machine right?",
    "InvalidAudienceError": "it is for another client",
    "InvalidIssuerError": "it is another issuer's",
    "InvalidIssuedAtError": "its time can't be read",
    "InvalidSubjectError": "it names nobody",
    "MissingRequiredClaimError": "a claim that it must have is missing",
}


def _bound(claims: Mapping[str, Any], client_id: str, nonce: str) -> None:
    many = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if (many or "azp" in claims) and claims.get("azp") != client_id:
        raise _refused("it is for another client")
    if nonce and claims.get("nonce") != nonce:
        raise _refused("it is from another sign-in")
    if not claims["sub"] or len(claims["sub"]) > SUB_LIMIT:
        raise _refused("it names nobody")


def _keys(jwks: Mapping[str, Any], algorithm: str, kid: object) -> Iterator[Any]:
    import jwt

    keys = jwks.get("keys")
    for data in keys[:_KEYS] if isinstance(keys, list) else ():
        if not isinstance(data, dict) or data.get("kty") != _KINDS[algorithm[:2]] or data.get("use", "sig") != "sig":
            continue
        if (kid is not None and data.get("kid") != kid) or data.get("alg", algorithm) != algorithm:
            continue
        try:
            key = jwt.PyJWK(data, algorithm=algorithm)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
        if data["kty"] != "RSA" or key.key.key_size >= RSA_BITS:
            yield key


def _person(claims: Mapping[str, Any], who: str) -> Person:
    kept = {name: value for name, value in claims.items() if name not in _PROTOCOL}
    if len(msgspec.json.encode(kept)) > CLAIMS_LIMIT:
        raise LoginError(f"{who} says more than {CLAIMS_LIMIT // 1024} KiB about you", hint="ask for fewer scopes")
    groups = kept.get("groups")
    verified = kept.get("email_verified", True) not in (False, "false")
    return Person(
        sub=claims["sub"],
        email=_text(kept.get("email")) if verified else "",
        name=_text(kept.get("name")),
        groups=tuple(group for group in groups if isinstance(group, str)) if isinstance(groups, list) else (),
        claims=kept,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _refused(why: str) -> LoginError:
    return LoginError(f"the provider's ID token doesn't count: {why}", hint="nothing was stored; tell whoever runs the provider")
