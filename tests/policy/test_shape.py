"""The keys of each file: what may stand where, and the bounds that a person could meet."""

from __future__ import annotations

import json

import pytest

from mcpwrap.errors import ConfigError
from mcpwrap.policy.lists import PATTERN_LIMIT
from mcpwrap.policy.load import load_project, load_site, load_user
from mcpwrap.policy.schema import json_schema

USER = "/h/.config/mcpwrap/config.toml"


def project(text: str) -> None:
    load_project(f"[servers.f]\n{text}".encode(), file="mcpwrap.toml", root="/s", home="/h")


def tightening(text: str) -> None:
    for load in (load_user, load_site):
        load(f"version = 1\n[servers.f]\n{text}".encode(), file=USER, home="/h")


@pytest.mark.parametrize(
    "text",
    [
        "[[servers.f.tests]]\ncall = 'x'\nexpect = 'deny'\nname = 'nothing'\nclient = { name = 'me' }\nsubject = { sub = 'x' }\n",
        f"command = ['x', '{'y' * 5000}']\n",
        "[[servers.f.rules]]\nallow = ['x']\nreason = 'why'\nwhen = 'true'\n",
    ],
)
def test_what_a_project_may_say_is_read(text: str) -> None:
    project(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[servers.f.extra_methods.rules]]\nallow = ['x']\n", "unknown key `rules`"),
        ("[servers.f.prompts]\nallow = [{ within = '/a' }]\n", "must be strings, not a table"),
        ("allow = [{ within = '/a' }]\n", "must be strings, not a table"),
        ("url = 'https://x'\n", "servers over HTTP come with a later one"),
        (f"[[servers.f.rules]]\nallow = ['x']\nreason = '{'y' * 501}'\n", "500"),
        (f"inherit_env = ['{'A' * 129}']\n", "128"),
    ],
)
def test_what_it_may_not_say_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        project(text)
    assert said in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    "text",
    [
        *(f"{effect} = ['x']\n" for effect in ("log", "ask", "deny")),
        *(f"[[servers.f.rules]]\n{effect} = ['x']\nargs.n = {{ max = 3 }}\n" for effect in ("log", "ask", "deny")),
        *(f"[servers.f.prompts]\n{effect} = ['x']\n" for effect in ("log", "ask", "deny")),
    ],
)
def test_what_tightens_may_say_all_but_allow(text: str) -> None:
    tightening(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("allow = ['x']\n", "`allow` can't stand here"),
        ("[[servers.f.rules]]\nallow = ['x']\n", "`allow` can't stand here"),
        ("[servers.f.resources]\nallow = ['x']\n", "`allow` can't stand here"),
        ("[[servers.f.tests]]\ncall = 'x'\nexpect = 'deny'\n", "`tests` can't stand here"),
        ("limit = '3/s'\n", "`limit` can't stand here"),
        ("url = 'https://x'\n", "servers over HTTP come with a later one"),
    ],
)
def test_what_belongs_to_another_file_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tightening(text)
    assert said in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("value", ["5", "'command'", "['command']"])
def test_a_server_that_is_no_table_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="table"):
        load_user(f"[servers]\nf = {value}\n".encode(), file=USER, home="/h")


@pytest.mark.parametrize("key", ["approval"])
def test_what_comes_later_is_said_to(key: str) -> None:
    with pytest.raises(ConfigError, match="later"):
        load_user(f"[{key}]\n".encode(), file=USER, home="/h")


def test_the_schema_knows_what_a_match_must_have() -> None:
    text = json.dumps(json_schema("site"))
    match = json.JSONDecoder().raw_decode(text, text.index('"match": ') + len('"match": '))[0]
    assert match["required"] == list(match["properties"]) == ["command"]


@pytest.mark.parametrize("kind", ["resources", "prompts", "server_requests", "extra_methods"])
def test_patterns_of_every_table_are_counted(kind: str) -> None:
    def lists(count: int) -> str:
        named = {"resources": "docs://{}", "extra_methods": "vendor/{}", "server_requests": "roots"}.get(kind, "p{}")
        tools = f"allow = {[f't{i}' for i in range(PATTERN_LIMIT - 5)]!r}\n"
        return f"{tools}[servers.f.{kind}]\nallow = {[named.format(i) for i in range(count)]!r}\n"

    project(lists(5))
    with pytest.raises(ConfigError, match="there are more than 2,000 patterns"):
        project(lists(6))
