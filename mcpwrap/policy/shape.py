"""What may stand in each file: one table of keys for the check and for the JSON Schema (POLICY.md §1 and §2)."""

from __future__ import annotations

from typing import Final, Literal

from mcpwrap.policy.shape_identity import (
    CREDENTIALS,
    LOGIN,
    NETWORK,
    OUR_VARIABLES,
    PROFILES,
    VARIABLE,
    VAULT,
    not_here,
    persons_own,
)
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
    Scalars,
    Shape,
    StringMap,
    Strings,
    Table,
    Text,
    Version,
)

EFFECTS: Final = ("allow", "log", "ask", "deny")
TABLES: Final = ("resources", "prompts", "server_requests", "extra_methods")
"""The tables of patterns in a server's table; tools are the lists of the server's table itself."""

SERVER_REQUESTS: Final = frozenset({"sampling", "elicitation", "roots"})

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_NAME_PATTERN: Final = r"[A-Za-z0-9*][A-Za-z0-9._*-]{0,63}"

_PATTERN: Final = Text("a literal, a glob (`*`), or a regular expression from `^` to `$`; `!` before it takes out of this list")

_LIST_DOCS: Final = {
    "allow": "runs",
    "log": "runs, and is recorded in full",
    "ask": "runs after a person agreed; until mcpwrap can ask, it is refused",
    "deny": "never runs; the strictest list that matches wins",
}


_ARGUMENT_NAME: Final = (r"[^\x00-\x1f\x7f]+", "the name of an argument")

_FOLDERS: Final = OneOrMore(
    "a path that, resolved, lies inside this folder: symbolic links, `..`, `file:` URIs; absolute, or begun by `${project}`",
    Text("a folder"),
)
_GLOBS: Final = OneOrMore(
    "a glob, in which `*` stays within a segment and `**` doesn't; of a path, the resolved one counts too", _PATTERN
)

_CONSTRAINT: Final = Table(
    "what the argument must be; everything that is given must hold",
    {
        "within": _FOLDERS,
        "host": OneOrMore("the host of a URL: `example.com`, or `*.example.com` for what lies below it", Text("a host", 253)),
        "glob": _GLOBS,
        "one_of": Scalars("one of these values"),
        "max": Number("a number, at most this"),
    },
)
_URI_CONSTRAINT: Final = Table("what a `file:` URI must be", {"within": _FOLDERS, "glob": _GLOBS})


def _lists(what: str, effects: tuple[str, ...], *, constraint: Table | None = None) -> dict[str, Shape]:
    return {e: Strings(f"{what}: {_LIST_DOCS[e]}", _PATTERN, constraint=constraint) for e in effects}


LIMIT: Final = r"[1-9][0-9]{0,4}/(s|min|h|session)"

_BUDGET: Final[dict[str, Shape]] = {
    "limit": Text(
        "how many calls: `30/min`; also `/s`, `/h`, `/session`",
        32,
        LIMIT,
        "a limit such as `30/min` (`/s`, `/min`, `/h`, `/session`)",
    ),
    "max_result_bytes": Number("longest answer, in bytes; a longer one is held back", 1),
    "over": Choice("what becomes of a call past the limit", ("ask", "deny")),
}


_COUNTED: Final = ("limit", "max_result_bytes")
_BESIDE: Final = {"over": _COUNTED}
"""What is past a limit says nothing where there is none."""


def _rules(what: str, effects: tuple[str, ...]) -> Shape:
    return Each(
        "rules with conditions; the strictest rule that counts wins, and their order never matters",
        Table(
            f"one rule for {what}; it has exactly one of `allow`, `log`, `ask`, `deny`",
            {
                **({} if "allow" in effects else {"allow": _ADMITS}),
                **_lists(what, effects),
                "args": Keyed(
                    "constraints on arguments, by name, dotted for nested ones; `*` is every string at any depth",
                    *_ARGUMENT_NAME,
                    _CONSTRAINT,
                ),
                "unless": Keyed("the rule doesn't count where all of these surely hold", *_ARGUMENT_NAME, _CONSTRAINT),
                "when": Text(
                    "an expression in CEL over `args`, `tool`, `uri`, `server`, `project`, `subject`, `client`, `session`, `time`"
                ),
                "reason": Text("why; said with each refusal", 500),
                **_BUDGET,
            },
            one=effects,
            beside=_BESIDE,
            without={"deny": _COUNTED},
        ),
    )


_DEFINES: Final = "only the file that defines a server admits"
_ADMITS: Final = Elsewhere(
    f"`allow` can't stand here: {_DEFINES}", "use `log`, `ask` or `deny`, or allow it in the project's `mcpwrap.toml`"
)

_TESTS: Final = Each(
    "expectations that `mcpwrap test` checks",
    Table(
        "one call and the outcome it is expected to have",
        {
            "call": Text("the tool, prompt or URI that is asked for; with `method`, what that method names"),
            "method": Text("the method, where it isn't `tools/call`", 128),
            "args": Free("the arguments"),
            "subject": Free("who asks"),
            "client": Free("what the client calls itself"),
            "expect": Choice("the outcome", EFFECTS),
            "name": Text("what is tested, in words", 200),
        },
        needs=("call", "expect"),
    ),
)

_LATER: Final[dict[str, Shape]] = {
    "url": Later("servers over HTTP come with a later one; give a `command`"),
}

_TABLE_DOCS: Final = {
    "resources": "resources, by URI",
    "prompts": "prompts, by name",
    "server_requests": "what the server may ask of the client: `sampling`, `elicitation`, `roots`",
    "extra_methods": "methods outside the specification's tables",
}


def _tables(effects: tuple[str, ...], *, admits: bool) -> dict[str, Shape]:
    return {
        name: Table(
            doc,
            {
                **({} if admits else {"allow": _ADMITS}),
                **_lists(doc, effects, constraint=_URI_CONSTRAINT if name == "resources" else None),
                **({"rules": _rules(doc, effects)} if name != "extra_methods" else {}),
            },
        )
        for name, doc in _TABLE_DOCS.items()
    }


_ARGUMENT: Final = Text("one element; `${project}` and `${home}` are put in literally", limit=32_768)

_DEFINED: Final[dict[str, Shape]] = {
    "command": Strings("the program and its arguments; no shell is involved", _ARGUMENT, least=1),
    "cwd": Text("working folder, absolute; default: a private empty folder"),
    "env": StringMap("variables that are set for the server", VARIABLE, "a variable's name", _ARGUMENT, OUR_VARIABLES),
    "inherit_env": Strings(
        "names of variables that it gets from the client's environment, besides the short safe list",
        Text("a variable's name", 128, VARIABLE, "a variable's name", OUR_VARIABLES),
    ),
    "credentials": CREDENTIALS,
}

_SERVER: Final = Table(
    "one server",
    {
        **_DEFINED,
        **_lists("tools, by name", EFFECTS),
        "rules": _rules("tools", EFFECTS),
        **_BUDGET,
        **_tables(EFFECTS, admits=True),
        "tests": _TESTS,
        **_LATER,
    },
    beside=_BESIDE,
)

_TIGHTENS: Final = Table(
    "rules that tighten for the servers that match",
    {
        "match": Table(
            "which servers, by their command instead of their name",
            {"command": Text("a glob over the command, its elements joined by spaces, as written or with the program's bare name")},
            needs=("command",),
        ),
        "allow": _ADMITS,
        **_lists("tools, by name", EFFECTS[1:]),
        "rules": _rules("tools", EFFECTS[1:]),
        **_tables(EFFECTS[1:], admits=False),
        **{key: not_here(key) for key in (*_DEFINED, *_BUDGET, "tests")},
        **_LATER,
    },
)

_VERSION: Final = Version("the version of this format")

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
        "login": LOGIN,
        **persons_own("profiles", "vault", "network"),
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
        "vault": VAULT,
        "network": NETWORK,
        "profiles": PROFILES,
        "login": LOGIN,
    },
)

SITE: Final = Table(
    "the administrator's config.toml",
    {
        "version": _VERSION,
        "servers": Named("rules that tighten", _NAME_PATTERN, _PATTERN_LIKE, _TIGHTENS),
        "login": not_here("login"),
        **persons_own("profiles", "vault", "network"),
    },
)

Which = Literal["project", "user", "site"]

FILES: Final[dict[Which, Table]] = {"project": PROJECT, "user": USER, "site": SITE}
