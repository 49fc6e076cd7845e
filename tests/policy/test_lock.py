"""`mcpwrap.lock`: what is read, what is written, and what another one would accept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpwrap.core.pins import PinGuard, PinnedServer, digest
from mcpwrap.errors import ConfigError
from mcpwrap.policy import lock as module
from mcpwrap.policy.lock import Entry, Lock, changed_fields, lock_changes, package_of, parse, pinned, render

TOOL = {"name": "read", "description": "Reads.", "inputSchema": {"type": "object"}}
ENTRY = Entry("pkg@1.2.3", {"instructions": "Be kind."}, {"tool": {"read": TOOL}, "prompt": {}, "template": {}})
LOCK = Lock({"files": ENTRY})
TEXT = """\
{
  "servers": {
    "files": {
      "greeting": {
        "instructions": "Be kind."
      },
      "package": "pkg@1.2.3",
      "prompts": {},
      "templates": {},
      "tools": {
        "read": {
          "description": "Reads.",
          "inputSchema": {
            "type": "object"
          },
          "name": "read"
        }
      }
    }
  },
  "version": 1
}
"""


def test_a_lock_is_written_for_people_who_compare_lines() -> None:
    assert render(LOCK).decode() == TEXT
    assert parse(TEXT.encode()) == LOCK


def test_nothing_invisible_hides_in_a_review() -> None:
    hidden = {**TOOL, "description": "a\u200b\u202e\x1b\x7fé"}
    data = render(Lock({"files": Entry(items={"tool": {"read": hidden}})}))
    assert data.isascii()
    assert b"a\\u200b\\u202e\\u001b\\u007f\\u00e9" in data
    assert parse(data).servers["files"].items["tool"]["read"] == hidden


def test_windows_line_ends_and_odd_layout_are_read() -> None:
    assert parse(TEXT.replace("\n", "\r\n").encode()) == LOCK
    assert parse(json.dumps(json.loads(TEXT)).encode()) == LOCK


def test_a_kind_that_is_left_out_accepts_nothing() -> None:
    entry = parse(b'{"version": 1, "servers": {"s": {}}}').servers["s"]
    assert entry == Entry(None, None, {"tool": {}, "prompt": {}, "template": {}})


def change(**keys: Any) -> bytes:
    tree = json.loads(TEXT)
    tree["servers"]["files"].update(keys)
    return json.dumps(tree, indent=1).encode()


@pytest.mark.parametrize(
    ("data", "message", "line"),
    [
        (b"[]", "the file is no object", 0),
        (b"{}", "its `version` is not one that this version of mcpwrap reads", 0),
        (b'{\n"version": 2, "servers": {}}', "its `version` is not one that this version of mcpwrap reads", 2),
        (b'{"version": true, "servers": {}}', "its `version` is not one that this version of mcpwrap reads", 1),
        (b'{"version": 1}', "`servers` is no object", 0),
        (b'{"version": 1, "servers": {},\n"more": 1}', "unknown key `more` in the file", 2),
        (b'{"version": 1, "servers": {"s": []}}', "`s` is no object", 0),
        (b'{"version": 1, "servers": {"s": {"resources": {}}}}', "unknown key `resources` in `s`", 1),
        (b'{"version": 1, "servers": {"s": {}, "s": {}}}', "the key `s` stands twice in one object", 1),
        (b'{"version": 1,\n oops}', "not JSON: expecting property name enclosed in double quotes", 2),
        (change(package=1), "the `package` of `files` is neither text nor null", 3),
        (change(greeting="hello"), "the `greeting` of `files` is no object", 0),
        (change(tools=[]), "`tools` of `files` is no object", 0),
        (change(tools={"x": 1}), "the definition of `x` is no object", 0),
        (change(tools={"x": TOOL}), "what stands under `x` is the definition of something else", 11),
        (change(templates={"x": {"name": "x"}}), "what stands under `x` is the definition of something else", 0),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(data: bytes, message: str, line: int) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(data)
    assert (str(caught.value), caught.value.line, caught.value.file) == (message, line, "mcpwrap.lock")
    assert "mcpwrap pins accept" in caught.value.hint


def test_a_lock_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_LIMIT", len(TEXT))
    assert parse(TEXT.encode()) == LOCK
    assert render(LOCK) == TEXT.encode()
    with pytest.raises(ConfigError, match="longer than"):
        parse(TEXT.encode() + b" ")
    with pytest.raises(ConfigError, match="take more than"):
        render(Lock({**LOCK.servers, "other": ENTRY}))
    monkeypatch.setattr(module, "COUNT_LIMIT", 0)
    with pytest.raises(ConfigError, match="`files` has more than 0 tools"):
        parse(TEXT.encode())


def test_pins_of_a_lock_are_whole() -> None:
    assert pinned(LOCK, "other") is None
    assert pinned(LOCK, "files") == PinnedServer(
        greeting=digest({"instructions": "Be kind."}),
        items={"tool": {"read": digest(TOOL)}, "prompt": {}, "template": {}},
        complete=frozenset({"tool", "prompt", "template"}),
        locked=True,
    )
    nothing = pinned(Lock({"s": Entry()}), "s")
    assert nothing is not None
    assert nothing.greeting is None


def test_a_definition_of_the_wire_is_the_same_after_it_was_written_and_read() -> None:
    odd = {"name": "read", "n": 1.0, "big": 10**30, "s": "\ud800", "z": {"b": 1, "a": [1e-7]}}
    again = pinned(parse(render(Lock({"s": Entry(items={"tool": {"read": odd}})}))), "s")
    assert PinGuard(again).page("tool", [odd], first=True, last=True) == set()


@pytest.mark.parametrize(
    ("command", "package"),
    [
        (("npx", "-y", "@scope/server@2026.8.31", "x"), "@scope/server@2026.8.31"),
        (("npx", "-y", "server"), None),
        (("uvx", "mcp-server-git@2026.10.19"), "mcp-server-git@2026.10.19"),
        (("uvx", "--from", "mcp-server-git==2026.10.19", "run"), "mcp-server-git@2026.10.19"),
        (("uvx", "--with", "other==1", "server@1"), None),
        (("env", "A=b", "npx", "server@1.0.0"), "server@1.0.0"),
        (("docker", "run", "x@sha256:" + "0" * 64), None),
        (("npx", "./server"), None),
        (("python", "server.py"), None),
        ((), None),
    ],
)
def test_the_package_is_named_where_the_command_names_one(command: tuple[str, ...], package: str | None) -> None:
    assert package_of(command) == package


def test_fields_are_compared_one_by_one() -> None:
    assert changed_fields({"a": 1, "b": {"c": 1}, "d": 1}, {"a": 1.0, "b": {"c": 1}, "e": None}) == ["a", "d", "e"]


def text(**servers: Entry) -> str:
    return render(Lock(servers)).decode()


def entry(*tools: dict[str, Any], package: str | None = None, greeting: dict[str, Any] | None = None) -> Entry:
    return Entry(package, greeting, {"tool": {t["name"]: t for t in tools}})


A, B = {"name": "a", "description": "x"}, {"name": "b"}


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        (None, None, []),
        (text(s=entry(A)), text(s=entry(A)), []),
        (None, text(s=entry(A, B)), [("loosens", "s › pins  new: 2 tools", 0)]),
        (None, text(s=entry()), [("loosens", "s › pins  new: nothing", 0)]),
        (text(s=entry(A)), None, [("loosens", "s › pins  taken out: the first list that is seen counts", 0)]),
        (text(s=entry(A)), text(s=entry(A, B)), [("loosens", "s › tool b  accepted", 0)]),
        (text(s=entry(A, B)), text(s=entry(A)), [("tightens", "s › tool b  no longer accepted", 0)]),
        (
            text(s=entry(A, B, package="p@1", greeting={"instructions": "x"})),
            text(s=entry({**A, "description": "y", "title": ""}, package="p@2", greeting={"instructions": "y"})),
            [
                ("loosens", "s › what it says of itself  instructions changed", 0),
                ("loosens", "s › tool a  description, title changed", 0),
                ("tightens", "s › tool b  no longer accepted", 0),
                ("same", "s › package  p@1 → p@2", 0),
            ],
        ),
        (text(s=entry(package="p@1")), text(s=entry()), [("same", "s › package  p@1 → –", 0)]),
        (text(s=entry()), text(s=entry(greeting={})), [("loosens", "s › what it says of itself  accepted", 0)]),
        (text(s=entry(greeting={"a": 1})), text(s=entry(greeting={"a": 1})), []),
        (text(s=entry(greeting={})), text(s=entry()), [("tightens", "s › what it says of itself  no longer accepted", 0)]),
        ("oops", text(s=entry(A)), [("loosens", "s › pins  new: 1 tool", 0)]),
        (text(s=entry(A)), "\noops", [("loosens", "mcpwrap.lock  can't be read: not JSON: expecting value", 2)]),
    ],
)
def test_what_another_lock_accepts_is_told(old: str | None, new: str | None, changes: list[tuple[str, str, int]]) -> None:
    assert lock_changes(old, new) == changes
