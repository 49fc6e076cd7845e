"""The TypeScript SDK's client in its three modes, in front of real servers of both families."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import parts
from tests.e2e.conftest import Reach
from tests.project import Launch

pytestmark = pytest.mark.real

SCRIPT = Path(__file__).with_name("client.mjs")
DEADLINE_S = 120.0
MODES = ("legacy", "auto", "pin")


@pytest.mark.parametrize("mode", MODES)
def test_the_git_server_works_in_every_mode(mode: str, reach: Reach) -> None:
    calls = [["git_log", {"repo_path": "repo", "max_count": 1}], ["git_log", {"repo_path": "/"}], ["no_such_tool", {}]]
    seen = talk(reach(parts.git()), mode, calls)
    assert seen["era"] == ("legacy" if mode == "legacy" else "modern")
    assert {"git_status", "git_log", "git_reset"} <= set(seen["tools"])
    log, outside, unknown = seen["calls"]
    assert "Commit 2" in log["text"]
    assert outside["isError"]
    assert unknown["code"] == -32602


@pytest.mark.parametrize("mode", MODES)
def test_the_time_server_works_in_every_mode(mode: str, reach: Reach) -> None:
    noon = {"source_timezone": "UTC", "time": "12:30", "target_timezone": "Asia/Tokyo"}
    seen = talk(reach(parts.clock()), mode, [["convert_time", noon]])
    assert seen["tools"] == ["get_current_time", "convert_time"]
    assert "21:30" in seen["calls"][0]["text"]


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_legacy_server_asks_the_client_back(mode: str, reach: Reach) -> None:
    calls = [["echo", {"message": "hi"}], ["trigger-sampling-request", {"prompt": "p"}], ["trigger-elicitation-request", {}]]
    seen = talk(reach(parts.everything()), mode, calls)
    assert seen["revision"] == "2025-11-25"
    echo, sampling, elicitation = seen["calls"]
    assert echo["text"] == "Echo: hi"
    assert "from the client" in sampling["text"]
    assert "Ann" in elicitation["text"]


def talk(launch: Launch, mode: str, calls: list[Any]) -> dict[str, Any]:
    """Run client.mjs and return what it saw."""
    parts.script("@modelcontextprotocol/client/package.json")
    ended = subprocess.run(
        [parts.node(), SCRIPT, mode, json.dumps(calls), *launch.argv],
        env=dict(launch.env),
        cwd=launch.cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    seen: dict[str, Any] = json.loads(ended.stdout)
    return seen
