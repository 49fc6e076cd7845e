"""The real command under attack: a client that speaks in bytes."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Message = dict[str, Any]

DEADLINE_S = 60.0
"""For anything that must come; it takes milliseconds, the rest is for a busy machine."""

END_S = 20.0
"""For the end of a session; mcpwrap promises two seconds, the rest is for a busy machine."""

MODERN = "2026-07-28"
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"


def encoded(message: Message | list[Message]) -> bytes:
    """One line in the SDKs' compact form."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def modern(params: Message | None = None, **capabilities: Any) -> Message:
    """Parameters of a stateless request."""
    meta = {VERSION_KEY: MODERN, CAPABILITIES_KEY: capabilities}
    return {**(params or {}), "_meta": {**meta, **(params or {}).get("_meta", {})}}


def tool(name: str, **arguments: Any) -> Message:
    """Parameters of a `tools/call`."""
    return {"name": name, "arguments": arguments}


class Shim:
    """One run of the shim with us as its client. A context manager; leaving it ends the session as clients do."""

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        *,
        reading: bool = True,
        stdin: Any = subprocess.PIPE,
        stdout: Any = subprocess.PIPE,
        **how: Any,
    ) -> None:
        self.raw: list[bytes] = []
        """Every line that came, as it came."""
        self._at = 0
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._errors: list[bytes] = []
        self._next_id = 1000
        self.process = subprocess.Popen(
            argv, env=dict(env), cwd=cwd, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, start_new_session=True, **how
        )
        self._threads = [threading.Thread(target=self._read_stderr)]
        if reading and stdout == subprocess.PIPE:
            self._threads.append(threading.Thread(target=self._read_stdout))
        for thread in self._threads:
            thread.start()

    def read(self) -> None:
        """Begin to read, where the client was slow so far."""
        self._threads.append(threading.Thread(target=self._read_stdout))
        self._threads[-1].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
        if error is not None:
            error.add_note(f"the shim's stderr:\n{self.stderr[-2000:]}\nlast lines: {self.raw[-4:]!r:.2000}")

    @property
    def pid(self) -> int:
        """Of the shim."""
        return self.process.pid

    @property
    def stderr(self) -> str:
        """What came on stderr so far."""
        return b"".join(self._errors).decode("utf-8", "replace")

    @property
    def messages(self) -> list[Message]:
        """Everything that came so far, array members one by one."""
        found: list[Message] = []
        for line in self.raw:
            value = json.loads(line)
            found += value if isinstance(value, list) else [value]
        return found

    # saying

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, *messages: Message | list[Message]) -> None:
        """Send messages, a line each."""
        self.send_bytes(b"".join(encoded(m) for m in messages))

    def ask(self, id_: Any, method: str, params: Message | None = None) -> None:
        """Send a request and don't wait."""
        self.send({"jsonrpc": "2.0", "id": id_, "method": method, **({} if params is None else {"params": params})})

    def notify(self, method: str, params: Message | None = None) -> None:
        """Send a notification."""
        self.send({"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})})

    def request(self, id_: Any, method: str, params: Message | None = None) -> Message:
        """Send a request and wait for its answer."""
        self.ask(id_, method, params)
        return self.answer_to(id_)

    def open(self, revision: str = "2025-11-25", **capabilities: Any) -> Message:
        """The legacy handshake."""
        identity = {"name": "attacker", "version": "1"}
        params = {"protocolVersion": revision, "capabilities": capabilities, "clientInfo": identity}
        answer = self.request(0, "initialize", params)
        self.notify("notifications/initialized")
        return answer

    def call(self, name: str, /, **arguments: Any) -> Message:
        """Call a tool in the legacy way and wait for the answer."""
        self._next_id += 1
        return self.request(self._next_id, "tools/call", tool(name, **arguments))

    def call_modern(self, name: str, /, **arguments: Any) -> Message:
        """Call a tool in the stateless way and wait for the answer."""
        self._next_id += 1
        return self.request(self._next_id, "tools/call", modern(tool(name, **arguments)))

    def fence(self) -> None:
        """Let everything that was sent in either direction so far arrive."""
        self._next_id += 1
        self.request(f"fence-{self._next_id}", "ping")

    def tools(self, params: Message | None = None) -> list[str]:
        """The names of the tools that are listed."""
        self._next_id += 1
        return [t["name"] for t in self.request(self._next_id, "tools/list", params)["result"]["tools"]]

    # hearing

    def answer_to(self, id_: Any) -> Message:
        """Wait for the answer to `id_`; what comes before stays in `raw`."""
        return self.wait_for(lambda m: _answers(m, id_), f"answer to {id_!r}")

    def wait_for_method(self, method: str) -> Message:
        """Wait for a request or notification of the server's, or one of mcpwrap's own."""
        return self.wait_for(lambda m: m.get("method") == method, f"`{method}`")

    def wait_for(self, wanted: Callable[[Message], bool], what: str) -> Message:
        """Wait for a message that is `wanted`; those before it that weren't are passed over."""
        end = time.monotonic() + DEADLINE_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"{what} didn't come") from None
            if not line:
                self._lines.put(b"")
                raise AssertionError(f"the shim's output ended before {what} came")
            value = json.loads(line)
            for message in value if isinstance(value, list) else [value]:
                if wanted(message):
                    return dict(message)

    def answers(self, id_: Any) -> list[Message]:
        """All answers to `id_` that came so far."""
        return [m for m in self.messages if _answers(m, id_)]

    def wait_for_stderr(self, text: str) -> None:
        """Wait until `text` stands on stderr."""
        end = time.monotonic() + DEADLINE_S
        while text not in self.stderr:
            assert time.monotonic() < end, f"{text!r} never came on stderr:\n{self.stderr}"
            time.sleep(0.01)

    # the end

    def hang_up(self) -> None:
        """Close our end of its input."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):  # it is gone already
                self.process.stdin.close()

    def ended(self) -> int:
        """Wait for the end and return the exit code."""
        return self.process.wait(END_S)

    def close(self) -> None:
        """End-of-file, and SIGKILL where that isn't enough."""
        self.hang_up()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            for thread in self._threads:
                thread.join(END_S)
            for stream in (self.process.stdout, self.process.stderr):
                if stream is not None:
                    stream.close()

    def kill(self) -> None:
        """SIGKILL to the shim alone."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()

    def _read_stdout(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.raw.append(line)
            self._lines.put(line)
        self._lines.put(b"")

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        while data := os.read(self.process.stderr.fileno(), 65536):
            self._errors.append(data)


def _answers(message: Message, id_: Any) -> bool:
    return "method" not in message and message.get("id") == id_ and type(message.get("id")) is type(id_)


def ref_in(text: str) -> str:
    """The ref of a refusal."""
    assert "(ref " in text, text
    return text.rpartition("(ref ")[2].partition(")")[0]


def ref_of(answer: Message) -> str:
    """The ref that an answer carries."""
    if "error" in answer:
        return ref_in(answer["error"]["message"])
    return ref_in(answer["result"]["content"][0]["text"])


def said(answer: Message) -> Any:
    """What the honest server says that it ran: its name and arguments."""
    return json.loads(answer["result"]["content"][0]["text"])


def children_of(pid: int) -> list[int]:
    """The direct children of a process."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(number) for number in path.read_text().split()]
    return found


def memory_kib(pid: int) -> int:
    """Resident memory at its highest."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM")


def codes(messages: Iterable[Message]) -> list[int]:
    """The error codes of answers."""
    return [m["error"]["code"] for m in messages if "error" in m]
