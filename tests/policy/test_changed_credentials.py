"""What a change of logins and credentials loosens and tightens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpwrap.core.credentials import FromLogin, FromSecret, Minted, Source, Via, Wanted
from mcpwrap.policy.changed_credentials import source_text, way_text
from mcpwrap.policy.load import ProjectPolicy
from mcpwrap.policy.trust import announce_changes
from tests.policy.test_load import project

API = "https://api.example.com"
ISSUER = "https://login.example.com"


def changes(old: str, new: str) -> list[tuple[str, str, int]]:
    """What is said, but for what stayed; the credential's table begins on line 2."""
    texts = (f"[servers.f]\n{'' if each == '' else '[servers.f.credentials.X]'}\n{each}" for each in (old, new))
    return [change for change in announce_changes(*map(project, texts)) if change[0] != "same"]


SECRET = 'secret = "a"'
SECRET_SAID = "the secret a, in the variable X"


def login(*scope: str, resource: str = API) -> str:
    return f'login = {{ resource = "{resource}", scope = {list(scope)} }}'


def login_said(scopes: str, resource: str = API) -> str:
    return f"your login's token for {resource}, {scopes}, in the variable X"


def minted(*scope: str, ttl_s: int = 60) -> str:
    return f"minted = {{ scope = {list(scope)}, ttl_s = {ttl_s} }}"


def minted_said(scopes: str, ttl_s: int = 60) -> str:
    return f"a token of mcpwrap's own, valid {ttl_s} s, {scopes}, in the variable X"


R, RW, RWX = 'scope "r"', 'scopes "r", "w"', 'scopes "r", "w", "x"'
ALL = "every scope that the login has"


@pytest.mark.parametrize(
    ("old", "new", "kind", "text"),
    [
        ("", SECRET, "loosens", f"– → {SECRET_SAID}"),
        (SECRET, "", "tightens", f"{SECRET_SAID} → –"),
        (SECRET, 'secret = "b"', "loosens", f"{SECRET_SAID} → the secret b, in the variable X"),
        (SECRET, SECRET + '\nvia = "file"', "loosens", f"{SECRET_SAID} → the secret a, in a file that X_FILE names"),
        (SECRET + '\nvia = "file"', SECRET, "loosens", f"the secret a, in a file that X_FILE names → {SECRET_SAID}"),
        (SECRET, SECRET + '\nvia = "helper"', "loosens", f"{SECRET_SAID} → the secret a, by `mcpwrap token`"),
        (SECRET, SECRET + '\nvia = "meta"', "loosens", f"{SECRET_SAID} → the secret a, in the `_meta` of each request"),
        (SECRET, login("r", "w"), "loosens", f"{SECRET_SAID} → {login_said(RW)}"),
        (SECRET, minted("r", "w"), "loosens", f"{SECRET_SAID} → {minted_said(RW)}"),
        (login("r", "w"), minted("r", "w"), "loosens", f"{login_said(RW)} → {minted_said(RW)}"),
        # logins: no scope is all of them
        (login("r", "w"), login("r", "w", resource=ISSUER), "loosens", f"{login_said(RW)} → {login_said(RW, ISSUER)}"),
        (login("r", "w"), login("r", "w", "x"), "loosens", f"{login_said(RW)} → {login_said(RWX)}"),
        (login("r", "w"), login("x"), "loosens", None),
        (login("r", "w"), login("w"), "tightens", None),
        (login("r", "w"), login(), "loosens", f"{login_said(RW)} → {login_said(ALL)}"),
        (login(), login("r", "w"), "tightens", f"{login_said(ALL)} → {login_said(RW)}"),
        (login("r"), 'login = { scope = ["r"] }', "loosens", None),
        ('login = { scope = ["r"] }', login("r"), "loosens", None),
        # tokens of our own: no scope is none
        (minted("r"), minted("r", ttl_s=61), "loosens", f"{minted_said(R)} → {minted_said(R, 61)}"),
        (minted("r"), minted("r", ttl_s=59), "tightens", None),
        (minted("r", "w"), minted("r", ttl_s=61), "loosens", None),
        (minted("r", "w"), minted(), "tightens", f"{minted_said(RW)} → {minted_said('no scope')}"),
        (minted(), minted("r", "w"), "loosens", None),
        (minted("r", "w"), minted("r", "x"), "loosens", None),
    ],
)
def test_a_credential_that_changed_is_told_whole(old: str, new: str, kind: str, text: str | None) -> None:
    [(found, said, line)] = changes(old, new)
    assert found == kind
    assert text is None or said == f"f › credential X  {text}"
    assert line == (2 if new else 0)


@pytest.mark.parametrize("text", [SECRET, login("r", "w"), minted("r", "w")])
def test_a_credential_that_stayed_is_counted_whatever_the_order_of_its_scopes(text: str) -> None:
    both = [
        project(f'[servers.f]\ncommand = ["x"]\n[servers.f.credentials.X]\n{each}')
        for each in (text, text.replace('"r", "w"', '"w", "r"'))
    ]
    assert announce_changes(*both) == [("same", "1 command, 1 credential", 0)]
    two = project(f"[servers.f.credentials]\nX = {{ {text} }}\nY = {{ {text} }}")
    assert announce_changes(two, two) == [("same", "2 credentials", 0)]


def test_the_credentials_of_a_new_server_are_told_too() -> None:
    new = project(f"[servers.f]\n[servers.f.credentials.X]\n{SECRET}")
    assert announce_changes(project(""), new) == [
        ("loosens", "f › server  new", 1),
        ("loosens", f"f › credential X  – → {SECRET_SAID}", 2),
    ]
    assert ("loosens", f"f › credential X  – → {SECRET_SAID}", 2) in announce_changes(None, new)


@pytest.mark.parametrize(
    ("old", "new"), [("", ISSUER), (ISSUER, ""), (ISSUER, ISSUER + "/"), (ISSUER, "https://login.examp1e.com")]
)
def test_another_issuer_loosens_whichever_it_is(old: str, new: str) -> None:
    def policy(issuer: str) -> ProjectPolicy:
        return project(f'[login]\nissuer = "{issuer}"' if issuer else "")

    local = "this machine's account (the local profile)"
    assert announce_changes(policy(old), policy(new)) == [
        ("loosens", f"login › issuer  {old or local} → {new or local}", 2 if new else 0)
    ]
    assert announce_changes(policy(new), policy(new)) == []
    assert bool(announce_changes(None, policy(new))) is bool(new)


SCOPES = st.lists(st.sampled_from("abc"), max_size=3, unique=True).map(tuple)
SOURCES: st.SearchStrategy[Source] = st.one_of(
    st.builds(FromLogin, st.sampled_from(["", API, ISSUER]), SCOPES),
    st.builds(FromSecret, st.sampled_from("ab")),
    st.builds(Minted, SCOPES, st.integers(5, 7)),
)
VIAS: st.SearchStrategy[Via] = st.sampled_from(["env", "file"])


def powers(wanted: Wanted) -> set[object]:
    """Everything that a server can do with a credential, and how it gets it."""
    match wanted.source:
        case FromLogin(resource, scope):
            return {("login", resource, each, wanted.via) for each in scope or "abcdefg"}
        case FromSecret(name):
            return {("secret", name, wanted.via)}
        case Minted(scope, ttl_s):
            return {("minted", each, second, wanted.via) for each in ("", *scope) for second in range(ttl_s)}


def toml(wanted: Wanted) -> str:
    source = ""
    match wanted.source:
        case FromLogin(resource, scope):
            named = f'resource = "{resource}", ' if resource else ""
            source = f"login = {{ {named}scope = {list(scope)} }}"
        case FromSecret(name):
            source = f'secret = "{name}"'
        case Minted(scope, ttl_s):
            source = f"minted = {{ scope = {list(scope)}, ttl_s = {ttl_s} }}"
    return f"[servers.f]\n[servers.f.credentials.X]\n{source}\nvia = '{wanted.via}'"


@given(st.builds(Wanted, st.just("X"), SOURCES, VIAS), st.builds(Wanted, st.just("X"), SOURCES, VIAS))
def test_a_server_that_may_do_more_than_before_is_never_said_to_be_tighter_or_the_same(old: Wanted, new: Wanted) -> None:
    kinds = {kind for kind, _, _ in announce_changes(project(toml(old)), project(toml(new)))} - {"same"}
    assert kinds == ({"loosens"} if powers(new) - powers(old) else {"tightens"} if powers(old) - powers(new) else set())


@given(st.builds(Wanted, st.just("X"), SOURCES, VIAS), st.builds(Wanted, st.just("X"), SOURCES, VIAS))
def test_two_credentials_that_differ_read_differently(one: Wanted, other: Wanted) -> None:
    same = (source_text(one.source), way_text(one)) == (source_text(other.source), way_text(other))
    assert same is (one == other)
