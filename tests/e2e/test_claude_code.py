"""Claude Code's own health check of the servers in its configuration; it needs no account. It opens with the modern family."""

from __future__ import annotations

import subprocess

import pytest

from tests.e2e import parts
from tests.e2e.conftest import Reach
from tests.project import Launch, Project, Server

pytestmark = pytest.mark.real

DEADLINE_S = 120.0

OFFLINE = {"DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}


@pytest.mark.parametrize("make", [parts.everything, parts.git, parts.clock])
def test_claude_code_connects(make: object, reach: Reach) -> None:
    assert callable(make)
    server: Server = make()
    launch = reach(server)
    claude(launch, "mcp", "add", "--scope", "local", server.name, "--", *launch.argv)
    assert state(claude(launch, "mcp", "list"), server.name).endswith("Connected")


def test_claude_code_connects_to_a_project_that_nobody_trusted_yet(project: Project) -> None:
    """The person learns of it in the session, not from a dead server (POLICY.md §5, held state)."""
    server = parts.clock()
    project.write("version = 1\n" + server.definition('allow = ["*"]'))
    launch = project.behind(server)
    claude(launch, "mcp", "add", "--scope", "local", server.name, "--", *launch.argv)
    assert state(claude(launch, "mcp", "list"), server.name).endswith("Connected")


def claude(launch: Launch, *args: str) -> str:
    """Run one command of Claude Code and return what it prints."""
    ended = subprocess.run(
        [parts.claude(), *args],
        env={**launch.env, **OFFLINE},
        cwd=launch.cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def state(listing: str, name: str) -> str:
    """The line of one server in the listing."""
    lines = [line.strip() for line in listing.splitlines() if line.startswith(f"{name}:")]
    assert len(lines) == 1, listing
    return lines[0]
