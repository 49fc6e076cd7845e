"""What changes of the rules that need more than a name: with conditions, with budgets, or several lists of one effect.

Such a rule is compared as a whole. Against each call, the old rules are P1 (plain lists) and W1 (these), the new ones P2 and W2:

- a rule of W2 that wasn't there may admit what nothing admitted, unless plain lists surely admit it before or after;
- a rule of W1 that is gone may leave a call to milder ones, unless no new rule that admits touches what it matched;
- a rule that only changed is both, but where it counts whenever it did, at least as strictly, and admits no more.

What none of these finds loosens nothing that `mcpwrap.policy.changes` doesn't find in the plain lists.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Final

from mcpwrap.core.patterns import HOLE, Pattern, Text
from mcpwrap.core.rules import Budget, Outcome, Rule, RuleTable, told

RuleChange = tuple[bool, str, int]
"""Whether it may loosen, the text, and the line in the new file (0 where nothing there stands for it)."""

_State = tuple[bool, Outcome]
"""What rules make of one call: whether one of them admits it, and the strictest effect."""

_NOTHING: Final[_State] = (False, Outcome.ALLOW)


def parted(old: RuleTable | None, new: RuleTable) -> tuple[tuple[RuleTable, RuleTable], tuple[RuleTable, RuleTable]]:
    """Of `old` and of `new`: the plain lists, whose patterns can be compared one by one, and the other rules."""
    before = old if old is not None else RuleTable(new.kind, (), new.file, new.line)
    # of several lists of one effect, each takes names out of its own only: they can't be compared as one
    several = {
        effect
        for table in (before, new)
        for effect in Outcome
        if len(lists := [rule for rule in table.rules if rule.plain and rule.effect is effect]) > 1
        and any(rule.excluded for rule in lists)
    }
    return _split(before, several), _split(new, several)


def _split(table: RuleTable, several: set[Outcome]) -> tuple[RuleTable, RuleTable]:
    plain = tuple(rule for rule in table.rules if rule.plain and rule.effect not in several)
    rest = tuple(rule for rule in table.rules if not rule.plain or rule.effect in several)
    return RuleTable(table.kind, plain, table.file, table.line), RuleTable(table.kind, rest, table.file, table.line)


def said(rule: Rule) -> str:
    """The whole rule as a person reads it."""
    patterns = [pattern.text for pattern in rule.patterns] + [f"!{pattern.text}" for pattern in rule.excluded]
    return f"{rule.effect.label} = [{', '.join(json.dumps(text, ensure_ascii=False) for text in patterns)}]{terms(rule)}"


def terms(rule: Rule) -> str:
    """Its budget and its conditions, " with " before them; "" where it has none. An expression stands last: it may say anything."""
    parts = [budget_text(rule.budget)] if rule.budget is not None else []
    parts += [rule.conditions.text] if rule.conditions is not None else []
    return f" with {', '.join(parts)}" if parts else ""


def budget_text(budget: Budget | None) -> str:
    """A budget as a person reads it."""
    return "–" if budget is None else f"{budget.text} ({past(budget)})"


def past(budget: Budget) -> str:
    """What becomes of what is past a budget: a call has its outcome; an answer that is too long is held back whatever that is."""
    return "longer answers are held back" if budget.count is None else f"past it: {budget.over.label}"


def at_least_as_tight(new: Budget | None, old: Budget | None) -> bool:
    """True where `new` lets nothing through that `old` didn't."""
    if old is None:
        return True
    if new is None or new.over < old.over:
        return False
    if old.max_result_bytes is not None and (new.max_result_bytes is None or new.max_result_bytes > old.max_result_bytes):
        return False
    # what counts within a minute counts within an hour, and within the session
    return old.count is None or (new.count is not None and new.count <= old.count and _window_s(new) >= _window_s(old))


def _window_s(budget: Budget) -> float:
    return math.inf if budget.window_s is None else budget.window_s


def states(rest: RuleTable, name: str) -> set[_State]:
    """All that the rules may make of calls of `name`, by what these bring."""
    found = {_NOTHING}
    for rule, _ in rest.select(name).found:
        effects = {rule.effect} | ({max(rule.effect, rule.budget.over)} if rule.budget is not None else set())
        # a `log` whose conditions can't be told is strict and admits nothing
        admits = [rule.effect is not Outcome.DENY, *([False] if rule.effect is Outcome.LOG else [])]
        found |= {(a or admit, max(value, effect)) for a, value in found for admit in admits for effect in effects}
    return found


def outcomes(plain: RuleTable, name: str, around: set[_State]) -> dict[_State, Outcome]:
    """The outcome of calls of `name` by the plain lists, for each thing that the other rules may make of them."""
    effects = [rule.effect for rule, _ in plain.select(name).found]
    admits, strictest = any(effect is not Outcome.DENY for effect in effects), max(effects, default=Outcome.ALLOW)
    return {(a, value): max(strictest, value) if admits or a else Outcome.DENY for a, value in around}


def changed_rules(old: tuple[RuleTable, RuleTable], new: tuple[RuleTable, RuleTable]) -> Iterator[RuleChange]:
    """What differs between the rules that need more than a name; `old` and `new` are plain lists and these."""
    gone, come = _without(old[1].rules, new[1].rules), _without(new[1].rules, old[1].rules)
    for rule in come:
        before = next((each for each in gone if _names(each) == _names(rule)), None)
        admitted = _surely_admitted(rule, old[0].rules, new[0].rules)
        if before is None:
            yield not (rule.effect is Outcome.DENY or admitted), f"– → {said(rule)}", _line(rule)
            continue
        gone.remove(before)
        same = told(before.conditions) == told(rule.conditions)
        stricter = same and rule.effect >= before.effect and at_least_as_tight(rule.budget, before.budget)
        harmless = stricter or not _leaves(before, new)
        no_more = rule.effect is Outcome.DENY or admitted or (same and _admits_no_more(rule.effect, before.effect))
        yield not (harmless and no_more), f"{said(before)} → {said(rule)}", _line(rule)
    for rule in gone:
        yield _leaves(rule, new), f"{said(rule)} → –", 0


def changed_reasons(old: RuleTable | None, new: RuleTable) -> Iterator[RuleChange]:
    """What differs in the ``reason`` of a rule that stayed or came: it is the file's own text, and the model reads it."""
    left = list(old.rules) if old is not None else []
    changed: list[Rule] = []
    for rule in new.rules:
        same = next((each for each in left if (_identity(each), each.why) == (_identity(rule), rule.why)), None)
        if same is not None:
            left.remove(same)
        elif rule.patterns:
            changed.append(rule)
    for rule in changed:
        before = next((each for each in left if _identity(each) == _identity(rule)), None)
        if before is not None:
            left.remove(before)
        elif not rule.why:
            continue
        yield bool(rule.why), f"{said(rule)}  {_words(before)} → {_words(rule)}", _line(rule)


def _words(rule: Rule | None) -> str:
    return json.dumps(rule.why, ensure_ascii=False) if rule is not None and rule.why else "–"


def _without(rules: Sequence[Rule], others: Sequence[Rule]) -> list[Rule]:
    """The `rules` that have patterns, but for those of which `others` have as many, word for word."""
    left = [_identity(rule) for rule in others]
    found: list[Rule] = []
    for rule in rules:
        if _identity(rule) in left:
            left.remove(_identity(rule))
        elif rule.patterns:
            found.append(rule)
    return found


def _identity(rule: Rule) -> tuple[object, ...]:
    return rule.effect, _names(rule), told(rule.conditions), rule.budget


def _names(rule: Rule) -> tuple[list[str], list[str]]:
    return sorted({pattern.text for pattern in rule.patterns}), sorted({pattern.text for pattern in rule.excluded})


def _line(rule: Rule) -> int:
    return rule.patterns[0].line


def _admits_no_more(new: Outcome, old: Outcome) -> bool:
    """True where a rule of the effect `new` admits nothing that one of `old` with the same conditions didn't.

    Where conditions can't be told, `ask` admits, and `allow` and `log` don't.
    """
    return old is Outcome.ASK or (old is not Outcome.DENY and new is not Outcome.ASK)


def _leaves(rule: Rule, new: tuple[RuleTable, RuleTable]) -> bool:
    """True where something that `rule` held may run by a rule that is left."""
    if rule.effect is Outcome.DENY:
        return True
    if rule.effect is Outcome.ALLOW and rule.budget is None:
        return False  # there is nothing milder
    return any(touched((*new[0].rules, *new[1].rules), pattern) for pattern in rule.patterns)


def _surely_admitted(rule: Rule, old: tuple[Rule, ...], new: tuple[Rule, ...]) -> bool:
    """True where plain lists admit everything that `rule` matches: the new ones, or the old ones with nothing but `allow`."""
    if rule.effect is not Outcome.ALLOW or rule.budget is not None:
        if all(admitted(new, pattern) for pattern in rule.patterns):
            return True
    elif any(touched(new, pattern) for pattern in rule.patterns):
        return False  # another `allow` beside them tightens nothing: it isn't said to
    allowed = tuple(each for each in old if each.effect is Outcome.ALLOW)
    strict = tuple(each for each in old if each.effect is not Outcome.ALLOW)
    return all(
        admitted(allowed, pattern) and not any(each.touches(text) for each in strict if (text := holed(pattern)) is not None)
        for pattern in rule.patterns
    )


def holed(pattern: Pattern) -> Text | None:
    """What `pattern` matches, as a text with holes; None for a regular expression."""
    if pattern.regex is not None:
        return None
    return [symbol if isinstance(symbol, str) else HOLE for symbol in pattern.symbols]


def admitted(rules: tuple[Rule, ...], pattern: Pattern) -> bool:
    """True where every name that `pattern` matches is surely admitted."""
    text = holed(pattern)
    return text is not None and any(rule.effect is not Outcome.DENY and rule.covers(text) is not None for rule in rules)


def touched(rules: tuple[Rule, ...], pattern: Pattern) -> bool:
    """True where something that `pattern` matches may be admitted."""
    text = holed(pattern)
    return text is None or any(rule.effect is not Outcome.DENY and rule.touches(text) is not None for rule in rules)
