"""The example server takes the token that was minted for it, however it is delivered, and no other."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import jwt
import pytest

from mcpwrap.core.credentials import Minted
from mcpwrap.identity.signing import current_key, issuer_of, jwks_path
from mcpwrap.identity.tokens import audience, local_subject, mint
from mcpwrap.identity.vault import Vault
from mcpwrap.policy.load import load_project
from tests.attacks.shim import Shim, tool
from tests.identity import hostile
from tests.identity.installation import bearer, make_vault
from tests.project import Project, toml

EXAMPLE = Path(__file__).parents[2] / "configs" / "examples" / "minted"

NOT_FORGEABLE = {
    # signed by the installation with its own key: nobody else can make them, and it doesn't
    "good for an hour",
    "good for less than nothing",
    "a name that is empty",
    "for nobody",
    "by no client",
    "without `client_id`",
    "too long",
    "an issue that is no number",
}


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return make_vault(tmp_path)


@pytest.fixture
def server(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example as a module, in the environment that mcpwrap gives it."""
    monkeypatch.setenv("MCPWRAP_JWKS_FILE", jwks_path(vault.places))
    monkeypatch.setenv("MCPWRAP_AUDIENCE", audience("shop", "issues"))
    monkeypatch.setenv("MCPWRAP_ISSUER", issuer_of(vault))
    spec = importlib.util.spec_from_file_location("example", EXAMPLE / "server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_takes_a_token_that_was_minted_for_it(server: ModuleType, vault: Vault) -> None:
    now = time.time()
    token, _ = mint(current_key(vault, now), issuer_of(vault), bearer(), Minted(("a",)), local_subject(), now)
    claims: dict[str, Any] = server.check(token.reveal())
    assert claims["scope"] == "a"


def test_the_example_refuses_every_hostile_token(server: ModuleType, vault: Vault) -> None:
    tokens = hostile.tokens(vault, time.time())
    taken = set()
    for name, token in tokens.items():
        try:
            server.check(token)
        except jwt.InvalidTokenError:
            continue
        taken.add(name)
    assert taken <= NOT_FORGEABLE


@pytest.mark.parametrize("via", ["env", "file", "helper", "meta"])
def test_the_example_knows_who_asks_by_each_way_of_delivery(project: Project, via: str) -> None:
    text = (EXAMPLE / "mcpwrap.toml").read_text("utf-8")
    assert 'via = "file"' in text
    # the same server from this environment: nothing is downloaded
    lines = [line for line in text.replace('via = "file"', f'via = "{via}"').splitlines() if not line.startswith("command = ")]
    at = lines.index("[servers.notes]") + 1
    lines.insert(at, f"command = {toml([sys.executable, '-I', '${project}/server.py'])}")
    project.write("\n".join(lines) + "\n")
    shutil.copy(EXAMPLE / "server.py", project.root)
    project.trust()
    argv = [str(project.command), "run", "--project", str(project.root), "notes"]
    with Shim(argv, project.env, project.root) as shim:
        shim.open()
        answer = shim.request(2, "tools/call", tool("whoami"))
    [content] = answer["result"]["content"]
    assert not answer["result"].get("isError"), content
    assert content["text"] == f"{local_subject().sub} (local), through urn:mcpwrap:shim:notes:notes, may notes:read"


def test_the_examples_file_is_one_that_can_be_trusted(tmp_path: Path, home: Path) -> None:
    data = (EXAMPLE / "mcpwrap.toml").read_bytes()
    policy = load_project(data, file="mcpwrap.toml", root=str(tmp_path), home=str(home))
    [wanted] = policy.servers["notes"].credentials
    assert (wanted.name, wanted.source, wanted.via) == ("AGENT_TOKEN", Minted(("notes:read",), 120), "file")


def test_the_readme_shows_what_the_server_does() -> None:
    readme = (EXAMPLE / "README.md").read_text("utf-8")
    source = (EXAMPLE / "server.py").read_text("utf-8")
    check = source[source.index("def check") : source.index("def token_of")].strip()
    assert check in readme
