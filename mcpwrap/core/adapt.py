"""A stateless client in front of a legacy server, after a held session went on.

While a session is held the client opens it in its own family, before anybody knows which one the server speaks. Where the client
came stateless and the server turns out to be legacy, mcpwrap did the handshake itself and translates here: the request's envelope
is taken off, ``resultType`` and the caching fields are put on, and list changes are stamped for each open subscription. The server
was told of no client capabilities, so it may ask for nothing.

Sources: MCP 2026-07-28, basic/index (``_meta``), basic/patterns/subscriptions, server/utilities/caching.
"""

from __future__ import annotations

from typing import Final

from mcpwrap.core import denial
from mcpwrap.core.commands import Command, ToClient
from mcpwrap.core.jsonrpc import METHOD_NOT_FOUND, Json, Notification, Request, encode, id_key
from mcpwrap.core.meta import CAPABILITIES_KEY, CLIENT_KEY, SERVER_KEY, SUBSCRIPTION_KEY, VERSION_KEY
from mcpwrap.core.methods import MODERN
from mcpwrap.core.pending import Pending
from mcpwrap.core.state import State

_ENVELOPE: Final = frozenset({VERSION_KEY, CAPABILITIES_KEY, CLIENT_KEY, "io.modelcontextprotocol/logLevel"})

_CACHEABLE: Final = frozenset({"tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"})

_FLAGS: Final = {
    "notifications/tools/list_changed": "toolsListChanged",
    "notifications/prompts/list_changed": "promptsListChanged",
    "notifications/resources/list_changed": "resourcesListChanged",
}


def params(stateless: Json) -> Json:
    """The parameters of a stateless request as a legacy server takes them."""
    meta = stateless.get("_meta")
    kept = {key: value for key, value in meta.items() if key not in _ENVELOPE} if isinstance(meta, dict) else {}
    rest = {key: value for key, value in stateless.items() if key != "_meta"}
    return {**rest, "_meta": kept} if kept else rest


def result(pending: Pending, legacy: Json) -> Json:
    """A legacy result as a stateless client takes it."""
    stateless = {"resultType": "complete", **legacy}
    if pending.method in _CACHEABLE:
        stateless.update(ttlMs=0, cacheScope="private")
    return stateless


def request(state: State, m: Request, out: list[Command]) -> bool:
    """Answer what a legacy server doesn't have; False where the request is one to pass on."""
    server = state.adapted or {}
    if m.method == "server/discover":
        found: Json = {
            "resultType": "complete",
            "supportedVersions": list(MODERN),
            "capabilities": server.get("capabilities", {}),
            "ttlMs": 0,
            "cacheScope": "private",
            "_meta": {SERVER_KEY: server.get("serverInfo", {})},
        }
        if "instructions" in server:
            found["instructions"] = server["instructions"]
        out.append(ToClient(denial.answer(m.id, found)))
        return True
    if m.method == "subscriptions/listen":
        wanted = m.params.get("notifications")
        kept = {k: True for k in _FLAGS.values() if isinstance(wanted, dict) and wanted.get(k) is True}
        state.calls[id_key(m.id)] = Pending(m.id, m.method, None, MODERN[-1], True, 0.0, listen=kept, acknowledged=True)
        acknowledged = {"_meta": {SUBSCRIPTION_KEY: m.id}, "notifications": kept}
        method = "notifications/subscriptions/acknowledged"
        out.append(ToClient(encode({"jsonrpc": "2.0", "method": method, "params": acknowledged})))
        return True
    return False


def notification(state: State, m: Notification, out: list[Command]) -> None:
    """Pass a legacy server's notification on: list changes once for each subscription that wants them."""
    flag = _FLAGS.get(m.method)
    if flag is None:
        out.append(ToClient(m.encoded))
        return
    for pending in state.calls.values():
        if pending.listen is not None and not pending.cancelled and pending.listen.get(flag) is True:
            stamped = {"_meta": {SUBSCRIPTION_KEY: pending.id}}
            out.append(ToClient(encode({"jsonrpc": "2.0", "method": m.method, "params": stamped})))


def refusal(m: Request) -> bytes:
    """The answer to a legacy server's own request: the client can't be asked."""
    if m.method == "ping":
        return denial.answer(m.id, {})
    return denial.error(m.id, METHOD_NOT_FOUND, f"{m.method[:200]} is not available")
