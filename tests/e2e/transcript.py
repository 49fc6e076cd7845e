"""Two runs of one session, made comparable: what differs from run to run by nature gets a name, everything else stays."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from tests.e2e.lines import Message

RANDOM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b|^v1\.[\w-]{60,}$")
"""What a server draws: UUIDs, task ids, and the Python SDK's sealed `requestState`."""

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)|\d{1,2}:\d\d:\d\d(?: [AP]M)?")
"""Moments of the run: dates with a time in RFC 3339, and times of the day as people write them."""


class Comparable:
    """Replaces random identifiers by the order in which they appear, and moments by one word."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def __call__(self, value: Any) -> Any:
        """`value` with the replacements, at any depth."""
        match value:
            case str():
                return self._text(value)
            case list():
                return [self(item) for item in value]
            case dict() if isinstance(value.get("blob"), str):
                return {key: self._blob(item) if key == "blob" else self(item) for key, item in value.items()}
            case dict():
                return {key: self(item) for key, item in value.items()}
            case _:
                return value

    def _text(self, text: str) -> str:
        try:
            document = json.loads(text)
        except ValueError:
            named = RANDOM.sub(lambda found: self._names.setdefault(found[0], f"<random {len(self._names)}>"), text)
            return MOMENT.sub("<moment>", named)
        # a document in a text keeps its values; the order of an environment's variables in it is nobody's promise
        return json.dumps(self(document), sort_keys=True) if isinstance(document, dict) else text

    def _blob(self, blob: str) -> str:
        try:
            return self._text(base64.b64decode(blob, validate=True).decode())
        except (binascii.Error, UnicodeDecodeError):
            return blob


def comparable(messages: list[Message]) -> list[Message]:
    """All messages of one run, in order; types of numbers are kept apart (1 isn't 1.0)."""
    made = Comparable()
    return [made(message) for message in messages]


def difference(expected: list[Message], actual: list[Message]) -> str:
    """The first message that differs, for people; empty where there is none."""
    for number, (left, right) in enumerate(zip(expected, actual, strict=False)):
        if json.dumps(left) != json.dumps(right) and not _same(left, right):
            return f"message {number}:\n  direct  {json.dumps(left)[:2000]}\n  behind  {json.dumps(right)[:2000]}"
    if len(expected) != len(actual):
        longer, rest = ("direct", expected[len(actual) :]) if len(expected) > len(actual) else ("behind", actual[len(expected) :])
        return f"{len(rest)} more messages {longer}, the first: {json.dumps(rest[0])[:2000]}"
    return ""


def _same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)
