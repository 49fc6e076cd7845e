"""JSON read so that nothing is lost, and written so that nothing hides."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpwrap.core.jsonrpc import DEPTH_LIMIT
from mcpwrap.core.pins import digest
from mcpwrap.policy.exact import Unreadable, line_of, read, write


def test_numbers_keep_their_value() -> None:
    assert read(b"[1, 1.0, 1.00000000000000000001, 1e2, 100000000000000000000000]") == [
        1,
        1.0,
        Decimal("1.00000000000000000001"),
        100.0,
        10**23,
    ]
    assert write([1, 1.0, Decimal("1.00000000000000000001")]) == b"[\n  1,\n  1.0,\n  1.00000000000000000001\n]\n"


def test_what_is_written_is_ascii_sorted_and_one_thing_a_line() -> None:
    assert write({"b": [], "a": {"é\u202e\x7f\n": None}, "c": [{}, True]}) == (
        b'{\n  "a": {\n    "\\u00e9\\u202e\\u007f\\n": null\n  },\n  "b": [],\n  "c": [\n    {},\n    true\n  ]\n}\n'
    )


@pytest.mark.parametrize(
    ("data", "reason", "line"),
    [
        (b'{"a": 1,\n "a": 2}', "the key `a` stands twice in one object", 2),
        (b'{"a": {"a": 1,\n "a": 2}}', "the key `a` stands twice in one object", 0),
        (b'{"' + b"k" * 99 + b'": 1, "' + b"k" * 99 + b'": 1}', f"the key `{'k' * 59}…` stands twice in one object", 1),
        (b'{"a":\n\n oops}', "not JSON: expecting value", 3),
        (b"[1,\n\xff]", "not UTF-8 text", 2),
        (b"", "not JSON: expecting value", 1),
        (b"\xef\xbb\xbf{}", "not JSON: unexpected UTF-8 BOM (decode using utf-8-sig)", 1),
        (b"[NaN]", "`NaN` is not JSON", 0),
        (b"[1e999]", "a number is too large for a double", 0),
        (b"[1e-99999999999999999999]", "a number's exponent is out of range", 0),
        (b"[" + b"1" * 5000 + b"]", "an integer of more than 4300 digits", 0),
        (b"[" * 300 + b"]" * 300, "nested deeper than 256 levels", 0),
        (b"[" * 100_000, "nested deeper than 256 levels", 0),
    ],
)
def test_what_readers_could_take_for_different_things_is_refused(data: bytes, reason: str, line: int) -> None:
    with pytest.raises(Unreadable) as caught:
        read(data)
    assert (str(caught.value), caught.value.line) == (reason, line)


def test_nesting_as_deep_as_the_wire_has_it_is_read() -> None:
    assert read(b"[" * 256 + b"]" * 256)


def test_a_line_is_only_named_where_it_is_certain() -> None:
    assert line_of('{\n "a": 1,\n "b": 2}', "b") == 3
    assert line_of('{\n "a": 1,\n "b": "a"}', "a") == 0


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.decimals(allow_nan=False, allow_infinity=False, places=30, min_value=-9, max_value=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(values)
def test_what_is_written_is_read_with_the_same_digest(value: Any) -> None:
    read_again = read(write({"x": value}))
    # a decimal that a float can hold comes back as one: that is how the wire reads it
    on_the_wire = read(json.dumps({"x": value}, default=str).encode()) if _plain(value) else read_again
    assert digest(read_again) == digest(on_the_wire)
    assert write(read_again) == write(read(write(read_again)))


def _plain(value: Any) -> bool:
    match value:
        case dict():
            return all(map(_plain, value.values()))
        case list():
            return all(map(_plain, value))
        case _:
            return not isinstance(value, Decimal)


def test_a_fault_without_a_place_has_none() -> None:
    for data in (b"[1e999]", b"[-1e999]"):
        with pytest.raises(Unreadable, match="too large for a double") as caught:
            read(data)
        assert (caught.value.line, caught.value.column) == (0, 0)


def test_lines_are_counted_from_the_first_character() -> None:
    for data in (b'\n"\xff"', b'\n{"a": 1, "a": 2}'):
        with pytest.raises(Unreadable) as caught:
            read(data)
        assert caught.value.line == 2
    assert line_of('\n{"a": 1}', "a") == 2


def test_the_key_that_stands_twice_is_named() -> None:
    with pytest.raises(Unreadable, match="the key `a` stands twice"):
        read(b'{"b": 1, "a": 1, "c": 1, "a": 2}')


@pytest.mark.parametrize(("before", "after"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_what_is_nested_has_a_bound(before: bytes, after: bytes) -> None:
    read(before * DEPTH_LIMIT + b"1" + after * DEPTH_LIMIT)
    with pytest.raises(Unreadable, match="nested deeper than"):
        read(before * (DEPTH_LIMIT + 1) + b"1" + after * (DEPTH_LIMIT + 1))
