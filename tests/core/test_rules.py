"""Patterns, and the decision as a truth table (POLICY.md §2 and §3)."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from mcpwrap.core.conditions import Conditions, Context
from mcpwrap.core.constraint import Constraint
from mcpwrap.core.rules import (
    HOLE,
    NAME_LIMIT,
    Budget,
    Decision,
    Hole,
    Outcome,
    Pattern,
    PatternError,
    Reason,
    Rule,
    RuleTable,
    Text,
)
from tests.playbooks.policy import Lists, rule, table

# patterns


def pattern(text: str, *, uri: bool = False) -> Pattern:
    return Pattern.parse(text, line=1, uri=uri)


@pytest.mark.parametrize(
    ("text", "matching", "other"),
    [
        ("read", ["read"], ["Read", "reads", "", "rea", "read\n"]),
        ("read_*", ["read_", "read_a", "read_/x", "read_a\nb"], ["read", "xread_"]),
        ("*_file", ["_file", "a_file", "a/b_file"], ["file", "a_files"]),
        ("a*b*c", ["abc", "aXbYc", "abbcc", "a/b/c"], ["ab", "abcd", "xabc", "acb"]),
        ("a**b", ["ab", "a/b"], ["a"]),
        ("*", ["", "a", "a/b", "\n", "*"], []),
        ("**", ["", "a/b"], []),
        ("a?", ["a?"], ["ab", "a"]),
        ("[ab]", ["[ab]"], ["a", "b"]),
        ("a[!b]*", ["a[!b]x"], ["acx"]),
        ("a.b", ["a.b"], ["axb"]),
        ("é*", ["é", "éx"], ["e"]),
        ("*ab*ba*", ["abba", "xabxbax", "ab/ba"], ["aba", "ba ab"]),
        ("a*ba", ["aba", "abba", "a/ba"], ["ba", "a", "abab"]),
        ("*\0a", ["\0a", "x\0a"], ["xa"]),
        ("*aa*", ["aa", "aaa", "baab"], ["a", "aba"]),
        ("*b*ab", ["bab", "b/ab"], ["ab"]),
        ("*Xa", ["Xa", "bXa"], ["a", "Xb"]),
    ],
)
def test_globs_in_names_match_the_whole_name_and_exact_in_case(text: str, matching: list[str], other: list[str]) -> None:
    parsed = pattern(text)
    for name in matching:
        assert parsed.matches(name) and parsed.covers(name) and parsed.touches(name), name
    for name in other:
        assert not (parsed.matches(name) or parsed.covers(name) or parsed.touches(name)), name


@pytest.mark.parametrize(
    ("text", "matching", "other"),
    [
        ("file:///docs/*", ["file:///docs/a", "file:///docs/"], ["file:///docs/a/b", "file:///docs"]),
        ("file:///docs/**", ["file:///docs/a", "file:///docs/a/b"], ["file:///docs"]),
        ("*://*.x", ["a://b.x", "://.x"], ["a/b://b.x", "a://b/.x", "a://bx"]),
        ("**/*.md", ["a/b.md", "/.md"], ["b.md", "a/b.mdx"]),
        ("a*/\n**", ["a/\n", "ab/\n/c"], ["a/b/\n"]),
        ("a*/**", ["a/\n", "ab/c\nd/e"], ["b/c"]),
        ("docs://a$", ["docs://a$"], ["docs://a"]),
        ("$", ["$"], [""]),
        ("file:///*/x", ["file:///a/x"], ["file:///a/b/x", "file:///x"]),
        ("file:///**/x", ["file:///a/x", "file:///a/b/x"], ["file:///x"]),
        ("docs://*", ["docs://a"], ["docs://a/b"]),
        ("*", ["docs://a/b", ""], []),
    ],
)
def test_in_uris_one_star_stays_within_a_segment(text: str, matching: list[str], other: list[str]) -> None:
    parsed = pattern(text, uri=True)
    for uri in matching:
        assert parsed.matches(uri), uri
    for uri in other:
        assert not parsed.matches(uri), uri


@pytest.mark.parametrize(
    ("text", "matching", "other"),
    [
        ("^read_[a-z]+$", ["read_a"], ["read_", "read_A", "xread_a", "read_a\n", "read_a\nb"]),
        ("^.*$", ["", "a\nb", "\u2028"], []),
        ("^a.c$", ["abc", "a\nc"], ["ac"]),
        ("^a|b$", ["a", "b"], ["ab", "ax", "xb"]),
        ("^(?i)read$", ["READ"], ["reads"]),
        ("^$", [""], ["a"]),
    ],
)
def test_a_regular_expression_matches_the_whole_name(text: str, matching: list[str], other: list[str]) -> None:
    """A line break in a name must not slip past a denial."""
    parsed = pattern(text)
    for name in matching:
        assert parsed.matches(name) and parsed.covers(name) and parsed.touches(name), name
    for name in other:
        assert not (parsed.matches(name) or parsed.covers(name) or parsed.touches(name)), name


@pytest.mark.parametrize("text", ["^", "$", "a$", "^a"])
def test_what_only_begins_or_ends_like_an_expression_is_an_error(text: str) -> None:
    """As a literal it would match no real name, and a `deny` of it would let everything through."""
    with pytest.raises(PatternError, match=r"a regular expression goes from `\^` to `\$`"):
        pattern(text)


@pytest.mark.parametrize("uri", [True, False])
def test_the_beginning_of_an_expression_is_an_error_in_uris_too(uri: bool) -> None:
    with pytest.raises(PatternError, match=r"a regular expression goes from"):
        pattern("^docs://a", uri=uri)


def test_in_paths_one_star_stays_within_a_segment() -> None:
    parsed = Pattern.parse("docs/*", line=1, path=True)
    assert parsed.matches("docs/a")
    assert not parsed.matches("docs/a/b")


def test_a_glob_is_folded_in_whole_runs_and_an_expression_not_at_all() -> None:
    """What a fold puts together may stand on two sides of a character."""

    def fold(text: str) -> str:
        return text.replace("ab", "x").lower()

    folded = Pattern.parse("**/aB*ab", line=1, path=True).folded(str.lower).folded(fold)
    assert folded.matches("q/x1x")
    assert not folded.matches("q/x/x")
    assert not folded.matches("q/aB1ab")
    assert Pattern.parse("^A$", line=1).folded(fold).matches("A")


def test_an_expression_that_isnt_valid_is_said_once_and_not_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    """The matcher's own log would write into the client's."""
    with pytest.raises(PatternError):
        pattern("^(not valid$")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "can't be empty"),
        ("a" * (NAME_LIMIT + 1), "at most 4096"),
        ("^($", "`^($` is no valid RE2 expression: missing )"),
        ("^(?=a)$", "no valid RE2 expression"),
        (r"^(a)\1$", "no valid RE2 expression"),
        ("${nobody}/x", "unknown substitution in `${nobody}/x` (known here: none)"),
        ("${project", "unknown substitution"),
        ("${home}/${project}x${", "unknown substitution"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused(text: str, why: str) -> None:
    with pytest.raises(PatternError) as raised:
        pattern(text)
    assert why in str(raised.value)


def test_a_pattern_of_the_limit_itself_is_read() -> None:
    assert pattern("a" * NAME_LIMIT).matches("a" * NAME_LIMIT)


def test_a_substitution_is_put_in_literally() -> None:
    """A `*` in a folder's name is no wildcard."""
    values = {"project": "/src/a*b (1)", "home": "/home/ann"}
    glob = Pattern.parse("${project}/*", line=1, variables=values)
    assert glob.matches("/src/a*b (1)/x")
    assert not glob.matches("/src/aXb (1)/x")
    literal = Pattern.parse("${home}", line=1, variables=values)
    assert literal.literal == "/home/ann"
    regex = Pattern.parse("^${project}/[a-z]$", line=1, variables=values)
    assert regex.matches("/src/a*b (1)/x")
    assert not regex.matches("/src/aab (1)/x")
    in_uri = Pattern.parse("file://${project}/**", line=1, uri=True, variables=values)
    assert in_uri.matches("file:///src/a%2Ab%20%281%29/x/y")
    drive = Pattern.parse("file:///${project}/**", line=1, uri=True, variables={"project": "C:/shop"})
    assert drive.matches("file:///C:/shop/x")
    two = Pattern.parse("${home}${project}", line=1, variables=values)
    assert two.literal == "/home/ann/src/a*b (1)"
    with pytest.raises(PatternError, match="unknown substitution"):
        Pattern.parse("${homex", line=1, variables=values)  # what isn't closed names nothing
    with pytest.raises(PatternError, match="known here: `\\${home}`, `\\${project}`"):  # noqa: RUF043
        Pattern.parse("${x}", line=1, variables=values)


def test_what_is_universal_is_known() -> None:
    assert pattern("*").universal
    assert pattern("**", uri=True).universal
    assert not pattern("a*").universal
    assert not pattern("^.*$").universal
    assert not pattern("a").universal


def test_no_pattern_makes_a_name_slow() -> None:
    """The classic of backtracking matchers; here it is bounded by states times characters."""
    assert not pattern("*a" * 40 + "b").matches("a" * 2000)
    assert not pattern("^" + "(a*)*" * 5 + "b$").matches("a" * 2000)


def holes(text: str) -> Text:
    """`text` with a hole for each underscore."""
    return [HOLE if c == "_" else c for c in text]


@pytest.mark.parametrize(
    ("text", "over", "covers", "touches"),
    [
        ("a", "_", False, True),
        ("a", "a_", False, True),
        ("a", "b_", False, False),
        ("a", "_b", False, False),
        ("ab", "_b", False, True),
        ("a/*", "a/_", False, True),
        ("a/*", "a/b/_", False, False),
        ("*x**", "a/x_", False, False),
        ("*x**", "ax_", True, True),
        ("a/**", "a/_", True, True),
        ("a/**", "a/_/b", True, True),
        ("a/**", "a_", False, True),
        ("a/**", "_", False, True),
        ("**/b", "_/b", True, True),
        ("**/b", "_/bc", False, False),
        ("*", "_", True, True),
        ("**x**", "_x_", True, True),
        ("a/*/c", "a/_/c", False, True),
        ("a/*/c", "b/_/c", False, False),
        ("^a.*$", "a_", False, True),
        ("^a.*$", "b_", False, True),
    ],
)
def test_over_holes_a_pattern_covers_or_only_touches(text: str, over: str, covers: bool, touches: bool) -> None:
    parsed = pattern(text, uri=True)
    assert parsed.covers(holes(over)) is covers
    assert parsed.touches(holes(over)) is touches


def test_covering_and_touching_are_true_for_every_filling_up_to_three_characters() -> None:
    fillings = ["".join(c) for n in range(4) for c in itertools.product("ab/", repeat=n)]
    for text in ("a", "*", "**", "a*", "a/**", "*b", "**/b", "a*b", "a**b", "*/*", "a/*/b"):
        for over in ("_", "a_", "_b", "a/_", "a_b", "_/_", "_a_", "a/_/b"):
            parsed = pattern(text, uri=True)
            found = [
                parsed.matches(_fill(holes(over), fills)) for fills in itertools.product(fillings[:13], repeat=over.count("_"))
            ]
            if parsed.covers(holes(over)):
                assert all(found), (text, over)
            if any(found):
                assert parsed.touches(holes(over)), (text, over)


def _fill(text: Text, fills: tuple[str, ...]) -> str:
    rest = iter(fills)
    return "".join(next(rest) if isinstance(c, Hole) else c for c in text)


# one list


def test_what_an_exclamation_mark_names_is_taken_out_of_its_own_list_only() -> None:
    both = table("tool", {"allow": ["read_*", "!read_secret"], "log": ["read_secret"]})
    assert both.decide("read_a").outcome is Outcome.ALLOW
    assert both.decide("read_secret").outcome is Outcome.LOG
    assert table("tool", {"allow": ["*", "!*"]}).decide("a").denied


@pytest.mark.parametrize(
    ("patterns", "over", "covers", "touches"),
    [
        (["a/**"], "a/_", True, True),
        (["a/**", "!a/b"], "a/_", False, True),
        (["a/**", "!a/**"], "a/_", False, False),
        (["a/**", "!c"], "a/_", True, True),
        (["b", "c"], "a_", False, False),
    ],
)
def test_over_holes_an_exclusion_counts_where_it_may_and_where_it_surely_does(
    patterns: list[str], over: str, covers: bool, touches: bool
) -> None:
    one = rule("deny", patterns, uri=True)
    assert (one.covers(holes(over)) is not None) is covers
    assert (one.touches(holes(over)) is not None) is touches


# the decision

EFFECTS = ("allow", "log", "ask", "deny")


@pytest.mark.parametrize("own", [c for n in range(5) for c in itertools.combinations(EFFECTS, n)])
@pytest.mark.parametrize("other", [c for n in range(4) for c in itertools.combinations(EFFECTS[1:], n)])
def test_the_strictest_of_all_that_match_wins_and_only_the_defining_file_admits(
    own: tuple[str, ...], other: tuple[str, ...]
) -> None:
    """The truth table: every set of effects in the defining file against every set in one that tightens."""
    decided = table("tool", {effect: ["x"] for effect in own}, {effect: ["x"] for effect in other}).decide("x")
    admitted = any(effect != "deny" for effect in own)
    denied = "deny" in own or "deny" in other
    if not admitted and not denied:
        assert decided == Decision(Outcome.DENY, (Reason("mcpwrap.toml", 1, "deny", "no rule admits this tool"),))
        return
    assert decided.outcome.label == max((*own, *other), key=EFFECTS.index)
    assert {reason.effect for reason in decided.reasons} == {decided.outcome.label}
    files = {"mcpwrap.toml" for effect in own if effect == decided.outcome.label}
    files |= {"config.toml" for effect in other if effect == decided.outcome.label}
    assert {reason.file for reason in decided.reasons} == files


@pytest.mark.parametrize("order", list(itertools.permutations(EFFECTS)))
def test_the_order_of_rules_never_matters(order: tuple[str, ...]) -> None:
    lists: Lists = {effect: ["x"] for effect in order}
    assert table("tool", lists).decide("x").outcome is Outcome.DENY


def test_a_decision_names_file_line_and_rule_or_the_files_own_reason() -> None:
    rules = (rule("deny", ["a*"], line=7), rule("deny", ["b", "ab"], line=8, why="secrets stay"), rule("allow", ["*"], line=9))
    decided = RuleTable("tool", rules, "mcpwrap.toml", 3).decide("ab")
    assert decided.reasons == (
        Reason("mcpwrap.toml", 7, "deny", 'deny = ["a*"]'),
        Reason("mcpwrap.toml", 8, "deny", "secrets stay"),
    )


def test_without_any_rule_everything_is_denied() -> None:
    assert table("prompt", {}).decide("x").reasons == (Reason("mcpwrap.toml", 1, "deny", "no rule admits this prompt"),)


def test_a_name_that_is_too_long_is_denied_whatever_matches() -> None:
    everything = table("tool", {"allow": ["*"]})
    assert everything.decide("a" * NAME_LIMIT).outcome is Outcome.ALLOW
    assert everything.decide("a" * (NAME_LIMIT + 1)).denied
    assert not everything.decide_open([HOLE] * NAME_LIMIT).denied
    assert everything.decide_open([HOLE] * (NAME_LIMIT + 1)).denied


def test_a_name_that_is_no_unicode_text_is_denied_whatever_matches() -> None:
    """No matcher takes a lone surrogate, so a denial by an expression would be slipped past, or fail."""
    everything = table("tool", {"allow": ["*"], "deny": ["^a.$"]})
    assert everything.decide("a\ud800").reasons[0].text == "no Unicode text"
    assert everything.decide_open(["a", "\udfff", HOLE]).denied
    assert not everything.decide("\ue000").denied


@pytest.mark.parametrize(
    ("own", "other", "outcome"),
    [
        ({"allow": ["a/*"]}, {}, Outcome.ALLOW),  # some of it is allowed
        ({"allow": ["b/*"]}, {}, Outcome.DENY),
        ({"allow": ["**"], "deny": ["a/x"]}, {}, Outcome.ALLOW),  # not all of it is denied
        ({"allow": ["**"], "deny": ["a/**"]}, {}, Outcome.DENY),
        ({"allow": ["**"], "ask": ["a/x"]}, {}, Outcome.ASK),  # some of it may be asked about
        ({"allow": ["**"]}, {"ask": ["a/x"]}, Outcome.ALLOW),
        ({"allow": ["**"]}, {"ask": ["a/**"]}, Outcome.ASK),
        ({"allow": ["**"]}, {"deny": ["a/x"]}, Outcome.ALLOW),
        ({"allow": ["**"]}, {"deny": ["a/**"]}, Outcome.DENY),
    ],
)
def test_an_open_text_is_denied_only_where_it_surely_is(own: Lists, other: Lists, outcome: Outcome) -> None:
    assert table("resource", own, other).decide_open(holes("a/_")).outcome is outcome


@pytest.mark.parametrize(
    ("own", "other", "is_open"),
    [
        ({"allow": ["*"]}, {}, True),
        ({"allow": ["a", "*"]}, {}, True),
        ({}, {}, False),
        ({"allow": ["a*"]}, {}, False),
        ({"allow": ["*", "!a"]}, {}, False),
        ({"allow": ["*"], "log": ["a"]}, {}, False),
        ({"allow": ["*"], "deny": ["a"]}, {}, False),
        ({"allow": ["*"]}, {"ask": ["a"]}, False),
        ({"log": ["*"]}, {}, False),
        ({}, {"allow": ["*"]}, False),
    ],
)
def test_a_table_is_plainly_open_only_where_all_is_allowed_and_nothing_else_said(own: Lists, other: Lists, is_open: bool) -> None:
    assert table("tool", own, other).plainly_open is is_open


# rules with conditions and budgets

SMALL = Conditions(args=(("n", Constraint(max=3)),), text="args.n = { max = 3 }")


def conditional(effect: str, pattern: str = "x", *, admits: bool = True, why: str = "", conditions: Conditions = SMALL) -> Rule:
    """A rule that counts for a small `n`."""
    return msgspec.structs.replace(rule(effect, [pattern], admits=admits, why=why), conditions=conditions)


def asked(rules: list[Rule], **arguments: object) -> Decision:
    """The decision on `x` with `arguments`."""
    return RuleTable("tool", tuple(rules), "mcpwrap.toml", 1).judge("x", Context(arguments=arguments))


@pytest.mark.parametrize(
    ("effect", "surely", "unsure", "surely_not"),
    [
        ("allow", Outcome.ALLOW, Outcome.DENY, Outcome.DENY),
        ("log", Outcome.LOG, Outcome.DENY, Outcome.DENY),  # it would run, and nobody sees it before
        ("ask", Outcome.ASK, Outcome.ASK, Outcome.DENY),  # a person sees it before
        ("deny", Outcome.DENY, Outcome.DENY, Outcome.DENY),
    ],
)
def test_what_cant_be_told_admits_nothing_unless_a_person_is_asked(
    effect: str, surely: Outcome, unsure: Outcome, surely_not: Outcome
) -> None:
    alone = [conditional(effect)]
    assert asked(alone, n=3).outcome is surely
    assert asked(alone).outcome is asked(alone, n="3").outcome is unsure
    assert asked(alone, n=4).outcome is surely_not
    open_else = [*alone, rule("allow", ["x"])]
    assert asked(open_else, n=4).outcome is Outcome.ALLOW
    assert asked(open_else).outcome is max(Outcome.ALLOW, Outcome[effect.upper()])


def test_a_denial_names_the_admitting_rules_whose_conditions_dont_hold_and_no_others() -> None:
    own, other = conditional("allow"), conditional("ask", admits=False)
    no_denial = conditional("deny")
    decided = asked([other, no_denial, own], n=4)
    assert decided.denied
    assert decided.misses == (
        Reason(
            "mcpwrap.toml",
            1,
            "allow",
            "allow = [\"x\"] with args.n = { max = 3 } doesn't count: `n` isn't at most 3, or that can't be told",
        ),
    )
    assert asked([own, rule("log", ["x"])], n=4).misses == ()


def test_a_rule_says_its_conditions_where_it_has_words_for_them() -> None:
    assert asked([conditional("deny")], n=3).reasons[0].text == 'deny = ["x"] with args.n = { max = 3 }'
    assert asked([conditional("deny", conditions=Conditions())], n=3).reasons[0].text == 'deny = ["x"]'


def test_a_name_alone_brings_no_arguments() -> None:
    assert RuleTable("tool", (conditional("allow"),), "mcpwrap.toml", 1).decide("x").denied
    assert RuleTable("tool", (conditional("ask"),), "mcpwrap.toml", 1).decide("x").outcome is Outcome.ASK


def test_with_arguments_unknown_a_rule_admits_what_some_of_them_may_use_and_denies_nothing_by_them() -> None:
    admitting = RuleTable("tool", (conditional("deny"), conditional("allow")), "mcpwrap.toml", 1)
    assert admitting.decide_open("x").outcome is Outcome.ALLOW
    assert admitting.decide_open("x", Context(arguments={"n": 4})).outcome is Outcome.ALLOW
    # what the first one leaves open, a later one may still decide
    assert RuleTable("tool", (conditional("deny"), rule("deny", ["*"])), "mcpwrap.toml", 1).decide_open("x").denied


def test_a_table_with_conditions_or_a_budget_isnt_plainly_open() -> None:
    budgeted = msgspec.structs.replace(rule("allow", ["*"]), budget=Budget(count=1))
    for one in (conditional("allow", "*"), budgeted):
        several = RuleTable("tool", (rule("allow", ["*"]), one), "mcpwrap.toml", 1)
        assert several.conditional
        assert not several.plainly_open
    assert not table("tool", {"allow": ["*"]}).conditional


def test_a_rule_whose_budget_is_used_up_says_so_and_one_whose_isnt_doesnt() -> None:
    budgeted = msgspec.structs.replace(rule("allow", ["x"]), budget=Budget(count=1, text="limit = 1/session"))
    limited = RuleTable("tool", (budgeted, rule("allow", ["*"])), "mcpwrap.toml", 1)
    within = limited.judge("x", Context(arguments={}))
    assert [reason.text for reason in within.reasons] == ['allow = ["x"]', 'allow = ["*"]']
    assert within.rules == (budgeted,)
    past = limited.judge("x", Context(arguments={}), lambda _: True)
    assert past.outcome is Outcome.ASK
    assert [reason.text for reason in past.reasons] == ["limit = 1/session is used up"]


def test_outcomes_are_ordered_and_have_the_words_of_the_files() -> None:
    assert Outcome.ALLOW < Outcome.LOG < Outcome.ASK < Outcome.DENY
    assert [outcome.label for outcome in Outcome] == ["allow", "log", "ask", "deny"]
