"""Positions behind odd strings, and bounds that hold exactly."""

from __future__ import annotations

import pytest

from mcpwrap.policy.places import DEPTH_LIMIT, KEY_LIMIT, NUMBER_LIMIT, VALUE_LIMIT, Places, Stumble


@pytest.mark.parametrize(
    "text",
    [
        "''",
        '""',
        "'x\"'",
        '"x\'\\""',
        "''''''",
        '""""""',
        "'''x'''",
        "'''x''''",
        "'''x'''''",
        "'''x'y''z'''",
        '"""x"""',
        '"""x""""',
        '"""x"""""',
        '"""x"y""z"""',
        '"""x\\""""',
        "'''\nx'''",
        '"""\nx"""',
        "[]",
        "[ 'x' , ]",
        "{}",
        "{ a = 1 }",
        "{ a.b = 'x', c = [1, 2] }",
    ],
)
def test_what_follows_a_value_has_its_own_place(text: str) -> None:
    lines = text.count("\n")
    column = len(text) - (text.rfind("\n") + 1) + (7 if lines == 0 else 2)
    found = Places(f"a = [{text}, 1]\nb = {text}\nc = 2\n")
    assert found.place(("a", 1)) == (1 + lines, column + 1)
    assert found.place(("b",)) == (2 + lines, 1)
    assert found.place(("c",)) == (3 + 2 * lines, 1)


@pytest.mark.parametrize(("before", "after"), [("[", "]"), ("{a=", "}")])
def test_nesting_has_its_bound(before: str, after: str) -> None:
    Places(f"a = {before * DEPTH_LIMIT}1{after * DEPTH_LIMIT}\n")
    with pytest.raises(Stumble, match="nested deeper than"):
        Places(f"a = {before * (DEPTH_LIMIT + 1)}1{after * (DEPTH_LIMIT + 1)}\n")


def test_keys_and_values_have_their_bounds() -> None:
    Places(f"{'k' * KEY_LIMIT} = {'1' * NUMBER_LIMIT}\n")
    with pytest.raises(Stumble, match="a key is longer"):
        Places(f"{'k' * (KEY_LIMIT + 1)} = 1\n")
    with pytest.raises(Stumble, match="a key is longer"):
        Places(f"'{'é' * (KEY_LIMIT // 2)}' = 1\n")
    with pytest.raises(Stumble, match="a value without quotes is longer"):
        Places(f"k = {'1' * (NUMBER_LIMIT + 1)}\n")
    Places(f"k = [{'1,' * (VALUE_LIMIT - 1)}]\n")
    with pytest.raises(Stumble, match="keys and values"):
        Places(f"k = [{'1,' * VALUE_LIMIT}]\n")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("a = 1 b", 6),
        ("[a}\n", 2),
        ("[[a]\n", 3),
        ("a 1\n", 2),
        ("a = ['1' '2']\n", 9),
        ("a = {b 1}\n", 7),
        ("a = {b = 1 c}\n", 11),
        ("a = 'x\n", 4),
        ('a = """x\n', 4),
        ("a = '''x\n", 4),
        ("'x = 1\n", 0),
    ],
)
def test_a_stumble_is_told_where_it_is(text: str, at: int) -> None:
    with pytest.raises(Stumble) as caught:
        Places(text)
    assert caught.value.at == at


def test_blanks_are_no_matter() -> None:
    found = Places("a=[1,{b=2,cd=3}]\ne.f=4\n")
    assert found.place(("a", 0)) == (1, 4)
    assert found.place(("a", 1, "cd")) == (1, 11)
    assert found.place(("e", "f")) == (2, 1)
