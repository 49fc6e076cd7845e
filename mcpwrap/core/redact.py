"""Arguments as they may be recorded (POLICY.md §7).

Every key stays. Values under a key that sounds like a secret, and values of the shape of a known token, become ``[redacted]``.
Secrets that were delivered to the server become it wherever they stand (`Known`). Where a call was simply allowed, long strings are
shortened; for ``log`` and ``ask`` nothing is. Redaction is a help, not a promise (POLICY.md §8).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, Final

from mcpwrap.secret import Secret

REDACTED: Final = "[redacted]"

SHORTENED: Final = 256
"""Longest string, in characters, in the record of a call that was simply allowed."""

SHORTEST_TOKEN: Final = 12
"""No known token is shorter, in characters; shorter strings aren't searched."""


KNOWN_LENGTH: Final = 8
"""Shortest secret, in characters, that is redacted by its value: a shorter one would stand in many a word."""

KNOWN_KEPT: Final = 32
"""Delivered secrets that are kept in mind, each sought in each text: a token of some minutes is known for hours after it was
replaced."""

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


class Known:
    """Secrets that were delivered, the newest first. It shows none of them."""

    __slots__ = ("_heads", "_secrets", "_texts")

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._secrets = tuple(dict.fromkeys(secrets))[:KNOWN_KEPT]
        texts = {secret.reveal() for secret in self._secrets}
        # one may begin with another: the longer one first, so that nothing of it is left over
        self._texts = tuple(sorted((text for text in texts if len(text) >= KNOWN_LENGTH), key=len, reverse=True))
        # (tokens of one issuer begin alike: most texts are told to hold none of them by one look)
        self._heads = tuple({text[:KNOWN_LENGTH] for text in self._texts})

    def __repr__(self) -> str:
        return f"Known({len(self._texts)})"

    def and_before(self, secrets: Iterable[Secret]) -> Known:
        """These, and `secrets`, which are newer."""
        return Known((*secrets, *self._secrets))

    def _may_be_in(self, text: str) -> bool:
        for head in self._heads:  # noqa: SIM110 - a generator costs more than the look
            if head in text:
                return True
        return False

    def redacted(self, text: str) -> str:
        """`text` without them, and without the beginning of one that it ends in the middle of."""
        if len(text) < KNOWN_LENGTH or not self._may_be_in(text):
            return text
        for secret in self._texts:
            if secret in text:
                text = text.replace(secret, REDACTED)
        for secret in self._texts:
            text = _without_beginning(text, secret)
        return text


def _without_beginning(text: str, secret: str) -> str:
    """`text` without the beginning of `secret` at its end: it was cut."""
    head = secret[:KNOWN_LENGTH]
    at = text.find(head, max(len(text) - len(secret), 0))
    while at >= 0:
        if secret.startswith(text[at:]):
            return text[:at] + REDACTED
        at = text.find(head, at + 1)
    return text


def redact(value: Any, *, whole: bool, known: Known | None = None) -> Any:
    """A copy of `value` that may be recorded; `whole` keeps long strings as they are, `known` are what was delivered."""
    kind = type(value)
    if kind is str:
        return _text(value if known is None else known.redacted(value), whole)
    if kind is dict:
        return {
            key if known is None else known.redacted(key):
            REDACTED if item is not None and type(item) is not bool and sounds_secret(key) and not _is_count(key, item)
            else item if type(item) is int or type(item) is bool
            else redact(item, whole=whole, known=known)
            for key, item in value.items()
        }  # fmt: skip
    if kind is list:
        return [redact(item, whole=whole, known=known) for item in value]
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
