"""Logins, credentials, the vault and the network in files: what is read, and the exact place of what can't be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpwrap.core.credentials import FromLogin, FromSecret, Minted, Network, Profile, Wanted
from mcpwrap.errors import ConfigError
from mcpwrap.policy.shape_identity import CHANGES_PROGRAMS
from tests.policy.test_load import HOME, project, site, user

FULL = """\
[login]
issuer = "https://login.example.com/tenant/v2.0"
[servers.issues]
command = ["server"]
env = { LEVEL = "info" }
inherit_env = ["HTTPS_PROXY"]
[servers.issues.credentials.API_TOKEN]
login = { resource = "https://api.example.com/v1?x=1", scope = ["repo:read", "repo:read", "a/b"] }
[servers.issues.credentials.SIGNING_KEY]
secret = "signing-key"
via = "file"
[servers.issues.credentials]
AGENT_TOKEN = { minted = { scope = ["issues:read"], ttl_s = 60 }, via = "helper" }
ANY = { login = {}, via = "meta" }
MINE = { minted = {} }
"""

FULL_USER = """\
[vault]
key = "file:/media/key/mcpwrap.key"
[network]
proxy = "http://proxy.internal:3128"
ca = "${home}/ca.pem"
[profiles.work]
issuer = "https://login.example.com"
client_id = "mcpwrap"
flow = "device"
resources = ["https://api.example.com"]
scopes = ["repo:read"]
[profiles.ci]
issuer = "https://login.example.com"
client_id = "robot"
flow = "client-credentials"
key = "${home}/keys/../ci.pem"
[profiles.none]
issuer = "http://127.0.0.1:8080"
resources = []
scopes = []
[login]
issuer = "https://login.example.com"
[servers.mine]
command = ["server"]
"""


def test_every_source_and_every_way_of_delivery_is_read_with_its_line() -> None:
    policy = project(FULL)
    assert (policy.issuer, policy.issuer_line) == ("https://login.example.com/tenant/v2.0", 2)
    issues = policy.servers["issues"]
    assert issues.credentials == (
        Wanted("API_TOKEN", FromLogin("https://api.example.com/v1?x=1", ("repo:read", "a/b"))),
        Wanted("SIGNING_KEY", FromSecret("signing-key"), "file"),
        Wanted("AGENT_TOKEN", Minted(("issues:read",), 60), "helper"),
        Wanted("ANY", FromLogin(), "meta"),
        Wanted("MINE", Minted((), 120)),
    )
    assert issues.credential_lines == {"API_TOKEN": 7, "SIGNING_KEY": 9, "AGENT_TOKEN": 13, "ANY": 14, "MINE": 15}


def test_without_a_login_the_local_profile_counts_and_a_server_gets_nothing() -> None:
    policy = project("[servers.f]")
    assert (policy.issuer, policy.issuer_line) == ("", 0)
    assert policy.servers["f"].credentials == ()


def test_the_persons_own_file_is_read() -> None:
    mine = user(FULL_USER)
    assert mine.vault == "file:/media/key/mcpwrap.key"
    assert mine.network == Network("http://proxy.internal:3128", f"{HOME}/ca.pem")
    assert list(mine.profiles.values()) == [
        Profile("work", "https://login.example.com", "mcpwrap", "device", ("https://api.example.com",), ("repo:read",)),
        Profile("ci", "https://login.example.com", "robot", "client-credentials", key=f"{HOME}/ci.pem"),
        Profile("none", "http://127.0.0.1:8080", resources=(), scopes=()),
    ]
    assert list(mine.profiles) == ["work", "ci", "none"]
    assert mine.own_servers is not None
    assert (mine.own_servers.issuer, mine.own_servers.issuer_line) == ("https://login.example.com", 22)


def test_a_persons_file_that_says_nothing_means_the_keyring_no_profile_and_no_proxy() -> None:
    mine = user("")
    assert (mine.vault, mine.profiles, mine.network) == ("keyring", {}, Network())
    assert user("[vault]").vault == "keyring"
    assert user('[vault]\nkey = "passphrase"').vault == "passphrase"


@pytest.mark.parametrize("table", ["login", "vault", "network", "profiles"])
def test_the_administrators_file_has_none_of_them(table: str) -> None:
    with pytest.raises(ConfigError, match=f"`{table}` can't stand here"):
        site(f"[{table}]")


@pytest.mark.parametrize("table", ["vault", "network", "profiles"])
def test_a_projects_file_chooses_neither_vault_nor_network_nor_profile(table: str) -> None:
    with pytest.raises(ConfigError, match=f"`{table}` can't stand here: it belongs to the person's own config.toml"):
        project(f"[{table}]")


@pytest.mark.parametrize("load", [user, site])
def test_a_file_that_tightens_gives_no_server_a_credential(load: object) -> None:
    with pytest.raises(ConfigError, match="`credentials` can't stand here: it belongs to the file that defines a server"):
        load('[servers."*".credentials.X]\nsecret = "x"')  # type: ignore[operator]


X = "[servers.f.credentials.X]\n"
NO_ISSUER = "isn't an issuer: an `https` URL in ASCII"
NO_RESOURCE = "isn't a resource: an absolute `https` URI in ASCII"
ASCII = "write the host in ASCII, as its certificate has it"

MISTAKES = {
    # text: (place, message, hint)
    X: ("1:1", "a credential has exactly one of `login`, `secret`, `minted`, and `X` has no source", 'write `secret = "NAME"`'),
    X + 'secret = "a"\nminted = {}': (
        "3:1",
        "a credential has exactly one of `login`, `secret`, `minted`, and `X` has 2",
        "take the",
    ),
    X + 'secret = "a"\nlogin = {}': ("2:1", "a credential has exactly one of", "take the others out"),
    X + 'secret = ""': ("2:1", "`secret` can't be empty", ""),
    X + 'secret = "-a"': ("2:1", "`-a` isn't a secret's name", ""),
    X + 'secret = "hunter 2"': ("2:1", "`hunter 2` isn't a secret's name", ""),
    X + 'secert = "a"': ("2:1", "unknown key `secert`", "did you mean `secret`?"),
    X + 'secret = "a"\nvia = "environment"': ("3:1", "`environment` isn't one of `env`, `file`, `helper`, `meta`", ""),
    X + 'secret = "a"\nvia = "fil"': ("3:1", "`fil` isn't one of", "did you mean `file`?"),
    X + "minted = { ttl_s = 4 }": ("2:12", "`ttl_s` must be at least 5", ""),
    X + "minted = { ttl_s = 301 }": ("2:12", "`ttl_s` must be at most 300", ""),
    X + "minted = { ttl_s = 60.5 }": ("2:12", "`ttl_s` must be a whole number", ""),
    X + 'minted = { scope = "read" }': ("2:12", "`scope` must be a list", 'write it as a list, in brackets: ["read"]'),
    X + 'minted = { scope = ["a b"] }': ("2:21", "`a b` isn't a scope", ""),
    X + "minted = { scope = ['a\"b'] }": ("2:21", "`a\"b` isn't a scope", ""),
    X + "login = { scope = ['a\\b'] }": ("2:20", "`a\\b` isn't a scope", ""),
    X + 'login = { scope = ["é"] }': ("2:20", "`é` isn't a scope", ""),
    X + 'login = { scopes = ["a"] }': ("2:11", "unknown key `scopes`", "did you mean `scope`?"),
    X + 'login = { resource = "https://a.example/#b" }': ("2:11", f"`https://a.example/#b` {NO_RESOURCE}", "take the fragment"),
    X + 'login = { resource = "http://a.example" }': (
        "2:11",
        f"`http://a.example` {NO_RESOURCE}",
        "write `https://…`; `http` is for",
    ),
    X + 'login = { resource = "http://localhost.a.example" }': ("2:11", f"`http://localhost.a.example` {NO_RESOURCE}", "write `h"),
    X + 'login = { resource = "api.example/x" }': (
        "2:11",
        f"`api.example/x` {NO_RESOURCE}",
        "write the whole URL, such as `https://api",
    ),
    X + 'login = { resource = "urn:x" }': ("2:11", f"`urn:x` {NO_RESOURCE}", ""),
    X + 'login = { resource = "ftp://x.example" }': ("2:11", f"`ftp://x.example` {NO_RESOURCE}", ""),
    X + 'login = { resource = "https://me@x.example" }': ("2:11", f"`https://me@x.example` {NO_RESOURCE}", "take the user's name"),
    X + 'login = { resource = "https://x.example/ a" }': ("2:11", f"`https://x.example/ a` {NO_RESOURCE}", "take the spaces out"),
    X + 'login = { resource = "https://x.example:65536" }': ("2:11", f"`https://x.example:65536` {NO_RESOURCE}", ""),
    X + 'login = { resource = "" }': ("2:11", "`resource` can't be empty", ""),
    # names
    '[servers.f.credentials."A-B"]\nsecret = "a"': ("1:1", "`A-B` isn't a variable's name", ""),
    '[servers.f.credentials.PATH]\nsecret = "a"': (
        "1:1",
        "`PATH` can't be a credential: programs take that variable",
        "name the va",
    ),
    '[servers.f.credentials.Ld_Preload]\nsecret = "a"': ("1:1", "`Ld_Preload` can't be a credential", "name the variable"),
    '[servers.f.credentials.MCPWRAP_TOKEN_SOCKET]\nsecret = "a"': ("1:1", "`MCPWRAP_TOKEN_SOCKET` is mcpwrap's own", "take"),
    '[servers.f]\nenv = { MCPWRAP_PASSPHRASE = "x" }': (
        "2:9",
        "`MCPWRAP_PASSPHRASE` is mcpwrap's own variable, and no server",
        "take",
    ),
    '[servers.f]\ninherit_env = ["A", "mcpwrap_passphrase"]': ("2:21", "`mcpwrap_passphrase` is mcpwrap's own variable", "take it"),
    # one variable, two values
    '[servers.f]\nenv = { X = "a" }\n' + X + 'secret = "a"': (
        "3:1",
        "`X` would come from two places: `env` and the credential `X`",
        "take one of the two out of [servers.f]",
    ),
    '[servers.f]\ninherit_env = ["x"]\n' + X + 'secret = "a"\nvia = "helper"': (
        "3:1",
        "`X` would come from two places: `inherit_env` and the credential `X`",
        "take one of the two",
    ),
    '[servers.f]\nenv = { X_FILE = "a" }\n' + X + 'secret = "a"\nvia = "file"': (
        "3:1",
        "`X_FILE` would come from two places: `env` and the credential `X`",
        "take one of the two",
    ),
    '[servers.f]\nenv = { X = "/a" }\n' + X + 'secret = "a"\nvia = "file"': (
        "3:1",
        "`X` would come from two places: `env` and the credential `X`",
        "take one of the two",
    ),
    X + 'secret = "a"\nvia = "file"\n[servers.f.credentials.X_FILE]\nsecret = "b"': (
        "4:1",
        "`X_FILE` would come from two places: the credential `X` and the credential `X_FILE`",
        "take one of the two",
    ),
    '[servers.f.credentials.X_FILE]\nsecret = "b"\n' + X + 'secret = "a"\nvia = "file"': (
        "3:1",
        "`X_FILE` would come from two places: the credential `X_FILE` and the credential `X`",
        "take one of the two",
    ),
    X + 'secret = "a"\n[servers.f.credentials.x]\nsecret = "b"': (
        "3:1",
        "`x` would come from two places: the credential `X` and the credential `x`",
        "t",
    ),
    # the issuer
    "[login]": ("1:1", "`login` names no `issuer`", 'write `issuer = "https://login.example.com"`, or take [login] out'),
    '[login]\nissuer = ""': ("2:1", "`issuer` can't be empty", ""),
    '[login]\nissuer = "local"': ("2:1", f"`local` {NO_ISSUER}", "write the whole URL"),
    '[login]\nissuer = "https://a.example?x=1"': ("2:1", f"`https://a.example?x=1` {NO_ISSUER}", "take the query"),
    '[login]\nissuer = "https://a.example/#"': ("2:1", f"`https://a.example/#` {NO_ISSUER}", "take the fragment"),
    '[login]\nissuer = "https://good.example@a.example"': (
        "2:1",
        f"`https://good.example@a.example` {NO_ISSUER}",
        "take the user's",
    ),
    '[login]\nissuer = "https://a.example\\\\b"': ("2:1", f"`https://a.example\\b` {NO_ISSUER}", ""),
    '[login]\nissuer = "HTTPS://a.example"': ("2:1", f"`HTTPS://a.example` {NO_ISSUER}", ""),
    '[login]\nissuer = "https://\\u0430pple.example"': ("2:1", f"`https://\u0430pple.example` {NO_ISSUER}", ASCII),
    '[login]\nissuer = "https://a.example\\u200b"': ("2:1", f"`https://a.example\u200b` {NO_ISSUER}", ASCII),
    '[login]\nprofile = "work"': ("2:1", "unknown key `profile` in [login]", "known here: `issuer`"),
}

BY_CHECK_ONLY = (
    # what depends on another table of the server, or on another credential
    "[servers.f]\nenv = { X",
    '[servers.f]\ninherit_env = ["x"]',
    "[servers.f.credentials.X_FILE]",
    "[servers.f.credentials.x]",
)
"""Parts of the mistakes that a schema can't see."""


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_about_credentials_is_told_with_its_exact_place(text: str) -> None:
    place, message, hint = MISTAKES[text]
    with pytest.raises(ConfigError) as caught:
        project(text)
    error = caught.value
    assert error.place == f"mcpwrap.toml:{place}"
    assert str(error).startswith(message)
    assert error.hint.startswith(hint)
    assert bool(error.hint) is bool(hint)


P = '[profiles.p]\nissuer = "https://a.example"\n'

USER_MISTAKES = {
    "[profiles.p]": ("1:1", "the profile `p` names no `issuer`", 'write `issuer = "https://login.example.com"`'),
    '[profiles.local]\nissuer = "https://a.example"': (
        "1:1",
        "`local` is the profile that is built in",
        "give this one another name",
    ),
    '[profiles.Local]\nissuer = "https://a.example"': (
        "1:1",
        "`Local` is the profile that is built in",
        "give this one another name",
    ),
    '[profiles."a b"]\nissuer = "https://a.example"': ("1:1", "`a b` isn't a profile's name", ""),
    P + 'flow = "browsr"': ("3:1", "`browsr` isn't one of `browser`, `device`, `client-credentials`", "did you mean `browser`?"),
    P + 'client_secret = "x"': ("3:1", "unknown key `client_secret`", ""),
    P + 'client_id = "a b"': ("3:1", "`a b` isn't a client's id", ""),
    P + 'resources = ["x"]': ("3:14", "`x` isn't a resource", "write the whole URL"),
    P + 'scopes = ["a b"]': ("3:11", "`a b` isn't a scope", ""),
    P + 'key = "/a"': (
        "3:1",
        '`key` is for a machine that signs in by itself, and the profile `p` has `flow = "browser"`',
        "write `flow",
    ),
    P + 'flow = "device"\nkey = "/a"': ("4:1", "`key` is for a machine that signs in by itself", "write `flow"),
    P + 'flow = "client-credentials"\nkey = "a.pem"': (
        "4:1",
        "`key` must be an absolute path, and `a.pem` isn't",
        "begin with `/`",
    ),
    P + 'flow = "client-credentials"\nkey = "${project}/a"': ("4:1", "unknown substitution `${project}`", "known here: `${home}`"),
    '[vault]\nkey = "file:a"': ("2:1", "the path of the vault's key must be absolute, and `a` isn't", "write `file:/…`"),
    '[vault]\nkey = "plaintext"': ("2:1", "`plaintext` isn't `keyring`, `passphrase`, or the path of a file", ""),
    '[vault]\nkey = "file:"': ("2:1", "`file:` isn't `keyring`", ""),
    '[network]\nproxy = "http://me:secret@a.example"': (
        "2:1",
        "`http://me:secret@a.example` isn't a proxy such as",
        "take the user's",
    ),
    '[network]\nproxy = "proxy.internal:3128"': ("2:1", "`proxy.internal:3128` isn't a proxy", "write the whole URL"),
    '[network]\nca = "ca.pem"': ("2:1", "`ca` must be an absolute path, and `ca.pem` isn't", "begin with `/`"),
    '[login]\nissuer = "x"': ("2:1", "`x` isn't an issuer", "write the whole URL"),
    '[servers.f]\ncommand = ["x"]\n[servers.f.credentials.X]': ("3:1", "a credential has exactly one of", "write `secret"),
}

USER_BY_CHECK_ONLY = (
    # paths, and what depends on the value of another key
    'flow = "device"\nkey',
    '"a.pem"',
    '"ca.pem"',
    "${project}",
    '"file:a"',
)


@pytest.mark.parametrize("text", USER_MISTAKES)
def test_a_mistake_in_the_persons_own_file_is_told_with_its_exact_place(text: str) -> None:
    place, message, hint = USER_MISTAKES[text]
    with pytest.raises(ConfigError) as caught:
        user(text)
    error = caught.value
    assert error.place.endswith(f"config.toml:{place}")
    assert str(error).startswith(message)
    assert error.hint.startswith(hint)


@pytest.mark.parametrize("text", [
    "https://login.example.com",
    "https://login.example.com/",
    "https://xn--80ak6aa92e.example",
    "https://Login.Example.com:8443/a/%20b",
    "https://[2001:db8::1]:8443",
    "http://localhost:65535/x",
    "http://127.0.0.1",
    "http://[::1]:8080",
])  # fmt: skip
def test_an_issuer_is_kept_to_the_letter(text: str) -> None:
    assert project(f'[login]\nissuer = "{text}"').issuer == text


@given(st.from_regex(r"\A[\x21\x23-\x5b\x5d-\x7e]{1,8}\Z"))
def test_every_scope_token_of_oauth_is_taken(scope: str) -> None:
    source = project(f"{X}login = {{ scope = ['''{scope}'''] }}").servers["f"].credentials[0].source if "'" not in scope else None
    assert source is None or source == FromLogin("", (scope,))


@pytest.mark.parametrize("name", CHANGES_PROGRAMS.split())
@pytest.mark.parametrize("spell", [str.upper, str.lower, str.title])
def test_no_credential_takes_the_name_of_a_variable_that_changes_how_programs_run(name: str, spell: object) -> None:
    for rest in ("", "X") if name.endswith("*") else ("",):
        spelled = spell(name.removesuffix("*") + rest)  # type: ignore[operator]
        with pytest.raises(ConfigError, match=f"`{spelled}` can't be a credential"):
            project(f'[servers.f.credentials.{spelled}]\nsecret = "a"')


KEPT = (
    *("PATH", "HOME", "LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "PYTHONPATH", "NODE_OPTIONS", "BASH_ENV", "KUBECONFIG", "PHPRC"),
    *("NPM_CONFIG_REGISTRY", "npm_config_registry", "PIP_INDEX_URL", "UV_INDEX", "https_proxy", "ALL_PROXY", "No_Proxy"),
    *("DOTNET_STARTUP_HOOKS", "LUA_INIT", "BUNDLE_GEMFILE", "ELECTRON_RUN_AS_NODE"),
)


@pytest.mark.parametrize("name", KEPT)
def test_the_best_known_of_them_are_kept(name: str) -> None:
    for via in ("env", "file", "helper", "meta"):
        with pytest.raises(ConfigError, match="can't be a credential"):
            project(f'[servers.f.credentials.{name}]\nsecret = "a"\nvia = "{via}"')


@pytest.mark.parametrize("name", ["MCPWRAP_X", "mcpwrap_project"])
def test_no_credential_takes_the_name_of_a_variable_of_mcpwraps_own(name: str) -> None:
    with pytest.raises(ConfigError, match=f"`{name}` is mcpwrap's own variable") as caught:
        project(f'[servers.f.credentials.{name}]\nsecret = "a"')
    assert "has another name" in caught.value.hint


def test_what_would_be_delivered_as_a_kept_name_is_kept_too() -> None:
    files = [name.removesuffix("_FILE") for name in CHANGES_PROGRAMS.split() if name.endswith("_FILE")]
    assert files == ["SSL_CERT"]
    with pytest.raises(ConfigError, match="`SSL_CERT` can't be a credential"):
        project('[servers.f.credentials.SSL_CERT]\nsecret = "a"\nvia = "file"')


def test_a_name_that_only_begins_like_a_kept_one_is_free() -> None:
    text = "".join(
        f'[servers.f.credentials.{name}]\nsecret = "a"\n' for name in ("PATH_TOKEN", "NODE_AUTH_TOKEN", "HOMEKEY", "GIT_TOKEN")
    )
    assert len(project(text).servers["f"].credentials) == 4
