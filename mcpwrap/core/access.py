"""What is asked for, judged: resources and templates by their URIs, tasks by the tool whose call made them (POLICY.md §2)."""

from __future__ import annotations

from mcpwrap.core.conditions import Context
from mcpwrap.core.jsonrpc import Json
from mcpwrap.core.rules import HOLE, Decision, Outcome, Text
from mcpwrap.core.state import State
from mcpwrap.core.state import denial as own_denial
from mcpwrap.core.uris import ambiguity


class Access:
    """Decisions that both directions need. `at` is monotonic seconds."""

    def __init__(self, state: State) -> None:
        self._state = state

    def resource(self, uri: str, at: float | None = None) -> Decision:
        """The decision on one resource; a URI that two readers may take for different ones is denied."""
        table = self._state.live.resources
        if not table.plainly_open and (why := ambiguity(uri)):
            return own_denial(why)
        return self._state.judge(table, uri, {"uri": uri}, at, uri=uri)

    def shows(self, uri: str) -> bool:
        """True where the resource may be shown by something else that is let through."""
        return self.resource(uri).outcome <= Outcome.LOG

    def template(self, text: Text, at: float | None = None, *, beginning: bool = False) -> Decision:
        """The decision on a resource template: denied only where all that it stands for surely is.

        With `at` it is used, and budgets count.
        With `beginning` a hole goes on from what was typed, so that what stands before it is judged as a whole, too, by conditions
        as well: what it stands for is told by the answer.
        """
        state = self._state
        table = state.live.resources
        typed: list[Context] = []
        for filling in ("x", "") if beginning else ("x",):
            filled = "".join(filling if c is HOLE else c for c in text)
            if not table.plainly_open and (why := ambiguity(filled)):
                return own_denial(why)
            if beginning and table.kind in state.conditional:
                typed.append(state.context({"uri": filled}, uri=filled))
        if at is None:
            return table.decide_open(text, state.context())
        spent = state.spent_at(at)
        if typed:
            found = max((table.decide_open(text, each, spent, known=True) for each in typed), key=lambda each: each.outcome)
        else:
            found = table.decide_open(text, state.context(), spent)
        return state.within_budget(found, table, at)

    def listened(self, wanted: Json) -> Json:
        """What of the ``notifications`` that a client wants to listen to it may: without resources and tasks that are hidden."""
        kept = dict(wanted)
        uris, tasks = wanted.get("resourceSubscriptions"), wanted.get("taskIds")
        if uris is not None:
            good = uris if type(uris) is list else []
            kept["resourceSubscriptions"] = [u for u in good if type(u) is str and self.shows(u)]
        if tasks is not None:
            good = tasks if type(tasks) is list else []
            kept["taskIds"] = [t for t in good if type(t) is str and self.task(t).outcome <= Outcome.ASK]
        return kept

    def task(self, task: str) -> Decision:
        """The decision on a task: that on the tool whose call made it. Its ``ask`` was answered when the call ran."""
        state = self._state
        tool = state.catalog.tasks.get(task)
        tools = state.live.tools
        if tool is not None:
            # its arguments were judged when it was called
            return (
                tools.decide_open(tool, state.context(tool=tool)) if tools.kind in state.conditional else state.decide(tools, tool)
            )
        if tools.plainly_open:
            return Decision(Outcome.ALLOW, ())
        return own_denial("no permitted call of this session made this task")


def task_key(task: str) -> bytes:
    """What the inputs of a task are kept under."""
    return b"task\0" + task.encode("utf-8", "surrogatepass")
