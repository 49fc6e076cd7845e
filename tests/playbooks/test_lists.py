"""Lists show what would not surely be denied, by the same decision as the calls."""

from __future__ import annotations

import json

import pytest

from mcpwrap.core.listing import status_tool
from tests.playbooks.playbook import Playbook, handshaken
from tests.playbooks.policy import CLOSED, OPEN, policy

RULES = policy(
    {"allow": ["read_*"], "ask": ["write_*"], "log": ["make_*"], "deny": ["read_secret"]},
    resources={"allow": ["file:///docs/**"], "deny": ["file:///docs/private/**"]},
    prompts={"allow": ["greet"]},
)

TOOLS = '{"name": "read_a", "x": 1}, {"name": "read_secret"}, {"name": "write_a"}, {"name": "make_a"}, {"name": "delete"}'
SHOWN = '{"name": "read_a", "x": 1}, {"name": "write_a"}, {"name": "make_a"}'


def test_a_list_of_tools_is_filtered_in_the_servers_order_and_counted() -> None:
    handshaken(RULES).play(f"""
        >> 1 tools/list
        -> 1 tools/list
        << 1 = {{"tools": [{TOOLS}]}}
        !! list tools/list outcome=allow counts={{'total':5,'shown':3}}
        <- 1 = {{"tools": [{SHOWN}]}}
    """)


def test_a_filtered_modern_list_is_not_to_be_cached() -> None:
    """A revocation would stay invisible."""
    Playbook(RULES).play("""
        >> 1 tools/list {@}
        -> 1 tools/list {@}
        << 1 = {"resultType": "complete", "tools": [{"name": "read_a"}, {"name": "delete"}], "ttlMs": 60000, "cacheScope": "public"}
        <- 1 = {"resultType": "complete", "tools": [{"name": "read_a"}], "ttlMs": 0, "cacheScope": "private"}
        >> 2 tools/list {@}
        -> 2 tools/list {@}
        << 2 = {"resultType": "complete", "tools": [{"name": "read_a"}], "ttlMs": 60000, "cacheScope": "public"}
        <- 2 = {"resultType": "complete", "tools": [{"name": "read_a"}], "ttlMs": 0, "cacheScope": "private"}
    """)


def test_where_everything_is_allowed_a_modern_list_stays_cacheable() -> None:
    Playbook(OPEN).play("""
        >> 1 tools/list {@}
        -> 1 tools/list {@}
        << 1 = {"resultType": "complete", "tools": [{"name": "read_a"}], "ttlMs": 60000, "cacheScope": "public"}
        <- 1 = {"resultType": "complete", "tools": [{"name": "read_a"}], "ttlMs": 60000, "cacheScope": "public"}
    """)


def test_the_cursor_stays_even_where_the_filter_empties_a_page() -> None:
    handshaken(CLOSED).play("""
        >> 1 tools/list {"cursor": ""}
        -> 1 tools/list {"cursor": ""}
        << 1 = {"tools": [{"name": "a"}], "nextCursor": ""}
        <- 1 = {"tools": [], "nextCursor": ""}
        >> 2 tools/list {"cursor": ""}
        -> 2 tools/list {"cursor": ""}
        << 2 = {"tools": []}
        <- 2 = {"tools": []}
    """)


def test_prompts_resources_and_templates_are_filtered_each_by_its_table() -> None:
    handshaken(RULES).play("""
        >> 1 prompts/list
        -> 1 prompts/list
        << 1 = {"prompts": [{"name": "greet"}, {"name": "other"}]}
        <- 1 = {"prompts": [{"name": "greet"}]}
        >> 2 resources/list
        -> 2 resources/list
        << 2 = {"resources": [{"uri": "file:///docs/a"}, {"uri": "file:///docs/private/a"}, {"uri": "file:///docs/../a"}]}
        <- 2 = {"resources": [{"uri": "file:///docs/a"}]}
        >> 3 resources/templates/list
        -> 3 resources/templates/list
        << 3 = {"resourceTemplates": [{"uriTemplate": "file:///{p}"}, {"uriTemplate": "file:///docs/private/{+p}"}, {"uriTemplate": "x:{p}"}]}
        <- 3 = {"resourceTemplates": [{"uriTemplate": "file:///{p}"}]}
    """)  # noqa: E501 - one message a line
    handshaken(RULES).play("""
        >> 4 resources/templates/list
        -> 4 resources/templates/list
        << 4 = {"resourceTemplates": [{"uriTemplate": "file:///docs/../{p}"}]}
        <- 4 = {"resourceTemplates": []}
    """)


def test_what_cannot_be_judged_is_not_shown() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/list
        -> 1 tools/list
        << 1 = {"tools": [{"name": "a"}, {"name": 7}, "b", {}, null, {"name": "c", "Name": "b"}]}
        <- 1 = {"tools": [{"name": "a"}]}
    """)


@pytest.mark.parametrize("items", ["5", "null", '{"0": {"name": "delete"}}', '"abc"'])
@pytest.mark.parametrize("notice", ["", "a change waits"])
def test_a_list_that_is_none_is_not_passed_on(items: str, notice: str) -> None:
    handshaken(OPEN, notice=notice).play(f"""
        >> 1 tools/list
        -> 1 tools/list
        << 1 = {{"tools": {items}}}
        !! response tools/list outcome=deny status=refused why~must be an array
        <- 1 ! -32603 `tools` must be an array
    """)


def test_an_answer_without_its_list_is_passed_on() -> None:
    handshaken(CLOSED).play("""
        >> 1 resources/list
        -> 1 resources/list
        << 1 = {"vendor": 1}
        <- 1 = {"vendor": 1}
    """)


def test_a_servers_own_tools_of_our_prefix_are_hidden_and_refused() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/list
        -> 1 tools/list
        << 1 = {"tools": [{"name": "mcpwrap_status"}, {"name": "mcpwrap_x"}, {"name": "mcpwrapper"}]}
        <- 1 = {"tools": [{"name": "mcpwrapper"}]}
        >> 2 tools/call {"name": "mcpwrap_x"}
        <- 2 ! -32602 Unknown tool
        !! call tools/call outcome=deny why~mcpwrap's own
    """)


def test_a_notice_is_listed_as_a_tool_on_the_last_page_and_can_be_called() -> None:
    own = json.dumps(status_tool())
    handshaken(CLOSED, notice="a change waits").play(f"""
        >> 1 tools/list
        -> 1 tools/list
        << 1 = {{"tools": [{{"name": "a"}}], "nextCursor": "2"}}
        <- 1 = {{"tools": [], "nextCursor": "2"}}
        >> 2 tools/list {{"cursor": "2"}}
        -> 2 tools/list {{"cursor": "2"}}
        << 2 = {{"tools": [{{"name": "mcpwrap_status", "evil": 1}}]}}
        <- 2 = {{"tools": [{own}]}}
        >> 3 tools/list
        -> 3 tools/list
        << 3 = {{"tools": [], "nextCursor": null}}
        <- 3 = {{"tools": [{own}], "nextCursor": null}}
        >> 4 tools/list
        -> 4 tools/list
        << 4 = {{}}
        <- 4 = {{"tools": [{own}]}}
        >> 5 tools/call {{"name": "mcpwrap_status"}}
        <- 5 = {{"content": [{{"type": "text", "text": "a change waits"}}], "isError": false}}
        >> 7 tools/call {{"name": "mcpwrap_x"}}
        <- 7 ! -32602 Unknown tool
        >> 8 prompts/list
        -> 8 prompts/list
        << 8 = {{"prompts": []}}
        <- 8 = {{"prompts": []}}
        >> 6 tools/call {{"name": "mcpwrap_status", @}}
        <- 6 = {{"resultType": "complete", "content": [{{"type": "text", "text": "a change waits"}}], "isError": false}}
    """)


def test_a_notice_that_comes_or_goes_is_announced_once_by_a_changed_list() -> None:
    book = handshaken(OPEN)
    changed = """
        <- notifications/tools/list_changed
        <- notifications/prompts/list_changed
        <- notifications/resources/list_changed
    """
    book.play(f"""
        == notice a change waits
        {changed}
        == notice a change waits
        == notice
        {changed}
        >> 1 tools/call {{"name": "mcpwrap_status"}}
        <- 1 ! -32602 Unknown tool
    """)


def test_a_changed_policy_counts_from_the_next_message_on() -> None:
    handshaken(OPEN, policies={"closed": CLOSED}).play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        << 1 = {}
        <- 1 = {}
        >> 2 tools/list
        -> 2 tools/list
        == policy closed
        <- notifications/tools/list_changed
        <- notifications/prompts/list_changed
        <- notifications/resources/list_changed
        << 2 = {"tools": [{"name": "a"}]}
        <- 2 = {"tools": []}
        >> 3 tools/call {"name": "a"}
        <- 3 ! -32602 Unknown tool
    """)


def test_before_the_client_is_ready_no_list_change_is_sent() -> None:
    Playbook(OPEN, policies={"closed": CLOSED}).play("""
        == policy closed
        >> 1 initialize {"protocolVersion": "2025-11-25"}
        -> 1 initialize {"protocolVersion": "2025-11-25"}
        == policy closed
    """)


def test_a_list_with_our_own_tool_in_it_or_a_servers_out_of_it_is_not_to_be_cached() -> None:
    caching = '"ttlMs": 0, "cacheScope": "private"'
    Playbook(OPEN, notice="a change waits").play(f"""
        >> 1 tools/list {{@}}
        -> 1 tools/list {{@}}
        << 1 = {{"tools": [], "ttlMs": 9, "cacheScope": "public"}}
        <- 1 = {{"tools": [{json.dumps(status_tool())}], {caching}}}
    """)
    Playbook(OPEN).play(f"""
        >> 1 tools/list {{@}}
        -> 1 tools/list {{@}}
        << 1 = {{"tools": [{{"name": "mcpwrap_x"}}], "ttlMs": 9, "cacheScope": "public"}}
        <- 1 = {{"tools": [], {caching}}}
    """)
