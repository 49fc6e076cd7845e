"""What a changed file would loosen and tighten, line by line (POLICY.md §5; MESSAGES.md 6).

Where it isn't sure that a change only tightens, it is said to loosen: what a person reads must never be milder than what happens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from mcpwrap.core.rules import Outcome, Pattern, Rule, RuleTable
from mcpwrap.policy.changed_credentials import changed_credentials, changed_issuer, same_credentials
from mcpwrap.policy.changed_rules import (
    admitted,
    at_least_as_tight,
    budget_text,
    changed_reasons,
    changed_rules,
    outcomes,
    parted,
    states,
    touched,
)
from mcpwrap.policy.lists import KINDS

if TYPE_CHECKING:
    from mcpwrap.policy.load import ProjectPolicy, ServerPolicy

Kind = Literal["loosens", "tightens", "same"]
Change = tuple[Kind, str, int]
"""Kind, text, and the line in the new file (0 where nothing there stands for it)."""

_ORDER: Final[dict[Kind, int]] = {"loosens": 0, "tightens": 1, "same": 2}

_Entry = tuple[Outcome, str, bool]
"""One element of a list: its effect, its text, and whether it is an exclusion."""

_Found = tuple[int, Pattern]


def announce_changes(old: ProjectPolicy | None, new: ProjectPolicy) -> list[Change]:
    """What changes from `old` (None: nothing was accepted yet) to `new`: what loosens first, what stays last."""
    changes = list(_project(old, new))
    for name, server in new.servers.items():
        changes += _server(old.servers.get(name) if old else None, server)
    for name in old.servers if old else ():
        if name not in new.servers:
            changes.append(("tightens", f"{name} › server  taken out", 0))
    if old is not None and (same := _same(old, new)):
        changes.append(("same", same, 0))
    return sorted(changes, key=lambda change: _ORDER[change[0]])


def _project(old: ProjectPolicy | None, new: ProjectPolicy) -> Iterator[Change]:
    if old is not None and old.name != new.name:
        # the name stands in records and messages: to take another's is to pass for it
        yield "loosens", f"project › name  {old.name} → {new.name}", 0
    for text, line in changed_issuer(old, new):
        yield "loosens", text, line


def _same(old: ProjectPolicy, new: ProjectPolicy) -> str:
    """What a person need not look at again, counted; "" where there is none."""
    both = [(old.servers[name], server) for name, server in new.servers.items() if name in old.servers]
    commands = sum(1 for before, server in both if server.command and before.command == server.command)
    credentials = sum(same_credentials(before, server) for before, server in both)
    counts = ((commands, "command"), (credentials, "credential"))
    return ", ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts if count)


def _server(old: ServerPolicy | None, new: ServerPolicy) -> Iterator[Change]:
    name = new.name
    if old is None:
        yield "loosens", f"{name} › server  new", new.line
    else:
        if old.command != new.command:
            yield "loosens", f"{name} › command  {_argv(old.command)} → {_argv(new.command)}", new.line
        if old.cwd != new.cwd:
            yield "loosens", f"{name} › cwd  {old.cwd or 'a private folder'} → {new.cwd or 'a private folder'}", new.line
        yield from _environment(old, new)
        if old.budget != new.budget:
            tighter = at_least_as_tight(new.budget, old.budget)
            text = f"{name} › limit  {budget_text(old.budget)} → {budget_text(new.budget)}"
            yield "tightens" if tighter else "loosens", text, new.line
        if _tests(old) != _tests(new):
            yield "same", f"{name} › tests  {len(old.tests)} → {len(new.tests)}, which decide nothing", 0
    for loosens, text, line in changed_credentials(old, new):
        yield "loosens" if loosens else "tightens", text, line
    for kind in KINDS:
        before = old.tables[kind] if old else None
        yield from _table(name, kind, before, new.tables[kind])


def _tests(server: ServerPolicy) -> list[object]:
    return [msgspec.structs.replace(test, line=0) for test in server.tests]


def _argv(command: tuple[str, ...] | None) -> str:
    import shlex  # noqa: PLC0415 - `run` doesn't come here

    return shlex.join(command) if command else "of the client's configuration"


def _environment(old: ServerPolicy, new: ServerPolicy) -> Iterator[Change]:
    for variable in sorted(old.env.keys() | new.env.keys()):
        before, after = old.env.get(variable), new.env.get(variable)
        if before != after:
            # a variable can do anything to a program, and so can its absence
            yield "loosens", f"{new.name} › env {variable}  {_quoted(before)} → {_quoted(after)}", new.line
    for variable in sorted({*old.inherit_env} ^ {*new.inherit_env}):
        if variable in new.inherit_env:
            yield "loosens", f"{new.name} › inherit_env {variable}  – → inherited", new.line
        else:
            yield "tightens", f"{new.name} › inherit_env {variable}  inherited → –", new.line


def _quoted(value: str | None) -> str:
    return "–" if value is None else f'"{value}"'


def _table(server: str, kind: str, old: RuleTable | None, new: RuleTable) -> Iterator[Change]:
    title = server if kind == "tools" else f"{server} {kind}"
    (old_plain, old_rest), (new_plain, new_rest) = parted(old, new)
    before, after = _entries(old_plain), _entries(new_plain)
    for text in sorted({e[1] for e in before.keys() ^ after.keys()}):
        line, pattern = _find(text, before, after, new.line)
        if pattern.literal is not None:
            yield from _literal(f"{title} › {text}", pattern.literal, old_plain, new_plain, old_rest, line)
            continue
        was, now = _effects(before, text), _effects(after, text)
        if was != now:
            loosens = _may_loosen(was, now, pattern, old_plain.rules, new_plain.rules, old_rest.rules)
            yield "loosens" if loosens else "tightens", f"{title} › {text}  {_words(was)} → {_words(now)}", line
        elif not was:
            yield from _excluded(title, text, before, after, line)
    # the same exclusions may stand in one list more or less: said apart from the pattern's own lists
    for text in sorted({e[1] for e in before.keys() ^ after.keys() if e[2]}):
        line, pattern = _find(text, before, after, new.line)
        if pattern.literal is None and (_effects(before, text) or _effects(after, text)):
            yield from _excluded(title, text, before, after, line)
    for loosens, text, line in changed_rules((old_plain, old_rest), (new_plain, new_rest)):
        yield "loosens" if loosens else "tightens", f"{title} › rule  {text}", line
    for loosens, text, line in changed_reasons(old, new):
        yield "loosens" if loosens else "tightens", f"{title} › reason of {text}", line


def _find(text: str, before: Mapping[_Entry, _Found], after: Mapping[_Entry, _Found], line: int) -> tuple[int, Pattern]:
    """A pattern by its text, and its line in the new file; `line` where it isn't there any more."""
    for (_, each, _), found in after.items():
        if each == text:
            return found
    return line, next(pattern for (_, each, _), (_, pattern) in before.items() if each == text)


def _entries(table: RuleTable) -> Mapping[_Entry, _Found]:
    found: dict[_Entry, _Found] = {}
    for rule in table.rules:
        for out, patterns in ((False, rule.patterns), (True, rule.excluded)):
            for pattern in patterns:
                found[rule.effect, pattern.text, out] = (pattern.line, pattern)
    return found


def _effects(entries: Mapping[_Entry, _Found], text: str) -> frozenset[Outcome]:
    return frozenset(effect for effect, t, out in entries if t == text and not out)


def _words(effects: frozenset[Outcome]) -> str:
    return max(effects).label if effects else "–"


def _literal(title: str, name: str, old: RuleTable, new: RuleTable, rest: RuleTable, line: int) -> Iterator[Change]:
    """A single name: both files decide on it, whatever the rules of `rest` make of a call, so that what is said is what happens."""
    around = states(rest, name)
    before, after = outcomes(old, name, around), outcomes(new, name, around)
    if before == after:
        return
    was, now = old.decide(name).outcome, new.decide(name).outcome
    loosens = any(after[state] < before[state] for state in around)
    # beside a rule that needs more than the name, a list may matter though it changes nothing by itself
    shown = now < was if loosens else now > was
    words = "" if shown else f"; {'milder' if loosens else 'stricter'} where a rule with conditions or a limit counts"
    yield "loosens" if loosens else "tightens", f"{title}  {was.label} → {now.label}{words}", line


def _may_loosen(
    was: frozenset[Outcome],
    now: frozenset[Outcome],
    pattern: Pattern,
    old: tuple[Rule, ...],
    new: tuple[Rule, ...],
    rest: tuple[Rule, ...],
) -> bool:
    """True unless it is sure that no name gets a milder outcome by this change alone; `rest` are rules that may count as well."""
    gone, come = was - now, now - was
    if was and come and max(now) > max(was) and len(_exceptions(pattern.text, old) | _exceptions(pattern.text, new)) == 1:
        return False  # moved to a stricter list that takes out the same names
    if gone and come:
        return True
    if come:
        return come != {Outcome.DENY} and not admitted(old, pattern)
    # only taken out: of `deny` it may let through; of `log` or `ask` others may admit the same without
    return Outcome.DENY in gone or (gone != {Outcome.ALLOW} and touched((*new, *rest), pattern))


def _exceptions(text: str, rules: tuple[Rule, ...]) -> set[frozenset[str]]:
    """The names that the lists with the pattern `text` take out, one set for each of these lists."""
    lists = (rule for rule in rules if any(pattern.text == text for pattern in rule.patterns))
    return {frozenset(pattern.text for pattern in rule.excluded) for rule in lists}


def _excluded(
    title: str, text: str, before: Mapping[_Entry, _Found], after: Mapping[_Entry, _Found], line: int
) -> Iterator[Change]:
    for effect in Outcome:
        was, now = (effect, text, True) in before, (effect, text, True) in after
        if was == now:
            continue
        # taken out of `allow`, a name loses it; taken out of any other list, it may be left with less
        loosens = (effect is not Outcome.ALLOW) if now else (effect is not Outcome.DENY)
        words = ("in the list", "taken out") if now else ("taken out", "in the list")
        place = after[effect, text, True][0] if now else line
        yield "loosens" if loosens else "tightens", f"{title} › {effect.label} !{text}  {words[0]} → {words[1]}", place
