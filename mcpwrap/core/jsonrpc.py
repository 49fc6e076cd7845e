"""The strict parser: a line becomes a message or a `WireError`, and nothing else (PROTOCOL.md §6, POLICY.md §7).

Parsers differ over what a sloppy line means: which of two equal keys counts, where a line ends, what an ``id`` of ``true`` is. So a
message is read once, here, refused where two readers could disagree, and what is sent on is `Message.encoded`: our own encoding of
exactly the value that was judged, never the bytes that came in.

Two tiers. Where ``encode(decode(line)) == line``, there was no duplicate key, no loose number and no odd white space, for the price
of a comparison; compact JSON, as the SDKs write it, qualifies. (Comparing lengths would be unsound.) Every other line goes through
the standard library's decoder with hooks that refuse duplicate keys and keep each number's value.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Collection
from decimal import Decimal, DecimalException
from json.encoder import encode_basestring_ascii
from typing import Any, Final

import msgspec

DEPTH_LIMIT: Final = 256
"""Deepest nesting of objects and arrays (POLICY.md §7); parsers elsewhere overflow their stack on deep ones."""

DIGIT_LIMIT: Final = 4300
"""Longest integer in digits: CPython's own bound against quadratic conversion."""

BATCH_LIMIT: Final = 1000
"""Most messages in a batch: each takes 500 bytes here, however short it is on the wire."""

CONTAINER_LIMIT: Final = 200_000
"""Most objects and arrays in a line of the slow tier: 5 µs for each, a second for all, in which nothing else is read."""

ID_LIMIT: Final = 1024
"""Longest id, in characters: it is kept while its request is in flight."""

RECOVERY_LIMIT: Final = 1024 * 1024
"""Longest unreadable line, in bytes, in which an id is looked for."""

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
RESOURCE_NOT_FOUND: Final = -32002
URL_ELICITATION_REQUIRED: Final = -32042
UNSUPPORTED_VERSION: Final = -32022

Id = int | str
Json = dict[str, Any]


class Shape(enum.Enum):
    """What an unreadable message was meant as. Each direction has its own ids, so that a broken call fails no answer's call."""

    CALL = enum.auto()
    ANSWER = enum.auto()
    EITHER = enum.auto()


class WireError(Exception):
    """A line or a member of a batch that isn't forwarded: the JSON-RPC `code`, the reason, and the `id` where one is certain."""

    def __init__(self, code: int, reason: str, id: Id | None = None, shape: Shape = Shape.EITHER) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.id = id
        self.shape = shape


class Request(msgspec.Struct, gc=False):
    """A call that wants an answer. `body` is the whole message, `encoded` its bytes without a line feed."""

    id: Id
    method: str
    params: Json
    body: Json
    encoded: bytes


class Notification(msgspec.Struct, gc=False):
    """A message that wants no answer."""

    method: str
    params: Json
    body: Json
    encoded: bytes


class Result(msgspec.Struct, gc=False):
    """A successful answer."""

    id: Id
    result: Json
    body: Json
    encoded: bytes


class Error(msgspec.Struct, gc=False):
    """A failed answer; `error` holds ``code``, ``message`` and perhaps ``data``."""

    id: Id
    error: Json
    body: Json
    encoded: bytes


Message = Request | Notification | Result | Error

_decode = msgspec.json.Decoder().decode
_encoder = msgspec.json.Encoder(decimal_format="number")
_encode = _encoder.encode

_ENVELOPE: Final = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})
_PARAMS: Final = frozenset(
    {"_meta", "name", "arguments", "uri", "cursor", "ref", "argument", "context", "level", "requestId", "reason",
     "progressToken", "progress", "total", "message", "taskId", "task", "inputResponses", "requestState", "notifications",
     "protocolVersion", "capabilities", "clientInfo"}
)  # fmt: skip
"""Names in ``params`` that some reader acts on; another spelling of one of them alone is as ambiguous as two spellings."""


def encode(value: object) -> bytes:
    """JSON bytes of `value`, compact, without a line feed.

    Line separators that some line readers split at (U+2028, U+2029, U+0085) and lone surrogates come out escaped; both are inside
    strings, so the value stays the same.
    """
    try:
        data = _encode(value)
    except UnicodeEncodeError:
        return _encode_escaped(value)
    return _escape_separators(data)


def _escape_separators(data: bytes) -> bytes:
    if not data.isascii() and (b"\xe2\x80\xa8" in data or b"\xe2\x80\xa9" in data or b"\xc2\x85" in data):
        return data.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029").replace(b"\xc2\x85", b"\\u0085")
    return data


def _encode_escaped(value: object) -> bytes:
    return "".join(_pieces(value)).encode("ascii")


def _pieces(value: object) -> list[str]:
    match value:
        case None:
            return ["null"]
        case bool():
            return ["true" if value else "false"]
        case str():
            return [encode_basestring_ascii(value)]
        case dict():
            members = [f"{encode_basestring_ascii(k)}:{''.join(_pieces(v))}" for k, v in value.items()]
            return ["{", ",".join(members), "}"]
        case list():
            return ["[", ",".join("".join(_pieces(v)) for v in value), "]"]
        case _:
            return [str(value)]


def parse(line: bytes) -> Message | list[Message | WireError]:
    """Read one line; a JSON array comes back as a list, member by member (a 2025-03-26 batch).

    Raises:
        WireError: the line is no message that every reader would take for the same one.
    """
    if line.endswith(b"\r"):
        line = line[:-1]
    try:
        value = _decode(line)
        encoded = _encode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        encoded = b""
        value = None
    exact = encoded == line != b""
    if not exact:
        value = _decode_strictly(line)
    if len(line) > DEPTH_LIMIT and line.count(b"{") + line.count(b"[") > DEPTH_LIMIT and _too_deep(value):
        raise WireError(INVALID_REQUEST, f"nested deeper than {DEPTH_LIMIT} levels", *_recovered(line))
    # only now: encoding recurses, and the depth is known to be bounded
    encoded = _escape_separators(encoded) if exact else encode(value)
    if type(value) is list:
        if len(value) > BATCH_LIMIT:
            raise WireError(INVALID_REQUEST, f"more than {BATCH_LIMIT} messages in a batch")
        return [_member(member) for member in value]
    return _message(value, encoded)


def _member(value: object) -> Message | WireError:
    try:
        return _message(value, encode(value))
    except WireError as error:
        return error


def _message(value: object, encoded: bytes) -> Message:
    if type(value) is not dict:
        raise WireError(INVALID_REQUEST, "a message must be an object")
    try:
        return _judged(value, encoded)
    except WireError as error:
        error.shape = _shape(value)
        raise


def _shape(keys: Collection[str]) -> Shape:
    call, answer = "method" in keys, "result" in keys or "error" in keys
    if call is answer:
        return Shape.EITHER
    return Shape.CALL if call else Shape.ANSWER


def _judged(value: Json, encoded: bytes) -> Message:
    id = value.get("id")
    has_id = "id" in value
    valid_id = type(id) is int or type(id) is str
    known_id: Id | None = id if valid_id else None
    if not value.keys() <= _ENVELOPE:
        for key in value:
            if key not in _ENVELOPE and fold(key) in _ENVELOPE:
                raise WireError(INVALID_REQUEST, f"`{fold(key)}` is spelled in another case", known_id)
    if value.get("jsonrpc") != "2.0":
        raise WireError(INVALID_REQUEST, '`jsonrpc` must be "2.0"', known_id)
    if type(id) is str and len(id) > ID_LIMIT:
        raise WireError(INVALID_REQUEST, f"an `id` of more than {ID_LIMIT} characters")
    if has_id and not valid_id:
        raise WireError(INVALID_REQUEST, "`id` must be a string or an integer")
    if "method" in value:
        return _call(value, encoded, known_id)
    if known_id is None:
        raise WireError(INVALID_REQUEST, "neither a `method` nor an `id`")
    if ("result" in value) == ("error" in value):
        raise WireError(INVALID_REQUEST, "an answer has either `result` or `error`", known_id)
    if "result" in value:
        result = value["result"]
        if type(result) is not dict:
            raise WireError(INVALID_REQUEST, "`result` must be an object", known_id)
        return Result(known_id, result, value, encoded)
    error = value["error"]
    if type(error) is not dict or type(error.get("code")) is not int or type(error.get("message")) is not str:
        raise WireError(INVALID_REQUEST, "`error` must have an integer `code` and a `message`", known_id)
    return Error(known_id, error, value, encoded)


def _call(value: Json, encoded: bytes, id: Id | None) -> Request | Notification:
    method = value["method"]
    if type(method) is not str:
        raise WireError(INVALID_REQUEST, "`method` must be a string", id)
    if "result" in value or "error" in value:
        raise WireError(INVALID_REQUEST, "a message can't be a call and an answer at once", id)
    params = value.get("params")
    if params is None:
        params = {}
    elif type(params) is not dict:
        raise WireError(INVALID_PARAMS, "`params` must be an object", id)
    else:
        _refuse_collisions(params, id)
    if id is None:
        return Notification(method, params, value, encoded)
    return Request(id, method, params, value, encoded)


def _refuse_collisions(params: Json, id: Id | None) -> None:
    if not params.keys() <= _PARAMS:
        others = [key for key in params if key not in _PARAMS]
        folded = {fold(key) for key in others}
        if len(folded) != len(others) or not folded.isdisjoint(_PARAMS_FOLDED):
            raise WireError(INVALID_PARAMS, "two names in `params` differ only in case", id)
    arguments = params.get("arguments")
    if type(arguments) is dict and len(arguments) > 1 and len({fold(key) for key in arguments}) != len(arguments):
        raise WireError(INVALID_PARAMS, "two names in `arguments` differ only in case", id)


def fold(key: str) -> str:
    """`key` as a reader that ignores case might see it: upper case first, so that ``ı`` and ``ſ`` don't slip past."""
    return key.lower() if key.isascii() else key.upper().casefold()


def miscased(value: Json, known: Collection[str]) -> bool:
    """True where `value` has one of the `known` names in another case: a reader that ignores case would act on it."""
    unknown = [key for key in value if key not in known]
    return bool(unknown) and not {fold(key) for key in unknown}.isdisjoint(fold(key) for key in known)


_PARAMS_FOLDED: Final = frozenset(fold(key) for key in _PARAMS)


def id_key(id: Id) -> Id:
    """What an id collides on: SDKs take ``7`` and ``"7"`` for the same (PROTOCOL.md §6)."""
    if type(id) is str and len(id) <= 64:
        try:
            return int(id)
        except ValueError:
            return id
    return id


def _decode_strictly(line: bytes) -> Any:
    if b"\r" in line:
        raise WireError(PARSE_ERROR, "a carriage return inside a line", *_recovered(line))
    if line.count(b"{") + line.count(b"[") > CONTAINER_LIMIT:
        raise WireError(INVALID_REQUEST, f"more than {CONTAINER_LIMIT} objects and arrays in a line that isn't compact JSON")
    try:
        text = line.decode("utf-8")
        return json.loads(text, object_pairs_hook=_pairs, parse_int=_integer, parse_float=_number, parse_constant=_constant)
    except WireError as error:
        raise WireError(error.code, error.reason, *_recovered(line)) from None
    except UnicodeDecodeError:
        raise WireError(PARSE_ERROR, "not valid UTF-8") from None
    except RecursionError:
        raise WireError(INVALID_REQUEST, f"nested deeper than {DEPTH_LIMIT} levels") from None
    except ValueError:
        raise WireError(PARSE_ERROR, "not valid JSON") from None


def _pairs(pairs: list[tuple[str, Any]]) -> Json:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise WireError(INVALID_REQUEST, "a key stands twice in one object")
    return value


def _integer(text: str) -> int:
    if len(text) > DIGIT_LIMIT:
        raise WireError(INVALID_REQUEST, f"an integer of more than {DIGIT_LIMIT} digits")
    return int(text)


def _short_integer(text: str) -> int | None:
    return int(text) if len(text) <= DIGIT_LIMIT else None


def _number(text: str) -> float | Decimal:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise WireError(INVALID_REQUEST, "a number is too large for a double")
    try:
        exact = Decimal(text)
        return value if Decimal(repr(value)) == exact else exact
    except DecimalException:
        raise WireError(INVALID_REQUEST, "a number's exponent is out of range") from None


def _constant(text: str) -> float:
    raise WireError(PARSE_ERROR, f"`{text}` is not JSON")


def _too_deep(value: object) -> bool:
    level = [value]
    for _ in range(DEPTH_LIMIT):
        below: list[object] = []
        for item in level:
            if type(item) is dict:
                below.extend(v for v in item.values() if type(v) is dict or type(v) is list)
            elif type(item) is list:
                below.extend(v for v in item if type(v) is dict or type(v) is list)
        if not below:
            return False
        level = below
    return True


def _recovered(line: bytes) -> tuple[Id | None, Shape]:
    """The id of an unreadable message, where exactly one stands in it at the top, and what the message was meant as."""
    nothing = None, Shape.EITHER
    if len(line) > RECOVERY_LIMIT:
        return nothing
    try:
        pairs = json.loads(line.replace(b"\r", b" ").decode("utf-8"), object_pairs_hook=list, parse_int=_short_integer)
    except (ValueError, RecursionError):
        return nothing
    if type(pairs) is not list or not all(type(pair) is tuple for pair in pairs):
        return nothing
    ids = [value for key, value in pairs if fold(key) == "id"]
    if len(ids) == 1 and (type(ids[0]) is int or type(ids[0]) is str):
        return ids[0], _shape([key for key, _ in pairs])
    return nothing
