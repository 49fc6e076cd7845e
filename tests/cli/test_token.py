"""`mcpwrap token` and `mcpwrap jwks`, as a person and as a script has them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcpwrap.core.credentials import LOCAL
from mcpwrap.identity import signing
from mcpwrap.identity.logins import LoginStore
from mcpwrap.identity.signing import PUBLISHED_S, issuer_of, jwks_path
from mcpwrap.identity.socket_protocol import Given, Refused, encode
from mcpwrap.identity.tokens import audience, local_subject, verify
from mcpwrap.identity.vault import Vault
from tests.cli.person import Person
from tests.identity.installation import keep
from tests.project import COMMAND_DEADLINE_S, USER_FILE, Project
from tests.vaults import setting_of, vault_of

FILE = """\
version = 1
[project]
name = "shop"
%s
[servers.issues]
command = ["/bin/sh", "-c", "exit 0"]
allow = ["*"]
[servers.issues.credentials.AGENT_TOKEN]
minted = { scope = ["issues:read"], ttl_s = 60 }
[servers.issues.credentials.KEY]
secret = "KEY"
[servers.plain]
command = ["/bin/sh", "-c", "exit 0"]
allow = ["*"]
[servers.two]
command = ["/bin/sh", "-c", "exit 0"]
allow = ["*"]
[servers.two.credentials.ONE]
minted = {}
[servers.two.credentials.TWO]
minted = {}
"""

ISSUER = "https://login.acme.example"


@pytest.fixture
def vault(project: Project) -> Vault:
    return vault_of(os.environ)


@pytest.fixture
def shop(project: Project, vault: Vault) -> Project:
    """A trusted project."""
    project.write(FILE % "")
    project.trust()
    return project


def refused(project: Project, *args: str, code: int = 1) -> str:
    ended = project.mcpwrap("token", *args, check=False)
    assert ended.returncode == code, ended.stderr
    assert ended.stdout == ""
    return ended.stderr


def test_a_minted_token_is_given_to_who_asks_in_a_trusted_project(shop: Project, vault: Vault) -> None:
    found = json.loads(shop.mcpwrap("token", "--server", "issues").stdout)
    assert found.keys() == {"token", "expires_at", "name"}
    keys = json.loads(shop.mcpwrap("jwks", "--json").stdout)
    claims = verify(found["token"], keys, audience("shop", "issues"), issuer_of(vault), time.time())
    assert found["expires_at"] == claims["exp"] == claims["iat"] + 60
    assert found["name"] == "AGENT_TOKEN"
    assert (claims["sub"], claims["idp"], claims["scope"]) == (local_subject().sub, LOCAL, "issues:read")
    assert len(claims["policy_hash"]) > 20
    assert json.loads(Path(jwks_path(vault.places)).read_text()) == keys


def test_a_secret_is_not_given_in_a_shell(shop: Project) -> None:
    for args in (["--server", "issues", "--credential", "KEY"], ["--server", "plain"]):
        told = refused(shop, *args)
        assert "minted here; secrets and a provider's tokens go to the server alone\n" in told
        assert f"[servers.{args[1]}.credentials.AGENT_TOKEN]" in told


def test_a_credential_that_isnt_there_is_told_apart_from_one_that_isnt_minted(shop: Project) -> None:
    assert refused(shop, "--server", "issues", "--credential", "NOTHING", code=2) == (
        "error: `issues` has no `NOTHING`; minted here: AGENT_TOKEN\nhint: mcpwrap token --server issues --credential AGENT_TOKEN\n"
    )


def test_a_server_that_isnt_accepted_yet_is_told_apart_from_one_that_isnt_there(shop: Project) -> None:
    shop.write(FILE % "" + '[servers.desk]\ncommand = ["/bin/sh"]\n')
    assert refused(shop, "--server", "desk", code=3) == (
        "error: the accepted mcpwrap.toml has no server `desk`\nhint: mcpwrap trust\n"
    )
    shop.write("version = nothing")
    assert "has no server `desk`" in refused(shop, "--server", "desk", code=2)


def test_of_several_one_has_to_be_named(shop: Project) -> None:
    told = refused(shop, "--server", "two", code=2)
    assert told == "error: `two` has several: ONE, TWO\nhint: mcpwrap token --server two --credential ONE\n"
    assert json.loads(shop.mcpwrap("token", "--server", "two", "--credential", "TWO").stdout)["name"] == "TWO"


def test_a_shell_completes_what_is_minted(shop: Project) -> None:
    def completed(words: str) -> list[str]:
        env = {**shop.env, "_MCPWRAP_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        ended = subprocess.run([shop.command], env=env, cwd=shop.root, capture_output=True, text=True, check=False)
        return [line.partition(",")[2] for line in ended.stdout.splitlines() if line]

    assert completed("mcpwrap token --server two --credential ") == ["ONE", "TWO"]
    assert completed("mcpwrap token --server two --credential T") == ["TWO"]
    assert completed("mcpwrap token --server issues --credential ") == ["AGENT_TOKEN"]
    assert completed("mcpwrap token --server nothing --credential ") == []
    assert completed("mcpwrap token --server t") == ["two"]


def test_a_server_has_to_be_named_and_be_there(shop: Project) -> None:
    assert "hint: mcpwrap token --server NAME\n" in refused(shop, code=2)
    assert "has no server `nothing`" in refused(shop, "--server", "nothing", code=2)


def test_what_is_not_trusted_gets_nothing(project: Project) -> None:
    project.write(FILE % "")
    assert refused(project, "--server", "issues", code=3).endswith("hint: mcpwrap trust\n")


def test_what_was_accepted_counts_and_not_what_lies_there(shop: Project) -> None:
    shop.write((FILE % "").replace("ttl_s = 60", "ttl_s = 300").replace("issues:read", "admin"))
    found = json.loads(shop.mcpwrap("token", "--server", "issues").stdout)
    assert found["expires_at"] <= time.time() + 61


def test_a_project_with_a_provider_gets_tokens_for_who_is_signed_in_there(project: Project, vault: Vault) -> None:
    project.write(FILE % f'[login]\nissuer = "{ISSUER}"')
    project.trust()
    assert refused(project, "--server", "issues") == (
        f"error: nobody is signed in at `{ISSUER}`\nhint: mcpwrap login --issuer {ISSUER}\n"
    )
    key = keep(vault, ISSUER, "refresh", profile="")
    found = json.loads(project.mcpwrap("token", "--server", "issues").stdout)
    keys = json.loads(project.mcpwrap("jwks").stdout)
    claims = verify(found["token"], keys, audience("shop", "issues"), issuer_of(vault), time.time())
    assert (claims["sub"], claims["idp"]) == ("ann", ISSUER)
    LoginStore(vault).end(key, "the provider said so", "refresh")
    assert "has ended: the provider said so" in refused(project, "--server", "issues")


def test_the_profile_of_that_issuer_is_the_one_that_is_meant(project: Project, vault: Vault, user_config: Path) -> None:
    with user_config.open("a") as file:
        file.write(f'[profiles.acme]\nissuer = "{ISSUER}"\n')
    project.write(FILE % f'[login]\nissuer = "{ISSUER}"')
    project.trust()
    assert refused(project, "--server", "issues").endswith("hint: mcpwrap login acme\n")
    keep(vault, ISSUER, "refresh", profile="acme")
    assert json.loads(project.mcpwrap("token", "--server", "issues").stdout)["name"] == "AGENT_TOKEN"


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Any]:
    """A shim's socket that gives one answer; its path."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    threads: list[threading.Thread] = []

    def listen(answer: bytes) -> str:
        path = str(tmp_path / "socket")
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as reader:
                reader.readline()
                connection.sendall(answer)

        threads.append(threading.Thread(target=serve))
        threads[0].start()
        return path

    yield listen
    for thread in threads:
        thread.join(timeout=10)
    listener.close()


def below(project: Project, path: str, *args: str) -> subprocess.CompletedProcess[str]:
    """The command below a server, wherever that works."""
    return subprocess.run(
        [project.command, "token", *args],
        cwd="/",
        env={**project.env, "MCPWRAP_TOKEN_SOCKET": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_DEADLINE_S,
        check=False,
    )


def test_below_a_server_the_shim_answers(project: Project, answering: Any) -> None:
    ended = below(project, answering(encode(Given("opaque", None, "KEY"))), "--credential", "KEY")
    assert json.loads(ended.stdout) == {"token": "opaque", "expires_at": None, "name": "KEY"}
    assert ended.returncode == 0


def test_below_a_server_the_shims_refusal_is_told(project: Project, answering: Any) -> None:
    ended = below(project, answering(encode(Refused("nobody is signed in", "mcpwrap login acme"))))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "error: nobody is signed in\nhint: mcpwrap login acme\n"


def test_below_a_server_whose_shim_is_gone_nothing_is_given(project: Project, tmp_path: Path) -> None:
    ended = below(project, str(tmp_path / "gone"), "--server", "issues")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: the mcpwrap that this server was started by can't be asked: no such file")


# jwks


def test_the_keys_are_printed_for_people_and_for_scripts(shop: Project) -> None:
    shown = shop.mcpwrap("jwks").stdout
    assert len(shown.splitlines()) > 5
    line = shop.mcpwrap("jwks", "--json").stdout
    assert line.count("\n") == 1
    assert json.loads(shown) == json.loads(line)
    assert [key["alg"] for key in json.loads(line)["keys"]] == ["EdDSA", "EdDSA"]


def test_without_a_vault_the_remedy_is_named(project: Project, vault: Vault) -> None:
    Path(vault.places.header).unlink()
    ended = project.mcpwrap("jwks", check=False)
    assert ended.returncode == 1
    assert ended.stderr == "error: there is no vault yet\nhint: run `mcpwrap vault init`\n"


def test_a_script_rotates_where_the_persons_file_lets_it_and_it_is_recorded(shop: Project, vault: Vault) -> None:
    early = shop.mcpwrap("jwks", "--rotate", check=False)
    assert early.returncode in (0, 1)
    published_long_ago(vault)
    before = json.loads(shop.mcpwrap("jwks", "--json").stdout)["keys"]
    ended = shop.mcpwrap("jwks", "--rotate", "--json")
    assert ended.stderr.startswith("Rotated. Tokens of the key before are good until they expire;")
    after = json.loads(ended.stdout)["keys"]
    assert after[0]["kid"] == before[1]["kid"]
    assert before[0]["kid"] in [key["kid"] for key in after]
    assert "the signing key was rotated" in shop.mcpwrap("log", "--json").stdout
    again = shop.mcpwrap("jwks", "--rotate", check=False)
    assert again.returncode == 1
    assert "published a moment ago" in again.stderr
    assert "mcpwrap jwks --rotate" in again.stderr


def published_long_ago(vault: Vault) -> None:
    vault.remove(signing.ITEM)
    signing.current_key(vault, time.time() - PUBLISHED_S - 1)


def test_another_algorithm_is_announced_first(shop: Project) -> None:
    ended = shop.mcpwrap("jwks", "--rotate", "--alg", "ES256")
    assert ended.stdout == ("The next key is one for ES256. Servers know it in 5 min; then again: mcpwrap jwks --rotate\n")
    assert [key["alg"] for key in json.loads(shop.mcpwrap("jwks").stdout)["keys"]] == ["EdDSA", "ES256"]
    ended = shop.mcpwrap("jwks", "--alg", "ES256", check=False)
    assert ended.returncode == 2
    assert "goes with --rotate" in ended.stderr


def test_only_a_person_rotates(shop: Project, vault: Vault, user_config: Path) -> None:
    published_long_ago(vault)
    user_config.write_text(setting_of(os.environ))
    ended = shop.mcpwrap("jwks", "--rotate", check=False)
    assert ended.returncode == 3
    with Person([shop.command, "jwks", "--rotate"], env={**shop.env, "CLAUDECODE": "1"}, cwd=shop.root) as agent:
        assert agent.ends() == 3
    with Person([shop.command, "jwks", "--rotate"], env=shop.env, cwd=shop.root) as person:
        person.reads("Rotated.")
        assert person.ends() == 0
    user_config.write_text(USER_FILE + setting_of(os.environ))
