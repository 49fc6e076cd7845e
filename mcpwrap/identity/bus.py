"""The Secret Service, read over D-Bus without a library of keyrings (freedesktop.org Secret Service API, draft 0.2).

A shim starts with every server each time a client starts. Through `keyring` one read costs 0.3 s; here some 30 ms, most of them
importing `jeepney`, which knows how a message looks. The socket and the clock are ours: every step ends within one time limit, and
nothing here ever starts a prompt, for nobody sits in front of a shim. Writing is done through `keyring`
(`mcpwrap.identity.keyrings`); what that wrote is found by the same attributes.

Whose bus it is isn't taken on trust. The address may come from a variable that somebody else set, or from a file, so only unix
sockets count (an address can name a program to start), and the other side must be a process of this user's. Which key came back is
checked against the vault's header by who asked for it.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import unquote

from mcpwrap.errors import VaultError
from mcpwrap.identity.ledger import ANEW_HINT

SERVICE: Final = "mcpwrap"
"""Under which `keyring` files the entry; the user name is the vault's epoch, so that two vaults of one person don't meet."""

LIMIT_S: Final = 3.0
"""All that is asked of a keyring together may take this long: a Secret Service without a usable collection never answers."""

_REPLY_LIMIT: Final = 1 << 20
"""Bytes that a bus may send in one conversation; it has a few hundred to say."""

_ITEM_LIMIT: Final = 8
"""Entries of one name that are looked at; there is one."""

_NAME: Final = "org.freedesktop.secrets"
_PATH: Final = "/org/freedesktop/secrets"
_IFACE: Final = "org.freedesktop.Secret."

T = TypeVar("T")

AGAIN: Final = "and look again with `mcpwrap vault status`"

LOST_HINT: Final = f"be the user, on the machine, that made the vault; or where its key is lost {ANEW_HINT}"
"""Remedies, as an agent may pass them on: each can stand after "ask the user to"."""


class Unreachable(VaultError):
    """No bus, or no Secret Service on it, or no answer in time."""


class Missing(VaultError):
    """The Secret Service answers, and the entry isn't there."""


class Locked(VaultError):
    """The keyring is locked, and only its owner can unlock it."""


def addresses(env: Mapping[str, str], recorded: str = "") -> list[str]:
    """Where the session bus may be, the likeliest first: the variable, the user's own socket, what was recorded.

    An AI client starts servers with a handful of variables, so that the first is often not there.
    """
    found = [env.get("DBUS_SESSION_BUS_ADDRESS", ""), "", recorded]
    if hasattr(os, "geteuid"):
        path = f"/run/user/{os.geteuid()}/bus"
        with suppress(OSError):
            there = os.lstat(path)
            if stat.S_ISSOCK(there.st_mode) and there.st_uid == os.geteuid():
                found[1] = f"unix:path={path}"
    return list(dict.fromkeys(address for address in found if address))


def read(env: Mapping[str, str], name: str, recorded: str = "") -> tuple[list[str], str]:
    """What the entries `name` hold (there is one, unless somebody put others beside it), and the address of the bus.

    Raises:
        Locked: the keyring is locked.
        Missing: there is no such entry.
        Unreachable: there is nobody to ask, or no answer in time.
    """
    return _first(env, recorded, lambda bus: bus.secrets(name))


def usable(env: Mapping[str, str], recorded: str = "") -> str:
    """The address of a bus whose Secret Service has an unlocked default keyring.

    Raises:
        Locked, Missing, Unreachable: there is none.
    """
    return _first(env, recorded, Bus.check_default)[1]


def _first(env: Mapping[str, str], recorded: str, ask: Callable[[Bus], T]) -> tuple[T, str]:
    deadline = time.monotonic() + LIMIT_S
    told: list[Locked | Missing | Unreachable] = []
    for address in addresses(env, recorded):
        try:
            with Bus(address, deadline) as bus:
                return ask(bus), address
        except (Locked, Missing, Unreachable) as error:
            told.append(error)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            # an answer of another shape than the specification's
            told.append(odd(error))
    # the most telling one: a keyring that is locked says more than a bus that isn't there
    raise min(told, key=lambda error: (Locked, Missing, Unreachable).index(type(error))) if told else no_bus()


def no_bus() -> Unreachable:
    """Nowhere to look."""
    return Unreachable(
        "there is no session bus here to ask the system's keyring through",
        hint=f"sign in to the desktop, or set DBUS_SESSION_BUS_ADDRESS, {AGAIN}",
    )


class Bus:
    """One conversation with a session bus, over by `deadline` (of `time.monotonic`).

    Raises:
        Unreachable: it can't be had, or isn't this user's.
    """

    def __init__(self, address: str, deadline: float) -> None:
        from jeepney import Parser

        self._deadline = deadline
        self._parser = Parser()
        self._serial = 0
        self._received = 0
        self._socket = self._connect(address)
        try:
            self._authenticate()
            self._call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello")
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()

    def secrets(self, name: str) -> list[str]:
        """What the entries `name` hold.

        Raises:
            Locked, Missing, Unreachable: see `read`.
        """
        wanted = {"service": SERVICE, "username": name}
        unlocked, locked = self._strings(self._service("SearchItems", "a{ss}", (wanted,)), 2)
        if not unlocked:
            if not locked:
                self.check_default()  # a keyring that was never made or is locked as a whole explains it better
                raise Missing(
                    "the installation's key isn't in the system's keyring",
                    hint=LOST_HINT,
                )
            raise _locked()
        session = self._service("OpenSession", "sv", ("plain", ("s", "")))[1]
        [found] = self._service("GetSecrets", "aoo", (unlocked[:_ITEM_LIMIT], session))
        values: list[str] = []
        for secret in found.values():
            with suppress(UnicodeDecodeError):
                values.append(bytes(secret[2]).decode("ascii"))
        return values

    def check_default(self) -> None:
        """Check that the default keyring is there and unlocked.

        Raises:
            Locked, Missing, Unreachable: it isn't.
        """
        [path] = self._service("ReadAlias", "s", ("default",))
        if path == "/":
            raise Missing(
                "the Secret Service has no default keyring",
                hint=f"make one in the desktop's password settings (`seahorse`), {AGAIN}",
            )
        [value] = self._call(_NAME, path, "org.freedesktop.DBus.Properties", "Get", "ss", (_IFACE + "Collection", "Locked"))
        if value[1]:
            raise _locked()

    # the parts

    def _service(self, method: str, signature: str, body: tuple[Any, ...]) -> Any:
        return self._call(_NAME, _PATH, _IFACE + "Service", method, signature, body)

    @staticmethod
    def _strings(body: Sequence[Any], count: int) -> list[list[str]]:
        lists = [[str(path) for path in part] for part in body]
        if len(lists) != count:
            raise odd()
        return lists

    def _connect(self, address: str) -> socket.socket:
        for part in address.split(";"):
            kind, _, rest = part.partition(":")
            options = dict(pair.partition("=")[::2] for pair in rest.split(","))
            path = options.get("path") or ("\0" + options["abstract"] if options.get("abstract") else "")
            # (unixexec and autolaunch would start a program, tcp leaves the machine)
            if kind != "unix" or not path:
                continue
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.settimeout(self._left())
                connection.connect(unquote(path))
                _check_peer(connection)
            except (OSError, ValueError):
                connection.close()
                continue
            except BaseException:
                connection.close()
                raise
            return connection
        raise Unreachable(f"there is no session bus at `{address}`", hint=no_bus().hint)

    def _authenticate(self) -> None:
        # SASL EXTERNAL: the kernel says who we are (D-Bus specification, "Authentication Protocol")
        self._send(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n")
        line = b""
        while not line.endswith(b"\r\n"):
            line += self._receive(1)
            if len(line) > 1024:
                raise odd()
        if not line.startswith(b"OK "):
            raise Unreachable("the session bus doesn't let this user in", hint=no_bus().hint)
        self._send(b"BEGIN\r\n")

    def _call(
        self, name: str, path: str, interface: str, method: str, signature: str | None = None, body: tuple[Any, ...] = ()
    ) -> Any:
        from jeepney import DBusAddress, HeaderFields, MessageType, new_method_call

        message = new_method_call(DBusAddress(path, bus_name=name, interface=interface), method, signature, body)
        self._serial += 1
        self._send(message.serialise(serial=self._serial))
        while True:
            try:
                answer = self._parser.get_next_message()
            except Exception as error:  # whatever a parser raises over garbage
                raise odd() from error
            if answer is None:
                self._parser.add_data(self._receive(4096))
                continue
            if answer.header.fields.get(HeaderFields.reply_serial) != self._serial:
                continue  # signals
            if answer.header.message_type is MessageType.error:
                raise _refused(str(answer.header.fields.get(HeaderFields.error_name, "")))
            return answer.body

    def _send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(self._left())
            self._socket.sendall(data)
        except TimeoutError as error:
            raise _late() from error
        except OSError as error:
            raise Unreachable("the session bus hung up", hint=no_bus().hint) from error

    def _receive(self, most: int) -> bytes:
        try:
            self._socket.settimeout(self._left())
            data = self._socket.recv(most)
        except TimeoutError as error:
            raise _late() from error
        except OSError as error:
            raise Unreachable("the session bus hung up", hint=no_bus().hint) from error
        self._received += len(data)
        if not data or self._received > _REPLY_LIMIT:
            raise Unreachable("the session bus hung up", hint=no_bus().hint)
        return data

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise _late()
        return left


def _check_peer(connection: socket.socket) -> None:
    if not hasattr(socket, "SO_PEERCRED"):
        return  # NOTE: not on Linux; keyrings there aren't read over D-Bus
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    if uid != os.geteuid():
        raise Unreachable("the session bus belongs to another user", hint="run it as the user who is signed in, without sudo")


def _locked() -> Locked:
    return Locked("the system's keyring is locked", hint=f"unlock it (the desktop does at sign-in), {AGAIN}")


def _late() -> Unreachable:
    return Unreachable(
        f"the system's keyring didn't answer within {LIMIT_S:.0f} s",
        hint=f"look whether it waits for an answer (`seahorse`), {AGAIN}",
    )


def odd(error: Exception | None = None) -> Unreachable:
    """Something else than D-Bus or the Secret Service answers."""
    told = Unreachable("what answers on the session bus isn't a Secret Service", hint=no_bus().hint)
    told.__cause__ = error
    return told


def _refused(name: str) -> VaultError:
    if name == _IFACE + "Error.IsLocked":
        return _locked()
    if name == "org.freedesktop.DBus.Error.ServiceUnknown":
        return Unreachable(
            "there is no Secret Service on the session bus", hint=f"start one (gnome-keyring, KeePassXC, KWallet), {AGAIN}"
        )
    return Unreachable(
        f"the Secret Service doesn't answer: {name[:200]}", hint=f"look at it with the desktop's password program, {AGAIN}"
    )
