"""The next process of a server that was restarted: opened as the client opened the last one, and compared with what that one said.

A server of the same command may have become another one meanwhile: what it says of itself, and each definition that was listed,
must be what the session saw, before anything that waits is sent on. Pins don't say that by themselves: they know nothing of what
is missing, and what is held since it changed may change once more.

1. ``initialize`` with the client's own parameters (or ``server/discover``, where the session saw an answer to one);
2. the lists of definitions that were seen, page by page;
3. what was set up is set up again: the level of the log, the subscriptions.

A server without anything to compare, since the client hasn't opened it, is asked nothing: it may go by the first request for the
family that it speaks (PROTOCOL.md §1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mcpwrap.core import pins
from mcpwrap.core.access import Access
from mcpwrap.core.commands import Command, ToServer
from mcpwrap.core.joining import envelope, opening
from mcpwrap.core.jsonrpc import Error, Id, Json, Result, encode
from mcpwrap.core.meta import with_tokens
from mcpwrap.core.pins import KINDS, PAGES_LIMIT, WORDS, Kind
from mcpwrap.core.state import State
from mcpwrap.core.visible import spell_out

_LISTED: Final[Mapping[Kind, tuple[str, str]]] = {
    "tool": ("tools/list", "tools"),
    "prompt": ("prompts/list", "prompts"),
    "template": ("resources/templates/list", "resourceTemplates"),
}

_NAMED: Final = 5
"""Differences that are told by name."""


class Reopening:
    """One attempt. Its own requests have ids that nobody else's have. `at` is monotonic seconds."""

    def __init__(self, state: State, access: Access) -> None:
        self._state = state
        self._access = access
        self.verdict: str | None = None
        """None while it isn't known; "" where the process is as the last one was, else what differs, in words"""
        self._asked: dict[Id, str] = {}
        """own requests that aren't answered yet → the method"""
        self._count = 0
        self._before: dict[Kind, tuple[dict[str, str], bool]] = {}
        for kind in KINDS:
            items, whole = state.guard.listed(kind)
            if items or whole:
                self._before[kind] = {name: pins.digest(each) for name, each in items.items()}, whole
        self._twice = {kind: state.guard.twice(kind) for kind in self._before}
        self._todo = list(self._before)
        self._pages = 0
        self._set_up = False

    def start(self, out: list[Command]) -> None:
        """Open the process."""
        state = self._state
        seen = state.established.greetings
        if "initialize" in seen and (state.handshake is not None or state.adapted is not None):
            self._ask("initialize", opening(state), out)
        elif "server/discover" in seen:
            self._ask("server/discover", {}, out)
        else:
            self._next(out)

    def answer(self, m: Result | Error, out: list[Command]) -> bool:
        """Take the answer to one of our own requests; False where it is none."""
        method = self._asked.pop(m.id, "")
        if not method:
            return False
        if self._set_up:
            pass  # (a client goes on without what can't be had any more)
        elif type(m) is not Result:
            self.verdict = f"it answers `{method}` with an error"
        elif method in self._state.established.greetings:
            self._greeted(method, m.result, out)
        else:
            self._listed(m.result, out)
        if self.verdict is None and not self._asked:
            self._next(out)
        return True

    def garbled(self, id: Id | None) -> None:
        """What can't be read came; where it surely was an answer to one of ours, nothing more is expected."""
        if id is not None and id in self._asked:
            self.verdict = f"its answer to `{self._asked[id]}` can't be read"

    def _greeted(self, method: str, result: Json, out: list[Command]) -> None:
        state = self._state
        state.guard.greeting(result)
        state.learn(out)
        if method == "initialize" and result.get("protocolVersion") != state.legacy_revision:
            self.verdict = "it agrees to another protocol revision"
        elif changed := state.established.differs(method, result):
            self.verdict = f"what it says of itself has changed ({changed})"
        elif method == "initialize":
            out.append(ToServer(encode({"jsonrpc": "2.0", "method": "notifications/initialized"})))
            state.introduced = state.handshake is not None and not state.greeted

    def _listed(self, result: Json, out: list[Command]) -> None:
        kind = self._todo[0]
        method, key = _LISTED[kind]
        items, cursor = result.get(key, []), result.get("nextCursor")
        if type(items) is not list or not (cursor is None or type(cursor) is str):
            self.verdict = f"its answer to `{method}` can't be read"
            return
        self._state.guard.page(kind, items, first=self._pages == 0, last=not cursor)
        self._state.learn(out)
        self._pages += 1
        if not cursor:
            del self._todo[0]
            self._pages = 0
            self._compare(kind)
        elif self._pages < PAGES_LIMIT:
            self._ask(method, {"cursor": cursor}, out)
        else:
            self.verdict = f"`{method}` has no end"

    def _compare(self, kind: Kind) -> None:
        before, whole = self._before[kind]
        now = {name: pins.digest(each) for name, each in self._state.guard.listed(kind)[0].items()}
        twice = self._state.guard.twice(kind) - self._twice[kind]
        found = [(name, "is there twice") for name in twice]
        found += [(name, "is gone" if name not in now else "changed") for name in before if now.get(name) != before[name]]
        found += [(name, "is new") for name in now if whole and name not in before]
        if found:
            said = "; ".join(f"the {WORDS[kind]} `{spell_out(name, limit=100)}` {what}" for name, what in sorted(found)[:_NAMED])
            self.verdict = said + (f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else "")

    def _next(self, out: list[Command]) -> None:
        if self._todo:
            self._ask(_LISTED[self._todo[0]][0], {}, out)
        elif not self._set_up:
            self._set_up = True
            self._again(out)
        if self._set_up and not self._asked:
            self.verdict = ""

    def _again(self, out: list[Command]) -> None:
        established = self._state.established
        if established.level is not None:
            self._ask("logging/setLevel", established.level, out)
        # (what was permitted then may not be now)
        established.subscribed = {uri: None for uri in established.subscribed if self._access.shows(uri)}
        for uri in established.subscribed:
            self._ask("resources/subscribe", {"uri": uri}, out)

    def _ask(self, method: str, params: Json, out: list[Command]) -> None:
        state = self._state
        self._count += 1
        id = f"mcpwrap-again-{self._count}"
        self._asked[id] = method
        if state.handshake is None and state.adapted is None and state.modern_meta is not None:
            params = {**params, "_meta": envelope(state)}
        if state.tokens_in_meta:
            params = with_tokens(method, params, state.tokens_in_meta)
        out.append(ToServer(encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params})))
