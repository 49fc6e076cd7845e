"""PROTOCOL.md §6, "where parsers differ", and POLICY.md §7's small print: each row, in both tiers of the parser."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpwrap.core.jsonrpc import (
    BATCH_LIMIT,
    CONTAINER_LIMIT,
    DIGIT_LIMIT,
    ID_LIMIT,
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    RECOVERY_LIMIT,
    Error,
    Notification,
    Request,
    Result,
    Shape,
    WireError,
    encode,
    fold,
    id_key,
    miscased,
    parse,
)
from tests.core.reading import SPACES, params_of, refused

# what a message is


@pytest.mark.parametrize("space", SPACES)
def test_the_four_kinds_of_messages(space: str) -> None:
    def read(text: str) -> Any:
        return parse(text.replace(",", "," + space).encode())

    assert read('{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1}}') == Request(
        1, "m", {"a": 1}, {"jsonrpc": "2.0", "id": 1, "method": "m", "params": {"a": 1}},
        b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1}}',
    )  # fmt: skip
    assert read('{"jsonrpc":"2.0","method":"m"}') == Notification(
        "m", {}, {"jsonrpc": "2.0", "method": "m"}, b'{"jsonrpc":"2.0","method":"m"}'
    )
    result = read('{"jsonrpc":"2.0","id":"a","result":{"b":null}}')
    assert isinstance(result, Result)
    assert (result.id, result.result) == ("a", {"b": None})
    error = read('{"jsonrpc":"2.0","id":-1,"error":{"code":1,"message":"m","data":[]}}')
    assert isinstance(error, Error)
    assert error.error == {"code": 1, "message": "m", "data": []}


def test_parameters_may_be_null() -> None:
    message = parse(b'{"jsonrpc":"2.0","id":1,"method":"m","params":null}')
    assert isinstance(message, Request)
    assert message.params == {}
    assert message.encoded == b'{"jsonrpc":"2.0","id":1,"method":"m","params":null}'


@pytest.mark.parametrize(
    ("line", "why", "id", "shape"),
    [
        ("5", "a message must be an object", None, Shape.EITHER),
        ('"x"', "a message must be an object", None, Shape.EITHER),
        ("null", "a message must be an object", None, Shape.EITHER),
        ("{}", "`jsonrpc` must be", None, Shape.EITHER),
        ('{"jsonrpc":"1.0","id":1,"method":"m"}', "`jsonrpc` must be", 1, Shape.CALL),
        ('{"jsonrpc":2.0,"id":1,"method":"m"}', "`jsonrpc` must be", 1, Shape.CALL),
        ('{"id":1,"method":"m"}', "`jsonrpc` must be", 1, Shape.CALL),
        ('{"jsonrpc":"1.0","id":true,"method":"m"}', "`jsonrpc` must be", None, Shape.CALL),
        ('{"jsonrpc":"2.0","id":{},"Method":"m"}', "another case", None, Shape.EITHER),
        ('{"jsonrpc":"2.0","id":1.0,"method":"m"}', "`id` must be", None, Shape.CALL),
        ('{"jsonrpc":"2.0","id":true,"method":"m"}', "`id` must be", None, Shape.CALL),
        ('{"jsonrpc":"2.0","id":null,"method":"m"}', "`id` must be", None, Shape.CALL),
        ('{"jsonrpc":"2.0","id":[],"method":"m"}', "`id` must be", None, Shape.CALL),
        ('{"jsonrpc":"2.0","id":null,"result":{}}', "`id` must be", None, Shape.ANSWER),
        ('{"jsonrpc":"2.0","id":1,"method":5}', "`method` must be a string", 1, Shape.CALL),
        ('{"jsonrpc":"2.0","id":1,"method":null}', "`method` must be a string", 1, Shape.CALL),
        ('{"jsonrpc":"2.0","id":1,"method":"m","result":{}}', "a call and an answer at once", 1, Shape.EITHER),
        ('{"jsonrpc":"2.0","id":1,"method":"m","error":null}', "a call and an answer at once", 1, Shape.EITHER),
        ('{"jsonrpc":"2.0","method":"m","result":{}}', "a call and an answer at once", None, Shape.EITHER),
        ('{"jsonrpc":"2.0","params":{}}', "neither a `method` nor an `id`", None, Shape.EITHER),
        ('{"jsonrpc":"2.0","result":{}}', "neither a `method` nor an `id`", None, Shape.ANSWER),
        ('{"jsonrpc":"2.0","id":1}', "either `result` or `error`", 1, Shape.EITHER),
        ('{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}', "either `result` or `error`", 1, Shape.ANSWER),
        ('{"jsonrpc":"2.0","id":1,"result":[]}', "`result` must be an object", 1, Shape.ANSWER),
        ('{"jsonrpc":"2.0","id":1,"result":null}', "`result` must be an object", 1, Shape.ANSWER),
        ('{"jsonrpc":"2.0","id":1,"error":null}', "`error` must have", 1, Shape.ANSWER),
        ('{"jsonrpc":"2.0","id":1,"error":{"code":1.0,"message":""}}', "`error` must have", 1, Shape.ANSWER),
        ('{"jsonrpc":"2.0","id":1,"error":{"code":true,"message":""}}', "`error` must have", 1, Shape.ANSWER),
        ('{"jsonrpc":"2.0","id":1,"error":{"code":1}}', "`error` must have", 1, Shape.ANSWER),
    ],
)
def test_what_is_no_message_is_refused(line: str, why: str, id: object, shape: Shape) -> None:
    for text in (line, line.replace(",", ", ")):
        error = refused(text.encode())
        assert (error.code, error.id, error.shape) == (INVALID_REQUEST, id, shape)
        assert why in error.reason


@pytest.mark.parametrize("params", ["[]", '"a"', "5", "true"])
def test_parameters_by_position_are_refused(params: str) -> None:
    error = refused(f'{{"jsonrpc":"2.0","id":1,"method":"m","params":{params}}}'.encode())
    assert (error.code, error.id, error.shape) == (INVALID_PARAMS, 1, Shape.CALL)


def test_a_batch_is_read_member_by_member() -> None:
    members = parse(
        b'[{"jsonrpc":"2.0","method":"m", "params":{}},5,{"jsonrpc":"2.0","id":2,"result":{}},{"jsonrpc":"2.0","id":null}]'
    )
    assert isinstance(members, list)
    assert [type(m) for m in members] == [Notification, WireError, Result, WireError]
    assert isinstance(members[0], Notification)
    assert members[0].encoded == b'{"jsonrpc":"2.0","method":"m","params":{}}'
    assert parse(b"[]") == []


def test_a_batch_is_bounded() -> None:
    assert len(parse(b"[" + b"1," * (BATCH_LIMIT - 1) + b"1]")) == BATCH_LIMIT  # type: ignore[arg-type]
    assert refused(b"[" + b"1," * BATCH_LIMIT + b"1]").reason == "more than 1000 messages in a batch"


def test_an_id_is_bounded() -> None:
    line = '{"jsonrpc":"2.0","id":"%s","method":"m"}'
    assert isinstance(parse((line % ("i" * ID_LIMIT)).encode()), Request)
    error = refused((line % ("i" * (ID_LIMIT + 1))).encode())
    assert "1024 characters" in error.reason
    assert error.id is None


# keys


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(
    "line",
    [
        '{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}',
        '{"jsonrpc":"2.0","id":1,"method":"a","params":{"name":"a","name":"b"}}',
        '{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":[{"y":{"name":"a","name":"a"}}]}}',
        '{"jsonrpc":"2.0","id":1,"method":"a","params":{"a":1,"\\u0061":2}}',
        '{"jsonrpc":"2.0","id":1,"result":{"":1,"":2}}',
    ],
)
def test_a_key_that_stands_twice_anywhere_is_refused(line: str, space: str) -> None:
    error = refused(line.replace(",", "," + space).encode())
    assert error.reason == "a key stands twice in one object"
    assert (error.code, error.id) == (INVALID_REQUEST, 1)


@pytest.mark.parametrize(
    "key", ["Id", "ID", "Method", "Params", "JSONRPC", "Result", "Error", "re\u017fult", "param\u017f", "\u0130d"[:0] + "\u0131d"]
)
def test_a_key_of_the_envelope_in_another_case_is_refused(key: str) -> None:
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "m", key: {}}, ensure_ascii=False).encode()
    error = refused(line)
    assert (error.code, error.id) == (INVALID_REQUEST, 1)
    assert "another case" in error.reason


@pytest.mark.parametrize(
    "params",
    [
        {"name": "safe", "Name": "evil"},
        {"Name": "evil"},
        {"URI": "a:b"},
        {"uri": "a:b", "ur\u0131": "c:d"},
        {"argument\u017f": {}},
        {"ta\u017fkId": "x"},
        {"to\u212aen": 1, "token": 2},
        {"x": 1, "X": 2},
        {"stra\u00dfe": 1, "STRASSE": 2},
        {"_META": {}},
        {"name": "a", "arguments": {"path": "a", "Path": "b"}},
        {"name": "a", "arguments": {"key": "a", "\u212aey": "b"}},
        {"name": "a", "arguments": {"s": "a", "\u017f": "b"}},
    ],
)
def test_names_that_differ_only_in_case_are_refused(params: dict[str, Any]) -> None:
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, ensure_ascii=False).encode()
    error = refused(line)
    assert (error.code, error.id) == (INVALID_PARAMS, 1)
    assert "only in case" in error.reason


@pytest.mark.parametrize(
    ("value", "spelled"),
    [({}, False), ({"a": 1}, False), ({"b": 1}, False), ({"A": 1}, True), ({"a": 1, "b": 1, "A": 1}, True), ({"\u017f": 1}, True)],
)
def test_a_known_name_in_another_case_is_found(value: dict[str, Any], spelled: bool) -> None:
    assert miscased(value, {"a", "s"}) is spelled


NAMES = (
    "_meta", "name", "arguments", "uri", "cursor", "ref", "argument", "context", "level", "requestId", "reason", "progressToken",
    "progress", "total", "message", "taskId", "task", "inputResponses", "requestState", "notifications", "protocolVersion",
    "capabilities", "clientInfo",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_name_that_some_reader_acts_on_has_one_spelling(name: str) -> None:
    assert "only in case" in refused(json.dumps({"jsonrpc": "2.0", "method": "m", "params": {name.upper(): 1}}).encode()).reason
    assert isinstance(parse(json.dumps({"jsonrpc": "2.0", "method": "m", "params": {name: 1}}).encode()), Notification)


def test_names_of_other_depths_may_differ_in_case() -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "m", "params": {"name": "a", "arguments": {"deep": {"x": 1, "X": 2}}, "other": 1}}
    message = parse(json.dumps(body).encode())
    assert isinstance(message, Request)
    assert message.body == body


@pytest.mark.parametrize(
    ("a", "b"),
    [("name", "NAME"), ("s", "\u017f"), ("k", "\u212a"), ("i", "\u0131"), ("ss", "\u1e9e"), ("\u00e9", "\u00c9")],
)
def test_folding_takes_for_equal_what_a_reader_might(a: str, b: str) -> None:
    assert fold(a) == fold(b)


def test_a_key_that_the_envelope_does_not_have_is_kept() -> None:
    message = parse(b'{"jsonrpc":"2.0","vendor":{"a":1},"Vendor":1,"method":"m"}')
    assert isinstance(message, Notification)
    assert message.encoded == b'{"jsonrpc":"2.0","vendor":{"a":1},"Vendor":1,"method":"m"}'


# white space and encodings


def test_one_carriage_return_before_the_line_feed_is_taken_off() -> None:
    message = parse(b'{"jsonrpc":"2.0","method":"m"}\r')
    assert isinstance(message, Notification)
    assert message.encoded == b'{"jsonrpc":"2.0","method":"m"}'


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","id":1,"method":"m"}\r\r',
        b'\r{"jsonrpc":"2.0","id":1,"method":"m"}',
        b'{"jsonrpc":"2.0",\r"id":1,"method":"m"}',
        b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":\r{"a":1}\r}}',
        b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":"a\rb"}}',
    ],
)
def test_any_other_raw_carriage_return_is_refused(line: bytes) -> None:
    error = refused(line)
    assert (error.code, error.id, error.shape) == (PARSE_ERROR, 1, Shape.CALL)
    assert error.reason == "a carriage return inside a line"


def test_an_escaped_carriage_return_is_text() -> None:
    assert params_of('"a\\r\\nb"')[0] == "a\r\nb"


@pytest.mark.parametrize(
    "line",
    [
        b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"m"}',
        '{"jsonrpc":"2.0","id":1,"method":"m"}'.encode("utf-16"),
        '{"jsonrpc":"2.0","id":1,"method":"m"}'.encode("utf-16-le"),
        '{"jsonrpc":"2.0","id":1,"method":"m"}'.encode("utf-32"),
        b'{"jsonrpc":"2.0","id":1,"method":"\xff"}',
        b'{"jsonrpc":"2.0","id":1,"method":"\xc0\xaf"}',
        b'{"jsonrpc":"2.0","id":1,"method":"\xed\xa0\x80"}',
        b'{"jsonrpc":"2.0","id":1,"method":"a\tb"}',
        b'{"jsonrpc":"2.0","id":1,"method":"\x00"}',
        b"",
        b" ",
        b"{",
        b"hello",
        b"X",
        b'{"jsonrpc":"2.0","id":1,"method":"m"} {}',
        b'{"jsonrpc":"2.0","id":1,"method":"m",}',
        b"{'jsonrpc':'2.0'}",
        b'{"jsonrpc":"2.0","id":01,"method":"m"}',
    ],
)
def test_what_is_no_json_in_utf8_is_refused_and_not_answered(line: bytes) -> None:
    error = refused(line)
    assert (error.code, error.id) == (PARSE_ERROR, None)


def test_a_lone_surrogate_is_accepted_and_sent_on_escaped() -> None:
    value, sent = params_of('{"k\\ud800":["a\\udfff",true,null,1.5,7,"\\u00e9",false,{"b":[]}]}')
    assert value == {"k\ud800": ["a\udfff", True, None, 1.5, 7, "é", False, {"b": []}]}
    assert json.loads(sent) == value
    assert sent.isascii()


def test_exact_numbers_stay_beside_a_lone_surrogate() -> None:
    assert params_of('["\\ud800",0.10000000000000000001,1e2,12345678901234567890123]')[1] == (
        '["\\ud800",0.10000000000000000001,100.0,12345678901234567890123]'
    )


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("char", ["\u2028", "\u2029", "\u0085"])
def test_separators_that_some_readers_split_lines_at_are_sent_on_escaped(char: str, space: str) -> None:
    value, sent = params_of(f'"a{char}b"', space=space)
    assert value == f"a{char}b"
    assert sent == f'"a\\u{ord(char):04x}b"'


def test_what_other_characters_share_bytes_with_separators_stays() -> None:
    text = '"\u00c5\u20a8\u0145\U0001f600"'
    assert params_of(text)[1] == text


# ids


@pytest.mark.parametrize(
    ("line", "id"),
    [
        (b'{"jsonrpc":"2.0","id":"x","method":"m","a":1,"a":2}', "x"),
        (b'{"jsonrpc":"2.0","id":1,"id":1,"method":"m"}', None),
        (b'{"jsonrpc":"2.0","id":1,"Id":2,"method":"m","a":1,"a":1}', None),
        (b'{"jsonrpc":"2.0","method":"m","a":1,"a":{"id":5}}', None),
        (b'{"jsonrpc":"2.0","id":true,"a":1,"a":1}', None),
        (b'{"jsonrpc":"2.0","id":1.0,"a":1,"a":1}', None),
        (b'[{"jsonrpc":"2.0","id":1,"a":1,"a":1}]', None),
        (b'"\r"', None),
        (b"1e999", None),
        (b'{"jsonrpc":"2.0","id":' + b"1" * DIGIT_LIMIT + b',"a":1,"a":1}', int("1" * DIGIT_LIMIT)),
        (b'{"id":1,\r', None),
        (b'{"id":1,\r"a":' + b"[" * 100_000, None),
        (b'{"id":1,\r"a":"\xff"}', None),
        (b'{"jsonrpc":"2.0","id":' + b"1" * 5000 + b',"method":"m"}', None),
        (b'{"jsonrpc":"2.0","id":3,"method":"m","params":{"a":' + b"1" * 5000 + b"}}", 3),
        (b'{"jsonrpc":"2.0","id":"' + b"1" * RECOVERY_LIMIT + b'","a":1,"a":1}', None),
    ],
)
def test_an_id_is_recovered_only_where_exactly_one_is_certain(line: bytes, id: object) -> None:
    assert refused(line).id == id


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        (b'{"jsonrpc":"2.0","id":1,"method":"m","method":"m"}', Shape.CALL),
        (b'{"jsonrpc":"2.0","id":1,"result":{"a":1,"a":1}}', Shape.ANSWER),
        (b'{"jsonrpc":"2.0","id":1,"error":{"a":1,"a":1}}', Shape.ANSWER),
        (b'{"jsonrpc":"2.0","id":1,"method":"m","result":{"a":1,"a":1}}', Shape.EITHER),
        (b'{"jsonrpc":"2.0","id":1,"a":1,"a":1}', Shape.EITHER),
    ],
)
def test_what_an_unreadable_message_was_meant_as_is_recovered_too(line: bytes, shape: Shape) -> None:
    assert refused(line).shape is shape


@pytest.mark.parametrize(
    ("a", "b"), [(7, "7"), (7, "07"), (-1, "-1"), ("x", "x"), (10**20, str(10**20)), (int("9" * 64), "9" * 64)]
)
def test_ids_that_a_reader_may_take_for_equal_collide(a: Any, b: Any) -> None:
    assert id_key(a) == id_key(b)


@pytest.mark.parametrize(("a", "b"), [(7, "8"), ("x", "X"), ("1.0", 1), ("9" * 65, int("9" * 65)), ("mcpwrap-1", 1)])
def test_other_ids_do_not(a: Any, b: Any) -> None:
    assert id_key(a) != id_key(b)


def test_an_id_of_many_digits_is_no_work() -> None:
    assert id_key("9" * 10_000_000) == "9" * 10_000_000


# encoding


def test_objects_and_arrays_of_a_line_that_isnt_compact_are_bounded() -> None:
    line = '{"jsonrpc":"2.0","method":"m", "params":{"a":[%s]}}'
    most = "[]," * (CONTAINER_LIMIT - 4)  # the envelope, its parameters, the array, one more
    assert isinstance(parse((line % (most + "[]")).encode()), Notification)
    assert "objects and arrays" in refused((line % (most + "[],{}")).encode()).reason


def test_the_codes_are_those_of_the_specification() -> None:
    assert (PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS) == (-32700, -32600, -32602)


def test_what_is_sent_is_compact_and_on_one_line() -> None:
    assert encode({"a": [1, "é\n", None], "b": {"c": True}}) == '{"a":[1,"é\\n",null],"b":{"c":true}}'.encode()
