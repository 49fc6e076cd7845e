"""A canary in every place that holds a secret: nothing that is printed, formatted, raised or logged sings (IDENTITY.md §4)."""

from __future__ import annotations

import base64
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from mcpwrap.errors import McpwrapError
from mcpwrap.identity import keyfile, keyrings, passphrase
from mcpwrap.identity.keys import make_vault, open_vault
from mcpwrap.identity.logins import AccessToken, Card, LoginSecrets, LoginStore
from mcpwrap.identity.secrets import SecretStore
from mcpwrap.identity.vault import Header, Item, Places, Vault, create
from mcpwrap.secret import Secret

CANARY = "canary-7f3a9c41"
KEY = b"canary-key-8d2e-" * 2
ONE = Item("signing", "local", "one")
SONGS = (CANARY, CANARY[:-3], KEY.decode()[:14], KEY.hex()[:20], base64.b64encode(KEY).decode()[:20])


def silent(text: str) -> None:
    for song in SONGS:
        assert song not in text


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    made = create(Places(str(tmp_path / "s"), str(tmp_path / "d")), Header("file", str(tmp_path / "key"), "e"), KEY)
    made.put(ONE, CANARY.encode())
    SecretStore(made).set("/shop", "git", "TOKEN", Secret(CANARY))
    LoginStore(made).put(Card("p", "i", "c", "browser", "ann"), secrets())
    return made


def secrets() -> LoginSecrets:
    token = AccessToken(CANARY, 1.0, 0.0)
    return LoginSecrets("i", "c", "t", refresh_token=CANARY, client_secret=CANARY, access={CANARY: token})


def test_nothing_that_holds_a_secret_shows_it(vault: Vault) -> None:
    shown = [
        vault,
        vault._ledger,
        vault.header,
        SecretStore(vault),
        SecretStore(vault).list(),
        SecretStore(vault).get("/shop", "git", "TOKEN"),
        LoginStore(vault),
        secrets(),
        secrets().access[CANARY],
        keyrings._Request("write", "one", KEY),
        keyrings._Reply("b", key=KEY),
        passphrase.given({"MCPWRAP_PASSPHRASE": CANARY}, None),
        ONE,
    ]
    for each in shown:
        for text in (repr(each), str(each), f"{each}", "%s %r" % (each, each), repr([each]), repr({"a": each})):  # noqa: UP031
            silent(text)


def broken(vault: Vault) -> list[Callable[[], object]]:
    item, header, ledger = Path(vault.path(ONE)), Path(vault.places.header), Path(vault.places.vault, "ledger")

    def with_bytes(path: Path, data: bytes, use: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            before = path.read_bytes()
            path.write_bytes(data)
            try:
                use()
            finally:
                path.write_bytes(before)

        return run

    payload = msgspec.json.encode({"item": {"kind": CANARY}, "count": CANARY})
    return [
        with_bytes(item, payload, lambda: vault.get(ONE)),
        with_bytes(item, CANARY.encode(), lambda: vault.get(ONE)),
        with_bytes(header, CANARY.encode(), lambda: open_vault(vault.places, "keyring", {})),
        with_bytes(ledger, CANARY.encode(), lambda: vault.put(ONE, CANARY.encode())),
        lambda: vault.unseal("a", "b", CANARY.encode() * 9),
        lambda: vault.put(ONE, CANARY.encode() * 100_000),
        lambda: Vault(vault.places, vault.header, KEY + KEY),
        lambda: SecretStore(vault).set("/shop", "git", "TOKEN", Secret(CANARY + "\0")),
        lambda: SecretStore(vault).set("/shop", "git", "TOKEN", Secret(CANARY + "\ud800")),
        lambda: passphrase.unwrap(vault.header, Secret(CANARY)),
        lambda: passphrase.wrap(vault.header, KEY, Secret(CANARY[:9])),
        lambda: make_vault(vault.places, "passphrase", {}, passphrase=Secret(CANARY)),
        lambda: keyfile.make_key("/nowhere/at/all/key", KEY, home=""),
        lambda: keyrings.store(Failing(), "one", KEY),
    ]


class Failing:
    """A keyring whose errors quote what it was given."""

    def get_password(self, service: str, username: str) -> str | None:
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise ValueError(password, CANARY)

    def delete_password(self, service: str, username: str) -> None:
        raise ValueError(CANARY)


def test_no_error_quotes_a_secret(vault: Vault) -> None:
    for use in broken(vault):
        with pytest.raises((McpwrapError, ValueError)) as told:
            use()
        silent("".join(traceback.format_exception(told.value)) + getattr(told.value, "hint", ""))


def test_nothing_on_the_disk_holds_it(vault: Vault) -> None:
    for folder in (vault.places.state, vault.places.data):
        for path, _, files in os.walk(folder):
            for file in files:
                silent(Path(path, file).read_bytes().decode("latin-1"))
