"""The last look at what is recorded and told: what was delivered to the server stands in none of it (POLICY.md §7).

Arguments and the client's name are redacted where they are made; here are the texts that anything may have come into.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from mcpwrap.core.commands import Announce, Command, Record
from mcpwrap.core.redact import Known

_TEXTS: Final = ("method", "request_id", "tool", "uri", "prompt", "task", "trace", "note")


def scrubbed(command: Command, known: Known) -> Command:
    """`command` without what is `known`."""
    if isinstance(command, Announce):
        return Announce(known.redacted(command.text))
    if not isinstance(command, Record):
        return command
    entry = command.entry
    changed: dict[str, Any] = {}
    for name in _TEXTS:
        text = getattr(entry, name)
        if text and type(text) is str and (clean := known.redacted(text)) is not text:
            changed[name] = clean
    for reason in entry.reasons:
        if known.redacted(reason.text) is not reason.text:
            changed["reasons"] = tuple(replace(each, text=known.redacted(each.text)) for each in entry.reasons)
            break
    return Record(replace(entry, **changed)) if changed else command
