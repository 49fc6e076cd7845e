"""What becomes of a request of the client's once it is judged: recorded and sent on, or refused."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from mcpwrap.core import adapt, denial
from mcpwrap.core.catalog import OWN_STATE
from mcpwrap.core.commands import Command, Record, ToClient, ToServer
from mcpwrap.core.entry import Entry
from mcpwrap.core.jsonrpc import (
    Id,
    Json,
    Request,
    encode,
)
from mcpwrap.core.meta import CAPABILITIES_KEY, with_tokens
from mcpwrap.core.methods import Holds, Method
from mcpwrap.core.pending import Pending
from mcpwrap.core.rules import Decision, Outcome
from mcpwrap.core.state import State
from mcpwrap.core.state import denial as own_denial

_RETRY_PARAMS: Final = frozenset({"inputResponses", "requestState", "_meta"})
"""What may differ between a call and its retry (MCP 2026-07-28, basic/patterns/mrtr)."""


PINNED: Final = frozenset({Holds.TOOLS, Holds.PROMPTS, Holds.TEMPLATES})
"""Lists of definitions that are pinned."""


class Arrival(msgspec.Struct):
    """How a request of the client's is to be taken: its row, its revision, and when it came."""

    key: Id
    row: Method
    revision: str
    modern: bool
    meta: Json
    at: float


class Forwarding:
    """Sends it on, or refuses it. Appends commands; holds no state of its own."""

    def __init__(self, state: State) -> None:
        self._state = state

    def admit(
        self,
        m: Request,
        a: Arrival,
        decision: Decision,
        out: list[Command],
        *,
        arguments: Any = None,
        params: Json | None = None,
        tool: str = "",
        uri: str = "",
        prompt: str = "",
        task: str = "",
        counted: bool = False,
    ) -> None:
        """Record that `decision` permits the call, then forward it; `counted` says that its budgets were counted already."""
        state = self._state
        if state.tokenless:
            target = {"tool": tool, "uri": state.redact(uri, whole=True), "prompt": prompt, "task": task}
            if arguments is not None:
                target["arguments"] = state.redact(arguments, whole=False)
            self.tokenless(m, a, tool or prompt or m.method, out, **target)
            return
        call_key = b""
        if a.row.holds is Holds.INPUT and (a.modern or "inputResponses" in m.params):
            call_key = _call_key(m)
            if "inputResponses" in m.params or "requestState" in m.params:
                params = self.with_inputs(m, call_key, out)
                if params is None:
                    return
        ref = state.next_ref()
        whole = decision.outcome is not Outcome.ALLOW
        trace = a.meta.get("traceparent")
        out.append(
            Record(
                Entry(
                    "call",
                    "client",
                    m.method,
                    outcome=decision.outcome.label,
                    ref=ref,
                    request_id=m.id,
                    tool=tool,
                    uri=state.redact(uri, whole=True) if uri else "",
                    prompt=prompt,
                    task=task,
                    reasons=decision.reasons,
                    arguments=state.redact(arguments, whole=whole) if arguments is not None else msgspec.UNSET,
                    client=state.client,
                    trace=trace[:200] if type(trace) is str else "",
                )
            )
        )
        self.forward(
            m,
            a,
            out,
            params=params,
            ref=ref,
            name=task or tool,
            outcome=decision.outcome,
            key=call_key,
            result_limit=None if counted else state.count(decision, a.at),
        )
        if decision.outcome is Outcome.LOG:
            state.announce(
                out,
                f"{state.server} › {tool or state.redact(uri, whole=True) or prompt or m.method} runs, logged (ref {ref})",
            )

    def forward(
        self,
        m: Request,
        a: Arrival,
        out: list[Command],
        *,
        params: Json | None = None,
        ref: str = "",
        name: str = "",
        outcome: Outcome = Outcome.ALLOW,
        key: bytes = b"",
        result_limit: int | None = None,
    ) -> None:
        state = self._state
        token = a.meta.get("progressToken")
        if type(token) is int or type(token) is str:
            if token in state.tokens:
                token = None
            else:
                state.tokens[token] = a.key
        else:
            token = None
        pending = Pending(m.id, m.method, a.row, a.revision, a.modern, a.at, ref, name, outcome, token, key)
        pending.result_limit = result_limit
        if a.row.holds in PINNED:
            pending.first = m.params.get("cursor") is None
        elif a.row.holds is Holds.KEPT:
            pending.sets = {name: m.params[name] for name in ("level", "uri") if name in m.params}
            if m.method == "resources/unsubscribe":
                state.established.did(m.method, pending.sets)
        state.calls[a.key] = pending
        if a.modern and state.closed:
            kept = state.narrow(a.meta.get(CAPABILITIES_KEY))
            if kept is not None:
                base = m.params if params is None else params
                params = {**base, "_meta": {**a.meta, CAPABILITIES_KEY: kept}}
        if state.adapted is not None and a.modern:
            params = adapt.params(m.params if params is None else params)
        if state.tokens_in_meta:
            params = with_tokens(m.method, m.params if params is None else params, state.tokens_in_meta)
        line = m.encoded if params is None or params is m.params else encode({**m.body, "params": params})
        out.append(ToServer(line, (ref,) if ref else ()))

    def with_inputs(self, m: Request, key: bytes, out: list[Command]) -> Json | None:
        """The parameters of a retry with the refusals put in that the client never saw; None where it was refused.

        Answers are taken only to what was asked (PROTOCOL.md §2).
        """
        given = m.params.get("inputResponses")
        if given is not None and type(given) is not dict:
            self.invalid(m, "`inputResponses` must be an object", out)
            return None
        params = m.params
        if params.get("requestState") == OWN_STATE:
            params = {name: value for name, value in params.items() if name != "requestState"}
        inputs = self._state.catalog.inputs.get(key)
        if given and not (inputs is not None and given.keys() <= inputs.issued.keys()):
            self.invalid(m, "`inputResponses` answers what wasn't asked", out)
            return None
        if inputs is None or not inputs.declined:
            return params
        return {**params, "inputResponses": {**(given or {}), **inputs.declined}}

    def tokenless(self, m: Request, a: Arrival, what: str, out: list[Command], **target: Any) -> None:
        """Refuse what is permitted, since a credential can't be had."""
        why = self._state.tokenless
        ref = self.refuse(m, own_denial(why), out, event="call", **target)
        text = denial.tokenless(what[:200], why, ref)
        if m.method == "tools/call":
            out.append(ToClient(denial.spoken(m.id, text, modern=a.modern)))
        else:
            out.append(ToClient(denial.error(m.id, denial.REFUSED, text)))

    def refuse(self, m: Request, decision: Decision, out: list[Command], *, event: str, **target: Any) -> str:
        return self._state.refused(
            out, event=event, direction="client", method=m.method, decision=decision, request_id=m.id, **target
        )

    def invalid(self, m: Request, reason: str, out: list[Command]) -> None:
        ref = self.refuse(m, own_denial(reason), out, event="call")
        out.append(ToClient(denial.invalid_params(m.id, reason, ref)))

    def unasked(self, m: Request, decision: Decision, out: list[Command], what: str, **target: Any) -> None:
        ref = self.refuse(m, decision, out, event="call", **target)
        out.append(ToClient(denial.error(m.id, denial.REFUSED, denial.nobody_to_ask(what, ref))))


def _call_key(m: Request) -> bytes:
    same = {key: value for key, value in m.params.items() if key not in _RETRY_PARAMS}
    return hashlib.sha256(m.method.encode() + b"\0" + encode(same)).digest()
