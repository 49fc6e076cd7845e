"""Telling the provider that a login has ended (RFC 7009)."""

from __future__ import annotations

from mcpwrap.core.credentials import Network
from mcpwrap.errors import LoginError
from mcpwrap.identity.clientauth import auth_of
from mcpwrap.identity.http import ProviderSaid, client, post_form
from mcpwrap.identity.logins import LoginSecrets


def revoke(secrets: LoginSecrets, network: Network) -> str:
    """Revoke the refresh token, then the access tokens. "" where the provider took them all, else why not, as one fact.

    A kind of token that the provider doesn't revoke (signed access tokens, mostly: §2.2.1) ends by itself and is no failure.
    """
    tokens = [("refresh_token", secrets.refresh_token)] if secrets.refresh_token else []
    tokens += [("access_token", access.token) for access in secrets.access.values()]
    if not tokens:
        return ""
    if not secrets.revocation_endpoint:
        return "the provider has no way to revoke tokens"
    try:
        auth = auth_of(secrets)
        with client(network) as http:
            for kind, token in tokens:
                fields = [("token", token), ("token_type_hint", kind)]
                try:
                    post_form(http, secrets.revocation_endpoint, fields, auth, answers=False)
                except ProviderSaid as error:
                    if kind == "refresh_token" or error.error != "unsupported_token_type":
                        raise
    except LoginError as error:
        return str(error)
    return ""
