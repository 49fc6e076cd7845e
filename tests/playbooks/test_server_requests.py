"""What a server asks of the client: sampling, elicitation, roots; and what the client answers."""

from __future__ import annotations

import pytest

from mcpwrap.core.commands import Record
from mcpwrap.core.events import ClientLine, ServerLine
from mcpwrap.core.state import IN_FLIGHT_LIMIT
from tests.playbooks.playbook import Playbook, handshaken
from tests.playbooks.policy import CLOSED, OPEN, policy

RULES = policy(server_requests={"allow": ["roots"], "log": ["elicitation"], "ask": ["sampling"]})


def test_a_permitted_question_is_recorded_passed_on_and_its_answer_passed_back() -> None:
    handshaken(RULES).play("""
        << 0 roots/list {"_meta": {"progressToken": 1}}
        <- 0 roots/list {"_meta": {"progressToken": 1}}
        !! call roots/list direction=server outcome=allow ref=r1 request_id=0
        >> 0 = {"roots": [{"uri": "file:///a"}]}
        -> 0 = {"roots": [{"uri": "file:///a"}]}
        !! response roots/list direction=client status=ok ref=r1 duration_ms=-500.0
        << 1 elicitation/create {"message": "?", "requestedSchema": {"type": "object", "properties": {"n": {"type": "string"}}}}
        <- 1 elicitation/create {"message": "?", "requestedSchema": {"type": "object", "properties": {"n": {"type": "string"}}}}
        !! call elicitation/create outcome=log
        >> 1 ! -32000 no
        -> 1 ! -32000 no
        !! response elicitation/create status=error
    """)


@pytest.mark.parametrize("method", ["sampling/createMessage", "tools/call", "tasks/list", "notifications/cancelled", "vendor/x"])
def test_what_is_not_permitted_is_answered_to_the_server(method: str) -> None:
    handshaken(RULES).play(f"""
        << 1 {method} {{}}
        -> 1 ! -32601 {method} is not permitted (ref r1)
        !! call {method} direction=server status=refused ref=r1
    """)


def test_where_elicitation_is_closed_it_is_no_method_and_isnt_declined() -> None:
    handshaken(CLOSED).play("""
        << 1 elicitation/create {"message": "?", "requestedSchema": {"type": "object", "properties": {"n": {"type": "string"}}}}
        -> 1 ! -32601 elicitation/create is not permitted (ref r1)
        !! call elicitation/create direction=server request_id=1 why~no rule admits this server request
    """)


def test_the_record_of_a_question_has_its_words_in_full_where_it_is_logged() -> None:
    book = handshaken(policy(server_requests={"allow": ["sampling"], "log": ["elicitation"]}))
    long = "w" * 300
    form = '"requestedSchema": {"type": "object", "properties": {"n": {"type": "string"}}}'
    book.play(f"""
        << 1 elicitation/create {{"message": "{long}", {form}}}
        <- 1 elicitation/create {{"message": "{long}", {form}}}
        << 2 sampling/createMessage {{"systemPrompt": "{long}"}}
        <- 2 sampling/createMessage {{"systemPrompt": "{long}"}}
        << 3 roots/list {{"x": "{long}"}}
        -> 3 ! -32601 roots/list is not permitted
    """)
    logged, allowed, refused = book.records[-3:]
    assert logged.arguments["message"] == long
    assert [reason.text for reason in logged.reasons] == ['log = ["elicitation"]']
    assert allowed.arguments["systemPrompt"] == refused.arguments["x"] == long[:256] + "… (300 characters)"
    assert (refused.request_id, refused.outcome) == (3, "deny")


def test_elicitation_does_not_exist_before_2025_06_18() -> None:
    handshaken(OPEN, "2025-03-26").play("""
        << 1 elicitation/create {}
        -> 1 ! -32601 elicitation/create is not permitted
        !! call elicitation/create outcome=deny why~no such request here
    """)


def test_a_ping_of_the_servers_passes_without_a_record() -> None:
    book = handshaken(CLOSED)
    before = len(book.records)
    book.play("""
        << 1 ping
        <- 1 ping
        >> 1 = {}
        -> 1 = {}
    """)
    assert len(book.records) == before


def test_a_server_of_a_stateless_session_may_ask_nothing() -> None:
    """The client may not answer, so nobody does."""
    Playbook(OPEN).play("""
        >> 1 tools/list {@}
        -> 1 tools/list {@}
        << 1 roots/list
        !! call roots/list direction=server outcome=deny why~a stateless session
        << 1 ping
        !! call ping outcome=deny
    """)


@pytest.mark.parametrize("answer", ["7", '"5"', '"05"'])
def test_a_client_that_answers_nothing_that_was_asked_is_not_heard(answer: str) -> None:
    handshaken(OPEN).play(f"""
        << 5 roots/list
        <- 5 roots/list
        >> {answer} = {{"roots": []}}
        !! response direction=client outcome=deny status=refused why~nothing that was asked
        >> {answer} ! -32000 no
        !! response outcome=deny
        >> 5 = {{"roots": []}}
        -> 5 = {{"roots": []}}
        >> 5 = {{"roots": []}}
        !! response outcome=deny
    """)


def test_a_servers_id_in_flight_cannot_be_used_again() -> None:
    handshaken(OPEN).play("""
        << 5 roots/list
        <- 5 roots/list
        << "5" sampling/createMessage
        !! call sampling/createMessage outcome=deny why~an id that is in flight
    """)


def test_the_two_directions_have_ids_of_their_own() -> None:
    handshaken(OPEN).play("""
        >> 1 ping
        -> 1 ping
        << 1 roots/list
        <- 1 roots/list
        >> 1 = {"roots": []}
        -> 1 = {"roots": []}
        << 1 = {}
        <- 1 = {}
    """)


def test_an_unreadable_question_fails_no_call_of_the_same_id() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        << {"id": 1, "method": "roots/list", "params": []}
        !! notification direction=server outcome=deny why~`params` must be an object
        << |{"jsonrpc":"2.0","id":1,"method":"roots/list","params":{"a":1,"a":2}}
        !! notification direction=server outcome=deny why~twice
        << 1 = {}
        <- 1 = {}
    """)


def test_a_clients_unreadable_answer_fails_the_servers_question() -> None:
    handshaken(OPEN).play("""
        << 5 roots/list
        <- 5 roots/list
        >> {"id": 5, "result": []}
        -> 5 ! -32603 the client's answer can't be read: `result` must be an object
        >> {"id": 5, "result": []}
        !! call outcome=deny why~`result` must be an object
        >> {"id": "x", "result": []}
        >> |{"jsonrpc":"2.0","id":null,"result":{},"result":{}}
        << 5 roots/list
        <- 5 roots/list
        >> {"id": "05", "result": []}
        >> |{"jsonrpc":"2.0","id":5,"error":{"code":1,"code":2,"message":""}}
        -> 5 ! -32603 twice
        !! call outcome=deny why~twice
        !! response roots/list status=error direction=client
    """)


def test_url_elicitation_by_error_passes_with_permission() -> None:
    error = '{"code": -32042, "message": "open it", "data": {"elicitations": ['
    error += '{"mode": "url", "url": "https://a.example", "elicitationId": "e", "message": "open it"}]}}'
    handshaken(OPEN).play(f"""
        >> 1 tools/call {{"name": "a"}}
        -> 1 tools/call {{"name": "a"}}
        << {{"id": 1, "error": {error}}}
        <- {{"id": 1, "error": {error}}}
        << notifications/elicitation/complete {{"elicitationId": "e"}}
        <- notifications/elicitation/complete {{"elicitationId": "e"}}
    """)


@pytest.mark.parametrize(
    "error",
    [
        '{"code": -32042, "message": "open it", "data": {"elicitations": [{"mode": "url", "url": "https://a.example"}]}}',
        '{"code": -32042, "message": "open it"}',
        '{"code": -32000, "message": "open it", "data": {"elicitations": []}}',
    ],
)
def test_url_elicitation_by_error_is_taken_out_without_permission(error: str) -> None:
    """Trap 5."""
    handshaken(policy({"allow": ["*"]}, resources={"allow": ["*"]})).play(f"""
        >> 1 tools/call {{"name": "a"}}
        -> 1 tools/call {{"name": "a"}}
        << {{"id": 1, "error": {error}}}
        <- 1 ~ mcpwrap refused a: the server wants to open a URL, which isn't permitted. This is policy
        !! response tools/call status=refused ref=r1
        !! response tools/call outcome=deny ref=r2 tool=a
        >> 2 resources/read {{"uri": "a:b"}}
        -> 2 resources/read {{"uri": "a:b"}}
        << {{"id": 2, "error": {error}}}
        <- 2 ! -31403 the server wants to open a URL, which isn't permitted
        << notifications/elicitation/complete {{"elicitationId": "e"}}
        !! notification outcome=deny why~`elicitation` is not permitted
    """)


def test_the_clients_changed_roots_are_told_only_where_roots_are_permitted() -> None:
    handshaken(OPEN).play("""
        >> notifications/roots/list_changed
        -> notifications/roots/list_changed
    """)
    handshaken(CLOSED).play("""
        >> notifications/roots/list_changed
        !! notification notifications/roots/list_changed outcome=deny why~`roots` is not permitted
    """)


def test_open_questions_end_with_the_session() -> None:
    open_ones = """
        << 5 roots/list
        <- 5 roots/list
        << 6 ping
        <- 6 ping
    """
    handshaken(OPEN).play(f"""
        {open_ones}
        == gone
        !! response roots/list status=lost ref=r1 direction=client
    """)
    handshaken(OPEN).play(f"""
        {open_ones}
        == exited it died
        <- notifications/tools/list_changed
        <- notifications/prompts/list_changed
        <- notifications/resources/list_changed
        !! response roots/list status=lost ref=r1 direction=client
        >> 5 = {{"roots": []}}
        !! response outcome=deny why~nothing that was asked
    """)


def test_a_question_that_cannot_be_recorded_is_answered_to_the_server() -> None:
    handshaken(OPEN).play("""
        << 5 roots/list
        <- 5 roots/list
        == unrecorded r1
        -> 5 ! -32603 nothing was asked, since it can't be recorded
        << 5 roots/list
        <- 5 roots/list
    """)


def test_what_cant_be_recorded_ends_no_other_question() -> None:
    handshaken(OPEN).play("""
        << 1 roots/list
        <- 1 roots/list
        << 2 roots/list
        <- 2 roots/list
        == unrecorded r1
        -> 1 ! -32603 can't be recorded
        >> 2 = {"roots": []}
        -> 2 = {"roots": []}
    """)


def test_records_of_answers_say_whose_they_are_how_long_they_took_and_how_large_they_were() -> None:
    book = handshaken(OPEN)
    book.play("""
        << 7 roots/list
        <- 7 roots/list
    """)
    book.session.handle(ClientLine(b'{"jsonrpc":"2.0","id":7,"result":{"roots":[]}}', 1.6543214))
    (entry,) = [
        c.entry
        for c in book.session.handle(ServerLine(b'{"jsonrpc":"2.0","id":8,"method":"roots/list"}', 2.0))
        if isinstance(c, Record)
    ]
    assert entry.request_id == 8
    answered = book.session.handle(ClientLine(b'{"jsonrpc":"2.0","id":8,"result":{"roots":[]}}', 2.0123456))
    (entry,) = [c.entry for c in answered if isinstance(c, Record)]
    assert (entry.request_id, entry.duration_ms, entry.result_bytes) == (8, 12.346, 46)
    book.play("""
        << 9 roots/list
        <- 9 roots/list
        == exited it died
        <- notifications/tools/list_changed
        <- notifications/prompts/list_changed
        <- notifications/resources/list_changed
        !! response roots/list status=lost request_id=9 duration_ms=500.0
        >> 9 = {}
        !! response direction=client request_id=9 why~nothing that was asked
    """)


def test_any_other_error_passes_with_its_data() -> None:
    handshaken(CLOSED).play("""
        >> 1 tools/list
        -> 1 tools/list
        << {"id": 1, "error": {"code": -32000, "message": "no", "data": {"why": ["elicitations"]}}}
        <- {"id": 1, "error": {"code": -32000, "message": "no", "data": {"why": ["elicitations"]}}}
        >> 2 tools/list
        -> 2 tools/list
        << {"id": 2, "error": {"code": -32000, "message": "no", "data": ["elicitations"]}}
        <- {"id": 2, "error": {"code": -32000, "message": "no", "data": ["elicitations"]}}
    """)


def test_unanswered_requests_of_either_side_are_bounded() -> None:
    book = handshaken(OPEN)
    asking = b'{"jsonrpc":"2.0","id":%d,"method":"ping"}'
    for number in range(IN_FLIGHT_LIMIT):
        book.session.handle(ServerLine(asking % number, 1.0))
        book.session.handle(ClientLine(asking % number, 1.0))
    book.play(f"""
        << {IN_FLIGHT_LIMIT} ping
        -> {IN_FLIGHT_LIMIT} ! -32603 too many requests in flight
        >> {IN_FLIGHT_LIMIT} ping
        <- {IN_FLIGHT_LIMIT} ! -32603 too many calls in flight
        >> 7 = {{}}
        -> 7 = {{}}
        << {IN_FLIGHT_LIMIT} ping
        <- {IN_FLIGHT_LIMIT} ping
    """)
