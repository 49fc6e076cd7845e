"""The held state: a session that opens though its server may not run (POLICY.md §5).

The client gets a server of ours with one tool, `mcpwrap_status`, whose text, like ``instructions``, gives the reason and the
remedy, addressed to the person. What may be offered later is declared from the start, since a legacy client can't be told
afterwards; its lists are empty until then.
"""

from __future__ import annotations

import re
from typing import Any, Final

from mcpwrap.core import denial
from mcpwrap.core.commands import Command, ToClient
from mcpwrap.core.jsonrpc import Id, Json, Notification, Request, encode, id_key
from mcpwrap.core.listing import STATUS_TOOL, status_tool
from mcpwrap.core.meta import SERVER_KEY, SUBSCRIPTION_KEY
from mcpwrap.core.methods import LEGACY, MODERN
from mcpwrap.core.pending import Pending
from mcpwrap.core.rules import Decision
from mcpwrap.core.state import State
from mcpwrap.core.state import denial as own_denial

_CAPABILITIES: Final[Json] = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True},
}

_EMPTY_LISTS: Final = {
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}

VERSION: Final = "0.1.0"

REASON: Final = "the server is held back"
"""How the recorded reason of a held session's refusals begins; the hold's fact follows."""

FACT_LIMIT: Final = 300
"""Characters of a hold's fact, or of its remedy, that are recorded with each refused call; it may quote a server."""

_OPENING: Final = re.compile(r'mcpwrap is holding "[^"]{0,200}" back: ')

_ASKED: Final = "Ask the user to "


def fact(hold: str) -> str:
    """The fact of a hold, on one line, without whose it is; at most `FACT_LIMIT` characters."""
    text = _OPENING.sub("", hold.partition("\n")[0], count=1).removesuffix(".")
    return text if len(text) <= FACT_LIMIT else f"{text[: FACT_LIMIT - 1]}…"


def remedy(hold: str) -> str:
    """What a person can do about a hold; "" where it doesn't say."""
    lines = (line for line in hold.split("\n") if line.startswith(_ASKED))
    text = next(lines, "").removeprefix(_ASKED).removesuffix(".")
    return text if len(text) <= FACT_LIMIT else f"{text[: FACT_LIMIT - 1]}…"


def request(state: State, m: Request, revision: str, modern: bool, out: list[Command]) -> None:
    """Answer a request of the client's as the held session does."""
    if m.method == "subscriptions/listen" and modern:
        _listen(state, m, revision, out)
        return
    if m.method == "tools/call" and m.params.get("name") != STATUS_TOOL:
        name = m.params.get("name")
        ref = state.refused(
            out, event="call", direction="client", method=m.method, request_id=m.id,
            decision=_denial(state), note=remedy(state.hold),
            tool=name[:200] if isinstance(name, str) else "", arguments=state.redact(m.params.get("arguments"), whole=False),
        )  # fmt: skip
        out.append(ToClient(denial.spoken(m.id, f"{state.hold}\n(ref {ref})", modern=modern)))
        return
    result = _result(state, m, modern)
    if result is None:
        ref = state.refused(
            out, event="call", direction="client", method=m.method, request_id=m.id,
            decision=_denial(state), note=remedy(state.hold),
        )  # fmt: skip
        out.append(ToClient(denial.unknown_method(m.id, m.method[:200], ref)))
        return
    if modern:
        result = {"resultType": "complete", **result}
    out.append(ToClient(denial.answer(m.id, result)))


def _denial(state: State) -> Decision:
    return own_denial(f"{REASON}: {fact(state.hold)}")


def _result(state: State, m: Request, modern: bool) -> Json | None:
    caching: Json = {"ttlMs": 0, "cacheScope": "private"} if modern else {}
    match m.method:
        case "initialize" if not modern:
            return _greet(state, m)
        case "server/discover":
            return {
                "supportedVersions": list(MODERN),
                "capabilities": _CAPABILITIES,
                "instructions": state.hold,
                **caching,
                "_meta": {SERVER_KEY: _identity()},
            }
        case "tools/list":
            return {"tools": [status_tool()], **caching}
        case "tools/call":
            return {"content": [{"type": "text", "text": state.hold}], "isError": False}
        case "ping" if not modern:
            return {}
        case method if method in _EMPTY_LISTS:
            return {_EMPTY_LISTS[method]: [], **caching}
        case _:
            return None


def _greet(state: State, m: Request) -> Json:
    state.handshake = m.params
    state.remember_client(m.params.get("clientInfo"))
    wanted = m.params.get("protocolVersion")
    state.legacy_revision = wanted if isinstance(wanted, str) and wanted in LEGACY else LEGACY[-1]
    return {
        "protocolVersion": state.legacy_revision,
        "capabilities": _CAPABILITIES,
        "serverInfo": _identity(),
        "instructions": state.hold,
    }


def _identity() -> Json:
    return {"name": "mcpwrap", "title": "mcpwrap", "version": VERSION}


def _listen(state: State, m: Request, revision: str, out: list[Command]) -> None:
    wanted = m.params.get("notifications")
    kept: dict[str, Any] = {k: v for k, v in wanted.items() if v is True} if isinstance(wanted, dict) else {}
    state.calls[id_key(m.id)] = Pending(m.id, m.method, None, revision, True, 0.0, listen=kept, acknowledged=True)
    out.append(
        ToClient(
            encode(
                {
                    "jsonrpc": "2.0",
                    "method": "notifications/subscriptions/acknowledged",
                    "params": {"_meta": {SUBSCRIPTION_KEY: m.id}, "notifications": kept},
                }
            )
        )
    )


def notification(state: State, m: Notification) -> None:
    """Take a notification of the client's in; there is nobody to pass it to."""
    id = m.params.get("requestId")
    if m.method == "notifications/cancelled" and (type(id) is int or type(id) is str):
        state.forget(id_key(id))


_CHANGED: Final = (
    ("toolsListChanged", "notifications/tools/list_changed"),
    ("promptsListChanged", "notifications/prompts/list_changed"),
    ("resourcesListChanged", "notifications/resources/list_changed"),
)


def lists_changed(state: State, out: list[Command]) -> None:
    """Tell the client to ask for its lists again, in the way of its family."""
    if state.handshake is not None and state.greeted:
        out.extend(ToClient(encode({"jsonrpc": "2.0", "method": method})) for _, method in _CHANGED)
    listening: list[tuple[Id, Json]] = [(p.id, p.listen) for p in state.calls.values() if p.listen is not None and not p.cancelled]
    for id, wanted in listening:
        for flag, method in _CHANGED:
            if wanted.get(flag) is True:
                params = {"_meta": {SUBSCRIPTION_KEY: id}}
                out.append(ToClient(encode({"jsonrpc": "2.0", "method": method, "params": params})))
