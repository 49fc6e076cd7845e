"""The decision's laws (POLICY.md §3)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mcpwrap.core.rules import HOLE, Outcome, Pattern, Rule, RuleTable, Text
from tests.playbooks.policy import rule

pieces = st.sampled_from(["a", "b", "/", "*", "**", "a*", ".", "(", "é"])
globs = st.lists(pieces, min_size=1, max_size=5).map("".join)
regexes = st.lists(st.sampled_from(["a", "b", ".", "/", "a*", "[ab]", "(a|b)"]), max_size=4).map(lambda p: f"^{''.join(p)}$")
patterns = st.one_of(globs, globs, regexes)
lists = st.lists(st.one_of(patterns, patterns.map("!{}".format)), min_size=1, max_size=3)
names = st.text("ab/.(é\n", max_size=6)
open_texts: st.SearchStrategy[Text] = st.lists(st.sampled_from(["a", "b", "/", HOLE]), max_size=5)


@st.composite
def some_rules(draw: st.DrawFn, effects: tuple[str, ...] = ("allow", "log", "ask", "deny"), *, admits: bool | None = None) -> Rule:
    """One list of a table, of the defining file or another."""
    own = draw(st.booleans()) if admits is None else admits
    effect = draw(st.sampled_from(effects if own else tuple(e for e in effects if e != "allow")))
    return rule(effect, draw(lists), uri=draw(st.booleans()), admits=own)


def tables(rules: list[Rule]) -> RuleTable:
    return RuleTable("tool", tuple(rules), "f", 1)


@given(st.lists(some_rules(), max_size=4), some_rules(("log", "ask", "deny"), admits=False), names)
def test_a_rule_of_another_file_never_lets_more_through(rules: list[Rule], added: Rule, name: str) -> None:
    assert tables([*rules, added]).decide(name).outcome >= tables(rules).decide(name).outcome


@given(st.lists(some_rules(), max_size=4), some_rules(("log", "ask", "deny"), admits=True), names)
def test_a_deny_or_an_ask_or_log_on_what_was_admitted_never_lets_more_through(rules: list[Rule], added: Rule, name: str) -> None:
    before, after = tables(rules).decide(name), tables([*rules, added]).decide(name)
    admitted = any(r.admits and r.effect is not Outcome.DENY and r.match(name) for r in rules)
    if added.effect is Outcome.DENY or admitted:
        assert after.outcome >= before.outcome


@given(st.lists(some_rules(), max_size=4), some_rules(("log", "ask", "deny"), admits=False), open_texts)
def test_nor_does_it_show_more(rules: list[Rule], added: Rule, text: Text) -> None:
    assert tables([*rules, added]).decide_open(text).outcome >= tables(rules).decide_open(text).outcome


@given(st.lists(some_rules(), min_size=1, max_size=4), names, st.randoms(use_true_random=False))
def test_the_order_of_rules_never_matters(rules: list[Rule], name: str, random: st.DataObject) -> None:
    shuffled = list(rules)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = tables(rules).decide(name), tables(shuffled).decide(name)
    assert first.outcome is second.outcome
    assert set(first.reasons) == set(second.reasons)


@given(st.lists(some_rules(), max_size=4), names)
def test_a_decision_always_has_a_reason(rules: list[Rule], name: str) -> None:
    assert tables(rules).decide(name).reasons


@given(st.lists(some_rules(), max_size=4), open_texts, st.data())
def test_what_is_denied_while_open_is_denied_however_it_is_filled(rules: list[Rule], text: Text, data: st.DataObject) -> None:
    """A template is hidden only where every resource of it is: lists and calls can't disagree."""
    filled = "".join(data.draw(st.text("ab/", max_size=3)) if c is HOLE else str(c) for c in text)
    if tables(rules).decide_open(text).denied:
        assert tables(rules).decide(filled).denied


@given(patterns, st.booleans(), open_texts, st.data())
def test_covering_is_surely_and_touching_is_perhaps(text: str, uri: bool, over: Text, data: st.DataObject) -> None:
    pattern = Pattern.parse(text, line=1, uri=uri)
    filled = "".join(data.draw(st.text("ab/", max_size=3)) if c is HOLE else str(c) for c in over)
    if pattern.covers(over):
        assert pattern.matches(filled)
    if pattern.matches(filled):
        assert pattern.touches(over)


@given(st.lists(some_rules(), max_size=3), names)
def test_where_a_table_is_plainly_open_every_name_is_allowed(rules: list[Rule], name: str) -> None:
    if tables(rules).plainly_open:
        assert tables(rules).decide(name).outcome is Outcome.ALLOW
