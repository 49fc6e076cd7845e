"""`mcpwrap init`: asks a real server what it has, and writes a commented starting file (POLICY.md §2).

It starts a command that nobody accepted, so it asks before. What it writes counts only after `mcpwrap trust`. A file that is there
is added to, never overwritten.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from mcpwrap.cli.caller import DECLINED
from mcpwrap.cli.here import Here
from mcpwrap.cli.screen import command_text, count
from mcpwrap.cli.survey import Launch, Survey, survey
from mcpwrap.core.disguise import hidden_in
from mcpwrap.core.jsonrpc import Json
from mcpwrap.core.pins import NAME_OF, Kind, greeting, suspicious
from mcpwrap.core.rules import Outcome
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import ConfigError, McpwrapError, RefusedError, StateError, UsageError
from mcpwrap.policy.executables import resolve_executable
from mcpwrap.policy.folders import FILE_LIMIT, read_config, refuse_inside_project
from mcpwrap.policy.load import ProjectPolicy, ServerPolicy, load_project
from mcpwrap.policy.lock import LOCK_LIMIT, Entry, Lock, package_of, render
from mcpwrap.policy.lock import parse as parse_lock
from mcpwrap.policy.project import LOCK_FILE, PROJECT_FILE, find_project
from mcpwrap.policy.suggest import Advice, Offered, Suggestion, definition, keys_for, name_for, portable, suggest
from mcpwrap.runtime import workdir
from mcpwrap.runtime.environment import minimal_environment

_PINNED: Final[Mapping[Kind, str]] = {"tool": "tools/list", "prompt": "prompts/list", "template": "resources/templates/list"}
"""The list that has the definitions of each kind."""

_LONGEST_WAIT_S: Final = 3600.0

_BEHIND: Final = f"{__name__}.behind"


class _Init(click.Command):
    """Takes what stands behind ``--`` as the server's command, so that NAME can be left out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta[_BEHIND] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "[OPTIONS] [NAME] -- COMMAND...")


@dataclass(frozen=True, slots=True)
class Target:
    """The folder, and what its file and its lock say already; None where there is none."""

    root: str
    before: bytes | None
    lock: bytes | None

    @property
    def path(self) -> Path:
        """The project's file."""
        return Path(self.root, PROJECT_FILE)

    @property
    def lock_path(self) -> Path:
        """The lock beside it."""
        return Path(self.root, LOCK_FILE)

    def with_tables(self, tables: str) -> bytes:
        """The file's bytes with `tables` at its end, in the file's own line ends."""
        if self.before is None:
            return f"version = 1\n\n{tables}".encode()
        newline = b"\r\n" if b"\r\n" in self.before else b"\n"
        head = self.before if self.before.endswith(b"\n") or not self.before else self.before + newline
        return head + newline + tables.encode().replace(b"\n", newline)


@click.command(cls=_Init)
@click.option("--project", metavar="DIR", help="The project's folder, where it isn't the one you are in.")
@click.option("--inherit-env", metavar="NAME", multiple=True, help="A variable of yours that the server needs; may be repeated.")
@click.option(
    "--timeout",
    "limit_s",
    metavar="SECONDS",
    type=click.FloatRange(1, _LONGEST_WAIT_S),
    default=120.0,
    show_default=True,
    help="How long the server may take.",
)
@click.option("--yes", is_flag=True, help="Start the server without asking.")
@click.option("--no-lock", is_flag=True, help=f"Don't pin what the server has in {LOCK_FILE}.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.argument("name", required=False)
@click.pass_context
def init(
    context: click.Context,
    project: str | None,
    inherit_env: tuple[str, ...],
    limit_s: float,
    yes: bool,
    no_lock: bool,
    as_json: bool,
    name: str | None,
) -> int:
    """Ask a server what it has, and write a starting file.

    Tools whose names say that they only read are allowed; a person is asked for the rest. Nothing of it counts before
    `mcpwrap trust`. An mcpwrap.toml that is there is added to.

    \b
    mcpwrap init -- npx -y @modelcontextprotocol/server-filesystem@2026.8.31 .
    mcpwrap init docs -- python docs_server.py
    """
    typed: tuple[str, ...] = context.meta.get(_BEHIND, ())
    if not typed:
        raise UsageError("no command for a server", hint="mcpwrap init NAME -- COMMAND…, as your client's configuration has it")
    here = Here.now()
    target = _target(here, project)
    command = portable(_absolute(typed, here.cwd), root=target.root, home=here.home)
    name = name or name_for(command)
    # tried before anything runs: a fault of the command line, or of the file that is there, is said at once
    server = _tried(target, here, name, definition(name, command, inherit_env), no_lock=no_lock)
    launch_argv, env = _runnable(here, target, server)
    if not yes and not _agreed(server):
        click.echo("nothing was started and nothing was written", err=True)
        return DECLINED
    found = _asked(here, launch_argv, env, limit_s)
    suggestion = _suggestion(target, here, name, command, found, inherit_env, keys_for(name, command, inherit_env, here.env))
    lock, not_pinned = (None, []) if no_lock else _locked(target, name, server, found)
    _write(target.path, target.before, target.with_tables(suggestion.text), FILE_LIMIT)
    if lock is not None:
        _write(target.lock_path, target.lock, lock, LOCK_LIMIT)
    if as_json:
        click.echo(json.dumps(_facts(target, name, suggestion, found, not_pinned, locked=not no_lock), indent=2))
    else:
        click.echo("\n".join(_lines(target, suggestion, found, not_pinned, locked=not no_lock)))
    return 0


# before anything runs


def _target(here: Here, option: str | None) -> Target:
    named = option or here.env.get("MCPWRAP_PROJECT")
    if named:
        root = str(Path(here.cwd, named).resolve())
        if not Path(root).is_dir():
            raise UsageError(f"`{spell_out(root)}` is no folder")
    else:
        found = find_project(option=None, env=here.env, cwd=here.cwd, home=here.home)
        root = found.root if found else str(Path(here.cwd).resolve())
    if root == str(Path(here.home).resolve()):
        raise UsageError(
            "your home folder can't be a project: everything in it would be", hint="change into the project's folder first"
        )
    refuse_inside_project(here.folders, root)
    return Target(root, _read(Path(root, PROJECT_FILE), FILE_LIMIT), _read(Path(root, LOCK_FILE), LOCK_LIMIT))


def _read(path: Path, limit: int) -> bytes | None:
    try:
        return read_config(str(path), limit)
    except FileNotFoundError:
        return None


def _absolute(command: Sequence[str], cwd: str) -> tuple[str, ...]:
    """`command` with paths that are meant from here: the server is started in an empty folder, where they would name nothing."""
    return tuple(_meant(word, cwd, program=i == 0) for i, word in enumerate(command))


def _meant(word: str, cwd: str, *, program: bool) -> str:
    if word.startswith(("-", "@", "$")) or Path(word).is_absolute() or "://" in word or "\0" in word:
        return word
    sure = word in (".", "..") or word.startswith(("./", "../"))
    path = Path(cwd, word)
    # a bare word may be a package or a subcommand, unless a file of that very name, with a suffix, lies here
    likely = not program and path.suffix != "" and path.is_file()
    return os.path.normpath(path) if sure or likely or ("/" in word and path.exists()) else word


def _tried(target: Target, here: Here, name: str, tables: str, *, no_lock: bool = True) -> ServerPolicy:
    if target.before is not None:
        before = _load(target, here, target.before)
        if name in before.servers:
            raise UsageError(
                f"{PROJECT_FILE} has a server `{spell_out(name)}` already, line {before.servers[name].line}",
                hint=f"give the new one another name: `mcpwrap init NAME -- COMMAND…`, or take [servers.{spell_out(name)}] out",
            )
    if target.lock is not None and not no_lock and name in parse_lock(target.lock).servers:
        raise UsageError(
            f"{LOCK_FILE} has an entry for `{spell_out(name)}` already, though {PROJECT_FILE} has no such server",
            hint="take the entry out, give the server another name, or use `--no-lock`",
        )
    try:
        return _load(target, here, target.with_tables(tables)).servers[name]
    except ConfigError as error:
        error.file = ""  # the line is one that was never written
        raise


def _load(target: Target, here: Here, data: bytes) -> ProjectPolicy:
    return load_project(data, file=PROJECT_FILE, root=target.root, home=here.home)


def _runnable(here: Here, target: Target, server: ServerPolicy) -> tuple[list[str], dict[str, str]]:
    argv = list(server.command or ())
    executable = resolve_executable(argv[0], here.env, target.root)
    if executable is None:
        raise UsageError(
            f"`{spell_out(argv[0])}` was not found",
            hint="name a program that is in PATH (and not in the project), or its absolute path",
        )
    env, _ = minimal_environment(here.env, server.inherit_env, server.env, target.root)
    return [executable, *argv[1:]], env


def _agreed(server: ServerPolicy) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise RefusedError("nobody can be asked whether the server may be started", hint="`--yes` starts it without asking")
    click.echo("This starts the server once, to ask it what it has (its lists; no tool is called):", err=True)
    click.echo(f"  {command_text(server.command or ())}", err=True)
    if server.inherit_env:
        click.echo(f"  with {', '.join(server.inherit_env)} of your environment", err=True)
    return click.confirm("Start it?", err=True)


# the server


def _asked(here: Here, argv: list[str], env: dict[str, str], limit_s: float) -> Survey:
    def tell(line: str) -> None:
        click.echo(line, err=True)

    folder = workdir.make(here.folders.state, secrets.token_hex(6))
    try:
        tell(f"starting {command_text(argv)}")
        return survey(Launch(argv, env, folder), limit_s=limit_s, tell=tell)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _suggestion(
    target: Target, here: Here, name: str, command: Sequence[str], found: Survey, inherit_env: Sequence[str], keys: Sequence[str]
) -> Suggestion:
    lists = found.lists
    offered = Offered(
        found.title,
        tuple(lists.get("tools/list", ())),
        tuple(lists.get("prompts/list", ())),
        tuple(lists.get("resources/list", ())),
        tuple(lists.get("resources/templates/list", ())),
    )
    suggestion = suggest(name, command, offered, inherit_env=inherit_env, keys=keys)
    if len(target.with_tables(suggestion.text)) > FILE_LIMIT:
        suggestion = suggest(name, command, offered, inherit_env=inherit_env, keys=keys, quoting=False)
    _tried(target, here, name, suggestion.text)
    return suggestion


# what is written


def _locked(target: Target, name: str, server: ServerPolicy, found: Survey) -> tuple[bytes, list[str]]:
    """The lock file with what was seen of the server, and the names of what isn't taken into it: it deceives, or is there twice."""
    accepted: dict[Kind, dict[str, Json]] = {}
    left: list[str] = []
    for kind, method in _PINNED.items():
        named = [(str(item.get(NAME_OF[kind])), item) for item in found.lists.get(method, ())]
        twice = {each for each, count_of in Counter(each for each, _ in named).items() if count_of > 1}
        accepted[kind] = {each: item for each, item in named if each not in twice and not suspicious(item, kind, each)}
        left += dict.fromkeys(each for each, _ in named if each not in accepted[kind])
    said: Json | None = greeting(found.greeting)
    if hidden_in(said):
        said = None
        left.append("what it says of itself")
    entries = dict(parse_lock(target.lock).servers) if target.lock is not None else {}
    entries[name] = Entry(package_of(server.command or ()), said, accepted)
    return render(Lock(entries)), left


def _write(path: Path, before: bytes | None, data: bytes, limit: int) -> None:
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        mode = path.stat().st_mode & 0o777 if before is not None else 0o644
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), mode)
        try:
            with open(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if _read(path, limit) != before:
                raise McpwrapError(f"`{path.name}` was changed meanwhile; it wasn't written", hint="start again")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise StateError(f"`{spell_out(str(path))}` can't be written: {why}") from error


def _facts(
    target: Target, name: str, suggestion: Suggestion, found: Survey, not_pinned: list[str], *, locked: bool
) -> dict[str, Any]:
    return {
        "file": str(target.path),
        "project": target.root,
        "created": target.before is None,
        "server": name,
        "revision": found.revision,
        "tools": _effects(suggestion.tools),
        "prompts": _effects(suggestion.prompts),
        "resources": _effects(suggestion.resources),
        "left_out": [{"name": each.name, "why": each.why} for each in suggestion.left_out],
        "gaps": found.gaps,
        "lock": str(target.lock_path) if locked else None,
        "not_pinned": not_pinned,
        "next": "mcpwrap trust",
    }


def _effects(advice: Sequence[Advice]) -> dict[str, list[str]]:
    return {effect.label: [a.name for a in advice if a.effect is effect] for effect in (Outcome.ALLOW, Outcome.ASK)}


def _lines(target: Target, suggestion: Suggestion, found: Survey, not_pinned: list[str], *, locked: bool) -> list[str]:
    tools = suggestion.tools
    allowed, asked = (sum(a.effect is effect for a in tools) for effect in (Outcome.ALLOW, Outcome.ASK))
    done = "wrote" if target.before is None else "added to"
    lines = ["", *(spell_out(line) for line in suggestion.text.splitlines()), ""]
    lines += [f"note: {gap}" for gap in found.gaps]
    lines.append(f"{done} {spell_out(str(target.path))}: {count(allowed, 'tool')} allowed, {asked} to be asked for")
    if asked:
        lines.append("note: this version can't ask yet: what is to be asked for is refused; move what you need to `allow` or `log`")
    if suggestion.left_out:
        lines.append(f"left out: {', '.join(spell_out(a.name, limit=60) for a in suggestion.left_out)} (the file says why)")
    if locked:
        lines.append(f"pinned in {LOCK_FILE}: what changes or is added later stays hidden until you accept it; commit both files")
    if not_pinned:
        shown = ", ".join(spell_out(each, limit=60) for each in not_pinned)
        lines.append(
            f"not pinned, and hidden until `mcpwrap pins accept`: {shown} (hidden characters, look-alikes, or there twice)"
        )
    lines.append("next: look at it, change what you like, then `mcpwrap trust`")
    return lines
