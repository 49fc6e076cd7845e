"""What works in a policy but may not be meant, about logins and credentials; and secrets that stand in the file itself.

Pure and advice, as `mcpwrap.policy.review`. A value that may be a secret is never repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from mcpwrap.core.credentials import FromLogin, FromSecret, Minted, Profile, not_lent
from mcpwrap.core.redact import has_token, sounds_secret
from mcpwrap.policy.load import ProjectPolicy, ServerPolicy
from mcpwrap.policy.review import Finding

SHORT_S: Final = 30
"""A token in a variable that lives shorter, in seconds, restarts its server so often that calls mostly wait."""

_PROVIDED: Final = re.compile(r"\bsubject\s*(?:\.\s*|\[\s*[\"'])(groups|email)\b")
"""What of the subject only a provider knows."""

_VALUE: Final = re.compile(r"(?![0-9]+\Z|\$|~|\.{0,2}/)(?!.*://)[\x21-\x7e]{8,}")
"""What may be a secret under a name that sounds like one: no number, no path, no address, no variable, no words."""

_OPTION: Final = re.compile(r"-{1,2}([A-Za-z][A-Za-z0-9_-]*)(?:=(.*))?", re.DOTALL)
_PUNYCODE: Final = re.compile(r"(?:[/.@])xn--", re.IGNORECASE)


def warnings_for(policy: ProjectPolicy) -> list[str]:
    """What a person should know about the issuer before they accept it."""
    if not _PUNYCODE.search(policy.issuer):
        return []
    said = (
        f"`{policy.issuer}` has letters of another script in its host (`xn--…`), which may be displayed like a name that you know"
    )
    return [f"login: {said}: compare it letter by letter ({policy.file}:{policy.issuer_line})"]


def review_credentials(policy: ProjectPolicy, server: ServerPolicy, profiles: Mapping[str, Profile]) -> Iterator[Finding]:
    """Findings about one server of `policy`; `profiles` are those of the user's file."""
    fitting = [profile for profile in profiles.values() if policy.issuer and profile.issuer == policy.issuer]
    for wanted in server.credentials:
        line = server.credential_lines[wanted.name]
        match wanted.source:
            case Minted(_, ttl_s) if wanted.via == "env" and ttl_s < SHORT_S:
                said = f"`{wanted.name}` lives {ttl_s} s in a variable, and the server is restarted each time before it ends"
                yield Finding(policy.file, line, f'{said}: `via = "file"` or `"helper"` needs no restart')
            case FromLogin() if not policy.issuer:
                said = f"`{wanted.name}` is a provider's token, and no `[login]` names the provider"
                yield Finding(policy.file, line, f'{said}: add `[login]` with `issuer = "https://…"`')
            case FromLogin() as source if fitting:
                reasons = [(profile, not_lent(profile, source)) for profile in fitting]
                if all(why for _, why in reasons):
                    said = "; ".join(
                        f"[profiles.{profile.name}] in your config.toml {why}; {_remedy(profile, source)}"
                        for profile, why in reasons
                    )
                    yield Finding(policy.file, line, f"`{wanted.name}` will be refused: {said}")
            case FromSecret(name) if has_token(name):
                said = f"`secret` of `{wanted.name}` is a name, and this looks like the key itself"
                remedy = f'take it out, revoke it, and `mcpwrap secret set {server.name} {wanted.name}`: `secret = "{wanted.name}"`'
                yield Finding(policy.file, line, f"{said}: {remedy}")
            case _:
                pass
    yield from _in_the_file(policy, server)
    if not policy.issuer:
        yield from _unknown_subject(policy, server)


def _remedy(profile: Profile, source: FromLogin) -> str:
    """How `profile` comes to lend what it doesn't lend of `source`."""
    if profile.resources is None or source.resource in profile.resources:
        return "add it to its `scopes`"
    return "add it to its `resources`" if source.resource else "name one of its `resources` here"


def _in_the_file(policy: ProjectPolicy, server: ServerPolicy) -> Iterator[Finding]:
    for name, value in server.env.items():
        if has_token(value) or (sounds_secret(name) and _VALUE.fullmatch(value)):
            said = f"the value of `{name}` in `env` looks like a secret, and this file is for everybody to read"
            yield Finding(policy.file, server.line, f"{said}: {_kept(server, name)}")
    words = server.command or ()
    for i, word in enumerate(words):
        option = _OPTION.fullmatch(word)
        value = (option[2] if option[2] is not None else words[i + 1] if i + 1 < len(words) else "") if option else ""
        if has_token(word) or (option and sounds_secret(option[1]) and _VALUE.fullmatch(value) and not value.startswith("-")):
            which = f"the value of `{option[0].partition('=')[0]}`" if option else f"element {i + 1}"
            said = f"{which} in `command` looks like a secret, and every program of this machine can read arguments"
            yield Finding(policy.file, server.line, f"{said}: {_kept(server, 'NAME')}")


def _kept(server: ServerPolicy, name: str) -> str:
    return f'`mcpwrap secret set {server.name} {name}` keeps it, `credentials.{name} = {{ secret = "{name}" }}` delivers it'


def _unknown_subject(policy: ProjectPolicy, server: ServerPolicy) -> Iterator[Finding]:
    for rule in (rule for table in server.tables.values() for rule in table.rules):
        when = rule.conditions.when if rule.conditions is not None else None
        if when is not None and rule.patterns and (found := _PROVIDED.search(when.text)):
            said = f"a `when` looks at `subject.{found[1]}`, which the local profile doesn't know"
            yield Finding(policy.file, rule.patterns[0].line, f'{said}: add `[login]` with `issuer = "https://…"`')
