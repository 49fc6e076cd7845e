"""A parsed file against its shape: the first thing that is wrong, with its exact place (MESSAGES.md 8)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from mcpwrap.errors import ConfigError
from mcpwrap.policy import hints
from mcpwrap.policy.places import Path
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
from mcpwrap.policy.toml import Document, nearest

_SHOWN: Final = 64
"""Longest key or value in a message, in characters; the excerpt has more of it."""

_WORDS: Final = {str: "a string", bool: "a truth value", int: "a number", float: "a number", list: "a list", dict: "a table"}


def check(document: Document, shape: Table) -> None:
    """Check the whole tree of `document`.

    Raises:
        ConfigError: a key is unknown, of a later version or out of place, or a value has another type than it should.
    """
    _table(document, (), document.tree, shape, ())


def shown(text: str) -> str:
    """`text` for a message, shortened, in backticks."""
    return f"`{text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'}`"


def header(path: Path) -> str:
    """A table's path as it stands in a header."""
    parts = (str(p) if re.fullmatch(r"[A-Za-z0-9_-]+", str(p)) else f'"{p}"' for p in path if not isinstance(p, int))
    return f"[{'.'.join(parts)}]"


def _value(document: Document, path: Path, value: Any, shape: Shape, around: tuple[tuple[Path, Table], ...]) -> None:
    key = shown(str(path[-1]))
    match shape:
        case Later(why):
            raise document.error(path, f"{key} isn't supported by this version of mcpwrap: {why}")
        case Elsewhere(message, hint):
            raise document.error(path, message, hint)
        case Table():
            _table(document, path, _typed(document, path, value, dict), shape, around)
        case Named():
            for name, table in _typed(document, path, value, dict).items():
                inner = (*path, name)
                if not re.fullmatch(shape.name, name):
                    raise document.error(inner, f"{shown(name)} isn't {shape.like}")
                _unreserved(document, inner, name, shape.reserved)
                _table(document, inner, _typed(document, inner, table, dict), shape.choose(table), around)
        case Strings():
            _strings(document, path, _typed(document, path, value, list), shape, around)
        case OneOrMore():
            if isinstance(value, str):
                _value(document, path, value, shape.item, around)
            else:
                _strings(document, path, _typed(document, path, value, list), Strings(shape.doc, shape.item, 1), around)
        case Scalars():
            _scalars(document, path, _typed(document, path, value, list))
        case Number():
            _number(document, path, value, shape)
        case Choice():
            _choice(document, path, _typed(document, path, value, str), shape)
        case Each():
            for i, table in enumerate(_typed(document, path, value, list)):
                _table(document, (*path, i), _typed(document, (*path, i), table, dict), shape.table, around)
        case Keyed():
            for name, table in _typed(document, path, value, dict).items():
                inner = (*path, name)
                if not re.fullmatch(shape.name, name):
                    raise document.error(inner, f"{shown(name)} isn't {shape.like}")
                if not isinstance(table, dict):
                    raise (
                        displaced
                        if (displaced := _displaced(document, inner, around))
                        else _type_error(document, inner, table, "a table", hint=_compared(key[1:-1], name, table))
                    )
                if table and all(key not in shape.table.keys and isinstance(inside, dict) for key, inside in table.items()):
                    dotted = f'"{name}.{next(iter(table))}"'
                    raise document.error(
                        (*inner, next(iter(table))),
                        f"{shown(next(iter(table)))} is no constraint for {shown(name)}",
                        f"what lies in an argument is written in quotation marks: `{key[1:-1]}.{dotted}`",
                    )
                _table(document, inner, table, shape.table, around)
                if not table:
                    known = ", ".join(f"`{k}`" for k in shape.table.keys)
                    raise document.error(inner, f"{key} has no constraint for {shown(name)}", f"known: {known}")
        case Free():
            _typed(document, path, value, dict)
        case StringMap():
            for name, text in _typed(document, path, value, dict).items():
                if not isinstance(text, str) and (displaced := _displaced(document, (*path, name), around)):
                    raise displaced
                if not re.fullmatch(shape.name, name):
                    raise document.error((*path, name), f"{shown(name)} isn't {shape.like}")
                _unreserved(document, (*path, name), name, shape.reserved)
                _text(document, (*path, name), text, shape.value)
        case Text():
            _text(document, path, value, shape)
            if not value:
                raise document.error(path, f"{key} can't be empty")
        case Flag():
            _typed(document, path, value, bool)
        case Version():  # pragma: no branch - the last of them
            if isinstance(value, bool) or not isinstance(value, int):
                raise _type_error(document, path, value, "a number")
            if value != 1:
                raise document.error(
                    path, f"version {shown(str(value))} isn't supported by this version of mcpwrap", "write `version = 1`"
                )


def _table(document: Document, path: Path, value: Mapping[str, Any], shape: Table, around: tuple[tuple[Path, Table], ...]) -> None:
    # the file's order, so that the first error reported is the first in the file
    for key in sorted(value, key=lambda k: document.places.place((*path, k))):
        known = shape.keys.get(key)
        if known is None:
            raise _unknown(document, (*path, key), shape, around)
        _value(document, (*path, key), value[key], known, (*around, (path, shape)))


def _unknown(document: Document, path: Path, shape: Table, around: tuple[tuple[Path, Table], ...]) -> ConfigError:
    key, table = str(path[-1]), path[:-1]
    where = header(table) if table else "the file"
    if displaced := _displaced(document, path, around):
        return displaced
    near = nearest(key, (k for k, s in shape.keys.items() if not isinstance(s, Elsewhere)))
    if near:
        return document.error(path, f"unknown key {shown(key)} in {where}", f"did you mean `{near}`?")
    known = ", ".join(f"`{k}`" for k, s in shape.keys.items() if not isinstance(s, Later | Elsewhere))
    return document.error(path, f"unknown key {shown(key)} in {where}", f"known here: {known}")


def _displaced(document: Document, path: Path, around: tuple[tuple[Path, Table], ...]) -> ConfigError | None:
    """The error for a key that is known in a table around, and that a header took in; None where it is none."""
    key, table = str(path[-1]), path[:-1]
    if table not in document.places.headers or path in document.places.headers:
        return None
    line = document.places.headers[table]
    for outer, shape in reversed(around):
        if key in shape.keys:
            place = header(outer) if outer else "the top of the file"
            return document.error(
                path,
                f"unknown key {shown(key)} in {header(table)}: "
                f"TOML puts a key into the table whose header stands above it (line {line})",
                f"if it is meant for {place}, move it above line {line}",
            )
    return None


def _strings(document: Document, path: Path, value: list[Any], shape: Strings, around: tuple[tuple[Path, Table], ...]) -> None:
    if len(value) < shape.least:
        raise document.error(path, f"{shown(str(path[-1]))} can't be empty")
    for i, item in enumerate(value):
        inner = (*path, i)
        if shape.constraint is not None and isinstance(item, dict):
            _table(document, inner, item, shape.constraint, around)
            if not item:
                raise document.error(inner, "a constraint can't be empty", 'write `{ within = "${project}" }`')
            continue
        _text(document, inner, item, shape.item, each=True)


def _scalars(document: Document, path: Path, value: list[Any]) -> None:
    if not value:
        raise document.error(path, f"{shown(str(path[-1]))} can't be empty")
    for i, item in enumerate(value):
        if not isinstance(item, str | int | float):
            raise document.error((*path, i), f"the elements of {shown(str(path[-1]))} must be strings, numbers or truth values")


def _number(document: Document, path: Path, value: Any, shape: Number) -> None:
    whole = shape.least is not None
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise _type_error(document, path, value, "a whole number" if whole else "a number")
    if value != value or (shape.least is not None and value < shape.least):
        raise document.error(path, f"{shown(str(path[-1]))} must be {f'at least {shape.least}' if whole else 'a number'}")
    if shape.most is not None and value > shape.most:
        raise document.error(path, f"{shown(str(path[-1]))} must be at most {shape.most}")


def _choice(document: Document, path: Path, value: str, shape: Choice) -> None:
    if value in shape.later:
        raise document.error(path, f"{shown(value)} isn't supported by this version of mcpwrap: {shape.later[value]}")
    if value not in shape.words:
        near = nearest(value, shape.words)
        known = ", ".join(f"`{word}`" for word in shape.words)
        raise document.error(path, f"{shown(value)} isn't one of {known}", f"did you mean `{near}`?" if near else "")


def _text(document: Document, path: Path, value: Any, shape: Text, *, each: bool = False) -> None:
    if not isinstance(value, str):
        raise _type_error(
            document, path, value, "a string", each=each, hint=f"write {shape.like}" if "such as" in shape.like else ""
        )
    text: str = value
    if len(text) > shape.limit:
        raise document.error(path, f"{shown(text)} is longer than {shape.limit} characters")
    if "\0" in text:
        raise document.error(path, "a string can't hold a NUL character")
    if text and shape.pattern and not re.fullmatch(shape.pattern, text):
        raise document.error(path, f"{shown(text)} isn't {shape.like}", hints.for_url(text) if shape.url else "")
    _unreserved(document, path, text, shape.reserved)


def _unreserved(document: Document, path: Path, name: str, reserved: Reserved | None) -> None:
    if reserved is not None and re.fullmatch(reserved.pattern, name):
        _unreserved(document, path, name, reserved.part)
        raise document.error(path, f"{shown(name)} {reserved.why}", reserved.hint)


def _compared(word: str, name: str, value: Any) -> str:
    """How a constraint is written where the bare value stands."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]+", name) and len(value) <= _SHOWN:
        return f"say how it is compared, such as `{word}.{name} = {{ glob = {json.dumps(value, ensure_ascii=False)} }}`"
    return "say how it is compared: `within`, `host`, `glob`, `one_of` or `max`"


def _typed(document: Document, path: Path, value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise _type_error(document, path, value, _WORDS[kind])
    return value


def _type_error(document: Document, path: Path, value: Any, wanted: str, *, each: bool = False, hint: str = "") -> ConfigError:
    got = _WORDS.get(type(value), "a date or time")
    if each:
        return document.error(path, f"the elements of {shown(str(path[-2]))} must be strings, not {got}")
    return document.error(
        path, f"{shown(str(path[-1]))} must be {wanted}, not {got}", hint or _remedy(str(path[-1]), value, wanted)
    )


def _remedy(key: str, value: Any, wanted: str) -> str:
    """How the value is written in the type that is wanted, where that is a matter of brackets or quotation marks."""
    if wanted == "a list" and isinstance(value, str):
        # a client's configuration, or a shell, may have had the whole command in one
        parts = value.split() if key == "command" else [value]
        whole = json.dumps(parts, ensure_ascii=False)
        return "write it as a list, in brackets" + (f": {whole}" if len(whole) <= _SHOWN else "")
    if wanted == "a string" and isinstance(value, int | float):
        return "put it into quotation marks"
    if wanted == "a whole number" and isinstance(value, str):
        return "write a number such as 1_000_000, without quotation marks"
    return "take the quotation marks away" if wanted == "a number" and isinstance(value, str) else ""
