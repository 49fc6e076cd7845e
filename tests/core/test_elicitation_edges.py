"""Forms whose parts contradict one another."""

from __future__ import annotations

from typing import Any

import pytest

from mcpwrap.core.elicitation import refusal

FLAT = "its form isn't a flat object of primitive values"
TYPES = [{"type": kind} for kind in ("string", "number", "integer", "boolean")]


def refused(name: str, field: dict[str, Any]) -> str:
    return refusal({"message": "?", "requestedSchema": {"type": "object", "properties": {name: field}}})


@pytest.mark.parametrize(
    ("name", "field", "why"),
    [
        # a type beside alternatives counts, too
        ("n", {"type": "object", "anyOf": [{"type": "string"}]}, FLAT),
        ("n", {"type": "string", "anyOf": [{"type": "object"}]}, FLAT),
        ("n", {}, FLAT),
        ("n", {"anyOf": TYPES}, ""),
        # lists that differ: a client may let a person type
        ("password", {"type": "string", "enum": ["a", "b"], "oneOf": [{"const": "x"}, {"const": "y"}]}, FLAT),
        ("password", {"type": "string", "oneOf": [{"const": "a"}], "enum": ["a", "b"]}, FLAT),
        ("password", {"type": "string", "enum": ["a", "b"], "oneOf": [{"const": "b"}, {"const": "a"}]}, ""),
        # what stands in the items of an array is read by a person
        *(
            ("n", {"type": "array", "items": {"type": "string", "enum": ["a", "b"], word: "x\x1b[2J"}}, "control characters")
            for word in ("title", "description")
        ),
        *(
            ("n", {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}, word: "x\x1b[2J"}, "control characters")
            for word in ("title", "description", "default")
        ),
    ],
)
def test_a_form_is_judged_by_all_that_it_says(name: str, field: dict[str, Any], why: str) -> None:
    found = refused(name, field)
    assert (why in found) if why else found == ""
