"""Where an error in a text stands, and what of a text the parser is given."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from mcpwrap.errors import ConfigError
from mcpwrap.policy.folders import FILE_LIMIT
from mcpwrap.policy.toml import nearest, parse


@pytest.mark.parametrize(
    ("data", "place", "excerpt"),
    [
        (b"a = 1\n\nb = '\xff'\n", "f:3:6", ""),
        (b"\xff", "f:1:1", ""),
        (b"\na\xff", "f:2:2", ""),
        ("é = '\udcff'\n".encode("utf-8", "surrogateescape"), "f:1:6", ""),
        (b"a = 1 b\n", "f:1:7", "a = 1 b"),
        (b"\n\n  a = 1 b", "f:3:9", "a = 1 b"),
        (b"a = 1\nb = [1,\n", "f:3:1", ""),
        (b"a = 1\nb = 2\na = 3\n", "f:3:6", "a = 3"),
        (b"a = 'x", "f:1:5", "a = 'x"),
        (b"\na = 'x", "f:2:5", "a = 'x"),
        (b"a = 1\n\nb = " + b"1" * 99 + b"\n", "f:3:5", "b = " + "1" * 99),
    ],
)
def test_an_error_is_told_where_it_stands(data: bytes, place: str, excerpt: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(data, file="f")
    assert caught.value.place == place
    assert caught.value.excerpt == excerpt


def test_lines_may_end_as_on_windows() -> None:
    document = parse(b"a = 1\r\nb = '''x\r\ny'''\r\nc = 3\r\n", file="f")
    assert document.text == "a = 1\nb = '''x\ny'''\nc = 3\n"
    assert document.tree == {"a": 1, "b": "x\ny", "c": 3}
    assert document.places.place(("c",)) == (4, 1)


def test_a_file_may_be_as_long_as_its_bound() -> None:
    parse(b"#" * FILE_LIMIT, file="f")
    with pytest.raises(ConfigError, match="longer than"):
        parse(b"#" * (FILE_LIMIT + 1), file="f")


def test_the_parser_is_given_no_more_than_was_seen_to_be_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    loads = tomllib.loads

    def noted(text: str) -> dict[str, Any]:
        given.append(text)
        return loads(text)

    monkeypatch.setattr(tomllib, "loads", noted)
    for data in (b"a = 1 b\nc = 1\nd d\n", b"\na = 1 b", b"a = 1 " + b"b" * 10_000 + b"\n", b"a\n"):
        with pytest.raises(ConfigError):
            parse(data, file="f")
    assert given == ["a = 1 b\n", "\na = 1 b", "a\n"]


def test_the_nearest_word_is_one() -> None:
    assert nearest("alow", ["log", "allow", "all"]) == "allow"
    assert nearest("x" * 1000, ["y"]) is None
