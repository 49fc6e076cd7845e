"""A scripted provider that signs people in as an honest one would, until a test changes a part of it."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from mcpwrap.core.credentials import Network
from mcpwrap.identity.flow import Asked, SignedIn, sign_in
from mcpwrap.identity.registration import Wish
from tests.identity.desk import DEADLINE_S, Desk
from tests.identity.providers.scripted import Answer, Scripted, say, scripted
from tests.identity.providers.tokens import CLIENT, Signer, claims_of

ACCESS, REFRESH, CODE = "canary-access-token", "canary-refresh-token", "canary-code"


class Honest:
    """`answer` is what the browser brings back besides `state`; `claims` change the ID token; `grants` is what is added to the
    token endpoint's answer (None takes away)."""

    def __init__(self, provider: Scripted) -> None:
        self.provider = provider
        self.issuer = provider.issuer
        self.signer = Signer()
        self.answer: dict[str, str | None] = {"code": CODE, "iss": provider.issuer}
        self.claims: dict[str, Any] = {"email": "ann@acme.example", "groups": []}
        self.grants: dict[str, Any] = {}
        self.nonce: str | None = None
        provider.describes()
        provider.routes["/jwks"] = lambda request: say({"keys": [self.signer.jwk()]})
        provider.routes["/token"] = lambda request: self.tokens()

    def tokens(self) -> Answer:
        """The token endpoint's answer."""
        document = {
            "access_token": ACCESS,
            "refresh_token": REFRESH,
            "token_type": "Bearer",
            "expires_in": 300,
            "id_token": self.signer.sign(claims_of(self.issuer, nonce=self.nonce, **self.claims)),
            **self.grants,
        }
        return say({name: value for name, value in document.items() if value is not None})

    def browser(self, url: str) -> None:
        """Come back at once with `answer`."""
        sent = parse_qs(urlsplit(url).query)
        self.nonce = sent.get("nonce", [None])[0]
        fields = {"state": sent["state"][0], **self.answer}
        visit(f"{sent['redirect_uri'][0]}?{urlencode({name: value for name, value in fields.items() if value is not None})}")

    def desk(self) -> Desk:
        """A person whose browser comes back with `answer`."""
        return Desk(self.browser)

    def signs_in(self, desk: Desk | None = None, **changes: Any) -> SignedIn:
        """Sign in here."""
        asked = Asked(**{"profile": "", "issuer": self.issuer, "wish": Wish(CLIENT), **changes})
        return sign_in(asked, Network(), desk or self.desk())


@contextmanager
def honest() -> Iterator[Honest]:
    """An honest provider."""
    with scripted() as provider:
        yield Honest(provider)


def visit(url: str, **headers: str) -> tuple[int, str]:
    """Open a page as a browser would; its status and its text."""
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - on loopback
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=DEADLINE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
