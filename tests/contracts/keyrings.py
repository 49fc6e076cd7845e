"""Keyrings of systems that don't run here, as their documentation has them, below the library's own code for them."""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
from typing import Any

import pytest

BLOB_LIMIT = 5 * 512
"""CRED_MAX_CREDENTIAL_BLOB_SIZE: bytes; the library writes UTF-16, which makes 1,280 characters."""

NOT_FOUND = 1168
BAD_DATA = 1783
NO_SESSION = 1312


class WindowsError(Exception):
    """pywintypes.error: number, function, text; no error of the library's."""

    def __init__(self, winerror: int, funcname: str, strerror: str) -> None:
        super().__init__(winerror, funcname, strerror)
        self.winerror, self.funcname, self.strerror = winerror, funcname, strerror


class CredentialLocker:
    """The Windows Credential Locker: one generic credential a target name. `failing` makes every call fail, and quotes its data."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.failing = False
        self.forgetful = False

    def read(self, **call: Any) -> dict[str, Any]:
        self._fail("CredRead", call)
        try:
            return self.kept[call["TargetName"]]
        except KeyError:
            raise WindowsError(NOT_FOUND, "CredRead", "Element not found.") from None

    def write(self, credential: dict[str, Any], flags: int) -> None:
        self._fail("CredWrite", credential)
        blob = credential["CredentialBlob"].encode("utf-16-le")
        if len(blob) > BLOB_LIMIT:
            raise WindowsError(BAD_DATA, "CredWrite", "The stub received bad data.")
        if not self.forgetful:
            self.kept[credential["TargetName"]] = {**credential, "CredentialBlob": blob}

    def delete(self, **call: Any) -> None:
        self._fail("CredDelete", call)
        if not self.forgetful and self.kept.pop(call["TargetName"], None) is None:
            raise WindowsError(NOT_FOUND, "CredDelete", "Element not found.")

    def _fail(self, function: str, data: object) -> None:
        if self.failing:
            raise WindowsError(NO_SESSION, function, f"A specified logon session does not exist: {data}")


def windows(patch: pytest.MonkeyPatch, locker: CredentialLocker) -> Any:
    """The library's keyring for Windows above `locker`."""
    pywintypes = types.ModuleType("pywintypes")
    pywintypes.error = WindowsError  # type: ignore[attr-defined]
    win32cred = types.ModuleType("win32cred")
    vars(win32cred).update(
        CRED_TYPE_GENERIC=1,
        CRED_PERSIST_ENTERPRISE=3,
        CredRead=locker.read,
        CredWrite=locker.write,
        CredDelete=locker.delete,
    )
    package = types.ModuleType("win32ctypes.pywin32")
    vars(package).update(pywintypes=pywintypes, win32cred=win32cred)
    for name, module in {
        "win32ctypes": types.ModuleType("win32ctypes"),
        "win32ctypes.pywin32": package,
        "win32ctypes.pywin32.pywintypes": pywintypes,
        "win32ctypes.pywin32.win32cred": win32cred,
    }.items():
        patch.setitem(sys.modules, name, module)
    return _fresh(patch, "keyring.backends.Windows").WinVaultKeyring()


class Keychain:
    """The macOS Keychain: items are added, not replaced. `status` is what every call ends with, 0 where it works."""

    DUPLICATE = -25299
    NOT_FOUND = -25300
    DENIED = -128
    NO_INTERACTION = -25308

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.status = 0
        self.forgetful = False

    def add(self, key: tuple[str, str], password: str) -> int:
        if key in self.kept:
            return self.DUPLICATE
        if not self.forgetful:
            self.kept[key] = password
        return self.status

    def delete(self, key: tuple[str, str]) -> int:
        if key not in self.kept:
            return self.status or self.NOT_FOUND
        if not self.forgetful and not self.status:
            del self.kept[key]
        return self.status


def macos(patch: pytest.MonkeyPatch, keychain: Keychain) -> Any:
    """The library's keyring for macOS above `keychain`."""

    class Error(Exception):
        pass

    class NotFound(Error):
        pass

    class KeychainDenied(Error):
        pass

    def check(status: int, text: str) -> None:
        if status:
            kind = {Keychain.NOT_FOUND: NotFound, Keychain.DENIED: KeychainDenied}.get(status, Error)
            raise kind(status, f"Unknown Error: {text}")

    def find(_: object, service: str, name: str) -> str:
        check(keychain.status, "")
        if (service, name) not in keychain.kept:
            raise NotFound(Keychain.NOT_FOUND, "Item not found")
        return keychain.kept[service, name]

    def delete(_: object, service: str, name: str) -> None:
        check(keychain.delete((service, name)), "")

    def set_(_: object, service: str, name: str, password: str) -> None:
        with contextlib.suppress(NotFound):
            delete(_, service, name)
        check(keychain.add((service, name), password), password)

    api = types.SimpleNamespace(
        Error=Error,
        NotFound=NotFound,
        KeychainDenied=KeychainDenied,
        find_generic_password=find,
        set_generic_password=set_,
        delete_generic_password=delete,
    )
    module = _fresh(patch, "keyring.backends.macOS")
    patch.setattr(module, "api", api, raising=False)
    return module.Keyring()


def _fresh(patch: pytest.MonkeyPatch, name: str) -> Any:
    import keyring.backends

    patch.delitem(sys.modules, name, raising=False)
    before = vars(keyring.backends).copy()
    module = importlib.import_module(name)
    # the next one to import it gets what it would have got
    patch.delitem(sys.modules, name)
    for attribute in set(vars(keyring.backends)) - set(before):
        delattr(keyring.backends, attribute)
    return module
