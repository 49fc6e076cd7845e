"""What a server may never ask a person, whatever the policy says: for secrets, in mcpwrap's name, or by a URL that misleads.

Sources: MCP 2025-11-25, client/elicitation ("Servers MUST NOT use form mode elicitation to request sensitive information"; URLs are
examined before a person opens them), ``ElicitRequestFormParams``, ``ElicitRequestURLParams``, ``PrimitiveSchemaDefinition``,
``URLElicitationRequiredError``; PROTOCOL.md §8.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

from mcpwrap.core.hosts import sure_host
from mcpwrap.core.jsonrpc import Json, miscased
from mcpwrap.core.wording import asks_as_field, asks_in_prose, passes_for_us

MESSAGE_LIMIT: Final = 16 * 1024
"""Longest text of a question, in characters: nobody reads more, and what is longer hides what it asks."""

FIELD_LIMIT: Final = 64
"""Fields of a form, and URLs of an error; a dialog with more isn't one."""

FORM_LIMIT: Final = 64 * 1024
"""Longest form, in characters as Python writes it: every text in it is looked at."""

URL_LENGTH_LIMIT: Final = 2048
"""Longest URL, in characters: a person is to see it whole (PROTOCOL.md §8)."""

_ELICITATIONS: Final = frozenset({"elicitations"})
_PARAMS: Final = frozenset({"mode", "message", "requestedSchema", "url", "elicitationId"})
_SCHEMA: Final = frozenset({"$schema", "type", "properties", "required", "title", "description"})
_FIELD: Final = frozenset({"type", "title", "description", "format", "enum", "enumNames", "oneOf", "anyOf", "items", "default"})
_HOLDING: Final = frozenset({"enum", "enumNames", "oneOf", "anyOf", "items", "default", "examples"})
"""Names of a field under which an array or an object may stand."""

_ALTERNATIVES: Final = ("oneOf", "anyOf")
_LISTS: Final = frozenset({"enum", "enumNames", *_ALTERNATIVES})

_PRIMITIVES: Final = frozenset({"string", "number", "integer", "boolean"})
_OUR_ANSWERS: Final = {"deny", "allow"}
"""What mcpwrap itself would offer to choose from, in a field ``decision`` (PROTOCOL.md §3)."""
_NOT_FLAT: Final = "its form isn't a flat object of primitive values"

_CURSOR: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the reading direction round; a carriage return is one."""

_URL: Final = re.compile(r"(https?)://([^/?#]*)", re.IGNORECASE)
_VISIBLE_ASCII: Final = re.compile(r"[!-\[\]-~]*\Z")
_ADDRESS: Final = re.compile(r"[0-9.]+\Z|.*:")


def refusal(params: Json) -> str:
    """Why an ``elicitation/create`` with `params` is refused whatever the policy says; "" where it may be judged by the policy."""
    if miscased(params, _PARAMS):
        return "a name in it is spelled in another case"
    message = params.get("message")
    if type(message) is not str:
        return "it has no message"
    match params.get("mode", "form"):
        case "form":
            return _form_refusal(params, message)
        case "url":
            return _url_mode_refusal(params, message)
        case _:
            return "its mode is unknown"


def url_refusal(url: str) -> str:
    """Why a person isn't sent to `url`; "" where nothing speaks against it."""
    if len(url) > URL_LENGTH_LIMIT:
        return f"its URL has more than {URL_LENGTH_LIMIT} characters"
    if not _VISIBLE_ASCII.match(url):
        return "its URL has characters that no URL may have"
    found = _URL.match(url)
    if found is None:
        return "its URL isn't `https:`"
    authority = found[2].lower()
    if "@" in authority:
        return "its URL has a name before the host"
    if "xn--" in authority:
        return "its URL has a host in punycode, which may look like another"
    host = sure_host(url)
    if host is None:
        return "programs don't agree about the host in its URL"
    if host in ("localhost", "::1") or (host.startswith("127.") and _ADDRESS.match(host)):
        return ""
    if _ADDRESS.match(host):
        return "its URL has an address for a host"
    return "" if found[1].lower() == "https" else "its URL isn't `https:`"


def urls_of(error_data: Any) -> list[Json] | None:
    """What ``error.data`` of a -32042 asks to open (``url``, ``elicitationId``, ``message`` of each); None where it's malformed."""
    if type(error_data) is not dict or miscased(error_data, _ELICITATIONS):
        return None
    wanted = error_data.get("elicitations")
    if type(wanted) is not list or len(wanted) > FIELD_LIMIT:
        return None
    for each in wanted:
        if type(each) is not dict or each.get("mode") != "url" or miscased(each, _PARAMS):
            return None
        if not all(type(each.get(name)) is str for name in ("url", "elicitationId", "message")):
            return None
    return wanted


def _url_mode_refusal(params: Json, message: str) -> str:
    url = params.get("url")
    if type(url) is not str:
        return "it has no URL"
    if "requestedSchema" in params:
        return "it is a form and a URL at once"
    # a secret is asked for here rightly: it isn't typed into the client
    return _text_refusal(message) or url_refusal(url)


def _text_refusal(text: str) -> str:
    if len(text) > MESSAGE_LIMIT:
        return f"a text in it has more than {MESSAGE_LIMIT} characters"
    if _CURSOR.search(text):
        return "a text in it has control characters"
    return "it passes itself off as mcpwrap" if passes_for_us(text) else ""


def _form_refusal(params: Json, message: str) -> str:
    if "url" in params:
        return "it is a form and a URL at once"
    schema = params.get("requestedSchema")
    if type(schema) is not dict or schema.get("type") != "object" or miscased(schema, _SCHEMA):
        return _NOT_FLAT
    fields = schema.get("properties")
    if type(fields) is not dict or _holds_more(schema, ("properties", "required")):
        return _NOT_FLAT
    if len(fields) > FIELD_LIMIT or len(repr(schema)) > FORM_LIMIT:
        return f"its form has more than {FIELD_LIMIT} fields or {FORM_LIMIT} characters"
    for text in (message, *_texts(schema, "title", "description")):
        if why := _text_refusal(text):
            return why
        if asks_in_prose(text):
            return "it asks for a secret"
    for name, field in fields.items():
        if why := _field_refusal(name, field):
            return why
    return ""


def _field_refusal(name: str, field: Any) -> str:
    if type(field) is not dict or miscased(field, _FIELD) or _holds_more(field, _HOLDING):
        return _NOT_FLAT
    inner = field.get("items") if field.get("type") == "array" else field
    if type(inner) is not dict:
        return _NOT_FLAT
    many = inner is not field
    if many and (miscased(inner, _FIELD) or _holds_more(inner, _LISTS) or not _LISTS.isdisjoint(field)):
        return _NOT_FLAT
    labels = _labels(inner)
    if labels is None:
        return _NOT_FLAT
    for text in (name, *_texts(field, "title", "description", "default"), *_texts(inner, "title", "description"), *labels):
        if why := _text_refusal(text):
            return why
    if options := _options(inner):
        if name == "decision" and options == _OUR_ANSWERS:
            return "it passes itself off as mcpwrap"
        if not many and _chosen_everywhere(field, options):
            return ""
        kinds: set[Any] = {"string"}
    else:
        kinds = _kinds(field)
    if not kinds or not kinds <= _PRIMITIVES:
        return _NOT_FLAT
    return "it asks for a secret" if kinds != {"boolean"} and _asks(name, field, number="string" not in kinds) else ""


def _asks(name: str, field: Json, *, number: bool) -> bool:
    return (
        _hides(field)
        or any(asks_as_field(text, number=number) for text in (name, *_texts(field, "title")))
        or any(asks_in_prose(text) for text in _texts(field, "description"))
    )


def _holds_more(value: Json, known: Collection[str]) -> bool:
    """True where an array or object stands in `value` under another name than the `known` ones."""
    return any(type(inner) in (dict, list) and name not in known for name, inner in value.items())


def _texts(value: Json, *names: str) -> list[str]:
    return [text for name in names if type(text := value.get(name)) is str]


def _alternatives(field: Json) -> list[Json]:
    return [each for name in _ALTERNATIVES for each in field.get(name) or ()]


def _kinds(field: Json) -> set[Any]:
    """The types of what is typed into a field; SDKs write an optional one as ``anyOf`` with ``null``."""
    kinds = {each.get("type") for each in _alternatives(field)}
    return (kinds | {field.get("type")} if "type" in field or not kinds else kinds) - {"null"}


def _labels(field: Json) -> list[str] | None:
    """All texts that a person may see to choose from; None for a field that MCP doesn't have."""
    lists = {name: value for name in _LISTS if (value := field.get(name)) is not None}
    if any(type(value) is not list for value in lists.values()):
        return None
    alternatives = _alternatives(field)
    if any(type(each) is not dict or _holds_more(each, ()) for each in alternatives):
        return None
    plain = [str(each) for name in ("enum", "enumNames") for each in lists.get(name, ())]
    return plain + [str(text) for each in alternatives for text in (each.get("const", ""), *_texts(each, "title", "description"))]


def _options(field: Json) -> set[str]:
    """The values that a person surely chooses from; none where something may be typed, or where lists differ in what they offer."""
    if field.get("type", "string") != "string":
        return set()
    consts = ([each.get("const") for each in found] for name in _ALTERNATIVES if (found := field.get(name)) is not None)
    lists = [*consts, *([enum] if (enum := field.get("enum")) is not None else [])]
    if not lists or any(type(each) is not str for values in lists for each in values):
        return set()
    first = set(lists[0])
    return first if all(set(values) == first for values in lists) else set()


def _chosen_everywhere(field: Json, options: set[str]) -> bool:
    """True where every client lets a person choose, so that the name of the field may be that of a secret.

    ``enum`` is as old as elicitation. A client that doesn't know ``oneOf``, ``anyOf`` or arrays of choices (2025-11-25) may show a
    box to type into, and who is offered a single value is asked for another.
    """
    return field.get("enum") is not None and "type" in field and len(options) > 1 and not _hides(field)


def _hides(field: Json) -> bool:
    return any("password" in text.lower() for text in _texts(field, "format"))
