"""What a file gives to servers in words, and what a change of it loosens: the issuer and the credentials (POLICY.md §5).

Scopes of a login are at most what the login has, and none named is all of them. Scopes of a token of our own are what it says, and
none named is none. What isn't surely less is said to loosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, assert_never

from mcpwrap.core.credentials import FromLogin, FromSecret, Minted, Source, Wanted

if TYPE_CHECKING:
    from mcpwrap.policy.load import ProjectPolicy, ServerPolicy

CredentialChange = tuple[bool, str, int]
"""Whether it may loosen, the text, and the line in the new file (0 where nothing there stands for it)."""


def source_text(source: Source) -> str:
    """Where a credential comes from, whole; scopes stand in quotation marks, which none of them can hold."""
    match source:
        case FromLogin(resource, scope):
            what = f"for {resource}" if resource else "for whatever API the provider takes it to be for"
            return f"your login's token {what}, {_scopes(scope) or 'every scope that the login has'}"
        case FromSecret(name):
            return f"the secret {name}"
        case Minted(scope, ttl_s):
            return f"a token of mcpwrap's own, valid {ttl_s} s, {_scopes(scope) or 'no scope'}"
        case _:
            assert_never(source)


def way_text(wanted: Wanted) -> str:
    """How a credential is delivered."""
    match wanted.via:
        case "env":
            return f"in the variable {wanted.name}"
        case "file":
            return f"in a file that {wanted.name}_FILE names"
        case "helper":
            return "by `mcpwrap token`"
        case "meta":
            return "in the `_meta` of each request"
        case _:
            assert_never(wanted.via)


def issuer_text(issuer: str) -> str:
    """Who vouches for the person."""
    return issuer or "this machine's account (the local profile)"


def changed_issuer(old: ProjectPolicy | None, new: ProjectPolicy) -> Iterator[tuple[str, int]]:
    """Whether others vouch for the person now: to rules and servers that may be another person, whoever it is."""
    before = old.issuer if old is not None else ""
    if before != new.issuer:
        yield f"login › issuer  {issuer_text(before)} → {issuer_text(new.issuer)}", new.issuer_line


def changed_credentials(old: ServerPolicy | None, new: ServerPolicy) -> Iterator[CredentialChange]:
    """What differs in the credentials of one server (`old` None: it is new)."""
    before, after = _named(old), _named(new)
    for name in dict.fromkeys((*after, *before)):
        was, now = before.get(name), after.get(name)
        if now is None or was is None or not _same(was, now):
            yield (
                _loosens(was, now),
                f"{new.name} › credential {name}  {_text(was)} → {_text(now)}",
                new.credential_lines.get(name, 0),
            )


def same_credentials(old: ServerPolicy, new: ServerPolicy) -> int:
    """How many credentials stayed as they were."""
    before = _named(old)
    return sum(1 for each in new.credentials if (was := before.get(each.name)) is not None and _same(was, each))


def _named(server: ServerPolicy | None) -> Mapping[str, Wanted]:
    return {each.name: each for each in server.credentials} if server is not None else {}


def _same(was: Wanted, now: Wanted) -> bool:
    return was.via == now.via and _unordered(was.source) == _unordered(now.source)


def _unordered(source: Source) -> tuple[object, ...]:
    match source:
        case FromLogin(resource, scope):
            return "login", resource, frozenset(scope)
        case FromSecret(name):
            return "secret", name
        case Minted(scope, ttl_s):
            return "minted", frozenset(scope), ttl_s
        case _:
            assert_never(source)


def _loosens(was: Wanted | None, now: Wanted | None) -> bool:
    if now is None:
        return False
    if was is None or was.via != now.via:
        return True
    match was.source, now.source:
        case FromLogin(), FromLogin():
            narrower = not was.source.scope or (bool(now.source.scope) and {*now.source.scope} <= {*was.source.scope})
            return was.source.resource != now.source.resource or not narrower
        case Minted(), Minted():
            return now.source.ttl_s > was.source.ttl_s or not {*now.source.scope} <= {*was.source.scope}
        case _:
            return True


def _text(wanted: Wanted | None) -> str:
    return f"{source_text(wanted.source)}, {way_text(wanted)}" if wanted is not None else "–"


def _scopes(scope: tuple[str, ...]) -> str:
    quoted = ", ".join(f'"{each}"' for each in scope)
    return f"scope{'s' if len(scope) > 1 else ''} {quoted}" if scope else ""
