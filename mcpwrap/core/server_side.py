"""The enforcement point toward the client: what the server answers is judged here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mcpwrap.core import adapt, denial, meta
from mcpwrap.core.access import Access
from mcpwrap.core.asking import NOT_IN_LEGACY, Asking
from mcpwrap.core.commands import Command, Record, ToClient
from mcpwrap.core.contents import followed
from mcpwrap.core.entry import Entry
from mcpwrap.core.jsonrpc import (
    INVALID_PARAMS,
    URL_ELICITATION_REQUIRED,
    Error,
    Json,
    Result,
    Shape,
    WireError,
    encode,
    fold,
    id_key,
    miscased,
)
from mcpwrap.core.lists import LISTS, Lists
from mcpwrap.core.methods import LEGACY, Holds
from mcpwrap.core.outcome import Unfit
from mcpwrap.core.pending import Pending
from mcpwrap.core.server_notices import longer, task_limit
from mcpwrap.core.state import State
from mcpwrap.core.state import denial as own_denial

_RESULT_NAMES: Final = frozenset(
    {
        *(
            "resultType",
            "inputRequests",
            "requestState",
            "content",
            "structuredContent",
            "isError",
            "contents",
            "messages",
            "_meta",
        ),
        *("tools", "prompts", "resources", "resourceTemplates", "tasks", "nextCursor", "task", "taskId", "ttlMs", "cacheScope"),
    }
)
"""Names in a result that some reader acts on, and that are judged or filtered by."""

_RESULT_TYPES: Final = frozenset({"complete", "input_required", "task"})


class ServerSide:
    """Judges the server's answers. Appends commands; holds no state of its own."""

    def __init__(self, state: State, access: Access, asking: Asking) -> None:
        self._state = state
        self._access = access
        self._asking = asking
        self._lists = Lists(state, access)
        self._checks: dict[Holds, Callable[[Pending, Json, float, list[Command]], Json]] = {
            Holds.KEPT: self._kept,
            Holds.HANDSHAKE: self._handshake,
            Holds.DISCOVERY: self._discovery,
            Holds.INPUT: self._input,
            Holds.TASK_STATE: self._task_state,
            **dict.fromkeys(LISTS, self._list),
        }

    # answers

    def response(self, m: Result | Error, at: float, out: list[Command]) -> None:
        """Pass on the answer to a request of the client's, filtered; anything else is dropped."""
        state = self._state
        key = id_key(m.id)
        pending = state.calls.get(key)
        if pending is None or pending.id != m.id:
            state.refused(
                out, event="response", direction="server", method="", request_id=m.id,
                decision=own_denial("an answer to nothing that was asked"),
            )  # fmt: skip
            return
        state.forget(key)
        if pending.cancelled:
            self._end(pending, "cancelled", at, m, out)
            return
        if why := self._too_long(pending, m):
            self._unfit(pending, Unfit(why, policy=True), at, m, out)
            return
        if state.may_echo:
            m = meta.taken_from(m)
        if isinstance(m, Error):
            self._error(pending, m, at, out)
            return
        answer = m
        result = answer.result
        status = "error" if result.get("isError") is True else "ok"
        try:
            if not result.keys() <= _RESULT_NAMES and miscased(result, _RESULT_NAMES):
                raise Unfit("a name in the result is spelled in another case")
            if "inputRequests" in result and (pending.row is None or pending.row.holds not in _MAY_ASK):
                raise Unfit("the server asked for input where it can't")
            kind = result.get("resultType", "complete")
            if pending.modern and (type(kind) is not str or kind not in _RESULT_TYPES):
                raise Unfit("the server answered with an unknown `resultType`")
            holds = pending.row.holds if pending.row is not None else Holds.NOTHING
            check = self._checks.get(holds)
            if check is not None:
                result = check(pending, result, at, out)
                if holds in _MAY_CARRY and not state.live.resources.plainly_open:
                    result = self._followed(pending, result, out)
        except Unfit as unfit:
            self._unfit(pending, unfit, at, m, out)
            return
        if state.adapted is not None and pending.modern:
            result = adapt.result(pending, result)
        line = m.encoded if result is answer.result else encode({**m.body, "result": result})
        self._end(pending, status, at, m, out)
        # refs stand only where the client is asked for something; what permits that is written first
        refs, pending.asks = pending.asks, ()
        out.append(ToClient(line, refs))

    def _too_long(self, p: Pending, m: Result | Error) -> str:
        """Why an answer is longer than its budgets permit; "" where it isn't."""
        limit = task_limit(self._state, p.name) if p.row is not None and p.row.holds is Holds.TASK_STATE else p.result_limit
        return longer(m, limit)

    def _end(self, p: Pending, status: str, at: float, m: Result | Error | None, out: list[Command]) -> None:
        if p.ref:
            out.append(
                Record(
                    Entry(
                        "response",
                        "server",
                        p.method,
                        ref=p.ref,
                        request_id=p.id,
                        status=status,
                        duration_ms=round((at - p.at) * 1000, 3),
                        result_bytes=len(m.encoded) if m is not None else None,
                    )
                )
            )

    def lost(self, p: Pending, at: float, out: list[Command]) -> None:
        """Record that the answer to `p` will never come."""
        self._end(p, "cancelled" if p.cancelled else "lost", at, None, out)

    def _unfit(self, p: Pending, unfit: Unfit, at: float, m: Result | Error, out: list[Command]) -> None:
        self._end(p, "refused", at, m, out)
        ref = self._state.refused(
            out, event="response", direction="server", method=p.method, request_id=p.id, decision=own_denial(str(unfit)),
            tool=p.name if p.method == "tools/call" else "", answered=True,
        )  # fmt: skip
        if unfit.policy and p.method == "tools/call":
            text = f"mcpwrap refused {p.name}: {unfit}. {denial.POLICY_WORDS} (ref {ref})"
            out.append(ToClient(denial.spoken(p.id, text, modern=p.modern)))
        elif unfit.policy:
            out.append(ToClient(denial.error(p.id, denial.REFUSED, f"mcpwrap: {unfit} (ref {ref})")))
        else:
            out.append(ToClient(denial.broken(p.id, f"{unfit} (ref {ref})")))

    def _error(self, p: Pending, m: Error, at: float, out: list[Command]) -> None:
        if p.row is not None and p.row.holds is Holds.TASK_STATE and m.error["code"] == INVALID_PARAMS:
            # the server doesn't know the task any more
            self._state.established.told(p.name, {"status": "failed"})
        data = m.error.get("data")
        carries_urls = m.error["code"] == URL_ELICITATION_REQUIRED or (
            type(data) is dict and any(fold(name) == "elicitations" for name in data)
        )
        refs: tuple[str, ...] = ()
        if carries_urls:
            try:
                refs = self._asking.urls(p, data, at, out)
            except Unfit as unfit:
                self._unfit(p, unfit, at, m, out)
                return
        self._end(p, "error", at, m, out)
        out.append(ToClient(m.encoded, refs))

    def _list(self, p: Pending, result: Json, at: float, out: list[Command]) -> Json:
        return self._lists.judge(p, result, out)

    def _handshake(self, p: Pending, result: Json, at: float, out: list[Command]) -> Json:
        version = result.get("protocolVersion")
        if version not in LEGACY:
            raise Unfit("the server chose a protocol revision that mcpwrap doesn't know")
        self._state.legacy_revision = version
        return self._state.greeting(p.method, result, out)

    def _discovery(self, p: Pending, result: Json, at: float, out: list[Command]) -> Json:
        return self._state.greeting(p.method, result, out)

    def _kept(self, p: Pending, result: Json, at: float, out: list[Command]) -> Json:
        self._state.established.did(p.method, p.sets or {})
        return result

    # what an answer carries

    def _followed(self, p: Pending, result: Json, out: list[Command]) -> Json:
        """The result without the resources that the policy hides."""
        kept, taken = followed(result, p.method, self._access.shows)
        if taken:
            self._state.refused(
                out, event="response", direction="server", method=p.method, request_id=p.id,
                decision=own_denial("resources in it aren't permitted"), note=f"altered: {taken} taken out", answered=True,
                tool=p.name if p.method == "tools/call" else "",
            )  # fmt: skip
        return kept

    # requests inside results, tasks

    def _input(self, p: Pending, result: Json, at: float, out: list[Command]) -> Json:
        if result.get("inputRequests") is not None or result.get("resultType") == "input_required":
            if not p.modern:
                raise Unfit(NOT_IN_LEGACY)
            result, p.asks = self._asking.inputs(p, result, at, out)
        if p.method == "tools/call":
            created = result.get("task") if not p.modern else result if result.get("resultType") == "task" else None
            if type(created) is dict and type(created.get("taskId")) is str:
                self._state.established.told(created["taskId"], created, made=True)
                self._state.catalog.tasks.put(created["taskId"], p.name)
                if p.result_limit is not None:
                    self._state.catalog.limits.put(created["taskId"], p.result_limit)
                if p.token is not None:
                    self._state.task_tokens.put(p.token, created["taskId"])
        return result

    def _task_state(self, p: Pending, result: Json, at: float, out: list[Command]) -> Json:
        if not p.modern and result.get("inputRequests") is not None:
            raise Unfit(NOT_IN_LEGACY)
        p.asks = self._asking.task_body(p.name, result, at, out)
        self._state.established.told(p.name, {"status": "completed"} if p.method == "tasks/result" else result)
        for ref in p.asks:
            self._state.asked.put(ref, p.id)
        return result

    def unreadable(self, error: WireError, at: float, out: list[Command]) -> None:
        """Drop what could not be read; where it surely was the answer to a call, that call fails."""
        state = self._state
        pending = state.calls.get(id_key(error.id)) if error.id is not None and error.shape is not Shape.CALL else None
        state.refused(
            out, event="response" if pending else "notification", direction="server", method="", request_id=error.id,
            decision=own_denial(error.reason),
        )  # fmt: skip
        if pending is not None and pending.id == error.id:
            state.forget(id_key(pending.id))
            self._end(pending, "cancelled" if pending.cancelled else "error", at, None, out)
            if not pending.cancelled:
                out.append(ToClient(denial.broken(pending.id, f"the server's answer can't be read: {error.reason}")))


_MAY_CARRY: Final = frozenset({Holds.INPUT, Holds.TASK_STATE})
"""Answers in which resources may be embedded or linked."""

_MAY_ASK: Final = frozenset({Holds.INPUT, Holds.TASK_STATE})
