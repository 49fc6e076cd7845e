"""Lists that a server answers with: filtered by its pins and by the same decision as the calls (POLICY.md §3 and §4)."""

from __future__ import annotations

from typing import Any, Final

from mcpwrap.core.access import Access
from mcpwrap.core.commands import Command, Record
from mcpwrap.core.entry import Entry
from mcpwrap.core.jsonrpc import Json
from mcpwrap.core.listing import OWN_PREFIX, filtered, status_tool, uncached
from mcpwrap.core.methods import Holds
from mcpwrap.core.outcome import Unfit
from mcpwrap.core.pending import Pending
from mcpwrap.core.pins import Kind
from mcpwrap.core.rules import RuleTable
from mcpwrap.core.state import State
from mcpwrap.core.uris import template_text

LISTS: Final = {
    Holds.TOOLS: ("tools", "name"),
    Holds.PROMPTS: ("prompts", "name"),
    Holds.RESOURCES: ("resources", "uri"),
    Holds.TEMPLATES: ("resourceTemplates", "uriTemplate"),
    Holds.TASKS: ("tasks", "taskId"),
}
"""Where in an answer a list stands, and what names its items."""

_PINNED: Final[dict[Holds, Kind]] = {Holds.TOOLS: "tool", Holds.PROMPTS: "prompt", Holds.TEMPLATES: "template"}
_NAMES: Final = dict(LISTS.values())


class Lists:
    """Judges them. Appends commands; holds no state of its own."""

    def __init__(self, state: State, access: Access) -> None:
        self._state = state
        self._access = access

    def judge(self, p: Pending, result: Json, out: list[Command]) -> Json:
        """The list as the client may see it.

        Raises:
            Unfit: it is none.
        """
        state = self._state
        rules = state.rules
        assert p.row is not None and rules is not None  # noqa: S101 - only a live session has rows and answers
        holds = p.row.holds
        key, name = LISTS[holds]
        if type(result.get(key, [])) is not list:
            raise Unfit(f"`{key}` must be an array")
        whole, note = len(result.get(key, [])), ""
        if holds in _PINNED:
            result, note = self._pinned(p, result, key, _PINNED[holds], out)
        match holds:
            case Holds.TOOLS:
                table: RuleTable | None = rules.tools
                kept, _, shown = filtered(result, key, name, self._shows_tool)
            case Holds.PROMPTS:
                table = rules.prompts
                kept, _, shown = filtered(result, key, name, lambda n: state.listed(rules.prompts, n))
            case Holds.RESOURCES:
                table = rules.resources
                kept, _, shown = filtered(result, key, name, lambda u: not self._access.resource(u).denied)
            case Holds.TEMPLATES:
                table = rules.resources
                kept, _, shown = filtered(result, key, name, lambda t: not self._access.template(template_text(t)).denied)
            case _:
                table = None
                kept, _, shown = filtered(result, key, name, lambda t: not self._access.task(t).denied)
        if holds is Holds.TOOLS and state.notice and not kept.get("nextCursor"):
            kept = {**kept, key: [*kept.get(key, []), status_tool()]}
        if p.modern and (kept is not result or (table is not None and not table.plainly_open)):
            kept = uncached(kept)
        out.append(
            Record(
                Entry(
                    "list",
                    "server",
                    p.method,
                    outcome="allow",
                    request_id=p.id,
                    status="ok",
                    counts={"total": whole, "shown": shown},
                    note=note,
                )
            )
        )
        return kept

    def _shows_tool(self, name: str) -> bool:
        state = self._state
        assert state.rules is not None  # noqa: S101 - only a live session lists
        return not name.startswith(OWN_PREFIX) and state.listed(state.rules.tools, name)

    def _pinned(self, p: Pending, result: Json, key: str, kind: Kind, out: list[Command]) -> tuple[Json, str]:
        """The list without what differs from its pin (POLICY.md §4), and what the record is to say of it."""
        state = self._state
        items = result.get(key, [])
        held = state.guard.page(kind, items, first=p.first, last=not result.get("nextCursor"))
        state.learn(out)
        if not held:
            return result, ""
        names = sorted({name[:100] for i in held if type(name := _name(items[i], _NAMES[key])) is str})
        note = f"held until accepted: {', '.join(f'{name} ({state.guard.held(kind, name)})' for name in names[:20])}"
        if names:
            state.held_by_pins(kind, names, out)
        return {**result, key: [item for i, item in enumerate(items) if i not in held]}, note


def _name(item: Any, field: str) -> Any:
    return item.get(field) if type(item) is dict else None
