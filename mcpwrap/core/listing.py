"""List results, filtered by the same decision as the calls (POLICY.md §3): a list shows what would not surely be denied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from mcpwrap.core.jsonrpc import Json, miscased

OWN_PREFIX: Final = "mcpwrap_"
"""Tools of this prefix are mcpwrap's own; a server's are hidden (POLICY.md §5)."""

STATUS_TOOL: Final = "mcpwrap_status"


def status_tool() -> Json:
    """The definition of our one tool."""
    return {
        "name": STATUS_TOOL,
        "title": "mcpwrap status",
        "description": "Says why mcpwrap holds this server back, or what waits for the user, and what the user can do.",
        "inputSchema": {"type": "object", "properties": {}, "additionalProperties": False},
        "annotations": {"readOnlyHint": True, "openWorldHint": False},
    }


def filtered(result: Json, key: str, field: str, shown: Callable[[str], bool]) -> tuple[Json, int, int]:
    """Keep the items of ``result[key]`` whose `field` is `shown`; order and cursors stay.

    Returns the result (the same object where nothing was taken out), how many items there were, and how many are left. An item
    without a readable `field` can't be judged and is taken out. Where ``result[key]`` stands, it must be an array.
    """
    items: list[Any] = result.get(key, [])
    kept = [item for item in items if _is_shown(item, field, shown)]
    if len(kept) == len(items):
        return result, len(items), len(items)
    return {**result, key: kept}, len(items), len(kept)


def _is_shown(item: Any, field: str, shown: Callable[[str], bool]) -> bool:
    if not isinstance(item, dict) or miscased(item, (field,)):
        return False
    text = item.get(field)
    return isinstance(text, str) and shown(text)


def uncached(result: Json) -> Json:
    """`result` as one that isn't to be cached, so that a revocation is seen (MCP 2026-07-28, server/utilities/caching)."""
    return {**result, "ttlMs": 0, "cacheScope": "private"}


def narrowed(capabilities: Mapping[str, Any], closed: tuple[str, ...]) -> Json | None:
    """The client's capabilities without the `closed` ones (``sampling``, ``elicitation``, ``roots``); None where nothing changes.

    A server must not use what wasn't declared, so this is the cleanest refusal (PROTOCOL.md §2).
    """
    kept = {word: value for word, value in capabilities.items() if word not in closed}
    tasks = kept.get("tasks")
    requests = tasks.get("requests") if isinstance(tasks, dict) else None
    if isinstance(tasks, dict) and isinstance(requests, dict) and any(word in requests for word in closed):
        kept["tasks"] = {**tasks, "requests": {k: v for k, v in requests.items() if k not in closed}}
    return kept if kept != capabilities else None
