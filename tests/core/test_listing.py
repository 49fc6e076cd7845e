from __future__ import annotations

from typing import Any

import pytest

from mcpwrap.core.listing import filtered, narrowed, status_tool, uncached


def test_the_same_list_comes_back_where_all_is_shown() -> None:
    result: dict[str, Any] = {"tools": [{"name": "a"}], "nextCursor": "x"}
    kept, total, shown = filtered(result, "tools", "name", lambda name: True)
    assert kept is result
    assert (total, shown) == (1, 1)


def test_order_and_everything_beside_the_list_stay() -> None:
    result: dict[str, Any] = {"nextCursor": "x", "tools": [{"name": n} for n in "cab"], "_meta": {}}
    kept, total, shown = filtered(result, "tools", "name", lambda name: name != "a")
    assert kept == {"nextCursor": "x", "tools": [{"name": "c"}, {"name": "b"}], "_meta": {}}
    assert list(kept) == list(result)
    assert (total, shown) == (3, 2)
    assert len(result["tools"]) == 3


def test_an_item_whose_name_cant_be_read_is_taken_out_without_being_judged() -> None:
    judged: list[str] = []

    def shown(name: str) -> bool:
        judged.append(name)
        return True

    result: dict[str, Any] = {"tools": [5, None, "name", ["name"], {}, {"name": 7}, {"name": None}, {"Name": "a"}, {"name": "b"}]}
    kept, total, left = filtered(result, "tools", "name", shown)
    assert kept == {"tools": [{"name": "b"}]}
    assert (total, left) == (9, 1)
    assert judged == ["b"]


def test_what_is_filtered_is_not_to_be_cached() -> None:
    assert uncached({"tools": [], "ttlMs": 5, "cacheScope": "public"}) == {"tools": [], "ttlMs": 0, "cacheScope": "private"}


@pytest.mark.parametrize(
    ("declared", "closed", "left"),
    [
        ({"roots": {}}, (), None),
        ({"vendor": {}}, ("roots", "sampling"), None),
        ({"roots": {}, "vendor": {}}, ("roots", "sampling"), {"vendor": {}}),
        ({"roots": {}, "tasks": {"requests": {"sampling": {}, "elicitation": {}}, "list": {}}}, ("sampling", "roots"),
         {"tasks": {"requests": {"elicitation": {}}, "list": {}}}),
        ({"roots": {}, "tasks": {"requests": 5}}, ("roots",), {"tasks": {"requests": 5}}),
        ({"roots": {}, "tasks": 5}, ("roots",), {"tasks": 5}),
    ],
)  # fmt: skip
def test_closed_capabilities_are_taken_out(declared: dict[str, Any], closed: tuple[str, ...], left: Any) -> None:
    assert narrowed(declared, closed) == left


def test_a_task_for_a_closed_request_is_taken_out_even_where_the_request_was_not_declared() -> None:
    assert narrowed({"tasks": {"requests": {"sampling": {}}}}, ("sampling",)) == {"tasks": {"requests": {}}}


def test_our_own_tool_takes_no_arguments_and_changes_nothing() -> None:
    tool = status_tool()
    assert tool["name"] == "mcpwrap_status"
    assert tool["inputSchema"]["additionalProperties"] is False
    assert tool["annotations"]["readOnlyHint"] is True
