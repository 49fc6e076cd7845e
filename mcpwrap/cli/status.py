"""`mcpwrap status`: where things stand in this project, and what to do next (MESSAGES.md, the end)."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import click

from mcpwrap.audit.reader import read
from mcpwrap.cli import logins_view
from mcpwrap.cli.here import EXAMPLE, Found, Here, look
from mcpwrap.cli.holds import VAULT_REMEDY, Hold, holds, option_of, signed_out
from mcpwrap.cli.logins_view import Logins, logins
from mcpwrap.cli.screen import Ink, columns, command_text, count, day, place_lines
from mcpwrap.cli.verdict import reason_rows
from mcpwrap.core.held import fact
from mcpwrap.core.rules import Reason
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import ConfigError, StateError, VaultError
from mcpwrap.policy.load import ProjectPolicy
from mcpwrap.policy.trust import digest

LISTS_SEEN_S: Final = 30 * 86_400.0
"""How far back a list of tools counts as the last one seen, in seconds; older ones say little about today's server."""

REFUSALS_SHOWN: Final = 3
"""The last refusals that are listed; `mcpwrap log --outcome deny` has all."""

_COMMAND_SHOWN: Final = 48
"""Characters of a command that are shown here, where nothing is decided; `trust` shows all of it."""

_WHY_SHOWN: Final = 160
"""Characters of a reason in a row; `mcpwrap explain REF` shows all of it."""

_STATE_WORDS: Final = {"trusted": "green", "changed": "yellow", "untrusted": "yellow"}


@dataclass(slots=True)
class Seen:
    """What the audit says: lists per server, today's calls, the last refusals (newest first)."""

    lists: dict[str, tuple[int, int]] = field(default_factory=dict)
    calls: int = 0
    refused: int = 0
    refusals: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Standpoint:
    """All that is shown. `held` says why a server would be held, `login` why nobody's login counts where the project wants one;
    `fault` is a file's. `policy` is what goes on judging, else what lies there, which is `lying`.
    """

    found: Found
    policy: ProjectPolicy | None
    fault: ConfigError | None
    lying: ProjectPolicy | None
    held: Mapping[str, Hold]
    login: Hold | None
    seen: Seen
    logins: Logins


@click.command()
@click.option("--project", metavar="DIR", help="The project, where it isn't the one you are in.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(project: str | None = None, as_json: bool = False) -> int:
    """Where things stand, and what to do next."""
    here = Here.now()
    found = look(project, here)
    ink = Ink.of(sys.stdout)
    if found is None:
        kept = logins(here)
        facts = {"project": None, "next": "mcpwrap.toml", "folders": _folders(here), **logins_view.facts(kept)}
        click.echo(json.dumps(facts) if as_json else "\n".join([_start(here, ink), *logins_view.lines(kept)]))
        return 0
    stand = _standpoint(found)
    if as_json:
        click.echo(json.dumps(_facts(stand), indent=2))
    else:
        click.echo("\n".join(_lines(stand, ink)))
    return 0


def _standpoint(found: Found) -> Standpoint:
    fault: ConfigError | None = None
    policy: ProjectPolicy | None = None
    try:
        policy = found.lying()
    except ConfigError as error:
        fault = error
    try:
        accepted = found.accepted()
    except (ConfigError, VaultError):
        accepted = None
    for read_file in (found.here.user, found.here.site):
        try:
            read_file()
        except ConfigError as error:
            # a broken file that tightens holds everything, so it goes first
            fault = error
    shown = accepted or policy
    seen = _seen(found, shown.servers if shown else ())
    login = signed_out(found, accepted)
    return Standpoint(found, shown, fault, policy, holds(found, accepted, policy, login), login, seen, logins(found.here))


def _seen(found: Found, servers: Collection[str]) -> Seen:
    seen, folder = Seen(), found.here.audit_folder
    now = datetime.now(UTC).astimezone()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    try:
        for record in read(folder, since=time.time() - LISTS_SEEN_S, project=found.root, event="list", newest_first=True):
            counts = record.get("counts")
            if record.get("method") == "tools/list" and isinstance(counts, dict):
                numbers = (counts.get("shown"), counts.get("total"))
                if isinstance(numbers[0], int) and isinstance(numbers[1], int):
                    seen.lists.setdefault(str(record.get("server", "")), (numbers[0], numbers[1]))
                    if seen.lists.keys() >= set(servers):
                        break  # what is older doesn't count
        for record in read(folder, since=midnight, project=found.root, event="call", newest_first=True):
            refused = record.get("status") == "refused"
            seen.calls += record.get("direction") == "client" and record.get("status") in (None, "refused")
            seen.refused += refused
            if refused and len(seen.refusals) < REFUSALS_SHOWN:
                seen.refusals.append(record)
    except OSError as error:
        raise StateError(
            f"the audit folder `{folder}` can't be read: {(error.strerror or str(error)).lower()}",
            hint=f"make it yours again: chown -R {_user()} {folder}",
        ) from error
    return seen


def _user() -> str:
    return os.environ.get("USER", "$USER")


def _next(stand: Standpoint) -> str:
    found = stand.found
    option = option_of(found)
    if stand.fault is not None:
        return f"mend {stand.fault.place or 'the file'}, then: mcpwrap check{option}"
    if found.closed is not None:
        return spell_out(found.closed.hint or VAULT_REMEDY)
    header = stand.logins.header
    if stand.logins.closed and (header is None or header.mode != "passphrase"):
        # nothing goes on without the vault, `trust` neither; but that asks for a passphrase
        return spell_out(stand.logins.hint or VAULT_REMEDY)
    if found.standing.state != "trusted":
        return f"mcpwrap trust{option}"
    for hold in stand.held.values():
        return spell_out(hold.remedy)
    if stand.seen.refusals and stand.seen.refusals[0].get("ref"):
        return f"mcpwrap explain {spell_out(str(stand.seen.refusals[0]['ref']))}"
    if stand.policy is not None and stand.policy.servers and not stand.seen.lists:
        name = next(iter(stand.policy.servers))
        return f"put `mcpwrap run {spell_out(name)}` into your client's configuration, in place of the server's command"
    return ""


def _lines(stand: Standpoint, ink: Ink) -> list[str]:
    found, state = stand.found, stand.found.recorded.state
    name = found.here.user_file if found.own else stand.policy.name if stand.policy else found.name
    head = [spell_out(name), state, spell_out(found.project.file)]
    painted = ink("green" if _STATE_WORDS[state] == "green" else "yellow", state)
    lines = ["   ".join([ink("bold", head[0]), painted, *(() if found.own else (ink("dim", head[2]),))])]
    if found.closed is not None:
        told = f"can't be told: {spell_out(str(found.closed))}"
        lines = [f"{ink('bold', head[0])}   {ink('yellow', told)}"]
    record = found.recorded.record
    if state == "changed" and record is not None:
        lines.append(f"  the version accepted on {day(record.accepted_at)} goes on judging until you accept the change")
    if found.recorded.note and found.closed is None:
        lines.append(f"  {spell_out(found.recorded.note)}")
    if stand.fault is not None:
        lines += [f"{ink('red', 'error:')} {spell_out(str(stand.fault))}", *place_lines(stand.fault)]
        if stand.fault.hint:
            lines.append(f"{ink('bold', 'hint:')} {spell_out(stand.fault.hint)}")
    lines += _server_lines(stand)
    lines += logins_view.lines(stand.logins, _wanted_login(stand))
    refused = f" · {stand.seen.refused:,} refused" if stand.seen.refused else ""
    lines.append(f"{ink('dim', 'today')}  {count(stand.seen.calls, 'call')}{refused}")
    lines += columns(_refusal_rows(stand.seen))
    todo = _next(stand)
    return [*lines, f"{ink('dim', 'next')}   {todo}"] if todo else lines


def _wanted_login(stand: Standpoint) -> str:
    if stand.login is None or stand.policy is None:
        return ""
    return f"{spell_out(stand.login.why, limit=_WHY_SHOWN)} ({spell_out(stand.found.file_name)}:{stand.policy.issuer_line})"


def _server_lines(stand: Standpoint) -> list[str]:
    width = shutil.get_terminal_size().columns
    rows: list[list[str]] = []
    servers = stand.policy.servers if stand.policy else {}
    for name, server in servers.items():
        argv = stand.found.command(server)
        command = command_text(argv) if argv else "(the client's command)"
        rows.append([spell_out(name), _cut(command, min(_COMMAND_SHOWN, max(16, width // 2))), _tools(stand, name)])
    rows += [[spell_out(name), "", spell_out(hold.why)] for name, hold in stand.held.items() if name not in servers]
    return columns(rows, gap=3)


def _tools(stand: Standpoint, name: str) -> str:
    # (where the whole file is held, its heading says why)
    if name in stand.held and stand.found.recorded.state != "untrusted":
        return f"held: {spell_out(fact(stand.held[name].why), limit=_WHY_SHOWN)}"
    if name not in stand.seen.lists:
        return "not seen yet"
    shown, total = stand.seen.lists[name]
    return f"{shown} of {count(total, 'tool')}" + (f", {total - shown} hidden" if shown < total else "")


def _refusal_rows(seen: Seen) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for record in seen.refusals:
        name = next((str(record[key]) for key in ("tool", "uri", "prompt", "task", "method") if record.get(key)), "")
        place, text = _first_reason(record)
        what = f"{record.get('server', '')} › {name}"
        rows.append((spell_out(str(record.get("ref", ""))), _clock(record), spell_out(what, limit=60), text, place))
    return rows


def _first_reason(record: Mapping[str, Any]) -> tuple[str, str]:
    reasons = record.get("reasons")
    first = reasons[0] if isinstance(reasons, list) and reasons and isinstance(reasons[0], dict) else {}
    line = first.get("line")
    reason = Reason(
        str(first.get("file", "")),
        line if isinstance(line, int) else 0,
        "",
        # (of a held session's whole text only the fact; the rest is for a model)
        spell_out(fact(str(first.get("text", "no reason recorded"))), limit=_WHY_SHOWN),
    )
    place, _, _ = reason_rows([reason])[0]
    return place, reason.text


def _clock(record: Mapping[str, Any]) -> str:
    try:
        return f"{datetime.fromisoformat(str(record.get('time', ''))).astimezone():%H:%M}"
    except ValueError:
        return ""


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _start(here: Here, ink: Ink) -> str:
    return (
        f"no project here: there is no `mcpwrap.toml` in {spell_out(here.cwd)} or above\n"
        "\nTo start, run `mcpwrap init NAME -- COMMAND…` with a server's command as your client's configuration has it:\n"
        "it asks the server what it has, and writes a file for it. Or"
        f" put this into {ink('bold', 'mcpwrap.toml')} at the project's root and change what differs:\n\n"
        + "".join(f"  {line}\n" if line else "\n" for line in EXAMPLE.splitlines())
        + f"\n{ink('dim', 'next')}   mcpwrap trust, then `mcpwrap run git` in your client's configuration"
    )


def _facts(stand: Standpoint) -> dict[str, Any]:
    found, seen, record = stand.found, stand.seen, stand.found.recorded.record
    servers = dict(stand.policy.servers if stand.policy else {})
    new = {name: server for name, server in (stand.lying.servers if stand.lying else {}).items() if name not in servers}
    return {
        "project": found.root,
        "file": found.project.file,
        "name": stand.policy.name if stand.policy else found.name,
        "chosen_by": found.project.chosen_by,
        "trust": "unknown" if found.closed is not None else found.recorded.state,
        "accepted_at": record.accepted_at if record else None,
        "digest": digest(found.data, found.lock),
        "fault": None if stand.fault is None else {"place": stand.fault.place, "message": str(stand.fault)},
        "servers": [
            {
                "name": name,
                "command": list(stand.found.command(server)),
                "held": stand.held[name].why if name in stand.held else None,
                "tools": None if name not in seen.lists else {"shown": seen.lists[name][0], "total": seen.lists[name][1]},
            }
            for name, server in (servers | new).items()
        ],
        "folders": _folders(found.here),
        "today": {"calls": seen.calls, "refused": seen.refused},
        "refusals": [dict(refusal) for refusal in seen.refusals],
        **logins_view.facts(stand.logins),
        "next": _next(stand),
    }


def _folders(here: Here) -> dict[str, str]:
    return {"config": here.folders.config, "state": here.folders.state, "audit": here.audit_folder}
