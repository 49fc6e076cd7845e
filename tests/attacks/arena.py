"""A project under attack: its server follows a script, and what reached it is known."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcpwrap.policy.folders import folders
from mcpwrap.policy.load import load_project
from mcpwrap.policy.project import find_project, read_project
from mcpwrap.policy.trust import TrustRecord, TrustStore, commands_of, digest
from tests.attacks.shim import DEADLINE_S, Message, Shim
from tests.project import ACCEPTED, Project, toml
from tests.vaults import vault_of

SERVER = Path(__file__).with_name("server.py")
NAME = "lab"

RULES = """
allow = ["safe"]
log = ["logged"]
ask = ["asked"]
deny = ["evil"]
[servers.lab.resources]
allow = ["docs://**"]
[servers.lab.prompts]
allow = ["hello"]
"""
"""What the policy says where a test says nothing else."""


@dataclass
class Arena:
    """A project with one server that follows a script."""

    project: Project

    @property
    def lab(self) -> Path:
        """The server's script and its log; outside of the project, so that no trust depends on them."""
        folder = self.project.home / "lab"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def state(self) -> Path:
        """mcpwrap's own state folder."""
        return Path(folders(self.project.env).state)

    @property
    def argv(self) -> tuple[str, ...]:
        """The server's command."""
        return (sys.executable, "-I", "-S", str(SERVER), str(self.lab / "script.json"), str(self.lab / "received"))

    def script(self, script: Message | None = None) -> None:
        """Say what the server does from its next start on."""
        (self.lab / "script.json").write_text(json.dumps(script or {}), encoding="utf-8")

    def policy(self, rules: str = RULES, *, command: Sequence[str] | None = None, more: str = "") -> None:
        """Write the project's file, and no more."""
        line = f"command = {toml(self.argv if command is None else command)}\n" if command != () else ""
        self.project.write(f"version = 1\n[servers.{NAME}]\n{line}{more}{rules}")

    def accept(
        self,
        *,
        commands: Mapping[str, Sequence[str]] | None = None,
        callers: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Trust the project's file as it lies there; what `mcpwrap trust` stores in a shell with `env`, without starting it."""
        env, root = env or self.project.env, str(self.project.root)
        found = find_project(option=root, env=env, cwd=root, home=str(self.project.home))
        assert found is not None
        data, lock = read_project(found)
        policy = load_project(data, file="mcpwrap.toml", root=root, home=str(self.project.home))
        accepted = commands_of(policy, env, {name: tuple(argv) for name, argv in (commands or {}).items()})
        record = TrustRecord(
            root,
            digest(data, lock),
            data.decode(),
            None if lock is None else lock.decode(),
            accepted,
            tuple(callers),
            "2026-01-01T00:00:00+00:00",
            0,
        )
        TrustStore(folders(env).state, vault_of(env)).put(record)
        ACCEPTED[record.digest] = record.content

    def set_up(self, script: Message | None = None, rules: str = RULES, *, more: str = "") -> None:
        """A script, a policy, and trust in it."""
        self.script(script)
        self.policy(rules, more=more)
        self.accept()

    def run(self, script: Message | None = None, rules: str = RULES, *, more: str = "", **how: Any) -> Shim:
        """`set_up`, and a session."""
        self.set_up(script, rules, more=more)
        return self.start(**how)

    def start(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        before: Sequence[str] = (),
        named: bool = True,
        name: str = NAME,
        **how: Any,
    ) -> Shim:
        """A session of `mcpwrap run`; `command` comes after ``--``, `before` starts it all."""
        option = ("--project", str(self.project.root)) if named else ()
        argv = [*before, str(self.project.command), "run", *option, name, *(("--", *command) if command else ())]
        return Shim(argv, self.project.env if env is None else dict(env), cwd or self.project.root, **how)

    @property
    def log(self) -> list[bytes]:
        """Every line that the servers got or noted so far."""
        path = self.lab / "received"
        return path.read_bytes().splitlines() if path.exists() else []

    @property
    def received(self) -> list[Message]:
        """Every message that reached a server."""
        found: list[Message] = []
        for line in self.log:
            if not line.startswith(b"#"):
                value = json.loads(line)
                found += value if isinstance(value, list) else [value]
        return found

    def called(self) -> list[str]:
        """The names of all tools that a server was asked to run, in order."""
        return [m["params"]["name"] for m in self.received if m.get("method") == "tools/call"]

    def methods(self) -> list[str]:
        """The methods that reached a server, in order."""
        return [m["method"] for m in self.received if "method" in m]

    def pids(self) -> dict[str, int]:
        """The server's processes, by kind; the last of each."""
        words = [line.split() for line in self.log if line.startswith(b"#pid")]
        return {kind.decode(): int(pid) for _, kind, pid in words}

    def wait_for_pids(self, *kinds: str) -> dict[str, int]:
        """The server's processes, once they are there."""
        end = time.monotonic() + DEADLINE_S
        while not set(kinds) <= set(self.pids()):
            assert time.monotonic() < end, f"no {kinds} in {self.pids()}"
            time.sleep(0.01)
        return self.pids()

    @property
    def records(self) -> list[Message]:
        """All audit records, in the order of files and lines; a torn last line is left out."""
        found = []
        for path in sorted((self.state / "audit").glob("*.jsonl")):
            found += [json.loads(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        return found

    def refused(self) -> list[Message]:
        """The records of what was refused, but for the run's own."""
        return [r for r in self.records if r.get("status") == "refused" and r["event"] != "lifecycle"]

    def the_record(self, ref: str) -> Message:
        """The one record that carries `ref`."""
        end = time.monotonic() + DEADLINE_S
        # the record of a refusal is written when its answer was sent
        while not (found := [r for r in self.records if r.get("ref") == ref]):
            assert time.monotonic() < end, f"no record has the ref {ref}"
            time.sleep(0.01)
        assert len(found) == 1, found
        return found[0]

    def why(self, ref: str) -> str:
        """The reason in the one record that carries `ref`."""
        return str(self.the_record(ref)["reasons"][0]["text"])
