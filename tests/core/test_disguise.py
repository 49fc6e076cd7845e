"""Definitions that deceive: hidden characters, and names that look like others."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from mcpwrap.core.disguise import Others, disguised, hidden_in, skeleton
from mcpwrap.core.patterns import NAME_LIMIT


@pytest.mark.parametrize("name", ["read_file", "a/b.c-d", "", "café", "検索API", "читать", "ファイルを読む", "파일_읽기"])
def test_a_name_in_one_script_is_what_it_is(name: str) -> None:
    assert disguised(name) == ""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("read\u200bfile", "its name holds the hidden character U+200B"),
        ("read\u202efile", "its name holds the hidden character U+202E"),
        ("read\nfile", "its name holds the hidden character U+000A"),
        ("re\U000e0041ad", "its name holds the hidden character U+E0041"),
        ("ｒead", "its name holds characters that stand for others (it isn't its own NFKC)"),
        ("re\ufb01le", "its name holds characters that stand for others (it isn't its own NFKC)"),
        ("read_fіle", "its name only looks like `read_file`"),
        ("аррӏе", "its name only looks like `apple`"),
        ("Αdd", "its name only looks like `Add`"),
        ("read‐file", "its name only looks like `read-file`"),
        ("sendжfile", "its name mixes letters of several scripts"),
        ("읽기ж", "its name mixes letters of several scripts"),
    ],
)
def test_a_name_that_is_not_what_it_looks_like_is_told(name: str, why: str) -> None:
    assert disguised(name) == why


@pytest.mark.parametrize(
    "definition",
    [
        {"description": "line\n\tand line\r\n"},
        {"description": "⚠️ careful, 1️⃣ first, 👨‍👩‍👧 and ☎️ and 🏳️‍🌈"},
        {"description": "naïve 検索 “quoted” …"},
        {"n": [1, 1.5, None, True, {"deep": []}]},
    ],
)
def test_ordinary_text_hides_nothing(definition: Any) -> None:
    assert hidden_in(definition) == ""


@pytest.mark.parametrize(
    ("definition", "shown"),
    [
        ({"description": "a\u200bb"}, "U+200B"),
        ({"description": "\x1b[2Jgone"}, "U+001B"),
        ({"description": "\x9b31m"}, "U+009B"),
        ({"inputSchema": {"properties": {"a\u200b": {}}}}, "U+200B"),
        ({"inputSchema": {"properties": {"a\n": {}}}}, "U+000A"),
        ({"enum": ["x", "\U000e0041"]}, "U+E0041"),
        ({"default": [{"y": "\u202e"}]}, "U+202E"),
        ({"description": "a\ufe0fb"}, "U+FE0F"),
        ({"description": "a\u200d👧"}, "U+200D"),
        ({"description": "\ud800"}, "U+D800"),
    ],
)
def test_what_nobody_sees_is_found_at_any_depth(definition: Any, shown: str) -> None:
    assert hidden_in(definition) == shown


def test_names_that_a_quick_reader_takes_for_each_other_have_one_skeleton() -> None:
    alike = ["send_email", "sendEmail", "send-email", "Send.Email", "sеnd_еmail", "send_emai1", "send_ema1l", "sendｅmail"]
    assert len({skeleton(name) for name in alike}) == 1
    assert skeleton("return") == skeleton("retum")
    assert skeleton("send_email") != skeleton("send_mail")


def test_another_servers_name_is_an_imitation_unless_the_definition_is_the_same() -> None:
    others = Others({"send_email": "d1"})
    assert others.imitated("send_email", "d1") == ""
    assert others.imitated("send_email", "d2") == "another server of this project has a tool of that name"
    assert others.imitated("send_email", None) == "another server of this project has a tool of that name"
    assert others.imitated("sendEmail", "d1") == "its name looks like `send_email`, a tool of another server of this project"
    assert others.imitated("read_file", "d1") == ""


def test_names_without_digests_are_never_the_same() -> None:
    assert Others(frozenset({"x"})).imitated("x", "d") == "another server of this project has a tool of that name"
    assert Others(frozenset()).imitated("x", "d") == ""


MARKS = "\u0315\u0300"
"""Two marks that normalising puts into the other order."""


class Letters(str):
    """A name that mustn't be looked at."""

    __slots__ = ()

    def isascii(self) -> bool:
        raise AssertionError

    def translate(self, table: Any) -> str:
        raise AssertionError

    def __iter__(self) -> Any:
        raise AssertionError


def test_a_name_that_no_rule_matches_is_disguised_before_anything_is_computed_on_it() -> None:
    why = f"its name is longer than {NAME_LIMIT} characters"
    long = Letters("é" * (NAME_LIMIT + 1))
    assert disguised(long) == why
    assert Others({"x": "d"}).imitated(long, "d") == why
    assert Others({long: "d", "x": "d"}).imitated(long, "d") == why
    assert (
        Others({long: "d", "a_b": "d"}).imitated("ab", "d") == "its name looks like `a_b`, a tool of another server of this project"
    )
    assert disguised("é" * NAME_LIMIT) == ""


@pytest.mark.parametrize("name", ["e" + MARKS * 16, "\u0390" + "\u0301" * 29, "a" + "\u0344" * 16])
def test_a_pile_of_marks_is_disguised_without_being_sorted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = unicodedata.normalize

    def normalize(form: Any, text: str) -> str:
        assert sum(map(bool, map(unicodedata.combining, text))) <= 30
        return real(form, text)

    monkeypatch.setattr(unicodedata, "normalize", normalize)
    assert disguised(name) == "its name has more than 30 marks on one letter"
    assert skeleton("x" + name) == skeleton("x" + name[0])
    assert disguised("e" + "\u0323" * 30) != "its name has more than 30 marks on one letter"


def test_hidden_characters_are_found_at_the_end_of_what_is_nearly_harmless() -> None:
    for part in ("👧\u200d", "1\ufe0f", "👧\ufe0f\u200d👧", "👧"):
        assert hidden_in({"description": part * 100_000 + "\u200b"}).startswith("U+")
    assert hidden_in({"description": "👧\u200d" * 100_000 + "👧"}) == ""
    assert hidden_in(["x" * 1000] * 10_000) == ""


@pytest.mark.parametrize("name", ["api파일", "ファイルー", "apiㄅ", "検索ー파일"])
def test_scripts_of_east_asia_stand_together(name: str) -> None:
    assert disguised(name) == ""


def test_a_skeleton_is_the_same_for_what_looks_the_same_and_only_for_that() -> None:
    assert skeleton("cafe\u0301") == skeleton("café") != skeleton("cafe")
    assert skeleton("re\u200bad") == skeleton("read")


def test_a_name_may_begin_with_a_mark() -> None:
    assert disguised("\u0301b") == ""
    assert disguised("\u0301" * 31) == "its name has more than 30 marks on one letter"


def test_where_there_are_no_others_nothing_is_imitated() -> None:
    assert Others(()).imitated("x" * (NAME_LIMIT + 1), None) == ""
    assert "longer than" in Others(["a"]).imitated("x" * (NAME_LIMIT + 1), None)
