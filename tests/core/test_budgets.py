"""Budgets (POLICY.md §2): counts over a sliding window or over the session, in a session's own time."""

from mcpwrap.core.budgets import Budgets
from mcpwrap.core.conditions import Context
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
