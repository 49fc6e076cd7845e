"""What was used of each budget (``limit``, POLICY.md §2): counts over a sliding window, or over the session.

A budget is known by what it says and where it stands, not by its line, so that an edit elsewhere in the file doesn't refill it.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from mcpwrap.core.rules import Budget, Rule

KEPT: Final = 100_000
"""Longest window that is kept, in calls; a limit above it is refused when the file is read."""

_Key = tuple[object, ...]
"""The identity of a rule; empty for the server's own table."""


class Budgets:
    """The counts of one session. `at` is monotonic seconds throughout."""

    __slots__ = ("_calls", "_windows")

    def __init__(self) -> None:
        self._windows: dict[_Key, deque[float]] = {}
        self._calls: dict[_Key, int] = {}

    def spent(self, rule: Rule, at: float) -> bool:
        """True where one call more would be past the rule's limit."""
        return rule.budget is not None and self._over(rule.budget, rule.identity, at)

    def server_spent(self, budget: Budget, at: float) -> bool:
        """The same for the budget of the server's own table."""
        return self._over(budget, (), at)

    def count(self, rules: tuple[Rule, ...], server: Budget | None, at: float) -> None:
        """Count one call that was let through by `rules`."""
        # a rule that stands there twice counts a call once
        for key, budget in {rule.identity: rule.budget for rule in rules}.items():
            if budget is not None:
                self._add(budget, key, at)
        if server is not None:
            self._add(server, (), at)

    def _over(self, budget: Budget, key: _Key, at: float) -> bool:
        if budget.count is None:
            return False
        if budget.window_s is None:
            return self._calls.get(key, 0) >= budget.count
        window = self._windows.get(key)
        if window is None:
            return False
        while window and window[0] <= at - budget.window_s:
            window.popleft()
        return len(window) >= budget.count

    def _add(self, budget: Budget, key: _Key, at: float) -> None:
        if budget.count is None:
            return
        if budget.window_s is None:
            self._calls[key] = self._calls.get(key, 0) + 1
        else:
            # as many as the limit has are enough to know that it is reached
            self._windows.setdefault(key, deque(maxlen=budget.count)).append(at)
