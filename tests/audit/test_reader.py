from __future__ import annotations

import io
import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mcpwrap.audit.reader as reader_module
from mcpwrap.audit.lines import BLOCK, backwards, forwards
from mcpwrap.audit.reader import Skipped, Wanted, find_ref, follow, lines, read
from mcpwrap.audit.record import file_name, open_to_read, opened_at, stamp
from mcpwrap.core.entry import Entry
from tests.audit.conftest import NOON, Clock, Open

ALL = Wanted()


def call(tool: str, *, outcome: str = "allow", ref: str = "") -> Entry:
    return Entry("call", "client", "tools/call", outcome=outcome, tool=tool, ref=ref)


def tools(folder: Path, **wanted: object) -> list[str]:
    return [record["tool"] for record in read(str(folder), **wanted)]  # type: ignore[arg-type]


def fill(folder: Path, open_writer: Open, clock: Clock) -> None:
    """Three runs that overlap; each call is named by its second."""
    a, b = open_writer("a"), open_writer("b", server="git")
    for second, writer in enumerate([a, a, b, a, b, b, a]):
        clock.now = NOON + second
        writer.write([call(f"t{second}", outcome="deny" if second == 4 else "allow", ref=f"r{second}")])
    clock.now = NOON + 10
    open_writer("c", project="/src/other").write([call("t10")])
    for path in folder.iterdir():
        os.utime(path, (NOON + 10, NOON + 10))


def test_records_of_all_runs_come_in_the_order_of_their_times(folder: Path, open_writer: Open, clock: Clock) -> None:
    fill(folder, open_writer, clock)
    assert tools(folder) == ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t10"]
    assert tools(folder, newest_first=True) == ["t10", "t6", "t5", "t4", "t3", "t2", "t1", "t0"]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"since": NOON + 3}, ["t3", "t4", "t5", "t6", "t10"]),
        ({"since": NOON + 11}, []),
        ({"server": "git"}, ["t2", "t4", "t5"]),
        ({"outcome": "deny"}, ["t4"]),
        ({"tool": "t1"}, ["t1"]),
        ({"ref": "r6"}, ["t6"]),
        ({"event": "list"}, []),
        ({"project": "/src/other"}, ["t10"]),
        ({"server": "git", "since": NOON + 4}, ["t4", "t5"]),
        ({"tool": 'a"b\\'}, []),
    ],
)
def test_only_what_is_wanted_comes(
    folder: Path, open_writer: Open, clock: Clock, wanted: dict[str, object], found: list[str], newest_first: bool
) -> None:
    fill(folder, open_writer, clock)
    assert tools(folder, **wanted, newest_first=newest_first) == (found[::-1] if newest_first else found)


def test_a_name_with_escapes_in_json_is_found(folder: Path, open_writer: Open) -> None:
    open_writer().write([call('a"b\\c\u2028'), call("x/y")])
    assert tools(folder, tool='a"b\\c\u2028') == ['a"b\\c\u2028']
    assert tools(folder, tool="x/y") == ["x/y"]


def test_a_folder_that_is_not_there_holds_no_records(tmp_path: Path) -> None:
    assert list(read(str(tmp_path / "nowhere"))) == []
    assert find_ref(str(tmp_path / "nowhere"), "k7f2") == []


def test_both_records_of_a_call_are_found_by_its_ref(folder: Path, open_writer: Open) -> None:
    writer = open_writer()
    writer.write([call("a", ref="k7f2"), call("b", ref="k7f3")])
    writer.write([Entry("response", "server", "tools/call", ref="k7f2", status="ok")])
    assert [record["event"] for record in find_ref(str(folder), "k7f2")] == ["call", "response"]


@pytest.mark.parametrize("newest_first", [False, True])
def test_torn_lines_foreign_files_and_junk_are_left_out_and_counted(
    folder: Path, open_writer: Open, clock: Clock, tmp_path: Path, newest_first: bool
) -> None:
    writer = open_writer("good")
    writer.write([call("one")])
    (path,) = folder.iterdir()
    junk = [
        b"",  # a blank line is what follows a record that couldn't be cut off; it isn't counted
        b"not json",
        b"[]",
        b"7",
        b'"text"',
        b"{}",
        b'{"time":7}',
        b'{"time":"yesterday"}',
        b'{"time":"2026-05-18T12:00:00Z"}',
        b'{"time":"2026-05-18T12:00:00.00xZ"}',
        b"\xff\xfe\x00",
        b'{"time":"2026-05-18T12:00:00.000Z","a":"\xff"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"time":"2026-05-18T12:00:00.000Z","n":' + b"9" * 5000 + b"}x",
    ]
    with path.open("ab") as file:
        file.write(b"\n".join(junk) + b"\n")
    writer.write([call("two")])
    with path.open("ab") as file:
        file.write(b'{"time":"2026-05-18T12:00:00.000Z","seq":9,"tool":"torn"')
    (folder / "notes.txt").write_text("mine")
    (folder / "x.jsonl").write_text("{}")
    (folder / "2026-05-18T120000-folder.jsonl").mkdir()
    (folder / "2026-05-18T120000-link.jsonl").symlink_to(path)
    os.mkfifo(folder / "2026-05-18T120000-pipe.jsonl")
    skipped = Skipped()
    found = [record["tool"] for record in read(str(folder), newest_first=newest_first, skipped=skipped)]
    assert sorted(found) == ["one", "two"]
    assert skipped == Skipped(lines=len(junk) - 1, torn=1, files=5)


def test_fields_of_other_types_do_not_stop_the_reader(folder: Path) -> None:
    folder.mkdir(parents=True)
    odd = {"time": stamp(NOON), "server": 5, "tool": ["x"], "outcome": {}, "ref": None, "project": []}
    (folder / file_name(NOON, "odd")).write_text(json.dumps(odd) + "\n")
    assert list(read(str(folder))) == [odd]
    assert list(read(str(folder), server="5", tool="x", outcome="deny", ref="r", project="p")) == []


def test_a_piece_longer_than_any_record_is_left_out_without_being_held_whole(folder: Path) -> None:
    data = b"a\n" + b"x" * 300_000 + b"\nb\nc"
    assert list(backwards(io.BytesIO(data), len(data), limit=100_000)) == [b"c", b"b\n", None, b"a\n"]
    pieces = [piece for piece, _ in forwards(io.BytesIO(data), limit=100_000)]
    assert [piece for piece in pieces if piece] == [b"a\n", b"\n", b"b\n", b"c"]
    assert None in pieces


@given(st.lists(st.sampled_from([b"", b"a", b"bc", b"x" * BLOCK, b"y" * (BLOCK - 1)]), max_size=12), st.booleans())
def test_lines_backwards_are_the_lines_forwards_turned_round(parts: list[bytes], torn: bool) -> None:
    data = b"\n".join(parts) + (b"" if torn or not parts else b"\n")
    ahead = [piece for piece, _ in forwards(io.BytesIO(data))]
    if not ahead or ahead[-1].endswith(b"\n"):  # type: ignore[union-attr]
        ahead.append(b"")
    assert list(backwards(io.BytesIO(data), len(data))) == ahead[::-1]


def test_positions_forwards_lie_behind_each_line() -> None:
    assert list(forwards(io.BytesIO(b"a\nbc\nd"), 2)) == [(b"bc\n", 5), (b"d", 6)]


def test_files_are_opened_only_when_their_time_comes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(parents=True)
    for day in range(200):
        moment = NOON + day * 86_400
        path = folder / file_name(moment, "r")
        path.write_text(json.dumps({"time": stamp(moment), "tool": f"d{day}"}) + "\n")
        os.utime(path, (moment, moment))
    held: set[int] = set()
    most = 0
    real = open_to_read

    def watched(path: str) -> int:
        nonlocal most
        descriptor = real(path)
        held.intersection_update(int(path.name) for path in Path("/proc/self/fd").iterdir())
        held.add(descriptor)
        most = max(most, len(held))
        return descriptor

    monkeypatch.setattr(reader_module, "open_to_read", watched)
    assert tools(folder) == [f"d{day}" for day in range(200)]
    assert next(iter(read(str(folder), newest_first=True)))["tool"] == "d199"
    assert most <= 3


def test_lines_are_as_they_stand_in_the_file(folder: Path, open_writer: Open) -> None:
    open_writer().write([call("ä\x1b[31m"), call("b")])
    (path,) = folder.iterdir()
    assert b"".join(line.raw for line in lines(str(folder), ALL)) == path.read_bytes()


def script(*steps: Callable[[], object]) -> Callable[[], bool]:
    """A pause that does one step each time, and ends the following when there is none left."""
    left = iter(steps)

    def pause() -> bool:
        step = next(left, None)
        if step is None:
            return False
        step()
        return True

    return pause


def followed(folder: Path, pause: Callable[[], bool], backlog: int | None = 0, wanted: Wanted = ALL) -> Iterator[str]:
    for line in follow(str(folder), wanted, backlog=backlog, pause=pause):
        yield line.record["tool"]


def test_following_sees_new_records_and_new_files(folder: Path, open_writer: Open, clock: Clock) -> None:
    a, b = open_writer("a"), open_writer("b")
    a.write([call("old")])

    def later() -> None:
        a.write([call("four")])
        clock.now += 1
        b.write([call("five")])

    pause = script(lambda: a.write([call("one"), call("two")]), lambda: None, lambda: b.write([call("three")]), later)
    assert list(followed(folder, pause)) == ["one", "two", "three", "four", "five"]


def test_following_begins_before_there_is_a_folder(folder: Path, open_writer: Open) -> None:
    assert list(followed(folder, script(lambda: open_writer().write([call("first")])))) == ["first"]


@pytest.mark.parametrize(("backlog", "old"), [(0, []), (2, ["o1", "o2"]), (9, ["o0", "o1", "o2"]), (None, ["o0", "o1", "o2"])])
def test_following_begins_with_the_latest_records(folder: Path, open_writer: Open, backlog: int | None, old: list[str]) -> None:
    writer = open_writer()
    writer.write([call(f"o{n}") for n in range(3)])
    assert list(followed(folder, script(lambda: writer.write([call("new")])), backlog)) == [*old, "new"]


def test_nothing_is_lost_or_doubled_between_the_latest_records_and_the_new_ones(folder: Path, open_writer: Open) -> None:
    writer = open_writer()
    writer.write([call("old")])
    found = []
    for tool in followed(folder, script(), backlog=None):
        found.append(tool)
        if tool == "old":
            writer.write([call("between")])
    assert found == ["old", "between"]


def test_a_line_that_is_half_written_is_read_when_it_is_whole(folder: Path, open_writer: Open) -> None:
    writer = open_writer()
    writer.write([call("old")])
    (path,) = folder.iterdir()
    line = path.read_bytes().replace(b"old", b"new")

    def append(data: bytes) -> None:
        with path.open("ab") as file:
            file.write(data)

    append(line[:20])
    pause = script(lambda: append(line[20:50]), lambda: append(line[50:]))
    assert list(followed(folder, pause, backlog=5)) == ["old", "new"]


def test_following_goes_on_when_files_are_pruned_and_leaves_out_junk(folder: Path, open_writer: Open) -> None:
    a, b = open_writer("a"), open_writer("b")
    a.write([call("old")])
    (path,) = folder.iterdir()
    with path.open("ab") as file:
        file.write(b"junk\n")
    pause = script(path.unlink, lambda: b.write([call("denied", outcome="deny"), call("allowed")]))
    assert list(followed(folder, pause, None, Wanted(outcome="deny"))) == ["denied"]


def test_following_waits_between_two_looks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        list(follow(str(folder), ALL))
    assert waited == [reader_module.POLL_S] * 3


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("2026-05-18T120001-ab_C-1.jsonl", "2026-05-18T12:00:01.000Z"),
        ("2026-05-18T120001-.jsonl", None),
        ("2026-05-18T120001-a.jsonl.gz", None),
        ("2026-05-18T120001-a.jsonl\n", None),
        ("x2026-05-18T120001-a.jsonl", None),
        ("٢٠٢٦-05-18T120001-a.jsonl", None),
    ],
)
def test_a_file_name_tells_when_the_file_was_opened(name: str, time: str | None) -> None:
    assert opened_at(name) == time


@given(st.floats(0, 4e9))
def test_times_order_like_their_stamps_and_names(seconds: float) -> None:
    later = seconds + 0.002
    assert stamp(seconds) <= stamp(later)
    opened = opened_at(file_name(seconds, "r"))
    assert opened is not None
    assert opened <= stamp(seconds)


@pytest.mark.parametrize("seconds", [-1e18, 1e18, float("inf")])
def test_a_time_outside_of_the_calendar_is_clamped(seconds: float) -> None:
    assert len(stamp(seconds)) == 24


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_no_bytes_in_a_file_make_the_reader_raise(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("audit")
    (folder / file_name(NOON, "r")).write_bytes(b"\n".join(parts))
    for newest_first in (False, True):
        skipped = Skipped()
        found = list(itertools.islice(read(str(folder), newest_first=newest_first, skipped=skipped), 10))
        assert len(found) + skipped.lines + skipped.torn <= len(b"\n".join(parts).split(b"\n"))


def test_a_file_that_is_pruned_before_its_time_comes_is_no_error(folder: Path, open_writer: Open, clock: Clock) -> None:
    open_writer("a").write([call("first")])
    clock.now += 1
    open_writer("b").write([call("second")])
    found = read(str(folder))
    assert next(found)["tool"] == "first"
    next(folder.glob("*-b.jsonl")).unlink()
    skipped = Skipped()
    assert list(found) == []
    assert not skipped


def test_a_file_that_cannot_be_read_is_counted(folder: Path, open_writer: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    open_writer("a").write([call("first")])

    def refuse(path: str) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(reader_module, "open_to_read", refuse)
    skipped = Skipped()
    assert list(read(str(folder), skipped=skipped)) == []
    assert skipped == Skipped(files=1)


def test_a_pipe_in_the_place_of_a_file_does_not_hold_the_reader_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="isn't a regular file"):
        open_to_read(str(tmp_path / "pipe"))
