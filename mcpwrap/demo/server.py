"""A small MCP server for the demo: notes, each a text file in the folder `notes` beside this file. Standard library only.

It knows nothing of mcpwrap. It speaks both families of the protocol: 2026-07-28 (``server/discover``) and the ones before it
(``initialize``).
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

MODERN = "2026-07-28"
LEGACY = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
SERVER = {"name": "notes", "version": "1.0"}
CAPABILITIES: dict[str, Any] = {"tools": {}}

TOOLS: dict[str, tuple[str, tuple[str, ...]]] = {
    "list_notes": ("The names of all notes.", ()),
    "read_note": ("The text of a note.", ("name",)),
    "write_note": ("Writes a note, or writes it anew.", ("name", "text")),
    "delete_note": ("Deletes a note for good.", ("name",)),
    "send_note": ("Sends a note to a mail address.", ("name", "to")),
}
"""Name → description, and the arguments, all of them strings that must be there."""


class Mistake(Exception):
    """The client's mistake; told to it as an error of JSON-RPC."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def main() -> None:
    """Answer requests on standard input, one a line, until it is closed."""
    notes = Path(__file__).resolve().parent / "notes"
    sys.stderr.write("notes: ready\n")
    sys.stderr.flush()
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue  # a notification; none of them matters here
        try:
            body = {"result": answer(notes, message["method"], message.get("params") or {})}
        except Mistake as mistake:
            body = {"error": {"code": mistake.code, "message": str(mistake)}}
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **body}) + "\n")
        sys.stdout.flush()


def answer(notes: Path, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The result of a request.

    Raises:
        Mistake: there is no such method or tool, or an argument is missing.
    """
    modern = "io.modelcontextprotocol/protocolVersion" in params.get("_meta", {})
    kind: dict[str, Any] = {"resultType": "complete", "_meta": {"io.modelcontextprotocol/serverInfo": SERVER}} if modern else {}
    lasts: dict[str, Any] = {"ttlMs": 60_000, "cacheScope": "private"} if modern else {}
    match method:
        case "server/discover":
            return {**kind, **lasts, "supportedVersions": [MODERN], "capabilities": CAPABILITIES}
        case "initialize":
            wanted = params.get("protocolVersion")
            version = wanted if wanted in LEGACY else LEGACY[0]
            return {"protocolVersion": version, "capabilities": CAPABILITIES, "serverInfo": SERVER}
        case "ping":
            return {}
        case "tools/list":
            return {**kind, **lasts, "tools": [tool(name) for name in TOOLS]}
        case "tools/call":
            text, failed = call(notes, str(params.get("name")), params.get("arguments") or {})
            return {**kind, "content": [{"type": "text", "text": text}], "isError": failed}
        case _:
            raise Mistake(-32601, f"Method not found: {method}")


def tool(name: str) -> dict[str, Any]:
    """A tool as lists show it."""
    description, arguments = TOOLS[name]
    properties = {argument: {"type": "string"} for argument in arguments}
    return {
        "name": name,
        "description": description,
        "inputSchema": {"type": "object", "properties": properties, "required": list(arguments)},
    }


def call(notes: Path, name: str, arguments: dict[str, Any]) -> tuple[str, bool]:
    """Run a tool: its text, and whether it failed.

    Raises:
        Mistake: there is no such tool, or an argument is missing.
    """
    if name not in TOOLS:
        raise Mistake(-32602, f"Unknown tool: {name}")
    for argument in TOOLS[name][1]:
        if not isinstance(arguments.get(argument), str):
            raise Mistake(-32602, f"Invalid params: {argument} is missing")
    if name == "list_notes":
        return "\n".join(sorted(note.stem for note in notes.glob("*.txt"))), False
    if not re.fullmatch(r"\w[\w-]{0,63}", arguments["name"]):
        return "a note's name is made of letters, digits, - and _", True
    note = notes / f"{arguments['name']}.txt"
    if name == "write_note":
        note.write_text(arguments["text"], encoding="utf-8")
        return f"written: {note.stem}", False
    if not note.is_file():
        return f"there is no note {note.stem}", True
    if name == "delete_note":
        note.unlink()
        return f"deleted: {note.stem}", False
    if name == "send_note":
        # a demo has no network: what would go out goes into a file instead
        with (notes / "outbox").open("a", encoding="utf-8") as outbox:
            outbox.write(f"{arguments['to']}: {note.stem}\n")
        return f"sent: {note.stem}", False
    return note.read_text(encoding="utf-8"), False


if __name__ == "__main__":
    main()
