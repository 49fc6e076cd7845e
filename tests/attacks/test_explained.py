"""What is checked after every test here (tests/explained.py) can fail: a record whose file or line is another is found out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.arena import Arena
from tests.explained import check_refusals, misplaced

RULES = """
allow = ["safe", "read_*"]
ask = [
  "asked",
  "send_*",
]
[servers.lab.resources]
allow = ["docs://**"]
[[servers.lab.rules]]
deny = ["read_*"]
args."*" = { glob = ["**/.env"] }
reason = "secrets stay here"
[[servers.lab.rules]]
allow = ["few"]
limit = "1/session"
over = "deny"
"""


def refusals(arena: Arena) -> None:
    """One refusal of each kind."""
    with arena.run(rules=RULES) as shim:
        shim.open()
        shim.call("other")
        shim.call("send_mail")
        shim.call("read_file", path="a/.env")
        shim.call("few")
        shim.call("few")
        shim.call("mcpwrap_other")
        shim.request(1, "resources/read", {"uri": "secret://a"})
        shim.request(2, "resources/read", {"uri": "docs://a/../b"})
        shim.request(3, "tools/call", {"name": 1})


def falsify(arena: Arena, text: str, /, **change: Any) -> None:
    """Change the reason `text` in every record, as a bug of the decision would."""
    (path,) = (arena.state / "audit").glob("*.jsonl")
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    hits = [reason for record in records for reason in record.get("reasons", ()) if reason["text"] == text]
    assert hits
    before = path.read_text("utf-8")
    for reason in hits:
        reason.update({key: reason[key] + by if key == "line" else by for key, by in change.items()})
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    try:
        with pytest.raises(AssertionError):
            check_refusals(arena.project.home)
    finally:
        path.write_text(before, encoding="utf-8")


def test_every_kind_of_refusal_is_looked_up_and_asked_again(arena: Arena, home: Path) -> None:
    refusals(arena)
    found = check_refusals(home)
    assert (found.refs, found.lines, found.asked, found.left_out) == (8, 5, 3, ["a budget"])


@pytest.mark.parametrize("by", [1, -1, 1000])
@pytest.mark.parametrize(
    "text",
    [
        "no rule admits this tool",
        "no rule admits this resource",
        'ask = ["send_*"]',
        "secrets stay here",
        "limit = 1/session is used up",
    ],
)
def test_another_line_is_found_out(text: str, by: int, arena: Arena) -> None:
    refusals(arena)
    falsify(arena, text, line=by)


def test_another_file_or_effect_is_found_out(arena: Arena) -> None:
    refusals(arena)
    falsify(arena, 'ask = ["send_*"]', file="config.toml")
    falsify(arena, 'ask = ["send_*"]', text='deny = ["send_*"]')


@pytest.mark.parametrize(
    ("line", "text", "right"),
    [
        (4, 'deny = ["b"]', True),
        (5, 'deny = ["b"]', False),
        (3, 'deny = ["b"]', False),
        (4, 'ask = ["b"]', False),
        (6, 'allow = ["b"]', True),
        (2, "no rule admits this prompt", True),
        (7, "no rule admits this prompt", False),
        (7, "no rule admits this resource", True),
        (2, "no rule admits this resource", False),
        (8, 'allow = ["*"] with { within = ["${project}"] }', True),
        (6, 'allow = ["*"] with { within = ["${project}"] }', False),
        (2, "limit = 9/h of this server is used up", True),
        (0, "no rule admits this tool", False),
    ],
)
def test_a_line_is_read_as_text(line: int, text: str, right: bool) -> None:
    content = """\
version = 1
[servers."lab"]
deny = ["a",
  "b",
  "c"]
allow = ['b', "!c"]
[servers.lab.resources] # to read
allow = [{ within = ["${project}"] }]
"""
    assert (misplaced(content, {"line": line, "text": text, "effect": "deny"}, "lab") == "") is right
