"""What the two sides of a session share: who asked what, under which revision, by which rules."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from mcpwrap.core.catalog import Catalog, Inputs, Remembered
from mcpwrap.core.commands import Announce, Command, Record
from mcpwrap.core.entry import Entry
from mcpwrap.core.jsonrpc import Id, Json, encode
from mcpwrap.core.listing import narrowed
from mcpwrap.core.methods import INPUT_METHODS, LEGACY, Method
from mcpwrap.core.rules import NAME_LIMIT, Decision, Outcome, Reason, RuleTable, ServerRules

VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"
CLIENT_KEY: Final = "io.modelcontextprotocol/clientInfo"
SERVER_KEY: Final = "io.modelcontextprotocol/serverInfo"
SUBSCRIPTION_KEY: Final = "io.modelcontextprotocol/subscriptionId"

DECISIONS_KEPT: Final = 4096
"""Names whose decision is kept; a client that floods with names makes us decide anew, not grow."""

NOISE_LIMIT: Final = 200
"""Refused notifications recorded one by one; from then on every `NOISE_LIMIT`-th, so that a flood doesn't fill the disk."""

IN_FLIGHT_LIMIT: Final = 20_000
"""Unanswered calls of one side; some 500 bytes are kept for each. No real client comes near."""

CANCELLED_KEPT: Final = 1024
"""Cancelled calls whose late answer is still awaited, so that their ids can't be taken for new ones."""


class Pending(msgspec.Struct):
    """A request that was forwarded and isn't answered yet. `at` is monotonic seconds; `ref` is "" where no record was written."""

    id: Id
    method: str
    row: Method | None
    revision: str
    modern: bool
    at: float
    ref: str = ""
    name: str = ""
    outcome: Outcome = Outcome.ALLOW
    token: Id | None = None
    call_key: bytes = b""
    cancelled: bool = False
    listen: Json | None = None
    """the ``notifications`` that a ``subscriptions/listen`` asked for"""
    batch: str = ""
    """the first ref of the batch it came in; "" outside of batches"""
    quiet_ack: bool = False
    """the acknowledgment was given already"""


class State(msgspec.Struct):
    """One session's state. `refs` begins every ref of this run; `hold` says why the session is held, "" while it isn't."""

    server: str
    refs: str
    rules: ServerRules | None
    hold: str = ""
    notice: str = ""
    legacy_revision: str = ""
    handshake: Json | None = None
    """the client's ``initialize`` parameters"""
    greeted: bool = False
    """the client sent ``notifications/initialized``"""
    modern_meta: Json | None = None
    """``_meta`` of the client's latest stateless request"""
    adapted: Json | None = None
    """the ``initialize`` result of a legacy server that a stateless client got after the session was held"""
    calls: dict[Id, Pending] = msgspec.field(default_factory=dict)
    """the client's requests in flight"""
    server_calls: dict[Id, Pending] = msgspec.field(default_factory=dict)
    """the server's requests in flight"""
    tokens: dict[Id, Id] = msgspec.field(default_factory=dict)
    """progress token → the client's request"""
    task_tokens: Remembered[str] = msgspec.field(default_factory=Remembered)
    """progress tokens that live on with a task"""
    cancelled: dict[Id, None] = msgspec.field(default_factory=dict)
    catalog: Catalog = msgspec.field(default_factory=Catalog)
    client: msgspec.Raw | None = None
    closed: tuple[str, ...] = ()
    """what a server may not ask for, by the policy"""
    noise: int = 0
    _client_info: Any = None
    _decisions: dict[tuple[str, str], Decision] = msgspec.field(default_factory=dict)
    _count: int = 0

    def __post_init__(self) -> None:
        self.use(self.rules)

    def use(self, rules: ServerRules | None) -> None:
        """Judge by `rules` from now on."""
        self.rules = rules
        self._decisions.clear()
        table = rules.server_requests if rules else None
        self.closed = tuple(
            word for word in dict.fromkeys(INPUT_METHODS.values()) if table is None or table.decide(word).outcome >= Outcome.ASK
        )

    @property
    def live(self) -> ServerRules:
        """The rules of a session that isn't held."""
        assert self.rules is not None  # noqa: S101 - the callers checked `hold`
        return self.rules

    def decide(self, table: RuleTable, text: str) -> Decision:
        """The decision on one whole name or URI; the same name gets the same decision until the rules change."""
        if len(text) > NAME_LIMIT:
            return table.decide(text)  # denied; kept, it would fill the memory
        key = (table.kind, text)
        decision = self._decisions.get(key)
        if decision is None:
            decision = table.decide(text)
            if len(self._decisions) >= DECISIONS_KEPT:
                self._decisions.clear()
            self._decisions[key] = decision
        return decision

    def next_ref(self) -> str:
        """A short id, unique to one record and its refusal."""
        self._count += 1
        return f"{self.refs}{self._count:x}"

    def remember_client(self, info: Any) -> None:
        """Keep what the client calls itself, encoded once (for records; it loosens nothing)."""
        if info is not None and info != self._client_info and isinstance(info, dict):
            self._client_info = info
            self.client = msgspec.Raw(encode({k: str(info[k])[:200] for k in ("name", "version") if k in info}))

    def inputs(self, key: bytes) -> Inputs:
        """What the call `key` was asked for so far."""
        found = self.catalog.inputs.get(key)
        if found is None:
            found = Inputs()
            self.catalog.inputs.put(key, found)
        return found

    def made_by_client(self, task: object) -> bool:
        """True where the client made this task for a request of the server's."""
        return type(task) is str and self.catalog.client_tasks.get(task) is not None

    def narrow(self, capabilities: object) -> Json | None:
        """The client's capabilities as the server may know them; None where nothing changes."""
        return narrowed(capabilities, self.closed) if isinstance(capabilities, dict) else None

    def legacy_or_latest(self) -> str:
        """The revision to judge a message by that names none; before the handshake the latest legacy one."""
        return self.legacy_revision or LEGACY[-1]

    def forget(self, key: Id) -> Pending | None:
        """Take a call of the client's out of the pending ones."""
        pending = self.calls.pop(key, None)
        if pending is not None:
            if pending.token is not None:
                self.tokens.pop(pending.token, None)
            if pending.cancelled:
                self.cancelled.pop(key, None)
        return pending

    def cancel(self, key: Id) -> None:
        """Mark a call as cancelled; its late answer is ignored."""
        self.calls[key].cancelled = True
        self.cancelled[key] = None
        if len(self.cancelled) > CANCELLED_KEPT:
            self.forget(next(iter(self.cancelled)))

    def refused(
        self,
        out: list[Command],
        *,
        event: str,
        direction: str,
        method: str,
        decision: Decision,
        request_id: Id | None = None,
        answered: bool = False,
        **target: Any,
    ) -> str:
        """Record a refusal (or an alteration) and return its ref; what is dropped without an answer is recorded by sample in a
        flood, and so is all that a server does: else a flood would push old records out of the audit. What answers a call of the
        client's (`answered`) is always recorded, for its ref is on the wire. The ref is "" where nothing was recorded.
        """
        if not answered and (event in ("notification", "response") or direction == "server"):
            self.noise += 1
            if self.noise > NOISE_LIMIT and self.noise % NOISE_LIMIT:
                return ""
            if self.noise > NOISE_LIMIT:
                target["note"] = f"one of {self.noise} refused messages"
        ref = self.next_ref()
        out.append(
            Record(
                Entry(
                    event,
                    direction,
                    method[:200],
                    outcome=decision.outcome.label,
                    ref=ref,
                    request_id=request_id,
                    reasons=decision.reasons,
                    status="refused",
                    client=self.client,
                    **target,
                )
            )
        )
        return ref

    def announce(self, out: list[Command], text: str) -> None:
        """Tell the person."""
        out.append(Announce(text))


def denial(text: str) -> Decision:
    """A denial that no file's rule made but the protocol's or mcpwrap's own."""
    return Decision(Outcome.DENY, (Reason("", 0, "deny", text),))
