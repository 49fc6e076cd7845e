"""Arguments as they may be recorded (POLICY.md §7).

Every key stays. Values under a key that sounds like a secret, and values of the shape of a known token, become ``[redacted]``.
Where a call was simply allowed, long strings are shortened; for ``log`` and ``ask`` nothing is. Redaction is a help, not a promise
(POLICY.md §8).
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, Final

REDACTED: Final = "[redacted]"

SHORTENED: Final = 256
"""Longest string, in characters, in the record of a call that was simply allowed."""

SHORTEST_TOKEN: Final = 12
"""No known token is shorter, in characters; shorter strings aren't searched."""


_COUNTS: Final = ("tokens", "count", "max", "min", "limit", "budget", "length", "size", "ttl", "expire")


@cache
def _secret_key() -> re.Pattern[str]:
    # compiled on first use: 10 ms for both, which the start needn't wait for
    return re.compile(
        r"pass(word|wd|phrase|code)|^pwd$|^pin$|secret|token|api[-_. ]?key|access[-_. ]?key|private[-_. ]?key|signing[-_. ]?key"
        r"|authori[sz]ation|^auth$|cookie|credential|bearer|^otp$|^jwt$|session[-_. ]?id|connection[-_. ]?string|^dsn$",
        re.IGNORECASE,
    )


@cache
def _token() -> re.Pattern[str]:
    return re.compile(
        r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|sk-[A-Za-z0-9_-]{16,}"
        r"|sk_(?:live|test)_[A-Za-z0-9]{12,}|xox[abeprs]-[A-Za-z0-9-]{10,}|A[KS]IA[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{30,}"
        r"|ya29\.[A-Za-z0-9_-]{16,}|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{30,}|hf_[A-Za-z0-9]{20,}|dop_v1_[a-f0-9]{32,}"
        # (from a word's beginning only: each of many "eyJ" in one word would be followed to the word's end)
        r"|(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*"
        r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
        r"|(?i:bearer|basic)\s+[A-Za-z0-9+/_.~=-]{12,}|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
    )


def redact(value: Any, *, whole: bool) -> Any:
    """A copy of `value` that may be recorded; `whole` keeps long strings as they are."""
    kind = type(value)
    if kind is str:
        return _text(value, whole)
    if kind is dict:
        return {
            key: REDACTED if item is not None and type(item) is not bool and sounds_secret(key) and not _is_count(key, item)
            else item if type(item) is int or type(item) is bool
            else redact(item, whole=whole)
            for key, item in value.items()
        }  # fmt: skip
    if kind is list:
        return [redact(item, whole=whole) for item in value]
    return value


def sounds_secret(key: str) -> bool:
    """True where a name or key speaks of a secret."""
    # (only short keys are kept: the cache is bounded in entries)
    return _known_key(key) if len(key) <= SHORTENED else _secret_key().search(key) is not None


@lru_cache(maxsize=1024)
def _known_key(key: str) -> bool:
    return _secret_key().search(key) is not None


def _is_count(key: str, item: Any) -> bool:
    """True for a number that says how many or how long (``maxTokens``), not for one that is a secret (``pin``)."""
    return isinstance(item, (int, float, Decimal)) and any(word in key.lower() for word in _COUNTS)


def _text(value: str, whole: bool) -> str:
    size = len(value)
    if size < SHORTEST_TOKEN:
        return value
    if not whole and size > SHORTENED:
        # cut after redaction, so that a token on the edge doesn't leave its head behind
        return f"{_token().sub(REDACTED, value[: SHORTENED * 2])[:SHORTENED]}… ({size} characters)"
    return _token().sub(REDACTED, value)


def has_token(text: str) -> bool:
    """True where a part of `text` has the shape of a known token."""
    return len(text) >= SHORTEST_TOKEN and _token().search(text) is not None
