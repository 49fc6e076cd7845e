"""What the JSON Schema says of each shape of a key."""

from __future__ import annotations

from typing import Any

import pytest

from mcpwrap.policy import shape_kinds as s
from mcpwrap.policy.schema import _schema, json_schema
from mcpwrap.policy.shape import FILES

NAME = s.Text("a name", 9, "[a-z]+", "a name")
ANY = s.Text("any", 5)
ELEMENT = {"type": "string", "description": "any", "maxLength": 5}
NAMED = {"type": "string", "description": "a name", "maxLength": 9, "pattern": "^(?:[a-z]+)?$"}
PLAIN = s.Table("plain", {"a": s.Flag("yes or no")})
OBJECT = {
    "type": "object",
    "description": "plain",
    "properties": {"a": {"type": "boolean", "description": "yes or no"}},
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("shape", "schema"),
    [
        (NAME, {**NAMED, "minLength": 1}),
        (PLAIN, OBJECT),
        (s.Version("v"), {"const": 1, "description": "v"}),
        (s.Strings("d", ANY), {"type": "array", "description": "d", "items": ELEMENT}),
        (
            s.Strings("d", NAME, 2, PLAIN),
            {"type": "array", "description": "d", "items": {"anyOf": [NAMED, {**OBJECT, "minProperties": 1}]}, "minItems": 2},
        ),
        (
            s.OneOrMore("d", ANY),
            {"description": "d", "anyOf": [{**ELEMENT, "minLength": 1}, {"type": "array", "items": ELEMENT, "minItems": 1}]},
        ),
        (
            s.Scalars("d"),
            {"type": "array", "description": "d", "items": {"type": ["string", "number", "boolean"]}, "minItems": 1},
        ),
        (s.Number("d"), {"type": "number", "description": "d"}),
        (s.Number("d", 1), {"type": "integer", "description": "d", "minimum": 1}),
        (s.Choice("d", ("x", "y")), {"enum": ["x", "y"], "description": "d"}),
        (s.Each("d", PLAIN), {"type": "array", "description": "d", "items": OBJECT}),
        (
            s.Keyed("d", "k", "a k", PLAIN),
            {
                "type": "object",
                "description": "d",
                "propertyNames": {"pattern": "^k$"},
                "additionalProperties": {**OBJECT, "minProperties": 1},
            },
        ),
        (s.Free("d"), {"type": "object", "description": "d"}),
        (
            s.StringMap("d", "k", "a k", ANY),
            {"type": "object", "description": "d", "propertyNames": {"pattern": "^k$"}, "additionalProperties": ELEMENT},
        ),
        (
            s.Named("d", "k", "a k", PLAIN),
            {"type": "object", "description": "d", "propertyNames": {"pattern": "^k$"}, "additionalProperties": OBJECT},
        ),
        (
            s.Named("d", "k", "a k", PLAIN, s.Table("own", {}, needs=("command",))),
            {
                "type": "object",
                "description": "d",
                "propertyNames": {"pattern": "^k$"},
                "additionalProperties": {
                    "if": {"required": ["command"]},
                    "then": {
                        "type": "object",
                        "description": "own",
                        "properties": {},
                        "additionalProperties": False,
                        "required": ["command"],
                    },
                    "else": OBJECT,
                },
            },
        ),
        (
            s.Table("d", {"later": s.Later("x"), "n": s.Free("f")}, one=("a", "b"), beside={"n": ("a",)}, without={"m": ("b",)}),
            {
                "type": "object",
                "description": "d",
                "properties": {"n": {"type": "object", "description": "f"}},
                "additionalProperties": False,
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
                "dependentSchemas": {"n": {"anyOf": [{"required": ["a"]}]}, "m": {"not": {"anyOf": [{"required": ["b"]}]}}},
            },
        ),
        (s.Later("x"), {"not": {}}),
    ],
)
def test_each_shape_has_its_schema(shape: s.Shape, schema: dict[str, Any]) -> None:
    assert _schema(shape) == schema


def test_a_schema_says_which_draft_and_which_file_it_is() -> None:
    for which, table in FILES.items():
        found = json_schema(which)
        assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert found["title"] == found["description"] == table.doc
