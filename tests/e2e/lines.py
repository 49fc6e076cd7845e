"""A scripted client that speaks in lines: what it receives is kept as it came, so that two sessions can be compared."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from tests.project import Launch

Message = dict[str, Any]
Answer = Callable[[Message], Message]
"""From a request of the server to the `result` (or `error`) member of its answer."""

DEADLINE_S = 60.0
"""For one message that must come; real servers answer in milliseconds, the rest is for a busy machine."""

GRACE_S = 3.0
"""For the end after end-of-file; mcpwrap promises two seconds, and some servers never go by themselves."""


class Lines:
    """One session with a server on stdio. A context manager; leaving it ends the server."""

    def __init__(self, launch: Launch, answers: Mapping[str, Answer] | None = None, *, grace_s: float = GRACE_S) -> None:
        self.received: list[Message] = []
        """Every message of the server, in order."""
        self.exit_code: int | None = None
        self._answers = answers or {}
        self._grace_s = grace_s
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._stderr: list[bytes] = []
        self._process = subprocess.Popen(
            launch.argv,
            env=dict(launch.env),
            cwd=launch.cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._threads = [threading.Thread(target=self._read_stdout), threading.Thread(target=self._read_stderr)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        return self._process.pid

    @property
    def stderr(self) -> str:
        """What came on stderr so far."""
        return b"".join(self._stderr).decode("utf-8", "replace")

    def send(self, message: Message) -> None:
        """Send one message in the SDKs' compact form."""
        self.send_bytes(json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except OSError as error:
            raise AssertionError(f"the server doesn't read any more: {error}\n{self.stderr}") from error

    def notify(self, method: str, params: Message | None = None) -> None:
        """Send a notification."""
        self.send({"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})})

    def request(self, id_: int | str, method: str, params: Message | None = None) -> Message:
        """Send a request and return its answer; requests of the server that come before it are answered."""
        self.send({"jsonrpc": "2.0", "id": id_, "method": method, **({} if params is None else {"params": params})})
        return self.answer_to(id_)

    def answer_to(self, id_: int | str) -> Message:
        """Wait for the answer to a request that was sent."""
        return self.wait_for(lambda m: "method" not in m and m.get("id") == id_, f"an answer to {id_!r}")

    def wait_for(self, wanted: Callable[[Message], bool], what: str) -> Message:
        """Receive messages until one is `wanted`, and return it; `what` names it in the failure."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            message = self._receive(deadline, what)
            if wanted(message):
                return message

    def wait_for_method(self, method: str) -> Message:
        """Receive messages until a request or notification `method` comes; a request of it has been answered then."""
        return self.wait_for(lambda m: m.get("method") == method, f"`{method}`")

    def close(self) -> None:
        """End the session as clients do: end-of-file, then SIGTERM, then SIGKILL."""
        process = self._process
        if self.exit_code is not None:
            return
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it went before us
            process.stdin.close()
        for end in (process.terminate, process.kill):
            try:
                process.wait(self._grace_s)
                break
            except subprocess.TimeoutExpired:
                end()
        self.exit_code = process.wait(DEADLINE_S)
        for thread in self._threads:
            thread.join(DEADLINE_S)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()

    def _receive(self, deadline: float, what: str) -> Message:
        try:
            line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"{what} didn't come within {DEADLINE_S:.0f} s{self._so_far()}") from None
        if not line:
            raise AssertionError(f"the server's output ended before {what} came{self._so_far()}")
        message: Message = json.loads(line)
        self.received.append(message)
        if "method" in message and "id" in message:
            answer = self._answers.get(message["method"])
            if answer is None:
                raise AssertionError(f"the server asked for `{message['method']}`, and the script has no answer")
            self.send({"jsonrpc": "2.0", "id": message["id"], **answer(message)})
        return message

    def _so_far(self) -> str:
        last = "\n".join(json.dumps(m)[:300] for m in self.received[-5:])
        return f"; last messages:\n{last}\nstderr:\n{self.stderr[-3000:]}"

    def _read_stdout(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._stderr.append(line)
