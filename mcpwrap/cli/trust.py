"""`mcpwrap trust` and `mcpwrap untrust`: a person accepts what a file lets run and do, or takes it back (POLICY.md §5).

The file is read once. What was read is shown; what was shown is stored; and it is stored only where the file still holds
the same bytes after the answer, so that nothing can be put in between.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from mcpwrap.cli import caller, completion, opened, trust_view
from mcpwrap.cli.here import Found, Here, look, need, read_files
from mcpwrap.cli.screen import Ink, columns, day, error_text
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import ConfigError, McpwrapError, RefusedError, StateError, UsageError
from mcpwrap.identity.vault import read_header
from mcpwrap.policy.load import ProjectPolicy
from mcpwrap.policy.lock import lock_changes
from mcpwrap.policy.project import caller_project
from mcpwrap.policy.trust import CommandRecord, TrustRecord, commands_of, digest

DECLINED = 3
"""Exit code where the person said no: what lies there stays untrusted."""


@dataclass(frozen=True, slots=True)
class Offer:
    """All that would be accepted; it is shown, and exactly this is stored."""

    found: Found
    policy: ProjectPolicy
    digest: str
    commands: tuple[CommandRecord, ...]
    callers: tuple[str, ...]

    @property
    def record(self) -> TrustRecord | None:
        """What was accepted before."""
        return self.found.standing.record

    @property
    def new_callers(self) -> tuple[str, ...]:
        """Projects whose clients would be let in by this."""
        before = self.record.callers if self.record else ()
        return tuple(root for root in self.callers if root not in before)

    @property
    def nothing_new(self) -> bool:
        """True where exactly this was accepted already."""
        trusted = self.found.standing.state == "trusted"
        return trusted and self.record is not None and self.record.commands == self.commands and not self.new_callers


@click.command()
@click.option("--project", metavar="DIR", help="The project, where it isn't the one you are in.")
@click.option("--digest", "wanted", metavar="DIGEST", help="Accept only this; what `mcpwrap check --json` prints as `digest`.")
@click.argument("name", required=False, shell_complete=completion.servers)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def trust(project: str | None, wanted: str | None, name: str | None, command: tuple[str, ...]) -> int:
    """Show what the project's file lets run and do, and accept it.

    With NAME -- COMMAND… the command that stays in your client's configuration is accepted too.
    """
    here = Here.now()
    scripted = wanted is not None and _scripted(here)
    if not scripted:
        # before anything of the project is read: an agent gets the refusal, not a view of the file
        caller.refuse_agents(here.env, _typed(name, command))
    found = need(project, here)
    if found.closed is not None:
        # whether anything is new can't be told, and nothing could be stored
        raise found.closed
    offer = _offer(found, name, command)
    if wanted is not None and wanted != offer.digest:
        raise RefusedError(
            f"the digest is `{offer.digest}`, not `{spell_out(wanted)}`",
            hint="look at the file again, then take the digest that `mcpwrap check --json` prints",
        )
    if offer.nothing_new:
        click.echo(f"{_title(offer)} is trusted already; nothing changed")
        return 0
    if scripted:
        opened.vault_for(here, opened.Script(), make=True, trusting=True)
        ink = Ink.of(sys.stdout)
        click.echo("\n".join(_shown(offer, width=100, ink=ink)))
        _store(offer, how=_scripted_note(here))
        click.echo(_stored_text(offer))
        return 0
    with caller.person_terminal(here.env, _typed(name, command)) as terminal:
        ink = Ink(on=True)
        if read_header(opened.places(here)) is not None:
            # nobody is to read it all and say yes to a vault that then doesn't open
            opened.vault_for(here, opened.Person(terminal), trusting=True)
        terminal.show("\n".join(_shown(offer, width=terminal.width, ink=ink)) + "\n")
        if not _accepted(terminal, offer, ink):
            terminal.show(_declined_text(offer) + "\n")
            return DECLINED
        opened.vault_for(here, opened.Person(terminal), make=True, trusting=True)
        _store(offer, how="on a terminal")
        terminal.show(_stored_text(offer) + "\n")
    return 0


@click.command()
@click.option("--project", metavar="DIR", help="The project, where it isn't the one you are in.")
def untrust(project: str | None) -> int:
    """Take the trust back: nothing of the project runs any more.

    Running sessions hold its servers from the next call on.
    """
    here = Here.now()
    store = here.store
    roots = _trusted_roots(here, project)
    root = next((root for root in roots if store.remove(root)), None)
    if root is None:
        click.echo(f"{spell_out(roots[0])} was not trusted; nothing changed")
        return 0
    click.echo(f"{spell_out(root)} is not trusted any more; running sessions hold its servers from the next call on")
    with suppress(StateError):
        here.pins.forget(root)  # what it says of itself is looked at anew when it is trusted again
    try:
        here.announce(root, "", "mcpwrap/untrust", "the trust was taken back")
    except StateError as error:
        # taking back always works: a full disk must not keep the trust alive
        sys.stderr.write(error_text(error, sys.stderr))
    return 0


def _trusted_roots(here: Here, option: str | None) -> list[str]:
    """Where the trust may be recorded, the likeliest first; the file itself may be broken or gone."""
    try:
        found = look(option, here)
    except McpwrapError:
        found = None
    start = Path(here.cwd, option or "").resolve()
    near = [str(start)] if option else [str(start), *map(str, start.parents)]
    return [found.root, *near] if found and option else [found.root] if found else near


def _scripted(here: Here) -> bool:
    user = here.user()
    return user is not None and user.scripted


def _scripted_note(here: Here) -> str:
    agent = caller.agent_in(here.env)
    return f"scripted, below {agent[0]}" if agent else "scripted"


def _typed(name: str | None, command: Sequence[str]) -> str:
    return f"mcpwrap trust {name} -- …" if name and command else "mcpwrap trust"


def _offer(found: Found, name: str | None, command: tuple[str, ...]) -> Offer:
    policy = found.lying()
    record = found.standing.record
    extra: dict[str, tuple[str, ...]] = {
        c.server: c.argv
        for c in (record.commands if record else ())
        if (server := policy.servers.get(c.server)) is not None and server.command is None
    }
    if name is not None:
        extra |= _extra(found, policy, name, command)
    callers = record.callers if record else ()
    current = caller_project(cwd=found.here.cwd, home=found.here.home)
    if current is not None and current != found.root and current not in callers and not found.own:
        callers = (*callers, current)
    return Offer(
        found=found,
        policy=policy,
        digest=digest(found.data, found.lock),
        commands=commands_of(policy, found.here.env, extra),
        callers=callers,
    )


def _extra(found: Found, policy: ProjectPolicy, name: str, command: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    server = policy.servers.get(name)
    if server is None:
        raise UsageError(
            f"{found.file_name} has no server `{spell_out(name)}`",
            hint=f"add `[servers.{spell_out(name)}]` to it first",
        )
    if not command:
        raise UsageError(
            "a file is trusted as a whole, not server by server",
            hint=f"`mcpwrap trust`; for a command of your client's configuration `mcpwrap trust {name} -- COMMAND …`",
        )
    if server.command is None:
        return {name: command}
    if server.command != command:
        raise ConfigError(
            f"the file has another command for `{name}`",
            file=found.file_name,
            line=server.line,
            hint=f"take `command` out of [servers.{name}], or start it as the file says: `mcpwrap run {name}`",
        )
    return {}


def _title(offer: Offer) -> str:
    return spell_out(offer.found.here.user_file if offer.found.own else offer.policy.name)


def _shown(offer: Offer, *, width: int, ink: Ink) -> list[str]:
    found, record = offer.found, offer.record
    file = spell_out(found.file_name)
    if found.standing.state == "untrusted" or record is None:
        lines = [
            f"{ink('bold', _title(offer))}: {file} in {spell_out(found.root)} is not trusted yet",
            *([f"  {spell_out(found.standing.note)}"] if found.standing.note else []),
            f"  digest  {offer.digest}",
            *trust_view.whole(offer.policy, offer.commands, width=width, ink=ink),
        ]
    else:
        what = f"{file} changed" if found.standing.state == "changed" else "what it runs or who may use it changed"
        lines = [
            f"{ink('bold', _title(offer))}: {what} since {day(record.accepted_at)}",
            *trust_view.change(_readable(found), offer.policy, record, offer.commands, width=width, ink=ink),
            *_pin_lines(record.lock, found.lock, ink),
        ]
        if found.standing.state == "changed":
            lines += ["", f"Until you accept it, the version of {day(record.accepted_at)} goes on judging."]
    for root in offer.new_callers:
        lines += [
            "",
            f"You are in another project, {spell_out(root)}:",
            f"  accepting also lets clients that work there start the servers of {spell_out(found.root)}.",
        ]
    return [*lines, ""]


def _pin_lines(old: str | None, new: bytes | None, ink: Ink) -> list[str]:
    """What changes in the pins: each is something that the model would read or call."""
    changes = lock_changes(old, None if new is None else new.decode())
    rows = [(kind, f"mcpwrap.lock › {spell_out(text)}") for kind, text, _ in changes]
    if not rows:
        return []
    colours = ("red" if kind == "loosens" else "green" for kind, _ in rows)
    return ["", *(ink(colour, line) for colour, line in zip(colours, columns(rows), strict=True))]  # type: ignore[arg-type]


def _readable(found: Found) -> ProjectPolicy | None:
    try:
        return found.accepted()
    except ConfigError:
        # accepted by another version of mcpwrap: everything is new, then
        return None


def _accepted(terminal: caller.Terminal, offer: Offer, ink: Ink) -> bool:
    record = offer.record
    changed = record is not None and offer.found.standing.state == "changed"
    question = "Accept? [y/N/d for the text diff] " if changed else "Trust this? [y/N] "
    while True:
        answer = terminal.ask(question).lower()
        if changed and record is not None and answer == "d":
            new = offer.found.data.decode("utf-8", "replace")
            diff = trust_view.text_diff(record.content, new, file=offer.found.file_name, since=record.accepted_at, ink=ink)
            terminal.show("\n".join(["", *diff, "", ""]))
            continue
        return answer in ("y", "yes")


def _store(offer: Offer, *, how: str) -> None:
    """Record `offer`, if the files still are what was shown.

    Raises:
        RefusedError: the file, the lock or a command changed since.
        StateError: the audit or the store can't be written.
    """
    found = offer.found
    extra = {c.server: c.argv for c in offer.commands}
    try:
        same = read_files(found.project, own=found.own) == (found.data, found.lock)
    except ConfigError:
        same = False
    if not same or commands_of(offer.policy, found.here.env, _client_commands(offer.policy, extra)) != offer.commands:
        raise RefusedError(
            f"{found.file_name} or what it runs changed while you were reading",
            hint="nothing was trusted; run `mcpwrap trust` again and look at what it says now",
        )
    servers = ", ".join(c.server for c in offer.commands)
    # the record comes first: no audit, no trust
    found.here.announce(found.root, offer.digest, "mcpwrap/trust", f"accepted {how}; commands: {servers or 'none'}")
    found.here.store.put(
        TrustRecord(
            project=found.root,
            digest=offer.digest,
            content=found.data.decode(),
            lock=None if found.lock is None else found.lock.decode(),
            commands=offer.commands,
            callers=offer.callers,
            accepted_at=datetime.now(UTC).isoformat(timespec="seconds"),
            generation=0,  # the store counts
        )
    )


def _client_commands(policy: ProjectPolicy, commands: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {name: argv for name, argv in commands.items() if policy.servers[name].command is None}


def _stored_text(offer: Offer) -> str:
    word = "accepted" if offer.record else "trusted"
    return f"{_title(offer)}: {word}. Sessions that were held go on by themselves; `mcpwrap untrust` takes it back."


def _declined_text(offer: Offer) -> str:
    if offer.found.standing.state == "changed" and offer.record is not None:
        return f"Not accepted; the version of {day(offer.record.accepted_at)} goes on judging."
    return "Not trusted; nothing of it runs."
