"""What every test starts from: an empty home, no agent's shell, no variable that moves our folders."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from mcpwrap.cli.caller import AGENT_VARIABLES
from mcpwrap.policy.folders import folders
from tests.project import USER_FILE, Project, console_script
from tests.vaults import make_vault, setting_of

MOVES_OUR_FOLDERS = ("MCPWRAP_PROJECT", "MCPWRAP_DEBUG", "CLAUDE_PROJECT_DIR", "CLAUDE_CONFIG_DIR")

settings.register_profile("fast", max_examples=60, deadline=None)
settings.register_profile("deep", max_examples=3_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder; the environment points to it, and nothing in it says that an agent is at work."""
    folder = tmp_path_factory.mktemp("home")
    for name in [*AGENT_VARIABLES, *MOVES_OUR_FOLDERS, *(name for name in os.environ if name.startswith("XDG_"))]:
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(folder))
    return folder


@pytest.fixture
def mcpwrap_command() -> Path:
    """The installed console script."""
    return console_script()


@pytest.fixture
def user_config(home: Path) -> Path:
    """Where the person's own `config.toml` lies; nothing is there yet."""
    return Path(folders(os.environ).config) / "config.toml"


@pytest.fixture
def make_project(
    tmp_path_factory: pytest.TempPathFactory, home: Path, user_config: Path, mcpwrap_command: Path
) -> Callable[[], Project]:
    """Makes empty projects whose person lets scripts accept them."""
    user_config.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    user_config.write_text(USER_FILE + setting_of(os.environ), encoding="utf-8")
    make_vault(os.environ)

    def make() -> Project:
        root = tmp_path_factory.mktemp("shop")
        return Project(root=root.resolve(), home=home, command=mcpwrap_command)

    return make


@pytest.fixture
def project(make_project: Callable[[], Project]) -> Project:
    """One empty project."""
    return make_project()
