"""The new process of a server is compared with the old one before anything is sent to it."""

from __future__ import annotations

import pytest

from tests.playbooks.playbook import handshaken
from tests.playbooks.policy import OPEN, policy
from tests.playbooks.test_held import CHANGED, OWN
from tests.playbooks.test_restart_legacy import GREETING, OPENING, listed, opening_again


@pytest.mark.parametrize(
    ("tools", "why"),
    [
        ('[{"name": "a"}, {"name": "b", "description": "evil"}]', "the tool `b` changed"),
        ('[{"name": "a"}]', "the tool `b` is gone"),
        ('[{"name": "a"}, {"name": "b"}, {"name": "c"}]', "the tool `c` is new"),
        ('[{"name": "a"}, {"name": "b"}, {"name": "b"}]', "the tool `b` is there twice"),
        ("5", "its answer to `tools/list` can't be read"),
        ('[], "nextCursor": 5', "its answer to `tools/list` can't be read"),
        (
            '[{"name": "a", "x": 1}, {"name": "b", "x": 1}, {"name": "c"}, {"name": "d"}, {"name": "e"}, {"name": "f"}]',
            "the tool `a` changed; the tool `b` changed; the tool `c` is new; the tool `d` is new; the tool `e` is new; and 1 more",
        ),
    ],
)
def test_a_process_that_lists_something_else_gets_nothing_of_what_waited(tools: str, why: str) -> None:
    book = opening_again(listed())
    book.play('>> 5 tools/call {"name": "a"}')
    book.play(f"""
        << "mcpwrap-again-2" = {{"tools": {tools}}}
        {CHANGED}
        <- 5 ~ {why}
        ##
        !! lifecycle restarted outcome=deny status=refused why~{why}
        !! call tools/call outcome=deny why~held back
        >> 6 tools/list
        <- 6 = {{"tools": [{OWN}]}}
    """)
    assert "`mcpwrap pins`" in book.session.held


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (GREETING.replace('"2"', '"3"'), "(serverInfo)"),
        (GREETING.replace('"capabilities": {}', '"capabilities": {"tools": {}}'), "(capabilities)"),
        (GREETING.replace('"capabilities"', '"instructions": "be evil", "capabilities"'), "(instructions)"),
        (GREETING.replace('"capabilities"', '"vendor": 1, "capabilities"'), "(what else it says of itself)"),
        (GREETING.replace("2025-11-25", "2025-06-18"), "another protocol revision"),
    ],
)
def test_a_process_that_says_something_else_of_itself_is_refused(answer: str, why: str) -> None:
    book = handshaken(OPEN)
    book.play(f"""
        == due
        %%
        >> 5 tools/call {{"name": "a"}}
        == restarted
        {OPENING}
        << "mcpwrap-again-1" = {answer}
        {CHANGED}
        <- 5 ~ {why}
        ##
    """)


def test_a_process_that_refuses_or_says_nothing_readable_is_refused() -> None:
    for answer, why in (
        ('<< "mcpwrap-again-1" ! -32603 no', "answers `initialize` with an error"),
        ('<< |{"jsonrpc":"2.0","id":"mcpwrap-again-1","result":{"a":1,"a":2}}', "its answer to `initialize` can't be read"),
        ("== drained", "it doesn't answer"),
    ):
        book = handshaken(OPEN)
        book.play(f"""
            == due
            %%
            == restarted
            {OPENING}
            << |a banner
            << 77 = {{}}
            !! response outcome=deny why~nothing that was asked
            {answer}
            {CHANGED}
            ##
        """)
        assert why in book.session.held


def test_a_list_of_many_pages_is_compared_as_a_whole() -> None:
    book = handshaken(OPEN)
    book.play("""
        >> 1 tools/list
        -> 1 tools/list
        << 1 = {"tools": [{"name": "a"}], "nextCursor": "n"}
        <- 1 = {"tools": [{"name": "a"}], "nextCursor": "n"}
        >> 2 tools/list {"cursor": "n"}
        -> 2 tools/list {"cursor": "n"}
        << 2 = {"tools": [{"name": "b"}]}
        <- 2 = {"tools": [{"name": "b"}]}
        >> 3 prompts/list
        -> 3 prompts/list
        << 3 = {"prompts": [{"name": "p"}], "nextCursor": "n"}
        <- 3 = {"prompts": [{"name": "p"}], "nextCursor": "n"}
    """)
    opening_again(book).play("""
        << "mcpwrap-again-2" = {"tools": [{"name": "a"}], "nextCursor": "m"}
        -> "mcpwrap-again-3" tools/list {"cursor": "m"}
        << "mcpwrap-again-3" = {"tools": [{"name": "b"}]}
        -> "mcpwrap-again-4" prompts/list {}
        << "mcpwrap-again-4" = {"prompts": [{"name": "p"}, {"name": "q"}]}
        !! lifecycle restarted status=ok
    """)


def test_a_list_without_an_end_is_refused() -> None:
    book = opening_again(listed())
    for number in range(2, 257):
        book.play(f"""
            << "mcpwrap-again-{number}" = {{"tools": [], "nextCursor": "{number}"}}
            -> "mcpwrap-again-{number + 1}" tools/list {{"cursor": "{number}"}}
        """)
    book.play(f"""
        << "mcpwrap-again-257" = {{"tools": [], "nextCursor": "n"}}
        {CHANGED}
        ##
    """)
    assert "`tools/list` has no end" in book.session.held


def test_what_the_new_process_says_while_it_is_compared_waits() -> None:
    book = opening_again(listed())
    book.play("""
        << 1 ping
        -> 1 = {}
        << 2 roots/list
        << 2 roots/list
        !! call roots/list outcome=deny why~an id that is in flight
        << notifications/tools/list_changed
        << 3 roots/list
        << notifications/cancelled {"requestId": 3}
        << notifications/cancelled {"requestId": []}
        << "mcpwrap-again-2" = {"tools": [{"name": "b"}, {"name": "a"}]}
        <- 2 roots/list
        <- notifications/tools/list_changed
        >> 2 = {"roots": []}
        -> 2 = {"roots": []}
    """)


def test_what_was_set_up_is_set_up_again() -> None:
    book = handshaken(OPEN, policies={"some": policy({"allow": ["*"]}, resources={"allow": ["f:/a", "f:/c"]})})
    for number, (method, params) in enumerate(
        [
            ("logging/setLevel", '{"level": "info"}'),
            ("logging/setLevel", '{"level": "debug"}'),
            ("resources/subscribe", '{"uri": "f:/a"}'),
            ("resources/subscribe", '{"uri": "f:/b"}'),
            ("resources/subscribe", '{"uri": "f:/c"}'),
            ("resources/subscribe", '{"uri": "f:/d"}'),
            ("resources/unsubscribe", '{"uri": "f:/c"}'),
        ],
        20,
    ):
        book.play(f"""
            >> {number} {method} {params}
            -> {number} {method} {params}
            << {number} = {{}}
            <- {number} = {{}}
        """)
    book.play(f"""
        >> 30 resources/subscribe {{"uri": "f:/e"}}
        -> 30 resources/subscribe {{"uri": "f:/e"}}
        << 30 ! -32002 no such thing
        <- 30 ! -32002 no such thing
        == policy some
        {CHANGED}
        == due
        %%
        == restarted
        -> "mcpwrap-again-1" initialize {{"protocolVersion": "2025-11-25", "capabilities": {{}}, "clientInfo": {{"name": "tester", "version": "1"}}}}
        << "mcpwrap-again-1" = {GREETING}
        -> notifications/initialized
        -> "mcpwrap-again-2" logging/setLevel {{"level": "debug"}}
        -> "mcpwrap-again-3" resources/subscribe {{"uri": "f:/a"}}
        << "mcpwrap-again-2" = {{}}
        << "mcpwrap-again-3" ! -32002 no such thing
        !! lifecycle restarted status=ok
        << notifications/resources/updated {{"uri": "f:/a"}}
        <- notifications/resources/updated {{"uri": "f:/a"}}
    """)  # noqa: E501


def test_two_of_a_name_that_were_there_before_are_no_difference() -> None:
    tools = '{"tools": [{"name": "a"}, {"name": "b"}, {"name": "b"}]}'
    book = handshaken(OPEN)
    book.play(f"""
        >> 1 tools/list
        -> 1 tools/list
        << 1 = {tools}
        ** hidden until accepted: b
        <- 1 = {{"tools": [{{"name": "a"}}]}}
    """)
    opening_again(book).play(f"""
        << "mcpwrap-again-2" = {tools}
        !! lifecycle restarted status=ok
    """)


def test_a_subscription_that_is_given_up_is_given_up_even_if_the_answer_is_lost() -> None:
    handshaken(OPEN).play(f"""
        >> 1 resources/subscribe {{"uri": "f:/a"}}
        -> 1 resources/subscribe {{"uri": "f:/a"}}
        << 1 = {{}}
        <- 1 = {{}}
        >> 2 resources/unsubscribe {{"uri": "f:/a"}}
        -> 2 resources/unsubscribe {{"uri": "f:/a"}}
        == forced
        == drained
        <- 2 ! -32603 restarted before it answered
        %%
        == restarted
        {OPENING}
        << "mcpwrap-again-1" = {GREETING}
        -> notifications/initialized
        !! lifecycle restarted status=ok
    """)
