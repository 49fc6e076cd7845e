"""Words by which a server asks a person for a secret, or passes for mcpwrap.

This is a net with wide meshes: it stops who asks plainly, not every way of asking. Names of fields are judged by their words,
prose only where it asks, so that a "token count" and "confirm that the tests pass" go on. What is compared are skeletons, in which
letters that look alike are one.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Final

from mcpwrap.core.disguise import skeleton
from mcpwrap.core.visible import INVISIBLE

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SENTENCE: Final = re.compile(r"[.!?;](?=\s|$)|\n")


def words(text: str) -> tuple[str, ...]:
    """The skeletons of the words in `text`; camel and snake case are taken apart, accents and hidden characters taken away."""
    if not text.isascii():
        # one by one: the marks are taken away, so their order, which takes the square of their number to make, doesn't matter
        apart = (each for c in INVISIBLE.sub("", text) for each in unicodedata.normalize("NFKD", c))
        text = "".join(c for c in apart if not unicodedata.combining(c))
    return tuple(filter(None, map(skeleton, re.split(r"[\W_]+", _CAMEL.sub(" ", text)))))


@cache
def _alike(pattern: str) -> re.Pattern[str]:
    """`pattern`, written in plain letters and with no digit 0 or 1, for skeletons; compiled when it is needed, which is seldom."""
    return re.compile(pattern.translate({ord("i"): "l"}))


_SECRETS: Final = "|".join(
    (
        r"pass ?(?:words?|wd|phrases?|codes?)|pwd|credentials?|secrets?|token|otp|totp|mnemonic|cv[vc]2?|csc",
        r"(?:api|access|private|secret|ssh|gpg|pgp|signing|encryption|master|auth|account|deploy|recovery) ?keys?",
        r"(?:access|auth|bearer|refresh|session) ?tokens?|client ?secret",
        r"(?:seed|recovery|backup) ?(?:phrase|words)",
        r"(?:security|verification|authentication|authorization|auth|recovery|backup|login|sms|2fa|mfa|factor|time) ?codes?",
        r"(?:card|cc) ?(?:number|no|num)|(?:credit|debit|bank) ?card",
        # the same in some other languages
        r"passwort|kennwort|contrasena|senha|wachtwoord|parola|haslo",
    )
)
"""What grants access or authorizes a payment: sensitive in the words of MCP 2025-11-25, client/elicitation."""

# as `words` has them: it takes the marks away, and Japanese writes ド as ト with a mark
_ELSEWHERE: Final = frozenset(each for text in ("пароль", "密码", "密碼", "パスワード", "비밀번호") for each in words(text))

_NEUTRAL: Final = (
    "names?|ids?|counts?|counter|length|size|limits?|budget|max|maximum|min|minimum|policy|policies|type|kind|format|expiry|expires|"
    "expiration|ttl|age|lifetime|managers?|path|file|filename|usage|rotation|version|arn|ref|reference|label|scopes?|required|title|"
    "description|strength|hint|field|reset|change|requests?|symbol|standard|price|supply|per|window|costs?|generator|store|santa|holder"
)
"""What turns the word before it into something else: a password *policy*, a token *count*."""

_SECRET: Final = rf"(?:{_SECRETS})\b(?! (?:{_NEUTRAL})\b)"

_NAMED: Final = rf"\b{_SECRET}"

_PIN: Final = skeleton("pin")
_PIN_COMPANY: Final = frozenset(
    map(
        skeleton,
        ("pin", "code", "number", "card", "your", "bank", "sim", "the", "a", "enter", "digit", "4", "6", "current", "new", "old"),
    )
)
_TOKEN_COUNTS: Final = frozenset(
    map(
        skeleton,
        ("max", "maximum", "min", "minimum", "total", "number", "num", "prompt", "completion", "input", "output", "context"),
    )
)

_STRONG: Final = (
    "(?:re ?)?(?:enter|type)|provide|supply|input|paste|submit|fill in|insert|needs?|requires?|what is|what s"
    "|(?:give|tell|send) (?:us|me)"
)
_WEAK: Final = "confirm|verify|share|tell|give|send|put|add|set|use|know|want|with"
_BREAK: Final = (
    "for|of|to|which|whose|about|with|without|how|when|if|name|that|where|from|in|into|and|or|not|only|number|delete|remove|rotate|"
    r"revoke|reset|create|list|store|save|use|update|change|\w*ing"
)
_FILLER: Final = rf"(?:(?!(?:{_BREAK})\b)\w+ ){{,5}}"
"""Up to five words between the verb and what it asks for, none of which begins another thought."""

_NOT: Final = r"(?<!\bnot )(?<!\bnever )(?<!\bdont )(?<!\bdon t )"
"""A warning isn't a question."""

_ASKED: Final = (
    rf"{_NOT}\b(?:{_STRONG}) {_FILLER}{_SECRET}"
    rf"|{_NOT}\b(?:{_WEAK}) (?:(?:us|me|with|using) )*your (?:\w+ ){{,3}}{_SECRET}"
    rf"|\b{_SECRET} (?:(?:is|are|must be) )?(?:needed|required|please|expected)\b"
    rf"|^(?:please )?(?:your (?:\w+ ){{,3}})?{_SECRET}$"
    rf"|\byour (?:\w+ )?pin\b(?! (?:{_NEUTRAL})\b)"
    rf"|{_NOT}\b(?:{_STRONG}) (?:(?:the|a|digit|4|6) )*pin\b(?! (?:{_NEUTRAL})\b)"
)

_PASSING_FOR_US: Final = (
    r"(?<![^\W\d_])m ?c ?p ?(?:w|vv) ?r ?a ?p(?!\w)"
    r"|\b(?:approve|allow|permit|authori[sz]e|confirm) (?:this|the|that) tool\b"
    r"|\btrust this (?:project|folder|workspace|server)\b"
    r"|\ballow (?:once|for this session)\b"
)


def asks_as_field(name: str, *, number: bool = False) -> bool:
    """True where a field of this name or title takes a secret; a `number` is no token, but may be a PIN or that of a card."""
    found = words(name)
    if (_PIN in found and _PIN_COMPANY.issuperset(found)) or not _ELSEWHERE.isdisjoint(found):
        return True
    match = _alike(_NAMED).search(" ".join(found))
    if match is None:
        return False
    return not (match[0] == "token" and (number or not _TOKEN_COUNTS.isdisjoint(found)))


def asks_in_prose(text: str) -> bool:
    """True where a sentence of `text` asks for a secret."""
    return any(_alike(_ASKED).search(" ".join(words(sentence))) for sentence in _SENTENCE.split(text))


def passes_for_us(text: str) -> bool:
    """True where `text` names mcpwrap or asks as mcpwrap does."""
    return _alike(_PASSING_FOR_US).search(" ".join(words(text))) is not None
