"""What a scripted server offers, time after time, and what the client is shown of it."""

from __future__ import annotations

from typing import Any

from tests.attacks.arena import Arena
from tests.attacks.shim import Message, ref_of

Tool = dict[str, Any]


def a_tool(name: str = "safe", description: str = "Reads a note", **more: Any) -> Tool:
    """The definition of a tool."""
    return {"name": name, "description": description, "inputSchema": {"type": "object"}, **more}


def answers(result: Any) -> list[Message]:
    """Answer the request with `result`."""
    return [{"send": {"jsonrpc": "2.0", "id": "$id", "result": result}}]


def offers(*times: list[Tool], **on: Any) -> Message:
    """A script: the tools that are listed the first time, the second time, …; the last stay."""
    return {"on": {"tools/list": [answers({"tools": tools}) for tools in times], **on}}


def refusal_of_pin(arena: Arena, answer: Message) -> str:
    """The reason in the audit for a call that was refused as one of an unknown tool, prompt or resource."""
    assert answer["error"]["code"] == -32602
    return arena.why(ref_of(answer))


def noted(arena: Arena) -> str:
    """What the audit says of the last list."""
    return str([r for r in arena.records if r["event"] == "list"][-1].get("note", ""))
