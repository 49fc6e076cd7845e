"""A project whose server needs a token: written, trusted, started, called."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.attacks.shim import DEADLINE_S, Message, Shim, modern, tool
from tests.project import COMMAND_DEADLINE_S, Project, toml

SERVER = Path(__file__).with_name("token_server.py")
NAME = "desk"


@dataclass
class Desk:
    """The project, and what its server did."""

    project: Project

    @property
    def log(self) -> Path:
        """One line for each start of the server."""
        return self.project.home / "starts"

    @property
    def starts(self) -> int:
        """How often the server was started."""
        return len(self.log.read_text("utf-8").splitlines()) if self.log.exists() else 0

    def define(self, credentials: str, *, more: str = "", head: str = "") -> None:
        """Write the project's file with these credentials, and trust it."""
        self.write(credentials, more=more, head=head)
        self.project.trust()

    def write(self, credentials: str, *, more: str = "", head: str = "") -> None:
        """Write the project's file with these credentials."""
        argv = [sys.executable, "-I", str(SERVER), str(self.log)]
        env = {"DESK_COMMAND": str(self.project.command), "DESK_NAME": NAME}
        self.project.write(
            f'version = 1\n{head}\n[servers.{NAME}]\ncommand = {toml(argv)}\nenv = {toml(env)}\nallow = ["*"]\n'
            f'{more}\n[servers.{NAME}.resources]\nallow = ["*"]\n{credentials}\n'
        )

    def minted(self, via: str, ttl_s: int = 5) -> str:
        """The table of a minted token."""
        return f'[servers.{NAME}.credentials.AGENT_TOKEN]\nminted = {{ scope = ["desk:use"], ttl_s = {ttl_s} }}\nvia = "{via}"\n'

    def shim(self, **env: str) -> Shim:
        """A client's session with the server."""
        argv = [str(self.project.command), "run", "--project", str(self.project.root), NAME]
        return Shim(argv, {**self.project.env, **env}, self.project.root)

    @property
    def records(self) -> list[Message]:
        """All audit records."""
        found = []
        for path in sorted((self.project.home / ".local/state/mcpwrap/audit").glob("*.jsonl")):
            found += [json.loads(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        return found

    def run(self, *args: str, stdin: str = "", **env: str) -> str:
        """One `mcpwrap` command of the person's; what it says."""
        ended = subprocess.run(
            [self.project.command, *args], cwd=self.project.root, env={**self.project.env, **env}, input=stdin,
            capture_output=True, text=True, timeout=COMMAND_DEADLINE_S, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr


def ask(shim: Shim, id_: int, way: str, *, stateless: bool, name: str = "whoami", **arguments: Any) -> Message:
    """Call the server and wait for its answer."""
    params = tool(name, way=way, **arguments)
    return shim.request(id_, "tools/call", modern(params) if stateless else params)


def told(answer: Message) -> dict[str, Any]:
    """What the server saw; an answer that isn't one fails the test with its words."""
    assert "result" in answer, answer
    text = answer["result"]["content"][0]["text"]
    assert not answer["result"].get("isError"), text
    found: dict[str, Any] = json.loads(text)
    return found


def refused(answer: Message) -> str:
    """The words of a refusal that the model can read."""
    assert answer["result"]["isError"] is True, answer
    return str(answer["result"]["content"][0]["text"])


def eventually(call: Callable[[], Message], wanted: Callable[[Message], bool]) -> Message:
    """Call again and again until the answer is `wanted`."""
    end = time.monotonic() + DEADLINE_S
    while not wanted(answer := call()):
        assert time.monotonic() < end, answer
        time.sleep(0.05)
    return answer
