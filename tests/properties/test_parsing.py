"""A line is a message, a list of messages, or a `WireError`; and what is sent on has the value that came in."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from mcpwrap.core.framing import FramingError, LineReader
from mcpwrap.core.jsonrpc import Error, Notification, Request, Result, WireError, encode, fold, parse
from tests.properties.messages import lines, values

KINDS = (Request, Notification, Result, Error)

numbers = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?", fullmatch=True),
)
"""As they may stand in a line, far beyond what a double holds."""

texts = st.text(st.characters(codec=None), max_size=12)
"""Lone surrogates and separators included."""

json_texts = st.recursive(
    st.one_of(st.sampled_from(["null", "true", "false"]), numbers.map(str), texts.map(json.dumps)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
        st.dictionaries(texts.map(json.dumps), inner, max_size=3).map(
            lambda members: "{" + ",".join(f"{key} :{item}" for key, item in members.items()) + "}"
        ),
    ),
    max_leaves=10,
)


def exact(text: str | bytes) -> Any:
    """The value of a text as a parser reads it that keeps every number: the standard library's, told to."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


@given(st.one_of(st.binary(max_size=200), lines(), st.text(max_size=100).map(lambda t: t.encode("utf-8", "surrogatepass"))))
@example(b"")
@example(b'{"jsonrpc": "2.0","id":1,"method":"x","params":{"a":' + b"[" * 450 + b'"\\ud800"' + b"]" * 450 + b"}}")
@example(b'{"a":1e-99999999999999999999}')
@example(b'"\\ud800"')
def test_any_bytes_are_a_message_or_a_wire_error_and_nothing_else(line: bytes) -> None:
    try:
        parsed = parse(line)
    except WireError as error:
        assert error.id is None or type(error.id) in (int, str)
        return
    for member in parsed if isinstance(parsed, list) else [parsed]:
        assert isinstance(member, (*KINDS, WireError))


@given(json_texts, st.booleans())
@example("[0.1000, 1E400, -0, 1e-400, 9007199254740993, 123456789012345678901234567890]", True)
@example('"\\ud800\u2028\u2029\u0085"', True)
def test_the_value_that_is_sent_is_the_value_that_came(text: str, raw: bool) -> None:
    line = '{"jsonrpc":"2.0","method":"m","params":{"value":%s}}' % text  # noqa: UP031 - full of braces
    data = line.encode("utf-8", "surrogatepass") if raw else json.dumps(json.loads(line)).encode()
    try:
        message = parse(data)
    except WireError:
        return
    assert isinstance(message, Notification)
    assert exact(message.encoded) == exact(data)
    assert message.encoded.isascii() or all(c not in message.encoded.decode() for c in "\u2028\u2029\u0085")
    again = parse(message.encoded)
    assert isinstance(again, Notification)
    assert again.encoded == message.encoded


@given(values)
def test_both_tiers_read_the_same(value: Any) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "result": {"value": value}}
    compact, loose = (json.dumps(body, separators=separators).encode() for separators in ((",", ":"), (" , ", " : ")))
    first, second = parse(compact), parse(loose)
    assert isinstance(first, Result)
    assert first == second


@given(st.text(max_size=6), st.text(max_size=6))
def test_what_any_reader_without_case_takes_for_equal_folds_to_the_same(a: str, b: str) -> None:
    if a.lower() == b.lower() or a.upper() == b.upper() or a.casefold() == b.casefold():
        assert fold(a) == fold(b)


@given(st.dictionaries(st.text(max_size=3), st.none(), min_size=1, max_size=3), st.data())
def test_a_key_that_stands_twice_is_never_read(members: dict[str, None], data: st.DataObject) -> None:
    pairs = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in members.items()]
    twice = data.draw(st.sampled_from(sorted(members)))
    pairs.insert(data.draw(st.integers(0, len(pairs))), f"{json.dumps(twice, ensure_ascii=data.draw(st.booleans()))}:1")
    inner = "{" + ",".join(pairs) + "}"
    nested = data.draw(st.sampled_from(["%s", "[%s]", '{"a":[0,%s]}'])) % inner
    line = f'{{"jsonrpc":"2.0","id":1,"result":{{"a":{nested}}}}}'
    try:
        parse(line.encode())
    except WireError as error:
        assert error.reason == "a key stands twice in one object"
        assert error.id == 1
    else:
        raise AssertionError(line)


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=6), st.binary(max_size=5), st.data())
def test_chunking_never_matters(whole: list[bytes], rest: bytes, data: st.DataObject) -> None:
    rest = rest.replace(b"\n", b"")
    stream = b"".join(line + b"\n" for line in whole) + rest
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = LineReader(limit=30)
    found: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.feed(stream[start:end])
    assert found == whole
    assert reader.finish() == rest


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(0, 60))
def test_a_line_past_the_limit_is_refused_however_it_is_cut(cuts: list[int], length: int) -> None:
    stream = b"ok\n" + b"a" * length + b"\n"
    reader = LineReader(limit=40)
    try:
        at = 0
        while at < len(stream):
            step = cuts[at % len(cuts)]
            reader.feed(stream[at : at + step])
            at += step
    except FramingError:
        assert length > 40
    else:
        assert length <= 40


@given(json_texts)
def test_encoding_is_one_line_of_valid_utf8(text: str) -> None:
    encoded = encode(json.loads(text))
    assert b"\n" not in encoded
    assert b"\r" not in encoded
    encoded.decode("utf-8")
