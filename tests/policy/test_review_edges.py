"""What `mcpwrap check` remarks, and what it doesn't."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mcpwrap.policy.load import load_project
from mcpwrap.policy.merge import rules_for
from mcpwrap.policy.review import review, review_server

Tools = Mapping[str, Mapping[str, Any]]
WITH = "[[servers.f.rules]]\n{}\nargs.x = {{ max = 1 }}\n"


def found(text: str, tools: Tools | None = None) -> list[tuple[int, str]]:
    policy = load_project(f"[servers.f]\n{text}".encode(), file="f", root="/s", home="/h")
    said = [*review(rules_for(policy, "f", (), ()), tools), *review_server(policy.servers["f"], "f", tools)]
    return [(each.line, each.text) for each in said]


@pytest.mark.parametrize(("kind", "name"), [("prompts", "p"), ("server_requests", "roots"), ("extra_methods", "vendor/x")])
def test_every_table_is_looked_at(kind: str, name: str) -> None:
    ((line, text),) = found(f"allow = ['a']\n[servers.f.{kind}]\nallow = ['{name}']\ndeny = ['{name}']\n")
    assert line == 4
    assert text.endswith("`deny` wins")


@pytest.mark.parametrize("kind", ["resources", "prompts"])
def test_a_server_of_one_kind_lets_something_through(kind: str) -> None:
    assert found(f"[servers.f.{kind}]\nallow = ['d://*']\n") == []
    assert "nothing is let through" in found(f"[servers.f.{kind}]\ndeny = ['d://*']\n")[0][1]


def test_a_test_of_another_method_names_no_tool() -> None:
    tests = "[[servers.f.tests]]\ncall = '{}'\nexpect = 'allow'\n{}"
    text = "allow = ['a']\n" + tests.format("p", "method = 'prompts/get'\n") + tests.format("a", "") + tests.format("q", "")
    assert found(text, {"a": {}}) == [(10, "a test calls `q`, a tool that the server doesn't have")]


@pytest.mark.parametrize(
    ("text", "remarks"),
    [
        ("allow = [\n'a',\n'b']\ndeny = ['b']\n", [(4, "`b` stands in `allow` (f:4) and in `deny` (f:5); `deny` wins")]),
        ("allow = ['a']\ndeny = ['a*']\n", [(2, '`a` in `allow` never counts: `deny = ["a*"]` (f:3) is stricter')]),
        ("allow = ['a*']\ndeny = ['*']\n", [(2, '`a*` in `allow` never counts: `deny = ["*"]` (f:3) is stricter')]),
        ("allow = ['a*']\ndeny = ['a']\n", []),
        ("allow = ['^a$']\ndeny = ['*']\n", []),
        ("allow = ['a']\n" + WITH.format("deny = ['a']"), []),
        ("allow = ['a']\n[[servers.f.rules]]\nallow = ['a']\n", []),
        ("allow = ['a']\n[[servers.f.rules]]\nallow = ['a']\nlimit = '3/s'\n", []),
        ("allow = ['a']\n" + WITH.format("allow = ['a']\nlimit = '3/s'"), []),
        ("ask = ['a']\n[[servers.f.rules]]\nallow = ['a']\nlimit = '3/s'\n", []),
        (
            "allow = ['a']\n" + WITH.format("allow = ['a']"),
            [(4, 'the conditions of `a` in `allow` change nothing: `allow = ["a"]` (f:2) has none')],
        ),
        (
            WITH.format("allow = ['a']") + "[servers.f.prompts]\nallow = ['x']\n",
            [],
        ),
        (
            WITH.format("allow = ['a']") + "[[servers.f.rules]]\ndeny = ['a']\n",
            [(3, '`a` in `allow` never counts: `deny = ["a"]` (f:6) is stricter')],
        ),
        ("allow = ['a', '!b']\n", [(2, "`!b` takes nothing out of its `allow`: no pattern there matches it")]),
        ("allow = ['a', '!^b$']\n", []),
    ],
)
def test_a_rule_that_never_counts_is_told_and_no_other(text: str, remarks: list[tuple[int, str]]) -> None:
    assert found(text) == remarks


SCHEMA: dict[str, Any] = {"inputSchema": {"properties": {"path": {}, "mode": {}}}}


def test_a_pattern_that_matches_nothing_is_told_with_what_was_meant() -> None:
    tools: Tools = {"read_a": {}, "read_b": {}}
    for pattern, meant in (("red_a", "read_a"), ("reed_*", "read_*"), ("*_reed", ""), ("^reed_.*$", "")):
        said = f"`{pattern}` in `allow` matches no tool that the server has" + (f"; did you mean `{meant}`?" if meant else "")
        assert (4, said) in found(f"allow = [\n'read_a',\n'{pattern}']\n", tools)


def test_an_argument_that_no_tool_has_is_told_at_the_rules_first_line() -> None:
    rule = "[[servers.f.rules]]\nallow = [\n'a',\n'b']\nargs.pth = { max = 1 }\n"
    (remark,) = found("log = ['z']\n" + rule, {"a": SCHEMA, "b": SCHEMA, "z": {}})
    assert remark == (5, "no tool that this rule matches has an argument `pth`; did you mean `path`?")
    rule = rule.replace("pth", "path")
    tools: Tools = {"a": SCHEMA, "b": {}, "z": {}}
    assert found("log = ['z']\n" + rule, tools) == [(5, "`b`: there is no argument `path`, so this rule never lets them through")]


def test_names_are_listed_up_to_three() -> None:
    rule = "[[servers.f.rules]]\nlog = ['*']\nargs.path = { max = 1 }\n"
    three: Tools = {"a": SCHEMA, "b": {}, "c": {}, "d": {}}
    assert found(rule, three) == [(3, "`b`, `c`, `d`: there is no argument `path`, so this rule always counts there, as `log`")]
    four: Tools = {**three, "e": {}}
    assert found(rule, four)[0][1].startswith("`b`, `c`, `d` (and 1 more): ")


def test_a_glob_for_the_name_of_a_file_is_told_at_the_rules_first_line() -> None:
    rule = "[[servers.f.rules]]\ndeny = [\n'a',\n'b']\nargs.path = {{ glob = '{}' }}\n"
    assert [line for line, _ in found("allow = ['z']\n" + rule.format("*.pem"))] == [5]
    assert [line for line, _ in found("allow = ['z']\n" + rule.format("a\\b"))] == [5]


def test_every_tool_that_deserves_a_question_is_told_at_its_first_pattern() -> None:
    assert found("ask = ['push_x']\nallow = [\n'delete_a',\n'read_a', 'send_b']\n") == [
        (4, "`delete_a` is allowed without `log` or `ask`, and its name says `delete`"),
        (5, "`send_b` is allowed without `log` or `ask`, and its name says `send`"),
    ]
    assert found("allow = [\n'delete_a']\n[[servers.f.rules]]\nallow = ['delete_*']\n")[0][0] == 3


def test_a_question_for_one_tool_excuses_no_other() -> None:
    said = [text for _, text in found("allow = ['push_x', 'delete_a']\nask = ['push_*']\n")]
    assert "`delete_a` is allowed without `log` or `ask`, and its name says `delete`" in said


def test_a_glob_that_is_no_beginning_is_no_slip_for_one() -> None:
    tools: Tools = {"read_file_now": {}}
    assert found("allow = ['r*ad_file_nox*']\n", tools) == [(2, "`r*ad_file_nox*` in `allow` matches no tool that the server has")]


def test_a_rule_without_a_tool_and_one_whose_tools_have_the_argument_are_told_nothing_of_it() -> None:
    rule = "[[servers.f.rules]]\nlog = ['{}']\nargs.path = {{ max = 1 }}\n"
    assert found(rule.format("a"), {"a": SCHEMA}) == []
    assert found(rule.format("q"), {"a": SCHEMA}) == [(3, "`q` in `log` matches no tool that the server has")]


@pytest.mark.parametrize("key", ["path", "file", "dir", "folder", "sourceFolder"])
def test_an_argument_of_such_a_name_is_a_path(key: str) -> None:
    assert len(found(f"[[servers.f.rules]]\nlog = ['a']\nargs.{key} = {{ glob = '*.pem' }}\n")) == 1


def test_a_list_for_one_segment_overrules_none_for_all_below() -> None:
    assert found("[servers.f.resources]\nallow = ['d://**']\ndeny = ['d://*']\n") == []
