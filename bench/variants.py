"""The commands that are compared: the server alone, mcpwrap in front of it, and peers from PyPI.

Peers get an environment of their own in a cache folder outside the tree. Each variant has its home, state and temporary
folders below the run's temporary folder, and sees nothing of this shell's environment but PATH.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

SERVER = Path(__file__).resolve().parent / "server.py"
INSTALL_TIMEOUT_S = 300.0
SETUP_TIMEOUT_S = 30.0


class Unavailable(Exception):
    """A variant can't take part in this run; the text says why."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A command that speaks MCP on stdio, ready to be started."""

    name: str
    version: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path


@dataclass(frozen=True, slots=True)
class Place:
    """Where a variant may write, what it stands in front of, and where peers are kept."""

    folder: Path
    server: tuple[str, ...]
    cache: Path


def server_command(*, spaced: bool) -> tuple[str, ...]:
    """The server under test, on the interpreter of this run, without site-packages: it starts sooner."""
    return (sys.executable, "-I", "-S", str(SERVER), *(["--spaced"] if spaced else []))


def environment(folder: Path) -> dict[str, str]:
    """A clean environment with its own folders; with PYTHONDONTWRITEBYTECODE in it every start would compile again."""
    places = {
        "HOME": folder / "home",
        "XDG_CONFIG_HOME": folder / "home" / ".config",
        "XDG_STATE_HOME": folder / "home" / ".local" / "state",
        "XDG_DATA_HOME": folder / "home" / ".local" / "share",
        "XDG_CACHE_HOME": folder / "home" / ".cache",
        "XDG_RUNTIME_DIR": folder / "run",
        "TMPDIR": folder / "tmp",
    }
    for path in places.values():
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"} | {k: str(v) for k, v in places.items()}


def _direct(place: Place) -> Variant:
    return Variant("no shim", "", place.server, environment(place.folder), place.folder)


def _mcpwrap(place: Place) -> Variant:
    """A project with one server and `allow = ["*"]`, trusted by its digest."""
    command = Path(sys.executable).parent / "mcpwrap"
    if not command.exists():
        raise Unavailable("the `mcpwrap` command is not installed beside this interpreter")
    env = environment(place.folder)
    project = place.folder / "project"
    project.mkdir()
    listed = ", ".join(json.dumps(part) for part in place.server)
    (project / "mcpwrap.toml").write_text(f'version = 1\n\n[servers.bench]\ncommand = [{listed}]\nallow = ["*"]\n')
    settings = Path(env["XDG_CONFIG_HOME"]) / "mcpwrap"
    settings.mkdir(mode=0o700)
    (settings / "config.toml").write_text("[trust]\nscripted = true\n")
    # not the keyring of the person who measures
    _output([str(command), "vault", "init", "--key-file", str(place.folder / "key")], env, project)
    checked = _output([str(command), "check", "--json"], env, project)
    try:
        digest = str(json.loads(checked)["digest"])
    except (ValueError, KeyError, TypeError):
        raise Unavailable("`mcpwrap check --json` printed no digest") from None
    _output([str(command), "trust", "--digest", digest], env, project)
    version = _output([str(command), "--version"], env, project).split()[-1]
    argv = (str(command), "run", "--project", str(project), "bench")
    return Variant("mcpwrap", version, argv, env, project)


def _agentguard(place: Place) -> Variant:
    command = _installed("agentguard-mcp", "0.2.0", "agentguard", place.cache)
    audit = place.folder / "audit.jsonl"
    argv = (str(command), "run", "--audit-log", str(audit), "--", *place.server)
    return Variant("agentguard", "0.2.0", argv, environment(place.folder), place.folder)


def _belay(place: Place) -> Variant:
    command = _installed("agentbelay", "0.1.0", "belay", place.cache)
    argv = (str(command), "mcp", "--name", "bench", "--approve", "elicit", "--", *place.server)
    return Variant("belay", "0.1.0", argv, environment(place.folder), place.folder)


# Name on the command line to what makes it ready; the order is that of the table.
VARIANTS: Mapping[str, Callable[[Place], Variant]] = {
    "direct": _direct,
    "mcpwrap": _mcpwrap,
    "agentguard": _agentguard,
    "belay": _belay,
}


def _installed(distribution: str, version: str, script: str, cache: Path) -> Path:
    """The script of a peer, installed on first use into an environment of its own with this run's Python."""
    python = f"py{sys.version_info.major}.{sys.version_info.minor}"
    folder = cache / f"{distribution}-{version}-{python}"
    command = folder / "bin" / script
    # Written last, so that a broken-off installation is never taken for a whole one.
    whole = folder / "installed"
    if whole.exists() and command.exists():
        return command
    requirement = f"{distribution}=={version}"
    sys.stderr.write(f"bench: installing {requirement} into {folder}\n")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    try:
        if folder.exists():
            shutil.rmtree(folder)
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"`{cache}` can't be written: {error.strerror}") from None
    uv = os.environ.get("UV") or shutil.which("uv")
    interpreter = str(folder / "bin" / "python")
    if uv:
        _output([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], env, cache)
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", interpreter, requirement]
    else:
        _output([sys.executable, "-m", "venv", str(folder)], env, cache, INSTALL_TIMEOUT_S)
        install = [interpreter, "-m", "pip", "install", "--quiet", requirement]
    _output(install, env, cache, INSTALL_TIMEOUT_S)
    whole.touch()
    return command


def _output(argv: list[str], env: Mapping[str, str], cwd: Path, timeout_s: float = SETUP_TIMEOUT_S) -> str:
    """What a command of the set-up prints; Unavailable with its last words when it fails."""
    try:
        done = subprocess.run(
            argv, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s
        )
    except OSError as error:
        raise Unavailable(f"`{argv[0]}` can't be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"`{' '.join(argv)}` took longer than {timeout_s:g} s") from None
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or done.stdout.strip().splitlines() or ["it said nothing"]
        raise Unavailable(f"`{' '.join(argv)}` failed ({done.returncode}): {words[-1]}")
    return done.stdout
