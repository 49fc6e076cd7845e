"""The end of a login: at the provider (RFC 7009), and here (IDENTITY.md §1).

Here comes first: running shims see it at once, whatever the provider does. Without the vault's key the files are taken away all the
same; what can't be done then is said.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

import msgspec

from mcpwrap.core.credentials import Network
from mcpwrap.errors import LoginError, StateError
from mcpwrap.files import read_private, sync_folder
from mcpwrap.identity.clientauth import auth_of
from mcpwrap.identity.http import ProviderSaid, client, post_form
from mcpwrap.identity.logins import CARD_LIMIT, Card, LoginSecrets, LoginStore, card_path, item_of
from mcpwrap.identity.vault import Places, item_path

_NO_ENDPOINT: Final = "the provider has no way to revoke tokens"


class Ended(msgspec.Struct, frozen=True):
    """One login that was ended. `was` is false where there was none; `unrevoked` says why its tokens still count at the provider,
    "" where they don't."""

    profile: str
    issuer: str
    was: bool
    unrevoked: str = ""


def end(store: LoginStore, profile: str, issuer: str, key: str, network: Network) -> Ended:
    """Wipe the login `key`, then revoke its tokens.

    Raises:
        StateError: it can't be wiped.
    """
    why, secrets = "", None
    try:
        secrets = store.secrets(key)
    except StateError as error:  # altered: there is nothing to revoke with
        why = str(error)
    was = store.remove(key)
    return Ended(profile, issuer, was, why if secrets is None else revoke(secrets, network))


def revoke(secrets: LoginSecrets, network: Network) -> str:
    """Revoke the refresh token, then the access tokens. "" where the provider took them all, else why not, as one fact.

    A kind of token that the provider doesn't revoke (signed access tokens, mostly: §2.2.1) ends by itself and is no failure.
    """
    tokens = [("refresh_token", secrets.refresh_token)] if secrets.refresh_token else []
    tokens += [("access_token", access.token) for access in secrets.access.values()]
    if not tokens:
        return ""
    if not secrets.revocation_endpoint:
        return _NO_ENDPOINT
    try:
        auth = auth_of(secrets)
        with client(network) as http:
            for kind, token in tokens:
                try:
                    fields = [("token", token), ("token_type_hint", kind)]
                    post_form(http, secrets.revocation_endpoint, fields, auth, answers=False)
                except ProviderSaid as error:
                    if kind == "refresh_token" or error.error != "unsupported_token_type":
                        raise
    except LoginError as error:
        return str(error)
    return ""


def cards_unread(places: Places) -> list[Card]:
    """What the cards say that lie there, whether they count or not: only to find what is to be wiped without the vault's key."""
    folder, found = os.path.join(places.state, "logins"), []
    with suppress(OSError):
        for name in sorted(os.listdir(folder)):
            with suppress(StateError, ValueError):
                # the payload follows a version, a count and a MAC
                card = msgspec.json.decode(read_private(os.path.join(folder, name), CARD_LIMIT)[1 + 8 + 32 :], type=Card)
                if card_path(places.state, card.key) == os.path.join(folder, name):
                    found.append(card)
    return found


def wipe(places: Places, key: str) -> bool:
    """Take the files of the login `key` away, without the vault; False where there were none.

    Raises:
        StateError: one can't be taken away.
    """
    there = False
    for path in (card_path(places.state, key), item_path(places, item_of(key))):
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StateError(f"`{path}` can't be taken away: {(error.strerror or str(error)).lower()}") from error
        there = True
        sync_folder(os.path.dirname(path))
    return there
