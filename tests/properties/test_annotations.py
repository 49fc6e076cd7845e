"""What a server says of its tools may tighten, never loosen (POLICY.md §3): annotations, in one session and across restarts."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mcpwrap.core.commands import Learn, ToClient, ToServer
from mcpwrap.core.events import ClientLine, ServerLine
from mcpwrap.core.jsonrpc import encode
from mcpwrap.core.pins import PinnedServer
from mcpwrap.core.rules import ServerRules
from mcpwrap.core.session import Session
from mcpwrap.core.world import World
from mcpwrap.policy.load import load_project
from mcpwrap.policy.merge import rules_for

NAMES = ("read", "write", "delete_all", "mcpwrap_status")

hints = st.dictionaries(
    st.sampled_from(["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint", "title", "allow", "trusted"]),
    st.sampled_from([True, False, None, "allow", 1]),
    max_size=4,
)
tools = st.lists(st.tuples(st.sampled_from(NAMES), hints), max_size=4, unique_by=lambda each: each[0])
lists = st.sampled_from([["*"], ["read", "write"], ["*", "!read"], ["delete_*"], ["mcpwrap_status"], []])
conditional = st.sampled_from(
    [
        "",
        '[[servers.s.rules]]\nallow = ["*"]\nargs.n = { max = 3 }\n',
        '[[servers.s.rules]]\nask = ["read"]\nargs.n = { max = 3 }\n',
    ]
)


@st.composite
def policies(draw: st.DrawFn) -> ServerRules:
    lines = [f"{effect} = {encode(names).decode()}" for effect in ("allow", "log", "ask", "deny") if (names := draw(lists))]
    text = "\n".join(["[servers.s]", *lines, draw(conditional)])
    return rules_for(load_project(text.encode(), file="mcpwrap.toml", root="/shop", home="/home/me"), "s", (), ())


def through(
    rules: ServerRules, listed: list[dict[str, Any]], pinned: PinnedServer | None = None
) -> tuple[set[Any], PinnedServer | None]:
    """What gets through and what is shown, once `listed` was listed; and what is remembered of it."""
    session = Session(server="s", refs="r", rules=rules, world=World(pinned=pinned))
    shake = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
    said = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}
    remembered = pinned
    found: set[Any] = set()
    events: list[ClientLine | ServerLine] = [
        ClientLine(encode({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": shake}), 0.0),
        ServerLine(encode({"jsonrpc": "2.0", "id": 1, "result": said}), 0.0),
        ClientLine(encode({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}), 0.0),
        ServerLine(encode({"jsonrpc": "2.0", "id": 2, "result": {"tools": listed}}), 0.0),
        *(
            ClientLine(
                encode(
                    {"jsonrpc": "2.0", "id": f"{name}{n}", "method": "tools/call", "params": {"name": name, "arguments": {"n": n}}}
                ),
                0.0,
            )
            for name in NAMES
            for n in (1, 5)
        ),
    ]
    for event in events:
        for command in session.handle(event):
            if isinstance(command, Learn):
                remembered = command.learned.pinned
            elif isinstance(command, ToServer):
                found.add(command.line)
            elif isinstance(command, ToClient) and isinstance(event, ServerLine) and b'"tools"' in command.line:
                found.update((b"shown", name) for name in NAMES if f'"name":"{name}"'.encode() in command.line)
    return found, remembered


def _plain(annotated: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": name} for name, _ in annotated]


def _with(annotated: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": name, "annotations": said} if said else {"name": name} for name, said in annotated]


@given(policies(), tools)
def test_an_annotation_lets_nothing_more_through(rules: ServerRules, annotated: list[tuple[str, Any]]) -> None:
    without, _ = through(rules, _plain(annotated))
    assert through(rules, _with(annotated))[0] <= without


@given(policies(), tools)
def test_an_annotation_that_comes_later_takes_the_tool_away(rules: ServerRules, annotated: list[tuple[str, Any]]) -> None:
    without, pinned = through(rules, _plain(annotated))
    later, _ = through(rules, _with(annotated), pinned)
    assert later <= without
    for name, said in annotated:
        if said:
            assert (b"shown", name) not in later
            assert not any(f'"name":"{name}"'.encode() in line for line in later if isinstance(line, bytes))
