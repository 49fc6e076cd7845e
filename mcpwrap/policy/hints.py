"""What to write instead: a remedy for the mistakes that somebody makes who never wrote such a file.

Pure, and only for messages: a text that is refused already goes in, and a hint comes out ("" where there is none).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from mcpwrap.policy.toml import nearest

_VARIABLES: Final = ("args", "tool", "uri", "server", "project", "subject", "client", "session", "time")
"""What an expression may look at (POLICY.md §2)."""

_FUNCTIONS: Final = ("has", "size", "matches", "startsWith", "endsWith", "contains", "all", "exists", "exists_one", "map", "filter")
"""Functions of CEL that rules are written with."""

_ELSEWHERE: Final[Mapping[str, str]] = {
    "and": "CEL writes `&&`",
    "or": "CEL writes `||`",
    "not": "CEL writes `!`",
    "True": "CEL writes `true`",
    "False": "CEL writes `false`",
    "None": "CEL writes `null`; whether an argument is there says `has(args.NAME)`",
    "len": "CEL writes `size(…)`",
}
"""Words of other languages."""

_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)'")
_WORD: Final = re.compile(r"(?<![\w.])(and|or|not)(?!\w)")
_ASSIGNED: Final = re.compile(r"(?<![=!<>])=(?![=])")
_STRINGS: Final = re.compile(r'"[^"\n]*"|\'[^\'\n]*\'')
_DRIVE: Final = re.compile(r"([A-Za-z]):[\\/]+(.*)", re.DOTALL)
_HOME: Final = re.compile(r"(?:~|\$HOME|%USERPROFILE%)(?:[\\/]+(.*))?", re.DOTALL)


def for_expression(text: str, said: str) -> str:
    """How to mend the CEL expression `text`, of which the compiler said `said`."""
    if found := _UNDECLARED.search(said):
        first, *rest = found[1].split(".")
        if word := _ELSEWHERE.get(first):
            return word
        near = nearest(first, (*_VARIABLES, *_FUNCTIONS))
        if near:
            return f"did you mean `{'.'.join([near, *rest])}`?"
        return f"an argument is `args.NAME`; known besides: {', '.join(f'`{name}`' for name in _VARIABLES[1:])}"
    bare = _STRINGS.sub('""', text)
    if "Syntax error" not in said:
        return ""
    if found := _WORD.search(bare):
        return _ELSEWHERE[found[1]]
    if "${" in bare:
        return 'an expression has no `${…}`; for a folder: `args.NAME = { within = "${project}" }`'
    if "\\" in text:
        return "texts with backslashes: TOML's '…' around CEL's r\"…\""
    return "CEL compares with `==`" if _ASSIGNED.search(bare) else ""


def for_folder(text: str, *, project: bool) -> str:
    """How to write the folder `text`, which isn't absolute; `project` says whether the file belongs to one."""
    if drive := _DRIVE.fullmatch(text):
        inside = drive[2].replace("\\", "/")
        return f"it is a path of Windows; inside WSL it is `/mnt/{drive[1].lower()}/{inside}`"
    if home := _HOME.fullmatch(text):
        return f"write `{'/'.join(['${home}', *([home[1]] if home[1] else [])])}`"
    bare = re.sub(r"^(\./+)+", "", text)
    return f"write `${{project}}/{bare}`" if project and bare not in (".", "") else ""


def for_url(text: str) -> str:
    """How to mend `text`, which is no URL that a login, a resource or a proxy may have; its first likely fault."""
    if re.search(r"\s", text):
        return "take the spaces out"
    if not text.isascii():
        return "write the host in ASCII, as its certificate has it (`xn--…`): other letters may look like those you know"
    if "://" not in text:
        bare = re.fullmatch(r"/*([\w.-]+(:\d+)?(/.*)?)", text)
        return f"write the whole URL, such as `https://{bare[1]}`" if bare else ""
    scheme, _, rest = text.partition("://")
    if "#" in rest:
        return "take the fragment (`#…`) out"
    if "?" in rest:
        return "take the query (`?…`) out"
    if "@" in rest.partition("/")[0]:
        return "take the user's name before the `@` out"
    return "write `https://…`; `http` is for `localhost`, `127.0.0.1` and `[::1]` only" if scheme == "http" else ""
