"""What becomes of numbers and of deep nesting in the parser's two tiers (POLICY.md §7)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mcpwrap.core.jsonrpc import DEPTH_LIMIT, DIGIT_LIMIT, INVALID_REQUEST, PARSE_ERROR, Notification, Request, Shape, parse
from tests.core.reading import SPACES, params_of, refused

# numbers


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused(text: str) -> None:
    error = refused(f'{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"a":{text}}}}}'.encode())
    assert error.code == PARSE_ERROR
    assert error.id == 1


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1e99999", "1" + "0" * 309 + ".0"])
@pytest.mark.parametrize("space", SPACES)
def test_a_number_too_large_for_a_double_is_refused(text: str, space: str) -> None:
    error = refused(f'{{"jsonrpc":"2.0",{space}"id":1,"method":"m","params":{{"a":{text}}}}}'.encode())
    assert (error.code, error.id) == (INVALID_REQUEST, 1)
    assert "too large" in error.reason


def test_an_exponent_that_no_decimal_holds_is_refused() -> None:
    error = refused(b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1e-99999999999999999999}}')
    assert "exponent is out of range" in error.reason


@pytest.mark.parametrize("digits", [1, 18, 19, 20, 25, 309, DIGIT_LIMIT])
@pytest.mark.parametrize("sign", ["", "-"])
def test_an_integer_keeps_its_value(digits: int, sign: str) -> None:
    text = sign + "9" * (digits - len(sign) if digits == DIGIT_LIMIT else digits)
    for space in SPACES:
        value, sent = params_of(text, space=space)
        assert type(value) is int
        assert sent == text


@pytest.mark.parametrize("space", SPACES)
def test_an_integer_of_too_many_digits_is_refused(space: str) -> None:
    line = f'{{"jsonrpc":"2.0",{space}"id":1,"method":"m","params":{{"a":{"9" * (DIGIT_LIMIT + 1)}}}}}'.encode()
    error = refused(line)
    assert error.code == INVALID_REQUEST
    assert "4300 digits" in error.reason


@pytest.mark.parametrize("text", ["9007199254740993", "18446744073709551616", "-9223372036854775809"])
def test_an_integer_that_no_double_holds_is_no_other_one(text: str) -> None:
    value, sent = params_of(text)
    assert value == int(text)
    assert sent == text


@pytest.mark.parametrize(
    "text", ["0.1000", "1.0", "1e2", "-0.0", "1E+2", "0.30000000000000004", "5e-324", "2.5e-7", "1.7976931348623157e308"]
)
def test_a_number_that_a_double_holds_keeps_its_value(text: str) -> None:
    value, sent = params_of(text)
    assert type(value) is float
    assert Decimal(sent) == Decimal(text)
    assert value == float(text)


@pytest.mark.parametrize(
    "text", ["0.10000000000000000001", "1e-400", "9007199254740993.0", "0.1234567890123456789012345", "123e-340"]
)
def test_a_number_that_no_double_holds_keeps_its_value(text: str) -> None:
    value, sent = params_of(text)
    assert type(value) is Decimal
    assert Decimal(sent) == Decimal(text)


# depth


def nested(depth: int, *, space: str = "", inner: str = "") -> bytes:
    """A call that is `depth` levels deep."""
    below = depth - 2
    return f'{{"jsonrpc":"2.0",{space}"id":1,"method":"m","params":{{"a":{"[" * below}{inner}{"]" * below}}}}}'.encode()


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("inner", ["", '"\\ud800"'])
def test_nesting_is_bounded(space: str, inner: str) -> None:
    assert isinstance(parse(nested(DEPTH_LIMIT, space=space, inner=inner)), Request)
    error = refused(nested(DEPTH_LIMIT + 1, space=space, inner=inner))
    assert (error.code, error.id, error.shape) == (INVALID_REQUEST, 1, Shape.CALL)
    assert "nested deeper than 256 levels" in error.reason


def test_objects_count_like_arrays() -> None:
    line = b'{"jsonrpc":"2.0","method":"m","params":{"a":' + b'{"a":' * 254 + b"1" + b"}" * 254 + b"}}"
    assert isinstance(parse(line), Notification)
    deeper = line.replace(b'"a":1', b'"a":{}')
    assert "nested" in refused(deeper.replace(b'{"a":{}', b'{"b":1,"a":[{}]')).reason


@pytest.mark.parametrize(("opening", "closing"), [('[{"a":', "}]"), ('{"a":[', "]}")])
def test_arrays_and_objects_in_turns_are_as_deep(opening: str, closing: str) -> None:
    line = '{"jsonrpc":"2.0","method":"m","params":{"a":%s1%s}}'
    assert isinstance(parse((line % (opening * 127, closing * 127)).encode()), Notification)
    assert "nested" in refused((line % (opening * 128, closing * 128)).encode()).reason


@pytest.mark.parametrize("depth", [300, 450, 600, 990, 5_000, 100_000])
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("inner", ["", '"\\ud800"', "1e-400"])
def test_however_deep_a_line_is_it_is_refused_and_nothing_else_happens(depth: int, space: str, inner: str) -> None:
    assert refused(nested(depth, space=space, inner=inner)).code == INVALID_REQUEST


def test_a_deep_line_that_never_closes_is_refused() -> None:
    assert refused(b'{"jsonrpc":"2.0","id":1,"a":' + b"[" * 100_000).code in (INVALID_REQUEST, PARSE_ERROR)


def test_brackets_in_a_text_are_no_depth() -> None:
    assert params_of('"' + "[{" * 1000 + '"')[0] == "[{" * 1000
    assert refused(b'"' + b"[" * 1000 + b'"').reason == "a message must be an object"


def test_plain_values_at_the_bottom_are_no_depth() -> None:
    """Beside so many brackets that the depth is looked at."""
    for opening, closing in (("[", "]"), ('{"b":', "}")):
        deep = opening * (DEPTH_LIMIT - 2) + "1" + closing * (DEPTH_LIMIT - 2)
        line = f'{{"jsonrpc":"2.0","method":"m","params":{{"a":{deep},"b":[{"[]," * DEPTH_LIMIT}1]}}}}'
        assert isinstance(parse(line.encode()), Notification)
        assert "nested" in refused(line.replace("1" + closing, "[]" + closing, 1).encode()).reason


def test_many_brackets_side_by_side_are_no_depth() -> None:
    message = parse(b'{"jsonrpc":"2.0","method":"m","params":{"a":[' + b"[]," * 1000 + b"{}]}}")
    assert isinstance(message, Notification)
