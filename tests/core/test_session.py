"""The session's own surface; its stories are in tests/playbooks, its invariants in tests/properties."""

from __future__ import annotations

import pytest

from mcpwrap.core.commands import Record, ToClient, ToServer
from mcpwrap.core.events import ClientLine, ServerStarted
from mcpwrap.core.session import Session
from tests.playbooks.policy import OPEN


def test_a_session_without_rules_is_held_and_says_why() -> None:
    session = Session(server="files", refs="r", hold="not trusted")
    assert session.held == "not trusted"
    session.handle(ServerStarted(OPEN, 0.0))
    assert session.held == ""


def test_a_call_goes_out_only_with_the_ref_of_the_record_that_permits_it() -> None:
    session = Session(server="files", refs="r", rules=OPEN)
    record, sent = session.handle(ClientLine(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}', 0.0))
    assert isinstance(record, Record)
    assert isinstance(sent, ToServer)
    assert sent.refs == (record.entry.ref,)


def test_what_is_sent_is_our_encoding_and_never_the_bytes_that_came() -> None:
    session = Session(server="files", refs="r", rules=OPEN)
    line = b'{ "id" : 1, "jsonrpc":"2.0","method":"tools\\/call","params":{"name":"\\u0061","arguments":{"n":1.0e2,"x":"a\xc2\x85"}} } \r'  # noqa: E501
    sent = session.handle(ClientLine(line, 0.0))[-1]
    assert isinstance(sent, ToServer)
    assert (
        sent.line == b'{"id":1,"jsonrpc":"2.0","method":"tools/call","params":{"name":"a","arguments":{"n":100.0,"x":"a\\u0085"}}}'
    )


@pytest.mark.parametrize("id", ["1", '"a\\u2028b"', "-5", str(10**30)])
def test_an_id_comes_back_as_it_was(id: str) -> None:
    session = Session(server="files", refs="r", rules=OPEN)
    (_, refusal) = session.handle(ClientLine(f'{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{}}}}'.encode(), 0.0))
    assert isinstance(refusal, ToClient)
    assert refusal.line.startswith(f'{{"jsonrpc":"2.0","id":{id},'.encode())
