"""Scripted sessions: what a client says to a real server, in an order in which the server's side is deterministic."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tests.e2e.lines import Answer, Lines, Message

CLIENT = {"name": "scripted", "title": "Scripted client", "version": "1.0"}
MODERN = "2026-07-28"
LEGACY = "2025-11-25"

Say = Callable[[Lines], None]


@dataclass(frozen=True, slots=True)
class Session:
    """A script, and how the client answers the server's own requests."""

    say: Say
    answers: Mapping[str, Answer]


class Talk:
    """Numbers a session's requests."""

    def __init__(self, lines: Lines, meta: Message | None = None) -> None:
        self._lines = lines
        self._meta = meta
        self._ids: Iterator[int] = itertools.count(1)

    def ask(self, method: str, params: Message | None = None) -> Message:
        """Send a request, wait for its answer and return it."""
        if self._meta is not None:
            params = {**(params or {}), "_meta": {**self._meta, **(params or {}).get("_meta", {})}}
        return self._lines.request(next(self._ids), method, params)

    def call(self, tool: str, arguments: Message | None = None, **more: object) -> Message:
        """Call a tool."""
        return self.ask("tools/call", {"name": tool, "arguments": arguments or {}, **more})


def modern_meta(capabilities: Message | None = None) -> Message:
    """What every request of the modern family carries."""
    return {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": CLIENT,
        "io.modelcontextprotocol/clientCapabilities": capabilities or {},
    }


def initialize(talk: Talk, lines: Lines, capabilities: Message, revision: str = LEGACY) -> None:
    """The handshake of the legacy family."""
    talk.ask("initialize", {"protocolVersion": revision, "capabilities": capabilities, "clientInfo": CLIENT})
    lines.notify("notifications/initialized")


# ---- server-everything -------------------------------------------------------------------------------------------------------

EVERY_CAPABILITY: Message = {
    "roots": {"listChanged": True},
    "sampling": {"tools": {}},
    "elicitation": {"form": {}, "url": {}},
    "tasks": {"list": {}, "cancel": {}, "requests": {"sampling": {"createMessage": {}}, "elicitation": {"create": {}}}},
}

SAMPLED = {"role": "assistant", "content": {"type": "text", "text": "Grüße — 42"}, "model": "scripted", "stopReason": "endTurn"}
ELICITED = {"action": "accept", "content": {"name": "Ann", "check": True, "integer": 7, "number": 3.5, "email": "ann@example.com"}}


def _task(id_: str, status: str) -> Message:
    moment = "2026-01-02T03:04:05Z"
    state = {"taskId": id_, "status": status, "ttl": 60000, "createdAt": moment, "lastUpdatedAt": moment, "pollInterval": 50}
    return {"result": state}


def _sampling(request: Message) -> Message:
    if "task" in request["params"]:
        return {"result": {"task": _task("sampling-1", "working")["result"]}}
    return {"result": SAMPLED}


def _elicitation(request: Message) -> Message:
    if "task" in request["params"]:
        return {"result": {"task": _task("elicitation-1", "working")["result"]}}
    if request["params"].get("mode") == "url":
        return {"result": {"action": "accept"}}
    if "interpretation" in request["params"]["requestedSchema"]["properties"]:
        return {"result": {"action": "accept", "content": {"interpretation": "technical"}}}
    return {"result": ELICITED}


def _task_result(request: Message) -> Message:
    result: Message = dict(SAMPLED if request["params"]["taskId"] == "sampling-1" else ELICITED)
    result["_meta"] = {"io.modelcontextprotocol/related-task": {"taskId": request["params"]["taskId"]}}
    return {"result": result}


EVERYTHING_ANSWERS: Mapping[str, Answer] = {
    "roots/list": lambda _: {"result": {"roots": [{"uri": "file:///shop", "name": "shop"}]}},
    "sampling/createMessage": _sampling,
    "elicitation/create": _elicitation,
    "tasks/get": lambda request: _task(request["params"]["taskId"], "completed"),
    "tasks/result": _task_result,
    "ping": lambda _: {"result": {}},
}


def everything(lines: Lines) -> None:
    """All that the reference server has, with every capability declared."""
    talk = Talk(lines)
    initialize(talk, lines, EVERY_CAPABILITY)
    # the server asks for the roots a moment after the handshake and reports them: after that nothing comes by itself
    lines.wait_for_method("roots/list")
    lines.wait_for(lambda m: "Roots updated" in str(m.get("params", {}).get("data")), "the report of the roots")
    talk.ask("ping")
    talk.ask("logging/setLevel", {"level": "debug"})
    for list_ in ("tools/list", "prompts/list", "resources/list", "resources/templates/list"):
        talk.ask(list_)
    _everything_tools(talk)
    _everything_prompts(talk)
    _everything_resources(talk)
    _everything_tasks(talk)
    _everything_long_running(talk, lines)
    lines.notify("notifications/roots/list_changed")
    lines.wait_for_method("roots/list")
    lines.wait_for(lambda m: "Roots updated" in str(m.get("params", {}).get("data")), "the report of the roots")
    talk.ask("ping")


def everything_at_once(lines: Lines) -> None:
    """A client that doesn't wait: the handshake, lists and calls in one write; the server reports new tools before it answers."""
    opening = {"protocolVersion": LEGACY, "capabilities": {"sampling": {}}, "clientInfo": CLIENT}
    messages: list[Message] = [
        {"id": "i", "method": "initialize", "params": opening},
        {"method": "notifications/initialized"},
        {"id": "t", "method": "tools/list", "params": {}},
        {"id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"message": "one"}}},
        {"id": "2", "method": "tools/call", "params": {"name": "get-sum", "arguments": {"a": 1, "b": 1}}},
        {"id": 3, "method": "ping"},
    ]
    lines.send_bytes(b"".join(json.dumps({"jsonrpc": "2.0", **m}).encode() + b"\n" for m in messages))
    wanted = {"i", "t", 1, "2", 3}
    lines.wait_for(lambda m: not wanted.difference(r.get("id") for r in lines.received), "all answers")


def _everything_tools(talk: Talk) -> None:
    talk.call("echo", {"message": "Grüße, \U0001f600 \u2028 and \\u0000 escaped"})
    talk.call("echo", {})  # without what it needs
    talk.call("no-such-tool")
    for kind in ("error", "success", "debug"):
        talk.call("get-annotated-message", {"messageType": kind, "includeImage": kind == "success"})
    talk.call("get-env")
    talk.call("get-resource-links", {"count": 3})
    talk.call("get-resource-reference", {"resourceType": "Text", "resourceId": 1})
    talk.call("get-resource-reference", {"resourceType": "Blob", "resourceId": 2})
    talk.call("get-structured-content", {"location": "Chicago"})
    talk.call("get-sum", {"a": 0.1, "b": 2})
    talk.call("get-sum", {"a": 9007199254740993, "b": -1e-7})
    talk.call("get-tiny-image")
    talk.call("gzip-file-as-resource", {"name": "hi.gz", "data": "data:text/plain;base64,aGk=", "outputType": "resource"})
    talk.call("get-roots-list")
    talk.call("trigger-sampling-request", {"prompt": "hello", "maxTokens": 10})
    talk.call("trigger-elicitation-request")
    talk.call("trigger-url-elicitation", {"url": "https://example.com/authorize", "elicitationId": "e-1"})
    talk.call("trigger-url-elicitation", {"url": "https://example.com/authorize", "elicitationId": "e-2", "errorPath": True})
    talk.call("trigger-sampling-request-async", {"prompt": "hello", "maxTokens": 10})
    talk.call("trigger-elicitation-request-async")


def _everything_prompts(talk: Talk) -> None:
    talk.ask("prompts/get", {"name": "simple-prompt"})
    talk.ask("prompts/get", {"name": "args-prompt", "arguments": {"city": "Paris", "state": "Texas"}})
    talk.ask("prompts/get", {"name": "completable-prompt", "arguments": {"department": "Sales", "name": "Eve"}})
    talk.ask("prompts/get", {"name": "resource-prompt", "arguments": {"resourceType": "Text", "resourceId": "3"}})
    talk.ask("prompts/get", {"name": "no-such-prompt"})
    of_prompt = {"type": "ref/prompt", "name": "completable-prompt"}
    talk.ask("completion/complete", {"ref": of_prompt, "argument": {"name": "department", "value": "S"}})
    chosen = {"arguments": {"department": "Sales"}}
    talk.ask("completion/complete", {"ref": of_prompt, "argument": {"name": "name", "value": ""}, "context": chosen})
    of_template = {"type": "ref/resource", "uri": "demo://resource/dynamic/text/{resourceId}"}
    talk.ask("completion/complete", {"ref": of_template, "argument": {"name": "resourceId", "value": "1"}})


def _everything_resources(talk: Talk) -> None:
    uri = "demo://resource/dynamic/text/1"
    talk.ask("resources/read", {"uri": "demo://resource/static/document/features.md"})
    talk.ask("resources/read", {"uri": uri})
    talk.ask("resources/read", {"uri": "demo://resource/dynamic/blob/2"})
    talk.ask("resources/read", {"uri": "demo://resource/no-such"})
    talk.ask("resources/subscribe", {"uri": uri})
    talk.call("toggle-subscriber-updates")  # reports an update of what was subscribed to before it answers
    talk.call("toggle-subscriber-updates")
    talk.ask("resources/unsubscribe", {"uri": uri})


def _everything_tasks(talk: Talk) -> None:
    made = talk.call("simulate-research-query", {"topic": "tea", "ambiguous": True}, task={"ttl": 60000})
    id_ = made["result"]["task"]["taskId"]
    talk.ask("tasks/get", {"taskId": id_})
    talk.ask("tasks/result", {"taskId": id_})  # waits for the end; the server asks back on the way
    talk.ask("tasks/get", {"taskId": id_})
    again = talk.call("simulate-research-query", {"topic": "coffee"}, task={"ttl": 60000})
    talk.ask("tasks/list")
    talk.ask("tasks/cancel", {"taskId": again["result"]["task"]["taskId"]})
    talk.ask("tasks/get", {"taskId": "no-such-task"})


def _everything_long_running(talk: Talk, lines: Lines) -> None:
    quick = {"duration": 0.4, "steps": 4}
    talk.call("trigger-long-running-operation", quick, _meta={"progressToken": "p-1", "vendor/key": [1, None, {"a": 1.0}]})
    talk.call("trigger-long-running-operation", quick, _meta={"progressToken": 0})
    params = {"name": "trigger-long-running-operation", "arguments": {"duration": 60, "steps": 1}}
    lines.send({"jsonrpc": "2.0", "id": "to-be-cancelled", "method": "tools/call", "params": params})
    lines.notify("notifications/cancelled", {"requestId": "to-be-cancelled", "reason": "not needed"})
    talk.ask("ping")


# ---- mcp-server-git and mcp-server-time, each in both families -----------------------------------------------------------------


def git_legacy(lines: Lines) -> None:
    """The git server after a handshake."""
    talk = Talk(lines)
    initialize(talk, lines, {})
    _git(talk)
    talk.ask("ping")


def git_modern(lines: Lines) -> None:
    """The git server, stateless."""
    talk = Talk(lines, modern_meta())
    talk.ask("server/discover")
    _git(talk)


def _git(talk: Talk) -> None:
    repository = {"repo_path": "repo"}
    talk.ask("tools/list")
    for tool in ("git_status", "git_diff_unstaged", "git_diff_staged", "git_log"):
        talk.call(tool, repository)
    talk.call("git_add", {**repository, "files": ["notes.txt"]})
    talk.call("git_diff_staged", repository)
    talk.call("git_commit", {**repository, "message": "Notes, too"})
    talk.call("git_show", {**repository, "revision": "HEAD"})
    talk.call("git_create_branch", {**repository, "branch_name": "side"})
    talk.call("git_checkout", {**repository, "branch_name": "side"})
    talk.call("git_branch", {**repository, "branch_type": "local"})
    talk.call("git_diff", {**repository, "target": "HEAD~1"})
    talk.call("git_reset", repository)
    talk.call("git_status", {"repo_path": "/"})  # outside of what the server was given
    talk.call("git_log", {**repository, "max_count": "many"})
    talk.call("git_no_such_tool", repository)


def time_legacy(lines: Lines) -> None:
    """The time server after a handshake of an older revision."""
    talk = Talk(lines)
    initialize(talk, lines, {}, "2025-06-18")
    _time(talk)
    talk.ask("ping")


def time_modern(lines: Lines) -> None:
    """The time server, stateless."""
    talk = Talk(lines, modern_meta({"elicitation": {"form": {}}}))
    talk.ask("server/discover")
    _time(talk)


def _time(talk: Talk) -> None:
    talk.ask("tools/list")
    talk.call("get_current_time", {"timezone": "Europe/Paris"})
    talk.call("convert_time", {"source_timezone": "UTC", "time": "12:30", "target_timezone": "Asia/Tokyo"})
    talk.call("convert_time", {"source_timezone": "Nowhere/Land", "time": "12:30", "target_timezone": "UTC"})
    talk.call("get_current_time", {})


# ---- modern_server.py: what the two servers above don't have ------------------------------------------------------------------

EVERY_MODERN_CAPABILITY: Message = {"roots": {}, "sampling": {}, "elicitation": {"form": {}}}


def modern(lines: Lines) -> None:
    """Requests inside results, progress, and a subscription."""
    talk = Talk(lines, modern_meta(EVERY_MODERN_CAPABILITY))
    talk.ask("server/discover")
    for list_ in ("tools/list", "prompts/list", "resources/list", "resources/templates/list"):
        talk.ask(list_)
    talk.ask("resources/read", {"uri": "note://one"})
    talk.ask("resources/read", {"uri": "note://none"})
    talk.ask("prompts/get", {"name": "greet", "arguments": {"name": "Ann"}})
    talk.call("count", _meta={"progressToken": "p-1"})
    asked = talk.call("interview", {"topic": "tea"})["result"]
    answers: Message = {"name": ELICITED, "roots": {"roots": [{"uri": "file:///shop"}]}, "sentence": SAMPLED}
    answers = {key: answers[key] for key in asked["inputRequests"]}
    talk.call("interview", {"topic": "tea"}, inputResponses=answers, requestState=asked["requestState"])
    wanted = {"toolsListChanged": True, "resourceSubscriptions": ["note://one"]}
    params = {"notifications": wanted, "_meta": modern_meta(EVERY_MODERN_CAPABILITY)}
    lines.send({"jsonrpc": "2.0", "id": "listen-1", "method": "subscriptions/listen", "params": params})
    lines.wait_for_method("notifications/subscriptions/acknowledged")
    talk.call("touch")
    published = {"notifications/resources/updated", "notifications/tools/list_changed"}
    assert published <= {message.get("method") for message in lines.received}
    lines.notify("notifications/cancelled", {"requestId": "listen-1", "_meta": modern_meta()})
    talk.call("count")


# ---- server-filesystem and server-memory ---------------------------------------------------------------------------------------


def filesystem(lines: Lines) -> None:
    """Files: written, read, moved, listed."""
    talk = Talk(lines)
    initialize(talk, lines, {})
    talk.ask("tools/list")
    talk.call("list_allowed_directories")
    talk.call("create_directory", {"path": "work/new"})
    talk.call("write_file", {"path": "work/new/a.txt", "content": "one\ntwo\n\x7f"})
    talk.call("edit_file", {"path": "work/new/a.txt", "edits": [{"oldText": "two", "newText": "three"}]})
    talk.call("read_text_file", {"path": "work/new/a.txt"})
    talk.call("read_multiple_files", {"paths": ["work/new/a.txt", "work/none.txt"]})
    talk.call("move_file", {"source": "work/new/a.txt", "destination": "work/new/b.txt"})
    talk.call("list_directory", {"path": "work/new"})
    talk.call("search_files", {"path": "work", "pattern": "**/*.txt"})
    talk.call("read_text_file", {"path": "/etc/hostname"})


def memory(lines: Lines) -> None:
    """A graph: made, searched, deleted."""
    talk = Talk(lines)
    initialize(talk, lines, {}, "2024-11-05")
    talk.ask("tools/list")
    tea = {"name": "tea", "entityType": "drink", "observations": ["hot"]}
    cup = {"name": "cup", "entityType": "thing", "observations": []}
    talk.call("create_entities", {"entities": [tea, cup]})
    talk.call("create_relations", {"relations": [{"from": "tea", "to": "cup", "relationType": "in"}]})
    talk.call("add_observations", {"observations": [{"entityName": "tea", "contents": ["green"]}]})
    talk.call("search_nodes", {"query": "tea"})
    talk.call("open_nodes", {"names": ["cup"]})
    talk.call("delete_entities", {"entityNames": ["cup"]})
    talk.call("read_graph")
