"""What a provider's answer at the token endpoint is worth: was what we asked for granted, and nothing else? (IDENTITY.md §3)

Pure: nothing here asks anybody. An access token is for its resource to read, not for its client (RFC 9068 §6); where it is a JWT it
is looked at all the same, unverified, since it comes straight from the provider: a token that says that it is for somebody else is
refused, one that says nothing is taken.
"""

from __future__ import annotations

import math
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from mcpwrap.core.credentials import FromLogin
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import LoginError
from mcpwrap.identity.logins import AccessToken

TOKEN_LIMIT: Final = 64 * 1024
"""Longest token of a provider, in characters: as much as a variable of a process may comfortably hold."""
DEFAULT_LIFE_S: Final = 300.0
"""How long a token is taken for good whose provider doesn't say (RFC 6749 §5.1 only recommends it)."""
LONGEST_LIFE_S: Final = 30 * 86_400.0
_FAR_S: Final = 10**12
"""Seconds that are as good as any number beyond: some 30,000 years."""

_ASK: Final = "the provider's administrator grants it to this client, or mcpwrap.toml asks for something else"


class NotGranted(LoginError):
    """The provider answered with something else than what was asked for; nobody gets it."""


def refresh_token(answer: Mapping[str, Any], before: str) -> str:
    """The refresh token from now on: the new one of `answer`, else the one of `before` (RFC 6749 §6)."""
    new = answer.get("refresh_token")
    return new if isinstance(new, str) and 0 < len(new) <= TOKEN_LIMIT else before


def granted(
    answer: Mapping[str, Any], source: FromLogin, lent: tuple[str, ...] | None, now: float, resources: tuple[str, ...] = ()
) -> AccessToken:
    """The access token in `answer`, which `source` was asked for; `lent` are the scopes that may be lent at all (None: any), and
    `resources` all that the login is for.

    Raises:
        NotGranted: it isn't what was asked for.
    """
    token = answer.get("access_token")
    # (it becomes a header and a variable: nothing but what RFC 6750 §2.1 lets through)
    if (
        not isinstance(token, str)
        or not 0 < len(token) <= TOKEN_LIMIT
        or not token.isascii()
        or not token.isprintable()
        or " " in token
    ):
        raise NotGranted("the provider answered without an access token", hint="the provider's administrator")
    kind = answer.get("token_type")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise NotGranted(
            "the provider's token isn't a bearer token", hint="register this client for bearer tokens (no DPoP, no MAC)"
        )
    claims = _claims(token)
    if "cnf" in claims:
        # RFC 7800: who shows it must prove more, and its server can't
        raise NotGranted("the provider's token is bound to a key", hint="register this client for bearer tokens (no DPoP, no mTLS)")
    _check_audience(claims, source.resource, resources)
    return AccessToken(token, now + _life(answer, claims, now), now, _scope(answer, claims, source.scope, lent))


def _check_audience(claims: Mapping[str, Any], resource: str, resources: tuple[str, ...]) -> None:
    if not resource or "aud" not in claims:
        return
    found = claims["aud"]
    audiences = found if isinstance(found, list) else [found]
    if resource not in audiences:
        texts = (str(each) if each is None or isinstance(each, str) else "something else" for each in audiences[:3])
        shown = ", ".join(spell_out(each, limit=100) for each in texts) or "nobody"
        raise NotGranted(f"the provider's token is for {shown}, not for `{spell_out(resource)}`", hint=_ASK)
    # (its server could use it there)
    if also := [each for each in resources if each != resource and each in audiences]:
        raise NotGranted(f"the provider's token is for `{spell_out(also[0])}` as well as for `{spell_out(resource)}`", hint=_ASK)


def _scope(
    answer: Mapping[str, Any], claims: Mapping[str, Any], wanted: tuple[str, ...], lent: tuple[str, ...] | None
) -> tuple[str, ...]:
    """What was granted: all that the answer says and all that the token says. Narrower than `wanted` is taken as it is."""
    said = [found[name] for found, name in ((answer, "scope"), (claims, "scope"), (claims, "scp")) if name in found]
    texts = [_text(each) for each in said]
    # RFC 6749 §5.1 lets a provider leave the scope out where it is the one that was asked for. One that ignores the parameter at a
    # refresh leaves it out as well and grants all it can, and nobody could tell: so it has to be said
    limits = [frozenset(limit) for limit in (wanted or None, lent) if limit is not None]
    if limits and (not texts or None in texts):
        raise NotGranted("the provider doesn't say which scope it granted", hint=_ASK)
    scope = tuple(dict.fromkeys(each for text in texts if text is not None for each in text.split()))
    for limit in limits:
        if wider := [each for each in scope if each not in limit]:
            raise NotGranted(f"the provider granted more than was asked for: `{spell_out(wider[0], limit=100)}`", hint=_ASK)
    if wanted and not scope:
        raise NotGranted(f"the provider granted nothing of `{spell_out(' '.join(wanted))}`", hint=_ASK)
    return scope


def _text(said: object) -> str | None:
    """A scope as one text; None where it can't be read."""
    match said:
        case str():
            return said
        case list() if all(isinstance(each, str) for each in said):
            return " ".join(said)
        case _:
            return None


def _life(answer: Mapping[str, Any], claims: Mapping[str, Any], now: float) -> float:
    """Seconds that the token is good for: the least of what is said."""
    said = []
    if "expires_in" in answer:
        said.append(_number(answer["expires_in"]))
    if "exp" in claims:
        said.append(_number(claims["exp"]) - now)
    life_s = min(said, default=DEFAULT_LIFE_S)
    if life_s <= 0:
        raise NotGranted("the provider's token has expired already", hint="set this machine's clock right")
    return min(life_s, LONGEST_LIFE_S)


def _number(value: object) -> float:
    if isinstance(value, str) and value.isdecimal() and len(value) <= 12:
        return float(value)  # some say it as a text
    if isinstance(value, int) and not isinstance(value, bool):
        value = min(max(value, -_FAR_S), _FAR_S)  # one of JSON's may be beyond any float
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise NotGranted("the provider doesn't say in seconds how long its token is good for", hint="the provider's administrator")
    return value


def _claims(token: str) -> Mapping[str, Any]:
    """The claims of a JWT; empty where `token` is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = msgspec.json.decode(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
