"""`mcpwrap trust`: who signs in, and what each server receives, as a person at a terminal reads it."""

from __future__ import annotations

import sys

import pytest

from tests.cli.conftest import FILE, At, plain
from tests.project import Project

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals here")

IDENTITY = """
[servers.files.credentials.API_TOKEN]
login = { resource = "https://api.example.com", scope = ["read", "write"] }
[servers.files.credentials.SIGNING_KEY]
secret = "signing-key"
via = "file"
[servers.files.credentials.AGENT_TOKEN]
minted = { scope = ["issues:read"], ttl_s = 60 }
via = "helper"
[login]
issuer = "https://login.example.com"
"""

RECEIVES = """\
  receives    API_TOKEN  your login's token for https://api.example.com, scopes "read", "write", in the variable API_TOKEN  :17
              SIGNING_KEY  the secret signing-key, in a file that SIGNING_KEY_FILE names  :19
              AGENT_TOKEN  a token of mcpwrap's own, valid 60 s, scope "issues:read", by `mcpwrap token`  :22
"""


def test_who_signs_in_and_what_each_server_receives_is_shown_before_the_question(shop: Project, at_terminal: At) -> None:
    shop.write(FILE + IDENTITY)
    with at_terminal("trust") as person:
        assert (
            plain(person.reads("  tools "), shop)
            == f"""\
SHOP: mcpwrap.toml in ROOT is not trusted yet
  digest  DIGEST

  login       https://login.example.com  mcpwrap.toml:26

files  mcpwrap.toml:3
  runs        /bin/sh -c 'exit 0' ROOT
  as          /bin/sh
  in          a private empty folder
  sets        LOG_LEVEL=info
  hands over  HTTPS_PROXY  (as your client has it)
{RECEIVES}  tools """
        )


def test_what_a_server_would_receive_is_never_shortened(shop: Project, at_terminal: At) -> None:
    scopes = [f"scope-{i}-{'x' * 200}" for i in range(40)]
    shop.write(
        FILE + f'[servers.files.credentials.T]\nlogin = {{ resource = "https://a.example/{"y" * 1900}", scope = {scopes} }}\n'
    )
    with at_terminal("trust") as person:
        text = person.reads("[y/N] ").replace("\r\n", "")
        assert "y" * 1900 in text
        assert all(f'"{scope}"' in text for scope in scopes)
        assert "this machine's account (the local profile)" in text


def test_after_a_change_of_logins_and_credentials_the_difference_is_shown(trusted: Project, at_terminal: At) -> None:
    trusted.write(FILE + IDENTITY)
    with at_terminal("trust") as person:
        person.reads("diff] ")
        person.types("y")
        assert person.ends() == 0
    narrowed = IDENTITY.replace(', "write"', "").replace('secret = "signing-key"', 'secret = "other"').replace("login.ex", "id.ex")
    trusted.write(FILE + narrowed)
    with at_terminal("trust") as person:
        assert plain(person.reads("Until"), trusted).splitlines()[1:-2] == [
            "  loosens   login › issuer  https://login.example.com → https://id.example.com  :26",
            "  loosens   files › credential SIGNING_KEY  the secret signing-key, in a file that SIGNING_KEY_FILE names → "
            "the secret other, in a file that SIGNING_KEY_FILE names  :19",
            '  tightens  files › credential API_TOKEN  your login\'s token for https://api.example.com, scopes "read", '
            '"write", in the variable API_TOKEN → your login\'s token for https://api.example.com, scope "read", '
            "in the variable API_TOKEN  :17",
            "  same      1 command, 1 credential",
        ]


def test_an_issuer_that_may_look_like_another_is_warned_of(shop: Project, at_terminal: At) -> None:
    shop.write(FILE + '[login]\nissuer = "https://xn--80ak6aa92e.example"\n')
    with at_terminal("trust") as person:
        assert "warning: login: `https://xn--80ak6aa92e.example` has letters of another script" in person.reads("[y/N] ").replace(
            "\n         ", " "
        )
