from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from mcpwrap.audit.reader import read
from mcpwrap.audit.record import AuditError
from mcpwrap.core.entry import Entry
from tests.audit.conftest import Open

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
    ballast = """
    from pathlib import Path
    Path(sys.argv[1]).parent.mkdir()
    (Path(sys.argv[1]).parent / "ballast").write_bytes(b"x" * 16384)
    """
    result = child(
        textwrap.dedent(ballast) + textwrap.dedent(FILL) + textwrap.dedent(more), str(full / "state" / "audit"), before=namespace
    )
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
