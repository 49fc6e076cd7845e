"""What a changed file would loosen and tighten, line by line (POLICY.md §5; MESSAGES.md 6).

Where it isn't sure that a change only tightens, it is said to loosen: what a person reads must never be milder than what happens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, Literal

from mcpwrap.core.rules import HOLE, Outcome, Pattern, Rule, RuleTable, Text
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
    if old is not None and (same := _same_commands(old, new)):
        changes.append(("same", f"{same} command{'s' if same > 1 else ''}", 0))
    return sorted(changes, key=lambda change: _ORDER[change[0]])


def _project(old: ProjectPolicy | None, new: ProjectPolicy) -> Iterator[Change]:
    if old is not None and old.name != new.name:
        # the name stands in records and messages: to take another's is to pass for it
        yield "loosens", f"project › name  {old.name} → {new.name}", 0


def _same_commands(old: ProjectPolicy, new: ProjectPolicy) -> int:
    return sum(
        1
        for name, server in new.servers.items()
        if server.command and name in old.servers and old.servers[name].command == server.command
    )


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
    for kind in KINDS:
        before = old.tables[kind] if old else None
        yield from _table(name, kind, before, new.tables[kind])


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
    before, after = _entries(old), _entries(new)
    title = server if kind == "tools" else f"{server} {kind}"
    old_rules = old.rules if old else ()
    for text in sorted({e[1] for e in before.keys() ^ after.keys()}):
        line, pattern = _find(text, before, after, new.line)
        if pattern.literal is not None:
            yield from _literal(f"{title} › {text}", pattern.literal, old, new, line)
            continue
        was, now = _effects(before, text), _effects(after, text)
        if was != now:
            loosens = _may_loosen(was, now, pattern, old_rules, new.rules)
            yield "loosens" if loosens else "tightens", f"{title} › {text}  {_words(was)} → {_words(now)}", line
        elif not was:
            yield from _excluded(title, text, before, after, line)
    # the same exclusions may stand in one list more or less: said apart from the pattern's own lists
    for text in sorted({e[1] for e in before.keys() ^ after.keys() if e[2]}):
        line, pattern = _find(text, before, after, new.line)
        if pattern.literal is None and (_effects(before, text) or _effects(after, text)):
            yield from _excluded(title, text, before, after, line)


def _find(text: str, before: Mapping[_Entry, _Found], after: Mapping[_Entry, _Found], line: int) -> tuple[int, Pattern]:
    """A pattern by its text, and its line in the new file; `line` where it isn't there any more."""
    for (_, each, _), found in after.items():
        if each == text:
            return found
    return line, next(pattern for (_, each, _), (_, pattern) in before.items() if each == text)


def _entries(table: RuleTable | None) -> Mapping[_Entry, _Found]:
    found: dict[_Entry, _Found] = {}
    for rule in table.rules if table else ():
        for out, patterns in ((False, rule.patterns), (True, rule.excluded)):
            for pattern in patterns:
                found[rule.effect, pattern.text, out] = (pattern.line, pattern)
    return found


def _effects(entries: Mapping[_Entry, _Found], text: str) -> frozenset[Outcome]:
    return frozenset(effect for effect, t, out in entries if t == text and not out)


def _words(effects: frozenset[Outcome]) -> str:
    return max(effects).label if effects else "–"


def _literal(title: str, name: str, old: RuleTable | None, new: RuleTable, line: int) -> Iterator[Change]:
    """A single name: both files decide on it, so that what is said is what happens."""
    before = old.decide(name).outcome if old else Outcome.DENY
    after = new.decide(name).outcome
    if before != after:
        yield "loosens" if after < before else "tightens", f"{title}  {before.label} → {after.label}", line


def _may_loosen(
    was: frozenset[Outcome], now: frozenset[Outcome], pattern: Pattern, old: tuple[Rule, ...], new: tuple[Rule, ...]
) -> bool:
    """True unless it is sure that no name gets a milder outcome by this change alone."""
    gone, come = was - now, now - was
    if come and max(now) > max(was, default=Outcome.DENY) and was:
        return False  # moved to a stricter list
    if gone and come:
        return True
    if come:
        return not (Outcome.DENY in come and len(come) == 1) and not _admitted(old, pattern)
    # only taken out: of `deny` it may let through; of `log` or `ask` others may admit the same without
    return Outcome.DENY in gone or (gone != {Outcome.ALLOW} and _touched(new, pattern))


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


def _holed(pattern: Pattern) -> Text | None:
    if pattern.regex is not None:
        return None
    return [symbol if isinstance(symbol, str) else HOLE for symbol in pattern.symbols]


def _admitted(rules: tuple[Rule, ...], pattern: Pattern) -> bool:
    """True where every name that `pattern` matches was surely admitted."""
    text = _holed(pattern)
    return text is not None and any(rule.effect is not Outcome.DENY and rule.covers(text) is not None for rule in rules)


def _touched(rules: tuple[Rule, ...], pattern: Pattern) -> bool:
    """True where something that `pattern` matches may be admitted."""
    text = _holed(pattern)
    return text is None or any(rule.effect is not Outcome.DENY and rule.touches(text) is not None for rule in rules)
