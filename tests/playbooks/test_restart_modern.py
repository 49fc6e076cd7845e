"""A server is restarted for new credentials, or starts late, while a stateless client goes on."""

from __future__ import annotations

from types import ModuleType

import pytest

from mcpwrap.core import restarting, waiting
from mcpwrap.core.commands import ToServer
from mcpwrap.core.events import ClientLine, ServerBegan
from mcpwrap.core.framing import LINE_LIMIT
from mcpwrap.core.jsonrpc import encode
from mcpwrap.core.restarting import Phase
from mcpwrap.core.state import IN_FLIGHT_LIMIT
from tests.playbooks.playbook import Playbook
from tests.playbooks.policy import CLOSED, OPEN
from tests.playbooks.test_held import WHY, greeting
from tests.playbooks.test_joining import adapted

DISCOVERED = '{"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}}'
TOOLS = '{"resultType": "complete", "tools": [{"name": "a"}], "ttlMs": 1, "cacheScope": "private"}'

SEEN = f"""
    >> 1 server/discover {{@}}
    -> 1 server/discover {{@}}
    << 1 = {DISCOVERED}
    <- 1 = {DISCOVERED}
    >> 2 tools/list {{@}}
    -> 2 tools/list {{@}}
    << 2 = {TOOLS}
    <- 2 = {TOOLS}
"""


def test_a_stateless_server_is_compared_and_listened_to_again() -> None:
    book = Playbook(OPEN)
    book.play(SEEN)
    book.play(f"""
        >> 7 subscriptions/listen {{"notifications": {{"toolsListChanged": true}}, @}}
        -> 7 subscriptions/listen {{"notifications": {{"toolsListChanged": true}}, @}}
        << notifications/subscriptions/acknowledged {{#7, "notifications": {{"toolsListChanged": true}}}}
        <- notifications/subscriptions/acknowledged {{#7, "notifications": {{"toolsListChanged": true}}}}
        >> 8 subscriptions/listen {{"notifications": {{}}, @}}
        -> 8 subscriptions/listen {{"notifications": {{}}, @}}
        >> 9 subscriptions/listen {{"notifications": {{}}, @}}
        -> 9 subscriptions/listen {{"notifications": {{}}, @}}
        >> 10 tools/call {{"name": "a", @}}
        -> 10 tools/call {{"name": "a", @}}
        == due
        >> notifications/cancelled {{"requestId": 8}}
        -> notifications/cancelled {{"requestId": 8}}
        << 10 = {{"resultType": "complete", "content": []}}
        <- 10 = {{"resultType": "complete", "content": []}}
        %%
        >> 11 tools/call {{"name": "a", @}}
        >> 12 subscriptions/listen {{"notifications": {{"promptsListChanged": true}}, @}}
        >> 7 tools/call {{"name": "a", @}}
        !! call outcome=deny why~an id that is in flight
        == restarted
        -> "mcpwrap-again-1" server/discover {{@}}
        << "mcpwrap-again-1" = {DISCOVERED}
        -> "mcpwrap-again-2" tools/list {{@}}
        << "mcpwrap-again-2" = {TOOLS}
        -> 7 subscriptions/listen {{@, "notifications": {{"toolsListChanged": true}}}}
        -> 9 subscriptions/listen {{@, "notifications": {{}}}}
        -> 11 tools/call {{"name": "a", @}}
        -> 12 subscriptions/listen {{"notifications": {{"promptsListChanged": true}}, @}}
        << notifications/subscriptions/acknowledged {{#7, "notifications": {{"toolsListChanged": true}}}}
        !! notification outcome=deny why~acknowledged already
        << notifications/subscriptions/acknowledged {{#9, "notifications": {{}}}}
        <- notifications/subscriptions/acknowledged {{#9, "notifications": {{}}}}
        << notifications/tools/list_changed {{#7}}
        <- notifications/tools/list_changed {{#7}}
    """)


def test_a_subscription_that_is_cancelled_while_no_server_is_there_is_gone() -> None:
    book = Playbook(OPEN)
    book.play(SEEN)
    book.play(f"""
        >> 7 subscriptions/listen {{"notifications": {{}}, @}}
        -> 7 subscriptions/listen {{"notifications": {{}}, @}}
        == due
        %%
        >> notifications/cancelled {{"requestId": "7"}}
        !! notification outcome=deny why~nothing that is in flight
        >> notifications/cancelled {{"requestId": 99}}
        !! notification outcome=deny why~nothing that is in flight
        >> notifications/cancelled {{"requestId": null}}
        !! notification outcome=deny why~nothing that is in flight
        >> notifications/cancelled {{"requestId": 7}}
        == restarted
        -> "mcpwrap-again-1" server/discover {{@}}
        << "mcpwrap-again-1" = {DISCOVERED}
        -> "mcpwrap-again-2" tools/list {{@}}
        << "mcpwrap-again-2" = {TOOLS}
        !! lifecycle restarted status=ok
    """)


def test_a_server_whose_answer_to_a_probe_was_never_seen_is_not_probed() -> None:
    """It might go by the first request for the family that it speaks."""
    Playbook(OPEN).play("""
        >> 1 server/discover {@}
        -> 1 server/discover {@}
        << 1 ! -32601 Method not found
        <- 1 ! -32601 Method not found
        == due
        %%
        >> 2 initialize {"protocolVersion": "2025-11-25"}
        == restarted
        -> 2 initialize {"protocolVersion": "2025-11-25"}
    """)


def test_a_stateless_server_that_changed_is_refused() -> None:
    book = Playbook(OPEN)
    book.play(SEEN)
    book.play(f"""
        == due
        %%
        >> 3 tools/call {{"name": "a", @}}
        == restarted
        -> "mcpwrap-again-1" server/discover {{@}}
        << "mcpwrap-again-1" = {DISCOVERED.replace('"capabilities": {}', '"capabilities": {"tools": {}}')}
        <- 3 ~m (capabilities)
        ##
    """)


def test_an_adapted_server_is_opened_as_it_was() -> None:
    book = adapted()
    book.play("""
        == due
        %%
        >> 2 tools/call {"name": "a", @}
        >> 3 server/discover {@}
        == restarted
        -> "mcpwrap-again-1" initialize {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "tester", "version": "1"}}
        << "mcpwrap-again-1" = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "old"}, "instructions": "be kind"}
        -> notifications/initialized
        -> 2 tools/call {"name": "a"}
        <- 3 = {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "private", "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "old"}}, "instructions": "be kind"}
        << notifications/tools/list_changed
        <- notifications/tools/list_changed {#7}
    """)  # noqa: E501


def test_a_modern_task_keeps_the_server_until_it_is_told_of_its_end() -> None:
    made = '{"resultType": "task", "taskId": "t", "status": "working"}'
    Playbook(OPEN).play(f"""
        >> 1 tools/call {{"name": "a", @}}
        -> 1 tools/call {{"name": "a", @}}
        << 1 = {made}
        <- 1 = {made}
        == due
        << notifications/tasks {{"taskId": "t", "status": ["odd"]}}
        <- notifications/tasks {{"taskId": "t", "status": ["odd"]}}
        << notifications/tasks {{"taskId": "t", "status": "cancelled"}}
        <- notifications/tasks {{"taskId": "t", "status": "cancelled"}}
        %%
    """)


# a server that isn't started yet


def starting() -> Playbook:
    """A session whose server waits for its token."""
    return Playbook(OPEN, starting=True, policies={"closed": CLOSED})


def test_what_a_client_sends_before_the_first_start_waits_for_it() -> None:
    for began in ("began", "restarted"):
        book = starting()
        assert book.session.phase is Phase.ABSENT
        assert not book.session.held
        book.play(f"""
            >> 1 initialize {{"protocolVersion": "2025-11-25"}}
            >> 1 ping
            !! call outcome=deny why~an id that is in flight
            >> |{{"jsonrpc":"2.0","id":1,"method":"ping","method":"x"}}
            !! call outcome=deny why~twice
            >> notifications/initialized
            == due
            == forced
            == drained
            == {began}
            -> 1 initialize {{"protocolVersion": "2025-11-25"}}
            -> notifications/initialized
        """)
        assert book.session.phase is None


def test_a_first_start_that_fails_opens_the_held_session() -> None:
    for how in ("exited", "withheld"):
        starting().play(f"""
            >> 1 initialize {{"protocolVersion": "2025-06-18"}}
            >> 2 tools/call {{"name": "a"}}
            == {how} {WHY}
            <- 1 = {greeting("2025-06-18")}
            <- 2 ~ {WHY}
            {"##" if how == "withheld" else ""}
        """)


def test_a_session_that_is_held_from_the_start_waits_for_nothing() -> None:
    book = Playbook(None, hold=WHY, starting=True)
    assert book.session.phase is None
    book.play(f"""
        >> 1 initialize {{"protocolVersion": "2025-06-18"}}
        <- 1 = {greeting("2025-06-18")}
        == began
    """)


@pytest.mark.parametrize(("module", "name", "value"), [(restarting, "IN_FLIGHT_LIMIT", 1), (waiting, "BYTES_LIMIT", 1100)])
def test_more_than_may_wait_is_refused(module: ModuleType, name: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, name, value)
    long = "x" * 1000
    starting().play(f"""
        >> 1 tools/call {{"name": "{long}"}}
        >> 2 tools/call {{"name": "{long}"}}
        <- 2 ! -32603 too much waits for the server (ref r1)
        !! call tools/call outcome=deny status=refused
        >> notifications/vendor/a {{"x": "{long}"}}
        !! notification outcome=deny why~more than mcpwrap lets wait
        >> notifications/cancelled {{"requestId": 1}}
        >> 2 ping
        == began
        -> 2 ping
    """)


def test_the_limits_are_those_of_one_line_and_of_what_may_be_in_flight() -> None:
    assert waiting.BYTES_LIMIT == LINE_LIMIT
    assert vars(restarting)["IN_FLIGHT_LIMIT"] == IN_FLIGHT_LIMIT == 20_000


def test_more_than_the_new_process_may_say_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Playbook(OPEN)
    book.play(SEEN)
    monkeypatch.setattr(restarting, "IN_FLIGHT_LIMIT", 1)
    book.play("""
        == due
        %%
        == restarted
        -> "mcpwrap-again-1" server/discover {@}
        << notifications/message {"data": 1}
        << notifications/message {"data": 2}
        << 1 roots/list
        -> 1 ! -32603 isn't open yet
    """)


def test_what_waits_keeps_its_odd_numbers_and_characters() -> None:
    arguments = {"n": 10**30, "f": 1.0, "s": "\u2028 \ud800"}
    body = {"jsonrpc": "2.0", "id": "\ud800", "method": "tools/call", "params": {"name": "a", "arguments": arguments}}
    session = starting().session
    assert not session.handle(ClientLine(encode(body), 0.0))
    (sent,) = [command for command in session.handle(ServerBegan(1.0)) if isinstance(command, ToServer)]
    assert sent.line == encode(body)
