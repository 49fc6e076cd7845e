"""Sessions as transcripts: what comes in, what must go out, and what must be recorded.

    >> 1 tools/call {"name": "read"}      from the client
    -> 1 tools/call {"name": "read"}      to the server
    << 1 = {"content": []}                from the server
    <- 1 = {"content": []}                to the client
    !! call tools/call outcome=allow      a record; where one stands in a block, all of the block's records do, in order
    ** text                               a line on stderr that holds the text
    == exited the server died             what happened besides (see `Playbook._event`)
    ## ends the server
    %% ends the server and starts the next one

All that goes out between two inputs stands there, in order, and nothing else does. A message is written as

    ID METHOD PARAMS      a request            METHOD PARAMS          a notification
    ID = RESULT           an answer            ID ! CODE TEXT         an error (going out: whose message holds TEXT)
    ID ~ TEXT             a tool's error whose text holds TEXT, and ID ~m TEXT that of a stateless session (only going out)
    {…} or […]            a whole message or a batch; ``jsonrpc`` is put in
    |…                    these very bytes

``@`` stands for the ``_meta`` of a stateless request, ``#ID`` for the ``_meta`` that names a subscription.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from mcpwrap.core.commands import Announce, Command, Learn, Record, RestartServer, StopServer, ToClient, ToServer
from mcpwrap.core.entry import Entry
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
from mcpwrap.core.rules import ServerRules
from mcpwrap.core.session import Session
from mcpwrap.secret import Secret

_BARE: Mapping[str, Callable[[float], Event]] = {
    "began": ServerBegan,
    "due": RestartDue,
    "forced": RestartForced,
    "drained": DrainOver,
    "restarted": ServerRestarted,
    "tokens_ready": TokenReady,
}

MODERN_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "tester", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}

_ID = r'(?P<id>-?\d+|"[^"]*")'
_REQUEST = re.compile(_ID + r"\s+(?P<method>[a-zA-Z][^\s{]*)\s*(?P<json>\{.*\})?$", re.S)
_NOTIFICATION = re.compile(r"(?P<method>[a-zA-Z][^\s{]*)\s*(?P<json>\{.*\})?$", re.S)
_RESULT = re.compile(_ID + r"\s*=\s*(?P<json>.*)$", re.S)
_ERROR = re.compile(_ID + r"\s*!\s*(?P<code>-?\d+)\s*(?P<text>.*)$", re.S)
_SPOKEN = re.compile(_ID + r"\s*~(?P<modern>m?)\s+(?P<text>.*)$", re.S)


class Error:
    """An error whose message holds a text."""

    def __init__(self, id: Any, code: int, text: str) -> None:
        self.id, self.code, self.text = id, code, text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, dict) or set(other) != {"jsonrpc", "id", "error"}:
            return False
        error = other["error"]
        return _same(other["id"], self.id) and error["code"] == self.code and self.text in error["message"]

    def __repr__(self) -> str:
        return f"{self.id} ! {self.code} …{self.text}…"


class Spoken:
    """A tool's error whose text holds a text."""

    def __init__(self, id: Any, text: str, *, modern: bool) -> None:
        self.id, self.text, self.modern = id, text, modern

    def __eq__(self, other: object) -> bool:
        result = other.get("result") if isinstance(other, dict) else None
        if not isinstance(other, dict) or not isinstance(result, dict) or not _same(other["id"], self.id):
            return False
        envelope = {"resultType": "complete"} if self.modern else {}
        (content,) = result["content"]
        return {**envelope, "content": [content], "isError": True} == result and self.text in content["text"]

    def __repr__(self) -> str:
        return f"{self.id} ~{'m' if self.modern else ''} …{self.text}…"


def _same(a: object, b: object) -> bool:
    return type(a) is type(b) and a == b


def _substituted(text: str) -> str:
    text = re.sub(r"#(\d+|\"[^\"]*\")", r'"_meta":{"io.modelcontextprotocol/subscriptionId":\1}', text)
    return text.replace("@", f'"_meta":{json.dumps(MODERN_META)}')


def _whole(value: Any) -> Any:
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return {"jsonrpc": "2.0", **value} if isinstance(value, dict) else value


def read_message(text: str) -> Any:
    """What a line of a transcript means: a JSON value, or something that compares with one."""
    if text[0] in "{[":
        return _whole(json.loads(_substituted(text)))
    if found := _ERROR.match(text):
        return Error(json.loads(found["id"]), int(found["code"]), found["text"])
    if found := _SPOKEN.match(text):
        return Spoken(json.loads(found["id"]), found["text"], modern=bool(found["modern"]))
    if found := _RESULT.match(text):
        return _whole({"id": json.loads(found["id"]), "result": json.loads(_substituted(found["json"]))})
    found = _REQUEST.match(text) or _NOTIFICATION.match(text)
    assert found is not None, f"not a message: {text}"
    message: dict[str, Any] = {"jsonrpc": "2.0"}
    if "id" in found.groupdict():
        message["id"] = json.loads(found["id"])
    message["method"] = found["method"]
    if found["json"]:
        message["params"] = json.loads(_substituted(found["json"]))
    return message


def line_of(text: str) -> bytes:
    """The bytes of an incoming message."""
    if text.startswith("|"):
        return text[1:].encode("utf-8", "surrogateescape")
    message = read_message(text)
    if isinstance(message, Error):
        message = {"jsonrpc": "2.0", "id": message.id, "error": {"code": message.code, "message": message.text}}
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


class Playbook:
    """One session that transcripts are played on. `policies` are the rules that ``==`` lines name."""

    def __init__(
        self,
        rules: ServerRules | None,
        *,
        hold: str = "",
        notice: str = "",
        policies: Mapping[str, ServerRules] | None = None,
        starting: bool = False,
    ) -> None:
        self.session = Session(server="files", refs="r", rules=rules, hold=hold, notice=notice, starting=starting)
        self.policies = {"same": rules, **(policies or {})}
        self.records: list[Entry] = []
        """all records so far"""

    def play(self, transcript: str) -> None:
        """Feed each input and compare what comes out with what stands below it."""
        for happened, expected in _blocks(transcript):
            found: list[Command] = []
            for line in happened:
                found += self.session.handle(self._event(line))
            self._compare("\n".join(happened), found, expected)

    def _event(self, line: str) -> Event:
        mark, text = line[:2], line[2:].strip()
        if mark == ">>":
            return ClientLine(line_of(text), 1.0)
        if mark == "<<":
            return ServerLine(line_of(text), 1.5)
        word, _, rest = text.partition(" ")
        match word:
            case "exited":
                return ServerExited(rest, 2.0)
            case "withheld":
                return Withheld(rest, 2.0)
            case "notice":
                return NoticeChanged(rest, 2.0)
            case "unrecorded":
                return RecordFailed(tuple(rest.split()), "the disk is full", 2.0)
            case "gone":
                return ClientGone(2.0)
            case "began" | "due" | "forced" | "drained" | "restarted" | "tokens_ready":
                return _BARE[word](2.0)
            case "tokenless":
                return TokenFailed(rest, 2.0)
            case "tokens":
                # NAME=VALUE goes with each request, a bare VALUE is known
                said = [each.partition("=") for each in rest.split()]
                meta = {name: Secret(value) for name, equals, value in said if equals}
                return TokensChanged(meta, tuple(Secret(value) for value, equals, _ in said if not equals), 2.0)
            case "started" | "policy":
                rules = self.policies[rest]
                assert rules is not None
                return ServerStarted(rules, 2.0) if word == "started" else PolicyChanged(rules, 2.0)
            case _:
                raise AssertionError(f"unknown event: {line}")

    def _compare(self, happened: str, found: list[Command], expected: list[str]) -> None:
        records = [command.entry for command in found if isinstance(command, Record)]
        self.records += records
        wanted_records = [line for line in expected if line.startswith("!!")]
        wanted = [_expected(line) for line in expected if not line.startswith("!!")]
        got = [_sent(command) for command in found if not isinstance(command, Record | Learn)]
        assert wanted == got, f"after {happened}\n expected {wanted}\n      got {got}"
        if wanted_records:
            assert len(wanted_records) == len(records), f"after {happened}\n records {records}"
            for line, entry in zip(wanted_records, records, strict=True):
                _compare_record(line[2:].strip(), entry)


def _blocks(transcript: str) -> list[tuple[list[str], list[str]]]:
    """Inputs that follow one another directly come in one block, since nothing may go out between them."""
    blocks: list[tuple[list[str], list[str]]] = []
    for raw in transcript.strip().splitlines():
        line = raw.strip()
        if not line:
            continue
        mark = line[:2]
        if mark in (">>", "<<", "=="):
            blocks.append(([line], []))
        else:
            assert mark in ("->", "<-", "!!", "**", "##", "%%"), f"unknown mark: {line}"
            blocks[-1][1].append(line)
    return blocks


class Told:
    """A line on stderr that holds a text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.text in other

    def __repr__(self) -> str:
        return f"…{self.text}…"


def _expected(line: str) -> tuple[str, Any]:
    mark, text = line[:2], line[2:].strip()
    if mark in ("##", "%%"):
        return mark, ""
    if mark == "**":
        return "**", Told(text)
    return mark, text[1:] if text.startswith("|") else read_message(text)


def _sent(command: Command) -> tuple[str, Any]:
    match command:
        case ToServer(line):
            return "->", json.loads(line)
        case ToClient(line):
            return "<-", json.loads(line)
        case Announce(text):
            return "**", text
        case StopServer():
            return "##", ""
        case RestartServer():
            return "%%", ""
        case Learn():
            raise AssertionError("what was learned isn't sent")
        case Record():
            raise AssertionError("records are compared by themselves")


def _compare_record(text: str, entry: Entry) -> None:
    text, _, why = text.partition(" why~")
    words = text.split()
    assert words[0] == entry.event, (text, entry)
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if not equals:
            assert entry.method == key, (text, entry)
        else:
            assert str(getattr(entry, key)).replace(" ", "") == value, (text, entry)
    if why:
        assert any(why in reason.text for reason in entry.reasons), (text, entry)


def handshaken(rules: ServerRules, revision: str = "2025-11-25", **more: Any) -> Playbook:
    """A session whose legacy handshake is over."""
    book = Playbook(rules, **more)
    question = f'{{"protocolVersion": "{revision}", "capabilities": {{}}, "clientInfo": {{"name": "tester", "version": "1"}}}}'
    answer = f'{{"protocolVersion": "{revision}", "capabilities": {{}}, "serverInfo": {{"name": "files", "version": "2"}}}}'
    book.play(f"""
        >> 0 initialize {question}
        -> 0 initialize {question}
        << 0 = {answer}
        <- 0 = {answer}
        >> notifications/initialized
        -> notifications/initialized
    """)
    return book
