"""What the commands stand on: which project, its file as it lies there, the files that tighten, and the trust in it."""

from __future__ import annotations

import getpass
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mcpwrap.audit.writer import AuditWriter
from mcpwrap.cli.late import Late, typed_passphrase
from mcpwrap.core.credentials import FromSecret
from mcpwrap.core.entry import Entry
from mcpwrap.core.rules import ServerRules
from mcpwrap.errors import ConfigError, UsageError, VaultError
from mcpwrap.identity.vault import Places, Vault, read_header
from mcpwrap.policy.folders import Folders, folders, read_config, read_site, refuse_inside_project
from mcpwrap.policy.load import (
    ProjectPolicy,
    ServerPolicy,
    TighteningPolicy,
    load_project,
    load_site,
    load_user,
    rules_for,
)
from mcpwrap.policy.lock import parse as parse_lock
from mcpwrap.policy.pins import PinStore
from mcpwrap.policy.project import Project, find_project, read_project
from mcpwrap.policy.trust import Standing, TrustStore, standing
from mcpwrap.runtime.door import Door

USER_FILE: Final = "config.toml"

KEYRING: Final = "keyring"
"""How the vault's key is kept where the person's own file says nothing."""

EXAMPLE: Final = """\
version = 1

[servers.git]
command = ["uvx", "mcp-server-git@2026.10.19", "--repository", "${project}"]
allow = ["git_status", "git_diff*", "git_log", "git_show"]
"""
"""A smallest file to paste; `check` finds nothing wrong with it."""


@dataclass(frozen=True, slots=True)
class Here:
    """The person's environment, and the folders of mcpwrap's own in it."""

    env: Mapping[str, str]
    cwd: str
    home: str
    folders: Folders
    door: Door

    @classmethod
    def now(cls) -> Here:
        """As this process was started.

        Raises:
            UsageError: the working directory is gone.
        """
        try:
            cwd = str(Path.cwd())
        except FileNotFoundError as error:
            raise UsageError("the working directory doesn't exist any more", hint="change to one that does") from error
        ours = folders(os.environ)
        door = Door(Places(ours.state, ours.data), os.environ)
        here = cls(os.environ, cwd, str(Path("~").expanduser()), ours, door)
        door.passphrase = lambda: typed_passphrase(here)
        return here

    @property
    def seal(self) -> Late:
        """The seal of what is recorded; the vault is opened when it is used."""
        return Late(self.door, lambda: self.vault_setting)

    @property
    def vault_setting(self) -> str:
        """How the vault's key is kept (`[vault] key` of the person's own file).

        Raises:
            ConfigError: that file can't be used.
        """
        user = self.user()
        return user.vault if user is not None else KEYRING

    @property
    def vault(self) -> Vault:
        """The vault, open.

        Raises:
            VaultError: it can't be opened, or there is none.
            ConfigError: the person's own file can't be used.
        """
        return self.door.open(self.vault_setting)

    @property
    def store(self) -> TrustStore:
        """The trust records."""
        return TrustStore(self.folders.state, self.seal)

    @property
    def pins(self) -> PinStore:
        """What is remembered of servers' definitions."""
        return PinStore(self.folders.state, self.seal)

    @property
    def subject(self) -> dict[str, str]:
        """Who asks, as sessions and records have it."""
        return {"issuer": "local", "sub": _who()}

    @property
    def audit_folder(self) -> str:
        """Where the audit records lie."""
        return str(Path(self.folders.state, "audit"))

    @property
    def user_file(self) -> str:
        """The person's own file, whether it exists or not."""
        return str(Path(self.folders.config, USER_FILE))

    def user(self) -> TighteningPolicy | None:
        """The person's own file; None where there is none.

        Raises:
            ConfigError: it can't be used.
        """
        try:
            data = read_config(self.user_file)
        except FileNotFoundError:
            return None
        return load_user(data, file=self.user_file, home=self.home)

    def site(self) -> TighteningPolicy | None:
        """The administrator's file; None where there is none.

        Raises:
            ConfigError: it can't be used (then everything is denied).
        """
        try:
            data = read_site(self.folders.site_file)
        except FileNotFoundError:
            return None
        return load_site(data, file=self.folders.site_file, home=self.home)

    def tightening(self) -> tuple[TighteningPolicy, ...]:
        """Both files that may tighten.

        Raises:
            ConfigError: one of them can't be used.
        """
        return tuple(policy for policy in (self.user(), self.site()) if policy is not None)

    def announce(self, project: str, digest: str, method: str, note: str) -> None:
        """Write one lifecycle record.

        Raises:
            StateError: it can't be written.
        """
        if self.folders.nondefault:
            note += f"; folders moved by {', '.join(self.folders.nondefault)}"
        writer = AuditWriter(
            self.audit_folder,
            shim=secrets.token_hex(6),
            project=project,
            server="",
            subject=self.subject,
            policy_digest=digest,
        )
        try:
            writer.write([Entry(event="lifecycle", direction="", method=method, note=note)])
        finally:
            writer.close()


@dataclass(frozen=True, slots=True)
class Found:
    """A project, the bytes of its file as they were read once, and how the trust in it stands.

    `own` is true for the servers of the person's own file, which belong to no project (POLICY.md §1). `closed` says why the vault
    doesn't open where trust was recorded: what was accepted then can't be told, and `recorded` says nothing.
    """

    here: Here
    project: Project
    data: bytes
    lock: bytes | None
    recorded: Standing
    own: bool
    closed: VaultError | None = None

    @property
    def standing(self) -> Standing:
        """How the trust in it stands.

        Raises:
            VaultError: it can't be told: the vault doesn't open.
        """
        if self.closed is not None:
            raise self.closed
        return self.recorded

    @property
    def root(self) -> str:
        """The canonical root, the key of its trust."""
        return self.project.root

    @property
    def name(self) -> str:
        """The folder's name, for headings before anything of the file was parsed."""
        return Path(self.root).name or self.root

    @property
    def file_name(self) -> str:
        """The file as messages name it."""
        return self.here.user_file if self.own else Path(self.project.file).name

    def parse(self, data: bytes) -> ProjectPolicy:
        """`data` as this project's policy.

        Raises:
            ConfigError: it can't be used.
        """
        if not self.own:
            return load_project(data, file=self.file_name, root=self.root, home=self.here.home)
        policy = load_user(data, file=self.file_name, home=self.here.home, root=self.root).own_servers
        if policy is None:
            raise ConfigError("no server is defined here", file=self.file_name, hint="add a `[servers.NAME]` with a `command`")
        return policy

    def lying(self) -> ProjectPolicy:
        """The policy as it lies there, whether anybody accepted it or not.

        Raises:
            ConfigError: it can't be used.
        """
        try:
            if self.lock is not None:
                parse_lock(self.lock)
            return self.parse(self.data)
        except ConfigError as error:
            if self.recorded.state == "changed":
                hint = f"{error.hint.rstrip('.')}. " if error.hint and error.hint[-1] != "?" else f"{error.hint} ".lstrip()
                error.hint = f"{hint}Until it is fixed, the accepted version goes on judging."
            raise

    def accepted(self) -> ProjectPolicy | None:
        """The policy that a person accepted last; None where nothing is trusted.

        Raises:
            ConfigError: this version can't read what another one accepted.
            VaultError: it can't be told what was accepted.
        """
        record = self.standing.record
        if record is None or self.standing.state == "untrusted":
            return None
        return self.parse(record.content.encode())

    def rules(self, policy: ProjectPolicy, server: ServerPolicy) -> ServerRules:
        """All that the files say about `server`.

        Raises:
            ConfigError: a file that tightens can't be used.
        """
        return rules_for(policy, server.name, self.here.tightening(), self.command(server))

    def command(self, server: ServerPolicy) -> tuple[str, ...]:
        """Its command: from the file, else the one of the client's configuration that was trusted, else none."""
        if server.command is not None:
            return server.command
        record = self.recorded.record
        for command in record.commands if record else ():
            if command.server == server.name:
                return command.argv
        return ()


def look(option: str | None, here: Here | None = None) -> Found | None:
    """The project that counts here, or the person's own servers where there is none; None where there is neither.

    Raises:
        ConfigError: its file can't be read, or a folder of mcpwrap's own lies inside it.
        UsageError: `option` names no project.
    """
    here = here or Here.now()
    if option and Path(here.cwd, option).resolve() == Path(here.folders.config).resolve():
        return _own(here, chosen_by="--project")
    project = find_project(option=option, env=here.env, cwd=here.cwd, home=here.home)
    if project is None:
        return own_servers(here)
    refuse_inside_project(here.folders, project.root)
    return _read(here, project, own=False)


def own_servers(here: Here) -> Found | None:
    """The servers of the person's own file, which belong to no project; None where it defines none.

    Raises:
        ConfigError: it can't be used.
    """
    user = here.user()
    return _own(here, chosen_by="your own file") if user is not None and user.own_servers is not None else None


def need(option: str | None, here: Here | None = None) -> Found:
    """As `look`.

    Raises:
        UsageError: there is no project and no server of the person's own.
    """
    found = look(option, here)
    if found is None:
        raise UsageError(
            "no `mcpwrap.toml` here or above",
            hint="change into the project, name it with `--project DIR`, or start one: mcpwrap init NAME -- COMMAND…",
        )
    return found


def _own(here: Here, *, chosen_by: str) -> Found:
    return _read(here, Project(root=str(Path(here.folders.config).resolve()), file=here.user_file, chosen_by=chosen_by), own=True)


def _read(here: Here, project: Project, *, own: bool) -> Found:
    data, lock = read_files(project, own=own)
    recorded = standing(here.store, project.root, data, lock)
    return Found(here, project, data, lock, recorded, own, _closed(here, project.root) if recorded.state == "untrusted" else None)


def _closed(here: Here, root: str) -> VaultError | None:
    """Why the vault doesn't open that a record of trust in `root` was sealed with; None where it does, or nothing was recorded."""
    if not os.path.lexists(here.store.path(root)):
        return None
    try:
        if read_header(here.door.places) is not None:
            # (a ledger that can't be used is the vault's fault as well)
            here.vault.counts("", "")
    except VaultError as error:
        return error
    return None


def asked_for(found: Found, server: str) -> tuple[str, ...]:
    """The secrets that the credentials of `server` ask for, in the file as it lies there and as it was accepted; each once."""
    names: dict[str, None] = {}
    for policy in (found.lying, found.accepted):
        with suppress(ConfigError):
            read = policy()
            wanted = read.servers[server].credentials if read is not None and server in read.servers else ()
            names |= dict.fromkeys(each.source.name for each in wanted if isinstance(each.source, FromSecret))
    return tuple(names)


def read_files(project: Project, *, own: bool) -> tuple[bytes, bytes | None]:
    """The bytes that are trusted: the file and, for a project, the lock beside it.

    Raises:
        ConfigError: one of them can't be read.
    """
    if not own:
        return read_project(project)
    try:
        return read_config(project.file), None
    except FileNotFoundError as error:
        raise ConfigError("the file doesn't exist", file=project.file) from error


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no variable and no entry in the user database
        return str(os.getuid()) if hasattr(os, "getuid") else ""
