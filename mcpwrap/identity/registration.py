"""Which client we are at a provider: one that a person named, else one that registers itself (RFC 7591)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mcpwrap.core.visible import spell_out
from mcpwrap.errors import LoginError
from mcpwrap.identity.clientauth import ClientAuth, Method
from mcpwrap.identity.http import address, post_json
from mcpwrap.identity.metadata import Metadata
from mcpwrap.secret import Secret

if TYPE_CHECKING:
    import httpx2

DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"

GIVEN_PATH: Final = "/callback"
"""The path of the redirect of a client that a person named: it must stand in that client's registration, so it can't be made up."""

_ID: Final = re.compile(r"[\x20-\x7e]{1,2048}")
_SECRET_LIMIT: Final = 4096


class Wish(msgspec.Struct, frozen=True):
    """What a person said of the client: its id ("" for none), its secret, the path of its key file."""

    client_id: str = ""
    secret: Secret | None = None
    key_file: str = ""


def given(metadata: Metadata, wish: Wish) -> ClientAuth:
    """The client that `wish` names.

    Raises:
        LoginError: it is the address of a document, and the provider doesn't take those.
    """
    if not _ID.fullmatch(wish.client_id):
        raise LoginError(f"`{spell_out(wish.client_id, limit=100)}` is no client id")
    if wish.client_id.startswith(("https://", "http://")):
        address(wish.client_id, "the client id")
        if not metadata.documents:
            raise LoginError(
                f"{metadata.host} doesn't take the address of a document as client id",
                hint="name the id of a client that is registered there: --client-id ID",
            )
    return ClientAuth(_method(metadata, wish), wish.client_id, metadata.issuer, wish.secret, wish.key_file)


def _method(metadata: Metadata, wish: Wish) -> Method:
    if wish.key_file:
        return "private_key_jwt"
    if wish.secret is None:
        # even where the provider doesn't list `none`: several that take public clients don't say so
        return "none"
    # (where nothing is said it is `client_secret_basic`: RFC 8414 §2)
    return (
        "client_secret_basic"
        if "client_secret_basic" in (metadata.auth_methods or ("client_secret_basic",))
        else "client_secret_post"
    )


def register(http: httpx2.Client, metadata: Metadata, *, redirect_uri: str = "") -> ClientAuth:
    """A client that was registered just now: native, for this `redirect_uri` ("" for one that uses the device flow alone), public
    where the provider lets it.

    Raises:
        ProviderDown, ProviderSaid: as `mcpwrap.identity.http` has it.
        LoginError: the provider registers nobody; says what to do.
    """
    if not metadata.registration_endpoint:
        raise LoginError(
            f"{metadata.host} doesn't know mcpwrap, and registers nobody by itself",
            hint="register a native (public) client there with the redirect http://127.0.0.1/callback, then: "
            f"mcpwrap login --issuer {metadata.issuer} --client-id ID",
        )
    offered = [method for method in _BY_LIKING if method in (metadata.auth_methods or ("client_secret_basic",))]
    # a client that can't prove itself where tokens are revoked could sign in and never out
    ends = [method for method in offered if method in (metadata.revoking_methods or offered)]
    method: Method = next(iter([*ends, *offered]), "none")
    document: dict[str, Any] = {
        "client_name": "mcpwrap",
        "application_type": "native",
        "token_endpoint_auth_method": method,
        "grant_types": ["authorization_code", "refresh_token"] if redirect_uri else [DEVICE_GRANT, "refresh_token"],
        "response_types": ["code"] if redirect_uri else [],
        "redirect_uris": [redirect_uri] if redirect_uri else [],
    }
    return _registered(post_json(http, metadata.registration_endpoint, document), metadata, method)


_BY_LIKING: Final[tuple[Method, ...]] = ("none", "client_secret_basic", "client_secret_post")


def _registered(answer: dict[str, Any], metadata: Metadata, asked: Method) -> ClientAuth:
    client_id, secret = answer.get("client_id"), answer.get("client_secret")
    if not isinstance(client_id, str) or not _ID.fullmatch(client_id):
        raise LoginError(f"{metadata.host} registered mcpwrap without a client id")
    method = answer.get("token_endpoint_auth_method", asked)  # (the provider may choose another: RFC 7591 §3.2.1)
    if method not in _BY_LIKING:
        raise LoginError(f"{metadata.host} wants the client to prove itself by `{spell_out(str(method), limit=60)}`")
    if method == "none":
        return ClientAuth("none", client_id, metadata.issuer)
    if not isinstance(secret, str) or not 0 < len(secret) <= _SECRET_LIMIT:
        raise LoginError(f"{metadata.host} registered mcpwrap without the secret that it wants")
    return ClientAuth(method, client_id, metadata.issuer, Secret(secret))
