"""What `mcpwrap status` says of logins and of the vault that they lie in; never a secret."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import msgspec

from mcpwrap.cli import opened
from mcpwrap.cli.here import Here
from mcpwrap.cli.identity import where_key_lies
from mcpwrap.cli.screen import columns
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import McpwrapError, StateError
from mcpwrap.identity.keys import open_vault
from mcpwrap.identity.logins import Card, LoginStore
from mcpwrap.identity.vault import Header, read_header


class Login(msgspec.Struct, frozen=True):
    """One login, and until when its newest access token counts (seconds since the epoch; None where there is none)."""

    card: Card
    until: float | None


class Logins(msgspec.Struct, frozen=True):
    """All logins, and the vault's header (None: there is no vault); `closed` says why the vault doesn't open, "" where it does."""

    logins: tuple[Login, ...] = ()
    header: Header | None = None
    closed: str = ""
    hint: str = ""


def logins(here: Here) -> Logins:
    """The logins as they stand; nobody is asked anything, and nothing raised: a vault that doesn't open is a thing to show."""
    header: Header | None = None
    try:
        header = read_header(opened.places(here))
        if header is None:
            return Logins()
        # (a passphrase that was typed for the trust isn't asked for again)
        vault = here.door.vault or open_vault(opened.places(here), opened.configured(here), here.env)
        store = LoginStore(vault)
    except McpwrapError as error:
        return Logins(header=header, closed=str(error), hint=error.hint)
    return Logins(tuple(Login(card, _until(store, card)) for card in store.cards()), header)


def lines(found: Logins, wanted: str = "") -> list[str]:
    """For a person; nothing where there is neither vault nor login. `wanted` says which login the project lacks, "" for none."""
    if found.header is None and not found.closed:
        return []
    rows = [["login", _who(login.card), _where(login.card), _state(login)] for login in found.logins]
    if wanted:
        rows.append(["login", wanted])
    if found.closed:
        rows.append(["vault", f"doesn't open: {spell_out(found.closed)}"])
        if found.hint:
            rows.append(["", spell_out(found.hint)])
    elif found.header is not None:
        rows.append(["vault", f"its key lies {where_key_lies(found.header)}"])
    return columns(rows, indent=0)


def facts(found: Logins) -> dict[str, Any]:
    """For programs: `logins` and `vault`."""
    header = found.header
    return {
        "logins": [_facts(login) for login in found.logins],
        "vault": {
            "state": "closed" if found.closed else "none" if header is None else "open",
            "mode": "" if header is None else header.mode,
            "where": "" if header is None else header.where,
            "why": found.closed,
        },
    }


def _until(store: LoginStore, card: Card) -> float | None:
    try:
        secrets = store.secrets(card.key)
    except StateError:
        return None
    return max((access.expires_at for access in secrets.access.values()), default=None) if secrets else None


def _who(card: Card) -> str:
    return spell_out(card.email or card.name or card.sub or "(nobody in particular)", limit=80)


def _where(card: Card) -> str:
    return spell_out(f"{card.issuer} ({card.profile})" if card.profile else card.issuer)


def _state(login: Login) -> str:
    card = login.card
    if card.ended:
        return f"ended: {spell_out(card.ended, limit=120)}; mcpwrap login{_argument(card)}"
    counts = login.until is not None and login.until > time.time()
    if card.refreshable:
        return f"renews by itself; its token counts until {_clock(login.until)}" if counts else "renews by itself"
    if not counts:
        return f"ended; mcpwrap login{_argument(card)}"
    return f"until {_clock(login.until)}, and can't be renewed"


def _clock(seconds: float | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC).astimezone():%H:%M}"


def _argument(card: Card) -> str:
    return f" {spell_out(card.profile)}" if card.profile else f" --issuer {card.issuer}"


def _facts(login: Login) -> dict[str, Any]:
    card = login.card
    return {
        "profile": card.profile,
        "issuer": card.issuer,
        "flow": card.flow,
        "client_id": card.client_id,
        "sub": card.sub,
        "email": card.email,
        "groups": list(card.groups),
        "scopes": list(card.scopes),
        "resources": list(card.resources),
        "refreshable": card.refreshable,
        "logged_in_at": stamp(card.logged_in_at),
        "expires_at": None if login.until is None else stamp(login.until),
        "ended": card.ended,
    }


def stamp(seconds: float) -> str:
    """An instant as programs read it (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
