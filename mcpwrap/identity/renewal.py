"""One login's access tokens, renewed by one process at a time (IDENTITY.md §2).

A refresh token that rotates is good for one use: two processes that use it at once end the login. So:

* an access token in the vault is shared by all who ask for the same resource and scope, until 80 % of its life are over;
* then a lock between processes (`mcpwrap.identity.locks`) is taken, the vault is **read again**, and only who still finds the token
  old asks the provider; everybody else takes what is there by then;
* what the provider answered is stored and synced before it is used, the new refresh token even where the access token is refused;
* nobody overwrites or ends what another wrote: what is stored is changed only while the refresh token in it is the one we sent.

A provider that can't be reached is asked by one of the waiters too: the others find a note in the lock's file that says until when
it is left alone.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mcpwrap.core.credentials import FromLogin, Network, Profile
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import LoginError, StateError
from mcpwrap.files import Locked
from mcpwrap.identity import grants
from mcpwrap.identity.clientauth import auth_of
from mcpwrap.identity.http import ProviderDown, ProviderSaid, client, post_form
from mcpwrap.identity.locks import Busy, Held, held
from mcpwrap.identity.logins import AccessToken, Card, LoginSecrets, LoginStore, access_key

if TYPE_CHECKING:
    import httpx2

RENEW_AT: Final = 0.8
"""Part of a token's life after which it is renewed."""
LOCK_S: Final = 10.0
"""How long is waited for a process that is at it; a provider answers within a second, and a holder that is gone holds nothing."""
ASKING_S: Final = 25.0
"""After this long nothing more is asked in one process: who started it has given up by the time of an answer."""
BACKOFF_LIMIT_S: Final = 60.0
"""Longest time that a provider which is down is left alone."""
KEPT: Final = 64
"""Most access tokens of one login that are kept, the newest; each pair of resource and scope in a policy has one."""

_TIMES: Final = 5
"""How often the vault's lock is waited for (`mcpwrap.files.LOCK_S` each) with a new refresh token in hand; well within `LIFE_S`."""

_CODE: Final = 64
"""Longest error code that is shown, in characters; those of RFC 6749 §5.2 have some 20."""

_SKEW_S: Final = 60.0
"""How far a clock may be put back before what was obtained after that is worth nothing."""


class Trouble(msgspec.Struct, frozen=True):
    """Why there is no token: one fact, the remedy, and when it may be tried again by itself."""

    why: str
    hint: str
    retry_s: float | None = None


class Usable(msgspec.Struct, frozen=True):
    """An access token that is good now, and when a new one is to be had."""

    token: AccessToken
    renew_at: float

    def __repr__(self) -> str:
        return "Usable(…)"


class _Note(msgspec.Struct, frozen=True):
    """What the last holder of the lock left: how often in a row the provider was down, and until when it is left alone."""

    failures: int = 0
    until: float = 0.0


class _Superseded(Exception):
    pass


class Renewal:
    """One login, for as long as one process works on it."""

    def __init__(
        self, store: LoginStore, card: Card, lock: str, network: Network, now: Callable[[], float], lends: Profile | None
    ) -> None:
        self._store = store
        self._card = card
        self._lock = lock
        self._network = network
        self._now = now
        self._lent = lends.scopes if lends is not None else None
        self._began = time.monotonic()

    def tokens(self, sources: Sequence[FromLogin]) -> list[Usable | Trouble]:
        """A token for each of `sources`.

        Raises:
            StateError: the vault can't be used.
        """
        secrets = self._store.secrets(self._card.key)
        found = [self._fresh(secrets, source) for source in sources]
        good = [each for each in found if each is not None]
        if len(good) == len(found):
            return list(good)
        try:
            with held(self._lock, LOCK_S) as lock:
                return self._renewed(lock, sources)
        except Busy as busy:
            wait_s = _jittered(2.0)
            secrets = self._store.secrets(self._card.key)
            trouble = Trouble(str(busy), "try again", wait_s)
            return [self._fresh(secrets, source) or self._otherwise(secrets, source, trouble) for source in sources]

    def _renewed(self, lock: Held, sources: Sequence[FromLogin]) -> list[Usable | Trouble]:
        results: list[Usable | Trouble] = []
        http: httpx2.Client | None = None
        try:
            for source in sources:
                secrets = self._store.secrets(self._card.key)
                result: Usable | Trouble | None = self._fresh(secrets, source)
                if result is None and secrets is not None:
                    note, now = _note(lock), self._now()
                    # (a note of a clock that was ahead is worth a minute, no more)
                    if now < note.until <= now + BACKOFF_LIMIT_S:
                        trouble = Trouble("the provider couldn't be reached a moment ago", "try again", note.until - now)
                        result = self._otherwise(secrets, source, trouble)
                    elif time.monotonic() - self._began > ASKING_S:
                        result = self._otherwise(secrets, source, Trouble("the provider is too slow", "try again", _jittered(5.0)))
                    elif (unwritable := self._unwritable()) is not None:
                        result = self._otherwise(secrets, source, unwritable)
                    else:
                        try:
                            http = http or client(self._network)
                            result = self._asked(http, lock, note, secrets, source)
                        except LoginError as error:
                            again = Trouble(str(error), error.hint or "try again", _jittered(BACKOFF_LIMIT_S))
                            result = self._otherwise(secrets, source, again)
                results.append(result or self._gone())
        finally:
            if http is not None:
                http.close()
        return results

    def _unwritable(self) -> Trouble | None:
        """Why nothing can be stored, if that is so. Found out before the provider is asked: a full disk must not cost the login."""
        try:
            self._store.amend(self._card.key, lambda secrets: secrets)
        except StateError as error:
            if self._store.card(self._card.key) is None:
                return self._gone()
            return Trouble(str(error), error.hint or "try again", _jittered(BACKOFF_LIMIT_S))
        return None

    def _asked(self, http: httpx2.Client, lock: Held, note: _Note, secrets: LoginSecrets, source: FromLogin) -> Usable | Trouble:
        try:
            answer = post_form(http, secrets.token_endpoint, _form(self._card, secrets, source), auth_of(secrets))
        except ProviderDown as down:
            failures = min(note.failures + 1, 16)
            wait_s = min(max(_jittered(2.0**failures), down.retry_after_s or 0.0), BACKOFF_LIMIT_S)
            lock.write(msgspec.json.encode(_Note(failures, self._now() + wait_s)))
            return self._otherwise(secrets, source, Trouble(str(down), down.hint or "try again", wait_s))
        except ProviderSaid as said:
            return self._refused(said, secrets, source)
        if note.failures:
            lock.write(b"")
        return self._stored(http, answer, secrets, source)

    def _stored(self, http: httpx2.Client, answer: dict[str, Any], secrets: LoginSecrets, source: FromLogin) -> Usable | Trouble:
        now = self._now()
        token: AccessToken | None = None
        trouble = Trouble("", "")
        try:
            token = grants.granted(answer, source, self._lent, now, self._card.resources)
        except grants.NotGranted as error:
            trouble = Trouble(str(error), error.hint)
        except Exception:  # noqa: BLE001 - whatever is wrong with it, the new refresh token is stored: the old one is worth nothing
            trouble = Trouble("the provider's token can't be looked at", "the provider's administrator")
        following = grants.refresh_token(answer, secrets.refresh_token)

        def change(stored: LoginSecrets) -> LoginSecrets:
            if stored.refresh_token != secrets.refresh_token or stored.client_id != secrets.client_id:
                raise _Superseded
            access = {key: each for key, each in stored.access.items() if each.expires_at > now}
            if token is not None:
                access[access_key(source.resource, source.scope)] = token
            kept = sorted(access.items(), key=lambda item: item[1].obtained_at)[-KEPT:]
            return msgspec.structs.replace(stored, refresh_token=following, access=dict(kept))

        # also where nothing usable came: the old refresh token is worth nothing any more
        try:
            self._amended(change)
        except _Superseded:
            self._discard(http, secrets, following)
            return _superseded()
        except StateError:
            if self._store.card(self._card.key) is None:
                self._discard(http, secrets, following)
                return self._gone()
            raise
        return self._usable(token) if token is not None else trouble

    def _amended(self, change: Callable[[LoginSecrets], LoginSecrets]) -> None:
        """Who holds the vault's lock for a while costs time, not the login."""
        for left in reversed(range(_TIMES)):
            try:
                self._store.amend(self._card.key, change)
            except Locked:
                if not left:
                    raise
            else:
                return

    def _refused(self, said: ProviderSaid, secrets: LoginSecrets, source: FromLogin) -> Trouble:
        match said.error:
            case "invalid_grant" if secrets.refresh_token:
                why = "the provider doesn't take its refresh token any more"
                if not self._store.end(self._card.key, why, secrets.refresh_token):
                    return _superseded()
                return Trouble(
                    f"the login at {shown(self._card.issuer)} has ended", login_hint(self._card.profile, self._card.issuer)
                )
            case "invalid_target":
                resource = shown(source.resource)
                return Trouble(
                    f"the provider knows no resource {resource} for this login", "mend `resource` in mcpwrap.toml, or sign in anew"
                )
            case "invalid_scope":
                scope = shown(" ".join(source.scope))
                return Trouble(
                    f"the provider doesn't grant the scope {scope} to this login",
                    login_hint(self._card.profile, self._card.issuer),
                )
            case _:
                return Trouble(_why(said), said.hint or login_hint(self._card.profile, self._card.issuer))

    def _discard(self, http: httpx2.Client, secrets: LoginSecrets, token: str) -> None:
        """Take back what the provider gave to a login that was left meanwhile; nobody knows of it but us."""
        if secrets.revocation_endpoint and token:
            form = [("token", token), ("token_type_hint", "refresh_token")]
            with suppress(LoginError):
                post_form(http, secrets.revocation_endpoint, form, auth_of(secrets), answers=False)

    def _fresh(self, secrets: LoginSecrets | None, source: FromLogin) -> Usable | None:
        """The token in the vault, where it needn't be renewed."""
        token = self._cached(secrets, source)
        if token is None or self._usable(token).renew_at <= self._now():
            return None
        return self._usable(token)

    def _otherwise(self, secrets: LoginSecrets | None, source: FromLogin, trouble: Trouble) -> Usable | Trouble:
        """The token in the vault while it is good at all: used on, and renewed when `trouble` may be over."""
        token = self._cached(secrets, source)
        if token is None:
            return trouble
        return Usable(token, min(self._now() + (trouble.retry_s or 0.0), token.expires_at))

    def _cached(self, secrets: LoginSecrets | None, source: FromLogin) -> AccessToken | None:
        token = secrets.access.get(access_key(source.resource, source.scope)) if secrets is not None else None
        if token is None or not token.obtained_at - _SKEW_S <= self._now() < token.expires_at:
            return None
        # what the person's file lends may have become less since
        if self._lent is not None and not set(token.scope) <= set(self._lent):
            return None
        return token

    def _usable(self, token: AccessToken) -> Usable:
        return Usable(token, token.obtained_at + RENEW_AT * (token.expires_at - token.obtained_at))

    def _gone(self) -> Trouble:
        return signed_out(self._card.profile, self._card.issuer)


def signed_out(profile: str, issuer: str) -> Trouble:
    """There is no such login."""
    return Trouble(f"nobody is signed in at {shown(issuer)}", login_hint(profile, issuer))


def _superseded() -> Trouble:
    return Trouble("somebody signed in anew meanwhile", "try again", _jittered(1.0))


def login_hint(profile: str, issuer: str) -> str:
    """The command that signs in."""
    return f"mcpwrap login {spell_out(profile)}" if profile else f"mcpwrap login --issuer {spell_out(issuer)}"


def shown(text: str) -> str:
    """`text` for a message."""
    return f"`{spell_out(text, limit=200)}`"


def _form(card: Card, secrets: LoginSecrets, source: FromLogin) -> list[tuple[str, str]]:
    if secrets.refresh_token:
        form = [("grant_type", "refresh_token"), ("refresh_token", secrets.refresh_token)]
    elif card.flow == "client-credentials":
        form = [("grant_type", "client_credentials")]
    else:
        raise ProviderSaid(f"the login at {shown(card.issuer)} can't be renewed: its provider gave no refresh token", error="")
    if source.resource:
        form.append(("resource", source.resource))
    if source.scope:
        form.append(("scope", " ".join(source.scope)))
    return form


def _why(said: ProviderSaid) -> str:
    """The provider's refusal by its code alone: its description is text that a model would read as ours."""
    if not said.error and not said.status:
        return str(said)  # (it is ours)
    return f"the provider refused: {spell_out(said.error or f'status {said.status}', limit=_CODE)}"


def _note(lock: Held) -> _Note:
    try:
        return msgspec.json.decode(lock.note(), type=_Note)
    except msgspec.DecodeError:
        return _Note()


def _jittered(wait_s: float) -> float:
    # not all shims at once
    return min(wait_s, BACKOFF_LIMIT_S) * random.uniform(0.75, 1.0)  # noqa: S311 - no secret
