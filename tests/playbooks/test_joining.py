"""How a held session goes on once the server runs."""

from __future__ import annotations

from mcpwrap.core.held import VERSION
from tests.playbooks.playbook import Playbook
from tests.playbooks.policy import policy
from tests.playbooks.test_held import CHANGED, WHY, greeting, held

OPENED = f"""
    >> 1 initialize {{"protocolVersion": "2025-06-18", "capabilities": {{"roots": {{}}}}}}
    <- 1 = {greeting("2025-06-18")}
    >> notifications/initialized
"""

ENVELOPE = (
    '"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": %s, '
    '"io.modelcontextprotocol/clientInfo": {"name": "tester", "version": "1"}}'
)

DISCOVERING = f"""
    >> 1 tools/call {{"name": "mcpwrap_status", @}}
    <- 1 = {{"resultType": "complete", "content": [{{"type": "text", "text": "{WHY}"}}], "isError": false}}
    == started open
    -> "mcpwrap-discover" server/discover {{@}}
"""

REFUSING = """
    << "mcpwrap-discover" ! -32601 Method not found
    -> "mcpwrap-initialize" initialize {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "tester", "version": "1"}}
"""  # noqa: E501


def test_a_legacy_clients_handshake_is_replayed_and_the_lists_are_announced() -> None:
    book = held()
    book.play(OPENED)
    book.play(f"""
        == started open
        -> "mcpwrap-initialize" initialize {{"protocolVersion": "2025-06-18", "capabilities": {{"roots": {{}}}}}}
        << notifications/message {{"data": "starting"}}
        >> 2 tools/call {{"name": "a"}}
        <- 2 ~ {WHY}
        << "mcpwrap-initialize" = {{"protocolVersion": "2025-06-18", "capabilities": {{}}}}
        -> notifications/initialized
        {CHANGED}
        >> 3 tools/call {{"name": "a"}}
        -> 3 tools/call {{"name": "a"}}
        << "mcpwrap-initialize" = {{}}
        !! response outcome=deny why~nothing that was asked
    """)
    assert not book.session.held


def test_a_legacy_client_is_answered_in_its_own_family_once_the_session_goes_on() -> None:
    book = held()
    book.play(OPENED)
    book.play(f"""
        == started open
        -> "mcpwrap-initialize" initialize {{"protocolVersion": "2025-06-18", "capabilities": {{"roots": {{}}}}}}
        << "mcpwrap-initialize" = {{"protocolVersion": "2025-06-18", "capabilities": {{}}}}
        -> notifications/initialized
        {CHANGED}
        >> 3 tools/call {{"name": "a"}}
        -> 3 tools/call {{"name": "a"}}
        << 3 = {{"content": []}}
        <- 3 = {{"content": []}}
        << 1 roots/list
        <- 1 roots/list
        << notifications/tools/list_changed
        <- notifications/tools/list_changed
    """)


def test_the_revision_that_the_server_agrees_to_is_the_sessions() -> None:
    book = held()
    book.play(OPENED)
    book.play(f"""
        == started open
        -> "mcpwrap-initialize" initialize {{"protocolVersion": "2025-06-18", "capabilities": {{"roots": {{}}}}}}
        << "mcpwrap-initialize" = {{"protocolVersion": "2025-03-26", "capabilities": {{}}}}
        -> notifications/initialized
        {CHANGED}
        << [{{"method": "notifications/message", "params": {{"data": "x"}}}}]
        <- [{{"method": "notifications/message", "params": {{"data": "x"}}}}]
    """)


def test_the_replayed_handshake_carries_only_what_the_policy_leaves_open() -> None:
    book = Playbook(None, hold=WHY, policies={"closed": policy()})
    book.play(OPENED)
    book.play("""
        == started closed
        -> "mcpwrap-initialize" initialize {"protocolVersion": "2025-06-18", "capabilities": {}}
    """)


def test_a_client_that_never_spoke_finds_the_server_itself() -> None:
    book = held()
    book.play("""
        == started open
        >> 1 initialize {"protocolVersion": "2025-06-18"}
        -> 1 initialize {"protocolVersion": "2025-06-18"}
    """)


def test_a_server_that_refuses_the_replay_leaves_the_session_held() -> None:
    for answer in ("! -32602 no", '= {"protocolVersion": "1999-01-01"}', "= {}"):
        book = held()
        book.play(OPENED)
        book.play(f"""
            == started open
            -> "mcpwrap-initialize" initialize {{"protocolVersion": "2025-06-18", "capabilities": {{"roots": {{}}}}}}
            << "mcpwrap-initialize" {answer}
            >> 2 tools/call {{"name": "a"}}
            <- 2 ~ mcpwrap started "files", but it refused the session. Ask the user to reconnect this server
        """)


def test_a_stateless_client_in_front_of_a_stateless_server_just_goes_on() -> None:
    book = held()
    book.play(DISCOVERING)
    book.play("""
        << "mcpwrap-discover" = {"resultType": "complete", "supportedVersions": ["2026-07-28"]}
        >> 2 tools/call {"name": "a", @}
        -> 2 tools/call {"name": "a", @}
    """)


def test_subscriptions_from_before_are_opened_at_the_server_and_acknowledged_only_once() -> None:
    book = held()
    book.play("""
        >> 7 subscriptions/listen {"notifications": {"toolsListChanged": true}, @}
        <- notifications/subscriptions/acknowledged {#7, "notifications": {"toolsListChanged": true}}
    """)
    book.play(DISCOVERING)
    book.play("""
        << "mcpwrap-discover" = {}
        -> 7 subscriptions/listen {@, "notifications": {"toolsListChanged": true}}
        <- notifications/tools/list_changed {#7}
        << notifications/subscriptions/acknowledged {#7, "notifications": {"toolsListChanged": true}}
        !! notification outcome=deny why~acknowledged already
        << notifications/tools/list_changed {#7}
        <- notifications/tools/list_changed {#7}
        << 7 = {"resultType": "complete"}
        <- 7 = {"resultType": "complete"}
    """)


def test_our_own_requests_carry_nothing_of_one_request_and_only_open_capabilities() -> None:
    book = Playbook(None, hold=WHY, policies={"closed": policy({"allow": ["*"]})})
    meta = (ENVELOPE % '{"sampling": {}, "vendor": 1}').replace(
        '"_meta": {', '"_meta": {"progressToken": 5, "traceparent": "00-1", '
    )
    narrowed = ENVELOPE % '{"vendor": 1}'
    book.play(f"""
        >> 7 subscriptions/listen {{"notifications": {{}}, {meta}}}
        <- notifications/subscriptions/acknowledged {{#7, "notifications": {{}}}}
        == started closed
        -> "mcpwrap-discover" server/discover {{{narrowed}}}
        << "mcpwrap-discover" = {{}}
        -> 7 subscriptions/listen {{{narrowed}, "notifications": {{}}}}
    """)


def adapted() -> Playbook:
    """A stateless client in front of a legacy server."""
    book = held()
    book.play("""
        >> 7 subscriptions/listen {"notifications": {"toolsListChanged": true}, @}
        <- notifications/subscriptions/acknowledged {#7, "notifications": {"toolsListChanged": true}}
    """)
    book.play(DISCOVERING)
    book.play(REFUSING)
    book.play("""
        << "mcpwrap-initialize" = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "old"}, "instructions": "be kind"}
        -> notifications/initialized
        <- notifications/tools/list_changed {#7}
    """)  # noqa: E501
    return book


def test_a_stateless_client_in_front_of_a_legacy_server_is_adapted() -> None:
    adapted().play("""
        >> 2 server/discover {@}
        <- 2 = {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "private", "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "old"}}, "instructions": "be kind"}
        >> 3 tools/call {"name": "a", "arguments": {}, @}
        -> 3 tools/call {"name": "a", "arguments": {}}
        << 3 = {"content": []}
        <- 3 = {"resultType": "complete", "content": []}
        >> 4 tools/list {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "progressToken": 1, "io.modelcontextprotocol/logLevel": "info"}}
        -> 4 tools/list {"_meta": {"progressToken": 1}}
        << 4 = {"tools": [{"name": "a"}]}
        <- 4 = {"resultType": "complete", "tools": [{"name": "a"}], "ttlMs": 0, "cacheScope": "private"}
        << 4 ! -32000 late
        >> 5 tools/call {"name": "a", @}
        -> 5 tools/call {"name": "a"}
        << 5 ! -32000 failed
        <- 5 ! -32000 failed
    """)  # noqa: E501


def test_everything_that_may_be_cached_is_said_not_to_be() -> None:
    for method, params, result in (
        ("prompts/list", "", '"prompts": []'),
        ("resources/list", "", '"resources": []'),
        ("resources/templates/list", "", '"resourceTemplates": []'),
        ("resources/read", '"uri": "a:b"', '"contents": []'),
    ):
        stateless, legacy = (f"{{{params}, @}}", f"{{{params}}}") if params else ("{@}", "{}")
        adapted().play(f"""
            >> 3 {method} {stateless}
            -> 3 {method} {legacy}
            << 3 = {{{result}}}
            <- 3 = {{"resultType": "complete", {result}, "ttlMs": 0, "cacheScope": "private"}}
        """)


def test_an_adapted_servers_resources_may_change_too() -> None:
    adapted().play("""
        >> 8 subscriptions/listen {"notifications": {"resourcesListChanged": true}, @}
        <- notifications/subscriptions/acknowledged {#8, "notifications": {"resourcesListChanged": true}}
        << notifications/resources/list_changed
        <- notifications/resources/list_changed {#8}
    """)


def test_an_adapted_servers_list_changes_are_stamped_for_each_subscription() -> None:
    adapted().play("""
        >> 8 subscriptions/listen {"notifications": {"toolsListChanged": true, "promptsListChanged": true, "resourceSubscriptions": ["a:b"]}, @}
        <- notifications/subscriptions/acknowledged {#8, "notifications": {"toolsListChanged": true, "promptsListChanged": true}}
        >> 9 subscriptions/listen {"notifications": 5, @}
        <- notifications/subscriptions/acknowledged {#9, "notifications": {}}
        << notifications/tools/list_changed
        <- notifications/tools/list_changed {#7}
        <- notifications/tools/list_changed {#8}
        << notifications/prompts/list_changed
        <- notifications/prompts/list_changed {#8}
        << notifications/resources/list_changed
        << notifications/message {"data": "x"}
        <- notifications/message {"data": "x"}
        >> notifications/cancelled {"requestId": 8}
        -> notifications/cancelled {"requestId": 8}
        << notifications/tools/list_changed
        <- notifications/tools/list_changed {#7}
    """)  # noqa: E501


def test_an_adapted_server_may_ask_for_nothing() -> None:
    adapted().play("""
        << 1 ping
        -> 1 = {}
        << 2 roots/list
        -> 2 ! -32601 roots/list is not available
    """)


def test_an_adapted_server_that_dies_and_comes_back_is_asked_again() -> None:
    book = adapted()
    book.play("""
        == exited it died
        <- notifications/tools/list_changed {#7}
        == started open
        -> "mcpwrap-discover" server/discover {@}
        << "mcpwrap-discover" = {}
        ** files: what the server says of itself
        -> 7 subscriptions/listen {@, "notifications": {"toolsListChanged": true}}
        <- notifications/tools/list_changed {#7}
    """)


def test_a_server_without_instructions_or_name_is_adapted_too() -> None:
    book = held()
    book.play(DISCOVERING)
    book.play(REFUSING)
    book.play("""
        << "mcpwrap-initialize" = {"protocolVersion": "2025-06-18"}
        -> notifications/initialized
        >> 2 server/discover {@}
        <- 2 = {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}, "ttlMs": 0, "cacheScope": "private", "_meta": {"io.modelcontextprotocol/serverInfo": {}}}
    """)  # noqa: E501


def test_a_server_that_dies_while_joining_leaves_the_session_held_and_a_later_one_may_join() -> None:
    book = held()
    book.play(DISCOVERING)
    book.play("""
        == exited it died
        << "mcpwrap-discover" = {}
        >> 2 tools/call {"name": "a", @}
        <- 2 ~m it died
        == started open
        -> "mcpwrap-discover" server/discover {@}
        << 5 = {}
        >> 3 tools/call {"name": "a", @}
        <- 3 ~m it died
        << "mcpwrap-discover" = {}
    """)
    assert not book.session.held


def test_a_request_of_the_other_family_passes_an_adapted_server_as_it_is() -> None:
    adapted().play("""
        >> 2 tools/list {"_meta": {"progressToken": 5}}
        -> 2 tools/list {"_meta": {"progressToken": 5}}
        << 2 = {"tools": []}
        <- 2 = {"tools": []}
        >> 3 server/discover
        -> 3 server/discover
    """)


def test_an_adapted_servers_answer_to_what_it_was_never_asked_ends_no_subscription_with_questions() -> None:
    adapted().play("""
        << 7 = {"inputRequests": {}}
        <- 7 ! -32603 asked for input where it can't
    """)


def test_a_client_without_a_name_is_introduced_to_a_legacy_server_by_ours() -> None:
    meta = '"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}'
    held().play(f"""
        >> 1 prompts/list {{{meta}}}
        <- 1 = {{"resultType": "complete", "prompts": [], "ttlMs": 0, "cacheScope": "private"}}
        == started open
        -> "mcpwrap-discover" server/discover {{{meta}}}
        << "mcpwrap-discover" ! -32601 Method not found
        -> "mcpwrap-initialize" initialize {{"protocolVersion": "2025-11-25", "capabilities": {{}}, "clientInfo": {{"name": "mcpwrap", "version": "{VERSION}"}}}}
    """)  # noqa: E501


def test_an_adapted_servers_list_changes_find_the_subscriptions_among_other_calls() -> None:
    adapted().play("""
        >> 2 tools/call {"name": "a", @}
        -> 2 tools/call {"name": "a"}
        << notifications/tools/list_changed
        <- notifications/tools/list_changed {#7}
    """)
