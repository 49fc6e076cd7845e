"""`mcpwrap vault init --reset`: what the old key protected goes, all else stays, and everything can be given again."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcpwrap.identity.logins import LoginStore
from mcpwrap.identity.vault import Places
from tests.attacks.arena import NAME, RULES, Arena
from tests.attacks.offers import a_tool, offers
from tests.attacks.shim import DEADLINE_S, Shim
from tests.attacks.test_repository import NOT_TRUSTED, held_text
from tests.identity.installation import keep
from tests.project import COMMAND_DEADLINE_S, Project
from tests.vaults import make_vault, places_of, vault_of

ISSUER = "https://login.acme.example"
MORE = f"""
[servers.{NAME}.credentials.AGENT_TOKEN]
minted = {{ ttl_s = 60 }}
[servers.gut]
command = ["/bin/true"]
allow = ["*"]
"""


@pytest.fixture
def arena(project: Project) -> Arena:
    """A trusted project with a minted token, a secret that is lent, pins, and a login."""
    arena = Arena(project)
    arena.script(offers([a_tool("safe")]))
    arena.policy(RULES + MORE)
    give(arena)
    return arena


@pytest.fixture
def places(project: Project) -> Places:
    return places_of(project.env)


def give(arena: Arena) -> None:
    """All that a vault protects, given by a person."""
    arena.project.trust()
    arena.project.mcpwrap("token", "--server", NAME)
    put(arena.project)
    arena.project.mcpwrap("secret", "grant", NAME, "TOKEN", "--to-server", "gut")
    keep(vault_of(arena.project.env), ISSUER, "refresh")


def put(project: Project) -> None:
    subprocess.run(
        [project.command, "secret", "set", NAME, "TOKEN"],
        cwd=project.root, env=project.env, input="hunter2", text=True, capture_output=True, timeout=COMMAND_DEADLINE_S, check=True,
    )  # fmt: skip


def holds(project: Project) -> dict[str, int]:
    found = json.loads(project.mcpwrap("vault", "status", "--json").stdout)
    assert found["state"] == "open"
    return dict(found["holds"])


def kids(project: Project) -> set[str]:
    return {key["kid"] for key in json.loads(project.mcpwrap("jwks", "--json").stdout)["keys"]}


def pinned(project: Project) -> bool:
    return f"{NAME}  pinned on first sight" in project.mcpwrap("pins", check=False).stdout


def eventually(wanted: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not wanted():
        assert time.monotonic() < end
        time.sleep(0.02)


def reset(project: Project, *, check: bool = True) -> Any:
    return project.mcpwrap("vault", "init", "--reset", check=check)


FULL = {"logins": 1, "secrets": 1, "grants": 1, "signing": 1}
EMPTY = dict.fromkeys(FULL, 0)


def test_what_the_old_key_protected_goes_and_can_be_given_again_while_a_session_waits(arena: Arena, places: Places) -> None:
    project = arena.project
    with arena.start() as shim:
        shim.open()
        assert shim.tools() == ["safe"]
        assert not shim.call("safe")["result"].get("isError")
        eventually(lambda: pinned(project))
        assert holds(project) == FULL
        before, log = kids(project), project.mcpwrap("log", "--json").stdout
        said = reset(project).stdout
        assert "audit and your" in said.replace("\n", " ")
        # nothing of it is there any more, in whatever state a copy could make it count again
        for name in ("vault/items", "logins", "trust", "pins"):
            assert [path.name for path in Path(places.state, name).iterdir() if path.suffix != ".lock"] == []
        assert not Path(places.state, "jwks.json").exists()
        assert holds(project) == EMPTY
        assert not pinned(project)
        assert project.mcpwrap("secret", "list").stdout.startswith("no secret is kept")
        assert log.strip() in project.mcpwrap("log", "--json").stdout
        refused = shim.call("safe")["result"]
        assert refused["isError"] is True
        assert NOT_TRUSTED in refused["content"][0]["text"]
        give(arena)
        # the session that was held goes on
        eventually(lambda: not shim.call("safe")["result"].get("isError"))
        assert shim.tools() == ["safe"]
    # (that one knows what it pinned; for the next one it is a first sight)
    with arena.start() as shim:
        shim.open()
        assert shim.tools() == ["safe"]
        eventually(lambda: pinned(project))
    assert holds(project) == FULL
    assert kids(project).isdisjoint(before)
    assert [card.issuer for card in LoginStore(vault_of(project.env)).cards()] == [ISSUER]


def test_a_reset_that_was_killed_before_it_took_anything_away_is_mended_by_another(arena: Arena, places: Places) -> None:
    copies = {name: Path(places.state, "copy", name) for name in ("vault/items", "logins", "trust", "pins")}
    Path(places.state, "pins").mkdir(mode=0o700, exist_ok=True)
    for name, copy in copies.items():
        shutil.copytree(Path(places.state, name), copy)
    reset(arena.project)
    for name, copy in copies.items():
        shutil.copytree(copy, Path(places.state, name), dirs_exist_ok=True)
    # what another key sealed is an error, and nothing that is passed over
    arena.project.trust()
    ended = arena.project.mcpwrap("token", "--server", NAME, check=False)
    assert ended.returncode == 1
    assert "was altered, or sealed by another installation" in ended.stderr
    assert (
        "hint: run `mcpwrap vault init --reset` if this was put back from a copy; trust and logins are given again" in ended.stderr
    )
    reset(arena.project)
    give(arena)
    assert holds(arena.project) == FULL


def test_a_reset_that_was_killed_before_its_header_stood_is_mended_by_another(arena: Arena, places: Places) -> None:
    header = Path(places.header).read_bytes()
    make_vault(arena.project.env)
    Path(places.header).write_bytes(header)
    assert arena.project.mcpwrap("vault", "status", check=False).returncode == 1
    reset(arena.project)
    give(arena)
    assert holds(arena.project) == FULL


def test_a_reset_follows_no_link(arena: Arena, places: Places, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "mine").write_text("mine")
    Path(places.state, "pins").symlink_to(elsewhere)
    Path(places.state, "trust", "link").symlink_to(elsewhere)
    ended = reset(arena.project, check=False)
    assert ended.returncode == 1
    assert "pins` can't be taken away" in ended.stderr
    assert (elsewhere / "mine").read_text() == "mine"
    # the rest is gone all the same
    assert list(Path(places.state, "trust").iterdir()) == []
    Path(places.state, "pins").unlink()
    reset(arena.project)
    give(arena)
    assert holds(arena.project) == FULL


def test_pins_that_cannot_be_read_are_never_written_into_a_lock(arena: Arena, places: Places) -> None:
    with arena.start() as shim:
        shim.open()
        assert shim.tools() == ["safe"]
        eventually(lambda: pinned(arena.project))
    for path in Path(places.state, "pins").iterdir():
        path.write_bytes(b"{}")
    ended = arena.project.mcpwrap("pins", "accept", NAME, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: what was remembered of `{NAME}` can't be read")
    assert not (arena.project.root / "mcpwrap.lock").exists()


def test_a_held_session_names_the_remedy_as_what_to_ask_for(arena: Arena, places: Places) -> None:
    ledger = Path(places.vault, "ledger")
    ledger.write_bytes(bytes(len(ledger.read_bytes())))
    with arena.start() as shim:
        assert "run `mcpwrap vault init --reset` if this was put back from a copy" in opened_text(shim)


def opened_text(shim: Shim) -> str:
    shim.open()
    return held_text(shim)
