"""``${project}`` and ``${home}`` in the values of a file: the only substitutions that there are (POLICY.md §2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from mcpwrap.policy.check import shown
from mcpwrap.policy.places import Path
from mcpwrap.policy.toml import Document

_SUBSTITUTION: Final = re.compile(r"\$\{([^}]*)(\}?)")


def expand(document: Document, path: Path, text: str, variables: Mapping[str, str]) -> str:
    """`text`, which stands at `path`, with `variables` put in literally.

    Raises:
        ConfigError: it names another.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in variables or not found[2]:
            known = " and ".join(f"`${{{name}}}`" for name in variables)
            raise document.error(
                path,
                f"unknown substitution {shown(found[0])}",
                f"known here: {known}; variables of the environment are never put in",
            )
        return variables[found[1]]

    # one pass: a folder's name that holds `${home}` isn't looked at again
    return _SUBSTITUTION.sub(value, text)
