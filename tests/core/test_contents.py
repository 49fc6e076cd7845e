from __future__ import annotations

from typing import Any

import pytest

from mcpwrap.core.contents import DEPTH_LIMIT, TAKEN_OUT, followed

TEXT = {"type": "text", "text": "hello"}
LINK = {"type": "resource_link", "name": "a", "uri": "docs://a"}
HIDDEN_LINK = {"type": "resource_link", "name": "k", "uri": "secret://k"}
EMBEDDED = {"type": "resource", "resource": {"uri": "docs://a", "text": "read"}}
HIDDEN = {"type": "resource", "resource": {"uri": "secret://k", "text": "the key"}}


def shown(uri: str) -> bool:
    return uri.startswith("docs://")


def never(uri: str) -> bool:
    raise AssertionError(uri)


def content_of(*items: Any, method: str = "tools/call") -> tuple[Any, int]:
    result, taken = followed({"content": list(items), "isError": False}, method, shown)
    assert result["isError"] is False
    return result["content"], taken


def test_texts_hide_nothing_that_lies_beside_or_in_them() -> None:
    def hidden(uri: str) -> bool:
        return False

    text = {"type": "text", "text": "x"}
    link = {"uri": "secret://a", "text": "x"}
    assert followed({"content": [text], "contents": [link]}, "tools/call", hidden) == ({"content": [text], "contents": []}, 1)
    assert followed({"content": [text], "Contents": [link]}, "tools/call", hidden) == ({"content": [text]}, 1)
    for item in ({"type": "resource_link", "text": "x"}, {**text, "uri": "secret://a"}, {**text, "Uri": "secret://a"}):
        assert followed({"content": [text, item]}, "tools/call", hidden) == ({"content": [text, TAKEN_OUT]}, 1)
    plain = {"content": [text], "structuredContent": {"uri": "secret://a"}, "isError": False, "_meta": {}, "resultType": "complete"}
    assert followed(plain, "tools/call", hidden) == (plain, 0)


@pytest.mark.parametrize("odd", [5, None, "text", ["text"]])
def test_messages_that_are_none_pass_without_being_read(odd: object) -> None:
    assert followed({"messages": [odd]}, "prompts/get", lambda uri: False) == ({"messages": [odd]}, 0)


def test_what_lies_deep_in_lists_is_taken_out() -> None:
    def nested(depth: int) -> dict[str, object]:
        value: object = {"type": "text", "text": "x"}
        for _ in range(depth):
            value = [value]
        return {"content": value}

    assert followed(nested(DEPTH_LIMIT), "tools/call", lambda uri: True)[1] == 0
    assert followed(nested(DEPTH_LIMIT + 1), "tools/call", lambda uri: True)[1] == 1


@pytest.mark.parametrize(
    "result",
    [
        {"content": []},
        {"content": [TEXT, TEXT], "structuredContent": {"uri": "secret://k", "items": [HIDDEN]}},
        {"content": [{**TEXT, "annotations": {"audience": ["user"]}, "_meta": {"uri": "secret://k"}}], "resultType": "complete"},
    ],
)
def test_a_result_of_texts_is_returned_as_it_is_without_a_question(result: Any) -> None:
    assert followed(result, "tools/call", never)[0] is result


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("tools/call", {"content": [LINK, EMBEDDED, TEXT, {"type": "image", "data": "", "mimeType": "image/png"}, "odd", 7, None]}),
        ("tools/call", {"structuredContent": {"uri": "secret://k"}}),
        ("tools/call", {"content": [{"type": "tool_use", "name": "x", "input": {"uri": "secret://k"}}]}),
        ("tools/call", {"content": [TEXT], "result": {"content": [HIDDEN]}}),
        ("prompts/get", {"messages": [{"role": "user", "content": EMBEDDED}, {"role": "user", "content": [TEXT, LINK]}, "odd"]}),
        ("resources/read", {"contents": [{"uri": "docs://a", "text": "read"}], "ttlMs": 0}),
        ("tasks/get", {"taskId": "t", "status": "completed", "result": {"content": [LINK]}}),
        ("tasks/get", {"taskId": "t", "result": "odd"}),
    ],
)
def test_a_result_in_which_all_is_shown_is_the_same_object(method: str, result: Any) -> None:
    kept, taken = followed(result, method, shown)
    assert kept is result
    assert taken == 0


def test_hidden_links_and_embedded_resources_are_replaced_by_a_text_where_they_stood() -> None:
    assert content_of(TEXT, HIDDEN_LINK, LINK, HIDDEN, EMBEDDED) == ([TEXT, TAKEN_OUT, LINK, TAKEN_OUT, EMBEDDED], 2)


@pytest.mark.parametrize(
    "item",
    [
        {"type": "resource_link", "name": "a"},
        {"type": "resource_link", "uri": ["docs://a"]},
        {"type": "resource"},
        {"type": "resource", "resource": "docs://a"},
        {"type": "resource", "resource": {"text": "the key"}},
        {"type": "resource", "resource": {"uri": 7}},
        {"type": "resource", "resource": {"uri": "docs://a", "URI": "secret://k"}},
        {"type": "resource", "resource": {"uri": "docs://a"}, "Resource": {"uri": "secret://k"}},
        {"type": "text", "text": "x", "Type": "resource_link", "URI": "secret://k"},
        {"type": "text", "text": "x", "resource": {"uri": "secret://k"}},
        {"type": "text", "text": "x", "uri": "secret://k"},
        {"type": "text", "text": [HIDDEN_LINK]},
        {"type": "vendor", "uri": "secret://k"},
        {"resource": {"uri": "secret://k"}},
        {**LINK, "resource": {"uri": "secret://k"}},
    ],
)
def test_what_cant_be_judged_or_is_hidden_under_another_type_is_taken_out(item: Any) -> None:
    kept, taken = content_of(item)
    assert taken == 1
    assert "secret" not in str(kept)
    assert str(TAKEN_OUT) in str(kept)


def test_content_inside_of_content_is_judged() -> None:
    inner = {"type": "tool_result", "toolUseId": "u", "content": [TEXT, HIDDEN], "structuredContent": {"uri": "secret://data"}}
    ((kept,), taken) = content_of(inner)
    assert kept == {**inner, "content": [TEXT, TAKEN_OUT]}
    assert taken == 1
    assert content_of([[HIDDEN_LINK], {"type": "vendor", "parts": {"first": HIDDEN}}])[1] == 2


def test_content_that_is_one_object_is_judged() -> None:
    assert followed({"content": HIDDEN}, "tools/call", shown) == ({"content": TAKEN_OUT}, 1)


def test_content_that_lies_too_deep_is_taken_out() -> None:
    def nested(depth: int) -> Any:
        item: Any = TEXT
        for _ in range(depth):
            item = {"type": "tool_result", "content": item}
        return {"content": item}

    assert followed(nested(DEPTH_LIMIT), "tools/call", shown)[1] == 0
    assert followed(nested(DEPTH_LIMIT + 1), "tools/call", shown)[1] == 1


def test_messages_of_a_prompt_are_judged_one_by_one() -> None:
    messages = [
        {"role": "user", "content": HIDDEN},
        {"role": "assistant", "content": [TEXT, HIDDEN_LINK]},
        {"role": "assistant", "content": TEXT, "Content": HIDDEN},
        {"role": "system", "content": TEXT, "Content": HIDDEN},
    ]
    result, taken = followed({"messages": messages, "description": "d"}, "prompts/get", shown)
    assert taken == 4
    assert result == {
        "description": "d",
        "messages": [
            {"role": "user", "content": TAKEN_OUT},
            {"role": "assistant", "content": [TEXT, TAKEN_OUT]},
            {"role": "assistant", "content": TAKEN_OUT},
            {"role": "user", "content": TAKEN_OUT},
        ],
    }
    one = {"messages": {"role": "user", "content": HIDDEN}}
    assert followed(one, "prompts/get", shown) == ({"messages": {"role": "user", "content": TAKEN_OUT}}, 1)


def test_results_of_tools_in_messages_are_looked_into_wherever_the_specification_nests_them() -> None:
    used = {"type": "tool_use", "id": "u", "name": "read", "input": {"uri": "secret://k", "resource": {"uri": "secret://k"}}}
    given = {"type": "tool_result", "toolUseId": "u", "content": [TEXT, HIDDEN_LINK, EMBEDDED], "structuredContent": HIDDEN}
    asked = {"messages": [{"role": "assistant", "content": [used]}, {"role": "user", "content": [given, HIDDEN]}], "maxTokens": 9}
    assert followed(asked, "sampling/createMessage", shown) == (
        {
            "messages": [
                {"role": "assistant", "content": [used]},
                {"role": "user", "content": [{**given, "content": [TEXT, TAKEN_OUT, EMBEDDED]}, TAKEN_OUT]},
            ],
            "maxTokens": 9,
        },
        2,
    )


def test_what_the_specification_does_not_name_is_the_servers_own_data() -> None:
    result = {"content": [TEXT], "structuredContent": {"content": [HIDDEN], "contents": [HIDDEN]}, "vendor/more": [HIDDEN]}
    assert followed(result, "tools/call", shown) == (result, 0)


def test_hidden_contents_of_a_resource_are_dropped() -> None:
    good = {"uri": "docs://a", "text": "read"}
    contents = [good, {"uri": "secret://k"}, {"text": "?"}, {"uri": "docs://a", "Uri": "secret://k"}, "docs://a"]
    assert followed({"contents": contents}, "resources/read", shown) == ({"contents": [good]}, 4)
    assert followed({"contents": {"uri": "docs://a"}}, "resources/read", shown) == ({"contents": []}, 1)


def test_the_result_inside_a_task_is_judged_and_other_spellings_of_its_names_are_dropped() -> None:
    body = {"taskId": "t", "result": {"content": [HIDDEN], "Content": [HIDDEN]}, "Result": {"content": [HIDDEN]}}
    assert followed(body, "tasks/get", shown) == ({"taskId": "t", "result": {"content": [TAKEN_OUT]}}, 3)
    assert followed({"content": [HIDDEN]}, "tasks/result", shown) == ({"content": [TAKEN_OUT]}, 1)
