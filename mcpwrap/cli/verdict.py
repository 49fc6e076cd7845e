"""One question to the decision, and what a file would have to say for another answer (POLICY.md §3)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mcpwrap.core.listing import OWN_PREFIX
from mcpwrap.core.methods import TABLE, Matched
from mcpwrap.core.rules import Decision, Outcome, Pattern, Reason, Rule, RuleTable, ServerRules
from mcpwrap.core.uris import ambiguity
from mcpwrap.core.visible import spell_out
from mcpwrap.errors import UsageError

WORDS: Final = {
    Outcome.ALLOW: "allowed",
    Outcome.LOG: "allowed, and logged in full",
    Outcome.ASK: "needs a person's yes; this version can't ask anybody, so it is refused",
    Outcome.DENY: "denied",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision on `name` with the table that made it, None where none had to be asked, and that table's header."""

    decision: Decision
    table: RuleTable | None
    section: str
    name: str

    @property
    def outcome(self) -> Outcome:
        """The decision's outcome."""
        return self.decision.outcome


def judge(rules: ServerRules, method: str, name: str) -> Verdict:
    """Judge `name` (a tool, a prompt, a URI) under `method`, as a session does.

    Raises:
        UsageError: `method` is never judged on a name, but on what it follows.
    """
    rows = [row for row in TABLE if row.name == method]
    base = f"servers.{rules.server}"
    if not rows:
        return _by(rules.extra_methods, f"{base}.extra_methods", method)
    row = next((row for row in rows if row.matched is not Matched.ALWAYS), rows[0])
    match row.matched:
        case Matched.ALWAYS:
            return _fixed(Outcome.ALLOW, "always let through: it carries no authority of its own", method)
        case Matched.TOOL if name.startswith(OWN_PREFIX):
            return _fixed(Outcome.DENY, "names that begin with `mcpwrap_` are mcpwrap's own; a server's are hidden", name)
        case Matched.TOOL:
            return _by(rules.tools, base, name)
        case Matched.PROMPT:
            return _by(rules.prompts, f"{base}.prompts", name)
        case Matched.RESOURCE:
            return _by_uri(rules, base, name)
        case Matched.SERVER_REQUEST:
            return _by(rules.server_requests, f"{base}.server_requests", row.subject)
        case Matched.COMPLETION:
            return _strict(_by_uri(rules, base, name) if ":" in name else _by(rules.prompts, f"{base}.prompts", name))
        case _:
            raise UsageError(
                f"`{method}` isn't judged by a name of its own but by the call it belongs to",
                hint="explain that call, or the `ref` of the refusal",
            )


def remedies(verdict: Verdict, *, own_file: str) -> tuple[str, ...]:
    """What has to change, step by step, for it to run unasked; empty where it runs or no file can change it."""
    table, name = verdict.table, verdict.name
    if table is None or verdict.outcome <= Outcome.LOG:
        return ()
    matched = [(rule, pattern) for rule in table.rules if (pattern := rule.match(name))]
    steps = [_take_out(rule, pattern, verdict) for rule, pattern in matched if rule.effect >= Outcome.ASK]
    own = any(rule.admits for rule, _ in matched if rule.effect >= Outcome.ASK)
    if not any(rule.admits and rule.effect <= Outcome.LOG for rule, _ in matched):
        steps.append(_let_in(table, verdict, own_file))
        own = True
    return (*steps, "mcpwrap trust") if own else tuple(steps)


def _by(table: RuleTable, section: str, name: str) -> Verdict:
    return Verdict(table.decide(name), table, section, name)


def _by_uri(rules: ServerRules, base: str, uri: str) -> Verdict:
    why = ambiguity(uri)
    if why is None:
        return _by(rules.resources, f"{base}.resources", uri)
    return _fixed(Outcome.DENY, why, uri)


def _fixed(outcome: Outcome, why: str, name: str) -> Verdict:
    return Verdict(Decision(outcome, (Reason("", 0, outcome.label, why),)), None, "", name)


def _strict(verdict: Verdict) -> Verdict:
    # completion: `ask` counts as deny there (POLICY.md §2)
    if verdict.outcome is not Outcome.ASK:
        return verdict
    return Verdict(Decision(Outcome.DENY, verdict.decision.reasons), verdict.table, verdict.section, verdict.name)


def _take_out(rule: Rule, pattern: Pattern, verdict: Verdict) -> str:
    place = f"{spell_out(rule.file)}:{pattern.line}"
    effect = f"`{rule.effect.label}`"
    if pattern.literal == verdict.name:
        step = f"take {_quoted(pattern.text)} out of {effect}"
    else:
        step = f"add {_quoted('!' + verdict.name)} to the {effect} that has {_quoted(pattern.text)}"
    if rule.admits:
        return f"{step} in [{verdict.section}], {place}"
    return f"{step}, {place} (it tightens from outside; the project's file can't undo it)"


def _let_in(table: RuleTable, verdict: Verdict, own_file: str) -> str:
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
    return json.dumps(spell_out(text), ensure_ascii=False)


def reason_rows(reasons: Sequence[Reason]) -> list[tuple[str, str, str]]:
    """Reasons as rows of place, effect and text."""
    return [
        (f"{spell_out(r.file)}:{r.line}" if r.line else spell_out(r.file) or "mcpwrap", r.effect, spell_out(r.text))
        for r in reasons
    ]
