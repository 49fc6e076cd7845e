"""Refusals on the wire (PROTOCOL.md §5)."""

from __future__ import annotations

import json

import pytest

from mcpwrap.core import denial


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (denial.unknown_tool("x", "rm", "r1"), -32602, "Unknown tool: rm (ref r1)"),
        (denial.unknown_prompt("x", "rm", "r1"), -32602, "Unknown prompt: rm (ref r1)"),
        (denial.unknown_resource("x", "a:b", "r1", modern=True), -32602, "Resource not found (ref r1)"),
        (denial.unknown_resource("x", "a:b", "r1", modern=False), -32002, "Resource not found (ref r1)"),
        (denial.unknown_task("x", "r1"), -32602, "Unknown task (ref r1)"),
        (denial.unknown_method("x", "m", "r1"), -32601, "Method not found: m (ref r1)"),
        (denial.invalid_params("x", "why", "r1"), -32602, "Invalid params: why (ref r1)"),
        (denial.broken("x", "it died"), -32603, "mcpwrap: it died"),
        (denial.unsupported_version("x", "1"), -32022, "Unsupported protocol version"),
    ],
)
def test_each_case_has_its_code_and_the_ref_of_its_record(line: bytes, code: int, message: str) -> None:
    body = json.loads(line)
    assert body["jsonrpc"] == "2.0"
    assert body["id"] == "x"
    assert body["error"]["code"] == code
    assert body["error"]["message"] == message


def test_our_own_code_lies_outside_of_json_rpcs() -> None:
    assert not -32768 <= denial.REFUSED <= -32000


def test_a_spoken_refusal_has_the_shape_of_its_family() -> None:
    content = [{"type": "text", "text": "no"}]
    assert json.loads(denial.spoken(1, "no", modern=False))["result"] == {"content": content, "isError": True}
    assert json.loads(denial.spoken(1, "no", modern=True, failed=False))["result"] == {
        "resultType": "complete", "content": content, "isError": False
    }  # fmt: skip


def test_words_for_a_model_say_that_it_is_policy_and_whom_to_tell() -> None:
    text = denial.nobody_to_ask("write_file", "r1")
    for said in ("write_file was not run", "policy, not a fault", "rephrasing won't help", "Tell the user", "(ref r1)"):
        assert said in text


def test_a_hidden_names_odd_characters_do_not_break_the_line() -> None:
    line = denial.unknown_tool(1, "a\n\r\u2028\ud800", "r1")
    assert b"\n" not in line
    assert json.loads(line)["error"]["message"] == "Unknown tool: a\n\r\u2028\ud800 (ref r1)"


def test_a_refusal_without_a_record_names_none() -> None:
    assert denial.tag("") == ""
    assert denial.tag("r1") == " (ref r1)"
