"""What the demo shows: steps, each made of things that were done and of what came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["file", "table", "answer", "error", "refused", "told", "command"]
"""What `Act.lines` are: a file's text, rows, a tool's answer, an error or a refusal of a call, what the shim told the person, or
what a command printed."""


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that was done, as it could be typed ("" where there is nothing to type), and the lines that came out."""

    kind: Kind
    did: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a name for programs, a title, what it shows in words, and what was done."""

    name: str
    title: str
    says: str
    acts: tuple[Act, ...]
