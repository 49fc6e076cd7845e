"""What a server asks of the client: requests of its own, and ``inputRequests`` in its results (PROTOCOL.md §2)."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

from mcpwrap.core import adapt, denial, meta
from mcpwrap.core.access import Access, task_key
from mcpwrap.core.catalog import OWN_STATE
from mcpwrap.core.commands import Command, Record, ToClient, ToServer
from mcpwrap.core.contents import followed
from mcpwrap.core.entry import Entry
from mcpwrap.core.jsonrpc import METHOD_NOT_FOUND, Json, Request, encode, id_key
from mcpwrap.core.methods import INPUT_METHODS, Matched, lookup
from mcpwrap.core.outcome import Unfit
from mcpwrap.core.pending import Pending
from mcpwrap.core.rules import Decision, Outcome
from mcpwrap.core.state import IN_FLIGHT_LIMIT, State
from mcpwrap.core.state import denial as own_denial

INPUTS_LIMIT: Final = 256
"""``inputRequests`` of one answer, and characters of a key: the keys are kept until the call is forgotten."""

NOT_IN_LEGACY: Final = "the server asked for input in a way that this protocol revision doesn't have"


class Asking:
    """Judges them. Appends commands; holds no state of its own."""

    def __init__(self, state: State, access: Access) -> None:
        self._state = state
        self._access = access

    def judged(self, word: str, params: Any, at: float | None) -> Decision:
        """The decision on one thing that is asked of the client, with what is asked; no budget counts where `at` is None."""
        state = self._state
        params = params if type(params) is dict else {}
        decision = state.judge(state.live.server_requests, word, params, at)
        if word == "elicitation" and decision.outcome <= Outcome.LOG:
            from mcpwrap.core.elicitation import refusal  # noqa: PLC0415 - 3 ms of a start; few servers ask

            if why := refusal(params):
                return own_denial(why)
        if word == "sampling" and decision.outcome <= Outcome.LOG and not state.live.resources.plainly_open:
            # it goes to the model like a tool's result
            _, hidden = followed(params, "sampling/createMessage", self._access.shows)
            if hidden:
                return own_denial("resources in it aren't permitted")
        return decision

    def urls(self, p: Pending, data: Any, at: float, out: list[Command]) -> tuple[str, ...]:
        """The refs of the records that permit the URLs of an error (-32042, MCP 2025-11-25, client/elicitation).

        Raises:
            Unfit: they may not be passed on.
        """
        if "elicitation" in self._state.closed:
            raise Unfit("the server wants to open a URL, which isn't permitted", policy=True)
        from mcpwrap.core.elicitation import urls_of  # noqa: PLC0415 - as above

        wanted = urls_of(data)
        if wanted is None:
            raise Unfit("the server wants to open URLs in a way that can't be read", policy=True)
        refs: list[str] = []
        for each in wanted:
            params = {"mode": "url", **each}
            decision = self.judged("elicitation", params, at)
            if decision.outcome >= Outcome.ASK:
                raise Unfit(f"the server wants to open a URL: {decision.reasons[0].text}", policy=True)
            self._state.count(decision, at)
            refs.append(self._permit("elicitation/create", params, decision, out, tool=p.name))
            self._state.asked.put(refs[-1], p.id)
        return tuple(refs)

    def task_body(self, task: str, body: Json, at: float, out: list[Command]) -> tuple[str, ...]:
        """Look into a task's state; what it asks for follows the policy, and can't be taken out without leaving it stuck.

        Returns the refs of the records that permit it. What was asked already counts once, however often the state is told.

        Raises:
            Unfit: it may not be passed on.
        """
        inner = body.get("result")
        if type(inner) is dict and "inputRequests" in inner:
            raise Unfit("a finished task asked for input")
        requests = body.get("inputRequests")
        if requests is None:
            return ()
        words = self._words(requests)
        inputs = self._state.inputs(task_key(task))
        before, inputs.issued = inputs.issued, {}
        refs: list[str] = []
        for name, word in words.items():
            params = requests[name].get("params")
            asked = sha256(encode(requests[name])).digest()
            again = before.get(name) == asked
            decision = self.judged(word, params, None if again else at)
            if decision.outcome >= Outcome.ASK:
                raise Unfit(f"the task asks for {word}, which isn't permitted: {decision.reasons[0].text}", policy=True)
            inputs.issued[name] = asked
            if not again:
                self._state.count(decision, at)
                refs.append(
                    self._permit(
                        requests[name]["method"],
                        params,
                        decision,
                        out,
                        task=task[:200],
                        tool=self._state.catalog.tasks.get(task) or "",
                    )
                )
        return tuple(refs)

    def inputs(self, p: Pending, result: Json, at: float, out: list[Command]) -> tuple[Json, tuple[str, ...]]:
        """The same policy for ``inputRequests`` as for requests of their own (MCP 2026-07-28, basic/patterns/mrtr).

        Returns the result as it may go on, and the refs of the records that permit it.
        """
        requests = result.get("inputRequests")
        if requests is None:
            return result, ()
        words = self._words(requests)
        inputs = self._state.inputs(p.call_key)
        # one round's keys are answered in the next call; older ones mean nothing any more
        inputs.issued, inputs.declined = {}, {}
        kept = dict(requests)
        refs: list[str] = []
        for name, word in words.items():
            params = requests[name].get("params")
            decision = self.judged(word, params, at)
            if decision.outcome <= Outcome.LOG:
                inputs.issued[name] = b""
                self._state.count(decision, at)
                refs.append(self._permit(requests[name]["method"], params, decision, out, tool=p.name))
                self._state.asked.put(refs[-1], p.id)
                continue
            if word == "sampling":
                # there is no way to decline: the call fails (PROTOCOL.md §2)
                raise Unfit(f"the server asks for sampling, which isn't permitted: {decision.reasons[0].text}", policy=True)
            del kept[name]
            inputs.declined[name] = {"action": "decline"} if word == "elicitation" else {"roots": []}
            self._state.refused(
                out, event="call", direction="server", method=requests[name]["method"], tool=p.name,
                decision=decision, note="altered: declined for the client", answered=True,
            )  # fmt: skip
        if len(kept) == len(requests):
            return result, tuple(refs)
        result = {**result, "inputRequests": kept}
        if not kept and result.get("requestState") is None:
            result["requestState"] = OWN_STATE
        return result, tuple(refs)

    def _words(self, requests: Any) -> dict[str, str]:
        if type(requests) is not dict:
            raise Unfit("`inputRequests` must be an object")
        if len(requests) > INPUTS_LIMIT or any(len(name) > INPUTS_LIMIT for name in requests):
            raise Unfit(f"more than {INPUTS_LIMIT} `inputRequests`, or a key longer than that")
        words: dict[str, str] = {}
        for name, request in requests.items():
            method = request.get("method") if type(request) is dict else None
            word = INPUT_METHODS.get(method) if type(method) is str else None
            if word is None:
                raise Unfit("the server asked for input of an unknown kind")
            words[name] = word
        return words

    def _permit(self, method: str, params: Any, decision: Decision, out: list[Command], **target: Any) -> str:
        """Record that `decision` lets the client be asked; returns the ref."""
        ref = self._state.next_ref()
        arguments = self._state.redact(params, whole=decision.outcome is Outcome.LOG)
        out.append(
            Record(
                Entry(
                    "call",
                    "server",
                    method,
                    outcome=decision.outcome.label,
                    ref=ref,
                    reasons=decision.reasons,
                    arguments=arguments,
                    **target,
                )
            )
        )
        return ref

    # requests

    def request(self, m: Request, at: float, out: list[Command]) -> None:
        """Judge a request of the server's: forward it, or answer it."""
        state = self._state
        if state.may_echo:
            m = meta.taken_back(m)
        key = id_key(m.id)
        if key in state.server_calls:
            self._refuse_request(m, own_denial("an id that is in flight can't be used again"), out)
            return
        if len(state.server_calls) >= IN_FLIGHT_LIMIT:
            ref = self._refuse_request(m, own_denial(f"more than {IN_FLIGHT_LIMIT} requests in flight"), out)
            out.append(ToServer(denial.broken(m.id, f"too many requests in flight{denial.tag(ref)}")))
            return
        if state.owed.get(key) is not None:
            # the client's answer to the process before would be taken for one to this
            ref = self._refuse_request(m, own_denial("an id that the client may still answer for the process before"), out)
            out.append(ToServer(denial.broken(m.id, f"use another id{denial.tag(ref)}")))
            return
        if state.adapted is not None:
            out.append(ToServer(adapt.refusal(m)))
            return
        if state.handshake is None:
            # a stateless session has no such requests, and its client may not answer (MCP 2026-07-28, stdio)
            self._refuse_request(m, own_denial("a stateless session has no requests of the server"), out)
            return
        row = lookup(state.legacy_or_latest(), "server", m.method)
        if row is None or row.is_notification:
            decision = own_denial("no such request here")
        elif row.matched is Matched.SERVER_REQUEST:
            decision = self.judged(row.subject, m.params, at)
        elif row.matched is Matched.CLIENT_TASK and not state.made_by_client(m.params.get("taskId")):
            decision = own_denial("a task that was made for nothing")
        else:
            decision = None
        if decision is not None and decision.outcome >= Outcome.ASK:
            ref = self._refuse_request(m, decision, out)
            if row is not None and row.subject == "elicitation" and "elicitation" not in state.closed:
                # it was declared: the server counts on an answer of its kind
                out.append(ToServer(denial.answer(m.id, {"action": "decline"})))
                return
            text = f"{m.method[:200]} is not permitted{denial.tag(ref)}"
            out.append(ToServer(denial.error(m.id, METHOD_NOT_FOUND, text)))
            return
        ref = ""
        if decision is not None:
            state.count(decision, at)
            ref = self._permit(m.method, m.params, decision, out, request_id=m.id)
        envelope = m.params.get("_meta")
        token = envelope.get("progressToken") if type(envelope) is dict else None
        state.server_calls[key] = Pending(
            m.id, m.method, row, "", False, at, ref, token=token if type(token) is int or type(token) is str else None
        )
        out.append(ToClient(m.encoded, (ref,) if ref else ()))

    def _refuse_request(self, m: Request, decision: Any, out: list[Command]) -> str:
        return self._state.refused(
            out, event="call", direction="server", method=m.method, request_id=m.id, decision=decision,
            arguments=self._state.redact(m.params, whole=False),
        )  # fmt: skip
