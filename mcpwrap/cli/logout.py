"""`mcpwrap logout`: a login ends, here and at the provider. It only takes back, so it always works (POLICY.md §5)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import click

from mcpwrap.cli import completion, opened
from mcpwrap.cli.here import Here
from mcpwrap.cli.identity import Whoever, meant, network_of, profiles_of
from mcpwrap.cli.screen import error_text
from mcpwrap.core.credentials import LOCAL, Network
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import ConfigError, McpwrapError, StateError, UsageError
from mcpwrap.identity.logins import Card, LoginStore, key_of
from mcpwrap.identity.logout import Ended, cards_unread, end, wipe
from mcpwrap.identity.vault import read_header

Named = tuple[str, str]
"""A login's profile and issuer."""


def _profiles(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The profiles that can end: not the built-in one."""
    return [name for name in completion.profiles(context, parameter, incomplete) if name != LOCAL]


@click.command()
@click.argument("profile", required=False, shell_complete=_profiles)
@click.option("--issuer", metavar="URL", help="The provider, for a login without a profile.")
@click.option("--all", "every", is_flag=True, help="Every login.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def logout(profile: str | None, issuer: str | None, every: bool, as_json: bool) -> int:
    """Sign out: the provider is told, and what is kept here is wiped.

    Running servers get no new token from the next call on. Where the provider can't be reached it is wiped here all the same, and
    you are told so. Without PROFILE it is your only login, or the project's.
    """
    if bool(profile) + bool(issuer) + every > 1:
        raise UsageError("one of PROFILE, --issuer URL, --all")
    here = Here.now()
    if profile == LOCAL:
        raise UsageError("the local profile has no login that could end", hint="its key: mcpwrap vault status")
    store, closed = _store(here)
    cards = cards_unread(opened.places(here)) if store is None else store.cards()
    ended = [_end(here, store, closed, named) for named in _chosen(here, cards, profile, issuer, every)]
    if as_json:
        click.echo(json.dumps([_facts(each) for each in ended], indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(map(_told, ended)) if ended else "nobody is signed in; nothing changed")
    _announce(here, ended)
    return 0


def _store(here: Here) -> tuple[LoginStore | None, str]:
    """The logins; None, and why, where there is no vault or it doesn't open."""
    try:
        if read_header(opened.places(here)) is None:
            return None, "there is no vault"
        return LoginStore(opened.vault_for(here, Whoever(here))), ""
    except McpwrapError as error:
        return None, str(error)


def _chosen(here: Here, cards: Iterable[Card], profile: str | None, issuer: str | None, every: bool) -> list[Named]:
    named = [(card.profile, card.issuer) for card in cards]
    if every:
        return named
    if issuer:
        return [("", issuer)]
    if profile:
        # (by the file too, since a card may lie there that doesn't count)
        issuers = dict.fromkeys(known for name, known in named if name == profile)
        with suppress(ConfigError):
            issuers |= dict.fromkeys(each.issuer for each in profiles_of(here).values() if each.name == profile)
        if not issuers:
            raise UsageError(f"no login and no profile has the name `{spell_out(profile)}`", hint="mcpwrap status")
        return [(profile, known) for known in issuers]
    if len(named) > 1:
        with suppress(McpwrapError):
            asked = meant(here, None, None, None).profile
            if (asked.name, asked.issuer) in named:
                return [(asked.name, asked.issuer)]
        # (names, not commands: pasted as it stands it must sign out of none that wasn't chosen)
        names = ", ".join(dict.fromkeys(name or f"--issuer {at}" for name, at in named))
        raise UsageError("there are several logins", hint=f"name one of them: {names}")
    return named


def _end(here: Here, store: LoginStore | None, closed: str, named: Named) -> Ended:
    key = key_of(*named)
    if store is not None:
        return end(store, *named, key, _network(here))
    was = wipe(opened.places(here), key)
    return Ended(*named, was, f"the vault doesn't open: {closed}" if was else "")


def _network(here: Here) -> Network:
    try:
        return network_of(here)
    except ConfigError:
        return Network()  # a broken file must not keep a login alive


def _told(ended: Ended) -> str:
    what = spell_out(f"{ended.profile} ({ended.issuer})" if ended.profile else ended.issuer)
    if not ended.was:
        return f"nobody was signed in at {what}; nothing changed"
    if not ended.unrevoked:
        return f"signed out of {what}; running servers get no new token from the next call on"
    return (
        f"wiped the login of {what} here; running servers get no new token from the next call on\n"
        f"  not revoked at the provider: {spell_out(ended.unrevoked)}\n"
        "  a copy of the tokens would count there until they end; the provider's own page can end them"
    )


def _facts(ended: Ended) -> dict[str, Any]:
    return {
        "profile": ended.profile,
        "issuer": ended.issuer,
        "wiped": ended.was,
        "revoked": ended.was and not ended.unrevoked,
        "why": ended.unrevoked,
    }


def _announce(here: Here, ended: Iterable[Ended]) -> None:
    try:
        for each in ended:
            if each.was:
                note = f"signed out at {each.issuer}; profile: {each.profile or 'none'}; "
                here.announce("", "", "mcpwrap/logout", note + (f"not revoked: {each.unrevoked}" if each.unrevoked else "revoked"))
    except StateError as error:
        # taking back always works: a full disk must not keep a login alive
        sys.stderr.write(error_text(error, sys.stderr))
