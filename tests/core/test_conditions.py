"""Conditions of rules (POLICY.md §2): what can't be told fails an `allow` and satisfies everything else."""

from collections.abc import Mapping
from typing import Any

import pytest

from mcpwrap.core import conditions
from mcpwrap.core.cel import compile_when
from mcpwrap.core.conditions import URI, Conditions, Context
from mcpwrap.core.constraint import Constraint
from mcpwrap.core.hosts import SEARCH_LIMIT
from mcpwrap.core.outcome import Outcome
from mcpwrap.core.paths import looks_like_path
from mcpwrap.core.patterns import Pattern


class Table:
    """Facts from a table: text → the paths it may be."""

    def __init__(self, **paths: tuple[str, ...] | None) -> None:
        self.table = paths

    def paths(self, text: str) -> tuple[str, ...] | None:
        return self.table.get(text, (text,) if text.startswith("/") else None)

    def ends(self, path: str) -> tuple[str, ...] | None:
        return self.paths(path)

    @property
    def rooted(self) -> bool:
        return False

    def canonical(self, path: str) -> str:
        return path

    def is_path(self, text: str) -> bool:
        return looks_like_path(text) or text in self.table

    def relative(self, path: str) -> str | None:
        return path.removeprefix("/cwd/") if path.startswith("/cwd/") else None


def globs(*texts: str) -> Constraint:
    return Constraint(glob=tuple(Pattern.parse(text, line=1, path=True) for text in texts))


def both(constraint: Constraint, arguments: Mapping[str, Any] | None, key: str = "x", **known: Any) -> tuple[bool, bool]:
    """Whether a rule with that constraint counts as an `allow`, and as a `deny`."""
    known.setdefault("facts", Table())
    each = Conditions(args=((key, constraint),))
    context = Context(arguments=arguments, **known)
    return each.applies(Outcome.ALLOW, context), each.applies(Outcome.DENY, context)


YES, NO, UNSURE = (True, True), (False, False), (False, True)
IN = Constraint(within=("/in",))


@pytest.mark.parametrize(
    ("constraint", "value", "expected"),
    [
        (IN, "/in/a", YES),
        (IN, "/in", YES),
        (IN, "/in2", NO),
        (IN, "/IN/a", UNSURE),
        (IN, "relative", UNSURE),
        (IN, 7, UNSURE),
        (IN, {"a": 1}, UNSURE),
        (IN, ["/in/a", "/in/b"], YES),
        (IN, ["/in/a", ["/out"]], UNSURE),
        (IN, ["/out", "/out2"], NO),
        (IN, [], UNSURE),
        (Constraint(within=("/in", "/other")), "/other/a", YES),
        (Constraint(host=("a.com",)), "https://a.com/x", YES),
        (Constraint(host=("a.com",)), "https://b.com/x", NO),
        (Constraint(host=("a.com",)), "https://b.com\\@a.com", UNSURE),
        (Constraint(host=("a.com",)), None, UNSURE),
        (globs("**/.env"), "/x/.env", YES),
        (globs("**/.env"), ".env/", UNSURE),
        (globs("**/.env"), "/x/.ENV", UNSURE),
        (globs("**/.env"), "/x/.env/", UNSURE),
        (globs("**/.env"), "/x/.env/.", UNSURE),
        (globs("**/.env"), "/x/e", NO),
        (globs("**/.env"), 1, UNSURE),
        (globs("**/.env"), "/" * 5000, UNSURE),
        (globs("**/.env"), "./x", UNSURE),
        (globs("acme/*"), "acme/web", YES),
        (globs("acme/*"), "acme/web/x", NO),
        (globs("acme/*"), "other/web", NO),
        (globs("/**"), "acme/web", NO),
        (globs("^acme/.*$"), "acme/x", YES),
        (Constraint(one_of=("a", 1, True)), "a", YES),
        (Constraint(one_of=("a", 1)), 1.0, YES),
        (Constraint(one_of=("a", 1)), True, UNSURE),
        (Constraint(one_of=(True,)), 1, UNSURE),
        (Constraint(one_of=(True, 1)), False, NO),
        (Constraint(one_of=(22,)), "22", UNSURE),
        (Constraint(one_of=("22",)), 22, UNSURE),
        (Constraint(one_of=(22,)), 23.5, NO),
        (Constraint(one_of=("a",)), None, UNSURE),
        (Constraint(one_of=("a",)), {"a": 1}, UNSURE),
        (Constraint(max=3), 3, YES),
        (Constraint(max=3), 3.5, NO),
        (Constraint(max=3), True, UNSURE),
        (Constraint(max=3), "2", UNSURE),
        (Constraint(max=3, one_of=(2, 9)), 2, YES),
        (Constraint(max=3, one_of=(2, 9)), 9, NO),
    ],
)
def test_a_constraint_on_an_argument_is_three_valued(constraint: Constraint, value: object, expected: tuple[bool, bool]) -> None:
    assert both(constraint, {"x": value}) == expected


def test_an_argument_that_is_absent_cant_be_told() -> None:
    assert both(IN, {}) == UNSURE
    assert both(IN, {"xs": ["/in/a"]}) == UNSURE


def test_every_path_that_a_text_may_be_counts() -> None:
    assert both(IN, {"x": "link"}, facts=Table(link=("/in/a", "/out/a"))) == UNSURE
    assert both(IN, {"x": "link"}, facts=Table(link=("/out/a", "/out/b"))) == NO


def test_a_glob_goes_by_the_text_and_by_the_resolved_path() -> None:
    secret = globs("**/.env")
    assert both(secret, {"x": "plain"}, facts=Table(plain=("/cwd/.env",))) == UNSURE
    assert both(globs("docs/*"), {"x": "docs/a"}, facts=Table(**{"docs/a": ("/cwd/docs/a",)})) == YES
    assert both(globs("docs/*"), {"x": "docs/a"}, facts=Table(**{"docs/a": ("/etc/a",)})) == UNSURE


def test_keys_go_down_into_objects_and_lists() -> None:
    edits = {"edits": [{"path": "/in/a"}, {"path": "/in/b"}]}
    assert both(IN, edits, "edits.path") == YES
    assert both(IN, {"edits": [{"path": "/in/a"}, {}]}, "edits.path") == UNSURE
    assert both(IN, {"edits": "x"}, "edits.path") == UNSURE
    assert both(IN, {"a.b": "/in/a"}, "a.b") == UNSURE
    assert both(IN, {"a.b": "/out", "a": {"b": "/in/x"}}, "a.b") == UNSURE


@pytest.mark.parametrize(
    ("constraint", "arguments", "expected"),
    [
        (globs("**/.env"), {"a": {"b": [".env"]}}, UNSURE),
        (globs("**/.env"), {"a": {".env": 1}}, UNSURE),
        (globs("**/.env"), {".env": 1}, NO),
        (globs("**/.env"), {}, NO),
        (globs("**/.env"), {"n": 7}, NO),
        (globs("**/.env"), {"x": "~/x"}, UNSURE),
        (globs("**/.env"), {"x": "./x/../.env"}, UNSURE),
        (globs("**/.env"), {"x": "/* a comment\n * in lines */"}, NO),
        (globs("**/.env"), {"x": "/x/.env\n"}, UNSURE),
        (globs("**/.env"), {"x": ""}, NO),
        (globs("**/.env"), {"x": "/" * 5000}, NO),
        (IN, {"x": "just words"}, NO),
        (IN, {"x": "/in/a"}, YES),
        (IN, {"x": "/out/a"}, NO),
        (IN, {"x": "~/a"}, UNSURE),
        (Constraint(host=("evil.com",)), {"x": "see https://evil.com/ now"}, UNSURE),
        (Constraint(host=("evil.com",)), {"x": "see https://good.com/ now"}, NO),
        (Constraint(one_of=("a",)), {"x": "a"}, YES),
        (Constraint(one_of=("a",)), {"x": "b"}, NO),
        (Constraint(one_of=(1,)), {"x": "1"}, NO),
        (Constraint(max=3), {"x": "3"}, NO),
        (Constraint(host=("evil.com",)), {"x": "x" * (SEARCH_LIMIT + 1)}, UNSURE),
    ],
)
def test_the_key_star_is_every_string(constraint: Constraint, arguments: dict[str, Any], expected: tuple[bool, bool]) -> None:
    assert both(constraint, arguments, "*") == expected


@pytest.mark.parametrize(
    "text",
    [
        "/in/.env" + "/x/.." * 1000,
        "/in/.env" + "/." * 3000,
        "/in" + "/" * 5000 + ".env",
        "file:///in/.env" + "/x/.." * 1000,
        "file://localhost/in/.env" + "/x/.." * 1000,
        "/in/.env" + "%2Fx%2f%2E%2e" * 1000,
        "/in/.env" + "%252fx%252f%252e%252e" * 1000,
    ],
)
def test_a_path_isnt_hidden_by_length(text: str) -> None:
    facts = Table(**{"file:///in/.env": ("/in/.env",)})
    assert both(globs("**/.env"), {"x": text}, "*", facts=facts) == UNSURE
    assert both(globs("**/.git/**"), {"x": text}, "*", facts=facts) == NO
    assert both(IN, {"x": text}, "*", facts=facts)[1]
    assert both(Constraint(within=("/out",)), {"x": text}, "*", facts=facts) == NO
    assert both(Constraint(within=("/in",), glob=globs("**/.git/**").glob), {"x": text}, "*", facts=facts) == NO


def test_a_long_text_that_stays_long_is_no_path() -> None:
    assert both(globs("**/.env"), {"x": "/in/" + "x" * 5000}, "*") == NO
    assert both(globs("/in/**"), {"x": "/in/" + "x" * 5000}, "*") == UNSURE


def test_one_pattern_of_several_is_enough() -> None:
    assert both(globs("*.md", "*.txt"), {"x": "a.txt"}) == YES
    assert both(globs("*.md", "*.txt"), {"x": "a.py"}) == NO
    assert both(globs("*.md", "*.txt"), {"x": "a.txt"}, "*") == YES
    hosts = Constraint(host=("good.example", "evil.example"))
    assert both(hosts, {"x": "see https://evil.example/"}, "*") == UNSURE
    assert both(hosts, {"x": "see https://other.example/"}, "*") == NO


def test_two_stars_and_a_slash_mean_the_first_folder_as_well() -> None:
    assert both(globs("**/a.md"), {"x": "a.md"}) == YES
    assert both(globs("**/.git/**"), {"x": "q/.git"}, "*") == UNSURE  # as text a folder's name isn't all that lies in it
    assert both(globs("docs/*.md"), {"x": "docs/A.MD"}) == UNSURE


def test_every_string_must_satisfy_an_allow_over_all_of_them() -> None:
    one = Constraint(one_of=("a",))
    assert both(one, {"x": "a", "y": ["a"]}, "*") == YES
    for arguments in ({"x": "a", "y": "b"}, {"x": "b", "y": "a"}, {"x": ["a", {"k": "b"}]}):
        assert both(one, arguments, "*") == UNSURE
    # names of nested arguments may be what a denial means, and are nothing that an `allow` asks about
    assert both(one, {"x": {"k": "a"}}, "*") == YES
    assert both(one, {"x": {"a": "k"}}, "*") == UNSURE


@pytest.mark.parametrize("within", ["xbx", 5, None, True, ["xbx"]])
def test_a_dotted_key_goes_into_objects_only(within: object) -> None:
    assert both(Constraint(one_of=("b",)), {"a": within}, "a.b") == UNSURE


def test_a_text_of_several_lines_is_no_path_that_cant_be_resolved() -> None:
    for text in ("/* a\n * comment */", "~ a\n~ b", "file:\nx"):
        assert both(globs("**/.env"), {"x": text}, "*") == NO
    for text in ("/a b", "~a"):
        facts = Table(**{text: None})
        assert both(globs("**/.env"), {"x": text}, "*", facts=facts) == UNSURE


def test_escapes_in_a_relative_text_are_read() -> None:
    assert both(globs("**/.env"), {"x": "docs/%2eenv"}, "*") == UNSURE


def test_as_many_values_as_are_looked_at_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "VALUES_LIMIT", 3)
    for key in ("x", "*"):
        assert both(Constraint(one_of=("a",)), {"x": ["a"] * 3}, key) == YES
        assert both(Constraint(one_of=("a",)), {"x": ["b"] * 3}, key) == NO
        assert both(Constraint(one_of=("a",)), {"x": ["b"] * 4}, key) == UNSURE


def test_unless_needs_all_of_its_constraints() -> None:
    each = Conditions(unless=(("a", Constraint(one_of=(1,))), ("b", Constraint(one_of=(1,)))))
    for effect in Outcome:
        assert not each.applies(effect, Context(arguments={"a": 1, "b": 1}))
        assert each.applies(effect, Context(arguments={"a": 1, "b": 2}))
        assert each.applies(effect, Context(arguments={"a": 2, "b": 1}))
        assert each.applies(effect, Context(arguments=None))  # there may be others


def test_what_this_calls_arguments_make_true_isnt_sure_for_all() -> None:
    each = Conditions(when=compile_when("args.x == 1"))
    assert each.applies(Outcome.ALLOW, Context(arguments={"x": 1}))
    assert not each.surely(Context(arguments={"x": 1}))


def test_unless_takes_a_rule_away_only_surely_and_an_allow_already_perhaps() -> None:
    each = Conditions(unless=(("x", IN),))

    def counts(effect: Outcome, value: str) -> bool:
        return each.applies(effect, Context(arguments={"x": value}, facts=Table()))

    assert [counts(Outcome.ASK, value) for value in ("/in/a", "/out", "what")] == [False, True, True]
    assert [counts(Outcome.ALLOW, value) for value in ("/in/a", "/out", "what")] == [False, True, False]
    assert each.why_not(Outcome.ASK, Context(arguments={"x": "/in/a"}, facts=Table())) == "its `unless` holds"


def test_a_constraint_in_a_list_of_resources_is_about_the_uri() -> None:
    assert both(IN, {}, URI, uri="file:///in/a", facts=Table(**{"file:///in/a": ("/in/a",)})) == YES
    assert both(IN, {}, URI, uri="docs://in/a") == NO
    assert both(Constraint(host=("a.com",)), {}, URI, uri="https://a.com/") == YES


def test_an_expression_that_cant_be_told_fails_an_allow_and_nothing_else() -> None:
    each = Conditions(when=compile_when('args.owner == "acme"'))

    def counts(effect: Outcome, arguments: dict[str, Any] | None) -> bool:
        return each.applies(effect, Context(arguments=arguments))

    assert counts(Outcome.ALLOW, {"owner": "acme"})
    assert counts(Outcome.DENY, {"owner": "acme"})
    assert not counts(Outcome.DENY, {"owner": "other"})
    assert not counts(Outcome.ALLOW, {})
    assert counts(Outcome.DENY, {})
    assert counts(Outcome.ALLOW, None)  # a list: it may hold
    assert each.why_not(Outcome.ALLOW, Context(arguments={})) == "its `when` can't be told"
    assert each.why_not(Outcome.ALLOW, Context(arguments={"owner": 1})) == "its `when` isn't true"


def test_what_holds_whatever_the_arguments_are_is_known() -> None:
    assert Conditions(when=compile_when("!('dev' in subject.groups) || args.x == 1")).surely(Context(subject={"groups": []}))
    assert not Conditions(when=compile_when("'dev' in subject.groups")).surely(Context(subject={}))
    assert Conditions().surely(Context())
    assert not Conditions(args=(("x", IN),)).surely(Context())
    assert not Conditions(unless=(("x", IN),)).surely(Context())


def test_more_values_than_are_looked_at_cant_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "VALUES_LIMIT", 2)
    assert both(IN, {"x": ["/out"] * 3}) == UNSURE
    assert both(IN, {"x": ["/out"] * 3}, "*") == UNSURE
    assert both(IN, {"x": ["/in"] * 2}, "*") == YES


@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        (Constraint(within=("/a", "/b")), "`x` isn't inside /a or /b, or that can't be told"),
        (Constraint(host=("a.com",), max=3), "`x` isn't on the host a.com and at most 3, or that can't be told"),
        (Constraint(one_of=("a", 1)), "`x` isn't one of a, 1, or that can't be told"),
        (globs("**/x"), "`x` isn't like **/x, or that can't be told"),
    ],
)
def test_why_a_rule_doesnt_count_is_said(constraint: Constraint, words: str) -> None:
    each = Conditions(args=(("x", constraint),))
    assert each.why_not(Outcome.ALLOW, Context(arguments={"x": {}})) == words
    every = Conditions(args=(("*", constraint),))
    assert every.why_not(Outcome.ALLOW, Context(arguments={})).startswith("a string isn't ")
    uri = Conditions(args=((URI, constraint),))
    assert uri.why_not(Outcome.ALLOW, Context(arguments={}, uri="x")).startswith("the URI isn't ")
