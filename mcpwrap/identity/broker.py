"""What a server is to get, got: secrets, minted tokens, and the provider's own (IDENTITY.md §3).

    issue(vault, bearer, wanted, network, now, lends)

gives for each credential what there is or why there is none; it never raises for one credential what would cost the others. It is
run in the process apart (`mcpwrap.identity.worker`): it may wait for a provider, and imports what is heavy.

A login that was taken back counts no more from that moment, whatever of its tokens is still good: the card is looked at before and
after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mcpwrap.core.credentials import Bearer, Failed, FromLogin, FromSecret, Issued, Minted, Network, Profile, Wanted, not_lent
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import LoginError, McpwrapError, StateError, VaultError
from mcpwrap.identity.logins import Card, LoginStore
from mcpwrap.identity.renewal import RENEW_AT, Renewal, Trouble, Usable, login_hint, shown, signed_out
from mcpwrap.identity.signing import current_key, issuer_of
from mcpwrap.identity.tokens import Subject, local_subject, mint
from mcpwrap.identity.vault import Vault
from mcpwrap.secret import Secret

STORE_RETRY_S = 60.0
"""When a folder that couldn't be written may be tried again; a vault that can't be opened waits for a person."""


def issue(
    vault: Vault, bearer: Bearer, wanted: Sequence[Wanted], network: Network, now: Callable[[], float], lends: Profile | None
) -> list[Issued | Failed]:
    """What `bearer` gets, in the order of `wanted`. `now` gives seconds since the epoch. `lends` is the profile of the person's own
    file that the login is of; None where it has none."""
    issuing = _Issuing(vault, bearer, network, now, lends)
    logins = [each for each in wanted if isinstance(each.source, FromLogin)]
    found = dict(zip(map(id, logins), issuing.from_login(logins), strict=True))
    return [found[id(each)] if id(each) in found else issuing.own(each) for each in wanted]


class _Issuing:
    def __init__(self, vault: Vault, bearer: Bearer, network: Network, now: Callable[[], float], lends: Profile | None) -> None:
        self._vault = vault
        self._bearer = bearer
        self._network = network
        self._now = now
        self._lends = lends
        self._store = LoginStore(vault)

    def own(self, wanted: Wanted) -> Issued | Failed:
        """A secret or a minted token."""
        try:
            if isinstance(wanted.source, FromSecret):
                return self._secret(wanted, wanted.source.name)
            assert isinstance(wanted.source, Minted)  # noqa: S101 - the third of three
            return self._minted(wanted, wanted.source)
        except McpwrapError as error:
            return _failed(wanted, error)

    def from_login(self, wanted: Sequence[Wanted]) -> list[Issued | Failed]:
        """The provider's tokens: one look at the login for all of them."""
        if not wanted:
            return []
        try:
            card = self._card()
            refused = [self._not_lent(card, each) or self._not_granted(card, each) for each in wanted]
            lent = [each for each, why in zip(wanted, refused, strict=True) if why is None]
            lock = self._vault.lock(self._store.item(card.key))
            renewal = Renewal(self._store, card, lock, self._network, self._now, self._lends)
            tokens = iter(renewal.tokens([each.source for each in lent if isinstance(each.source, FromLogin)]))
            if lent:
                self._card()  # somebody may have signed out meanwhile
            return [why or _told(each, next(tokens)) for each, why in zip(wanted, refused, strict=True)]
        except McpwrapError as error:
            return [_failed(each, error) for each in wanted]

    def _card(self) -> Card:
        """The login that counts now.

        Raises:
            LoginError: there is none, it has ended, or it is another's.
        """
        key, lends = self._bearer.login, self._lends
        if not key:
            raise LoginError(
                "a provider's token was asked for, and this project's login is the local one",
                hint='name the provider in mcpwrap.toml: issuer = "https://…" below [login]',
            )
        profile, issuer = _names(self._store, key)
        card = self._store.card(key)
        if card is None:
            raise _error(profile, issuer)
        if lends is not None and (lends.issuer != card.issuer or (card.profile and lends.name != card.profile)):
            raise LoginError(
                f"the login is one at {shown(card.issuer)}, and the profile `{lends.name}` is of {shown(lends.issuer)}",
                hint=login_hint(lends.name, lends.issuer),
            )
        if card.ended:
            raise LoginError(f"the login at {shown(card.issuer)} has ended: {card.ended}", hint=login_hint(profile, issuer))
        secrets = self._store.secrets(key)
        if secrets is None:
            raise _error(profile, issuer)
        if secrets.issuer != card.issuer:
            raise LoginError(f"what is kept of the login at {shown(card.issuer)} is another's", hint=login_hint(profile, issuer))
        return card

    def _not_lent(self, card: Card, wanted: Wanted) -> Failed | None:
        lends, source = self._lends, wanted.source
        if lends is None or not isinstance(source, FromLogin):
            return None
        why = not_lent(lends, source)
        if not why:
            return None
        fact = f"the profile {shown(lends.name or card.issuer)} {spell_out(why)}"
        return Failed(wanted.name, fact, "add it to the profile in your own config.toml, if this project may have it")

    def _not_granted(self, card: Card, wanted: Wanted) -> Failed | None:
        """Refuse what the login was not made for without asking. Some providers take the refresh token back before they look at the
        resource, so that a question with an unknown one would end the login (`oidc-provider` 9 was seen to)."""
        source = wanted.source
        if not isinstance(source, FromLogin) or card.flow == "client-credentials":
            return None
        again = login_hint(card.profile, card.issuer)
        if source.resource and source.resource not in card.resources:
            why = f"the login at {shown(card.issuer)} was not made for the resource {shown(source.resource)}"
            return Failed(wanted.name, why, f"{again} --resource {spell_out(source.resource)}")
        if missing := [scope for scope in source.scope if card.scopes and scope not in card.scopes]:
            why = f"the login at {shown(card.issuer)} was not given the scope {shown(missing[0])}"
            return Failed(wanted.name, why, f"{again} --scope {spell_out(missing[0])}")
        return None

    def _secret(self, wanted: Wanted, name: str) -> Issued | Failed:
        from mcpwrap.identity.secrets import SecretStore, not_set  # noqa: PLC0415 - where a secret is wanted

        bearer = self._bearer
        found: Secret | None = SecretStore(self._vault).get(bearer.root, bearer.server, name)
        return not_set(wanted.name, name, bearer.server) if found is None else Issued(wanted.name, found)

    def _minted(self, wanted: Wanted, minted: Minted) -> Issued:
        now = self._now()
        subject = self._subject()
        token, expires_at = mint(current_key(self._vault, now), issuer_of(self._vault), self._bearer, minted, subject, now)
        return Issued(wanted.name, token, float(expires_at), now + RENEW_AT * (expires_at - now))

    def _subject(self) -> Subject:
        if not self._bearer.login:
            return local_subject()
        card = self._card()
        return Subject(card.sub, card.issuer, card.email, card.groups)


def _told(wanted: Wanted, found: Usable | Trouble) -> Issued | Failed:
    if isinstance(found, Usable):
        return Issued(wanted.name, Secret(found.token.token), found.token.expires_at, found.renew_at)
    return Failed(wanted.name, found.why, found.hint, found.retry_s)


def _names(store: LoginStore, key: str) -> tuple[str, str]:
    item = store.item(key)
    return item.name, item.issuer


def _error(profile: str, issuer: str) -> LoginError:
    trouble = signed_out(profile, issuer)
    return LoginError(trouble.why, hint=trouble.hint)


def _failed(wanted: Wanted, error: McpwrapError) -> Failed:
    again = isinstance(error, StateError) and not isinstance(error, VaultError)
    return Failed(wanted.name, str(error), error.hint or "mcpwrap status", STORE_RETRY_S if again else None)
