"""`mcpwrap pins` and `mcpwrap pins accept`: what servers' definitions are pinned to, what differs, and accepting it (POLICY.md §4).

What is shown is what is accepted: it is read once, and written only where the files still are as they were read.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from mcpwrap.cli import caller, completion
from mcpwrap.cli.caller import DECLINED
from mcpwrap.cli.here import Found, Here, need, read_files
from mcpwrap.cli.pins_view import difference_lines, server_lines
from mcpwrap.cli.screen import Ink, count
from mcpwrap.core.pins import KINDS, LOCK_NAME, Learned
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import ConfigError, RefusedError, StateError, UntrustedError, UsageError
from mcpwrap.files import replace
from mcpwrap.policy import exact
from mcpwrap.policy.drift import Difference, State, accept, offer_digest, state_of
from mcpwrap.policy.load import ProjectPolicy
from mcpwrap.policy.lock import TABLES, Entry, Lock, package_of, parse, render
from mcpwrap.policy.pins import PinStore
from mcpwrap.policy.trust import digest

_PROJECT = click.option("--project", metavar="DIR", help="The project, where it isn't the one you are in.")


@dataclass(frozen=True, slots=True)
class Place:
    """The project with the lock that counts, and with what is remembered of its servers."""

    found: Found
    policy: ProjectPolicy
    lock: Lock
    store: PinStore

    def states(self) -> list[State]:
        """How each of its servers stands."""
        return [state_of(self.lock, self.store, self.found.root, name, self.policy.servers) for name in self.policy.servers]


@dataclass(frozen=True, slots=True)
class Offer:
    """All that would be accepted; it is shown, and exactly this is written. `writes` are servers that only get into the lock,
    `unwritten` those that would if they were named.
    """

    place: Place
    differences: tuple[Difference, ...]
    writes: tuple[str, ...]
    unwritten: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """What `--digest` must say."""
        return offer_digest(self.differences)


@click.group(invoke_without_command=True)
@_PROJECT
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def pins(context: click.Context, project: str | None, as_json: bool) -> int:
    """What servers' definitions are pinned to, and what differs.

    Ends with 1 where something waits to be accepted.
    """
    context.obj = project
    if context.invoked_subcommand is not None:
        return 0
    place = _place(need(project))
    states = place.states()
    waits = any(state.waiting for state in states)
    if as_json:
        sys.stdout.write(exact.write(_facts(place, states)).decode())
        return int(waits)
    ink = Ink.of(sys.stdout)
    if place.found.standing.state != "trusted":
        click.echo(f"{spell_out(place.found.name)}: {_distrust(place.found)}\n")
    click.echo("\n\n".join("\n".join(server_lines(state, ink=ink)) for state in states) or "no servers: there is nothing to pin")
    return int(waits)


@pins.command("accept")
@_PROJECT
@click.option("--digest", "wanted", metavar="DIGEST", help="Accept only this; what `mcpwrap pins --json` prints as `digest`.")
@click.argument("server", required=False, shell_complete=completion.servers)
@click.argument("tool", required=False)
@click.pass_context
def accept_command(context: click.Context, project: str | None, wanted: str | None, server: str | None, tool: str | None) -> int:
    """Accept what a server shows now, and write it into mcpwrap.lock.

    Without SERVER: all that waits. TOOL may be a prompt's name or a resource template, too.
    """
    typed = "mcpwrap pins accept"
    here = Here.now()
    user = here.user() if wanted is not None else None
    scripted = user is not None and user.scripted
    if not scripted:
        # before anything of the project is read: an agent gets the refusal, not a view
        caller.refuse_agents(here.env, typed)
    found = need(project or context.obj, here)
    if found.standing.state == "untrusted":
        raise UntrustedError(f"{spell_out(found.name)}: {_distrust(found)}", hint="run `mcpwrap trust` first")
    offer = _offer(_place(found), server, tool)
    if not offer.differences and not offer.writes:
        click.echo("nothing waits to be accepted")
        for name in offer.unwritten:
            click.echo(f"hint: mcpwrap pins accept {spell_out(name)}    (writes what was taken on first sight into {LOCK_NAME})")
        return 0
    if wanted is not None and wanted != offer.digest:
        raise RefusedError(
            f"the digest is `{offer.digest}`, not `{spell_out(wanted)}`",
            hint="look at it again, then take the digest that `mcpwrap pins --json` prints",
        )
    if scripted:
        click.echo("\n".join(_shown(offer, Ink.of(sys.stdout))))
        agent = caller.agent_in(here.env)
        click.echo(_store(offer, how=f"scripted, below {agent[0]}" if agent else "scripted"))
        return 0
    with caller.person_terminal(here.env, typed) as terminal:
        terminal.show("\n".join([*_shown(offer, Ink(on=True)), ""]))
        if terminal.ask("Accept? [y/N] ").lower() not in ("y", "yes"):
            terminal.show("Not accepted; it stays hidden and refused.\n")
            return DECLINED
        terminal.show(_store(offer, how="on a terminal") + "\n")
    return 0


def _place(found: Found) -> Place:
    """Where `found` is trusted, what was accepted counts, as it does for `run`; else what lies there."""
    policy = found.accepted() or found.lying()
    record = found.standing.record
    text = found.lock if record is None else record.lock.encode() if record.lock is not None else None
    return Place(found, policy, parse(text) if text is not None else Lock(), found.here.pins)


def _distrust(found: Found) -> str:
    if found.standing.state == "untrusted":
        return "not trusted yet; nothing of it runs"
    return "changed since it was trusted; what was accepted goes on judging"


def _offer(place: Place, server: str | None, tool: str | None) -> Offer:
    states = place.states()
    if server is not None:
        states = [state for state in states if state.server == server]
        if not states:
            raise UsageError(f"{place.found.file_name} has no server `{spell_out(server)}`", hint="`mcpwrap pins` lists them")
        if states[0].seen is None and not states[0].source:
            raise UsageError(f"nothing was seen of `{spell_out(server)}` yet", hint="let your client start it once, then try again")
    # what is gone goes too, but nobody has to be asked because of that alone
    waiting = [state for state in states if state.waiting or server is not None]
    chosen = [difference for state in waiting for difference in state.differences]
    if tool is not None:
        chosen = [difference for difference in chosen if difference.kind != "greeting" and difference.name == tool]
        if not chosen:
            raise UsageError(f"nothing of `{spell_out(tool)}` waits to be accepted", hint="`mcpwrap pins` shows what does")
    if twice := [difference for difference in chosen if difference.what == "twice"]:
        if tool is not None:
            raise RefusedError(
                f"`{spell_out(server or '')}` offers two of the name `{spell_out(twice[0].name)}`, which can't be accepted",
                hint="only the server can mend that; it stays hidden",
            )
        chosen = [difference for difference in chosen if difference.what != "twice"]
    for state in states:
        _refuse_unreadable(place, state, chosen, named=server is not None)
    unwritten = tuple(state.server for state in states if state.source == "first sight" and not place.found.own)
    return Offer(place, tuple(chosen), *((), unwritten) if server is None else (unwritten, ()))


def _refuse_unreadable(place: Place, state: State, chosen: Sequence[Difference], *, named: bool) -> None:
    """Refuse to write a lock for a server of which nothing can be read, neither what was accepted nor what it shows.

    Raises:
        StateError: it is so.
    """
    shows = any(difference.server == state.server and difference.new is not None for difference in chosen)
    if state.source == "first sight" and named and not shows and place.store.known(place.found.root, state.server) is None:
        raise StateError(
            f"what was remembered of `{spell_out(state.server)}` can't be read, and nothing that it shows waits to be accepted",
            hint="let your client start it once, so that there is something to accept; `mcpwrap vault status` may say why",
        )


def _shown(offer: Offer, ink: Ink) -> list[str]:
    lines: list[str] = []
    servers = dict.fromkeys(difference.server for difference in offer.differences)
    for server in servers:
        lines.append(ink("bold", spell_out(server)))
        for difference in offer.differences:
            if difference.server == server:
                lines += [*difference_lines(difference, ink=ink), ""]
    for server in offer.writes:
        if server not in servers:
            lines += [f"{ink('bold', spell_out(server))}: what was taken on first sight goes into {LOCK_NAME}", ""]
    return lines


def _store(offer: Offer, *, how: str) -> str:
    """Write what was shown, and say what follows.

    Raises:
        RefusedError: the project's files changed since they were read.
        ConfigError: the lock that lies there can't be read, or there is too much to be written.
        StateError: something can't be written; the lock is as it was.
    """
    place, found = offer.place, offer.place.found
    try:
        same = read_files(found.project, own=found.own) == (found.data, found.lock)
    except ConfigError:
        same = False
    if not same:
        raise RefusedError("the project's files changed while you were reading", hint="nothing was accepted; look at it again")
    states = {state.server: state for state in place.states()}
    servers = list(dict.fromkeys([*(difference.server for difference in offer.differences), *offer.writes]))
    lying = parse(found.lock) if found.lock is not None else Lock()
    entries: dict[str, Entry] = {}
    for name in servers:
        before = lying.servers.get(name) or states[name].accepted
        server = place.policy.servers[name]
        chosen = [difference for difference in offer.differences if difference.server == name]
        entries[name] = accept(before, chosen, package_of(found.command(server)))
    data = render(Lock({**lying.servers, **entries}))
    # the record comes first: no audit, no acceptance
    new_digest = found.standing.record.digest if found.own and found.standing.record else digest(found.data, data)
    found.here.announce(found.root, new_digest, "mcpwrap/pins-accept", f"accepted {how}: {_names(offer)}")
    said = f"accepted: {_names(offer)}."
    if found.own:
        for name, entry in entries.items():
            place.store.accept(found.root, name, Learned(entry.items, frozenset(KINDS), entry.greeting))
        return f"{said} It counts from the next start on."
    path = Path(found.root, LOCK_NAME)
    try:
        replace(str(path), data, path.stat().st_mode & 0o777 if found.lock is not None else 0o644)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise StateError(f"`{spell_out(str(path))}` can't be written: {why}", hint="nothing was accepted") from error
    record = found.standing.record
    if found.standing.state != "trusted" or record is None:
        return f"{said} Written to {LOCK_NAME}; it counts once the project's other changes are accepted: run `mcpwrap trust`."
    stamp = datetime.now(UTC).isoformat(timespec="seconds")
    found.here.store.put(msgspec.structs.replace(record, digest=new_digest, lock=data.decode(), accepted_at=stamp))
    return f"{said} Written to {LOCK_NAME}, to be committed; it counts from the next call on."


def _names(offer: Offer) -> str:
    names = [f"{spell_out(d.server)} › {spell_out(d.title)}" for d in offer.differences]
    names += [f"{spell_out(server)} as first seen" for server in offer.writes]
    return ", ".join(names[:20]) + (f" and {count(len(names) - 20, 'more', 'more')}" if len(names) > 20 else "")


def _facts(place: Place, states: Sequence[State]) -> dict[str, Any]:
    acceptable = {state.server: [d for d in state.differences if d.what != "twice"] for state in states}
    return {
        "project": place.found.root,
        "trust": place.found.standing.state,
        "digest": offer_digest([d for state in states if state.waiting for d in acceptable[state.server]]),
        "servers": [
            {
                "server": state.server,
                "source": state.source,
                "at": state.at,
                "seen_at": state.seen.at if state.seen else "",
                **{TABLES[kind]: len(state.accepted.items.get(kind, ())) for kind in KINDS},
                "digest": offer_digest(acceptable[state.server]),
                "differences": [
                    {
                        "kind": d.kind,
                        "name": d.name,
                        "what": d.what,
                        "why": d.why,
                        "old": d.old,
                        "new": d.new,
                        "digest": offer_digest([d]),
                    }
                    for d in state.differences
                ],
            }
            for state in states
        ],
    }
