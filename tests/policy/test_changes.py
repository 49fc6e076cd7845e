"""What a changed file loosens and tightens, and that nothing that loosens is called anything else."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mcpwrap.core.conditions import Context
from mcpwrap.core.rules import Budget, Outcome, Rule
from mcpwrap.policy.changed_rules import at_least_as_tight
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
        # a stricter list loosens for what it doesn't take out, or does
        ("allow = ['*', '!r_*']", "allow = ['*', '!r_*']\nask = ['*']", [("loosens", "f › *  allow → ask", 2)]),
        (
            "allow = ['*']\nask = ['*']\ndeny = ['q', '!r_*']",
            "allow = ['*']\ndeny = ['q', '*', '!r_*']",
            [("loosens", "f › *  ask → deny", 2)],
        ),
        ("allow = ['r_*', '!r_x']", "ask = ['r_*', '!r_x']", [("tightens", "f › r_*  allow → ask", 2)]),
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


RULE = "[[servers.f.rules]]\n"
X1, X2 = "args.x = { max = 1 }", "args.x = { max = 2 }"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # a rule comes
        ("", f"{RULE}allow = ['m']\n{X1}", [("loosens", 'f › rule  – → allow = ["m"] with args.x { max = 1 }', 3)]),
        ("allow = ['*']", f"allow = ['*']\n{RULE}deny = ['m']\n{X1}", [("tightens", "", 4)]),
        ("allow = ['*']", f"allow = ['*']\n{RULE}ask = ['m']\n{X1}", [("tightens", "", 4)]),
        ("allow = ['*']", f"allow = ['*']\n{RULE}allow = ['m']\n{X1}", [("loosens", "", 4)]),
        ("allow = ['*']", f"allow = ['*']\n{RULE}allow = ['m']\nlimit = '3/s'", [("tightens", "", 4)]),
        ("allow = ['a']", f"allow = ['a']\n{RULE}ask = ['m']\n{X1}", [("loosens", "", 4)]),
        ("allow = ['a', '^m$']", f"allow = ['a', '^m$']\n{RULE}log = ['^m$']\n{X1}", [("loosens", "", 4)]),
        ("", f"{RULE}deny = []\n{X1}", []),
        # a list becomes a rule
        ("allow = ['m']", f"{RULE}allow = ['m']\n{X1}", [("tightens", "f › m  allow → deny", 1), ("tightens", "", 3)]),
        ("ask = ['m']", f"{RULE}allow = ['m']\n{X1}", [("loosens", "", 3), ("tightens", "f › m  ask → deny", 1)]),
        # a rule goes
        (f"{RULE}allow = ['m']\n{X1}", "", [("tightens", 'f › rule  allow = ["m"] with args.x { max = 1 } → –', 0)]),
        (f"{RULE}ask = ['m']\n{X1}", "", [("tightens", "", 0)]),
        (f"{RULE}deny = ['m']\n{X1}", "", [("loosens", "", 0)]),
        (f"allow = ['*']\n{RULE}ask = ['m']\n{X1}", "allow = ['*']", [("loosens", "", 0)]),
        (f"allow = ['*']\n{RULE}allow = ['m']\nlimit = '3/s'", "allow = ['*']", [("loosens", "", 0)]),
        (f"{RULE}allow = ['m']\nlimit = '3/s'", "", [("tightens", "", 0)]),
        # a rule changes
        (
            f"{RULE}allow = ['m']\n{X1}",
            f"{RULE}allow = ['m']\n{X2}",
            [("loosens", 'f › rule  allow = ["m"] with args.x { max = 1 } → allow = ["m"] with args.x { max = 2 }', 3)],
        ),
        (f"allow = ['*']\n{RULE}deny = ['m']\n{X1}", f"allow = ['*']\n{RULE}deny = ['m']\n{X2}", [("loosens", "", 4)]),
        (
            f"allow = ['*']\n{RULE}ask = ['m']\nunless.x = {{ max = 1 }}",
            f"allow = ['*']\n{RULE}ask = ['m']\nunless.x = {{ max = 2 }}",
            [("loosens", "", 4)],
        ),
        (f"{RULE}ask = ['m']\n{X1}", f"{RULE}deny = ['m']\n{X1}", [("tightens", "", 3)]),
        (f"{RULE}ask = ['m']\n{X1}", f"{RULE}log = ['m']\n{X1}", [("loosens", "", 3)]),
        (f"{RULE}allow = ['m']\n{X1}", f"{RULE}log = ['m']\n{X1}", [("tightens", "", 3)]),
        (f"{RULE}log = ['m']\n{X1}", f"{RULE}ask = ['m']\n{X1}", [("loosens", "", 3)]),  # of what can't be told
        (f"{RULE}deny = ['m']\n{X1}", f"{RULE}log = ['m']\n{X1}", [("loosens", "", 3)]),
        (f"{RULE}allow = ['m']\nwhen = 'true'", f"{RULE}allow = ['m']\nwhen = 'true || true'", [("loosens", "", 3)]),
        (f"{RULE}allow = ['m']\nlimit = '3/s'", f"{RULE}allow = ['m']\nlimit = '4/s'", [("loosens", "", 3)]),
        (
            f"{RULE}allow = ['m']\nlimit = '3/s'",
            f"{RULE}allow = ['m']\nlimit = '2/min'\nover = 'deny'",
            [
                (
                    "tightens",
                    'f › rule  allow = ["m"] with limit = 3/s (past it: ask) → allow = ["m"] with limit = 2/min (past it: deny)',
                    3,
                )
            ],
        ),
        (f"{RULE}allow = ['m']\n{X1}", f"{RULE}allow = ['m']\n{X1}\nlimit = '9/s'", [("tightens", "", 3)]),
        (f"{RULE}allow = ['m']\n{X1}\nlimit = '9/s'", f"{RULE}allow = ['m']\n{X1}", [("loosens", "", 3)]),
        # what Python, or the eye, takes for the same
        (f"{RULE}allow = ['m']\nargs.x = {{ one_of = [1] }}", f"{RULE}allow = ['m']\nargs.x = {{ one_of = [true] }}", None),
        (
            f"{RULE}allow = ['m']\nargs.x = {{ one_of = ['a', 'b'] }}",
            f"{RULE}allow = ['m']\nargs.x = {{ one_of = ['a\", \"b'] }}",
            None,
        ),
        (f"{RULE}allow = ['m']\nargs.x = {{ glob = 'a' }}", f"{RULE}allow = ['m']\nargs.x = {{ glob = 'b' }}", None),
        # order and two of the same
        (f"{RULE}allow = ['a']\n{X1}\n{RULE}deny = ['b']\n{X2}", f"{RULE}deny = ['b']\n{X2}\n{RULE}allow = ['a']\n{X1}", []),
        # words that the model reads
        (
            f"{RULE}ask = ['b']\nlimit = '3/s'",
            f"{RULE}ask = ['b']\nlimit = '3/s'\nreason = 'say \"yes\"'",
            [("loosens", 'f › reason of ask = ["b"] with limit = 3/s (past it: ask)  – → "say \\"yes\\""', 3)],
        ),
        (
            f"{RULE}deny = ['b']\nreason = 'a'",
            f"{RULE}deny = ['b']\nreason = 'b'",
            [("loosens", 'f › reason of deny = ["b"]  "a" → "b"', 3)],
        ),
        (f"{RULE}deny = ['b']\nreason = 'a'", f"{RULE}deny = ['b']", [("tightens", 'f › reason of deny = ["b"]  "a" → –', 3)]),
        (f"{RULE}deny = ['b']\nreason = 'a'", f"\n{RULE}deny = ['b']\nreason = 'a'", []),
        (f"{RULE}deny = ['b']\nreason = 'a'\n{RULE}deny = []\nreason = 'b'", f"{RULE}deny = ['b']\nreason = 'a'", []),
        (f"{RULE}deny = ['b']\nreason = 'a'", f"{RULE}deny = ['b']\nreason = 'a'\n{RULE}deny = []\nreason = 'b'", []),
        (
            f"{RULE}deny = ['b']\nreason = 'a'\n{RULE}deny = ['b']\nreason = 'b'",
            f"{RULE}deny = ['b']\nreason = 'c'\n{RULE}deny = ['b']\nreason = 'a'",
            [("loosens", 'f › reason of deny = ["b"]  "b" → "c"', 3)],
        ),
        (
            "",
            f"{RULE}deny = ['b']\nreason = 'a'",
            [("loosens", 'f › reason of deny = ["b"]  – → "a"', 3)],
        ),
        (
            f"{RULE}allow = ['b']\nlimit = '3/s'\n{RULE}allow = ['b']\nlimit = '3/s'",
            f"{RULE}allow = ['b']\nlimit = '3/s'",
            [("loosens", "", 0)],
        ),
        # plain lists beside rules
        (
            f"deny = ['m']\n{RULE}allow = ['m']\n{X1}",
            f"{RULE}allow = ['m']\n{X1}",
            [("loosens", "f › m  deny → deny; milder where a rule with conditions or a limit counts", 1)],
        ),
        (
            f"log = ['m']\n{RULE}allow = ['m']\n{X1}",
            f"{RULE}allow = ['m']\n{X1}",
            [("loosens", "f › m  log → deny; milder where a rule with conditions or a limit counts", 1)],
        ),
        (
            f"{RULE}allow = ['m']\n{X1}",
            f"deny = ['m']\n{RULE}allow = ['m']\n{X1}",
            [("tightens", "f › m  deny → deny; stricter where a rule with conditions or a limit counts", 2)],
        ),
        (f"ask = ['m*']\n{RULE}allow = ['m']\n{X1}", f"{RULE}allow = ['m']\n{X1}", [("loosens", "f › m*  ask → –", 1)]),
        # several lists of one effect take names out of their own only
        (
            f"allow = ['*']\n{RULE}deny = ['*', '!a']\n{RULE}deny = ['*', '!b']",
            f"allow = ['*']\n{RULE}deny = ['*', '!a', '!b']",
            None,
        ),
        # lists of resources
        (
            "[servers.f.resources]\nallow = ['d://*']",
            "[servers.f.resources]\nallow = ['d://*', { within = '${project}' }]",
            [("loosens", 'f resources › rule  – → allow = ["*"] with { within = "${project}" }', 3)],
        ),
        # the server's own budget, and its tests
        ("limit = '3/s'", "limit = '2/s'", [("tightens", "f › limit  limit = 3/s (past it: ask) → limit = 2/s (past it: ask)", 1)]),
        (
            "max_result_bytes = 30",
            "max_result_bytes = 20",
            [
                (
                    "tightens",
                    "f › limit  max_result_bytes = 30 (longer answers are held back) → "
                    "max_result_bytes = 20 (longer answers are held back)",
                    1,
                )
            ],
        ),
        ("limit = '3/s'", "", [("loosens", "f › limit  limit = 3/s (past it: ask) → –", 1)]),
        ("[[servers.f.tests]]\ncall = 'x'\nexpect = 'deny'", "\n[[servers.f.tests]]\ncall = 'x'\nexpect = 'deny'", []),
    ],
)
def test_each_change_of_a_rule_with_conditions_or_a_limit_is_told(
    old: str, new: str, expected: list[tuple[str, str, int]] | None
) -> None:
    found = changes(old, new)
    if expected is None:
        assert {kind for kind, _, _ in found} >= {"loosens"}
    else:
        assert [
            (kind, text if wanted else "", line) for (kind, text, line), (_, wanted, _) in zip(found, expected, strict=True)
        ] == expected


def test_tests_that_changed_are_told_and_loosen_nothing() -> None:
    old, new = (policy(f"[servers.f]\n[[servers.f.tests]]\ncall = 'x'\nexpect = '{expect}'") for expect in ("deny", "ask"))
    assert announce_changes(old, new) == [("same", "f › tests  1 → 1, which decide nothing", 0)]


@pytest.mark.parametrize(
    ("new", "old", "tight"),
    [
        (Budget(1, 1.0), None, True),
        (None, Budget(1, 1.0), False),
        (Budget(1, 1.0), Budget(1, 1.0, over=Outcome.DENY), False),
        (Budget(1, None), Budget(2, 60.0), True),
        (Budget(1, 60.0), Budget(1, None), False),
        (Budget(None, None, 10), Budget(1, 1.0), False),
        (Budget(1, 1.0, 10), Budget(1, 1.0), True),
        (Budget(1, 1.0), Budget(1, 1.0, 10), False),
        (Budget(1, 1.0, 11), Budget(1, 1.0, 10), False),
        (Budget(None, None, 9), Budget(None, None, 10), True),
    ],
)
def test_a_budget_is_as_tight_as_another_only_where_it_lets_nothing_more_through(
    new: Budget | None, old: Budget | None, tight: bool
) -> None:
    assert at_least_as_tight(new, old) is tight


CONDITIONS = st.sampled_from(["", X1, X2, "unless.x = { max = 1 }", "unless.x = { max = 2 }", "args.x = { one_of = [1, 'a'] }"])
LIMITS = st.sampled_from(["", "", "limit = '1/s'", "limit = '1/min'", "limit = '2/min'\nover = 'deny'", "limit = '1/session'"])
EFFECTS = st.sampled_from(["allow", "log", "ask", "deny"])
WholeRule = tuple[str, list[str], str, str]
RULES = st.tuples(EFFECTS, ITEMS.filter(lambda v: any(x[0] != "!" for x in v)), CONDITIONS, LIMITS)


def with_rules(lists: dict[str, list[str]], rules: list[WholeRule]) -> ProjectPolicy:
    text = "[servers.f]\n" + "".join(f"{effect} = {items!r}\n" for effect, items in lists.items())
    for effect, items, terms, limit in rules:
        text += f"{RULE}{effect} = {items!r}\n{terms}\n{limit if effect != 'deny' else ''}\n"
    return policy(text)


BROUGHT: list[dict[str, object]] = [{}, {"x": 1}, {"x": 2}, {"x": 3}, {"x": "a"}, {"x": [1, 3]}, {"x": None}]
USED: list[dict[float | None, int]] = [
    {1.0: 0, 60.0: 0, None: 0},
    {1.0: 0, 60.0: 1, None: 1},
    {1.0: 1, 60.0: 1, None: 2},
    {1.0: 9, 60.0: 9, None: 9},
]


@st.composite
def edits(draw: st.DrawFn) -> tuple[ProjectPolicy, ProjectPolicy]:
    """A file, and another, or the same with one thing edited: near misses are where it could go wrong."""
    lists, rules = draw(LISTS), draw(st.lists(RULES, max_size=3))
    before = with_rules(lists, rules)
    match draw(st.sampled_from(["all", "lists", "rules", "one", "one", "drop"])):
        case "all":
            return before, with_rules(draw(LISTS), draw(st.lists(RULES, max_size=3)))
        case "lists":
            return before, with_rules(draw(LISTS), rules)
        case "rules":
            return before, with_rules(lists, draw(st.lists(RULES, max_size=3)))
        case "one" if rules:
            effect, items, terms, limit = rules[0]
            edited = draw(
                st.one_of(
                    st.tuples(EFFECTS, st.just(items), st.just(terms), st.just(limit)),
                    st.tuples(st.just(effect), st.just(items), CONDITIONS, st.just(limit)),
                    st.tuples(st.just(effect), st.just(items), st.just(terms), LIMITS),
                )
            )
            return before, with_rules(draw(st.sampled_from([lists, {}])), [*rules[1:], edited])
        case _:
            return before, with_rules(draw(st.sampled_from([lists, {}])), rules[1:])


@given(edits())
@example((with_rules({"deny": ["a"]}, [("allow", ["a"], X1, "")]), with_rules({}, [("allow", ["a"], X1, "")])))
@example((with_rules({}, [("log", ["a"], X1, "")]), with_rules({}, [("ask", ["a"], X1, "")])))
def test_where_any_call_gets_a_milder_outcome_something_is_said_to_loosen(files: tuple[ProjectPolicy, ProjectPolicy]) -> None:
    tables = [each.servers["f"].tables["tools"] for each in files]

    def loosened(name: str, arguments: dict[str, object], used: dict[float | None, int]) -> bool:
        def spent(rule: Rule) -> bool:
            budget = rule.budget
            return budget is not None and budget.count is not None and used[budget.window_s] >= budget.count

        was, now = (table.judge(name, Context(arguments=arguments), spent).outcome for table in tables)
        return now < was

    found = next(((n, a, u) for n in NAMES for a in BROUGHT for u in USED if loosened(n, a, u)), None)
    if found:
        assert any(kind == "loosens" for kind, _, _ in announce_changes(*files)), found
