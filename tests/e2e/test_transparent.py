"""Where everything is allowed and the environment is the same, nobody can tell whether mcpwrap is there.

Each session is run twice, directly and through the installed command, and what the client received is compared value for value.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e import parts, sessions
from tests.e2e.lines import Lines, Message
from tests.e2e.repository import prepare
from tests.e2e.sessions import EVERYTHING_ANSWERS, Session
from tests.e2e.transcript import comparable, difference
from tests.project import Launch, Project, Server

SESSIONS: dict[str, tuple[Callable[[], Server], Session]] = {
    "everything": (parts.everything, Session(sessions.everything, EVERYTHING_ANSWERS)),
    "everything_at_once": (parts.everything, Session(sessions.everything_at_once, {})),
    "filesystem": (parts.filesystem, Session(sessions.filesystem, {})),
    "memory": (parts.memory, Session(sessions.memory, {})),
    "git_legacy": (parts.git, Session(sessions.git_legacy, {})),
    "git_modern": (parts.git, Session(sessions.git_modern, {})),
    "time_legacy": (parts.clock, Session(sessions.time_legacy, {})),
    "time_modern": (parts.clock, Session(sessions.time_modern, {})),
    "modern": (parts.modern, Session(sessions.modern, {})),
}


@pytest.mark.real
@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_behind_mcpwrap_is_the_session_without_it(name: str, project: Project) -> None:
    make, session = SESSIONS[name]
    server = make()
    project.define(server)
    direct = _run(project, project.direct(server), session)
    behind = _run(project, project.behind(server), session)
    assert len(direct) > 4, "the session itself is too short to say anything"
    assert difference(direct, behind) == ""


def test_a_comparison_sees_a_value_a_type_an_order_and_a_message_that_is_missing() -> None:
    """What the comparison above stands on."""
    session: list[Message] = [{"id": 1, "result": {"at": "12:30:01", "n": 1}}, {"id": 2, "result": {}}]
    again: list[Message] = [{"id": 1, "result": {"at": "12:30:59", "n": 1}}, {"id": 2, "result": {}}]
    assert not difference(comparable(session), comparable(again))
    for other in (
        [{"id": 1, "result": {"at": "12:30:01", "n": 2}}, session[1]],
        [{"id": 1, "result": {"at": "12:30:01", "n": 1.0}}, session[1]],
        [{"id": 1, "result": {"at": "12:30:01", "n": True}}, session[1]],
        [{"id": 1, "result": {"at": "12:30:01", "n": 1, "more": None}}, session[1]],
        session[::-1],
        session[:1],
        [*session, {"method": "ping"}],
    ):
        assert difference(comparable(session), comparable(other))


def _run(project: Project, launch: Launch, session: Session) -> list[Message]:
    prepare(project)
    with Lines(launch, session.answers) as lines:
        session.say(lines)
    return comparable(lines.received)
