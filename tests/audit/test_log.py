from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mcpwrap.audit.writer import AuditWriter
from mcpwrap.cli.log import instant, log
from mcpwrap.cli.log_table import Table, cells_of
from mcpwrap.core.entry import Entry
from mcpwrap.core.rules import Reason
from mcpwrap.core.visible import INVISIBLE
from mcpwrap.errors import UsageError
from mcpwrap.policy.folders import folders
from tests.audit.conftest import NOON, Clock

DENIED = Entry(
    "call",
    "client",
    "tools/call",
    outcome="deny",
    ref="k7f3",
    tool="move_file",
    reasons=(Reason("mcpwrap.toml", 12, "deny", 'deny = ["move_file"]'), Reason("config.toml", 3, "deny", "no moves")),
    arguments={"path": "secret-looking"},
    status="refused",
)
STORY = (
    Entry("lifecycle", "client", "initialize", status="ok"),
    Entry("list", "server", "tools/list", outcome="allow", status="ok", counts={"total": 14, "shown": 9}),
    Entry("call", "client", "tools/call", outcome="allow", ref="k7f2", tool="read_file"),
    Entry("response", "server", "tools/call", ref="k7f2", status="ok", duration_ms=1.234),
    DENIED,
    Entry("call", "server", "sampling/createMessage", outcome="deny", ref="k7f4", status="refused"),
    Entry("call", "client", "resources/read", outcome="log", ref="k7f5", uri="file:///src/a.py"),
)


@pytest.fixture
def folder(home: Path) -> Path:
    return Path(folders(os.environ).state) / "audit"


@pytest.fixture
def writer(folder: Path, clock: Clock) -> AuditWriter:
    return AuditWriter(str(folder), shim="run1", project="/src/shop", server="files", subject={}, policy_digest="d", clock=clock)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(log, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def column(output: str, index: int) -> list[str]:
    return [re.split(r"\s{2,}", line)[index] for line in output.splitlines() if line[:2].isdigit() and ":" in line]


def test_what_happened_is_told_in_a_line_each(writer: AuditWriter) -> None:
    writer.write(STORY)
    time = f"{datetime.fromtimestamp(NOON).astimezone():%H:%M:%S}"
    day = f"{datetime.fromtimestamp(NOON).astimezone():%Y-%m-%d}"
    deny = 'mcpwrap.toml:12 deny = ["move_file"] (+1)'
    assert run().output == "\n".join(
        [
            "time      server        outcome  what                            status          ms  ref     reason",
            day,
            f"{time}  files                  initialize                      ok",
            f"{time}  files         allow    tools/list 9 of 14              ok",
            f"{time}  files         allow    read_file                                           k7f2",
            f"{time}  files                  read_file                       ok             1.2  k7f2",
            f"{time}  files         deny     move_file                       refused             k7f3    {deny}",
            f"{time}  files         deny     server: sampling/createMessage  refused             k7f4",
            f"{time}  files         log      resources/read file:///src/a.py                      k7f5",
            "",
        ]
    )


def test_json_is_the_records_as_they_stand_in_their_files(writer: AuditWriter, folder: Path) -> None:
    writer.write(STORY)
    (path,) = folder.iterdir()
    assert run("--json").stdout_bytes == path.read_bytes()
    assert run("--json", "-n", "2").stdout_bytes.splitlines() == path.read_bytes().splitlines()[-2:]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--outcome", "deny"], ["move_file", "sampling/createMessage"]),
        (["--ref", "k7f2"], ["read_file", "tools/call"]),
        (["--server", "git"], []),
        (["--server", "files", "-n", "1"], ["resources/read"]),
        (["--since", "2026-05-18T12:00:00.001Z"], []),
        (["--since", "2026-05-18T14:00:00+02:00", "--outcome", "log"], ["resources/read"]),
        (["--project", "/src/shop", "--outcome", "log"], ["resources/read"]),
        (["--project", "/src/other"], []),
        (["-n", "0"], []),
    ],
)
def test_records_are_chosen_by_what_they_say(writer: AuditWriter, arguments: list[str], found: list[str]) -> None:
    writer.write(STORY)
    lines = run("--json", *arguments).stdout.splitlines()
    assert [record.get("tool") or record["method"] for record in map(json.loads, lines)] == found


def test_a_project_may_be_named_by_any_path_to_its_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "shop"
    root.mkdir()
    (tmp_path / "link").symlink_to(root)
    AuditWriter(str(folder), shim="r", project=str(root), server="s", subject={}, policy_digest="d").write(STORY[:1])
    monkeypatch.chdir(root)
    for name in (".", "../link", str(root)):
        assert len(run("--json", "--project", name).stdout.splitlines()) == 1


def test_without_a_count_the_latest_fifty_are_shown_but_all_since_a_time(writer: AuditWriter) -> None:
    for _ in range(30):
        writer.write(STORY[2:4])
    assert len(column(run().output, 0)) == 50
    assert len(column(run("--since", "2026-05-18").output, 0)) == 60
    assert len(run("--json").stdout.splitlines()) == 60


def test_no_records_are_said_to_be_none(writer: AuditWriter) -> None:
    result = run()
    assert (result.stdout, result.stderr, result.exit_code) == ("", "no records yet\n", 0)
    writer.write(STORY)
    assert run("--server", "git").stderr == "no record matches\n"
    assert run("--server", "git", "--json").output == ""


def test_junk_is_left_out_and_counted_on_stderr(writer: AuditWriter, folder: Path) -> None:
    writer.write(STORY)
    (path,) = folder.iterdir()
    good = path.read_bytes()
    path.write_bytes(b"junk\n" + good + b"{}\n" + good[:40])
    (folder / "notes.txt").write_text("")
    result = run("--json")
    assert result.stdout_bytes == good
    assert result.stderr == (
        "left out: 2 lines that are no records, 1 torn last line (a run that was killed), 1 foreign or unreadable file\n"
    )


def test_what_a_server_or_a_client_named_cannot_draw_on_the_terminal(writer: AuditWriter) -> None:
    evil = "\x1b[2J\u202etxt\x9b31m\u200b\U000e0041\n12:00:00  files  allow"
    writer.write(
        [
            Entry("call", evil, evil, outcome=evil, ref=evil, tool=evil, status=evil, reasons=(Reason(evil, 1, evil, evil),)),
            Entry("lifecycle", "client", evil, note=evil),
            Entry("call", "client", "m", uri=evil),
        ]
    )
    output = run().output
    assert INVISIBLE.search(output.replace("\n", "")) is None
    assert "\\u{1b}[2J\\u{202e}txt\\u{9b}31m\\u{200b}\\u{e0041}\\u{a}12:00:00" in output
    assert len(output.splitlines()) == 5


def test_a_record_with_fields_of_other_types_is_shown_too(folder: Path) -> None:
    folder.mkdir(parents=True)
    odd = [
        {"time": "2026-05-18T12:00:00.000Z", "server": 5, "tool": ["x"], "reasons": [7], "duration_ms": "1", "ref": 4},
        {"time": "2026-99-99T99:99:99.999Z", "counts": {"total": None}, "reasons": {}, "duration_ms": 1e300, "tool": {}},
        {"time": "2026-05-18T12:00:01.000Z", "reasons": [{"line": "x", "text": 3}], "duration_ms": True, "counts": []},
    ]
    (folder / "2026-05-18T120000-odd.jsonl").write_text("".join(json.dumps(record) + "\n" for record in odd))
    assert len(run().output.splitlines()) == 5


@pytest.mark.parametrize("width", [40, 80, 100, 140, 200])
def test_no_line_is_wider_than_the_terminal_from_eighty_columns_on(width: int) -> None:
    table = Table(width)
    wide = Entry("call", "client", "m", outcome="deny", tool="日本語" * 40, reasons=(Reason("f", 1, "deny", "é" * 300),))
    record = {"time": "2026-05-18T12:00:00.000Z", "server": "s" * 50, "reasons": [{"file": "f", "line": 1, "text": "x" * 400}]}
    lines = [table.heading(), *table.lines({**record, "tool": wide.tool, "outcome": "deny", "status": "refused", "ref": "r" * 90})]
    assert any("f:1 xxx" in line for line in lines)
    assert max(map(cells_of, lines)) <= max(width, 80)


def test_a_narrow_terminal_has_reasons_below_what_they_are_for() -> None:
    table = Table(80)
    record = {
        "time": "2026-05-18T12:00:00.000Z",
        "tool": "t",
        "outcome": "deny",
        "reasons": [{"file": "f", "line": 1, "text": "no"}],
    }
    assert table.lines(record)[2] == "          f:1 no"
    assert len(table.lines({**record, "outcome": "allow"})) == 1


def test_each_new_day_has_a_line_of_its_own() -> None:
    table = Table(None)
    assert len(table.lines({"time": "2026-05-18T12:00:00.000Z"})) == 2
    assert len(table.lines({"time": "2026-05-18T12:00:01.000Z"})) == 1
    assert len(table.lines({"time": "2026-05-20T12:00:00.000Z"})) == 2


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("30s", NOON - 30),
        ("45m", NOON - 2700),
        ("2h", NOON - 7200),
        (" 3d ", NOON - 259_200),
        ("1w", NOON - 604_800),
        ("2026-05-18T12:00:00Z", NOON),
        ("2026-05-18T14:00:00+02:00", NOON),
        ("2026-05-18T12:00:00.250Z", NOON + 0.25),
    ],
)
def test_since_takes_an_age_or_a_time(text: str, then: float) -> None:
    assert instant(text, NOON) == then


def test_a_time_without_an_offset_is_local() -> None:
    assert instant("2026-05-18T12:00:00", 0) == datetime(2026, 5, 18, 12).astimezone().timestamp()
    assert instant("2026-05-18", 0) == datetime(2026, 5, 18).astimezone().timestamp()


@pytest.mark.parametrize("text", ["", "yesterday", "2 hours", "-2h", "1y", "٣d", "9" * 40 + "d", "2026-13-01", "\x1b[2J"])
def test_anything_else_is_refused_with_what_would_do(text: str) -> None:
    with pytest.raises(UsageError, match="is no time") as caught:
        instant(text, NOON)
    assert INVISIBLE.search(str(caught.value)) is None
    assert "30m" in caught.value.hint


COMMAND = (sys.executable, "-m", "mcpwrap", "log")


def test_following_shows_what_comes_and_ends_quietly_when_nobody_reads_any_more(writer: AuditWriter, folder: Path) -> None:
    writer.write(STORY[:1])
    with subprocess.Popen([*COMMAND, "--follow", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            assert json.loads(process.stdout.readline())["method"] == "initialize"
            writer.write(STORY[1:2])
            assert json.loads(process.stdout.readline())["method"] == "tools/list"
            other = AuditWriter(str(folder), shim="new", project="p", server="git", subject={}, policy_digest="d")
            other.write([DENIED])
            assert json.loads(process.stdout.readline())["server"] == "git"
            process.stdout.close()
            assert process.wait(timeout=30) == 0
            assert process.stderr.read() == b""
        finally:
            process.kill()


def test_a_pipe_that_is_closed_early_is_no_error(writer: AuditWriter) -> None:
    for _ in range(200):
        writer.write([DENIED] * 20)
    for arguments in (["--json"], ["-n", "4000"]):
        with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(timeout=30) == 0


def on_terminal(*arguments: str) -> str:
    leader, follower = pty.openpty()
    with subprocess.Popen([*COMMAND, *arguments], stdout=follower, stderr=follower, stdin=follower) as process:
        os.close(follower)
        output = b""
        while True:
            try:
                data = os.read(leader, 65536)
            except OSError:  # the terminal's other end is closed
                break
            if not data:
                break
            output += data
        process.wait(timeout=30)
    os.close(leader)
    return output.decode().replace("\r\n", "\n")


def test_json_on_a_terminal_has_the_same_values_and_nothing_that_moves_the_cursor(writer: AuditWriter) -> None:
    evil = "\x1b[2J\x9b31m\u202e\U000e0041"
    writer.write([Entry("call", "client", "tools/call", tool=evil)])
    output = on_terminal("--json").removesuffix("\n")
    assert INVISIBLE.search(output) is None
    assert json.loads(output)["tool"] == evil


def test_a_table_on_a_terminal_is_as_wide_as_it(writer: AuditWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    writer.write(STORY)
    output = on_terminal()
    assert "mcpwrap.toml:12" in output
    assert max(map(len, output.splitlines())) <= 90
