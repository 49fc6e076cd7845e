"""Positions of keys and elements in a TOML text, and the bounds on it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpwrap.errors import ConfigError
from mcpwrap.policy.places import DEPTH_LIMIT, KEY_LIMIT, VALUE_LIMIT, Path, Places, Stumble
from mcpwrap.policy.toml import parse

TEXT = """\
version = 1   # a comment with [brackets] = "and" {more}

[servers.files]
command = ["npx", "-y",
  # "not this one"
  "server@1", '${project}']
env = { LEVEL = "info", "odd key" = 'x' }
a.b . c = 1979-05-27 07:32:00
text = \"\"\"
[not.a.header]
key = 1 \\\"\"\" still
\"\"\"\"
after = true
[[servers.files.rules]]
deny = ["*"]
[[servers.files.rules]]
  [servers.files.rules.args]
  "p\\u0061th" = '''x'''
[servers.'web shop']
allow = []
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("version",), (1, 1)),
        (("servers",), (3, 1)),
        (("servers", "files"), (3, 1)),
        (("servers", "files", "command"), (4, 1)),
        (("servers", "files", "command", 0), (4, 12)),
        (("servers", "files", "command", 2), (6, 3)),
        (("servers", "files", "command", 3), (6, 15)),
        (("servers", "files", "env", "LEVEL"), (7, 9)),
        (("servers", "files", "env", "odd key"), (7, 25)),
        (("servers", "files", "a", "b", "c"), (8, 1)),
        (("servers", "files", "text"), (9, 1)),
        (("servers", "files", "after"), (13, 1)),
        (("servers", "files", "rules", 0), (14, 1)),
        (("servers", "files", "rules", 0, "deny", 0), (15, 9)),
        (("servers", "files", "rules", 1), (16, 1)),
        (("servers", "files", "rules", 1, "args", "path"), (18, 3)),
        (("servers", "web shop", "allow"), (20, 1)),
    ],
)
def test_every_key_and_element_has_its_own_line_and_column(path: Path, place: tuple[int, int]) -> None:
    assert Places(TEXT).place(path) == place


def test_a_path_that_stands_nowhere_has_the_place_of_what_is_around_it() -> None:
    assert Places(TEXT).place(("servers", "files", "command", 9)) == (4, 1)
    assert Places(TEXT).place(("nothing",)) == (1, 1)


def test_a_header_is_the_place_of_a_table_that_a_deeper_header_mentioned_first() -> None:
    assert Places("[a.b]\nx = 1\n[a]\ny = 2\n").place(("a",)) == (3, 1)


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from paths(inner, (*path, i))


def test_every_path_of_the_parsed_value_has_a_place() -> None:
    places = Places(TEXT)
    assert {path for path in paths(tomllib.loads(TEXT)) if path not in places.keys} == set()


KEYS = st.one_of(
    st.sampled_from(["a", "b-1", "servers", "allow"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="'\"\\"), max_size=8).map(
        lambda k: f"'{k}'"
    ),
    st.sampled_from(['"a\\u0062"', '"x.y"', '"\\""']),
)
DOTTED = st.lists(KEYS, min_size=1, max_size=3).map(".".join)
SCALARS = st.sampled_from(
    [
        "1",
        "-1.5e3",
        "true",
        "1979-05-27",
        "1979-05-27 07:32:00Z",
        "07:32:00",
        "inf",
        '"a # b"',
        "'c ] }'",
        '"""x\n"y""z"""',
        "'''\n'q'''",
        '""',
    ]
)
VALUES: st.SearchStrategy[str] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda v: "[ " + " ,\n # comment ]\n".join(v) + " ]"),
        st.dictionaries(KEYS, inner, max_size=3).map(lambda v: "{ " + ", ".join(f"{k} = {x}" for k, x in v.items()) + " }"),
    ),
    max_leaves=6,
)
LINES = st.one_of(
    st.tuples(DOTTED, VALUES).map(lambda kv: f"{kv[0]} = {kv[1]}"),
    DOTTED.map(lambda k: f"[ {k} ]"),
    DOTTED.map(lambda k: f"[[{k}]] # array"),
    st.sampled_from(["", "# comment", "  "]),
)


@given(st.lists(LINES, max_size=12).map("\n".join))
def test_what_tomllib_takes_is_walked_to_its_end_and_every_path_has_a_place(text: str) -> None:
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    places = Places(text)
    for path in paths(tree):
        assert path in places.keys


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("a" * (KEY_LIMIT + 1) + " = 1", "a key is longer than 256 bytes"),
        ("a" + ".a" * 20_000 + " = 1", "a key is longer than 256 bytes"),
        ('"' + "é" * 200 + '" = 1', "a key is longer than 256 bytes"),
        ("[" + "a." * 20_000 + "a]", "a key is longer than 256 bytes"),
        ("x = " + "[" * (DEPTH_LIMIT + 2), "arrays and tables are nested deeper than 16"),
        ("x = " + "{a=" * (DEPTH_LIMIT + 2), "arrays and tables are nested deeper than 16"),
        ("x = [" + "1," * (VALUE_LIMIT + 1) + "]", "there are more than 20,000 keys and values"),
        ("x = " + "9" * 5000, "a value without quotes is longer than 64 characters"),
    ],
)
def test_what_would_cost_the_parser_too_much_is_refused_before_it(text: str, bound: str) -> None:
    with pytest.raises(Stumble) as caught:
        Places(text)
    assert caught.value.bound == bound
    with pytest.raises(ConfigError, match=bound):
        parse(text.encode(), file="mcpwrap.toml")


@pytest.mark.parametrize(
    ("data", "place", "message", "excerpt"),
    [
        (b"a = 1\nb = [1\nc = 2\n", "f:3:1", "no valid TOML: ", "c = 2"),
        (b'a = 1\nb = "never\n', "f:2:5", "a string has no end", 'b = "never'),
        (b"a = 1\na = 2\n", "f:2:6", "no valid TOML: ", "a = 2"),
        (b"a = 1\r\n[b\r\n", "f:2:3", "no valid TOML: ", "[b"),
        (b"a = 1 b = 2", "f:1:7", "no valid TOML: ", "a = 1 b = 2"),
        (b"x = [1 2]", "f:1:8", "no valid TOML: ", "x = [1 2]"),
        (b"x = {a = 1 b = 2}", "f:1:12", "no valid TOML: ", ""),
        (b"x = {a}", "f:1:7", "no valid TOML: ", ""),
        (b"x = # nothing", "f:1:5", "no valid TOML: ", ""),
        (b"x", "f:1:2", "no valid TOML: ", ""),
        (b'x = """' + b"a" * 5000, "f:1:5", "a string has no end", ""),
        (b"x = '''\n" + b"a\n" * 5, "f:1:5", "a string has no end", ""),
        (b'x = "a" "b"', "f:1:9", "no valid TOML: ", ""),
        (b'x = ["a" "b"]', "f:1:10", "no valid TOML: ", ""),
        (b'"x = 1', "f:1:1", "a string has no end", '"x = 1'),
        (b"= " + b"a" * 5000, "f:1:1", "this is no TOML", ""),
        (b"a = tru", "f:1:5", "no valid TOML: ", "a = tru"),
        (b"[a]\nx = 1\n[a]\n", "f:3:3", "no valid TOML: ", "[a]"),
        (b"a = 1\rb = 2", "f:1:6", "no valid TOML: ", ""),
        (b"\xff", "f:1:1", "the file is no UTF-8 text", ""),
        (b"a = 1\nb = '\xff'", "f:2:6", "the file is no UTF-8 text", ""),
        (b"\xef\xbb\xbfa = 1", "f:1:1", "the file begins with a byte order mark", ""),
        (b"x = '" + b"a" * 5000, "f:1:5", "a string has no end", ""),
        (b'"\\x" = 1', "f:1:1", "a quoted key is no string of TOML", ""),
        (b"a = 1\n" * 60_000, "f", "the file is longer than 256 KiB", ""),
        (b"d = 2023-02-30", "f:1:5", "no valid TOML: ", "d = 2023-02-30"),
    ],
)
def test_a_text_that_is_no_toml_gives_the_place_and_the_line(data: bytes, place: str, message: str, excerpt: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(data, file="f")
    assert caught.value.place == place
    assert str(caught.value).startswith(message)
    if excerpt:
        assert caught.value.excerpt == excerpt


def test_an_excerpt_is_short() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(b"a = 1\nb = '" + b"x" * 2000 + b"' c", file="f")
    assert len(caught.value.excerpt) == 160
    assert caught.value.excerpt.endswith("…")


def test_an_error_of_the_parser_without_a_place_is_an_error_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def deep(text: str) -> dict[str, object]:
        raise RecursionError("maximum recursion depth exceeded")

    monkeypatch.setattr(tomllib, "loads", deep)
    with pytest.raises(ConfigError, match="no valid TOML: maximum recursion") as caught:
        parse(b"a = 1", file="f")
    assert caught.value.place == "f"


def test_a_text_that_only_the_walk_stumbles_over_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Places, "_value", lambda *_: (_ for _ in ()).throw(Stumble(4)))
    with pytest.raises(ConfigError, match="this is no TOML"):
        parse(b"a = 1\n", file="f")
