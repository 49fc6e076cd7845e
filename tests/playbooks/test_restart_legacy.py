"""A server is restarted for new credentials while a client with a handshake goes on (IDENTITY.md §4, ``env``)."""

from __future__ import annotations

import pytest

from tests.playbooks.playbook import Playbook, handshaken
from tests.playbooks.policy import CLOSED, OPEN, policy
from tests.playbooks.test_held import CHANGED, OWN

OPENING = (
    '-> "mcpwrap-again-1" initialize {"protocolVersion": "2025-11-25", "capabilities": {}, '
    '"clientInfo": {"name": "tester", "version": "1"}}'
)
GREETING = '{"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "files", "version": "2"}}'
BACK = f"""
    == restarted
    {OPENING}
    << "mcpwrap-again-1" = {GREETING}
    -> notifications/initialized
"""
LISTED = """
    >> 50 tools/list
    -> 50 tools/list
    << 50 = {"tools": [{"name": "a"}, {"name": "b"}]}
    <- 50 = {"tools": [{"name": "a"}, {"name": "b"}]}
"""


def listed() -> Playbook:
    """A session that saw the server's tools."""
    book = handshaken(OPEN, policies={"closed": CLOSED})
    book.play(LISTED)
    return book


def opening_again(book: Playbook) -> Playbook:
    """Its server restarted, and asked for its tools."""
    book.play("""
        == due
        %%
    """)
    book.play(BACK + '    -> "mcpwrap-again-2" tools/list {}')
    return book


def test_an_idle_server_is_restarted_at_once_and_the_client_sees_nothing() -> None:
    book = opening_again(listed())
    book.play("""
        << "mcpwrap-again-2" = {"tools": [{"name": "b"}, {"name": "a"}]}
        !! lifecycle restarted status=ok
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        << 1 = {"content": []}
        <- 1 = {"content": []}
        == due
        %%
    """)


def test_a_server_at_work_is_restarted_once_it_has_answered() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        == due
        >> 2 tools/call {"name": "b"}
        -> 2 tools/call {"name": "b"}
        << 1 = {"content": []}
        <- 1 = {"content": []}
        << 2 = {"content": []}
        <- 2 = {"content": []}
        %%
    """)


def test_what_the_server_asked_and_the_client_has_not_answered_keeps_it_from_being_idle() -> None:
    handshaken(OPEN).play("""
        << 1 roots/list
        <- 1 roots/list
        == due
        >> 1 = {"roots": []}
        -> 1 = {"roots": []}
        %%
    """)


def test_a_cancelled_call_does_not_keep_it_from_being_idle_and_is_recorded() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        == due
        >> notifications/cancelled {"requestId": 1}
        -> notifications/cancelled {"requestId": 1}
        %%
        !! response tools/call status=cancelled ref=r1
    """)


TASK = """
    >> 1 tools/call {"name": "a", "task": {}}
    -> 1 tools/call {"name": "a", "task": {}}
    << 1 = {"task": {"taskId": "t", "status": "working"}}
    <- 1 = {"task": {"taskId": "t", "status": "working"}}
    == due
"""


@pytest.mark.parametrize(
    "end",
    [
        """
        << notifications/tasks/status {"taskId": "t", "status": "completed"}
        <- notifications/tasks/status {"taskId": "t", "status": "completed"}
        %%
        """,
        """
        >> 2 tasks/get {"taskId": "t"}
        -> 2 tasks/get {"taskId": "t"}
        << 2 = {"taskId": "t", "status": "working"}
        <- 2 = {"taskId": "t", "status": "working"}
        >> 3 tasks/get {"taskId": "t"}
        -> 3 tasks/get {"taskId": "t"}
        << 3 = {"taskId": "t", "status": "failed"}
        <- 3 = {"taskId": "t", "status": "failed"}
        %%
        """,
        """
        >> 2 tasks/result {"taskId": "t"}
        -> 2 tasks/result {"taskId": "t"}
        << 2 = {"content": []}
        <- 2 = {"content": []}
        %%
        """,
        """
        >> 2 tasks/get {"taskId": "t"}
        -> 2 tasks/get {"taskId": "t"}
        << 2 ! -32603 busy
        <- 2 ! -32603 busy
        >> 3 tasks/get {"taskId": "t"}
        -> 3 tasks/get {"taskId": "t"}
        << 3 ! -32602 unknown
        <- 3 ! -32602 unknown
        %%
        """,
        """
        == forced
        %%
        """,
    ],
)
def test_a_task_keeps_the_server_until_its_end_was_seen_or_the_restart_is_forced(end: str) -> None:
    book = handshaken(OPEN)
    book.play(TASK)
    book.play(end)


def test_a_task_that_ended_with_its_call_keeps_nothing() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/call {"name": "a", "task": {}}
        -> 1 tools/call {"name": "a", "task": {}}
        << 1 = {"task": {"taskId": "t", "status": "completed"}}
        <- 1 = {"task": {"taskId": "t", "status": "completed"}}
        == due
        %%
    """)


def test_a_client_that_has_not_greeted_yet_is_waited_for() -> None:
    question = '{"protocolVersion": "2025-11-25", "capabilities": {}}'
    Playbook(OPEN).play(f"""
        >> 0 initialize {question}
        -> 0 initialize {question}
        == due
        << 0 = {GREETING}
        <- 0 = {GREETING}
        >> notifications/initialized
        -> notifications/initialized
        %%
    """)


def test_a_forced_restart_drains_queues_and_goes_on_in_order() -> None:
    book = handshaken(OPEN)
    book.play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        << 7 roots/list
        <- 7 roots/list
        == forced
        == forced
        == due
        >> 2 tools/call {"name": "b"}
        >> 2 tools/call {"name": "again"}
        !! call outcome=deny why~an id that is in flight
        >> "1" tools/call {"name": "again"}
        !! call outcome=deny why~an id that is in flight
        >> notifications/roots/list_changed
        -> notifications/roots/list_changed
        >> 7 = {"roots": []}
        -> 7 = {"roots": []}
        >> 3 ping
        >> notifications/cancelled {"requestId": 2}
        >> 4 tools/call {"name": "c"}
        << notifications/message {"data": "x"}
        <- notifications/message {"data": "x"}
        << 1 = {"content": []}
        <- 1 = {"content": []}
        %%
        << 4 = {"content": ["the old process"]}
        << 9 roots/list
        << |nonsense
        >> 5 resources/list
        >> notifications/roots/list_changed
        >> notifications/vendor/a
    """)
    # nothing was listed, so that nothing is left to compare
    book.play(
        BACK
        + """
        -> 3 ping
        -> 4 tools/call {"name": "c"}
        -> 5 resources/list
        -> notifications/roots/list_changed
        -> notifications/vendor/a
    """
    )
    assert book.session.phase is None


def test_what_waited_is_released_after_the_comparison() -> None:
    book = listed()
    book.play("""
        == due
        %%
        >> 5 tools/call {"name": "a"}
        >> notifications/roots/list_changed
        >> 6 tools/call {"name": "b"}
        >> 7 tools/call {"name": "c"}
        >> notifications/cancelled {"requestId": 7}
    """)
    book.play(BACK + '    -> "mcpwrap-again-2" tools/list {}')
    book.play("""
        >> 8 ping
        << "mcpwrap-again-2" = {"tools": [{"name": "b"}, {"name": "a"}]}
        -> 5 tools/call {"name": "a"}
        -> notifications/roots/list_changed
        -> 6 tools/call {"name": "b"}
        -> 8 ping
        !! lifecycle restarted status=ok
        !! call tools/call outcome=allow tool=a
        !! call tools/call outcome=allow tool=b
    """)


def test_what_waited_is_judged_by_the_rules_of_when_it_is_released() -> None:
    book = listed()
    book.play(f"""
        == due
        %%
        >> 5 tools/call {{"name": "a"}}
        == policy closed
        {CHANGED}
    """)
    book.play(BACK + '    -> "mcpwrap-again-2" tools/list {}')
    book.play("""
        << "mcpwrap-again-2" = {"tools": [{"name": "a"}, {"name": "b"}]}
        <- 5 ! -32602 Unknown tool: a
        !! lifecycle restarted status=ok
        !! call tools/call outcome=deny tool=a
    """)


def test_what_is_in_flight_too_long_is_lost_on_both_sides() -> None:
    book = handshaken(OPEN)
    book.play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        << 7 sampling/createMessage {"messages": []}
        <- 7 sampling/createMessage {"messages": []}
        == drained
        == forced
        >> 2 tools/call {"name": "b"}
        == drained
        <- 1 ! -32603 "files" was restarted before it answered
        <- notifications/cancelled {"requestId": 7, "reason": "the server that asked is gone"}
        %%
        !! response tools/call status=lost ref=r1
        !! response sampling/createMessage status=lost
        == drained
        << 1 = {"content": []}
        >> notifications/progress {"progressToken": 1, "progress": 1}
        !! notification outcome=deny why~progress of nothing
    """)
    book.play(f"""
        == restarted
        {OPENING}
        << "mcpwrap-again-1" = {GREETING}
        -> notifications/initialized
        -> 2 tools/call {{"name": "b"}}
        << 7 sampling/createMessage {{"messages": ["of the new process"]}}
        -> 7 ! -32603 use another id
        >> 7 = {{"role": "user", "content": "to the old one"}}
        !! response outcome=deny why~nothing that was asked
        << 7 sampling/createMessage {{"messages": []}}
        <- 7 sampling/createMessage {{"messages": []}}
    """)


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


def test_a_batch_waits_and_goes_on_as_one() -> None:
    book = handshaken(OPEN, "2025-03-26")
    opening, greeting = (each.replace("2025-11-25", "2025-03-26") for each in (OPENING, GREETING))
    book.play(f"""
        == due
        %%
        >> [{{"id": 1, "method": "ping"}}, {{"id": 2, "method": "tools/list"}}, {{"method": "notifications/roots/list_changed"}}]
        >> [{{"id": 3, "method": "ping"}}]
        >> 4 ping
        >> notifications/cancelled {{"requestId": 1}}
        == restarted
        {opening}
        << "mcpwrap-again-1" = {greeting}
        -> notifications/initialized
        -> [{{"id": 2, "method": "tools/list"}}, {{"method": "notifications/roots/list_changed"}}]
        -> [{{"id": 3, "method": "ping"}}]
        -> 4 ping
    """)


@pytest.mark.parametrize("end", ["== exited it can't be started", "== withheld not trusted"])
@pytest.mark.parametrize(
    "before",
    [
        "== due",
        "== forced",
        "== forced\n == drained\n <- 1 ! -32603 restarted\n %%",
        f"== forced\n == drained\n <- 1 ! -32603 restarted\n %%\n == restarted\n {OPENING}",
    ],
)
def test_a_session_that_is_held_in_the_middle_answers_what_waits(before: str, end: str) -> None:
    book = handshaken(OPEN)
    why = end.partition(" ")[2].partition(" ")[2]
    owed = "" if "drained" in before else f"<- 1 ! -32603 {why}"
    waits = '>> 2 tools/call {"name": "b"}\n >> [{"id": 3, "method": "ping"}]\n <- 3 ! -32600 batches\n >> 4 ping'
    queued = waits if "forced" in before else ""
    answered = f"<- 2 ~ {why}\n <- 4 = {{}}" if queued else ""
    book.play(f"""
        >> 1 tools/call {{"name": "a"}}
        -> 1 tools/call {{"name": "a"}}
        {before}
        {queued}
        {end}
        {owed}
        {CHANGED}
        {answered}
        {"##" if "withheld" in end else ""}
        == drained
        == restarted
        == began
        == due
        == forced
        >> 9 ping
        <- 9 = {{}}
    """)
    assert book.session.phase is None


def test_when_the_client_goes_what_waits_is_forgotten() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        == forced
        >> 2 tools/call {"name": "b"}
        == gone
        !! response tools/call status=lost ref=r1
        == restarted
    """)


def test_a_call_that_cannot_be_recorded_leaves_the_server_idle() -> None:
    handshaken(OPEN).play("""
        == due
        %%
    """)
    book = handshaken(OPEN)
    book.play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        == due
        == unrecorded r1
        <- 1 ! -32603 nothing was run
        %%
    """)


def test_a_greeting_that_is_lost_leaves_a_session_that_was_not_opened() -> None:
    Playbook(OPEN).play("""
        >> 0 initialize {"protocolVersion": "2025-11-25"}
        -> 0 initialize {"protocolVersion": "2025-11-25"}
        == forced
        == drained
        <- 0 ! -32603 restarted before it answered
        %%
        >> notifications/initialized
        >> 1 initialize {"protocolVersion": "2025-11-25"}
        == restarted
        -> notifications/initialized
        -> 1 initialize {"protocolVersion": "2025-11-25"}
    """)


def test_a_client_that_greets_late_greets_the_new_process_once() -> None:
    question = '{"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "tester", "version": "1"}}'
    for late in ("absent", "opening", "after"):
        book = Playbook(OPEN)
        greets = ">> notifications/initialized"
        book.play(f"""
            >> 0 initialize {question}
            -> 0 initialize {question}
            << 0 = {GREETING}
            <- 0 = {GREETING}
            == forced
            %%
            {greets if late == "absent" else ""}
            == restarted
            {OPENING}
            {greets if late == "opening" else ""}
            << "mcpwrap-again-1" = {GREETING}
            -> notifications/initialized
            {greets if late == "after" else ""}
            == due
            %%
        """)


def test_about_the_clients_own_tasks_nothing_waits() -> None:
    handshaken(OPEN).play("""
        << 1 sampling/createMessage {"messages": [], "task": {}}
        <- 1 sampling/createMessage {"messages": [], "task": {}}
        >> 1 = {"task": {"taskId": "c", "status": "working"}}
        -> 1 = {"task": {"taskId": "c", "status": "working"}}
        == due
        %%
        >> notifications/tasks/status {"taskId": "c", "status": "completed"}
        !! notification outcome=deny why~a process that is gone
        >> tools/call {"name": "a"}
        !! notification outcome=deny why~a request without an id
    """)


def test_another_server_that_is_started_meanwhile_only_brings_its_rules() -> None:
    book = handshaken(OPEN, policies={"closed": CLOSED})
    book.play(f"""
        == due
        %%
        >> 5 tools/call {{"name": "a"}}
        == started closed
        == restarted
        {OPENING}
        << "mcpwrap-again-1" = {GREETING}
        -> notifications/initialized
        <- 5 ! -32602 Unknown tool
    """)
