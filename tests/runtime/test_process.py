"""The server's process and its guardian: nothing survives the shim (POLICY.md §7), and everything that happens is told."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from mcpwrap.runtime.lifecycle import Exited, GuardianLost, ServerPipes, SpawnFailed, Started
from mcpwrap.runtime.process import Guardian
from tests.runtime.processes import CHILDREN, family, lives, next_events, read_lines, survivors, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")

ENV = {"PATH": os.defpath}
FAMILY = {"server", "child", "grandchild", "session", "daemon"}

Spawn = Callable[..., ServerPipes]


@pytest.fixture
def guardian() -> Iterator[Guardian]:
    found = Guardian.start()
    yield found
    found.close()


@pytest.fixture
def spawn(guardian: Guardian) -> Iterator[Spawn]:
    """Starts a script of ``children`` and closes its pipes at the end."""
    opened: list[int] = []

    def start(script: str, *words: str, env: dict[str, str] | None = None, cwd: str = "/") -> ServerPipes:
        argv = [sys.executable, "-I", str(CHILDREN / script), *words]
        pipes = guardian.spawn(argv, ENV if env is None else env, cwd)
        opened.extend((pipes.stdin, pipes.stdout, pipes.stderr))
        return pipes

    yield start
    for descriptor in opened:
        try:
            os.close(descriptor)
        except OSError:  # the test closed it
            continue


def raw_spawn(guardian: Guardian, argv: Sequence[str], cwd: str = "/", env: dict[str, str] | None = None) -> None:
    pipes = guardian.spawn(argv, ENV if env is None else env, cwd)
    for descriptor in (pipes.stdin, pipes.stdout, pipes.stderr):
        os.close(descriptor)


def start_shim(*words: str) -> tuple[subprocess.Popen[bytes], dict[str, int]]:
    """The small shim in a process group of its own, with all its family up."""
    shim = subprocess.Popen(
        [sys.executable, CHILDREN / "shim.py", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert shim.stdout is not None
    return shim, family(read_lines(shim.stdout.fileno(), 1 + len(FAMILY)))


def end_shim(shim: subprocess.Popen[bytes]) -> None:
    shim.kill()
    shim.wait()
    for stream in (shim.stdin, shim.stdout):
        assert stream is not None
        stream.close()


def descriptors_of(pid: int) -> dict[int, str]:
    found: dict[int, str] = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[int(entry.name)] = str(entry.readlink())
        except FileNotFoundError:  # the one the folder was listed with
            continue
    return found


# starting


def test_a_server_gets_its_lines_and_its_answers_come_back(guardian: Guardian, spawn: Spawn) -> None:
    pipes = spawn("echo.py")
    [started] = next_events(guardian)
    assert isinstance(started, Started)
    assert lives(started.pid)
    os.write(pipes.stdin, b"hello\n")
    assert read_lines(pipes.stdout, 1) == ["hello"]
    os.close(pipes.stdin)
    assert next_events(guardian) == [Exited(0, None)]


def test_a_server_that_dies_at_start_is_reported_with_its_exit_code(guardian: Guardian) -> None:
    raw_spawn(guardian, [sys.executable, "-c", "raise SystemExit(7)"])
    started, exited = next_events(guardian, 2)
    assert isinstance(started, Started)
    assert exited == Exited(7, None)


def test_a_server_that_a_signal_ended_is_reported_with_the_signal(guardian: Guardian, spawn: Spawn) -> None:
    read_lines(spawn("deaf.py").stdout, 1)
    guardian.signal_server(signal.SIGTERM)
    assert next_events(guardian, 2)[1] == Exited(None, signal.SIGTERM)


def test_a_command_that_does_not_exist_fails_with_the_reason(guardian: Guardian, tmp_path: Path) -> None:
    raw_spawn(guardian, [str(tmp_path / "absent")])
    assert next_events(guardian) == [SpawnFailed("no such file or directory")]


def test_a_file_that_is_not_executable_fails_with_the_reason(guardian: Guardian, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    raw_spawn(guardian, [str(tmp_path / "text")])
    assert next_events(guardian) == [SpawnFailed("permission denied")]


def test_a_working_folder_that_does_not_exist_fails_and_is_named(guardian: Guardian) -> None:
    raw_spawn(guardian, [sys.executable], cwd="/absent")
    assert next_events(guardian) == [SpawnFailed("working folder `/absent`: no such file or directory")]


@pytest.mark.parametrize(
    ("argv", "env"),
    [
        ([], {}),
        (["python3"], {}),
        ([sys.executable, "a\0b"], {}),
        ([sys.executable], {"A": "b\0c"}),
        ([sys.executable], {"A=B": "c"}),
        ([sys.executable, "x" * 9_000_000], {}),
    ],
    ids=["nothing", "relative", "NUL in an argument", "NUL in a variable", "= in a name", "over the limit"],
)
def test_what_can_not_be_a_command_fails_as_an_event(guardian: Guardian, argv: list[str], env: dict[str, str]) -> None:
    raw_spawn(guardian, argv, env=env)
    [failed] = next_events(guardian)
    assert isinstance(failed, SpawnFailed)


def test_after_a_failure_the_next_server_starts(guardian: Guardian, spawn: Spawn) -> None:
    raw_spawn(guardian, ["/absent"])
    next_events(guardian)
    spawn("echo.py")
    assert isinstance(next_events(guardian)[0], Started)


def test_a_large_environment_arrives_whole(guardian: Guardian, spawn: Spawn) -> None:
    env = {**ENV, **{f"LARGE_{number}": "x" * 100_000 for number in range(10)}}
    pipes = spawn("report.py", env=env)
    [line] = read_lines(pipes.stdout, 1)
    assert json.loads(line)["environment"].items() >= env.items()


def test_names_and_values_that_are_not_utf8_arrive_as_they_were(guardian: Guardian, spawn: Spawn) -> None:
    odd = os.fsdecode(b"\xff\xfe")
    pipes = spawn("report.py", env={**ENV, "ODD": odd})
    [line] = read_lines(pipes.stdout, 1)
    assert json.loads(line)["environment"]["ODD"] == odd


def test_a_second_server_beside_the_first_is_refused(guardian: Guardian, spawn: Spawn) -> None:
    spawn("echo.py")
    next_events(guardian)
    raw_spawn(guardian, [sys.executable])
    assert next_events(guardian) == [SpawnFailed("a server is already running")]


def test_a_server_can_be_started_again_when_it_is_gone(guardian: Guardian, spawn: Spawn) -> None:
    for _ in range(3):
        pipes = spawn("echo.py")
        assert isinstance(next_events(guardian)[0], Started)
        os.close(pipes.stdin)
        assert next_events(guardian) == [Exited(0, None)]


# what a server is given


def test_a_server_has_nothing_but_what_it_was_given(guardian: Guardian, spawn: Spawn, tmp_path: Path) -> None:
    with (tmp_path / "held by the shim").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        pipes = spawn("report.py", env={"ONLY": "this"}, cwd=str(tmp_path))
        [line] = read_lines(pipes.stdout, 1)
    report = json.loads(line)
    assert [number for number, _ in report["descriptors"]] == [0, 1, 2]
    assert report["blocking"] == [True, True, True]
    assert report["cwd"] == str(tmp_path.resolve())
    assert report["environment"].pop("LC_CTYPE", "C.UTF-8") == "C.UTF-8"  # Python sets it by itself
    assert report["environment"] == {"ONLY": "this"}
    assert report["leads"]


def test_a_server_starts_with_default_signals(guardian: Guardian, spawn: Spawn) -> None:
    [line] = read_lines(spawn("report.py").stdout, 1)
    report = json.loads(line)
    python_ignores = 1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)
    # two more belong to the C library, which lets nobody set them; they come as the caller of the tests had them
    settable = sum(1 << (number - 1) for number in signal.valid_signals())
    assert report["ignored"] & settable & ~python_ignores == 0
    assert report["blocked"] & settable == 0


def test_our_ends_of_the_pipes_neither_block_nor_are_inherited(spawn: Spawn) -> None:
    pipes = spawn("echo.py")
    for descriptor in (pipes.stdin, pipes.stdout, pipes.stderr):
        assert not os.get_blocking(descriptor)
        assert not os.get_inheritable(descriptor)


def test_the_guardian_holds_nothing_of_the_clients(guardian: Guardian) -> None:
    next_events_of_a_start(guardian)
    held = descriptors_of(guardian.pid)
    assert [held[number] for number in range(3)] == ["/dev/null"] * 3
    ours = {os.fstat(number).st_ino for number in range(3)}
    for link in held.values():
        assert link == "/dev/null" or int(link.rpartition("[")[2].rstrip("]")) not in ours
    assert len(held) == 6  # and the control socket, and the two ends of its own pipe


def next_events_of_a_start(guardian: Guardian) -> None:
    raw_spawn(guardian, ["/absent"])
    next_events(guardian)


# the end of a server


def test_an_exit_is_reported_while_descendants_live_and_they_end_with_kill_all(guardian: Guardian, spawn: Spawn) -> None:
    pids = family(read_lines(spawn("family.py", "leave").stdout, 5))
    assert next_events(guardian, 2)[1] == Exited(0, None)
    assert not lives(pids.pop("server"))
    assert all(lives(pid) for pid in pids.values())
    guardian.kill_all()
    assert survivors(pids.values()) == []


def test_what_an_earlier_server_left_is_gone_before_the_next_one_starts(guardian: Guardian, spawn: Spawn) -> None:
    pids = family(read_lines(spawn("family.py", "leave").stdout, 5))
    next_events(guardian, 2)
    spawn("echo.py")
    assert isinstance(next_events(guardian)[0], Started)
    assert [pid for pid in pids.values() if lives(pid)] == []


def test_closing_leaves_nothing(guardian: Guardian, spawn: Spawn) -> None:
    pids = family(read_lines(spawn("family.py").stdout, 5))
    assert set(pids) == FAMILY
    guardian.close()
    assert [pid for pid in (*pids.values(), guardian.pid) if lives(pid)] == []


def test_closing_twice_and_talking_to_a_closed_guardian_do_nothing(guardian: Guardian) -> None:
    guardian.close()
    guardian.close()
    guardian.kill_all()
    guardian.signal_server(signal.SIGTERM)
    guardian.shutdown()
    assert guardian.events() == []
    assert guardian.fileno() == -1


def test_a_server_that_heeds_no_eof_is_asked_with_sigterm(guardian: Guardian, spawn: Spawn) -> None:
    pipes = spawn("deaf.py")
    read_lines(pipes.stdout, 1)
    os.close(pipes.stdin)
    guardian.shutdown(0.01, 60.0)
    assert next_events(guardian, 2)[1] == Exited(None, signal.SIGTERM)


def test_a_server_that_heeds_neither_eof_nor_sigterm_is_killed_with_all_its_family(guardian: Guardian, spawn: Spawn) -> None:
    pipes = spawn("family.py")
    pids = family(read_lines(pipes.stdout, 5))
    os.close(pipes.stdin)
    guardian.shutdown(0.01, 0.02)
    assert next_events(guardian, 2)[1] == Exited(None, signal.SIGKILL)
    assert survivors(pids.values()) == []


def test_a_server_that_ends_by_itself_is_not_signalled(guardian: Guardian, spawn: Spawn) -> None:
    pipes = spawn("echo.py")
    next_events(guardian)
    guardian.shutdown(60.0, 61.0)
    os.close(pipes.stdin)
    assert next_events(guardian) == [Exited(0, None)]


def test_the_stages_of_one_server_do_not_reach_the_next(guardian: Guardian, spawn: Spawn) -> None:
    pipes = spawn("echo.py")
    next_events(guardian)
    guardian.shutdown(0.2, 0.2)
    os.close(pipes.stdin)
    assert next_events(guardian) == [Exited(0, None)]
    spawn("echo.py")
    next_events(guardian)
    assert select.select([guardian], [], [], 0.3)[0] == []  # past the first one's stages, and nothing happened


# the end of the shim


@pytest.mark.parametrize("words", [(), ("ending",)], ids=["at work", "during an orderly end"])
@pytest.mark.parametrize("kill", [os.kill, os.killpg], ids=["the process", "its group"])
def test_nothing_survives_a_shim_that_is_killed(kill: Callable[[int, int], None], words: tuple[str, ...]) -> None:
    shim, pids = start_shim(*words)
    try:
        assert set(pids) == FAMILY | {"guardian"}
        assert all(lives(pid) for pid in pids.values())
        kill(shim.pid, signal.SIGKILL)
        shim.wait()
        assert survivors(pids.values()) == []
    finally:
        end_shim(shim)


def test_the_client_sees_the_end_of_its_pipes_when_the_shim_is_killed() -> None:
    shim, pids = start_shim()
    try:
        shim.kill()
        assert shim.stdout is not None
        assert read_lines(shim.stdout.fileno(), 1) == []
        assert survivors(pids.values()) == []
    finally:
        end_shim(shim)


def test_nothing_survives_a_shim_that_is_stopped_and_then_killed() -> None:
    shim, pids = start_shim()
    try:
        shim.send_signal(signal.SIGSTOP)
        shim.kill()
        shim.wait()
        assert survivors(pids.values()) == []
    finally:
        end_shim(shim)


def test_a_server_that_never_stops_forking_is_ended_too(guardian: Guardian, spawn: Spawn) -> None:
    pipes = spawn("hopping.py")
    assert next_events(guardian, 2)[1] == Exited(0, None)
    guardian.close()
    # every one of them holds the pipe, so its end comes with the end of the last; nobody else can tell
    assert read_lines(pipes.stdout, 1) == []
    assert survivors([guardian.pid]) == []


# the guardian


def test_the_guardian_ignores_the_signals_that_are_sent_to_a_group(guardian: Guardian, spawn: Spawn) -> None:
    next_events_of_a_start(guardian)
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGUSR1):
        os.kill(guardian.pid, signum)
    spawn("echo.py")
    assert isinstance(next_events(guardian)[0], Started)


def test_the_guardian_is_not_found_by_the_shims_command_line(guardian: Guardian) -> None:
    next_events_of_a_start(guardian)
    assert Path(f"/proc/{guardian.pid}/cmdline").read_bytes().rstrip(b"\0") == b"mcpwrap guardian"


def test_a_guardian_that_is_killed_takes_the_whole_family_with_it(guardian: Guardian, spawn: Spawn) -> None:
    pids = family(read_lines(spawn("family.py").stdout, 5))
    assert isinstance(next_events(guardian)[0], Started)
    os.kill(guardian.pid, signal.SIGKILL)
    assert next_events(guardian) == [GuardianLost()]
    assert survivors((*pids.values(), guardian.pid)) == []
    assert guardian.events() == []


def test_a_guardian_that_is_killed_before_anything_started_is_reported_once(guardian: Guardian) -> None:
    os.kill(guardian.pid, signal.SIGKILL)
    assert next_events(guardian) == [GuardianLost()]
    raw_spawn(guardian, [sys.executable])
    assert guardian.events() == []


def test_many_servers_one_after_the_other_leave_nothing_open(guardian: Guardian) -> None:
    def cycle() -> None:
        raw_spawn(guardian, ["/bin/true"])
        assert next_events(guardian, 2)[1] == Exited(0, None)

    cycle()
    before = len(descriptors_of(os.getpid())), len(descriptors_of(guardian.pid))
    for _ in range(200):
        cycle()
    assert (len(descriptors_of(os.getpid())), len(descriptors_of(guardian.pid))) == before
    children = Path(f"/proc/{guardian.pid}/task/{guardian.pid}/children")
    assert until(lambda: children.read_text() == "")
