"""``_meta``: the names in it that are acted on, and credentials that are delivered in it (IDENTITY.md §4, ``via = "meta"``).

A token goes with each request under ``mcpwrap/NAME``. Nobody else may fill such a place: what a client puts there is taken out,
whatever the server is. What a server says back there is taken out as well, so that the token doesn't come to the client.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from mcpwrap.core.jsonrpc import Error, Json, Notification, Request, Result, encode, fold
from mcpwrap.secret import Secret

VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"
CLIENT_KEY: Final = "io.modelcontextprotocol/clientInfo"
SERVER_KEY: Final = "io.modelcontextprotocol/serverInfo"
SUBSCRIPTION_KEY: Final = "io.modelcontextprotocol/subscriptionId"

_Asking = TypeVar("_Asking", Request, Notification)

PREFIX: Final = "mcpwrap/"
"""Begins the names that are ours, in any case."""

USUAL: Final = frozenset(
    {VERSION_KEY, CAPABILITIES_KEY, CLIENT_KEY, SUBSCRIPTION_KEY, "progressToken", "traceparent", "tracestate", "baggage",
     "io.modelcontextprotocol/logLevel", "io.modelcontextprotocol/related-task"}
)  # fmt: skip
"""Names that stand there often: where there are no others, none has to be looked at."""

_WITHOUT: Final = frozenset({"initialize", "ping"})
"""Requests that carry no token: neither acts for anybody."""

_ours_in = re.compile(rb'"mcpwrap/', re.IGNORECASE).search


def is_ours(name: str) -> bool:
    """True for a name that only mcpwrap may fill."""
    return fold(name[: len(PREFIX)]) == PREFIX


def holds_ours(meta: Any) -> bool:
    """True where `meta`, a client's ``_meta`` of any type, has a name that is ours."""
    return type(meta) is dict and not meta.keys() <= USUAL and any(map(is_ours, meta))


def without_ours(m: _Asking) -> _Asking:
    """A client's message whose ``_meta`` `holds_ours`, without that."""
    params = {**m.params, "_meta": _others(m.params["_meta"])}
    body = {**m.body, "params": params}
    return replace(m, params=params, body=body, encoded=encode(body))


def with_tokens(method: str, params: Json, tokens: Mapping[str, Secret]) -> Json:
    """`params` of a request with `tokens`, by the names of their credentials."""
    if method in _WITHOUT:
        return params
    meta = params.get("_meta")
    given = {PREFIX + name: token.reveal() for name, token in tokens.items()}
    return {**params, "_meta": {**(meta if type(meta) is dict else {}), **given}}


def taken_back(m: _Asking) -> _Asking:
    """A server's message without what it says back under our names, in whatever ``_meta``."""
    if _ours_in(m.encoded) is None:
        return m
    body = _cleaned(m.body)
    return replace(m, params=body.get("params") or {}, body=body, encoded=encode(body))


def taken_from(m: Result | Error) -> Result | Error:
    """The same of an answer; of an error also what stands in its data."""
    if _ours_in(m.encoded) is None:
        return m
    body = _cleaned(m.body)
    if isinstance(m, Result):
        return Result(m.id, body["result"], body, encode(body))
    data = body["error"].get("data")
    if type(data) is dict:
        body["error"]["data"] = _others(data)
    return Error(m.id, body["error"], body, encode(body))


def _others(meta: Json) -> Json:
    return {name: value for name, value in meta.items() if not is_ours(name)}


def _cleaned(value: Any) -> Any:
    # (its depth is bounded by the parser)
    if type(value) is dict:
        return {
            name: _cleaned(_others(inner) if name == "_meta" and type(inner) is dict else inner) for name, inner in value.items()
        }
    return [_cleaned(each) for each in value] if type(value) is list else value
