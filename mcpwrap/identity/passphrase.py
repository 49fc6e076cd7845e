"""The installation's key behind a passphrase: scrypt (RFC 7914) gives a key that seals it in the vault's header."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Final

from msgspec import structs

from mcpwrap.errors import VaultError
from mcpwrap.identity.ledger import ANEW_HINT
from mcpwrap.identity.vault import Header
from mcpwrap.secret import Secret

VARIABLE: Final = "MCPWRAP_PASSPHRASE"

LEAST: Final = 12
"""Characters that a new passphrase must have: the header may be copied and guessed at for years."""

N: Final = 1 << 15
R: Final = 8
P: Final = 1
"""32 MiB and some 80 ms a guess, which is what a start can bear."""

_MEMORY: Final = 64 << 20
_SALT_SIZE: Final = 16
_NONCE: Final = bytes(12)
"""A key from a fresh salt seals one thing once, so that the nonce needn't differ."""


def given(env: Mapping[str, str], passphrase: Secret | None) -> Secret:
    """The passphrase that was typed, else that of the environment.

    Raises:
        VaultError: there is none.
    """
    passphrase = passphrase or Secret(env.get(VARIABLE, ""))
    if not passphrase:
        raise VaultError(
            "the vault is behind a passphrase, and nobody can be asked for it here",
            hint=f"give {VARIABLE} to the program that starts this, or run `mcpwrap vault init --key-file PATH` to move the key",
        )
    return passphrase


def wrap(header: Header, key: bytes, passphrase: Secret) -> Header:
    """`header` with `key` sealed in it.

    Raises:
        VaultError: the passphrase is too short.
    """
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    if len(passphrase.reveal()) < LEAST:
        raise VaultError(f"a passphrase has at least {LEAST} characters", hint="take a few words")
    header = structs.replace(header, salt=os.urandom(_SALT_SIZE), n=N, r=R, p=P)
    sealed = ChaCha20Poly1305(_stretched(header, passphrase)).encrypt(_NONCE, key, _bound(header))
    return structs.replace(header, wrapped=sealed)


def unwrap(header: Header, passphrase: Secret, *, typed: bool = True) -> bytes:
    """The key; `typed` is false where the environment gave the passphrase.

    Raises:
        VaultError: it is another passphrase, or the header was altered.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    # what a header asks for is bounded before anything authenticated it: n decides about the memory
    if (header.n, header.r, header.p) != (N, R, P) or len(header.salt) != _SALT_SIZE:
        raise VaultError("the vault's header was altered, or was made by another version of mcpwrap")
    try:
        return ChaCha20Poly1305(_stretched(header, passphrase)).decrypt(_NONCE, header.wrapped, _bound(header))
    except InvalidTag as error:
        if not typed:
            # whoever has the right one elsewhere must not be led to lose everything
            raise VaultError(
                f"{VARIABLE} isn't the vault's passphrase", hint=f"give the right {VARIABLE} to the program that starts this"
            ) from error
        raise VaultError("the passphrase is wrong", hint=f"type it again, or where it is lost {ANEW_HINT}") from error


def _stretched(header: Header, passphrase: Secret) -> bytes:
    text = passphrase.reveal().encode("utf-8", "surrogateescape")
    return hashlib.scrypt(text, salt=header.salt, n=header.n, r=header.r, p=header.p, maxmem=_MEMORY, dklen=32)


def _bound(header: Header) -> bytes:
    return f"mcpwrap passphrase v1 {header.epoch}".encode()
