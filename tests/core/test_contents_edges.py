"""What decides about a resource in content, and what is data that nobody reads as one."""

from __future__ import annotations

from typing import Any

import pytest

from mcpwrap.core.contents import TAKEN_OUT, followed


def shown(uri: str) -> bool:
    return uri.startswith("docs:")


@pytest.mark.parametrize(
    "item",
    [
        {"type": "text", "text": "x", "Resource": {"uri": "secret://a"}},
        {"type": "text", "text": "x", "TYPE": "resource_link"},
        {"type": "text", "text": "x", "Uri": "secret://a"},
        {"type": "text", "text": "x", "Content": [{"type": "resource_link", "uri": "secret://a"}]},
    ],
)
def test_a_deciding_name_in_another_case_hides_nothing(item: dict[str, Any]) -> None:
    assert followed({"content": [item]}, "tools/call", shown) == ({"content": [TAKEN_OUT]}, 1)


@pytest.mark.parametrize("name", ["structuredContent", "input", "_meta", "annotations", "icons"])
def test_what_is_data_is_left_as_it_is(name: str) -> None:
    result = {"content": [{"type": "tool_use", name: {"uri": "secret://a", "Uri": "x"}}]}
    assert followed(result, "tools/call", shown) == (result, 0)


def test_a_resource_is_judged_by_its_uri_and_not_by_what_stands_in_it() -> None:
    result = {"content": [{"type": "resource", "resource": {"uri": "docs://a", "text": "x", "more": {"uri": "secret://b"}}}]}
    assert followed(result, "tools/call", shown) == (result, 0)


@pytest.mark.parametrize("contents", [5, None, "secret://a", {"uri": "secret://a"}, {}])
def test_contents_that_are_no_list_are_none(contents: Any) -> None:
    assert followed({"contents": contents}, "resources/read", shown) == ({"contents": []}, 1)
