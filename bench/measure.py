"""The measurements. Variants take turns within each, so that what disturbs the machine disturbs them alike."""

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles

import msgspec

from bench.client import Era, Session, SessionError
from bench.machine import on_cores, splits_cores
from bench.memory import MARKER, Memory, memory_of, shim_processes
from bench.results import BASE, Results
from bench.variants import Variant

MIB = 1024 * 1024
# An argument and an answer of a usual size: a path, a query, a line of text.
ECHO = json.dumps({"text": "the quick brown fox jumps over the lazy dog, 64 characters in all"}).encode()
# Sustained load: now and then a file is read.
MIX: tuple[tuple[str, bytes], ...] = (*[("echo", ECHO)] * 99, ("big", b'{"size":65536}'))
SLICE_S = 1.0
# What waits in the pipes' way when one side is slow; a shim that buffers without a bound shows it as growth.
FLOOD_COUNT = 20_000
FLOOD_SIZE = 1_000
DEAF_CALLS = 512
DEAF_ARGUMENT = 64 * 1024
NAP_S = 2.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of each. Durations in seconds."""

    starts: int
    rounds: int
    chunks: int
    chunk_calls: int
    throughput_s: float
    texts_1_mib: int
    texts_10_mib: int
    memory_rounds: int
    load_s: float
    slow_s: float


FULL = Plan(
    starts=20,
    rounds=5,
    chunks=20,
    chunk_calls=100,
    throughput_s=1.0,
    texts_1_mib=5,
    texts_10_mib=1,
    memory_rounds=3,
    load_s=20.0,
    slow_s=1.5,
)
QUICK = replace(FULL, starts=5, rounds=2, chunks=8, throughput_s=0.5, texts_1_mib=3, memory_rounds=1, load_s=4.0, slow_s=0.75)


@dataclass(frozen=True, slots=True)
class Run:
    """What all measurements of a run share."""

    variants: dict[str, Variant]
    plan: Plan
    era: Era
    results: Results
    logs: Path

    def start(self, name: str, timeout_s: float = 60.0) -> Session:
        """Start a variant's command; nothing is sent yet."""
        variant = self.variants[name]
        log = self.logs / f"{name}.stderr"
        log.unlink(missing_ok=True)
        env = {**variant.env, MARKER: name}
        return Session(variant.argv, env=env, cwd=variant.cwd, log=log, era=self.era, timeout_s=timeout_s)

    @contextmanager
    def guarded(self, name: str, session: Session, *metrics: str) -> Iterator[None]:
        """Watch the session's deadline; a failure closes it and is kept as the reason why the metrics have no value."""
        try:
            with session.watched():
                yield
        except (SessionError, OSError, msgspec.DecodeError) as error:
            for metric in metrics:
                self.results.fail(metric, name, str(error))
            tell(f"{name}: {error}")
            session.close()

    def turn(self, number: int) -> list[str]:
        """The variants, beginning with another one each time."""
        names = list(self.variants)
        shift = number % len(names)
        return names[shift:] + names[:shift]

    def living(self, number: int, sessions: Mapping[str, Session]) -> Iterator[tuple[str, Session]]:
        """The sessions that haven't failed, in the order of a turn."""
        for name in self.turn(number):
            if name in sessions and not sessions[name].closed:
                yield name, sessions[name]


def tell(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def starts(run: Run) -> None:
    """Time to the first answer and to the first call's answer, each from the start of the process."""
    for number in range(-1, run.plan.starts):  # the one before the first writes byte code and fills the page cache
        for name in run.turn(number):
            session = run.start(name)
            with run.guarded(name, session, "first_answer_ms", "first_call_ms"):
                first_s = session.open()
                session.call("echo", ECHO)
                call_s = time.perf_counter() - session.started_at
                if number >= 0:
                    run.results.add("first_answer_ms", name, number, first_s * 1e3)
                    run.results.add("first_call_ms", name, number, call_s * 1e3)
            session.close()


def traffic(run: Run) -> None:
    """Round trips, pipelined calls, large results; each round in new processes: where one lies in memory matters."""
    for number in range(run.plan.rounds):
        tell(f"calls, round {number + 1} of {run.plan.rounds}")
        if splits_cores():
            _round_trips_apart(run, number)
        sessions = _opened(run)
        try:
            _round_trips(run, number, sessions, "p50_us", "p99_us")
            _throughput(run, number, sessions, "window_64_per_s", 64)
            _throughput(run, number, sessions, "unbounded_per_s", None)
            _texts(run, number, sessions, "text_1_mib_ms", MIB, run.plan.texts_1_mib)
            _texts(run, number, sessions, "text_10_mib_ms", 10 * MIB, run.plan.texts_10_mib)
        finally:
            for session in sessions.values():
                session.close()


def memory(run: Run) -> None:
    """What the shim's processes hold after calls of usual size, and after a large result.

    One variant at a time: the same interpreter in several commands would share its pages among them and look smaller
    than it is in use.
    """
    for number in range(run.plan.memory_rounds):
        for name in run.turn(number):
            if name == BASE:
                continue
            session = run.start(name)
            with run.guarded(name, session, "pss_mib", "private_mib", "pss_after_10_mib_mib"):
                sample = _warmed(name, session)
                session.round_trips(300, "echo", ECHO)
                if (held := sample()) is not None:
                    run.results.add("pss_mib", name, number, held.pss)
                    run.results.add("private_mib", name, number, held.private)
                session.call("big", b'{"size":%d}' % (10 * MIB))
                if (held := sample()) is not None:
                    run.results.add("pss_after_10_mib_mib", name, number, held.pss)
            session.close()


def sustained(run: Run) -> None:
    """Memory under load, in slices of a second that the variants take in turn.

    Growth is the last quarter's median less the second quarter's.
    """
    sessions = _opened(run)
    if BASE in sessions:
        sessions.pop(BASE).close()
    samplers = {name: _sampler(name, session) for name, session in sessions.items()}
    seen: dict[str, list[float]] = {name: [] for name in samplers}
    calls = dict.fromkeys(samplers, 0)
    tell(f"sustained load, {run.plan.load_s:g} s each")
    try:
        for number in range(max(8, round(run.plan.load_s / SLICE_S))):
            for name, session in run.living(number, sessions):
                with run.guarded(name, session, "load_growth_mib", "load_peak_mib"):
                    calls[name] += session.windowed(SLICE_S, 64, MIX).calls
                    if (held := samplers[name]()) is not None:
                        seen[name].append(held.private)
        whole = [name for name, _ in run.living(0, sessions)]
    finally:
        for session in sessions.values():
            session.close()
    for name in whole:
        if samples := seen[name]:
            quarter = len(samples) // 4
            growth = median(samples[-quarter:]) - median(samples[quarter : 2 * quarter])
            run.results.add("load_growth_mib", name, 0, growth)
            run.results.add("load_peak_mib", name, 0, max(samples))
            tell(f"{name}: {calls[name]} calls, private memory {samples[0]:.1f} … {samples[-1]:.1f} MiB")


def slow_sides(run: Run) -> None:
    """Does the shim push back, or grow? A server that floods a slow reader, a client that floods a deaf server."""
    for name in run.variants:
        if name == BASE:
            continue
        tell(f"{name}: slow reader, deaf server")
        session = run.start(name)
        with run.guarded(name, session, "slow_reader_mib"):
            run.results.add("slow_reader_mib", name, 0, _slow_reader(run, session, _warmed(name, session)))
        session.close()
        session = run.start(name)
        with run.guarded(name, session, "deaf_server_mib"):
            run.results.add("deaf_server_mib", name, 0, _deaf_server(session, _warmed(name, session)))
        session.close()


Sampler = Callable[[], Memory | None]


def _slow_reader(run: Run, session: Session, sample: Sampler) -> float:
    """Growth in MiB while 20,000 notifications wait for a client that doesn't read, then reads 64 KiB every 10 ms."""
    before = _private(sample)
    peak = before
    request = session.send_call("flood", b'{"count":%d,"size":%d}' % (FLOOD_COUNT, FLOOD_SIZE))
    end = time.monotonic() + run.plan.slow_s
    while time.monotonic() < end:
        time.sleep(0.1)
        peak = max(peak, _private(sample))
    end = time.monotonic() + run.plan.slow_s
    while time.monotonic() < end:
        time.sleep(0.01)
        session.read_some()
        peak = max(peak, _private(sample))
    got = session.drain(request)
    if got != FLOOD_COUNT:
        raise SessionError(f"{got} of {FLOOD_COUNT} notifications arrived")
    return peak - before


def _deaf_server(session: Session, sample: Sampler) -> float:
    """Growth in MiB while 32 MiB of calls are offered to a server that reads nothing for two seconds."""
    before = _private(sample)
    peak = before

    def watch() -> None:
        nonlocal peak
        peak = max(peak, _private(sample))

    session.send_call("nap", b'{"seconds":%g}' % NAP_S)
    argument = json.dumps({"text": "x" * DEAF_ARGUMENT}).encode()
    session.unbounded("echo", argument, limit=DEAF_CALLS + 1, burst=16, in_flight=1, on_stall=watch)
    return peak - before


def _private(sample: Sampler) -> float:
    held = sample()
    if held is None:
        raise SessionError("memory can't be read on this system")
    return held.private


def _round_trips_apart(run: Run, number: int) -> None:
    with on_cores(first=False):
        sessions = _opened(run)
    try:
        with on_cores(first=True):
            _round_trips(run, number, sessions, "p50_apart_us", "p99_apart_us")
    finally:
        for session in sessions.values():
            session.close()


def _round_trips(run: Run, number: int, sessions: dict[str, Session], middle: str, tail: str) -> None:
    durations: dict[str, list[int]] = {name: [] for name in sessions}
    for chunk in range(run.plan.chunks):
        for name, session in run.living(chunk, sessions):
            with run.guarded(name, session, middle, tail):
                session.round_trips(10, "echo", ECHO)  # caches are the last variant's
                durations[name] += session.round_trips(run.plan.chunk_calls, "echo", ECHO)
    for name, _ in run.living(0, sessions):
        run.results.add(middle, name, number, median(durations[name]) / 1e3)
        run.results.add(tail, name, number, quantiles(durations[name], n=100)[98] / 1e3)


def _throughput(run: Run, number: int, sessions: dict[str, Session], metric: str, window: int | None) -> None:
    for name, session in run.living(number, sessions):
        with run.guarded(name, session, metric):
            if window is None:
                done = session.unbounded("echo", ECHO, duration_s=run.plan.throughput_s)
            else:
                done = session.windowed(run.plan.throughput_s, window, [("echo", ECHO)])
            run.results.add(metric, name, number, done.calls / done.elapsed_s)


def _texts(run: Run, number: int, sessions: dict[str, Session], metric: str, size: int, count: int) -> None:
    arguments = b'{"size":%d}' % size
    durations: dict[str, list[int]] = {name: [] for name in sessions}
    first = -1 if count > 1 else 0  # the one before lets buffers grow, where there is a choice
    for turn in range(first, count):
        for name, session in run.living(turn, sessions):
            with run.guarded(name, session, metric):
                taken = session.round_trips(1, "big", arguments)
                durations[name] += taken if turn >= 0 else []
    for name, _ in run.living(0, sessions):
        run.results.add(metric, name, number, median(durations[name]) / 1e6)


def _opened(run: Run) -> dict[str, Session]:
    """A warm session with each variant; one that can't be opened is left out."""
    sessions: dict[str, Session] = {}
    for name in run.variants:
        session = run.start(name)
        with run.guarded(name, session, "p50_us"):
            session.open()
            session.list_tools()
            session.round_trips(300, "echo", ECHO)
            sessions[name] = session
    return sessions


def _warmed(name: str, session: Session) -> Sampler:
    """Open a session that is alone, and make what is allocated once be allocated before memory is looked at."""
    session.open()
    session.list_tools()
    session.round_trips(200, "echo", ECHO)
    return _sampler(name, session)


def _sampler(name: str, session: Session) -> Sampler:
    """Measures the memory of a session's shim; which processes those are is found out once, after the first calls."""
    if not Path("/proc/self/smaps_rollup").exists():
        return lambda: None
    server = int(session.call("whoami"))
    pids = shim_processes(session.process.pid, name, server)
    return lambda: memory_of(pids)


def decisions(run: Run) -> None:
    """What the decision and reading a policy cost mcpwrap by themselves, in a new process each round."""
    if "mcpwrap" not in run.variants:
        return
    for number in range(run.plan.rounds):
        done = subprocess.run([sys.executable, "-m", "bench.deciding"], check=True, capture_output=True, text=True, timeout=120)
        for metric, value in json.loads(done.stdout).items():
            run.results.add(metric, "mcpwrap", number, value)


STEPS: Sequence[tuple[str, Callable[[Run], None]]] = (
    ("starts", starts),
    ("traffic", traffic),
    ("memory", memory),
    ("load", sustained),
    ("slow", slow_sides),
    ("decisions", decisions),
)


def measure(run: Run, only: Sequence[str]) -> None:
    """All steps, or those named, in order; this process's collector is off meanwhile: its pauses are nobody's cost."""
    gc.disable()
    try:
        for name, step in STEPS:
            if not only or name in only:
                tell(f"step: {name}")
                step(run)
                gc.collect()
    finally:
        gc.enable()
