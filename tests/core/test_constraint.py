"""Constraints on values that lie: what is sure, what can't be told, and what the key ``*`` sees in any string."""

import os
from pathlib import Path
from typing import Any

import pytest

from mcpwrap.core import constraint as rooms
from mcpwrap.core.conditions import Conditions, Context
from mcpwrap.core.constraint import Constraint, Metered, Spent, Truth
from mcpwrap.core.facts import Facts, NoFacts
from mcpwrap.core.outcome import Outcome
from mcpwrap.core.patterns import Pattern
from mcpwrap.runtime.facts import FileFacts

YES, UNSURE, NO = Truth.YES, Truth.UNSURE, Truth.NO


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """``cwd/docs/link`` and ``cwd/docs/secret`` lead to ``out``, ``cwd/loop`` to itself."""
    for name in ("cwd/docs/deep", "out/secret"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "cwd/docs/link").symlink_to(tmp_path / "out")
    (tmp_path / "cwd/link").symlink_to(tmp_path / "out/secret")
    (tmp_path / "cwd/loop").symlink_to("loop")
    (tmp_path / "cwd/.env").write_text("KEY=1")
    return tmp_path


def glob(*texts: str) -> Constraint:
    return Constraint(glob=tuple(Pattern.parse(text, line=1, path=True) for text in texts))


def at(tree: Path) -> FileFacts:
    return FileFacts(str(tree / "cwd"))


NOWHERE = FileFacts(None)


@pytest.mark.parametrize("text", ["\ud800", "docs/\udcff", "docs/a\ud800.md"])
@pytest.mark.parametrize("facts", [NoFacts(), NOWHERE])
@pytest.mark.parametrize("pattern", ["docs/*", "**/*.md", "^docs.*$", "**"])
def test_what_is_no_unicode_cant_be_told(text: str, facts: Facts, pattern: str) -> None:
    assert glob(pattern).judge(text, facts) is UNSURE
    assert glob(pattern).possibly(text, facts)
    assert Constraint(within=("/x",)).judge(text, facts) is UNSURE


def test_a_pattern_is_judged_where_the_path_leads_though_nothing_is_there_yet(tree: Path) -> None:
    facts, root = at(tree), tree
    assert glob("**/secret/**").judge("link/new.txt", facts) is UNSURE
    assert glob("**/secret/**").possibly("link/new.txt", facts)
    assert glob("docs/**").judge("docs/link/new", facts) is UNSURE
    assert glob("docs/**").judge("docs/deep/new", facts) is YES
    assert glob("docs/**", f"{root}/out/**").judge("docs/link/new", facts) is YES
    assert glob("**/secret/**").judge("docs/deep/new", facts) is NO
    assert glob("docs/**").judge("docs/link/new", NOWHERE) is YES, "without a folder to go from the letters are all there is"


@pytest.mark.parametrize(
    "text",
    [
        "docs/%2e%2e/x",
        "docs/%252e%252e/x",
        "docs/../x",
        "docs/..",
        "docs/.. /x",
        "docs\\..\\x",
        "docs/deep/../../x",
        "docs/a\0/../../x",
    ],
)
def test_what_goes_up_for_some_reader_surely_matches_nothing(tree: Path, text: str) -> None:
    for facts in (at(tree), NOWHERE, NoFacts()):
        assert glob("docs/**").judge(text, facts) is not YES
        assert not Conditions(args=(("path", glob("docs/**")),)).applies(Outcome.ALLOW, Context({"path": text}, facts=facts))
        # nor does it take a `deny` away
        unless = Conditions(unless=(("path", glob("docs/**")),))
        assert unless.applies(Outcome.DENY, Context({"path": text}, facts=facts))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("docs/**", "docs/a b.txt"),
        ("docs/**", "docs/\u00fc.txt"),
        ("docs/**", "docs/u\u0308.txt"),
        ("docs/\u00fc*", "docs/\u00fc.txt"),
        ("docs/**", "docs/.hidden/..x"),
        ("docs/**", "docs/100%"),
        ("*", "x: y"),
        ("SELECT *", "SELECT a FROM b WHERE c = 'd:e'"),
        ("Dear **", "Dear all,\nit's 50 % off \\o/"),
        ("repo:*", "repo:acme"),
        ("https://good.com/**", "https://good.com/a?b=c#d"),
        ("https://good.com/**", "https://good.com/a%20b"),
        ("**/x", "x"),
        ("file:///srv/**", "file:///srv/a"),
    ],
)
def test_what_every_reader_takes_for_the_same_is_sure(pattern: str, text: str) -> None:
    assert glob(pattern).judge(text, NOWHERE) is YES


@pytest.mark.parametrize(
    "text",
    [
        "https://good.com/../../x",
        "https://good.com/%2e%2e/x",
        "https://good.com/a\\..\\b",
        "https://good.com/\tx",
        "https://good.com/%00",
    ],
)
def test_a_url_that_leads_elsewhere_for_some_reader_isnt_sure(text: str) -> None:
    assert glob("https://good.com/**").judge(text, NOWHERE) is not YES


class Vanishing(NoFacts):
    """A folder that is there at one moment and can't be looked into at the next."""

    rooted = True

    def paths(self, text: str) -> tuple[str, ...] | None:
        return (f"/cwd/{text}",)


def test_what_cant_be_resolved_any_more_isnt_sure() -> None:
    assert glob("**").judge("docs/a", Vanishing()) is UNSURE


def test_a_pattern_for_uris_of_files_is_judged_where_they_lead(tree: Path) -> None:
    made, facts = glob(f"file://{tree}/cwd/docs/**"), at(tree)
    for text in ("deep/x", "%64eep/x", "a b"):
        assert made.judge(f"file://{tree}/cwd/docs/{text}", facts) is YES
    for text in ("link/x", "../x", "%2e%2e/x", "deep/../../x"):
        assert made.judge(f"file://{tree}/cwd/docs/{text}", facts) is not YES
    assert glob("file:///**").judge("file:///srv/a?b", NOWHERE) is not YES


def test_a_url_must_match_decoded_as_well(tree: Path) -> None:
    assert glob("https://good.com/*").judge("https://good.com/a%2fb", NOWHERE) is UNSURE
    assert glob("https://good.com/*").judge("https://good.com/a", at(tree)) is YES


def test_a_path_that_cant_be_resolved_isnt_sure(tree: Path) -> None:
    facts = at(tree)
    assert glob("**").judge("loop/x", facts) is UNSURE
    assert glob("**").judge("~/x", facts) is UNSURE
    assert glob("**").judge("../x", facts) is UNSURE
    assert glob("docs/**").judge("./docs/a", NOWHERE) is not YES
    assert glob("**").judge("./docs/a", NOWHERE) is UNSURE
    assert glob("*.txt").judge("loop/x", facts) is UNSURE
    assert glob("**").judge("x" * 300, facts) is UNSURE, "no system opens it"
    (tree / "cwd" / "file:").mkdir()
    assert glob("file:**").judge("file:///tmp/x", facts) is UNSURE, "a folder of that name is there"


def test_a_value_that_is_no_text_or_too_long_cant_be_told() -> None:
    for value in (5, None, {"a": "b"}, "x" * 5000):
        assert glob("*").judge(value, NOWHERE) is UNSURE


@pytest.mark.parametrize(
    "text",
    [
        *(
            "FILE:///p/.env?x",
            "file:///p/.env#x",
            "fi\nle:///p/.env",
            "file:\t///p/.env",
            "File://localhost/p/.env",
            "file://host/p/.env",
        ),
        *(".\\.env", "C:\\p\\.env", "\\\\host\\share\\.env", "/p\\.env", "C:/p/.env", "\\\\?\\C:\\p\\.env", "file:\\\\\\p\\.env"),
        *(".env", "./.env", "/p/.ENV", "/p/.env/", "/p/.env/.", "/p/%2eenv", "%252eenv/../.env", "p/.env::$DATA", "/p/.env. "),
        *(" /p/.env", "/p/.env\n", "/p/.env\0.txt", "/p/.e\u200dnv", "$HOME/.env", "~/.env", "%APPDATA%\\.env", "${HOME}/.env"),
    ],
)
def test_no_spelling_of_a_name_hides_in_any_string(tree: Path, text: str) -> None:
    for facts in (at(tree), NOWHERE, NoFacts()):
        assert glob("**/.env").possibly(text, facts), text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "The environment is fine.",
            "see .environment",
            "a: b",
            "50 % of it",
            "~5 minutes",
            "costs $5",
            "C'est la vie: oui",
            "x = y \\ z",
        ),
        *(
            "https://example.com/a/b?c=d",
            "def f(a):\n    return a / 2\n",
            "print('\\n')",
            "",
            "a" * 5000,
            "dear env",
            "p.env",
            "\u00fcber env",
        ),
    ],
)
def test_prose_and_code_are_not_taken_for_a_secret(tree: Path, text: str) -> None:
    for facts in (at(tree), NOWHERE, NoFacts()):
        assert not glob("**/.env").possibly(text, facts), text


def test_any_string_that_leads_inside_is_seen(tree: Path) -> None:
    facts, inner = at(tree), Constraint(within=(str(tree / "out"),))
    for text in (
        str(tree / "out/x"),
        "docs/link/x",
        "link",
        "docs\\link",
        f"FILE://{tree}/out/x?y",
        "~/x",
        "$HOME/x",
        "C:\\x",
        "\\\\m\\x",
    ):
        assert inner.possibly(text, facts), text
    for text in (f"file://machine{tree}/out/x", f"/C:{tree}/out/x"):
        assert inner.possibly(text, facts), "a reader that leaves out the machine, or the drive"
    assert inner.possibly("loop/x", facts), "who knows where it leads"
    for text in ("docs/deep/x", "prose", "/tmp", str(tree / "cwd"), "x" * 5000, "https://x.example/"):
        assert not inner.possibly(text, facts), text
    assert inner.possibly(f"{tree}/out/" + "./" * 3000 + "x", facts), "readers take out the dots first"
    for text in ("./x", "../x", ".ssh/x", "file:x"):
        assert inner.possibly(text, NOWHERE), text
    assert not inner.possibly("x/y", NOWHERE)


def test_several_constraints_of_one_key_hold_together(tree: Path) -> None:
    both = Constraint(within=(str(tree / "out"),), glob=(Pattern.parse("**/*.key", line=1, path=True),))
    assert both.possibly(str(tree / "out/a.key"), at(tree))
    assert not both.possibly(str(tree / "out/a.txt"), at(tree))
    assert not both.possibly(str(tree / "cwd/a.key"), at(tree))
    assert not Constraint(max=5).possibly("5", NOWHERE)
    assert Constraint(one_of=("a",)).possibly("a", NOWHERE)
    assert not Constraint(one_of=("a",)).possibly("b", NOWHERE)
    assert Constraint(host=("a.com",)).possibly("see //a.com/x", NOWHERE)


class Broken(NoFacts):
    """A file system that fails in a way that nobody thought of."""

    def paths(self, text: str) -> tuple[str, ...] | None:
        raise RuntimeError("unheard of")

    def ends(self, path: str) -> tuple[str, ...] | None:
        raise RuntimeError("unheard of")


@pytest.mark.parametrize("effect", list(Outcome))
def test_whatever_goes_wrong_while_judging_cant_be_told(effect: Outcome) -> None:
    context = Context({"path": "/x"}, facts=Broken())
    inner = (("path", Constraint(within=("/y",))),)
    assert Conditions(args=inner).applies(effect, context) is (effect is not Outcome.ALLOW)
    assert Conditions(unless=inner).applies(effect, context) is (effect is not Outcome.ALLOW)


def test_an_expression_that_fails_unheard_of_cant_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from mcpwrap.core.cel import When, compile_when

    def fails(self: When, context: Context) -> bool | None:
        raise SystemError("unheard of")

    monkeypatch.setattr(When, "holds", fails)
    made = Conditions(when=compile_when("true"))
    assert made.applies(Outcome.DENY, Context({}))
    assert not made.applies(Outcome.ALLOW, Context({}))
    assert not made.surely(Context())


def counted(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(rooms, name, value)


@pytest.mark.parametrize(
    ("limit", "made", "text"),
    [
        ("NAMES_LIMIT", glob("**/none"), "/a/b/none-{n}"),
        ("SPELLED_LIMIT", glob("**/none"), "/a/b/none-{n}"),
        ("SEARCH_LIMIT", Constraint(host=("evil.com",)), "https://good{n}.com/"),
    ],
)
def test_the_work_for_one_call_is_bounded_and_what_is_past_it_cant_be_told(
    monkeypatch: pytest.MonkeyPatch, limit: str, made: Constraint, text: str
) -> None:
    few = Context({"texts": [text.format(n=n) for n in range(2)]}, facts=NOWHERE)
    many = Context({"texts": [text.format(n=n) for n in range(200)]}, facts=NOWHERE)
    rule = Conditions(args=(("*", made),))
    assert not rule.applies(Outcome.DENY, few)
    assert not rule.applies(Outcome.DENY, many)
    counted(monkeypatch, **{limit: 200})
    assert not rule.applies(Outcome.DENY, few)
    assert rule.applies(Outcome.DENY, many)
    assert not Conditions(args=(("*", made),)).applies(Outcome.ALLOW, many)


def test_of_one_text_alone_the_work_is_not_counted_and_of_an_array_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    counted(monkeypatch, NAMES_LIMIT=1)
    inner = Conditions(args=(("path", Constraint(within=("/a",))),))
    assert inner.applies(Outcome.ALLOW, Context({"path": "/a/b"}, facts=NOWHERE))
    assert not inner.applies(Outcome.ALLOW, Context({"path": ["/a/b", "/a/c"]}, facts=NOWHERE))


def test_every_reading_of_an_odd_text_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = Conditions(args=(("path", Constraint(within=("/a",))),))
    plain, odd = ({"path": [f"/a/{name}", "/a/c"]} for name in ("b", "b d."))
    assert inner.applies(Outcome.ALLOW, Context(odd, facts=NOWHERE))
    counted(monkeypatch, NAMES_LIMIT=22)
    assert inner.applies(Outcome.ALLOW, Context(plain, facts=NOWHERE))
    assert not inner.applies(Outcome.ALLOW, Context(odd, facts=NOWHERE))


def test_counted_facts_are_the_facts(tree: Path) -> None:
    facts: Any = at(tree)
    metered = Metered(facts)
    for _ in range(2):
        assert metered.paths("docs") == facts.paths("docs")
        assert metered.ends("docs/link/../x") == facts.ends("docs/link/../x")
        assert metered.canonical("/tmp/../tmp") == facts.canonical("/tmp/../tmp")
        assert metered.relative(os.path.realpath(tree / "cwd/x")) == "x"
        assert metered.rooted
        assert metered.is_path("docs")
    assert metered.paths("~") is None
    with pytest.raises(Spent):
        metered.spell("x" * (rooms.SPELLED_LIMIT + 1))


@pytest.mark.parametrize("text", ["{}/cwd/docs/../Top/a", "{}/cwd//Top/a", "Top/a", "{}/cwd/Top%2fa", "file://{}/cwd/./Top/a"])
@pytest.mark.parametrize("pattern", ["^.*/cwd/Top/[^A]*$", "^.*/cwd/Top/.*$"])
def test_an_expression_is_judged_where_the_path_leads_whatever_its_case(tree: Path, text: str, pattern: str) -> None:
    (tree / "cwd/Top").mkdir()
    path, facts = text.format(tree), at(tree)
    assert glob(pattern).judge(path, facts) is not NO
    assert glob(pattern).possibly(path, facts)
    assert glob(pattern).judge(f"{tree}/cwd/docs/a", facts) is NO
    assert not glob(pattern).possibly(f"{tree}/cwd/docs/a", facts)


def test_an_expression_matches_a_path_in_either_case(tree: Path) -> None:
    assert glob("^.*/Top/a$").judge("/x/top/A", at(tree)) is UNSURE
    assert glob("^.*/Top/a$").possibly("/x/top/A", at(tree))


@pytest.mark.parametrize("before", ["\u00a0", "\ufeff", " ", "\t", "'", '"', "`", "\u2003", " '"])
def test_what_readers_take_off_around_a_path_hides_no_path(tree: Path, before: str) -> None:
    facts = at(tree)
    inside, elsewhere = Constraint(within=(f"{tree}/out",)), Constraint(within=(f"{tree}/cwd",))
    for text in (f"{before}{tree}/out/secret", f"{before}{tree}/out/secret{before[::-1]}"):
        assert inside.judge(text, facts) is UNSURE
        assert inside.possibly(text, facts)
        assert elsewhere.judge(text, facts) is not YES
        assert glob("**/out/*").judge(text, facts) is UNSURE
        assert glob("**/out/*").possibly(text, facts)
    assert glob("docs/**").judge(f"{before}docs/a", facts) is not YES
    assert inside.possibly(f"{tree}/out{before}", facts)


def test_a_single_name_in_quotes_is_looked_at(tree: Path) -> None:
    assert glob(".env", "^\\.env$").possibly("'.env'", at(tree))
    assert Constraint(within=(f"{tree}/out",)).possibly('"link"', at(tree))
