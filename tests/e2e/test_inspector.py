"""The MCP Inspector on the command line, once for each way in which it negotiates."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.e2e import parts
from tests.e2e.conftest import Reach
from tests.project import Launch

pytestmark = pytest.mark.real

INSPECTOR = "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
DEADLINE_S = 120.0
ERAS = ("legacy", "auto", "modern")


@pytest.mark.parametrize("era", ERAS)
def test_the_tools_are_listed(era: str, reach: Reach) -> None:
    tools = inspect(reach(parts.clock()), era, "--method", "tools/list")["tools"]
    assert [tool["name"] for tool in tools] == ["get_current_time", "convert_time"]


@pytest.mark.parametrize("era", ERAS)
def test_a_tool_is_called(era: str, reach: Reach) -> None:
    args = {"source_timezone": "UTC", "time": "12:30", "target_timezone": "Asia/Tokyo"}
    call = ("--method", "tools/call", "--tool-name", "convert_time", "--tool-args-json", json.dumps(args))
    assert "21:30" in inspect(reach(parts.clock()), era, *call)["content"][0]["text"]


@pytest.mark.parametrize("era", ["legacy", "auto"])
def test_a_resource_of_a_legacy_server_is_read(era: str, reach: Reach) -> None:
    read = ("--method", "resources/read", "--uri", "demo://resource/static/document/features.md")
    assert "Features" in inspect(reach(parts.everything()), era, *read)["contents"][0]["text"]


def inspect(launch: Launch, era: str, *args: str) -> dict[str, Any]:
    """Run the Inspector once and return the result that it prints."""
    ended = subprocess.run(
        [parts.node(), parts.script(INSPECTOR), "--cli", "--protocol-era", era, *args, "--", *launch.argv],
        env=dict(launch.env),
        cwd=launch.cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout)
    return result
