"""A restart at any point of a session: nothing is sent twice, nothing unjudged, everything is answered once or recorded as lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mcpwrap.core.commands import Announce, Command, Record, RestartServer, StopServer, ToClient, ToServer
from mcpwrap.core.events import (
    ClientGone,
    ClientLine,
    DrainOver,
    Event,
    PolicyChanged,
    RestartDue,
    RestartForced,
    ServerBegan,
    ServerExited,
    ServerLine,
    ServerRestarted,
    TokenFailed,
    TokenReady,
    TokensChanged,
    Withheld,
)
from mcpwrap.core.restarting import Phase
from mcpwrap.core.session import Session
from mcpwrap.secret import Secret
from tests.playbooks.playbook import MODERN_META
from tests.playbooks.policy import OPEN, policy

NARROW = policy({"allow": ["a"]}, resources={"allow": ["f:/a"]}, server_requests={"allow": ["*"]})
METHODS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("tools/call", {"name": "a"}),
    ("tools/call", {"name": "b"}),
    ("tools/list", {}),
    ("resources/read", {"uri": "f:/a"}),
    ("resources/read", {"uri": "f:/b"}),
)
OURS = "mcpwrap-again-"

Step = tuple[str, int]
STEPS = (
    *("ask", "ask", "ask", "answer", "answer", "answer", "own", "own", "own", "listen", "cancel", "server asks", "client answers"),
    *("due", "forced", "forced", "drained", "restarted", "back", "back"),
    *("policy", "tokens", "tokenless", "ready", "task", "old line"),
)
ENDS = ("exited", "withheld", "changed")


class World:
    """A client, the processes of a server, and what passed between them."""

    def __init__(self, *, modern: bool, starting: bool) -> None:
        self.modern = modern
        self.session = Session(server="files", refs="r", rules=OPEN, starting=starting)
        self.rules = OPEN
        self.asked: list[int] = []
        """ids of the client's requests, in order"""
        self.bodies: dict[int, dict[str, Any]] = {}
        self.cancelled: set[int] = set()
        self.forwarded: list[int] = []
        self.listens: set[int] = set()
        self.answers: list[int] = []
        self.records: list[Any] = []
        self.open: list[dict[str, Any]] = []
        """requests that the process of the moment has and hasn't answered"""
        self.server_asked: list[int] = []
        self.token = ""
        self.tokens: set[str] = set()
        self.restarts = 0
        self.absent = False
        self.tools = [{"name": "a"}, {"name": "b"}]
        if not modern:
            self.begin(starting=starting)
        elif starting:
            self.happen(ServerBegan(0.0))

    def begin(self, *, starting: bool) -> None:
        self.client({"id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {}}})
        if starting:
            assert not self.forwarded
            self.happen(ServerBegan(0.0))
        self.answer(0)
        self.client({"method": "notifications/initialized"})

    # what happens

    def client(self, body: dict[str, Any]) -> None:
        if "id" in body and "method" in body:
            self.asked.append(body["id"])
            self.bodies[body["id"]] = body
        if self.modern and "method" in body:
            body = {**body, "params": {**body.get("params", {}), "_meta": MODERN_META}}
        self.happen(ClientLine(json.dumps({"jsonrpc": "2.0", **body}).encode(), 1.0))

    def server(self, body: dict[str, Any]) -> None:
        if self.session.held:
            return  # it is gone
        self.happen(ServerLine(json.dumps({"jsonrpc": "2.0", **body}).encode(), 1.0))

    def answer(self, index: int, *, own: bool = False) -> None:
        waiting = [m for m in self.open if str(m["id"]).startswith(OURS) is own]
        if not waiting:
            return
        m = waiting[index % len(waiting)]
        self.open.remove(m)
        result: dict[str, Any] = {"resultType": "complete"} if self.modern else {}
        match m["method"]:
            case "initialize" | "server/discover":
                result |= {"protocolVersion": "2025-11-25", "capabilities": {}}
            case "tools/list":
                result |= {"tools": self.tools}
            case _:
                # a server that says back what it was told
                result |= {"content": [], "_meta": m.get("params", {}).get("_meta", {})}
        self.server({"id": m["id"], "result": result})

    def happen(self, event: Event) -> None:
        for command in self.session.handle(event):
            self.take(command)

    def take(self, command: Command) -> None:
        match command:
            case ToServer(line):
                self.to_server(json.loads(line))
            case ToClient(line):
                self.to_client(line)
            case Record(entry):
                self.records.append(entry)
                self.clean(msgspec.json.encode(entry).decode())
            case Announce(text):
                self.clean(text)
            case RestartServer():
                self.absent = True
                self.restarts += 1
                self.open.clear()
                self.server_asked.clear()
            case StopServer():
                self.open.clear()
            case _:
                pass

    def clean(self, text: str) -> None:
        assert not any(token in text for token in self.tokens)

    def to_server(self, m: dict[str, Any]) -> None:
        assert not self.absent, "sent to nobody"
        if "id" not in m or "method" not in m:
            return
        self.open.append(m)
        meta = m.get("params", {}).get("_meta", {})
        given = meta.get("mcpwrap/API", "")
        assert given == (self.token if m["method"] not in ("initialize", "ping") else "")
        if str(m["id"]).startswith(OURS):
            return
        if m["id"] in self.listens:
            if m["id"] not in self.forwarded:
                self.forwarded.append(m["id"])
            return
        assert m["id"] not in self.forwarded, "sent twice"
        assert m["id"] not in self.cancelled, "cancelled while it waited"
        self.forwarded.append(m["id"])
        if self.rules is NARROW:
            params = m.get("params", {})
            assert params.get("name", "a") == "a", "not judged by the rules of the moment"
            assert params.get("uri", "f:/a") == "f:/a", "not judged by the rules of the moment"
        if m["method"] in ("tools/call", "resources/read"):
            permitted = [e for e in self.records if (e.event, e.direction, e.request_id) == ("call", "client", m["id"])]
            assert [e.outcome for e in permitted] == ["allow"]

    def to_client(self, line: bytes) -> None:
        self.clean(line.decode())
        m = json.loads(line)
        if "method" not in m:
            assert m["id"] not in self.cancelled or m["id"] in self.answers, "an answer to what was cancelled"
            self.answers.append(m["id"])
        elif "id" in m:
            self.server_asked.append(m["id"])

    # what is drawn

    def step(self, what: str, n: int) -> None:
        number = len(self.asked) + 1
        match what:
            case "ask":
                method, params = METHODS[n % len(METHODS)]
                self.client({"id": number, "method": method, "params": params})
            case "listen" if self.modern:
                self.listens.add(number)
                self.client({"id": number, "method": "subscriptions/listen", "params": {"notifications": {}}})
            case "answer":
                self.answer(n)
            case "own":
                self.answer(0, own=True)
            case "cancel":
                open = [id for id in self.asked if id not in self.answers and id not in self.cancelled and id]
                if open:
                    id = open[n % len(open)]
                    if not (self.modern and id in self.listens):
                        self.client({"method": "notifications/cancelled", "params": {"requestId": id}})
                        self.cancelled.add(id)
            case "server asks" if not self.modern:
                self.server({"id": n, "method": "roots/list"})
            case "client answers":
                if self.server_asked:
                    self.client({"id": self.server_asked.pop(), "result": {"roots": []}})
            case "policy":
                self.rules = (OPEN, NARROW)[n % 2]
                self.happen(PolicyChanged(self.rules, 2.0))
            case "tokens":
                self.token = f"token-number-{n}" if n % 3 else ""
                self.tokens |= {self.token} - {""}
                self.happen(TokensChanged({"API": Secret(self.token)} if self.token else {}, (), 2.0))
            case "task":
                self.server({"method": "notifications/tasks/status", "params": {"taskId": "t", "status": "working"}})
            case "old line":
                self.server({"id": n, "result": {"content": []}})
            case "exited" | "withheld":
                self.happen(ServerExited("it died", 2.0) if what == "exited" else Withheld("not trusted", 2.0))
                self.open.clear()
            case "changed":
                self.tools = [{"name": "a", "description": "evil"}, {"name": "b"}]
            case "restarted":
                if self.session.phase is Phase.ABSENT:
                    self.absent = False
                    self.happen(ServerRestarted(2.0))
            case "back":
                self.step("restarted", 0)
                while self.session.phase is Phase.OPENING and self.open:
                    self.answer(0, own=True)
            case "tokenless":
                self.happen(TokenFailed("no login", 2.0))
            case _:
                bare: dict[str, Callable[[float], Event]] = {"due": RestartDue, "forced": RestartForced}
                bare |= {"drained": DrainOver, "ready": TokenReady}
                if what in bare:
                    self.happen(bare[what](2.0))

    def check(self) -> None:
        """Every request has one fate."""
        waits = self.session._state.waiting
        for id in self.asked:
            answers = self.answers.count(id)
            flies = id in self.session._state.calls
            if id in self.cancelled:
                continue
            assert answers + flies + (id in waits) == 1, (id, answers, flies, id in waits)
        own = [id for id in self.forwarded if id not in self.listens]
        # in the order in which they came
        assert own == sorted(own)

    def end(self) -> None:
        """The client goes: each call that was forwarded has a record of how it ended."""
        self.check()
        self.happen(ClientGone(9.0))
        assert len(self.session._state.waiting) == 0
        begun = [e.ref for e in self.records if e.event == "call" and e.direction == "client" and e.outcome == "allow"]
        ended = [e.ref for e in self.records if e.event == "response" and e.direction == "server" and e.ref in begun]
        assert sorted(begun) == sorted(ended)


def run(steps: list[Step], *, modern: bool, starting: bool) -> World:
    world = World(modern=modern, starting=starting)
    for what, n in steps:
        world.step(what, n)
        world.check()
    return world


steps = st.tuples(st.sampled_from(STEPS), st.integers(0, 7))


@given(st.lists(steps, min_size=12, max_size=50), st.booleans(), st.booleans())
def test_a_restart_at_any_point_loses_nothing_and_sends_nothing_twice(drawn: list[Step], modern: bool, starting: bool) -> None:
    run(drawn, modern=modern, starting=starting).end()


@given(st.lists(st.tuples(st.sampled_from(STEPS + ENDS), st.integers(0, 7)), min_size=12, max_size=50), st.booleans())
def test_whatever_ends_a_restart_every_request_is_answered_once(drawn: list[Step], modern: bool) -> None:
    run(drawn, modern=modern, starting=False).end()


@given(st.lists(steps, min_size=8, max_size=40), st.booleans())
def test_after_any_of_it_the_session_can_be_brought_to_go_on(drawn: list[Step], modern: bool) -> None:
    world = run([step for step in drawn if step[0] != "drained"], modern=modern, starting=False)
    for _ in range(3):
        while world.open:
            world.answer(0, own=any(str(m["id"]).startswith(OURS) for m in world.open))
        world.step("client answers", 0)
        world.step("restarted", 0)
    while world.server_asked:
        world.step("client answers", 0)
    world.step("ready", 0)
    world.step("restarted", 0)
    while world.open:
        world.answer(0, own=any(str(m["id"]).startswith(OURS) for m in world.open))
    assert not world.session.held
    assert world.session.phase in (None, Phase.DUE)
    assert len(world.session._state.waiting) == 0
    world.end()
