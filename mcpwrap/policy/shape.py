"""What may stand in each file: one table of keys for the check and for the JSON Schema (POLICY.md §1 and §2).

A key is known (a shape), known to come with a later version (`Later`: it is refused with that said, never half obeyed), known but
out of place in this file (`Elsewhere`), or unknown, which is an error as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

EFFECTS: Final = ("allow", "log", "ask", "deny")
TABLES: Final = ("resources", "prompts", "server_requests", "extra_methods")
"""The tables of patterns in a server's table; tools are the lists of the server's table itself."""

SERVER_REQUESTS: Final = frozenset({"sampling", "elicitation", "roots"})

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_NAME_PATTERN: Final = r"[A-Za-z0-9*][A-Za-z0-9._*-]{0,63}"
_VARIABLE: Final = r"[A-Za-z_][A-Za-z0-9_]{0,127}"


class Text(msgspec.Struct, frozen=True):
    """A string; `pattern` is what the whole of it must match, `like` says that in words."""

    doc: str
    limit: int = 4096
    pattern: str = ""
    like: str = ""


class Version(msgspec.Struct, frozen=True):
    """The integer 1."""

    doc: str


class Flag(msgspec.Struct, frozen=True):
    """True or false."""

    doc: str


class Strings(msgspec.Struct, frozen=True):
    """A list of strings; `least` is how many it must have. `constraints` says that tables in it come with a later version."""

    doc: str
    item: Text
    least: int = 0
    constraints: bool = False


class StringMap(msgspec.Struct, frozen=True):
    """A table of strings whose keys match `name`."""

    doc: str
    name: str
    like: str
    value: Text


class Later(msgspec.Struct, frozen=True):
    """A key of a later version; `why` says what of it is missing."""

    why: str


class Elsewhere(msgspec.Struct, frozen=True):
    """A key that counts in another file only."""

    message: str
    hint: str


class Table(msgspec.Struct, frozen=True):
    """A table of known keys."""

    doc: str
    keys: Mapping[str, Shape]


class Named(msgspec.Struct, frozen=True):
    """A table of tables whose keys match `name`. One that has a `command` has the shape `own` where that is given, else `other`."""

    doc: str
    name: str
    like: str
    other: Table
    own: Table | None = None

    def choose(self, value: object) -> Table:
        """The shape for one of the tables."""
        return self.own if self.own is not None and isinstance(value, dict) and "command" in value else self.other


Shape = Text | Version | Flag | Strings | StringMap | Later | Elsewhere | Table | Named

_PATTERN: Final = Text("a literal, a glob (`*`), or a regular expression from `^` to `$`; `!` before it takes out of this list")

_LIST_DOCS: Final = {
    "allow": "runs",
    "log": "runs, and is recorded in full",
    "ask": "runs after a person agreed; until mcpwrap can ask, it is refused",
    "deny": "never runs; the strictest list that matches wins",
}


def _lists(what: str, effects: tuple[str, ...], *, constraints: bool = False) -> dict[str, Shape]:
    return {e: Strings(f"{what}: {_LIST_DOCS[e]}", _PATTERN, constraints=constraints) for e in effects}


_DEFINES: Final = "only the file that defines a server admits"
_ADMITS: Final = Elsewhere(
    f"`allow` can't stand here: {_DEFINES}", "use `log`, `ask` or `deny`, or allow it in the project's `mcpwrap.toml`"
)

_LATER: Final[dict[str, Shape]] = {
    "rules": Later(
        "conditions (`args`, `unless`, `when`, `limit`) come with a later one; write plain `allow`, `log`, `ask`, `deny` lists"
    ),
    "credentials": Later("credentials and logins come with a later one"),
    "url": Later("servers over HTTP come with a later one; give a `command`"),
    "tests": Later("tests of a policy come with a later one"),
    "limit": Later("budgets come with a later one"),
    "max_result_bytes": Later("budgets come with a later one"),
}

_TABLE_DOCS: Final = {
    "resources": "resources, by URI",
    "prompts": "prompts, by name",
    "server_requests": "what the server may ask of the client: `sampling`, `elicitation`, `roots`",
    "extra_methods": "methods outside the specification's tables",
}


def _tables(effects: tuple[str, ...], *, admits: bool) -> dict[str, Shape]:
    return {
        name: Table(doc, {**({} if admits else {"allow": _ADMITS}), **_lists(doc, effects, constraints=name == "resources")})
        for name, doc in _TABLE_DOCS.items()
    }


_ARGUMENT: Final = Text("one element; `${project}` and `${home}` are put in literally", limit=32_768)

_DEFINED: Final[dict[str, Shape]] = {
    "command": Strings("the program and its arguments; no shell is involved", _ARGUMENT, least=1),
    "cwd": Text("working folder, absolute; default: a private empty folder"),
    "env": StringMap("variables that are set for the server", _VARIABLE, "a variable's name", _ARGUMENT),
    "inherit_env": Strings(
        "names of variables that it gets from the client's environment, besides the short safe list",
        Text("a variable's name", 128, _VARIABLE, "a variable's name"),
    ),
}

_SERVER: Final = Table("one server", {**_DEFINED, **_lists("tools, by name", EFFECTS), **_tables(EFFECTS, admits=True), **_LATER})

_TIGHTENS: Final = Table(
    "rules that tighten for the servers that match",
    {
        "match": Table(
            "which servers, by their command instead of their name",
            {"command": Text("a glob over the command, its elements joined by spaces, as written or with the program's bare name")},
        ),
        "allow": _ADMITS,
        **_lists("tools, by name", EFFECTS[1:]),
        **_tables(EFFECTS[1:], admits=False),
        **{
            key: Elsewhere(f"`{key}` can't stand here: only the file that defines a server starts it", f"take `{key}` out")
            for key in _DEFINED
        },
        **_LATER,
    },
)

_VERSION: Final = Version("the version of this format")

_NO_LOGIN: Final = Later("logins come with a later one")

PROJECT: Final = Table(
    "mcpwrap.toml at a project's root",
    {
        "version": _VERSION,
        "project": Table(
            "the project",
            {
                "name": Text(
                    "how it is called in messages and records; default: the folder's name", 128, r"[^\x00-\x1f\x7f]+", "a name"
                )
            },
        ),
        "servers": Named("the servers, by name", _NAME, "a server's name (letters, digits, `.`, `_`, `-`; at most 64)", _SERVER),
        "login": _NO_LOGIN,
    },
)

_PATTERN_LIKE: Final = "a server's name or a pattern with `*` (letters, digits, `.`, `_`, `-`, `*`; at most 64)"

USER: Final = Table(
    "config.toml in the user's configuration folder",
    {
        "version": _VERSION,
        "trust": Table("how trust is given", {"scripted": Flag("`mcpwrap trust --digest DIGEST` works without a terminal")}),
        "servers": Named(
            "with `command`: servers of no project; without: rules that tighten", _NAME_PATTERN, _PATTERN_LIKE, _TIGHTENS, _SERVER
        ),
        "approval": Later("asking people comes with a later one"),
        "vault": Later("the vault comes with a later one"),
        "network": Later("servers over HTTP come with a later one"),
        "profiles": _NO_LOGIN,
        "login": _NO_LOGIN,
    },
)

SITE: Final = Table(
    "the administrator's config.toml",
    {"version": _VERSION, "servers": Named("rules that tighten", _NAME_PATTERN, _PATTERN_LIKE, _TIGHTENS)},
)

Which = Literal["project", "user", "site"]

FILES: Final[dict[Which, Table]] = {"project": PROJECT, "user": USER, "site": SITE}
