"""Signing in with a browser: authorization code with PKCE on a loopback redirect (RFC 6749 §4.1, RFC 7636, RFC 8252).

What ties the answer to this sign-in: `state` (to this listener), `iss` (to this issuer, RFC 9207), the verifier (to this client;
S256 alone, and only where the provider says that it looks), `nonce` (to this ID token).
"""

from __future__ import annotations

import base64
import secrets
from hashlib import sha256
from typing import Final
from urllib.parse import urlencode

from mcpwrap.core.visible import spell_out
from mcpwrap.errors import LoginError
from mcpwrap.identity.clientauth import ClientAuth
from mcpwrap.identity.flow import Session, SignedIn, declined
from mcpwrap.identity.http import address
from mcpwrap.identity.loopback import Listener
from mcpwrap.identity.registration import GIVEN_PATH, given, register

LIMIT_S: Final = 300.0
"""How long the browser is waited for."""


def sign_in(session: Session, *, limit_s: float = LIMIT_S) -> SignedIn:
    """Lead the person's browser to the provider and wait for it to come back.

    Raises:
        ProviderSaid: the provider or the person refused.
        LoginError: the provider can't do it safely; the answer isn't its own; nobody came back in `limit_s` seconds.
    """
    metadata, wish = session.metadata, session.wish
    if not metadata.authorization_endpoint:
        raise LoginError(f"{session.host} has no sign-in for browsers", hint="see `flow` of the profile")
    if not metadata.s256:
        raise LoginError(
            f"{session.host} doesn't say that it checks PKCE by S256, so a code could be stolen unnoticed",
            hint="nothing was opened; ask whoever runs it for `code_challenge_methods_supported` in its metadata",
        )
    with _door(session, GIVEN_PATH if wish.client_id else "") as listener:
        redirect_uri = listener.redirect_uri
        auth = given(metadata, wish) if wish.client_id else register(session.http, metadata, redirect_uri=redirect_uri)
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        scopes = session.scopes()
        session.screen.browse(_url(session, auth, redirect_uri, scopes, state=state, nonce=nonce, verifier=verifier))
        session.screen.show(f"You have {limit_s / 60:g} minutes.")
        answer = listener.wait(state, limit_s=limit_s, passing=session.screen.waiting)
    if answer is None:
        raise LoginError(
            f"the browser didn't come back within {limit_s / 60:g} minutes",
            hint=f"{session.asked.again()}, and where the browser is on another machine: {session.asked.again('--device')}",
        )
    grant = [
        ("grant_type", "authorization_code"),
        ("code", _code(session, answer)),
        ("redirect_uri", redirect_uri),
        ("code_verifier", verifier),
    ]
    tokens = session.answered(auth, grant)
    return session.signed(auth, tokens, session.person(auth, tokens, nonce=nonce), scopes)


def _door(session: Session, path: str) -> Listener:
    try:
        return Listener(path)
    except LoginError as error:
        error.hint = session.asked.again("--device")
        raise


def _url(
    session: Session, auth: ClientAuth, redirect_uri: str, scopes: tuple[str, ...], *, state: str, nonce: str, verifier: str
) -> str:
    challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    fields = [
        ("response_type", "code"),
        ("client_id", auth.client_id),
        ("redirect_uri", redirect_uri),
        *([("scope", " ".join(scopes))] if scopes else []),
        ("state", state),
        *([("nonce", nonce)] if session.metadata.openid else []),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
        # (offline_access counts only where consent is asked for: OpenID Connect Core §11)
        *([("prompt", "consent")] if "offline_access" in scopes else []),
        *(("resource", resource) for resource in session.asked.resources),
    ]
    endpoint = session.metadata.authorization_endpoint
    return f"{endpoint}{'&' if address(endpoint).query else '?'}{urlencode(fields)}"


def _code(session: Session, answer: dict[str, str]) -> str:
    """The code in `answer`, if the issuer that was asked gave it."""
    iss, issuer = answer.get("iss"), session.metadata.issuer
    again = session.asked.again()
    hint = f"nothing was stored; a page may have mixed up two providers. Close the browser and start again: {again}"
    if iss is not None and iss != issuer:
        raise LoginError(f"the answer comes from another issuer, `{spell_out(iss, limit=300)}`, not from `{issuer}`", hint=hint)
    if "error" in answer:
        raise declined(session, answer["error"], answer.get("error_description", ""))
    if iss is None and session.metadata.sends_iss:
        raise LoginError(f"the answer doesn't name its issuer, and `{issuer}` says that its answers do", hint=hint)
    if not answer.get("code"):
        raise LoginError(f"{session.host} sent the browser back without a code")
    return answer["code"]
