"""The words of a name, and what they say of a tool."""

from __future__ import annotations

import pytest

from mcpwrap.policy.names import changes, reads, words_of


@pytest.mark.parametrize(
    ("name", "shared", "words"),
    [
        ("readFile2", "", ("read", "file", "2")),
        ("HTTPServer", "", ("http", "server")),
        ("git_show", "git", ("show",)),
        ("git", "git", ("git",)),
        ("hub_show", "git", ("hub", "show")),
        ("read_show", "read", ("read", "show")),
        ("delete_show", "delete", ("delete", "show")),
        ("xx_show", "", ("xx", "show")),
    ],
)
def test_a_name_has_these_words(name: str, shared: str, words: tuple[str, ...]) -> None:
    assert words_of(name, shared=shared) == words
    if not shared:
        assert words_of(name) == words


def test_no_words_say_nothing() -> None:
    assert not reads(())
    assert not changes(())
