"""Trust: what a person accepted, where it is kept, and whether it still is what lies there (POLICY.md §5).

A record is one file, ``<state>/trust/<SHA-256 of the project's path>.json``, 0600 in a 0700 folder: the path, and the sealed
record. It is replaced atomically. One that can't be read, is another user's, was not sealed here, is an older one put back or
doesn't agree with itself counts as none: the project is untrusted, the file is left alone, and the reason is said.
"""
# pathlib costs 5 ms of every start

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from mcpwrap.core.seal import Seal
from mcpwrap.errors import McpwrapError, StateError
from mcpwrap.files import check_private, ensure_private, locked, reason, replaced, sync_folder
from mcpwrap.policy.commands import commands_of, find_command, verify_command
from mcpwrap.policy.records import CommandRecord, TrustRecord
from mcpwrap.policy.sealed import Envelope, decode, open_envelope

if TYPE_CHECKING:
    from mcpwrap.policy.changes import Change
    from mcpwrap.policy.load import ProjectPolicy

__all__ = [
    "CommandRecord",
    "Standing",
    "TrustRecord",
    "TrustStore",
    "announce_changes",
    "commands_of",
    "digest",
    "find_command",
    "standing",
    "trust_path",
    "verify_command",
    "warnings_for",
]

_TAG: Final = b"mcpwrap trust v1\n"
_KIND: Final = "trust"
_NAME: Final = re.compile(r"[0-9a-f]{64}\.json")

RECORD_LIMIT: Final = 8 << 20
"""Longest record file, in bytes: two texts of 256 KiB, escaped and in base64, and commands of at most as much."""


def digest(toml: bytes, lock: bytes | None) -> str:
    """SHA-256 (hex) of a tag, the project file, and the lock file or "absent"; each after its length (8 bytes, big-endian)."""
    known = hashlib.sha256(_TAG)
    known.update(len(toml).to_bytes(8, "big") + toml)
    known.update(b"absent" if lock is None else len(lock).to_bytes(8, "big") + lock)
    return known.hexdigest()


class Standing(msgspec.Struct, frozen=True):
    """How the trust in a project stands; `note` says why a record that is there doesn't count, "" else."""

    state: Literal["trusted", "changed", "untrusted"]
    record: TrustRecord | None
    note: str = ""


class TrustStore:
    """The trust records below the folder `state`. Nothing is created before the first `put`."""

    def __init__(self, state: str, seal: Seal) -> None:
        self._folder = os.path.join(state, "trust")
        self._state = state
        self._seal = seal

    def path(self, project: str) -> str:
        """The file of a project's record, whether it exists or not."""
        return trust_path(self._state, project)

    def get(self, project: str) -> TrustRecord | None:
        """The record of the project with the canonical root `project`; None where there is none that counts."""
        return self.look(project)[0]

    def look(self, project: str) -> tuple[TrustRecord | None, str]:
        """As `get`, and why a record that is there doesn't count ("" where there is none, or it does)."""
        path = self.path(project)
        before: Envelope | None = None
        try:
            while True:
                check_private(self._folder)
                envelope = open_envelope(path, RECORD_LIMIT)
                if envelope.project != project:
                    raise StateError("it is another project's")
                try:
                    return self._unseal(envelope), ""
                except StateError:
                    # one that was read while the next one was stored isn't an old one put back
                    if envelope == before:
                        raise
                    before = envelope
        except StateError as error:
            if not os.path.lexists(path):
                return None, ""
            return None, f"the trust record {path} doesn't count: {error}"

    def put(self, record: TrustRecord) -> TrustRecord:
        """Store `record` durably in place of the one before; returns it with its generation.

        Raises:
            StateError: it can't be stored safely; the one before is still there.
        """
        ensure_private(self._state)
        ensure_private(self._folder)
        path = self.path(record.project)
        with locked(self._folder):
            before = self.get(record.project)
            record = msgspec.structs.replace(record, generation=(before.generation if before else 0) + 1)
            sealed = self._seal.seal(_KIND, record.project, msgspec.json.encode(record))
            data = msgspec.json.encode(Envelope(record.project, sealed))
            if len(data) > RECORD_LIMIT:
                raise StateError("the trust record would be longer than 8 MiB")
            try:
                with replaced(path, data, RECORD_LIMIT):
                    self._seal.stored(_KIND, record.project, sealed)
            except OSError as error:
                raise StateError(f"`{path}` can't be written: {reason(error)}") from error
        return record

    def remove(self, project: str) -> bool:
        """Take the project's record away for good, whatever and wherever it is; False where there was none.

        Raises:
            StateError: it can't be taken away, or one that is elsewhere would count again if it was put back.
        """
        there = os.path.lexists(self.path(project))
        # what tightens always works: without the key the file goes, and only a copy put back would count again
        counted = False
        with suppress(McpwrapError):
            counted = self._seal.counts(_KIND, project)
        failed: McpwrapError | None = None
        if there or counted:
            # (one that was moved aside is put back in a moment)
            try:
                self._seal.revoke(_KIND, project)
            except McpwrapError as error:
                failed = error
        try:
            os.unlink(self.path(project))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StateError(
                f"`{self.path(project)}` can't be taken away: {reason(error)}",
                hint="take it away yourself",
            ) from error
        else:
            sync_folder(self._folder)
        if counted and failed is not None:
            raise StateError(f"a copy of the trust record would still count: {failed}", hint="mcpwrap untrust") from failed
        return there or counted

    def records(self) -> list[TrustRecord]:
        """Every record that counts, ordered by project."""
        try:
            check_private(self._folder)
            names = [name for name in os.listdir(self._folder) if _NAME.fullmatch(name)]
        except (StateError, OSError):
            return []
        found: list[TrustRecord] = []
        for name in names:
            with suppress(StateError):
                envelope = open_envelope(os.path.join(self._folder, name), RECORD_LIMIT)
                if os.path.basename(self.path(envelope.project)) == name:
                    found.append(self._unseal(envelope))
        return sorted(found, key=lambda record: record.project)

    def _unseal(self, envelope: Envelope) -> TrustRecord:
        payload = self._seal.unseal(_KIND, envelope.project, envelope.sealed)
        record = decode(payload, TrustRecord)
        if record.project != envelope.project:
            raise StateError("it is another project's")
        lock = None if record.lock is None else record.lock.encode()
        if digest(record.content.encode(), lock) != record.digest:
            raise StateError("its digest isn't that of its content")
        return record


def trust_path(state: str, project: str) -> str:
    """The file of the record of `project` below the folder `state`, whether it exists or not."""
    return os.path.join(state, "trust", hashlib.sha256(project.encode("utf-8", "surrogateescape")).hexdigest() + ".json")


def standing(store: TrustStore, project_root: str, toml: bytes, lock: bytes | None) -> Standing:
    """Compare what lies there with what was accepted."""
    record, note = store.look(project_root)
    if record is None:
        return Standing("untrusted", None, note)
    return Standing("trusted" if record.digest == digest(toml, lock) else "changed", record)


def announce_changes(old: ProjectPolicy | None, new: ProjectPolicy) -> list[Change]:
    """`mcpwrap.policy.changes.announce_changes`; `run` never needs it, so it isn't imported there."""
    from mcpwrap.policy import changes  # noqa: PLC0415 - see above

    return changes.announce_changes(old, new)


def warnings_for(policy: ProjectPolicy) -> list[str]:
    """The warnings of `mcpwrap.policy.review_credentials` and `runners`; `run` never needs them, so they aren't imported there."""
    from mcpwrap.policy import review_credentials, runners  # noqa: PLC0415 - see above

    return [*review_credentials.warnings_for(policy), *runners.warnings_for(policy)]
