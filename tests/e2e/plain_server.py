"""A server of the legacy family in the standard library alone: two tools, no wait at its start."""

from __future__ import annotations

import json
import sys
from typing import Any

TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("echo", "forget")]


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The `result` or `error` member for a request."""
    match request["method"]:
        case "initialize":
            about = {"capabilities": {"tools": {}}, "serverInfo": {"name": "plain", "version": "1"}}
            return {"result": {"protocolVersion": request["params"]["protocolVersion"], **about}}
        case "tools/list":
            return {"result": {"tools": TOOLS}}
        case "tools/call":
            return {"result": {"content": [{"type": "text", "text": json.dumps(request["params"].get("arguments"))}]}}
        case "ping":
            return {"result": {}}
        case method:
            return {"error": {"code": -32601, "message": f"no method {method}"}}


for line in sys.stdin:
    message = json.loads(line)
    if "id" in message and "method" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer(message)}), flush=True)
