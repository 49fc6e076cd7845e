"""How text is laid out for people: errors, columns, a little colour."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, TextIO

from mcpwrap.core.visible import spell_out
from mcpwrap.errors import ConfigError, McpwrapError

Colour = Literal["red", "green", "yellow", "bold", "dim"]

_CODES: Final[dict[Colour, str]] = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}

_EXCERPT_LIMIT: Final = 200
"""Characters of an offending line that are shown; it may be as long as a whole file."""


class Ink:
    """Colours where they are wanted: on a terminal, without ``NO_COLOR``, and not on a dumb one."""

    def __init__(self, *, on: bool) -> None:
        self._on = on and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    @classmethod
    def of(cls, stream: TextIO) -> Ink:
        """The ink for `stream`."""
        return cls(on=stream.isatty())

    def __call__(self, colour: Colour, text: str) -> str:
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self._on and text else text


def error_text(error: McpwrapError, stream: TextIO) -> str:
    """``error:``, the place and the line where a file is at fault, ``hint:``."""
    ink = Ink.of(stream)
    lines = [f"{ink('red', 'error:')} {visible_lines(str(error))}"]
    if isinstance(error, ConfigError):
        lines += place_lines(error)
    if error.hint:
        lines.append(f"{ink('bold', 'hint:')} {visible_lines(error.hint)}")
    return "\n".join(lines) + "\n"


def place_lines(error: ConfigError) -> list[str]:
    """The place of a fault with its line, as far as they are known."""
    if not error.place:
        return []
    excerpt = spell_out(error.excerpt.strip(), limit=_EXCERPT_LIMIT)
    return [f"  {spell_out(error.place)}{'   ' if excerpt else ''}{excerpt}"]


def visible_lines(text: str) -> str:
    """`text` with everything spelled out but its own line ends."""
    return "\n".join(spell_out(line) for line in text.split("\n"))


def command_text(argv: Sequence[str]) -> str:
    """A command as it could be typed into a shell, never shortened; what a terminal would hide or obey is spelled out."""
    return spell_out(shlex.join(argv))


def columns(rows: Iterable[Sequence[str]], *, indent: int = 2, gap: int = 2) -> list[str]:
    """`rows` as lines with aligned columns; the last one isn't padded. Rows may differ in length."""
    table = [list(row) for row in rows]
    widths: dict[int, int] = {}
    for row in table:
        for i, cell in enumerate(row[:-1]):
            widths[i] = max(widths.get(i, 0), len(cell))
    return [
        (" " * indent + (" " * gap).join([*(c.ljust(widths[i]) for i, c in enumerate(row[:-1])), row[-1]])).rstrip()
        for row in table
        if row
    ]


def wrapped(text: str, *, width: int, indent: int) -> list[str]:
    """`text` broken between words; every line but the first is indented by `indent`. A long word stays whole."""
    return textwrap.wrap(
        text,
        width=max(width - 1, indent + 24),
        initial_indent="",
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def day(stamp: str) -> str:
    """A recorded time as a person reads it: ``12 May``, with the year where it isn't this one; "" stays ""."""
    try:
        then = datetime.fromisoformat(stamp).astimezone()
    except ValueError:
        return spell_out(stamp)
    now = datetime.now(UTC).astimezone()
    text = f"{then.day} {then:%b}"
    if then.date() == now.date():
        return f"{text}, {then:%H:%M}"
    return text if then.year == now.year else f"{text} {then.year}"


def count(number: int, one: str, many: str = "") -> str:
    """``1 server``, ``2 servers``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
