"""The key in a real Secret Service, through the real command: trusted on the desktop, started by a client that passes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.shim import Shim
from tests.delivery.desk import Desk, ask, eventually, told
from tests.delivery.test_ways import good
from tests.identity.secret_service import SecretService
from tests.project import Project
from tests.vaults import key_file_of


@pytest.fixture
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecretService]:
    """A session bus of its own."""
    with SecretService(tmp_path_factory.mktemp("desktop")) as service:
        yield service


class Desktop(Desk):
    """A person whose key lies in the keyring."""

    def set_up(self, service: SecretService) -> None:
        """The first `trust` makes the key, in the person's own shell."""
        config = self.project.home / ".config/mcpwrap/config.toml"
        config.write_text("[trust]\nscripted = true\n", encoding="utf-8")
        self.forget()
        self.write(self.minted("file", 120))
        digest = self.run("check", "--json").split('"digest": "')[1].split('"')[0]
        self.run("trust", "--digest", digest, DBUS_SESSION_BUS_ADDRESS=service.address)

    def forget(self) -> None:
        """No vault yet."""
        for folder in (".local/state/mcpwrap/vault", ".local/share/mcpwrap"):
            for path in sorted((self.project.home / folder).rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()


@pytest.fixture
def desktop(project: Project) -> Desktop:
    return Desktop(project)


def why(shim: Shim) -> str:
    return str(shim.call("mcpwrap_status")["result"]["content"][0]["text"])


def test_what_was_trusted_on_the_desktop_runs_below_a_client_that_passes_no_bus_on(
    desktop: Desktop, service: SecretService
) -> None:
    service.unlock()
    desktop.set_up(service)
    assert not list((desktop.project.home / ".local/share/mcpwrap").glob("*.key"))
    assert "DBUS_SESSION_BUS_ADDRESS" not in desktop.project.env
    with desktop.shim() as shim:
        shim.open()
        told(ask(shim, 1, "file", stateless=False))


def test_a_key_that_is_away_holds_the_session_until_it_is_back(desk: Desk) -> None:
    desk.define(desk.minted("file", 120))
    key = key_file_of(desk.project.env)
    key.rename(key.with_suffix(".away"))
    with desk.shim() as shim:
        shim.open()
        assert shim.tools() == ["mcpwrap_status"]
        assert str(key) in why(shim)
        assert desk.starts == 0
        key.with_suffix(".away").rename(key)
        eventually(lambda: shim.call("whoami", way="file"), good)


def test_a_locked_keyring_holds_the_session_asks_nobody_and_starts_nothing(desktop: Desktop, service: SecretService) -> None:
    service.unlock()
    desktop.set_up(service)
    service.lock()
    with desktop.shim(DBUS_SESSION_BUS_ADDRESS=service.address) as shim:
        shim.open()
        assert "locked" in why(shim)
    assert desktop.starts == 0


def test_a_server_isnt_started_with_another_bus_that_has_another_key(
    desktop: Desktop, service: SecretService, tmp_path_factory: pytest.TempPathFactory
) -> None:
    service.unlock()
    desktop.set_up(service)
    with SecretService(tmp_path_factory.mktemp("stranger")) as stranger:
        stranger.unlock()
        epoch = next(Path(desktop.project.home / ".local/share/mcpwrap").glob("anchor-*")).name.removeprefix("anchor-")
        stranger.put("mcpwrap", {"service": "mcpwrap", "username": epoch}, "QUJD" * 11)
        with desktop.shim(DBUS_SESSION_BUS_ADDRESS=stranger.address) as shim:
            shim.open()
            assert shim.tools() == ["mcpwrap_status"]
    assert desktop.starts == 0
