"""Every remedy of the vault can stand after "ask the user to", where an agent passes it on."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from mcpwrap import identity

MODULES = ("vault", "ledger", "keys", "keyfile", "passphrase", "keyrings", "bus", "reset")
VERBS = {
    *("run", "put", "set", "use", "name", "mount", "give", "take", "type", "look", "bring", "be", "unset", "unlock", "sign"),
    *("make", "start"),
}


def remedies(module: str) -> list[str]:
    """What stands at the beginning of every hint that `module` writes out."""
    tree = ast.parse(Path(str(identity.__file__)).with_name(f"{module}.py").read_text("utf-8"))
    hints = [node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "hint"]
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id.endswith("_HINT"):
            assert node.value is not None
            hints.append(node.value)
    first = [hint.values[0] if isinstance(hint, ast.JoinedStr) else hint for hint in hints]
    return [str(part.value) for part in first if isinstance(part, ast.Constant) and part.value != ""]


@pytest.mark.parametrize("module", MODULES)
def test_a_remedy_begins_with_what_is_to_be_done(module: str) -> None:
    for hint in remedies(module):
        assert hint.split()[0] in VERBS, hint
        assert not hint.endswith((".", "?", ":"))


def test_there_are_remedies() -> None:
    assert sum(len(remedies(module)) for module in MODULES) > 30
