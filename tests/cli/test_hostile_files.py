"""Files that somebody else wrote: whatever lies there, a command says what is wrong, in visible characters, and changes nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.project import Project

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such files there")

RAW: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\ud800-\udfff]")
"""What a terminal obeys or hides; nothing of it is printed."""

ESC: Final = "\x1b[2J\x1b]0;x\x07\u202e\u200b"
FILE: Final = 'version = 1\n[servers.files]\ncommand = ["/bin/sh", "-c", "exit 0"]\nallow = ["read_*"]\n'
LOCK: Final = '{"version": 1, "servers": {"files": {"tools": {"a": {"name": "a"}}}}}'

COMMANDS: Final = (
    ("check",),
    ("pins",),
    ("pins", "accept", "files"),
    ("trust",),
    ("init", "new", "--yes", "--", "/bin/false"),
    ("test",),
    ("explain", "files", "read_x"),
)


def play(project: Project, *argv: str) -> subprocess.CompletedProcess[bytes]:
    """Run one command; what it prints and leaves there must be fit for a person, whatever it says."""
    before = found(project.root)
    ended = subprocess.run(
        [project.command, *argv], cwd=project.root, env=project.env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
    )
    text = (ended.stdout + ended.stderr).decode()
    assert ended.returncode in (0, 1, 2, 3, 4), text
    assert "Traceback" not in text
    assert not RAW.search(text), ascii(text)
    assert found(project.root) == before
    return ended


def found(root: Path) -> dict[str, object]:
    """Everything around the project, as it lies there."""
    return {
        str(path): (path.lstat().st_mode, path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else b"")
        for path in [root.parent / "outside", *root.rglob("*")]
        if path.is_symlink() or path.exists()
    }


def entry(**members: Any) -> bytes:
    return json.dumps({"version": 1, "servers": {"files": members}}).encode()


LOCKS: Final[dict[str, tuple[bytes, str]]] = {
    # the bytes, and what `check` says of them
    "nested": (b'{"version":1,"servers":' + b'{"a":' * 100_000, "nested deeper than 256 levels"),
    "nul": (b"\0" * 100, "not JSON"),
    "long": (b" " * (3 << 20), "is longer than 2048 KiB"),
    "large": (entry(tools={f"t{i}": {"name": f"t{i}", "description": "x" * 1000} for i in range(300)}), "no fault"),
    "twice": (b'{"version":1,"version":1,"servers":{}}', "twice"),
    "another type": (entry(tools=[ESC]), "is no object"),
    "another name": (entry(tools={ESC: {"name": "a"}}), "is the definition of something else"),
    "unknown key": (entry(**{ESC: 1}), "unknown key"),
    "surrogate": (entry(package="\ud800", tools={"\udc00": {"name": "\udc00"}}), "no fault"),
    "escapes": (entry(package=ESC, greeting={ESC: ESC}, tools={ESC: {"name": ESC, "description": ESC}}), "no fault"),
    "prototype": (json.dumps({"version": 1, "servers": {"__proto__": {}}}).encode(), "no fault"),
    "digits": (b'{"version":' + b"9" * 5000 + b',"servers":{}}', "an integer of more than 4300 digits"),
    "not UTF-8": (b'{"version":1,"servers":{"\xff":{}}}', "UTF-8"),
    "mark": (b"\xef\xbb\xbf" + LOCK.encode(), "mcpwrap.lock"),
    "raw escape": (b'{"version":1,\x1b[2J', "mcpwrap.lock"),
    "CRLF": (LOCK.replace(" ", "\r\n").encode(), "no fault"),
    "empty": (b"", "mcpwrap.lock"),
}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_of_any_content_is_refused_or_shown_in_visible_characters(name: str, project: Project) -> None:
    data, said = LOCKS[name]
    project.write(FILE)
    (project.root / "mcpwrap.lock").write_bytes(data)
    ended = play(project, "check")
    assert said in (ended.stdout + ended.stderr).decode()
    assert ended.returncode == (0 if said == "no fault" else 2)
    for argv in COMMANDS[1:3]:
        play(project, *argv)


POLICIES: Final[dict[str, tuple[bytes, str]]] = {
    "nested": (b"x = " + b"[" * 100_000, "error: "),
    "nested header": (b"[" + b"a." * 5000 + b"a]", "error: "),
    "nul": (b'version = 1\n[servers.a]\ncommand = ["\0"]', "no valid TOML"),
    "long": (FILE.encode() + b"#" * 300 * 1024, "is longer than 256 KiB"),
    "twice": (FILE.encode() + b'allow = ["x"]', "no valid TOML"),
    "another type": (b"[[servers]]\nx = 1", "must be a table"),
    "surrogate": (b'[servers.a]\ncommand = ["\\ud800"]', "no valid TOML"),
    "escape in a key": (b'"\\u001b[2J\\u202e" = 1', "unknown key"),
    "raw escape": (b"\x1b[2J = 1", "no valid TOML"),
    "escape in a name": (b'[servers."\\u001b[2J"]', "isn't a server's name"),
    "escape in a version": (b'[servers.files]\ncommand = ["npx", "-y", "a@1.2.3\\u001b[2J"]\nallow = ["x"]', "no fault"),
    "escape in a reason": (b'[servers.files]\n[[servers.files.rules]]\ndeny = ["*"]\nreason = "\\u001b[2J\\u202e"', "no fault"),
    "escape in a test": (
        b"[servers.files]\n[[servers.files.tests]]\n"
        b'call = "\\u001b[2J"\nname = "\\u202e"\nargs = { "\\u001b" = inf }\nexpect = "allow"',
        "no fault",
    ),
    "digits": (FILE.encode() + b"max_result_bytes = " + b"9" * 5000, "error: "),
    "not UTF-8": (b"\xff\xfe", "UTF-8"),
    "UTF-16": (FILE.encode("utf-16"), "UTF-8"),
    "CR": (FILE.replace("\n", "\r").encode(), "no valid TOML"),
    "CRLF": (FILE.replace("\n", "\r\n").encode(), "no fault"),
    "prototype": (b'[servers.__proto__]\ncommand = ["x"]', "isn't a server's name"),
    "escape in an issuer": (b'[login]\nissuer = "https://a.example/\\u001b[2J\\u202e"', "isn't an issuer"),
    "look-alike issuer": ('[login]\nissuer = "https://\u0430pple.example"'.encode(), "isn't an issuer"),
    "hidden character in an issuer": (b'[login]\nissuer = "https://a.example\\u200b"', "isn't an issuer"),
    "user in an issuer": (b'[login]\nissuer = "https://login.example.com@evil.example"', "isn't an issuer"),
    "backslash in an issuer": (b'[login]\nissuer = "https://evil.example\\\\@login.example.com"', "isn't an issuer"),
    "escape in a credential's name": (b'[servers.f.credentials."\\u001b[2J"]\nsecret = "a"', "isn't a variable's name"),
    "escape in a secret's name": (b'[servers.f.credentials.X]\nsecret = "\\u001b[2J"', "isn't a secret's name"),
    "escape in a scope": (b'[servers.f.credentials.X]\nlogin = { scope = ["\\u001b[2J\\u202e"] }', "isn't a scope"),
    "words in a scope": (b'[servers.f.credentials.X]\nlogin = { scope = ["a\\", in no variable"] }', "isn't a scope"),
    "escape in a resource": (b'[servers.f.credentials.X]\nlogin = { resource = "https://a.example/\\u001b" }', "isn't a resource"),
    "preload": (b'[servers.f.credentials.LD_PRELOAD]\nsecret = "a"', "can't be a credential"),
    "our own variable": (b'[servers.f]\ninherit_env = ["MCPWRAP_PASSPHRASE"]', "is mcpwrap's own variable"),
    "vault of a project": (b'[vault]\nkey = "file:/tmp/key"', "belongs to the person's own"),
    "proxy of a project": (b'[network]\nproxy = "http://evil.example"', "belongs to the person's own"),
    "profile of a project": (b'[profiles.work]\nissuer = "https://evil.example"', "belongs to the person's own"),
    "long key": (b"a" * 200_000 + b" = 1", "a key is longer than 256 bytes"),
    "many patterns": (b"[servers.f]\nallow = [" + b'"a",' * 50_000 + b"]", "more than 20,000 keys and values"),
}


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_of_any_content_is_refused_or_shown_in_visible_characters(name: str, project: Project) -> None:
    data, said = POLICIES[name]
    (project.root / "mcpwrap.toml").write_bytes(data)
    ended = play(project, "check")
    text = (ended.stdout + ended.stderr).decode()
    assert said in text, text
    assert len(text) < 2000
    assert ended.returncode == (0 if said == "no fault" else 2)
    for argv in COMMANDS[-2:]:
        play(project, *argv)


def lie(path: Path, kind: str, text: str) -> None:
    """Put something at `path` that is no plain file of its own."""
    outside = path.parent.parent / "outside"
    outside.write_text(text)
    match kind:
        case "link":
            path.symlink_to(outside)
        case "link to nothing":
            path.symlink_to(path.parent.parent / "nowhere")
        case "link to itself":
            path.symlink_to(path)
        case "link to a device":
            path.symlink_to("/dev/zero")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            path.write_text(text)
            path.chmod(0)


@pytest.mark.parametrize("kind", ["link", "link to nothing", "link to itself", "link to a device", "pipe", "folder", "unreadable"])
@pytest.mark.parametrize("file", ["mcpwrap.toml", "mcpwrap.lock"])
def test_what_is_no_plain_file_is_neither_read_nor_written(file: str, kind: str, project: Project) -> None:
    if kind == "unreadable" and os.geteuid() == 0:
        pytest.skip("root reads everything")
    project.write(FILE)
    if file == "mcpwrap.lock":
        project.trust()  # what changes after it was trusted is looked at by more commands
    else:
        (project.root / file).unlink()
    lie(project.root / file, kind, FILE if file == "mcpwrap.toml" else LOCK)
    for argv in COMMANDS:
        ended = play(project, *argv)
        assert ended.returncode in (2, 3), (argv, ended)
        assert b"mcpwrap" in ended.stderr + ended.stdout
