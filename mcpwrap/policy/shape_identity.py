"""What may stand in a file about logins, credentials, the vault and the network, for `mcpwrap.policy.shape` (IDENTITY.md §1, §4).

Sources: RFC 6749 §3.3 (a scope's characters) and appendix A.1 (a client's id), RFC 8414 §2 (an issuer has no query nor fragment),
RFC 8707 §2 (a resource is an absolute URI without a fragment), RFC 3986 appendix A (the characters of a path).
"""

from __future__ import annotations

import re
from typing import Final

from mcpwrap.core.credentials import KEPT_NAME
from mcpwrap.policy.shape_kinds import Choice, Elsewhere, Later, Named, Number, Reserved, Shape, Strings, Table, Text

VARIABLE: Final = r"[A-Za-z_][A-Za-z0-9_]{0,127}"

VIAS: Final = ("env", "file", "helper", "meta")
SOURCES: Final = ("login", "secret", "minted")
FLOWS: Final = ("browser", "device", "client-credentials")
TTL_S: Final = (5, 300)
"""Shortest and longest life of a token of our own, in seconds: below, it ends in flight; above, it isn't short-lived."""

_URL_LIMIT: Final = 2048
"""Longest URL, in characters: longer ones don't fit everywhere that a provider has to take them."""

_SCOPE_LIMIT: Final = 256
"""Longest scope, in characters: providers have URLs for scopes, and no longer ones are known."""


def _any_case(words: str) -> str:
    """A pattern for one of `words` in any case, as Windows takes them; a `*` at the end of one stands for any rest."""
    each = (re.sub("[A-Z]", lambda c: f"[{c[0]}{c[0].lower()}]", word).replace("*", "[A-Za-z0-9_]*") for word in words.split())
    return f"(?:{'|'.join(each)})"


_PORT: Final = r"(?::(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}))?"
_HOST: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:]{2,45}\])"
_LOOPBACK: Final = r"(?:localhost|127\.0\.0\.1|\[::1\])"
_PATH: Final = r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?"
_QUERY: Final = r"(?:\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
_WEB: Final = f"(?:https://{_HOST}|http://{_LOOPBACK}){_PORT}{_PATH}"

_ISSUER_LIKE: Final = "an issuer: an `https` URL in ASCII without user, query and fragment (`http` on this machine only)"
_RESOURCE_LIKE: Final = "a resource: an absolute `https` URI in ASCII without user and fragment (`http` on this machine only)"


def _url(doc: str, pattern: str, like: str) -> Text:
    return Text(doc, _URL_LIMIT, pattern, like, url=True)


_ISSUER: Final = _url("who vouches for the person: the issuer's URL, to the letter as the provider writes it", _WEB, _ISSUER_LIKE)
_RESOURCE: Final = _url("the API that the token is for (RFC 8707)", _WEB + _QUERY, _RESOURCE_LIKE)
_SCOPES: Final = Text("a scope", _SCOPE_LIMIT, r"[\x21\x23-\x5b\x5d-\x7e]+", 'a scope: one word in ASCII, without `"` and `\\`')
_FILE: Final = "path, absolute or begun by `${home}`"

OUR_VARIABLES: Final = Reserved(
    _any_case("MCPWRAP_*"),
    "is mcpwrap's own variable, and no server gets it from a file",
    "take it out; what a server is to know has another name",
)

CHANGES_PROGRAMS: Final = """
    PATH PATHEXT HOME USER USERNAME USERPROFILE LOGNAME SHELL COMSPEC LANG LC_* TZ TERM TMPDIR TEMP TMP PWD IFS ENV BASH_ENV
    SHELLOPTS BASHOPTS PS4 PROMPT_COMMAND CDPATH EDITOR VISUAL PAGER BROWSER SYSTEMROOT SYSTEMDRIVE WINDIR APPDATA
    LOCALAPPDATA PROGRAMFILES PROGRAMDATA XDG_* LD_* DYLD_* GCONV_PATH LOCPATH NLSPATH MALLOC_* GLIBC_TUNABLES PYTHON*
    NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED NODE_V8_COVERAGE PERL5LIB PERL5OPT PERL5DB
    PERLLIB RUBYLIB RUBYOPT GEM_HOME GEM_PATH CLASSPATH JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS GIT_SSH* GIT_ASKPASS
    GIT_CONFIG* GIT_EXEC_PATH GIT_EDITOR GIT_PAGER GIT_DIR GIT_EXTERNAL_DIFF GIT_PROXY_COMMAND GIT_TEMPLATE_DIR SSH_ASKPASS
    SUDO_ASKPASS SSL_CERT SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE OPENSSL_CONF OPENSSL_MODULES
    OPENSSL_ENGINES NPM_CONFIG_* PIP_* UV_* HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY DOTNET_STARTUP_HOOKS LUA_INIT PHPRC
    BUNDLE_GEMFILE ELECTRON_RUN_AS_NODE KUBECONFIG
"""
"""Variables that change how a program runs. `SSL_CERT` would be delivered as `SSL_CERT_FILE` with ``via = "file"``."""

_NOT_CREDENTIALS: Final = Reserved(
    _any_case("MCPWRAP_*" + CHANGES_PROGRAMS),
    "can't be a credential: programs take that variable for something else, and it changes how they run",
    "name the variable that the server reads its key or token from",
    OUR_VARIABLES,
)


def may_be_credential(variable: str) -> bool:
    """True where `variable` may be a credential's name."""
    return re.fullmatch(VARIABLE, variable) is not None and re.fullmatch(_NOT_CREDENTIALS.pattern, variable) is None


_NO_HTTP: Final = "servers over HTTP come with a later one"

CREDENTIALS: Final = Named(
    "what the server gets to prove who asks, by the name of the variable that it is delivered as",
    VARIABLE,
    "a variable's name",
    Table(
        "one credential; it has exactly one of `login`, `secret`, `minted`",
        {
            "login": Table(
                "an access token of the provider that the person signed in at",
                {
                    "resource": _RESOURCE,
                    "scope": Strings("what the token is good for, at most; default: all of the login", _SCOPES),
                },
            ),
            "secret": Text(
                "the secret of this name, which `mcpwrap secret set SERVER NAME` keeps",
                128,
                KEPT_NAME,
                "a secret's name (letters, digits, `.`, `_`, `-`; at most 128), and the secret itself never stands in a file",
            ),
            "minted": Table(
                "a short-lived token that mcpwrap makes itself, for servers that check it with `mcpwrap jwks`",
                {
                    "scope": Strings("what the token says that it is good for", _SCOPES),
                    "ttl_s": Number("how long it is valid, in seconds; default: 120", *TTL_S),
                },
            ),
            "via": Choice(
                "how it is delivered: a variable, a file that NAME_FILE names, `mcpwrap token`, or the `_meta` of requests",
                VIAS,
                {"header": _NO_HTTP},
            ),
            "header": Later(_NO_HTTP),
        },
        one=SOURCES,
    ),
    reserved=_NOT_CREDENTIALS,
)

LOGIN: Final = Table(
    "who the person must be signed in at; default: the local profile, the account of this machine", {"issuer": _ISSUER}, ("issuer",)
)

PROFILES: Final = Named(
    "logins, by name; of several for one issuer the first that is signed in counts",
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
    "a profile's name (letters, digits, `.`, `_`, `-`; at most 64)",
    Table(
        "one login",
        {
            "issuer": _ISSUER,
            "client_id": Text("the id that mcpwrap has at the provider, where it gave one", 512, r"[\x21-\x7e]+", "a client's id"),
            "flow": Choice("how to sign in: a browser here, a code to type in elsewhere, or as a machine with a key", FLOWS),
            "resources": Strings("the APIs that it lends tokens for, and no more; default: any", _RESOURCE),
            "scopes": Strings("the scopes that it lends, and no more; default: any", _SCOPES),
            "key": Text(f'{_FILE}: a PEM with the client\'s private key, for `flow = "client-credentials"`'),
        },
        ("issuer",),
        beside={"key": ("flow",)},
    ),
    reserved=Reserved(
        _any_case("LOCAL"),
        "is the profile that is built in",
        "give this one another name: it counts by its `issuer`",
    ),
)

VAULT: Final = Table(
    "where the key lies that everything is sealed with; written by `mcpwrap vault init`",
    {
        "key": Text(
            "`keyring` (the default), `file:/path`, or `passphrase`",
            4096,
            r"keyring|passphrase|file:[^\x00-\x1f\x7f]+",
            "`keyring`, `passphrase`, or the path of a file such as `file:/media/key/mcpwrap.key`",
        )
    },
)

NETWORK: Final = Table(
    "how providers are reached; the environment's proxies don't count",
    {
        "proxy": _url(
            "the proxy's URL",
            f"https?://{_HOST}{_PORT}/?",
            "a proxy such as `http://proxy.internal:3128` (without user, path, query and fragment)",
        ),
        "ca": Text(f"{_FILE}: a PEM with authorities that count besides the system's"),
    },
)


def persons_own(*keys: str) -> dict[str, Shape]:
    """What `keys`, which only the person's own file may have, are in another: nobody else chooses their logins."""
    return {
        key: Elsewhere(f"`{key}` can't stand here: it belongs to the person's own config.toml", f"take `{key}` out") for key in keys
    }


def not_here(key: str) -> Shape:
    """What `key`, which only the file that defines a server may have, is in one that tightens."""
    return Elsewhere(f"`{key}` can't stand here: it belongs to the file that defines a server", f"take `{key}` out")
