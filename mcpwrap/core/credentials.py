"""Credentials: what a server is to get, and what it got (IDENTITY.md §3 and §4). Values only; nothing here does anything."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from mcpwrap.secret import Secret

Via = Literal["env", "file", "helper", "meta"]

Flow = Literal["browser", "device", "client-credentials"]

LOCAL: str = "local"
"""The issuer of the built-in profile: the operating system's user, vouched for by this installation."""


class FromLogin(msgspec.Struct, frozen=True, tag="login"):
    """The provider's own access token, for `resource` (RFC 8707; "" for none) with at most `scope`."""

    resource: str = ""
    scope: tuple[str, ...] = ()


class FromSecret(msgspec.Struct, frozen=True, tag="secret"):
    """The secret `name` that was set for this project and server, or lent to it."""

    name: str


class Minted(msgspec.Struct, frozen=True, tag="minted"):
    """A token of our own, valid for `ttl_s` seconds (5 to 300)."""

    scope: tuple[str, ...] = ()
    ttl_s: int = 120


Source = FromLogin | FromSecret | Minted


class Wanted(msgspec.Struct, frozen=True):
    """One credential of a server's table: `name` is the variable that it is delivered as, `via` the way."""

    name: str
    source: Source
    via: Via = "env"


KEPT_NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
"""A secret's name: any variable's may be one."""


class Profile(msgspec.Struct, frozen=True):
    """A login that the user's file describes: at `issuer` (its exact text counts), by `flow`.

    It lends tokens for `resources` and with `scopes`, and no more; None lends whatever a project asks for. `key` is the path of a
    PEM with the client's private key (``private_key_jwt``); "" where there is none.
    """

    name: str
    issuer: str
    client_id: str = ""
    flow: Flow = "browser"
    resources: tuple[str, ...] | None = None
    scopes: tuple[str, ...] | None = None
    key: str = ""


def not_lent(profile: Profile, source: FromLogin) -> str:
    """Why `profile` doesn't lend what `source` asks for, in words that go on after its name; "" where it does.

    A token for no resource in particular may be good for any. No scope in particular is what the login has, which is lent already.
    """
    if profile.resources is not None and source.resource not in profile.resources:
        return f"doesn't lend {source.resource or 'tokens for no resource in particular'}"
    lacking = [scope for scope in source.scope if profile.scopes is not None and scope not in profile.scopes]
    return f"doesn't lend the scope{'s' if len(lacking) > 1 else ''} {' '.join(lacking)}" if lacking else ""


class Network(msgspec.Struct, frozen=True):
    """How providers are reached: the URL of a `proxy` and the path of a PEM with the authorities that count (`ca`); "" for none.

    From the user's file only, never from the environment.
    """

    proxy: str = ""
    ca: str = ""


def described(wanted: Wanted) -> str:
    """What a credential is, for records and messages: never its value."""
    return f"{_source_of(wanted)}, by {wanted.via}"


def _source_of(wanted: Wanted) -> str:
    match wanted.source:
        case FromLogin(resource, scope):
            return f"login{' for ' + resource if resource else ''}{_scoped(scope)}"
        case FromSecret(name):
            return f"secret `{name}`"
        case Minted(scope, ttl_s):
            return f"minted for {ttl_s} s{_scoped(scope)}"


def _scoped(scope: tuple[str, ...]) -> str:
    return f", scope {' '.join(scope)}" if scope else ""


class Bearer(msgspec.Struct, frozen=True):
    """For whom credentials are: the canonical project root, the project's name, the server, the digest of the policy that counts,
    and the key of the login (`mcpwrap.identity.logins.Card.key`; "" for the local profile) whose subject acts.

    `signed_in` tells one sign-in from the next under the same key: what was issued for the one isn't for the other.
    """

    root: str
    project: str
    server: str
    policy_hash: str
    login: str = ""
    signed_in: str = ""


class Issued(msgspec.Struct, frozen=True):
    """A credential's value. Times are seconds since the epoch: `expires_at` is None for what doesn't expire; at `renew_at` (80 % of
    the lifetime) a new one is to be had."""

    name: str
    value: Secret
    expires_at: float | None = None
    renew_at: float | None = None


class Failed(msgspec.Struct, frozen=True):
    """Why a credential can't be had: one fact, and the remedy as a command. `retry_s` is when it may be tried again by itself; None
    where a person has to do something first."""

    name: str
    why: str
    hint: str
    retry_s: float | None = None
