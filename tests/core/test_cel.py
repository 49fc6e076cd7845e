"""`when` (POLICY.md §2): checked when the file is read, and only the value `true` is true."""

from datetime import UTC, datetime
from typing import Any

import pytest

from mcpwrap.core.cel import EXPRESSION_LIMIT, HANDED_LIMIT, WORK_LIMIT, compile_when
from mcpwrap.core.conditions import Context
from mcpwrap.core.patterns import PatternError


def holds(text: str, arguments: dict[str, Any] | None = None, **known: Any) -> bool | None:
    return compile_when(text).holds(Context(arguments=arguments, **known))


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        ('args.owner == "acme"', {"owner": "acme"}, True),
        ('args["owner"] == "acme"', {"owner": "other"}, False),
        ("args['owner'] == 'acme'", {"owner": "acme"}, True),
        ("has(args.owner)", {}, False),
        ("args.owner == 'x'", {}, None),
        ("args.n > 3", {"n": 4.5}, True),
        ("args.n > 3", {"n": True}, None),
        ("args.n > 3", {"n": 2**70}, None),
        ("args.n == 1", {"n": 1, "huge": 2**70}, True),
        ("args.n > 0", {"n": 2**63}, None),
        ("args.n < 0", {"n": -(2**63) - 1}, None),
        ("args.n > 9223372036854775806", {"n": 2**63 - 1}, True),
        ("args.n < -9223372036854775807", {"n": -(2**63)}, True),
        ("args.a.b[0] == 'q'", {"a": {"b": ["q"]}}, True),
        ("args.a == null", {"a": None}, True),
        ("args.s == 'x'", {"s": "\ud800"}, None),
        ("args.s == 'é'", {"s": "é"}, True),
        ("size(args) == 2", {"a": 1, "b": 2}, True),
        ("args.xs.all(x, x < 3)", {"xs": [1, 2]}, True),
        ("args.xs.all(x, x < 3)", {"xs": [1] * (HANDED_LIMIT + 1)}, None),
        ("args.s != ''", {"s": "x" * (1000 * (HANDED_LIMIT + 1))}, None),
        ("args.x", {"x": True}, True),
        ("args.x", {"x": "true"}, None),
        ("args.s.matches('^a+$')", {"s": "aaa"}, True),
        ('args.s == "args"', {"s": "args"}, True),
    ],
)
def test_only_true_is_true_and_an_error_is_neither(text: str, arguments: dict[str, Any], expected: bool | None) -> None:
    assert holds(text, arguments) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('args.exists(k, k == "force")', True),
        ('args . exists (k, k == "force")', True),
        ('args.exists // all of them\n (k, k == "force")', True),
        ('args.all(k, k == "path")', False),
        ("args.size() == 2", True),
        ("args == {'path': 'p', 'force': true}", True),
        ('args["path"].startsWith("p")', True),
        ('args.path.startsWith("https://")', False),
        ('args[r"force"]', True),
    ],
)
def test_an_expression_over_all_arguments_sees_all_of_them(text: str, expected: bool) -> None:
    assert holds(text, {"path": "p", "force": True}) is expected


@pytest.mark.parametrize("hidden", ["a\0b", "a\ud800"])
def test_a_text_that_the_evaluator_would_cut_off_is_an_error(hidden: str) -> None:
    assert holds('args.x == "a"', {"x": hidden}) is None
    assert holds("args.x.a == 1", {"x": {hidden: 1, "a": 1}}) is None
    assert holds("size(args) == 1", {hidden: 1}) is None
    for name in ("tool", "uri", "server", "project"):
        assert holds(f'{name} == "a"', {}, **{name: hidden}) is None
    for name in ("subject", "client", "session"):
        assert holds(f'{name}.x == "a"', {}, **{name: {"x": hidden}}) is None
        assert holds("tool == 't'", {}, tool="t", **{name: {hidden: 1}}) is True  # it isn't asked about


def test_what_the_evaluator_refuses_is_an_error() -> None:
    assert holds("time > timestamp('2026-01-01T00:00:00Z')", {}, time="no time") is None


def test_a_comprehension_is_handed_less_than_would_keep_it_busy() -> None:
    text = 'args.xs.all(x, !args.s.contains(x + "q"))'
    assert holds(text, {"xs": ["y"] * 1000, "s": "y" * 10_000}) is True
    assert holds(text, {"xs": ["y"] * 1000, "s": "y" * 100_000}) is None
    assert holds('!args.s.contains("q")', {"s": "y" * 100_000}) is True


def test_the_limits_themselves_are_handed_over() -> None:
    """Counted are the object of the arguments, their names, and every value at any depth."""
    assert holds("args.xs.all(x, x < 3)", {"xs": [1] * (HANDED_LIMIT - 3)}) is True
    assert holds("args.xs.all(x, x < 3)", {"xs": [1] * (HANDED_LIMIT - 2)}) is None
    count = 1000  # the object, two names, the array, the text, 995 elements
    text = 'args.xs.all(x, !args.s.contains(x + "q"))'
    for more, expected in ((0, True), (1, None)):
        characters = WORK_LIMIT // count - len("xss") - 995 + more
        assert holds(text, {"xs": ["y"] * 995, "s": "y" * characters}) is expected
    assert holds("args.s != '' && size(args.xs) == 1000", {"xs": ["y"] * 1000, "s": "y" * 100_000}) is True  # seen once
    longest = "tool == '" + "t" * (EXPRESSION_LIMIT - 10) + "'"
    assert len(longest) == EXPRESSION_LIMIT
    assert holds(longest, {}, tool="t" * (EXPRESSION_LIMIT - 10)) is True


@pytest.mark.parametrize("named", ["args.x", 'args["x"]', "args['x']", "args [ 'x' ]"])
def test_an_argument_that_isnt_named_is_never_handed_over(named: str) -> None:
    """However large it is, and whatever it holds, it changes nothing."""
    assert holds(f"{named} == 1", {"x": 1, "other": ["y"] * (HANDED_LIMIT + 1), "huge": 2**70, "cut": "a\0"}) is True


def test_a_value_that_json_doesnt_know_is_an_error() -> None:
    assert holds("args.x == 1", {"x": 1j}) is None


def test_without_arguments_it_says_what_they_cant_change() -> None:
    assert holds("args.x == 1 || server == 's'", None, server="s") is True
    assert holds("args.x == 1 && server == 't'", None, server="s") is False
    assert holds("args.x == 1", None) is None


def test_everything_that_the_contract_names_is_there() -> None:
    text = (
        "tool == 't' && uri == 'u' && server == 's' && project == 'p' && subject.sub == 'me' && client.name == 'c' "
        "&& session.calls < 5 && time > timestamp('2026-01-01T00:00:00Z')"
    )
    known: dict[str, Any] = {
        "tool": "t",
        "uri": "u",
        "server": "s",
        "project": "p",
        "subject": {"sub": "me"},
        "client": {"name": "c"},
        "session": {"calls": 3},
        "time": datetime(2026, 8, 28, tzinfo=UTC),
    }
    assert holds(text, {}, **known) is True
    assert holds("time > timestamp('2026-01-01T00:00:00Z')", {}) is None  # no clock: an error


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no valid CEL"),
        ("1 +", "column 4: Syntax error"),
        ("nope", "undeclared reference to 'nope'"),
        ("tool", "this is a string"),
        ("1", "this is a int"),
        ("tool == 1", "no matching overload"),
        ("[1].all(x, [2].all(y, x < y))", "at most one of"),
        ("[1].all // (\n(x, [2].all(y, x < y))", "at most one of"),
        ("tool == 'a' // '\n && [1].all(x, [2].all(y, x < y)) // '", "at most one of"),
        (r"""["a"].all(x, r"\" == x && [2].all(y, true) && "\"" == x)""", "at most one of"),
        ('[1].all(x, tool == """a"b""" && [2].all(y, true) && tool == "a")', "at most one of"),
        ("'" + "x" * EXPRESSION_LIMIT + "' == tool", "at most"),
    ],
)
def test_what_cant_be_used_is_said_when_the_file_is_read(text: str, why: str) -> None:
    with pytest.raises(PatternError, match=why):
        compile_when(text)


def test_the_word_of_a_macro_in_a_string_is_no_macro() -> None:
    assert holds("tool == '.all(' || tool == \".map(\"", {}, tool=".map(") is True
    assert holds('tool == ".all(.map("', {}, tool=".all(.map(") is True
    assert holds("tool == '.all(.map('", {}, tool=".all(.map(") is True


def test_expressions_are_equal_by_their_text() -> None:
    one, other = compile_when("tool == 'a'"), compile_when("tool == 'b'")
    assert one == compile_when("tool == 'a'")
    assert one != other
    assert (one == "tool == 'a'") is False
    assert (one == other) is False
    assert len({one, other, compile_when("tool == 'a'")}) == 2
