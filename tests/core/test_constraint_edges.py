"""The edges of constraints: what mutation showed that nothing else noticed."""

from pathlib import Path

import pytest

from mcpwrap.core.constraint import Constraint, Truth
from mcpwrap.core.facts import NoFacts
from mcpwrap.core.paths import PATH_LIMIT
from mcpwrap.core.patterns import Pattern
from tests.core.test_constraint import NO, NOWHERE, UNSURE, YES, at, glob, tree

__all__ = ["tree"]


def test_a_text_that_is_too_long_for_a_path_is_judged_as_a_text() -> None:
    long = "a" * (PATH_LIMIT + 1)
    assert glob("b*", "a*").possibly(long, NOWHERE)
    assert not Constraint(within=("/a",), glob=glob("a*").glob).possibly(long, NOWHERE)
    assert not glob("b*").possibly(long, NOWHERE)


def test_the_longest_path_is_a_path() -> None:
    longest = "b/" * ((PATH_LIMIT - 4) // 2) + ".ENV"
    assert len(longest) == PATH_LIMIT
    assert glob("**/.env").possibly(longest, NoFacts())
    assert not glob("**/.env").possibly("b" + longest, NoFacts())
    assert glob("a*").judge("a" * PATH_LIMIT, NOWHERE) is YES
    assert glob("a*").judge("a" * (PATH_LIMIT + 1), NOWHERE) is UNSURE


@pytest.mark.parametrize("value", [5, None, True, {"a": "b"}, "no url"])
def test_a_host_is_read_from_a_url_alone(value: object) -> None:
    assert Constraint(host=("a.com",)).judge(value, NOWHERE) is UNSURE


@pytest.mark.parametrize("value", [5, None, True, {"a": "b"}])
def test_a_path_is_a_text(value: object) -> None:
    assert Constraint(within=("/",)).judge(value, NOWHERE) is UNSURE


def test_where_the_folder_is_known_a_relative_path_is_inside_or_it_isnt(tree: Path) -> None:
    inner = Constraint(within=(str(tree / "out"),))
    assert not inner.possibly("./docs/deep", at(tree))
    assert inner.possibly("./docs/link", at(tree))


def test_an_argument_is_a_path_whatever_it_looks_like_and_any_other_string_isnt(tree: Path) -> None:
    made = glob(f"{tree}/cwd/new*")
    assert made.judge("newname", at(tree)) is UNSURE
    assert not made.possibly("newname", at(tree))
    assert made.judge("other", at(tree)) is NO


def test_a_stream_that_is_cut_off_must_match_where_the_pattern_knows_none() -> None:
    assert glob("docs/*.txt").judge("docs/x:y.txt", NOWHERE) is UNSURE
    assert glob("docs/*.txt").judge("docs/x.txt:y.txt", NOWHERE) is YES
    assert glob("repo:*", "x").judge("repo:acme", NOWHERE) is YES


def test_what_goes_up_by_itself_matches_nothing_surely(tree: Path) -> None:
    for text in ("..", "../", "../.."):
        assert glob("**").judge(text, at(tree)) is UNSURE


def test_a_pattern_in_either_normal_form_is_for_names_in_it() -> None:
    assert glob("docs/u\u0308*").judge("docs/u\u0308.txt", NOWHERE) is YES
    assert glob("docs/\u00fc*").judge("docs/\u00fc.txt", NOWHERE) is YES
    assert glob("docs/\u00fc*").judge("docs/u\u0308.txt", NOWHERE) is UNSURE


def test_a_name_in_other_letters_is_no_match_by_itself() -> None:
    made = Constraint(glob=(Pattern.parse("docs/**", line=0, path=True),))
    assert made.judge("docs/é", NoFacts()) is Truth.YES
    assert made.judge("docs/../é", NoFacts()) is Truth.UNSURE


def test_one_of_several_patterns_is_enough_in_another_case() -> None:
    made = Constraint(glob=tuple(Pattern.parse(text, line=0, path=True) for text in ("zzz*", "*secret*", "docs/")))
    for text in ("MY SECRET", "ZZZ", "DOCS"):
        assert made.possibly(text, NoFacts())
    assert not made.possibly("MY OTHER", NoFacts())


@pytest.mark.parametrize("name", ["e", "é"])
def test_what_leads_out_of_a_pattern_is_none_in_any_letters(tree: Path, name: str) -> None:
    (tree / "cwd/docs" / name).write_text("")
    (tree / "cwd" / name).write_text("")
    assert glob("docs/*").judge(f"docs/{name}", at(tree)) is YES
    assert glob("docs/**").judge(f"docs/../{name}", at(tree)) is not YES
    assert glob("file:///**").judge(f"FILE://{tree}/cwd/{name}", at(tree)) is not YES
