"""What works in a policy but may not be meant."""

from __future__ import annotations

from typing import Any

import pytest

from mcpwrap.core.conditions import Context
from mcpwrap.core.rules import Outcome
from mcpwrap.policy.load import load_project, rules_for
from mcpwrap.policy.review import review, review_server
from mcpwrap.runtime.facts import FileFacts

TOOLS = {
    "read_file": {"name": "read_file", "inputSchema": {"properties": {"path": {}}}},
    "write_file": {"name": "write_file", "inputSchema": {"properties": {"path": {}, "content": {}}}},
    "list_all": {"name": "list_all", "inputSchema": {}},
    "wipe": {"name": "wipe", "inputSchema": {"properties": 7}, "annotations": {"destructiveHint": True}},
    "odd": {"name": "odd", "annotations": 7},
}


def found(text: str, tools: Any = None) -> list[tuple[int, str]]:
    """Lines and texts of the findings; the table's header is line 1."""
    policy = load_project(f"[servers.s]\n{text}".encode(), file="f", root="/p", home="/h")
    return [(each.line, each.text) for each in review(rules_for(policy, "s", (), ()), tools)]


@pytest.mark.parametrize(
    ("text", "line", "warning"),
    [
        ('allow = ["a"]\ndeny = ["a"]', 2, "`a` stands in `allow` (f:2) and in `deny` (f:3); `deny` wins"),
        ('allow = ["read_a"]\nask = ["read_*"]', 2, '`read_a` in `allow` never counts: `ask = ["read_*"]` (f:3) is stricter'),
        ('allow = ["read_a*"]\ndeny = ["read_*"]', 2, '`read_a*` in `allow` never counts: `deny = ["read_*"]` (f:3) is stricter'),
        (
            'allow = ["read_*"]\n[[servers.s.rules]]\nallow = ["read_a"]\nargs.path = { within = "/p" }',
            4,
            'the conditions of `read_a` in `allow` change nothing: `allow = ["read_*"]` (f:2) has none',
        ),
        (
            'allow = ["x"]\ndeny = ["read_*"]\n[[servers.s.rules]]\ndeny = ["read_a"]\nargs.path = { within = "/p" }',
            5,
            'the conditions of `read_a` in `deny` change nothing: `deny = ["read_*"]` (f:3) has none',
        ),
        (
            'deny = ["read_a"]\n[[servers.s.rules]]\nallow = ["read_a"]\nlimit = "3/h"',
            4,
            "`read_a` stands in `allow` (f:4) and in `deny` (f:2); `deny` wins",
        ),
        ('allow = ["read_*", "!write_a"]', 2, "`!write_a` takes nothing out of its `allow`: no pattern there matches it"),
        ('[servers.s.resources]\nallow = ["docs://a/*"]\ndeny = ["docs://**"]', 3, "never counts"),
    ],
)
def test_a_rule_that_never_counts_is_found(text: str, line: int, warning: str) -> None:
    assert [(at, said) for at, said in found(text) if warning in said and at == line]


@pytest.mark.parametrize(
    "text",
    [
        'allow = ["read_*", "!read_b"]\ndeny = ["read_a"]',
        'allow = ["read_a"]\ndeny = ["read_*", "!read_a"]',
        'allow = ["^read_.*$"]\ndeny = ["read_*"]',
        'allow = ["read_a", "^r.*$", "!^x$"]\nlog = ["^read_b$"]\nask = ["b"]',
        'allow = ["read_*"]\n[[servers.s.rules]]\nask = ["read_a"]\nargs.path = { within = "/p" }',
        'allow = ["read_*"]\n[[servers.s.rules]]\nallow = ["read_a"]\nlimit = "3/h"',
        'ask = ["read_*"]\n[[servers.s.rules]]\nallow = ["read_a"]\nlimit = "3/h"\nover = "deny"',
        'allow = ["a", "b"]',
    ],
)
def test_a_rule_that_may_count_is_left_alone(text: str) -> None:
    assert not [said for _, said in found(text) if "never counts" in said or "change nothing" in said or "nothing out" in said]


def test_a_pattern_that_matches_no_tool_is_found_with_the_nearest_name() -> None:
    text = 'allow = ["raed_file", "list_*", "!list_some"]\ndeny = ["zz*"]'
    assert found(text) == []
    assert found(text, TOOLS) == [
        (2, "`!list_some` in `allow` matches no tool that the server has"),
        (2, "`raed_file` in `allow` matches no tool that the server has; did you mean `read_file`?"),
        (3, "`zz*` in `deny` matches no tool that the server has"),
    ]


def test_an_argument_that_no_tool_has_is_found_with_the_nearest_name() -> None:
    text = '[[servers.s.rules]]\nallow = ["*_file"]\nargs.pth = { within = "/p" }'
    assert found(text, TOOLS) == [(3, "no tool that this rule matches has an argument `pth`; did you mean `path`?")]
    assert found(text) == []
    text = '[[servers.s.rules]]\nallow = ["list_all"]\nargs."x.y" = { max = 3 }\nunless."*" = { glob = "a" }'
    assert found(text, TOOLS) == [(3, "no tool that this rule matches has an argument `x`")]
    text = '[[servers.s.rules]]\ndeny = ["*_file"]\nunless.where = { within = "/p" }'
    assert found(text, TOOLS) == [(3, "no tool that this rule matches has an argument `where`; known: `content`, `path`")]


@pytest.mark.parametrize(("effect", "what"), [("deny", "always counts there, as `deny`"), ("allow", "never lets them through")])
def test_an_argument_that_some_tools_lack_is_said(effect: str, what: str) -> None:
    text = f'[[servers.s.rules]]\n{effect} = ["*"]\nargs.content = {{ glob = "a" }}'
    assert found(text, TOOLS) == [
        (3, f"`read_file`, `list_all`, `wipe` (and 1 more): there is no argument `content`, so this rule {what}")
    ]


def test_what_an_expression_looks_at_is_known_too() -> None:
    text = '[[servers.s.rules]]\ndeny = ["*_file"]\nwhen = "has(args.content) && args.contnt == \'x\'"'
    assert found(text, TOOLS) == [(3, "no tool that this rule matches has an argument `contnt`; did you mean `content`?")]
    assert found('[[servers.s.rules]]\ndeny = ["nothing"]\nwhen = "args.x == 1"') == []


def test_a_tool_that_destroys_and_is_simply_allowed_is_found() -> None:
    assert found('allow = ["*"]', TOOLS) == [
        (2, "`wipe` is allowed without `log` or `ask`, and the server calls it destructive"),
        (2, "`write_file` is allowed without `log` or `ask`, and its name says `write`"),
    ]
    assert found('allow = ["*"]') == []
    assert found('allow = ["read_file", "delete_file"]') == [
        (2, "`delete_file` is allowed without `log` or `ask`, and its name says `delete`")
    ]


@pytest.mark.parametrize(
    "text",
    [
        'allow = ["*_file"]\nlog = ["write_file"]',
        'ask = ["write_file"]',
        '[[servers.s.rules]]\nallow = ["write_file"]\nargs.path = { within = "/p" }',
        'allow = ["*_file"]\n[[servers.s.rules]]\nask = ["write_file"]\nunless.path = { within = "/p" }',
    ],
)
def test_a_tool_with_a_guard_is_left_alone(text: str) -> None:
    assert not [said for _, said in found(text, TOOLS) if "without `log`" in said]


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [("raed_*", "; did you mean `read_*`?"), ("edit_*", ""), ("zz*", ""), ("*_fiel", ""), ("*raed*", ""), ("^raed_.*$", "")],
)
def test_a_glob_that_matches_nothing_is_told_with_the_nearest_beginning(pattern: str, hint: str) -> None:
    assert found(f'deny = ["{pattern}"]', TOOLS) == [(2, f"`{pattern}` in `deny` matches no tool that the server has{hint}")]


@pytest.mark.parametrize("key", ["path", '"*"', "outputDir"])
@pytest.mark.parametrize(
    ("glob", "warning"),
    [
        ("*.env", "`*.env` finds no file in a folder; for one in any folder write `**/*.env`"),
        (".env", "`.env` finds no file in a folder; for one in any folder write `**/.env`"),
        ("C:\\Windows\\**", "`C:\\Windows\\**` has backslashes; paths have `/` here"),
        ("**/*.env", ""),
        ("-**", ""),
        ("^.*\\.env$", ""),
    ],
)
def test_a_glob_that_finds_no_path_is_found(key: str, glob: str, warning: str) -> None:
    text = f"[[servers.s.rules]]\ndeny = ['*']\nargs.{key} = {{ glob = '{glob}' }}"
    assert found(text) == ([(3, warning)] if warning else [])


def test_a_glob_of_a_text_that_is_no_path_is_left_alone() -> None:
    assert found("[[servers.s.rules]]\ndeny = ['*']\nargs.title = { glob = '*.com' }") == []


@pytest.mark.parametrize(("glob", "expected"), [("*.env", Outcome.ALLOW), ("**/*.env", Outcome.DENY)])
def test_what_is_said_of_short_globs_is_so(glob: str, expected: Outcome) -> None:
    text = f'[servers.s]\nallow = ["a"]\n[[servers.s.rules]]\ndeny = ["a"]\nargs.path = {{ glob = "{glob}" }}'
    rules = rules_for(load_project(text.encode(), file="f", root="/p", home="/h"), "s", (), ())
    assert rules.tools.judge("a", Context({"path": "/p/x/a.env"}, facts=FileFacts(None))).outcome is expected


def server(text: str, tools: Any = None) -> list[tuple[int, str]]:
    """What the server's table says besides its rules; its header is line 1."""
    policy = load_project(f"[servers.s]\n{text}".encode(), file="f", root="/p", home="/h")
    return [(each.line, each.text) for each in review_server(policy.servers["s"], policy.file, tools)]


def test_a_server_that_lets_nothing_through_is_found() -> None:
    said = [(1, "nothing is let through: what no `allow`, `log` or `ask` names is denied")]
    assert server("") == said
    assert server('deny = ["x"]') == said
    assert server('ask = ["x"]') == []
    assert server('[servers.s.prompts]\nallow = ["x"]') == []


def test_a_variable_that_is_meant_to_be_passed_on_and_is_a_text_is_found() -> None:
    assert server('allow = ["x"]\nenv = { A = "$TOKEN", B = "%KEY%", C = "$5", D = "x" }') == [
        (1, '`A` is set to the text `$TOKEN` itself; a variable of yours is passed on with `inherit_env = ["TOKEN"]`'),
        (1, '`B` is set to the text `%KEY%` itself; a variable of yours is passed on with `inherit_env = ["KEY"]`'),
    ]


def test_a_test_of_a_tool_that_is_not_there_is_found() -> None:
    test = '[[servers.s.tests]]\ncall = "{}"\nexpect = "{}"\n'
    text = 'allow = ["*"]\n' + "".join(
        test.format(*each) for each in [("raed_file", "deny"), ("zzz", "deny"), ("zzz", "allow"), ("wipe", "deny")]
    )
    assert server(text, TOOLS) == [
        (3, "a test calls `raed_file`, a tool that the server doesn't have; did you mean `read_file`?"),
        (9, "a test calls `zzz`, a tool that the server doesn't have"),
    ]
    assert server(text) == []
    assert server('allow = ["x"]\n[[servers.s.tests]]\nmethod = "prompts/get"\ncall = "p"\nexpect = "deny"', TOOLS) == []
