"""The host of a URL: surely, where every parser agrees, or every one that some parser may read.

Sources: RFC 3986 §3.2, WHATWG URL (host parsing, the IPv4 parser), UTS 46. What parsers disagree about isn't decided but named
unsure (POLICY.md §2).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

URL_LIMIT: Final = 8192
"""Longest URL that is read, in characters."""

SEARCH_LIMIT: Final = 1 << 20
"""Longest text that is worth a search for hosts, in characters (3 µs each at worst); in a longer one there may be any."""

_SURE: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://(?:([A-Za-z0-9._~%!$&'()*+,;=:-]*)@)?"
    r"((?:[A-Za-z0-9._-]|[^\x00-\x7f])+|\[[0-9A-Fa-f:]+\])(:[0-9]{0,5})?([/?#][^\x00-\x20\x7f\\]*)?\Z"
)
_WEB: Final = frozenset({"http", "https", "ws", "wss", "ftp"})
_LOCAL: Final = frozenset(
    {
        *("about", "blob", "chrome", "data", "duckdb", "ext", "file", "filesystem", "fd", "ipc", "jar", "javascript", "local"),
        *("netdoc", "npipe", "php", "pipe", "resource", "sqlite", "sqlite3", "unix", "vbscript", "view-source", "zip"),
    }
)
"""Schemes whose readers open a file, a socket of the machine, or a text of their own, whatever host stands there (browsers on Linux
take ``file://example.com/etc/passwd`` for ``/etc/passwd``); also as a part, ``git+file``."""

_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_ANY_URL: Final = re.compile(r"(?<=[A-Za-z0-9+.\-])(?::[/\\]*[^/\s\"'<>:]*)+")
"""What follows a scheme's last character: searched for from its first, a long word takes its square in time. One may follow another
without a break (``blob:https://a,https://b``)."""

_WHOLE_URL: Final = re.compile(
    r"[\x00-\x20]*(?:(?:(?:https?|wss?|ftp):[/\\]*|[A-Za-z][A-Za-z0-9+.-]*:[/\\]+)([^/]*)|[/\\]{2,}([^/\s\"'<>]*))", re.IGNORECASE
)
"""A text that is a URL as a whole: before its ``@`` there may be spaces and quotes; or one without a scheme (``//host``)."""

_LONG_AUTHORITY: Final = re.compile(r"(?:(?:https?|wss?|ftp):[/\\]*|(?<=[:\"'`=(])[/\\]{2,})([^/]*)", re.IGNORECASE)
"""An authority as far as it can go: before its ``@`` there may be spaces and quotes, in an attribute or a line of a file."""

_RELATIVE: Final = re.compile(r"[/\\]{2,}([^/\s\"'<>]*)")
"""What has no scheme (``//host``), anywhere; up to the first space, since so begins many a comment as well."""

_UNLIKELY: Final = re.compile(r"[\x00-\x20\"'`<>(){}\[\],;|^\x7f]")
"""Where a host ends for who takes it out of a text."""

_IPV6: Final = re.compile(r"\[([0-9A-Fa-f:.]{2,45})")
_HOST: Final = re.compile(r"[/\\\x00-\x20]*([^/\\?#\x00-\x20]*)")

_IGNORED: Final = re.compile("[\u00ad\u034f\u180b-\u180f\u200b-\u200d\u2060-\u2064\ufe00-\ufe0f\ufeff]")
"""What UTS 46 leaves out of a host; our library gives up on a host that is long by them."""

_DEVIATION: Final = re.compile("[\u00df\u1e9e\u03c2\u200c\u200d]")
"""What IDNA 2003 and 2008 make different hosts of (UTS 46 §7)."""


def sure_host(url: str) -> str | None:
    """The host of `url` in lower-case ASCII (an IPv6 address compressed, without brackets); None unless every reader agrees."""
    if len(url) > URL_LIMIT:
        return None
    found = _SURE.match(url)
    if found is None:
        return None
    scheme, userinfo, host, port = found[1].lower(), found[2], found[3], found[4]
    if port and len(port) > 1 and int(port[1:]) > 65535:
        return None
    if not _LOCAL.isdisjoint(scheme.split("+")):
        return None
    if userinfo is not None and scheme in _WEB:
        return None  # a name before the host is how people are misled
    if found[5] and found[5][0] != "/" and "@" in found[5]:
        return None  # readers that look for the `@` first find the host behind it
    if scheme not in _WEB and found[5] and ("?" in found[5] or ";" in found[5]):
        return None  # drivers take the host from options of many names (host, hostaddr, servers, service, …)
    if host.startswith("["):
        return _ipv6(host[1:-1])
    return _name(host)


def hosts_in(text: str) -> tuple[str, ...]:
    """Every host that some parser may read out of `text`, be it a URL or one that holds URLs."""
    text = re.sub(r"[\t\r\n]", "", text)
    found: dict[str, None] = {}
    authorities = dict.fromkeys(_ANY_URL.findall(text))
    authorities |= dict.fromkeys(_RELATIVE.findall(text))
    authorities |= dict.fromkeys(_LONG_AUTHORITY.findall(text))
    if whole := _WHOLE_URL.match(text):
        authorities[whole[1] or whole[2] or ""] = None
    names: dict[str, None] = {}
    for authority in authorities:
        for spelled in {authority, _unescaped(authority)}:
            for address in dict.fromkeys(_IPV6.findall(spelled)):
                _read_ipv6(address, found)
            # normalised first: a reader that does so finds an `@` or a `/` in what was none
            for part in re.split("[@:]", unicodedata.normalize("NFKC", _IPV6.sub("", spelled)).replace("\u3002", ".")):
                name: str = _HOST.match(part)[1]  # type: ignore[index]  # it matches everything
                names[name.rstrip(".")] = None
                names[_UNLIKELY.split(name, maxsplit=1)[0].rstrip(".")] = None
    for name in names:
        _read(name, found)
    return tuple(found)


def host_matches(pattern: str, host: str) -> bool:
    """True where `host` is `pattern`, or below it for ``*.example.com``; ``*`` is every host."""
    if pattern == "*":
        return True
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return host == pattern


def pattern_host(pattern: str) -> str | None:
    """A pattern of a policy in the form that hosts are compared in; None where it is none."""
    if pattern == "*":
        return pattern
    star, rest = ("*.", pattern[2:]) if pattern.startswith("*.") else ("", pattern)
    if ":" in rest:
        address = _ipv6(rest.strip("[]"))
        return address if not star else None
    host = _name(rest) if "*" not in rest else None
    return star + host if host is not None else None


def _name(host: str) -> str | None:
    if not host.isascii():
        if _DEVIATION.search(host):
            return None
        ascii_host = _idna(host)
        if ascii_host is None:
            return None
        host = ascii_host
    host = host.lower()
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.match(label) for label in labels):
        return None
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        return host if _dotted_quad(host) else None
    if any(label.startswith("xn--") for label in labels) and _unicode_round_trip(host) != host:
        return None
    return host


def _dotted_quad(host: str) -> bool:
    parts = host.split(".")
    return len(parts) == 4 and all(re.fullmatch(r"0|[1-9][0-9]{0,2}", part) and int(part) < 256 for part in parts)


def _idna(host: str) -> str | None:
    import idna  # 10 ms that few URLs need

    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return None


def _unicode_round_trip(host: str) -> str | None:
    import idna  # 10 ms that few URLs need

    try:
        return idna.encode(idna.decode(host)).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return None


def _ipv6(text: str) -> str | None:
    """The address in its compressed form; None for what holds an IPv4 address in it, which readers take differently."""
    from ipaddress import AddressValueError, IPv6Address  # noqa: PLC0415 - few URLs have one

    try:
        address = IPv6Address(text)
    except AddressValueError:
        return None
    return None if _embedded(int(address)) else address.compressed


def _embedded(address: int) -> bool:
    # ::ffff:0:0/96 (mapped), ::/96 (compatible, but for ::1 and ::), 64:ff9b::/96 (NAT64), 2002::/16 (6to4)
    high = address >> 32
    return high in (0xFFFF, 0x64FF9B << 64) or (high == 0 and address > 1) or address >> 112 == 0x2002


def _unescaped(text: str) -> str:
    from urllib.parse import unquote  # noqa: PLC0415 - 3 ms that few calls need

    return unquote(text)


def _read(name: str, found: dict[str, None]) -> None:
    # `casefold` makes `ss` of `ß`, as IDNA 2003 does; 2008 keeps it
    for host in {name.lower(), name.casefold()} - {""}:
        found[host] = None
        if not host.isascii():
            for spelled in {host, _IGNORED.sub("", host)}:
                found[spelled] = None
                found[".".join(map(_ascii_label, spelled.split(".")))] = None
        if (number := _ipv4_number(host)) is not None:
            found[".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))] = None


def _ascii_label(label: str) -> str:
    """A label as DNS has it; what our library doesn't take (an emoji) as browsers write it."""
    if label.isascii() or len(label) > 63:
        return label
    return _idna(label) or "xn--" + label.encode("punycode", "replace").decode("ascii")


def _read_ipv6(text: str, found: dict[str, None]) -> None:
    from ipaddress import AddressValueError, IPv4Address, IPv6Address  # noqa: PLC0415 - few URLs have one

    try:
        address = IPv6Address(text)
    except AddressValueError:
        return
    found[address.compressed] = None
    if _embedded(int(address)):
        found[str(IPv4Address((int(address) >> 80 if int(address) >> 112 == 0x2002 else int(address)) & 0xFFFFFFFF))] = None


def _ipv4_number(host: str) -> int | None:
    """A host as the IPv4 parser of browsers reads it: one to four numbers, decimal, octal or hexadecimal."""
    parts = host.split(".")
    if not 1 <= len(parts) <= 4:
        return None
    numbers: list[int] = []
    for part in parts:
        if re.fullmatch(r"0x[0-9a-f]{0,16}", part):
            numbers.append(int(part[2:] or "0", 16))
        elif re.fullmatch(r"0[0-7]{0,22}", part):
            numbers.append(int(part, 8))
        elif re.fullmatch(r"[1-9][0-9]{0,19}", part):
            numbers.append(int(part))
        else:
            return None
    *first, last = numbers
    if any(number > 255 for number in first) or last >= 256 ** (5 - len(numbers)):
        return None
    return sum(number << 8 * (3 - i) for i, number in enumerate(first)) + last
