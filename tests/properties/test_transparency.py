"""With everything allowed the session is transparent: the same lines come out as go in."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mcpwrap.core.commands import Announce, ToClient, ToServer
from mcpwrap.core.events import ClientLine, ServerLine
from mcpwrap.core.meta import CAPABILITIES_KEY, VERSION_KEY
from mcpwrap.core.methods import LEGACY, MODERN, TABLE, Matched
from mcpwrap.core.session import Session
from tests.playbooks.policy import OPEN
from tests.properties.messages import values

NAMES = ("a", "read file", "é", "ü/..", "x" * 300, "")
words = st.sampled_from(NAMES)
uris = st.sampled_from(["file:///a", "f:/../x", "docs://{a}", "ui://w%", "\\"])
extras = st.dictionaries(st.sampled_from(["vendor", "x-y", "title", "$schema"]), values, max_size=2)
capabilities = {
    "sampling": {},
    "elicitation": {"form": {}, "url": {}},
    "roots": {"listChanged": True},
    "tasks": {"requests": {"sampling": {}}},
}
references = st.sampled_from([{"type": "ref/prompt", "name": "a"}, {"type": "ref/resource", "uri": "f:/{a}"}])
announcements = st.sampled_from(["notifications/message", "notifications/tools/list_changed"])


def _items(draw: st.DrawFn, field: str, of: st.SearchStrategy[str]) -> list[Any]:
    return [{**draw(extras), field: name} for name in draw(st.lists(of, max_size=3, unique=True))]


def _definitions(field: str, names: tuple[str, ...]) -> list[Any]:
    """The whole of what a server offers of one kind: what it says of itself doesn't change (POLICY.md §4)."""
    return [{field: name, "description": "of its own", "unknown": [1.0, None]} for name in names]


@st.composite
def exchanges(draw: st.DrawFn, *, revision: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters of a request that a good client sends, with its method, and the result a good server gives."""
    modern = revision in MODERN
    row = draw(st.sampled_from([r for r in TABLE if r.sender == "client" and not r.is_notification and revision in r.revisions]))
    asked: dict[str, Any] = draw(extras)
    answered: dict[str, Any] = draw(extras)
    match row.name:
        case "tools/call" | "prompts/get":
            asked |= {"name": draw(words), "arguments": draw(st.dictionaries(st.sampled_from(["p", "q"]), values))}
            answered |= {"content": [draw(values)], "structuredContent": draw(values)}
            if row.name == "tools/call" and draw(st.booleans()):
                answered |= {"resultType": "task", "taskId": "k"} if modern else {"task": {"taskId": "k"}}
        case "resources/read" | "resources/subscribe" | "resources/unsubscribe":
            asked |= {"uri": draw(uris)}
        case "completion/complete":
            asked |= {"ref": draw(references)}
        case "subscriptions/listen":
            asked |= {"notifications": {"toolsListChanged": True, "resourceSubscriptions": [draw(uris)], "taskIds": ["k"]}}
        case "tools/list":
            answered = {"tools": _definitions("name", NAMES), "ttlMs": 1000}
        case "prompts/list":
            answered = {"prompts": _definitions("name", NAMES)}
        case "resources/list":
            answered |= {"resources": _items(draw, "uri", uris), "nextCursor": draw(words)}
        case "resources/templates/list":
            answered = {"resourceTemplates": _definitions("uriTemplate", ("docs://{a}", "f:{+b}"))}
        case "tasks/list":
            answered |= {"tasks": _items(draw, "taskId", words)}
        case "initialize":
            asked |= {"protocolVersion": revision, "capabilities": capabilities, "clientInfo": {"name": "c"}}
            answered = {"protocolVersion": revision, "capabilities": {}, "serverInfo": {"name": "s"}, "instructions": draw(words)}
        case "server/discover":
            answered = {"supportedVersions": [revision], "capabilities": {}, "instructions": draw(words)}
        case "tasks/get" | "tasks/result" | "tasks/cancel" | "tasks/update":
            asked |= {"taskId": draw(words)}
        case _:
            pass
    if modern:
        asked["_meta"] = {
            VERSION_KEY: revision,
            CAPABILITIES_KEY: capabilities,
            "progressToken": draw(st.integers()),
            **draw(extras),
        }
        answered.setdefault("resultType", "complete")
    return {"method": row.name, "params": asked}, answered


FORM = {"message": "Which one?", "requestedSchema": {"type": "object", "properties": {"choice": {"type": "string"}}}}

PINNED = {
    "initialize": "greeting",
    "server/discover": "greeting",
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/templates/list": "templates",
}


@st.composite
def transcripts(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """A session of a good client and a good server: ``>`` and ``<`` say who sends."""
    revision = draw(st.sampled_from([*LEGACY, *MODERN]))
    said: list[tuple[str, dict[str, Any]]] = []
    # a good server says the same of itself each time: what changes is held back until a person accepts it
    steady: dict[str, Any] = {}
    if revision in LEGACY:
        opening = {"protocolVersion": revision, "capabilities": capabilities}
        said.append((">", {"id": "open", "method": "initialize", "params": opening}))
        steady["greeting"] = {"protocolVersion": revision, "capabilities": {}}
        said.append(("<", {"id": "open", "result": steady["greeting"]}))
        said.append((">", {"method": "notifications/initialized"}))
    open_answers: list[tuple[str, dict[str, Any]]] = []
    for number in range(draw(st.integers(0, 8))):
        if revision in LEGACY and draw(st.integers(0, 3)) == 0:
            rows = [r for r in TABLE if r.sender == "server" and r.matched is Matched.SERVER_REQUEST and revision in r.revisions]
            asking = [r.name for r in rows if not r.is_notification]
            method = draw(st.sampled_from(["ping", *asking]))
            params = {**draw(extras), **(FORM if method == "elicitation/create" else {})}
            said.append(("<", {"id": number, "method": method, "params": params}))
            open_answers.append((">", {"id": number, "result": draw(extras)}))
        else:
            question, answer = draw(exchanges(revision=revision))
            if question["method"] in PINNED:
                answer = steady.setdefault(PINNED[question["method"]], answer)
            said.append((">", {"id": f"q{number}", **question}))
            if draw(st.integers(0, 4)):
                open_answers.append(("<", {"id": f"q{number}", "result": answer}))
            else:
                open_answers.append(
                    ("<", {"id": f"q{number}", "error": {"code": draw(st.integers()), "message": "m", "data": draw(values)}})
                )
        if draw(st.booleans()):
            said.append(("<", {"method": draw(announcements), "params": draw(extras)}))
        for _ in range(draw(st.integers(0, len(open_answers)))):
            said.append(open_answers.pop(draw(st.integers(0, len(open_answers) - 1))))
    return said + open_answers


@given(transcripts(), st.booleans(), st.booleans())
def test_with_everything_allowed_the_same_lines_come_out_as_go_in(
    said: list[tuple[str, dict[str, Any]]], ascii: bool, loose: bool
) -> None:
    session = Session(server="files", refs="r", rules=OPEN)
    for who, message in said:
        body = {"jsonrpc": "2.0", **message}
        line = json.dumps(body, ensure_ascii=ascii, separators=(", ", ": ") if loose else (",", ":")).encode()
        commands = session.handle(ClientLine(line, 0.0) if who == ">" else ServerLine(line, 0.0))
        assert not [c for c in commands if isinstance(c, Announce)]
        (sent,) = [c for c in commands if isinstance(c, ToServer | ToClient)]
        assert isinstance(sent, ToServer) is (who == ">")
        assert json.loads(sent.line) == body
        assert list(json.loads(sent.line)) == list(body)
