"""``mcpwrap log``: the audit records, as lines for people or as they stand in their files (POLICY.md §6)."""

from __future__ import annotations

import os
import re
import select
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from mcpwrap.audit.reader import POLL_S, Line, Skipped, Wanted, follow, lines
from mcpwrap.audit.record import stamp
from mcpwrap.cli.log_table import Table
from mcpwrap.core.visible import INVISIBLE, spell_out
from mcpwrap.errors import UsageError
from mcpwrap.policy.folders import folders

LATEST: Final = 50
"""Records that are shown where nothing says how many."""

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@click.command("log")
@click.option("--follow", "-f", "following", is_flag=True, help="Go on with new records as they come.")
@click.option("--json", "as_json", is_flag=True, help="The records as they stand in their files, one a line.")
@click.option("--since", metavar="WHEN", help="From then on: 30m, 2h, 3d, or 2026-05-12T09:00:00Z.")
@click.option("--project", metavar="PROJECT", help="Only of this project (its folder, or its name).")
@click.option("--server", metavar="NAME", help="Only of this server.")
@click.option("--outcome", type=click.Choice(["allow", "log", "ask", "deny"]), help="Only with this outcome.")
@click.option("--ref", metavar="REF", help="Only of the call or refusal with this ref.")
@click.option(
    "-n",
    "latest",
    metavar="COUNT",
    type=click.IntRange(0, 100_000),
    help=f"At most the last COUNT [default: {LATEST}; all with --json, --since or --ref].",
)
def log(
    *,
    following: bool,
    as_json: bool,
    since: str | None,
    project: str | None,
    server: str | None,
    outcome: str | None,
    ref: str | None,
    latest: int | None,
) -> None:
    """Show what happened: every call that was judged, and how it ended.

    A call has two records, one before it goes on and one when it ends; a refused one has one.
    """
    if latest is None and not (as_json or since or ref):
        latest = LATEST
    wanted = Wanted(
        since=None if since is None else stamp(instant(since, time.time())),
        project=None if project is None else (project, str(Path(project).resolve())),
        server=server,
        outcome=outcome,
        ref=ref,
    )
    skipped = Skipped()
    folder = str(Path(folders(os.environ).state, "audit"))
    found: Iterable[Line]
    if following:
        found = follow(folder, wanted, backlog=latest, pause=_pause, skipped=skipped)
    elif latest is None:
        found = lines(folder, wanted, skipped=skipped)
    else:
        found = _last(lines(folder, wanted, newest_first=True, skipped=skipped), latest, whole=as_json)
    try:
        shown = _show_json(found, at_once=following) if as_json else _show_rows(found, at_once=following)
        if not shown and not as_json:
            click.echo("no record matches" if Path(folder).is_dir() else "no records yet", err=True)
    finally:
        if skipped:
            click.echo(skipped_text(skipped), err=True)


def instant(text: str, now: float) -> float:
    """What ``--since`` means, in seconds since the epoch: an age as of `now`, or a time; without an offset it is local.

    Raises:
        UsageError: it is neither.
    """
    age = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip(), re.ASCII)
    if age:
        return now - int(age[1]) * _UNITS_S[age[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"`{spell_out(text, limit=60)}` is no time",
            hint="say an age (30m, 2h, 3d) or a time (2026-05-12T09:00:00Z)",
        ) from error


def skipped_text(skipped: Skipped) -> str:
    """One line that says what was left out."""
    parts = [
        f"{number} {one if number == 1 else many}"
        for number, one, many in (
            (skipped.lines, "line that is no record", "lines that are no records"),
            (skipped.torn, "torn last line (a run that was killed)", "torn last lines (runs that were killed)"),
            (skipped.files, "foreign or unreadable file", "foreign or unreadable files"),
        )
        if number
    ]
    return f"left out: {', '.join(parts)}"


def _last(newest_first: Iterator[Line], count: int, *, whole: bool) -> list[Line]:
    # for the table no more of a record is kept than it shows: one may hold megabytes of arguments
    kept: list[Line] = []
    for line in newest_first:
        if len(kept) == count:
            break
        kept.append(line if whole else Line(b"", {k: v for k, v in line.record.items() if k != "arguments"}))
    return kept[::-1]


def _pause() -> bool:
    """Wait for the next look, and no longer than there is somebody who reads."""
    if sys.platform == "win32":
        time.sleep(POLL_S)
        return True
    watch = select.poll()
    watch.register(sys.stdout.fileno(), 0)  # errors are told without being asked for
    return not watch.poll(POLL_S * 1000)


def _show_json(found: Iterable[Line], *, at_once: bool) -> int:
    terminal = sys.stdout.isatty()
    stream = sys.stdout.buffer
    shown = 0
    for line in found:
        # the same JSON value, but nothing in it moves the cursor or hides (a file has C1 and bidi as they are)
        stream.write(_escaped(line.raw) if terminal else line.raw)
        shown += 1
        if at_once:
            stream.flush()
    stream.flush()
    return shown


def _escaped(raw: bytes) -> bytes:
    text = raw.decode("utf-8", "backslashreplace").removesuffix("\n")
    return INVISIBLE.sub(lambda match: _json_escape(match[0]), text).encode("utf-8") + b"\n"


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _show_rows(found: Iterable[Line], *, at_once: bool) -> int:
    # a program that reads us may say how wide it draws (COLUMNS); else a pipe gets whole lines
    table = Table(shutil.get_terminal_size().columns if sys.stdout.isatty() or os.environ.get("COLUMNS") else None)
    shown = 0
    for line in found:
        if not shown:
            sys.stdout.write(table.heading() + "\n")
        sys.stdout.writelines(f"{text}\n" for text in table.lines(line.record))
        shown += 1
        if at_once:
            sys.stdout.flush()
    return shown
