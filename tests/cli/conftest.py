"""What the stories share: a file to trust, a person in front of it, and text without what differs from run to run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.person import Person
from tests.project import Project
from tests.vaults import setting_of

FILE = """\
version = 1

[servers.files]
command = ["/bin/sh", "-c", "exit 0", "${project}"]
env = { LOG_LEVEL = "info" }
inherit_env = ["HTTPS_PROXY"]
allow = ["read_*", "list_*", "!read_media_file"]
log = ["create_directory"]
ask = ["edit_*"]
deny = ["move_file"]

[servers.files.resources]
allow = ["docs://*"]
[servers.files.server_requests]
allow = ["roots"]
"""

PLAIN = {"NO_COLOR": "1"}

At = Callable[..., Person]


@pytest.fixture
def shop(project: Project, user_config: Path) -> Project:
    """A project with `FILE`, nothing trusted, and no leave for scripts."""
    user_config.write_text(setting_of(project.env))
    project.write(FILE)
    return project


@pytest.fixture
def at_terminal(shop: Project) -> At:
    """Starts `mcpwrap` with these arguments on a terminal in the shop, or in the folder `cwd`."""

    def start(*args: str, cwd: Path | None = None, piped: bool = False, **env: str) -> Person:
        return Person([shop.command, *args], env={**shop.env, **PLAIN, **env}, cwd=cwd or shop.root, piped=piped)

    return start


@pytest.fixture
def trusted(shop: Project, at_terminal: At) -> Project:
    """The shop, after its person said yes."""
    with at_terminal("trust") as person:
        person.reads("[y/N] ")
        person.types("y")
        assert person.ends() == 0
    return shop


def plain(text: str, project: Project) -> str:
    """`text` with the project's path, digests and days replaced by words."""
    text = text.replace(str(project.root), "ROOT").replace(project.root.name, "SHOP")
    text = re.sub(r"\b[0-9a-f]{64}\b", "DIGEST", text)
    return re.sub(r"\b\d{1,2} [A-Z][a-z]{2}, \d\d:\d\d", "TODAY", text)
