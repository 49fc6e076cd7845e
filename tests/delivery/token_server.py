"""A server that checks its token with every call, both protocol families, one tool per way of delivery.

    python token_server.py LOG

Each start is one line of LOG (its process id). ``whoami`` checks the token as it has it now, with PyJWT against the keys that
mcpwrap publishes, and answers with the claims; an error result says why the token isn't good. ``slow`` answers after `seconds`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import jwt

MODERN = "2026-07-28"
SEEN: dict[str, Any] = {"calls": 0, "level": "", "subscribed": []}
WRITING = threading.Lock()
VERSION = Path(sys.argv[1] + ".version")
"""What the server calls its version, where a test says so."""


def token(way: str, meta: dict[str, Any]) -> str:
    """The token as it was delivered."""
    match way:
        case "env":
            return os.environ["AGENT_TOKEN"]
        case "file":
            return Path(os.environ["AGENT_TOKEN_FILE"]).read_text("utf-8")
        case "helper":
            asked = subprocess.run(
                [os.environ["DESK_COMMAND"], "token", "--server", os.environ["DESK_NAME"]],
                capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            if asked.returncode != 0:
                raise ValueError(asked.stderr)
            return str(json.loads(asked.stdout)["token"])
        case _:
            return str(meta["mcpwrap/AGENT_TOKEN"])


def shown(way: str, meta: dict[str, Any]) -> str:
    """What was delivered, as it is: for a provider's token its claims, unchecked; for anything else itself."""
    text = token(way, meta)
    try:
        found: Any = jwt.decode(text, options={"verify_signature": False})
    except jwt.DecodeError:
        found = text
    return json.dumps({"pid": os.getpid(), "found": found, "meta": meta})


def claims(way: str, meta: dict[str, Any]) -> dict[str, Any]:
    """The claims of a token that is good for this server, now."""
    text = token(way, meta)
    keys = jwt.PyJWKSet.from_dict(json.loads(Path(os.environ["MCPWRAP_JWKS_FILE"]).read_text("utf-8")))
    key = keys[jwt.get_unverified_header(text)["kid"]]
    return jwt.decode(
        text, key, algorithms=["EdDSA", "ES256"], audience=os.environ["MCPWRAP_AUDIENCE"], issuer=os.environ["MCPWRAP_ISSUER"],
        options={"require": ["exp", "iat", "jti", "sub"]},
    )  # fmt: skip


def call(params: dict[str, Any]) -> dict[str, Any]:
    """One call of a tool."""
    arguments = params.get("arguments") or {}
    SEEN["calls"] += 1
    try:
        if params["name"] == "silent":
            return {
                "content": [
                    {"type": "text", "text": f"{len(token(arguments.get('way', 'env'), params.get('_meta') or {}))} characters"}
                ]
            }
        if params["name"] == "shown":
            return {"content": [{"type": "text", "text": shown(arguments.get("way", "env"), params.get("_meta") or {})}]}
        found = claims(arguments.get("way", "env"), params.get("_meta") or {})
        if params["name"] == "slow":
            time.sleep(arguments.get("seconds", 1))
    except Exception as error:  # noqa: BLE001 - it is what the test looks at
        return {"content": [{"type": "text", "text": f"{type(error).__name__}: {error}"}], "isError": True}
    text = json.dumps({"pid": os.getpid(), "claims": found, "seen": SEEN, "meta": sorted(params.get("_meta") or {})})
    return {"content": [{"type": "text", "text": text}], "_meta": {"mcpwrap/AGENT_TOKEN": "an echo", "kept": True}}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The `result` or `error` member for a request."""
    params = request.get("params") or {}
    modern = "io.modelcontextprotocol/protocolVersion" in (params.get("_meta") or {})
    kind: dict[str, Any] = {"resultType": "complete"} if modern else {}
    caching: dict[str, Any] = {"ttlMs": 0, "cacheScope": "private"} if modern else {}
    about = {"capabilities": {"tools": {}, "logging": {}, "resources": {"subscribe": True}}}
    match request["method"]:
        case "initialize":
            identity = {"serverInfo": {"name": "tokens", "version": VERSION.read_text("utf-8") if VERSION.exists() else "1"}}
            return {"result": {"protocolVersion": params["protocolVersion"], **about, **identity}}
        case "server/discover":
            info = {"_meta": {"io.modelcontextprotocol/serverInfo": {"name": "tokens", "version": "1"}}}
            return {"result": {**kind, "supportedVersions": [MODERN], **about, **caching, **info}}
        case "tools/list":
            tools = [{"name": name, "inputSchema": {"type": "object"}} for name in ("whoami", "slow", "shown", "silent")]
            return {"result": {**kind, "tools": tools, **caching}}
        case "tools/call":
            return {"result": {**kind, **call(params)}}
        case "logging/setLevel":
            SEEN["level"] = params["level"]
            return {"result": {}}
        case "resources/subscribe":
            SEEN["subscribed"].append(params["uri"])
            return {"result": {}}
        case "ping":
            return {"result": {}}
        case method:
            return {"error": {"code": -32601, "message": f"no method {method}"}}


def handle(message: dict[str, Any]) -> None:
    """Answer one request."""
    line = json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer(message)})
    with WRITING:
        print(line, flush=True)


def main() -> None:
    """Serve until the end of standard input; what is being answered then is answered still."""
    with Path(sys.argv[1]).open("a", encoding="utf-8") as log:
        log.write(f"{os.getpid()}\n")
    running = []
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message and "method" in message:
            thread = threading.Thread(target=handle, args=(message,))
            thread.start()
            running.append(thread)
    for thread in running:
        thread.join()


if __name__ == "__main__":
    main()
