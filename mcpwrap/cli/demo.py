"""`mcpwrap demo`: the shim at work, in a temporary place, on the terminal of somebody who never saw it."""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Final

import click

from mcpwrap.cli.here import EXAMPLE
from mcpwrap.cli.screen import Colour, Ink
from mcpwrap.core.visible import spell_out
from mcpwrap.demo.place import Place, temporary
from mcpwrap.demo.step import Act, Step

WIDTH: Final = 80
"""Widest line, in columns: what is longer is tiring to read, and a window may be no wider."""

_INDENT: Final = 4
_LABELS: Final[dict[str, tuple[str, Colour]]] = {
    "answer": ("answer", "green"),
    "error": ("error", "red"),
    "refused": ("refused", "yellow"),
}
_LABEL_WIDTH: Final = 9
_COMMAND_WIDTH: Final = 16
_NARROWEST: Final = 48
"""Columns that are filled at least; a narrower window breaks the lines by itself."""

_INTRODUCTION: Final = (
    "mcpwrap stands between an AI client and an MCP server and judges every message. This demo shows it at work: the installed "
    "`mcpwrap`, a small real server, and the MCP SDK's client with a script in the place of the model. No network, no account. "
    "All of it happens in a temporary folder with a home of its own; nothing of yours is read or changed."
)

_SECOND_COLUMN: Final = re.compile(r" *\S+(?: \S+)* {2,}(?=\S)")

_CLIENT_ENTRY: Final = '"git": { "command": "mcpwrap", "args": ["run", "--project", "DIR", "git"] }'


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs: the steps as JSON.")
@click.option("--keep", is_flag=True, help="Leave the temporary folder for a look.")
def demo(as_json: bool, keep: bool) -> int:
    """See it work: a small server, a real client, a temporary project.

    Needs no network and no account and touches nothing of yours. Exit code 0 only if every step came out as it says.
    """
    width = max(_NARROWEST, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))
    page = _Page(width, Ink.of(sys.stdout))
    steps: list[Step] = []

    def tell(step: Step) -> None:
        steps.append(step)
        if not as_json:
            page.step(len(steps), step)

    if not as_json:
        page.opening()
    with temporary(width=width - _INDENT, keep=keep) as place:
        # the SDK costs a second; the reader has the first lines by then
        from mcpwrap.demo.story import play  # noqa: PLC0415

        done = False
        try:
            play(place, tell)
            done = True
        finally:
            if as_json:
                click.echo(json.dumps(_facts(steps, place, done=done, keep=keep), indent=2, ensure_ascii=False))
            elif keep:
                page.kept(place)
    if not as_json:
        page.closing()
    return 0


def _facts(steps: list[Step], place: Place, *, done: bool, keep: bool) -> dict[str, object]:
    return {
        "ok": done,
        "folder": str(place.base) if keep else None,
        "steps": [
            {
                "name": step.name,
                "title": step.title,
                "says": step.says,
                "acts": [{"kind": act.kind, "did": act.did, "lines": list(act.lines)} for act in step.acts],
            }
            for step in steps
        ],
    }


class _Page:
    """Lays the demo out in lines of at most `width` columns."""

    def __init__(self, width: int, ink: Ink) -> None:
        self._width = width
        self._ink = ink

    def opening(self) -> None:
        """Before anything is started."""
        self._say(_INTRODUCTION, indent=0)

    def step(self, number: int, step: Step) -> None:
        """One step."""
        click.echo(f"\n{self._ink('bold', f'{number:>2}  {step.title}')}")
        self._say(step.says, indent=_INDENT)
        for act in step.acts:
            if act.kind != "told":
                click.echo()
            self._act(act)

    def kept(self, place: Place) -> None:
        """Where the folder is that was kept, and how to look at it with the same eyes."""
        click.echo(f"\nkept: {spell_out(str(place.base))}")
        if sys.platform != "win32":
            click.echo(f"look: cd {spell_out(str(place.project))} && HOME={spell_out(str(place.home))} mcpwrap log")

    def closing(self) -> None:
        """What to do with it."""
        ink = self._ink
        click.echo(f"\n{ink('green', 'Everything came out as it says.')}\n")
        click.echo(ink("bold", "With a project of your own"))
        click.echo("1  Write mcpwrap.toml at its root, for example:\n")
        for line in EXAMPLE.rstrip().splitlines():
            click.echo(f"   {line}".rstrip())
        click.echo()
        self._next("2", "mcpwrap trust", "look at what it lets run, and accept it")
        click.echo("3  In your AI client's configuration, in place of the server's command")
        click.echo("   (DIR is the project's folder):\n")
        click.echo(f"   {_CLIENT_ENTRY}\n")
        self._next("4", "mcpwrap status", "where things stand, and what to do next")

    def _next(self, number: str, command: str, what: str) -> None:
        click.echo(f"{number}  {self._ink('bold', command)}{' ' * (_COMMAND_WIDTH - len(command))}{what}")

    def _say(self, text: str, *, indent: int) -> None:
        pad = " " * indent
        for line in textwrap.wrap(text, self._width, initial_indent=pad, subsequent_indent=pad, break_on_hyphens=False):
            click.echo(line)

    def _act(self, act: Act) -> None:
        match act.kind:
            case "command":
                self._lines([f"$ {act.did}"], "bold")
                self._lines(act.lines)
            case "file" | "table":
                self._lines(act.lines)
            case "told":
                self._labelled("log", act.lines, "dim")
            case "answer" | "error" | "refused":
                label, colour = _LABELS[act.kind]
                self._labelled("call", (act.did,), "bold")
                self._labelled(label, act.lines, colour)

    def _labelled(self, label: str, lines: Sequence[str], colour: Colour) -> None:
        pad = " " * _LABEL_WIDTH
        for i, line in enumerate(self._folded(lines, self._width - _INDENT - _LABEL_WIDTH)):
            first = f"{label:<{_LABEL_WIDTH}}" if i == 0 else pad
            click.echo(" " * _INDENT + self._ink("dim", first) + self._ink(colour, line))

    def _lines(self, lines: Sequence[str], colour: Colour | None = None) -> None:
        for line in self._folded(lines, self._width - _INDENT, hanging=True):
            shown = self._ink(colour, line) if colour else line
            click.echo(" " * _INDENT + shown if line else "")

    def _folded(self, lines: Sequence[str], room: int, *, hanging: bool = False) -> list[str]:
        """`lines` with none longer than `room`; what goes on below is set in as the line's second column is, or a little."""
        folded: list[str] = []
        for line in lines:
            shown = spell_out(line)
            gap = _SECOND_COLUMN.match(shown)
            pad = " " * min(gap.end() if gap else len(shown) - len(shown.lstrip()) + 2, room // 2) if hanging else ""
            folded += textwrap.wrap(shown, room, subsequent_indent=pad, break_on_hyphens=False) or [""]
        return folded
