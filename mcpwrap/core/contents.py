"""Resources inside answers follow the policy for resources (POLICY.md §2, PROTOCOL.md §4).

A server may link to a resource, or embed one, in what a tool or a prompt gives; and what it gives for one URI may name others. What
the policy hides from ``resources/read`` is taken out of there, too. Sources: MCP 2025-11-25 and 2026-07-28, ``ContentBlock``,
``PromptMessage``, ``ToolResultContent``, ``ReadResourceResult``; the tasks extension, ``result``.

NOTE: ``structuredContent`` is left alone. It is data in the tool's own schema, in which no member is known to be a resource; the
same holds for the ``input`` of a tool use, for ``_meta``, and for members of a result that the specification doesn't name: no
client takes content from there (SECURITY.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mcpwrap.core.jsonrpc import Json, fold, miscased

TAKEN_OUT: Final[Json] = {"type": "text", "text": "[mcpwrap: a resource that isn't permitted was taken out]"}
"""What stands where a link or an embedded resource stood: indexes stay, and content that mustn't be empty isn't."""

DEPTH_LIMIT: Final = 16
"""How deep content is looked into; the schemas nest it four deep. What lies deeper can't be judged and is taken out."""

_TEXT_ONLY: Final = frozenset({"content", "structuredContent", "isError", "_meta", "resultType"})
"""Names of a result of which only ``content`` can hold resources."""

_TEXT: Final = frozenset({"type", "text", "annotations", "_meta"})

_CARRIERS: Final = frozenset({"content", "contents", "messages"})

_ITEM: Final = frozenset({"type", "uri", "resource", "content"})
"""Names in content that decide what resource it is about."""

_DATA: Final = frozenset({"resource", "structuredContent", "input", "_meta", "annotations", "icons"})
"""Names in content under which no content lies (``resource`` is judged by its URI)."""

Shown = Callable[[str], bool]


def followed(result: Json, method: str, shown: Shown) -> tuple[Json, int]:
    """`result` without the resources whose URI isn't `shown`, and how many were taken out; the same object where none was.

    A link or an embedded resource is replaced by a text; of ``contents`` it is dropped. What has no readable URI, or one of the
    deciding names in another case, can't be judged and counts as hidden. `method` is that of the request: answers to ``tasks/…``
    hold the result of the tool inside.
    """
    if result.keys() <= _TEXT_ONLY and _plain(result.get("content")):
        return result, 0
    return _result(result, _CARRIERS | {"result"} if method.startswith("tasks/") else _CARRIERS, shown)


def _plain(content: Any) -> bool:
    """True where `content` is a list of texts and nothing else: what most tools give."""
    if type(content) is not list:
        return False
    for item in content:
        if type(item) is not dict or item.get("type") != "text" or not item.keys() <= _TEXT or type(item.get("text")) is not str:
            return False
    return True


def _result(result: Json, carriers: frozenset[str], shown: Shown) -> tuple[Json, int]:
    changed: Json = {}
    taken = 0
    for name, value in result.items():
        kept, out = value, 0
        if name not in carriers:
            if fold(name) in carriers:
                out = 1
                kept = None
        elif name == "contents":
            kept, out = _contents(value, shown)
        elif name == "messages":
            kept, out = _each(value, lambda message: _message(message, shown))
        elif name == "result" and type(value) is dict:
            kept, out = _result(value, _CARRIERS, shown)
        else:
            kept, out = _content(value, 0, shown)
        changed[name] = kept
        taken += out
    if not taken:
        return result, 0
    return {name: value for name, value in changed.items() if name in carriers or fold(name) not in carriers}, taken


def _each(value: Any, judge: Callable[[Any], tuple[Any, int]]) -> tuple[Any, int]:
    if type(value) is not list:
        return judge(value)
    judged = [judge(item) for item in value]
    return [item for item, _ in judged], sum(out for _, out in judged)


def _contents(value: Any, shown: Shown) -> tuple[Any, int]:
    if type(value) is not list:
        return [], 1
    kept = [item for item in value if _named(item, shown)]
    return kept, len(value) - len(kept)


def _message(message: Any, shown: Shown) -> tuple[Any, int]:
    if type(message) is not dict or not miscased(message, _ITEM):
        return _content(message, 0, shown)
    return {"role": "assistant" if message.get("role") == "assistant" else "user", "content": TAKEN_OUT}, 1


def _content(value: Any, depth: int, shown: Shown) -> tuple[Any, int]:
    """`value` (content, or whatever lies in some) without what is hidden."""
    if type(value) is list:
        return _each(value, lambda item: _content(item, depth + 1, shown))
    if type(value) is not dict:
        return value, 0
    if depth > DEPTH_LIMIT or miscased(value, _ITEM) or not _permitted(value, shown):
        return TAKEN_OUT, 1
    changed: Json = {}
    taken = 0
    for name, inner in value.items():
        kept, out = (inner, 0) if name in _DATA else _content(inner, depth + 1, shown)
        changed[name] = kept
        taken += out
    return (changed, taken) if taken else (value, 0)


def _permitted(item: Json, shown: Shown) -> bool:
    # whatever its type says it is: a reader may go by the members
    kind = item.get("type")
    if (kind == "resource_link" or "uri" in item) and not _named(item, shown):
        return False
    return not (kind == "resource" or "resource" in item) or _named(item.get("resource"), shown)


def _named(item: Any, shown: Shown) -> bool:
    """True where `item` has a URI that is shown."""
    return type(item) is dict and type(uri := item.get("uri")) is str and not miscased(item, _ITEM) and shown(uri)
