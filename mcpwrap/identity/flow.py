"""Signing in: from what is asked for to a card and its secrets (IDENTITY.md §1). Nothing is stored here.

    signed = sign_in(asked, network, screen)
    LoginStore(vault).put(signed.card, signed.secrets)

The three ways are `mcpwrap.identity.codeflow` (a browser), `mcpwrap.identity.device` (a browser elsewhere) and, for machines,
`machine` below. What they share is here: who the issuer is, what is asked of it, and what is made of its answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from mcpwrap.core.credentials import Network
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import LoginError
from mcpwrap.identity.answers import Tokens, tokens_of
from mcpwrap.identity.clientauth import MISSING_KEY, ClientAuth, is_missing
from mcpwrap.identity.http import ProviderSaid, address, client, post_form
from mcpwrap.identity.idtoken import Person, person_of
from mcpwrap.identity.logins import Card, Flow, LoginSecrets, access_key
from mcpwrap.identity.metadata import Metadata, discover
from mcpwrap.identity.registration import Wish, given
from mcpwrap.secret import Secret

if TYPE_CHECKING:
    import httpx2

WISHED_SCOPES: Final = ("email", "profile", "groups", "offline_access")
"""Asked for beside ``openid`` where the provider has them: who it is, and a refresh token."""

_LIMIT: Final = 100
"""Most resources, and most scopes, of one login; the address for the browser must hold them."""


class Asked(msgspec.Struct, frozen=True):
    """One login as it is wanted. `profile` is "" where the issuer was given on the command line; `earlier` is the client of the
    login that was there before, for a provider that registers nobody by itself; `command` is how it is asked for once more."""

    profile: str
    issuer: str
    flow: Flow = "browser"
    wish: Wish = Wish()
    earlier: Wish = Wish()
    resources: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    command: str = "mcpwrap login"

    def again(self, *options: str) -> str:
        """The command that asks for the same once more, with `options` where it hasn't them."""
        ways = ("--device",) if self.flow == "device" else ()
        typed = self.command.split(" ")
        return " ".join([self.command, *dict.fromkeys(each for each in (*ways, *options) if each not in typed)])


class Screen(Protocol):
    """The person in front of it. What is shown has other people's texts spelled out already."""

    def show(self, text: str) -> None:
        """Show one line or more."""
        ...

    def browse(self, url: str) -> None:
        """Open `url` in a browser, or say that it has to be done by hand."""
        ...

    def waiting(self, left_s: float) -> None:
        """Something is waited for, at most `left_s` seconds more; called about once a second."""
        ...

    def accepts(self, question: str) -> bool:
        """True where the person says yes."""
        ...


class SignedIn(msgspec.Struct, frozen=True):
    """A login that can be stored."""

    card: Card
    secrets: LoginSecrets

    def __repr__(self) -> str:
        return f"SignedIn({self.card.issuer})"


class Session(msgspec.Struct, frozen=True):
    """What the ways share: the connection, what is asked for, and what the issuer says of itself."""

    http: httpx2.Client
    asked: Asked
    metadata: Metadata
    screen: Screen

    @property
    def host(self) -> str:
        """The issuer's host, as messages have it."""
        return self.metadata.host

    @property
    def wish(self) -> Wish:
        """The client that was named, now or, where nobody can be registered, for the login before."""
        if self.asked.wish.client_id or self.metadata.registration_endpoint:
            return self.asked.wish
        return self.asked.earlier

    def scopes(self) -> tuple[str, ...]:
        """All scopes to ask for where a person signs in."""
        offered = self.metadata.scopes or ()
        wished = tuple(scope for scope in WISHED_SCOPES if scope in offered)
        first = ("openid", *wished) if self.metadata.openid else wished
        return tuple(dict.fromkeys((*first, *self.asked.scopes)))

    def answered(self, auth: ClientAuth, grant: list[tuple[str, str]]) -> Tokens:
        """What the token endpoint answers to `grant`; the first resource is named with it (RFC 8707 §2.2: a token is for one), and
        tokens for the others come with the refresh token."""
        fields = [*grant, *(("resource", resource) for resource in self.asked.resources[:1])]
        answer = post_form(self.http, self.metadata.token_endpoint, fields, auth)
        return tokens_of(answer, who=self.host, now=time.time())

    def person(self, auth: ClientAuth, tokens: Tokens, *, nonce: str) -> Person:
        """Who signed in; nobody in particular where the provider gives no ID tokens.

        Raises:
            LoginError: the ID token is missing or doesn't count.
        """
        if not self.metadata.openid:
            return Person("")
        if not tokens.id_token:
            raise LoginError(f"{self.host} gave no ID token", hint="nothing was stored; tell whoever runs the provider")
        return person_of(self.http, self.metadata, auth.client_id, tokens.id_token, Secret(tokens.access.token), nonce=nonce)

    def signed(self, auth: ClientAuth, tokens: Tokens, person: Person, asked_scopes: tuple[str, ...]) -> SignedIn:
        """The card and the secrets."""
        asked, by_itself = self.asked, self.asked.flow == "client-credentials"
        # an answer for one of several resources names that one's scopes alone
        scopes = tokens.scope if tokens.scope is not None and len(asked.resources) < 2 else asked_scopes
        resource = asked.resources[0] if asked.resources else ""
        card = Card(
            profile=asked.profile,
            issuer=asked.issuer,
            client_id=auth.client_id,
            flow=asked.flow,
            sub=person.sub,
            email=person.email,
            name=person.name,
            groups=person.groups,
            claims=person.claims,
            scopes=scopes,
            resources=asked.resources,
            refreshable=by_itself or bool(tokens.refresh_token),
            logged_in_at=time.time(),
        )
        secrets = LoginSecrets(
            issuer=asked.issuer,
            client_id=auth.client_id,
            token_endpoint=self.metadata.token_endpoint,
            revocation_endpoint=self.metadata.revocation_endpoint,
            refresh_token=tokens.refresh_token,
            auth=auth.method,
            client_secret="" if auth.secret is None else auth.secret.reveal(),
            key_file=auth.key_file,
            access={access_key(resource, ()): tokens.access},
        )
        return SignedIn(card, secrets)


def sign_in(asked: Asked, network: Network, screen: Screen) -> SignedIn:
    """Sign in as `asked` says.

    Raises:
        ProviderDown: the provider can't be reached or can't answer now.
        ProviderSaid: it refused, or the person did so there.
        LoginError: anything else that ends it; the message says what.
    """
    from mcpwrap.identity import codeflow, device  # noqa: PLC0415 - each imports this module

    check(asked)
    with client(network) as http, _advice(asked):
        session = Session(http, asked, discover(http, asked.issuer), screen)
        _warn(session)
        match asked.flow:
            case "browser":
                return codeflow.sign_in(session)
            case "device":
                return device.sign_in(session)
            case "client-credentials":
                return machine(session)


def check(asked: Asked) -> None:
    """Look for what can't be asked for, before anything is opened.

    Raises:
        LoginError: the issuer is no address, or a resource or scope can't be sent.
    """
    address(asked.issuer, "the issuer")
    key = asked.wish.key_file
    if key and is_missing(key):
        raise LoginError(f"the key file `{key}` isn't there", hint=MISSING_KEY.format(f"[profiles.{asked.profile}]"))
    for resource in asked.resources:
        # (RFC 8707 §2: absolute, without a fragment; it need not be an address that is talked to)
        if ":" not in resource or not _visible(resource) or "#" in resource:
            raise LoginError(f"the resource `{spell_out(resource, limit=200)}` is no absolute URI without a fragment")
    for scope in asked.scopes:
        if not _visible(scope) or '"' in scope or "\\" in scope:
            raise LoginError(
                f"`{spell_out(scope, limit=200)}` is no scope", hint="one a time: --scope repo:read --scope repo:write"
            )
    if max(len(asked.resources), len(asked.scopes)) > _LIMIT:
        raise LoginError(f"a login has at most {_LIMIT} resources and scopes", hint="make two profiles of it")


def machine(session: Session) -> SignedIn:
    """The way without a person: the client itself is the subject (RFC 6749 §4.4).

    Raises:
        LoginError: there is no client id, or nothing that proves the client.
    """
    asked = session.asked
    if not asked.wish.client_id or not (asked.wish.key_file or asked.wish.secret):
        raise LoginError(
            "client-credentials needs a client id, and a key or a secret",
            hint='in your own config.toml, below [profiles.NAME]: client_id = "…", key = "/path/to/key.pem"',
        )
    auth = given(session.metadata, asked.wish)
    scope = [("scope", " ".join(asked.scopes))] if asked.scopes else []
    tokens = session.answered(auth, [("grant_type", "client_credentials"), *scope])
    return session.signed(auth, msgspec.structs.replace(tokens, refresh_token=""), Person(auth.client_id), asked.scopes)


def declined(session: Session, error: str, description: str) -> ProviderSaid:
    """What is raised where the answer is an error: of the provider's, or the person's own no."""
    words = f": {spell_out(description, limit=300)}" if description else ""
    if error == "access_denied":
        return ProviderSaid(
            f"the sign-in was declined at {session.host}{words}",
            hint=f"nothing was stored; `{session.asked.again()}` starts again",
            error=error,
            description=description,
        )
    return ProviderSaid(
        f"{session.host} refused: {spell_out(error, limit=100)}{words}",
        hint=_hint(session.asked, error),
        error=error,
        description=description,
    )


def _hint(asked: Asked, error: str) -> str:
    """What to do after the provider's `error`; "" where nobody knows."""
    return _HINTS.get(error, "").format(again=asked.again(), secret=asked.again("--client-secret"), logout=_logout(asked))


def _logout(asked: Asked) -> str:
    return f"mcpwrap logout {asked.profile or f'--issuer {asked.issuer}'}"


_HINTS: Final[Mapping[str, str]] = {
    "invalid_target": "a resource isn't known there: see `resources` of the profile, and `--resource`",
    "invalid_scope": "a scope isn't known there: see `scopes` of the profile, and `--scope`; `{logout}` forgets earlier ones",
    "invalid_client": "is the client id right? a client that has a secret: {secret}",
    "unauthorized_client": "the client isn't registered for this way of signing in; see `flow` of the profile",
    "unsupported_grant_type": "the provider doesn't know this way of signing in; see `flow` of the profile",
    "invalid_grant": "nothing was stored; `{again}` starts again",
}


def _warn(session: Session) -> None:
    """Say it where a host only looks like what it reads as (PROTOCOL.md §8)."""
    import idna

    for url in dict.fromkeys((session.metadata.issuer, session.metadata.authorization_endpoint)):
        host = address(url).host if url else ""
        if not any(label.startswith("xn--") for label in host.split(".")):
            continue
        try:
            reads = f"reads as `{spell_out(idna.decode(host))}`"
        except (idna.IDNAError, UnicodeError):
            reads = "can't be read"
        session.screen.show(f"Look twice: the host {host} {reads}; its letters may only look like those of a host that you know.")


@contextmanager
def _advice(asked: Asked) -> Iterator[None]:
    try:
        yield
    except ProviderSaid as error:
        error.hint = error.hint or _hint(asked, error.error)
        raise


def _visible(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and " " not in text
