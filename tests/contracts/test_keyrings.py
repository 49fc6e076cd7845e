"""What each keyring that may hold the key does: a real Secret Service, and Windows' and macOS' below the library's own code."""

from __future__ import annotations

import gc
import os
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcpwrap.errors import VaultError
from mcpwrap.identity.keyfile import text_of
from mcpwrap.identity.keyrings import Backend, erase, fetch, store
from tests.contracts.keyrings import BLOB_LIMIT, CredentialLocker, Keychain, macos, windows
from tests.identity.secret_service import SecretService

KEY = os.urandom(32)
OTHER = os.urandom(32)


class Kept:
    """A keyring, how it is made to fail, and how it is made to forget."""

    def __init__(self, backend: Backend, fail: Callable[[], object], forget: Callable[[], object] | None = None) -> None:
        self.backend = backend
        self.fail = fail
        self.forget = forget


@pytest.fixture(params=["secret service", "windows", "macos", "macos denied", "macos without interaction"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    match request.param:
        case "secret service":
            from keyring.backends.SecretService import Keyring

            with SecretService(tmp_path) as service:
                service.unlock()
                monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", service.address)
                yield Kept(Keyring(), service.stop)  # type: ignore[no-untyped-call]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                gc.collect()  # the library leaves its connection open when it fails; our process for it ends then
        case "windows":
            locker = CredentialLocker()
            yield Kept(
                windows(monkeypatch, locker), lambda: setattr(locker, "failing", True), lambda: setattr(locker, "forgetful", True)
            )
        case other:
            keychain = Keychain()
            status = {"macos": -25293, "macos denied": Keychain.DENIED}.get(other, Keychain.NO_INTERACTION)
            yield Kept(
                macos(monkeypatch, keychain),
                lambda: setattr(keychain, "status", status),
                lambda: setattr(keychain, "forgetful", True),
            )


def test_a_key_is_given_back(kept: Kept) -> None:
    store(kept.backend, "one", KEY)
    assert fetch(kept.backend, "one") == KEY


def test_two_names_do_not_meet(kept: Kept) -> None:
    store(kept.backend, "one", KEY)
    store(kept.backend, "two", OTHER)
    assert (fetch(kept.backend, "one"), fetch(kept.backend, "two")) == (KEY, OTHER)
    assert erase(kept.backend, "one")
    assert fetch(kept.backend, "two") == OTHER
    with pytest.raises(VaultError, match="isn't in the system's keyring"):
        fetch(kept.backend, "one")


def test_a_key_is_written_once(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    store(kept.backend, "one", KEY)
    monkeypatch.setattr(kept.backend, "set_password", None)
    store(kept.backend, "one", KEY)
    with pytest.raises(VaultError, match="doesn't give back what was written"):
        store(kept.backend, "one", OTHER)
    assert fetch(kept.backend, "one") == KEY


def test_what_is_not_there_is_said(kept: Kept) -> None:
    assert not erase(kept.backend, "one")
    with pytest.raises(VaultError, match="isn't in the system's keyring") as told:
        fetch(kept.backend, "one")
    assert "--reset" in told.value.hint


def test_something_else_in_the_entry_is_no_key(kept: Kept) -> None:
    for text in ("", "no key", text_of(KEY)[:-2], text_of(KEY + b"x"), "ü" * 44):
        kept.backend.set_password("mcpwrap", "one", text)
        with pytest.raises(VaultError, match=r"holds no key|isn't in"):
            fetch(kept.backend, "one")


def test_every_failure_is_one_of_ours_and_quotes_nothing(kept: Kept) -> None:
    store(kept.backend, "one", KEY)
    kept.fail()
    for use in (
        lambda: fetch(kept.backend, "one"),
        lambda: store(kept.backend, "one", KEY),
        lambda: store(kept.backend, "two", OTHER),
        lambda: erase(kept.backend, "one"),
    ):
        with pytest.raises(VaultError) as told:
            use()
        whole = "".join(traceback.format_exception(told.value)) + told.value.hint
        assert text_of(KEY) not in whole
        assert text_of(OTHER) not in whole
        assert told.value.hint


def test_a_failure_while_writing_quotes_nothing(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept.backend, "get_password", lambda service, name: None)
    kept.fail()
    with pytest.raises(VaultError, match=r"can't be written|locked") as told:
        store(kept.backend, "one", KEY)
    assert text_of(KEY) not in "".join(traceback.format_exception(told.value)) + told.value.hint


def test_a_keyring_that_forgets_is_noticed(kept: Kept) -> None:
    if kept.forget is None:
        pytest.skip("a real one doesn't")
    store(kept.backend, "one", KEY)
    kept.forget()
    with pytest.raises(VaultError, match="still has the entry"):
        erase(kept.backend, "one")
    with pytest.raises(VaultError, match="doesn't give back what was written"):
        store(kept.backend, "two", OTHER)


def test_the_key_fits_where_the_least_fits_and_a_token_would_not() -> None:
    assert len(text_of(KEY).encode("utf-16-le")) == 88
    assert len(("x" * 1281).encode("utf-16-le")) > BLOB_LIMIT
    with pytest.MonkeyPatch.context() as patch:
        backend = windows(patch, CredentialLocker())
        with pytest.raises(Exception, match="bad data"):
            backend.set_password("mcpwrap", "one", "x" * 1281)
