"""Signing in on a machine without a browser: the device flow (RFC 8628).

Whoever gets a person to enter a code signs in as that person. So the code is shown with the place where it belongs, and a place at
another host than the issuer's is said and asked for.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Final

from mcpwrap.errors import LoginError
from mcpwrap.identity.answers import Tokens
from mcpwrap.identity.clientauth import ClientAuth
from mcpwrap.identity.flow import Session, SignedIn, declined
from mcpwrap.identity.http import ProviderDown, ProviderSaid, address, post_form
from mcpwrap.identity.registration import DEVICE_GRANT, given, register

INTERVAL_S: Final = 5.0
"""Between two questions where the provider doesn't say (RFC 8628 §3.2)."""

SLOWER_S: Final = 5.0
"""Added at each ``slow_down`` (§3.5)."""

LONGEST_INTERVAL_S: Final = 60.0
LONGEST_S: Final = 1800.0
"""Longest life of a code that is waited for."""

_CODE: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_DEVICE_CODE: Final = re.compile(r"[\x21-\x7e]{1,8192}")


def sign_in(
    session: Session, *, pause: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
) -> SignedIn:
    """Show the code, and ask the provider until somebody has entered it.

    Raises:
        ProviderSaid: the provider or the person refused.
        LoginError: the provider has no device flow, its place isn't accepted, or the code expired.
    """
    metadata, wish = session.metadata, session.wish
    if not metadata.device_authorization_endpoint:
        way = f'with `flow = "browser"` in [profiles.{session.asked.profile}], ' if session.asked.profile else ""
        hint = f"in a browser on this machine: {way}{session.asked.command}"
        raise LoginError(f"{session.host} has no device flow", hint=hint)
    auth = given(metadata, wish) if wish.client_id else register(session.http, metadata)
    scopes = session.scopes()
    fields = [
        *([("scope", " ".join(scopes))] if scopes else []),
        *(("resource", resource) for resource in session.asked.resources),
    ]
    answer = post_form(session.http, metadata.device_authorization_endpoint, fields, auth)
    device_code = _show(session, answer)
    end = clock() + min(_seconds(answer.get("expires_in"), LONGEST_S), LONGEST_S)
    interval_s = max(_seconds(answer.get("interval"), INTERVAL_S), 1.0)
    while True:
        left_s = end - clock()
        if left_s <= 0:
            raise _expired(session)
        session.screen.waiting(left_s)
        pause(min(interval_s, LONGEST_INTERVAL_S, left_s))
        tokens = _asked(session, auth, device_code)
        if not isinstance(tokens, float):
            return session.signed(auth, tokens, session.person(auth, tokens, nonce=""), scopes)
        # after `slow_down` it stays slower; a provider that is down is asked at ever longer intervals
        interval_s = min(interval_s + tokens, LONGEST_INTERVAL_S)


def _asked(session: Session, auth: ClientAuth, device_code: str) -> Tokens | float:
    """The tokens, else by how many seconds the interval grows."""
    try:
        return session.answered(auth, [("grant_type", DEVICE_GRANT), ("device_code", device_code)])
    except ProviderDown as error:
        return max(error.retry_after_s or 0.0, SLOWER_S)
    except ProviderSaid as error:
        match error.error:
            case "authorization_pending":
                return 0.0
            case "slow_down":
                return SLOWER_S
            case "expired_token":
                raise _expired(session) from None
            case "access_denied":
                raise declined(session, error.error, error.description) from None
            case _:
                raise


def _show(session: Session, answer: dict[str, Any]) -> str:
    """Show the code and where it belongs; the device's own code."""
    code, url, device_code = (answer.get(name) for name in ("user_code", "verification_uri", "device_code"))
    odd = LoginError(f"{session.host} gave a code that can't be shown")
    if not isinstance(code, str) or not _CODE.fullmatch(code) or not isinstance(url, str):
        raise odd
    if not isinstance(device_code, str) or not _DEVICE_CODE.fullmatch(device_code):
        raise odd
    place = address(url, "the place for the code")
    if place.host != session.host:
        question = f"The code is to be entered at {place.host}, not at {session.host}, where you sign in:\n  {url}\nIs that right?"
        if not session.screen.accepts(question):
            raise LoginError("the place for the code was not accepted", hint="nothing was stored")
    session.screen.show(f"In any browser, go to  {url}\nand enter the code     {code}")
    return device_code


def _expired(session: Session) -> LoginError:
    return LoginError("the code expired before anybody entered it", hint=session.asked.again("--device"))


def _seconds(value: object, default: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return default
    return float(min(value, LONGEST_S))
