"""Rules with conditions or limits, and several lists of one effect: near misses in what loosens and what tightens."""

from __future__ import annotations

import pytest

from mcpwrap.core.rules import Budget
from mcpwrap.policy.changed_rules import at_least_as_tight
from mcpwrap.policy.trust import announce_changes
from tests.policy.test_changes import RULE, X1, X2, changes, policy


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # what one list takes out, another may not
        (
            "allow = ['a*', 'c*', '!ab*']",
            f"{RULE}allow = ['a*']\n{RULE}allow = ['c*', '!ab*']",
            [
                ("loosens", 'rule  – → allow = ["a*"]', 3),
                ("loosens", 'rule  – → allow = ["c*", "!ab*"]', 5),
                ("tightens", 'rule  allow = ["a*", "c*", "!ab*"] → –', 0),
            ],
        ),
        (
            f"{RULE}allow = ['a']\n{RULE}allow = ['b']",
            f"{RULE}allow = ['a']\n{RULE}allow = ['b', 'c']",
            [("loosens", "c  deny → allow", 5)],
        ),
        (
            f"allow = ['*', '!m']\n{RULE}allow = ['q']\n{X1}",
            f"allow = ['*']\n{RULE}allow = ['q']\n{X1}",
            [("loosens", "m  deny → allow", 1)],
        ),
        (f"{RULE}allow = ['*', '!a']\n{X1}", f"{RULE}allow = ['*']\n{X1}", "loosens tightens"),
        (f"{RULE}allow = ['a']\n{X1}", f"{RULE}allow = ['b']\n{X1}", "loosens tightens"),
        (
            "allow = ['a*', 'c*', '!ab*']",
            f"{RULE}allow = ['a*']\n{RULE}allow = ['c*', '!ab*']\n{RULE}ask = ['ab*']\n{X1}",
            "loosens loosens loosens tightens",
        ),
        # a rule comes
        ("", f"{RULE}deny = ['m']\n{X1}", "tightens"),
        ("", f"{RULE}allow = ['a']\n{X1}\n{RULE}allow = ['b']\n{X1}", "loosens loosens"),
        ("", f"{RULE}allow = [\n'a',\n'b']\n{X1}", [("loosens", 'rule  – → allow = ["a", "b"] with args.x { max = 1 }', 4)]),
        ("allow = ['a']", f"allow = ['a']\n{RULE}ask = ['a', 'b']\n{X1}", "loosens"),
        (
            "",
            f"allow = ['m']\n{RULE}ask = ['m']\n{X1}",
            [("loosens", "m  deny → allow", 2), ("tightens", 'rule  – → ask = ["m"] with args.x { max = 1 }', 4)],
        ),
        ("deny = ['m']", f"deny = ['m']\n{RULE}ask = ['m']\n{X1}", "loosens"),
        # a list becomes a rule
        ("allow = ['a']", f"{RULE}allow = ['a', 'b']\n{X1}", "loosens tightens"),
        ("allow = ['a', 'b']", f"allow = ['a']\n{RULE}allow = ['a', 'b']\n{X1}", "loosens tightens"),
        ("allow = ['*']\nask = ['m']", f"allow = ['x']\n{RULE}allow = ['m']\n{X1}", "loosens tightens tightens"),
        # a rule goes
        (f"allow = ['*']\n{RULE}allow = ['m']\n{X1}", "allow = ['*']", "tightens"),
        (f"allow = ['a']\n{RULE}ask = ['a', 'b']\n{X1}", "allow = ['a']", "loosens"),
        (f"allow = ['m']\n{RULE}ask = ['^m$']\n{X1}", "allow = ['m']", "loosens"),
        (f"deny = ['m']\n{RULE}ask = ['m']\n{X1}", "deny = ['m']", "tightens"),
        (f"allow = ['x']\n{RULE}ask = ['m']\n{X1}", "allow = ['x']", "tightens"),
        # a rule changes
        (f"{RULE}allow = ['m']\n{X1}", f"{RULE}deny = ['m']\n{X2}", "tightens"),
        (f"allow = ['*']\n{RULE}allow = ['m']\n{X1}", f"allow = ['*']\n{RULE}log = ['m']\n{X2}", "tightens"),
        (f"{RULE}ask = ['m']\n{X1}", f"{RULE}ask = ['m']\n{X1}\nlimit = '3/s'", "tightens"),
        # a list beside a rule that is stricter
        (f"log = ['m']\n{RULE}ask = ['m']\n{X1}", f"{RULE}ask = ['m']\n{X1}", [("tightens", "m  log → deny", 1)]),
        # the words of rules
        (
            f"{RULE}deny = ['b']\nreason = 'a'\n{RULE}deny = ['b']\nreason = 'b'",
            f"{RULE}deny = ['b']\nreason = 'c'\n{RULE}deny = ['b']\nreason = 'd'",
            [("loosens", 'reason of deny = ["b"]  "a" → "c"', 3), ("loosens", 'reason of deny = ["b"]  "b" → "d"', 6)],
        ),
        (
            "",
            f"{RULE}deny = ['a']\n{RULE}deny = ['b']\nreason = 'é'",
            [("loosens", 'reason of deny = ["b"]  – → "é"', 5)],
        ),
    ],
)
def test_a_near_miss_is_told_as_what_it_does(old: str, new: str, expected: str | list[tuple[str, str, int]]) -> None:
    found = changes(old, new)
    if isinstance(expected, str):
        assert " ".join(kind for kind, _, _ in found) == expected, found
    else:
        assert [(kind, text.removeprefix("f › "), line) for kind, text, line in found] == expected


def test_the_same_budget_is_as_tight() -> None:
    for budget in (Budget(None, None, 10), Budget(3, 1.0, 10), Budget(3, None)):
        assert at_least_as_tight(budget, budget)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # a pattern that is listed and taken out at once
        (
            "allow = ['*']\ndeny = ['*']",
            "allow = ['*']\ndeny = ['*', 'r_*', '!r_*']",
            [("loosens", "deny !r_*  in the list → taken out", 3), ("tightens", "r_*  – → deny", 3)],
        ),
        (
            "allow = ['*']\ndeny = ['*', 'r_*']",
            "allow = ['*']\ndeny = ['*', '!r_*']",
            [("loosens", "r_*  deny → –", 3), ("loosens", "deny !r_*  in the list → taken out", 3)],
        ),
        ("allow = ['*', 'm']", "allow = ['*', 'm', '!m']", [("tightens", "m  allow → deny", 2)]),
        (
            "allow = ['*', 'a*', 'b*']\nask = ['b*']",
            "allow = [\n'*', 'a*',\n'b*', '!a*']\nask = ['b*']",
            [("tightens", "allow !a*  in the list → taken out", 4)],
        ),
        (
            "allow = ['*', 'a*', '!a*']",
            "allow = [\n'*',\n'a*',\n'z*']",
            [("loosens", "allow !a*  taken out → in the list", 4), ("tightens", "z*  – → allow", 5)],
        ),
        # the strictest list of a pattern is what counts
        ("log = ['r_*']", "allow = ['r_*']\ndeny = ['r_*']", "tightens"),
        ("allow = ['r_*']\ndeny = ['r_*']", "ask = ['r_*']", "loosens"),
        # another list takes out other names
        ("allow = ['r_*', '!r_x']", "ask = ['r_*']", "loosens loosens"),
        ("allow = ['r_*']\ndeny = ['q*', '!qz*']", "ask = ['r_*']\ndeny = ['q*', '!qz*']", "tightens"),
        # what denies more, or allows what is allowed anyway
        ("", "deny = ['r_*']", [("tightens", "r_*  – → deny", 2)]),
        ("allow = ['*', 'r_*']", "allow = ['*']", [("tightens", "r_*  allow → –", 1)]),
    ],
)
def test_a_near_miss_of_lists_is_told_as_what_it_does(old: str, new: str, expected: str | list[tuple[str, str, int]]) -> None:
    test_a_near_miss_is_told_as_what_it_does(old, new, expected)


def test_what_stays_comes_last_and_a_server_that_is_new_or_gone_has_no_command_that_stays() -> None:
    a, b = "[servers.a]\ncommand = ['x']\n", "[servers.b]\ncommand = ['y']\n"
    assert announce_changes(policy(a + b), policy(a)) == [("tightens", "b › server  taken out", 0), ("same", "1 command", 0)]
    assert announce_changes(policy(a), policy(a + b)) == [("loosens", "b › server  new", 3), ("same", "1 command", 0)]
    assert announce_changes(None, policy(a)) == [("loosens", "a › server  new", 1)]


def test_tests_that_only_moved_are_the_same() -> None:
    text = "[servers.f]\n{}[[servers.f.tests]]\ncall = 'x'\nexpect = 'deny'"
    assert announce_changes(policy(text.format("")), policy(text.format("\n\n"))) == []
