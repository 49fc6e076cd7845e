"""An installation with a vault of its own, and a person who is signed in at a real provider."""

from __future__ import annotations

import base64
import json
import os
import secrets
import urllib.parse
import urllib.request
from hashlib import sha256
from pathlib import Path
from typing import Any

from mcpwrap.core.credentials import Bearer, FromLogin, Network, Profile, Wanted
from mcpwrap.identity.job import Job
from mcpwrap.identity.logins import Card, LoginSecrets, LoginStore, key_of
from mcpwrap.identity.vault import Header, Places, Vault, create
from tests.identity.providers.browser import Browser
from tests.identity.providers.oidc import API, ISSUES, Provider

PROFILE = "acme"
REDIRECT = "http://127.0.0.1/callback"
SCOPES = "openid offline_access email repo:read repo:write issues:read"
DEADLINE_S = 30.0


def make_vault(folder: Path) -> Vault:
    """A new vault below `folder`; its key lies nowhere."""
    key, epoch = os.urandom(32), secrets.token_hex(16)
    places = Places(str(folder / "state"), str(folder / "data"))
    return create(places, Header("file", str(folder / "key"), epoch), key)


def sign_in(vault: Vault, provider: Provider, *, profile: str = PROFILE, scopes: str = SCOPES) -> str:
    """Sign `ann` in by code and PKCE, for both resources, and store the login; its key."""
    verifier = secrets.token_urlsafe(48)
    asked = [
        ("client_id", "mcpwrap"),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", scopes),
        ("prompt", "consent"),
        ("resource", API),
        ("resource", ISSUES),
        ("code_challenge_method", "S256"),
        ("code_challenge", base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()),
    ]
    back = Browser(does="stops").visits(f"{provider.issuer}/auth?{urllib.parse.urlencode(asked)}")
    code = urllib.parse.parse_qs(urllib.parse.urlsplit(back).query)["code"][0]
    answer = post(
        f"{provider.issuer}/token",
        grant_type="authorization_code",
        code=code,
        client_id="mcpwrap",
        redirect_uri=REDIRECT,
        code_verifier=verifier,
        resource=API,
    )
    return keep(vault, provider.issuer, answer["refresh_token"], profile=profile, scopes=scopes)


def keep(vault: Vault, issuer: str, refresh_token: str, *, profile: str = PROFILE, scopes: str = "", **more: Any) -> str:
    """Store a login with `refresh_token`; its key."""
    card = Card(
        profile,
        issuer,
        "mcpwrap",
        "browser",
        "ann",
        email="ann@acme.example",
        groups=("developers",),
        scopes=tuple(scopes.split()),
        resources=(API, ISSUES),
        refreshable=True,
    )
    fields = {
        "token_endpoint": f"{issuer}/token",
        "revocation_endpoint": f"{issuer}/token/revocation",
        "refresh_token": refresh_token,
        **more,
    }
    LoginStore(vault).put(card, LoginSecrets(issuer, "mcpwrap", **fields))
    return key_of(profile, issuer)


def bearer(login: str = "", *, server: str = "issues", project: str = "shop") -> Bearer:
    """A server of a project."""
    return Bearer(f"/src/{project}", project, server, "sha256:policy", login)


def wanted(name: str = "API_TOKEN", resource: str = API, *scope: str) -> Wanted:
    """A provider's token."""
    return Wanted(name, FromLogin(resource, scope))


def job(vault: Vault, bearer: Bearer, *wanted: Wanted, lends: Profile | None = None) -> Job:
    """What the process apart is asked."""
    return Job(vault.places, vault.header, vault.key, bearer, wanted, Network(), lends)


def post(url: str, **fields: str) -> dict[str, Any]:
    """The provider's answer to a form."""
    request = urllib.request.Request(url, urllib.parse.urlencode(fields).encode())  # noqa: S310 - our own, on loopback
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=DEADLINE_S) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def claims_of(token: str) -> dict[str, Any]:
    """What a JWT says, unverified."""
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found
