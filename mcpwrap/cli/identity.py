"""Which login is meant: by a profile, an issuer, or the project that one stands in (IDENTITY.md §1)."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import click
import msgspec

from mcpwrap.cli import caller, opened
from mcpwrap.cli.here import Found, Here, look
from mcpwrap.core.credentials import LOCAL, FromLogin, Network, Profile
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import ConfigError, StateError, UntrustedError, UsageError
from mcpwrap.identity.logins import Card, LoginStore, keys_for
from mcpwrap.identity.vault import Header
from mcpwrap.policy.load import ProjectPolicy
from mcpwrap.runtime.assess import subject_of
from mcpwrap.secret import Secret

LOCAL_PROFILE: Final = Profile(LOCAL, LOCAL)

_BARE: Final = re.compile(r"(?:(localhost|127\.0\.0\.1)|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)(?::[0-9]+)?(?:/\S*)?")
"""An address without its scheme; the group is there for one on this machine."""


class Meant(msgspec.Struct, frozen=True):
    """The login that is meant. `asked_by` says which project asks for it and where, "" where none does; `resources` and `scopes`
    are what that project's servers want of it, and `options` what else was typed."""

    profile: Profile
    asked_by: str = ""
    resources: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def local(self) -> bool:
        """True for the built-in profile."""
        return self.profile.issuer == LOCAL

    @property
    def argument(self) -> str:
        """What names it on a command line, and what was typed besides, with a space before it; "" where a project does."""
        named = [self.profile.name] if self.profile.name else [] if self.asked_by else ["--issuer", self.profile.issuer]
        return "".join(f" {shlex.quote(word)}" for word in (*named, *self.options))


def meant(here: Here, name: str | None, issuer: str | None, project: str | None) -> Meant:
    """The login that a command line means: a profile's, an issuer's, else the project's, else the only profile's, else `local`.

    Raises:
        UsageError: no profile has that name, or it can't be told which one is meant.
        UntrustedError: only a file that nobody accepted names an issuer.
        ConfigError: a file can't be used.
    """
    profiles = profiles_of(here)
    if name and issuer:
        raise UsageError("a profile has its issuer", hint="give either PROFILE or --issuer URL")
    if issuer:
        if bare := _BARE.fullmatch(issuer):
            raise UsageError(f"`{spell_out(issuer)}` is no web address", hint=f"write http{'' if bare[1] else 's'}://{issuer}")
        return Meant(Profile("", issuer))
    if name == LOCAL:
        return Meant(LOCAL_PROFILE)
    if name:
        return Meant(_named(profiles, name))
    found = look(project, here)
    if found is not None and (asked := _asked(found, profiles)) is not None:
        return asked
    if len(profiles) > 1:
        first, *others = profiles
        hint = f"mcpwrap login {first}   (or: {', '.join(others)})"
        raise UsageError("several profiles stand in your config.toml", hint=hint)
    return Meant(next(iter(profiles.values()), LOCAL_PROFILE))


def profiles_of(here: Here) -> Mapping[str, Profile]:
    """The profiles of the person's own file.

    Raises:
        ConfigError: it can't be used.
    """
    user = here.user()
    return {} if user is None else user.profiles


def network_of(here: Here) -> Network:
    """How the person's own file says that providers are reached.

    Raises:
        ConfigError: it can't be used.
    """
    user = here.user()
    return Network() if user is None else user.network


def of_issuer(profiles: Mapping[str, Profile], issuer: str) -> Profile:
    """The first profile for `issuer`, else one without a name."""
    return next((profile for profile in profiles.values() if profile.issuer == issuer), Profile("", issuer))


def _named(profiles: Mapping[str, Profile], name: str) -> Profile:
    if name in profiles:
        return profiles[name]
    known = f"there are: {', '.join(profiles)}" if profiles else f"add [profiles.{spell_out(name)}] with an `issuer`"
    raise UsageError(f"no profile `{spell_out(name)}` in your config.toml", hint=f"{known}; or: mcpwrap login --issuer URL")


def _asked(found: Found, profiles: Mapping[str, Profile]) -> Meant | None:
    """What the project asks for, as it was accepted; None where that is nothing."""
    accepted = found.accepted()
    if accepted is None or not accepted.issuer:
        try:
            lying = found.lying()
        except ConfigError:
            return None  # an accepted file that asks for nothing goes on judging
        if not lying.issuer:
            return None
        raise UntrustedError(
            f"{spell_out(found.file_name)}:{lying.issuer_line} asks you to sign in at {spell_out(lying.issuer)}, and isn't trusted",
            hint="look at it, and accept it or not: mcpwrap trust",
        )
    resources, scopes = wants(accepted)
    where = f"{spell_out(found.file_name)}:{accepted.issuer_line}"
    asked_by = f"{spell_out(accepted.name)} asks you to sign in at {spell_out(accepted.issuer)} ({where})"
    return Meant(of_issuer(profiles, accepted.issuer), asked_by, resources, scopes)


def wants(policy: ProjectPolicy) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The resources and scopes that the servers of `policy` want of the login."""
    sources = [wanted.source for server in policy.servers.values() for wanted in server.credentials]
    logins = [source for source in sources if isinstance(source, FromLogin)]
    resources = dict.fromkeys(login.resource for login in logins if login.resource)
    return tuple(resources), tuple(dict.fromkeys(scope for login in logins for scope in login.scope))


def card_for(here: Here, issuer: str) -> Card | None:
    """The login that counts for a project with this `issuer`; None where nobody is signed in there.

    Raises:
        VaultError: the vault can't be opened, or what lies there doesn't count.
        ConfigError: the person's own file can't be used.
    """
    store = LoginStore(here.vault)
    names = [profile.name for profile in profiles_of(here).values() if profile.issuer == issuer]
    return next((card for key in keys_for(issuer, names) if (card := store.card(key)) is not None), None)


def who_asks(here: Here, issuer: str) -> dict[str, Any]:
    """The subject of a project's calls, as rules see it: the person who is signed in at its `issuer`, else the system's user."""
    card = None
    if issuer:
        with suppress(StateError):
            card = card_for(here, issuer)
    return subject_of(card)


def where_key_lies(header: Header) -> str:
    """Where the installation's key lies, in the words of a closing line."""
    match header.mode:
        case "keyring":
            return "in the system keyring"
        case "file":
            return f"in {spell_out(header.where)}"
        case "passphrase":
            return "behind a passphrase"


class Whoever(opened.Script):
    """Nobody need be there; a person who is may type the passphrase. What is said goes to stderr."""

    def __init__(self, here: Here) -> None:
        self.scripted = caller.agent_in(here.env) is not None

    def show(self, text: str) -> None:
        click.echo(text, file=sys.stderr)

    def hidden(self, question: str) -> Secret:
        terminal = caller.Terminal.open()
        if terminal is None:
            return Secret("")
        with terminal:
            return Secret(terminal.ask_hidden(question))
