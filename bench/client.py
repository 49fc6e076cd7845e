"""A client on raw pipes that adds as little as it can to what it measures, and still parses every answer in full.

One thread, no event loop. A watchdog kills a command that doesn't answer within its deadline, so the blocking reads in
here need no timeout of their own. Protocol: MCP over stdio, one JSON message a line; legacy (2025-11-25) or modern
(2026-07-28).
"""

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

Era = Literal["legacy", "modern"]

# The capacity of a pipe on Linux: a larger read can't return more.
READ_SIZE = 64 * 1024
# No answer of the bench's server is longer than 10 MiB of text and its escapes: more means that it doesn't end.
MAX_LINE_BYTES = 64 * 1024 * 1024
# Requests prepared ahead of an unbounded writer; more would only sit in memory.
BURST = 256
CLOSE_TIMEOUT_S = 3.0

_META = (
    b'"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    b'"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1.0.0"},'
    b'"io.modelcontextprotocol/clientCapabilities":{}}'
)


class Content(msgspec.Struct, gc=False):
    """A piece of a tool's result."""

    type: str
    text: str = ""


class ToolResult(msgspec.Struct, gc=False):
    """What the bench reads of any result; the fields of other results are parsed and dropped."""

    content: list[Content] = []
    isError: bool = False


class Message(msgspec.Struct, gc=False):
    """Any message from the server's side."""

    id: int | str | None = None
    method: str | None = None
    result: ToolResult | None = None
    error: msgspec.Raw | None = None


_decode: Callable[[bytes], Message] = msgspec.json.Decoder(Message).decode


class SessionError(Exception):
    """The command died, didn't answer in time, or answered something else than asked."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """Calls that were answered, and the time from the first byte sent to the last answer, in seconds."""

    calls: int
    elapsed_s: float


class Session:
    """One client in front of one command.

    Raises SessionError from every method when the command ends, errs, or misses the deadline (`timeout_s`, seconds, per
    watched phase).
    """

    def __init__(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path, era: Era, timeout_s: float = 60.0
    ) -> None:
        """Start the command; nothing is sent yet. Its processes inherit the cores of the calling thread."""
        self.era = era
        self.timeout_s = timeout_s
        self._log = log
        self._next_id = 0
        self._rest = b""
        self._kept: list[bytes] = []
        self._lines: deque[bytes] = deque()
        self._late = False
        self.closed = False
        self.started_at = time.perf_counter()
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=dict(env),
                cwd=cwd,
                bufsize=0,
                start_new_session=True,
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in = self.process.stdin.fileno()
        self._out = self.process.stdout.fileno()

    # One call at a time

    def open(self) -> float:
        """Make the era's first request, `initialize` or `server/discover`; seconds since the process was started."""
        if self.era == "modern":
            self._ask("server/discover", b"")
            return time.perf_counter() - self.started_at
        self._ask(
            "initialize",
            b'"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1.0.0"}',
        )
        elapsed_s = time.perf_counter() - self.started_at
        self._write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        return elapsed_s

    def list_tools(self) -> None:
        """Ask for the tools, as every client does before its first call."""
        self._ask("tools/list", b"")

    def call(self, name: str, arguments: bytes = b"{}") -> str:
        """Call a tool with its arguments in JSON and wait for the text of its answer."""
        result = self._ask("tools/call", b'"name":"%s","arguments":%s' % (name.encode(), arguments))
        return result.content[0].text if result.content else ""

    def round_trips(self, count: int, name: str, arguments: bytes) -> list[int]:
        """The durations of `count` calls made one after the other, in nanoseconds, each from write to parsed answer."""
        durations = []
        for _ in range(count):
            request = self._request_of_call(name, arguments)
            start = time.perf_counter_ns()
            self._write(request)
            self._await(self._next_id)
            durations.append(time.perf_counter_ns() - start)
        return durations

    # Many calls at once

    def windowed(self, duration_s: float, window: int, calls: Sequence[tuple[str, bytes]]) -> Throughput:
        """Keep `window` calls in flight for `duration_s`, taking `calls` in turn; a window must fit into a pipe."""
        first = self._next_id + 1
        start = time.perf_counter()
        end = start + duration_s
        done = expected = seen = 0
        free = window
        while True:
            if free and time.perf_counter() < end:
                batch = [self._request_of_call(*calls[(self._next_id - first) % len(calls)]) for _ in range(free)]
                self._write(b"".join(batch))
                expected += free
                free = 0
            elif done == expected:
                break
            self._fill()
            while self._lines:
                seen += self._answered(self._lines.popleft())
                done += 1
                free += 1
        self._must_have_seen(first, seen)
        return Throughput(done, time.perf_counter() - start)

    def unbounded(
        self,
        name: str,
        arguments: bytes,
        *,
        duration_s: float = float("inf"),
        limit: int | None = None,
        burst: int = BURST,
        in_flight: int = 0,
        on_stall: Callable[[], None] | None = None,
    ) -> Throughput:
        """Write calls as fast as they are taken, for `duration_s` or up to `limit` calls, and read every answer.

        `burst` calls are prepared at a time; `in_flight` calls were sent before and are counted in. `on_stall` is
        called when for 50 ms nothing could be written or read.
        """
        first = self._next_id + 1 - in_flight
        start = time.perf_counter()
        end = start + duration_s
        outgoing = memoryview(b"")
        done = seen = 0
        poller = select.poll()
        poller.register(self._out, select.POLLIN | select.POLLHUP)
        poller.register(self._in, select.POLLOUT)
        writing = True
        os.set_blocking(self._in, False)
        try:
            while writing or done <= self._next_id - first:
                ready = poller.poll(50)
                if not ready and on_stall is not None:
                    on_stall()
                for fd, _ in ready:
                    if fd == self._out:
                        self._fill()
                        while self._lines:
                            seen += self._answered(self._lines.popleft())
                            done += 1
                        continue
                    if not outgoing:
                        made = self._next_id - first + 1
                        count = burst if limit is None else min(burst, limit - made)
                        if count <= 0 or time.perf_counter() >= end:
                            writing = False
                            poller.unregister(self._in)
                            continue
                        outgoing = memoryview(b"".join(self._request_of_call(name, arguments) for _ in range(count)))
                    outgoing = outgoing[self._write_some(outgoing) :]
        finally:
            os.set_blocking(self._in, True)
        self._must_have_seen(first, seen)
        return Throughput(done, time.perf_counter() - start)

    # A slow reader

    def send_call(self, name: str, arguments: bytes) -> int:
        """Send a call and don't wait; its id."""
        self._write(self._request_of_call(name, arguments))
        return self._next_id

    def read_some(self) -> int:
        """One read from the pipe, at most 64 KiB, kept unparsed; its size in bytes."""
        self._kept.append(self._read())
        return len(self._kept[-1])

    def drain(self, request_id: int) -> int:
        """Read on until the answer to `request_id`; the number of notifications before it."""
        *lines, self._rest = b"".join([self._rest, *self._kept]).split(b"\n")
        self._kept.clear()
        self._lines.extend(lines)
        notifications = 0
        while True:
            while not self._lines:
                self._fill()
            message = _decode(self._lines.popleft())
            if message.method is not None:
                notifications += 1
            elif message.id == request_id:
                return notifications

    # The end

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Kill the command when the body takes longer than `timeout_s`, so that a blocked read comes back."""
        timer = threading.Timer(self.timeout_s, self._expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def close(self) -> None:
        """Close the pipes, give the command a moment, then kill what is left of its process group."""
        if self.closed:
            return
        self.closed = True
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        end = time.monotonic() + CLOSE_TIMEOUT_S
        # Looked at, not reaped: the process keeps its id, and so its group can't be another's when it is killed.
        while os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() > end:
                break
            time.sleep(0.002)
        self._kill()
        self.process.wait()

    def _expire(self) -> None:
        self._late = True
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)

    # The wire

    def _request_of_call(self, name: str, arguments: bytes) -> bytes:
        return self._request("tools/call", b'"name":"%s","arguments":%s' % (name.encode(), arguments))

    def _request(self, method: str, params: bytes) -> bytes:
        self._next_id += 1
        if self.era == "modern":
            params = params + b"," + _META if params else _META
        return b'{"jsonrpc":"2.0","id":%d,"method":"%s","params":{%s}}\n' % (self._next_id, method.encode(), params)

    def _ask(self, method: str, params: bytes) -> ToolResult:
        self._write(self._request(method, params))
        return self._await(self._next_id)

    def _await(self, request_id: int) -> ToolResult:
        while True:
            while not self._lines:
                self._fill()
            message = _decode(self._lines.popleft())
            if message.id == request_id and message.method is None:
                return self._good(message)

    def _answered(self, line: bytes) -> int:
        message = _decode(line)
        if not isinstance(message.id, int):
            raise SessionError(f"expected an answer, got `{line[:120]!r}`")
        self._good(message)
        return message.id

    def _good(self, message: Message) -> ToolResult:
        if message.result is None or message.result.isError:
            told = message.result.content[0].text if message.result and message.result.content else message.error
            raise SessionError(f"a call was refused or failed: `{str(told)[:200]}`")
        return message.result

    def _must_have_seen(self, first: int, seen: int) -> None:
        """Every id once: the ids are consecutive, so their sum says it."""
        count = self._next_id - first + 1
        if seen != count * (first + self._next_id) // 2:
            raise SessionError("answers were lost or doubled")

    def _fill(self) -> None:
        """Read until at least one line is complete."""
        chunk = self._read()
        parts = [self._rest, chunk]
        size = len(self._rest) + len(chunk)
        while b"\n" not in chunk:
            chunk = self._read()
            parts.append(chunk)
            size += len(chunk)
            if size > MAX_LINE_BYTES:
                raise SessionError("a line is longer than 64 MiB")
        *lines, self._rest = b"".join(parts).split(b"\n")
        self._lines.extend(lines)

    def _read(self) -> bytes:
        chunk = os.read(self._out, READ_SIZE)
        if not chunk:
            raise self._ended()
        return chunk

    def _write(self, data: bytes) -> None:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._in, rest) :]
        except BrokenPipeError:
            raise self._ended() from None

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._in, data)
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            raise self._ended() from None

    def _ended(self) -> SessionError:
        if self._late:
            return SessionError(f"no answer within {self.timeout_s:g} s")
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return SessionError(f"the command ended: `{lines[-1] if lines else 'nothing on stderr'}`")
