"""A server that does what its script says, and notes every line that reaches it.

    python server.py SCRIPT.json LOG

The log has the lines as they came, and a line ``#pid KIND NUMBER`` for each process. The script is an object:

``start``   actions before anything is read
``eof``     actions at the end of the input (default: exit)
``legacy``  true: `server/discover` is unknown; a revision: what `initialize` is answered with, whatever was asked
``on``      method → a list of action lists, one for each time the method comes (the last one stays); no entry: an honest answer

An action is an object of one member; ``$id`` in what is sent stands for the id of the line that is answered, ``$first`` for that
of the first request of this method, ``$meta`` for its ``_meta``.
"""

import json
import os
import signal
import sys
import time
from typing import Any

TOOLS = ("safe", "logged", "asked", "evil", "mcpwrap_status", "mcpwrap_own")
MODERN = "2026-07-28"
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"


def write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def note(line: bytes) -> None:
    os.write(LOG, line + b"\n")


def told(kind: str) -> None:
    note(f"#pid {kind} {os.getpid()}".encode())


def leave(number: int, frame: object) -> None:
    note(b"#asked")
    os._exit(0)


def linger(kind: str) -> None:
    """Stay for good, deaf to polite signals, holding all that was inherited."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    told(kind)
    while True:
        signal.pause()


def filled(value: Any, question: Any, first: Any) -> Any:
    if isinstance(value, str):
        known = {"$id": question.get("id"), "$first": first, "$meta": question.get("params", {}).get("_meta")}
        return known.get(value, value)
    if isinstance(value, dict):
        return {filled(k, question, first): filled(v, question, first) for k, v in value.items()}
    if isinstance(value, list):
        return [filled(v, question, first) for v in value]
    return value


def act(action: Any, question: Any, first: Any) -> None:
    (kind, value), *_ = action.items()
    match kind:
        case "send":
            write(json.dumps(filled(value, question, first)).encode() + b"\n")
        case "raw":
            write(value.encode("utf-8", "surrogateescape"))
        case "repeat":  # [count, text]
            write(value[1].encode() * value[0])
        case "for_ever":
            while True:
                write(value.encode())
        case "text":  # a tool's result with so many bytes of text
            write(json.dumps(answer(question, {"content": [{"type": "text", "text": "x" * value}]})).encode() + b"\n")
        case "honest":
            reply(question)
        case "stderr":
            os.write(2, value.encode("utf-8", "surrogateescape"))
        case "exit":
            os._exit(value)
        case "kill":
            os.kill(os.getpid(), value)
        case "deaf":
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
        case "polite":  # goes when it is asked, and notes that
            signal.signal(signal.SIGTERM, leave)
        case "pause":
            while True:
                signal.pause()
        case "close":
            os.close(value)
        case "leave":
            open(value, "w").close()
        case "need":  # a variable
            if value not in os.environ:
                os.write(2, f"Error: {value} is not set\n".encode())
                os._exit(1)
        case "environment":
            write(json.dumps(answer(question, {"content": [], "structuredContent": dict(os.environ)})).encode() + b"\n")
        case "family":
            family()
        case "flooding_child":
            told_by, tell = os.pipe()
            if os.fork() == 0:
                told("flooding")
                write(value.encode())
                os.write(tell, b".")
                while True:
                    write(value.encode())
            os.read(told_by, 1)
        case _:
            raise ValueError(kind)


def family() -> None:
    """A child, a child of another session, and a daemon that forked twice."""
    if os.fork() == 0:
        linger("child")
    if os.fork() == 0:
        os.setsid()
        linger("session")
    middle = os.fork()
    if middle == 0:
        os.setsid()
        if os.fork() == 0:
            linger("daemon")
        os._exit(0)
    os.waitpid(middle, 0)


def answer(question: Any, result: dict[str, Any]) -> dict[str, Any]:
    if VERSION_KEY in (question.get("params") or {}).get("_meta", {}):
        result = {"resultType": "complete", **result}
    return {"jsonrpc": "2.0", "id": question["id"], "result": result}


def refuse(question: Any, code: int, message: str) -> None:
    error = {"code": code, "message": message}
    write(json.dumps({"jsonrpc": "2.0", "id": question["id"], "error": error}).encode() + b"\n")


def reply(question: Any) -> None:
    method, params = question.get("method"), question.get("params") or {}
    if "id" not in question:
        return
    capabilities = {
        "tools": {"listChanged": True},
        "resources": {"subscribe": True},
        "prompts": {},
        "completions": {},
        "logging": {},
    }
    identity = {"name": "scripted", "version": "1"}
    legacy = SCRIPT.get("legacy", False)
    caching = {"ttlMs": 60000, "cacheScope": "public"} if VERSION_KEY in params.get("_meta", {}) else {}
    match method:
        case "initialize":
            version = legacy if isinstance(legacy, str) else params.get("protocolVersion")
            result = {"protocolVersion": version, "capabilities": capabilities, "serverInfo": identity}
        case "server/discover" if not legacy:
            result = {"supportedVersions": [MODERN], "capabilities": capabilities, **caching, "_meta": {"serverInfo": identity}}
        case "tools/list":
            result = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS], **caching}
        case "resources/list":
            result = {"resources": [{"name": u, "uri": u} for u in ("docs://a", "secret://a")], **caching}
        case "resources/templates/list":
            result = {"resourceTemplates": [], **caching}
        case "prompts/list":
            result = {"prompts": [{"name": "hello"}, {"name": "evil"}], **caching}
        case "tools/call":
            said = {"name": params.get("name"), "arguments": params.get("arguments")}
            result = {"content": [{"type": "text", "text": json.dumps(said)}]}
        case "ping" | "logging/setLevel" | "resources/subscribe":
            result = {}
        case "resources/read":
            result = {"contents": [{"uri": params["uri"], "text": "read"}], **caching}
        case _:
            refuse(question, -32601, "Method not found")
            return
    write(json.dumps(answer(question, result)).encode() + b"\n")


def obey(line: bytes, times: dict[str, int], firsts: dict[str, Any]) -> None:
    try:
        question = json.loads(line)
    except ValueError:
        return
    for member in question if isinstance(question, list) else [question]:
        if not isinstance(member, dict):
            continue
        method = member.get("method", "answer" if "id" in member else "")
        firsts.setdefault(method, member.get("id"))
        plans = SCRIPT.get("on", {}).get(method)
        if plans is None:
            reply(member)
            continue
        plan = plans[min(times.get(method, 0), len(plans) - 1)]
        times[method] = times.get(method, 0) + 1
        for action in plan:
            act(action, member, firsts[method])


def serve() -> None:
    told("server")
    for action in SCRIPT.get("start", []):
        act(action, {}, None)
    times: dict[str, int] = {}
    firsts: dict[str, Any] = {}
    rest = b""
    pause_s = SCRIPT.get("pause_s", 0)
    while True:
        data = os.read(0, 1 << 20)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if len(line) < 1 << 16:
                note(line)
            else:
                note(b"#long %d" % len(line))
            obey(line, times, firsts)
        if pause_s:
            time.sleep(pause_s)
    for action in SCRIPT.get("eof", []):
        act(action, {}, None)


if __name__ == "__main__":
    LOG = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with open(sys.argv[1], "rb") as file:
        SCRIPT = json.load(file)
    serve()
