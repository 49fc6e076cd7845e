"""Rules for tests, written as short as they stand in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mcpwrap.core.rules import Outcome, Pattern, Rule, RuleTable, ServerRules

Lists = Mapping[str, Sequence[str]]
"""Effect → patterns: ``{"allow": ["read_*", "!read_secret"]}``."""

FILE = "mcpwrap.toml"

EVERYTHING: Lists = {"allow": ["*"]}


def rule(effect: str, patterns: Sequence[str], *, uri: bool = False, admits: bool = True, line: int = 1, why: str = "") -> Rule:
    """One list of a table."""

    def parsed(texts: Sequence[str]) -> tuple[Pattern, ...]:
        return tuple(Pattern.parse(text, line=line, uri=uri) for text in texts)

    taken = parsed([text for text in patterns if not text.startswith("!")])
    excluded = parsed([text[1:] for text in patterns if text.startswith("!")])
    return Rule(Outcome[effect.upper()], taken, excluded, FILE if admits else "config.toml", admits, why)


def table(kind: str, lists: Lists, tightened: Lists | None = None) -> RuleTable:
    """A table of the defining file; `tightened` are the lists of another one."""
    uri = kind == "resource"
    own = tuple(rule(effect, texts, uri=uri, line=n) for n, (effect, texts) in enumerate(lists.items(), 2))
    other = tuple(
        rule(effect, texts, uri=uri, line=n, admits=False) for n, (effect, texts) in enumerate((tightened or {}).items(), 2)
    )
    return RuleTable(kind, own + other, FILE, 1)


def policy(
    tools: Lists | None = None,
    *,
    resources: Lists | None = None,
    prompts: Lists | None = None,
    server_requests: Lists | None = None,
    extra_methods: Lists | None = None,
    user: Lists | None = None,
) -> ServerRules:
    """What a policy says about one server; `user` tightens the tools."""
    return ServerRules(
        "files",
        table("tool", tools or {}, user),
        table("resource", resources or {}),
        table("prompt", prompts or {}),
        table("server request", server_requests or {}),
        table("method", extra_methods or {}),
    )


OPEN = policy(EVERYTHING, resources=EVERYTHING, prompts=EVERYTHING, server_requests=EVERYTHING, extra_methods=EVERYTHING)
"""Everything is allowed."""

CLOSED = policy()
"""Nothing is."""
