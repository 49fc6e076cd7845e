from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpwrap.core.visible import INVISIBLE, spell_out


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("\x1b[31mred\x1b[0m", "\\u{1b}[31mred\\u{1b}[0m"),
        ("a\r\nb\tc\0", "a\\u{d}\\u{a}b\\u{9}c\\u{0}"),
        ("\x9b31m", "\\u{9b}31m"),
        ("\x7f", "\\u{7f}"),
        ("safe\u202egpj.exe", "safe\\u{202e}gpj.exe"),
        ("\u2066x\u2069\u061c\u200f", "\\u{2066}x\\u{2069}\\u{61c}\\u{200f}"),
        ("zero\u200bwidth\u2060\ufeff\xad", "zero\\u{200b}width\\u{2060}\\u{feff}\\u{ad}"),
        ("\U000e0041\U000e007f\U000e0100\ufe0f", "\\u{e0041}\\u{e007f}\\u{e0100}\\u{fe0f}"),
        ("line\u2028end\u2029", "line\\u{2028}end\\u{2029}"),
        ("\ud800", "\\u{d800}"),
    ],
)
def test_what_moves_the_cursor_or_cannot_be_seen_is_spelled_out(text: str, spelled: str) -> None:
    assert spell_out(text) == spelled


@pytest.mark.parametrize("text", ["", "plain", "naïve café", "日本語", "C:\\users\\u", "\\x1b", "🙂"])
def test_what_can_be_seen_stays_as_it_is(text: str) -> None:
    assert spell_out(text) == text


def test_a_literal_spelling_cannot_be_taken_for_a_spelled_out_character() -> None:
    assert spell_out("\\u{202e}") == "\\u{5c}u{202e}"


def test_a_spelling_is_never_cut_in_two() -> None:
    assert spell_out("abc\x1bdef", limit=9) == "abc…"
    assert spell_out("abc\x1bdef", limit=10) == "abc\\u{1b}…"
    assert spell_out("abc\x1b", limit=9) == "abc\\u{1b}"


@given(st.text(st.characters()))
def test_nothing_invisible_is_left_and_two_texts_never_look_alike(text: str) -> None:
    spelled = spell_out(text)
    assert INVISIBLE.search(spelled) is None
    assert re.sub(r"\\u\{([0-9a-f]+)\}", lambda m: chr(int(m[1], 16)), spelled) == text


@given(st.text(st.characters()), st.integers(1, 40))
def test_a_limit_holds_and_only_a_cut_text_ends_in_an_ellipsis(text: str, limit: int) -> None:
    spelled = spell_out(text, limit=limit)
    whole = spell_out(text)
    assert len(spelled) <= limit
    assert spelled == whole or (len(whole) > limit and spelled[-1] == "…" and whole.startswith(spelled[:-1]))


RANGES = [
    *((0x0, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5)),
    *(
        (0x180B, 0x180F),
        (0x200B, 0x200F),
        (0x2028, 0x202E),
        (0x2060, 0x206F),
        (0x3164, 0x3164),
        (0xD800, 0xDFFF),
        (0xFE00, 0xFE0F),
        (0xFEFF, 0xFEFF),
    ),
    *((0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
]


def test_what_a_person_cant_see_is_this_and_nothing_else() -> None:
    invisible = {code for first, last in RANGES for code in range(first, last + 1)}
    near = {code + step for code in invisible for step in (-1, 0, 1)} - {-1} | set(range(0x500))
    assert {code for code in near if INVISIBLE.match(chr(code))} == invisible
