from __future__ import annotations

from mcpwrap.core.jsonrpc import Message, parse
from mcpwrap.core.waiting import Waiting


def message(text: str) -> Message:
    found = parse(text.encode())
    assert not isinstance(found, list)
    return found


def request(id: str) -> Message:
    return message(f'{{"jsonrpc":"2.0","id":{id},"method":"ping"}}')


NOTE = message('{"jsonrpc":"2.0","method":"n"}')


def test_what_waits_comes_out_in_order_and_once() -> None:
    waiting = Waiting()
    for each in (request("1"), NOTE, request('"a"')):
        waiting.add(each)
    assert len(waiting) == 3
    assert 1 in waiting
    assert "a" in waiting
    assert [[w.line for w in group] for group in waiting.release()] == [
        [request("1").encoded],
        [NOTE.encoded],
        [request('"a"').encoded],
    ]
    assert list(waiting.release()) == []
    assert 1 not in waiting


def test_only_the_very_id_is_withdrawn_and_its_room_is_free_again() -> None:
    waiting = Waiting()
    waiting.add(request("7"))
    assert not waiting.has_room(NOTE, 1)
    assert not waiting.withdraw("7")
    assert not waiting.withdraw(8)
    assert waiting.withdraw(7)
    assert not waiting.withdraw(7)
    assert waiting.has_room(NOTE, 1)
    assert list(waiting.release()) == []


def test_batches_stay_apart_and_alone() -> None:
    waiting = Waiting()
    waiting.new_batch()
    waiting.add(request("1"), batched=True)
    waiting.add(request("2"), batched=True)
    waiting.new_batch()
    waiting.add(request("3"), batched=True)
    waiting.add(request("4"))
    waiting.add(request("5"))
    assert [len(group) for group in waiting.release()] == [2, 1, 1, 1]
