"""What a checkout brings for node, npm and Python to find isn't run, though its project is trusted (ATTACKS.md, host).

Each is played twice: as mcpwrap starts a server where the policy names no folder, and with the project for its working folder, as a
person may accept it: there the planted thing does run, so that the first half shows something.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks.arena import SERVER, Arena
from tests.e2e import parts

pytestmark = pytest.mark.real

IN_PROJECT = 'cwd = "${project}"\n'
HELD = "isn't the file that was accepted"


def npx(*args: str) -> list[str]:
    """The command `npx` of the node that the tests have; it looks nothing up in a registry."""
    node = Path(parts.node())
    modules = node.parent / "node_modules" if os.name == "nt" else node.parent.parent / "lib" / "node_modules"
    return [str(node), str(modules / "npm" / "bin" / "npx-cli.js"), "--offline", "--yes", *args]


def planted(path: Path, mark: Path, head: str = "#!/bin/sh\n") -> None:
    """A script that leaves a mark."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{head}: > {shlex.quote(str(mark))}\n", encoding="utf-8")
    path.chmod(0o755)


def binary(arena: Arena, mark: Path) -> list[str]:
    """`node_modules/.bin/x`, which npx prefers to what a registry has."""
    planted(arena.project.root / "node_modules" / ".bin" / "shop-server", mark)
    return npx("shop-server")


def npmrc(arena: Arena, mark: Path) -> list[str]:
    """A `.npmrc` that names the shell in which npx runs its command."""
    planted(arena.project.root / "shell", mark)
    (arena.project.root / ".npmrc").write_text(f"script-shell={arena.project.root / 'shell'}\n", encoding="utf-8")
    return npx("-c", shlex.join(arena.argv))


def package(arena: Arena, mark: Path) -> list[str]:
    """A `package.json` that says what the command of that name is."""
    planted(arena.project.root / "run.js", mark)
    (arena.project.root / "run.js").write_text(
        f"#!/usr/bin/env node\nrequire('fs').writeFileSync({json.dumps(str(mark))}, '')\n", "utf-8"
    )
    manifest = {"name": "shop-server", "version": "1.0.0", "bin": {"shop-server": "run.js"}}
    (arena.project.root / "package.json").write_text(json.dumps(manifest), encoding="utf-8")
    return npx("shop-server")


def customize(arena: Arena, mark: Path) -> list[str]:
    """A `sitecustomize.py`, which Python runs before the server where it finds it."""
    (arena.project.root / "sitecustomize.py").write_text(f"open({str(mark)!r}, 'w')\n", encoding="utf-8")
    return [sys.executable, str(SERVER), *arena.argv[4:]]


@pytest.mark.parametrize("plant", [binary, npmrc, package, customize])
@pytest.mark.parametrize("cwd", ["", IN_PROJECT], ids=["as-it-is-started", "in-the-project"])
def test_what_a_checkout_brings_is_not_run(plant: Callable[[Arena, Path], list[str]], cwd: str, arena: Arena) -> None:
    mark = arena.project.home / "mark"
    arena.script()
    command = plant(arena, mark)
    arena.policy(command=command, more='env = { PYTHONPATH = "." }\n' + cwd)
    env = {**arena.project.env, "PATH": f"{Path(parts.node()).parent}{os.pathsep}{arena.project.env['PATH']}"}
    arena.accept(env=env)
    with arena.start(env=env) as shim:
        shim.open()
        shim.fence()
        if plant in (npmrc, customize) and not cwd:
            assert "result" in shim.call("safe"), "the server itself runs"
        elif plant in (binary, package):
            shim.wait_for_stderr("exited")
    assert mark.exists() is bool(cwd)


@pytest.mark.parametrize(("element", "cwd"), [("${project}/server.js", ""), ("./server.js", IN_PROJECT)])
def test_a_server_of_the_project_that_is_changed_after_trust_is_not_run(element: str, cwd: str, arena: Arena) -> None:
    server = arena.project.root / "server.js"
    server.write_text("process.exit(3)\n", encoding="utf-8")
    arena.policy(command=[parts.node(), element], more=cwd)
    arena.accept()
    mark = arena.project.home / "mark"
    server.write_text(f"require('fs').writeFileSync({json.dumps(str(mark))}, '')\n", encoding="utf-8")
    with arena.start() as shim:
        shim.open()
        assert shim.tools() == ["mcpwrap_status"]
        assert HELD in str(shim.call("mcpwrap_status")["result"]["content"][0]["text"])
    assert not mark.exists()
    arena.accept()
    with arena.start() as shim:
        shim.open()
        shim.wait_for_stderr("exited")
    assert mark.exists(), "what was accepted runs"
