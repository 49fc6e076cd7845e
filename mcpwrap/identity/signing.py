"""The installation's signing keys: what tokens of our own are signed with, and how they follow one another (IDENTITY.md §3).

    next      published, signs nothing yet: who keeps a copy of the keys has it before the first token comes
    current   signs
    retired   signs nothing any more; still published until the last token that it signed has expired

Rotation moves each a place on and makes a new *next*. It happens by itself after `ROTATE_S`, and on command. The keys are one item
of the vault; the public part lies beside it as `jwks.json`, for the servers of this user (`MCPWRAP_JWKS_FILE`), and is put right
whenever a key is asked for.

The issuer's name comes from the vault's epoch: it stays when keys rotate, and is another one when the vault is made anew.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import msgspec

from mcpwrap.core.credentials import LOCAL
from mcpwrap.errors import StateError, VaultError
from mcpwrap.files import read_private, reason, replace
from mcpwrap.identity.locks import held
from mcpwrap.identity.vault import Item, Places, Vault

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Algorithm = Literal["EdDSA", "ES256"]
ALGORITHMS: Final[tuple[Algorithm, ...]] = get_args(Algorithm)

MAX_TTL_S: Final = 300
"""Longest life of a token of ours (IDENTITY.md §3)."""
LEEWAY_S: Final = 2
"""How far clocks may differ; on one machine they hardly do."""
ROTATE_S: Final = 30 * 86_400
"""Age at which a key is replaced by itself."""
PUBLISHED_S: Final = 300
"""How long a key is published before it may sign: a server may keep its copy of the keys for as long."""

ITEM: Final = Item("signing", LOCAL, "keys")

_WAIT_S: Final = 10.0
"""How long the lock is waited for: who has it makes two keys and writes two files."""
_JWKS_LIMIT: Final = 64 * 1024
"""Longest `jwks.json`, in bytes; it has three keys or so."""


class SigningKey(msgspec.Struct, frozen=True):
    """One key. `since` is when it came into its state, `published_at` when its public part was first to be seen, `until` when a
    retired one goes; seconds since the epoch. `private` is PKCS#8 in DER, `jwk` the public part (RFC 7517)."""

    kid: str
    alg: Algorithm
    state: Literal["next", "current", "retired"]
    since: float
    published_at: float
    private: bytes
    jwk: dict[str, str]
    until: float = 0.0

    def __repr__(self) -> str:
        return f"SigningKey({self.kid}, {self.state})"


_Keys = tuple[SigningKey, ...]


def issuer_of(vault: Vault) -> str:
    """The `iss` of this installation's tokens."""
    return f"urn:mcpwrap:installation:{sha256(b'mcpwrap installation ' + vault.header.epoch.encode()).hexdigest()[:32]}"


def jwks_path(places: Places) -> str:
    """The file with the public keys, whether it exists or not."""
    return os.path.join(places.state, "jwks.json")


def current_key(vault: Vault, now: float) -> SigningKey:
    """The key to sign with; made where there is none, and rotated where its age asks for it. Its public part is published.

    Raises:
        VaultError: what lies there doesn't count.
        StateError: a key or its public part can't be stored.
    """
    return _the(_kept(vault, now), "current")


def jwks(vault: Vault, now: float) -> dict[str, list[dict[str, Any]]]:
    """The public keys (RFC 7517 §5), as `jwks.json` has them.

    Raises:
        VaultError, StateError: as `current_key`.
    """
    return _public(_kept(vault, now))


def rotate(vault: Vault, now: float, alg: Algorithm | None = None) -> bool:
    """Let the next key sign. With `alg` the next key is of that algorithm; where it wasn't, a new one is published in its place and
    nothing is rotated yet: False.

    Raises:
        VaultError, StateError: as `current_key`; or the next key was published a moment ago, and servers may not know it.
    """
    _kept(vault, now)

    def change(keys: _Keys) -> _Keys:
        following = _the(keys, "next")
        if alg is not None and following.alg != alg:
            return (*(key for key in keys if key is not following), _new(alg, "next", now))
        # (a clock that was put back says nothing: the key may sign then)
        if 0 <= now - following.published_at < PUBLISHED_S:
            left = int(following.published_at + PUBLISHED_S - now) + 1
            raise StateError(
                "the next key was published a moment ago, and servers may not have read it yet",
                hint=f"in {left} s: mcpwrap jwks --rotate",
            )
        return _rotated(keys, now)

    before = current_key(vault, now).kid
    return _the(_changed(vault, now, change), "current").kid != before


def _kept(vault: Vault, now: float) -> _Keys:
    """The keys as they are to be now, and the public file as they say."""
    keys = _read(vault)
    if keys is not None and _due(keys, now) == keys and _published(vault) == _public(keys):
        return keys
    return _changed(vault, now, lambda keys: keys)


def _changed(vault: Vault, now: float, change: Callable[[_Keys], _Keys]) -> _Keys:
    # read again under the lock: two processes that begin at once have one set of keys
    with held(vault.lock(ITEM), _WAIT_S):
        before = _read(vault)
        keys = change(_due(before, now) if before is not None else (_new("EdDSA", "current", now), _new("EdDSA", "next", now)))
        if keys != before:
            vault.put(ITEM, msgspec.json.encode(keys))
        path = jwks_path(vault.places)
        if _published(vault) != _public(keys):
            try:
                replace(path, msgspec.json.encode(_public(keys)))
            except OSError as error:
                raise StateError(f"`{path}` can't be written: {reason(error)}") from error
        return keys


def _due(keys: _Keys, now: float) -> _Keys:
    """`keys` without those whose time is over, rotated where the age of the current one asks for it."""
    # a clock that was far ahead for a while must not keep a key for years: age counts in both directions
    if abs(now - _the(keys, "current").since) > ROTATE_S:
        keys = _rotated(keys, now)
    return tuple(key for key in keys if key.state != "retired" or key.until > now)


def _rotated(keys: _Keys, now: float) -> _Keys:
    old, new = _the(keys, "current"), _the(keys, "next")
    return (
        msgspec.structs.replace(new, state="current", since=now),
        _new(new.alg, "next", now),
        msgspec.structs.replace(old, state="retired", since=now, until=now + MAX_TTL_S + LEEWAY_S),
        *(key for key in keys if key.state == "retired"),
    )


def _the(keys: _Keys, state: Literal["current", "next"]) -> SigningKey:
    return next(key for key in keys if key.state == state)


def _read(vault: Vault) -> _Keys | None:
    payload = vault.get(ITEM)
    if payload is None:
        return None
    try:
        keys = msgspec.json.decode(payload, type=_Keys)
    except msgspec.DecodeError as error:
        raise VaultError("the signing keys were written by another version of mcpwrap", hint="use that version") from error
    return keys


def _published(vault: Vault) -> object:
    with suppress(StateError, msgspec.DecodeError):
        return msgspec.json.decode(read_private(jwks_path(vault.places), _JWKS_LIMIT))
    return None


def _public(keys: _Keys) -> dict[str, list[dict[str, Any]]]:
    return {"keys": [_entry(key) for key in keys]}


def _entry(key: SigningKey) -> dict[str, Any]:
    entry = {**key.jwk, "kid": key.kid, "alg": key.alg, "use": "sig"}
    # `exp` as OpenID Federation has it for keys of the past: a copy that nobody renews doesn't keep the key alive
    return {**entry, "exp": int(key.until)} if key.state == "retired" else entry


def _new(alg: Algorithm, state: Literal["next", "current"], now: float) -> SigningKey:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    private: Ed25519PrivateKey | EllipticCurvePrivateKey
    if alg == "EdDSA":
        private = ed25519.Ed25519PrivateKey.generate()
        x = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        jwk = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(x)}
    else:
        private = ec.generate_private_key(ec.SECP256R1())
        numbers = private.public_key().public_numbers()
        jwk = {"crv": "P-256", "kty": "EC", "x": _base64url(_octets(numbers.x)), "y": _base64url(_octets(numbers.y))}
    return SigningKey(
        kid=_thumbprint(jwk),
        alg=alg,
        state=state,
        since=now,
        published_at=now,
        private=private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        jwk=jwk,
    )


def _thumbprint(jwk: dict[str, str]) -> str:
    """The key's own name (RFC 7638 §3; for OKP RFC 8037 §2): its members stand in order already."""
    return _base64url(sha256(msgspec.json.encode(jwk)).digest())


def _octets(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
