"""What works in a policy but may not be meant: rules that never count, names that don't exist, tools that deserve a question.

Pure: the rules of one server go in, with the definitions of its tools where they are known (pinned or seen), and warnings come out.
Everything here is advice; nothing is decided by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from mcpwrap.core.conditions import EVERY, URI
from mcpwrap.core.constraint import Constraint
from mcpwrap.core.rules import HOLE, Outcome, Pattern, Rule, RuleTable, ServerRules, Text
from mcpwrap.policy.load import ServerPolicy
from mcpwrap.policy.names import sensitive, words_of
from mcpwrap.policy.toml import nearest

Tools = Mapping[str, Mapping[str, Any]]
"""Definitions by name."""

_PATH: Final = re.compile(r"path|file|dir|folder", re.IGNORECASE)
"""Arguments whose name says that they are paths."""
_FILE_NAME: Final = re.compile(r"\*?\.[A-Za-z0-9_-]+\*?")
"""A glob that is meant for the name of a file, such as `*.pem` or `.env`."""

_REFERENCE: Final = re.compile(r"\$[A-Za-z_]\w*|%\w+%")
"""How a shell would put in a variable."""

_NAMED: Final = 3
"""How many names a warning lists before it only counts."""


class Finding(msgspec.Struct, frozen=True, order=True):
    """A warning with its place."""

    file: str
    line: int
    text: str


def review(rules: ServerRules, tools: Tools | None) -> list[Finding]:
    """All findings about one server, in the files' order. `tools` None: it isn't known what the server has."""
    found: list[Finding] = []
    for table in (rules.tools, rules.resources, rules.prompts, rules.server_requests, rules.extra_methods):
        found += _dead(table)
        found += _idle_exclusions(table)
        found += _short_globs(table)
    if tools is not None:
        found += _unmatched(rules.tools, tools)
        found += _unknown_arguments(rules.tools, tools)
    found += _unguarded(rules.tools, tools)
    return sorted(set(found))


def review_server(server: ServerPolicy, file: str, tools: Tools | None) -> Iterator[Finding]:
    """What one server's table says besides its rules."""
    if not any(rule.effect is not Outcome.DENY for kind in ("tools", "resources", "prompts") for rule in server.tables[kind].rules):
        yield Finding(file, server.line, "nothing is let through: what no `allow`, `log` or `ask` names is denied")
    for name, value in server.env.items():
        if _REFERENCE.fullmatch(value):
            passed = f'`inherit_env = ["{value.strip("$%")}"]`'
            text = f"`{name}` is set to the text `{value}` itself; a variable of yours is passed on with {passed}"
            yield Finding(file, server.line, text)
    for test in server.tests:
        if tools is None or test.method != "tools/call" or test.call in tools:
            continue
        near = nearest(test.call, tools)
        # that a tool which isn't there would be denied is worth a test, unless its name is a slip
        if near or test.expect is not Outcome.DENY:
            hint = f"; did you mean `{near}`?" if near else ""
            yield Finding(file, test.line, f"a test calls `{test.call}`, a tool that the server doesn't have{hint}")


# rules that never count


def _dead(table: RuleTable) -> Iterator[Finding]:
    for rule in table.rules:
        for pattern in rule.patterns:
            by = _overruled(table, rule, pattern)
            if by is None:
                continue
            other, its = by
            strict = f'`{other.effect.label} = ["{its.text}"]` ({other.file}:{its.line})'
            if other.effect is rule.effect:
                text = f"the conditions of `{pattern.text}` in `{rule.effect.label}` change nothing: {strict} has none"
            elif rule.conditions is None and pattern.literal is not None and its.literal is not None:
                text = (
                    f"`{pattern.text}` stands in `{rule.effect.label}` ({rule.file}:{pattern.line}) and in "
                    f"`{other.effect.label}` ({other.file}:{its.line}); `{other.effect.label}` wins"
                )
            else:
                text = f"`{pattern.text}` in `{rule.effect.label}` never counts: {strict} is stricter"
            yield Finding(rule.file, pattern.line, text)


def _overruled(table: RuleTable, rule: Rule, pattern: Pattern) -> tuple[Rule, Pattern] | None:
    """The rule without conditions that decides wherever `pattern` matches, with its own pattern."""
    text = _open(pattern)
    for other in table.rules:
        if other is rule or other.conditions is not None:
            continue
        stricter = other.effect > rule.effect and (rule.budget is None or other.effect is Outcome.DENY)
        same = other.effect is rule.effect and rule.conditions is not None and rule.budget is None
        if (stricter or same) and text is not None and (its := other.covers(text)):
            return other, its
    return None


def _open(pattern: Pattern) -> Text | None:
    """`pattern` as a text with holes; None for a regular expression, which has none."""
    if pattern.regex is not None:
        return None
    return pattern.literal if pattern.literal is not None else [s if isinstance(s, str) else HOLE for s in pattern.symbols]


def _idle_exclusions(table: RuleTable) -> Iterator[Finding]:
    for rule in table.rules:
        for gone in rule.excluded:
            text = _open(gone)
            if text is not None and not any(pattern.touches(text) for pattern in rule.patterns):
                yield Finding(
                    rule.file,
                    gone.line,
                    f"`!{gone.text}` takes nothing out of its `{rule.effect.label}`: no pattern there matches it",
                )


# what the server has


def _unmatched(table: RuleTable, tools: Tools) -> Iterator[Finding]:
    for rule in table.rules:
        for sign, pattern in [("", p) for p in rule.patterns] + [("!", p) for p in rule.excluded]:
            if any(pattern.matches(name) for name in tools):
                continue
            near = _meant(pattern, tools)
            hint = f"; did you mean `{near}`?" if near else ""
            yield Finding(
                rule.file,
                pattern.line,
                f"`{sign}{pattern.text}` in `{rule.effect.label}` matches no tool that the server has{hint}",
            )


def _meant(pattern: Pattern, tools: Tools) -> str | None:
    """The name, or the glob with one `*` at its end, that was most likely meant."""
    if pattern.literal is not None:
        return nearest(pattern.literal, tools)
    start = pattern.text.removesuffix("*")
    if start == pattern.text or "*" in start or pattern.regex is not None:
        return None
    # beginnings are short, and `edit_` is no slip for `read_`
    near = nearest(start, {name[: len(start)]: None for name in tools}, cutoff=0.75)
    return f"{near}*" if near else None


def _unknown_arguments(table: RuleTable, tools: Tools) -> Iterator[Finding]:
    for rule in table.rules:
        matched = [name for name in tools if rule.match(name)]
        if rule.conditions is None or not matched:
            continue
        constrained = _names_of((*rule.conditions.args, *rule.conditions.unless))
        looked_at = rule.conditions.when.names if rule.conditions.when is not None else None
        known = {argument for name in matched for argument in _arguments(tools[name])}
        for key in dict.fromkeys((*constrained, *sorted(looked_at or ()))):
            lacking = [name for name in matched if key not in _arguments(tools[name])]
            if len(lacking) == len(matched):
                near = nearest(key, known)
                theirs = f"; known: {_listed(sorted(known))}" if known else ""
                hint = f"; did you mean `{near}`?" if near else theirs
                yield Finding(rule.file, rule.patterns[0].line, f"no tool that this rule matches has an argument `{key}`{hint}")
            elif lacking and key in constrained:
                what = (
                    "never lets them through" if rule.effect is Outcome.ALLOW else f"always counts there, as `{rule.effect.label}`"
                )
                yield Finding(
                    rule.file, rule.patterns[0].line, f"{_listed(lacking)}: there is no argument `{key}`, so this rule {what}"
                )


def _names_of(constraints: Iterable[tuple[str, Constraint]]) -> list[str]:
    """The names of top-level arguments that these keys are about."""
    return [key.partition(".")[0] for key, _ in constraints if key not in (EVERY, URI)]


def _arguments(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = tool.get("inputSchema")
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} (and {len(names) - _NAMED} more)"


def _short_globs(table: RuleTable) -> Iterator[Finding]:
    """A glob that finds a file by its name only where nothing stands before it; of paths, which are whole, it finds none."""
    for rule in table.rules:
        for key, constraint in rule.conditions.args if rule.conditions is not None else ():
            for glob in constraint.glob if key == EVERY or _PATH.search(key) else ():
                if "\\" in glob.text and glob.regex is None:
                    yield Finding(rule.file, rule.patterns[0].line, f"`{glob.text}` has backslashes; paths have `/` here")
                elif _FILE_NAME.fullmatch(glob.text):
                    yield Finding(
                        rule.file,
                        rule.patterns[0].line,
                        f"`{glob.text}` finds no file in a folder; for one in any folder write `**/{glob.text}`",
                    )


# tools that deserve a question


def _unguarded(table: RuleTable, tools: Tools | None) -> Iterator[Finding]:
    """Tools that destroy, run or send something and are simply allowed: by the definition, or by a name that stands in a list."""
    literals = dict.fromkeys(p.literal for rule in table.rules for p in rule.patterns if p.literal is not None)
    for name in tools if tools is not None else literals:
        matching = [(rule, pattern) for rule in table.rules if (pattern := rule.match(name))]
        plain = [(rule, pattern) for rule, pattern in matching if rule.conditions is None]
        if not plain or any(rule.effect is not Outcome.ALLOW for rule, _ in matching):
            continue
        if why := _sensitive(name, tools[name] if tools is not None else {}):
            rule, pattern = plain[0]
            yield Finding(rule.file, pattern.line, f"`{name}` is allowed without `log` or `ask`, and {why}")


def _sensitive(name: str, tool: Mapping[str, Any]) -> str:
    annotations = tool.get("annotations")
    hints = annotations if isinstance(annotations, Mapping) else {}
    if hints.get("destructiveHint") is True:
        return "the server calls it destructive"
    word = sensitive(words_of(name))
    return f"its name says `{word}`" if word else ""
