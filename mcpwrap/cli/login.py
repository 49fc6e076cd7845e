"""`mcpwrap login`: a person signs in, and servers get short-lived tokens of it (IDENTITY.md §1)."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Final

import click
import msgspec

from mcpwrap.cli import completion
from mcpwrap.cli.here import Here
from mcpwrap.cli.identity import Meant, meant, network_of, where_key_lies
from mcpwrap.cli.logins_view import stamp
from mcpwrap.cli.opened import Asker, asking, vault_for
from mcpwrap.core.credentials import LOCAL
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import StateError, UsageError
from mcpwrap.identity.flow import Asked, SignedIn, check, sign_in
from mcpwrap.identity.logins import Card, LoginSecrets, LoginStore, key_of
from mcpwrap.identity.registration import Wish
from mcpwrap.identity.vault import Vault
from mcpwrap.secret import Secret

_BROWSERS_SHOWN_BY: Final = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME")
"""What says, on Linux and its kin, that a browser can be shown; without any a text browser would take the terminal."""


@click.command()
@click.argument("profile", required=False, shell_complete=completion.profiles)
@click.option("--issuer", metavar="URL", help="Sign in at this provider, which needs no profile.")
@click.option("--client-id", metavar="ID", help="The client that is registered there; without it mcpwrap registers itself.")
@click.option("--client-secret", is_flag=True, help="The client has a secret: it is asked for.")
@click.option("--device", is_flag=True, help="Show a code for a browser on another machine.")
@click.option("--resource", "resources", metavar="URL", multiple=True, help="An API that tokens are wanted for; may be repeated.")
@click.option("--scope", "scopes", metavar="NAME", multiple=True, help="What they may be used for; may be repeated.")
@click.option("--no-browser", is_flag=True, help="Only show the address; open it yourself.")
@click.option("--project", metavar="DIR", help="The project that asks for it, where it isn't the one you are in.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def login(
    profile: str | None,
    issuer: str | None,
    client_id: str | None,
    client_secret: bool,
    device: bool,
    resources: tuple[str, ...],
    scopes: tuple[str, ...],
    no_browser: bool,
    project: str | None,
    as_json: bool,
) -> int:
    """Sign in, so that servers get tokens that live for minutes.

    PROFILE is one of your config.toml; without it the project's provider, your only profile, or `local`, which needs no network:
    this installation vouches for you itself.
    """
    here = Here.now()
    options = _typed(client_id, client_secret, resources, scopes, project)
    named = [profile] if profile else ["--issuer", issuer] if issuer else []
    again = shlex.join(["mcpwrap", "login", *named, *options, *(["--device"] if device else [])])
    with asking(here, again) as asker, _spared_stdout(as_json) as out:
        wanted = msgspec.structs.replace(meant(here, profile, issuer, project), options=options)
        screen = _Screen(here, asker, wanted, browser=not no_browser, quiet=as_json)
        if wanted.local:
            if client_id or client_secret or device or resources or scopes:
                raise UsageError("the local profile takes no options", hint="a provider is named by PROFILE or --issuer URL")
            facts = _local(here, screen, vault_for(here, asker, make=True))
        else:
            lent = _within(wanted, resources, scopes)
            # before the browser: who signed in must be kept somewhere
            vault = vault_for(here, asker, make=True)
            asked = _asked(vault, asker, wanted, client_id, lent, device=device, client_secret=client_secret)
            facts = _provider(here, screen, vault, asked)
        if as_json:
            out.write(json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    return 0


def _typed(
    client_id: str | None, client_secret: bool, resources: Sequence[str], scopes: Sequence[str], project: str | None
) -> tuple[str, ...]:
    """The options that the same login needs when it is typed again."""
    pairs = [
        *([("--client-id", client_id)] if client_id else []),
        *(("--resource", resource) for resource in resources),
        *(("--scope", scope) for scope in scopes),
        *([("--project", project)] if project else []),
    ]
    return (*(word for pair in pairs for word in pair), *(["--client-secret"] if client_secret else []))


def _local(here: Here, screen: _Screen, vault: Vault) -> dict[str, Any]:
    who = here.subject["sub"]
    here.announce("", "", "mcpwrap/login", "local")
    screen.show(
        f"No provider is needed: this installation vouches for you as {spell_out(who)}, and its tokens for servers live minutes.\n"
        f"Its key lies {where_key_lies(vault.header)}; it also seals what you trust, and keeps secrets: mcpwrap secret set.\n"
        "For a provider's own tokens: mcpwrap login --issuer https://login.example.com"
    )
    return {"profile": LOCAL, "issuer": LOCAL, "sub": who, "vault": {"mode": vault.header.mode, "where": vault.header.where}}


def _provider(here: Here, screen: _Screen, vault: Vault, asked: Asked) -> dict[str, Any]:
    if screen.meant.asked_by:
        screen.show(screen.meant.asked_by)
    elif asked.flow != "client-credentials":
        screen.show(f"You sign in at {asked.issuer}")
    signed = sign_in(asked, network_of(here), screen)
    # the record comes first: no audit, no login
    card = signed.card
    note = f"signed in as {card.sub or 'nobody in particular'} at {card.issuer} by {card.flow}; profile: {card.profile or 'none'}"
    here.announce("", "", "mcpwrap/login", note)
    LoginStore(vault).put(card, signed.secrets)
    screen.show(_closing(signed, vault))
    return facts_of(card) | {"vault": {"mode": vault.header.mode, "where": vault.header.where}}


def _within(wanted: Meant, resources: Sequence[str], scopes: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The resources and scopes to ask for: those that the profile lends; where it names none, what was typed and what the project's
    servers want.

    Raises:
        UsageError: something was typed that the profile doesn't lend.
    """
    profile = wanted.profile
    kinds = (
        ("--resource", "resources", resources, profile.resources, wanted.resources),
        ("--scope", "scopes", scopes, profile.scopes, wanted.scopes),
    )
    found = []
    for option, key, typed, lent, by_project in kinds:
        for each in typed:
            if lent is not None and each not in lent:
                raise UsageError(
                    f"the profile `{spell_out(profile.name)}` doesn't lend `{spell_out(each)}`",
                    hint=f"add it to `{key}` of the profile in your config.toml, or leave {option} out",
                )
        found.append(lent if lent is not None else tuple(dict.fromkeys((*typed, *by_project))))
    return found[0], found[1]


def _asked(
    vault: Vault,
    asker: Asker,
    wanted: Meant,
    client_id: str | None,
    lent: tuple[tuple[str, ...], tuple[str, ...]],
    *,
    device: bool,
    client_secret: bool,
) -> Asked:
    profile, (resources, scopes) = wanted.profile, lent
    earlier, kept = _earlier(vault, key_of(profile.name, profile.issuer))
    if earlier is not None and profile.resources is None:
        resources = tuple(dict.fromkeys((*resources, *earlier.resources)))
    if earlier is not None and profile.scopes is None:
        scopes = tuple(dict.fromkeys((*scopes, *earlier.scopes)))
    named = client_id or profile.client_id
    before = Wish() if kept is None else Wish(kept.client_id, Secret(kept.client_secret) if kept.client_secret else None)
    secret = before.secret if named == before.client_id else None
    flow = "device" if device else profile.flow
    wish, command = Wish(named, secret, profile.key), f"mcpwrap login{wanted.argument}"
    asked = Asked(profile.name, profile.issuer, flow, wish, before, resources, scopes, command)
    check(asked)
    if client_secret or (flow == "client-credentials" and named and not profile.key and secret is None):
        typed = asker.hidden(f"Secret of the client {spell_out(named)}: ")
        if not typed:
            raise UsageError("no secret was entered", hint="nothing was changed; run it again")
        asked = msgspec.structs.replace(asked, wish=Wish(named, typed, profile.key))
    return asked


def _earlier(vault: Vault, key: str) -> tuple[Card | None, LoginSecrets | None]:
    """The login that was there before; nothing of one that doesn't count."""
    store = LoginStore(vault)
    with suppress(StateError):
        card = store.card(key)
        return card, None if card is None else store.secrets(key)
    return None, None


def _closing(signed: SignedIn, vault: Vault) -> str:
    card = signed.card
    who = spell_out(card.email or card.name or card.sub, limit=200)
    first = f"Signed in as {who}." if who else f"Signed in at {card.issuer}."
    if card.refreshable:
        return f"{first} Renews by itself; key {where_key_lies(vault.header)}."
    until = max(access.expires_at for access in signed.secrets.access.values())
    return f"{first} It ends at {datetime.fromtimestamp(until).astimezone():%H:%M}: {card.issuer} gave no refresh token."


def facts_of(card: Card) -> dict[str, Any]:
    """A login for programs; no secret is in it."""
    facts = {name: getattr(card, name) for name in card.__struct_fields__ if name != "claims"}
    found = {name: list(value) if isinstance(value, tuple) else value for name, value in facts.items()}
    return found | {"logged_in_at": stamp(card.logged_in_at)}


class _Screen:
    """The person, or the program that their file lets in; what is said goes to stderr where stdout is for a program."""

    def __init__(self, here: Here, asker: Asker, wanted: Meant, *, browser: bool, quiet: bool) -> None:
        self.meant = wanted
        self._here = here
        self._asker = asker
        self._browser = browser
        self._quiet = quiet and asker.scripted
        self._minutes = 0

    def show(self, text: str) -> None:
        if self._quiet:
            click.echo(text, file=sys.stderr)
        else:
            self._asker.show(text)

    def browse(self, url: str) -> None:
        if not self._browser:
            self.show(f"Open this address in a browser on this machine:\n  {url}")
            return
        self.show(f"Opening your browser. Without one: mcpwrap login{spell_out(self.meant.argument)} --device\n  {url}")
        # some are waited for until they are closed
        threading.Thread(target=self._open, args=(url,), daemon=True).start()

    def waiting(self, left_s: float) -> None:
        minutes = math.ceil(left_s / 60)
        if self._minutes not in (0, minutes) and minutes > 0:
            self.show(f"Still waiting, {minutes} more minute{'s' if minutes > 1 else ''}; Ctrl-C ends it.")
        self._minutes = minutes

    def accepts(self, question: str) -> bool:
        # (a script's leave is for what its person wrote down, not for a place that a provider names)
        return not self._asker.scripted and self._asker.confirm(question)

    def _open(self, url: str) -> None:
        import webbrowser  # noqa: PLC0415 - only when one is opened

        shown = sys.platform in ("win32", "darwin") or any(self._here.env.get(name) for name in _BROWSERS_SHOWN_BY)
        try:
            opened = shown and webbrowser.open(url)
        except (webbrowser.Error, OSError):
            opened = False
        if not opened:
            self.show(
                "No browser could be opened. Open the address above by hand, "
                f"or: mcpwrap login{spell_out(self.meant.argument)} --device"
            )


@contextmanager
def _spared_stdout(spared: bool) -> Iterator[Any]:
    """Standard output for the one answer alone: what a browser's program prints goes to stderr."""
    if not spared:
        yield sys.stdout
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "w", encoding="utf-8", errors="backslashreplace") as out:
            yield out
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
