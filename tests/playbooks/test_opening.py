"""How a session opens, in both families."""

from __future__ import annotations

import pytest

from tests.playbooks.playbook import Playbook, handshaken
from tests.playbooks.policy import CLOSED, OPEN, policy


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_a_legacy_handshake_passes_as_it_is(revision: str) -> None:
    handshaken(OPEN, revision).play("""
        >> 1 ping
        -> 1 ping
        << 1 = {}
        <- 1 = {}
        << 1 ping
        <- 1 ping
        >> 1 = {}
        -> 1 = {}
    """)


def test_the_handshake_is_recorded_with_the_clients_name() -> None:
    book = Playbook(OPEN)
    book.play("""
        >> 0 initialize {"protocolVersion": "2025-06-18", "clientInfo": {"name": "tester", "version": "1", "more": "x"}}
        -> 0 initialize {"protocolVersion": "2025-06-18", "clientInfo": {"name": "tester", "version": "1", "more": "x"}}
        !! lifecycle initialize direction=client status=ok request_id=0
    """)
    assert bytes(book.records[0].client) == b'{"name":"tester","version":"1"}'  # type: ignore[arg-type]


def test_a_modern_probe_passes_whatever_the_policy_says() -> None:
    Playbook(CLOSED).play("""
        >> 1 server/discover {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}
        -> 1 server/discover {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}
        << 1 = {"resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 5, "cacheScope": "public"}
        <- 1 = {"resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 5, "cacheScope": "public"}
    """)


def test_a_probe_that_a_legacy_server_refuses_leads_to_the_handshake() -> None:
    Playbook(OPEN).play("""
        >> 1 server/discover {@}
        -> 1 server/discover {@}
        << 1 ! -32601 Method not found
        <- 1 ! -32601 Method not found
        >> 2 initialize {"protocolVersion": "2025-11-25"}
        -> 2 initialize {"protocolVersion": "2025-11-25"}
        << 2 = {"protocolVersion": "2025-11-25"}
        <- 2 = {"protocolVersion": "2025-11-25"}
    """)


def test_nothing_is_sent_to_the_server_before_the_client_speaks() -> None:
    """Trap 8: a wrapper's own early question would lock the server's era."""
    book = Playbook(OPEN, hold="not trusted yet", policies={"open": OPEN})
    book.play("""
        == started open
    """)
    assert not book.session.held


def test_a_modern_client_may_begin_with_any_request() -> None:
    Playbook(OPEN).play("""
        >> 1 tools/list {@}
        -> 1 tools/list {@}
    """)


def test_a_modern_revision_that_is_unknown_is_answered_with_the_known_ones() -> None:
    Playbook(OPEN).play("""
        >> 1 tools/list {"_meta": {"io.modelcontextprotocol/protocolVersion": "2031-01-01"}}
        <- {"id": 1, "error": {"code": -32022, "message": "Unsupported protocol version", "data": {"supported": ["2026-07-28"], "requested": "2031-01-01"}}}
        !! call tools/list outcome=deny status=refused why~unknown protocol revision
        >> 2 tools/list {"_meta": {"io.modelcontextprotocol/protocolVersion": ["2026-07-28"]}}
        <- 2 ! -32022 Unsupported
    """)  # noqa: E501 - one message a line


def test_a_legacy_revision_that_is_unknown_is_passed_on_and_refused_only_if_the_server_agrees_to_it() -> None:
    book = Playbook(OPEN)
    book.play("""
        >> 1 initialize {"protocolVersion": "2031-01-01"}
        -> 1 initialize {"protocolVersion": "2031-01-01"}
        << 1 = {"protocolVersion": "2025-11-25"}
        <- 1 = {"protocolVersion": "2025-11-25"}
        >> 2 initialize {"protocolVersion": "2031-01-01"}
        -> 2 initialize {"protocolVersion": "2031-01-01"}
        << 2 = {"protocolVersion": "2031-01-01"}
        !! response initialize outcome=deny status=refused why~doesn't know
        <- 2 ! -32603 doesn't know
        >> 3 initialize {"protocolVersion": "2025-06-18"}
        -> 3 initialize {"protocolVersion": "2025-06-18"}
        << 3 = {}
        <- 3 ! -32603 doesn't know
    """)


CAPABILITIES = """{"sampling": {}, "elicitation": {"form": {}}, "roots": {"listChanged": true}, "experimental": {"x": 1},
    "tasks": {"list": {}, "requests": {"sampling": {"createMessage": {}}, "elicitation": {"create": {}}}}}""".replace("\n", "")

NARROWED = """{"elicitation": {"form": {}}, "experimental": {"x": 1}, "tasks": {"list": {}, "requests": {"elicitation": {"create": {}}}}}"""  # noqa: E501


def test_a_legacy_server_never_learns_of_capabilities_that_the_policy_closes() -> None:
    Playbook(policy(server_requests={"allow": ["elicitation"]})).play(f"""
        >> 1 initialize {{"protocolVersion": "2025-11-25", "capabilities": {CAPABILITIES}, "clientInfo": {{"name": "x"}}}}
        -> 1 initialize {{"protocolVersion": "2025-11-25", "capabilities": {NARROWED}, "clientInfo": {{"name": "x"}}}}
    """)


def test_a_modern_server_never_learns_of_capabilities_that_the_policy_closes() -> None:
    meta = '"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": %s, "x": 1}'  # noqa: E501
    book = Playbook(policy({"allow": ["*"]}, server_requests={"allow": ["elicitation"]}))
    for number, method in enumerate(("server/discover", "tools/list", "tools/call", "subscriptions/listen")):
        more = {"tools/call": '"name": "a", ', "subscriptions/listen": '"notifications": {}, '}.get(method, "")
        book.play(f"""
            >> {number} {method} {{{more}{meta % CAPABILITIES}}}
            -> {number} {method} {{{more}{meta % NARROWED}}}
        """)


def test_where_everything_is_allowed_the_capabilities_stay() -> None:
    Playbook(OPEN).play(f"""
        >> 1 initialize {{"protocolVersion": "2025-11-25", "capabilities": {CAPABILITIES}}}
        -> 1 initialize {{"protocolVersion": "2025-11-25", "capabilities": {CAPABILITIES}}}
    """)


def test_to_ask_for_a_capability_counts_as_closing_it() -> None:
    Playbook(policy(server_requests={"allow": ["*"], "ask": ["sampling"], "log": ["roots"]})).play("""
        >> 1 initialize {"capabilities": {"sampling": {}, "roots": {}, "tasks": 5}}
        -> 1 initialize {"capabilities": {"roots": {}, "tasks": 5}}
    """)


def test_parameters_of_an_odd_shape_do_not_break_the_handshake() -> None:
    Playbook(CLOSED).play("""
        >> 1 initialize {"capabilities": [], "clientInfo": "me"}
        -> 1 initialize {"capabilities": [], "clientInfo": "me"}
        >> 2 tools/list {"_meta": 5}
        -> 2 tools/list {"_meta": 5}
    """)


def test_before_the_handshake_requests_are_those_of_the_latest_revision_that_has_one() -> None:
    Playbook(OPEN).play("""
        >> 1 tasks/list
        -> 1 tasks/list
    """)
