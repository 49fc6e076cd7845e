"""Properties of the decision with conditions (POLICY.md §3): what is added never loosens, nor does what can't be told."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mcpwrap.core.cel import compile_when
from mcpwrap.core.conditions import Conditions, Context
from mcpwrap.core.constraint import Constraint
from mcpwrap.core.outcome import Outcome
from mcpwrap.core.patterns import Pattern
from mcpwrap.core.rules import Rule, RuleTable

NAMES = ("read", "write", "send")
KEYS = ("path", "n", "*", "a.b")

constraints = st.sampled_from(
    [
        Constraint(within=("/in",)),
        Constraint(host=("good.com",)),
        Constraint(glob=(Pattern.parse("**/.env", line=1, path=True),)),
        Constraint(one_of=("x", 1)),
        Constraint(max=3),
    ]
)
keyed = st.lists(st.tuples(st.sampled_from(KEYS), constraints), max_size=2).map(tuple)
whens = st.sampled_from(
    [None, *map(compile_when, ["args.n > 1", "has(args.path)", "tool == 'read'", "subject.sub == 'me'", "1 / 0 == 1"])]
)
conditions = st.none() | st.tuples(keyed, keyed, whens).map(lambda parts: Conditions(*parts))


def rules(*effects: Outcome) -> st.SearchStrategy[Rule]:
    patterns = st.sampled_from([*NAMES, "*"]).map(lambda text: (Pattern.parse(text, line=1),))
    return st.builds(
        Rule,
        st.sampled_from(effects or tuple(Outcome)),
        patterns,
        st.just(()),
        st.just("mcpwrap.toml"),
        st.just(True),
        conditions=conditions,
    )


values = st.recursive(
    st.sampled_from(["/in/a", "/out", "/in/.env", "https://good.com/", "x", "", 1, 5, True, None]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=4,
)
arguments = st.dictionaries(st.sampled_from(["path", "n", "a", "other"]), values, max_size=3)
contexts = st.builds(Context, arguments, st.sampled_from(NAMES), subject=st.sampled_from([{}, {"sub": "me"}]))


def table(*found: Rule) -> RuleTable:
    return RuleTable("tool", found, "mcpwrap.toml", 1)


@given(st.lists(rules(), max_size=4), rules(Outcome.DENY), contexts)
def test_a_denial_that_is_added_never_lets_more_through(before: list[Rule], added: Rule, context: Context) -> None:
    old = table(*before).judge(context.tool, context).outcome
    assert table(*before, added).judge(context.tool, context).outcome >= old


@given(st.lists(rules(), max_size=4), rules(Outcome.LOG, Outcome.ASK), contexts)
def test_a_log_or_an_ask_on_what_was_admitted_never_lets_more_through(before: list[Rule], added: Rule, context: Context) -> None:
    old = table(*before).judge(context.tool, context).outcome
    if old is not Outcome.DENY:
        assert table(*before, added).judge(context.tool, context).outcome >= old


@given(st.lists(rules(), max_size=4), contexts, st.randoms())
def test_the_order_of_rules_never_matters(found: list[Rule], context: Context, dice: Any) -> None:
    before = table(*found).judge(context.tool, context).outcome
    dice.shuffle(found)
    assert table(*found).judge(context.tool, context).outcome is before


@given(st.lists(rules(), max_size=4), contexts)
def test_what_some_call_may_be_let_through_for_is_listed(found: list[Rule], context: Context) -> None:
    if table(*found).judge(context.tool, context).outcome is not Outcome.DENY:
        assert not table(*found).decide_open(context.tool, context).denied


@given(st.sampled_from(NAMES), st.sampled_from([Outcome.ALLOW, Outcome.LOG]), st.sampled_from(KEYS), constraints, whens)
def test_what_cant_be_told_lets_nothing_through_unseen(
    name: str, effect: Outcome, key: str, constraint: Constraint, when: Any
) -> None:
    """The arguments are absent, so that no constraint on them can be told."""
    each = Rule(
        effect, (Pattern.parse("*", line=1),), (), "mcpwrap.toml", True, conditions=Conditions(((key, constraint),), (), when)
    )
    assert table(each).judge(name, Context(arguments={}, tool=name)).denied


@given(st.lists(rules(), max_size=4), contexts)
def test_an_error_in_an_expression_never_loosens(found: list[Rule], context: Context) -> None:
    failing = compile_when("1 / 0 == 1")
    for i, each in enumerate(found):
        if each.conditions is None or each.conditions.when is None:
            continue
        known = each.conditions
        # whichever way the expression would have come out, the error is at least as strict as the milder of the two
        outcomes = []
        for when in (compile_when("true"), compile_when("false"), failing):
            changed = Conditions(known.args, known.unless, when)
            others = [*found[:i], Rule(each.effect, each.patterns, (), each.file, True, conditions=changed), *found[i + 1 :]]
            outcomes.append(table(*others).judge(context.tool, context).outcome)
        true, false, error = outcomes
        assert error >= min(true, false)
        if each.effect is Outcome.ALLOW:
            assert error == false
