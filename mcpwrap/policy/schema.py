"""The JSON Schema of each file, from the same table that checks it (`mcpwrap schema`)."""

from __future__ import annotations

from typing import Any

from mcpwrap.policy.shape import FILES, Which
from mcpwrap.policy.shape_kinds import (
    Choice,
    Each,
    Elsewhere,
    Flag,
    Free,
    Keyed,
    Later,
    Named,
    Number,
    OneOrMore,
    Reserved,
    Scalars,
    Shape,
    StringMap,
    Strings,
    Table,
    Text,
    Version,
)

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(which: Which) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a file: what this version of mcpwrap accepts, and no key more.

    Patterns, substitutions and expressions are checked by `mcpwrap check` only.
    """
    return {"$schema": _DRAFT, "title": FILES[which].doc, **_schema(FILES[which])}


def _schema(shape: Shape) -> dict[str, Any]:
    match shape:
        case Table(doc, keys, needs, one, beside, without):
            properties = {key: _schema(value) for key, value in keys.items() if not isinstance(value, Later | Elsewhere)}
            table = {"type": "object", "description": doc, "properties": properties, "additionalProperties": False}
            some = {"oneOf": [{"required": [key]} for key in one]} if one else {}
            dependent = {key: _any(others) for key, others in beside.items()}
            dependent |= {key: {"not": _any(others)} for key, others in without.items()}
            return (
                table | ({"required": list(needs)} if needs else {}) | some | ({"dependentSchemas": dependent} if dependent else {})
            )
        case Named(doc, name, _, other, own, reserved):
            each: dict[str, Any] = _schema(other)
            if own is not None:
                each = {"if": {"required": ["command"]}, "then": _schema(own), "else": each}
            return {
                "type": "object",
                "description": doc,
                "propertyNames": {"pattern": f"^{name}$"} | _not(reserved),
                "additionalProperties": each,
            }
        case Text():
            return {**_element(shape), "minLength": 1}
        case Strings(doc, item, least, constraint):
            items = (
                _element(item) if constraint is None else {"anyOf": [_element(item), {**_schema(constraint), "minProperties": 1}]}
            )
            return {"type": "array", "description": doc, "items": items} | ({"minItems": least} if least else {})
        case OneOrMore(doc, item):
            return {"description": doc, "anyOf": [_schema(item), {"type": "array", "items": _element(item), "minItems": 1}]}
        case Scalars(doc):
            return {"type": "array", "description": doc, "items": {"type": ["string", "number", "boolean"]}, "minItems": 1}
        case Number(doc, None):
            return {"type": "number", "description": doc}
        case Number(doc, smallest, largest):
            return {"type": "integer", "description": doc, "minimum": smallest} | ({"maximum": largest} if largest else {})
        case Choice(doc, words):
            return {"enum": list(words), "description": doc}
        case Each(doc, table):
            return {"type": "array", "description": doc, "items": _schema(table)}
        case Keyed(doc, name, _, table):
            return {
                "type": "object",
                "description": doc,
                "propertyNames": {"pattern": f"^{name}$"},
                "additionalProperties": {**_schema(table), "minProperties": 1},
            }
        case Free(doc):
            return {"type": "object", "description": doc}
        case StringMap(doc, name, _, value, reserved):
            return {
                "type": "object",
                "description": doc,
                "propertyNames": {"pattern": f"^{name}$"} | _not(reserved),
                "additionalProperties": _element(value),
            }
        case Flag(doc):
            return {"type": "boolean", "description": doc}
        case Version(doc):
            return {"const": 1, "description": doc}
        case Later() | Elsewhere():  # pragma: no branch - the last of them
            return {"not": {}}


def _element(text: Text) -> dict[str, Any]:
    """An element of a list, or a variable's value: it may be empty, unlike what is the value of a key."""
    pattern = {"pattern": f"^(?:{text.pattern})?$"} if text.pattern else {}
    return {"type": "string", "description": text.doc, "maxLength": text.limit} | pattern | _not(text.reserved)


def _not(reserved: Reserved | None) -> dict[str, Any]:
    return {"not": {"pattern": f"^(?:{reserved.pattern})$"}} if reserved is not None else {}


def _any(keys: tuple[str, ...]) -> dict[str, Any]:
    return {"anyOf": [{"required": [key]} for key in keys]}
