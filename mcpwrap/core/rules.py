"""Outcomes and rules: what a policy is once it was read, and the decision (POLICY.md §2 and §3).

A rule has one effect, a list of patterns, and maybe conditions and a budget. All rules that match and whose conditions hold count,
and the strictest wins; their order never matters. Only rules of the file that defines a server admit; a rule of any other file can
only tighten. No match among the admitting rules is a denial.

The rules that match a name are found once (`RuleTable.select`); what a call brings is judged against those alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from mcpwrap.core.conditions import Conditions, Context
from mcpwrap.core.outcome import Outcome
from mcpwrap.core.patterns import HOLE, NAME_LIMIT, Hole, Pattern, PatternError, Text

if TYPE_CHECKING:
    from mcpwrap.core.constraint import Constraint

__all__ = [
    "HOLE",
    "NAME_LIMIT",
    "Budget",
    "Decision",
    "Hole",
    "Outcome",
    "Pattern",
    "PatternError",
    "Reason",
    "Rule",
    "RuleTable",
    "Selection",
    "ServerRules",
    "Text",
    "told",
]


class Budget(msgspec.Struct, frozen=True):
    """How much a rule, or a server, lets through: `count` calls in `window_s` seconds (None: in the session), and answers of at
    most `max_result_bytes`. What is past it gets the outcome `over`. `text` is what a person reads.
    """

    count: int | None = None
    window_s: float | None = None
    max_result_bytes: int | None = None
    over: Outcome = Outcome.ASK
    text: str = ""


class Rule(msgspec.Struct, frozen=True):
    """One list of a table: an effect, its patterns, and the names that ``!`` takes out of this list.

    `admits` is true for rules of the file that defines the server; only those let anything through. `why` is the file's own
    ``reason``, "" where it gives none; `kind` what the rule is about (tools, resources, …), as its table is called.
    """

    effect: Outcome
    patterns: tuple[Pattern, ...]
    excluded: tuple[Pattern, ...]
    file: str
    admits: bool
    why: str = ""
    conditions: Conditions | None = None
    budget: Budget | None = None
    kind: str = ""

    @property
    def plain(self) -> bool:
        """True where its patterns alone decide whether it counts."""
        return self.conditions is None and self.budget is None

    @property
    def identity(self) -> tuple[object, ...]:
        """All that it says, and where it counts, but not its lines: two rules of one identity are the same."""
        texts = tuple(tuple(pattern.text for pattern in patterns) for patterns in (self.patterns, self.excluded))
        return (self.file, self.kind, self.admits, self.effect, *texts, told(self.conditions), self.budget, self.why)

    def match(self, text: str) -> Pattern | None:
        """The first pattern that matches `text`, unless the list takes it out."""
        for pattern in self.patterns:
            if pattern.matches(text):
                return None if any(x.matches(text) for x in self.excluded) else pattern
        return None

    def covers(self, text: Text) -> Pattern | None:
        """The pattern that surely matches `text`, however its holes are filled."""
        if isinstance(text, str):
            return self.match(text)
        for pattern in self.patterns:
            if pattern.covers(text):
                return None if any(x.touches(text) for x in self.excluded) else pattern
        return None

    def touches(self, text: Text) -> Pattern | None:
        """The pattern that may match `text`, for some way to fill its holes."""
        if isinstance(text, str):
            return self.match(text)
        for pattern in self.patterns:
            if pattern.touches(text):
                return None if any(x.covers(text) for x in self.excluded) else pattern
        return None


def told(conditions: Conditions | None) -> tuple[object, ...]:
    """What conditions say, exactly: two texts for people might look the same. Empty where there are none."""
    if conditions is None:
        return ()
    keyed = (tuple((key, _constraint(constraint)) for key, constraint in each) for each in (conditions.args, conditions.unless))
    return (*keyed, conditions.when.text if conditions.when is not None else None)


def _constraint(constraint: Constraint) -> tuple[object, ...]:
    # of values the spelling: 1 and true are equal in Python, and not here
    globs = tuple(pattern.text for pattern in constraint.glob)
    return constraint.within, constraint.host, globs, repr(constraint.one_of), repr(constraint.max)


def _unfit(text: Text) -> str:
    """Why `text` can't be judged: it is too long, or no Unicode text (a lone surrogate, which no matcher takes)."""
    if len(text) > NAME_LIMIT:
        return f"longer than {NAME_LIMIT} characters"
    if any(c is not HOLE and "\ud800" <= c <= "\udfff" for c in text):
        return "no Unicode text"
    return ""


class Reason(msgspec.Struct, frozen=True):
    """Why a decision came out as it did: one rule and where it stands (a determining rule, AuthZEN 1.0)."""

    file: str
    line: int
    effect: str
    text: str


class Decision(msgspec.Struct, frozen=True):
    """An outcome, and the rules that determined it (the strictest that matched).

    `misses` has, for a denial, the admitting rules that match the name but whose conditions don't hold; `rules` are those with a
    budget that counted.
    """

    outcome: Outcome
    reasons: tuple[Reason, ...]
    misses: tuple[Reason, ...] = ()
    rules: tuple[Rule, ...] = ()

    @property
    def denied(self) -> bool:
        """True where the outcome is `deny`."""
        return self.outcome is Outcome.DENY


_Found = tuple[Rule, Pattern, Outcome]
"""A rule that counts, the pattern that matched, and the effect that it has."""


_NOTHING: Final = Context(arguments={})


def _never(rule: Rule) -> bool:
    return False


class Selection(msgspec.Struct, frozen=True):
    """The rules of a table that match one name or URI, found once."""

    table: RuleTable
    found: tuple[tuple[Rule, Pattern], ...]
    unfit: str = ""

    def judge(self, context: Context, spent: Callable[[Rule], bool] = _never) -> Decision:
        """The decision for what `context` says is asked; `spent` tells whether a rule's budget is used up."""
        if self.unfit:
            return self.table.denial(self.unfit)
        counting: list[_Found] = []
        unsure: list[Rule] = []
        misses: list[Reason] = []
        budgets: list[Rule] = []
        for rule, pattern in self.found:
            if rule.conditions is not None and (why := rule.conditions.why_not(rule.effect, context)):
                if rule.admits and rule.effect is not Outcome.DENY:
                    misses.append(
                        Reason(rule.file, pattern.line, rule.effect.label, f"{_said(rule, pattern)} doesn't count: {why}")
                    )
                continue
            effect = rule.effect
            if effect is Outcome.LOG and rule.conditions is not None and rule.conditions.why_not(Outcome.ALLOW, context):
                # it tightens, but what can't be told admits nothing: it would run unseen by anybody
                unsure.append(rule)
            if rule.budget is not None:
                budgets.append(rule)
                if spent(rule):
                    effect = max(effect, rule.budget.over)
            counting.append((rule, pattern, effect))
        decision = self.table.combine(counting, unsure)
        if not misses and not budgets:
            return decision
        return Decision(decision.outcome, decision.reasons, tuple(misses) if decision.denied else (), tuple(budgets))


class RuleTable(msgspec.Struct, frozen=True):
    """The rules for one kind of thing (tools, resources, prompts, …) of one server.

    `file` and `line` say where the server's own table begins: the place that a denial for want of a rule points to. `conditional`
    is true where some rule needs more than a name.
    """

    kind: str
    rules: tuple[Rule, ...]
    file: str
    line: int

    @property
    def conditional(self) -> bool:
        """True where some rule has conditions or a budget."""
        return any(not rule.plain for rule in self.rules)

    def decide(self, text: str) -> Decision:
        """Judge one whole name or URI that brings nothing: where a rule has conditions on arguments, they are absent."""
        return self.select(text).judge(_NOTHING)

    def judge(self, text: str, context: Context, spent: Callable[[Rule], bool] = _never) -> Decision:
        """Judge one whole name or URI with what is asked of it."""
        return self.select(text).judge(context, spent)

    def select(self, text: str) -> Selection:
        """The rules that match `text`."""
        if why := _unfit(text):
            return Selection(self, (), why)
        return Selection(self, tuple((rule, pattern) for rule in self.rules if (pattern := rule.match(text))))

    def decide_open(
        self, text: Text, context: Context = _NOTHING, spent: Callable[[Rule], bool] = _never, *, known: bool = False
    ) -> Decision:
        """Judge a text that may have holes, as a list does: with arguments that aren't known, denied only where it surely is
        (POLICY.md §3). Where they are `known`, as of a completion, every condition counts that they may meet."""
        if why := _unfit(text):
            return self.denial(why)
        if not known:
            context = msgspec.structs.replace(context, arguments=None)
        found: list[_Found] = []
        unsure: list[Rule] = []
        budgets: list[Rule] = []
        for rule in self.rules:
            tightens = rule.effect is Outcome.DENY or not rule.admits
            judged = known and rule.conditions is not None
            pattern = rule.covers(text) if tightens and not judged else rule.touches(text)
            if pattern is None:
                continue
            if rule.conditions is not None:
                surely = tightens and not known
                if not (rule.conditions.surely(context) if surely else rule.conditions.applies(rule.effect, context)):
                    continue
                if known and rule.effect is Outcome.LOG and not rule.conditions.applies(Outcome.ALLOW, context):
                    unsure.append(rule)
            effect = rule.effect
            if rule.budget is not None:
                budgets.append(rule)
                if spent(rule):
                    effect = max(effect, rule.budget.over)
            found.append((rule, pattern, effect))
        decision = self.combine(found, unsure)
        return msgspec.structs.replace(decision, rules=tuple(budgets)) if budgets else decision

    @property
    def plainly_open(self) -> bool:
        """True where everything of this kind is allowed and nothing is logged, asked or denied."""
        return bool(self.rules) and all(
            rule.effect is Outcome.ALLOW
            and rule.plain
            and not rule.excluded
            and rule.admits
            and any(p.universal for p in rule.patterns)
            for rule in self.rules
        )

    def combine(self, found: list[_Found], unsure: Sequence[Rule] = ()) -> Decision:
        """The strictest of the rules that count; a denial where none of them admits. Those that are `unsure` don't."""
        if not any(
            (rule.admits and rule.effect is not Outcome.DENY and rule not in unsure) or effect is Outcome.DENY
            for rule, _, effect in found
        ):
            return self.denial(f"no rule admits this {self.kind}")
        outcome = max(effect for _, _, effect in found)
        return Decision(
            outcome,
            tuple(
                Reason(rule.file, pattern.line, outcome.label, _why(rule, pattern, outcome))
                for rule, pattern, effect in found
                if effect is outcome
            ),
        )

    def denial(self, text: str) -> Decision:
        """A denial that no rule made; it points to the server's own table."""
        return Decision(Outcome.DENY, (Reason(self.file, self.line, "deny", text),))


def _said(rule: Rule, pattern: Pattern) -> str:
    text = f'{rule.effect.label} = ["{pattern.text}"]'
    return f"{text} with {rule.conditions.text}" if rule.conditions is not None and rule.conditions.text else text


def _why(rule: Rule, pattern: Pattern, outcome: Outcome) -> str:
    if outcome is not rule.effect and rule.budget is not None:
        return f"{rule.budget.text} is used up"
    return rule.why or _said(rule, pattern)


class ServerRules(msgspec.Struct, frozen=True):
    """All that a policy says about one server, over all files. `budget` is that of its table, at `line`."""

    server: str
    tools: RuleTable
    resources: RuleTable
    prompts: RuleTable
    server_requests: RuleTable
    extra_methods: RuleTable
    budget: Budget | None = None
    line: int = 0

    @property
    def conditional(self) -> bool:
        """True where a decision may need to know of the world."""
        return any(
            table.conditional for table in (self.tools, self.resources, self.prompts, self.server_requests, self.extra_methods)
        )
