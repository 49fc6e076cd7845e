"""The demo's AI client: the MCP SDK's own, with a script in the place of the model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import anyio
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types import Implementation, TextContent

from mcpwrap.demo.place import SERVER, Place

__all__ = ["MCPError", "Reply", "Talk", "directly", "through_mcpwrap"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for a call: a result's text, which may say that it failed, or an error's with its code."""

    text: str
    failed: bool
    code: int | None = None


class Talk:
    """One open session."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def revision(self) -> str:
        """The protocol revision that was agreed on."""
        return self._client.protocol_version

    async def tools(self) -> tuple[str, ...]:
        """The names in the list of tools, in its order."""
        return tuple(tool.name for tool in (await self._client.list_tools()).tools)

    async def call(self, tool: str, arguments: dict[str, str]) -> Reply:
        """Call `tool`, whether it was listed or not."""
        try:
            result = await self._client.call_tool(tool, arguments)
        except MCPError as error:
            return Reply(error.message, failed=True, code=error.code)
        text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
        return Reply(text.rstrip("\n"), failed=bool(result.is_error))


@asynccontextmanager
async def through_mcpwrap(place: Place) -> AsyncIterator[Talk]:
    """A session with the server behind `mcpwrap run`, as a client's configuration would start it."""
    async with _session(place, str(place.command), ["run", "--project", str(place.project), SERVER]) as talk:
        yield talk


@asynccontextmanager
async def directly(place: Place, python: Path) -> AsyncIterator[Talk]:
    """A session with the server itself."""
    async with _session(place, str(python), [str(place.server)]) as talk:
        yield talk


@asynccontextmanager
async def _session(place: Place, command: str, args: list[str]) -> AsyncIterator[Talk]:
    server = StdioServerParameters(command=command, args=args, env=dict(place.env), cwd=str(place.project))
    log = await anyio.to_thread.run_sync(_log, place.stderr)
    try:
        async with Client(stdio_client(server, errlog=log), client_info=Implementation(name="mcpwrap-demo", version="1")) as client:
            yield Talk(client)
    finally:
        log.close()


def _log(path: Path) -> TextIO:
    return path.open("a", encoding="utf-8")
