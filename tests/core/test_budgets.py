"""Budgets (POLICY.md §2): counts over a sliding window or over the session, in a session's own time."""

from typing import Any

import msgspec
import pytest

from mcpwrap.core.budgets import Budgets
from mcpwrap.core.cel import compile_when
from mcpwrap.core.conditions import Conditions, Context
from mcpwrap.core.constraint import Constraint
from mcpwrap.core.rules import Budget, Outcome, Pattern, Rule, RuleTable


def rule(budget: Budget | None, *, line: int = 1) -> Rule:
    return Rule(Outcome.ALLOW, (Pattern.parse("a", line=line),), (), "mcpwrap.toml", True, budget=budget)


def test_a_window_slides() -> None:
    budgets, each = Budgets(), rule(Budget(2, 60.0, text="2/min"))
    assert not budgets.spent(each, 0.0)
    budgets.count((each,), None, 0.0)
    budgets.count((each,), None, 30.0)
    assert budgets.spent(each, 59.0)
    assert not budgets.spent(each, 60.0)
    budgets.count((each,), None, 60.0)
    assert budgets.spent(each, 89.0)
    assert not budgets.spent(each, 90.0)


def test_a_sessions_count_never_comes_back_and_an_edit_elsewhere_doesnt_refill_it() -> None:
    budgets = Budgets()
    budgets.count((rule(Budget(1, None, text="1/session")),), None, 0.0)
    assert budgets.spent(rule(Budget(1, None, text="1/session"), line=7), 1e9)
    assert not budgets.spent(rule(Budget(2, None, text="2/session")), 0.0)


def test_the_servers_own_budget_counts_every_call() -> None:
    budgets, whole = Budgets(), Budget(1, None, text="1/session")
    budgets.count((rule(None),), whole, 0.0)
    assert budgets.server_spent(whole, 0.0)
    assert not budgets.spent(rule(None), 0.0)


LIMIT = Budget(1, None, text="limit = 1/session")
ONE = rule(LIMIT)


@pytest.mark.parametrize(
    "other",
    [
        {"file": "config.toml"},
        {"kind": "prompts"},
        {"admits": False},
        {"effect": Outcome.LOG},
        {"patterns": (Pattern.parse("a*", line=1),)},
        {"excluded": (Pattern.parse("ab", line=1),)},
        {"patterns": (), "excluded": ONE.patterns},
        {"conditions": Conditions()},
        {"conditions": Conditions(args=(("x", Constraint(max=1)),))},
        {"conditions": Conditions(args=(("x", Constraint(max=1.0)),))},
        {"conditions": Conditions(unless=(("x", Constraint(max=1)),))},
        {"conditions": Conditions(args=(("x", Constraint(one_of=(1,))),))},
        {"conditions": Conditions(args=(("x", Constraint(one_of=(True,))),))},
        {"conditions": Conditions(args=(("x", Constraint(within=("a",))),))},
        {"conditions": Conditions(args=(("x", Constraint(host=("a",))),))},
        {"conditions": Conditions(args=(("x", Constraint(glob=(Pattern.parse("a", line=0, path=True),))),))},
        {"conditions": Conditions(when=compile_when("args.x == 1"))},
        {"budget": Budget(1, None, over=Outcome.DENY, text="limit = 1/session")},
        {"budget": Budget(1, None, 7, text="limit = 1/session")},
        {"why": "once is enough"},
    ],
)
def test_rules_that_differ_in_anything_have_each_their_own_count(other: dict[str, Any]) -> None:
    budgets, another = Budgets(), msgspec.structs.replace(ONE, **other)
    assert budgets.spent(another, 0.0) is False
    budgets.count((ONE,), None, 0.0)
    assert budgets.spent(ONE, 0.0)
    assert not budgets.spent(another, 0.0)
    budgets.count((another,), None, 0.0)
    assert budgets.spent(msgspec.structs.replace(another, patterns=tuple(again(p) for p in another.patterns)), 0.0)


def test_a_rule_that_stands_there_twice_counts_a_call_once() -> None:
    budgets, twice = Budgets(), rule(Budget(2, None, text="limit = 2/session"))
    budgets.count((twice, rule(twice.budget, line=9)), None, 0.0)
    assert not budgets.spent(twice, 0.0)
    budgets.count((twice, rule(twice.budget, line=9)), None, 0.0)
    assert budgets.spent(twice, 0.0)


def again(pattern: Pattern) -> Pattern:
    return Pattern.parse(pattern.text, line=pattern.line + 7)


def test_a_budget_of_bytes_alone_counts_no_calls() -> None:
    budgets, each = Budgets(), rule(Budget(max_result_bytes=10))
    budgets.count((each,), None, 0.0)
    assert not budgets.spent(each, 0.0)


def test_past_its_budget_a_rule_asks_or_denies_and_says_why() -> None:
    for over in (Outcome.ASK, Outcome.DENY):
        table = RuleTable("tool", (rule(Budget(1, None, over=over, text="limit = 1/session")),), "mcpwrap.toml", 1)
        decision = table.judge("a", Context(arguments={}), lambda rule: True)
        assert (decision.outcome, decision.reasons[0].text) == (over, "limit = 1/session is used up")
        assert table.judge("a", Context(arguments={})).outcome is Outcome.ALLOW


def test_a_window_that_is_over_is_empty_and_one_that_is_full_no_longer_than_its_limit() -> None:
    budgets, each = Budgets(), rule(Budget(1, 60.0, text="1/min"))
    budgets.count((each,), None, 0.0)
    assert not budgets.spent(each, 1000.0)
    assert not budgets.spent(each, 1001.0)
    for at in range(50):
        budgets.count((each,), None, float(at))
    assert [len(window) for window in budgets._windows.values()] == [1]
