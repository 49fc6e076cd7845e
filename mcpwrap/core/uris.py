"""URIs and URI templates as far as a decision needs them.

A URI that two readers may resolve to different things isn't normalised but refused (PROTOCOL.md §7, trap 9): dot segments,
encoded or not, encoded slashes, backslashes, control characters, and percent signs that encode nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from mcpwrap.core.rules import HOLE, NAME_LIMIT, Hole, Text

_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENCODED_SEPARATOR: Final = re.compile(r"%2f|%5c|%00|%25[0-9a-f]{2}", re.IGNORECASE)
_ENCODED_PLAIN: Final = re.compile(r"%(?:2d|2e|5f|7e|3[0-9]|[46][1-9a-f]|[57][0-9a])", re.IGNORECASE)
"""An unreserved character (RFC 3986 §2.3) that is encoded all the same: another spelling of the same URI."""

_PIECES: Final = re.compile(r"(\{[^{}]*\})")


def ambiguity(uri: str) -> str | None:
    """Why `uri` can't be judged as it stands, or None where it can."""
    if len(uri) > NAME_LIMIT:
        return f"a URI of more than {NAME_LIMIT} characters"
    if any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in uri) or uri != uri.strip():
        return "control characters or outer white space in the URI"
    if "\\" in uri:
        return "a backslash in the URI"
    if _BROKEN_ESCAPE.search(uri):
        return "a percent sign in the URI that encodes nothing"
    path = re.split(r"[?#]", uri, maxsplit=1)[0]
    if _ENCODED_SEPARATOR.search(path):
        return "an encoded separator in the URI"
    scheme, colon, rest = path.partition(":")
    if colon and scheme != scheme.lower():
        return "a scheme in upper case"
    authority = rest[2:].partition("/")[0] if rest.startswith("//") else ""
    if authority != authority.lower():
        return "a host in upper case"
    if scheme == "file" and (not rest.startswith("///") or "//" in rest[2:]):
        return "a `file:` URI in another spelling than `file:///path`"
    if any(unquote(segment) in (".", "..") for segment in path.split("/")):
        return "a dot segment in the URI"
    if _ENCODED_PLAIN.search(uri):
        return "an encoded plain character in the URI"
    return None


def template_text(template: str, known: Mapping[str, str] | None = None, beginnings: Mapping[str, str] | None = None) -> Text:
    """A URI template (RFC 6570) as known characters and holes.

    An expression of one variable, without operator or with ``+`` or ``/``, is filled in where it is in `known`; where it is in
    `beginnings`, it begins so and is open after.
    """
    text: list[str | Hole] = []
    for piece in _PIECES.split(template):
        if not (piece.startswith("{") and piece.endswith("}")):
            text.extend(piece)
            continue
        # what the other operators put before the value, and what they give, is left open
        operator = "/" if piece.startswith("{/") else ""
        variable = piece[1:-1].removeprefix(operator or "+").removesuffix("*")
        if known and variable in known:
            text.extend(operator + known[variable])
            continue
        if beginnings and variable in beginnings:
            text.extend(operator + beginnings[variable])
        text.append(HOLE)
    return text


def completed(params: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a completion gives: those of its context, and what was typed of the one it asks about."""
    argument = params.get("argument")
    known = dict(_context(params))
    if isinstance(argument, dict) and isinstance(name := argument.get("name"), str):
        known[name] = argument.get("value")
    return known


def _context(params: Mapping[str, Any]) -> Mapping[str, Any]:
    context = params.get("context")
    given = context.get("arguments") if isinstance(context, dict) else None
    return given if isinstance(given, dict) else {}


def completion_text(template: str, params: Mapping[str, Any]) -> Text:
    """The resources that a completion asks about: `template` with what is known of its variables.

    Source: MCP 2025-06-18 and later, server/utilities/completion (``argument``, ``context.arguments``).
    """
    known = {k: v for k, v in _context(params).items() if isinstance(v, str)}
    beginnings: dict[str, str] = {}
    argument = params.get("argument")
    if isinstance(argument, dict) and isinstance(name := argument.get("name"), str):
        known.pop(name, None)
        value = argument.get("value")
        beginnings[name] = value if isinstance(value, str) else ""
    return template_text(template, known, beginnings)
