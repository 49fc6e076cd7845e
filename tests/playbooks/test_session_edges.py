"""The session itself: what is handed to it, batches of odd members, a server that speaks while it is held."""

from __future__ import annotations

from mcpwrap.core.commands import Record, ToClient
from mcpwrap.core.events import ClientLine, ServerLine
from mcpwrap.core.session import Session
from mcpwrap.core.world import World
from tests.playbooks.playbook import handshaken, line_of
from tests.playbooks.policy import OPEN
from tests.playbooks.test_conditions import rules
from tests.playbooks.test_held import held


def test_what_is_known_of_the_world_is_judged_by() -> None:
    made = rules('allow = ["*"]\n[[servers.files.rules]]\ndeny = ["*"]\nwhen = \'project == "shop"\'\n')
    for project, count in (("shop", 0), ("other", 1)):
        session = Session(server="files", refs="r", rules=made, world=World(project=project))
        out = session.handle(ClientLine(line_of('1 tools/call {"name": "a"}'), 0.0))
        records = [command.entry for command in out if isinstance(command, Record)]
        assert [entry.outcome for entry in records] == ["allow" if count else "deny"]


def test_without_a_notice_there_is_no_tool_of_our_own() -> None:
    session = Session(server="files", refs="r", rules=OPEN)
    session.handle(ClientLine(line_of("1 tools/list"), 0.0))
    (sent,) = [c for c in session.handle(ServerLine(line_of('1 = {"tools": []}'), 0.0)) if isinstance(c, ToClient)]
    assert sent.line == line_of('1 = {"tools": []}')


def test_a_server_that_speaks_before_it_was_started_is_not_heard() -> None:
    held().play("""
        << 1 = {}
        << "mcpwrap-initialize" = {"protocolVersion": "2025-11-25"}
        << notifications/tools/list_changed
        << 5 roots/list
        -> 5 ! -32603 the session is held
    """)


def test_a_batch_of_what_has_no_record_is_passed_on() -> None:
    handshaken(OPEN, "2025-03-26").play("""
        >> [{"id": 1, "method": "ping"}]
        -> [{"id": 1, "method": "ping"}]
        << [{"id": 1, "result": {}}]
        <- [{"id": 1, "result": {}}]
    """)


def test_where_one_call_of_a_batch_cant_be_recorded_none_of_it_runs() -> None:
    for unrecorded in ("r1", "r1 r2"):
        handshaken(OPEN, "2025-03-26").play(f"""
            >> [{{"id": 1, "method": "tools/call", "params": {{"name": "a"}}}}, {{"id": 2, "method": "tools/call", "params": {{"name": "b"}}}}]
            -> [{{"id": 1, "method": "tools/call", "params": {{"name": "a"}}}}, {{"id": 2, "method": "tools/call", "params": {{"name": "b"}}}}]
            == unrecorded {unrecorded}
            <- 1 ! -32603 nothing was run
            <- 2 ! -32603 nothing was run
        """)  # noqa: E501


def test_a_question_in_a_batch_that_may_not_be_fails_no_call_of_its_id() -> None:
    handshaken(OPEN).play("""
        >> 1 tools/call {"name": "a"}
        -> 1 tools/call {"name": "a"}
        << [{"id": 1, "method": "roots/list"}]
        !! notification direction=server outcome=deny why~a batch where the revision has none
        << 1 = {}
        <- 1 = {}
    """)
