"""JSON that people review and that digests stand on: read so that nothing is lost or said twice, written so that nothing hides.

`mcpwrap.core.jsonrpc` does the same for a line of the wire; this is for whole files, with line numbers in what is refused.
"""

from __future__ import annotations

import json
from decimal import Decimal, DecimalException
from json.encoder import encode_basestring_ascii
from typing import Any

from mcpwrap.core.jsonrpc import DEPTH_LIMIT, DIGIT_LIMIT


class Unreadable(Exception):
    """Why a text is no JSON that every reader would take for the same; `line` counts from 1, 0 where it isn't known."""

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        super().__init__(reason)
        self.line = line
        self.column = column


def read(data: bytes) -> Any:
    """The value of `data`; each number keeps its value (a `Decimal` where a float can't hold it).

    Raises:
        Unreadable: it isn't UTF-8, no JSON, says a key twice in one object, or passes a bound of the wire.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Unreadable("not UTF-8 text", data.count(b"\n", 0, error.start) + 1) from error
    try:
        value = json.loads(text, object_pairs_hook=_pairs, parse_int=_integer, parse_float=_number, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}", error.lineno, error.colno) from error
    except RecursionError as error:
        raise Unreadable(f"nested deeper than {DEPTH_LIMIT} levels") from error
    except _Repeated as error:
        raise Unreadable(f"the key {_shown(error.key)} stands twice in one object", _second(text, error.key)) from error
    if _deeper(value):
        raise Unreadable(f"nested deeper than {DEPTH_LIMIT} levels")
    return value


def write(value: Any) -> bytes:
    """`value` with two spaces of indent, sorted keys, and ASCII only, as it goes into a file that people compare line by line."""
    text = "".join(_pieces(value, "\n")) + "\n"
    return text.replace("\x7f", "\\u007f").encode("ascii")


def line_of(text: str, key: str) -> int:
    """The line on which `key` stands, 0 where it may be another's of the same spelling."""
    token = json.dumps(key)
    return text.count("\n", 0, text.index(token)) + 1 if text.count(token) == 1 else 0


def _pieces(value: Any, newline: str) -> list[str]:
    inner = newline + "  "
    match value:
        case dict() if value:
            members = [f"{inner}{encode_basestring_ascii(key)}: {''.join(_pieces(value[key], inner))}" for key in sorted(value)]
            return ["{", ",".join(members), newline, "}"]
        case list() if value:
            return ["[", ",".join(inner + "".join(_pieces(item, inner)) for item in value), newline, "]"]
        case Decimal():
            return [str(value)]
        case _:
            return [json.dumps(value)]


class _Repeated(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [key for key, _ in pairs]
        raise _Repeated(next(key for i, key in enumerate(names) if key in names[:i]))
    return value


def _integer(text: str) -> int:
    if len(text) > DIGIT_LIMIT:
        raise Unreadable(f"an integer of more than {DIGIT_LIMIT} digits")
    return int(text)


def _number(text: str) -> float | Decimal:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise Unreadable("a number is too large for a double")
    try:
        exact = Decimal(text)
        return value if Decimal(repr(value)) == exact else exact
    except DecimalException as error:
        raise Unreadable("a number's exponent is out of range") from error


def _constant(text: str) -> float:
    raise Unreadable(f"`{text}` is not JSON")


def _shown(key: str) -> str:
    return f"`{key if len(key) <= 60 else key[:59] + '…'}`"


def _second(text: str, key: str) -> int:
    token = json.dumps(key)
    if text.count(token) != 2:
        return 0
    return text.count("\n", 0, text.rindex(token)) + 1


def _deeper(value: Any) -> bool:
    level = [value]
    for _ in range(DEPTH_LIMIT + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict | list):
                below.extend(item.values() if isinstance(item, dict) else item)
        if not below:
            return False
        level = below
    return True
