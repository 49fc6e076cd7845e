"""A real Secret Service on a bus of its own: dbus-daemon and gnome-keyring-daemon with folders of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jeepney import DBusAddress, MatchRule, MessageType, message_bus, new_method_call
from jeepney.io.blocking import DBusConnection, Proxy, open_dbus_connection

from tests.identity.debian import need

NAME = "org.freedesktop.secrets"
DEADLINE_S = 30.0
PASSWORD = "a password of the keyring"


class SecretService:
    """A session bus, and on it the Secret Service once `unlock` was called. Everything is ended when the `with` block is left."""

    def __init__(self, folder: Path) -> None:
        need(("dbus-daemon", "gnome-keyring-daemon", "secret-tool"), ("dbus", "gnome-keyring", "libsecret-tools"))
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        for name in ("data", "config", "cache", "run"):
            (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.env: dict[str, str] = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
        }

    def __enter__(self) -> Self:
        bus = self._start(["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address=1"], stdout=subprocess.PIPE)
        assert bus.stdout is not None
        self.env["DBUS_SESSION_BUS_ADDRESS"] = bus.stdout.readline().decode().strip()
        bus.stdout.close()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in reversed(self._processes):
            # (what the bus started is in its group)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @property
    def address(self) -> str:
        """The bus's."""
        return self.env["DBUS_SESSION_BUS_ADDRESS"]

    def unlock(self, password: str = PASSWORD) -> Self:
        """Start the daemon with the login keyring unlocked by `password`, or made with it where there is none."""
        with open_dbus_connection(self.address) as connection:
            rule = MatchRule(type="signal", interface="org.freedesktop.DBus", member="NameOwnerChanged")
            rule.add_arg_condition(0, NAME)
            Proxy(message_bus, connection, timeout=DEADLINE_S).AddMatch(rule)
            with connection.filter(rule) as owners:
                daemon = self._start(
                    ["gnome-keyring-daemon", "--unlock", "--foreground", "--components=secrets"], stdin=subprocess.PIPE
                )
                assert daemon.stdin is not None
                daemon.stdin.write(password.encode() + b"\n")
                daemon.stdin.close()
                connection.recv_until_filtered(owners, timeout=DEADLINE_S)
            # on a busy machine it has its name before it has its keyring
            deadline = time.monotonic() + DEADLINE_S
            while self._call(connection, "ReadAlias", "s", ("default",)) == ("/",):
                assert time.monotonic() < deadline, "the login keyring never came"
        return self

    def stop(self) -> None:
        """End the daemon; the bus goes on."""
        daemon = self._processes.pop()
        os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait()

    def lock(self) -> None:
        """Lock the login keyring, as a desktop does when its user leaves."""
        with open_dbus_connection(self.address) as connection:
            [path] = self._call(connection, "ReadAlias", "s", ("default",))
            self._call(connection, "Lock", "ao", ([path],))

    def put(self, label: str, attributes: Mapping[str, str], secret: str) -> None:
        """Store an item with another program."""
        pairs = [word for pair in attributes.items() for word in pair]
        command = ["secret-tool", "store", f"--label={label}", *pairs]
        subprocess.run(command, input=secret.encode(), env=self.env, check=True, timeout=DEADLINE_S)

    def get(self, attributes: Mapping[str, str]) -> str | None:
        """Look an item up with another program."""
        pairs = [word for pair in attributes.items() for word in pair]
        found = subprocess.run(
            ["secret-tool", "lookup", *pairs], env=self.env, check=False, timeout=DEADLINE_S, capture_output=True, text=True
        )
        return found.stdout if found.returncode == 0 else None

    @staticmethod
    def _call(connection: DBusConnection, method: str, signature: str, body: tuple[Any, ...]) -> Any:
        address = DBusAddress("/org/freedesktop/secrets", bus_name=NAME, interface="org.freedesktop.Secret.Service")
        message = new_method_call(address, method, signature, body)
        answer = connection.send_and_get_reply(message, timeout=DEADLINE_S)
        assert answer.header.message_type is MessageType.method_return, answer.body
        return answer.body

    def _start(self, argv: list[str], stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            argv,
            env=self.env,
            cwd=self._folder,
            start_new_session=True,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process
