"""Debian packages that tests need: installed where we are root, else the tests are skipped; with `CI=true` they fail instead."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

import pytest

INSTALL_DEADLINE_S = 600.0


@cache
def _missing(programs: tuple[str, ...], packages: tuple[str, ...]) -> str:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing and shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            subprocess.run(["apt-get", "-qq", *command], env=env, check=False, timeout=INSTALL_DEADLINE_S, capture_output=True)
        missing = [program for program in programs if shutil.which(program) is None]
    return ", ".join(missing)


def need(programs: tuple[str, ...], packages: tuple[str, ...]) -> None:
    """Go on only where `programs` are there; `packages` bring them."""
    if missing := _missing(programs, packages):
        text = f"{missing} not found: apt-get install {' '.join(packages)}"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
