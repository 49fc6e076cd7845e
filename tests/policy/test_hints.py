"""What somebody is told who never wrote such a file: each likely mistake, with the words that mend it."""

from __future__ import annotations

import pytest

from mcpwrap.errors import ConfigError
from mcpwrap.policy import hints
from mcpwrap.policy.load import load_project

RULE = '[[servers.f.rules]]\ndeny = ["a"]\n'

HINTS = {
    # folders
    RULE + "args.x = { within = 'C:\\Users\\ann\\shop' }": "it is a path of Windows; inside WSL it is `/mnt/c/Users/ann/shop`",
    RULE + 'args.x = { within = "~/.ssh" }': "write `${home}/.ssh`",
    RULE + 'args.x = { within = ["/a", "$HOME"] }': "write `${home}`",
    RULE + 'args.x = { within = "./docs" }': "write `${project}/docs`",
    RULE + 'args.x = { within = "." }': "",
    RULE + 'args.x = { within = "${x}" }': "",
    '[servers.f]\ncwd = "."': 'write "${project}"',
    # types
    "[servers.f]\nlimit = 30": "write a limit such as `30/min` (`/s`, `/min`, `/h`, `/session`)",
    '[servers.f]\nmax_result_bytes = "1MB"': "write a number such as 1_000_000, without quotation marks",
    RULE + 'args.x = { max = "10" }': "take the quotation marks away",
    RULE + "args.x = { max = true }": "",
    "[servers.f]\nenv = { A = 1 }": "put it into quotation marks",
    "[project]\nname = 1": "put it into quotation marks",
    '[servers.f]\nallow = "read_*"': 'write it as a list, in brackets: ["read_*"]',
    '[servers.f]\ncommand = "npx -y x"': 'write it as a list, in brackets: ["npx", "-y", "x"]',
    f'[servers.f]\nallow = "{"x" * 80}"': "write it as a list, in brackets",
    RULE + 'args.path = "docs/**"': 'say how it is compared, such as `args.path = { glob = "docs/**" }`',
    RULE + "unless.count = 3": "say how it is compared: `within`, `host`, `glob`, `one_of` or `max`",
    # TOML
    '[servers.f]\nallow = ["^read_\\d+$"]': "a backslash in \"…\" begins an escape; put the text into '…'",
    RULE + 'args.x = { within = "C:\\Users" }': "a backslash in \"…\" begins an escape; put the text into '…'",
    RULE + "when = args.path": "a text is put into quotation marks",
    "[servers.f]\nallow = [": "",
    '{ "mcpServers": {} }': "this is JSON, and the file is TOML; `mcpwrap init NAME -- COMMAND…` writes one",
    # expressions
    RULE + "when = 'arg.path == 3'": "did you mean `args.path`?",
    RULE + "when = 'args.path.startswith(\"x\")'": "did you mean `startsWith`?",
    RULE + "when = 'path == \"x\"'": "an argument is `args.NAME`; known besides: `tool`, `uri`, `server`, `project`, "
    "`subject`, `client`, `session`, `time`",
    RULE + "when = 'len(args.path) > 3'": "CEL writes `size(…)`",
    RULE + "when = 'args.path == None'": "CEL writes `null`; whether an argument is there says `has(args.NAME)`",
    RULE + "when = 'args.a == 1 and args.b == \"or\"'": "CEL writes `&&`",
    RULE + "when = 'not has(args.path)'": "CEL writes `!`",
    RULE + "when = 'args.path = 3'": "CEL compares with `==`",
    RULE + "when = 'args.path.contains(\"=\"'": "",
    RULE + "when = 'args.path == ${project}'": 'an expression has no `${…}`; for a folder: `args.NAME = { within = "${project}" }`',
    RULE + "when = 'args.path.matches(\"\\d+\")'": "texts with backslashes: TOML's '…' around CEL's r\"…\"",
    RULE + "when = 'has(args)'": "",
    RULE + "when = 'tool'": "",
}


@pytest.mark.parametrize("text", HINTS)
def test_a_likely_mistake_is_told_with_what_to_write_instead(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_project(text.encode(), file="mcpwrap.toml", root="/p", home="/h")
    assert caught.value.hint == HINTS[text]


def test_a_file_in_another_encoding_is_told_with_what_to_do() -> None:
    with pytest.raises(ConfigError) as caught:
        load_project("version = 1".encode("utf-16"), file="mcpwrap.toml", root="/p", home="/h")
    assert caught.value.hint == "save it as UTF-8"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("https://a b.example", "take the spaces out"),
        (
            "https://\u0430.example",
            "write the host in ASCII, as its certificate has it (`xn--…`): other letters may look like those you know",
        ),
        ("login.example.com/x", "write the whole URL, such as `https://login.example.com/x`"),
        ("//login.example.com", "write the whole URL, such as `https://login.example.com`"),
        ("urn:x:y", ""),
        ("https://a.example#x?y", "take the fragment (`#…`) out"),
        ("https://a.example/?x", "take the query (`?…`) out"),
        ("https://a@b.example/c", "take the user's name before the `@` out"),
        ("http://a.example", "write `https://…`; `http` is for `localhost`, `127.0.0.1` and `[::1]` only"),
        ("https://a.example:99999", ""),
        ("ftp://a.example", ""),
    ],
)
def test_a_url_that_is_none_is_told_with_its_fault(text: str, hint: str) -> None:
    assert hints.for_url(text) == hint
