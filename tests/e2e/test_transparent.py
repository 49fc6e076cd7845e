"""Where everything is allowed and the environment is the same, nobody can tell whether mcpwrap is there (ARCHITECTURE.md, invariants).

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
    assert not difference(direct, behind)


@pytest.mark.real
@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_without_mcpwrap_is_the_same_each_time(name: str, project: Project) -> None:
    """What the comparison above stands on."""
    make, session = SESSIONS[name]
    launch = project.direct(make())
    assert not difference(_run(project, launch, session), _run(project, launch, session))


def _run(project: Project, launch: Launch, session: Session) -> list[Message]:
    prepare(project)
    with Lines(launch, session.answers) as lines:
        session.say(lines)
    return comparable(lines.received)
