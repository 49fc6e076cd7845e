"""Pins: what only a full memory, a list in pages, or an acceptance in between could lead past them."""

from __future__ import annotations

import pytest

from mcpwrap.core import pins
from mcpwrap.core.pins import SERVER_INFO, PinGuard, digest, greeting
from tests.core.test_pins import EVIL, SAID, A, B, C, listed, pinned, tool

HIDDEN = tool("x", "\u200b")


def page(guard: PinGuard, *tools: object, first: bool = True, last: bool = False) -> set[int]:
    return guard.page("tool", list(tools), first=first, last=last)


def test_objects_in_lists_have_no_order_of_keys_either() -> None:
    assert digest({"a": [{"c": "\ud800", "b": 1}]}) == digest({"a": [{"b": 1, "c": "\ud800"}]})


def test_two_names_of_a_server_are_pinned_where_they_stand() -> None:
    said = {"serverInfo": {"name": "a"}, "_meta": {SERVER_INFO: {"name": "b"}, "more": 1}}
    assert greeting(said) == {"serverInfo": {"name": "a"}, "_meta": {SERVER_INFO: {"name": "b"}}}


def test_a_first_sight_of_something_else_keeps_a_list_closed() -> None:
    guard = PinGuard(pinned(A))
    assert guard.greeting(SAID) == ""
    learned = guard.learned()
    assert learned is not None
    assert learned.first_sight
    assert learned.pinned.complete == frozenset({"tool"})
    assert learned.pinned.items == {"tool": {"a": digest(A)}}


def test_where_all_that_is_held_is_full_a_changed_definition_is_held_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "COUNT_LIMIT", 1)
    guard = PinGuard(pinned(A, complete=()))
    assert page(guard, HIDDEN) == {0}
    assert page(guard, EVIL) == {0}
    assert guard.held("tool", "x") != ""
    assert guard.held("tool", "a") != ""
    taken = PinGuard()
    assert page(taken, A) == set()
    assert page(taken, HIDDEN) == {0}
    assert page(taken, EVIL) == {0}
    assert taken.held("tool", "x") != ""
    assert taken.held("tool", "a") == "the tool `a`: its definition is not the one that was accepted"


def test_what_is_held_again_has_its_last_reason_where_all_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "COUNT_LIMIT", 1)
    guard = PinGuard()
    assert page(guard, HIDDEN) == {0}
    assert "hidden character" in guard.held("tool", "x")
    assert page(guard, HIDDEN, HIDDEN) == {0, 1}
    assert guard.held("tool", "x") == "the tool `x`: there are two of that name"


def test_no_more_is_kept_of_what_is_held_than_of_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "COUNT_LIMIT", 3)
    guard = PinGuard()
    for i in range(10):
        page(guard, tool(f"x{i}", "\u200b"))
    assert len(guard._why["tool"]) == 3


def test_after_something_too_large_nothing_new_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "BYTES_LIMIT", 200)
    guard = PinGuard()
    assert page(guard, tool("big", "x" * 200)) == {0}
    assert page(guard, B) == {0}
    assert guard.held("tool", "b") != ""
    assert guard.held("tool", "other") != ""


SMALL = [tool(name, "x" * 100) for name in "abcd"]


def test_lists_that_begin_and_never_end_have_one_bound_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "BYTES_LIMIT", 350)
    guard = PinGuard()
    assert [page(guard, each) for each in SMALL] == [set(), set(), {0}, {0}]


def test_a_list_that_goes_on_after_it_was_seen_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "BYTES_LIMIT", 350)
    guard = PinGuard()
    assert listed(guard, SMALL[0]) == set()
    page(guard, *SMALL, first=True)
    assert guard.held("tool", "b").endswith("is not among those that were accepted")
    assert guard.held("tool", "d") == "the tool `d`: the server has more definitions than mcpwrap keeps"


def test_a_list_that_was_seen_is_followed_by_one_of_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "COUNT_LIMIT", 2)
    guard = PinGuard()
    assert listed(guard, A) == set()
    assert page(guard, A, B, C) == {1, 2}
    assert guard.held("tool", "c") == "the tool `c`: the server has more definitions than mcpwrap keeps"


def test_a_page_that_was_asked_for_again_takes_no_room_and_is_nothing_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "BYTES_LIMIT", 200)
    monkeypatch.setattr(pins, "COUNT_LIMIT", 1)
    guard = PinGuard()
    assert page(guard, SMALL[0]) == set()
    assert guard.learned() is not None
    assert page(guard, SMALL[0]) == set()
    assert guard.learned() is None
    monkeypatch.setattr(pins, "BYTES_LIMIT", 400)
    assert page(guard, SMALL[0], first=False) == set()
    assert guard.held("tool", "a") == ""


def test_what_there_was_no_room_for_counts_when_it_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "COUNT_LIMIT", 2)
    guard = PinGuard()
    assert page(guard, A, B, C) == {2}
    guard.replace(pinned(A, B, C))
    assert guard.held("tool", "c") == ""


def test_a_list_of_one_page_shows_by_itself_that_a_name_is_there_once() -> None:
    guard = PinGuard(pinned(A))
    assert listed(guard, A, EVIL) == {0, 1}
    assert listed(guard, A) == set()
    assert guard.held("tool", "a") == ""


def test_a_name_that_is_there_once_again_is_compared_with_what_was_accepted() -> None:
    guard = PinGuard(pinned(A, B))
    assert listed(guard, A, EVIL) == {0, 1}
    assert page(guard, EVIL) == {0}
    assert page(guard, B, first=False, last=True) == set()
    assert guard.held("tool", "a") == "the tool `a`: its definition is not the one that was accepted"
    assert listed(guard, A, EVIL) == {0, 1}
    assert page(guard, A) == {0}
    assert page(guard, B, first=False, last=True) == set()
    assert guard.held("tool", "a") == ""


def test_what_comes_after_the_end_of_a_list_belongs_to_none() -> None:
    guard = PinGuard()
    listed(guard, A)
    assert guard.learned() is not None
    assert page(guard, B, first=False, last=True) == {0}
    assert guard.learned() is None
    guard.greeting(SAID)
    learned = guard.learned()
    assert learned is not None
    assert learned.items == {"tool": {"a": A}}
