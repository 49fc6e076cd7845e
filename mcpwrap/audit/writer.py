"""The record of a run, written before what it permits is done (POLICY.md §6 and §7).

Rules:
- One `AuditWriter.write` is one write(2): either all its records stand in the file or none. A short write, the first
  sign of a full disk, is cut off again.
- Written means that write(2) returned; no fsync on the way of a call.
- Nothing is buffered: an entry that can't be written is an `AuditError`, and the call that it would permit is refused.
- A file is opened with its first record, exclusively: what lies in its place already, a link included, is never written
  to.

What is the same in every record (shim, project, server, subject, policy) is encoded once and spliced in; a record costs
one encoding of its entry and one system call for all of a batch. For one thread only.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from mcpwrap.audit.record import RECORD_LIMIT, SHIM, AuditError, create, file_name
from mcpwrap.audit.retention import claim, prune
from mcpwrap.core import jsonrpc
from mcpwrap.core.entry import Entry

ROLL_BYTES: Final = 50_000_000
"""Past this size a run goes on in a new file, and old ones are pruned: otherwise one long run could pass the 500 MB
that are kept."""

_encode = msgspec.json.Encoder(decimal_format="number").encode

_SEPARATORS: Final = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))
"""Characters at which some readers end a line; they only ever stand inside strings, so escaping keeps the value."""


class AuditWriter:
    """Appends the records of one run to its file in `folder`. Opens nothing before the first record.

    `shim` is the id of the run, `subject` holds ``issuer``, ``sub`` and ``email``; `clock` gives seconds since the epoch.

    Raises:
        ValueError: `shim` can't be a part of a file name.
    """

    def __init__(
        self,
        folder: str,
        *,
        shim: str,
        project: str,
        server: str,
        subject: Mapping[str, str],
        policy_digest: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if SHIM.fullmatch(shim) is None:
            raise ValueError(f"`{shim}` can't be the id of a run")
        self._folder = folder
        self._shim = shim
        self._constant: dict[str, Any] = {"shim": shim, "project": project, "server": server, "subject": dict(subject)}
        self._clock = clock
        self._descriptor = -1
        self._size = 0
        self._torn = False
        self._seq = 0
        self._second = -1
        self._prefix = b""
        self._head = b""
        self.policy_digest = policy_digest

    @property
    def policy_digest(self) -> str:
        """The digest of the policy that judges now; set it when another one was accepted."""
        return self._policy_digest

    @policy_digest.setter
    def policy_digest(self, digest: str) -> None:
        self._policy_digest = digest
        self._head = b"," + _encoded({**self._constant, "policy_digest": digest})[1:-1] + b","

    @property
    def subject(self) -> Mapping[str, str]:
        """Who asks; set it when somebody else is signed in."""
        found: Mapping[str, str] = self._constant["subject"]
        return found

    @subject.setter
    def subject(self, subject: Mapping[str, str]) -> None:
        self._constant["subject"] = dict(subject)
        self.policy_digest = self._policy_digest  # (encodes what is the same in every record anew)

    def write(self, entries: Sequence[Entry]) -> None:
        """Append a record for each of `entries`, all or none.

        Raises:
            AuditError: they aren't in the file; what they would permit must be refused.
        """
        if not entries:
            return
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._turn_to(second)
        start = b"%b%03dZ" % (self._prefix, int((now - second) * 1000))
        seq = self._seq
        lines = []
        for entry in entries:
            seq += 1
            line = b'%b","seq":%d%b%b\n' % (start, seq, self._head, _encoded(entry)[1:])
            if len(line) > RECORD_LIMIT:
                raise AuditError(f"a record is longer than {RECORD_LIMIT} bytes")
            lines.append(line)
        self._append(b"".join(lines) if len(lines) > 1 else lines[0], now)
        self._seq = seq

    def close(self) -> None:
        """Close the file; a later `write` would open a new one."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _turn_to(self, second: int) -> None:
        self._prefix = time.strftime('{"time":"%Y-%m-%dT%H:%M:%S.', time.gmtime(second)).encode("ascii")
        self._second = second
        # a file that was deleted would swallow records; looked at once a second, since it costs a third of a write
        if self._descriptor >= 0 and os.fstat(self._descriptor).st_nlink == 0:
            self.close()

    def _append(self, data: bytes, now: float) -> None:
        if self._descriptor < 0:
            try:
                self._open(now)
            except OSError as error:
                raise self._failure(error) from error
        elif self._size >= ROLL_BYTES:
            self._roll(now)
        if self._torn:
            data = b"\n" + data  # so that a record which couldn't be cut off doesn't spoil this one
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            raise self._failure(error) from error
        if written != len(data):
            self._cut_off(written)
            raise AuditError("an audit record could be written in part only", hint=self._hint())
        self._size += written
        self._torn = False

    def _open(self, now: float) -> None:
        self._descriptor = create(self._folder, file_name(now, self._shim))
        claim(self._descriptor)
        self._size = 0
        self._torn = False

    def _roll(self, now: float) -> None:
        full = self._descriptor
        try:
            self._open(now)
        except (OSError, AuditError):
            return  # the full file still takes records; a call isn't refused over tidiness
        os.close(full)
        prune(self._folder, clock=self._clock)

    def _cut_off(self, written: int) -> None:
        try:
            # the position after an appending write is the end of what it wrote, whoever else appended before
            end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
            os.ftruncate(self._descriptor, end - written)
        except OSError:
            self._torn = True

    def _failure(self, error: OSError) -> AuditError:
        why = (error.strerror or str(error)).lower()
        return AuditError(f"an audit record can't be written: {why}", hint=self._hint())

    def _hint(self) -> str:
        return f"see to `{self._folder}` and the space on its disk; calls are refused until records can be written"


def _encoded(value: Entry | dict[str, Any]) -> bytes:
    try:
        data = _encode(value)
    except UnicodeEncodeError:  # a lone surrogate: valid on the wire, and in a record as an escape
        data = jsonrpc.encode(_plain(value))
    except (RecursionError, TypeError, ValueError) as error:
        raise AuditError("an audit record can't be encoded") from error
    for separator, escaped in _SEPARATORS:
        if separator in data:
            data = data.replace(separator, escaped)
    return data


def _plain(value: Entry | dict[str, Any]) -> dict[str, Any]:
    if isinstance(value, Entry) and isinstance(value.client, msgspec.Raw):
        value = msgspec.structs.replace(value, client=json.loads(bytes(value.client)))
    plain: dict[str, Any] = msgspec.to_builtins(value, builtin_types=(Decimal,))
    if "reasons" in plain:
        plain["reasons"] = list(plain["reasons"])
    return plain
