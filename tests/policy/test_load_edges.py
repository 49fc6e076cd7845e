"""Places, tables that only tighten, and the parts of a test, as they are read from a file."""

from __future__ import annotations

import pytest

from mcpwrap.errors import ConfigError
from mcpwrap.policy.lists import PATTERN_LIMIT
from mcpwrap.policy.load import load_project, load_site, load_user

USER = "/h/.config/mcpwrap/config.toml"


def test_every_pattern_of_a_mixed_list_has_its_own_line() -> None:
    text = b'[servers.f.resources]\nallow = [\n  { within = "/a" },\n  "docs://*",\n  { within = "/b" },\n  "!docs://x",\n]\n'
    rules = load_project(text, file="mcpwrap.toml", root="/s", home="/h").servers["f"].tables["resources"].rules
    lines = {pattern.text: pattern.line for rule in rules if rule.plain for pattern in (*rule.patterns, *rule.excluded)}
    assert lines == {"docs://*": 4, "docs://x": 6}
    assert [rule.patterns[0].line for rule in rules if not rule.plain] == [3, 5]


def test_an_error_in_a_mixed_list_is_told_with_its_line() -> None:
    text = b'[servers.f.resources]\nallow = [\n  { within = "/a" },\n  "docs://*",\n  "^docs",\n]\n'
    with pytest.raises(ConfigError) as caught:
        load_project(text, file="mcpwrap.toml", root="/s", home="/h")
    assert caught.value.place == "mcpwrap.toml:5:3"


@pytest.mark.parametrize("effect", ["log", "ask", "deny"])
def test_what_only_tightens_may_match_the_specifications_methods(effect: str) -> None:
    text = f'[servers.f.extra_methods]\n{effect} = ["*"]\n'.encode()
    load_user(text, file=USER, home="/h")
    load_site(text, file="/etc/x", home="/h")
    if effect == "deny":
        load_project(text, file="mcpwrap.toml", root="/s", home="/h")
    else:
        with pytest.raises(ConfigError, match="a method of the specification"):
            load_project(text, file="mcpwrap.toml", root="/s", home="/h")


def test_what_is_taken_out_may_match_them() -> None:
    text = b'[servers.f.extra_methods]\nallow = ["vendor/*", "!*/list"]\n'
    load_project(text, file="mcpwrap.toml", root="/s", home="/h")


def test_patterns_of_rules_are_counted_too() -> None:
    def text(count: int) -> bytes:
        rule = f"[[servers.f.rules]]\ndeny = {['x'] * (PATTERN_LIMIT // 2)!r}\nargs.x = {{ max = 1 }}\n"
        last = f"[[servers.f.rules]]\nlog = {['y'] * count!r}\nargs.x = {{ max = 1 }}\n"
        return (rule + last).encode()

    load_project(text(PATTERN_LIMIT // 2), file="f", root="/s", home="/h")
    with pytest.raises(ConfigError, match="there are more than 2,000 patterns") as caught:
        load_project(text(PATTERN_LIMIT // 2 + 1), file="f", root="/s", home="/h")
    assert caught.value.place == "f:1:1"


@pytest.mark.parametrize("header", ["servers.f", "servers.f.prompts"])
def test_a_list_that_is_too_long_is_told_with_its_line(header: str) -> None:
    text = f"[servers.a]\n\n[{header}]\nallow = {['x'] * (PATTERN_LIMIT + 1)!r}\n".encode()
    with pytest.raises(ConfigError, match="there are more than 2,000 patterns") as caught:
        load_project(text, file="f", root="/s", home="/h")
    assert caught.value.place == "f:4:1"


def test_a_pattern_that_defines_a_server_is_told_with_its_line() -> None:
    with pytest.raises(ConfigError, match="is a pattern") as caught:
        load_user(b'[servers.a]\n\n[servers."a*"]\ncommand = ["x"]\n', file=USER, home="/h")
    assert caught.value.place == f"{USER}:3:1"


def test_servers_of_no_project_belong_to_the_user() -> None:
    text = b'[servers.a]\ncommand = ["x"]\n'
    own = load_user(text, file=USER, home="/h").own_servers
    assert own is not None
    assert (own.name, own.root, own.file) == ("user", "/h/.config/mcpwrap", USER)
    moved = load_user(text, file=USER, home="/h", root="/elsewhere").own_servers
    assert moved is not None
    assert moved.root == "/elsewhere"


def test_the_administrators_file_lets_nobody_trust_by_script() -> None:
    assert load_site(b"", file="/etc/x", home="/h").scripted is False
    assert load_user(b"", file=USER, home="/h").scripted is False
    assert load_user(b"[trust]\nscripted = true\n", file=USER, home="/h").scripted is True


def test_a_test_has_all_that_it_says() -> None:
    text = (
        b'[servers.f]\n[[servers.f.tests]]\ncall = "a"\nexpect = "ask"\n'
        b'[[servers.f.tests]]\ncall = "b"\nexpect = "deny"\nmethod = "prompts/get"\nname = "n"\n'
        b"args = { a = 1 }\nsubject = { b = 2 }\nclient = { c = 3 }\n"
    )
    bare, full = load_project(text, file="f", root="/s", home="/h").servers["f"].tests
    assert (bare.method, bare.name, bare.args, bare.subject, bare.client) == ("tools/call", "", {}, {}, {})
    assert (full.call, full.method, full.name) == ("b", "prompts/get", "n")
    assert (full.args, full.subject, full.client) == ({"a": 1}, {"b": 2}, {"c": 3})


@pytest.mark.parametrize("key", ["call", "expect"])
def test_a_test_needs_both(key: str) -> None:
    rest = {"call": 'call = "a"\n', "expect": 'expect = "deny"\n'}
    del rest[key]
    with pytest.raises(ConfigError, match=f"a test needs `{key}`"):
        load_project(f"[servers.f]\n[[servers.f.tests]]\n{''.join(rest.values())}".encode(), file="f", root="/s", home="/h")
