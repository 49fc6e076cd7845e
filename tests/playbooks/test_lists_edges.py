"""The record of a list, and our own tool beside the server's."""

from __future__ import annotations

from tests.playbooks.playbook import handshaken
from tests.playbooks.policy import OPEN
from tests.playbooks.test_held import OWN


def test_the_record_of_a_list_says_what_was_held_and_nothing_where_nothing_was() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/list
        -> 1 tools/list
        << 1 = {"tools": [{"name": "a"}]}
        <- 1 = {"tools": [{"name": "a"}]}
        !! list tools/list direction=server status=ok outcome=allow request_id=1 note= counts={'total':1,'shown':1}
        >> 2 tools/list
        -> 2 tools/list
        << 2 = {"tools": [{"name": "a"}, {"name": "b"}]}
        ** hidden until accepted: b
        <- 2 = {"tools": [{"name": "a"}]}
        !! list tools/list request_id=2 counts={'total':2,'shown':1} note=helduntilaccepted:b(thetool`b`isnotamongthosethatwereaccepted)
        >> 3 resources/list
        -> 3 resources/list
        << 3 = {"resources": []}
        <- 3 = {"resources": []}
        !! list resources/list note=
    """)  # noqa: E501


def test_our_own_tool_stands_behind_those_of_the_server() -> None:
    book = handshaken(OPEN, notice="something waits")
    book.play("""
        >> 1 tools/list
        -> 1 tools/list
        << 1 = {"tools": [{"name": "a"}], "nextCursor": "x"}
        <- 1 = {"tools": [{"name": "a"}], "nextCursor": "x"}
    """)
    book.play(f"""
        >> 2 tools/list {{"cursor": "x"}}
        -> 2 tools/list {{"cursor": "x"}}
        << 2 = {{"tools": [{{"name": "b"}}]}}
        <- 2 = {{"tools": [{{"name": "b"}}, {OWN}]}}
    """)
