"""The only wiring: from a server that was started, or may not be, to a running session."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic, time
from typing import Any

import msgspec

from mcpwrap.audit.retention import prune
from mcpwrap.audit.writer import AuditWriter
from mcpwrap.core.credentials import Failed, Issued, described
from mcpwrap.core.entry import Entry
from mcpwrap.core.events import (
    Event,
    NoticeChanged,
    PolicyChanged,
    RestartDue,
    RestartForced,
    ServerBegan,
    ServerStarted,
    TokenAwaited,
    TokenFailed,
    TokenReady,
    TokensChanged,
    Withheld,
)
from mcpwrap.core.facts import Facts, NoFacts
from mcpwrap.core.pins import Learned
from mcpwrap.core.session import Session
from mcpwrap.core.visible import spell_out
from mcpwrap.core.world import World
from mcpwrap.errors import StateError
from mcpwrap.policy.folders import folders
from mcpwrap.policy.pins import PinStore
from mcpwrap.runtime import workdir
from mcpwrap.runtime.assess import Asked, Assessment
from mcpwrap.runtime.launch import Launcher
from mcpwrap.runtime.lifecycle import Exited, GuardianLost, ServerPipes, SpawnFailed
from mcpwrap.runtime.stderr import say
from mcpwrap.runtime.words import exited, held, without_credential

_ALPHABET = "abcdefghjkmnpqrstvwxyz23456789"


class Run:
    """One run of the shim: the assessment it goes by, its session, its records.

    `found` is the assessment that `launcher` made; `started` says that the server runs.
    """

    def __init__(self, launcher: Launcher, found: Assessment, *, started: bool) -> None:
        self._launcher = launcher
        self._name = launcher.asked.name
        self.assessment = found
        self._launched = (found.launch, _ways(found))
        self.recorder = Recorder(
            AuditWriter(
                os.path.join(launcher.state, "audit"),
                shim=launcher.shim,
                project=found.project,
                server=self._name,
                subject=_recorded(found.subject),
                policy_digest=found.digest,
            ),
            _opening(launcher.asked, found),
        )
        refs = "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in os.urandom(4))
        self._pinned_kinds: set[str] = set()
        """of what the person was told that it is pinned"""
        self._attached: tuple[asyncio.AbstractEventLoop, Callable[[list[Issued | Failed]], None]] | None = None
        self._starting = not started and not found.hold
        """the server was never started, and nobody was told so"""
        self._waits = self._starting
        """a credential is all that keeps the server from being started"""
        self._notice = found.notice
        self._missing: Failed | None = None
        """what the running server needs and can't have"""
        self.session = Session(
            server=self._name,
            refs=refs,
            rules=found.rules,
            hold=found.hold,
            notice=found.notice,
            world=self._world(found),
            starting=self._starting,
        )
        if started and launcher.awaited:
            self.session.handle(TokenAwaited(monotonic()))
        launcher.guardian.spared = lambda: launcher.deliveries.pids if launcher.deliveries else ()

    def announce(self) -> None:
        """Say on stderr which project counts and what a person should know."""
        found = self.assessment
        if found.chosen_by:
            say(f"project {spell_out(found.project)} ({found.chosen_by})")
        if found.hold or found.notice:
            say(found.hold or found.notice)

    def tidy(self) -> None:
        """Clear away what older runs left: records past their time, empty working folders. Called once, beside the traffic."""
        from mcpwrap.runtime import rundir  # noqa: PLC0415 - only here, beside the traffic

        workdir.sweep(self._launcher.state)
        rundir.sweep(self._launcher.state)
        prune(os.path.join(self._launcher.state, "audit"))

    def close(self) -> None:
        """End what this run holds open, and clear up behind the server."""
        self._launcher.guardian.close()
        if self._launcher.deliveries is not None:
            self._launcher.deliveries.close()
        self.recorder.close()
        work = self._launcher.work
        if work and not workdir.remove(work):
            say(f"what the server left in its working folder is kept: {work}")

    # what the pump asks (`pump.Control`)

    def changed(self) -> bool:
        """True where a file that decides changed since the last look."""
        return self._launcher.changed(self.assessment)

    def reassess(self, at: float, *, running: bool) -> tuple[list[Event], ServerPipes | None]:
        """What follows from a change."""
        before, found = self.assessment, self._launcher.assess()
        self._attach_deliveries()
        self.recorder.policy_digest = found.digest
        if found.subject:
            self.recorder.subject = _recorded(found.subject)
        if found.hold:
            self.assessment = found
            self._starting = False
            if found.hold == before.hold:
                return [], None
            say(found.hold)
            self.note("held", found.hold)
            return [Withheld(found.hold, at)], None
        self._notice = found.notice
        if not running:
            if not (self._waits or self._starting or before.hold) and _alike(found, before):
                return [], None  # it ended by itself, or came back as another: a touched file is no reason to start it again
            return self._start(found, at)
        if (found.launch, _ways(found)) != self._launched:
            what = "command or its credentials" if found.wanted or self._launched[1] else "command"
            found = _with_notice(found, f"the accepted {what} changed; it counts when the client starts the server again")
        self.assessment = found
        events: list[Event] = []
        if found.notice != before.notice:
            if found.notice:
                say(found.notice)
                self.note("waits", found.notice)
            events.append(NoticeChanged(found.notice, at))
        if found.rules is not None and _judges_otherwise(found, before):
            self.note("policy", "other rules, pins or another login count from here on")
            events.append(PolicyChanged(found.rules, at, self._world(found)))
        # what was had for somebody else, or was taken back, isn't delivered any more
        return [*events, *self._tokens(at), *self._awaited(at), *self._now_missing(at)], None

    def _start(self, found: Assessment, at: float) -> tuple[list[Event], ServerPipes | None]:
        """Start the server of a session that waits for it; nothing where a credential isn't there yet."""
        pipes, found = self._launcher.start(found)
        self.assessment = found
        if found.hold or found.rules is None:
            self._starting = self._waits = False
            return [Withheld(found.hold, at)], None
        self._waits = pipes is None
        if pipes is None:
            return self._waiting(at), None
        self._launched = (found.launch, _ways(found))
        self._missing = None
        events: list[Event] = [*self._tokens(at), NoticeChanged(found.notice, at)]
        if self._starting:
            self._starting = False
            return [PolicyChanged(found.rules, at, self._world(found)), *events, ServerBegan(at), *self._awaited(at)], pipes
        say(f"{self._name} goes on")
        self.note("started", found.notice)
        return [*events, ServerStarted(found.rules, at, self._world(found)), *self._awaited(at)], pipes

    # credentials

    def attach(self, loop: asyncio.AbstractEventLoop, came: Callable[[list[Issued | Failed]], None]) -> None:
        """Have credentials fetched on `loop`; `came` is called with each answer."""
        self._attached = (loop, came)
        self._attach_deliveries()
        if self._launcher.deliveries is not None:
            # what is missing for certain isn't fetched, so that no answer would tell
            loop.call_soon(came, [])

    def _attach_deliveries(self) -> None:
        """They are made with the first credential that is wanted, before there is a loop or long after."""
        deliveries = self._launcher.deliveries
        if deliveries is not None and not deliveries.attached and self._attached is not None:
            deliveries.attach(*self._attached)

    def delivered(self, came: list[Issued | Failed], at: float, *, running: bool) -> tuple[list[Event], ServerPipes | None]:
        """What follows from credentials that came, or couldn't be had."""
        deliveries = self._launcher.deliveries
        if deliveries is None or self.assessment.hold:
            return [], None
        self._record(came)
        missing = deliveries.missing
        if not running:
            if not self._waits:
                return [], None  # it ended by itself: a new credential is no reason to start it again
            if deliveries.complete:
                # by the files as they are now: what was accepted may have been taken back, what it runs may be another
                return self.reassess(at, running=False)
            return self._waiting(at), None
        events = self._tokens(at)
        if deliveries.urgent or (deliveries.stale and self._missing is not None):
            # what the server has is over, or isn't for it any more: nothing reaches it as it is
            events.append(RestartForced(at))
        if missing is None and not deliveries.awaited:
            events.append(TokenReady(at))
            self._missing = None
        events += self._now_missing(at)
        if deliveries.stale:
            events.append(RestartDue(at))
        return events, None

    def force_in_s(self) -> float | None:
        """In how many seconds a server with an old credential must be restarted; None where none has one."""
        deliveries = self._launcher.deliveries
        return max(0.0, deliveries.force_at - time()) if deliveries is not None and deliveries.stale else None

    def restart(self, at: float) -> tuple[list[Event], ServerPipes | None, str]:
        """Start the server again, if it still may run: what follows from the files as they are now, the pipes, or why there are
        none, for a person."""
        events, _ = self.reassess(at, running=True)
        if self.assessment.hold:
            return events, None, self.assessment.hold
        if not self._launcher.ready:
            self._waits = True
            return events, None, held(self._name, "its credential ran out before it could be started again")
        pipes, found = self._launcher.start(_with_notice(self.assessment, self._notice))
        self.assessment = found
        if pipes is None:
            return events, None, found.hold
        self._launched = (found.launch, _ways(found))
        self.note("restarted", "a new credential")
        return [*events, NoticeChanged(found.notice, at)], pipes, ""

    def late(self, at: float) -> list[Event]:
        """The first start has waited for its credential long enough: the session opens without its server, and goes on later."""
        if not self._starting:
            return []
        self._starting = False
        why = held(self._name, "its credential is still being fetched")
        say(why)
        return [Withheld(why, at)]

    def _waiting(self, at: float) -> list[Event]:
        """What a session is told whose server waits for a credential: why it can't be had, once that is known."""
        deliveries = self._launcher.deliveries
        missing = deliveries.missing if deliveries is not None else None
        if missing is None or missing == self._missing:
            return []
        self._missing, self._starting = missing, False
        why = without_credential(self._name, missing)
        say(why)
        return [Withheld(why, at)]

    def _now_missing(self, at: float) -> list[Event]:
        """The refusal of calls, where something that the running server needs can't be had, and nobody was told yet."""
        deliveries = self._launcher.deliveries
        missing = deliveries.missing if deliveries is not None else None
        if missing is None or missing == self._missing:
            return []
        self._missing = missing
        why = without_credential(self._name, missing)
        say(why)
        return [TokenFailed(why, at)]

    def _awaited(self, at: float) -> list[Event]:
        return [TokenAwaited(at)] if self._launcher.awaited else []

    def _tokens(self, at: float) -> list[Event]:
        deliveries = self._launcher.deliveries
        return [TokensChanged(deliveries.meta, deliveries.known, at)] if deliveries is not None else []

    def _record(self, came: list[Issued | Failed]) -> None:
        entries = []
        for each in came:
            wanted = next((w for w in self.assessment.wanted if w.name == each.name), None)
            what = f"{each.name}: {described(wanted)}" if wanted else each.name
            if isinstance(each, Failed):
                entries.append(Entry("credential", "", "failed", status="error", note=f"{what}; {each.why}"))
            else:
                until = "" if each.expires_at is None else f", until {_instant(each.expires_at)}"
                entries.append(Entry("credential", "", "issued", status="ok", note=f"{what}{until}"))
        with suppress(StateError):
            self.recorder.write(entries)

    def note(self, what: str, why: str) -> None:
        """Put into the audit what happened to the session besides its messages; where that fails, calls will say so."""
        with suppress(StateError):
            self.recorder.write([Entry("lifecycle", "", what, note=_first_line(why))])

    def learn(self, learned: Learned) -> None:
        """Keep what was seen of the server's definitions: pinned on first sight, else for `mcpwrap pins` to show."""
        found, vault = self.assessment, self._launcher.door.vault
        if vault is None:  # (no session was ever live without)
            return
        pins = PinStore(self._launcher.state, vault)
        try:
            if learned.first_sight:
                pins.remember(found.project, self._name, learned)
                # what this session took itself is no change for it
                self.assessment = msgspec.structs.replace(found, pinned=pins.remembered(found.project, self._name))
                text = f"what {self._name} offers is pinned as it was seen first ({_counted(learned) or 'its greeting'})"
                # a long list comes page by page: it is said once, and recorded each time
                if not learned.items or learned.items.keys() - self._pinned_kinds:
                    say(f"{text}; what changes later is hidden until accepted (`mcpwrap pins`)")
                self._pinned_kinds |= learned.items.keys()
                self.note("pinned", text)
            pins.note_seen(found.project, self._name, learned)
        except StateError as error:
            say(f"what {self._name} offers can't be remembered: {error}")

    def _world(self, found: Assessment) -> World:
        """What the session's conditions are judged on, and its pins."""
        facts: Facts = NoFacts()
        if found.rules is not None and found.rules.conditional:
            from mcpwrap.runtime.facts import FileFacts  # noqa: PLC0415 - few policies have conditions

            facts = FileFacts(found.launch.cwd if found.launch else None)
        return World(facts, found.subject, found.name, self._launcher.shim, found.pinned, found.others, _now)

    def why_exited(self, gone: Exited | SpawnFailed | GuardianLost, tail: str, *, early: bool) -> str:
        """The words for a person when the server is gone."""
        launch = self._launched[0]
        if isinstance(gone, SpawnFailed):
            return held(self._name, f"the server can't be started: {gone.message}", "mend that")
        if isinstance(gone, GuardianLost):
            return held(self._name, "the process that guards the server is gone", "reconnect this server in the client")
        how = f"exited ({gone.code})" if gone.signal is None else f"was ended by signal {gone.signal}"
        return exited(
            self._name,
            how,
            self._launcher.deliveries.redacted(tail) if self._launcher.deliveries is not None else tail,
            early=early,
            withheld=launch.withheld if launch else (),
            place=launch.place if launch else "",
        )


def _counted(learned: Learned) -> str:
    """How many of each kind, in words."""
    return ", ".join(
        f"{len(items)} {kind}{'' if len(items) == 1 else 's'}{'' if kind in learned.complete else ' so far'}"
        for kind, items in learned.items.items()
    )


class Recorder:
    """Puts the run's own first record before the first one of the session, so that a run that does nothing leaves no file."""

    def __init__(self, writer: AuditWriter, opening: Entry) -> None:
        self._writer = writer
        self._opening: Entry | None = opening

    def write(self, entries: Sequence[Entry]) -> None:
        """Write `entries`. Raises AuditError."""
        if self._opening is not None:
            self._writer.write([self._opening, *entries])
            self._opening = None
        else:
            self._writer.write(entries)

    @property
    def policy_digest(self) -> str:
        """The digest of the policy that judges now."""
        return self._writer.policy_digest

    @policy_digest.setter
    def policy_digest(self, digest: str) -> None:
        self._writer.policy_digest = digest

    @property
    def subject(self) -> Mapping[str, str]:
        """Who asks, as records have it."""
        return self._writer.subject

    @subject.setter
    def subject(self, subject: Mapping[str, str]) -> None:
        if subject != self._writer.subject:
            self._writer.subject = subject

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


def _opening(asked: Asked, found: Assessment) -> Entry:
    moved = folders(asked.env).nondefault
    note = f"project chosen by {found.chosen_by or 'nothing'}"
    if moved:
        note += f"; folders moved by {', '.join(moved)}"
    if found.hold or found.notice:
        note += f"; {_first_line(found.hold or found.notice)}"
    return Entry("lifecycle", "", "run", status="refused" if found.hold else "ok", note=note)


def _first_line(text: str) -> str:
    """The fact of a message; the lines after it tell what to do."""
    return text.partition("\n")[0]


def _with_notice(found: Assessment, notice: str) -> Assessment:
    return msgspec.structs.replace(found, notice=notice)


def _now() -> datetime:
    return datetime.now(UTC)


def _instant(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _recorded(subject: Mapping[str, Any]) -> dict[str, str]:
    """What the audit keeps of who asks (POLICY.md §6)."""
    return {name: str(subject[name]) for name in ("issuer", "sub", "email") if subject.get(name)}


def _alike(found: Assessment, before: Assessment) -> bool:
    """True where nothing that an accepted file says of the server changed."""
    kept = ("rules", "launch", "pinned", "wanted", "digest", "bearer", "profile")
    return all(getattr(found, name) == getattr(before, name) for name in kept)


def _ways(found: Assessment) -> frozenset[tuple[str, str]]:
    """The variables that a server's credentials are delivered by: they are as they were when it started."""
    return frozenset((each.name, each.via) for each in found.wanted)


def _judges_otherwise(found: Assessment, before: Assessment) -> bool:
    return (found.rules, found.pinned, found.subject) != (before.rules, before.pinned, before.subject)
