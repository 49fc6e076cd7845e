"""The Python SDK's client in its three modes, in front of real servers of both families."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp_types import (
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequestParams,
    ElicitResult,
    ListRootsResult,
    Root,
    TextContent,
)
from pydantic import FileUrl

from tests.e2e import parts
from tests.e2e.conftest import Reach
from tests.project import Launch

pytestmark = pytest.mark.real

MODES = ("auto", "legacy", "2026-07-28")
MODERN = "2026-07-28"
DEADLINE_S = 120.0


@pytest.mark.parametrize("mode", MODES)
def test_the_git_server_works_in_every_mode(mode: str, reach: Reach) -> None:
    async def session(client: Client) -> None:
        assert (client.protocol_version == MODERN) is (mode != "legacy")
        assert {"git_status", "git_log", "git_reset"} <= {tool.name for tool in (await client.list_tools()).tools}
        done = await client.call_tool("git_log", {"repo_path": "repo", "max_count": 1})
        assert not done.is_error
        assert "Commit 2" in text(done.content)
        refused = await client.call_tool("git_log", {"repo_path": "/"})
        assert refused.is_error

    talk(reach(parts.git()), mode, session)


@pytest.mark.parametrize("mode", MODES)
def test_the_time_server_works_in_every_mode(mode: str, reach: Reach) -> None:
    async def session(client: Client) -> None:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["get_current_time", "convert_time"]
        done = await client.call_tool("convert_time", {"source_timezone": "UTC", "time": "12:30", "target_timezone": "Asia/Tokyo"})
        assert "21:30" in text(done.content)
        with pytest.raises(MCPError):
            await client.call_tool("no_such_tool", {})

    talk(reach(parts.clock()), mode, session)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_legacy_server_asks_the_client_back(mode: str, reach: Reach) -> None:
    steps: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    async def session(client: Client) -> None:
        assert client.protocol_version == "2025-11-25"
        assert text((await client.call_tool("echo", {"message": "hi"})).content) == "Echo: hi"
        assert "from the client" in text((await client.call_tool("trigger-sampling-request", {"prompt": "p"})).content)
        assert "Ann" in text((await client.call_tool("trigger-elicitation-request", {})).content)
        slow = {"duration": 0.3, "steps": 3}
        await client.call_tool("trigger-long-running-operation", slow, progress_callback=on_progress)
        assert steps == [1, 2, 3]
        assert len((await client.list_prompts()).prompts) == 4
        read = await client.read_resource("demo://resource/static/document/features.md")
        assert "Features" in str(read.contents[0])

    talk(
        reach(parts.everything()),
        mode,
        session,
        sampling_callback=_sampling,
        elicitation_callback=_elicitation,
        list_roots_callback=_roots,
    )


def talk(launch: Launch, mode: str, session: Callable[[Client], Coroutine[Any, Any, None]], **options: Any) -> None:
    """Run `session` with a connected client."""
    server = StdioServerParameters(command=launch.argv[0], args=list(launch.argv[1:]), env=dict(launch.env), cwd=launch.cwd)

    async def run() -> None:
        with anyio.fail_after(DEADLINE_S):
            async with Client(server, mode=mode, **options) as client:
                await session(client)

    anyio.run(run)


def text(content: list[Any]) -> str:
    """All text of a result."""
    return "\n".join(block.text for block in content if isinstance(block, TextContent))


async def _sampling(context: ClientRequestContext, params: CreateMessageRequestParams) -> CreateMessageResult:
    return CreateMessageResult(role="assistant", content=TextContent(type="text", text="from the client"), model="scripted")


async def _elicitation(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    return ElicitResult(action="accept", content={"name": "Ann"})


async def _roots(context: ClientRequestContext) -> ListRootsResult:
    return ListRootsResult(roots=[Root(uri=FileUrl("file:///shop"))])
