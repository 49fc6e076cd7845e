"""Ids: unsolicited, doubled, of another type; answers that come twice, late, or to nothing (ATTACKS.md, protocol)."""

from __future__ import annotations

import pytest

from tests.attacks.arena import RULES, Arena
from tests.attacks.shim import Message, modern, said, tool


def answer(id_: object, text: str = "forged") -> Message:
    return {"send": {"jsonrpc": "2.0", "id": id_, "result": {"content": [{"type": "text", "text": text}]}}}


def test_an_answer_to_nothing_that_was_asked_is_dropped_and_recorded(arena: Arena) -> None:
    unasked = [
        answer(77),
        answer("mcpwrap-initialize"),
        {"send": {"jsonrpc": "2.0", "id": 78, "error": {"code": 1, "message": "x"}}},
    ]
    with arena.run({"on": {"tools/call": [[*unasked, {"honest": 1}]]}}) as shim:
        shim.open()
        shim.call("safe")
        shim.fence()
        assert not any(shim.answers(id_) for id_ in (77, 78, "mcpwrap-initialize"))
    assert [r["reasons"][0]["text"] for r in arena.refused()] == ["an answer to nothing that was asked"] * 3


@pytest.mark.parametrize("mine", [7, "7"])
def test_an_answer_whose_id_has_another_type_is_not_the_calls(arena: Arena, mine: int | str) -> None:
    other = "7" if mine == 7 else 7
    with arena.run({"on": {"tools/call": [[answer(other), {"honest": 1}]]}}) as shim:
        shim.open()
        assert said(shim.request(mine, "tools/call", tool("safe")))["name"] == "safe"
        shim.fence()
        assert len(shim.messages) == 3  # the handshake, the call, the fence


@pytest.mark.parametrize("forged", ["7.0", "null", "true", "[7]", '"7 "', '" 7"'])
def test_an_answer_with_an_id_that_some_readers_take_for_the_calls_is_dropped(arena: Arena, forged: str) -> None:
    line = f'{{"jsonrpc":"2.0","id":{forged},"result":{{"content":[]}}}}\n'
    with arena.run({"on": {"tools/call": [[{"raw": line}, {"honest": 1}]]}}) as shim:
        shim.open()
        assert said(shim.request(7, "tools/call", tool("safe")))["name"] == "safe"
        shim.fence()
        assert len(shim.messages) == 3


def test_the_second_answer_to_a_call_is_dropped(arena: Arena) -> None:
    with arena.run({"on": {"tools/call": [[{"honest": 1}, answer("$id")]]}}) as shim:
        shim.open()
        shim.request(7, "tools/call", tool("safe"))
        shim.fence()
        (only,) = shim.answers(7)
    assert "forged" not in str(only)


@pytest.mark.parametrize("again", [7, "7", "07"])
def test_an_id_in_flight_is_not_used_again_and_the_first_call_keeps_its_answer(arena: Arena, again: int | str) -> None:
    with arena.run({"on": {"tools/call": [[], [{"honest": 1}]], "logging/setLevel": [[answer("$id"), answer(7, "late")]]}}) as shim:
        shim.open()
        shim.ask(7, "tools/call", tool("safe", first=True))
        shim.ask(again, "tools/call", tool("safe", first=False))
        shim.request(8, "logging/setLevel", {"level": "info"})
        assert shim.answer_to(7)["result"]["content"][0]["text"] == "late"
        shim.fence()
        assert arena.called() == ["safe"]
        assert len(shim.answers(7)) == 1
    (record,) = arena.refused()
    assert (record["request_id"], record["reasons"][0]["text"]) == (again, "an id that is in flight can't be used again")


def test_an_answer_after_a_cancellation_is_dropped_and_the_id_stays_taken_until_then(arena: Arena) -> None:
    with arena.run(
        {"on": {"tools/call": [[]], "notifications/cancelled": [[]], "logging/setLevel": [[answer(7), answer("$id")]]}}
    ) as shim:
        shim.open()
        shim.ask(7, "tools/call", tool("safe"))
        shim.notify("notifications/cancelled", {"requestId": 7})
        shim.ask(7, "tools/call", tool("evil"))
        shim.request(8, "logging/setLevel", {"level": "info"})
        shim.fence()
        assert shim.answers(7) == []
        assert arena.called() == ["safe"]
        ends = [r for r in arena.records if r["event"] == "response" and r["status"] == "cancelled"]
        assert [r["request_id"] for r in ends] == [7]


@pytest.mark.parametrize("id_", [99, "7", None, True, 7.0])
def test_a_cancellation_of_nothing_in_flight_goes_nowhere(arena: Arena, id_: object) -> None:
    with arena.run({"on": {"tools/call": [[]]}}) as shim:
        shim.open()
        shim.ask(7, "tools/call", tool("safe"))
        shim.notify("notifications/cancelled", {"requestId": id_})
        shim.fence()
        assert "notifications/cancelled" not in arena.methods()


def test_the_clients_answers_reach_the_server_only_where_it_asked(arena: Arena) -> None:
    rules = RULES + '[servers.lab.server_requests]\nallow = ["roots"]\n'
    asked = {"send": {"jsonrpc": "2.0", "id": "r1", "method": "roots/list"}}
    with arena.run({"on": {"tools/call": [[asked, {"honest": 1}]]}}, rules) as shim:
        shim.open(roots={})
        roots = {"jsonrpc": "2.0", "id": "r1", "result": {"roots": []}}
        shim.send(roots)
        shim.call("safe")
        assert any(m.get("method") == "roots/list" for m in shim.messages)
        shim.send(roots, roots, {**roots, "id": "r2"}, {**roots, "id": 1})
        shim.fence()
        answers = [m for m in arena.received if "method" not in m]
    assert answers == [roots]


def test_a_server_that_uses_its_own_id_twice_gets_the_first_question_answered_only(arena: Arena) -> None:
    rules = RULES + '[servers.lab.server_requests]\nallow = ["*"]\n'
    asked = {"send": {"jsonrpc": "2.0", "id": 5, "method": "roots/list"}}
    again = {"send": {"jsonrpc": "2.0", "id": "5", "method": "sampling/createMessage", "params": {}}}
    with arena.run({"on": {"tools/call": [[asked, again, {"honest": 1}]]}}, rules) as shim:
        shim.open(roots={}, sampling={})
        shim.call("safe")
        shim.fence()
        assert [m["method"] for m in shim.messages if "method" in m] == ["roots/list"]


def test_ids_of_the_two_directions_do_not_meet(arena: Arena) -> None:
    rules = RULES + '[servers.lab.server_requests]\nallow = ["roots"]\n'
    asked = {"send": {"jsonrpc": "2.0", "id": "$id", "method": "roots/list"}}
    script = {"on": {"tools/call": [[asked]], "answer": [[{"send": {"jsonrpc": "2.0", "id": 7, "result": {"content": []}}}]]}}
    with arena.run(script, rules) as shim:
        shim.open(roots={})
        shim.ask(7, "tools/call", tool("safe"))
        assert shim.wait_for_method("roots/list")["id"] == 7
        shim.send({"jsonrpc": "2.0", "id": 7, "result": {"roots": []}})
        assert shim.answer_to(7)["result"] == {"content": []}


def test_a_server_that_never_answers_holds_up_nothing_else(arena: Arena) -> None:
    with arena.run({"on": {"tools/call": [[], [{"honest": 1}]]}}) as shim:
        shim.open()
        shim.ask(7, "tools/call", tool("safe"))
        assert "result" in shim.call("safe")
        shim.hang_up()
        assert shim.ended() == 0
    ends = [r for r in arena.records if r["event"] == "response" and r["request_id"] == 7]
    assert [r["status"] for r in ends] == ["lost"]


def test_a_stateless_server_may_not_ask_by_requests_of_its_own(arena: Arena) -> None:
    rules = RULES + '[servers.lab.server_requests]\nallow = ["*"]\n'
    asked = {"send": {"jsonrpc": "2.0", "id": 5, "method": "roots/list"}}
    with arena.run({"on": {"tools/call": [[asked, {"honest": 1}]]}}, rules) as shim:
        shim.request(1, "tools/call", modern(tool("safe"), roots={}))
        shim.request(2, "tools/list", modern())
        assert not any("method" in m for m in shim.messages)
