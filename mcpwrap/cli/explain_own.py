"""Refusals that no line of a file made: what mcpwrap refuses by itself, and where a policy stands behind it (POLICY.md §3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from mcpwrap.cli.here import Found
from mcpwrap.cli.holds import holds, signed_out
from mcpwrap.cli.verdict import Question, Verdict, judge
from mcpwrap.core.held import REASON
from mcpwrap.core.rules import ServerRules
from mcpwrap.errors import ConfigError

BY_ITSELF: Final = "mcpwrap refused this by itself, by no rule of a file"

BY_PIN: Final = "it is held by its pin, by no rule of a file; `mcpwrap pins` shows it"

_BEHIND: Final = re.compile(
    r"^`(\w+)` is not permitted$|^the (?:server|task) asks for (\w+), which isn't permitted|^the server wants to (open) "
)
"""What is refused since a server may not ask for something; one of the groups says what (core/asking.py, core/server_side.py)."""

_ASKED_BY: Final = {
    "roots": "roots/list",
    "sampling": "sampling/createMessage",
    "elicitation": "elicitation/create",
    "open": "elicitation/create",
}

_RESOURCES: Final = re.compile(
    r"(?:^|: )(?:a resource that isn't|resources in it aren't) permitted$|^some of what it listens to is hidden$"
)
"""What is refused for resources that the record doesn't name."""


def is_own(record: Mapping[str, Any]) -> bool:
    """True where none of its reasons names a line, so that the policy wasn't what was asked."""
    reasons = _reasons(record)
    return bool(reasons) and not any(r.get("line") for r in reasons) and not was_held(record)


def was_held(record: Mapping[str, Any]) -> bool:
    """True where the session was held (core/held.py): without that, the policy would have been asked."""
    return any(str(r.get("text", "")).startswith(REASON) and not r.get("line") for r in _reasons(record))


def still_held(found: Found, server: str) -> str:
    """Why the server would be held now, with what to do about it, on one line; "" where nothing of the files or the vault does."""
    accepted = found.accepted()
    try:
        lying = found.lying()
    except ConfigError:
        lying = None
    hold = holds(found, accepted, lying, signed_out(found, accepted)).get(server)
    return f"it is still held back: {hold.why}; next: {hold.remedy}" if hold is not None else ""


def words(record: Mapping[str, Any]) -> str:
    """What is to be said of a refusal that no line of a file made."""
    return BY_PIN if any(r.get("file") for r in _reasons(record)) else BY_ITSELF


def behind(record: Mapping[str, Any], rules: ServerRules) -> tuple[str, Verdict] | None:
    """The method and the decision of the policy that stand behind a refusal of mcpwrap's own; None where none does."""
    text = str(_reasons(record)[0].get("text", ""))
    if _RESOURCES.search(text):
        decision = rules.resources.denial("which resource isn't recorded; these rules don't let it through")
        return "resources/read", Verdict(decision, None, f"servers.{rules.server}.resources", "")
    found = _BEHIND.match(text)
    method = _ASKED_BY.get(next(filter(None, found.groups())), "") if found else ""
    if not method:
        return None
    verdict = judge(rules, Question(method, ""))
    # a policy that permits it is not what it was refused for
    return (method, verdict) if verdict.outcome.label != "allow" else None


def _reasons(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [r for r in record.get("reasons") or () if isinstance(r, dict)]
