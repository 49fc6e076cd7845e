"""What a token endpoint answers (RFC 6749 §5.1), taken apart and bounded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from mcpwrap.errors import LoginError
from mcpwrap.identity.logins import AccessToken

TOKEN_LIMIT: Final = 64 * 1024
"""Characters of one token; JWTs with hundreds of groups have some 20,000."""

DEFAULT_S: Final = 300.0
"""How long an access token counts for us where the provider doesn't say (``expires_in`` is only recommended)."""

LONGEST_S: Final = 366 * 86_400.0
"""Longest time that a token is believed to count, in seconds; what is said beyond can't be meant."""

# what may stand in a header (RFC 6750 §2.1) and in a form alike; anything else could split one
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")


class Tokens(msgspec.Struct, frozen=True):
    """One answer. `refresh_token` and `id_token` are "" where there is none; `scope` is None where the answer doesn't name it (then
    it is what was asked for)."""

    access: AccessToken
    refresh_token: str = ""
    id_token: str = ""
    scope: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return "Tokens(…)"


def tokens_of(answer: Mapping[str, Any], *, who: str, now: float) -> Tokens:
    """`answer` of the provider `who` (its host), received at `now` (seconds since the epoch).

    Raises:
        LoginError: it has no bearer token that can be used.
    """
    kind = answer.get("token_type")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise LoginError(f"{who} gave a token of a kind that can't be used here", hint="mcpwrap uses bearer tokens (RFC 6750)")
    scope = answer.get("scope")
    granted = tuple(dict.fromkeys(scope.split())) if isinstance(scope, str) else None
    return Tokens(
        access=AccessToken(
            token=_token(answer, "access_token", who, needed=True),
            expires_at=now + _lifetime_s(answer.get("expires_in")),
            obtained_at=now,
            scope=granted or (),
        ),
        refresh_token=_token(answer, "refresh_token", who),
        id_token=_token(answer, "id_token", who),
        scope=granted,
    )


def _token(answer: Mapping[str, Any], name: str, who: str, *, needed: bool = False) -> str:
    value = answer.get(name)
    if value in (None, "") and not needed:
        return ""
    if not isinstance(value, str) or len(value) > TOKEN_LIMIT or not _TOKEN.fullmatch(value):
        raise LoginError(f"{who} gave {'no' if not value else 'an odd'} {name.replace('_', ' ')}")
    return value


def _lifetime_s(value: object) -> float:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        value = int(value)  # some providers write it as a text
    if isinstance(value, bool) or not isinstance(value, int | float):
        return DEFAULT_S
    return float(min(max(value, 0), LONGEST_S))
