from __future__ import annotations

from typing import Any

import pytest

from mcpwrap.core.rules import HOLE, NAME_LIMIT
from mcpwrap.core.uris import ambiguity, completion_text, template_text


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("file:///a/../b", "dot segment"),
        ("file:///a/./b", "dot segment"),
        ("file:///..", "dot segment"),
        ("../b", "dot segment"),
        ("file:///a/%2e%2e/b", "dot segment"),
        ("file:///a/%2E./b", "dot segment"),
        ("file:///a/.%2e", "dot segment"),
        ("file:///a/..?x", "dot segment"),
        ("file:///a/..#x", "dot segment"),
        ("file:///a%2fb", "encoded separator"),
        ("file:///a%5Cb", "encoded separator"),
        ("file:///a%00", "encoded separator"),
        ("file:///%252e%252e/b", "encoded separator"),
        ("FILE:///a", "scheme in upper case"),
        ("Docs:a", "scheme in upper case"),
        ("https://Example.com/a", "host in upper case"),
        ("file://localhost/a", "another spelling"),
        ("file:a", "another spelling"),
        ("file:///a//b", "another spelling"),
        ("file:////a", "another spelling"),
        ("file:///%61", "encoded plain character"),
        ("file:///a?b=%7E", "encoded plain character"),
        ("file:///" + "a" * NAME_LIMIT, "more than 4096 characters"),
        ("file:///a\\b", "backslash"),
        ("file:///a?x=\\", "backslash"),
        ("file:///a%", "encodes nothing"),
        ("file:///a%2", "encodes nothing"),
        ("file:///a%zz", "encodes nothing"),
        ("file:///a\nb", "control characters"),
        ("file:///a\x00", "control characters"),
        ("file:///a\x7f", "control characters"),
        ("file:///a\x85b", "control characters"),
        (" file:///a", "outer white space"),
        ("file:///a\u2003", "outer white space"),
    ],
)
def test_a_uri_that_two_readers_may_resolve_differently_is_ambiguous(uri: str, why: str) -> None:
    assert why in (ambiguity(uri) or "")


@pytest.mark.parametrize(
    "uri",
    [
        "file:///a/b",
        "file:///a/.hidden",
        "file:///a/...",
        "file:///a..b/c",
        "file:///a%20b",
        "file:///%C3%A9",
        "file:///a?x=../b&y=%2F",
        "file:///a#../b",
        "docs://x",
        "ui://widget",
        "x:",
        "",
        "file:///a b",
        "https://example.com/A//B",
        "docs:a//b",
        "file:///a?b//c",
        "a/B",
        "docs:A:b",
        "docs:abC/d",
        "docs:a\u00a0b",
        "docs:" + "a" * (NAME_LIMIT - 5),
    ],
)
def test_any_other_uri_can_be_judged_as_it_stands(uri: str) -> None:
    assert ambiguity(uri) is None


def shown(text: Any) -> str:
    return "".join("_" if c is HOLE else c for c in text)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("file:///a", "file:///a"),
        ("file:///{p}", "file:///_"),
        ("file:///{p}/x{?q,r}", "file:///_/x_"),
        ("{+p}{#f}{/s*}{;m}{&n}{.e}", "______"),
        ("a{b", "a{b"),
        ("a}b", "a}b"),
        ("{}", "_"),
        ("{{p}}", "{_}"),
    ],
)
def test_a_template_is_known_characters_and_holes(template: str, text: str) -> None:
    assert shown(template_text(template)) == text


@pytest.mark.parametrize(
    ("template", "params", "text"),
    [
        ("f:/{a}/{b}", {}, "f:/_/_"),
        ("f:/{a}/{b}", {"argument": {"name": "b", "value": "x"}}, "f:/_/x_"),
        ("f:/{a}/{b}", {"context": {"arguments": {"a": "1"}}, "argument": {"name": "b", "value": "x"}}, "f:/1/x_"),
        ("f:/{a}", {"context": {"arguments": {"a": "1"}}, "argument": {"name": "a", "value": "x"}}, "f:/x_"),
        ("f:/{+a}/{a*}", {"context": {"arguments": {"a": "1"}}}, "f:/1/1"),
        # what other operators than a slash put before the value is not known
        ("f:{/a}{?b}", {"context": {"arguments": {"a": "1", "b": "2"}}}, "f:/1_"),
        ("f:/{a,b}/{c:3}", {"context": {"arguments": {"a": "1", "b": "2", "c": "3"}}}, "f:/_/_"),
        ("f:/{a}", {"context": {"arguments": {"a": 1}}, "argument": {"name": "a", "value": 2}}, "f:/_"),
        ("f:/{a}", {"context": {"arguments": {"a": 1}}}, "f:/_"),
        ("f:/{a}", {"context": {"arguments": []}, "argument": {"name": 7}}, "f:/_"),
        ("f:/{a}", {"context": 5, "argument": 5}, "f:/_"),
    ],
)
def test_what_a_completion_asks_about_is_filled_in_as_far_as_it_is_known(template: str, params: dict[str, Any], text: str) -> None:
    assert shown(completion_text(template, params)) == text


def test_a_segment_that_is_put_in_with_its_slash_is_known_as_well() -> None:
    assert template_text("file:///a{/b*}/c", {"b": "x/y"}) == list("file:///a/x/y/c")
    params = {"argument": {"name": "b", "value": "x"}}
    assert completion_text("file:///a{/b}", params) == [*"file:///a/x", HOLE]
    assert completion_text("file:///a{/d}", params) == [*"file:///a", HOLE]
