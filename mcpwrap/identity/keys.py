"""Where the installation's key comes from: the system's keyring, a file, or a passphrase (IDENTITY.md §2).

`open_vault` is on the way of every start: it reads the header, gets the key from the one place that both the person's setting and
the header name, and has the vault check it. It never asks anybody, never waits longer than `bus.LIMIT_S`, and never looks in a
second place: a keyring that worked once and doesn't now is an error, not a reason to do without.

`make_vault`, `move_vault` and `ensure_vault` are for a person's commands.
"""
# ruff: noqa: PLC0415 - a start pays for the place that its key lies in, and for no other

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from mcpwrap.errors import StateError, VaultError
from mcpwrap.files import ensure_private, read_private, replace
from mcpwrap.identity import keyfile
from mcpwrap.identity.vault import KEY_SIZE, SECRET_SERVICE, Header, Mode, Places, Vault, create, described, read_header, rewrite
from mcpwrap.secret import Secret

if TYPE_CHECKING:
    from mcpwrap.identity.keyrings import Probe

__all__ = [
    "Probe",
    "Setting",
    "ensure_vault",
    "make_vault",
    "move_vault",
    "open_vault",
    "parse_setting",
    "probe_keyring",
    "setting_of",
]

_HINT_LIMIT: Final = 4096
"""Longest recorded address of a bus, in bytes."""


class Setting(msgspec.Struct, frozen=True):
    """Where the person's file says that the key lies: ``keyring``, ``file:/abs/path`` (then `path` is there), ``passphrase``."""

    mode: Mode
    path: str = ""

    def __str__(self) -> str:
        return f"file:{self.path}" if self.mode == "file" else self.mode


def parse_setting(text: str) -> Setting:
    """`[vault] key` of the person's own file.

    Raises:
        VaultError: it says something else.
    """
    mode, _, path = text.partition(":")
    if mode == "file" and os.path.isabs(path) and "\0" not in path and _is_text(path):
        return Setting("file", os.path.normpath(path))
    if text == "keyring":
        return Setting("keyring")
    if text == "passphrase":
        return Setting("passphrase")
    raise VaultError(
        f"`{text}` is no place for the installation's key",
        hint='set `key` below [vault] to "keyring", "passphrase" or "file:/an/absolute/path"',
    )


def setting_of(header: Header) -> Setting:
    """The setting that a vault was made with."""
    return Setting(header.mode, header.where if header.mode == "file" else "")


def probe_keyring(env: Mapping[str, str]) -> Probe:
    """The keyring that is here and answers, within the time limit and without asking anybody."""
    from mcpwrap.identity import keyrings

    return keyrings.probe_keyring(env)


def open_vault(places: Places, setting: str, env: Mapping[str, str], *, passphrase: Secret | None = None) -> Vault:
    """The installation's vault, open; `passphrase` is one that was typed.

    Raises:
        VaultError: there is none, its key can't be had, or the setting names another place than its header.
    """
    header = read_header(places)
    if header is None:
        raise VaultError("there is no vault yet", hint="run `mcpwrap vault init`")
    _agree(header, parse_setting(setting))
    return _open(places, header, env, passphrase)


def make_vault(
    places: Places, setting: str, env: Mapping[str, str], *, passphrase: Secret | None = None, reset: bool = False
) -> Vault:
    """A new vault with a new key (or that of a key file that is there); with `reset` in place of the old one, which is lost: what
    that one sealed is taken away.

    Raises:
        VaultError: there is one already, or the key can't be kept where `setting` says.
        StateError: it can't be written, or something of the old one can't be taken away.
    """
    wanted = parse_setting(setting)
    old: Header | None = None
    try:
        old = read_header(places)
    except VaultError:
        if not reset:
            raise
    if old is not None and not reset:
        raise VaultError(f"there is a vault already, its key in {described(old)}", hint="run `mcpwrap vault status`")
    header, key = _keep(places, wanted, Header(wanted.mode, wanted.path, os.urandom(16).hex()), None, env, passphrase)
    vault = create(places, header, key)
    if old is not None and old.epoch != header.epoch:
        _forget(places, old, env)
    if reset:
        from mcpwrap.identity.reset import take_away

        take_away(places)
    return vault


def move_vault(vault: Vault, setting: str, env: Mapping[str, str], *, passphrase: Secret | None = None) -> Vault:
    """The same vault with its key in another place; it is taken out of the keyring, and left where a key file is.

    Raises:
        VaultError: the key can't be kept where `setting` says; nothing was changed.
        StateError: the header can't be written; the old one is still there.
    """
    wanted = parse_setting(setting)
    old = vault.header
    header, _ = _keep(vault.places, wanted, Header(wanted.mode, wanted.path, old.epoch), vault.key, env, passphrase)
    moved = rewrite(vault, header)
    if header.mode != "keyring":
        _forget(vault.places, old, env)
    return moved


def ensure_vault(places: Places, setting: str, env: Mapping[str, str], *, passphrase: Secret | None = None) -> Vault:
    """The vault, open; made now where there was none and the system has a keyring for its key.

    Raises:
        VaultError: it can't be opened, or there is no keyring to make one with.
    """
    if read_header(places) is None and parse_setting(setting).mode == "keyring":
        return make_vault(places, setting, env)
    return open_vault(places, setting, env, passphrase=passphrase)


def _agree(header: Header, wanted: Setting) -> None:
    """What a person configured and what the vault was made with must be the same: one that was slipped in has another key."""
    made = setting_of(header)
    if made != wanted:
        raise VaultError(
            f"config.toml says that the vault's key is kept by `{wanted}`, and the vault was made with `{made}`",
            hint=f'put `key = "{made}"` below [vault] in config.toml, or run `mcpwrap vault init {_option(wanted)}` to move it',
        )


def _option(wanted: Setting) -> str:
    return {"keyring": "--keyring", "file": f"--key-file {wanted.path}", "passphrase": "--passphrase"}[wanted.mode]


def _open(places: Places, header: Header, env: Mapping[str, str], passphrase: Secret | None) -> Vault:
    match header.mode:
        case "file":
            return Vault(places, header, keyfile.read_key(header.where))
        case "passphrase":
            from mcpwrap.identity.passphrase import given, unwrap

            return Vault(places, header, unwrap(header, given(env, passphrase), typed=bool(passphrase)))
        case "keyring" if header.where == SECRET_SERVICE:
            return _from_secret_service(places, header, env)
        case "keyring":  # pragma: no branch - there is no other
            from mcpwrap.identity import keyrings

            return Vault(places, header, keyrings.read_entry(env, header.epoch, header.where))


def _from_secret_service(places: Places, header: Header, env: Mapping[str, str]) -> Vault:
    from mcpwrap.identity import bus

    recorded = _recorded(places)
    texts, address = bus.read(env, header.epoch, recorded)
    keys = [key for text in texts if (key := keyfile.key_in(text)) is not None]
    for key in keys[:-1]:
        # anybody can put an entry of the same name beside ours: the header's check tells which it is
        with suppress(VaultError):
            vault = Vault(places, header, key)
            break
    else:
        vault = Vault(places, header, keys[-1] if keys else b"")
    if address != recorded:
        _record(places, address)
    return vault


def _keep(
    places: Places, wanted: Setting, header: Header, key: bytes | None, env: Mapping[str, str], passphrase: Secret | None
) -> tuple[Header, bytes]:
    """Keep `key` (None: a new one) where `wanted` says; the header that says so, and the key."""
    match wanted.mode:
        case "file":
            ensure_private(places.state)
            return header, keyfile.make_key(wanted.path, key, home=env.get("HOME", ""))
        case "passphrase":
            from mcpwrap.identity.passphrase import given, wrap

            key = key or os.urandom(KEY_SIZE)
            return wrap(header, key, given(env, passphrase)), key
        case "keyring":  # pragma: no branch - there is no other
            from mcpwrap.identity import bus, keyrings

            key = key or os.urandom(KEY_SIZE)
            name = keyrings.write_entry(env, header.epoch, key, _recorded(places))
            ensure_private(places.state)
            ensure_private(places.vault)
            with suppress(VaultError):
                _record(places, bus.usable(env, _recorded(places)))
            return msgspec.structs.replace(header, where=name), key


def _forget(places: Places, header: Header, env: Mapping[str, str]) -> None:
    """Take the key of a vault that is gone out of the keyring. A key file stays: it may be a person's only copy of something."""
    if header.mode == "keyring":
        from mcpwrap.identity import keyrings

        with suppress(VaultError):  # it opens nothing any more
            keyrings.remove_entry(env, header.epoch, header.where, _recorded(places))


def _recorded(places: Places) -> str:
    """The address of the bus that the key was read through last; a hint: `mcpwrap.identity.bus` checks whose bus it is."""
    try:
        return read_private(_record_path(places), _HINT_LIMIT).decode("ascii").strip()
    except (StateError, ValueError):
        return ""


def _record(places: Places, address: str) -> None:
    with suppress(OSError):  # the next start asks the variable again
        replace(_record_path(places), address.encode("ascii", "replace"))


def _record_path(places: Places) -> str:
    return os.path.join(places.vault, "bus")


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
