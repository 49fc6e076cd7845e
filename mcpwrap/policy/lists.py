"""The pattern lists of a table → rules of the core, each pattern with its own line (POLICY.md §2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from mcpwrap.core.conditions import URI
from mcpwrap.core.rules import Outcome, Pattern, PatternError, Rule
from mcpwrap.errors import ConfigError
from mcpwrap.policy.check import shown
from mcpwrap.policy.conditional import RawRule, constraint, read_rule, try_rule
from mcpwrap.policy.places import Path
from mcpwrap.policy.shape import EFFECTS, SERVER_REQUESTS, TABLES
from mcpwrap.policy.toml import Document, nearest

PATTERN_LIMIT: Final = 2000
"""Most patterns in one file (POLICY.md §1): a call is matched against each."""

KINDS: Final[Mapping[str, str]] = {
    "tools": "tool",
    "resources": "resource",
    "prompts": "prompt",
    "server_requests": "server request",
    "extra_methods": "method",
}
"""The tables of a server's rules, and the word for one thing of each."""

_EFFECTS: Final = dict(zip(EFFECTS, Outcome, strict=True))


class PatternList(msgspec.Struct, frozen=True):
    """One list as it stands in a file: the texts of its patterns with their lines, those with ``!`` apart."""

    kind: str
    effect: Outcome
    file: str
    patterns: tuple[tuple[str, int], ...]
    excluded: tuple[tuple[str, int], ...]
    admits: bool
    raw: RawRule = RawRule()

    def rule(self, variables: Mapping[str, str]) -> Rule:
        """The rule, with `variables` put in.

        Raises:
            PatternError: a pattern can't be used.
        """
        return Rule(
            self.effect,
            tuple(self.parse(text, line, variables) for text, line in self.patterns),
            tuple(self.parse(text, line, variables) for text, line in self.excluded),
            self.file,
            self.admits,
            self.raw.why,
            self.raw.conditions(variables),
            self.raw.budget,
            self.kind,
        )

    def parse(self, text: str, line: int, variables: Mapping[str, str]) -> Pattern:
        """One of its patterns.

        Raises:
            PatternError: it can't be used.
        """
        return Pattern.parse(text, line=line, uri=self.kind == "resources", variables=variables)


class PatternLists(msgspec.Struct, frozen=True):
    """All lists of one server's table."""

    lists: tuple[PatternList, ...]
    known: Mapping[str, str] = {}

    def rules(self, kind: str, variables: Mapping[str, str]) -> tuple[Rule, ...]:
        """The rules for things of `kind`.

        Raises:
            PatternError: a pattern can't be used.
        """
        return tuple(each.rule({**self.known, **variables}) for each in self.lists if each.kind == kind)

    def having(self, **known: str) -> PatternLists:
        """The same with some variables' values known already."""
        return msgspec.structs.replace(self, known=known)


def read_lists(
    document: Document, path: Path, table: Mapping[str, Any], *, admits: bool, variables: Mapping[str, str]
) -> PatternLists:
    """The lists of the server's table at `path`, each pattern tried.

    Raises:
        ConfigError: a pattern can't be used where it stands, or a list has exclusions only.
    """
    found: list[PatternList] = []
    for kind in KINDS:
        at, lists = (path, table) if kind == "tools" else ((*path, kind), table.get(kind, {}))
        for word, effect in _EFFECTS.items():
            if word in lists:
                found += _lists(document, (*at, word), lists[word], kind, effect, admits=admits, variables=variables)
        for i, rule in enumerate(lists.get("rules", ())):
            word, raw = read_rule(document, (*at, "rules", i), rule)
            effect = _EFFECTS[word]
            each = _list(document, (*at, "rules", i, word), rule[word], kind, effect, admits=admits, variables=variables)
            try_rule(document, (*at, "rules", i), raw, variables)
            found.append(msgspec.structs.replace(each, raw=raw))
    return PatternLists(tuple(found))


def _lists(
    document: Document,
    path: Path,
    items: list[Any],
    kind: str,
    effect: Outcome,
    *,
    admits: bool,
    variables: Mapping[str, str],
) -> list[PatternList]:
    """A list, and one more for each constraint in it, which is a rule of its own."""
    texts = [(i, item) for i, item in enumerate(items) if isinstance(item, str)]
    found: list[PatternList] = []
    if texts or not items:
        found.append(
            _list(document, path, [t for _, t in texts], kind, effect, admits=admits, variables=variables, at=[i for i, _ in texts])
        )
    for i, item in enumerate(items):
        if isinstance(item, dict):
            try:
                constraint(item, variables)
            except PatternError as error:
                raise document.error((*path, i), str(error)) from error
            line = document.places.line((*path, i))
            found.append(PatternList(kind, effect, document.file, (("*", line),), (), admits, RawRule({URI: item})))
    return found


def _list(
    document: Document,
    path: Path,
    texts: list[str],
    kind: str,
    effect: Outcome,
    *,
    admits: bool,
    variables: Mapping[str, str],
    at: Sequence[int] | None = None,
) -> PatternList:
    at = range(len(texts)) if at is None else at
    patterns: list[tuple[str, int]] = []
    excluded: list[tuple[str, int]] = []
    for i, text in zip(at, texts, strict=True):
        out = text.startswith("!")
        (excluded if out else patterns).append((text[1:] if out else text, document.places.line((*path, i))))
    read = PatternList(kind, effect, document.file, tuple(patterns), tuple(excluded), admits)
    for i, text in zip(at, texts, strict=True):
        out = text.startswith("!")
        try:
            pattern = read.parse(text[1:] if out else text, 0, variables)
        except PatternError as error:
            raise document.error((*path, i), str(error)) from error
        if kind == "server_requests":
            _check_server_request(document, (*path, i), pattern)
        elif kind == "extra_methods":
            _check_method(document, (*path, i), pattern, admits=admits and not out and effect is not Outcome.DENY)
    if excluded and not patterns:
        raise document.error(
            path,
            f"`{path[-1]}` has exclusions only: `!` takes names out of its own list, and there are none",
            'add what they are taken out of, such as "*"',
        )
    return read


def _check_server_request(document: Document, path: Path, pattern: Pattern) -> None:
    if not any(pattern.matches(name) for name in SERVER_REQUESTS):
        near = nearest(pattern.text, SERVER_REQUESTS)
        known = ", ".join(f"`{name}`" for name in sorted(SERVER_REQUESTS))
        raise document.error(
            path,
            f"{shown(pattern.text)} is nothing that a server may ask for",
            f"did you mean `{near}`?" if near else f"known: {known}",
        )


def _check_method(document: Document, path: Path, pattern: Pattern, *, admits: bool) -> None:
    from mcpwrap.core.methods import SPEC_METHODS  # noqa: PLC0415 - few files have such a table

    if pattern.regex is not None:
        raise document.error(path, f"{shown(pattern.text)} is a regular expression; methods are literals or globs")
    if pattern.literal in SPEC_METHODS:
        raise document.error(
            path,
            f"{shown(pattern.text)} is a method of the specification, which the other lists decide on",
            "`extra_methods` is for methods outside of it only",
        )
    # a list that only tightens may be as wide as it likes: nothing of the specification is judged by this table
    if admits and (hit := next((m for m in sorted(SPEC_METHODS) if pattern.matches(m)), None)):
        raise document.error(
            path,
            f"{shown(pattern.text)} would match `{hit}`, a method of the specification",
            'begin with the vendor\'s name, such as "vendor/*"',
        )


def bound_patterns(document: Document) -> None:
    """Check that the whole file has at most `PATTERN_LIMIT` patterns.

    Raises:
        ConfigError: it has more.
    """
    count = 0
    for name, server in document.tree.get("servers", {}).items():
        for path, table in ((("servers", name), server), *(((("servers", name, t)), server.get(t, {})) for t in TABLES)):
            for word in (*EFFECTS, "rules"):
                items = table.get(word, ())
                count += len(items) if word != "rules" else sum(len(rule.get(e, ())) for rule in items for e in EFFECTS)
                if count > PATTERN_LIMIT:
                    raise document.error((*path, word), f"there are more than {PATTERN_LIMIT:,} patterns")


def pattern_error(file: str, line: int, error: PatternError) -> ConfigError:
    """The error for a pattern that was fine when its file was read, and isn't with the values of this project."""
    return ConfigError(str(error), file=file, line=line)
