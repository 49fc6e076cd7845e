"""The enforcement point toward the server: what the client sends is judged here (POLICY.md §3, PROTOCOL.md §2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mcpwrap.core import adapt, denial, held
from mcpwrap.core.access import Access, task_key
from mcpwrap.core.commands import Command, Record, ToClient
from mcpwrap.core.entry import Entry
from mcpwrap.core.forwarding import Arrival, Forwarding
from mcpwrap.core.jsonrpc import (
    INVALID_PARAMS,
    Id,
    Request,
    id_key,
    miscased,
)
from mcpwrap.core.listing import OWN_PREFIX, STATUS_TOOL
from mcpwrap.core.meta import CLIENT_KEY, USUAL, VERSION_KEY, holds_ours, without_ours
from mcpwrap.core.methods import MODERN, SPEC_METHODS, Holds, Matched, Method, lookup
from mcpwrap.core.rules import NAME_LIMIT, Outcome, ServerRules
from mcpwrap.core.state import IN_FLIGHT_LIMIT, State
from mcpwrap.core.state import denial as own_denial
from mcpwrap.core.uris import completed, completion_text

_LISTENED: Final = frozenset({"toolsListChanged", "promptsListChanged", "resourcesListChanged", "resourceSubscriptions", "taskIds"})
_REFERRED: Final = frozenset({"type", "name", "uri"})

_Judge = Callable[[Request, Arrival, list[Command]], None]


class ClientSide:
    """Judges the client's messages. Appends commands; holds no state of its own."""

    def __init__(self, state: State, access: Access) -> None:
        self._state = state
        self._access = access
        to_server = Forwarding(state)
        self._admit, self._forward, self._with_inputs = to_server.admit, to_server.forward, to_server.with_inputs
        self._refuse, self._invalid, self._unasked = to_server.refuse, to_server.invalid, to_server.unasked
        self._tokenless = to_server.tokenless
        self._judges: dict[Matched, _Judge] = {
            Matched.ALWAYS: self._always,
            Matched.TOOL: self._tool,
            Matched.PROMPT: self._prompt,
            Matched.RESOURCE: self._resource,
            Matched.COMPLETION: self._completion,
            Matched.LISTEN: self._listen,
            Matched.TASK: self._task,
        }

    # requests

    def request(self, message: Request, at: float, out: list[Command]) -> None:
        """Judge one request: forward it, or answer it."""
        state = self._state
        key = id_key(message.id)
        if key in state.calls:
            # an answer would resolve the first call of this id
            self._refuse(message, own_denial("an id that is in flight can't be used again"), out, event="call")
            return
        if len(state.calls) >= IN_FLIGHT_LIMIT:
            ref = self._refuse(message, own_denial(f"more than {IN_FLIGHT_LIMIT} calls in flight"), out, event="call")
            out.append(ToClient(denial.broken(message.id, f"too many calls in flight (ref {ref})")))
            return
        meta = message.params.get("_meta")
        if type(meta) is not dict:
            meta = {}
        elif not meta.keys() <= USUAL and holds_ours(meta):
            message = without_ours(message)
            meta = message.params["_meta"]
        version = meta.get(VERSION_KEY)
        modern = version is not None
        if modern:
            if version not in MODERN:
                self._refuse(message, own_denial("an unknown protocol revision"), out, event="call")
                out.append(ToClient(denial.unsupported_version(message.id, str(version)[:64])))
                return
            revision: str = version
            state.modern_meta = meta
            state.remember_client(meta.get(CLIENT_KEY))
        else:
            revision = state.legacy_or_latest()
        if state.hold or state.rules is None:
            held.request(state, message, revision, modern, out)
            return
        if state.adapted is not None and modern and adapt.request(state, message, out):
            return
        row = lookup(revision, "client", message.method)
        if row is None or row.is_notification:
            self._extra(message, key, revision, modern, at, state.rules, out)
            return
        self._judges[row.matched](message, Arrival(key, row, revision, modern, meta, at), out)

    def _always(self, m: Request, a: Arrival, out: list[Command]) -> None:
        state = self._state
        if a.row.holds is Holds.HANDSHAKE:
            state.handshake = m.params
            state.remember_client(m.params.get("clientInfo"))
            out.append(Record(Entry("lifecycle", "client", m.method, request_id=m.id, client=state.client, status="ok")))
            kept = state.narrow(m.params.get("capabilities"))
            if kept is not None:
                self._forward(m, a, out, params={**m.params, "capabilities": kept})
                return
        self._forward(m, a, out)

    def _tool(self, m: Request, a: Arrival, out: list[Command]) -> None:
        state = self._state
        name = m.params.get("name")
        arguments = m.params.get("arguments")
        if type(name) is not str or not (arguments is None or type(arguments) is dict):
            self._invalid(m, "`name` must be a string and `arguments` an object", out)
            return
        if name.startswith(OWN_PREFIX):
            if name == STATUS_TOOL and (state.notice or state.tokenless):
                text = "\n".join(filter(None, (state.notice, state.tokenless)))
                out.append(ToClient(denial.spoken(m.id, text, modern=a.modern, failed=False)))
                return
            decision, shown = own_denial(f"names that begin with `{OWN_PREFIX}` are mcpwrap's own"), False
        else:
            decision = state.judge(state.live.tools, name, arguments, a.at)
            # what its arguments are refused for, the model may be told; what is hidden doesn't exist
            shown = decision.denied and state.listed(state.live.tools, name)
            if (shown or not decision.denied) and (why := state.guard.held("tool", name)):
                decision, shown = state.pinned(why), False
        outcome = decision.outcome
        if outcome is Outcome.DENY:
            ref = self._refuse(
                m, decision, out, event="call", tool=name[:NAME_LIMIT], arguments=state.redact(arguments, whole=False)
            )
            if shown:
                out.append(ToClient(denial.spoken(m.id, denial.refused(name, decision, ref), modern=a.modern)))
            else:
                out.append(ToClient(denial.unknown_tool(m.id, name[:200], ref)))
        elif outcome is Outcome.ASK:
            ref = self._refuse(m, decision, out, event="call", tool=name, arguments=state.redact(arguments, whole=True))
            out.append(ToClient(denial.spoken(m.id, denial.nobody_to_ask(name, ref), modern=a.modern)))
        else:
            self._admit(m, a, decision, out, tool=name, arguments=arguments)

    def _prompt(self, m: Request, a: Arrival, out: list[Command]) -> None:
        name = m.params.get("name")
        arguments = m.params.get("arguments")
        if type(name) is not str or not (arguments is None or type(arguments) is dict):
            self._invalid(m, "`name` must be a string and `arguments` an object", out)
            return
        decision = self._state.judge(self._state.live.prompts, name, arguments, a.at)
        if not decision.denied and (why := self._state.guard.held("prompt", name)):
            decision = self._state.pinned(why)
        if decision.outcome is Outcome.DENY:
            ref = self._refuse(m, decision, out, event="call", prompt=name[:NAME_LIMIT])
            out.append(ToClient(denial.unknown_prompt(m.id, name[:200], ref)))
        elif decision.outcome is Outcome.ASK:
            self._unasked(m, decision, out, f"the prompt {name[:200]}", prompt=name)
        else:
            self._admit(m, a, decision, out, prompt=name, arguments=arguments)

    def _resource(self, m: Request, a: Arrival, out: list[Command]) -> None:
        uri = m.params.get("uri")
        if type(uri) is not str:
            self._invalid(m, "`uri` must be a string", out)
            return
        decision = self._access.resource(uri, a.at)
        if decision.outcome is Outcome.DENY:
            ref = self._refuse(m, decision, out, event="call", uri=self._state.redact(uri[:NAME_LIMIT], whole=True))
            out.append(ToClient(denial.unknown_resource(m.id, uri[:NAME_LIMIT], ref, modern=a.modern)))
        elif decision.outcome is Outcome.ASK:
            self._unasked(m, decision, out, "this resource", uri=uri)
        else:
            self._admit(m, a, decision, out, uri=uri)

    def _completion(self, m: Request, a: Arrival, out: list[Command]) -> None:
        ref = m.params.get("ref")
        if type(ref) is dict and miscased(ref, _REFERRED):
            self._invalid(m, "a name in `ref` is spelled in another case", out)
            return
        kind = ref.get("type") if type(ref) is dict else None
        name = ref.get("name" if kind == "ref/prompt" else "uri") if type(ref) is dict else None
        if kind not in ("ref/prompt", "ref/resource") or type(name) is not str:
            self._invalid(m, "`ref` must name a prompt or a resource", out)
            return
        rules = self._state.live
        if kind == "ref/prompt":
            prompt, uri, decision = name, "", self._state.judge(rules.prompts, name, completed(m.params), a.at)
            if not decision.denied and (why := self._state.guard.held("prompt", name)):
                decision = self._state.pinned(why)
        else:
            prompt, uri, decision = "", name, self._access.template(completion_text(name, m.params), a.at, beginning=True)
            if "{" in name and not decision.denied and (why := self._state.guard.held("template", name)):
                decision = self._state.pinned(why)
        if decision.outcome >= Outcome.ASK:
            record = self._refuse(m, decision, out, event="call", prompt=prompt[:NAME_LIMIT], uri=uri[:NAME_LIMIT])
            out.append(ToClient(denial.error(m.id, INVALID_PARAMS, f"Unknown reference (ref {record})")))
        else:
            self._admit(m, a, decision, out, prompt=prompt, uri=uri)

    def _listen(self, m: Request, a: Arrival, out: list[Command]) -> None:
        """Listening follows its objects: what the policy hides is taken out, as if the server didn't offer it."""
        wanted = m.params.get("notifications")
        if type(wanted) is not dict or miscased(wanted, _LISTENED):
            self._invalid(m, "`notifications` must be an object with names as the specification spells them", out)
            return
        if self._state.tokenless and (wanted.get("resourceSubscriptions") or wanted.get("taskIds")):
            self._tokenless(m, a, m.method, out)
            return
        kept = self._access.listened(wanted)
        changed = kept != wanted
        if changed:
            self._state.refused(
                out, event="call", direction="client", method=m.method, request_id=m.id,
                decision=own_denial("some of what it listens to is hidden"),
                note="altered: hidden resources and tasks were taken out",
            )  # fmt: skip
        self._forward(m, a, out, params={**m.params, "notifications": kept} if changed else None)
        self._state.calls[a.key].listen = kept

    def _task(self, m: Request, a: Arrival, out: list[Command]) -> None:
        task = m.params.get("taskId")
        if type(task) is not str:
            self._invalid(m, "`taskId` must be a string", out)
            return
        decision = self._access.task(task)
        if decision.outcome is Outcome.DENY:
            ref = self._refuse(m, decision, out, event="call", task=task[:200])
            out.append(ToClient(denial.unknown_task(m.id, ref)))
            return
        params = self._with_inputs(m, task_key(task), out) if "inputResponses" in m.params else m.params
        if params is not None:
            # the call that made it was counted
            self._admit(m, a, decision, out, params=params, task=task, tool=self._state.catalog.tasks.get(task) or "", counted=True)

    def _extra(self, m: Request, key: Id, revision: str, modern: bool, at: float, rules: ServerRules, out: list[Command]) -> None:
        decision = self._state.judge(rules.extra_methods, m.method, m.params, at)
        if m.method in SPEC_METHODS:
            decision = own_denial(f"`{m.method}` doesn't exist in revision {revision}")
        if decision.outcome >= Outcome.ASK:
            ref = self._refuse(m, decision, out, event="call")
            out.append(ToClient(denial.unknown_method(m.id, m.method[:200], ref)))
            return
        row = Method(m.method, "client", (), Matched.ALWAYS)
        self._admit(m, Arrival(key, row, revision, modern, {}, at), decision, out, arguments=m.params)
