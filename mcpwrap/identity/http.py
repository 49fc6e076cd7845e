"""HTTP to identity providers: one configured client, and the two things that are done with it: read JSON, post a form.

    network = Network(proxy="http://proxy.internal:3128", ca="/path/to/ca.pem")      both "" by default; from the user's file alone
    with client(network) as http:
        document = get_json(http, "https://login.example.com/.well-known/…")
        answer = post_form(http, token_endpoint, [("grant_type", "refresh_token"), …], auth)

What holds for both: https or loopback only; nothing of the environment counts (proxy, certificates, ``.netrc``); no redirect is
followed; one answer has at most `BODY_LIMIT` bytes and takes at most `TOTAL_S` seconds, however slowly it comes; the answer is a
JSON object or it is refused. Every failure is one of

* `ProviderDown`: no connection, too slow, 5xx, 429. Worth another try: `retry_after_s` says when, if the provider did (else None).
* `ProviderSaid`: the provider's own refusal; `error` and `description` are its words as they came (don't show them: `str()` of the
  exception has them spelled out). ``error == "invalid_grant"`` at a refresh means that the login has ended.
* `NoJson`: what came is no JSON object.
* `LoginError`: anything else (a redirect, too long, an address that isn't allowed). The two above are its kinds.

No exception has a part of what was sent, nor has its context: what httpx2 raises is not chained.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import msgspec

from mcpwrap import __version__
from mcpwrap.core.credentials import Network
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import LoginError
from mcpwrap.secret import Secret

if TYPE_CHECKING:
    import httpx2

    from mcpwrap.identity.clientauth import ClientAuth

BODY_LIMIT: Final = 512 * 1024
"""Longest answer, in bytes: a JWKS of twenty keys with certificates has some 60 KiB, a token with hundreds of groups some 20."""

CONNECT_S: Final = 10.0
"""For a connection, its handshake included."""

READ_S: Final = 15.0
"""Between two pieces of an answer."""

TOTAL_S: Final = 30.0
"""For one whole answer: a provider that drips isn't waited for."""

RETRY_AFTER_LIMIT_S: Final = 3600.0
"""Longest ``Retry-After`` that is believed."""

URL_LIMIT: Final = 2048
"""Characters of an address; browsers and proxies take no more for sure."""

LOOPBACK: Final = frozenset({"127.0.0.1", "[::1]", "localhost"})
"""Hosts of which plain http is as good as https, since nothing leaves the machine (RFC 8252 §8.3)."""

_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:]{2,39}\])(?::(?P<port>\d{1,5}))?"
    r"(?P<path>/[A-Za-z0-9._~:@!$&'()*+,;=%/-]*)?(?P<query>\?[A-Za-z0-9._~:@!$&'()*+,;=%/?-]*)?"
)
# one strict form, so that no two readers of an address see different hosts: no user, no fragment, no backslash, ASCII alone

_SHOWN: Final = 300
"""Characters of a provider's text that are shown."""


class ProviderDown(LoginError):
    """The provider can't be reached or can't answer now; nothing is lost. `retry_after_s` is when it wants to be asked again."""

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class ProviderSaid(LoginError):
    """The provider refused (RFC 6749 §5.2): `error` is its code ("" where it gave none), `description` its own words, `status` that
    of HTTP."""

    def __init__(self, message: str, *, hint: str = "", error: str = "", description: str = "", status: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.error = error
        self.description = description
        self.status = status


class NoJson(LoginError):
    """What came is no JSON object."""


class Address(msgspec.Struct, frozen=True):
    """An address that was checked: `host` in lower case, `port` 0 where none is named."""

    url: str
    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def origin(self) -> str:
        """Scheme, host and port; the port is left out where it is the scheme's own."""
        default = {"http": 80, "https": 443}[self.scheme]
        return f"{self.scheme}://{self.host}{f':{self.port}' if self.port not in (0, default) else ''}"


def address(url: str, what: str = "the address") -> Address:
    """`url` taken apart, if it is an address that mcpwrap talks to: https, or http on loopback; `what` names it in the refusal.

    Raises:
        LoginError: it isn't.
    """
    found = _URL.fullmatch(url) if len(url) <= URL_LIMIT else None
    if found is None or int(found["port"] or 0) > 65535:
        hint = "write its host in ASCII, as `xn--…`" if not url.isascii() else ""
        raise LoginError(f"{what} `{spell_out(url, limit=_SHOWN)}` is no plain web address", hint=hint)
    host = found["host"].lower()
    if found["scheme"] != "https" and host not in LOOPBACK:
        raise LoginError(f"{what} `{spell_out(url, limit=_SHOWN)}` is not https", hint="plain http is for this machine alone")
    return Address(url, found["scheme"], host, int(found["port"] or 0), found["path"] or "", found["query"] or "")


def client(network: Network) -> httpx2.Client:
    """A client for providers; to be closed, or used with ``with``.

    Raises:
        LoginError: the proxy or the certificates of `network` can't be used.
    """
    import httpx2

    context = httpx2.create_ssl_context(trust_env=False)
    if network.ca:
        try:
            context.load_verify_locations(network.ca)
        except OSError as error:
            raise LoginError(
                f"the certificates in `{network.ca}` can't be used: {(error.strerror or str(error)).lower()}",
                hint="mend `ca` below [network] in your own config.toml",
            ) from None
    try:
        return httpx2.Client(
            verify=context,
            trust_env=False,
            proxy=network.proxy or None,
            # (a proxy would look for the provider on its own machine)
            mounts={f"all://{host}": None for host in LOOPBACK},
            follow_redirects=False,
            timeout=httpx2.Timeout(READ_S, connect=CONNECT_S),
            # a connection an answer: `_deadline` must know the one that it ends
            limits=httpx2.Limits(max_keepalive_connections=0),
            headers={"User-Agent": f"mcpwrap/{__version__}", "Accept": "application/json", "Accept-Encoding": "identity"},
        )
    except (ValueError, ImportError, httpx2.InvalidURL):
        # (not its text: an address of a proxy may hold a password)
        raise LoginError(
            "the proxy of your own config.toml can't be used", hint="`proxy` below [network] is an address: http://HOST:PORT"
        ) from None


def get_json(http: httpx2.Client, url: str, *, bearer: Secret | None = None, limit: int = BODY_LIMIT) -> dict[str, Any]:
    """The JSON object at `url`, at most `limit` bytes of it.

    Raises:
        ProviderDown, ProviderSaid, LoginError: as the module says.
    """
    headers = {"Authorization": f"Bearer {bearer.reveal()}"} if bearer is not None else {}
    return _asked(http, "GET", url, headers, None, limit)


def post_form(
    http: httpx2.Client, url: str, fields: Sequence[tuple[str, str]], auth: ClientAuth | None, *, answers: bool = True
) -> dict[str, Any]:
    """Post `fields` (names may repeat, as ``resource`` does) with the client's proof, and read the JSON object that comes.

    With ``answers=False`` what comes with a good status isn't read, and the result is empty (a revocation, RFC 7009 §2.2).

    Raises:
        ProviderDown, ProviderSaid, LoginError: as the module says.
        LoginError: the client's key file can't be used.
    """
    headers: dict[str, str] = {}
    if auth is not None:
        more, headers = auth.proof()
        fields = [*fields, *more]
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    return _asked(http, "POST", url, headers, urlencode(fields).encode(), BODY_LIMIT if answers else 0)


def post_json(http: httpx2.Client, url: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Post a JSON object and read the one that comes.

    Raises:
        ProviderDown, ProviderSaid, LoginError: as the module says.
    """
    return _asked(http, "POST", url, {"Content-Type": "application/json"}, msgspec.json.encode(document), BODY_LIMIT)


def said(error: str, description: str, *, who: str, status: int = 0, hint: str = "") -> ProviderSaid:
    """What is raised for a provider's error code and text, both spelled out in its message; `who` is the provider's host."""
    words = spell_out(error or f"status {status}", limit=_SHOWN)
    more = f": {spell_out(description, limit=_SHOWN)}" if description else ""
    return ProviderSaid(f"{who} refused: {words}{more}", hint=hint, error=error, description=description, status=status)


def _asked(
    http: httpx2.Client, method: str, url: str, headers: Mapping[str, str], content: bytes | None, limit: int
) -> dict[str, Any]:
    import httpx2

    where = address(url)
    over = threading.Event()
    try:
        with (
            _deadline(over) as trace,
            http.stream(method, url, headers=headers, content=content, extensions={"trace": trace}) as response,
        ):
            status = response.status_code
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            coding = response.headers.get("content-encoding", "identity").strip().lower()
            after = response.headers.get("retry-after", "")
            body = b"" if 300 <= status < 400 or (limit == 0 and status < 400) else _body(response, where, limit or BODY_LIMIT)
    except httpx2.RequestError as error:
        raise _down(where, error, timed_out=over.is_set()) from None
    except UnicodeError:
        raise LoginError(f"what {where.host} gave can't be sent back to it: it isn't ASCII") from None
    if over.is_set():
        raise ProviderDown(f"{where.host} took longer than {TOTAL_S:.0f} s to answer", hint="try again later")
    if status >= 500 or status == 429:
        raise ProviderDown(
            f"{where.host} can't answer now (status {status})", hint="try again later", retry_after_s=_seconds(after)
        )
    if 300 <= status < 400:
        raise LoginError(
            f"{where.host} answered `{spell_out(where.url)}` with a redirect, and none is followed",
            hint="name the address that it leads to, if you trust that one",
        )
    if limit == 0 and status < 400:
        return {}
    if coding not in ("identity", ""):
        raise LoginError(f"{where.host} answered in a coding that was not asked for")
    return _answer(where, status, kind, body)


def _answer(where: Address, status: int, kind: str, body: bytes) -> dict[str, Any]:
    is_json = kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
    answer: object = None
    if is_json:
        with suppress(msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            answer = msgspec.json.decode(body)
    if isinstance(answer, dict) and ("error" in answer or status >= 400):
        error, description = (str(answer.get(key, "")) for key in ("error", "error_description"))
        if error in ("temporarily_unavailable", "server_error"):
            raise ProviderDown(f"{where.host} can't answer now ({error})", hint="try again later")
        raise said(error, description, who=where.host, status=status)
    if status >= 400:
        raise said("", "", who=where.host, status=status)
    if not isinstance(answer, dict):
        raise NoJson(f"{where.host} answered `{spell_out(where.url)}` with something that is no JSON object")
    return answer


def _body(response: httpx2.Response, where: Address, limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit
    for part in response.iter_raw():
        left -= len(part)
        if left < 0:
            raise LoginError(f"{where.host} answered with more than {limit // 1024} KiB")
        parts.append(part)
    return b"".join(parts)


@contextmanager
def _deadline(over: threading.Event) -> Iterator[Any]:
    """Ends the connection after `TOTAL_S`: read time-outs alone let an answer that comes byte by byte go on for hours."""
    streams: list[Any] = []

    def trace(event: str, info: Mapping[str, Any]) -> None:
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            streams.append(info["return_value"])
            if over.is_set():  # pragma: no cover - the connection was made at the very end
                end()

    def end() -> None:
        over.set()
        for stream in streams[-1:]:
            with suppress(OSError):
                # (not `close`: that wouldn't wake who is reading)
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(TOTAL_S, end)
    timer.daemon = True
    timer.start()
    try:
        yield trace
    finally:
        timer.cancel()


def _down(where: Address, error: Exception, *, timed_out: bool) -> LoginError:
    import httpx2

    at = where.origin.partition("://")[2]
    # only what a connection's failure says is shown: other texts may hold parts of what was sent
    match error:
        case httpx2.TimeoutException():
            fact = f"{at} didn't answer in time"
        case _ if timed_out:
            fact = f"{at} took longer than {TOTAL_S:.0f} s to answer"
        case httpx2.ProxyError():
            fact = f"the proxy doesn't let {at} be reached"
        case httpx2.ConnectError():
            text = spell_out(re.sub(r"^\[[^\]]*\]\s*|\s*\(_ssl\.c:\d+\)$", "", str(error)), limit=_SHOWN)
            if "certificate" in text.lower():
                hint = "a certificate of your own goes into `ca` below [network] in your own config.toml"
                return LoginError(f"the certificate of {at} doesn't count: {text}", hint=hint)
            fact = f"{at} can't be reached: {text[:1].lower()}{text[1:]}"
        case _:
            fact = f"{at} broke off"
    return ProviderDown(fact, hint="try again later; a proxy goes into [network] of your own config.toml")


def _seconds(after: str) -> float | None:
    if after.isascii() and after.isdigit():
        return min(float(after), RETRY_AFTER_LIMIT_S)
    try:
        then = parsedate_to_datetime(after).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return min(max(then - time.time(), 0.0), RETRY_AFTER_LIMIT_S)
