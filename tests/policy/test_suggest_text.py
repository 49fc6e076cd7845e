"""The whole text of a suggestion, and the edges of what is written how."""

from __future__ import annotations

import pytest

from mcpwrap.core.rules import Outcome
from mcpwrap.policy.suggest import Offered, advise_resources, advise_tools, name_for, portable, suggest

LONG = "It says " + "a lot " * 40
OFFERED = Offered(
    "Notes",
    (
        {"name": "read_a", "description": "Reads\n  a note."},
        {"name": "write_b", "description": LONG, "annotations": {"readOnlyHint": True}},
        {"name": "frobnicate", "annotations": {"readOnlyHint": True}},
        {"name": "delete_c", "description": 5},
        {"name": "r_*"},
    ),
    ({"name": "plan", "description": "Plans."}, {"name": "twice"}, {"name": "twice"}, {"name": "thrice"}),
    ({"uri": "docs://a", "description": "One."}, {"uri": "file:///x"}, {"uri": "nothing"}),
    ({"uriTemplate": "docs://{x}/b", "description": "Many."}, {"uriTemplate": "docs://[x]"}),
)

WRITTEN = """\
# Notes, as it described itself to `mcpwrap init`.
# Quotations are its own words, and nothing that was checked. Change what you like; it counts after `mcpwrap trust`.
[servers.notes]
command = ["/bin/notes", "é"]
inherit_env = ["A"]
# tools whose names say that they only read
allow = [
  "read_a",      # "Reads a note."
  "frobnicate",  # by the server's own word (readOnlyHint); its name doesn't say so
]
# the rest: a person is asked before each call
ask = [
  "write_b",   # its name says that it changes something, though the server says that it only reads (readOnlyHint); "It says a lot a lot a lot a lot a lot a lot a lot a lot a lot a lot a lot a lot a lot a lot a lot a…"
  "delete_c",
]
# left out: "r_*": its name has characters that mean something in a pattern; write a regular expression for it

[servers.notes.resources]
# what it listed
allow = [
  "docs://a",  # "One."
]
# files, and what templates reach: a person is asked
ask = [
  "file://${project}/**",  # files that it lists, those of the project
  "docs://**/b",           # template docs://{x}/b; "Many."
]
# left out: "nothing": its URI has characters that mean something in a pattern, or that are hidden
# left out: "docs://[x]": its template can't be written as a pattern

[servers.notes.prompts]
# prompts are texts that you choose
allow = [
  "plan",    # "Plans."
  "thrice",
]
# left out: "twice": it is offered twice under one name

# What it may ask of your client (sampling, elicitation, roots): nothing.
# [servers.notes.server_requests]
# allow = ["roots"]
"""  # noqa: E501

PLAIN = """\
# a server without a name, as it described itself to `mcpwrap init`.
# Quotations are its own words, and nothing that was checked. Change what you like; it counts after `mcpwrap trust`.
[servers.notes]
command = ["/bin/notes"]
# tools whose names say that they only read
allow = [
  "read_aread_aread_aread_aread_aread_aread_aread_a",  # "x"
  "read_b",                                       # "y"
]

# What it may ask of your client (sampling, elicitation, roots): nothing.
# [servers.notes.server_requests]
# allow = ["roots"]
"""


def test_a_suggestion_has_its_known_text() -> None:
    assert suggest("notes", ["/bin/notes", "é"], OFFERED, inherit_env=["A"]).text == WRITTEN


def test_a_long_name_moves_no_comment_out_of_sight() -> None:
    offered = Offered("", ({"name": "read_a" * 8, "description": "x"}, {"name": "read_b", "description": "y"}))
    assert suggest("notes", ["/bin/notes"], offered).text == PLAIN


@pytest.mark.parametrize(("length", "effect"), [(1024, Outcome.ALLOW), (1025, None)])
def test_a_uri_has_a_bound(length: int, effect: Outcome | None) -> None:
    [advice] = advise_resources([{"uri": "docs://".ljust(length, "x")}], [])
    assert advice.effect is effect
    [advice] = advise_resources([], [{"uriTemplate": "docs://".ljust(length, "x")}])
    assert advice.effect is (None if effect is None else Outcome.ASK)


def test_a_name_has_a_bound() -> None:
    assert [advise_tools([{"name": "read_".ljust(length, "x")}])[0].effect for length in (128, 129)] == [Outcome.ALLOW, None]


def test_fifty_resources_are_written_one_by_one_and_more_by_scheme() -> None:
    uris = [{"uri": f"docs://a:{i}"} for i in range(50)]
    assert len(advise_resources(uris, [])) == 50
    assert len(advise_resources([*uris, *uris], [])) == 50
    more = [*uris, {"uri": "notes://a"}, {"uri": "file:///a"}, {"uri": "file:///b"}]
    assert [a.name for a in advise_resources(more, [])] == ["docs:**", "notes:**", "file://${project}/**"]


def test_a_template_that_stands_there_twice_is_written_once() -> None:
    assert [a.name for a in advise_resources([], [{"uriTemplate": "docs://{a}"}, {"uriTemplate": "docs://{b}"}])] == ["docs://**"]


def test_only_a_whole_folder_is_put_in() -> None:
    assert portable(("/", "--a=/p/b=c", "${x}/a", "/p"), root="/", home="/p") == ("/", "--a=${home}/b=c", "${x}/a", "${home}")
    assert portable(("${x}/a",), root="${x}", home="") == ("${x}/a",)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["/bin/echo", "notes"], "notes"),
        (["node", "/x/mcp-notes/"], "notes"),
        (["NOTES_SERVER.PY"], "notes"),
        (["MCP-Server-Notes.EXE"], "notes"),
        (["my notes (old) mcp!"], "my-notes-old-mcp"),
        (["mcp-server-" + "n" * 40], "n" * 32),
        (["..mcp.."], "mcp"),
    ],
)
def test_a_name_is_short_plain_and_small(command: list[str], name: str) -> None:
    assert name_for(command) == name


def test_a_word_that_only_some_tools_begin_with_is_what_they_do() -> None:
    assert [a.effect for a in advise_tools([{"name": "read_a"}, {"name": "get_b"}])] == [Outcome.ALLOW, Outcome.ALLOW]
    assert [a.effect for a in advise_tools([{"name": "git_read"}, {"name": "hub_get"}])] == [Outcome.ASK, Outcome.ASK]
