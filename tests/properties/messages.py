"""What peers may say: well-formed, nearly so, and not at all."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from mcpwrap.core.commands import Command
from mcpwrap.core.events import (
    ClientGone,
    ClientLine,
    DrainOver,
    Event,
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
    TokenFailed,
    TokenReady,
    TokensChanged,
    Withheld,
)
from mcpwrap.core.meta import CAPABILITIES_KEY, SUBSCRIPTION_KEY, VERSION_KEY
from mcpwrap.core.methods import LEGACY, TABLE
from mcpwrap.core.rules import ServerRules
from mcpwrap.core.session import Session
from mcpwrap.secret import Secret
from tests.playbooks.policy import CLOSED, OPEN, policy

SOME = policy(
    {"allow": ["a*", "k"], "log": ["ab"], "ask": ["b*"], "deny": ["ac"]},
    resources={"allow": ["f:/a/**"], "ask": ["f:/a/b"]},
    prompts={"allow": ["a"], "ask": ["b"]},
    server_requests={"allow": ["roots"], "ask": ["sampling"]},
    extra_methods={"allow": ["vendor/*"]},
)
POLICIES = (OPEN, CLOSED, SOME)
policies: st.SearchStrategy[ServerRules] = st.sampled_from(POLICIES)

TOKEN = "a-token-that-was-delivered"

# a few ids and names only, so that messages meet

ids = st.sampled_from([0, 1, 2, "1", "x", "mcpwrap-initialize", "mcpwrap-discover", "mcpwrap-again-1"])
odd = st.sampled_from([None, True, 1.0, [], {}, [[1]], {"a": 1}, "", 10**30, "\ud800", -0.0])
names = st.sampled_from(["a", "ab", "ac", "b", "c", "k", "mcpwrap_status", "mcpwrap_x", ""])
uris = st.sampled_from(["f:/a/x", "f:/a/b", "f:/a/../b", "f:/c", "f:/a/%2e%2e/b", "f:/a/{p}"])
tokens = st.sampled_from([1, "t", "1"])
words = st.sampled_from([*sorted({row.name for row in TABLE}), "vendor/a", "notifications/vendor/a", "other"])

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly that, sometimes something odd."""
    return st.one_of(strategy, strategy, strategy, strategy, odd)


def _meta(*, modern: bool | None) -> st.SearchStrategy[dict[str, Any]]:
    capabilities = st.sampled_from(
        [{}, {"sampling": {}, "roots": {}}, {"elicitation": {}, "tasks": {"requests": {"sampling": {}}}}]
    )
    envelope = {VERSION_KEY: _maybe(st.just("2026-07-28")), CAPABILITIES_KEY: _maybe(capabilities)}
    optional = {"progressToken": _maybe(tokens), SUBSCRIPTION_KEY: _maybe(ids), "traceparent": _maybe(st.just("00-1"))}
    if modern is None:
        return st.fixed_dictionaries({}, optional=optional | envelope)
    return st.fixed_dictionaries(envelope if modern else {}, optional=optional)


input_requests = st.dictionaries(
    st.sampled_from(["p", "q"]),
    _maybe(
        st.fixed_dictionaries({"method": _maybe(st.sampled_from(["roots/list", "sampling/createMessage", "elicitation/create"]))})
    ),
    max_size=2,
)

results = _maybe(
    st.fixed_dictionaries(
        {},
        optional={
            "resultType": _maybe(st.sampled_from(["complete", "input_required", "task"])),
            "tools": _maybe(st.lists(_maybe(st.fixed_dictionaries({"name": _maybe(names)})), max_size=3)),
            "prompts": _maybe(st.lists(st.fixed_dictionaries({"name": names}), max_size=3)),
            "resources": _maybe(st.lists(st.fixed_dictionaries({"uri": uris}), max_size=3)),
            "resourceTemplates": _maybe(st.lists(st.fixed_dictionaries({"uriTemplate": uris}), max_size=3)),
            "tasks": _maybe(st.lists(st.fixed_dictionaries({"taskId": names}), max_size=3)),
            "nextCursor": _maybe(st.just("n")),
            "protocolVersion": _maybe(st.sampled_from(LEGACY)),
            "inputRequests": _maybe(input_requests),
            "requestState": _maybe(st.just("s")),
            "taskId": _maybe(names),
            "task": _maybe(st.fixed_dictionaries({"taskId": _maybe(names)})),
            "isError": odd,
            "content": values,
        },
    )
)

errors = _maybe(
    st.fixed_dictionaries(
        {"code": _maybe(st.sampled_from([-32042, -32601, 1])), "message": _maybe(st.just("no"))},
        optional={"data": _maybe(st.just({"elicitations": []}))},
    )
)


def params(*, modern: bool | None = None) -> st.SearchStrategy[Any]:
    """Parameters that hold some of what some method reads."""
    return _maybe(
        st.fixed_dictionaries(
            {"_meta": _maybe(_meta(modern=modern))},
            optional={
                "name": _maybe(names),
                "arguments": _maybe(st.dictionaries(st.sampled_from(["x", "X", "y", "token"]), values, max_size=2)),
                "uri": _maybe(uris),
                "ref": _maybe(
                    st.one_of(
                        st.fixed_dictionaries({"type": st.just("ref/prompt"), "name": _maybe(names)}),
                        st.fixed_dictionaries({"type": st.just("ref/resource"), "uri": _maybe(uris)}),
                    )
                ),
                "argument": _maybe(st.fixed_dictionaries({"name": _maybe(st.just("p")), "value": _maybe(st.just("../"))})),
                "context": _maybe(st.just({"arguments": {"p": "x"}})),
                "taskId": _maybe(names),
                "requestId": _maybe(ids),
                "progressToken": _maybe(tokens),
                "notifications": _maybe(
                    st.fixed_dictionaries(
                        {},
                        optional={
                            "toolsListChanged": _maybe(st.just(True)),
                            "resourceSubscriptions": _maybe(st.lists(_maybe(uris), max_size=2)),
                            "taskIds": _maybe(st.lists(_maybe(names), max_size=2)),
                        },
                    )
                ),
                "capabilities": _maybe(st.sampled_from([{}, {"sampling": {}, "roots": {}}])),
                "clientInfo": _maybe(st.just({"name": "n", "version": "1"})),
                "protocolVersion": _maybe(st.sampled_from(LEGACY)),
                "inputResponses": _maybe(st.dictionaries(st.sampled_from(["p", "q"]), values, max_size=2)),
                "requestState": _maybe(st.sampled_from(["s", "mcpwrap"])),
                "inputRequests": _maybe(input_requests),
                "task": values,
                "result": _maybe(st.just({"inputRequests": {}})),
            },
        )
    )


def _message(body: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", **body}


def messages(*, modern: bool | None = None) -> st.SearchStrategy[dict[str, Any]]:
    """One message, well-formed but for what `odd` puts into it."""
    request = st.fixed_dictionaries({"id": _maybe(ids), "method": _maybe(words)}, optional={"params": params(modern=modern)})
    notification = st.fixed_dictionaries({"method": _maybe(words)}, optional={"params": params(modern=modern)})
    result = st.fixed_dictionaries({"id": _maybe(ids), "result": results})
    error = st.fixed_dictionaries({"id": _maybe(ids), "error": errors})
    return st.one_of(request, request, request, notification, result, result, error).map(_message)


@st.composite
def lines(draw: st.DrawFn, *, modern: bool | None = None) -> bytes:
    """One line: mostly a message, sometimes a batch, sometimes spoilt, sometimes any bytes."""
    kind = draw(st.integers(0, 11))
    if kind == 0:
        return draw(st.binary(max_size=40)).replace(b"\n", b"")
    body: Any = draw(messages(modern=modern))
    if kind == 1:
        body = draw(st.lists(st.one_of(messages(modern=modern), odd), max_size=4))
    separators = (", ", ": ") if kind == 2 else (",", ":")
    line = json.dumps(body, separators=separators, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if kind == 3:
        at = draw(st.integers(0, len(line)))
        line = line[:at] + draw(st.sampled_from([b"\r", b"\xff", b" ", b"\x00", b'"', b"}", b"NaN", b"1e400"])) + line[at:]
    if kind == 4:
        line = line.replace(b'"jsonrpc":"2.0"', b'"jsonrpc":"2.0","jsonrpc":"2.0"')
    return line


@st.composite
def openings(draw: st.DrawFn) -> list[Event]:
    """How a session begins: a handshake, or nothing."""
    revision = draw(st.sampled_from([None, None, *LEGACY]))
    if revision is None:
        return []
    asked = json.dumps({"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": {"protocolVersion": revision}}).encode()
    answered = json.dumps({"jsonrpc": "2.0", "id": "i", "result": {"protocolVersion": revision}}).encode()
    ready = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
    return [ClientLine(asked, 0.0), ServerLine(answered, 0.0), ClientLine(ready, 0.0)]


@st.composite
def line_events(draw: st.DrawFn, *, max_size: int = 12) -> list[Event]:
    """An opening, and then lines from either side in any order."""
    modern = draw(st.sampled_from([None, True, False]))
    one: st.SearchStrategy[Event] = st.builds(
        lambda side, line: side(line, 1.0), st.sampled_from([ClientLine, ServerLine]), lines(modern=modern)
    )
    return draw(openings()) + draw(st.lists(one, max_size=max_size))


other_events: st.SearchStrategy[Event] = st.one_of(
    st.builds(ServerStarted, policies, st.just(2.0)),
    st.builds(ServerExited, st.just("gone"), st.just(2.0)),
    st.builds(Withheld, st.just("not trusted"), st.just(2.0)),
    st.builds(PolicyChanged, policies, st.just(2.0)),
    st.builds(NoticeChanged, st.sampled_from(["", "n"]), st.just(2.0)),
    st.builds(RecordFailed, st.lists(st.sampled_from(["r1", "r2", "r3"])).map(tuple), st.just("full"), st.just(2.0)),
    st.builds(ClientGone, st.just(2.0)),
    st.builds(TokenFailed, st.just("no login"), st.just(2.0)),
    st.builds(TokenReady, st.just(2.0)),
    st.builds(TokensChanged, st.sampled_from([{}, {"API": Secret(TOKEN)}]), st.just((Secret(TOKEN),)), st.just(2.0)),
    *(st.builds(each, st.just(2.0)) for each in (RestartDue, RestartForced, DrainOver, ServerRestarted, ServerBegan)),
)


@st.composite
def all_events(draw: st.DrawFn) -> list[Event]:
    """Lines, and everything else that happens, in any order."""
    events = draw(line_events())
    for event in draw(st.lists(other_events, max_size=5)):
        events.insert(draw(st.integers(0, len(events))), event)
    return events


def session(rules: ServerRules, **more: Any) -> Session:
    """A session to try things on."""
    return Session(server="files", refs="r", rules=rules, **more)


def play(on: Session, events: list[Event]) -> list[tuple[Event, list[Command]]]:
    """Feed `events` and return what came of each."""
    return [(event, on.handle(event)) for event in events]
