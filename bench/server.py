"""The server under test: a small MCP server on stdio. It needs the standard library only, so it starts in some 30 ms.

It speaks both protocol families. Its tools put one kind of load each on what stands between it and the client:

- `echo(text)` answers with its text;
- `big(size)` answers with `size` characters of text;
- `flood(count, size)` sends `count` log notifications of `size` characters, as fast as they are taken, then answers;
- `nap(seconds)` reads nothing for that long, then answers;
- `whoami()` answers with the server's process id.

Its JSON is compact, as the SDKs write it; with `--spaced` it is what `json.dumps` writes by default: spaces, escapes.
"""

import json
import os
import sys
import time

LEGACY_REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN_REVISION = "2026-07-28"
REVISION_KEY = "io.modelcontextprotocol/protocolVersion"
# Lines, quotes, indentation, as tools return them. ASCII only: `json` takes three times as long for other texts, as no
# real server's encoder does, and a slow server flatters what stands in front of it.
PASSAGE = 'def greet(name: str) -> str:\n    """Say "hello" once."""\n    return f"hello, {name}"  # simple\n\n'

SERVER_INFO = {"name": "bench", "version": "1.0.0"}
CAPABILITIES: dict[str, object] = {"tools": {}, "logging": {}}


def _schema(**properties: str) -> dict[str, object]:
    """A JSON Schema of required properties, name to type."""
    return {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
    }


TOOLS = [
    {"name": "echo", "description": "Answers with its text.", "inputSchema": _schema(text="string")},
    {"name": "big", "description": "Answers with that much text.", "inputSchema": _schema(size="integer")},
    {
        "name": "flood",
        "description": "Sends notifications as fast as they are taken.",
        "inputSchema": _schema(count="integer", size="integer"),
    },
    {"name": "nap", "description": "Reads nothing for a while.", "inputSchema": _schema(seconds="number")},
    {"name": "whoami", "description": "Answers with the process id.", "inputSchema": _schema()},
]


class Server:
    """Reads a line, answers a line, until end of file."""

    def __init__(self, *, spaced: bool) -> None:
        self._encode = (json.JSONEncoder() if spaced else json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))).encode
        self._texts: dict[int, str] = {}

    def run(self) -> None:
        """Serve standard input until it ends."""
        for line in sys.stdin.buffer:
            message = json.loads(line)
            if "id" in message and "method" in message:
                self._answer(message)

    def _answer(self, message: dict[str, object]) -> None:
        params = message.get("params")
        params = params if isinstance(params, dict) else {}
        modern = params.get("_meta", {}).get(REVISION_KEY) == MODERN_REVISION
        result = self._result(str(message["method"]), params, modern)
        answer: dict[str, object] = {"jsonrpc": "2.0", "id": message["id"]}
        if result is None:
            answer["error"] = {"code": -32601, "message": "method not found"}
        else:
            answer["result"] = {**result, "resultType": "complete"} if modern else result
        self._send(answer)

    def _result(self, method: str, params: dict[str, object], modern: bool) -> dict[str, object] | None:
        cached: dict[str, object] = {"ttlMs": 0, "cacheScope": "private"} if modern else {}
        match method:
            case "tools/call":
                return self._call(str(params.get("name")), params.get("arguments"))
            case "tools/list":
                return {"tools": TOOLS, **cached}
            case "server/discover" if modern:
                return {
                    "supportedVersions": [MODERN_REVISION],
                    "capabilities": CAPABILITIES,
                    "serverInfo": SERVER_INFO,
                    **cached,
                }
            case "initialize":
                asked = params.get("protocolVersion")
                revision = asked if asked in LEGACY_REVISIONS else LEGACY_REVISIONS[-1]
                return {"protocolVersion": revision, "capabilities": CAPABILITIES, "serverInfo": SERVER_INFO}
            case "ping" | "logging/setLevel":
                return {}
            case _:
                return None

    def _call(self, name: str, arguments: object) -> dict[str, object]:
        given = arguments if isinstance(arguments, dict) else {}
        match name:
            case "echo":
                return _text(str(given["text"]))
            case "big":
                return _text(self._text_of(int(given["size"])))
            case "flood":
                data = self._text_of(int(given["size"]))
                params = {"level": "info", "data": data}
                for _ in range(int(given["count"])):
                    self._send({"jsonrpc": "2.0", "method": "notifications/message", "params": params})
                return _text("flooded")
            case "nap":
                time.sleep(float(given["seconds"]))
                return _text("awake")
            case "whoami":
                return _text(str(os.getpid()))
            case _:
                return {**_text(f"unknown tool `{name}`"), "isError": True}

    def _text_of(self, size: int) -> str:
        if size not in self._texts:
            self._texts[size] = (PASSAGE * (size // len(PASSAGE) + 1))[:size]
        return self._texts[size]

    def _send(self, message: dict[str, object]) -> None:
        rest = memoryview(self._encode(message).encode() + b"\n")
        while rest:
            rest = rest[os.write(1, rest) :]


def _text(text: str) -> dict[str, object]:
    return {"content": [{"type": "text", "text": text}]}


if __name__ == "__main__":
    Server(spaced="--spaced" in sys.argv[1:]).run()
