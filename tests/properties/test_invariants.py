"""The invariants at the head of core/session.py, each by its name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from mcpwrap.core.commands import Command, Record, ToClient, ToServer
from mcpwrap.core.events import ClientLine, Event, ServerLine
from mcpwrap.core.jsonrpc import Error, Notification, Request, Result, WireError, encode, id_key, parse
from mcpwrap.core.meta import VERSION_KEY
from mcpwrap.core.methods import TABLE, Matched, lookup
from mcpwrap.core.rules import ServerRules
from tests.playbooks.policy import policy
from tests.properties.messages import POLICIES, TOKEN, all_events, line_events, names, play, policies, session

CLIENT_ROWS = {row.name: row for row in TABLE if row.sender == "client"}
SERVER_ROWS = {row.name: row for row in TABLE if row.sender == "server"}
UNRECORDED = {Matched.ALWAYS, Matched.LISTEN}


def bodies(line: bytes) -> list[Any]:
    """The messages of one line that was sent, as the strict parser reads them."""
    parsed = parse(line)
    members = parsed if isinstance(parsed, list) else [parsed]
    assert not any(isinstance(m, WireError) for m in members), line
    return members


def sent(commands: list[Command], side: type[ToServer] | type[ToClient]) -> Iterator[Any]:
    """All messages that go to one side, those of batches one by one."""
    for command in commands:
        if isinstance(command, side):
            yield from bodies(command.line)


def received(event: Event) -> list[Any]:
    """The readable messages of an event."""
    if not isinstance(event, ClientLine | ServerLine):
        return []
    try:
        parsed = parse(event.line)
    except WireError:
        return []
    return [m for m in (parsed if isinstance(parsed, list) else [parsed]) if not isinstance(m, WireError)]


@given(policies, all_events(), st.booleans(), st.booleans(), st.booleans())
@example(
    POLICIES[0],
    [ClientLine(b'{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{"taskId":[]}}', 0.0)],
    False,
    False,
    False,
)
def test_whatever_happens_in_whatever_order_nothing_is_raised(
    rules: ServerRules, events: list[Event], held: bool, noted: bool, starting: bool
) -> None:
    on = session(rules, hold="held back" if held else "", notice="a change waits" if noted else "", starting=starting)
    for _, commands in play(on, events):
        for command in commands:
            assert isinstance(command, ToServer) or TOKEN not in repr(command)
            if isinstance(command, ToServer | ToClient):
                assert b"\n" not in command.line
                assert b"\r" not in command.line


ALTERED_PARAMS = {"_meta", "capabilities", "inputResponses", "requestState", "notifications"}
"""What may be altered in a client's request: narrowed, filtered, or completed with a refusal that the client never saw."""

ALTERED_RESULTS = {
    "tools",
    "prompts",
    "resources",
    "resourceTemplates",
    "tasks",
    "inputRequests",
    "requestState",
    "ttlMs",
    "cacheScope",
}
"""What may be altered in a server's answer: filtered, not to be cached."""


def same_but(a: Any, b: Any, names: set[str]) -> bool:
    """Equal, but for some keys."""
    if not isinstance(a, dict) or not isinstance(b, dict):
        return encode(a) == encode(b)
    kept_a, kept_b = ({k: v for k, v in each.items() if k not in names} for each in (a, b))
    return encode(kept_a) == encode(kept_b)


def is_alteration(out: Any, of: Any) -> bool:
    """True where `out` is `of`, or what the documents say may become of it."""
    if type(out) is not type(of):
        return False
    if out.encoded == of.encoded:
        return True
    if isinstance(out, Request):
        rest = same_but(out.body, of.body, {"params"})
        return rest and same_but(out.params, of.params, ALTERED_PARAMS)
    if isinstance(out, Result):
        return same_but(out.body, of.body, {"result"}) and same_but(out.result, of.result, ALTERED_RESULTS)
    return False


@given(policies, line_events())
def test_nothing_unparsed_is_forwarded_and_what_is_sent_is_the_encoding_of_what_was_judged(
    rules: ServerRules, events: list[Event]
) -> None:
    for event, commands in play(session(rules), events):
        read = received(event)
        from_client = isinstance(event, ClientLine)
        for side in (ToServer, ToClient):
            for out in sent(commands, side):
                if any(is_alteration(out, m) for m in read):
                    assert (side is ToServer) is from_client
                    continue
                # else it is an answer of our own
                assert isinstance(out, Result | Error), (event, out)
                if isinstance(out, Result):
                    assert out.result.keys() <= {"resultType", "content", "isError", "action"}
                else:
                    assert out.error["code"] in (-32700, -32600, -32601, -32602, -32603, -32002, -32022, -31403)


@given(policies, all_events())
def test_every_line_that_is_sent_is_its_own_encoding(rules: ServerRules, events: list[Event]) -> None:
    for _, commands in play(session(rules), events):
        for command in commands:
            if isinstance(command, ToServer | ToClient):
                parsed = parse(command.line)
                if isinstance(parsed, list):
                    assert b"[" + b",".join(m.encoded for m in bodies(command.line)) + b"]" == command.line
                else:
                    assert parsed.encoded == command.line


@given(policies, line_events())
def test_an_unknown_method_or_direction_is_denied(rules: ServerRules, events: list[Event]) -> None:
    rules = ServerRules(rules.server, rules.tools, rules.resources, rules.prompts, rules.server_requests, policy().extra_methods)
    for _, commands in play(session(rules), events):
        for m in sent(commands, ToServer):
            if isinstance(m, Request | Notification):
                assert m.method in CLIENT_ROWS
        for m in sent(commands, ToClient):
            if isinstance(m, Request | Notification):
                assert m.method in SERVER_ROWS


@given(policies, line_events())
def test_a_call_without_an_id_is_refused(rules: ServerRules, events: list[Event]) -> None:
    for _, commands in play(session(rules), events):
        for m in sent(commands, ToServer):
            if isinstance(m, Notification) and m.method in CLIENT_ROWS:
                assert CLIENT_ROWS[m.method].is_notification
        for m in sent(commands, ToClient):
            if isinstance(m, Notification) and m.method in SERVER_ROWS:
                assert SERVER_ROWS[m.method].is_notification


@given(policies, line_events(max_size=20))
def test_an_id_in_flight_cannot_be_used_again_and_a_late_answer_is_ignored(rules: ServerRules, events: list[Event]) -> None:
    """What the server was asked, as it sees it: an id once until it answered, and no answer to the client but to that."""
    flying: dict[Any, Any] = {}
    cancelled: set[Any] = set()
    for event, commands in play(session(rules), events):
        for m in sent(commands, ToClient) if isinstance(event, ServerLine) else ():
            if isinstance(m, Result | Error):
                assert flying.get(id_key(m.id)) == m.id
                assert id_key(m.id) not in cancelled
                del flying[id_key(m.id)]
        if isinstance(event, ServerLine):
            # a cancelled call's late answer frees its id; the server may end what listens
            for m in received(event):
                if isinstance(m, Result | Error) and flying.get(id_key(m.id)) == m.id and id_key(m.id) in cancelled:
                    del flying[id_key(m.id)]
                    cancelled.discard(id_key(m.id))
            flying = {key: id for key, id in flying.items() if _still_flies(id, event, commands)}
            cancelled &= flying.keys()
            continue
        for m in sent(commands, ToServer):
            if isinstance(m, Request):
                assert id_key(m.id) not in flying, (m, flying)
                flying[id_key(m.id)] = m.id
            elif isinstance(m, Notification) and m.method == "notifications/cancelled":
                assert flying[id_key(m.params["requestId"])] == m.params["requestId"]
                cancelled.add(id_key(m.params["requestId"]))


def _still_flies(id: Any, event: ServerLine, commands: list[Command]) -> bool:
    """False where this line ended the call of `id` without an answer that was passed on."""
    for m in sent(commands, ToClient):
        if isinstance(m, Notification) and m.method == "notifications/cancelled" and id_key(m.params["requestId"]) == id_key(id):
            return False
    ended = [c.entry for c in commands if isinstance(c, Record) and c.entry.event == "response" and c.entry.status != "refused"]
    return not any(entry.status in ("cancelled", "error") and entry.request_id == id for entry in ended)


@given(policies, line_events(max_size=20))
def test_a_call_that_was_forwarded_has_a_record_that_permitted_it_and_that_comes_before_it(
    rules: ServerRules, events: list[Event]
) -> None:
    for _, commands in play(session(rules), events):
        permitted: dict[str, str] = {}
        for command in commands:
            if isinstance(command, Record) and command.entry.event == "call" and command.entry.outcome in ("allow", "log"):
                assert command.entry.status == ""
                permitted[command.entry.ref] = command.entry.method
            elif isinstance(command, ToServer | ToClient):
                rows = CLIENT_ROWS if isinstance(command, ToServer) else SERVER_ROWS
                asked = [m.method for m in bodies(command.line) if isinstance(m, Request)]
                needed = [m for m in asked if m not in rows or rows[m].matched not in UNRECORDED]
                found = [permitted[ref] for ref in command.refs]
                # a server's request about the client's own task needs none
                assert [m for m in needed if not (isinstance(command, ToClient) and m.startswith("tasks/"))] == found


@given(
    st.lists(names, max_size=4),
    st.lists(names, max_size=4),
    st.lists(names, max_size=4),
    st.lists(names, max_size=4),
    names,
    st.booleans(),
)
def test_what_is_listed_is_what_is_not_denied(
    allow: list[str], log: list[str], ask: list[str], deny: list[str], name: str, modern: bool
) -> None:
    lists = {
        effect: [p or "*" for p in given_]
        for effect, given_ in (("allow", allow), ("log", log), ("ask", ask), ("deny", deny))
        if given_
    }
    meta = {"_meta": {VERSION_KEY: "2026-07-28"}} if modern else {}
    on = session(policy(lists))

    def ask_for(id: int, method: str, **params: Any) -> list[Command]:
        return on.handle(
            ClientLine(json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": {**params, **meta}}).encode(), 0.0)
        )

    ask_for(1, "tools/list")
    listed = on.handle(ServerLine(json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": name}]}}).encode(), 0.0))
    (shown,) = sent(listed, ToClient)
    called = list(sent(ask_for(2, "tools/call", name=name), ToClient))
    hidden = [m for m in called if isinstance(m, Error) and m.error["code"] == -32602]
    assert bool(shown.result["tools"]) is not bool(hidden)


def test_the_invariants_above_cover_every_row() -> None:
    """A new row must be thought about: what is not recorded carries no authority of its own."""
    for row in TABLE:
        if row.matched in UNRECORDED and not row.is_notification:
            assert lookup(row.revisions[0], row.sender, row.name) is row
            assert row.name in {
                "initialize", "server/discover", "ping", "tools/list", "prompts/list", "resources/list", "resources/templates/list",
                "subscriptions/listen", "logging/setLevel", "tasks/list",
            }  # fmt: skip
