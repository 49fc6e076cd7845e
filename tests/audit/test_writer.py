from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import textwrap
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

CHILD = """
import sys
from mcpwrap.audit.record import AuditError
from mcpwrap.audit.writer import AuditWriter
from mcpwrap.core.entry import Entry

def writer(folder, shim="child"):
    return AuditWriter(folder, shim=shim, project="p", server="s", subject={"issuer": "local", "sub": "u"}, policy_digest="d")

def call(size):
    return Entry("call", "client", "tools/call", tool="t", arguments={"x": "y" * size})
"""


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in only_file(folder).read_text("utf-8").splitlines()]


def child(code: str, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    program = CHILD + textwrap.dedent(code)
    return subprocess.run(
        [*before, sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


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


FILL = """
    writer = writer(sys.argv[1])
    writer.write([call(1000)])
    done = 1
    try:
        while done < 1000:
            writer.write([call(1000), call(1000)])
            done += 2
    except AuditError as error:
        print(done, error)
        refused = 0
        for size in (1000, 5000):
            try:
                writer.write([call(size)])
            except AuditError:
                refused += 1
        print(refused)
"""


def assert_whole(folder: Path, output: str) -> None:
    done = int(output.split()[0])
    assert 0 < done < 1000
    raw = only_file(folder).read_bytes()
    assert raw.endswith(b"}\n")
    assert [json.loads(line)["seq"] for line in raw.splitlines()][:done] == list(range(1, done + 1))


def test_a_write_past_the_largest_file_is_refused_and_cut_off_again(folder: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
    result = child(textwrap.dedent(limit) + textwrap.dedent(FILL), str(folder))
    assert result.returncode == 0, result.stderr
    assert "in part only" in result.stdout
    assert_whole(folder, result.stdout)


def test_a_full_disk_refuses_leaves_earlier_records_whole_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    full = tmp_path / "disk"
    full.mkdir()
    mount = 'mount -t tmpfs -o size=64k tmpfs "$0" && exec "$@"'
    namespace = ("unshare", "-rm", "sh", "-c", mount, str(full))  # a mount of the child's own, gone with it
    try:
        possible = subprocess.run([*namespace, "true"], capture_output=True, check=False, timeout=20).returncode == 0
    except FileNotFoundError:
        possible = False
    if not possible:
        pytest.skip("no file system can be mounted here")
    more = """
    from pathlib import Path
    (path,) = Path(sys.argv[1]).iterdir()
    raw = path.read_bytes()
    assert raw.endswith(b"}\\n")
    (Path(sys.argv[1]).parent / "ballast").unlink()
    writer.write([call(1000)])
    (path,) = Path(sys.argv[1]).iterdir()
    assert path.read_bytes().startswith(raw)
    sys.stdout.write(path.read_text())
    """
    ballast = "from pathlib import Path\nPath(sys.argv[1]).parent.mkdir()\n(Path(sys.argv[1]).parent / 'ballast').write_bytes(b'x' * 16384)\n"
    result = child(ballast + textwrap.dedent(FILL) + textwrap.dedent(more), str(full / "state" / "audit"), before=namespace)
    assert result.returncode == 0, result.stderr
    status, refused, *lines = result.stdout.splitlines()
    done = int(status.split()[0])
    assert 0 < done < 100
    assert int(refused) >= 1
    seqs = [json.loads(line)["seq"] for line in lines]
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) > done


def test_what_could_not_be_cut_off_does_not_spoil_the_next_record(
    folder: Path, open_writer: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_writer()
    writer.write([CALL])
    real = os.write

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:30]))
        patch.setattr(os, "ftruncate", broken)
        with pytest.raises(AuditError, match="in part only"):
            writer.write([CALL])
    writer.write([END])
    assert [(record["event"], record["seq"]) for record in read(str(folder))] == [("call", 1), ("response", 2)]


def test_an_error_of_the_disk_refuses_and_the_next_record_is_written(
    folder: Path, open_writer: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_writer()
    with monkeypatch.context() as patch:

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        patch.setattr(os, "write", full)
        with pytest.raises(AuditError, match="no space left on device") as caught:
            writer.write([CALL])
        assert str(folder) in caught.value.hint
    writer.write([CALL])
    assert [record["seq"] for record in records(folder)] == [1]


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
    monkeypatch.setattr(writer_module, "ROLL_BYTES", 2000)
    writer = open_writer()
    for _ in range(40):  # four records a second: a second file of the same second can't be opened, and nothing is refused
        writer.write([CALL])
        clock.now += 0.25
    assert len(list(folder.iterdir())) > 2
    assert [record["seq"] for record in read(str(folder))] == list(range(1, 41))


def test_no_descriptor_of_the_audit_reaches_a_child(folder: Path, open_writer: Open) -> None:
    open_writer().write([CALL])
    listing = subprocess.run(
        [sys.executable, "-c", "import os; print([os.readlink(f'/proc/self/fd/{n}') for n in (3, 4, 5, 6) if os.path.exists(f'/proc/self/fd/{n}')])"],
        capture_output=True, text=True, check=True, close_fds=False, timeout=20,
    )  # fmt: skip
    assert "jsonl" not in listing.stdout


def test_kill_in_the_middle_of_writing_loses_nothing_that_was_written(folder: Path) -> None:
    program = CHILD + textwrap.dedent("""
        writer = writer(sys.argv[1])
        done = 0
        while True:
            writer.write([call(200_000)])
            done += 1
            sys.stdout.write(f"{done}\\n")
            sys.stdout.flush()
    """)
    with subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 20:
                process.kill()
                break
        told = [20] + [int(line) for line in process.stdout if re.fullmatch(r"\d+\n", line)]
    seqs = [record["seq"] for record in read(str(folder))]
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) >= told[-1]
