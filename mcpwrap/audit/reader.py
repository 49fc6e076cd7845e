"""The records of all runs, merged by time (POLICY.md §6).

What lies in the folder is material, not truth: torn lines, foreign files and lines that are no records are left out and
counted in a `Skipped`; nothing that stands in a file raises. Memory is bounded by one line for each file that was open
at the same time: a file is opened when its time comes.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec

from mcpwrap.audit.lines import backwards, forwards
from mcpwrap.audit.record import open_to_read, opened_at, stamp

POLL_S: Final = 0.25
"""Pause between two looks at the folder while following."""

REF_LIMIT: Final = 100
"""Most records that `find_ref` returns: a call has two, and a short ref may come again within 90 days."""

CLOCK_SLACK_S: Final = 1.0
"""A file's time of change may lie this much before its last record's ``time``: file systems read a coarser clock."""

Record = dict[str, Any]


class Line(NamedTuple):
    """A record as it stands in its file (`raw`, with its line feed) and what it says."""

    raw: bytes
    record: Record


@dataclass(slots=True)
class Skipped:
    """What was left out: `lines` that are no records, `torn` last lines, `files` that aren't ours or can't be read."""

    lines: int = 0
    torn: int = 0
    files: int = 0

    def __bool__(self) -> bool:
        return bool(self.lines or self.torn or self.files)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records are wanted; None takes any. `since` is a `stamp`, the others are equal to the record's key.

    `project` may be several spellings of one project.
    """

    since: str | None = None
    project: tuple[str, ...] | None = None
    server: str | None = None
    event: str | None = None
    outcome: str | None = None
    tool: str | None = None
    ref: str | None = None

    def takes(self, record: Record) -> bool:
        """True where `record` is one of them."""
        return (
            (self.since is None or record["time"] >= self.since)
            and (self.project is None or record.get("project") in self.project)
            and all(record.get(key) == value for key, value in self._equal())
        )

    def needles(self) -> tuple[bytes, ...]:
        """Bytes without which a line can't be wanted: a search that is cheaper than reading the line."""
        return tuple(f'"{value}"'.encode() for _, value in self._equal() if _plain(value))

    def _equal(self) -> Iterator[tuple[str, str]]:
        for key in ("server", "event", "outcome", "tool", "ref"):
            value = getattr(self, key)
            if value is not None:
                yield key, value


def _plain(value: str) -> bool:
    # only then a value has one spelling in JSON
    return value.isascii() and value.isprintable() and not set(value) & set('"\\/')


def read(
    folder: str,
    *,
    since: float | None = None,
    project: str | None = None,
    server: str | None = None,
    event: str | None = None,
    outcome: str | None = None,
    tool: str | None = None,
    ref: str | None = None,
    newest_first: bool = False,
    skipped: Skipped | None = None,
) -> Iterator[Record]:
    """The records that are wanted, oldest first (or the other way round), from a folder that needn't exist.

    `since` is in seconds since the epoch; the others are equal to a record's key of that name.
    """
    wanted = Wanted(
        None if since is None else stamp(since),
        None if project is None else (project,),
        server,
        event,
        outcome,
        tool,
        ref,
    )
    for line in lines(folder, wanted, newest_first=newest_first, skipped=skipped):
        yield line.record


def find_ref(folder: str, ref: str) -> list[Record]:
    """All that was recorded under the `ref` of a refusal or a call, oldest first; the last `REF_LIMIT` where it is
    more."""
    found = list(itertools.islice(read(folder, ref=ref, newest_first=True), REF_LIMIT))
    return found[::-1]


def lines(
    folder: str,
    wanted: Wanted,
    *,
    newest_first: bool = False,
    ends: Mapping[str, int] | None = None,
    skipped: Skipped | None = None,
) -> Iterator[Line]:
    """Like `read`, with each record's own bytes. With `ends` (file name → bytes) only what stands before those
    positions."""
    skipped = skipped if skipped is not None else Skipped()
    sources: list[tuple[int, Iterator[Line]]] = []
    for name, info in _files(folder, skipped).items():
        latest = stamp(info.st_mtime + CLOCK_SLACK_S)
        if wanted.since is not None and latest < wanted.since:
            continue
        end = info.st_size if ends is None else ends.get(name, 0)
        bound = latest if newest_first else opened_at(name)
        sources.append((_rank(bound, newest_first), _of_file(f"{folder}/{name}", end, wanted, newest_first, skipped)))
    return _merged(sources, newest_first)


def follow(
    folder: str,
    wanted: Wanted,
    *,
    backlog: int | None = 0,
    pause: Callable[[], bool] | None = None,
    skipped: Skipped | None = None,
) -> Iterator[Line]:
    """First the last `backlog` records that are wanted (None: all), then new ones as they come, of new files too.

    Between two looks at the folder `pause` is called; it ends the iteration by returning False. None waits `POLL_S` and
    never ends.
    """
    skipped = skipped if skipped is not None else Skipped()
    done = {name: _last_line_end(f"{folder}/{name}") for name in _files(folder, skipped)}
    if backlog is None:
        yield from lines(folder, wanted, ends=done, skipped=skipped)
    elif backlog > 0:
        latest = itertools.islice(lines(folder, wanted, newest_first=True, ends=done, skipped=skipped), backlog)
        yield from list(latest)[::-1]
    while True:
        present = _files(folder, Skipped())
        done = {name: min(at, present[name].st_size) for name, at in done.items() if name in present}
        fresh = [name for name, info in present.items() if info.st_size > done.get(name, 0)]
        yield from _merged([(0, _new_lines(folder, name, done, wanted, skipped)) for name in sorted(fresh)], newest_first=False)
        if pause is None:
            time.sleep(POLL_S)
        elif not pause():
            return


def _files(folder: str, skipped: Skipped) -> dict[str, os.stat_result]:
    found: dict[str, os.stat_result] = {}
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            try:
                if opened_at(entry.name) and entry.is_file(follow_symlinks=False):
                    found[entry.name] = entry.stat(follow_symlinks=False)
                else:
                    skipped.files += 1
            except FileNotFoundError:  # pruned in between
                continue
    return dict(sorted(found.items()))


def _of_file(path: str, end: int, wanted: Wanted, newest_first: bool, skipped: Skipped) -> Iterator[Line]:
    needles = wanted.needles()
    with _opened(path, skipped) as file:
        if file is None:
            return
        pieces = backwards(file, end) if newest_first else _until(file, end)
        for piece in pieces:
            line = _judged(piece, needles, skipped)
            if line is None:
                continue
            if wanted.takes(line.record):
                yield line
            elif newest_first and wanted.since is not None and line.record["time"] < wanted.since:
                return  # what stands before is older still


def _until(file: BinaryIO, end: int) -> Iterator[bytes | None]:
    for piece, position in forwards(file):
        if position > end:  # written since we looked
            return
        yield piece


def _new_lines(folder: str, name: str, done: dict[str, int], wanted: Wanted, skipped: Skipped) -> Iterator[Line]:
    needles = wanted.needles()
    with _opened(f"{folder}/{name}", skipped) as file:
        if file is None:
            return
        for piece, position in forwards(file, done.get(name, 0)):
            if piece is not None and not piece.endswith(b"\n"):
                return  # it may be whole at the next look
            done[name] = position
            line = _judged(piece, needles, skipped)
            if line is not None and wanted.takes(line.record):
                yield line


@contextlib.contextmanager
def _opened(path: str, skipped: Skipped) -> Iterator[BinaryIO | None]:
    try:
        file = open(open_to_read(path), "rb")  # noqa: SIM115 - a descriptor, closed below
    except FileNotFoundError:  # pruned in between
        yield None
        return
    except OSError:
        skipped.files += 1
        yield None
        return
    with file:
        yield file


def _last_line_end(path: str) -> int:
    with _opened(path, Skipped()) as file:
        if file is None:
            return 0
        size = file.seek(0, os.SEEK_END)
        torn = next(backwards(file, size))
        return size if torn is None else size - len(torn)


def _judged(piece: bytes | None, needles: tuple[bytes, ...], skipped: Skipped) -> Line | None:
    if piece is None:
        skipped.lines += 1
        return None
    if not piece.endswith(b"\n"):
        skipped.torn += bool(piece)
        return None
    if piece == b"\n" or not all(needle in piece for needle in needles):
        return None
    try:
        record = _decoded(piece)
        _rank(record["time"], newest_first=False)
    except (KeyError, ValueError, RecursionError):
        skipped.lines += 1
        return None
    return Line(piece, record)


_decode = msgspec.json.Decoder(Record).decode


def _decoded(piece: bytes) -> Record:
    try:
        return _decode(piece)
    except (msgspec.DecodeError, UnicodeError):
        record = json.loads(piece)  # an escaped lone surrogate: rare, and a record still
        if type(record) is not dict:
            raise ValueError("no record") from None
        return record


def _rank(stamp_: object, newest_first: bool) -> int:
    """A record's ``time`` as a number that orders like it.

    Raises:
        ValueError: it isn't of the form that `stamp` gives.
    """
    if not isinstance(stamp_, str) or len(stamp_) != 24 or stamp_[10] != "T" or stamp_[23] != "Z" or not stamp_.isascii():
        raise ValueError("no time of a record")
    digits = stamp_[:4] + stamp_[5:7] + stamp_[8:10] + stamp_[11:13] + stamp_[14:16] + stamp_[17:19] + stamp_[20:23]
    if not digits.isdecimal():
        raise ValueError("no time of a record")
    return -int(digits) if newest_first else int(digits)


def _merged(sources: list[tuple[int, Iterator[Line]]], newest_first: bool) -> Iterator[Line]:
    """Merge by time; a source comes with a rank that none of its lines lies before, and isn't started until then."""
    waiting = sorted(((bound, i) for i, (bound, _) in enumerate(sources)), reverse=True)
    heads: list[tuple[int, int, Line]] = []
    while heads or waiting:
        while waiting and (not heads or waiting[-1][0] <= heads[0][0]):
            _advance(heads, waiting.pop()[1], sources, newest_first)
        if heads:
            _, i, line = heapq.heappop(heads)
            yield line
            _advance(heads, i, sources, newest_first)


def _advance(heads: list[tuple[int, int, Line]], i: int, sources: list[tuple[int, Iterator[Line]]], newest_first: bool) -> None:
    line = next(sources[i][1], None)
    if line is not None:
        heapq.heappush(heads, (_rank(line.record["time"], newest_first), i, line))
