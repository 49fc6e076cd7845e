"""What becomes of a request, and of an answer that may not go on."""

from __future__ import annotations

import enum
from typing import Final


class Outcome(enum.IntEnum):
    """What becomes of a request; ordered, the strictest wins (POLICY.md §3)."""

    ALLOW = 0
    LOG = 1
    ASK = 2
    DENY = 3

    @property
    def label(self) -> str:
        """The word that stands in files and records."""
        return _LABELS[self]


_LABELS: Final = ("allow", "log", "ask", "deny")


class Unfit(Exception):
    """An answer that may not be passed on; the text says why, `policy` whether a rule said so."""

    def __init__(self, why: str, *, policy: bool = False) -> None:
        super().__init__(why)
        self.policy = policy
