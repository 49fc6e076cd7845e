"""``mcpwrap.lock``: the definitions that a project's people accepted, beside the project file, to be committed and reviewed.

    {"version": 1, "servers": {NAME: {"package": "name@version" or null, "greeting": {…} or null,
                                      "tools": {NAME: {…}}, "prompts": {NAME: {…}}, "templates": {URI TEMPLATE: {…}}}}}

It holds whole definitions, not digests, so that a review reads what a model would read (POLICY.md §4). What stands in it counts
only as it was trusted, together with the project file (§5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mcpwrap.core.jsonrpc import Json
from mcpwrap.core.pins import COUNT_LIMIT, KINDS, LOCK_NAME, NAME_OF, WORDS, Kind, PinnedServer, digest
from mcpwrap.errors import ConfigError
from mcpwrap.policy import exact

if TYPE_CHECKING:
    from mcpwrap.policy.changes import Change

LOCK_LIMIT: Final = 2 * 1024 * 1024
"""Longest lock file, in bytes: the definitions of twenty large servers."""

TABLES: Final[Mapping[Kind, str]] = {"tool": "tools", "prompt": "prompts", "template": "templates"}
"""The key that has the definitions of each kind."""

_VERSION: Final = 1
_ENTRY: Final = frozenset({"package", "greeting", *TABLES.values()})


class Entry(msgspec.Struct, frozen=True):
    """What was accepted of one server. `package` is ``name@version``, where its command names one; `greeting` as it is pinned."""

    package: str | None = None
    greeting: Json | None = None
    items: Mapping[Kind, Mapping[str, Json]] = {}


class Lock(msgspec.Struct, frozen=True):
    """A lock file."""

    servers: Mapping[str, Entry] = {}


def parse(data: bytes, file: str = LOCK_NAME) -> Lock:
    """What `data` says; `file` is how messages name it.

    Raises:
        ConfigError: it is too long, no JSON, or says something that this version doesn't know.
    """
    if len(data) > LOCK_LIMIT:
        raise ConfigError(f"the file is longer than {LOCK_LIMIT // 1024} KiB", file=file, hint=_HINT)
    try:
        tree = exact.read(data)
    except exact.Unreadable as error:
        raise ConfigError(str(error), file=file, line=error.line, column=error.column, hint=_HINT) from error
    return _Reader(file, data.decode()).lock(tree)


def render(lock: Lock) -> bytes:
    """The bytes of `lock`; the same for the same definitions.

    Raises:
        ConfigError: they are more than a lock file may have.
    """
    servers = {
        name: {
            "package": entry.package,
            "greeting": entry.greeting,
            **{TABLES[kind]: dict(entry.items.get(kind, {})) for kind in KINDS},
        }
        for name, entry in lock.servers.items()
    }
    data = exact.write({"version": _VERSION, "servers": servers})
    if len(data) > LOCK_LIMIT:
        raise ConfigError(f"the definitions take more than {LOCK_LIMIT // 1024} KiB", file=LOCK_NAME)
    return data


def pinned(lock: Lock, server: str) -> PinnedServer | None:
    """The pins of `server`; None where it doesn't stand in `lock`."""
    entry = lock.servers.get(server)
    return None if entry is None else pinned_entry(entry)


def pinned_entry(entry: Entry) -> PinnedServer:
    """The digests of `entry`."""
    return PinnedServer(
        greeting=None if entry.greeting is None else digest(entry.greeting),
        items={kind: {name: digest(each) for name, each in entry.items.get(kind, {}).items()} for kind in KINDS},
        complete=frozenset(KINDS),
        locked=True,
    )


def package_of(command: Sequence[str]) -> str | None:
    """``name@version`` of the package that `command` fetches from a registry; None where it names none exactly."""
    from mcpwrap.policy.runners import exact_package  # noqa: PLC0415 - `run` doesn't come here

    return exact_package(command)


def lock_changes(old: str | None, new: str | None) -> list[Change]:
    """What another lock file accepts (``loosens``), and what it takes away (``tightens``); None: there is none."""
    try:
        before = parse(old.encode()) if old is not None else Lock()
    except ConfigError:
        before = Lock()  # of another version: everything is new, then
    try:
        after = parse(new.encode()) if new is not None else Lock()
    except ConfigError as error:
        return [("loosens", f"{LOCK_NAME}  can't be read: {error}", error.line)]
    changes: list[Change] = []
    for name in sorted({*before.servers, *after.servers}):
        changes += _server_changes(name, before.servers.get(name), after.servers.get(name))
    return sorted(changes, key=lambda change: ("loosens", "tightens", "same").index(change[0]))


def changed_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The names of the top-level fields in which two definitions differ, sorted; ``1`` and ``1.0`` differ."""
    names = sorted({*old, *new})
    return [n for n in names if (n in old) is not (n in new) or digest({"": old[n]}) != digest({"": new[n]})]


def _server_changes(name: str, old: Entry | None, new: Entry | None) -> Iterator[Change]:
    if new is None:
        yield "loosens", f"{name} › pins  taken out: the first list that is seen counts", 0
        return
    if old is None:
        counts = [f"{len(new.items[kind])} {WORDS[kind]}{'s' * (len(new.items[kind]) != 1)}" for kind in KINDS if new.items[kind]]
        yield "loosens", f"{name} › pins  new: {', '.join(counts) or 'nothing'}", 0
        return
    said = f"{name} › what it says of itself"
    if new.greeting is None:
        if old.greeting is not None:
            yield "tightens", f"{said}  no longer accepted", 0
    elif old.greeting is None:
        yield "loosens", f"{said}  accepted", 0
    elif fields := changed_fields(old.greeting, new.greeting):
        yield "loosens", f"{said}  {', '.join(fields)} changed", 0
    for kind in KINDS:
        before, after = old.items[kind], new.items[kind]
        for item in sorted({*before, *after}):
            title = f"{name} › {WORDS[kind]} {item}"
            if item not in after:
                yield "tightens", f"{title}  no longer accepted", 0
            elif item not in before:
                yield "loosens", f"{title}  accepted", 0
            elif fields := changed_fields(before[item], after[item]):
                yield "loosens", f"{title}  {', '.join(fields)} changed", 0
    if old.package != new.package:
        yield "same", f"{name} › package  {old.package or '–'} → {new.package or '–'}", 0


_HINT: Final = f"put back `{LOCK_NAME}` as it was committed, or take it away and write it again with `mcpwrap pins accept`"


class _Reader:
    """The shape of a lock file; each fault with its line, where that is certain."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._text = text

    def lock(self, tree: Any) -> Lock:
        top = self._object(tree, "the file", frozenset({"version", "servers"}))
        version = top.get("version")
        if version != _VERSION or type(version) is not int:
            raise self._error("its `version` is not one that this version of mcpwrap reads", "version")
        servers = self._object(top.get("servers"), "`servers`")
        return Lock({name: self._entry(name, each) for name, each in servers.items()})

    def _entry(self, name: str, tree: Any) -> Entry:
        table = self._object(tree, f"`{name}`", _ENTRY)
        package, greeting = table.get("package"), table.get("greeting")
        if package is not None and type(package) is not str:
            raise self._error(f"the `package` of `{name}` is neither text nor null", name)
        if greeting is not None:
            self._object(greeting, f"the `greeting` of `{name}`")
        return Entry(package, greeting, {kind: self._items(name, kind, table.get(TABLES[kind], {})) for kind in KINDS})

    def _items(self, server: str, kind: Kind, tree: Any) -> dict[str, Json]:
        table = self._object(tree, f"`{TABLES[kind]}` of `{server}`")
        if len(table) > COUNT_LIMIT:
            raise self._error(f"`{server}` has more than {COUNT_LIMIT} {TABLES[kind]}", server)
        for name, definition in table.items():
            self._object(definition, f"the definition of `{name}`")
            if definition.get(NAME_OF[kind]) != name:
                raise self._error(f"what stands under `{name}` is the definition of something else", name)
        return table

    def _object(self, tree: Any, what: str, known: frozenset[str] | None = None) -> Json:
        if type(tree) is not dict:
            raise self._error(f"{what} is no object", "")
        for key in tree:
            if known is not None and key not in known:
                raise self._error(f"unknown key `{key}` in {what}", key)
        return tree

    def _error(self, message: str, key: str) -> ConfigError:
        return ConfigError(message, file=self._file, line=exact.line_of(self._text, key) if key else 0, hint=_HINT)
