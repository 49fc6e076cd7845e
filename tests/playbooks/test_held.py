"""The held state: the session opens though its server may not run, and says why (POLICY.md §5)."""

from __future__ import annotations

import json

import msgspec
import pytest

from mcpwrap import __version__
from mcpwrap.core.held import FACT_LIMIT, VERSION, fact, remedy
from mcpwrap.core.listing import status_tool
from mcpwrap.runtime import words
from tests.playbooks.playbook import Playbook, handshaken
from tests.playbooks.policy import OPEN, policy

WHY = "not trusted yet"
OWN = json.dumps(status_tool())
CHANGED = """
    <- notifications/tools/list_changed
    <- notifications/prompts/list_changed
    <- notifications/resources/list_changed
"""
CAPABILITIES = '{"tools": {"listChanged": true}, "prompts": {"listChanged": true}, "resources": {"listChanged": true}}'
IDENTITY = f'{{"name": "mcpwrap", "title": "mcpwrap", "version": "{VERSION}"}}'


def greeting(revision: str) -> str:
    """What a held session answers to a handshake."""
    return f'{{"protocolVersion": "{revision}", "capabilities": {CAPABILITIES}, "serverInfo": {IDENTITY}, "instructions": "{WHY}"}}'


def held() -> Playbook:
    """A session that was never let go."""
    return Playbook(None, hold=WHY, policies={"open": OPEN})


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ('"2024-11-05"', "2024-11-05"),
        ('"2025-06-18"', "2025-06-18"),
        ('"2031-01-01"', "2025-11-25"),
        ('["2024-11-05"]', "2025-11-25"),
    ],
)
def test_a_legacy_session_opens_and_states_the_reason(asked: str, given: str) -> None:
    book = held()
    assert book.session.held == WHY
    book.play(f"""
        >> 1 initialize {{"protocolVersion": {asked}, "clientInfo": {{"name": "x"}}}}
        <- 1 = {greeting(given)}
        >> notifications/initialized
        >> 2 tools/list
        <- 2 = {{"tools": [{OWN}]}}
        >> 3 tools/call {{"name": "mcpwrap_status"}}
        <- 3 = {{"content": [{{"type": "text", "text": "{WHY}"}}], "isError": false}}
        >> 4 prompts/list
        <- 4 = {{"prompts": []}}
        >> 5 resources/list
        <- 5 = {{"resources": []}}
        >> 6 resources/templates/list
        <- 6 = {{"resourceTemplates": []}}
        >> 7 ping
        <- 7 = {{}}
    """)


def test_a_stateless_session_opens_and_states_the_reason() -> None:
    caching = '"ttlMs": 0, "cacheScope": "private"'
    held().play(f"""
        >> 1 server/discover {{@}}
        <- 1 = {{"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {CAPABILITIES}, "instructions": "{WHY}", {caching}, "_meta": {{"io.modelcontextprotocol/serverInfo": {IDENTITY}}}}}
        >> 2 tools/list {{@}}
        <- 2 = {{"resultType": "complete", "tools": [{OWN}], {caching}}}
        >> 3 tools/call {{"name": "mcpwrap_status", @}}
        <- 3 = {{"resultType": "complete", "content": [{{"type": "text", "text": "{WHY}"}}], "isError": false}}
        >> 4 prompts/list {{@}}
        <- 4 = {{"resultType": "complete", "prompts": [], {caching}}}
        >> 5 initialize {{@}}
        <- 5 ! -32601 Method not found
        >> 6 ping {{@}}
        <- 6 ! -32601 Method not found
        >> 7 tools/list {{"_meta": {{"io.modelcontextprotocol/protocolVersion": "1999-01-01"}}}}
        <- 7 ! -32022 Unsupported
    """)  # noqa: E501 - one message a line


def test_any_other_tool_is_answered_with_the_reason_and_recorded() -> None:
    held().play("""
        >> 1 tools/call {"name": "read", "arguments": {"token": "abc"}}
        <- 1 ~ not trusted yet
        !! call tools/call outcome=deny status=refused tool=read ref=r1 arguments={'token':'[redacted]'} why~held back: not trusted
        >> 2 tools/call {"name": 7, @}
        <- 2 ~m (ref r2)
        >> 3 resources/read {"uri": "a:b"}
        <- 3 ! -32601 Method not found: resources/read (ref r3)
        !! call resources/read outcome=deny status=refused
    """)


def test_a_call_that_is_held_back_is_recorded_as_whose_it_is() -> None:
    name, text = "n" * 300, "t" * 300
    book = held()
    book.play(f"""
        >> 1 initialize {{"protocolVersion": "2025-06-18", "clientInfo": {{"name": "tester", "other": 1}}}}
        <- 1 = {greeting("2025-06-18")}
        >> 2 tools/call {{"name": "{name}", "arguments": {{"a": "{text}"}}}}
        <- 2 ~ not trusted yet
        !! call tools/call direction=client request_id=2 tool={name[:200]}
        >> 3 tools/call {{"name": 7}}
        <- 3 ~ not trusted yet
        !! call tools/call direction=client request_id=3 tool=
        >> 4 {name}
        <- 4 ! -32601 Method not found: {name[:200]} (ref r3)
        !! call {name[:200]} direction=client request_id=4
    """)
    assert book.records[0].arguments == {"a": text[:256] + "… (300 characters)"}
    assert book.records[0].client == msgspec.Raw(b'{"name":"tester"}')


def test_every_kind_of_list_is_told_to_a_stateless_client_that_wants_it() -> None:
    for flag, kind in (("tools", "tools"), ("prompts", "prompts"), ("resources", "resources")):
        held().play(f"""
            >> 1 subscriptions/listen {{"notifications": {{"{flag}ListChanged": true}}, @}}
            <- notifications/subscriptions/acknowledged {{#1, "notifications": {{"{flag}ListChanged": true}}}}
            == started open
            -> "mcpwrap-discover" server/discover {{@}}
            << "mcpwrap-discover" = {{}}
            -> 1 subscriptions/listen {{@, "notifications": {{"{flag}ListChanged": true}}}}
            <- notifications/{kind}/list_changed {{#1}}
        """)


def test_a_client_that_hasnt_greeted_is_told_of_no_lists() -> None:
    book = held()
    book.play(f"""
        >> 1 initialize {{"protocolVersion": "2025-06-18", "capabilities": {{}}}}
        <- 1 = {greeting("2025-06-18")}
        >> notifications/roots/list_changed
        == started open
        -> "mcpwrap-initialize" initialize {{"protocolVersion": "2025-06-18", "capabilities": {{}}}}
        << "mcpwrap-initialize" = {{"protocolVersion": "2025-06-18", "capabilities": {{}}}}
        -> notifications/initialized
    """)


@pytest.mark.parametrize(
    ("method", "items"),
    [("prompts/list", "prompts"), ("resources/list", "resources"), ("resources/templates/list", "resourceTemplates")],
)
def test_a_list_that_a_dead_server_owes_is_empty(method: str, items: str) -> None:
    handshaken(OPEN).play(f"""
        >> 1 {method}
        -> 1 {method}
        == exited it died
        <- 1 = {{"{items}": []}}
        {CHANGED}
    """)


def test_what_came_before_trust_reaches_no_server() -> None:
    held().play("""
        >> notifications/initialized
        >> notifications/cancelled {"requestId": 5}
        >> notifications/cancelled {"requestId": []}
        >> notifications/vendor
        >> tools/call {"name": "a"}
        !! notification outcome=deny why~a request without an id
        >> 5 = {}
        !! response outcome=deny why~nothing that was asked
        >> [{"id": 1, "method": "ping"}]
        <- 1 ! -32600 batches
        == gone
    """)


def test_a_stateless_client_may_listen_and_is_told_when_the_reason_is_gone() -> None:
    held().play("""
        >> 1 subscriptions/listen {"notifications": {"toolsListChanged": true, "promptsListChanged": false, "resourceSubscriptions": ["a:b"]}, @}
        <- notifications/subscriptions/acknowledged {#1, "notifications": {"toolsListChanged": true}}
        >> 1 subscriptions/listen {"notifications": {}, @}
        !! call outcome=deny why~an id that is in flight
        >> 2 subscriptions/listen {"notifications": 5, @}
        <- notifications/subscriptions/acknowledged {#2, "notifications": {}}
        >> notifications/cancelled {"requestId": [2]}
        >> notifications/vendor {"requestId": 2}
        >> 2 subscriptions/listen {"notifications": {}, @}
        !! call outcome=deny why~an id that is in flight
        >> "s" subscriptions/listen {"notifications": {"toolsListChanged": true}, @}
        <- notifications/subscriptions/acknowledged {#"s", "notifications": {"toolsListChanged": true}}
        >> notifications/cancelled {"requestId": "s"}
        >> notifications/cancelled {"requestId": 2}
        >> 2 subscriptions/listen {"notifications": {"promptsListChanged": true}, @}
        <- notifications/subscriptions/acknowledged {#2, "notifications": {"promptsListChanged": true}}
        >> 3 subscriptions/listen {}
        <- 3 ! -32601 Method not found
        >> notifications/initialized
        == started open
        -> "mcpwrap-discover" server/discover {@}
        << "mcpwrap-discover" = {}
        -> 1 subscriptions/listen {@, "notifications": {"toolsListChanged": true}}
        -> 2 subscriptions/listen {@, "notifications": {"promptsListChanged": true}}
        <- notifications/tools/list_changed {#1}
        <- notifications/prompts/list_changed {#2}
    """)  # noqa: E501


def test_the_servers_death_is_answered_to_all_in_flight_and_then_told() -> None:
    book = handshaken(OPEN)
    book.play(f"""
        >> 1 tools/call {{"name": "a"}}
        -> 1 tools/call {{"name": "a"}}
        >> 2 tools/call {{"name": "b"}}
        -> 2 tools/call {{"name": "b"}}
        >> notifications/cancelled {{"requestId": 2}}
        -> notifications/cancelled {{"requestId": 2}}
        >> 3 tools/list
        -> 3 tools/list
        >> 4 ping
        -> 4 ping
        == exited it died
        <- 1 ! -32603 it died
        <- 3 = {{"tools": [{OWN}]}}
        <- 4 = {{}}
        {CHANGED}
        !! response tools/call status=lost ref=r1
        !! response tools/call status=cancelled ref=r2
        >> 5 tools/call {{"name": "a"}}
        <- 5 ~ it died
        << 1 = {{"content": []}}
        << notifications/message
        << 7 ping
        -> 7 ! -32603 the session is held
        == exited it died again
        >> 6 tools/call {{"name": "mcpwrap_status"}}
        <- 6 = {{"content": [{{"type": "text", "text": "it died again"}}], "isError": false}}
    """)


def test_a_server_that_dies_during_the_handshake_leaves_an_open_session() -> None:
    Playbook(OPEN).play(f"""
        >> 1 initialize {{"protocolVersion": "2025-06-18"}}
        -> 1 initialize {{"protocolVersion": "2025-06-18"}}
        == exited {WHY}
        <- 1 = {greeting("2025-06-18")}
    """)


def test_a_server_that_dies_at_the_probe_is_answered_as_a_dead_one() -> None:
    """A client of both families goes on with the handshake."""
    Playbook(OPEN).play(f"""
        >> 1 server/discover {{@}}
        -> 1 server/discover {{@}}
        == exited {WHY}
        <- 1 ! -32603 {WHY}
        >> 2 initialize {{"protocolVersion": "2025-06-18"}}
        <- 2 = {greeting("2025-06-18")}
    """)


def test_a_subscription_outlives_the_server_unless_it_was_cancelled() -> None:
    Playbook(OPEN, policies={"open": OPEN}).play("""
        >> 1 subscriptions/listen {"notifications": {"toolsListChanged": true}, @}
        -> 1 subscriptions/listen {"notifications": {"toolsListChanged": true}, @}
        >> 2 subscriptions/listen {"notifications": {"toolsListChanged": true}, @}
        -> 2 subscriptions/listen {"notifications": {"toolsListChanged": true}, @}
        >> notifications/cancelled {"requestId": 2}
        -> notifications/cancelled {"requestId": 2}
        == notice a change waits
        <- notifications/tools/list_changed {#1}
        == exited it died
        <- notifications/tools/list_changed {#1}
        == started open
        -> "mcpwrap-discover" server/discover {@}
        << "mcpwrap-discover" = {}
        -> 1 subscriptions/listen {@, "notifications": {"toolsListChanged": true}}
        <- notifications/tools/list_changed {#1}
    """)


def test_a_withdrawn_trust_stops_the_server_and_holds_the_session() -> None:
    book = handshaken(OPEN)
    book.play(f"""
        >> 1 tools/call {{"name": "a"}}
        -> 1 tools/call {{"name": "a"}}
        == withheld not trusted any more
        <- 1 ! -32603 not trusted any more
        {CHANGED}
        ##
        >> 2 tools/call {{"name": "a"}}
        <- 2 ~ not trusted any more
    """)
    assert book.session.held == "not trusted any more"


def test_while_held_a_changed_policy_or_notice_is_only_remembered() -> None:
    Playbook(OPEN, hold=WHY, policies={"none": policy()}).play(
        """
        >> 1 initialize {}
        <- 1 = %s
        >> notifications/initialized
        == policy none
        == notice something
    """.replace("%s", greeting("2025-11-25"))
    )


def test_a_call_that_cannot_be_recorded_is_refused_and_its_id_is_free_again() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        == unrecorded r1 r7
        <- 1 ! -32603 nothing was run, since it can't be recorded: the disk is full
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        >> notifications/cancelled {"requestId": 1}
        -> notifications/cancelled {"requestId": 1}
        == unrecorded r2
        >> 1 ping
        -> 1 ping
    """)


def test_when_the_client_goes_open_calls_are_recorded_as_lost() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        >> 2 tools/list
        -> 2 tools/list
        == gone
        !! response tools/call status=lost ref=r1
        << 1 = {}
        !! response outcome=deny
    """)


def test_a_servers_batch_while_held_is_not_passed_on() -> None:
    book = handshaken(OPEN, "2025-03-26")
    book.play(f"""
        == exited it died
        {CHANGED}
        << [{{"id": 1, "method": "ping"}}, {{"id": 2, "result": {{}}}}, 5]
        -> [{{"id": 1, "error": {{"code": -32603, "message": "the session is held"}}}}]
    """)


def test_while_held_a_batch_is_answered_as_one_where_the_revision_has_them() -> None:
    held().play(f"""
        >> 1 initialize {{"protocolVersion": "2025-03-26"}}
        <- 1 = {greeting("2025-03-26")}
        >> [{{"id": 2, "method": "ping"}}, {{"id": 3, "method": "resources/list"}}, {{"method": "notifications/initialized"}}]
        <- [{{"id": 2, "result": {{}}}}, {{"id": 3, "result": {{"resources": []}}}}]
    """)


def test_the_held_session_is_of_the_version_that_runs() -> None:
    assert __version__ == VERSION


def test_a_subscription_that_was_taken_while_held_is_answered_as_a_stateless_one() -> None:
    book = held()
    book.play("""
        >> 7 subscriptions/listen {"notifications": {}, @}
        <- notifications/subscriptions/acknowledged {#7, "notifications": {}}
        == started open
        -> "mcpwrap-discover" server/discover {@}
        << "mcpwrap-discover" = {}
        -> 7 subscriptions/listen {@, "notifications": {}}
        << 7 = {"resultType": "nonsense"}
        <- 7 ! -32603 an unknown `resultType`
    """)


def test_the_record_of_a_refusal_has_the_holds_fact_and_what_a_person_can_do() -> None:
    hold = words.held("files", "mcpwrap.toml in /src/shop is not trusted yet", "run `mcpwrap trust` in a terminal of their own")
    book = Playbook(None, hold=hold, policies={"open": OPEN})
    book.play("""
        >> 1 tools/call {"name": "read"}
        <- 1 ~ not trusted yet
        !! call tools/call why~the server is held back: mcpwrap.toml in /src/shop is not trusted yet
        >> 2 resources/read {"uri": "a:b"}
        <- 2 ! -32601 Method not found: resources/read (ref r2)
        !! call resources/read why~the server is held back: mcpwrap.toml in /src/shop is not trusted yet
    """)
    assert remedy(hold) == "run `mcpwrap trust` in a terminal of their own"


def test_a_long_hold_is_recorded_in_part_and_without_its_other_lines() -> None:
    assert fact(words.held("files", "x" * 1000)) == "x" * (FACT_LIMIT - 1) + "…"
    assert remedy(words.held("files", "a fact", "y" * 1000)) == "y" * (FACT_LIMIT - 1) + "…"
    assert (fact("held\nmore."), remedy("held\nmore.")) == ("held", "")
