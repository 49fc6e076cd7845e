"""`mcpwrap explain`: why a call is let through or refused, and what would have to change (POLICY.md §3)."""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import click

from mcpwrap.audit.reader import find_ref
from mcpwrap.cli import completion, explain_own
from mcpwrap.cli.check import known_tools
from mcpwrap.cli.here import Found, Here, look, need, own_servers
from mcpwrap.cli.identity import who_asks
from mcpwrap.cli.screen import Ink, columns, day
from mcpwrap.cli.verdict import WORDS, Question, Verdict, budgets, by_pins, depends_on, judge, reason_rows, remedies
from mcpwrap.core.pins import Kind, PinGuard
from mcpwrap.core.redact import REDACTED
from mcpwrap.core.rules import NAME_LIMIT, Outcome, Reason
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import ConfigError, McpwrapError, UsageError, VaultError
from mcpwrap.policy.load import ProjectPolicy
from mcpwrap.policy.pins import pins_of
from mcpwrap.policy.toml import nearest
from mcpwrap.runtime.facts import FileFacts

DENIED: Final = 4
"""Exit code where the answer is a denial (POLICY.md §7)."""

_PINNED: Final[dict[str, Kind]] = {"tools/call": "tool", "prompts/get": "prompt"}
"""Methods that are refused where the definition isn't as it was accepted."""

_SHORTENED: Final = re.compile(r"… \(\d+ characters\)$")
"""How a shortened value ends (core/redact.py)."""

_TARGETS: Final = ("tool", "uri", "prompt", "task")


@dataclass(frozen=True, slots=True)
class Basis:
    """The policy that a question is judged by, and what is to be said about it; "" where it simply is the trusted one."""

    found: Found
    policy: ProjectPolicy
    note: str


@dataclass(frozen=True, slots=True)
class Today:
    """What the policy says now of what was refused; `heading` is "" where it is the same question, else what stands above it."""

    basis: Basis
    server: str
    method: str
    verdict: Verdict
    heading: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """For programs."""
        return _facts(self.basis, self.server, self.method, self.verdict)


@click.command()
@click.option("--project", metavar="DIR", help="The project, where it isn't the one you are in.")
@click.option("--method", metavar="METHOD", help="Another method than tools/call; TOOL is then its prompt or URI.")
@click.option("--subject", metavar="JSON", help="Who asks, for rules that look at it; default: you, as the records have it.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.argument("server_or_ref", metavar="SERVER|REF", shell_complete=completion.servers)
@click.argument("tool", required=False, shell_complete=completion.tools)
@click.argument("arguments", metavar="[ARGS-JSON]", required=False)
def explain(
    project: str | None,
    method: str | None,
    subject: str | None,
    as_json: bool,
    server_or_ref: str,
    tool: str | None,
    arguments: str | None,
) -> int:
    """Why a call is let through or refused, and what would have to change.

    SERVER TOOL [ARGS-JSON] asks the policy; REF is the short id that a refusal carries. Exit code 4 where it is denied. Nothing is
    called. With --method, ARGS-JSON is what the request would carry; methods that a server sends are known, too.
    """
    here = Here.now()
    if tool is None and method is None:
        return _explain_ref(here, server_or_ref, project, as_json=as_json)
    if arguments is None and tool is not None and tool.lstrip().startswith("{") and method is not None:
        tool, arguments = None, tool  # such a request has no name of its own
    given = None if arguments is None else _object(arguments, "ARGS-JSON", '{"path": "src/app.py"}')
    basis = _basis(need(project, here), server_or_ref)
    who = (
        who_asks(basis.found.here, basis.policy.issuer)
        if subject is None
        else _object(subject, "--subject", '{"groups": ["developers"]}')
    )
    verdict = _judge(basis, server_or_ref, Question(method or "tools/call", tool or "", given, who))
    facts = _facts(basis, server_or_ref, method or "tools/call", verdict)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        click.echo("\n".join(_lines(facts, verdict, Ink.of(sys.stdout))))
    return DENIED if verdict.outcome is Outcome.DENY else 0


def _object(text: str, what: str, example: str) -> dict[str, Any]:
    """A JSON object from the command line, read as a message's would be.

    Raises:
        UsageError: it is none, or has a key twice.
    """
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{what} isn't valid JSON", hint=f"quote it for the shell: '{example}'") from error
    if not isinstance(value, dict):
        raise UsageError(f"{what} isn't an object", hint=f"it has names: '{example}'")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _basis(found: Found, server: str) -> Basis:
    """The accepted policy, or the file as it lies there where nothing was; the person's own servers after the project's."""
    record = found.standing.record
    accepted = found.accepted()
    if accepted is not None and server in accepted.servers:
        if found.standing.state != "changed" or record is None:
            return Basis(found, accepted, "")
        since = day(record.accepted_at)
        return Basis(found, accepted, f"by the version accepted on {since}; a change waits: `mcpwrap trust`")
    lying: ProjectPolicy | None = None
    try:
        lying = found.lying()
    except ConfigError:
        if accepted is None:
            raise
    if lying is not None and server in lying.servers:
        held = "nothing of it runs" if accepted is None else f"`{server}` is held"
        return Basis(found, lying, f"by {found.file_name} as it stands; {held} until you accept it: `mcpwrap trust`")
    if not found.own:
        own = own_servers(found.here)
        if own is not None:
            policy = own.accepted() or own.lying()
            if server in policy.servers:
                return _basis(own, server)
    raise _unknown_server(found, server, [*(accepted.servers if accepted else ()), *(lying.servers if lying else ())])


def _unknown_server(found: Found, server: str, names: list[str]) -> UsageError:
    near = difflib.get_close_matches(server, names, n=1)
    known = ", ".join(f"`{name}`" for name in dict.fromkeys(names)) or "none"
    hint = f"did you mean `{near[0]}`?" if near else f"its servers: {known}"
    return UsageError(f"{spell_out(found.file_name)} has no server `{spell_out(server)}`", hint=hint)


def _judge(basis: Basis, server: str, question: Question) -> Verdict:
    """The one place where this command meets the decision."""
    policy = basis.policy.servers[server]
    question = replace(question, project=basis.policy.name, facts=FileFacts(policy.cwd))
    verdict = judge(basis.found.rules(basis.policy, policy), question)
    kind = _PINNED.get(question.method)
    if kind is None or verdict.outcome is Outcome.DENY or basis.found.standing.state == "untrusted":
        return verdict
    return _pinned(basis, server, kind, verdict)


def _pinned(basis: Basis, server: str, kind: Kind, verdict: Verdict) -> Verdict:
    """`verdict`, or the denial of what isn't as it was accepted, by what the server showed last."""
    found, record = basis.found, basis.found.standing.record
    if record is None:
        return verdict
    store = found.here.pins
    pinned, others = pins_of(store, record, found.root, server, tuple(basis.policy.servers))
    guard = PinGuard(pinned, others)
    seen = store.seen(found.root, server)
    if seen is not None and kind in seen.items:
        guard.page(kind, list(seen.items[kind].values()), first=True, last=True)
    why = guard.held(kind, verdict.name)
    return by_pins(f"{why}; `mcpwrap pins` shows it", guard.file, server, verdict.name) if why else verdict


def _facts(basis: Basis, server: str, method: str, verdict: Verdict) -> dict[str, Any]:
    return {
        "project": basis.found.root,
        "trust": basis.found.standing.state,
        "server": server,
        "method": method,
        "name": verdict.name,
        "outcome": verdict.outcome.label,
        "at_worst": (verdict.strictest or verdict.outcome).label,
        "reasons": _reasons(verdict.decision.reasons),
        "depends": _reasons(depends_on(verdict)),
        "misses": _reasons(verdict.decision.misses),
        "budgets": _reasons(budgets(verdict)),
        "remedy": list(remedies(verdict, own_file=basis.policy.file)),
        "note": basis.note,
        "unknown": _unknown_tool(basis.found, server, verdict) if method == "tools/call" else "",
    }


def _unknown_tool(found: Found, server: str, verdict: Verdict) -> str:
    """That the server has no tool of that name, as far as is known; "" where it has one, nothing is known, or the pins say so."""
    tools, name = known_tools(found, server), verdict.name
    if tools is None or name in tools or verdict.remedy:
        return ""
    near = nearest(name, tools)
    return f"{server} has no tool `{name}`, as far as is known" + (f"; did you mean `{near}`?" if near else "")


def _reasons(reasons: Sequence[Reason]) -> list[dict[str, Any]]:
    return [{"file": r.file, "line": r.line, "effect": r.effect, "text": r.text} for r in reasons]


def _lines(facts: dict[str, Any], verdict: Verdict, ink: Ink) -> list[str]:
    what = f"{spell_out(facts['server'])} › {spell_out(verdict.name or facts['method'])}"
    if facts["method"] != "tools/call":
        what += f"  ({spell_out(facts['method'])})"
    lines = [f"{ink('bold', what)}: {_paint(verdict.outcome, ink)}"]
    if verdict.strictest is not None:
        lines[0] += f", or stricter by its arguments: {_paint(verdict.strictest, ink)}"
    lines += columns(reason_rows(verdict.decision.reasons))
    for heading, reasons in (
        ("what depends on its arguments (give them as JSON behind the name):", depends_on(verdict)),
        ("what would have let it through, had its conditions held:", verdict.decision.misses),
        ("within these limits:", budgets(verdict)),
    ):
        if reasons:
            lines += [heading, *columns(reason_rows(reasons))]
    if facts["unknown"]:
        lines.append(spell_out(facts["unknown"]))
    if facts["note"]:
        lines.append(spell_out(facts["note"]))
    return lines + _remedy_lines(facts["remedy"])


def _remedy_lines(steps: list[str]) -> list[str]:
    return ["to let it run:", *(f"  {i}. {step}" for i, step in enumerate(steps, 1))] if steps else []


def _paint(outcome: Outcome, ink: Ink) -> str:
    colour = "green" if outcome <= Outcome.LOG else "yellow" if outcome is Outcome.ASK else "red"
    return ink("green" if colour == "green" else "yellow" if colour == "yellow" else "red", WORDS[outcome])


# a refusal that was seen


def _explain_ref(here: Here, text: str, project: str | None, *, as_json: bool) -> int:
    ref = text.strip("() ").removeprefix("ref").strip()
    records = find_ref(here.audit_folder, ref)
    if not records:
        raise McpwrapError(
            f"no audit record has the ref `{spell_out(ref)}`",
            hint="`mcpwrap log` shows the refs; for a server's tool: `mcpwrap explain SERVER TOOL`",
        )
    # a run of another time may have had the same ref; the latest one is meant
    record = next((r for r in reversed(records) if r.get("outcome")), records[-1])
    records = [r for r in records if r.get("shim") == record.get("shim")]
    today = _today(here, record, project)
    if as_json:
        facts = today.facts if isinstance(today, Today) else None
        click.echo(json.dumps({"records": records, "today": facts, "note": "" if isinstance(today, Today) else today}, indent=2))
    else:
        click.echo("\n".join(_ref_lines(records, record, today, Ink.of(sys.stdout))))
    return DENIED if record.get("outcome") == "deny" else 0


def _today(here: Here, record: dict[str, Any], project: str | None) -> Today | str:
    """The same question to the policy as it is now, or why it isn't one for the policy, or can't be put."""
    server, method = str(record.get("server", "")), str(record.get("method", ""))
    name = next((str(record[key]) for key in _TARGETS if record.get(key)), "")
    try:
        found = look(project or str(record.get("project", "")) or None, here)
        if found is None:
            return "today: can't be said, its project isn't there any more"
        basis = _basis(found, server)
        held = explain_own.was_held(record)
        if held and (still := explain_own.still_held(basis.found, server)):
            return still
        if explain_own.is_own(record):
            return _own_today(basis, server, method, record, name)
        if len(name) >= NAME_LIMIT:  # longer ones are cut where they are recorded
            return "today: can't be said, its name was recorded in part"
        verdict = _judge(basis, server, _recorded_question(record, method, name))
        return Today(basis, server, method, verdict, heading="once it isn't held, the policy says:" if held else "")
    except VaultError as error:
        return f"today: can't be said, {error}{error.hint and '; next: '}{error.hint}"
    except McpwrapError as error:
        return f"today: can't be said, {error}"


def _own_today(basis: Basis, server: str, method: str, record: dict[str, Any], name: str) -> Today | str:
    """Of a refusal that no line of a file made: the policy that stands behind it, the same answer, or that it was mcpwrap's own."""
    found = explain_own.behind(record, basis.found.rules(basis.policy, basis.policy.servers[server]))
    if found is not None:
        return Today(basis, server, *found, heading="the policy behind it says today:")
    if record.get("event") == "call" and name:
        try:
            verdict = _judge(basis, server, _recorded_question(record, method, name))
        except UsageError:  # such a method follows another
            return explain_own.words(record)
        pinned = method in _PINNED and explain_own.words(record) == explain_own.BY_PIN
        if pinned or _same_reasons(_reasons(verdict.decision.reasons), record["reasons"]):
            return Today(basis, server, method, verdict)
    return explain_own.words(record)


def _recorded_question(record: dict[str, Any], method: str, name: str) -> Question:
    arguments = record.get("arguments")
    subject, client = record.get("subject"), record.get("client")
    return Question(
        method,
        name,
        arguments if isinstance(arguments, dict) and not _is_partial(arguments) else None,
        subject if isinstance(subject, dict) else {},
        client if isinstance(client, dict) else {},
    )


def _is_partial(value: object) -> bool:
    """True where something recorded isn't what was sent: redacted, or shortened."""
    match value:
        case str():
            return REDACTED in value or _SHORTENED.search(value) is not None
        case dict():
            return any(map(_is_partial, value.values()))
        case list():
            return any(map(_is_partial, value))
        case _:
            return False


def _ref_lines(records: list[dict[str, Any]], record: dict[str, Any], today: Today | str, ink: Ink) -> list[str]:
    name = next((str(record[key]) for key in _TARGETS if record.get(key)), "") or str(record.get("method", ""))
    status = next((str(r["status"]) for r in reversed(records) if r.get("status")), "")
    outcome = str(record.get("outcome", ""))
    head = f"{spell_out(str(record.get('server', '')))} › {spell_out(name)}"
    lines = [f"{ink('bold', head)}: {spell_out(outcome or 'no decision')}{f', {spell_out(status)}' if status else ''}"]
    rows = [("when", spell_out(str(record.get("time", "")))), ("project", spell_out(str(record.get("project", ""))))]
    rows.append(("method", spell_out(str(record.get("method", "")))))
    if "arguments" in record:
        rows.append(("arguments", spell_out(json.dumps(record["arguments"], ensure_ascii=False), limit=1000)))
    if record.get("note"):
        rows.append(("note", spell_out(str(record["note"]))))
    lines += columns(rows)
    reasons = [r for r in record.get("reasons") or () if isinstance(r, dict)]
    lines += columns([_recorded_reason(r) for r in reasons])
    if isinstance(today, str):
        return [*lines, spell_out(today)]
    facts, verdict = today.facts, today.verdict
    if today.heading:
        return [*lines, today.heading, *(f"  {line}" for line in _lines(facts, verdict, ink))]
    if verdict.conditional and _is_partial(record.get("arguments")):
        lines.append("note: its arguments were recorded in part (redacted or shortened), so the answer can't be repeated exactly")
    if verdict.outcome.label == outcome and _same_reasons(facts["reasons"], reasons):
        return lines + ([spell_out(facts["note"])] if facts["note"] else []) + _remedy_lines(facts["remedy"])
    return [*lines, "today it would be another answer:", *(f"  {line}" for line in _lines(facts, verdict, ink))]


def _recorded_reason(reason: dict[str, Any]) -> tuple[str, str, str]:
    place = str(reason.get("file", "")) or "mcpwrap"
    line = reason.get("line")
    return (
        spell_out(f"{place}:{line}" if line else place),
        spell_out(str(reason.get("effect", ""))),
        spell_out(str(reason.get("text", ""))),
    )


def _same_reasons(now: list[dict[str, Any]], then: list[dict[str, Any]]) -> bool:
    # the line may have moved without the rule having changed
    return [(r["effect"], r["text"]) for r in now] == [(r.get("effect"), r.get("text")) for r in then]
