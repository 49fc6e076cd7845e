"""What a provider says of itself (RFC 8414, OpenID Connect Discovery 1.0), and what of it is believed.

The person accepted an issuer; its metadata may only say where that issuer's doors are. So the issuer in it must be exactly the
one that was asked for (RFC 8414 §3.3), and no door is less safe than the issuer itself: https, and on this machine only where the
issuer is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from mcpwrap.core.visible import spell_out
from mcpwrap.errors import LoginError
from mcpwrap.identity.http import LOOPBACK, NoJson, ProviderSaid, address, get_json

if TYPE_CHECKING:
    import httpx2

METADATA_LIMIT: Final = 128 * 1024
"""Longest metadata, in bytes; real ones have 3 to 8 KiB."""

_LIST_LIMIT: Final = 2000
"""Most entries of a list that are looked at; some providers list every scope of every API."""


class Metadata(msgspec.Struct, frozen=True):
    """One issuer's doors and what it can do. An endpoint is "" where there is none; a list is None where nothing is said of it.

    `s256`: PKCE by S256 is advertised; `sends_iss`: its answers to the browser name the issuer (RFC 9207); `documents`: an https
    address of a document may be a client id; `openid`: it gives ID tokens.
    """

    issuer: str
    token_endpoint: str
    authorization_endpoint: str = ""
    device_authorization_endpoint: str = ""
    revocation_endpoint: str = ""
    registration_endpoint: str = ""
    userinfo_endpoint: str = ""
    jwks_uri: str = ""
    scopes: tuple[str, ...] | None = None
    auth_methods: tuple[str, ...] | None = None
    revoking_methods: tuple[str, ...] | None = None
    s256: bool = False
    sends_iss: bool = False
    documents: bool = False
    openid: bool = False

    @property
    def host(self) -> str:
        """The issuer's host, without a port."""
        return address(self.issuer).host


_ENDPOINTS: Final = (
    "token_endpoint",
    "authorization_endpoint",
    "device_authorization_endpoint",
    "revocation_endpoint",
    "registration_endpoint",
    "userinfo_endpoint",
    "jwks_uri",
)


def discover(http: httpx2.Client, issuer: str) -> Metadata:
    """The metadata of `issuer`, asked for wherever the two specifications put it.

    Raises:
        ProviderDown: the provider can't be reached or can't answer.
        LoginError: the issuer is no address that is talked to; it has no metadata; or what it has can't be believed.
    """
    for url in well_known(issuer):
        try:
            document = get_json(http, url, limit=METADATA_LIMIT)
        except (ProviderSaid, NoJson):
            continue  # not here; some servers answer every path with a page
        return believed(issuer, document)
    raise LoginError(
        f"{address(issuer).host} says nothing of itself as an identity provider",
        hint=f"looked at {' and '.join(well_known(issuer))}",
    )


def well_known(issuer: str) -> tuple[str, ...]:
    """Where the metadata of `issuer` may lie, the fullest first.

    Raises:
        LoginError: it is no address that an issuer can have.
    """
    found = address(issuer, "the issuer")
    if found.query:
        raise LoginError(f"the issuer `{spell_out(issuer)}` has a query", hint="leave out what follows the `?`")
    path = found.path.rstrip("/")
    suffix = f"{found.origin}{path}/.well-known/openid-configuration"
    inserted = (f"{found.origin}/.well-known/{name}{path}" for name in ("openid-configuration", "oauth-authorization-server"))
    return tuple(dict.fromkeys((suffix, *inserted)))


def believed(issuer: str, document: dict[str, Any]) -> Metadata:
    """`document` as the metadata of `issuer`.

    Raises:
        LoginError: it is another issuer's, or names a door that isn't safe, or has none that tokens come through.
    """
    named = document.get("issuer")
    if named != issuer:
        shown = f"`{spell_out(named, limit=300)}`" if isinstance(named, str) else "none"
        near = isinstance(named, str) and named.rstrip("/") == issuer.rstrip("/")
        raise LoginError(
            f"the metadata of `{issuer}` names another issuer: {shown}",
            hint=f"a slash at the end counts; if it is yours, write it so: {named}"
            if near
            else "ask who runs it; it may be forged",
        )
    doors = {name: _door(issuer, name, document.get(name)) for name in _ENDPOINTS}
    if not doors["token_endpoint"]:
        raise LoginError(f"the metadata of `{issuer}` names no token endpoint")
    scopes = _list(document, "scopes_supported")
    with_id_tokens = bool(doors["jwks_uri"]) and "id_token_signing_alg_values_supported" in document
    return Metadata(
        issuer=issuer,
        scopes=scopes,
        auth_methods=_list(document, "token_endpoint_auth_methods_supported"),
        revoking_methods=_list(document, "revocation_endpoint_auth_methods_supported"),
        s256="S256" in (_list(document, "code_challenge_methods_supported") or ()),
        sends_iss=document.get("authorization_response_iss_parameter_supported") is True,
        documents=document.get("client_id_metadata_document_supported") is True,
        openid=with_id_tokens and (scopes is None or "openid" in scopes),
        **doors,
    )


def _door(issuer: str, name: str, url: object) -> str:
    if url is None:
        return ""
    what = f"the {name.removesuffix('_uri').replace('_', ' ')} of `{issuer}`"
    if not isinstance(url, str):
        raise LoginError(f"{what} is no text")
    found = address(url, what)
    home = address(issuer)
    if found.host in LOOPBACK and home.host not in LOOPBACK:
        raise LoginError(f"{what} leads to this machine: `{url}`")
    if found.scheme != "https" and home.scheme == "https":
        raise LoginError(f"{what} `{url}` is not https, and the issuer is")
    return url


def _list(document: dict[str, Any], name: str) -> tuple[str, ...] | None:
    value = document.get(name)
    return tuple(text for text in value[:_LIST_LIMIT] if isinstance(text, str)) if isinstance(value, list) else None
