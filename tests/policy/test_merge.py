"""The rules for one server over all files: the defining file admits, the others tighten, the strictest wins."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpwrap.core.rules import Outcome, ServerRules
from mcpwrap.errors import ConfigError
from mcpwrap.policy.load import TighteningPolicy, load_project, load_site, load_user, rules_for

EFFECTS = ["", "allow", "log", "ask", "deny"]
ORDER = {name: i for i, name in enumerate(EFFECTS)}


def one(effect: str, name: str = "tool") -> str:
    return f'{effect} = ["{name}"]\n' if effect else ""


def rules(
    project: str, tightening: Sequence[TighteningPolicy] = (), command: Sequence[str] = ("npx", "x"), root: str = "/s"
) -> ServerRules:
    policy = load_project(f"[servers.f]\n{project}".encode(), file="mcpwrap.toml", root=root, home="/h")
    return rules_for(policy, "f", tightening, command)


def site(text: str) -> TighteningPolicy:
    return load_site(text.encode(), file="/etc/site", home="/h")


def user(text: str) -> TighteningPolicy:
    return load_user(text.encode(), file="/u/config.toml", home="/h")


@pytest.mark.parametrize("by_site", ["", "log", "ask", "deny"])
@pytest.mark.parametrize("by_user", ["", "log", "ask", "deny"])
@pytest.mark.parametrize("own", EFFECTS)
def test_the_strictest_of_all_files_wins_and_only_the_defining_file_admits(own: str, by_user: str, by_site: str) -> None:
    decision = rules(one(own), [user(f'[servers."*"]\n{one(by_user)}'), site(f'[servers."*"]\n{one(by_site)}')]).tools.decide(
        "tool"
    )
    strictest = max(own, by_user, by_site, key=ORDER.__getitem__)
    if not own and strictest != "deny":
        assert decision.outcome is Outcome.DENY
        assert [(r.file, r.line, r.text) for r in decision.reasons] == [("mcpwrap.toml", 1, "no rule admits this tool")]
    else:
        assert decision.outcome.label == strictest
        expected = {("mcpwrap.toml", own), ("/u/config.toml", by_user), ("/etc/site", by_site)}
        assert {(r.file, r.effect) for r in decision.reasons} == {(f, e) for f, e in expected if e == strictest}


def test_two_lists_of_one_file_that_match_give_the_stricter() -> None:
    decided = rules('allow = ["*"]\nask = ["write_*"]\ndeny = ["write_all"]\n').tools
    assert [decided.decide(n).outcome.label for n in ("read", "write_x", "write_all")] == ["allow", "ask", "deny"]


def test_what_a_list_takes_out_is_taken_out_of_that_list_only() -> None:
    decided = rules('allow = ["*", "!secret"]\nask = ["*", "!read"]\n').tools
    assert [decided.decide(n).outcome.label for n in ("read", "secret", "other")] == ["allow", "ask", "ask"]


@pytest.mark.parametrize(
    ("name", "counts"), [("*", True), ("f", True), ("f*", True), ("g", False), ("F", False), ("*f", True), ("*g*", False)]
)
def test_a_table_that_tightens_counts_for_the_servers_whose_name_it_matches(name: str, counts: bool) -> None:
    decided = rules(one("allow"), [site(f'[servers."{name}"]\ndeny = ["*"]\n')]).tools.decide("tool")
    assert decided.denied is counts


@pytest.mark.parametrize(
    ("pattern", "command", "counts"),
    [
        ("npx*", ["npx", "-y", "x"], True),
        ("npx -y *", ["npx", "-y", "x"], True),
        ("npx", ["npx", "-y", "x"], False),
        ("npx*", ["/usr/bin/npx", "x"], True),
        ("npx *", ["C:\\node\\NPX.cmd", "x"], False),
        ("npx *", ["C:\\node\\npx.CMD", "x"], True),
        ("npx.cmd *", ["C:\\node\\npx.cmd", "x"], True),
        ("/usr/bin/npx *", ["/usr/bin/npx", "x"], True),
        ("NPX *", ["C:\\node\\NPX.cmd", "x"], True),
        ("*github*", ["docker", "run", "ghcr/github-mcp"], True),
        ("uvx*", ["npx", "uvx"], False),
        ("uvx*", [], True),
    ],
)
def test_a_table_with_match_counts_by_the_command_and_its_name_is_a_label(pattern: str, command: list[str], counts: bool) -> None:
    text = f"[servers.label]\nmatch = {{ command = '{pattern}' }}\ndeny = ['*']\n"
    assert rules(one("allow"), [site(text)], command).tools.decide("tool").denied is counts


def test_every_kind_of_thing_can_be_tightened() -> None:
    own = 'allow = ["*"]\n' + "".join(
        f"[servers.f.{kind}]\nallow = ['{pattern}']\n"
        for kind, pattern in {"resources": "*", "prompts": "*", "server_requests": "*", "extra_methods": "v/*"}.items()
    )
    tight = "[servers.f]\ndeny = ['x']\n" + "".join(
        f"[servers.f.{kind}]\ndeny = ['{name}']\n"
        for kind, name in {"resources": "a://b", "prompts": "p", "server_requests": "sampling", "extra_methods": "v/x"}.items()
    )
    merged = rules(own, [site(tight)])
    assert merged.tools.decide("x").denied
    assert merged.resources.decide("a://b").denied
    assert merged.prompts.decide("p").denied
    assert merged.server_requests.decide("sampling").denied
    assert merged.extra_methods.decide("v/x").denied
    assert not merged.extra_methods.decide("v/y").denied
    assert [t.kind for t in (merged.tools, merged.resources, merged.prompts, merged.server_requests, merged.extra_methods)] == [
        "tool",
        "resource",
        "prompt",
        "server request",
        "method",
    ]


def test_a_file_that_tightens_names_the_project_it_is_merged_with() -> None:
    tight = site('[servers."*".resources]\ndeny = ["file://${project}/.env", "file://${home}/*"]\n')
    merged = rules('[servers.f.resources]\nallow = ["*"]\n', [tight], root="/src/shop")
    assert merged.resources.decide("file:///src/shop/.env").denied
    assert merged.resources.decide("file:///h/x").denied
    assert not merged.resources.decide("file:///src/other/.env").denied


def test_a_pattern_that_this_projects_path_makes_unusable_denies_everything_by_an_error() -> None:
    tight = site('[servers."*"]\n\nask = ["^(${project}){900}$"]\n')
    # RE2 has a bound on a program's size
    with pytest.raises(ConfigError) as caught:
        rules(one("allow"), [tight], root="/" + "x" * 5_000)
    assert caught.value.place == "/etc/site:1"


def test_a_server_that_the_file_does_not_define_is_an_error_with_the_nearest() -> None:
    policy = load_project(b"[servers.files]\n[servers.git]\n", file="mcpwrap.toml", root="/s", home="/h")
    with pytest.raises(ConfigError, match=r"`file` is no server of mcpwrap\.toml") as caught:
        rules_for(policy, "file", (), ())
    assert caught.value.hint == "did you mean `files`?"
    with pytest.raises(ConfigError) as caught:
        rules_for(policy, "zzz", (), ())
    assert caught.value.hint == "servers there: `files`, `git`; or add [servers.zzz]"


def test_a_users_own_server_is_tightened_as_any_other() -> None:
    mine = user('[servers.notes]\ncommand = ["notes"]\nallow = ["*"]\n[servers."*"]\nask = ["delete_*"]\n')
    assert mine.own_servers is not None
    merged = rules_for(mine.own_servers, "notes", [mine], ["notes"])
    assert merged.tools.decide("delete_x").outcome is Outcome.ASK
    assert merged.tools.decide("read").outcome is Outcome.ALLOW


PATTERNS = st.sampled_from(["*", "a", "ab", "a*", "*b", "*a*", "^a.*$", "^[ab]+$", "b", "a**b", "c"])
ITEMS = st.lists(st.tuples(PATTERNS, st.booleans()), max_size=3).map(lambda v: [("!" if out else "") + p for p, out in v])
LISTS = st.dictionaries(
    st.sampled_from(["allow", "log", "ask", "deny"]), ITEMS.filter(lambda v: not v or any(x[0] != "!" for x in v))
)
NAMES = st.sampled_from(["a", "b", "ab", "ba", "aab", "c", "", "abc"])


def table(lists: dict[str, list[str]]) -> str:
    return "".join(f"{effect} = {items!r}\n" for effect, items in lists.items())


@given(LISTS, st.sampled_from(["log", "ask", "deny"]), ITEMS.filter(lambda v: any(x[0] != "!" for x in v)), NAMES)
def test_a_file_that_tightens_never_lets_more_through(own: dict[str, list[str]], effect: str, items: list[str], name: str) -> None:
    before = rules(table(own)).tools.decide(name).outcome
    after = rules(table(own), [site(f'[servers."*"]\n{effect} = {items!r}\n')]).tools.decide(name).outcome
    assert after >= before


@given(LISTS, ITEMS.filter(lambda v: any(x[0] != "!" for x in v)), NAMES)
def test_adding_a_deny_to_the_defining_file_never_lets_more_through(own: dict[str, list[str]], items: list[str], name: str) -> None:
    before = rules(table(own)).tools.decide(name).outcome
    added = {**own, "deny": [*own.get("deny", [])]}
    # exclusions belong to their own list: what is added is a list of its own, in another file's place
    after = rules(table(added), [user(f'[servers."*"]\ndeny = {items!r}\n')]).tools.decide(name).outcome
    assert after >= before
    plain = [item for item in items if item[0] != "!"]
    if not any(item[0] == "!" for item in added["deny"]):
        assert rules(table({**added, "deny": added["deny"] + plain})).tools.decide(name).outcome >= before


@given(LISTS, st.sampled_from(["log", "ask"]), PATTERNS, NAMES)
def test_an_ask_or_log_on_what_was_admitted_never_lets_more_through(
    own: dict[str, list[str]], effect: str, pattern: str, name: str
) -> None:
    before = rules(table(own)).tools.decide(name).outcome
    if before is Outcome.DENY:
        return
    after = rules(table({**own, effect: [*own.get(effect, []), pattern]})).tools.decide(name).outcome
    assert after >= before


@given(LISTS, st.permutations(["allow", "log", "ask", "deny"]), NAMES)
def test_the_order_of_lists_never_matters(own: dict[str, list[str]], order: list[str], name: str) -> None:
    turned = {effect: own[effect] for effect in order if effect in own}
    assert rules(table(turned)).tools.decide(name).outcome is rules(table(own)).tools.decide(name).outcome


def test_a_server_that_is_not_there_is_told_with_the_file_and_what_is_there() -> None:
    with pytest.raises(ConfigError) as caught:
        rules_for(load_project(b"", file="mcpwrap.toml", root="/s", home="/h"), "f", (), ())
    assert caught.value.place == "mcpwrap.toml"
    assert caught.value.hint == "servers there: none; or add [servers.f]"
