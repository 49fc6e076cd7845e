"""May this server run, how, and by which rules? Asked at the start and again whenever a file that decides changed.

Everything that can't be answered holds the session; nothing of a file that isn't trusted is parsed (POLICY.md §1 and §5).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from mcpwrap.core.credentials import LOCAL, Bearer, FromSecret, Network, Profile, Wanted
from mcpwrap.core.pins import PinnedServer
from mcpwrap.core.rules import ServerRules
from mcpwrap.core.seal import NoSeal, Seal
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import ConfigError, McpwrapError, StateError, UntrustedError, VaultError
from mcpwrap.identity.logins import Card, LoginStore, card_path, keys_for
from mcpwrap.identity.secrets import SecretStore
from mcpwrap.policy.commands import verify_command
from mcpwrap.policy.executables import resolve_executable
from mcpwrap.policy.folders import Folders, folders, read_config, read_site, refuse_inside_project
from mcpwrap.policy.load import (
    ProjectPolicy,
    ServerPolicy,
    TighteningPolicy,
    load_project,
    load_site,
    load_user,
)
from mcpwrap.policy.merge import rules_for
from mcpwrap.policy.pins import PinStore, pins_of, pins_path
from mcpwrap.policy.project import Project, caller_project, find_project, read_project
from mcpwrap.policy.records import TrustRecord
from mcpwrap.policy.trust import Standing, TrustStore, standing, trust_path
from mcpwrap.runtime.door import Door
from mcpwrap.runtime.environment import minimal_environment
from mcpwrap.runtime.words import held, held_by, quoted


class Asked(msgspec.Struct, frozen=True):
    """What the client's configuration asks for: ``mcpwrap run [--project DIR] NAME [-- COMMAND…]``, and where it was started."""

    name: str
    project: str | None
    command: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    home: str


class Launch(msgspec.Struct, frozen=True):
    """How the server is started. `cwd` is None for a private folder; `withheld` names what of the client's it doesn't get."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str | None
    withheld: frozenset[str]
    place: str


class Assessment(msgspec.Struct, frozen=True):
    """The answer. Where `hold` isn't empty, nothing may run. `watched` are the files that it depends on."""

    hold: str
    notice: str = ""
    rules: ServerRules | None = None
    launch: Launch | None = None
    project: str = ""
    chosen_by: str = ""
    digest: str = ""
    watched: tuple[str, ...] = ()
    name: str = ""
    """the project's name"""
    pinned: PinnedServer | None = None
    others: Mapping[str, str] = {}
    wanted: tuple[Wanted, ...] = ()
    """the credentials that the server is to get"""
    bearer: Bearer = Bearer("", "", "", "")
    profile: Profile | None = None
    """what the user's file lends of the login; None where it has no such profile"""
    network: Network = Network()
    subject: Mapping[str, Any] = {}
    """who asks: the login's person, or the operating system's user"""


class _Source(msgspec.Struct, frozen=True):
    """The accepted content of the file that may define the server."""

    root: str
    file: str
    chosen_by: str
    record: TrustRecord
    policy: ProjectPolicy
    changed: bool


def assess(asked: Asked, door: Door) -> Assessment:
    """Answer for what was `asked`, by the files as they are now; what is recorded in them counts as `door`'s vault sealed it."""
    watched: list[str] = [door.places.header]
    about: dict[str, str] = {}
    try:
        return _assess(asked, door, watched, about)
    except McpwrapError as error:
        text = str(error) if isinstance(error, _Held) else held_by(asked.name, error)
        return Assessment(
            text,
            watched=tuple(watched),
            project=about.get("project", ""),
            chosen_by=about.get("chosen_by", ""),
            digest=about.get("digest", ""),
        )


class _Held(UntrustedError):
    """The session is held; the text is complete."""


def _assess(asked: Asked, door: Door, watched: list[str], about: dict[str, str]) -> Assessment:
    ours = folders(asked.env)
    user_file = os.path.join(ours.config, "config.toml")
    watched += [ours.site_file, user_file]
    tightening = _tightening(ours, asked.home)
    user = next((each for each in tightening if each.file == user_file), _NO_USER_FILE)
    vault = _Sealed(door, user.vault)
    source = _project_source(asked, ours, vault, watched, about)
    if source is None or (asked.name not in source.policy.servers):
        own = _own_source(asked, ours, vault, watched, defined=_defines(tightening, asked.name))
        if own is None and source is None:
            raise _Held(
                held(
                    asked.name,
                    f"no mcpwrap.toml was found from {asked.cwd} upwards",
                    f"put one into the project, or name the project with `mcpwrap run --project DIR {asked.name}`",
                )
            )
        if own is None and source is not None:
            raise _Held(
                held(
                    asked.name,
                    f"the accepted {source.file} of {source.root} has no [servers.{asked.name}]",
                    f"add it and run `mcpwrap trust` in a terminal of their own, in {source.root}",
                )
            )
        source = own or source
    assert source is not None  # noqa: S101 - one of the two was found
    about["digest"] = source.record.digest
    server = source.policy.servers[asked.name]
    argv = _command(asked, source, server)
    launch = _launch(asked, source, server, argv)
    notice = _notice(asked, source) if source.changed else ""
    rules = rules_for(source.policy, asked.name, tightening, argv)
    pins = PinStore(ours.state, door.open(user.vault))
    pinned, others = pins_of(pins, source.record, source.root, asked.name, tuple(source.policy.servers))
    profile, card = _login(asked, door, user, source, watched)
    secrets = SecretStore(door.open(user.vault))
    for each in server.credentials:
        if isinstance(each.source, FromSecret):
            watched += secrets.paths(source.root, asked.name, each.source.name)
    return Assessment(
        "",
        notice,
        rules,
        launch,
        source.root,
        source.chosen_by,
        source.record.digest,
        tuple(watched),
        source.policy.name,
        pinned,
        others,
        server.credentials,
        Bearer(source.root, source.policy.name, asked.name, source.record.digest, card.key if card else "", _sign_in(card)),
        profile,
        user.network,
        subject_of(card),
    )


def _sign_in(card: Card | None) -> str:
    return f"{card.sub} {card.logged_in_at}" if card else ""


def subject_of(card: Card | None) -> dict[str, Any]:
    """Who asks, as conditions and records have it; without a login the operating system's user."""
    if card is None:
        return {"issuer": LOCAL, "sub": os_user(), "profile": LOCAL}
    return {
        "issuer": card.issuer,
        "sub": card.sub,
        "profile": card.profile,
        **({"email": card.email} if card.email else {}),
        "groups": list(card.groups),
        "claims": dict(card.claims),
    }


def os_user() -> str:
    """The operating system's user, by name where it has one."""
    try:
        import pwd  # noqa: PLC0415 - not on Windows

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return os.environ.get("USERNAME", "") or str(getattr(os, "getuid", int)())


_NO_USER_FILE = TighteningPolicy("", False, (), None)


class _Sealed:
    """The seal of what is recorded, opened only where something is."""

    def __init__(self, door: Door, setting: str) -> None:
        self._door = door
        self._setting = setting

    def of(self, path: str) -> Seal:
        """The seal for the record at `path`."""
        if not os.path.lexists(path):
            return NoSeal(StateError("nothing is recorded"))
        try:
            vault = self._door.open(self._setting)
            # a ledger that can't be used is no reason to trust again: it wouldn't help
            vault.counts("", "")
        except StateError as error:
            return NoSeal(error)
        return vault


def _login(
    asked: Asked, door: Door, user: TighteningPolicy, source: _Source, watched: list[str]
) -> tuple[Profile | None, Card | None]:
    """The login that a project with an issuer needs: of the first profile of that issuer that is signed in."""
    issuer = source.policy.issuer
    if not issuer:
        return None, None
    profiles = [profile for profile in user.profiles.values() if profile.issuer == issuer]
    store = LoginStore(door.open(user.vault))
    ended: Card | None = None
    for profile, key in zip((*profiles, None), keys_for(issuer, [profile.name for profile in profiles]), strict=True):
        watched.append(card_path(door.places.state, key))
        card = store.card(key)
        if card is not None and not card.ended:
            # (a login that was made without a profile lends no more than the person's profile of this issuer does)
            return profile or next(iter(profiles), None), card
        ended = ended or card
    command = f"mcpwrap login {profiles[0].name}" if profiles else f"mcpwrap login --issuer {issuer}"
    if ended is not None:
        fact = f"the login at {issuer} has ended: {ended.ended}"
    else:
        fact = f"{source.file} wants a login at {issuer}, and nobody is signed in there"
    raise _Held(held(asked.name, fact, f"run `{command}` in a terminal of their own"))


def _tightening(ours: Folders, home: str) -> tuple[TighteningPolicy, ...]:
    found = []
    with suppress(FileNotFoundError):
        found.append(load_site(read_site(ours.site_file), file=ours.site_file, home=home))
    user_file = os.path.join(ours.config, "config.toml")
    with suppress(FileNotFoundError):
        found.append(load_user(read_config(user_file), file=user_file, home=home))
    return tuple(found)


def _defines(tightening: tuple[TighteningPolicy, ...], name: str) -> bool:
    return any(t.own_servers is not None and name in t.own_servers.servers for t in tightening)


def _project_source(asked: Asked, ours: Folders, vault: _Sealed, watched: list[str], about: dict[str, str]) -> _Source | None:
    project = find_project(option=asked.project, env=asked.env, cwd=asked.cwd, home=asked.home)
    if project is None:
        return None
    about.update(project=project.root, chosen_by=project.chosen_by)
    record_file = trust_path(ours.state, project.root)
    watched += [project.file, os.path.join(project.root, "mcpwrap.lock"), record_file]
    refuse_inside_project(ours, project.root)
    data, lock = _read(project, asked.name)
    seal = vault.of(record_file)
    stand = standing(TrustStore(ours.state, seal), project.root, data, lock)
    record = _accepted(asked.name, stand, os.path.basename(project.file), project.root, seal)
    caller = caller_project(cwd=asked.cwd, home=asked.home)
    if caller is not None and caller != project.root and caller not in record.callers:
        raise _Held(
            held(
                asked.name,
                f"{caller} uses a server of another project, {project.root}, which isn't trusted yet",
                f"run `mcpwrap trust --project {project.root}` in a terminal of their own, in {caller}",
            )
        )
    policy = load_project(record.content.encode(), file=os.path.basename(project.file), root=project.root, home=asked.home)
    name = os.path.basename(project.file)
    return _Source(project.root, name, project.chosen_by, record, policy, stand.state == "changed")


def _read(project: Project, name: str) -> tuple[bytes, bytes | None]:
    try:
        return read_project(project)
    except FileNotFoundError as error:
        raise ConfigError(f"{project.file} is gone", hint=f"put it back, or take `{name}` out of the client") from error


def _own_source(asked: Asked, ours: Folders, vault: _Sealed, watched: list[str], *, defined: bool) -> _Source | None:
    """The person's own file, for servers of no project; under the same trust."""
    root = os.path.realpath(ours.config)
    record_file = trust_path(ours.state, root)
    # for these the pins that a person accepted lie beside the trust, not in a lock
    watched += [record_file, pins_path(ours.state, "pins", root, asked.name)]
    if not defined:
        return None
    file = os.path.join(ours.config, "config.toml")
    seal = vault.of(record_file)
    stand = standing(TrustStore(ours.state, seal), root, read_config(file), None)
    record = _accepted(asked.name, stand, file, root, seal)
    policy = load_user(record.content.encode(), file=file, home=asked.home, root=root).own_servers
    if policy is None or asked.name not in policy.servers:
        raise _Held(held(asked.name, f"the accepted {file} has no [servers.{asked.name}]", f"run `mcpwrap trust --project {root}`"))
    return _Source(root, file, "the user's own file", record, policy, stand.state == "changed")


def _accepted(name: str, stand: Standing, file: str, root: str, seal: Seal) -> TrustRecord:
    if isinstance(seal, NoSeal) and isinstance(seal.error, VaultError):
        # it may well be trusted: another `trust` wouldn't help
        raise seal.error
    if stand.state == "untrusted" or stand.record is None:
        raise _Held(
            held(
                name,
                f"{file} in {root} is not trusted yet",
                "run `mcpwrap trust` in a terminal of their own, in that folder",
            )
        )
    return stand.record


def _command(asked: Asked, source: _Source, server: ServerPolicy) -> tuple[str, ...]:
    if server.command is not None and asked.command and server.command != asked.command:
        raise _Held(
            held(
                asked.name,
                f"the client's command ({quoted(asked.command)}) is not the one of {source.file}:{server.line} "
                f"({quoted(server.command)})",
                "take the command out of the client's configuration, or change the file and run `mcpwrap trust`",
            )
        )
    argv = server.command or asked.command
    if not argv:
        raise _Held(
            held(
                asked.name,
                f"[servers.{asked.name}] has no command ({source.file}:{server.line})",
                "add one, or give it after `--` in the client's configuration",
            )
        )
    if why := verify_command(source.record, asked.name, argv, asked.env, policy=server):
        if resolve_executable(argv[0], asked.env, source.root) is None:
            # trusting again would help nobody; what is accepted while it is missing has to be accepted again
            place = f"{source.file}:{server.line}"
            remedy = f"install it, or correct `command` ({place}); then run `mcpwrap trust` in a terminal of their own"
            raise _Held(held(asked.name, why.rstrip("."), remedy))
        paste = f"mcpwrap trust --project {source.root}"
        if server.command is None:
            paste += f" {asked.name} -- {quoted(argv)}"
        raise _Held(held(asked.name, why.rstrip("."), f"run `{paste}` in a terminal of their own"))
    return tuple(argv)


def _launch(asked: Asked, source: _Source, server: ServerPolicy, argv: tuple[str, ...]) -> Launch:
    env, withheld = minimal_environment(asked.env, server.inherit_env, server.env, source.root)
    executable = resolve_executable(argv[0], asked.env, source.root)
    place = f"{source.file}:{server.line}"
    if executable is None:
        raise _Held(held(asked.name, f"the command `{quoted(argv[:1])}` was not found ({place})", "install it or mend the path"))
    return Launch((executable, *argv[1:]), env, server.cwd, withheld, place)


def _notice(asked: Asked, source: _Source) -> str:
    return (
        f"{spell_out(source.file)} in {spell_out(source.root)} changed since it was trusted; "
        "until the change is accepted, the version before it goes on judging.\n"
        "Tell the user that they can review it with `mcpwrap trust` in a terminal of their own, in that folder.\n"
        "Don't run it yourself."
    )
