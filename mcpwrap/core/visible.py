"""Text of others made visible before a person sees it.

A server's or a repository's text may hold characters that move the cursor, turn the reading direction round, or can't
be seen at all. Each of them is spelled out as ``\\u{202e}``. The spelling is unambiguous: a literal ``\\u{`` comes out
as ``\\u{5c}u{``.
"""

from __future__ import annotations

import re
from typing import Final

_RANGES: Final = (
    ("\x00", "\x1f"),  # C0: escape sequences, line breaks, tabs
    ("\x7f", "\x9f"),  # DEL and C1: escape sequences in one character
    (
        "\xad",
        "\xad",
    ),  # what follows, but for the last four lines: Default_Ignorable_Code_Point (Unicode 16, DerivedCoreProperties)
    ("\u034f", "\u034f"),
    ("\u061c", "\u061c"),  # bidi: Arabic letter mark
    ("\u115f", "\u1160"),
    ("\u17b4", "\u17b5"),
    ("\u180b", "\u180f"),
    ("\u200b", "\u200f"),  # zero-width; bidi marks
    ("\u202a", "\u202e"),  # bidi embeddings and overrides
    ("\u2060", "\u206f"),  # zero-width; bidi isolates
    ("\u3164", "\u3164"),
    ("\ufe00", "\ufe0f"),  # variation selectors
    ("\ufeff", "\ufeff"),
    ("\uffa0", "\uffa0"),
    ("\ufff0", "\ufff8"),
    ("\U0001bca0", "\U0001bca3"),
    ("\U0001d173", "\U0001d17a"),
    ("\U000e0000", "\U000e0fff"),  # tag characters, more variation selectors
    ("\u2028", "\u2029"),  # line and paragraph separators
    ("\ud800", "\udfff"),  # lone surrogates: can't be written in UTF-8
    ("\ufff9", "\ufffb"),  # interlinear annotation: hides what it encloses
    ("\U00013430", "\U0001343f"),  # hieroglyph format controls
)

INVISIBLE: Final = re.compile("[" + "".join(f"{first}-{last}" for first, last in _RANGES) + "]")
"""One character that a person can't see or that changes how others are seen."""

_SPELLED: Final = re.compile(INVISIBLE.pattern + r"|\\(?=u\{)")

_ELLIPSIS: Final = "…"


def spell_out(text: str, *, limit: int | None = None) -> str:
    """`text` in visible characters on one line.

    With `limit` (at least 1) the result has at most that many characters and ends with ``…`` where it was cut; a
    spelling is never cut in two, and no more of `text` than that is looked at.
    """
    if limit is None:
        return _spell(text)
    whole = _spell(text[: limit + 1])
    if len(whole) <= limit:
        return whole
    kept = 0
    for match in re.finditer(r"\\u\{[0-9a-f]{1,6}\}|.", whole):  # pragma: no branch - one match ends past the limit
        if match.end() > limit - len(_ELLIPSIS):
            break
        kept = match.end()
    return whole[:kept] + _ELLIPSIS


def _spell(text: str) -> str:
    if text.isprintable() and text.isascii() and "\\u{" not in text:
        return text
    return _SPELLED.sub(lambda match: f"\\u{{{ord(match[0]):x}}}", text)
