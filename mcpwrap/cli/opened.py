"""The vault for a person's commands: opened or made, with a passphrase or a secret typed where nobody sees it.

Who answers is the person at the terminal; where their own file lets scripts in (`[trust] scripted`), standard input and the
environment do (POLICY.md §5).
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

import click

from mcpwrap.cli import caller
from mcpwrap.cli.here import KEYRING, Here
from mcpwrap.cli.screen import wrapped
from mcpwrap.errors import ConfigError, McpwrapError, StateError, UsageError, VaultError
from mcpwrap.files import ensure_private, replace
from mcpwrap.identity.keys import ensure_vault, make_vault
from mcpwrap.identity.passphrase import VARIABLE
from mcpwrap.identity.vault import Places, Vault, read_header
from mcpwrap.policy.folders import read_config
from mcpwrap.policy.load import load_user
from mcpwrap.secret import Secret

KEY_FILE: Final = "vault.key"
"""The key's file in the data folder, where there is no keyring and a person agrees."""

MADE: Final = "mcpwrap/vault-init"
"""What records call it when a vault is made, whoever asked for it."""

_INPUT_LIMIT: Final = 64 * 1024
"""Bytes of standard input that are read; the longest secret has as many."""


class Asker(Protocol):
    """Who answers."""

    scripted: bool

    def show(self, text: str) -> None:
        """Say something, a line or more."""

    def confirm(self, question: str) -> bool:
        """A yes or no; no is the default."""

    def hidden(self, question: str) -> Secret:
        """Something that must not be seen."""


class Person:
    """Who sits at `terminal`."""

    scripted = False

    def __init__(self, terminal: caller.Terminal) -> None:
        self._terminal = terminal

    def show(self, text: str) -> None:
        self._terminal.show(text + "\n")

    def confirm(self, question: str) -> bool:
        return self._terminal.ask(f"{question} [y/N] ").lower() in ("y", "yes")

    def hidden(self, question: str) -> Secret:
        return Secret(self._terminal.ask_hidden(question))


class Script:
    """A program on standard input, which the person's own file lets in."""

    scripted = True

    def show(self, text: str) -> None:
        click.echo(text)

    def confirm(self, question: str) -> bool:
        return True

    def hidden(self, question: str) -> Secret:
        data = sys.stdin.buffer.read(_INPUT_LIMIT + 2)
        if len(data) > _INPUT_LIMIT + 1:
            raise UsageError(f"standard input has more than {_INPUT_LIMIT >> 10} KiB")
        # one line's end, as `echo` and editors put it, isn't meant
        return Secret(data.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape"))


@contextmanager
def asking(here: Here, command: str) -> Iterator[Asker]:
    """Who answers the questions of `command`, as it is typed.

    Raises:
        RefusedError: an agent is at work, or there is no terminal.
        ConfigError: the person's own file can't be used.
    """
    user = here.user()
    if user is not None and user.scripted:
        yield Script()
        return
    with caller.person_terminal(here.env, command) as terminal:
        yield Person(terminal)


def places(here: Here) -> Places:
    """The folders that the vault lies in."""
    return here.door.places


def configured(here: Here) -> str:
    """`[vault] key` of the person's own file, ``keyring`` where it says nothing.

    Raises:
        ConfigError: the file can't be used.
    """
    return here.vault_setting


def configure(here: Here, setting: str) -> None:
    """Write `[vault] key` into the person's own file; everything else in it, comments too, stays as it is.

    Raises:
        ConfigError: the file can't be used.
        StateError: it can't be written.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    path = Path(here.user_file)
    ensure_private(str(path.parent))
    here.user()
    try:
        data, mode = read_config(str(path)), path.stat().st_mode & 0o777
    except FileNotFoundError:
        data, mode = b"", 0o600
    try:
        document = tomlkit.parse(data.decode())
        document.setdefault("vault", tomlkit.table())["key"] = setting
        text = tomlkit.dumps(document).encode()
    except (TOMLKitError, TypeError, ValueError) as error:
        raise ConfigError(
            f"`{path.name}` can't be changed", file=str(path), hint=f'put `key = "{setting}"` below [vault] yourself'
        ) from error
    # what was written must be what the next command reads
    load_user(text, file=str(path), home=here.home)
    if tomllib.loads(text.decode())["vault"]["key"] != setting or _without(text) != _without(data):
        raise ConfigError(f"`{path.name}` can't be changed", file=str(path), hint=f'put `key = "{setting}"` below [vault] yourself')
    try:
        replace(str(path), text, mode)
    except OSError as error:
        raise StateError(f"`{path}` can't be written: {(error.strerror or str(error)).lower()}") from error


def _without(data: bytes) -> dict[str, object]:
    tree = tomllib.loads(data.decode())
    tree.pop("vault", None)
    return tree


def vault_for(here: Here, asker: Asker, *, make: bool = False, trusting: bool = False) -> Vault:
    """The vault, open, with the passphrase asked for where it needs one; with `make` it is made where there is none yet.

    Where there is no keyring a person is asked about a key file. A script gets an error that says what to choose; only where it is
    `trusting` (which keeps no secret: the key seals, and encrypts nothing) it begins with a key file, and is told.

    Raises:
        VaultError: it can't be opened or made.
    """
    setting = configured(here)
    header = read_header(places(here))
    if header is None and make:
        return _made(here, asker, setting, trusting=trusting)
    if header is not None and header.mode == setting == "passphrase":
        # (asked for once a command)
        here.door.passphrase = lambda: ask_passphrase(here, asker)
    return here.door.open(setting)


def _made(here: Here, asker: Asker, setting: str, *, trusting: bool) -> Vault:
    """A new vault: its key goes into the system's keyring, and where there is none, into a file that the person agrees to.

    Raises:
        VaultError: there is no keyring, and no file is wanted.
    """
    if setting != KEYRING:
        return here.door.open(setting)  # which says that a person makes it
    try:
        with failure_told(here):
            announce_made(here, KEYRING)
            ensure_vault(places(here), setting, here.env)
    except VaultError as error:
        path = Path(here.folders.data, KEY_FILE)
        if _said(here) or (asker.scripted and not trusting):
            raise
        told = [
            f"{error}. It seals what you trust, and your logins and secrets; it can lie in a file that only you can read: {path}"
        ]
        if not asker.scripted:
            told.append("(elsewhere, or behind a passphrase: answer no, and see `mcpwrap vault init --help`)")
        asker.show("\n".join(line for text in told for line in wrapped(text, width=80, indent=0)))
        if not asker.confirm("Keep it in that file?"):
            raise
        setting = f"file:{path}"
        with failure_told(here):
            announce_made(here, "file")
            ensure_private(str(path.parent))
            make_vault(places(here), setting, here.env)
            configure(here, setting)
        asker.show(f"the key lies in {path} now, and your config.toml says so")
    return here.door.open(setting)


def announce_made(here: Here, mode: str, *, anew: bool = False) -> None:
    """Record that a vault is made. It comes first: no audit, no vault.

    Raises:
        StateError: it can't be recorded.
    """
    here.announce("", "", MADE, f"{'begins anew' if anew else 'begins'}; its key goes to: {mode}")


@contextmanager
def failure_told(here: Here) -> Iterator[None]:
    """Record that no vault was made or moved where that ends with an error: what was announced before didn't happen."""
    try:
        yield
    except BaseException as error:
        why = str(error) if isinstance(error, McpwrapError) else type(error).__name__
        # where nothing can be recorded nothing is done either, and the error says so
        with suppress(McpwrapError, OSError):
            here.announce("", "", MADE, f"failed: {why}")
        raise


def _said(here: Here) -> bool:
    """True where the person's own file says how the key is kept."""
    return here.user() is not None and "key" in tomllib.loads(read_config(here.user_file).decode()).get("vault", {})


def ask_passphrase(here: Here, asker: Asker) -> Secret | None:
    """The passphrase from the terminal; None where the environment has it."""
    return None if here.env.get(VARIABLE) or asker.scripted else asker.hidden("Passphrase of the vault: ")


def ask_new_passphrase(here: Here, asker: Asker) -> Secret | None:
    """A new passphrase, typed twice; None where the environment has it.

    Raises:
        UsageError: the two differ.
    """
    if here.env.get(VARIABLE):
        return None
    first = asker.hidden("A passphrase for the vault: ")
    if not asker.scripted and asker.hidden("The same again: ") != first:
        raise UsageError("the two passphrases differ", hint="nothing was changed; run it again")
    return first
