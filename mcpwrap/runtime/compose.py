"""The only wiring: from a server that was started, or may not be, to a running session."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from mcpwrap.audit.retention import prune
from mcpwrap.audit.writer import AuditWriter
from mcpwrap.core.entry import Entry
from mcpwrap.core.events import Event, NoticeChanged, PolicyChanged, ServerStarted, Withheld
from mcpwrap.core.facts import Facts, NoFacts
from mcpwrap.core.pins import Learned
from mcpwrap.core.session import Session
from mcpwrap.core.visible import spell_out
from mcpwrap.core.world import World
from mcpwrap.errors import StateError
from mcpwrap.policy.folders import folders
from mcpwrap.policy.pins import PinStore
from mcpwrap.policy.trust import Unsealed
from mcpwrap.runtime import workdir
from mcpwrap.runtime.assess import Asked, Assessment
from mcpwrap.runtime.launch import Launcher
from mcpwrap.runtime.lifecycle import Exited, GuardianLost, ServerPipes, SpawnFailed
from mcpwrap.runtime.stderr import say
from mcpwrap.runtime.words import exited, held

_ALPHABET = "abcdefghjkmnpqrstvwxyz23456789"


class Run:
    """One run of the shim: the assessment it goes by, its session, its records. `found` is the assessment that `launcher` made."""

    def __init__(self, launcher: Launcher, found: Assessment) -> None:
        self._launcher = launcher
        self._name = launcher.asked.name
        self.assessment = found
        self._launched = found.launch
        self.recorder = Recorder(
            AuditWriter(
                os.path.join(launcher.state, "audit"),
                shim=launcher.shim,
                project=found.project,
                server=self._name,
                subject={"issuer": "local", "sub": _user()},
                policy_digest=found.digest,
            ),
            _opening(launcher.asked, found),
        )
        refs = "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in os.urandom(4))
        self._pinned_kinds: set[str] = set()
        """of what the person was told that it is pinned"""
        self._subject = {"issuer": "local", "sub": _user()}
        self.session = Session(
            server=self._name, refs=refs, rules=found.rules, hold=found.hold, notice=found.notice, world=self._world(found)
        )

    def announce(self) -> None:
        """Say on stderr which project counts and what a person should know."""
        found = self.assessment
        if found.chosen_by:
            say(f"project {spell_out(found.project)} ({found.chosen_by})")
        if found.hold or found.notice:
            say(found.hold or found.notice)

    def tidy(self) -> None:
        """Clear away what older runs left: records past their time, empty working folders. Called once, beside the traffic."""
        workdir.sweep(self._launcher.state)
        prune(os.path.join(self._launcher.state, "audit"))

    def close(self) -> None:
        """End what this run holds open, and clear up behind the server."""
        self._launcher.guardian.close()
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
        self.recorder.policy_digest = found.digest
        if found.hold:
            self.assessment = found
            if found.hold == before.hold:
                return [], None
            say(found.hold)
            self.note("held", found.hold)
            return [Withheld(found.hold, at)], None
        if not running:
            pipes, found = self._launcher.start(found)
            self.assessment = found
            if found.hold or found.rules is None:
                return [Withheld(found.hold, at)], None
            self._launched = found.launch
            say(f"{self._name} goes on")
            self.note("started", found.notice)
            return [NoticeChanged(found.notice, at), ServerStarted(found.rules, at, self._world(found))], pipes
        if found.launch != self._launched:
            found = _with_notice(found, "the accepted command changed; it counts when the client starts the server again")
        self.assessment = found
        events: list[Event] = []
        if found.notice != before.notice:
            if found.notice:
                say(found.notice)
                self.note("waits", found.notice)
            events.append(NoticeChanged(found.notice, at))
        if found.rules is not None and (found.rules != before.rules or found.pinned != before.pinned):
            self.note("policy", "other rules or pins count from here on")
            events.append(PolicyChanged(found.rules, at, self._world(found)))
        return events, None

    def note(self, what: str, why: str) -> None:
        """Put into the audit what happened to the session besides its messages; where that fails, calls will say so."""
        with suppress(StateError):
            self.recorder.write([Entry("lifecycle", "", what, note=_first_line(why))])

    def learn(self, learned: Learned) -> None:
        """Keep what was seen of the server's definitions: pinned on first sight, else for `mcpwrap pins` to show."""
        found, pins = self.assessment, PinStore(self._launcher.state, Unsealed())
        try:
            if learned.first_sight:
                pins.remember(found.project, self._name, learned)
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
        return World(facts, self._subject, found.name, self._launcher.shim, found.pinned, found.others, _now)

    def why_exited(self, gone: Exited | SpawnFailed | GuardianLost, tail: str, *, early: bool) -> str:
        """The words for a person when the server is gone."""
        launch = self._launched
        if isinstance(gone, SpawnFailed):
            return held(self._name, f"the server can't be started: {gone.message}", "mend that")
        if isinstance(gone, GuardianLost):
            return held(self._name, "the process that guards the server is gone", "reconnect this server in the client")
        how = f"exited ({gone.code})" if gone.signal is None else f"was ended by signal {gone.signal}"
        return exited(
            self._name,
            how,
            tail,
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


def _user() -> str:
    try:
        import pwd  # noqa: PLC0415 - not on Windows

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return os.environ.get("USERNAME", "") or str(getattr(os, "getuid", int)())
