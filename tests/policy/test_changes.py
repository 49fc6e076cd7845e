"""What a changed file loosens and tightens, and that nothing that loosens is called anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpwrap.policy.load import ProjectPolicy, load_project
from mcpwrap.policy.trust import announce_changes


def policy(text: str) -> ProjectPolicy:
    return load_project(text.encode(), file="mcpwrap.toml", root="/src/shop", home="/h")


def changes(old: str, new: str) -> list[tuple[str, str, int]]:
    return [
        change for change in announce_changes(policy(f"[servers.f]\n{old}"), policy(f"[servers.f]\n{new}")) if change[0] != "same"
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("deny = ['m']", "ask = ['m']", [("loosens", "f › m  deny → ask", 2)]),
        ("allow = ['m']", "ask = ['m']", [("tightens", "f › m  allow → ask", 2)]),
        ("", "allow = [\n'm']", [("loosens", "f › m  deny → allow", 3)]),
        ("allow = ['m']", "", [("tightens", "f › m  allow → deny", 1)]),
        ("allow = ['*']", "allow = ['*']\nask = ['m']", [("tightens", "f › m  allow → ask", 3)]),
        ("allow = ['*']", "allow = ['*', 'm']", []),
        ("allow = ['*']", "allow = ['*', '!m']", [("tightens", "f › m  allow → deny", 2)]),
        ("deny = ['m']", "", []),
        ("allow = ['*']\ndeny = ['m']", "allow = ['*']", [("loosens", "f › m  deny → allow", 1)]),
        # globs
        ("", "allow = ['r_*']", [("loosens", "f › r_*  – → allow", 2)]),
        ("allow = ['r_*']", "", [("tightens", "f › r_*  allow → –", 1)]),
        ("allow = ['r_*']", "ask = ['r_*']", [("tightens", "f › r_*  allow → ask", 2)]),
        ("ask = ['r_*']", "log = ['r_*']", [("loosens", "f › r_*  ask → log", 2)]),
        ("allow = ['*']", "allow = ['*']\nask = ['r_*']", [("tightens", "f › r_*  – → ask", 3)]),
        ("allow = ['r_x']", "allow = ['r_x']\nask = ['r_*']", [("loosens", "f › r_*  – → ask", 3)]),
        ("allow = ['*']", "allow = ['*']\ndeny = ['r_*']", [("tightens", "f › r_*  – → deny", 3)]),
        ("allow = ['*']\ndeny = ['r_*']", "allow = ['*']", [("loosens", "f › r_*  deny → –", 1)]),
        ("deny = ['r_*']", "", [("loosens", "f › r_*  deny → –", 1)]),
        ("allow = ['*']\nask = ['r_*']", "allow = ['*']", [("loosens", "f › r_*  ask → –", 1)]),
        ("ask = ['r_*']", "", [("tightens", "f › r_*  ask → –", 1)]),
        ("allow = ['^r.*$']", "allow = ['^r.*$']\nask = ['^r_.*$']", [("loosens", "f › ^r_.*$  – → ask", 3)]),
        ("allow = ['*']", "allow = ['*', '!r_*']", [("tightens", "f › allow !r_*  in the list → taken out", 2)]),
        ("allow = ['*', '!r_*']", "allow = ['*']", [("loosens", "f › allow !r_*  taken out → in the list", 1)]),
        (
            "allow = ['*']\ndeny = ['*']",
            "allow = ['*']\ndeny = ['*', '!r_*']",
            [("loosens", "f › deny !r_*  in the list → taken out", 3)],
        ),
        (
            "allow = ['*', 'r_*']\nask = ['*']",
            "allow = ['*', 'r_*']\nask = ['*', '!r_*']",
            [("loosens", "f › ask !r_*  in the list → taken out", 3)],
        ),
        # other kinds
        ("", "[servers.f.resources]\nallow = ['d://*']", [("loosens", "f resources › d://*  – → allow", 3)]),
        ("", "[servers.f.server_requests]\nallow = ['roots']", [("loosens", "f server_requests › roots  deny → allow", 3)]),
        # how it runs
        ("command = ['a']", "command = ['b', 'c d']", [("loosens", "f › command  a → b 'c d'", 1)]),
        ("command = ['a']", "", [("loosens", "f › command  a → of the client's configuration", 1)]),
        ("", "cwd = '${project}'", [("loosens", "f › cwd  a private folder → /src/shop", 1)]),
        ("env = {A = '1'}", "env = {B = '2'}", [("loosens", 'f › env A  "1" → –', 1), ("loosens", 'f › env B  – → "2"', 1)]),
        ("env = {A = '1'}", "env = {A = '1', C = ''}", [("loosens", 'f › env C  – → ""', 1)]),
        ("", "inherit_env = ['A']", [("loosens", "f › inherit_env A  – → inherited", 1)]),
        ("inherit_env = ['A']", "", [("tightens", "f › inherit_env A  inherited → –", 1)]),
        ("allow = ['x']", "# only a comment\nallow = ['x']", []),
    ],
)
def test_each_change_is_told_with_what_it_does(old: str, new: str, expected: list[tuple[str, str, int]]) -> None:
    assert changes(old, new) == expected


def test_a_new_server_loosens_and_one_that_is_gone_tightens() -> None:
    old, new = policy("[servers.a]\nallow = ['x']"), policy("\n[servers.b]\nallow = ['y']")
    assert announce_changes(old, new) == [
        ("loosens", "b › server  new", 2),
        ("loosens", "b › y  deny → allow", 3),
        ("tightens", "a › server  taken out", 0),
    ]


def test_on_the_first_sight_everything_that_admits_loosens() -> None:
    assert announce_changes(None, policy("[servers.a]\nallow = ['x', 'y*']\ndeny = ['z']")) == [
        ("loosens", "a › server  new", 1),
        ("loosens", "a › x  deny → allow", 2),
        ("loosens", "a › y*  – → allow", 2),
    ]


def test_another_name_of_the_project_is_told() -> None:
    assert announce_changes(policy("[project]\nname = 'a'"), policy("[project]\nname = 'b'")) == [
        ("loosens", "project › name  a → b", 0)
    ]


def test_commands_that_stay_are_counted() -> None:
    text = "[servers.a]\ncommand = ['x']\n[servers.b]\ncommand = ['y']\n"
    assert announce_changes(policy(text), policy(text)) == [("same", "2 commands", 0)]
    assert announce_changes(policy(text), policy("[servers.a]\ncommand = ['x']\n[servers.b]\ncommand = ['z']")) == [
        ("loosens", "b › command  y → z", 3),
        ("same", "1 command", 0),
    ]


PATTERNS = st.sampled_from(["*", "a", "ab", "a*", "*b", "*a*", "^a.*$", "b", "c*"])
ITEMS = st.lists(st.tuples(PATTERNS, st.booleans()), max_size=3).map(lambda v: [("!" if out else "") + p for p, out in v])
LISTS = st.dictionaries(
    st.sampled_from(["allow", "log", "ask", "deny"]), ITEMS.filter(lambda v: not v or any(x[0] != "!" for x in v))
)
NAMES = ("a", "b", "ab", "ba", "aab", "c", "abc", "ca")


def server(lists: dict[str, list[str]]) -> ProjectPolicy:
    return policy("[servers.f]\n" + "".join(f"{effect} = {items!r}\n" for effect, items in lists.items()))


@given(LISTS, LISTS)
def test_where_any_name_gets_a_milder_outcome_something_is_said_to_loosen(
    old: dict[str, list[str]], new: dict[str, list[str]]
) -> None:
    before, after = server(old), server(new)
    loosened = [
        name
        for name in NAMES
        if after.servers["f"].tables["tools"].decide(name).outcome < before.servers["f"].tables["tools"].decide(name).outcome
    ]
    if loosened:
        assert any(kind == "loosens" for kind, _, _ in announce_changes(before, after)), loosened
