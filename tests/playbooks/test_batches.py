"""Batches: in 2025-03-26 judged member by member, anywhere else refused (trap 4)."""

from __future__ import annotations

import pytest

from tests.playbooks.playbook import Playbook, handshaken
from tests.playbooks.policy import OPEN, policy

RULES = policy({"allow": ["read"], "ask": ["write"]}, server_requests={"allow": ["roots"]})


def test_what_is_permitted_goes_on_as_one_array_and_what_is_not_is_answered_in_one() -> None:
    handshaken(RULES, "2025-03-26").play("""
        >> [{"id": 1, "method": "tools/call", "params": {"name": "read"}}, {"id": 2, "method": "tools/call", "params": {"name": "evil"}}, {"id": 3, "method": "tools/call", "params": {"name": "write"}}, {"method": "notifications/roots/list_changed"}, {"id": 4, "method": "ping"}, {"id": null, "method": "ping"}, {"id": 5}, 7]
        -> [{"id": 1, "method": "tools/call", "params": {"name": "read"}}, {"method": "notifications/roots/list_changed"}, {"id": 4, "method": "ping"}]
        <- [{"id": 2, "error": {"code": -32602, "message": "Unknown tool: evil (ref r2)"}}, {"id": 3, "result": {"content": [{"type": "text", "text": "write was not run: the policy asks a person first, and this version of mcpwrap can't ask anybody. This is policy, not a fault; rephrasing won't help. Tell the user if it is needed. (ref r3)"}], "isError": true}}, {"id": 5, "error": {"code": -32600, "message": "an answer has either `result` or `error` (ref r5)"}}]
    """)  # noqa: E501 - one batch a line


def test_a_batch_of_which_nothing_is_permitted_does_not_reach_the_server() -> None:
    handshaken(RULES, "2025-03-26").play("""
        >> [{"id": 2, "method": "tools/call", "params": {"name": "evil"}}]
        <- [{"id": 2, "error": {"code": -32602, "message": "Unknown tool: evil (ref r1)"}}]
        !! call tools/call outcome=deny tool=evil
    """)


def test_the_servers_batch_is_judged_member_by_member() -> None:
    book = handshaken(RULES, "2025-03-26")
    book.play("""
        >> [{"id": 1, "method": "tools/list"}, {"id": 2, "method": "tools/call", "params": {"name": "read"}}]
        -> [{"id": 1, "method": "tools/list"}, {"id": 2, "method": "tools/call", "params": {"name": "read"}}]
        << [{"id": 1, "result": {"tools": [{"name": "read"}, {"name": "evil"}]}}, {"id": 9, "result": {}}, {"method": "notifications/tools/list_changed"}, {"id": 2, "result": 5}]
        <- [{"id": 1, "result": {"tools": [{"name": "read"}]}}, {"method": "notifications/tools/list_changed"}, {"id": 2, "error": {"code": -32603, "message": "mcpwrap: the server's answer can't be read: `result` must be an object"}}]
    """)  # noqa: E501
    book.play("""
        << [{"id": 1, "method": "roots/list"}, {"id": 2, "method": "sampling/createMessage"}]
        -> [{"id": 2, "error": {"code": -32601, "message": "sampling/createMessage is not permitted (ref r5)"}}]
        <- [{"id": 1, "method": "roots/list"}]
    """)


def test_initialize_in_a_batch_is_refused() -> None:
    handshaken(OPEN, "2025-03-26").play("""
        >> [{"id": 1, "method": "initialize", "params": {}}]
        <- [{"id": 1, "error": {"code": -32600, "message": "`initialize` in a batch (ref r1)"}}]
        >> [{"method": "initialize"}]
        !! notification initialize outcome=deny why~a request without an id
    """)


def test_an_empty_batch_is_recorded_and_dropped() -> None:
    handshaken(OPEN, "2025-03-26").play("""
        >> []
        !! notification outcome=deny why~an empty batch
    """)


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-06-18", "2025-11-25"])
def test_outside_that_revision_each_id_of_a_batch_is_refused(revision: str) -> None:
    handshaken(OPEN, revision).play("""
        >> [{"id": 1, "method": "tools/call", "params": {"name": "read"}}, {"method": "notifications/x"}, {"id": 2, "result": {}}, {"id": 3}, 5]
        <- 1 ! -32600 batches don't exist in this protocol revision
        <- 3 ! -32600 batches don't exist in this protocol revision
        !! notification outcome=deny why~batches don't exist
        !! call outcome=deny request_id=1
        !! call outcome=deny request_id=3
    """)  # noqa: E501


def test_before_the_handshake_and_in_a_modern_session_there_are_no_batches() -> None:
    Playbook(OPEN).play("""
        >> [{"id": 1, "method": "tools/call", "params": {"name": "read", @}}]
        <- 1 ! -32600 batches don't exist
        >> []
        !! notification why~an empty batch
    """)


def test_a_servers_batch_where_there_are_none_fails_the_calls_it_answers() -> None:
    handshaken(OPEN).play("""
        >> 1 ping
        -> 1 ping
        << [{"id": 1, "result": {}}, {"id": 1, "method": "ping"}, {"method": "notifications/message"}, 5]
        <- 1 ! -32603 a batch where the revision has none
        << []
    """)


def test_an_id_in_flight_cannot_be_used_again_inside_a_batch_either() -> None:
    book = handshaken(OPEN, "2025-03-26")
    book.play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        >> [{"id": 1, "method": "tools/call", "params": {"name": "b"}}, {"id": 2, "method": "tools/call", "params": {"name": "c"}}, {"id": 2, "method": "ping"}]
        -> [{"id": 2, "method": "tools/call", "params": {"name": "c"}}]
        == unrecorded r3
        <- 2 ! -32603 nothing was run
        << 1 = {"first": true}
        <- 1 = {"first": true}
    """)  # noqa: E501


def test_a_batch_whose_records_cannot_be_written_is_refused_as_a_whole() -> None:
    handshaken(OPEN, "2025-03-26").play("""
        >> [{"id": 1, "method": "tools/call", "params": {"name": "a"}}, {"id": 2, "method": "tools/list"}]
        -> [{"id": 1, "method": "tools/call", "params": {"name": "a"}}, {"id": 2, "method": "tools/list"}]
        == unrecorded r1
        <- 1 ! -32603 nothing was run, since it can't be recorded: the disk is full
        <- 2 ! -32603 nothing was run
    """)


def test_answers_in_a_batch_do_not_wait_for_the_record_of_a_question_in_it() -> None:
    handshaken(OPEN, "2025-03-26").play("""
        >> 1 ping
        -> 1 ping
        << [{"id": 1, "result": {}}, {"id": 1, "method": "roots/list"}]
        <- [{"id": 1, "result": {}}]
        <- [{"id": 1, "method": "roots/list"}]
    """)
