"""Lines that are no message that every reader takes for the same one, from either side (PROTOCOL.md §6, POLICY.md §7)."""

from __future__ import annotations

import json

import pytest

from tests.attacks.arena import Arena
from tests.attacks.shim import codes, said, tool

DEEP = 100_000

UNREADABLE = {
    "no JSON": b"hello",
    "half a message": b'{"jsonrpc":"2.0","id":7,"method":"tools/call"',
    "two messages": b'{"jsonrpc":"2.0","method":"a"}{"jsonrpc":"2.0","method":"b"}',
    "a byte order mark": b'\xef\xbb\xbf{"jsonrpc":"2.0","method":"tools/call"}',
    "UTF-16": '{"jsonrpc":"2.0","id":7,"method":"tools/call"}'.encode("utf-16-le"),
    "UTF-16 with a mark": '{"jsonrpc":"2.0","id":7,"method":"tools/call"}'.encode("utf-16"),
    "a byte that is no UTF-8": b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"sa\xfffe"}}',
    "an overlong slash": b'{"jsonrpc":"2.0","id":7,"method":"tools\xc0\xafcall"}',
    "a surrogate in UTF-8": b'{"jsonrpc":"2.0","id":7,"method":"\xed\xa0\x80"}',
    "NaN": b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"safe","arguments":{"x":NaN}}}',
    "Infinity": b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"safe","arguments":{"x":-Infinity}}}',
    "a number beyond doubles": b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"safe","arguments":{"x":1e400}}}',
    "5,000 digits": b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"safe","arguments":{"x":%s}}}' % (b"9" * 5000),
    "deep arrays": b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "only opened": b"[" * DEEP,
    "300 levels": b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"safe","arguments":{"x":'
    + b"[" * 297
    + b"]" * 297
    + b"}}}",
    "a NUL": b'\x00{"jsonrpc":"2.0","method":"tools/call"}',
    "single quotes": b"{'jsonrpc':'2.0','id':7,'method':'tools/call'}",
    "a comment": b'{"jsonrpc":"2.0","id":7,"method":"tools/call"}//',
    "a number": b"7",
    "a string": b'"tools/call"',
    "null": b"null",
    "no version": b'{"id":7,"method":"tools/call","params":{"name":"safe"}}',
    "version 1": b'{"jsonrpc":"1.0","id":7,"method":"tools/call","params":{"name":"safe"}}',
    "a number for a version": b'{"jsonrpc":2.0,"id":7,"method":"tools/call","params":{"name":"safe"}}',
    "a method that is none": b'{"jsonrpc":"2.0","id":7,"method":["tools/call"],"params":{"name":"safe"}}',
    "params in an array": b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":["safe"]}',
    "another case": b'{"jsonrpc":"2.0","id":7,"METHOD":"tools/call","params":{"name":"safe"}}',
    "another case of another letter": '{"jsonrpc":"2.0","ıd":7,"method":"tools/call","params":{"name":"safe"}}'.encode(),
    "neither method nor id": b'{"jsonrpc":"2.0"}',
    "an empty batch": b"[]",
}


def test_nothing_unreadable_of_the_clients_reaches_the_server_and_the_session_goes_on(arena: Arena) -> None:
    with arena.run() as shim:
        shim.open()
        shim.fence()
        before = len(arena.log)
        for number, (what, line) in enumerate(UNREADABLE.items()):
            shim.send_bytes(line + b"\n")
            shim.fence()
            assert len(arena.log) == before + number + 1, what  # the fence alone
            assert all(code in (-32700, -32600, -32602) for code in codes(shim.messages)), what
        assert said(shim.call("safe"))["name"] == "safe"
    assert len(arena.refused()) == len(UNREADABLE)
    assert arena.called() == ["safe"]


def test_nothing_unreadable_of_the_servers_reaches_the_client_and_the_session_goes_on(arena: Arena) -> None:
    lines = [{"raw": (line + b"\n").decode("utf-8", "surrogateescape")} for line in UNREADABLE.values()]
    with arena.run({"on": {"tools/call": [[*lines, {"honest": 1}]]}}) as shim:
        shim.open()
        assert said(shim.call("safe"))["name"] == "safe"
        shim.fence()
        assert len(shim.raw) == 3


@pytest.mark.parametrize(
    "result",
    [
        '{"content":[],"content":[1]}',
        '{"content":[NaN]}',
        '{"content":[1e999]}',
        "[]",
        "null",
        '{"content":[]},"error":{"code":1,"message":"x"}',
        '{"content":[]},"Result":{}',
        '{"content":[\r]}',
    ],
)
def test_an_answer_that_cant_be_read_fails_its_call_and_no_other(arena: Arena, result: str) -> None:
    with arena.run({"on": {"tools/call": [[{"raw": f'{{"jsonrpc":"2.0","id":7,"result":{result}}}\n'}], [{"honest": 1}]]}}) as shim:
        shim.open()
        broken = shim.request(7, "tools/call", tool("safe"))
        assert broken["error"]["code"] == -32603
        assert broken["error"]["message"].startswith("mcpwrap: the server's answer can't be read")
        assert "result" in shim.call("safe")
    ends = [r["status"] for r in arena.records if r["event"] == "response" and r.get("request_id") == 7 and "ref" in r]
    assert "error" in ends


def test_junk_on_the_servers_stdout_is_dropped_recorded_and_kills_nothing(arena: Arena) -> None:
    junk = [{"raw": "Listening on stdio...\n"}, {"raw": "\n\r\n"}, {"raw": "DEBUG \x1b[31mred\x1b[0m\n"}, {"raw": "{\n}\n"}]
    with arena.run({"start": junk, "on": {"tools/call": [[*junk, {"honest": 1}]]}}) as shim:
        shim.open()
        assert said(shim.call("safe"))["name"] == "safe"
        assert all(json.loads(line) for line in shim.raw)
        assert len(shim.raw) == 2
    assert {r["event"] for r in arena.refused()} == {"notification"}


def test_a_last_line_without_a_line_feed_is_judged_like_any_other(arena: Arena) -> None:
    with arena.run() as shim:
        shim.open()
        shim.send_bytes(b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"evil"}}')
        shim.hang_up()
        assert shim.answer_to(7)["error"]["code"] == -32602
    assert arena.called() == []


def test_values_that_other_readers_change_arrive_as_they_were(arena: Arena) -> None:
    numbers = "[0.1000, 1.0, 1e2, 12345678901234567890123, 0.30000000000000004440892098500626]"
    line = (
        f'{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"safe","arguments":{{"x":{numbers},"s":"\\ud800"}}}}}}\n'
    )
    with arena.run() as shim:
        shim.open()
        shim.send_bytes(line.encode())
        shim.answer_to(7)
    raw = next(line for line in arena.log if b"tools/call" in line)
    assert b"12345678901234567890123" in raw
    assert b"0.30000000000000004440892098500626" in raw
    assert json.loads(raw)["params"]["arguments"]["s"] == "\ud800"


def test_an_unknown_method_or_revision_is_refused(arena: Arena) -> None:
    with arena.run() as shim:
        shim.open("2025-06-18")
        assert shim.request(1, "vendor/own", {"name": "safe"})["error"]["code"] == -32601
        assert shim.request(2, "tasks/list")["error"]["code"] == -32601
        assert shim.request(3, "notifications/initialized")["error"]["code"] == -32601
        assert shim.request(4, "sampling/createMessage", {})["error"]["code"] == -32601
        shim.notify("notifications/vendor")
        version = {"_meta": {"io.modelcontextprotocol/protocolVersion": "2027-01-01"}}
        unknown = shim.request(5, "tools/call", {**tool("safe"), **version})
        assert unknown["error"]["code"] == -32022
        shim.fence()
    assert arena.called() == []
    assert set(arena.methods()) == {"initialize", "notifications/initialized", "ping"}
