"""What the two sides of a session share: who asked what, under which revision, by which rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from mcpwrap.core.budgets import Budgets
from mcpwrap.core.catalog import Catalog, Inputs, Remembered
from mcpwrap.core.commands import Announce, Command, Learn, Record
from mcpwrap.core.conditions import Context
from mcpwrap.core.entry import Entry
from mcpwrap.core.established import Established
from mcpwrap.core.facts import Once
from mcpwrap.core.jsonrpc import Id, Json, Notification, encode
from mcpwrap.core.listing import narrowed
from mcpwrap.core.methods import INPUT_METHODS, LEGACY, SPEC_METHODS
from mcpwrap.core.pending import Pending
from mcpwrap.core.pins import PinGuard, reduced
from mcpwrap.core.redact import Known, redact
from mcpwrap.core.rules import NAME_LIMIT, Decision, Outcome, Reason, Rule, RuleTable, Selection, ServerRules
from mcpwrap.core.waiting import Waiting
from mcpwrap.core.world import World
from mcpwrap.secret import Secret

DECISIONS_KEPT: Final = 4096
"""Names whose decision is kept; a client that floods with names makes us decide anew, not grow."""

NOISE_LIMIT: Final = 200
"""Refused notifications recorded one by one; from then on every `NOISE_LIMIT`-th, so that a flood doesn't fill the disk."""

IN_FLIGHT_LIMIT: Final = 20_000
"""Unanswered calls of one side; some 500 bytes are kept for each. No real client comes near."""

CANCELLED_KEPT: Final = 1024
"""Cancelled calls whose late answer is still awaited, so that their ids can't be taken for new ones."""


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
    conditional: frozenset[str] = frozenset()
    """the kinds of things for which some rule needs more than a name"""
    world: World = World()
    budgets: Budgets = msgspec.field(default_factory=Budgets)
    guard: PinGuard = msgspec.field(default_factory=PinGuard)
    said: dict[str, list[str]] = msgspec.field(default_factory=dict)
    """what was held by its pin when the person was told last, by kind"""
    waiting: Waiting = msgspec.field(default_factory=Waiting)
    """what of the client's waits for a server that isn't there"""
    established: Established = msgspec.field(default_factory=Established)
    introduced: bool = False
    """``notifications/initialized`` was sent in the client's place, and it hasn't sent its own yet"""
    owed: Remembered[str] = msgspec.field(default_factory=Remembered)
    """ids of requests of a process that is gone, which the client may still answer → the method"""
    tokenless: str = ""
    """why calls are refused: a credential can't be had; "" where all are there"""
    tokens_in_meta: Mapping[str, Secret] = {}
    """credentials that go with each request, by name"""
    may_echo: bool = False
    """a credential went with some request, so that the server may say it back"""
    known: Known | None = None
    """what was delivered to the server in any way: no record shows it"""
    asked: Remembered[Id] = msgspec.field(default_factory=Remembered)
    """ref of an ``inputRequests`` that was let through → the call that it belongs to"""
    _selections: dict[tuple[str, str], Selection] = msgspec.field(default_factory=dict)
    _client_info: Any = None
    _decisions: dict[tuple[str, str], Decision] = msgspec.field(default_factory=dict)
    _count: int = 0

    def __post_init__(self) -> None:
        self.guard = PinGuard(self.world.pinned, self.world.others)
        self.use(self.rules, self.world)

    def use(self, rules: ServerRules | None, world: World | None = None) -> None:
        """Judge by `rules` and by what `world` says from now on."""
        world = world or self.world
        if world.pinned != self.world.pinned:
            self.guard.replace(world.pinned)
        self.rules, self.world = rules, world
        self._decisions.clear()
        self._selections.clear()
        self.conditional = (
            frozenset()
            if rules is None
            else frozenset(
                table.kind
                for table in (rules.tools, rules.resources, rules.prompts, rules.server_requests, rules.extra_methods)
                if table.conditional
            )
        )
        table = rules.server_requests if rules else None
        self.closed = tuple(
            word
            for word in dict.fromkeys(INPUT_METHODS.values())
            if table is None or table.decide_open(word, self.context()).outcome >= Outcome.ASK
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

    def judge(self, table: RuleTable, text: str, arguments: Json | None, at: float | None, *, uri: str = "") -> Decision:
        """The decision on one name or URI with what was asked of it, at `at` (monotonic seconds), by its budgets too; where `at` is
        None nothing is asked for now, and no budget counts."""
        if table.kind not in self.conditional:
            return self.within_budget(self.decide(table, text), table, at)
        context = self.context({} if arguments is None else arguments, tool=text if table.kind == "tool" else "", uri=uri)
        selection = self._selection(table, text)
        decision = selection.judge(context) if at is None else selection.judge(context, self.spent_at(at))
        return self.within_budget(decision, table, at)

    def within_budget(self, decision: Decision, table: RuleTable, at: float | None) -> Decision:
        """`decision`, or what the server's own limit says where that is used up at `at` and stricter."""
        server = self.live.budget
        if server is None or at is None or decision.outcome >= server.over or not self.budgets.server_spent(server, at):
            return decision
        reason = Reason(table.file, self.live.line, server.over.label, f"{server.text} of this server is used up")
        return Decision(server.over, (reason,))

    def listed(self, table: RuleTable, name: str) -> bool:
        """True where some call of `name` may be let through, or asked for: what a list shows (POLICY.md §3)."""
        decision = table.decide_open(name, self.context(tool=name)) if table.kind in self.conditional else self.decide(table, name)
        return not decision.denied

    def count(self, decision: Decision, at: float) -> int | None:
        """Count a call that `decision` let through, and give the longest answer that its budgets permit, in bytes."""
        server = self.live.budget
        if not decision.rules and server is None:
            return None
        self.budgets.count(decision.rules, server, at)
        budgets = [rule.budget for rule in decision.rules] + [server]
        limits = [each.max_result_bytes for each in budgets if each is not None and each.max_result_bytes is not None]
        return min(limits, default=None)

    def context(self, arguments: Json | None = None, *, tool: str = "", uri: str = "") -> Context:
        """What conditions are judged on; `arguments` are None where they aren't known."""
        world = self.world
        return Context(
            arguments=arguments,
            tool=tool,
            uri=uri,
            server=self.server,
            project=world.project,
            subject=world.subject,
            client=self.client_facts,
            session={"id": world.session, "calls": self._count},
            time=world.now(),
            facts=Once(world.facts),
        )

    @property
    def client_facts(self) -> Json:
        """What the client calls itself: ``name`` and ``version``."""
        try:
            known: Json = msgspec.json.decode(self.client) if self.client is not None else {}
        except msgspec.DecodeError:
            return {}  # a lone surrogate: what asks for it can't be told
        return known

    def pinned(self, why: str) -> Decision:
        """The denial of what differs from its pin."""
        return Decision(Outcome.DENY, (Reason(self.guard.file, 0, "deny", f"{why}; `mcpwrap pins` shows it"),))

    def redact(self, value: Any, *, whole: bool) -> Any:
        """`value` as it may be recorded; `whole` keeps long strings as they are."""
        return redact(value, whole=whole, known=self.known)

    def shown(self, text: str) -> str:
        """`text` without what was delivered to the server."""
        return text if self.known is None else self.known.redacted(text)

    def know(self, secrets: tuple[Secret, ...]) -> None:
        """From now on no record shows `secrets`, nor what was known before."""
        if self.known is not None or secrets:
            self.known = (self.known or Known()).and_before(secrets)
        info, self._client_info = self._client_info, None
        self.remember_client(info)

    def greeting(self, method: str, result: Json, out: list[Command]) -> Json:
        """What `method` (``initialize``, ``server/discover``) gave; changed words are not passed on (POLICY.md §4)."""
        self.established.greeted(method, result)
        why = self.guard.greeting(result)
        self.learn(out)
        if not why:
            return result
        self.refused(
            out, event="lifecycle", direction="server", method="initialize", decision=self.pinned(why),
            note="altered", answered=True,
        )  # fmt: skip
        self.announce(out, f"{self.server}: {why}; its instructions are held back. `mcpwrap pins` shows the difference")
        return reduced(result, self.server)

    def held_by_pins(self, kind: str, names: list[str], out: list[Command]) -> None:
        """Tell the person once about each set of definitions that is held."""
        if self.said.get(kind) != names:
            self.said[kind] = names
            count = f"1 {kind} is" if len(names) == 1 else f"{len(names)} {kind}s are"
            shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            self.announce(out, f"{self.server}: {count} hidden until accepted: {shown}. `mcpwrap pins` shows why")

    def learn(self, out: list[Command]) -> None:
        """Hand out what a list or a greeting taught about the server's definitions."""
        learned = self.guard.learned()
        if learned is not None:
            out.append(Learn(learned))

    def _selection(self, table: RuleTable, text: str) -> Selection:
        key = (table.kind, text)
        found = self._selections.get(key)
        if found is None:
            found = table.select(text)
            if len(text) <= NAME_LIMIT:
                if len(self._selections) >= DECISIONS_KEPT:
                    self._selections.clear()
                self._selections[key] = found
        return found

    def spent_at(self, at: float) -> Callable[[Rule], bool]:
        """Whether the budget of a rule is used up at `at`."""
        return lambda rule: self.budgets.spent(rule, at)

    def next_ref(self) -> str:
        """A short id, unique to one record and its refusal."""
        self._count += 1
        return f"{self.refs}{self._count:x}"

    def remember_client(self, info: Any) -> None:
        """Keep what the client calls itself, encoded once (for records; it loosens nothing)."""
        if info is not None and info != self._client_info and isinstance(info, dict):
            self._client_info = info
            self.client = msgspec.Raw(encode({k: self.shown(str(info[k]))[:200] for k in ("name", "version") if k in info}))

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

    def unlisted(self, direction: str, m: Notification, at: float, out: list[Command]) -> tuple[Decision, tuple[str, ...]]:
        """The decision on a notification outside the specification, counted like a call; and the ref of its record where it is
        to be logged."""
        decision = self.judge(self.live.extra_methods, m.method, m.params, at)
        if m.method in SPEC_METHODS:
            return denial("no such notification here"), ()
        if decision.outcome >= Outcome.ASK:
            return decision, ()
        self.count(decision, at)
        if decision.outcome is Outcome.ALLOW:
            return decision, ()
        ref = self.next_ref()
        arguments, word = self.redact(m.params, whole=True), decision.outcome.label
        out.append(
            Record(
                Entry(
                    "notification", direction, m.method, outcome=word, ref=ref, reasons=decision.reasons, arguments=arguments,
                    client=self.client, status="ok",
                )
            )
        )  # fmt: skip
        self.announce(out, f"{self.server} › {m.method} is sent on, logged (ref {ref})")
        return decision, (ref,)

    def announce(self, out: list[Command], text: str) -> None:
        """Tell the person."""
        out.append(Announce(text))


def denial(text: str) -> Decision:
    """A denial that no file's rule made but the protocol's or mcpwrap's own."""
    return Decision(Outcome.DENY, (Reason("", 0, "deny", text),))
