"""One question to the decision, and what a file would have to say for another answer (POLICY.md §3)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from mcpwrap.core.conditions import Context
from mcpwrap.core.facts import Facts, NoFacts
from mcpwrap.core.listing import OWN_PREFIX
from mcpwrap.core.methods import TABLE, Matched
from mcpwrap.core.rules import Decision, Outcome, Pattern, Reason, Rule, RuleTable, ServerRules
from mcpwrap.core.uris import ambiguity
from mcpwrap.core.visible import INVISIBLE, spell_out
from mcpwrap.errors import UsageError
from mcpwrap.policy.changed_rules import past

WORDS: Final = {
    Outcome.ALLOW: "allowed",
    Outcome.LOG: "allowed, and logged in full",
    Outcome.ASK: "needs a person's yes; this version can't ask anybody, so it is refused",
    Outcome.DENY: "denied",
}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a method, the tool, prompt or URI, and with what; `arguments` None: they aren't known."""

    method: str
    name: str
    arguments: Mapping[str, Any] | None = None
    subject: Mapping[str, Any] = field(default_factory=dict)
    client: Mapping[str, Any] = field(default_factory=dict)
    project: str = ""
    facts: Facts = field(default_factory=NoFacts)

    def context(self, rules: ServerRules, kind: str) -> Context:
        """What conditions are judged on, as a session has it for its first call."""
        arguments = self.arguments
        uri = self.name if kind == "resource" else ""
        if arguments is None and kind == "resource":
            arguments = {"uri": uri}  # there is nothing else to know
        return Context(
            arguments=arguments,
            tool=self.name if kind == "tool" else "",
            uri=uri,
            server=rules.server,
            project=self.project,
            subject=self.subject,
            client=self.client,
            session={"id": "", "calls": 0},
            time=datetime.now(UTC),
            facts=self.facts,
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision on `name` with the table that made it, None where none had to be asked, and that table's header.

    Where the arguments weren't given and matter, `decision` is the mildest that they may lead to, and `strictest` the other end.
    """

    decision: Decision
    table: RuleTable | None
    section: str
    name: str
    context: Context = field(default_factory=Context)
    limit: Reason | None = None
    remedy: str = ""
    strictest: Outcome | None = None

    @property
    def outcome(self) -> Outcome:
        """The decision's outcome."""
        return self.decision.outcome

    @property
    def conditional(self) -> list[tuple[Rule, Pattern]]:
        """The rules with conditions that match the name."""
        return [(rule, pattern) for rule, pattern in self.matching if rule.conditions is not None]

    @property
    def matching(self) -> list[tuple[Rule, Pattern]]:
        """The rules that match the name, each with its pattern."""
        return [(rule, pattern) for rule in self.table.rules if (pattern := rule.match(self.name))] if self.table else []

    def counts(self, rule: Rule) -> bool:
        """True where a rule that matches the name counts for these arguments."""
        return rule.conditions is None or (
            self.context.arguments is not None and rule.conditions.applies(rule.effect, self.context)
        )


def judge(rules: ServerRules, question: Question) -> Verdict:
    """Judge a question as a session does.

    Raises:
        UsageError: the method is never judged on a name, but on what it follows.
    """
    method, name = question.method, question.name
    rows = [row for row in TABLE if row.name == method]
    base = f"servers.{rules.server}"
    if not rows:
        return _by(rules, rules.extra_methods, f"{base}.extra_methods", method, question)
    row = next((row for row in rows if row.matched is not Matched.ALWAYS), rows[0])
    match row.matched:
        case Matched.ALWAYS:
            return _fixed(Outcome.ALLOW, "always let through: it carries no authority of its own", method)
        case Matched.TOOL if name.startswith(OWN_PREFIX):
            return _fixed(Outcome.DENY, f"names that begin with `{OWN_PREFIX}` are mcpwrap's own", name)
        case Matched.TOOL:
            return _by(rules, rules.tools, base, name, question)
        case Matched.PROMPT:
            return _by(rules, rules.prompts, f"{base}.prompts", name, question)
        case Matched.RESOURCE:
            return _by_uri(rules, base, name, question)
        case Matched.SERVER_REQUEST:
            return _by(rules, rules.server_requests, f"{base}.server_requests", row.subject, question)
        case Matched.COMPLETION if ":" in name:
            return _strict(_by_uri(rules, base, name, question))
        case Matched.COMPLETION:
            return _strict(_by(rules, rules.prompts, f"{base}.prompts", name, question))
        case _:
            raise UsageError(
                f"`{method}` isn't judged by a name of its own but by the call it belongs to",
                hint="explain that call, or the `ref` of the refusal",
            )


def remedies(verdict: Verdict, *, own_file: str) -> tuple[str, ...]:
    """What has to change, step by step, for it to run unasked; empty where it runs or no file can change it."""
    table = verdict.table
    if verdict.remedy:
        return (verdict.remedy,)
    if table is None or verdict.outcome <= Outcome.LOG:
        return ()
    counting = [(rule, pattern) for rule, pattern in verdict.matching if verdict.counts(rule)]
    steps = [_take_out(rule, pattern, verdict) for rule, pattern in counting if rule.effect >= Outcome.ASK]
    own = any(rule.admits for rule, _ in counting if rule.effect >= Outcome.ASK)
    if not any(rule.admits and rule.effect <= Outcome.LOG for rule, _ in counting):
        steps.append(_let_in(table, verdict, own_file))
        own = True
    return (*steps, "mcpwrap trust") if own else tuple(steps)


def _by(rules: ServerRules, table: RuleTable, section: str, name: str, question: Question) -> Verdict:
    limit = None
    if rules.budget is not None:
        limit = Reason(table.file, rules.line, "limit", f"{rules.budget.text} for the server; {past(rules.budget)}")
    context = question.context(rules, table.kind)
    if context.arguments is not None or not table.conditional:
        return Verdict(table.judge(name, context), table, section, name, context, limit)
    if unfit := table.select(name).unfit:
        return Verdict(table.denial(unfit), table, section, name, context, limit)
    unknown = Verdict(table.denial(""), table, section, name, context, limit)
    mildest, worst = _mildest(unknown, table), _worst(unknown)
    return replace(unknown, decision=mildest, strictest=worst if worst > mildest.outcome else None)


def _mildest(verdict: Verdict, table: RuleTable) -> Decision:
    """The decision on arguments that suit best: what holds for all of them, and the mildest rule that may admit."""
    context = verdict.context
    sure = [(r, p, r.effect) for r, p in verdict.matching if r.conditions is None or r.conditions.surely(context)]
    if any(rule.admits and rule.effect is not Outcome.DENY for rule, _, _ in sure):
        return table.combine(sure)
    # (a budget that is used up isn't known here)
    maybe: list[tuple[Rule, Pattern, Outcome]] = [
        (rule, pattern, rule.effect)
        for rule, pattern in verdict.matching
        if rule.admits
        and rule.effect is not Outcome.DENY
        and rule.conditions is not None
        and rule.conditions.applies(rule.effect, context)
    ]
    return table.combine(sure + sorted(maybe, key=lambda found: found[2])[:1])


def _worst(verdict: Verdict) -> Outcome:
    """The strictest outcome that arguments may lead to."""
    matching = [rule for rule, _ in verdict.matching]
    admitted = any(rule.admits and rule.effect is not Outcome.DENY and rule.conditions is None for rule in matching)
    return max(rule.effect for rule in matching) if admitted else Outcome.DENY


def _by_uri(rules: ServerRules, base: str, uri: str, question: Question) -> Verdict:
    why = ambiguity(uri)
    if why is None:
        return _by(rules, rules.resources, f"{base}.resources", uri, question)
    return _fixed(Outcome.DENY, why, uri)


def _fixed(outcome: Outcome, why: str, name: str) -> Verdict:
    return Verdict(Decision(outcome, (Reason("", 0, outcome.label, why),)), None, "", name)


def by_pins(why: str, file: str, server: str, name: str) -> Verdict:
    """The denial of something whose definition isn't as it was accepted."""
    decision = Decision(Outcome.DENY, (Reason(file, 0, "deny", why),))
    return Verdict(decision, None, "", name, remedy=f"mcpwrap pins accept {shlex.join((server, name))}")


def _strict(verdict: Verdict) -> Verdict:
    # completion: `ask` counts as deny there (POLICY.md §2)
    if verdict.outcome is not Outcome.ASK:
        return verdict
    return replace(verdict, decision=Decision(Outcome.DENY, verdict.decision.reasons))


def _take_out(rule: Rule, pattern: Pattern, verdict: Verdict) -> str:
    place = f"{spell_out(rule.file)}:{pattern.line}"
    effect = f"`{rule.effect.label}`"
    if pattern.literal == verdict.name:
        step = f"take {_quoted(pattern.text)} out of {effect}"
    else:
        step = f"add {_quoted('!' + verdict.name)} to the {effect} that has {_quoted(pattern.text)}"
    if rule.conditions is not None:
        step = f"change the conditions of that rule, or {step}"
    if rule.admits:
        return f"{step} in [{verdict.section}], {place}"
    return f"{step}, {place} (it tightens from outside; the project's file can't undo it)"


def _let_in(table: RuleTable, verdict: Verdict, own_file: str) -> str:
    for rule, pattern in verdict.conditional:
        if rule.admits and rule.effect <= Outcome.LOG:
            place = f"{spell_out(rule.file)}:{pattern.line}"
            return f"call it so that the `{rule.effect.label}` rule at {place} holds, or change its conditions"
    for rule in table.rules:
        if not rule.admits or rule.effect > Outcome.LOG or not any(p.matches(verdict.name) for p in rule.patterns):
            continue
        gone = next((x for x in rule.excluded if x.matches(verdict.name)), None)
        if gone is not None:
            place = f"{spell_out(rule.file)}:{gone.line}"
            text = "!" + gone.text.removeprefix("!")
            return f"take {_quoted(text)} out of `{rule.effect.label}` in [{verdict.section}], {place}"
    place = f"{spell_out(table.file or own_file)}:{table.line}" if table.line else spell_out(table.file or own_file)
    return f"add {_quoted(verdict.name)} to `allow` in [{verdict.section}], {place}"


def _quoted(text: str) -> str:
    """`text` as TOML writes it, so that it can be pasted; what a person can't see is escaped."""
    return INVISIBLE.sub(lambda found: f"\\U{ord(found[0]):08x}", json.dumps(text, ensure_ascii=False))


def reason_rows(reasons: Sequence[Reason]) -> list[tuple[str, str, str]]:
    """Reasons as rows of place, effect and text."""
    return [
        (f"{spell_out(r.file)}:{r.line}" if r.line else spell_out(r.file) or "mcpwrap", r.effect, spell_out(r.text))
        for r in reasons
    ]


def depends_on(verdict: Verdict) -> list[Reason]:
    """The rules that count or not by arguments that weren't given."""
    if verdict.context.arguments is not None:
        return []
    return [
        Reason(rule.file, pattern.line, rule.effect.label, rule.why or _with_conditions(rule, pattern))
        for rule, pattern in verdict.conditional
    ]


def _with_conditions(rule: Rule, pattern: Pattern) -> str:
    text = rule.conditions.text if rule.conditions is not None else ""
    return f'{rule.effect.label} = ["{pattern.text}"] with {text or "conditions"}'


def budgets(verdict: Verdict) -> list[Reason]:
    """The limits of the rules that let it through."""
    found = [
        Reason(rule.file, pattern.line, rule.effect.label, f"{rule.budget.text}; {past(rule.budget)}")
        for rule, pattern in verdict.matching
        if rule.budget is not None and verdict.counts(rule) and verdict.outcome <= rule.budget.over
    ]
    return [*found, verdict.limit] if verdict.limit is not None and verdict.outcome <= Outcome.ASK else found
