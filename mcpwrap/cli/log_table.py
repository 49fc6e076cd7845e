"""Audit records as rows for a person: one line each, in the local time, with everything from outside spelled out."""

from __future__ import annotations

import unicodedata
from collections import OrderedDict
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

from mcpwrap.core.visible import spell_out

CELL_LIMIT: Final = 400
"""Longest cell in characters, on a pipe too: a name may have as many as its server likes."""

REFS_KEPT: Final = 1000
"""Calls whose name is remembered, so that the row of their end can say it; the record of an end holds only the ref."""

REASON_WIDTH: Final = 24
"""A reason that has less room than this, in cells, goes on a line of its own."""

_COLUMNS: Final = (("time", 8), ("server", 12), ("outcome", 7), ("what", 30), ("status", 9), ("ms", 7), ("ref", 6))
_WHAT: Final = 3
_RIGHT: Final = 5
_WHAT_LEAST: Final = 16


class Table:
    """Lays records out in columns, `width` cells wide; None (no terminal) cuts nothing."""

    def __init__(self, width: int | None) -> None:
        fixed = sum(size + 2 for _, size in _COLUMNS)
        self._cut = width is not None
        left = REASON_WIDTH if width is None else width - fixed
        self._below = left < REASON_WIDTH
        widths = [size for _, size in _COLUMNS]
        if self._below:
            widths[_WHAT] = max(widths[_WHAT] + left, _WHAT_LEAST)
        self._widths = widths
        self._reason_width = (width or 0) - 10 if self._below else left
        self._day: date | None = None
        self._names: OrderedDict[str, str] = OrderedDict()

    def heading(self) -> str:
        """The line above the rows."""
        names = [name for name, _ in _COLUMNS]
        return self._joined(names, "" if self._below else "reason")

    def lines(self, record: Mapping[str, Any]) -> list[str]:
        """The line of one record; a line with the date before it where a new day begins, its reason below where it has
        no room."""
        lines = []
        moment = _moment(record)
        if moment is not None and moment.date() != self._day:
            self._day = moment.date()
            lines.append(self._day.isoformat())
        reason = _reason(record)
        cells = [
            f"{moment:%H:%M:%S}" if moment else "?",
            _text(record.get("server")),
            _text(record.get("outcome")),
            self._what(record),
            _text(record.get("status")),
            _milliseconds(record.get("duration_ms")),
            _text(record.get("ref")),
        ]
        if not self._below:
            lines.append(self._joined(cells, reason))
            return lines
        lines.append(self._joined(cells, ""))
        if reason and record.get("outcome") != "allow":
            lines.append(" " * 10 + self._fitted(reason, self._reason_width))
        return lines

    def _what(self, record: Mapping[str, Any]) -> str:
        method = _text(record.get("method"))
        name = next((text for key in ("tool", "uri", "prompt", "task") if (text := _text(record.get(key)))), "")
        ref = record.get("ref")
        if isinstance(ref, str) and ref:
            if name:
                self._names[ref[:CELL_LIMIT]] = name
                if len(self._names) > REFS_KEPT:
                    self._names.popitem(last=False)
            else:
                name = self._names.get(ref[:CELL_LIMIT], "")
        counts = record.get("counts")
        if isinstance(counts, dict):
            return f"{method} {_text(counts.get('shown'))} of {_text(counts.get('total'))}"
        if record.get("direction") == "server" and record.get("event") == "call":
            method = f"server: {method}"
        if not name:
            return method or _text(record.get("event"))
        return name if method == "tools/call" else f"{method} {name}"

    def _joined(self, cells: list[str], last: str) -> str:
        padded = []
        for i, (cell, width) in enumerate(zip(cells, self._widths, strict=True)):
            shown = self._fitted(cell, width)
            room = " " * max(0, width - cells_of(shown))
            padded.append(room + shown if i == _RIGHT else shown + room)
        return "  ".join([*padded, self._fitted(last, self._reason_width)]).rstrip()

    def _fitted(self, text: str, width: int) -> str:
        if not self._cut or cells_of(text) <= width:
            return text
        kept, used = 0, 0
        for character in text:
            used += cells_of(character)
            if used > width - 1:
                break
            kept += 1
        return text[:kept] + "…"


def cells_of(text: str) -> int:
    """How many cells of a terminal `text` takes: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _text(value: object) -> str:
    if value is None:
        return ""
    return spell_out(value if isinstance(value, str) else repr(value)[:CELL_LIMIT], limit=CELL_LIMIT)


def _moment(record: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(record["time"]).astimezone()
    except (ValueError, OverflowError, OSError):  # the form of a time, but no day of any calendar
        return None


def _milliseconds(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        return ""
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _reason(record: Mapping[str, Any]) -> str:
    reasons = record.get("reasons")
    if isinstance(reasons, list) and reasons and isinstance(reasons[0], dict):
        first = reasons[0]
        # a reason without a file is the protocol's or mcpwrap's own
        place = f"{_text(first.get('file'))}:{_text(first.get('line'))}" if first.get("file") else ""
        more = f" (+{len(reasons) - 1})" if len(reasons) > 1 else ""
        return f"{place} {_text(first.get('text'))}{more}".strip()
    return _text(record.get("note"))
