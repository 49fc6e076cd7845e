"""Methods without a row, in the wrong direction, or without an id."""

from __future__ import annotations

import pytest

from tests.playbooks.playbook import Playbook, handshaken
from tests.playbooks.policy import CLOSED, OPEN, policy

VENDOR = policy(
    extra_methods={
        "allow": ["vendor/ping", "notifications/vendor/*"],
        "log": ["vendor/log"],
        "ask": ["vendor/ask", "notifications/vendor/ask"],
    }
)


def test_an_unknown_method_is_denied() -> None:
    for book, meta in ((handshaken(CLOSED), "{}"), (Playbook(CLOSED), "{@}")):
        book.play(f"""
            >> 1 vendor/ping {meta}
            <- 1 ! -32601 Method not found: vendor/ping (ref r1)
            !! call vendor/ping outcome=deny status=refused ref=r1 why~no rule admits this method
            >> notifications/vendor/x
            !! notification notifications/vendor/x direction=client outcome=deny
            << notifications/vendor/x
            !! notification notifications/vendor/x direction=server outcome=deny
        """)


def test_a_vendors_method_passes_where_the_policy_names_it() -> None:
    handshaken(VENDOR).play("""
        >> 1 vendor/ping {"x": 1}
        -> 1 vendor/ping {"x": 1}
        !! call vendor/ping outcome=allow arguments={'x':1}
        << 1 = {"pong": true}
        <- 1 = {"pong": true}
        >> 2 vendor/ask
        <- 2 ! -32601 Method not found
        >> 3 vendor/log
        -> 3 vendor/log
        ** files › vendor/log runs, logged
        >> notifications/vendor/x {"a": 1}
        -> notifications/vendor/x {"a": 1}
        << notifications/vendor/y
        <- notifications/vendor/y
        >> notifications/vendor/ask
        !! notification notifications/vendor/ask outcome=ask direction=client
        << notifications/vendor/ask
        !! notification notifications/vendor/ask direction=server
    """)
    Playbook(VENDOR).play("""
        >> 1 vendor/ping {@}
        -> 1 vendor/ping {@}
    """)


def test_a_vendors_method_cannot_ask_for_input_in_its_answer() -> None:
    Playbook(OPEN).play("""
        >> 1 vendor/ping {@}
        -> 1 vendor/ping {@}
        << 1 = {"inputRequests": {"r": {"method": "roots/list"}}}
        <- 1 ! -32603 asked for input where it can't
    """)


@pytest.mark.parametrize(
    "method",
    [
        "roots/list",
        "sampling/createMessage",
        "elicitation/create",
        "subscriptions/listen",
        "tasks/update",
        "notifications/initialized",
    ],
)
def test_a_method_of_the_specification_that_does_not_exist_here_cannot_be_allowed(method: str) -> None:
    handshaken(OPEN, "2025-11-25").play(f"""
        >> 1 {method} {{}}
        <- 1 ! -32601 Method not found: {method}
        !! call {method} outcome=deny why~doesn't exist in revision 2025-11-25
    """)


@pytest.mark.parametrize("method", ["initialize", "ping", "resources/subscribe", "logging/setLevel", "tasks/list", "tasks/result"])
def test_a_stateless_session_lacks_what_was_taken_out(method: str) -> None:
    Playbook(OPEN).play(f"""
        >> 1 {method} {{@}}
        <- 1 ! -32601 Method not found: {method}
    """)


def test_an_older_revision_lacks_what_came_later() -> None:
    handshaken(OPEN, "2025-06-18").play("""
        >> 1 tasks/get {"taskId": "k"}
        <- 1 ! -32601 Method not found
    """)


@pytest.mark.parametrize(
    "method", ["tools/call", "tools/list", "prompts/get", "resources/read", "initialize", "ping", "subscriptions/listen"]
)
def test_a_call_without_an_id_is_refused(method: str) -> None:
    handshaken(OPEN).play(f"""
        >> {method} {{"name": "a", "uri": "a:b"}}
        !! notification {method} direction=client outcome=deny status=refused why~a request without an id
    """)


@pytest.mark.parametrize("method", ["roots/list", "tasks/result", "sampling/createMessage", "notifications/message"])
def test_a_clients_notification_of_another_direction_is_dropped(method: str) -> None:
    handshaken(OPEN, "2024-11-05").play(f"""
        >> {method}
        !! notification {method} direction=client outcome=deny
    """)


@pytest.mark.parametrize(
    "method", ["notifications/initialized", "notifications/roots/list_changed", "tools/call", "roots/list", "ping"]
)
def test_a_servers_notification_of_another_direction_is_dropped(method: str) -> None:
    """Even where every vendor's method is allowed: these aren't any."""
    handshaken(OPEN).play(f"""
        << {method}
        !! notification {method} direction=server outcome=deny why~no such notification here
    """)


def test_a_message_of_the_servers_passes_up_to_a_limit() -> None:
    handshaken(CLOSED).play(f"""
        << notifications/message {{"level": "info", "data": "x"}}
        <- notifications/message {{"level": "info", "data": "x"}}
        << notifications/message {{"level": "info", "data": "{"x" * 70_000}"}}
        !! notification notifications/message outcome=deny why~longer than 65536 bytes
        << notifications/tools/list_changed
        <- notifications/tools/list_changed
    """)


def test_what_is_no_text_for_a_person_has_no_limit_of_its_own() -> None:
    long = "x" * 70_000
    handshaken(OPEN).play(f"""
        << notifications/vendor/x {{"data": "{long}"}}
        <- notifications/vendor/x {{"data": "{long}"}}
    """)
