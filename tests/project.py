"""A project with an `mcpwrap.toml`, written and trusted as a person's script would do it, and how a client starts its servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

COMMAND_DEADLINE_S = 60.0
"""For one short `mcpwrap` command; they take a tenth of a second, the rest is for a busy machine."""

USER_FILE = "[trust]\nscripted = true\n"

ACCEPTED: dict[str, str] = {}
"""The project files that were trusted in this run of the tests, by their digests as the audit has them."""

TRANSPARENT = """
allow = ["*"]
[servers.{name}.resources]
allow = ["*"]
[servers.{name}.prompts]
allow = ["*"]
[servers.{name}.server_requests]
allow = ["*"]
"""
"""What follows a server's command where everything is allowed."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a client needs to start a server: an argument list, the whole environment, the working folder."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str


@dataclass(frozen=True, slots=True)
class Server:
    """A real server as a policy defines it; `env` is what it gets besides the short safe list."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)

    def definition(self, rules: str) -> str:
        """Its part of a project file, with `rules` after the command; ``{name}`` in them is the server's name."""
        lines = [
            f"[servers.{self.name}]",
            f"command = {toml(self.argv)}",
            'cwd = "${project}"',
            f"env = {toml(self.env)}",
            rules.replace("{name}", self.name),
        ]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Project:
    """A folder, the person's home, and the command under test."""

    root: Path
    home: Path
    command: Path

    @property
    def env(self) -> dict[str, str]:
        """The environment of a client that hides nothing: what reaches a server through mcpwrap too."""
        return {"PATH": search_path(), "HOME": str(self.home), "LANG": "C.UTF-8"}

    def mcpwrap(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one `mcpwrap` command in the project."""
        ended = subprocess.run(
            [self.command, *args],
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_DEADLINE_S,
            check=False,
        )
        if check and ended.returncode != 0:
            raise AssertionError(f"mcpwrap {' '.join(args)} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}")
        return ended

    def write(self, text: str) -> None:
        """Put `text` into the project's file."""
        (self.root / "mcpwrap.toml").write_text(text, encoding="utf-8")

    def define(self, *servers: Server, rules: str = TRANSPARENT) -> None:
        """Write a project file with these servers under the same `rules`, and trust it."""
        self.write("\n".join(["version = 1", *(server.definition(rules) for server in servers)]))
        self.trust()

    def trust(self) -> str:
        """Accept the project file as it lies there, without a terminal; the digest that was accepted."""
        digest = str(json.loads(self.mcpwrap("check", "--json").stdout)["digest"])
        self.mcpwrap("trust", "--digest", digest)
        file = self.root / "mcpwrap.toml"
        # (a folder without one has servers of the person's own)
        ACCEPTED[digest] = file.read_text("utf-8") if file.exists() else ""
        return digest

    def direct(self, server: Server) -> Launch:
        """The server without mcpwrap, in the environment and folder that it has behind it."""
        argv = tuple(self._filled(arg) for arg in server.argv)
        env = {name: self._filled(value) for name, value in server.env.items()}
        return Launch(argv, {**self.env, **env}, str(self.root))

    def behind(self, server: Server) -> Launch:
        """The server behind `mcpwrap run`."""
        return Launch((str(self.command), "run", "--project", str(self.root), server.name), self.env, str(self.root))

    def _filled(self, text: str) -> str:
        return text.replace("${project}", str(self.root))


def toml(value: Sequence[str] | Mapping[str, str]) -> str:
    """Strings as TOML; its basic strings are JSON's for what tests put into them."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {json.dumps(text)}" for key, text in value.items()) + " }"
    return json.dumps(list(value))


def search_path() -> str:
    """PATH as mcpwrap passes it on: absolute folders that are there, once each, this interpreter's first."""
    folders = [str(Path(sys.executable).parent), *os.environ.get("PATH", os.defpath).split(os.pathsep)]
    return os.pathsep.join(dict.fromkeys(folder for folder in folders if Path(folder).is_absolute() and Path(folder).is_dir()))


def console_script() -> Path:
    """The installed command `mcpwrap` of the environment that runs the tests."""
    return Path(sys.executable).parent / ("mcpwrap.exe" if os.name == "nt" else "mcpwrap")
