"""Providers besides `oidc-provider`: `canaille`, and `oidc-provider-mock`, which doesn't say that it checks PKCE."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.parts import python_part


@contextmanager
def canaille() -> Iterator[str]:
    """Its issuer; who signs in is `ann` with the password ``any``."""
    python_part("canaille")
    argv = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("canaille_program.py"))]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            issuer = process.stdout.readline().strip()
            assert issuer, "canaille didn't start"
            yield issuer
        finally:
            process.kill()


@contextmanager
def mock() -> Iterator[str]:
    """The issuer of `oidc-provider-mock`."""
    argv = [python_part("oidc-provider-mock"), "--port", "0"]
    env = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.search(r"http://(?:127\.0\.0\.1|localhost):\d+", line):
                    yield found[0]
                    return
            raise AssertionError("oidc-provider-mock didn't start")
        finally:
            process.kill()
