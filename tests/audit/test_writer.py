from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

import mcpwrap.audit.writer as writer_module
from mcpwrap.audit.reader import read
from mcpwrap.audit.record import AuditError
from mcpwrap.audit.writer import AuditWriter
from mcpwrap.core.entry import Entry
from mcpwrap.core.rules import Reason
from mcpwrap.errors import StateError
from tests.audit.conftest import Clock, Open

CALL = Entry("call", "client", "tools/call", outcome="allow", ref="k7f2", tool="read_file", arguments={"path": "a"})
END = Entry("response", "server", "tools/call", ref="k7f2", status="ok", duration_ms=1.25, result_bytes=40)


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in only_file(folder).read_text("utf-8").splitlines()]


def test_a_record_has_every_key_that_the_contract_names(folder: Path, open_writer: Open, clock: Clock) -> None:
    clock.now += 0.25
    everything = Entry(
        "call",
        "client",
        "tools/call",
        outcome="log",
        ref="k7f2",
        request_id=7,
        tool="write_file",
        uri="file:///a",
        prompt="p",
        task="t1",
        reasons=(Reason("mcpwrap.toml", 9, "log", 'log = ["write_*"]'),),
        arguments={"path": "a", "token": "[redacted]"},
        status="ok",
        duration_ms=1.5,
        result_bytes=12,
        client={"name": "c", "version": "1"},
        trace="00-abc",
        note="n",
        counts={"total": 3, "shown": 2},
    )
    open_writer().write([everything])
    assert records(folder) == [
        {
            "time": "2026-05-18T12:00:00.250Z",
            "seq": 1,
            "shim": "run1",
            "project": "/src/shop",
            "server": "files",
            "subject": {"issuer": "local", "sub": "ann"},
            "policy_digest": "d1",
            "event": "call",
            "direction": "client",
            "method": "tools/call",
            "outcome": "log",
            "ref": "k7f2",
            "request_id": 7,
            "tool": "write_file",
            "uri": "file:///a",
            "prompt": "p",
            "task": "t1",
            "reasons": [{"file": "mcpwrap.toml", "line": 9, "effect": "log", "text": 'log = ["write_*"]'}],
            "arguments": {"path": "a", "token": "[redacted]"},
            "status": "ok",
            "duration_ms": 1.5,
            "result_bytes": 12,
            "client": {"name": "c", "version": "1"},
            "trace": "00-abc",
            "note": "n",
            "counts": {"total": 3, "shown": 2},
        }
    ]


def test_what_an_entry_does_not_say_does_not_stand_in_the_record(folder: Path, open_writer: Open) -> None:
    open_writer().write([Entry("lifecycle", "client", "initialize", request_id=0), Entry("call", "client", "x", arguments=None)])
    first, second = records(folder)
    constant = {"time", "seq", "shim", "project", "server", "subject", "policy_digest", "event", "direction", "method"}
    assert set(first) == constant | {"request_id"}
    assert first["request_id"] == 0
    assert set(second) == constant | {"arguments"}
    assert second["arguments"] is None


def test_no_field_of_an_entry_can_stand_in_for_what_the_writer_adds() -> None:
    added = {"time", "seq", "shim", "project", "server", "subject", "policy_digest"}
    assert added.isdisjoint(field.encode_name for field in msgspec.structs.fields(Entry))


def test_all_entries_of_one_write_go_out_in_one_system_call(
    folder: Path, open_writer: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    real = os.write

    def counted(descriptor: int, data: bytes) -> int:
        writes.append(len(data))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", counted)
    writer = open_writer()
    writer.write([CALL, END, CALL])
    writer.write([])
    assert writes == [only_file(folder).stat().st_size]
    assert [record["seq"] for record in records(folder)] == [1, 2, 3]


def test_a_file_is_opened_with_its_first_record_and_named_by_it(folder: Path, open_writer: Open) -> None:
    writer = open_writer()
    assert not folder.exists()
    writer.write([])
    assert not folder.exists()
    writer.write([CALL])
    assert only_file(folder).name == "2026-05-18T120000-run1.jsonl"


def test_file_and_folder_are_for_their_owner_only(folder: Path, open_writer: Open) -> None:
    open_writer().write([CALL])
    assert stat.S_IMODE(only_file(folder).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


def test_a_folder_that_others_can_read_is_narrowed(folder: Path, open_writer: Open) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    open_writer().write([CALL])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o1777])
def test_a_folder_that_others_can_write_in_is_refused(folder: Path, open_writer: Open, mode: int) -> None:
    folder.mkdir(parents=True)
    folder.chmod(mode)
    with pytest.raises(AuditError, match="others can write in") as caught:
        open_writer().write([CALL])
    assert "chmod 700" in caught.value.hint
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(folder: Path, open_writer: Open) -> None:
    folder.mkdir(parents=True, mode=0o700)
    os.chown(folder, 12345, 12345)
    with pytest.raises(AuditError, match="belongs to another user"):
        open_writer().write([CALL])


def test_a_folder_that_is_a_link_is_refused(folder: Path, open_writer: Open, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder.parent.mkdir(parents=True)
    folder.symlink_to(elsewhere)
    with pytest.raises(AuditError, match="isn't a folder of its own"):
        open_writer().write([CALL])
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "dangling link", "file", "hard link"])
def test_what_was_planted_in_the_place_of_the_file_is_never_written_to(
    folder: Path, open_writer: Open, clock: Clock, tmp_path: Path, kind: str
) -> None:
    folder.mkdir(parents=True, mode=0o700)
    victim = tmp_path / "victim"
    place = folder / "2026-05-18T120000-run1.jsonl"
    match kind:
        case "link":
            victim.write_text("mine")
            place.symlink_to(victim)
        case "dangling link":
            place.symlink_to(victim)
        case "file":
            place.write_text("mine")
        case _:
            victim.write_text("mine")
            place.hardlink_to(victim)
    writer = open_writer()
    with pytest.raises(AuditError, match="can't be written"):
        writer.write([CALL])
    assert not victim.exists() or victim.read_text() == "mine"
    clock.now += 1
    writer.write([CALL])
    assert [record["seq"] for record in read(str(folder), since=clock.now)] == [1]


def test_a_failure_is_an_error_about_our_own_state(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("")
    writer = AuditWriter(
        str(tmp_path / "file" / "audit"), shim="r", project="p", server="s", subject={}, policy_digest="d", clock=clock
    )
    with pytest.raises(StateError) as caught:
        writer.write([CALL])
    assert isinstance(caught.value, AuditError)
    assert str(caught.value) == "an audit record can't be written: not a directory"


def test_an_id_that_could_leave_the_folder_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="can't be the id"):
        AuditWriter(str(folder), shim="../x", project="p", server="s", subject={}, policy_digest="d")


def test_an_accepted_change_of_the_policy_stands_in_the_records_after_it(folder: Path, open_writer: Open) -> None:
    writer = open_writer()
    writer.write([CALL])
    writer.policy_digest = "d2"
    writer.write([CALL])
    assert [record["policy_digest"] for record in records(folder)] == ["d1", "d2"]


def test_two_shims_at_once_write_two_files(folder: Path, open_writer: Open) -> None:
    first, second = open_writer("one"), open_writer("two")
    for _ in range(3):
        first.write([CALL])
        second.write([CALL])
    assert len(list(folder.iterdir())) == 2
    assert sorted((r["shim"], r["seq"]) for r in read(str(folder))) == [(s, n) for s in ("one", "two") for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("\ud800 lone", r'"\ud800 lone"'),
        (2**200, str(2**200)),
        (Decimal("1.10000000000000000001"), "1.10000000000000000001"),
        ("a\u2028b\u2029c\x85d\ne", r'"a\u2028b\u2029c\u0085d\ne"'),
        (["\ud800", Decimal("0.10"), True, None, 1.5], r'["\ud800",0.10,true,null,1.5]'),
    ],
)
def test_every_value_that_may_come_over_the_wire_can_be_recorded_on_one_line(
    folder: Path, open_writer: Open, value: object, text: str
) -> None:
    writer = open_writer()
    writer.write([Entry("call", "client", "m", reasons=(Reason("f", 1, "allow", "t"),), arguments={"v": value})])
    raw = only_file(folder).read_text("utf-8")
    assert f'"arguments":{{"v":{text}}}' in raw
    assert len(raw.splitlines()) == 1
    assert len(list(read(str(folder)))) == 1


def test_a_project_path_that_is_no_unicode_can_be_recorded(folder: Path, open_writer: Open) -> None:
    open_writer(project=os.fsdecode(b"/src/caf\xe9")).write([CALL])
    assert [os.fsencode(r["project"]) for r in read(str(folder))] == [b"/src/caf\xe9"]


def test_a_record_that_is_too_long_is_refused_and_nothing_of_its_batch_written(
    folder: Path, open_writer: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_writer()
    writer.write([CALL])
    monkeypatch.setattr(writer_module, "RECORD_LIMIT", 1000)
    with pytest.raises(AuditError, match="longer than"):
        writer.write([CALL, Entry("call", "client", "m", arguments="x" * 1000)])
    writer.write([CALL])
    assert [record["seq"] for record in records(folder)] == [1, 2]


def test_a_file_that_was_deleted_swallows_no_records_past_the_second(folder: Path, open_writer: Open, clock: Clock) -> None:
    writer = open_writer()
    writer.write([CALL])
    only_file(folder).unlink()
    clock.now += 1
    writer.write([CALL])
    assert [record["seq"] for record in records(folder)] == [2]


def test_a_long_run_goes_on_in_a_new_file_and_loses_nothing(
    folder: Path, open_writer: Open, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "ROLL_BYTES", 400)
    writer = open_writer()
    for _ in range(40):  # four records a second: a second file of the same second can't be opened, and nothing is refused
        writer.write([CALL])
        clock.now += 0.25
    assert len(list(folder.iterdir())) > 2
    assert [record["seq"] for record in read(str(folder))] == list(range(1, 41))


def test_no_descriptor_of_the_audit_reaches_a_child(folder: Path, open_writer: Open) -> None:
    open_writer().write([CALL])
    program = "from pathlib import Path; print([str(path.resolve()) for path in Path('/proc/self/fd').iterdir()])"
    listing = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, close_fds=False, timeout=20
    )
    assert "pipe:" in listing.stdout
    assert "jsonl" not in listing.stdout


def test_what_cannot_be_encoded_is_refused(folder: Path, open_writer: Open) -> None:
    endless: list[object] = []
    endless.append(endless)
    writer = open_writer()
    for value in (endless, object()):
        with pytest.raises(AuditError, match="can't be encoded"):
            writer.write([CALL, Entry("call", "client", "m", arguments=value)])
    assert not folder.exists()
    writer.write([CALL])
    assert [record["seq"] for record in records(folder)] == [1]
