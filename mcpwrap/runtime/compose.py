"""The only wiring: from the command line to a running session."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mcpwrap.audit.writer import AuditWriter
from mcpwrap.core.entry import Entry
from mcpwrap.core.events import Event, NoticeChanged, PolicyChanged, ServerStarted, Withheld
from mcpwrap.core.session import Session
from mcpwrap.errors import McpwrapError, StateError
from mcpwrap.policy.folders import folders
from mcpwrap.runtime import workdir
from mcpwrap.runtime.assess import Asked, Assessment, assess
from mcpwrap.runtime.lifecycle import Exited, GuardianLost, ServerPipes, SpawnFailed
from mcpwrap.runtime.process import Guardian
from mcpwrap.runtime.stderr import say
from mcpwrap.runtime.words import exited, held, held_by

_ALPHABET = "abcdefghjkmnpqrstvwxyz23456789"


class Run:
    """One run of the shim: the assessment it goes by, its records, and the server it starts."""

    def __init__(self, asked: Asked, guardian: Guardian) -> None:
        self._asked = asked
        self._guardian = guardian
        self._work = ""
        self._seen: tuple[tuple[int, int, int] | None, ...] = ()
        self.assessment = self._assess()
        first = self.assessment
        self._state = folders(asked.env).state
        self._shim = os.urandom(6).hex()
        self._recorder = _Recorder(
            AuditWriter(
                os.path.join(self._state, "audit"),
                shim=self._shim,
                project=first.project,
                server=asked.name,
                subject={"issuer": "local", "sub": _user()},
                policy_digest=first.digest,
            ),
            _opening(asked, first),
        )

    def session(self) -> tuple[Session, ServerPipes | None]:
        """The session as it begins; the server is started already where it may run."""
        pipes = None
        found = self.assessment
        if found.chosen_by:
            say(f"project {found.project} ({found.chosen_by})")
        if not found.hold:
            pipes, found = self._start(found)
        if found.hold:
            say(found.hold)
        elif found.notice:
            say(found.notice)
        self.assessment = found
        refs = "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in os.urandom(4))
        session = Session(server=self._asked.name, refs=refs, rules=found.rules, hold=found.hold, notice=found.notice)
        return session, pipes

    @property
    def recorder(self) -> _Recorder:
        """Where the session's records go."""
        return self._recorder

    def close(self) -> None:
        """End what this run holds open, and clear up behind the server."""
        self._guardian.close()
        self._recorder.close()
        if self._work and not workdir.remove(self._work):
            say(f"what the server left in its working folder is kept: {self._work}")
        workdir.sweep(self._state)

    # what the pump asks (`pump.Control`)

    def changed(self) -> bool:
        """True where a file that decides changed since the last look."""
        return _looks(self.assessment.watched) != self._seen

    def reassess(self, at: float, *, running: bool) -> tuple[list[Event], ServerPipes | None]:
        """What follows from a change."""
        before, found = self.assessment, self._assess()
        self._recorder.policy_digest = found.digest
        if found.hold:
            self.assessment = found
            if found.hold == before.hold:
                return [], None
            say(found.hold)
            return [Withheld(found.hold, at)], None
        if not running:
            pipes, found = self._start(found)
            self.assessment = found
            if found.hold or found.rules is None:
                return [Withheld(found.hold, at)], None
            say(f"{self._asked.name} goes on")
            return [NoticeChanged(found.notice, at), ServerStarted(found.rules, at)], pipes
        if found.launch != before.launch:
            found = _with_notice(found, "the accepted command changed; it counts when the client starts the server again")
        self.assessment = found
        events: list[Event] = []
        if found.notice != before.notice:
            if found.notice:
                say(found.notice)
            events.append(NoticeChanged(found.notice, at))
        if found.rules is not None and found.rules != before.rules:
            events.append(PolicyChanged(found.rules, at))
        return events, None

    def why_exited(self, gone: Exited | SpawnFailed | GuardianLost, tail: str, *, early: bool) -> str:
        """The words for a person when the server is gone."""
        launch = self.assessment.launch
        if isinstance(gone, SpawnFailed):
            return held(self._asked.name, f"the server can't be started: {gone.message}", "mend that")
        if isinstance(gone, GuardianLost):
            return held(self._asked.name, "the process that guards the server is gone", "reconnect this server in the client")
        how = f"exited ({gone.code})" if gone.signal is None else f"was ended by signal {gone.signal}"
        return exited(
            self._asked.name,
            how,
            tail,
            early=early,
            withheld=launch.withheld if launch else (),
            place=launch.place if launch else "",
        )

    # inside

    def _assess(self) -> Assessment:
        found = assess(self._asked)
        # NOTE: a change between reading and this look is seen with the next change only if it alters size, time or inode; each look
        # is taken before the files are read again, so what is judged is never newer than what is remembered
        self._seen = _looks(found.watched)
        return found

    def _start(self, found: Assessment) -> tuple[ServerPipes | None, Assessment]:
        launch = found.launch
        assert launch is not None  # noqa: S101 - nothing is held
        try:
            if launch.cwd is None and not self._work:
                self._work = workdir.make(self._state, self._shim)
            return self._guardian.spawn(launch.argv, launch.env, launch.cwd or self._work), found
        except (McpwrapError, OSError) as error:
            problem = error if isinstance(error, McpwrapError) else StateError(f"the server can't be started: {error}")
            return None, Assessment(held_by(self._asked.name, problem), project=found.project, watched=found.watched)


class _Recorder:
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
    return Entry("lifecycle", "", "run", status="refused" if found.hold else "ok", note=note)


def _with_notice(found: Assessment, notice: str) -> Assessment:
    return Assessment(found.hold, notice, found.rules, found.launch, found.project, found.chosen_by, found.digest, found.watched)


def _looks(paths: tuple[str, ...]) -> tuple[tuple[int, int, int] | None, ...]:
    looks: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            found = os.lstat(path)
        except OSError:
            looks.append(None)
        else:
            looks.append((found.st_mtime_ns, found.st_size, found.st_ino))
    return tuple(looks)


def _user() -> str:
    try:
        import pwd  # noqa: PLC0415 - not on Windows

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return os.environ.get("USERNAME", "") or str(getattr(os, "getuid", int)())
