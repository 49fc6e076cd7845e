"""Lines that can't be read: never forwarded, answered where an id is certain (traps 1, 2, 3 and 10)."""

from __future__ import annotations

import pytest

from mcpwrap.core.commands import Record
from mcpwrap.core.events import ClientLine, ServerLine
from tests.playbooks.playbook import handshaken
from tests.playbooks.policy import OPEN, policy

SAFE = policy({"allow": ["safe"]})


def test_a_carriage_return_smuggles_nothing() -> None:
    """Trap 1."""
    inner = b'{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"evil"}}'
    line = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"data":\r' + inner + b"\r}}"
    book = handshaken(SAFE)
    for event in (ClientLine(line, 1.0), ServerLine(line, 1.0)):
        (only,) = book.session.handle(event)
        assert isinstance(only, Record)
        assert "carriage return" in only.entry.reasons[0].text


def test_a_second_name_is_refused_and_the_call_is_answered() -> None:
    """Trap 2: the last of two would be executed."""
    handshaken(SAFE).play("""
        >> |{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe","name":"evil"}}
        <- 1 ! -32600 a key stands twice in one object (ref r1)
        !! call outcome=deny status=refused request_id=1 why~twice
        >> |{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping"}
        <- 1 ! -32600 twice
        >> |{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}
        !! notification outcome=deny why~twice
    """)


@pytest.mark.parametrize("extra", ['"result": {}', '"error": {"code": 1, "message": "x"}'])
def test_a_request_disguised_as_an_answer_is_refused_from_either_side(extra: str) -> None:
    """Trap 3."""
    handshaken(OPEN).play(f"""
        << 5 roots/list
        <- 5 roots/list
        >> {{"id": 5, "method": "tools/call", "params": {{"name": "evil"}}, {extra}}}
        <- 5 ! -32600 a call and an answer at once
        >> 1 ping
        -> 1 ping
        << {{"id": 1, "method": "roots/list", {extra}}}
        <- 1 ! -32603 the server's answer can't be read: a message can't be a call and an answer at once
    """)


@pytest.mark.parametrize("name", ['"Name": "evil"', '"NAME": "evil"', '"name ": 1, "Name": "evil"', '"Arguments": {}'])
def test_names_that_differ_only_in_case_are_refused(name: str) -> None:
    """Trap 10."""
    handshaken(OPEN).play(f"""
        >> 1 tools/call {{"name": "safe", {name}}}
        <- 1 ! -32602 differ only in case
    """)


@pytest.mark.parametrize("id", ["null", "true", "1.0", "[1]", "{}"])
def test_an_id_that_is_none_is_refused_and_not_answered(id: str) -> None:
    """Trap 10: elsewhere such a call is taken for a notification."""
    handshaken(OPEN).play(f"""
        >> {{"id": {id}, "method": "tools/call", "params": {{"name": "safe"}}}}
        !! notification direction=client outcome=deny why~`id` must be a string or an integer
    """)


def test_what_cannot_be_read_of_an_id_in_flight_is_not_answered() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        >> {"id": 1, "method": "tools/call", "params": []}
        !! call outcome=deny why~`params` must be an object
        << 1 = {}
        <- 1 = {}
    """)


def test_junk_on_the_servers_output_is_dropped_and_the_session_goes_on() -> None:
    handshaken(OPEN).play("""
        << |Server listening on stdio
        !! notification direction=server outcome=deny why~not valid JSON
        << |123
        << |\x1b[31mwarning\x1b[0m
        >> 1 ping
        -> 1 ping
        << 1 = {}
        <- 1 = {}
    """)


@pytest.mark.parametrize(
    "line",
    [
        '{"jsonrpc":"2.0","id":1,"result":{"a":1,"a":2}}',
        '{"jsonrpc":"2.0","id":1,"result":{"a":NaN}}',
        '{"jsonrpc":"2.0","id":1,"result":5}',
        '{"jsonrpc":"1.0","id":1,"result":{}}',
        '{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}',
        '{"jsonrpc":"2.0","id":1}',
    ],
)
def test_an_answer_that_cannot_be_read_fails_its_call(line: str) -> None:
    handshaken(OPEN).play(f"""
        >> 1 tools/call {{"name": "a"}}
        -> 1 tools/call {{"name": "a"}}
        << |{line}
        <- 1 ! -32603 the server's answer can't be read
        !! response direction=server outcome=deny status=refused
        !! response tools/call status=error ref=r1
    """)


def test_an_unreadable_answer_of_another_kind_of_id_fails_no_call() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        << {"id": "1", "result": 5}
        >> notifications/cancelled {"requestId": 1}
        -> notifications/cancelled {"requestId": 1}
        << {"id": 1, "result": 5}
        !! response direction=server outcome=deny
        !! response tools/call status=cancelled ref=r1
    """)


@pytest.mark.parametrize("name", ["InputRequests", "TOOLS", "Content", "\u017ftructuredContent"])
def test_a_result_with_a_known_name_in_another_case_fails_its_call(name: str) -> None:
    handshaken(OPEN).play(f"""
        >> 1 tools/list
        -> 1 tools/list
        << 1 = {{"tools": [], "{name}": {{}}}}
        <- 1 ! -32603 a name in the result is spelled in another case
        >> 2 tools/list
        -> 2 tools/list
        << 2 = {{"tools": [], "vendor": {{"Tools": 1}}}}
        <- 2 = {{"tools": [], "vendor": {{"Tools": 1}}}}
    """)


def test_a_reference_with_a_known_name_in_another_case_is_refused() -> None:
    handshaken(OPEN).play("""
        >> 1 completion/complete {"ref": {"type": "ref/prompt", "name": "a", "Name": "b"}}
        <- 1 ! -32602 a name in `ref` is spelled in another case
    """)
