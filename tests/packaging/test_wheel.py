"""The wheel, as people install it: into an environment that has nothing else, by pip, uv and pipx."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from mcpwrap import __version__

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[2]
DEADLINE_S = 300.0
"""For one installation from a package index."""

REAL_HOME = os.environ.get("HOME", "")
"""Before the fixtures empty it: the caches and the index's configuration of who runs the tests lie there."""


APART = """
import os, sys
from mcpwrap.core.credentials import Bearer, Minted, Network, Wanted
from mcpwrap.identity import apart
from mcpwrap.identity.job import Job
from mcpwrap.identity.vault import Header, Places, create
vault = create(Places(sys.argv[1] + "/state", sys.argv[1] + "/data"), Header("file", "/nowhere", "0" * 32), os.urandom(32))
job = Job(vault.places, vault.header, vault.key, Bearer("/src", "shop", "issues", ""), (Wanted("A", Minted()),), Network())
print(type(apart.run(job)[0]).__name__)
"""
"""Asks the process apart, which has to find this mcpwrap and what it stands on, however they were installed."""


def run(*command: str | Path, env: Mapping[str, str] | None = None) -> str:
    """Run a command away from the checkout, so that nothing is imported from it; its output."""
    ended = subprocess.run(
        command,
        cwd=Path(sys.prefix).anchor,
        env={**os.environ, "HOME": REAL_HOME, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.strip()


@pytest.fixture(scope="module")
def uv() -> str:
    """The uv that runs the tests, the machine's, or the one that make brought."""
    own = ROOT / ".uv" / "bin" / "uv"
    found = os.environ.get("UV") or shutil.which("uv") or (str(own) if own.is_file() else None)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("uv is missing, and CI needs it")
        pytest.skip("uv is missing; `make test` brings it")
    return found


@pytest.fixture(scope="module")
def wheel(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution as a package index would get it."""
    folder = tmp_path_factory.mktemp("dist")
    run(uv, "build", "--quiet", "--out-dir", folder, ROOT)
    [built] = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_and_its_licence_and_nothing_else(wheel: Path) -> None:
    assert wheel.name == f"mcpwrap_shim-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [metadata] = [name for name in names if name.endswith("/METADATA")]
        text = archive.read(metadata).decode()
    assert {name.partition("/")[0] for name in names} == {"mcpwrap", metadata.partition("/")[0]}
    assert "mcpwrap/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert re.search(r"^Name: mcpwrap-shim$", text, re.MULTILINE)
    assert not [name for name in names if name.endswith(".pyc") or "node_modules" in name]


def test_pip_installs_it_into_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    bin_ = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin")
    run(bin_ / "python", "-m", "pip", "install", "--quiet", wheel)
    assert __version__ in run(bin_ / "mcpwrap", "--version")
    assert __version__ in run(bin_ / "python", "-m", "mcpwrap", "--version")
    help_ = run(bin_ / "mcpwrap", "--help")
    for command in ("run", "trust", "check", "explain", "log", "status", "demo"):
        assert re.search(rf"^  {command}\b", help_, re.MULTILINE), command
    assert run(bin_ / "python", "-c", APART, str(tmp_path / "vault")) == "Issued"
    assert "Everything came out" in run(bin_ / "mcpwrap", "demo", env={"HOME": str(tmp_path)}), "the demo needs more than the wheel"


def test_uvx_runs_it_from_the_wheel(wheel: Path, uv: str, tmp_path: Path) -> None:
    assert __version__ in run(uv, "tool", "run", "--quiet", "--isolated", "--from", wheel, "mcpwrap", "--version")
    apart = run(uv, "tool", "run", "--quiet", "--isolated", "--from", wheel, "python", "-c", APART, str(tmp_path))
    assert apart == "Issued"


def test_a_folder_of_packages_is_enough(wheel: Path, uv: str, tmp_path: Path) -> None:
    # as `pip install --user` and `--target` have it: what -I takes off the path is put back, behind the library
    run(uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", tmp_path / "packages", wheel)
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    assert run(python, "-c", APART, str(tmp_path / "vault"), env={"PYTHONPATH": str(tmp_path / "packages")}) == "Issued"


def test_pipx_installs_it(wheel: Path, uv: str, tmp_path: Path) -> None:
    env = {
        "PIPX_HOME": str(tmp_path / "home"),
        "PIPX_BIN_DIR": str(tmp_path / "bin"),
        "PIPX_MAN_DIR": str(tmp_path / "man"),
        "PIPX_DEFAULT_PYTHON": sys.executable,
    }
    run(uv, "tool", "run", "--quiet", "pipx", "install", "--quiet", str(wheel), env=env)
    assert __version__ in run(tmp_path / "bin" / "mcpwrap", "--version")
    [python] = (tmp_path / "home" / "venvs").glob("*/bin/python")
    assert run(python, "-c", APART, str(tmp_path / "vault")) == "Issued"
