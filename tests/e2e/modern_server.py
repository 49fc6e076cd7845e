"""A small server of the modern family: it asks for input inside results, reports progress and publishes changes."""

from __future__ import annotations

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import (
    CallToolResult,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)

app = MCPServer("modern", version="1.0", instructions="A server of the modern family.")

NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@app.tool()
async def interview(topic: str, ctx: Context) -> CallToolResult | InputRequiredResult:
    """Asks the person for a name, the client for its roots, and its model for a sentence, all at once."""
    responses = ctx.input_responses
    if not responses:
        sentence = SamplingMessage(role="user", content=TextContent(type="text", text=f"A sentence about {topic}"))
        return InputRequiredResult(
            input_requests={
                "name": ElicitRequest(params=ElicitRequestFormParams(message="Your name?", requested_schema=NAME)),
                "roots": ListRootsRequest(),
                "sentence": CreateMessageRequest(params=CreateMessageRequestParams(messages=[sentence], max_tokens=20)),
            },
            request_state=f"state of {topic}",
        )
    told = {key: response.model_dump(mode="json", exclude_none=True) for key, response in sorted(responses.items())}
    return CallToolResult(content=[TextContent(type="text", text=f"{ctx.request_state}: {told}")])


@app.tool()
async def count(ctx: Context) -> str:
    """Counts to three and says so on the way."""
    for number in (1, 2, 3):
        await ctx.report_progress(number, 3, f"at {number}")
    return "counted"


@app.tool()
async def touch(ctx: Context) -> str:
    """Reports changes to whoever listens."""
    await ctx.notify_resource_updated("note://one")
    await ctx.notify_tools_changed()
    await anyio.sleep(0.2)  # the listeners' tasks write first, so that each run has one order
    return "touched"


@app.resource("note://one")
def note() -> str:
    """The one note."""
    return "remember the tea"


@app.prompt()
def greet(name: str) -> str:
    """A greeting."""
    return f"Greet {name}"


if __name__ == "__main__":
    app.run("stdio")
