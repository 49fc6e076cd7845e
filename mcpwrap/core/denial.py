"""What a refusal looks like on the wire (PROTOCOL.md §5): short, with the `ref` that one audit record carries too.

What isn't allowed doesn't exist for the model, so a hidden thing is refused as an unknown one. What a person may see but a rule
holds back is refused in words that a model can read: that it is policy and no fault, that rephrasing won't help, and whom to tell
(MESSAGES.md).
"""

from __future__ import annotations

from typing import Any, Final

from mcpwrap.core.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    RESOURCE_NOT_FOUND,
    UNSUPPORTED_VERSION,
    Id,
    Json,
    encode,
)
from mcpwrap.core.methods import MODERN
from mcpwrap.core.rules import Decision

REFUSED: Final = -31403
"""Our own code for what is visible but refused where a result can't say so; outside -32768…-32000, JSON-RPC's own."""

POLICY_WORDS: Final = "This is policy, not a fault; rephrasing won't help. Tell the user if it is needed."


def tag(ref: str) -> str:
    """How a `ref` stands at the end of a text; nothing where a flood left it unrecorded."""
    return f" (ref {ref})" if ref else ""


def error(id: Id, code: int, message: str, data: Any = None) -> bytes:
    """A JSON-RPC error for `id`."""
    body: Json = {"code": code, "message": message}
    if data is not None:
        body["data"] = data
    return encode({"jsonrpc": "2.0", "id": id, "error": body})


def answer(id: Id, result: Json) -> bytes:
    """A JSON-RPC result for `id`."""
    return encode({"jsonrpc": "2.0", "id": id, "result": result})


def unknown_tool(id: Id, name: str, ref: str) -> bytes:
    """A hidden tool, refused as an unknown one."""
    return error(id, INVALID_PARAMS, f"Unknown tool: {name} (ref {ref})")


def unknown_prompt(id: Id, name: str, ref: str) -> bytes:
    """A hidden prompt, refused as an unknown one."""
    return error(id, INVALID_PARAMS, f"Unknown prompt: {name} (ref {ref})")


def unknown_resource(id: Id, uri: str, ref: str, *, modern: bool) -> bytes:
    """A hidden resource, refused as an unknown one, in the code of the family."""
    code = INVALID_PARAMS if modern else RESOURCE_NOT_FOUND
    return error(id, code, f"Resource not found (ref {ref})", {"uri": uri})


def unknown_task(id: Id, ref: str) -> bytes:
    """A task that no permitted call of this session made."""
    return error(id, INVALID_PARAMS, f"Unknown task (ref {ref})")


def unknown_method(id: Id, method: str, ref: str) -> bytes:
    """A method that doesn't exist here."""
    return error(id, METHOD_NOT_FOUND, f"Method not found: {method} (ref {ref})")


def invalid_params(id: Id, reason: str, ref: str) -> bytes:
    """Parameters of a shape that can't be judged."""
    return error(id, INVALID_PARAMS, f"Invalid params: {reason} (ref {ref})")


def unsupported_version(id: Id, requested: str) -> bytes:
    """A stateless revision that isn't known here (MCP 2026-07-28, basic/versioning)."""
    return error(id, UNSUPPORTED_VERSION, "Unsupported protocol version", {"supported": list(MODERN), "requested": requested})


def broken(id: Id, reason: str) -> bytes:
    """Something failed that isn't policy: the server died, or answered what can't be read."""
    return error(id, INTERNAL_ERROR, f"mcpwrap: {reason}")


def spoken(id: Id, text: str, *, modern: bool, failed: bool = True) -> bytes:
    """A tool's result made of `text`, for the model to read; `failed` marks it as an error (``isError``)."""
    result: Json = {"resultType": "complete"} if modern else {}
    result["content"] = [{"type": "text", "text": text}]
    result["isError"] = failed
    return answer(id, result)


def refused(tool: str, decision: Decision, ref: str) -> str:
    """The words for a call that is refused by what it brings, of a tool that is there."""
    why = decision.misses[0].text.rpartition("doesn't count: ")[2] if decision.misses else decision.reasons[0].text
    return f"mcpwrap refused {tool}: {why}. {POLICY_WORDS} (ref {ref})"


def nobody_to_ask(what: str, ref: str) -> str:
    """The words for a sensitive thing that needs a person's yes while nobody can be asked."""
    return (
        f"{what} was not run: the policy asks a person first, and this version of mcpwrap can't ask anybody. "
        f"{POLICY_WORDS} (ref {ref})"
    )


def tokenless(what: str, why: str, ref: str) -> str:
    """The words for what is permitted but can't be run: a credential of the server can't be had. `why` names the remedy."""
    return f"{what} was not run: {why}\nRephrasing won't help. Tell the user. (ref {ref})"
