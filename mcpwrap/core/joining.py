"""How a held session goes on: mcpwrap opens the server in the client's place, then steps aside (POLICY.md §5).

A legacy client's own ``initialize`` is replayed. For a stateless client the server is asked with ``server/discover``; one that
doesn't know it is opened by a handshake and adapted (`adapt`). Until the server has answered, the session stays held.
"""

from __future__ import annotations

from typing import Final

from mcpwrap.core import held
from mcpwrap.core.access import Access
from mcpwrap.core.commands import Command, ToServer
from mcpwrap.core.jsonrpc import Error, Json, Result, encode, id_key
from mcpwrap.core.meta import CAPABILITIES_KEY, CLIENT_KEY, VERSION_KEY, with_tokens
from mcpwrap.core.methods import LEGACY, MODERN, lookup
from mcpwrap.core.state import State

_DISCOVER: Final = "mcpwrap-discover"
_INITIALIZE: Final = "mcpwrap-initialize"
"""Ids of our own; no number, so that no reader takes them for one of the client's."""

OWN_IDS: Final = frozenset({_DISCOVER, _INITIALIZE})


class Joining:
    """One attempt to go on."""

    def __init__(self, state: State, access: Access) -> None:
        self._state = state
        self._access = access

    def start(self, out: list[Command]) -> bool:
        """Open the server; True where nothing has to be waited for, since the client hasn't spoken yet."""
        state = self._state
        if state.handshake is not None:
            self._send(out, _INITIALIZE, "initialize", opening(state))
        elif state.modern_meta is not None:
            self._send(out, _DISCOVER, "server/discover", {"_meta": envelope(state)})
        else:
            state.hold = ""
            return True
        return False

    def answer(self, m: Result | Error, out: list[Command]) -> bool:
        """Take the server's answer to one of our own requests; True once the session is live."""
        state = self._state
        if m.id == _DISCOVER and type(m) is Result:
            state.greeting("server/discover", m.result, out)
            self._live(out)
            return True
        if m.id == _DISCOVER:
            self._send(out, _INITIALIZE, "initialize", opening(state))
            return False
        if type(m) is not Result or m.result.get("protocolVersion") not in LEGACY:
            state.hold = (
                f'mcpwrap started "{state.server}", but it refused the session. '
                "Ask the user to reconnect this server in the client."
            )
            return False
        state.legacy_revision = m.result["protocolVersion"]
        greeting = state.greeting("initialize", m.result, out)
        if state.handshake is None:
            state.adapted = greeting
        out.append(ToServer(encode({"jsonrpc": "2.0", "method": "notifications/initialized"})))
        self._live(out)
        return True

    def _live(self, out: list[Command]) -> None:
        state = self._state
        state.hold = ""
        listen_again(state, self._access, out)
        held.lists_changed(state, out)

    def _send(self, out: list[Command], id: str, method: str, params: Json) -> None:
        if self._state.tokens_in_meta:
            params = with_tokens(method, params, self._state.tokens_in_meta)
        out.append(ToServer(encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params})))


def is_own(m: Result | Error) -> bool:
    """True for an answer to a request of ours."""
    return id_key(m.id) in OWN_IDS


def opening(state: State) -> Json:
    """The parameters of an ``initialize`` in the client's place: its own, or of a stateless client what such a server wants."""
    if state.handshake is None:
        info = (state.modern_meta or {}).get(CLIENT_KEY) or {"name": "mcpwrap", "version": held.VERSION}
        return {"protocolVersion": LEGACY[-1], "capabilities": {}, "clientInfo": info}
    kept = state.narrow(state.handshake.get("capabilities"))
    return state.handshake if kept is None else {**state.handshake, "capabilities": kept}


def envelope(state: State) -> Json:
    """What a stateless client's requests carry, without what belongs to one request only."""
    meta = state.modern_meta or {}
    kept: Json = {key: meta[key] for key in (VERSION_KEY, CAPABILITIES_KEY, CLIENT_KEY) if key in meta}
    narrower = state.narrow(meta.get(CAPABILITIES_KEY))
    return kept if narrower is None else {**kept, CAPABILITIES_KEY: narrower}


def listen_again(state: State, access: Access, out: list[Command]) -> None:
    """Send a stateless client's subscriptions to a server that hasn't heard of them; an adapted one has none."""
    for pending in [p for p in state.calls.values() if p.listen is not None and state.adapted is None]:
        # the client has its acknowledgment; the server hears of the subscription only now
        pending.row = lookup(MODERN[-1], "client", pending.method)
        pending.quiet_ack = pending.acknowledged
        # (it was taken while there were no rules, or by others)
        pending.listen = access.listened(pending.listen or {})
        params: Json = {"_meta": envelope(state), "notifications": pending.listen}
        if state.tokens_in_meta:
            params = with_tokens(pending.method, params, state.tokens_in_meta)
        out.append(ToServer(encode({"jsonrpc": "2.0", "id": pending.id, "method": pending.method, "params": params})))
