"""The ten traps of PROTOCOL.md §7, played against the installed command. What reached the server is what counts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.attacks.arena import RULES, Arena
from tests.attacks.shim import Message, encoded, modern, ref_of, tool

EVIL = '{"jsonrpc":"2.0","id":66,"method":"tools/call","params":{"name":"evil","arguments":{}}}'


# 1: a line inside a line


@pytest.mark.parametrize(
    "line",
    [
        f'{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"x":\r{EVIL}\r}}}}',
        f'{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"safe","arguments":{{"x":\r{EVIL}\r}}}}}}',
        f'{{"jsonrpc":"2.0","method":"notifications/progress"}}\r{EVIL}',
    ],
    ids=["notification", "call", "two-messages"],
)
def test_a_call_between_carriage_returns_never_reaches_the_server(arena: Arena, line: str) -> None:
    with arena.run() as shim:
        shim.open()
        shim.send_bytes(line.encode() + b"\n")
        shim.fence()
        assert arena.called() == []
        assert not any(b"\r" in line for line in arena.log)
    (record,) = arena.refused()
    assert record["reasons"][0]["text"] == "a carriage return inside a line"


def test_a_message_of_the_servers_between_carriage_returns_never_reaches_the_client(arena: Arena) -> None:
    fake = '{"jsonrpc":"2.0","id":9,"result":{"tools":[{"name":"evil","inputSchema":{"type":"object"}}]}}'
    line = f'{{"jsonrpc":"2.0","method":"notifications/message","params":{{"data":\r{fake}\r}}}}\n'
    with arena.run({"on": {"tools/call": [[{"raw": line}, {"honest": 1}]]}}) as shim:
        shim.open()
        shim.call("safe")
        assert not any(b"evil" in line or b"\r" in line for line in shim.raw)


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085"])
def test_a_separator_that_some_readers_split_lines_at_is_sent_on_escaped(arena: Arena, separator: str) -> None:
    with arena.run() as shim:
        shim.open()
        answer = shim.call("safe", text=f"a{separator}{EVIL}{separator}b")
        assert json.loads(answer["result"]["content"][0]["text"])["arguments"]["text"] == f"a{separator}{EVIL}{separator}b"
    assert not any(separator.encode() in line for line in arena.log)


def test_one_carriage_return_before_the_line_feed_is_taken_off(arena: Arena) -> None:
    with arena.run() as shim:
        shim.open()
        shim.send_bytes(b'{"jsonrpc":"2.0","id":5,"method":"ping"}\r\n')
        assert shim.answer_to(5)["result"] == {}
    assert b'{"jsonrpc":"2.0","id":5,"method":"ping"}' in arena.log


# 2 and 10: two names


AMBIGUOUS = [
    '{"name":"safe","name":"evil"}',
    '{"name":"evil","name":"safe"}',
    '{"name":"safe","n\\u0061me":"evil"}',
    '{"name":"safe","Name":"evil"}',
    '{"Name":"evil"}',
    '{"name":"safe","NAME":"evil"}',
    '{"name":"safe","arguments":{"path":"a","path":"b"}}',
    '{"name":"safe","arguments":{"path":"a","Path":"b"}}',
    '{"name":"safe","arguments":{"deep":[{"path":"a","path":"b"}]}}',
    '{"name":"safe"},"params":{"name":"evil"}',
    '{"name":"safe"},"Params":{"name":"evil"}',
    '{"name":"safe"},"Method":"resources/read"',
]


def test_a_call_with_a_name_that_two_readers_may_take_differently_is_refused(arena: Arena) -> None:
    with arena.run() as shim:
        shim.open()
        for id_, params in enumerate(AMBIGUOUS, start=1):
            shim.send_bytes(f'{{"jsonrpc":"2.0","id":{id_},"method":"tools/call","params":{params}}}\n'.encode())
            answer = shim.answer_to(id_)
            assert answer["error"]["code"] in (-32600, -32602), params
            assert arena.the_record(ref_of(answer))["status"] == "refused"
        shim.fence()
        assert arena.called() == []


def test_an_id_that_readers_take_for_none_makes_no_notification_of_a_call(arena: Arena) -> None:
    ids = ["null", "true", "7.0", "7.5", "[7]", '{"a":1}', "1e2"]
    with arena.run() as shim:
        shim.open()
        for id_ in ids:
            shim.send_bytes(f'{{"jsonrpc":"2.0","id":{id_},"method":"tools/call","params":{{"name":"safe"}}}}\n'.encode())
        shim.fence()
        assert arena.called() == []
    assert [r["reasons"][0]["text"] for r in arena.refused()] == ["`id` must be a string or an integer"] * len(ids)


def test_a_call_without_an_id_is_no_notification(arena: Arena) -> None:
    with arena.run() as shim:
        shim.open()
        shim.notify("tools/call", tool("safe"))
        shim.fence()
        assert arena.called() == []
    (record,) = arena.refused()
    assert record["reasons"][0]["text"] == "a request without an id"


# 3: a call that looks like an answer


@pytest.mark.parametrize("extra", ['"result":{}', '"error":{"code":1,"message":"x"}', '"result":{},"error":null'])
def test_a_call_disguised_as_an_answer_is_refused_from_either_side(arena: Arena, extra: str) -> None:
    disguised = f'{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"safe"}},{extra}}}\n'
    asked = f'{{"jsonrpc":"2.0","id":8,"method":"roots/list",{extra}}}\n'
    with arena.run({"on": {"tools/list": [[{"raw": asked}, {"honest": 1}]]}}) as shim:
        shim.open()
        shim.send_bytes(disguised.encode())
        assert shim.answer_to(7)["error"]["code"] == -32600
        shim.tools()
        shim.fence()
        assert arena.called() == []
        assert not any("roots" in line.decode() for line in shim.raw)


# 4: a call in a batch


def test_a_batch_is_refused_member_by_member_where_the_revision_has_none(arena: Arena) -> None:
    with arena.run() as shim:
        shim.open("2025-06-18")
        call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": tool("safe")}
        shim.send([call, {**call, "id": "8", "params": tool("evil")}])
        assert shim.answer_to(7)["error"]["code"] == shim.answer_to("8")["error"]["code"] == -32600
        shim.fence()
        assert arena.called() == []


def test_a_batch_is_judged_member_by_member_where_the_revision_has_one(arena: Arena) -> None:
    with arena.run() as shim:
        shim.open("2025-03-26")
        call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": tool("safe")}
        hidden = {**call, "id": 8, "params": tool("evil")}
        disguised = {**call, "id": 9, "result": {}}
        shim.send([call, hidden, disguised, {"jsonrpc": "2.0", "method": "tools/call", "params": tool("evil")}])
        assert "result" in shim.answer_to(7)
        assert {m["id"]: m["error"]["code"] for m in shim.messages if "error" in m} == {8: -32602, 9: -32600}
        shim.fence()
        assert arena.called() == ["safe"]


# 6: one argument was answered for, another is sent


def test_an_answer_to_one_call_opens_no_other(arena: Arena) -> None:
    form = {"message": "Sure?", "requestedSchema": {"type": "object", "properties": {}}}
    asks = {
        "resultType": "input_required",
        "requestState": "s",
        "inputRequests": {"k": {"method": "elicitation/create", "params": form}},
    }
    script = {"on": {"tools/call": [[{"send": {"jsonrpc": "2.0", "id": "$id", "result": asks}}], [{"honest": 1}]]}}
    rules = RULES + '[servers.lab.server_requests]\nallow = ["elicitation"]\n'
    with arena.run(script, rules) as shim:
        first = shim.request(1, "tools/call", modern(tool("safe", path="a"), elicitation={}))
        assert "k" in first["result"]["inputRequests"]
        answers: Message = {"inputResponses": {"k": {"action": "accept", "content": {}}}, "requestState": "s"}
        other = shim.request(2, "tools/call", modern({**tool("safe", path="b"), **answers}, elicitation={}))
        assert other["error"]["code"] == -32602
        assert arena.called() == ["safe"]
        assert arena.why(ref_of(other)) == "`inputResponses` answers what wasn't asked"
        same = shim.request(3, "tools/call", modern({**tool("safe", path="a"), **answers}, elicitation={}))
        assert "content" in same["result"]


# 7: the side door of tasks

TASKS = {
    "on": {
        "tasks/get": [[{"send": {"jsonrpc": "2.0", "id": "$id", "result": {"taskId": "t-evil", "status": "completed"}}}]],
        "tasks/result": [[{"send": {"jsonrpc": "2.0", "id": "$id", "result": {"content": []}}}]],
        "tasks/list": [
            [{"send": {"jsonrpc": "2.0", "id": "$id", "result": {"tasks": [{"taskId": "t-evil"}, {"taskId": "t-safe"}]}}}]
        ],
        "tools/call": [
            [
                {"send": {"jsonrpc": "2.0", "method": "notifications/tasks/status", "params": {"taskId": "t-evil"}}},
                {"send": {"jsonrpc": "2.0", "id": "$id", "result": {"task": {"taskId": "t-safe", "status": "working"}}}},
            ]
        ],
    }
}


def test_a_task_is_known_only_by_the_permitted_call_that_made_it(arena: Arena) -> None:
    with arena.run(TASKS) as shim:
        shim.open("2025-11-25")
        for id_, method in enumerate(("tasks/get", "tasks/result", "tasks/cancel"), start=1):
            answer = shim.request(id_, method, {"taskId": "t-evil"})
            assert answer["error"]["code"] == -32602
            assert arena.why(ref_of(answer)) == "no permitted call of this session made this task"
        shim.request(4, "tools/call", {**tool("safe"), "task": {}})
        assert "result" in shim.request(5, "tasks/get", {"taskId": "t-safe"})
        assert shim.request(6, "tasks/list")["result"]["tasks"] == [{"taskId": "t-safe"}]
    assert arena.methods().count("tasks/get") == 1
    assert not any(m.get("method") == "notifications/tasks/status" for m in shim.messages)


# 8: the era


def test_the_server_hears_nothing_before_the_clients_first_word_and_answers_the_probe_itself(arena: Arena) -> None:
    with arena.run({"legacy": True}) as shim:
        arena.wait_for_pids("server")
        probe = shim.request(1, "server/discover", modern())
        assert probe["error"] == {"code": -32601, "message": "Method not found"}
        assert shim.open()["result"]["serverInfo"]["name"] == "scripted"
        shim.fence()
    assert arena.methods()[:3] == ["server/discover", "initialize", "notifications/initialized"]


def test_a_modern_session_gets_the_servers_own_discovery(arena: Arena) -> None:
    with arena.run() as shim:
        assert shim.request(1, "server/discover", modern())["result"]["supportedVersions"] == ["2026-07-28"]
        assert "resultType" in shim.call_modern("safe")["result"]
    assert arena.methods() == ["server/discover", "tools/call"]


# 9: reading by the side


HIDDEN = [
    ("secret://a", "no rule admits this resource"),
    ("docs://a/%2e%2e/%2e%2e/secret", "a dot segment in the URI"),
    ("docs://a/../secret", "a dot segment in the URI"),
    ("docs://a/..%2fsecret", "an encoded separator in the URI"),
    ("docs://a/%252e%252e/secret", "an encoded separator in the URI"),
    ("docs://a\\..\\secret", "a backslash in the URI"),
    ("docs://a\nsecret://a", "control characters or outer white space in the URI"),
    (" docs://a", "control characters or outer white space in the URI"),
    ("DOCS://a", "a scheme in upper case"),
]


def test_a_resource_that_is_hidden_or_ambiguous_is_not_read(arena: Arena) -> None:
    with arena.run() as shim:
        shim.open()
        for number, (uri, why) in enumerate(HIDDEN, start=1):
            for method in ("resources/read", "resources/subscribe"):
                answer = shim.request(f"{method} {number}", method, {"uri": uri})
                assert answer["error"]["code"] == -32002, uri
                assert arena.why(ref_of(answer)) == why
    assert "resources/read" not in arena.methods()
    assert "resources/subscribe" not in arena.methods()


@pytest.mark.parametrize(
    "ref",
    [
        {"type": "ref/resource", "uri": "secret://{path}"},
        {"type": "ref/prompt", "name": "evil"},
        {"type": "ref/tool", "name": "safe"},
    ],
)
def test_completion_follows_what_it_completes(arena: Arena, ref: Message) -> None:
    with arena.run() as shim:
        shim.open()
        answer = shim.request(1, "completion/complete", {"ref": ref, "argument": {"name": "path", "value": "a"}})
        assert answer["error"]["code"] == -32602
    assert "completion/complete" not in arena.methods()


def test_listening_is_narrowed_to_what_may_be_read(arena: Arena) -> None:
    wanted: dict[str, Any] = {"toolsListChanged": True, "resourceSubscriptions": ["docs://a", "secret://a"], "taskIds": ["t"]}
    with arena.run() as shim:
        shim.send_bytes(
            encoded({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": modern({"notifications": wanted})})
        )
        shim.call_modern("safe")
    heard = next(m for m in arena.received if m["method"] == "subscriptions/listen")["params"]["notifications"]
    assert heard == {"toolsListChanged": True, "resourceSubscriptions": ["docs://a"], "taskIds": []}
