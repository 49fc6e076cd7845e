"""What a rule says besides its patterns → conditions and budgets of the core (POLICY.md §2)."""
# only texts of paths are looked at

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mcpwrap.core.conditions import URI, Conditions
from mcpwrap.core.patterns import Pattern, PatternError
from mcpwrap.core.rules import Budget, Outcome
from mcpwrap.errors import ConfigError
from mcpwrap.policy import hints
from mcpwrap.policy.check import shown
from mcpwrap.policy.places import Path
from mcpwrap.policy.shape import EFFECTS
from mcpwrap.policy.toml import Document

if TYPE_CHECKING:
    from mcpwrap.core.constraint import Constraint

_WINDOWS_S: Final[Mapping[str, float | None]] = {"s": 1.0, "min": 60.0, "h": 3600.0, "session": None}


class RawRule(msgspec.Struct, frozen=True):
    """The rest of a rule as it stands in the file: constraints by key, an expression, a budget, the reason."""

    args: Mapping[str, Mapping[str, Any]] = {}
    unless: Mapping[str, Mapping[str, Any]] = {}
    when: str = ""
    budget: Budget | None = None
    why: str = ""

    def conditions(self, variables: Mapping[str, str]) -> Conditions | None:
        """The conditions, with `variables` put in; None where there are none.

        Raises:
            PatternError: something in them can't be used.
        """
        if not (self.args or self.unless or self.when):
            return None
        when = None
        if self.when:
            from mcpwrap.core.cel import compile_when  # noqa: PLC0415 - 70 ms that few files need

            when = compile_when(self.when)
        return Conditions(
            tuple((key, constraint(table, variables)) for key, table in self.args.items()),
            tuple((key, constraint(table, variables)) for key, table in self.unless.items()),
            when,
            self.text,
        )

    @property
    def text(self) -> str:
        """The conditions as a person reads them."""
        parts = [f"{_place(word, key)}{_table(table)}" for word, keyed in self._keyed for key, table in keyed.items()]
        return ", ".join([*parts, *([f"when {self.when}"] if self.when else [])])

    @property
    def _keyed(self) -> tuple[tuple[str, Mapping[str, Mapping[str, Any]]], ...]:
        return ("args", self.args), ("unless", self.unless)


def constraint(table: Mapping[str, Any], variables: Mapping[str, str]) -> Constraint:
    """One constraint.

    Raises:
        PatternError: a folder isn't absolute, a host is none, or a glob can't be used.
    """
    from mcpwrap.core.constraint import Constraint  # noqa: PLC0415 - 10 ms that few files need

    known = table.get("one_of")
    return Constraint(
        tuple(_folder(text, variables) for text in _many(table.get("within"))),
        tuple(_host(text) for text in _many(table.get("host"))),
        tuple(Pattern.parse(text, line=0, path=True, variables=variables) for text in _many(table.get("glob"))),
        None if known is None else tuple(known),
        table.get("max"),
    )


def budget(document: Document, path: Path, table: Mapping[str, Any]) -> Budget | None:
    """The budget that stands in a table; None where there is none.

    Raises:
        ConfigError: `over` stands alone.
    """
    limit, size = table.get("limit"), table.get("max_result_bytes")
    if limit is None and size is None:
        if "over" in table:
            raise document.error((*path, "over"), "`over` says what is past a `limit`, and there is none", 'add `limit = "30/min"`')
        return None
    count: int | None = None
    window_s: float | None = None
    if limit is not None:
        number, _, unit = limit.partition("/")
        count, window_s = int(number), _WINDOWS_S[unit]
    text = " and ".join([*([f"limit = {limit}"] if limit else []), *([f"max_result_bytes = {size}"] if size else [])])
    return Budget(count, window_s, size, Outcome.DENY if table.get("over") == "deny" else Outcome.ASK, text)


def read_rule(document: Document, path: Path, table: Mapping[str, Any]) -> tuple[str, RawRule]:
    """The effect of the rule at `path`, and what it says besides its patterns.

    Raises:
        ConfigError: it hasn't exactly one effect, or has a budget that can't count.
    """
    effects = [word for word in EFFECTS if word in table]
    if len(effects) != 1:
        what = "no effect" if not effects else f"{len(effects)} effects"
        raise document.error(
            (*path, effects[1]) if effects else path,
            f"a rule has exactly one of `allow`, `log`, `ask`, `deny`, and this one has {what}",
            'write `deny = ["*"]`' if not effects else "make two rules of it",
        )
    found = budget(document, path, table)
    if found is not None and effects[0] == "deny":
        key = "limit" if "limit" in table else "max_result_bytes"
        raise document.error(
            (*path, key), f"`{key}` in a rule that denies counts nothing", "put it into the rule that lets through"
        )
    return effects[0], RawRule(
        table.get("args", {}), table.get("unless", {}), table.get("when", ""), found, table.get("reason", "")
    )


def try_rule(document: Document, path: Path, raw: RawRule, variables: Mapping[str, str]) -> None:
    """Check everything in the rule at `path`.

    Raises:
        ConfigError: with the place of what can't be used.
    """
    for word, keyed in (("args", raw.args), ("unless", raw.unless)):
        for key, table in keyed.items():
            try:
                constraint(table, variables)
            except PatternError as error:
                raise _narrowed(document, (*path, word, key), table, error, variables) from error
    if raw.when:
        try:
            raw.conditions(variables)
        except PatternError as error:
            raise document.error((*path, "when"), str(error), hints.for_expression(raw.when, str(error))) from error


def _narrowed(
    document: Document, path: Path, table: Mapping[str, Any], error: PatternError, variables: Mapping[str, str]
) -> ConfigError:
    """The error with the place of the one key that can't be used."""
    for key, value in table.items():  # pragma: no branch - one of them is it
        try:
            constraint({key: value}, variables)
        except PatternError:
            return document.error((*path, key), str(error), _folder_hint(value, variables) if key == "within" else "")
    return document.error(path, str(error))  # pragma: no cover


def _many(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _folder(text: str, variables: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] not in variables:
            known = ", ".join(f"`${{{name}}}`" for name in sorted(variables))
            raise PatternError(f"unknown substitution in `{text}` (known here: {known})")
        return variables[found[1]]

    path = re.sub(r"\$\{([^}]*)\}", value, text)
    if not os.path.isabs(path):
        known = " or ".join(f"`${{{name}}}/`" for name in sorted(variables, reverse=True))
        raise PatternError(f"{shown(text)} isn't absolute: begin with {known}")
    return os.path.normpath(path)


def _folder_hint(value: Any, variables: Mapping[str, str]) -> str:
    """How to write the first folder that isn't absolute."""
    wrong = next((text for text in _many(value) if not os.path.isabs(text) and not text.startswith("${")), "")
    return hints.for_folder(wrong, project="project" in variables) if wrong else ""


def _host(text: str) -> str:
    from mcpwrap.core.hosts import pattern_host  # noqa: PLC0415 - as above

    found = pattern_host(text)
    if found is None:
        raise PatternError(f"{shown(text)} is no host: write `example.com`, or `*.example.com` for what lies below it")
    return found


def _place(word: str, key: str) -> str:
    if key == URI:
        return ""  # an element of a list: it stands for the URI that the list is about
    return f"{word}.{key if re.fullmatch(r'[A-Za-z0-9_-]+', key) else _quoted(key)} "


def _quoted(text: str) -> str:
    # as TOML writes it: what stands in quotation marks can't pass for what stands beside them
    return json.dumps(text, ensure_ascii=False)


def _table(table: Mapping[str, Any]) -> str:
    inner = ", ".join(f"{key} = {_value(value)}" for key, value in table.items())
    return f"{{ {inner} }}"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quoted(value) if isinstance(value, str) else str(value)
