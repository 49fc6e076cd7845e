"""What `mcpwrap pins` shows: a server's definitions and how they differ, field by field, in visible characters, never shortened.

Everything a server wrote stands behind ``+`` or ``-`` and a space, on lines of its own, so that none of it passes for ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, Final

from mcpwrap.cli.screen import Ink, command_text, count, day
from mcpwrap.core import jsonrpc
from mcpwrap.core.jsonrpc import Json
from mcpwrap.core.pins import KINDS, WORDS
from mcpwrap.core.visible import spell_out
from mcpwrap.policy.drift import Difference, State

_WHAT: Final = {
    "changed": "changed, and is held back",
    "new": "is new, and is held back",
    "twice": "is there twice, and is held back",
    "gone": "is no longer offered",
}


def server_lines(state: State, *, ink: Ink) -> list[str]:
    """One server: where it is pinned, how much, and each difference."""
    name = ink("bold", spell_out(state.server))
    match state.source:
        case "lock":
            source = "pinned in mcpwrap.lock"
        case "first sight":
            source = f"pinned on first sight, {day(state.at)}" if state.at else "its pins can't be read: everything is held back"
        case _:
            return [f"{name}  not pinned yet: what it shows first will be"]
    seen = f"; seen last {day(state.seen.at)}" if state.seen else "; not seen here yet"
    lines = [f"{name}  {source}: {_counts(state)}{seen}"]
    for difference in state.differences:
        lines += ["", *difference_lines(difference, ink=ink)]
    if waiting := [difference for difference in state.waiting if difference.what != "twice"]:
        command = ["mcpwrap", "pins", "accept", state.server]
        # a name that can't be typed is accepted with the rest
        if len(waiting) == 1 and waiting[0].name.isascii() and waiting[0].name.isprintable():
            command += filter(None, [waiting[0].name])
        lines += ["", f"hint: {command_text(command)}    (or go back to the version of the server that was accepted)"]
    return lines


def difference_lines(difference: Difference, *, ink: Ink) -> list[str]:
    """One difference, field by field."""
    lines = [f"  {spell_out(difference.title)} {_WHAT[difference.what]}"]
    if difference.why:
        lines.append(f"    {ink('yellow', 'warning:')} {spell_out(difference.why)}")
    if difference.new is not None:
        lines.append(ink("dim", "    the server's words, which nobody checked:"))
        for field, signed in _fields(difference.old or {}, difference.new):
            lines.append(f"    {spell_out(field)}")
            lines += [f"      {ink('green' if line.startswith('+') else 'red', line)}" for line in signed]
    return lines


def _counts(state: State) -> str:
    found = [count(len(items), WORDS[kind]) for kind in KINDS if (items := state.accepted.items.get(kind))]
    return ", ".join(found) or "nothing"


def _fields(old: Json, new: Json) -> Iterator[tuple[str, list[str]]]:
    before, after = dict(_leaves(old, "")), dict(_leaves(new, ""))
    for path in [*after, *(path for path in before if path not in after)]:
        if before.get(path) != after.get(path):
            yield path, _signed(before.get(path, []), after.get(path, []))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, list[str]]]:
    """Every value below `value` that has none below it, by the way to it, as lines in visible characters."""
    match value:
        case dict() if value:
            for key in sorted(value):
                yield from _leaves(value[key], f"{path}.{_step(key)}" if path else _step(key))
        case list() if value:
            for i, item in enumerate(value):
                yield from _leaves(item, f"{path}[{i}]")
        case str():
            yield path, [f'"{spell_out(line)}"' for line in value.split("\n")]
        case _:
            yield path, [spell_out(jsonrpc.encode(value).decode())]


def _step(key: str) -> str:
    # a key with a dot in it must not pass for two
    return key if key.replace("_", "").replace("-", "").replace("$", "").isalnum() else jsonrpc.encode(key).decode()


def _signed(old: list[str], new: list[str]) -> list[str]:
    lines: list[str] = []
    for what, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what != "equal":
            lines += [f"- {line}" for line in old[i:j]] + [f"+ {line}" for line in new[k:m]]
    return lines
