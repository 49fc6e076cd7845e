"""The operating system's keyring, through the library `keyring`, in a process apart (IDENTITY.md §2).

The library may do what a shim can't afford: wait for a person for ever, ask for a password, load whatever a variable or a file
names, and, where something else is installed, keep passwords in plain text. So it is used in a process of its own that has one task
and a time limit and is killed with whatever it started; and only the known keyrings of operating systems are used, chosen here by
their class. What `PYTHON_KEYRING_BACKEND` or keyringrc.cfg name is looked at as a text before anything is imported: one of the
known ones counts, anything else is refused with its name.

The parent's half is at the top (it imports none of this), the other process's half below (`answer`).
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol

import msgspec

from mcpwrap.core.visible import spell_out
from mcpwrap.errors import VaultError
from mcpwrap.identity.bus import AGAIN, LIMIT_S, LOST_HINT, SERVICE, Locked, Missing, Unreachable, usable
from mcpwrap.identity.keyfile import key_in, text_of
from mcpwrap.identity.ledger import ANEW_HINT
from mcpwrap.identity.vault import SECRET_SERVICE

KNOWN: Final[Mapping[str, str]] = {
    "keyring.backends.SecretService.Keyring": SECRET_SERVICE,
    "keyring.backends.libsecret.Keyring": SECRET_SERVICE,
    "keyring.backends.kwallet.DBusKeyring": "KWallet",
    "keyring.backends.kwallet.DBusKeyringKWallet4": "KWallet",
    "keyring.backends.macOS.Keyring": "macOS Keychain",
    "keyring.backends.Windows.WinVaultKeyring": "Windows Credential Locker",
}
"""The class of each keyring that may hold the key, and what people call it."""

_CHAINER: Final = "keyring.backends.chainer.ChainerBackend"
"""Asks the others one after the other; here one of the known ones is chosen instead."""

NO_KEYRING: Final = "there is no system keyring here to keep the installation's key in"
INIT_HINT: Final = "run `mcpwrap vault init --key-file PATH` (or --passphrase)"

_REPLY_LIMIT: Final = 64 * 1024
_START_S: Final = 4.0
"""For the other process to start and to import, which takes 0.3 s on an idle machine. The keyring's own 3 s come after."""

Op = Literal["probe", "read", "write", "remove"]


class Backend(Protocol):
    """What is used of a keyring of the library's."""

    def get_password(self, service: str, username: str) -> str | None: ...

    def set_password(self, service: str, username: str, password: str) -> None: ...

    def delete_password(self, service: str, username: str) -> None: ...


class Probe(msgspec.Struct, frozen=True):
    """What people call the keyring that is here, "" where there is none; then `why`."""

    backend: str
    why: str = ""
    hint: str = ""


class _Request(msgspec.Struct, frozen=True):
    op: Op
    name: str = ""
    key: bytes = b""
    bus: str = ""
    backend: str = ""

    def __repr__(self) -> str:
        return f"_Request({self.op})"


class _Reply(msgspec.Struct, frozen=True):
    """`why` is "" where it was done."""

    backend: str = ""
    key: bytes = b""
    done: bool = True
    why: str = ""
    hint: str = ""

    def __repr__(self) -> str:
        return f"_Reply({self.backend})"


def probe_keyring(env: Mapping[str, str]) -> Probe:
    """The keyring that is here and answers, within the time limit and without asking anybody."""
    try:
        return Probe(_apart(_Request("probe"), env).backend)
    except VaultError as error:
        return Probe("", str(error), error.hint)


def read_entry(env: Mapping[str, str], name: str, backend: str) -> bytes:
    """The key in the entry `name` of `backend` (what people call it).

    Raises:
        VaultError: there is none, or the keyring can't be used.
    """
    return _apart(_Request("read", name, backend=backend), env).key


def write_entry(env: Mapping[str, str], name: str, key: bytes, bus: str = "") -> str:
    """Keep `key` in the entry `name`; what people call the keyring. `bus` is the address of the session bus, where it is known.

    Raises:
        VaultError: it can't be kept there.
    """
    return _apart(_Request("write", name, key, bus), env).backend


def remove_entry(env: Mapping[str, str], name: str, backend: str, bus: str = "") -> bool:
    """Take the entry `name` of `backend` away; False where there was none.

    Raises:
        VaultError: it can't be taken away.
    """
    return _apart(_Request("remove", name, bus=bus, backend=backend), env).done


# the process apart, seen from here

_BOOT: Final = "import sys; sys.path[:0] = sys.argv[1:]; from mcpwrap.identity.keyrings import main; main()"


def _apart(request: _Request, env: Mapping[str, str]) -> _Reply:
    import subprocess

    # -I: neither the working folder nor PYTHONPATH is imported from; where this program itself lies is told
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _BOOT, *dict.fromkeys((home, *_packages()))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(env),
            start_new_session=True,
        )
    except OSError as error:
        raise VaultError(f"the process that asks the keyring can't be started: {error.strerror}") from error
    try:
        data = _talk(process, msgspec.json.encode(request))
        return _done(msgspec.json.decode(data, type=_Reply))
    except (OSError, ValueError) as error:
        raise VaultError("the process that asks the keyring ended without an answer", hint=INIT_HINT) from error
    finally:
        _end(process)


def _talk(process: Any, request: bytes) -> bytes:
    """Send the request and read to the end of the answer, which must come in time."""
    import threading
    import time

    # a thread, for a pipe has no time limit on Windows; it ends with the pipe, which ends with the process
    parts: list[bytes] = []
    deadline = time.monotonic() + _START_S + LIMIT_S
    process.stdin.write(request + b"\n")
    process.stdin.flush()
    reader = threading.Thread(target=lambda: parts.append(process.stdout.readline(_REPLY_LIMIT)), daemon=True)
    reader.start()
    reader.join(deadline - time.monotonic())
    if not parts:
        raise VaultError(
            f"the system's keyring didn't answer within {LIMIT_S:.0f} s",
            hint=f"look whether it waits for an answer in the desktop; or {INIT_HINT}",
        )
    return parts[0]


def _end(process: Any) -> None:
    """Kill the process with whatever it started, and don't wait for what holds its pipes."""
    import contextlib
    import signal

    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with contextlib.suppress(OSError):
        process.stdin.close()
    process.stdout.close()


def _done(reply: _Reply) -> _Reply:
    if reply.why:
        raise VaultError(reply.why, hint=reply.hint)
    return reply


def _packages() -> list[str]:
    # a user's own packages (pip install --user) are left out by -I; where ours lie the others do
    import importlib.util

    spec = importlib.util.find_spec("keyring")
    return [os.path.dirname(os.path.dirname(spec.origin))] if spec is not None and spec.origin else []


# the process apart itself


def main() -> None:
    """One request on standard input, one reply on standard output."""
    line = sys.stdin.buffer.readline(_REPLY_LIMIT)
    reply = answer(msgspec.json.decode(line, type=_Request), os.environ)
    sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
    sys.stdout.buffer.flush()


def answer(request: _Request, env: Mapping[str, str]) -> _Reply:
    """Do what `request` says with the keyring that is here, within `LIMIT_S`."""
    import threading

    for path in KNOWN:
        _class(path)
    # all is imported; from here on it is the keyring that takes its time
    replies: list[_Reply] = []
    worker = threading.Thread(target=lambda: replies.append(_answer(request, env)), daemon=True)
    worker.start()
    worker.join(LIMIT_S)
    if replies:
        return replies[0]
    return _Reply(
        why=f"the system's keyring didn't answer within {LIMIT_S:.0f} s",
        hint=f"look whether it waits for an answer in the desktop; or {INIT_HINT}",
    )


def _answer(request: _Request, env: Mapping[str, str]) -> _Reply:
    try:
        backend, name = choose(env, request.bus, request.backend)
        match request.op:
            case "probe":
                return _Reply(name)
            case "read":
                return _Reply(name, key=fetch(backend, request.name))
            case "write":
                store(backend, request.name, request.key)
                return _Reply(name)
            case "remove":  # pragma: no branch - there is no other
                return _Reply(name, done=erase(backend, request.name))
    except VaultError as error:
        return _Reply(why=str(error), hint=error.hint)
    except Exception as error:  # noqa: BLE001 - without an answer the other side would wait to the end
        return _Reply(why=f"the system's keyring can't be asked: {type(error).__name__}", hint=INIT_HINT)


def choose(env: Mapping[str, str], bus: str = "", only: str = "") -> tuple[Backend, str]:
    """The best of the known keyrings that works here (of those that people call `only`, where it is given), and its name.

    Raises:
        VaultError: none does, or something else was named.
    """
    named = env.get("PYTHON_KEYRING_BACKEND") or _configured()
    if named and named not in KNOWN and named != _CHAINER:
        raise VaultError(
            f"`{spell_out(named, limit=120)}` is no keyring that the key may lie in",
            hint=f"unset PYTHON_KEYRING_BACKEND, or change `default-keyring` in keyringrc.cfg; or {INIT_HINT}",
        )
    why: VaultError | None = None
    if sys.platform == "linux":
        # before the library asks, for its asking waits: for an unlocked keyring, or for one that isn't there to be made
        try:
            os.environ["DBUS_SESSION_BUS_ADDRESS"] = usable(env, bus)
        except (Locked, Missing, Unreachable) as error:
            why = error
    found: list[tuple[float, Any, str]] = []
    for path in [named] if named in KNOWN else KNOWN:
        if (KNOWN[path] == SECRET_SERVICE and why is not None) or only not in ("", KNOWN[path]):
            continue
        cls = _class(path)
        if cls is not None:
            try:
                found.append((float(cls.priority), cls, path))
            except Exception:  # noqa: BLE001, S112 - whatever a keyring raises that can't work here
                continue
    if not found:
        if isinstance(why, Locked):
            raise why
        if isinstance(why, Missing):
            raise VaultError(f"{NO_KEYRING}: {why}", hint=f"{why.hint}; or {INIT_HINT}") from why
        if only:
            raise VaultError(
                f"the installation's key lies in the {only}, and that isn't here",
                hint=f"bring it back, or {ANEW_HINT}",
            ) from why
        raise VaultError(NO_KEYRING, hint=INIT_HINT) from why
    _, cls, path = max(found, key=lambda each: each[0])
    return cls(), KNOWN[path]


def fetch(backend: Backend, name: str) -> bytes:
    """The key in the entry `name` of `backend`.

    Raises:
        VaultError: there is none, or the keyring can't be used.
    """
    try:
        text = backend.get_password(SERVICE, name)
    except Exception as error:  # noqa: BLE001 - Windows' errors are no errors of the library's
        raise _failed("read", error) from None
    if text is None:
        raise VaultError(
            "the installation's key isn't in the system's keyring",
            hint=LOST_HINT,
        )
    key = key_in(text)
    if key is None:
        raise VaultError("the entry in the system's keyring holds no key", hint=f"put the key back, or {ANEW_HINT}")
    return key


def store(backend: Backend, name: str, key: bytes) -> None:
    """Keep `key` in the entry `name` of `backend`, and see that it is there.

    Raises:
        VaultError: it can't be kept there, or another key lies there.
    """
    try:
        there = backend.get_password(SERVICE, name)
        if there is None:
            # written once: some keyrings delete and add where there is one already, and lose it if they are killed in between
            backend.set_password(SERVICE, name, text_of(key))
            there = backend.get_password(SERVICE, name)
    except Exception as error:  # noqa: BLE001 - as in fetch
        raise _failed("written", error) from None
    if there is None or key_in(there) != key:
        raise VaultError("the system's keyring doesn't give back what was written", hint=INIT_HINT)


def erase(backend: Backend, name: str) -> bool:
    """Take the entry `name` away; False where there was none.

    Raises:
        VaultError: it can't be taken away.
    """
    try:
        if backend.get_password(SERVICE, name) is None:
            return False
        backend.delete_password(SERVICE, name)
        if backend.get_password(SERVICE, name) is not None:
            raise VaultError("the system's keyring still has the entry", hint=f"take `{SERVICE}` out of it by hand")
    except VaultError:
        raise
    except Exception as error:  # noqa: BLE001 - as in fetch
        raise _failed("taken out", error) from None
    return True


def _failed(what: str, error: Exception) -> VaultError:
    # the library's error may quote anything: its kind and its number are all that is told
    kind = type(error).__name__
    if kind == "KeyringLocked":
        return Locked(
            "the system's keyring is locked",
            hint=f"unlock it (the desktop does at sign-in), {AGAIN}",
        )
    number = next((a for a in error.args if isinstance(a, int)), None)
    told = kind if number is None else f"{kind} {number}"
    return VaultError(
        f"the key can't be {what} in the system's keyring: {told}", hint=f"look at it with the system's own program; or {INIT_HINT}"
    )


def _class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception:  # noqa: BLE001 - a module for another platform
        return None


def _configured() -> str:
    """What keyringrc.cfg names; the file's `keyring-path`, from which the library would import, isn't looked at."""
    import configparser

    from keyring.util.platform_ import config_root

    config = configparser.RawConfigParser()
    try:
        config.read(config_root() / "keyringrc.cfg", encoding="utf-8")
        return config.get("backend", "default-keyring").strip()
    except (configparser.Error, OSError, ValueError):
        return ""
