"""What works in a policy but may not be meant, about logins and credentials; a secret is never repeated."""

from __future__ import annotations

import secrets

import pytest

from mcpwrap.policy.review_credentials import review_credentials
from mcpwrap.policy.trust import warnings_for
from tests.policy.test_load import project, user

ISSUER = "https://login.example.com"
LOGIN = f'[login]\nissuer = "{ISSUER}"\n'
API = "https://api.example.com"


def found(text: str, *, login: str = "", mine: str = "") -> list[tuple[int, str]]:
    """Lines and texts of the findings about the server `s`, whose table begins on line 1 (3 with a login)."""
    policy = project(f"{login}[servers.s]\n{text}")
    return [(each.line, each.text) for each in review_credentials(policy, policy.servers["s"], user(mine).profiles)]


def minted(ttl_s: int, via: str) -> str:
    return f'[servers.s.credentials.X]\nminted = {{ ttl_s = {ttl_s} }}\nvia = "{via}"'


def test_a_variable_that_soon_ends_is_found() -> None:
    said = "`X` lives 29 s in a variable, and the server is restarted each time before it ends: "
    assert found(minted(29, "env")) == [(2, said + '`via = "file"` or `"helper"` needs no restart')]
    assert found(minted(30, "env")) == []


@pytest.mark.parametrize("via", ["file", "helper", "meta"])
def test_what_needs_no_restart_may_be_as_short_as_it_likes(via: str) -> None:
    assert found(minted(5, via)) == []


def asked(resource: str, *scope: str) -> str:
    named = f'resource = "{resource}", ' if resource else ""
    return f"[servers.s.credentials.X]\nlogin = {{ {named}scope = {list(scope)} }}"


def test_a_providers_token_without_a_provider_is_found() -> None:
    said = '`X` is a provider\'s token, and no `[login]` names the provider: add `[login]` with `issuer = "https://…"`'
    assert found(asked(API)) == [(2, said)]
    assert found(asked(API), login=LOGIN) == []


def profile(name: str, more: str = "", issuer: str = ISSUER) -> str:
    return f'[profiles.{name}]\nissuer = "{issuer}"\n{more}\n'


W = "[profiles.w] in your config.toml"
TO_RESOURCES, TO_SCOPES = "add it to its `resources`", "add it to its `scopes`"


@pytest.mark.parametrize(
    ("text", "mine", "why"),
    [
        (asked(API), profile("w", 'resources = ["https://a.example"]'), f"{W} doesn't lend {API}; {TO_RESOURCES}"),
        (asked(API), profile("w", "resources = []"), f"{W} doesn't lend {API}; {TO_RESOURCES}"),
        (
            asked(""),
            profile("w", f'resources = ["{API}"]'),
            f"{W} doesn't lend tokens for no resource in particular; name one of its `resources` here",
        ),
        (asked(API, "r", "x"), profile("w", 'scopes = ["r"]'), f"{W} doesn't lend the scope x; {TO_SCOPES}"),
        (asked(API, "x", "y"), profile("w", "scopes = []"), f"{W} doesn't lend the scopes x y; {TO_SCOPES}"),
        (
            asked(API, "x"),
            profile("w", "scopes = []") + profile("v", "resources = []"),
            f"{W} doesn't lend the scope x; {TO_SCOPES}; [profiles.v] in your config.toml doesn't lend {API}; {TO_RESOURCES}",
        ),
        (asked(API, "x"), profile("w"), ""),
        (asked(API, "x"), profile("w", f'resources = ["{API}"]\nscopes = ["x"]'), ""),
        (asked(API), profile("w", "scopes = []"), ""),
        (asked(API), profile("w", "resources = []") + profile("v"), ""),
        (asked(API), profile("w", "resources = []", ISSUER + "/"), ""),
        (asked(API), "", ""),
    ],
)
def test_what_no_profile_of_the_issuer_lends_is_found(text: str, mine: str, why: str) -> None:
    said = [(4, f"`X` will be refused: {why}")] if why else []
    assert found(text, login=LOGIN, mine=mine) == said


def test_without_an_issuer_no_profile_is_asked() -> None:
    assert [text for _, text in found('[servers.s.credentials.X]\nsecret = "a"', mine=profile("w", "resources = []"))] == []


TOKEN = f"ghp_{secrets.token_hex(18)}"
WORD = secrets.token_urlsafe(12)


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("API_KEY", WORD, True),
        ("HARMLESS", TOKEN, True),
        ("DATABASE", f"postgresql://reader:{WORD}@db.example/shop", True),
        ("PASSWORD", WORD, True),
        ("API_KEY", "short", False),
        ("API_KEY_FILE", "/run/secrets/key", False),
        ("API_KEY_FILE", "${project}/key", False),
        ("TOKEN_URL", "https://login.example.com/token", False),
        ("MAX_TOKENS", "1000000000", False),
        ("API_TOKEN", "$API_TOKEN", False),
        ("TOKEN_HINT", "ask the person next to you", False),
        ("LEVEL", "information", False),
    ],
)
def test_a_secret_that_stands_in_the_file_is_found_and_not_repeated(name: str, value: str, secret: bool) -> None:
    said = (
        f"the value of `{name}` in `env` looks like a secret, and this file is for everybody to read: "
        f'`mcpwrap secret set s {name}` keeps it, `credentials.{name} = {{ secret = "{name}" }}` delivers it'
    )
    assert found(f'env = {{ {name} = "{value}" }}') == ([(1, said)] if secret else [])


def test_a_secret_in_the_place_of_its_name_is_found_and_not_repeated() -> None:
    [(line, text)] = found(f'[servers.s.credentials.T]\nsecret = "{TOKEN}"')
    assert line == 2
    assert text == (
        "`secret` of `T` is a name, and this looks like the key itself: "
        'take it out, revoke it, and `mcpwrap secret set s T`: `secret = "T"`'
    )
    assert found('[servers.s.credentials.T]\nsecret = "github-token"') == []


@pytest.mark.parametrize(
    ("command", "which"),
    [
        (["x", TOKEN], "element 2"),
        (["x", "--token", WORD], "the value of `--token`"),
        (["x", f"--api-key={WORD}"], "the value of `--api-key`"),
        (["x", f"--header=Authorization: Bearer {WORD}"], "the value of `--header`"),
        (["x", "--token"], ""),
        (["x", "--token", "--verbose-please"], ""),
        (["x", "--token-file=/run/secrets/token"], ""),
        (["x", "--max-tokens", "100000000"], ""),
        (["x", "--name", "information"], ""),
        (["x", "-"], ""),
    ],
)
def test_a_secret_among_the_arguments_is_found_and_not_repeated(command: list[str], which: str) -> None:
    texts = found(f"command = {command}")
    said = f"{which} in `command` looks like a secret, and every program of this machine can read arguments: "
    assert [text.startswith(said) for _, text in texts] == ([True] if which else [])
    assert not any(value in text for _, text in texts for value in (TOKEN, WORD))


@pytest.mark.parametrize(
    ("when", "which"),
    [
        ('"a" in subject.groups', "groups"),
        ("has(subject.email)", "email"),
        ('subject["email"] == "a"', "email"),
        ("subject.sub == 'a'", ""),
        ("args.groups == 'a'", ""),
    ],
)
def test_an_expression_about_what_only_a_provider_knows_is_found(when: str, which: str) -> None:
    text = f"[[servers.s.rules]]\nask = ['a']\nwhen = '''{when}'''"
    said = f"a `when` looks at `subject.{which}`, which the local profile doesn't know: "
    assert [(line, each.startswith(said)) for line, each in found(text)] == ([(3, True)] if which else [])
    assert found(text, login=LOGIN) == []
    assert found(text.replace("['a']", "[]")) == []


@pytest.mark.parametrize(
    ("issuer", "warned"),
    [
        ("https://xn--80ak6aa92e.example", True),
        ("https://login.XN--80ak6aa92e.example/x", True),
        (ISSUER, False),
        ("https://login.example.com/myxn--x", False),
    ],
)
def test_an_issuer_in_letters_of_another_script_is_said_before_it_is_accepted(issuer: str, warned: bool) -> None:
    said = (
        f"login: `{issuer}` has letters of another script in its host (`xn--…`), which may be displayed like a name that you know"
    )
    whole = [f"{said}: compare it letter by letter (mcpwrap.toml:2)"] if warned else []
    assert warnings_for(project(f'[login]\nissuer = "{issuer}"')) == whole
