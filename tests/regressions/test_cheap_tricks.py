"""Tricks that a review found: another spelling of a denied thing, and small input that costs much."""

from __future__ import annotations

import pytest

from mcpwrap.core.commands import Record, ToClient
from mcpwrap.core.events import ClientLine, ServerLine
from mcpwrap.core.framing import LineReader
from mcpwrap.core.jsonrpc import BATCH_LIMIT, CONTAINER_LIMIT, ID_LIMIT, WireError, encode, parse
from mcpwrap.core.listing import filtered
from mcpwrap.core.rules import Outcome, Pattern, PatternError, Rule, RuleTable, ServerRules
from mcpwrap.core.session import Session
from mcpwrap.core.state import IN_FLIGHT_LIMIT, NOISE_LIMIT
from mcpwrap.core.uris import ambiguity


def table(*lists: tuple[Outcome, str], uri: bool = False) -> RuleTable:
    rules = tuple(Rule(effect, (Pattern.parse(text, line=1, uri=uri),), (), "mcpwrap.toml", admits=True) for effect, text in lists)
    return RuleTable("resource" if uri else "tool", rules, "mcpwrap.toml", 1)


@pytest.mark.parametrize(
    "uri",
    [
        "file:///%73ecret/k",
        "file:////secret/k",
        "FILE:///secret/k",
        "file:/secret/k",
        "file://localhost/secret/k",
        "file:///a//secret/k",
        "https://HOST.example/secret",
        "docs://" + "x" * 5000,
    ],
)
def test_another_spelling_of_a_denied_resource_is_refused(uri: str) -> None:
    assert ambiguity(uri) is not None


@pytest.mark.parametrize(
    "uri", ["file:///secret/k", "docs://a/b%20c", "demo://resource/static/document/a.md", "https://h.example/?q=%2Fa"]
)
def test_a_plain_uri_is_judged(uri: str) -> None:
    assert ambiguity(uri) is None


def test_a_name_that_is_no_unicode_text_is_denied_and_breaks_nothing() -> None:
    for pattern in ("^.*$", "a*b*c", "*"):
        assert table((Outcome.ALLOW, pattern)).decide("\ud800").denied


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("a*b", "ab", True),
        ("a*b", "a", False),
        ("a*a", "a", False),
        ("*ab*ab*", "abab", True),
        ("*ab*ab*", "aab", False),
        ("a*bc*d", "abcbcd", True),
        ("*_file", "read_file", True),
        ("*_file", "read_files", False),
    ],
)
def test_a_glob_takes_its_parts_in_order(pattern: str, text: str, *, matches: bool) -> None:
    parsed = Pattern.parse(pattern, line=1)
    assert parsed.matches(text) is matches
    assert parsed.covers(text) is matches


def test_a_long_list_of_long_uris_is_judged_in_steps_that_do_not_multiply() -> None:
    rules = table(
        (Outcome.ALLOW, "file:///**"), (Outcome.DENY, "**/.env"), (Outcome.DENY, "**/.git/**"), (Outcome.DENY, "**/*.pem"), uri=True
    )
    assert not any(rules.decide(f"file:///{'a/' * 2000}{n}").denied for n in range(2000))
    assert rules.decide("file:///x/.git/config").denied
    assert rules.decide("file:///x/y.pem").denied
    assert not rules.decide("file:///x/y.pem/z").denied


def test_a_batch_of_tiny_members_is_refused_as_a_whole() -> None:
    with pytest.raises(WireError, match="more than"):
        parse(b"[" + b",".join([b"1"] * (BATCH_LIMIT + 1)) + b"]")


def test_an_id_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(WireError, match="an `id` of more than"):
        parse(b'{"jsonrpc":"2.0","id":"%b","method":"ping"}' % (b"x" * (ID_LIMIT + 1)))


def test_an_id_is_recovered_beside_an_endless_integer() -> None:
    with pytest.raises(WireError) as caught:
        parse(b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a","arguments":{"n":%b}}}' % (b"9" * 5000))
    assert caught.value.id == 7


def test_a_line_that_comes_in_crumbs_takes_the_room_of_a_line() -> None:
    reader = LineReader()
    line = b"x" * 20_000
    assert not any(reader.feed(line[i : i + 2]) for i in range(0, len(line), 2))
    assert reader.feed(b"\n") == [line]


def test_a_result_with_another_spelling_of_a_judged_name_does_not_pass() -> None:
    allow = table((Outcome.ALLOW, "*"))
    rules = ServerRules("s", allow, allow, allow, RuleTable("server request", (), "mcpwrap.toml", 1), allow)
    results: list[dict[str, object]] = [{"InputRequests": {}}, {"tools": [], "Tools": [{"name": "evil"}]}]
    for result in results:
        session = Session(server="s", refs="aaaa", rules=rules)
        session.handle(ClientLine(b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', 0.0))
        out = session.handle(ServerLine(encode({"jsonrpc": "2.0", "id": 1, "result": result}), 0.0))
        lines = [command.line for command in out if isinstance(command, ToClient)]
        assert len(lines) == 1
        assert b'"error"' in lines[0]
        assert b"evil" not in lines[0]


def test_a_listed_item_with_two_spellings_of_its_name_is_taken_out() -> None:
    assert filtered({"tools": [{"name": "ok", "Name": "evil"}]}, "tools", "name", lambda _: True)[0] == {"tools": []}


def test_a_line_of_countless_objects_outside_the_fast_tier_is_refused_before_it_is_read() -> None:
    with pytest.raises(WireError, match="objects and arrays"):
        parse(b"[" + b"{ }," * (CONTAINER_LIMIT + 1) + b"1]")


def test_calls_in_flight_are_bounded() -> None:
    allow = table((Outcome.ALLOW, "*"))
    session = Session(server="s", refs="aaaa", rules=ServerRules("s", allow, allow, allow, allow, allow))
    for n in range(IN_FLIGHT_LIMIT):
        session.handle(ClientLine(b'{"jsonrpc":"2.0","id":%d,"method":"tools/list"}' % n, 0.0))
    out = session.handle(ClientLine(b'{"jsonrpc":"2.0","id":"one more","method":"tools/list"}', 0.0))
    assert [type(command).__name__ for command in out] == ["Record", "ToClient"]


@pytest.mark.parametrize("pattern", ["^delete_.*", "delete_.*$"])
def test_half_a_regular_expression_is_an_error_and_not_a_glob_that_matches_nothing(pattern: str) -> None:
    with pytest.raises(PatternError, match=r"write `\^delete_\.\*\$`"):
        Pattern.parse(pattern, line=1)


def test_an_answer_that_is_held_back_has_its_record_in_a_flood_too() -> None:
    allow = table((Outcome.ALLOW, "*"))
    session = Session(server="s", refs="aaaa", rules=ServerRules("s", allow, allow, allow, allow, allow))
    for n in range(NOISE_LIMIT * 2):
        session.handle(ServerLine(b'{"jsonrpc":"2.0","id":%d,"result":{}}' % n, 0.0))
    session.handle(ClientLine(b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', 0.0))
    out = session.handle(ServerLine(b'{"jsonrpc":"2.0","id":1,"result":{"tools":7}}', 0.0))
    records = [command.entry for command in out if isinstance(command, Record)]
    lines = [command.line for command in out if isinstance(command, ToClient)]
    assert len(lines) == 1
    assert any(record.ref and f"(ref {record.ref})".encode() in lines[0] for record in records)
