"""The enforcement point: one session between a client and a server.

`Session.handle` takes what happened and returns what to do; it does nothing by itself. Each line is parsed, judged, recorded and
sent on, and the way is the same for everything:

    client line → jsonrpc.parse → client_side → rules.decide → Record, ToServer
    server line → jsonrpc.parse → server_side → the pending call, filtered → Record, ToClient

Invariants, each held by a property test:

* nothing unparsed is forwarded
* what is sent is the encoding of what was judged
* an unknown method or direction is denied
* a call without an id is refused
* an id in flight can't be used again
* a late answer, one to a cancelled call, is ignored
* a call that was forwarded has a record that permitted it, and that record comes before it
* what is listed is what isn't denied
* with everything allowed the session is transparent
* over a restart of the server, what was sent isn't sent again, and each request is answered once or recorded as lost
* what waited is judged when it is sent on, in the order in which it came
* a delivered credential stands in no record and reaches no client by us

A server whose credentials run out is replaced while the session goes on (`restarting`); the next one is compared first
(`reopening`). While a session is held (untrusted, the server gone) `held` answers in the server's place, and `joining` leads back.
"""

from __future__ import annotations

from typing import Final

from mcpwrap.core import denial, held
from mcpwrap.core.access import Access
from mcpwrap.core.asking import Asking
from mcpwrap.core.batches import gather
from mcpwrap.core.client_replies import ClientReplies
from mcpwrap.core.client_side import ClientSide
from mcpwrap.core.commands import Command, Record, RestartServer, StopServer, ToClient, ToServer
from mcpwrap.core.entry import Entry
from mcpwrap.core.events import (
    ClientGone,
    ClientLine,
    DrainOver,
    Event,
    Happening,
    NoticeChanged,
    PolicyChanged,
    RecordFailed,
    RestartDue,
    RestartForced,
    ServerBegan,
    ServerExited,
    ServerLine,
    ServerRestarted,
    ServerStarted,
    TokenAwaited,
    TokenFailed,
    TokenReady,
    TokensChanged,
    Withheld,
)
from mcpwrap.core.joining import Joining, is_own, listen_again
from mcpwrap.core.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    Error,
    Message,
    Notification,
    Request,
    Result,
    WireError,
    encode,
    id_key,
    parse,
)
from mcpwrap.core.methods import BATCHING
from mcpwrap.core.pending import Pending
from mcpwrap.core.restarting import Phase, Restarting, not_the_same
from mcpwrap.core.rules import ServerRules
from mcpwrap.core.scrubbing import scrubbed
from mcpwrap.core.server_notices import ServerNotices
from mcpwrap.core.server_side import ServerSide
from mcpwrap.core.state import State
from mcpwrap.core.state import denial as own_denial
from mcpwrap.core.waiting import Waiting
from mcpwrap.core.world import World

_BARE: Final = World()

_HELD_ANSWERS: Final = frozenset({"initialize", "ping", "tools/list", "prompts/list", "resources/list", "resources/templates/list"})
"""What the held session answers for a server that died with the question open. Not ``server/discover``: an error there leads a
client of both families to the handshake, as a dead server would."""


class Session:
    """One session. `refs` begins every ref of this run; a session without `rules` is held, and `hold` says why."""

    def __init__(
        self,
        *,
        server: str,
        refs: str,
        rules: ServerRules | None = None,
        hold: str = "",
        notice: str = "",
        world: World = _BARE,
        starting: bool = False,
    ) -> None:
        self._state = State(server, refs, rules, hold, notice, world=world)
        self._access = access = Access(self._state)
        self._replies = ClientReplies(self._state)
        self._asking = Asking(self._state, access)
        self._client_side = ClientSide(self._state, access)
        self._server_side = ServerSide(self._state, access, self._asking)
        self._notices = ServerNotices(self._state, access, self._replies, self._asking)
        self._joining: Joining | None = None
        self._awaits = False
        """its first credentials are still being fetched"""
        self._restarting = Restarting(self._state, access, Phase.ABSENT) if starting and not hold else None

    @property
    def held(self) -> str:
        """Why the session is held; "" while it isn't."""
        return self._state.hold

    @property
    def phase(self) -> Phase | None:
        """How far the server's restart (or its first start) is; None while there is none."""
        return self._restarting.phase if self._restarting is not None else None

    def handle(self, event: Event) -> list[Command]:
        """Take in what happened and say what to do, in order."""
        out: list[Command] = []
        kind = type(event)
        if kind is ClientLine:
            self._client_line(event.line, event.at, out)  # type: ignore[union-attr]
        elif kind is ServerLine:
            self._server_line(event.line, event.at, out)  # type: ignore[union-attr]
        else:
            self._happened(event, out)  # type: ignore[arg-type]
        if self._restarting is not None:
            self._settle(self._restarting, event.at, out)
        known = self._state.known
        return out if known is None else [scrubbed(command, known) for command in out]

    # lines

    def _client_line(self, line: bytes, at: float, out: list[Command]) -> None:
        try:
            message = parse(line)
        except WireError as error:
            self._replies.unreadable(error, out)
            return
        if type(message) is list:
            self._client_batch(message, at, out)
        else:
            self._from_client(message, at, out)  # type: ignore[arg-type]

    def _from_client(self, m: Message, at: float, out: list[Command]) -> None:
        if self._restarting is not None and self._restarting.takes(m, out):
            return
        if type(m) is Request:
            self._client_side.request(m, at, out)
        elif type(m) is Notification:
            self._replies.notification(m, at, out)
        else:
            self._replies.response(m, at, out)  # type: ignore[arg-type]

    def _server_line(self, line: bytes, at: float, out: list[Command]) -> None:
        try:
            message = parse(line)
        except WireError as error:
            self._garbled(error, at, out)
            return
        if type(message) is list:
            self._server_batch(message, at, out)
        else:
            self._from_server(message, at, out)  # type: ignore[arg-type]

    def _garbled(self, error: WireError, at: float, out: list[Command]) -> None:
        if self._restarting is None or not self._restarting.garbled(error, out):
            self._server_side.unreadable(error, at, out)

    def _from_server(self, m: Message, at: float, out: list[Command]) -> None:
        if self._restarting is not None and self._restarting.hears(m, out):
            return
        if self._state.hold:
            self._joined(m, out)
        elif type(m) is Result or type(m) is Error:
            self._server_side.response(m, at, out)
        elif type(m) is Request:
            self._asking.request(m, at, out)
        else:
            self._notices.notification(m, at, out)  # type: ignore[arg-type]

    def _joined(self, m: Message, out: list[Command]) -> None:
        if self._joining is not None and (type(m) is Result or type(m) is Error) and is_own(m):
            if self._joining.answer(m, out):
                self._joining = None
                self._await()
        elif type(m) is Request:
            out.append(ToServer(denial.error(m.id, INTERNAL_ERROR, "the session is held")))

    # batches (2025-03-26)

    def _client_batch(self, members: list[Message | WireError], at: float, out: list[Command]) -> None:
        state = self._state
        if state.legacy_revision != BATCHING or not members:
            why = "batches don't exist in this protocol revision" if members else "an empty batch"
            self._replies.unreadable(WireError(INVALID_REQUEST, why), out)
            for member in members:
                if isinstance(member, WireError | Request) and member.id is not None:
                    self._replies.unreadable(WireError(INVALID_REQUEST, why, member.id), out)
            return
        inner: list[Command] = []
        asked: list[Pending] = []
        if self._restarting is not None:
            self._restarting.batch()
        for member in members:
            if isinstance(member, WireError):
                self._replies.unreadable(member, inner)
            elif type(member) is Request and member.method == "initialize":
                self._replies.unreadable(WireError(INVALID_REQUEST, "`initialize` in a batch", member.id), inner)
            else:
                before = state.calls.get(id_key(member.id)) if type(member) is Request else None
                self._from_client(member, at, inner)
                pending = state.calls.get(id_key(member.id)) if type(member) is Request else None
                if pending is not None and pending is not before:
                    asked.append(pending)
        if self._restarting is not None:
            self._restarting.batch(over=True)
        gather(inner, out)
        refs = next((c.refs for c in reversed(out) if isinstance(c, ToServer)), ())
        for pending in asked:
            pending.batch = refs[0] if refs else ""

    def _server_batch(self, members: list[Message | WireError], at: float, out: list[Command]) -> None:
        inner: list[Command] = []
        for member in members:
            if isinstance(member, WireError):
                self._garbled(member, at, inner)
            elif self._state.legacy_revision == BATCHING:
                self._from_server(member, at, inner)
            else:
                id = None if isinstance(member, Notification | Request) else member.id
                error = WireError(INVALID_REQUEST, "a batch where the revision has none", id)
                self._garbled(error, at, out)
        gather(inner, out)

    # what happened besides

    def _happened(self, event: Happening, out: list[Command]) -> None:
        state = self._state
        match event:
            case ServerStarted(rules, _, world) if self._restarting is not None:
                state.use(rules, world)
            case ServerStarted(rules, _, world):
                state.use(rules, world)
                self._joining = Joining(state, self._access)
                if self._joining.start(out):
                    self._joining = None
            case ServerExited(why, at):
                self._hold(why, at, out)
            case Withheld(why, at):
                self._hold(why, at, out)
                out.append(StopServer())
            case PolicyChanged(rules, _, world):
                state.use(rules, world)
                if not state.hold:
                    held.lists_changed(state, out)
            case NoticeChanged(notice, _):
                if notice != state.notice:
                    state.notice = notice
                    if not state.hold:
                        held.lists_changed(state, out)
            case RecordFailed(refs, why, at):
                self._unrecorded(frozenset(refs), why, out)
            case TokenAwaited():
                self._awaits = True
                self._await()
            case TokenFailed(why, at):
                state.tokenless = state.shown(why)
                self._awaited(at, out)
            case TokenReady(at):
                state.tokenless = ""
                self._awaited(at, out)
            case TokensChanged(meta, known, _):
                state.tokens_in_meta = dict(meta)
                state.may_echo = state.may_echo or bool(meta)
                state.know((*known, *meta.values()))
            case RestartDue() | RestartForced() | DrainOver() | ServerRestarted() | ServerBegan():
                self._restart(event, out)
            case ClientGone(at):  # pragma: no branch - the last one
                self._restarting = None
                state.waiting = Waiting()
                for pending in state.calls.values():
                    self._server_side.lost(pending, at, out)
                state.calls.clear()
                self._forget_server_calls(at, out)

    # a server that is restarted

    def _await(self) -> None:
        """Let calls wait for their token, once the session is open."""
        if self._awaits and self._restarting is None and not self._state.hold:
            self._restarting = Restarting(self._state, self._access, Phase.AWAITING)

    def _awaited(self, at: float, out: list[Command]) -> None:
        self._awaits = False
        if self._restarting is not None and self._restarting.phase is Phase.AWAITING:
            self._restarting = None
            self._release(at, out)

    def _restart(self, event: RestartDue | RestartForced | DrainOver | ServerRestarted | ServerBegan, out: list[Command]) -> None:
        now = self._restarting
        if now is None:
            if isinstance(event, RestartDue | RestartForced) and not self._state.hold:
                phase = Phase.DUE if isinstance(event, RestartDue) else Phase.DRAINING
                self._restarting = Restarting(self._state, self._access, phase)
            return
        match event, now.phase:
            case RestartForced(), Phase.DUE | Phase.AWAITING:
                now.phase = Phase.DRAINING
            case DrainOver(at), Phase.DRAINING:
                self._end_server(now, at, out)
            case DrainOver(at), Phase.OPENING:
                self._not_the_same("it doesn't answer", at, out)
            case ServerRestarted(), Phase.ABSENT:
                now.open(out)
            case ServerBegan(at), Phase.ABSENT:
                self._restarting = None
                self._release(at, out)
            case _:
                pass

    def _settle(self, now: Restarting, at: float, out: list[Command]) -> None:
        """Go on with the restart where what it waited for is there."""
        if now.phase in (Phase.DUE, Phase.DRAINING):
            if now.idle:
                self._end_server(now, at, out)
        elif now.verdict:
            self._not_the_same(now.verdict, at, out)
        elif now.verdict is not None:
            self._restarting = None
            listen_again(self._state, self._access, out)
            out.append(Record(Entry("lifecycle", "server", "restarted", status="ok")))
            for (waiter,) in now.said.release():
                self._from_server(parse(waiter.line), at, out)  # type: ignore[arg-type]
            self._release(at, out)

    def _end_server(self, now: Restarting, at: float, out: list[Command]) -> None:
        now.phase = Phase.ABSENT
        why = f'"{self._state.server}" was restarted before it answered; what it did until then isn\'t known'
        for pending in [p for p in self._state.calls.values() if p.listen is None or p.cancelled]:
            self._state.forget(id_key(pending.id))
            self._server_side.lost(pending, at, out)
            if not pending.cancelled:
                out.append(ToClient(denial.broken(pending.id, why)))
        for asked in list(self._state.server_calls.values()):
            withdrawn = {"requestId": asked.id, "reason": "the server that asked is gone"}
            out.append(ToClient(encode({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": withdrawn})))
        self._forget_server_calls(at, out)
        self._state.established.tasks.clear()
        out.append(RestartServer())

    def _not_the_same(self, why: str, at: float, out: list[Command]) -> None:
        decision = own_denial(why)
        self._state.refused(out, event="lifecycle", direction="server", method="restarted", decision=decision, answered=True)
        self._hold(not_the_same(self._state.server, why), at, out)
        out.append(StopServer())

    def _release(self, at: float, out: list[Command]) -> None:
        """Take in what waited, as if it came only now."""
        for waiters in self._state.waiting.release():
            members = [parse(waiter.line) for waiter in waiters]
            if waiters[0].batch:
                self._client_batch(members, at, out)  # type: ignore[arg-type]
            else:
                self._from_client(members[0], at, out)  # type: ignore[arg-type]

    def _hold(self, why: str, at: float, out: list[Command]) -> None:
        """From now on answer in the server's place; what it owed is answered with an error."""
        state = self._state
        was_held = bool(state.hold)
        self._awaits = False
        state.hold = why = state.shown(why)
        self._restarting = None
        state.adapted = None
        state.established.tasks.clear()
        self._forget_server_calls(at, out)
        self._joining = None
        owed = [p for p in state.calls.values() if p.listen is None or p.cancelled]
        for pending in owed:
            state.forget(id_key(pending.id))
            self._server_side.lost(pending, at, out)
            if pending.cancelled:
                continue
            if pending.method in _HELD_ANSWERS:
                params = (state.handshake or {}) if pending.method == "initialize" else {}
                question = Request(pending.id, pending.method, params, {}, b"")
                held.request(state, question, pending.revision, pending.modern, out)
            else:
                out.append(ToClient(denial.broken(pending.id, why)))
        if not was_held:
            held.lists_changed(state, out)
        self._release(at, out)

    def _forget_server_calls(self, at: float, out: list[Command]) -> None:
        for pending in list(self._state.server_calls.values()):
            self._state.owed.put(id_key(pending.id), pending.method)
            self._replies.ended(pending, "lost", out, at=at)

    def _unrecorded(self, refs: frozenset[str], why: str, out: list[Command]) -> None:
        state = self._state
        for pending in [p for p in state.calls.values() if p.ref in refs or p.batch in refs]:
            state.forget(id_key(pending.id))
            if not pending.cancelled:
                out.append(ToClient(denial.broken(pending.id, f"nothing was run, since it can't be recorded: {why}")))
        # an answer may ask for several things; its call is answered once
        asked = {id_key(id): id for ref in sorted(refs) if (id := state.asked.get(ref)) is not None}
        for id in asked.values():
            out.append(ToClient(denial.broken(id, f"nothing was asked, since it can't be recorded: {why}")))
        for pending in [p for p in state.server_calls.values() if p.ref in refs]:
            del state.server_calls[id_key(pending.id)]
            out.append(ToServer(denial.broken(pending.id, f"nothing was asked, since it can't be recorded: {why}")))
