"""What happens in the demo, step by step. Each step is checked; the first that comes out otherwise ends it.

Theory: the steps are done by the installed command, a real server and a real client in a temporary place, and what is shown is what
they said. The only things written here are the words around it and what has to come out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio

from mcpwrap.demo.client import MCPError, Reply, Talk, directly, through_mcpwrap
from mcpwrap.demo.place import NOTE, NOTE_TEXT, SERVER, Place, Ran, interpreter, last_words
from mcpwrap.demo.step import Act, Kind, Step
from mcpwrap.errors import McpwrapError
from mcpwrap.policy.folders import folders

Tell = Callable[[Step], None]

DEADLINE_S: Final = 120.0
"""For the whole demo, which takes some five seconds; the rest is for a slow machine. What hangs must not hang for ever."""

TOOLS: Final = ("list_notes", "read_note", "write_note", "delete_note", "send_note")
LISTED: Final = TOOLS[:-1]
READY: Final = "notes: ready"
"""What the server says on stderr when it starts."""
STRANGER: Final = "archive@example.org"

EXPECTED: Final = (
    ("read_note", "allow", "ok"),
    ("write_note", "log", "ok"),
    ("send_note", "deny", "refused"),
    ("delete_note", "ask", "refused"),
)
"""Tool, outcome, status: what must be on record at the end, in this order."""

_REF: Final = re.compile(r"\(ref (\w+)\)")


class Mismatch(McpwrapError):
    """A step came out otherwise than the demo says."""

    def __init__(self, step: str, expected: str, found: object) -> None:
        super().__init__(
            f"step `{step}` came out otherwise: expected {expected}, found `{found}`",
            hint="`mcpwrap demo --keep` leaves the folder for a look; its file `stderr` holds what the shim said",
        )


def play(place: Place, tell: Tell) -> None:
    """Do all steps in `place`; `tell` gets each one when it is done.

    Raises:
        McpwrapError: a step came out otherwise, or a process can't be started or broke off.
    """
    try:
        anyio.run(_play, place, tell)
    except BaseException as error:
        # the client's task groups wrap what is raised in them
        told = _as_told(_leaf(error), place)
        if told is error:
            raise
        raise told from error


async def _play(place: Place, tell: Tell) -> None:
    with anyio.fail_after(DEADLINE_S):
        tell(_policy(place))
        tell(await _held(place))
        tell(await _trust(place))
        async with directly(place, interpreter()) as server:
            offered = await server.tools()
        async with through_mcpwrap(place) as client:
            tell(await _lists(offered, client))
            tell(await _allowed(client))
            tell(await _logged(place, client))
            hidden = await _hidden(place, client)
            tell(hidden.step)
            tell(await _reasons(place, hidden.ref))
            tell(await _asked(place, client))
        tell(await _record(place))


def _policy(place: Place) -> Step:
    text = place.policy.read_text(encoding="utf-8")
    return Step(
        "policy",
        "One file says what may run",
        "mcpwrap.toml lies at a project's root. It names the project's MCP servers and, of each, the tools that may run; "
        "what it doesn't name is refused.",
        (Act("file", "mcpwrap.toml", tuple(text.splitlines())),),
    )


async def _held(place: Place) -> Step:
    async with through_mcpwrap(place) as client:
        names = await client.tools()
        _require("held", names == ("mcpwrap_status",), "no tool but `mcpwrap_status`", names)
        reply = await client.call("mcpwrap_status", {})
    _require("held", not reply.failed and "not trusted yet" in reply.text, "the words of a held server", reply.text)
    said = await _read(place.stderr) or ""
    _require("held", READY not in said, "the server not to be started", said)
    return Step(
        "held",
        "Nothing starts before a person has trusted it",
        "The file comes with the checkout, so anybody may have written it. Where a client starts `mcpwrap run notes` now, the "
        "server isn't started. Instead of its tools the model finds one of mcpwrap's own, which says why and whom to tell.",
        (_call("mcpwrap_status", {}, reply),),
    )


async def _trust(place: Place) -> Step:
    check = await place.mcpwrap("check", "--json")
    _require("trust", check.code == 0, "`mcpwrap check` to find nothing wrong", last_words(check))
    digest = str(_json("trust", check.out)["digest"])
    # not the keyring of the person who looks on
    vault = await place.mcpwrap("vault", "init", "--key-file", str(place.key_file))
    _require("trust", vault.code == 0, "`mcpwrap vault init` to make a key", last_words(vault))
    trust = await place.mcpwrap("trust", "--digest", digest, typed=("trust", "--digest", f"{digest[:12]}…"))
    _require("trust", trust.code == 0 and ": trusted" in trust.out, "`mcpwrap trust` to accept the file", last_words(trust))
    return Step(
        "trust",
        "You look at it, and accept it",
        "`mcpwrap trust` shows what would run and asks you at your terminal. Here nobody is asked: the demo's own throw-away "
        "configuration lets a script name the digest instead. Yours doesn't, unless you say so.",
        (_command(trust),),
    )


async def _lists(offered: tuple[str, ...], client: Talk) -> Step:
    _require("lists", offered == TOOLS, f"the server to offer {', '.join(TOOLS)}", ", ".join(offered))
    seen = await client.tools()
    _require("lists", seen == LISTED, f"the client to see {', '.join(LISTED)}", ", ".join(seen))
    width = max(map(len, offered)) + 4
    rows = [f"{'the server offers':<{width + 4}}the client sees"]
    rows += [f"{name:<{width + 4}}{name if name in seen else '-'}" for name in offered]
    return Step(
        "lists",
        "A list shows what the policy admits",
        f"The same question, put to the server itself and to the server behind mcpwrap (MCP {client.revision}).",
        (Act("table", "tools/list", tuple(rows)),),
    )


async def _allowed(client: Talk) -> Step:
    arguments = {"name": NOTE}
    reply = await client.call("read_note", arguments)
    _require("allowed", not reply.failed and reply.text == NOTE_TEXT.strip(), "the note's text", reply.text)
    return Step(
        "allowed",
        "A call that is allowed",
        "The client's model reads a note that a visitor left.",
        (_call("read_note", arguments, reply),),
    )


async def _logged(place: Place, client: Talk) -> Step:
    arguments = {"name": "todo", "text": "water the plants"}
    reply = await client.call("write_note", arguments)
    _require("logged", not reply.failed, "the note to be written", reply.text)
    written = await _read(place.notes / "todo.txt")
    _require("logged", written == arguments["text"], "the note in the server's folder", written)
    told = [line for line in (await _read(place.stderr) or "").splitlines() if "write_note runs, logged" in line]
    _require("logged", len(told) == 1, "one line for the person on the shim's stderr", told)
    return Step(
        "logged",
        "A call that is logged",
        "It runs too; its record keeps every argument in full, and the person is told in the client's log of the server.",
        (_call("write_note", arguments, reply), Act("told", "", tuple(told))),
    )


@dataclass(frozen=True, slots=True)
class _Refused:
    step: Step
    ref: str


async def _hidden(place: Place, client: Talk) -> _Refused:
    arguments = {"name": "todo", "to": STRANGER}
    reply = await client.call("send_note", arguments)
    _require("hidden", reply.code == -32602 and reply.text.startswith("Unknown tool"), "error -32602, unknown tool", reply.text)
    outbox = await _read(place.notes / "outbox")
    _require("hidden", outbox is None, "nothing to be sent", outbox)
    step = Step(
        "hidden",
        "A call that is refused: there is no such tool",
        "The visitor's note asks for something, and a model may obey it. No line of the policy admits send_note: it is refused "
        "like any unknown tool, and the server never hears of it.",
        (_call("send_note", arguments, reply),),
    )
    return _Refused(step, _ref("hidden", reply))


async def _reasons(place: Place, ref: str) -> Step:
    ran = await place.mcpwrap("explain", ref)
    # a denial has an exit code of its own (POLICY.md §7)
    good = ran.code == 4 and f"{SERVER} › send_note: deny" in ran.out and "mcpwrap.toml:" in ran.out
    _require("reasons", good, f"`{ran.typed}` to say which line decided, and to end with 4", f"{ran.code}: {last_words(ran)}")
    return Step(
        "reasons",
        "Why was it refused?",
        "A refusal carries a ref. `mcpwrap explain` takes it and says which line decided, and what would have to change.",
        (_command(ran),),
    )


async def _asked(place: Place, client: Talk) -> Step:
    arguments = {"name": NOTE}
    reply = await client.call("delete_note", arguments)
    spoken = reply.failed and reply.code is None and "asks a person" in reply.text
    _require("asked", spoken, "a refusal in words", reply.text)
    _ref("asked", reply)
    kept = await _read(place.notes / f"{NOTE}.txt")
    _require("asked", kept == NOTE_TEXT, "the note to be still there", kept)
    return Step(
        "asked",
        "A call that needs a person's yes",
        "This version can't ask anybody yet, so the call doesn't run and the note is still there. The tool stands in the list, so "
        "the model is answered in words that it can pass on.",
        (_call("delete_note", arguments, reply),),
    )


async def _record(place: Place) -> Step:
    raw = await place.mcpwrap("log", "--json")
    _require("record", raw.code == 0, "`mcpwrap log --json` to end with 0", last_words(raw))
    records = [_json("record", line) for line in raw.lines]
    ends = {record.get("ref"): record.get("status") for record in records if record.get("status")}
    # the record that a call begins with has its outcome, the one that it ends with has not
    calls = tuple((r["tool"], r["outcome"], ends.get(r["ref"])) for r in records if r.get("tool") and r.get("outcome"))
    _require("record", calls == EXPECTED, "a record of each call", calls)
    table = await place.mcpwrap("log")
    shown = table.code == 0 and all(tool in table.out for tool, _, _ in EXPECTED)
    _require("record", shown, "the calls in the table", last_words(table))
    return Step(
        "record",
        "What is on record",
        "A call is written down before it goes on and again when it has ended, a refused one once. "
        "`mcpwrap log --json` has every field.",
        (_command(table),),
    )


def _call(tool: str, arguments: dict[str, str], reply: Reply) -> Act:
    kind: Kind = "error" if reply.code is not None else "refused" if reply.failed else "answer"
    text = reply.text if reply.code is None else f"{reply.code} {reply.text}"
    return Act(kind, f"{tool} {json.dumps(arguments, ensure_ascii=False)}", tuple(text.splitlines()))


def _command(ran: Ran) -> Act:
    return Act("command", ran.typed, ran.lines)


def _ref(step: str, reply: Reply) -> str:
    found = _REF.search(reply.text)
    if found is None:
        raise Mismatch(step, "a ref in the refusal", reply.text)
    return found[1]


def _json(step: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Mismatch(step, "JSON", text) from error


def _require(step: str, holds: bool, expected: str, found: object) -> None:
    if not holds:
        raise Mismatch(step, expected, found)


async def _read(path: Path) -> str | None:
    try:
        return await anyio.Path(path).read_text("utf-8")
    except FileNotFoundError:
        return None


def _leaf(error: BaseException) -> BaseException:
    """What was raised first inside of groups, a word of our own before anything else."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [_leaf(part) for part in error.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, McpwrapError)), leaves[0])


def _as_told(error: BaseException, place: Place) -> BaseException:
    """What a person is told about `error`; what is no fault of the processes stays as it is."""
    site = Path(folders(place.env).site_file)
    if isinstance(error, Mismatch) and site.exists():
        error.hint = f"`{site}` counts here as everywhere; {error.hint}"
    if isinstance(error, McpwrapError | BrokenPipeError):
        return error
    if isinstance(error, TimeoutError):
        return McpwrapError(f"the demo wasn't done within {DEADLINE_S:.0f} s", hint=_said(place))
    if isinstance(error, OSError | MCPError):
        return McpwrapError(f"the session broke off: {error}", hint=_said(place))
    return error


def _said(place: Place) -> str:
    try:
        lines = place.stderr.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        lines = []
    # an error is followed by its hint
    fault = next((line for line in reversed(lines) if line.startswith("error:")), lines[-1] if lines else "")
    return f"the shim said: {fault}" if fault else "the shim said nothing on stderr"
