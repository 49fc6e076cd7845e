"""The environment that a server gets: a short safe list, what the policy names, and nothing else of the client's (POLICY.md §7)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from mcpwrap.policy.executables import search_path

_SAFE: Final = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "TERM"}
    | (
        {
            "APPDATA", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATHEXT", "PROCESSOR_ARCHITECTURE", "SYSTEMDRIVE", "SYSTEMROOT",
            "TEMP", "TMP", "USERNAME", "USERPROFILE", "COMSPEC", "PROGRAMFILES", "PROGRAMDATA", "WINDIR",
        }
        if sys.platform == "win32"
        else set()
    )
)  # fmt: skip
"""Names that every server gets where the client has them; on Windows what the system's own programs can't do without."""


def minimal_environment(
    client: Mapping[str, str], inherit: Sequence[str], extra: Mapping[str, str], project_root: str
) -> tuple[dict[str, str], frozenset[str]]:
    """The server's variables, and the names of those that the client passed and the server doesn't get.

    `inherit` are names that the policy lets through, `extra` the variables that it sets. Of PATH, elements that are empty, relative
    or inside the project are taken out; the client's values that older shells would take for functions (``() {``) are withheld.
    """
    fold = str.upper if sys.platform == "win32" else str
    named = {fold(name) for name in inherit}
    kept: dict[str, str] = {}
    withheld: set[str] = set()
    for name, value in client.items():
        safe = fold(name) in _SAFE or name.startswith("LC_")
        if (safe or fold(name) in named) and not value.startswith("()"):
            kept[name] = value
        elif name not in extra:
            withheld.add(name)
    kept.update(extra)
    if "PATH" in kept:
        elements = search_path(kept.pop("PATH"), project_root)
        if elements:  # an empty PATH is searched as the working folder, an absent one as the system's own folders
            kept["PATH"] = os.pathsep.join(elements)
    return kept, frozenset(withheld)
